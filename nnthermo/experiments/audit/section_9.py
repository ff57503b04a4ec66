"""Section 9: deep and shallow, (9.1) to (9.11)."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, slope, zero
from nnthermo.experiments.audit.systems import BETA, SIZES, Systems, nilpotent_links

EQUATIONS, equation = chapter()
LAYERS = len(SIZES)


@equation(
    "9.1",
    "-ΔF = (β/2) Σ_i (1 + βλ_i)⁻² = (β/2) Tr (I + βĜ)⁻²",
    comment="As (8.10): the eigenvalues are the coordinates.",
    code="nt.eigenvalue_laplacian",
)
def _laplacian_as_a_trace(s: Systems) -> Iterator[Check]:
    inverse = np.linalg.inv(forms.shifted(s.dense, BETA))
    trace = 0.5 * BETA * np.trace(inverse @ inverse)
    yield same("sum over eigenvalues", 0.5 * BETA * np.sum((1 + BETA * np.exp(s.logs)) ** -2), trace)
    yield same("-nt.eigenvalue_laplacian", -nt.eigenvalue_laplacian(s.spectrum, BETA), trace)


@equation(
    "9.2",
    "det Ĝ = Π_i λ_i = λ^(γN) λ^(γ/(γ-1) · (1-γ)N) = 1",
    code="nt.two_level_laplacian",
)
def _two_levels_have_unit_determinant(s: Systems) -> Iterator[Check]:
    rng = s.random("9.2")
    for gamma, value in zip((0.1, 1 / 3, 0.5), rng.normal(size=3), strict=True):
        total = gamma * 854 * value + gamma / (gamma - 1) * (1 - gamma) * 854 * value
        yield zero(f"log det Ĝ, γ = {gamma:.3g}", total, tolerance=1e-10)


@equation(
    "9.3",
    "-ΔF ≈ (β/2) Tr (I + βĜ)⁻² = (Nβ/2) (γ/(1 + βλ)² + (1-γ)/(1 + βλ^(γ/(γ-1)))²)",
    comment="Exact for two levels. Over all spectra of unit determinant the least value has at most one eigenvalue "
    "below 1/2β and the rest equal, γ = 1/N, and for N > 2 is not attained for β < √N - 1.",
    code="nt.optimal_entropy_destruction",
)
def _two_level_laplacian(s: Systems) -> Iterator[Check]:
    gamma, size = 1 / 3, 854 - 854 % 3
    for beta, value in zip((0.25, 0.5, 0.73, 1.0), s.random("9.3").normal(size=4), strict=True):
        few = size // 3
        levels = np.concatenate([np.full(few, value), np.full(size - few, gamma / (gamma - 1) * value)])
        trace = 0.5 * beta * np.sum((1 + beta * np.exp(levels)) ** -2)
        yield same(f"(9.3) at β = {beta}", 0.5 * size * beta * forms.two_level(value, beta, gamma), trace)
        ours = nt.two_level_laplacian(jnp.asarray(value), beta, gamma=gamma, size=size)
        yield same(f"nt.two_level_laplacian at β = {beta}", ours, trace)


def gap_of_two_levels(beta: float, gamma: float) -> float:
    """Root of the slope of (9.3) other than log λ = 0, by bisection of the slope itself; NaN if there is none."""

    def without_zero(value: float) -> float:
        return float(forms.two_level_slope(value, beta, gamma)) / value

    guess = forms.printed_gap(beta)  # names the side of zero, and is below or above the root by O(γ)
    ends = (1e-4, 6 * abs(guess) + 3) if guess > 0 else (-6 * abs(guess) - 3, -1e-4)
    return forms.root(without_zero, *ends)


@equation(
    "9.4",
    "log λ = 3 log(-½ + √(¼ + 1/β))",
    right="β (λ^((2-k)/3) + λ^((1-2k)/3)) = 1 with k = γ/(1-γ); at γ = 1/3, log λ = 2 log((1-β)/β), β < 1",
    condition="γ → 0; the paper uses it at γ = 1/3 (Fig. 1)",
    comment="The three gaps that the paper quotes, -2.3, -2.5 and -3.0, give β = 1.470, 1.604 and 1.987 by its own "
    "formula, not the printed 1.37, 1.40 and 1.47; only 1.47 and -2.3 fit each other.",
    code="nt.beta_from_gap",
)
def _the_unstable_maximum(s: Systems) -> Iterator[Check]:
    reason = "bisection"
    beta = float(s.random("9.4").uniform(0.2, 0.45))
    found = gap_of_two_levels(beta, 1 / 3)
    yield near(f"(9.4) at β = {beta:.3f}, γ = 1/3, beside the root", forms.printed_gap(beta), found, 1e-8, reason)
    yield near("2 log((1-β)/β) there", 2 * math.log((1 - beta) / beta), found, 1e-8, reason, role="right")
    for b, gamma in ((0.73, 0.1), (1.6, 0.05), (0.3, 0.25)):
        back = nt.beta_from_gap(gap_of_two_levels(b, gamma), gamma=gamma)
        yield near(f"nt.beta_from_gap of the root at β = {b}, γ = {gamma}", back, b, 1e-8, reason, role="right")
    gammas = (1e-4, 1e-3)
    errors = [forms.printed_gap(0.73) - gap_of_two_levels(0.73, g) for g in gammas]
    yield slope("error of (9.4) at β = 0.73: power of γ", forms.power(errors, gammas), 1)
    error = gap_of_two_levels(0.73, 0.01) - forms.printed_gap(0.73)
    yield near("root less (9.4) at β = 0.73, γ = 0.01", error, -0.0086, 1e-4, "digits", role="law")
    for gap, printed, right in ((-2.3, 1.37, 1.470), (-2.5, 1.40, 1.604), (-3.0, 1.47, 1.987)):
        by_formula = float(nt.beta_from_gap(gap))
        yield near(f"β from a gap at {gap} by (9.4)", by_formula, right, 5e-4, "digits", role="right")
        yield near(f"the paper's β for it, {printed}", printed, by_formula, 0.005, "its last digit")


@equation(
    "9.5",
    "μ₂ = Tr (log Ĝ)²",
    comment="A raw second moment. The quoted 1.84 and 2.44 cannot be sums over 854 eigenvalues, one of them at -3 "
    "(9 > 2.44); as means over the dynamical eigenvalues they are of the right size.",
    code="spectrum.moment",
    kind="definition",
)
def _second_moment(s: Systems) -> Iterator[Check]:
    L = forms.symmetric_log(s.dense)
    yield same("sum of (log λ)², less the trace", s.spectrum.moment(2) - np.trace(L @ L), 0, tolerance=1e-9)
    errors, scales = _series_errors(s, 2)
    yield slope("series to A⁶: power of the rest", forms.power(errors, scales), 8, 0.4, role="right")


@equation(
    "9.6",
    "μ₃ = Tr (log Ĝ)³",
    comment="A raw third moment; for layers -3|A²|² + O(A⁶), never positive in any network tried. Connections that "
    "skip layers add -6 Tr A²Aᵀ, of either sign. Exact and signed is Σ 2 sinh log λ = -Σ_(k≥2) |Aᵏ|².",
    code="spectrum.moment",
    kind="definition",
)
def _third_moment(s: Systems) -> Iterator[Check]:
    L = forms.symmetric_log(s.dense)
    yield same("sum of (log λ)³, less the trace", s.spectrum.moment(3) - np.trace(L @ L @ L), 0, tolerance=1e-9)
    errors, scales = _series_errors(s, 3)
    yield slope("series to A⁶: power of the rest", forms.power(errors, scales), 8, 0.4, role="right")
    yield at_most("μ₃ of four layers", s.spectrum.moment(3), 0, tolerance=1e-12, reason="never positive in layers")
    A = forms.links(s.twin, s.centre)
    lengths = sum(np.sum(np.linalg.matrix_power(A, k) ** 2) for k in range(2, LAYERS))
    yield same("Σ 2 sinh log λ, beside -Σ|Aᵏ|²", np.sum(2 * np.sinh(s.logs)), -lengths, role="right", tolerance=1e-9)
    skip = np.tril(s.random("9.6").normal(size=(12, 12)), -1)
    skip, scales, rest = skip / np.linalg.norm(skip), (0.005, 0.01), []
    for t in scales:
        logs = 2 * np.log(np.linalg.svd(np.eye(12) - t * skip, compute_uv=False))
        rest.append(np.sum(logs**3) + 6 * t**3 * np.trace(skip @ skip @ skip.T))
    yield slope("skips: μ₃ + 6 Tr A²Aᵀ, power of A", forms.power(rest, scales), 4, 0.4, role="right")


def _series_errors(s: Systems, k: int) -> tuple[list[float], tuple[float, float]]:
    """Tr (log Ĝ)ᵏ less its series to sixth order, for the links of `deep` scaled to norms 0.1 and 0.2."""
    A = forms.links(s.twin, s.centre)
    A = A / np.linalg.norm(A)
    series = {2: forms.second_moment, 3: forms.third_moment}[k]
    scales = (0.3, 0.45)
    errors = []
    for t in scales:
        values = 2 * np.log(np.linalg.svd(np.eye(12) - t * A, compute_uv=False))
        errors.append(float(np.sum(values**k)) - series(t * A))
    return errors, scales


@equation(
    "9.7",
    "(f̂'ŵ)ⁿ = (ŵᵀf̂')ⁿ = 0 for all n ≥ L",
    right="the same, from |ŵ|ⁿ = 0",
    condition="the graph is acyclic; nilpotent ŵ is not enough, see (2.1)",
    code="net.conditions",
)
def _slopes_keep_nilpotency(s: Systems) -> Iterator[Check]:
    A = forms.links(s.twin, s.centre)
    yield zero("largest entry of (f̂'ŵ)ᴸ", np.abs(np.linalg.matrix_power(A, LAYERS)).max(), tolerance=0.0)
    far = np.abs(np.linalg.matrix_power(nilpotent_links(), 2)).max()
    yield zero("(f̂'ŵ)² of ŵ = [[1, -1], [1, -1]]", far, role="outside")


@equation(
    "9.8",
    "log Ĝ = F₁(f̂'ŵŵᵀf̂') f̂'ŵ + F₂(ŵᵀf̂'f̂'ŵ) ŵᵀf̂'",
    right="log Ĝ = -h(AAᵀ)A - Aᵀh(AAᵀ) + ½[h(AᵀA)AᵀA - h(AAᵀ)AAᵀ], A = f̂'ŵ, h(s²) = 2 asinh(s/2) / (s √(1 + s²/4))",
    comment="Odd terms alone have no block on the diagonal; log Ĝ has. The largest entry that any F₁ and F₂ leave is "
    "that of these blocks.",
    code="nt.bulk_hessian",
)
def _log_of_two_layers(s: Systems) -> Iterator[Check]:
    A = s.shallow_links
    L = forms.symmetric_log(forms.hessian(np.eye(12) - A))
    even = max(np.abs(L[:7, :7]).max(), np.abs(L[7:, 7:]).max())
    yield zero("largest entry of log Ĝ that no F₁, F₂ can give", even, tolerance=1e-9)
    yield zero("|log Ĝ - corrected form|", np.abs(L - forms.two_layer_log(A)).max(), role="right", tolerance=1e-9)


@equation(
    "9.9",
    "Tr log Ĝ = 0,  Tr (log Ĝ)² = Tr [F₂ŵᵀf̂' F₁f̂'ŵ + F₁f̂'ŵ F₂ŵᵀf̂']",
    right="Tr log Ĝ = 0,  Tr (log Ĝ)² = 8 Σ asinh²(s/2) over singular values s of f̂'ŵ",
    comment="The first line is right. The second loses the share (s²/4)/(1 + s²/4) of each mode, which grows with "
    "training.",
    code="spectrum.moment",
)
def _moments_of_two_layers(s: Systems) -> Iterator[Check]:
    A = s.shallow_links
    spectrum = nt.log_eigenvalues(s.shallow_hessian)
    values = np.linalg.svd(A, compute_uv=False)
    yield same("Tr log Ĝ", spectrum.moment(1), 0, tolerance=1e-10)
    odd = np.zeros((12, 12))
    odd[7:, :7] = forms.two_layer_log(A)[7:, :7]
    second = float(spectrum.moment(2))
    yield same("second line with the best F₁, F₂", 2 * np.sum(odd**2), second, tolerance=1e-9)
    right = 8 * np.sum(np.arcsinh(values / 2) ** 2)
    yield same("8 Σ asinh²(s/2)", right, second, role="right", tolerance=1e-9)
    lost = 8 * np.sum(np.arcsinh(values / 2) ** 2 * (values**2 / 4) / (1 + values**2 / 4))
    yield same("what the second line loses", second - 2 * np.sum(odd**2), lost, role="right", tolerance=1e-9)


@equation(
    "9.10",
    "μ₃ = Tr (log Ĝ)³ = 0",
    condition="two layers, (f̂'ŵ)² = 0, as stated",
    comment="Not for the reason given: with D = ±1 on inputs and outputs D(I - A)D = I + A = (I - A)⁻¹, so Ĝ and Ĝ⁻¹ "
    "have the same spectrum. With a third layer μ₃ ≈ -3|A₂A₁|², which is not small.",
    code="spectrum.moment",
)
def _two_layers_are_symmetric(s: Systems) -> Iterator[Check]:
    spectrum = nt.log_eigenvalues(s.shallow_hessian)
    yield same("μ₃ of 7-5", spectrum.moment(3), 0, tolerance=1e-9)
    values = np.sort(np.asarray(spectrum.values))
    yield zero("spectrum less its mirror image", np.abs(values + values[::-1]).max(), tolerance=1e-10)
    singular = np.linalg.svd(s.shallow_links, compute_uv=False)[:5]
    largest = 2 * math.asinh(singular[0] / 2)
    yield same("largest log λ, beside 2 asinh(s/2)", values[-1], largest, role="right", tolerance=1e-10)
    yield at_least("-μ₃ of 3-4-3-2, for comparison", -s.spectrum.moment(3), 1e-3)


@equation(
    "9.11",
    "Tr (log Ĝ)²ⁿ⁺¹ = 0",
    condition="two layers, as stated",
    comment="Right although (9.8), from which it is drawn, is not.",
    code="spectrum.moment",
)
def _odd_moments_vanish(s: Systems) -> Iterator[Check]:
    spectrum = nt.log_eigenvalues(s.shallow_hessian)
    for k in (5, 7):
        scale = float(np.sum(np.abs(np.asarray(spectrum.values)) ** k))
        yield zero(f"Tr (log Ĝ)^{k} over Tr |log Ĝ|^{k}", spectrum.moment(k) / scale, tolerance=1e-10)
