"""Nelson's diffusion: its density is that of the wave function. Averages of R replicas, within five standard errors."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics

HBAR, MASS, WIDTH = 0.8, 1.3, 0.6


def log_psi(q, t):
    """A free packet at rest: log Ψ = -q²/(4σ²(1 + iτ)) + ..., τ = ħt/2Mσ²."""
    tau = HBAR * t / (2 * MASS * WIDTH**2)
    share = 1 / (1 + tau**2)
    size = jnp.sum(q**2) / (4 * WIDTH**2) * share
    return jax.lax.complex(-size, size * tau)


def test_a_spreading_packet_has_the_variance_of_the_closed_form():
    R, times = 20_000, np.linspace(0.0, 2.0, 5)
    drift = mechanics.nelson_drift(log_psi, hbar=HBAR, mass=MASS)

    @jax.jit
    def run(key):
        q0 = WIDTH * jax.random.normal(jax.random.key(0), (R, 1))
        return mechanics.nelson_ensemble(key, drift, q0, times, hbar=HBAR, mass=MASS, steps=20)

    found = np.asarray(run(jax.random.key(1)))[..., 0]
    exact = WIDTH**2 * (1 + (HBAR * times / (2 * MASS * WIDTH**2)) ** 2)
    np.testing.assert_allclose(found.var(axis=1) / exact, 1, atol=5 * np.sqrt(2 / R))
    np.testing.assert_allclose(found.mean(axis=1) / np.sqrt(exact), 0, atol=5 / np.sqrt(R))
    np.testing.assert_allclose(jax.jit(drift)(np.array([0.5]), 0.0), [-HBAR / MASS * 0.5 / (2 * WIDTH**2)])


def test_a_recorded_run_drives_the_ensemble_in_an_anharmonic_well():
    """A packet let go in q⁴: moments of |Ψ|² at the end, from the grid, against the ensemble."""
    R, grid = 10_000, mechanics.Grid([-6.0], [6.0], 128, periodic=True)
    x = np.asarray(grid.axes[0])
    psi = mechanics.gaussian_wave_packet(grid, 0.7, 0.5, hbar=HBAR)
    run = mechanics.schrodinger_evolve(psi, 0.2 * x**4, grid, hbar=HBAR, mass=MASS, dt=0.02, steps=60, save_every=1)

    @jax.jit
    def ensemble(run):
        drift = mechanics.nelson_drift_on_grid(run.psi, run.times, grid, hbar=HBAR, mass=MASS)
        q0 = mechanics.born_samples(jax.random.key(2), psi, grid, R)
        key, ends = jax.random.key(3), run.times[np.array([0, 30, 60])]
        return mechanics.nelson_ensemble(key, drift, q0, ends, hbar=HBAR, mass=MASS, steps=40)

    q = np.asarray(ensemble(run))
    for index, record in ((0, 0), (1, 30), (2, 60)):
        p = np.abs(np.asarray(run.psi)[record]) ** 2 * float(grid.cell)
        for power in (1, 2):
            exact, spread = p @ x**power, p @ x ** (2 * power)
            error = 5 * np.sqrt(spread / R)
            assert np.mean(q[index, :, 0] ** power) == pytest.approx(exact, abs=error)


def test_a_packet_that_swings_in_two_variables():
    """An oscillator whose axes are turned: means, variances and the correlation of |Ψ|² of the grid at the end."""
    R, grid = 4000, mechanics.Grid([-5.0, -5.0], [5.0, 5.0], 32, periodic=True)
    q = np.asarray(grid.coordinates)
    V = 0.4 * np.sum(q**2, axis=-1) + 0.5 * q[..., 0] * q[..., 1]
    psi = mechanics.gaussian_wave_packet(grid, [0.8, -0.3], [0.6, 0.8], [0.3, 0.4], hbar=HBAR)
    run = mechanics.schrodinger_evolve(psi, V, grid, hbar=HBAR, mass=MASS, dt=0.1, steps=12, save_every=1)

    @jax.jit
    def ensemble(run):
        drift = mechanics.nelson_drift_on_grid(run.psi, run.times, grid, hbar=HBAR, mass=MASS)
        q0 = mechanics.born_samples(jax.random.key(4), psi, grid, R)
        return mechanics.nelson_ensemble(
            jax.random.key(5), drift, q0, run.times[np.array([0, 12])], hbar=HBAR, mass=MASS, steps=60
        )[-1]

    drift = mechanics.nelson_drift_on_grid(run.psi, run.times, grid, hbar=HBAR, mass=MASS)
    for place in q[18, 15] + float(grid.spacing[0]) * np.array([[0.2, 0.9], [0.9, 0.2]]):  # between points
        exact = HBAR / MASS * (np.array([0.3, 0.4]) / HBAR - (place - [0.8, -0.3]) / (2 * np.array([0.6, 0.8]) ** 2))
        np.testing.assert_allclose(jax.jit(drift)(place, 0.0), exact, atol=0.05)  # h²/8 of the curvature, 0.03
    found, p = np.asarray(ensemble(run)), np.abs(np.asarray(run.psi[-1])) ** 2 * float(grid.cell)
    start = np.abs(np.asarray(psi)) ** 2 * float(grid.cell)
    moved = []
    for power in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2)):
        of_places, of_grid = (np.prod(places ** np.array(power), axis=-1) for places in (found, q))
        exact, spread = np.sum(p * of_grid), np.sum(p * of_grid**2)
        assert of_places.mean() == pytest.approx(exact, abs=5 * np.sqrt(spread / R))
        moved.append(abs(exact - np.sum(start * of_grid)) / np.sqrt(spread / R))
    assert sorted(moved)[-2] > 8  # standard errors that two of them went


def test_refuses_by_name():
    drift = mechanics.nelson_drift(log_psi, hbar=HBAR, mass=MASS)
    with pytest.raises(ValueError, match="`q0` must have 2 dimensions"):
        mechanics.nelson_ensemble(jax.random.key(0), drift, np.ones(3), np.arange(2.0), hbar=1.0, mass=1.0)
    with pytest.raises(ValueError, match="`mass` must be positive"):
        mechanics.nelson_ensemble(jax.random.key(0), drift, np.ones((3, 1)), np.arange(2.0), hbar=1.0, mass=0.0)


def test_times_have_to_differ_in_the_precision_of_the_replicas():
    times = np.array([1e4, 1e4 + 1e-6])  # float64: two; float32, in which replicas would move: one
    for dtype, refused in ((np.float32, True), (np.float64, False)):
        q0 = np.zeros((10, 1), dtype)
        with pytest.raises(ValueError, match="`times` must increase") if refused else contextlib.nullcontext():
            mechanics.nelson_ensemble(jax.random.key(0), lambda q, _: -q, q0, times, hbar=HBAR, mass=MASS, steps=1)
