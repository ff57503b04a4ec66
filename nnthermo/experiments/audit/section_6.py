"""Section 6: learning equilibrium, (6.1) to (6.8)."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms, grids
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, slope, zero
from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.systems import BETA, M, Systems

EQUATIONS, equation = chapter()


@equation(
    "6.1",
    "U = ∫ dᴺx H p = -∂/∂β log Z",
    comment="For the box, for R^N, and with the window, which is free of β. Of (5.9) it is ⟨H⟩ of the quadratic model "
    "only if the centre stays where it is: x̄ does, ⟨x⟩ moves with β.",
    code="nt.average_loss",
)
def _average_loss(s: Systems) -> Iterator[Check]:
    reason = "central difference, h = 10⁻⁴"
    for name, make in (("window", partial(grids.line, c=1.0)), ("box", grids.box)):
        slope_there = float(forms.central(partial(_log_z_at, make, s), 1e-4))
        mean = make(s.pair, BETA).average_loss
        yield near(f"-∂ log Z/∂β of two neurons, {name}, beside ⟨H⟩", -slope_there, mean, 1e-7, reason)
    exact = forms.average_loss(s.dense, BETA, M)
    yield same("nt.average_loss, beside ½ Tr (Ĝ - m)M⁻¹", nt.average_loss(s.hessian, BETA, m=M), exact)
    moving = float(forms.central(lambda h: _with_moving_centre(s, BETA + h)))
    fixed = float(forms.central(lambda h: forms.log_partition(_linear(s), BETA + h, 0.0, s.linear_centre)))
    yield at_least("linear: |∂ log Z (5.9)/∂β| changes if centred on ⟨x⟩", abs(moving - fixed), 1e-3)


def _log_z_at(make: Callable[..., grids.Grid], s: Systems, h: float) -> float:
    return make(s.pair, BETA + h).log_z


def _linear(s: Systems) -> np.ndarray:
    return forms.hessian(forms.jacobian(s.linear_twin, s.linear_centre))


def _with_moving_centre(s: Systems, beta: float) -> float:
    """(5.9) of `linear` as printed, about ⟨x⟩ = M⁻¹βBᵀb."""
    B = forms.jacobian(s.linear_twin, s.linear_centre)
    mean = np.linalg.solve(forms.shifted(_linear(s), beta), beta * B.T @ s.linear_twin.bias)
    return forms.log_partition(_linear(s), beta, 0.0, mean)


@equation(
    "6.2",
    "∂U/∂w_ij = ∂²/∂w_ij∂β log Z = 0,  ∂U/∂b_i = ∂²/∂b_i∂β log Z = 0",
    comment="At fixed slopes ∂U/∂A = -BM⁻². ŵ = 0 is always stationary, a minimum for β < 1 and a maximum for β > 1: "
    "ΔU = |A|²(1-β)/2(1+β)³.",
    code="nt.average_loss",
    kind="definition",
)
def _equilibrium(s: Systems) -> Iterator[Check]:
    slopes = s.deep.slopes(s.state)
    gradient = jax.jit(jax.grad(lambda net: nt.average_loss(nt.bulk_hessian(net, slopes=slopes), BETA)))(s.deep)
    B = forms.jacobian(s.twin, s.centre)
    inverse = np.linalg.inv(forms.shifted(forms.hessian(B), BETA))
    d = s.twin.slope(s.twin.weight @ s.centre + s.twin.bias)
    expected = -d[:, None] * (B @ inverse @ inverse)
    found = np.asarray(gradient.weights[1])
    yield zero("∂U/∂ŵ by differentiation, less -f̂'BM⁻²", np.abs(found - expected[7:10, 3:7]).max(), tolerance=1e-10)
    A = forms.links(s.twin, s.centre)
    scales = (1e-2, 2e-2)
    rest = []
    for t in scales:
        change = forms.average_loss(forms.hessian(np.eye(12) - t * A), BETA) - 6 / (1 + BETA)
        rest.append(change - t**2 * np.sum(A**2) * (1 - BETA) / (2 * (1 + BETA) ** 3))
    yield slope("ŵ → 0: ΔU less its quadratic form, power of ŵ", forms.power(rest, scales), 4, 0.3, role="right")


@equation(
    "6.3",
    "Z(β, b, ŵ) = exp(-βA(β)) × exp(C(b, ŵ))",
    condition="(6.2) holds on an open set of β, ŵ and b, not at a point",
    comment="Over R^N it holds for every feed-forward network, with C constant. At ŵ = 0, where (6.2) holds for every "
    "β, (5.14) does not factorise with any other ŵ.",
    code="nt.factorise",
)
def _factorisation(s: Systems) -> Iterator[Check]:
    other = s.pair._replace(weight=2 * s.pair.weight, bias=s.pair.bias + 0.2)
    flat = [[grids.plane(net, b).log_z for b in (BETA, 3.0)] for net in (s.pair, other)]
    yield zero("R^N: mixed difference of log Z in β and (ŵ, b)", _mixed(flat), tolerance=1e-9)
    A = forms.links(s.twin, s.centre)
    gaussian = [[forms.log_partition(forms.hessian(np.eye(12) - t * A), b) for b in (BETA, 3.0)] for t in (0.0, 1.0)]
    yield zero("(5.14), from ŵ = 0", _mixed(gaussian), role="outside")
    found = float(nt.factorise(gaussian).root_mean_square)
    yield same("defect of nt.factorise, beside a quarter of it", found, abs(_mixed(gaussian)) / 4)


def _mixed(table: list[list[float]]) -> float:
    (a, b), (c, d) = table
    return a - b - c + d


@equation(
    "6.4",
    "F ≡ -(1/β) log Z = A(β) - (1/β) C(b, ŵ)",
    condition="(6.3); A and C are fixed only up to A + k/β, C + k",
    comment="nt.decompose splits any spectrum so; A then depends on ŵ through N_eff and the mixing alone.",
    code="nt.decompose",
)
def _free_energy_splits(s: Systems) -> Iterator[Check]:
    parts = nt.decompose(s.spectrum, BETA)
    F = -forms.log_partition(s.dense, BETA) / BETA
    A, C = float(parts.thermodynamic_free_energy), float(parts.complexity)
    yield same("A - C/β of nt.decompose, beside F", A - C / BETA, F)
    yield same("nt.free_energy", nt.free_energy(s.hessian, BETA), F)
    yield same("A + k/β and C + k, k = 0.7", (A + 0.7 / BETA) - (C + 0.7) / BETA, F)


@equation(
    "6.5",
    "F = (1/2β) Σ_i log(1 + βλ_i) - (N/2β) log 2π",
    comment="(5.14) with m = 0.",
    code="nt.free_energy",
)
def _free_energy_of_eigenvalues(s: Systems) -> Iterator[Check]:
    F = -forms.log_partition(s.dense, BETA) / BETA
    printed = np.sum(np.log1p(BETA * np.exp(s.logs))) / (2 * BETA) - 6 * LOG_2PI / BETA
    yield same("sum over eigenvalues, beside log det", printed, F)
    yield same("nt.free_energy of the spectrum", nt.free_energy(s.spectrum, BETA), F)


def threshold_free_energy(logs: np.ndarray, beta: float, threshold: float = 1.0) -> float:
    """(6.6) with the eigenvalues above threshold/β."""
    return (0.5 * forms.split(logs, beta, threshold)[0] - 0.5 * len(logs) * LOG_2PI) / beta


@equation(
    "6.6",
    "F ≈ (1/2β) Σ_(λ≫1/β) log λ_i + (N_>/2β) log β - (N/2β) log 2π",
    right="F = (6.6) + E(t)/β, E(t) = ½ Σ_(βλ>t) log(1 + 1/βλ) + ½ Σ_(βλ≤t) log(1 + βλ) ≥ 0, least at t = 1",
    condition="every |log βλ| ≫ 1",
    comment="No small parameter: the split is smeared over |log βλ| of order 1 and costs up to ½ log 2 = 0.347 nats an "
    "eigenvalue. At β = 1.4 the 744 eigenvalues at 1 of 784-40-20-10 alone cost 200 nats.",
    code="nt.split_error",
)
def _free_energy_splits_at_a_threshold(s: Systems) -> Iterator[Check]:
    F = -forms.log_partition(s.dense, BETA) / BETA
    yield same("(6.6) at β = 1.4, beside (6.5)", threshold_free_energy(s.logs, BETA), F)
    for t in (0.5, 1.0, 3.0):
        error = BETA * (F - threshold_free_energy(s.logs, BETA, t))
        yield same(f"β(F - (6.6)), threshold {t}, beside E", error, forms.split_error(s.logs, BETA, t), role="law")
        yield same(f"E of nt.split_error, threshold {t}", nt.split_error(s.spectrum, BETA, t), error, role="law")
    best = forms.split_error(s.logs, BETA)
    others = min(forms.split_error(s.logs, BETA, t) for t in (0.2, 0.5, 2.0, 5.0))
    yield at_most("E(1) less the least of E(0.2), E(0.5), E(2), E(5)", best - others, 0, tolerance=1e-12)
    yield at_most("E(1) an eigenvalue", best / 12, 0.5 * math.log(2), reason="½ log 2, at βλ = 1")
    unit = forms.split_error(np.zeros(744), BETA)
    yield near("E of 744 eigenvalues at 1", unit, 200.5, 0.1, "digits", role="law")


@equation(
    "6.7",
    "C ≈ -½ Σ_(λ≫1/β) log λ_i + (N/2) log 2π",
    right="C = -½ Σ s_i log λ_i + (N/2) log 2π, s = βλ/(1 + βλ)",
    condition="every |log βλ| ≫ 1",
    comment="(N/2) log 2π may stand in C or in A. By (7.8) C is also (N/2) log 2π + ½ Σ over the small ones.",
    code="nt.complexity",
)
def _complexity(s: Systems) -> Iterator[Check]:
    threshold = 6 * LOG_2PI - 0.5 * forms.split(s.logs, BETA)[1]
    parts = nt.decompose(s.spectrum, BETA)
    yield same("threshold form, beside the smooth one", threshold, parts.complexity)
    yield same("nt.complexity, beside the threshold form", nt.complexity(s.spectrum, BETA), threshold, role="law")
    small = np.sum(s.logs[BETA * np.exp(s.logs) <= 1])
    yield same("from the small eigenvalues, by (7.8)", 6 * LOG_2PI + 0.5 * small, threshold, role="law")
    wide = 40 * s.logs  # every |log λ| large but those that are 0
    wide = wide[np.abs(wide) > 30 * math.log(BETA)]
    occupied = 1 / (1 + np.exp(-math.log(BETA) - wide))
    gap = -0.5 * np.sum(occupied * wide) + 0.5 * forms.split(wide, BETA)[1]
    yield zero("both forms where |log βλ| > 10", gap, role="law", tolerance=1e-3, reason="|ℓ| exp(-|ℓ|)")


@equation(
    "6.8",
    "A ≈ (N_>/2β) log β",
    right="A = (N_eff log β + Σ h(s_i))/2β, h(s) = -s log s - (1-s) log(1-s)",
    condition="every |log βλ| ≫ 1",
    comment="Together with (6.7) it is (6.6).",
    code="nt.thermodynamic_free_energy",
)
def _thermodynamic_free_energy(s: Systems) -> Iterator[Check]:
    count = forms.split(s.logs, BETA)[2]
    threshold = count / (2 * BETA) * math.log(BETA)
    yield same("threshold form, beside the smooth one", threshold, nt.decompose(s.spectrum, BETA)[2])
    ours = nt.thermodynamic_free_energy(s.spectrum, BETA)
    yield same("nt.thermodynamic_free_energy", ours, threshold, role="law")
    C = 6 * LOG_2PI - 0.5 * forms.split(s.logs, BETA)[1]
    yield same("A - C/β, beside (6.6)", threshold - C / BETA, threshold_free_energy(s.logs, BETA), role="law")
