"""Section 12: emergent gravity, (12.1) to (12.14)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnthermo import gravity
from nnthermo.experiments.audit import torus
from nnthermo.experiments.audit.entry import Check, at_least, chapter, near, same, zero
from nnthermo.experiments.audit.systems import Systems
from nnthermo.experiments.audit.torus import Field

EQUATIONS, equation = chapter()

KAPPA, LAMBDA = 1.3, 0.7
STEP = 1e-4


def _metric(s: Systems) -> tuple[np.ndarray, float, Field]:
    x, weight = torus.nodes()
    return x, weight, torus.waves(s.random("torus"), x, torus.ONES, 0.04)


def _integral(weight: float, field: Field, values: Any) -> float:
    return float(weight * np.sum(torus.root(field.g) * values))


def _variation(s: Systems, *, printed: bool) -> tuple[float, float]:
    """dA/dε of the action along g + ε δg, and what (12.12) times κ makes of it: ∫ √|g| (κT - G - Λg)^mn δg_mn / 2."""
    x, weight, field = _metric(s)
    other = torus.waves(s.random("variation"), x, 0 * torus.ONES, 1.0)
    slopes = np.stack([0.3 * np.cos(x[:, 0]), 0.4 * np.sin(x[:, 1]), np.full(len(x), 0.2)], axis=1)

    def action(step: float) -> float:
        at = torus.shifted(field, other, step)
        vacuum = torus.scalar(at) / (2 * KAPPA)
        vacuum = LAMBDA - vacuum if printed else vacuum - LAMBDA / KAPPA
        return _integral(weight, at, vacuum + torus.lagrangian(at.g, slopes))

    i = np.linalg.inv(field.g)
    T = slopes[:, :, None] * slopes[:, None, :] + torus.lagrangian(field.g, slopes)[:, None, None] * field.g
    lower = KAPPA * T - torus.einstein(field) - LAMBDA * field.g
    raised = np.einsum("pac,pbd,pcd->pab", i, i, lower)
    wanted = _integral(weight, field, np.sum(raised * other.g, axis=(1, 2))) / 2
    return KAPPA * (action(STEP) - action(-STEP)) / (2 * STEP), wanted


@equation(
    "12.1",
    "S(ĝ, Φ) = ∫dt Σ_k ⟨-(D/2) ∂² log p/∂Q_k²⟩ + ∫dt Σ ⟨(dΦ/dt) Θ⟩",
    comment="For p ∝ exp(-Qᵀ ĝ Q) the first term is D tr ĝ per unit of time.",
    code="gravity.gaussian_entropy_production",
)
def _gaussian(s: Systems) -> Iterator[Check]:
    a = s.random("12.1").normal(size=(3, 3))
    g, D = a @ a.T + np.eye(3), 0.3

    def entropy(t: float) -> float:
        return 0.5 * float(np.linalg.slogdet(np.linalg.inv(2 * g) + D * t * np.eye(3))[1])

    rate = (entropy(STEP) - entropy(-STEP)) / (2 * STEP)
    yield near("first term, beside dS/dt of the diffusing Gaussian", D * np.trace(g), rate, 1e-4, "h² and ε/h")
    yield same("gravity.gaussian_entropy_production", gravity.gaussian_entropy_production(g, D), D * np.trace(g))


@equation(
    "12.2",
    "S = ∫ √|g| (-R/2κ + Λ) + ∫ √|g| L",
    right="S = ∫ √|g| (R - 2Λ)/2κ + ∫ √|g| L",
    comment="With the T of (12.14) the printed signs give G + κΛg = -κT; (12.3) calls +R/2κ the entropy production.",
    code="gravity.einstein_hilbert_action",
    fault="misprint",
)
def _action(s: Systems) -> Iterator[Check]:
    printed, wanted = _variation(s, printed=True)
    yield near("δS as printed, beside ∫ √|g| (κT - G - Λg) δg / 2", printed, wanted, 1e-5, "h² and ε/h")
    mended, wanted = _variation(s, printed=False)
    yield near("δS corrected, beside the same", mended, wanted, 1e-5, "h² and ε/h", role="right")


def _up_to_a_divergence(s: Systems) -> Iterator[Check]:
    _, weight, field = _metric(s)
    R, form = torus.scalar(field) / 2, torus.contraction(field, printed=False)
    yield same("∫ √|g| R/2 on a torus, beside ∫ √|g| κL g_,m g_,n", *(_integral(weight, field, v) for v in (R, form)))
    yield zero("largest difference at a point", np.abs(R - form).max(), role="outside")


@equation(
    "12.3",
    "R/2κ = g_(αβ,μ) J^(μαβ)",
    condition="under an integral without boundary terms, with fluxes of the corrected tensor",
    comment="At a point they differ by the divergence of √|g| (g^(αβ) Γ^μ_(αβ) - g^(μα) Γ^β_(αβ)).",
    code="gravity.onsager_contraction",
)
def _production(s: Systems) -> Iterator[Check]:
    yield from _up_to_a_divergence(s)


@equation("12.4", "g_(αβ,μ) = ∂g_αβ/∂x^μ", code="gravity.metric_slopes", kind="definition")
def _forces(s: Systems) -> Iterator[Check]:
    x, _, field = _metric(s)
    rng = s.random("torus")
    forward = torus.waves(rng, x + STEP * np.eye(3)[0], torus.ONES, 0.04).g
    difference = (forward - field.g) / STEP
    yield near("largest error beside a difference", np.abs(difference - field.dg[:, 0]).max(), 0, 1e-3, "h")


@equation(
    "12.5",
    "J^(μαβ) = L^(μναβγδ) g_(γδ,ν)",
    comment="Linear by definition; the library needs no array of n⁶ entries.",
    code="gravity.onsager_fluxes",
    kind="definition",
)
def _fluxes(s: Systems) -> Iterator[Check]:
    _, _, field = _metric(s)
    i = np.linalg.inv(field.g[0])
    for printed in (True, False):
        J = np.einsum("mnabcd,ncd->mab", torus.onsager(i, printed=printed), field.dg[0])
        ours = gravity.onsager_fluxes(field.g[0], field.dg[0], kappa=1.0, variant="printed" if printed else "corrected")
        product = np.sum(np.asarray(ours) * field.dg[0])
        label = "printed" if printed else "corrected"
        yield same(f"library's J g_,m, {label} tensor", product, np.sum(J * field.dg[0]))


@equation(
    "12.6",
    "R/2κ = L^(μναβγδ) g_(αβ,μ) g_(γδ,ν)",
    condition="under an integral without boundary terms, with the corrected tensor",
    comment="Its form has 22 positive and 18 negative eigenvalues for four dimensions: this production has no sign.",
    code="gravity.onsager_contraction",
)
def _quadratic(s: Systems) -> Iterator[Check]:
    yield from _up_to_a_divergence(s)
    inertia = gravity.onsager_inertia(np.diag([-1.0, 1, 1, 1]))
    yield same("negative eigenvalues", inertia.negative, 18, role="right")
    yield same("positive eigenvalues", inertia.positive, 22, role="right")


@equation(
    "12.7",
    "L^(μναβγδ) = L^(νμβαδγ)",
    right="L^(μναβγδ) = L^(νμγδαβ)",
    comment="The relation in words above it, (μ, α, β) ↔ (ν, γ, δ), is the right one, and (12.9) obeys it.",
    code="gravity.onsager_reciprocity_violation",
    fault="misprint",
)
def _reciprocity(_: Systems) -> Iterator[Check]:
    L = torus.onsager(np.eye(4), printed=True)
    scale = np.abs(L).max()
    yield zero("largest violation by (12.9) at g = 1", np.abs(L - np.transpose(L, (1, 0, 3, 2, 5, 4))).max() / scale)
    stated = np.abs(L - np.transpose(L, (1, 0, 4, 5, 2, 3))).max() / scale
    yield zero("of the relation in words", stated, role="right")
    both = [float(gravity.onsager_reciprocity_violation(L, relation=relation)) for relation in ("printed", "stated")]
    yield same("the library's two, printed", both[0], 0.5, role="right")
    yield zero("and in words", both[1], role="right")


@equation(
    "12.8",
    "L^(μναβγδ) = L^(μν(αβ)(γδ))",
    condition="after symmetrising, which no contraction with forces sees",
    comment="(12.9) as it stands lacks it.",
    code="gravity.onsager_tensor",
)
def _symmetries(s: Systems) -> Iterator[Check]:
    _, _, field = _metric(s)
    L, d = torus.onsager(np.linalg.inv(field.g[0]), printed=True), field.dg[0]
    even = (L + np.swapaxes(L, 2, 3)) / 2
    even = (even + np.swapaxes(even, 4, 5)) / 2
    forms = [np.einsum("mnabcd,mab,ncd->", tensor, d, d) for tensor in (L, even)]
    yield same("L g_,m g_,n before, beside after", *forms)
    yield zero("asymmetry of (12.9)", np.abs(L - even).max() / np.abs(L).max(), role="outside")


def _both_actions(s: Systems) -> tuple[float, float, float]:
    _, weight, field = _metric(s)
    forms = (torus.contraction(field, printed=printed) for printed in (True, False))
    values = (torus.scalar(field) / 2, *forms)
    R, printed, mended = (_integral(weight, field, v) for v in values)
    return R, printed, mended


@equation(
    "12.9",
    "8κL^(μναβγδ) = g^(αν) g^(βδ) g^(μγ) + g^(αγ) g^(βν) g^(μδ) - g^(αγ) g^(βδ) g^(μν) - g^(αβ) g^(γδ) g^(μν)",
    right="8κL^(μναβγδ) = g^(αν) g^(βδ) g^(μγ) + g^(αγ) g^(βν) g^(μδ) - g^(αγ) g^(βδ) g^(μν) + g^(αβ) g^(γδ) g^(μν) "
    "- 2 g^(αβ) g^(μγ) g^(νδ)",
    comment="Right as printed only where |g| is constant.",
    code="gravity.onsager_tensor",
)
def _tensor(s: Systems) -> Iterator[Check]:
    R, printed, mended = _both_actions(s)
    yield same("∫ √|g| κL g_,m g_,n as printed, beside ∫ √|g| R/2", printed, R)
    yield same("corrected, beside the same", mended, R, role="right")
    _, _, field = _metric(s)
    i, d = np.linalg.inv(field.g[0]), field.dg[0]
    free = d - np.einsum("ab,mab->m", i, d)[:, None, None] * field.g[0] / 3
    forms = [np.einsum("mnabcd,mab,ncd->", torus.onsager(i, printed=p), free, free) for p in (True, False)]
    yield same("the two where ∂|g| = 0", *forms, role="right")


@equation(
    "12.10",
    "∫ √|g| R/2κ = ∫ √|g| g^(μν) (1/κ)(Γ^α_(ν[μ,α]) + Γ^β_(ν[μ) Γ^α_(α]β)) = ∫ √|g| L g_(αβ,μ) g_(γδ,ν) with (12.9)",
    right="the last member with the corrected tensor",
    code="gravity.gamma_gamma_lagrangian",
)
def _by_parts(s: Systems) -> Iterator[Check]:
    R, printed, mended = _both_actions(s)
    yield same("third member as printed, beside the first", printed, R)
    yield same("third corrected, beside the first", mended, R, role="right")
    _, weight, field = _metric(s)
    G, _ = torus.christoffel(field)
    form = np.einsum("pamb,pbna->pmn", G, G) - np.einsum("pamn,pbab->pmn", G, G)
    form = np.sum(np.linalg.inv(field.g) * form, axis=(1, 2)) / 2
    yield same("∫ √|g| g^mn (Γ^a_mb Γ^b_na - Γ^a_mn Γ^b_ab)/2", _integral(weight, field, form), R, role="right")


@equation("12.11", "Γ^μ_γδ = ½ g^(μν)(g_(νγ,δ) + g_(νδ,γ) - g_(γδ,ν))", code="gravity.christoffel", kind="definition")
def _connection(s: Systems) -> Iterator[Check]:
    _, _, field = _metric(s)
    G, _ = torus.christoffel(field)
    covariant = field.dg - np.einsum("pema,peb->pmab", G, field.g) - np.einsum("pemb,pae->pmab", G, field.g)
    yield zero("largest covariant derivative of g", np.abs(covariant).max())


@equation(
    "12.12",
    "R_μν - ½ R g_μν + Λ g_μν = κT_μν",
    condition="varying the corrected (12.2)",
    code="gravity.action_gradient",
)
def _field_equations(s: Systems) -> Iterator[Check]:
    mended, wanted = _variation(s, printed=False)
    yield near("δS corrected, beside ∫ √|g| (κT - G - Λg) δg / 2", mended, wanted, 1e-5, "h² and ε/h")
    printed, _ = _variation(s, printed=True)
    yield near("δS of (12.2) as printed, beside the same", printed, wanted, 1e-5, "h² and ε/h", role="outside")


@equation(
    "12.13",
    "R_μν = 2 (Γ^α_(ν[μ,α]) + Γ^β_(ν[μ) Γ^α_(α]β))",
    comment="Spheres have positive R.",
    code="gravity.ricci",
    kind="definition",
)
def _ricci(s: Systems) -> Iterator[Check]:
    _, _, field = _metric(s)
    R = torus.ricci(field)
    yield zero("asymmetry", np.abs(R - np.swapaxes(R, 1, 2)).max())
    theta, zeros = 1.1, np.zeros((1, 3, 3, 3))
    sin, cos = np.sin(theta), np.cos(theta)
    g, dg, ddg = np.diag([1.0, sin**2, 1.0])[None], zeros.copy(), np.zeros((1, 3, 3, 3, 3))
    dg[0, 0, 1, 1], ddg[0, 0, 0, 1, 1] = 2 * sin * cos, 2 * (cos**2 - sin**2)
    yield same("R of the unit sphere", torus.scalar(Field(g, dg, ddg))[0], 2.0)


@equation(
    "12.14",
    "T_μν = -(2/√|g|) δ(√|g| L)/δg^(μν)",
    comment="The sign that makes energies positive beside the corrected (12.2).",
    code="gravity.stress_energy",
    kind="definition",
)
def _stress(s: Systems) -> Iterator[Check]:
    slopes = s.random("12.14").normal(size=3)
    slopes[0] += 2
    _, _, field = _metric(s)
    g = field.g[0]

    def lagrangian(g: Any) -> Any:
        inverse, _ = gravity.inverse_and_determinant(g)
        return -(slopes @ inverse @ slopes) / 2

    canonical = np.outer(slopes, slopes) - g * (slopes @ np.linalg.inv(g) @ slopes) / 2
    T = np.asarray(gravity.stress_energy(lagrangian, g))
    yield zero("largest difference from φ_m φ_n + g_mn L", np.abs(T - canonical).max())
    u = np.array([1.0, 0, 0]) / np.sqrt(-g[0, 0])
    yield at_least("its energy density", u @ T @ u, 0.0)
