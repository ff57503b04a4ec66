"""Section 11: entropic mechanics, (11.1) to (11.9)."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo import mechanics
from nnthermo.experiments.audit import flow, forms, paths
from nnthermo.experiments.audit.entry import Check, at_least, at_most, chapter, near, same, slope, zero
from nnthermo.experiments.audit.flow import ALPHA, POINTS, Q
from nnthermo.experiments.audit.forms import LOG_2PI
from nnthermo.experiments.audit.paths import END, D, Path
from nnthermo.experiments.audit.systems import BETA, Systems

EQUATIONS, equation = chapter()

FD = "central difference, h = 10⁻⁴"
TINY = "ε/h, h = 10⁻³"
SPACING = "spacing² = 0.0024"
RECORDS = "time step² = 0.0002"
STEP = 1e-4

ACTION: dict[str, Any] = {"potential": np.zeros(POINTS), "diffusion": D / 2, "gamma": D / 8, "multiplier": 1.0}
"""The action of the library whose phase is ΣΘΦ = 4φ: ħ = 2√(D/γλ) = 4 and 1/M = 2γ = D/4, so that ħ/M = D."""


def _ring() -> mechanics.Grid:
    """The ring of `flow` and `paths` for the library."""
    return mechanics.Grid([0.0], [2 * math.pi], POINTS, periodic=True)


def _start(s: Systems) -> np.ndarray:
    """p at the start, ∫pΘ = 0."""
    return s.once("11 start", lambda: paths.balanced(s))


def _diffusing(s: Systems) -> Path:
    """The path of (11.5) from there with the phase of (11.8)."""
    return s.once("11 path", lambda: paths.diffusing(_start(s)))


@jax.jit
def _decompose(spectrum: nt.LogSpectrum, beta: Any) -> nt.Decomposition:
    return nt.decompose(spectrum, beta)


def _split(logs: np.ndarray, beta: float) -> np.ndarray:
    """U, A, S₀, C and F of a spectrum, by the exact form of the split."""
    spectrum = nt.LogSpectrum(jnp.asarray(logs))
    parts = _decompose(spectrum, beta)
    U = parts.effective_count / (2 * beta)
    F = (0.5 * np.sum(np.log1p(beta * np.exp(logs))) - 0.5 * len(logs) * LOG_2PI) / beta
    return np.array([U, parts.thermodynamic_free_energy, parts.thermodynamic_entropy, parts.complexity, F], float)


def _thresholds(logs: np.ndarray) -> np.ndarray:
    """U, A, S₀ and C at β = 1.4 in their threshold forms."""
    spectrum = nt.LogSpectrum(jnp.asarray(np.sort(logs)[::-1]))
    U = float(nt.displaced_count(spectrum, BETA)) / (2 * BETA)
    parts = (nt.thermodynamic_free_energy, nt.thermodynamic_entropy, nt.complexity)
    return np.array([U, *(float(part(spectrum, BETA)) for part in parts)])


@equation(
    "11.1",
    "dA = dU - T dS₀ = T dC",
    right="dA = dU - T dS₀ - S₀ dT = T dC + C dT + dF",
    condition="T is constant, and dF = 0 as in (7.10)",
    comment="The first law (7.11) again. The first equality is that of A = U - TS₀ at one temperature, the second that "
    "of F = A - TC at one F. Learning at fixed T moves F, and dA is T dC + dF.",
    code="nt.decompose",
)
def _relative_complexity(s: Systems) -> Iterator[Check]:
    edge = -math.log(BETA)
    crossing = [_thresholds(np.append(s.logs, edge + h)) for h in (1e-12, -1e-12)]
    dU, dA, dS, dC = crossing[1] - crossing[0]
    yield same("an eigenvalue crosses 1/β: dA, beside dU - T dS₀", dA, dU - dS / BETA)
    yield same("the same: dA, beside T dC", dA, dC / BETA)
    yield at_least("|dA| there", abs(dA), 0.1, reason="½T log β = 0.120")
    dU, dA, dS, dC, dF = forms.central(lambda h: _split(s.logs * (1 + h), BETA), STEP)
    yield near("all log λ grow: dA, beside dU - T dS₀", dA, dU - dS / BETA, 1e-7, FD)
    yield near("all log λ grow: dA, beside T dC", dA, dC / BETA, 1e-7, FD, role="outside")
    U, A, S, C, _ = _split(s.logs, BETA)
    dT = float(forms.central(lambda h: 1 / (BETA + h), STEP))
    dU, dA, dS, dC, dF = forms.central(lambda h: _split(s.logs, BETA + h), STEP)
    yield near("β alone changes: dA, beside dU - T dS₀", dA, dU - dS / BETA, 1e-7, FD, role="outside")
    dU, dA, dS, dC, dF = forms.central(lambda h: _split(s.logs * (1 + 0.3 * h), BETA + h), STEP)
    yield near("both change: dA, beside dU - T dS₀ - S₀ dT", dA, dU - dS / BETA - S * dT, 1e-7, FD, role="right")
    yield near("both change: dA, beside T dC + C dT + dF", dA, dC / BETA + C * dT + dF, 1e-7, FD, role="right")
    yield same("S₀ of nt.decompose, beside β(U - A)", S, BETA * (U - A), role="right")


@jax.jit
@jax.vmap
def _of_network(q: Any) -> Any:
    """F at β = 1.4 of two input neurons and one output neuron, links s(Q₁) (cos Q₂, sin Q₂): Q₂ turns the inputs."""
    link = 0.5 + 1.2 * jnp.sin(q[0])
    B = jnp.eye(3, dtype=q.dtype).at[2, :2].set(-link * jnp.stack([jnp.cos(q[1]), jnp.sin(q[1])]))
    return nt.free_energy(nt.DenseHessian(B), BETA)


def _free_energy(q: Any, beta: Any) -> Any:
    """The same at any β, but for a constant."""
    return 0.5 * jnp.log((1 + beta) ** 2 + beta * (0.5 + 1.2 * jnp.sin(q[0])) ** 2) / beta


def _on_manifold(s: Systems) -> np.ndarray:
    """Six points with Q₁ = ±π/2, where F is at its maximum, and any Q₂; (6, 2)."""
    turns = s.random("11 turns").uniform(0, 2 * np.pi, 6)
    return np.stack([np.array([1, 1, 1, -1, -1, -1]) * np.pi / 2, turns], axis=1)


def _differences(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """∂F/∂Q (n, 2) and ∂²F/∂Q² (n, 2, 2) of the network at points (n, 2), by central differences."""
    steps = 1e-3 * np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], float)
    F = np.asarray(_of_network(jnp.asarray((q[:, None] + steps).reshape(-1, 2)))).reshape(len(q), 3, 3)
    first = np.stack([F[:, 2, 1] - F[:, 0, 1], F[:, 1, 2] - F[:, 1, 0]], axis=1) / 2e-3
    second = np.stack([F[:, 2, 1] + F[:, 0, 1], F[:, 1, 2] + F[:, 1, 0]], axis=1) - 2 * F[:, 1, 1, None]
    mixed = (F[:, 2, 2] + F[:, 0, 0] - F[:, 2, 0] - F[:, 0, 2]) / 4
    hessian = np.stack([second[:, 0], mixed, mixed, second[:, 1]], axis=1).reshape(-1, 2, 2)
    return first, hessian / 1e-6


def _curvature() -> float:
    """κ = -α ∂²F/∂Q² at Q = π/2: the rate at which networks return to the maximum."""
    return -float(ALPHA * flow.laplacian(BETA)[POINTS // 4])


@equation(
    "11.2",
    "dQ_k/dβ = α ∂F/∂Q_k ~ 0",
    condition="at the maxima themselves; for the entropy production, in an ensemble much narrower than the one at rest",
    comment="At the maximum itself the drift is zero. That diffusion then dominates the entropy production holds for "
    "narrow ensembles only: at rest learning destroys as much entropy as noise produces. From here on the section "
    "counts time by t; the drift is taken as α a unit of t.",
    code="nt.liouville_flow",
)
def _at_equilibrium(s: Systems) -> Iterator[Check]:
    q = _on_manifold(s)
    slopes, _ = _differences(q)
    yield zero("largest |dQ/dβ| at the maxima", ALPHA * np.abs(slopes).max(), tolerance=1e-10, reason=TINY)
    near_by = np.concatenate([q, q + np.array([0.1, 0.0])])
    betas = jnp.array([flow.START, flow.END])
    moved = nt.liouville_flow(_free_energy, jnp.asarray(near_by), jnp.zeros(12), betas, rate=ALPHA)
    away = np.abs(np.asarray(moved.parameters[-1]) - np.concatenate([q, q]))[:, 0]
    yield zero("nt.liouville_flow, β = 0.5 to 1.5: largest move from there", away[:6].max())
    yield at_most("largest distance at the end, 0.1 at the start", away[6:].max(), 0.099)
    F, ring = jnp.asarray(flow.free_energy(BETA)), _ring()
    rest = mechanics.stationary_density(ring, F, gamma=ALPHA, diffusion=D / 2, sign=1.0)
    rates = mechanics.entropy_production(rest, F, ring, gamma=ALPHA, diffusion=D / 2, sign=1.0)
    share = -float(rates.learning) / float(rates.stochastic)
    yield zero("at rest: entropy destroyed by the drift, over that produced by noise", share, role="outside")
    yield same("the same, beside 1", share, 1, role="right")
    widths = (0.06, 0.12)
    shares = [_destroyed(w) for w in widths]
    yield slope("the same in narrow ensembles: power of their width", forms.power(shares, widths), 2, role="right")
    expected = 2 * _curvature() * widths[0] ** 2 / D
    yield near("over 2κw²/D at width 0.06", shares[0] / expected, 1, 0.02, "w²", role="right")


def _destroyed(width: float) -> float:
    """Entropy destroyed by the drift over that produced by noise, normal p of that width about Q = π/2."""
    p = np.exp(-((Q - np.pi / 2) ** 2) / (2 * width**2))
    p = p / flow.integral(p)
    produced = flow.integral(2 * D * paths.slope(np.sqrt(p)) ** 2)
    return -ALPHA * flow.integral(p * flow.laplacian(BETA)) / produced


@equation(
    "11.3",
    "Θ_k̃(Q) = 0",
    comment="The equilibrium manifold: maxima of F. Many Θ have these zeros, and (11.4) depends on which is taken. "
    "Evaluated where a symmetry of the network makes the maxima a line.",
    code="nt.free_energy",
    kind="definition",
)
def _manifold(s: Systems) -> Iterator[Check]:
    q = _on_manifold(s)
    yield zero("largest |Θ| where F is at its maximum", np.abs(paths.constraint(q[:, 0])).max())
    _, hessians = _differences(q)
    values = np.linalg.eigvalsh(hessians)
    yield zero("flat direction: largest |eigenvalue| of ∂²F/∂Q²", np.abs(values[:, 1]).max(), tolerance=1e-8,
               reason="ε/h², h = 10⁻³")  # fmt: skip
    yield at_most("constrained direction: largest eigenvalue", values[:, 0].max(), 0, role="printed")
    lowest = np.array([[-math.asin(0.5 / 1.2), 0.3]])
    slopes, _ = _differences(lowest)
    yield zero("|∂F/∂Q| at the minimum of F", np.abs(slopes).max(), role="right", tolerance=1e-6, reason="h²")
    yield at_least("|Θ| there: (11.2) has more solutions", abs(paths.constraint(lowest[0, 0])), 0.1)


@equation(
    "11.4",
    "∫ dᴷQ p(t, Q) Θ_k̃(Q) = 0",
    comment="Imposed on p, which (11.5) moves without regard to it: ⟨Θ⟩ changes at the rate (D/2)⟨ΔΘ⟩, and stays zero "
    "only if that does, as where p is symmetric about the maximum.",
    code="mechanics.Grid",
    kind="postulate",
)
def _on_average(s: Systems) -> Iterator[Check]:
    p, theta = _start(s), paths.constraint()
    yield zero("⟨Θ⟩ at the start", paths.integral(p * theta))
    yield zero("⟨Θ⟩ at t = 1.5 of (11.5)", paths.integral(paths.diffused(p, END) * theta))
    path = _diffusing(s)
    rate = paths.integral(path.p_rate[0] * theta)
    expected = D / 2 * paths.integral(path.p[0] * paths.laplacian(theta))
    yield same("d⟨Θ⟩/dt, beside (D/2)⟨ΔΘ⟩", rate, expected, role="right")
    yield at_least("⟨Θ²⟩ at the start: the manifold itself is left", paths.integral(p * theta**2), 0.05)
    ring, symmetric = _ring(), p + p[(POINTS // 2 - np.arange(POINTS)) % POINTS]
    free = mechanics.fokker_planck_generator(ring, None, diffusion=D / 2)
    both = mechanics.fokker_planck_evolve(jnp.asarray(np.stack([p, symmetric / 2])), free, jnp.array([0.0, END]))
    means = ring.integrate(both.density[1] * theta[None])
    exact = paths.integral(paths.diffused(p, END) * theta)
    yield near("⟨Θ⟩ at t = 1.5 by the library", means[0], exact, 2e-4, SPACING, role="right")
    yield zero("the same from a p symmetric about Q = π/2", means[1], role="right")


@equation(
    "11.5",
    "∂p/∂t = (D/2) Σ_k ∂²p/∂Q_k² = (D/2) Δp",
    condition="directions in which F is flat, and noise that is the same in all directions and everywhere",
    comment="Across the manifold the drift holds the variance at D/2κ, κ = -α ∂²F/∂Q², and (11.5) lets it grow for "
    "ever. The D here is twice that of the library.",
    code="mechanics.fokker_planck_generator",
)
def _diffusion(s: Systems) -> Iterator[Check]:
    kappa, width = _curvature(), 0.2
    times = jnp.array([0.0, 0.002, 0.004, 3.0, 300.0])
    moments = mechanics.ornstein_uhlenbeck_moments(
        jnp.diag(jnp.array([kappa, 0.0])), D / 2, jnp.zeros(2), width**2, times
    )
    across, along = (np.asarray(moments.covariance[:, k, k]) - width**2 for k in (0, 1))
    yield same("flat direction: growth of the variance over Dt, t = 3", along[3] / (3 * D), 1)
    wave = np.cos(2 * Q)
    free = mechanics.fokker_planck_generator(_ring(), None, diffusion=D / 2)
    rate = float(flow.integral(wave * np.asarray(free.apply(jnp.asarray(wave))))) / flow.integral(wave**2)
    yield near("rate of cos 2Q by the library, beside -4 D/2", rate, -2 * D, 2e-4, SPACING)
    yield same("across: growth of the variance over Dt, t = 3", across[3] / (3 * D), 1, role="outside")
    p, F = _start(s), jnp.asarray(flow.free_energy(BETA))
    full = mechanics.fokker_planck_generator(_ring(), F, gamma=ALPHA, diffusion=D / 2, sign=1.0)
    drifted = float(flow.integral(np.sin(Q) * np.asarray(full.apply(jnp.asarray(p)) - free.apply(jnp.asarray(p)))))
    expected = flow.integral(p * flow.velocity(BETA) * np.cos(Q))
    yield near("what the drift adds to d⟨sin Q⟩/dt, beside α ⟨∂F/∂Q cos Q⟩", drifted, expected, 2e-3, SPACING,
               role="right")  # fmt: skip
    start = 2 * kappa * width**2
    lost = [1 - (across[k] / times[k] + start) / D for k in (1, 2)]
    yield slope("across: what else the drift takes, power of t", forms.power(lost, times[1:3]), 1, role="right")
    yield near("across at t = 300: variance, beside D/2κ", across[4] + width**2, D / (2 * kappa), 1e-9, "e^(-2κt)",
               role="right")  # fmt: skip


@equation(
    "11.6",
    "S(p, Φ) = -∫dt d/dt ∫ dᴷQ p log p + ∫dt ∫ dᴷQ Σ (dΦ_k̃/dt) Θ_k̃ p "
    "= ∫dt ∫ dᴷQ (-log p (D/2) Σ_k ∂²p/∂Q_k² + Σ (dΦ_k̃/dt) Θ_k̃ p)",
    condition="only along solutions of (11.5), where p is not free to be varied",
    comment="The two lines are different functionals of p. The first term of the first line is S(T) - S(0) for any p: "
    "varied with fixed ends it gives nothing. With the drift of (8.2) the second line lacks what learning does, "
    "α∫⟨ΔF⟩dt.",
    code="mechanics.entropy_production",
)
def _functional(s: Systems) -> Iterator[Check]:
    p, path = _start(s), _diffusing(s)
    gained = flow.entropy(paths.diffused(p, END)) - flow.entropy(p)
    second = paths.over_time(paths.diffusive_rate(path.p))
    yield same("on (11.5): S(T) - S(0), beside the first term of the second line", gained, second)
    sine = np.sin(Q)
    other = paths.displaced(path, p * (sine - paths.integral(p * sine)), 0 * p, 0.8)
    first = paths.over_time(paths.entropy_rate(other))
    elsewhere = paths.over_time(paths.diffusive_rate(other.p))
    yield same("another path between the same ends: the same two", first, elsewhere, role="outside")
    yield same("first term of the first line on both paths", first, gained, role="right")
    drift = -flow.derivative(flow.velocity(BETA) * p)
    learned = -paths.integral((np.log(p) + 1) * drift)
    yield same("dS/dt by the drift of (8.2), beside α⟨ΔF⟩", learned, ALPHA * paths.integral(p * flow.laplacian(BETA)),
               role="right")  # fmt: skip
    F = jnp.asarray(flow.free_energy(BETA))
    rates = mechanics.entropy_production(p, F, _ring(), gamma=ALPHA, diffusion=D / 2, sign=1.0)
    produced = float(paths.diffusive_rate(p))
    yield near("production by noise, of the library", rates.stochastic, produced, 1e-3, SPACING,
               role="right")  # fmt: skip
    yield near("and by learning", rates.learning, learned, 1e-3, SPACING, role="right")


def _library_action(path: Path, times: Any) -> float:
    p, phase, t = jnp.asarray(path.p), jnp.asarray(4 * path.phase), jnp.asarray(times)
    return float(mechanics.stationary_entropy_production_action(p, phase, t, _ring(), **ACTION))


@equation(
    "11.7",
    "S(p, Φ) = ∫dt ∫ dᴷQ (2D Σ_k (∂√p/∂Q_k)² + Σ (dΦ_k̃/dt) Θ_k̃ p) "
    "= ∫dt ∫ dᴷQ √p (-2D Σ_k ∂²/∂Q_k² + Σ (dΦ_k̃/dt) Θ_k̃) √p = -4 ∫dt ∫ dᴷQ Ψ* ((D/2) Δ + i d/dt) Ψ",
    right="the last member less 2D ∫dt ∫ dᴷQ p |∇φ|², φ = ¼ Σ Θ_k̃ Φ_k̃",
    comment="Printed as an equality; the Schrödinger equation after it is called approximate, for many constraints, "
    "but the excess is a square and does not fade with their number. It is the kinetic energy of a fluid, "
    "which no entropy production has given: the wave comes in here. A constant added to Φ changes it, where "
    "the other lines know dΦ/dt alone; and where (11.4) holds the terms with dΦ/dt are zero, so that the "
    "excess is all that is left of Φ.",
    code="mechanics.stationary_entropy_production_action",
)
def _rewritten(s: Systems) -> Iterator[Check]:
    path = _diffusing(s)
    given = paths.over_time(paths.diffusive_rate(path.p) + paths.constraint_rate(path))
    roots, parts, waves = paths.by_roots(path), paths.by_parts(path), paths.by_waves(*paths.wave_of(path))
    yield same("first line, beside the last of (11.6)", roots, given)
    yield same("second line, beside the first", parts, roots)
    yield same("third line, beside the second", waves.real, parts)
    yield zero("its imaginary part", waves.imag, role="right")
    yield same("third line less 2D∫∫p|∇φ|², beside the second", waves.real - paths.kinetic(path), parts, role="right")
    twice = paths.diffusing(_start(s), scale=2)
    excess = [paths.by_waves(*paths.wave_of(x)).real - paths.by_parts(x) for x in (path, twice)]
    yield same("what it has too much, Φ doubled", excess[1] / excess[0], 4, role="right")
    moved = paths.by_waves(*paths.wave_of(paths.diffusing(_start(s), shift=1))).real - waves.real
    yield at_least("what Φ + 1 in place of Φ adds to the third line", moved, 0.01)
    times = np.linspace(0, END, 101)
    ours = _library_action(paths.diffusing(_start(s), times), times)
    yield near("the library's action with λ = 1, γ = D/8", ours, waves.real, 2e-4, RECORDS, role="right")


@equation(
    "11.8",
    "Ψ(t, Q) = √p exp(¼ i Σ_k̃ Θ_k̃ Φ_k̃)",
    comment="ΣΘΦ is an action with ħ = 4. Such a phase has one value everywhere, so that no vortex and no "
    "circulation round a ring is among these Ψ; on the manifold the phase is zero.",
    code="mechanics.wavefunction_from_phase",
    kind="definition",
)
def _wave_function(s: Systems) -> Iterator[Check]:
    path, ring = _diffusing(s), _ring()
    psi, _ = paths.wave_of(path)
    ours = mechanics.wavefunction_from_phase(path.p[-1], 4 * path.phase[-1], hbar=4.0)
    yield zero("largest difference from the library's, ħ = 4", np.abs(psi[-1] - ours).max())
    yield zero("largest ||Ψ|² - p|", np.abs(np.abs(psi) ** 2 - path.p).max())
    _, velocity = mechanics.madelung_from_wavefunction(ours, ring, hbar=D, mass=1.0)
    wanted = D * paths.slope(path.phase[-1])
    yield zero("largest |u - D∇φ| of its fluid, ħ/M = D", np.abs(velocity[:, 0] - wanted).max(), tolerance=1e-9,
               reason="rounding over √p")  # fmt: skip
    yield zero("windings of its phase", mechanics.winding_number(ours, ring.coordinates, ring), role="right")


def _variation(action: Any, displaced: Any) -> float:
    """d action/dε along a displacement with fixed ends."""
    return float(forms.central(lambda h: action(displaced(h)), STEP))


@equation(
    "11.9",
    "-i dΨ/dt = (D/2) ΔΨ",
    condition="what is varied is the third line of (11.7), over every Ψ: not (11.6), and without (11.4) and (11.5)",
    comment="Schrödinger's equation of a free particle, ħ/M = D, with the right sign. What makes the other lines of "
    "(11.7) stationary is ∂p/∂t = 0, ∂φ/∂t = (D/2) Δ√p/√p: nothing moves. From a phase of the form (11.8) the "
    "constraints (11.4) stay true along (11.9) only if ΣΦ∇Θ = 0.",
    code="mechanics.schrodinger_evolve",
)
def _schrodinger(s: Systems) -> Iterator[Check]:
    p, theta = _start(s), paths.constraint()
    phi = float(paths.multiplier(0.0)[0])
    start = np.sqrt(p) * np.exp(0.25j * phi * theta)
    psi, rate = paths.wave(start)
    path = paths.fluid(psi, rate)
    rng = s.random("11.9")
    a, b = (rng.normal(size=3) @ np.stack([np.cos(Q), np.sin(Q), np.cos(2 * Q)]) for _ in range(2))

    def shifted(h: float) -> tuple[Any, Any]:
        value, slope_in_time = paths.bump(h)
        return psi + value * (a + 1j * b), rate + slope_in_time * (a + 1j * b)

    third = _variation(lambda at: paths.by_waves(*at).real, shifted)
    yield zero("dS/dε at a solution, third line of (11.7)", third, tolerance=1e-9, reason="ε/h")
    ours = mechanics.schrodinger_evolve(
        jnp.asarray(start), jnp.zeros(POINTS), _ring(), hbar=D, mass=1.0, dt=END, steps=1
    ).psi[-1]
    last, _ = paths.wave(start, END)
    yield zero("largest difference from the library's, ħ/M = D", np.abs(ours - last).max())
    dp, dphase = a * p - p * paths.integral(a * p), b
    second = _variation(paths.by_parts, partial(paths.displaced, path, dp, dphase))
    yield near("dS/dε at a solution, second line of (11.7)", second, 0, 1e-7, FD, role="outside")
    first_rate = float(paths.integral(2 * (start.conj() * 0.5j * D * paths.laplacian(start)).real * theta))
    yield zero("d⟨Θ⟩/dt along (11.9) at the start, where (11.4) holds", first_rate, role="outside")
    mean = D / 4 * phi * paths.integral(p * paths.slope(theta) ** 2)
    yield same("the same, beside (D/4) Φ ⟨|∇Θ|²⟩", first_rate, mean, role="right")
    heat = path.p_rate - D / 2 * paths.laplacian(path.p)
    yield zero("largest |∂|Ψ|²/∂t - (D/2) Δ|Ψ|²|", np.abs(heat).max(), role="outside")
    rest = _variation(paths.by_parts, partial(paths.displaced, paths.resting(p), dp, dphase))
    yield near("second line, p at rest and ∂φ/∂t = (D/2) Δ√p/√p: dS/dε", rest, 0, 1e-7, FD, role="right")
    times = np.linspace(0, END, 101)
    run = paths.fluid(*paths.wave(start, times))
    slopes = mechanics.action_gradient(run.p, 4 * run.phase, times, _ring(), **ACTION)
    worst = max(float(jnp.abs(g).max()) for g in slopes)
    yield near("largest slope of the library's action on it", worst, 0, 2e-4, RECORDS, role="right")
