"""Section 5: the partition function, (5.1) to (5.14)."""

import math
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms, grids
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, slope, zero
from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.systems import BETA, M, Systems

EQUATIONS, equation = chapter()
QUAD = "quadrature"


@equation(
    "5.1",
    "Z ≡ exp(1 + ν) = ∫ dᴺx exp(-βH)",
    comment="Over all of R^N and with m = 0, log Z of a feed-forward network is (N/2) log(2π/β) whatever its weights, "
    "biases and activation: x ↦ r has unit Jacobian. All that depends on ŵ comes from the box or the window.",
    code="nt.quadrature",
)
def _partition_function(s: Systems) -> Iterator[Check]:
    grid = grids.box(s.pair, BETA)
    nu = grid.log_z - 1
    total = float(np.sum(np.exp(grid.log_measure - BETA * grid.energy - 1 - nu)))
    yield same("box: ∫ exp(-βH - 1 - ν) with exp(1 + ν) = Z", total, 1)
    flat = grids.flat_log_partition(2, BETA)
    wide = s.pair._replace(weight=3 * s.pair.weight, bias=s.pair.bias + 0.5)
    for name, net in (("as drawn", s.pair), ("weights × 3, other biases", wide)):
        log_z = grids.plane(net, BETA).log_z
        yield near(f"R²: log Z, {name}, beside log(2π/β)", log_z, flat, 1e-9, QUAD, role="right")
    ours = s.quadrature(nt.Flat()).log_partition.value
    yield near("R²: log Z of nt.quadrature", ours, flat, 1e-8, QUAD, role="right")


@equation(
    "5.2",
    "f(ŵx + b) = f(ŵ⟨x⟩ + b) + f̂'ŵ(x - ⟨x⟩) + O((x - ⟨x⟩)²)",
    comment="Exact for linear f.",
    code="net.slopes",
)
def _first_order(s: Systems) -> Iterator[Check]:
    direction = s.random("5.2").normal(size=12)
    centre = s.centre + 0.1
    for name, net, expected in (("tanh", s.twin, 2.0), ("linear", s.linear_twin, None)):
        A, base = forms.links(net, centre), net.f(net.weight @ centre + net.bias)
        scales = (1e-3, 2e-3)
        rest = [net.f(net.weight @ (centre + t * direction) + net.bias) - base - t * A @ direction for t in scales]
        if expected is None:
            yield zero(f"{name}: largest rest", np.abs(rest).max())
        else:
            sizes = [float(np.linalg.norm(r)) for r in rest]
            yield slope(f"{name}: power of x - ⟨x⟩ in the rest", forms.power(sizes, scales), expected, role="printed")


def _gradient(net: forms.Twin, x: Any) -> Any:
    """∇½|r|² = Bᵀr at each row of x."""
    r = forms.residual(net, x)
    return r - (net.slope(x @ net.weight.T + net.bias) * r) @ net.weight


@equation(
    "5.3",
    "⟨x⟩ ≡ ∫ dᴺx x p(x)",
    comment="Not a fixed point: what vanishes is ⟨β∇H + x⟩, so c⟨x⟩ = -β⟨Bᵀr⟩ with the window, c = 1 - βm.",
    code="nt.quadrature",
    kind="definition",
)
def _mean_of_the_ensemble(s: Systems) -> Iterator[Check]:
    grid = grids.line(s.pair, BETA, c=1.0, m=M)
    mean = grid.mean(grid.x)
    stein = (1 - BETA * M) * mean + BETA * grid.mean(_gradient(s.pair, grid.x))
    yield near("c⟨x⟩ + β⟨Bᵀr⟩", np.abs(stein).max(), 0, 1e-9, QUAD)
    ours = np.asarray(s.quadrature(nt.Window(), M).mean)
    yield near("⟨x⟩ of nt.quadrature", np.abs(ours - mean).max(), 0, 1e-8, QUAD)
    apart = np.abs(forms.residual(s.pair, mean)).max()
    yield at_least("|⟨x⟩ - f(ŵ⟨x⟩ + b)|, which is 0 at x̄", apart, 1e-2, reason="not a fixed point")
    B = forms.jacobian(s.linear_twin, s.linear_centre)
    r0 = -np.linalg.solve(np.eye(12) + BETA * B @ B.T, s.linear_twin.bias)
    gap = forms.residual(s.linear_twin, _linear_mean(s, BETA)) - r0
    yield zero("linear: r(⟨x⟩) + (I + βBBᵀ)⁻¹b", np.abs(gap).max(), role="right", tolerance=1e-10)


def _linear_mean(s: Systems, beta: float) -> np.ndarray:
    """⟨x⟩ = M⁻¹βBᵀb of `linear` with the window, m = 0."""
    B = forms.jacobian(s.linear_twin, s.linear_centre)
    return np.linalg.solve(forms.shifted(B.T @ B, beta), beta * B.T @ s.linear_twin.bias)


@equation(
    "5.4",
    "f'_ii ≡ (df(y_i)/dy_i) at y_i = Σ_j w_ij⟨x_j⟩ + b_i",
    comment="f'(⟨x⟩) and ⟨f'⟩ are two things, and the spectra of their Ĝ differ: the library has both, by name.",
    code="nt.mean_slopes",
    kind="definition",
)
def _slopes(s: Systems) -> Iterator[Check]:
    y = s.twin.weight @ s.centre + s.twin.bias
    difference = forms.central(lambda h: np.tanh(y + h))[3:]
    ours = np.concatenate([np.asarray(d) for d in s.deep.slopes(s.state)])
    yield near("net.slopes less a difference of f", np.abs(ours - difference).max(), 0, 1e-9, "h² and ε/h")
    data = jnp.asarray(s.random("5.4").uniform(-0.8, 0.8, (30, 3)))
    of_mean = s.deep.slopes(nt.mean_state(s.deep, data))
    gap = max(float(jnp.abs(a - b).max()) for a, b in zip(of_mean, nt.mean_slopes(s.deep, data), strict=True))
    yield at_least("largest |f'(⟨x⟩) - ⟨f'⟩| over a data set", gap, 1e-2, reason="two definitions")


def _curvature(net: forms.Twin, x: np.ndarray) -> np.ndarray:
    """∂²H by differences of its gradient, m = 0."""

    def moved(h: float) -> Any:
        return _gradient(net, x + h * np.eye(net.size))

    return np.asarray(forms.central(moved))


def _quadratic(G: np.ndarray, x: np.ndarray, a: np.ndarray, m: float) -> float:
    """(5.5)."""
    return float(0.5 * (x - a) @ G @ (x - a) - 0.5 * m * x @ x)


@equation(
    "5.5",
    "H ≈ ½ (x - ⟨x⟩)ᵀ Ĝ (x - ⟨x⟩) - (m/2) xᵀx",
    right="H ≈ ½ (x - x̄)ᵀ Ĝ (x - x̄) - (m/2) xᵀx with x̄ of (2.9)",
    comment="About ⟨x⟩ the terms ½|r₀|² + r₀ᵀBδ are missing, r₀ = ⟨x⟩ - f(ŵ⟨x⟩ + b) ≠ 0, and in the curvature "
    "-Σ r₀ f'' wᵀw. About x̄ all vanish: exact for linear f, and to O(δ³) for any.",
    code="nt.bulk_hessian",
)
def _quadratic_loss(s: Systems) -> Iterator[Check]:
    x = s.random("5.5").normal(size=12)
    G = forms.hessian(forms.jacobian(s.linear_twin, s.linear_centre))
    exact = forms.bulk_loss(s.linear_twin, x, M)
    yield same("linear: about ⟨x⟩, beside H", _quadratic(G, x, _linear_mean(s, BETA), M), exact)
    yield same("linear: about x̄, beside H", _quadratic(G, x, s.linear_centre, M), exact, role="right")
    scales = (1e-3, 2e-3)
    rest = [
        forms.bulk_loss(s.twin, s.centre + t * x, M) - _quadratic(s.dense, s.centre + t * x, s.centre, M)
        for t in scales
    ]
    yield slope("tanh: about x̄, power of δ in the rest", forms.power(rest, scales), 3, 0.2, role="right")
    for name, a, bound in (("x̄", s.centre, None), ("x̄ + 0.3", s.centre + 0.3, 1e-2)):
        gap = np.abs(_curvature(s.twin, a) - forms.hessian(forms.jacobian(s.twin, a))).max()
        if bound is None:
            yield near(f"tanh: largest entry of ∂²H - Ĝ at {name}", gap, 0, 1e-8, "h² and ε/h", role="right")
        else:
            yield at_least(f"tanh: largest entry of ∂²H - Ĝ at {name}", gap, bound, reason="r₀ ≠ 0")


@equation(
    "5.6",
    "Ĝ ≡ (I - f̂'ŵ)ᵀ (I - f̂'ŵ)",
    comment="BBᵀ has the same spectrum and other eigenvectors. For layers A → -A leaves the spectrum as it is.",
    code="nt.bulk_hessian",
    kind="definition",
)
def _bulk_hessian(s: Systems) -> Iterator[Check]:
    ours = np.asarray(s.hessian.to_dense())
    yield zero("nt.bulk_hessian less BᵀB", np.abs(ours - s.dense).max())
    yield zero("less its transpose", np.abs(ours - ours.T).max())
    B = forms.jacobian(s.twin, s.centre)
    yield at_least("largest entry of BᵀB - BBᵀ", np.abs(s.dense - B @ B.T).max(), 1e-2)
    apart = np.abs(np.linalg.eigvalsh(s.dense) - np.linalg.eigvalsh(B @ B.T)).max()
    yield zero("eigenvalues of BᵀB less those of BBᵀ", apart, role="right", tolerance=1e-10)
    mirrored = np.linalg.eigvalsh(forms.hessian(2 * np.eye(12) - B))
    yield zero("eigenvalues at A less those at -A", np.abs(np.exp(s.logs)[::-1] - mirrored).max(), role="right",
               tolerance=1e-10)  # fmt: skip


@equation(
    "5.7",
    "Z = ∫_(-1,1)ᴺ dᴺx exp(-βH)",
    condition="f = tanh, whose range is (-1, 1)",
    comment="As β → ∞ with x̄ inside, log Z → (N/2) log(2π/β) and all dependence on ŵ goes, exponentially.",
    code="nt.Box",
    kind="definition",
)
def _box(s: Systems) -> Iterator[Check]:
    settled = grids.box(s.pair, BETA).log_z - grids.box(s.pair, BETA, points=60).log_z
    yield near("log Z of two neurons, 120 less 60 nodes a side", settled, 0, 1e-10, QUAD)
    yield near("log Z - N log 2 at β = 10⁻⁹", grids.box(s.pair, 1e-9).log_z - 2 * math.log(2), 0, 1e-8, "β⟨H⟩")
    ours = s.quadrature(nt.Box()).log_partition.value
    yield near("log Z of nt.quadrature", ours, grids.box(s.pair, BETA).log_z, 1e-8, QUAD)
    cold = grids.box(s.pair, 400.0, points=200).log_z
    yield near("log Z - (N/2) log(2π/β) at β = 400", cold - grids.flat_log_partition(2, 400.0), 0, 1e-6, "tails",
               role="right")  # fmt: skip


def errors(s: Systems, beta: float) -> tuple[float, float, float]:
    """Of two tanh neurons: log Z of the window less that of the box, (5.9) at x̄ and (5.14) less that of the window."""
    window = grids.line(s.pair, beta, c=1.0).log_z
    sharp = grids.box(s.pair, beta, points=60 if beta < 10 else 200).log_z
    x = forms.fixed_state(s.pair, 2)
    G = forms.hessian(forms.jacobian(s.pair, x))
    return window - sharp, forms.log_partition(G, beta, 0.0, x) - window, forms.log_partition(G, beta) - window


@equation(
    "5.8",
    "Z ≈ ∫ dᴺx exp(-βH - ½ xᵀx) over R^N",
    comment="Another ensemble, not only another integral. The error of log Z an eigenvalue is ½ log 2π - log 2 = 0.226 "
    "at β → 0 and -|x̄|²/2N at β → ∞; it passes 0 in between. Networks are ranked alike up to β ≈ 10.",
    code="nt.Window",
)
def _window(s: Systems) -> Iterator[Check]:
    yield same("log Z, window less box, two neurons, β = 1.4", errors(s, BETA)[0], 0)
    ours = s.quadrature(nt.Window()).log_partition.value
    summed = grids.line(s.pair, BETA, c=1.0).log_z
    yield near("log Z of nt.quadrature with the window", ours, summed, 1e-8, QUAD, role="right")
    hot = errors(s, 1e-6)[0] / 2
    constant = 0.5 * LOG_2PI - math.log(2)
    yield near("a neuron, β = 10⁻⁶, beside ½ log 2π - log 2", hot, constant, 1e-6, "β⟨H⟩", role="law")
    x = forms.fixed_state(s.pair, 2)
    betas = (1e4, 1e5)
    rest = [grids.line(s.pair, b, c=1.0).log_z - grids.flat_log_partition(2, b) + 0.5 * x @ x for b in betas]
    yield slope("β → ∞: error + |x̄|²/2, power of β", forms.power(rest, betas), -1)
    yield near("error at β = 400, beside -|x̄|²/2", errors(s, 400.0)[0], -0.5 * x @ x, 0.02, "const/β", role="law")


def _three_states() -> tuple[float, float, float]:
    """N = 1, w = 2, b = 0.1, β = 2000: log Z with the window, and (5.9) over all fixed states and the stable one."""
    beta = 2000.0
    net = forms.Twin(np.array([[2.0]]), np.array([0.1]), np.tanh, forms.tanh_slope, 0)
    x = np.linspace(-2.0, 2.0, 400_001)[:, None]
    exponent = -beta * forms.bulk_loss(net, x) - 0.5 * x[:, 0] ** 2
    log_z = float(np.log(np.sum(np.exp(exponent)) * 1e-5))
    ends = ((-1.5, -0.8), (-0.3, 0.1), (0.5, 1.5))
    found = [forms.root(lambda v: v - math.tanh(2 * v + 0.1), *end) for end in ends]
    terms = []
    for v in found:
        G = forms.hessian(forms.jacobian(net, np.array([v])))
        terms.append(forms.log_partition(G, beta, 0.0, np.array([v])))
    return log_z, float(np.log(np.sum(np.exp(terms)))), terms[2]


@equation(
    "5.9",
    "Z ≈ (2π)^(N/2) det(I(1-βm) + βĜ)^(-1/2) exp(-½ ⟨x⟩ᵀ [(1-βm)βĜ / (I(1-βm) + βĜ)] ⟨x⟩)",
    right="the same with x̄ for ⟨x⟩: exact for linear f, and to O(1/β) for tanh",
    condition="1 + β(λ_min - m) > 0, and one fixed point: each further one adds such a term",
    comment="With ⟨x⟩ it is not exact even for linear networks, where nothing is approximated.",
    code="nt.log_partition",
)
def _gaussian_partition_function(s: Systems) -> Iterator[Check]:
    B = forms.jacobian(s.linear_twin, s.linear_centre)
    G = forms.hessian(B)
    exact = forms.linear_log_partition(B, s.linear_twin.bias, BETA)
    yield same("linear: with ⟨x⟩, beside the integral", forms.log_partition(G, BETA, 0.0, _linear_mean(s, BETA)), exact)
    yield same("linear: with x̄", forms.log_partition(G, BETA, 0.0, s.linear_centre), exact, role="right",
               tolerance=1e-10)  # fmt: skip
    with_m = forms.linear_log_partition(B, s.linear_twin.bias, BETA, M)
    state = s.linear.propagate(s.inputs)
    ours = nt.log_partition(nt.bulk_hessian(s.linear, state), BETA, m=M, mean=state)
    yield same("linear: nt.log_partition with x̄, m = 0.2", ours, with_m, role="right", tolerance=1e-10)
    betas = (1e4, 1e5)
    rest = [_gaussian_error(s, b) for b in betas]
    yield slope("tanh: error of log Z with x̄, power of β", forms.power(rest, betas), -1)
    log_z, every, one = _three_states()
    yield near("N = 1, w = 2, β = 2000: log Z", log_z, -1.943, 5e-4, "digits", role="right")
    yield near("sum over its three fixed states", every, -1.946, 5e-4, "digits", role="right")
    yield near("the stable one alone", one, -3.206, 5e-4, "digits", role="right")


def _gaussian_error(s: Systems, beta: float) -> float:
    x = forms.fixed_state(s.pair, 2)
    G = forms.hessian(forms.jacobian(s.pair, x))
    return forms.log_partition(G, beta, 0.0, x) - grids.line(s.pair, beta, c=1.0).log_z


@equation(
    "5.10",
    "Ĝ v_i = Ĝ λ_i",
    right="Ĝ v_i = λ_i v_i",
    comment="As printed a vector equals a matrix; read as Ĝv = Ĝλv it needs λ = 1.",
    code="nt.eigenmodes",
    fault="misprint",
)
def _eigenvectors(s: Systems) -> Iterator[Check]:
    values, vectors = np.linalg.eigh(s.dense)
    printed = s.dense @ vectors - s.dense @ (vectors * values)
    yield zero("largest |Ĝv - Ĝλv|", np.abs(printed).max())
    yield zero("largest |Ĝv - λv|", np.abs(s.dense @ vectors - vectors * values).max(), role="right")
    ours = nt.eigenmodes(s.hessian).log_values
    dynamical = np.sort(np.abs(s.logs))[-len(ours) :]
    yield zero("nt.eigenmodes less these", np.abs(np.sort(np.abs(ours)) - dynamical).max(), role="right",
               tolerance=1e-10)  # fmt: skip


def _shares(s: Systems) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """λ, a and v of (5.12) for `deep` and its x̄."""
    values, vectors = np.linalg.eigh(s.dense)
    return values, vectors.T @ s.centre, vectors


@equation(
    "5.11",
    "log Z ≈ -½ Σ_i log(1-βm+βλ_i) - ½ Σ_i (1-βm)βλ_i a_i²/(1-βm+βλ_i) + (N/2) log 2π",
    condition="of (5.9), so with x̄ = Σ a_i v_i",
    comment="Follows from (5.9) without loss, whatever the centre.",
    code="nt.eigenmodes",
)
def _partition_function_of_eigenvalues(s: Systems) -> Iterator[Check]:
    values, a, _ = _shares(s)
    c = 1 - BETA * M
    D = c + BETA * values
    printed = -0.5 * np.sum(np.log(D)) - 0.5 * np.sum(c * BETA * values * a**2 / D) + 6 * LOG_2PI
    yield same("sum over eigenvalues, beside (5.9)", printed, forms.log_partition(s.dense, BETA, M, s.centre))
    modes = nt.eigenmodes(s.hessian, mean=s.state)
    yield same("nt.log_partition of nt.eigenmodes", nt.log_partition(modes, BETA, m=M), printed)
    yield same("nt.log_partition of Ĝ and x̄", nt.log_partition(s.hessian, BETA, m=M, mean=s.state), printed)


@equation(
    "5.12",
    "⟨x⟩ = a_i v_i",
    right="x̄ = Σ_i a_i v_i, Σ a_i² = |x̄|²",
    comment="The sum is missing; sums over repeated indices are implied in Section 12 only.",
    code="nt.eigenmodes",
    fault="misprint",
)
def _components(s: Systems) -> Iterator[Check]:
    _, a, vectors = _shares(s)
    one = min(np.abs(s.centre - a[i] * vectors[:, i]).max() for i in range(12))
    yield zero("best single term, largest error", one)
    yield zero("sum, largest error", np.abs(s.centre - vectors @ a).max(), role="right")
    modes = nt.eigenmodes(s.hessian, mean=s.state)
    total = float(jnp.sum(modes.shares) + modes.unit_share)
    yield same("Σ a² of nt.eigenmodes, beside |x̄|²", total, s.centre @ s.centre, role="right")


@equation(
    "5.13",
    "Z ≈ (2π)^(N/2) det(I(1-βm) + βĜ)^(-1/2)",
    right="(5.9); what is dropped, ½ x̄ᵀKx̄, lies between 0 and ½(1-βm)|x̄|²",
    condition="x̄ = 0, or log Z wanted to (c/2)|x̄|² nats only",
    comment="Small beside (N/2) log(1 + β), but not beside what depends on ŵ: for a trained 784-40-20-10 16.7 nats "
    "were dropped and 6.9 kept, and the ranking of networks with biases is lost.",
    code="nt.log_partition",
)
def _without_the_mean(s: Systems) -> Iterator[Check]:
    full = forms.log_partition(s.dense, BETA, 0.0, s.centre)
    dropped = forms.log_partition(s.dense, BETA) - full
    yield zero("log Z, (5.13) less (5.9), nats", dropped)
    yield at_least("what is dropped, nats", dropped, 0, role="law")
    yield at_most("what is dropped, over ½|x̄|²", dropped / (0.5 * s.centre @ s.centre), 1, role="law")
    kept = -0.5 * np.sum(np.log1p(BETA * np.exp(s.logs))) + 6 * math.log1p(BETA)
    yield at_least("dropped, over what is kept of ŵ", dropped / abs(kept), 0.1, reason="not subdominant")
    yield at_most("kept of ŵ: at most 0, and 0 at ŵ = 0", kept, 0, tolerance=1e-12)


@equation(
    "5.14",
    "log Z ≈ -½ log det(I(1-βm) + βĜ) + (N/2) log 2π ≈ -½ Tr log(…) + … ≈ -½ Σ_i log(1-βm+βλ_i) + (N/2) log 2π",
    condition="of (5.13); between its lines nothing is lost",
    code="nt.log_partition",
)
def _log_determinant(s: Systems) -> Iterator[Check]:
    first = forms.log_partition(s.dense, BETA, M)
    eigen = -0.5 * np.sum(np.log(1 - BETA * M + BETA * np.exp(s.logs))) + 6 * LOG_2PI
    trace = -0.5 * np.trace(forms.symmetric_log(forms.shifted(s.dense, BETA, M))) + 6 * LOG_2PI
    yield same("trace of the log, beside log det", trace, first)
    yield same("sum over eigenvalues", eigen, first)
    yield same("nt.log_partition, layer by layer", nt.log_partition(s.hessian, BETA, m=M), first)
