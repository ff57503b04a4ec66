"""The Madelung fluid against the wave function, for ħ² of three signs, and what the fluid does not know."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics

HBAR, MASS = 0.6, 1.2
RING = mechanics.Grid([0.0], [2 * np.pi], 48, periodic=True)
X = np.asarray(RING.axes[0])
V = 0.3 * np.cos(X)


def start(windings):
    C = 0.2 * np.cos(X)
    C = C - np.log(np.sum(np.exp(2 * C)) * float(RING.cell)) / 2
    return C, (HBAR / MASS * windings + 0.1 * np.cos(2 * X))[:, None]


@pytest.mark.parametrize("windings", [0, 1, 2])
def test_the_fluid_is_the_wave_function(windings):
    C, u = start(windings)
    numbers = {"planck_squared": HBAR**2, "mass": MASS}
    run = mechanics.madelung_evolve(C, u, V, RING, dt=1 / 400, steps=400, **numbers)
    polar = mechanics.wavefunction_from_madelung(np.exp(2 * C), u, RING, hbar=HBAR, mass=MASS)
    assert float(polar.windings[0]) == pytest.approx(windings, abs=1e-13)
    assert float(polar.defect[0]) < 1e-13
    assert float(polar.residual) < 1e-13
    wave = mechanics.schrodinger_evolve(polar.psi, V, RING, hbar=HBAR, mass=MASS, dt=1 / 100, steps=100)
    p, velocity = mechanics.madelung_from_wavefunction(wave.psi[-1], RING, hbar=HBAR, mass=MASS)
    assert bool(run.valid.all())
    np.testing.assert_allclose(run.density[-1], p, atol=2e-9)  # fourth order in both steps
    np.testing.assert_allclose(run.velocity[-1], velocity, atol=2e-7)  # the waves that the filter drops
    energies = mechanics.madelung_energy(run.density, run.velocity, V, RING, **numbers)
    assert float(energies[1]) == pytest.approx(float(energies[0]), rel=1e-9)
    quantum = mechanics.schrodinger_energy(wave.psi[-1], V, RING, hbar=HBAR, mass=MASS)
    assert float(energies[1]) == pytest.approx(float(quantum), rel=1e-9)


def test_velocities_of_half_a_winding_make_no_wave_function():
    C, u = start(0.5)
    polar = mechanics.wavefunction_from_madelung(np.exp(2 * C), u, RING, hbar=HBAR, mass=MASS)
    assert float(polar.defect[0]) == pytest.approx(2, rel=1e-12)  # |exp(iπ) - 1|


def test_the_equations_of_the_fluid_allow_any_circulation():
    """p ~ r^(2ν) exp(-Mω r²/ħ), F = νħθ - ħω(ν + 1)t in a 2-D oscillator."""
    omega = 0.9

    def log_p(nu, q, t):
        return nu * jnp.log(jnp.sum(q**2)) - MASS * omega / HBAR * jnp.sum(q**2) + 0 * t

    def phase(nu, q, t):
        return nu * HBAR * jnp.arctan2(q[1], q[0]) - HBAR * omega * (nu + 1) * t

    def potential(q, t):
        return 0.5 * MASS * omega**2 * jnp.sum(q**2) + 0 * t

    @jax.jit
    def left(nu, q):
        fields = (partial(log_p, nu), partial(phase, nu), potential)
        return mechanics.madelung_residual(*fields, q, 0.4, planck_squared=HBAR**2, mass=MASS)

    velocity = jax.jit(jax.vmap(lambda nu, q: jax.grad(phase, 1)(nu, q, 0.0) / MASS, (None, 0)))
    angle = 2 * np.pi * np.arange(16) / 16
    loop = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for nu in (1.0, 0.37):
        for q in ([0.3, 0.5], [-1.1, 0.2], [0.4, -0.9]):
            np.testing.assert_allclose(left(nu, np.array(q)), [0.0, 0.0], atol=1e-13)
        quanta = float(mechanics.circulation(partial(velocity, nu), loop, mass=MASS)) / (2 * np.pi * HBAR)
        assert quanta == pytest.approx(nu, rel=1e-12)
        defect = abs(np.exp(2j * np.pi * quanta) - 1)
        assert (defect < 1e-10) == (nu == 1.0)


def test_a_fokker_planck_flow_is_a_fluid_of_negative_planck_squared():
    """An exact Gaussian flow under F = k q²/2 with drift -γ∇F: u = -γ∇F - D∇log p, ħ² = -4D², M = 1."""
    D, rate = 0.3, 0.8

    def variance(t):
        return D / rate + (0.2 - D / rate) * jnp.exp(-2 * rate * t)

    def log_p(q, t):
        return -0.5 * (q[0] - 0.7 * jnp.exp(-rate * t)) ** 2 / variance(t) - 0.5 * jnp.log(variance(t))

    def phase(q, t):
        return -0.5 * rate * q[0] ** 2 - D * log_p(q, t)

    def potential(q, t):
        return -(0.5 * (rate * q[0]) ** 2 - D * rate) + 0 * t

    @jax.jit
    def residual(planck_squared):
        q = jnp.array([0.4])
        return mechanics.madelung_residual(log_p, phase, potential, q, 0.3, planck_squared=planck_squared, mass=1.0)

    for sign, holds in ((-4, True), (4, False)):
        left = residual(sign * D**2)
        assert abs(float(left[0])) < 1e-14
        assert (abs(float(left[1])) < 1e-14) == holds


def test_classical_fluid_follows_newton_and_says_when_paths_cross():
    """ħ = 0, V = 0: u keeps its value along q + ut, until 1 + t min u' = 0."""
    C, u = 0.1 * np.cos(X), 0.5 * np.sin(X)[:, None]
    numbers = {"planck_squared": 0.0, "mass": 1.0}
    run = mechanics.madelung_evolve(C, u, 0 * V, RING, dt=0.01, steps=400, save_every=50, **numbers)
    q = X + 0.5 * 0.5 * np.sin(X)  # where each point is at t = 0.5
    there = mechanics.spectral_interpolate(np.asarray(run.velocity)[1, :, 0], RING, q[:, None])
    np.testing.assert_allclose(there, u[:, 0], atol=1e-6)  # the filter's tail
    assert bool(run.valid[1])
    assert not bool(run.valid[-1])  # beyond the shock at t = 2


def test_quantum_potential_of_a_gaussian():
    """Q = (ħ²/4Ms)(1 - x²/2s) for variance s; between walls and along a ring, in two variables."""
    for periodic in (True, False):
        grid = mechanics.Grid([-5.0, -5.0], [5.0, 5.0], (48, 40), periodic=(periodic, True))
        square = np.sum(np.asarray(grid.coordinates) ** 2, axis=-1)
        p = np.exp(-square / 2 / 0.4)
        Q = mechanics.quantum_potential(p, grid, planck_squared=HBAR**2, mass=MASS)
        exact = HBAR**2 / (4 * MASS * 0.4) * (2 - square / (2 * 0.4))
        inside = p > 1e-4
        np.testing.assert_allclose(np.asarray(Q)[inside], exact[inside], atol=1e-6)  # 1e-10/√p, waves


def test_bridge_between_gaussians_has_the_closed_form():
    """Entropic transport between Gaussians: s_t is known, and the pair of heat equations returns p and F."""
    grid = mechanics.Grid([-5.0], [5.0], 96)
    x = np.asarray(grid.axes[0])
    h, M, T, a, b = 0.8, 1.6, 1.5, 0.3, 0.4
    gauss = lambda m, s: np.exp(-((x - m) ** 2) / 2 / s)  # noqa: E731
    found = mechanics.schrodinger_bridge(
        gauss(-0.6, a), gauss(0.7, b), grid, planck_squared=-(h**2), mass=M, duration=T, records=5, iterations=30
    )
    assert float(found.residual) < 1e-12
    share, noise = np.linspace(0, 1, 5), h / M * T
    joint = (np.sqrt(4 * a * b + noise**2) - noise) / 2
    exact = (1 - share) ** 2 * a + share**2 * b + share * (1 - share) * (2 * joint + noise)
    p = np.asarray(found.densities) * float(grid.cell)
    mean = p @ x
    np.testing.assert_allclose(mean, -0.6 + 1.3 * share, atol=1e-8)  # the tails at the walls, exp(-(4.3)²/0.8)
    np.testing.assert_allclose(p @ x**2 - mean**2, exact, atol=1e-8)
    p, F = np.exp(0.1 * x), 0.3 * x
    back = mechanics.density_and_phase(*mechanics.heat_pair(p, F, planck_squared=-0.5), planck_squared=-0.5)
    np.testing.assert_allclose(back, [p, F], atol=1e-13)


def test_refuses_by_name_and_keeps_single_precision():
    C, u = (f.astype(np.float32) for f in start(1))
    run = mechanics.madelung_evolve(C, u, V, RING, planck_squared=0.3, mass=1.0, dt=0.01, steps=2)
    assert run.density.dtype == run.velocity.dtype == run.tail.dtype == jnp.float32
    with pytest.raises(ValueError, match="`velocity` must have shape"):
        mechanics.madelung_evolve(C, u[:, 0], V, RING, planck_squared=0.3, mass=1.0, dt=0.01, steps=2)


def torus(points):
    """A fluid without curl on a torus that winds around its rings as (1, 0, -1), in d variables."""
    d = len(points)
    grid = mechanics.Grid([0.0] * d, [2 * np.pi] * d, points, periodic=True)
    q = np.asarray(grid.coordinates)
    C = 0.15 * np.cos(q[..., 0]) + 0.1 * np.sin(q[..., -1] + q[..., 0])
    wavy = 0.1 * np.sin(q[..., 0] - q[..., 1]) + 0.05 * np.cos(q[..., -1])
    u = np.asarray(mechanics.spectral_gradient(wavy, grid)) + HBAR / MASS * np.array([1, 0, -1])[:d]
    return grid, C, u, 0.2 * np.cos(q[..., 0]) * np.cos(q[..., -1])


@pytest.mark.parametrize("points", [(18, 16), (12, 10, 12)])
def test_fluid_and_wave_function_have_the_same_rates_in_more_variables(points):
    """Round trip, and ∂C/∂t = Re(∂Ψ/∂t / Ψ), ∂u/∂t = (ħ/M) ∇ Im(∂Ψ/∂t / Ψ) with ∂Ψ/∂t from the Hamiltonian."""
    grid, C, u, V = torus(points)

    @jax.jit
    def run(C, u):
        polar = mechanics.wavefunction_from_madelung(jnp.exp(2 * C), u, grid, hbar=HBAR, mass=MASS)
        back = mechanics.madelung_from_wavefunction(polar.psi, grid, hbar=HBAR, mass=MASS)
        turn = -1j / HBAR * mechanics.hamiltonian(polar.psi, V, grid, hbar=HBAR, mass=MASS) / polar.psi
        force = HBAR / MASS * mechanics.spectral_gradient(turn.imag, grid)
        rates = mechanics.madelung_rhs(C, u, V, grid, planck_squared=HBAR**2, mass=MASS)
        return polar, back, rates, (turn.real, force)

    polar, (p, v), rates, exact = run(C, u)
    np.testing.assert_allclose(polar.windings, [1, 0, -1][: len(points)], atol=1e-12)
    assert float(polar.residual) < 1e-12
    np.testing.assert_allclose(p, np.exp(2 * C), rtol=1e-12)
    for found, wanted in ((v, u), *zip(rates, exact, strict=True)):
        np.testing.assert_allclose(found, wanted, atol=2e-4)  # waves of Ψ that ten points do not hold


def test_the_fluid_is_the_wave_function_on_a_torus():
    grid, C, u, V = torus((18, 16))
    run = mechanics.madelung_evolve(C, u, V, grid, planck_squared=HBAR**2, mass=MASS, dt=0.01, steps=40)
    psi = mechanics.wavefunction_from_madelung(np.exp(2 * C), u, grid, hbar=HBAR, mass=MASS).psi
    wave = mechanics.schrodinger_evolve(psi, V, grid, hbar=HBAR, mass=MASS, dt=0.05, steps=8)
    p, v = mechanics.madelung_from_wavefunction(wave.psi[-1], grid, hbar=HBAR, mass=MASS)
    assert bool(run.valid.all())
    np.testing.assert_allclose(run.density[-1], p, atol=2e-4)  # the waves that the filter drops: a sixth of 16
    np.testing.assert_allclose(run.velocity[-1], v, atol=2e-3)
    assert np.abs(np.asarray(run.density[-1]) - np.exp(2 * C)).max() > 0.05
