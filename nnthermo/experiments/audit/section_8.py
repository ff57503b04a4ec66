"""Section 8: optimal architecture, (8.1) to (8.12)."""

import math
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import flow, forms
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, slope, zero
from nnthermo.experiments.audit.flow import ALPHA, END, START
from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.systems import BETA, Systems

EQUATIONS, equation = chapter()
CONSTANT = 2.0
"""M of (8.3)."""
FD = "central difference, h = 10⁻³"
PDE = "fourth order in time"


def _density_of(s: Systems, *, conserved: bool) -> Any:
    """The same flow by the library, from β = 0.5 to 1.5."""

    def free_energy(q: Any, beta: Any) -> Any:
        link = 0.5 + 1.2 * jnp.sin(q[0])
        return (0.5 * jnp.log((1 + beta) ** 2 + beta * link**2) - LOG_2PI) / beta

    return nt.liouville_density(
        free_energy, flow.start(s), 2 * np.pi, [START, END], rate=ALPHA, conserved=conserved, tolerance=1e-11
    )


@equation(
    "8.1",
    "∂p/∂β = -Σ_k (dQ_k/dβ) ∂p/∂Q_k",
    right="∂p/∂β = -Σ_k ∂/∂Q_k ((dQ_k/dβ) p)",
    comment="The printed equation carries values of p along, not probability: ∫p changes at the rate α∫pΔF.",
    code="nt.liouville_density",
)
def _conservation(s: Systems) -> Iterator[Check]:
    p = flow.start(s)
    lost = flow.integral(flow.evolve(flow.printed, p, START, END)) - 1
    yield near("∫p - 1 at β = 1.5, from 0.5, as printed", lost, 0, 1e-9, PDE)
    rate = flow.integral(flow.printed(START, p))
    expected = ALPHA * flow.integral(p * flow.laplacian(START))
    yield same("d∫p/dβ as printed, beside α∫pΔF", rate, expected, role="right")
    kept = flow.integral(flow.evolve(flow.liouville, p, START, END)) - 1
    yield near("∫p - 1 at β = 1.5 with the divergence", kept, 0, 1e-9, PDE, role="right")
    ours = [float(_density_of(s, conserved=c).probability[1]) - 1 for c in (False, True)]
    yield near("as printed, by nt.liouville_density, beside it", ours[0], lost, 1e-8, PDE, role="right")
    yield near("with the divergence, by nt.liouville_density", ours[1], 0, 1e-9, "tolerance 10⁻¹¹", role="right")


def _free_energy_of(net: forms.Twin) -> float:
    G = forms.hessian(forms.jacobian(net, forms.fixed_state(net, 2)))
    return -forms.log_partition(G, BETA) / BETA


@equation(
    "8.2",
    "dQ_k/dβ = α ∂F/∂Q_k = α Σ_i (∂b_i/∂Q_k) ∂F/∂b_i + α Σ_ij (dw_ij/dQ_k) ∂F/∂w_ij",
    comment="Gradient flow; not covariant under a change of the parameters Q.",
    code="nt.liouville_flow",
    kind="definition",
)
def _gradient_flow(s: Systems) -> Iterator[Check]:
    net, q = s.pair, 0.6

    def at(q: float, b: float | None = None, w: float | None = None) -> float:
        weight, bias = net.weight.copy(), net.bias.copy()
        weight[1, 0] *= math.sin(q) if w is None else w
        bias[1] = q**2 if b is None else b
        return _free_energy_of(net._replace(weight=weight, bias=bias))

    whole = float(forms.central(lambda h: at(q + h)))
    by_bias = 2 * q * float(forms.central(lambda h: at(q, b=q**2 + h, w=math.sin(q))))
    by_weight = math.cos(q) * float(forms.central(lambda h: at(q, b=q**2, w=math.sin(q) + h)))
    yield near("∂F/∂Q, beside the chain rule", whole, by_bias + by_weight, 1e-8, "central difference, h = 10⁻⁵")
    s_of = flow.link(np.array([q]))[0]
    two = nt.DenseHessian(jnp.asarray([[1.0, 0.0], [-s_of, 1.0]]))
    yield same("F(Q) of the flow, beside nt.free_energy", flow.free_energy(BETA, q), nt.free_energy(two, BETA))


@equation(
    "8.3",
    "S(β) = -∫ dᴷQ p log(Mp)",
    comment="M shifts S by -log M and does nothing else, as long as ∫p = 1.",
    code="nt.liouville_density",
    kind="definition",
)
def _entropy_of_parameters(s: Systems) -> Iterator[Check]:
    p = flow.start(s)
    yield same("S with M = 2, beside S - log 2", flow.entropy(p, CONSTANT), flow.entropy(p) - math.log(CONSTANT))
    yield same("∫σ of (8.7), beside S", flow.integral(flow.density(p, CONSTANT)), flow.entropy(p, CONSTANT))


@equation(
    "8.4",
    "∂S/∂β = … = α ∫ dᴷQ Σ_k (∂²F/∂Q_k²) p (1 - log(Mp))",
    right="∂S/∂β = α⟨ΔF⟩ where probability is conserved; -α∫ΔF p log(Mp) for (8.1) as printed",
    comment="The second line drops ∫∂p/∂β, which (8.1) as printed does not make zero. The right rate does not depend "
    "on the arbitrary M.",
    code="nt.liouville_flow",
)
def _entropy_production(s: Systems) -> Iterator[Check]:
    p, lap = flow.start(s), flow.laplacian(START)
    claimed = ALPHA * flow.integral(lap * p * (1 - np.log(CONSTANT * p)))
    conserved = flow.entropy_rate(flow.liouville, p, START, CONSTANT)
    as_printed = flow.entropy_rate(flow.printed, p, START, CONSTANT)
    yield near("(8.4), beside dS/dβ with probability conserved", claimed, conserved, 1e-5, FD)
    yield near("(8.4), beside dS/dβ of (8.1) as printed", claimed, as_printed, 1e-5, FD)
    mean = ALPHA * flow.integral(p * lap)
    yield near("α⟨ΔF⟩, beside the former", mean, conserved, 1e-5, FD, role="right")
    third = -ALPHA * flow.integral(lap * p * np.log(CONSTANT * p))
    yield near("-α∫ΔF p log(Mp), beside the latter", third, as_printed, 1e-5, FD, role="right")


@equation(
    "8.5",
    "∂S/∂β ≈ -α ∫ dᴷQ Σ_k (∂²F/∂Q_k²) p log(Mp)",
    right="∂S/∂β = α⟨ΔF⟩",
    comment="An equality for (8.1) as printed, which loses probability; false for a normalised p, and it depends on M.",
    code="nt.liouville_flow",
)
def _approximate_entropy_production(s: Systems) -> Iterator[Check]:
    p, lap = flow.start(s), flow.laplacian(START)
    conserved = flow.entropy_rate(flow.liouville, p, START, CONSTANT)
    claimed = -ALPHA * flow.integral(lap * p * np.log(CONSTANT * p))
    yield near("(8.5), beside dS/dβ with probability conserved", claimed, conserved, 1e-5, FD)
    mean = ALPHA * flow.integral(p * lap)
    yield near("α⟨ΔF⟩, beside it", mean, conserved, 1e-5, FD, role="right")
    other = -ALPHA * flow.integral(lap * p * np.log(100 * CONSTANT * p))
    shift = -ALPHA * math.log(100) * flow.integral(lap * p)
    yield same("(8.5) with 100 M, less (8.5)", other - claimed, shift, role="right")


@equation(
    "8.6",
    "∂σ/∂β = α ΔF σ",
    right="∂σ/∂β + ∇·(vσ) = α ΔF p, v = α∇F",
    comment="An equality of integrals is not one of integrands. Neither equation for p gives it.",
    code="nt.liouville_density",
)
def _entropy_density_law(s: Systems) -> Iterator[Check]:
    p, lap = flow.start(s), flow.laplacian(START)
    sigma = flow.density(p, CONSTANT)
    for name, rate in (("probability conserved", flow.liouville), ("(8.1) as printed", flow.printed)):
        moved = -(1 + np.log(CONSTANT * p)) * rate(START, p)
        yield zero(f"largest |∂σ/∂β - αΔFσ|, {name}", np.abs(moved - ALPHA * lap * sigma).max(), tolerance=1e-9)
    moved = -(1 + np.log(CONSTANT * p)) * flow.liouville(START, p)
    balance = moved + flow.derivative(flow.velocity(START) * sigma) - ALPHA * lap * p
    yield zero("largest |∂σ/∂β + ∇·(vσ) - αΔFp|", np.abs(balance).max(), role="right", tolerance=1e-9,
               reason="the Fourier series")  # fmt: skip


@equation(
    "8.7",
    "σ(β, Q) = -p log(Mp)",
    code="nt.entropy_density",
    kind="definition",
)
def _entropy_density(s: Systems) -> Iterator[Check]:
    p = flow.start(s)
    yield same("∫σ, beside S", flow.integral(flow.density(p)), flow.entropy(p))


def _laplacian_of_eigenvalues(values: np.ndarray, beta: float) -> float:
    """(8.10)."""
    return float(-0.5 * beta * np.sum((1 + beta * values) ** -2))


def _integrated(values: np.ndarray, beta: float) -> float:
    """∫₀^β ΔF dβ of (8.10)."""
    return float(nt.integrated_eigenvalue_laplacian(nt.LogSpectrum(jnp.log(jnp.asarray(values))), beta))


def _solve(values: np.ndarray, beta: float, steps: int = 2000) -> float:
    """log σ(β)/σ(0) of (8.6) as printed at fixed eigenvalues, Simpson's rule."""
    at = np.linspace(0, beta, 2 * steps + 1)
    rates = ALPHA * np.array([_laplacian_of_eigenvalues(values, b) for b in at])
    return float(beta / (6 * steps) * (rates[0] + rates[-1] + 4 * rates[1::2].sum() + 2 * rates[2:-1:2].sum()))


@equation(
    "8.8",
    "σ(β, Q) = σ(0, Q) exp(βαΔF)",
    right="σ(β, Q) = σ(0, Q) exp(α ∫₀^β ΔF dβ)",
    condition="ΔF does not depend on β; that of (8.10) does",
    comment="As a solution of (8.6), which is itself not implied: what is carried along is p = p_0 exp(-α∫ΔF dβ), and "
    "σ = -p log(Mp) is no multiple of what it was.",
    code="nt.carried_entropy_density",
)
def _growth(s: Systems) -> Iterator[Check]:
    values = np.exp(s.logs)
    frozen = _laplacian_of_eigenvalues(values, BETA)
    steps = 100_000
    factor = (1 + ALPHA * frozen * BETA / steps / 2) / (1 - ALPHA * frozen * BETA / steps / 2)
    solved = steps * math.log(factor)
    yield near("ΔF held fixed: αβΔF, beside the solution", BETA * ALPHA * frozen, solved, 1e-7, "second order")
    exact = _solve(values, BETA)
    yield near("ΔF of (8.10): αβΔF, beside the solution", BETA * ALPHA * frozen, exact, 1e-9, "Simpson", role="outside")
    yield near("α∫ΔF dβ, beside it", ALPHA * _integrated(values, BETA), exact, 1e-9, "Simpson", role="right")


@equation(
    "8.9",
    "F ≈ (1/2β) log det(I + βĜ) ≈ (1/2β) Σ_i log(1 + βλ_i) - (N/2β) log 2π",
    right="F = (1/2β) log det(I + βĜ) - (N/2β) log 2π = (1/2β) Σ_i log(1 + βλ_i) - (N/2β) log 2π",
    comment="The first line lacks the constant; harmless, as derivatives in Q follow.",
    code="nt.free_energy",
    fault="misprint",
)
def _free_energy(s: Systems) -> Iterator[Check]:
    first = 0.5 / BETA * np.linalg.slogdet(forms.shifted(s.dense, BETA))[1]
    second = 0.5 / BETA * np.sum(np.log1p(BETA * np.exp(s.logs))) - 6 / BETA * LOG_2PI
    yield same("first line, beside the second", first, second)
    yield same("with its constant", first - 6 / BETA * LOG_2PI, second, role="right")
    yield same("nt.free_energy", nt.free_energy(s.hessian, BETA), second, role="right")


@equation(
    "8.10",
    "ΔF ≈ (1/2β) Δ log det(I + βĜ) ≈ (1/2β) Σ_j ∂²/∂λ_j² Σ_i log(1 + βλ_i) ≈ -(β/2) Σ_i (1 + βλ_i)⁻² < 0",
    condition="the eigenvalues themselves are the free coordinates",
    comment="The sign belongs to the coordinates: in log λ the Laplacian is +Σ s(1-s)/2β, and in the weights it has "
    "either sign, +Σ f'²/(1+β)² as ŵ → 0.",
    code="nt.eigenvalue_laplacian",
)
def _laplacian(s: Systems) -> Iterator[Check]:
    values = np.exp(s.logs)
    exact = _laplacian_of_eigenvalues(values, BETA)
    h = 1e-4
    second = np.sum(np.log1p(BETA * (values + h)) + np.log1p(BETA * (values - h)) - 2 * np.log1p(BETA * values))
    yield near("second differences in λ, beside the sum", second / (2 * BETA * h**2), exact, 1e-5, "ε/h²")
    yield same("nt.eigenvalue_laplacian", nt.eigenvalue_laplacian(s.spectrum, BETA), exact)
    yield at_most("ΔF in λ", exact, 0, role="printed")
    occupied = BETA * values / (1 + BETA * values)
    in_logs = np.sum(occupied * (1 - occupied)) / (2 * BETA)
    yield at_most("ΔF in log λ", in_logs, 0, role="outside")
    small = s.deep.replace(weights=[0.01 * w for w in s.deep.weights])
    slopes = s.deep.slopes(s.state)
    found = float(nt.weight_laplacian(small, None, BETA, slopes=slopes))
    yield at_most("ΔF in the weights, ŵ × 0.01", found, 0, role="outside")
    fan_in = s.deep.sizes[:-1]
    leading = sum(n * float(jnp.sum(d**2)) for n, d in zip(fan_in, slopes, strict=True)) / (1 + BETA) ** 2
    yield near("ΔF in the weights, over Σ f'²/(1+β)²", found / leading, 1, 0.01, "|ŵ|²", role="right")


@equation(
    "8.11",
    "σ(β, Q) = σ(0, Q) exp(-(α/2) Σ_i (1 + βλ_i)⁻²)",
    right="exp(-(αβ²/2) Σ_i (1 + βλ_i)⁻²) by (8.8) as printed; exp(-(α/2) Σ λ⁻²[log(1+βλ) - βλ/(1+βλ)]) with the "
    "integral over β",
    comment="The factor β² is lost between (8.8) and (8.10).",
    code="nt.integrated_eigenvalue_laplacian",
    fault="misprint",
)
def _decay(s: Systems) -> Iterator[Check]:
    values = np.exp(s.logs)
    by_parts = ALPHA * BETA * _laplacian_of_eigenvalues(values, BETA)
    yield same("printed exponent, beside αβΔF", -0.5 * ALPHA * np.sum((1 + BETA * values) ** -2), by_parts)
    corrected = -0.5 * ALPHA * BETA**2 * np.sum((1 + BETA * values) ** -2)
    yield same("with β², beside αβΔF", corrected, by_parts, role="right")
    ours = ALPHA * BETA * float(nt.eigenvalue_laplacian(s.spectrum, BETA))
    yield same("αβ nt.eigenvalue_laplacian", ours, by_parts, role="right")
    yield near("closed integral, beside α∫ΔF dβ", ALPHA * _integrated(values, BETA), _solve(values, BETA), 1e-9,
               "Simpson", role="right")  # fmt: skip


@equation(
    "8.12",
    "ΔF ≈ -(β/2) Σ_(λ≪1/β) (1 + βλ_i)⁻² ≈ -(β/2) N_<",
    right="the sum (8.10); the step errs by at most ½ an eigenvalue at its best place, βλ = √2 - 1",
    condition="every |log βλ| ≫ 1",
    comment="At β = 1.4 the eigenvalues at 1 dominate the sum: 129 for the 744 of 784-40-20-10, none below 1/β.",
    code="nt.eigenvalue_laplacian",
)
def _count_of_small_eigenvalues(s: Systems) -> Iterator[Check]:
    values = np.exp(s.logs)
    count = 12 - forms.split(s.logs, BETA)[2]
    yield same("-(β/2)N_<, beside the sum", -0.5 * BETA * count, _laplacian_of_eigenvalues(values, BETA))
    best = math.sqrt(2) - 1
    x = np.concatenate([np.geomspace(1e-6, 1e6, 4001), best * (1 + np.array([-1e-9, 1e-9]))])
    worst = np.abs((1 + x) ** -2 - (x < best)).max()
    yield near("largest error of the step at βλ = √2 - 1", worst, 0.5, 1e-6, "the step from both sides", role="law")
    below = np.sum(BETA * values < best)
    error = abs(np.sum((1 + BETA * values) ** -2) - below)
    yield at_most("error an eigenvalue with that step", error / 12, 0.5, role="law")
    at_one = (x < 1) - (1 + x) ** -2
    yield at_least("largest error of the step at βλ = 1", np.abs(at_one).max(), 0.74, reason="1 - 1/4")
    yield near("Σ(1 + β)⁻² over 744 eigenvalues at 1", 744 / (1 + BETA) ** 2, 129, 0.5, "digits", role="right")
    scales = (1e3, 1e4)
    tails = [(1 + t) ** -2 for t in scales]
    yield slope("βλ ≫ 1: power of the error of the step", forms.power(tails, scales), -2)
