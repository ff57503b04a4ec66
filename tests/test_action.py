"""The action of stationary entropy production: its stationary points are waves, with the ħ of the terms it keeps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import mechanics

RING = mechanics.Grid([0.0], [2 * np.pi], 32, periodic=True)
X = np.asarray(RING.axes[0])
V = 0.3 * np.cos(X) + 0.1 * np.sin(2 * X)
D, GAMMA, LAMBDA = 0.4, 0.5, 1.7
NUMBERS = {"diffusion": D, "gamma": GAMMA, "multiplier": LAMBDA}


def fluid(planck_squared, steps):
    """p and a phase F (its constant in space from the Hamilton-Jacobi equation) of a run of the Madelung fluid."""
    C, u = 0.15 * np.cos(X), 0.1 * np.sin(2 * X)[:, None]
    numbers = {"planck_squared": planck_squared, "mass": 1 / (2 * GAMMA)}
    every = 96 // steps  # the same run, recorded `steps` times
    run = mechanics.madelung_evolve(C, u, V, RING, dt=0.3 / 96, steps=96, save_every=every, **numbers)
    assert bool(run.valid.all())
    F = mechanics.inverse_laplacian(mechanics.spectral_divergence(run.velocity, RING), RING) / (2 * GAMMA)
    return run.times, run.density, F


def stationarity(times, p, F, keep, **changed):
    """Largest δA/δF, and largest δA/δp less its mean: a phase F + f(t) moves the latter by λ df/dt alone."""
    by_p, by_F = map(np.asarray, gradient(p, F, times, keep, **{**NUMBERS, **changed}))
    return np.abs(by_p - by_p.mean(axis=1, keepdims=True)).max(), np.abs(by_F).max()


@partial(jax.jit, static_argnames="keep")
def gradient(p, F, times, keep, **numbers):
    return mechanics.action_gradient(p, F, times, RING, potential=V, keep=keep, **numbers)


@pytest.mark.parametrize("keep", ["stochastic", "learning", "all"])
def test_the_stationary_points_are_fluids_with_the_planck_constant_of_the_kept_terms(keep):
    planck_squared = mechanics.effective_planck_squared(D, GAMMA, LAMBDA, keep=keep)
    errors = []
    for steps in (12, 24):
        times, p, shifted = fluid(planck_squared, steps)
        F = mechanics.unshifted_phase(p, shifted, keep=keep, **NUMBERS)
        np.testing.assert_allclose(mechanics.shifted_phase(p, F, keep=keep, **NUMBERS), shifted, atol=1e-14)
        errors.append(stationarity(times, p, F, keep))
    small, smaller = errors
    assert max(smaller) < 2e-3
    for coarse, fine in zip(small, smaller, strict=True):
        assert coarse / fine == pytest.approx(4, rel=0.15)  # second order in the step of time
    wrong = stationarity(times, p, F, keep, diffusion=1.3 * D)
    assert wrong[0] > 20 * smaller[0]
    if keep != "stochastic":  # the phase is the shifted one, not the free energy itself
        assert max(stationarity(times, p, shifted, keep)) > 20 * max(smaller)


def test_a_wave_function_is_stationary_with_its_winding():
    """Split steps, an independent solver: ħ = 2 √(D/(γλ)), M = 1/(2γ), one winding."""
    hbar, mass, steps = float(mechanics.planck_constant(D, GAMMA, LAMBDA)), 1 / (2 * GAMMA), 40
    x = RING.axes[0]
    start = mechanics.wavefunction_from_phase(jnp.exp(0.3 * jnp.cos(x)), hbar * x + 0.1 * jnp.sin(x), hbar=hbar)
    run = mechanics.schrodinger_evolve(start, V, RING, hbar=hbar, mass=mass, dt=0.005, steps=steps, save_every=1)
    psi = np.asarray(run.psi)
    p, phase = np.abs(psi) ** 2, np.angle(psi)
    F = hbar * (
        np.unwrap(np.unwrap(phase, axis=1)[:, 0])[:, None] + np.unwrap(phase, axis=1) - np.unwrap(phase, axis=1)[:, :1]
    )
    periodic = F - hbar * np.asarray(x)

    @jax.jit
    def largest(multiplier):
        gradient = mechanics.action_gradient(
            p, periodic, run.times, RING, potential=V, diffusion=D, gamma=GAMMA, multiplier=multiplier,
            mean_gradient=[hbar],
        )  # fmt: skip
        return jnp.maximum(*(jnp.max(jnp.abs(g)) for g in gradient))

    assert float(largest(LAMBDA)) < 2e-4  # dt²
    assert float(largest(1.1 * LAMBDA)) > 1e-2


@given(st.floats(0.05, 3), st.floats(0.05, 3), st.floats(0.05, 3))
def test_planck_squared_of_the_three_versions(diffusion, gamma, multiplier):
    r = multiplier * diffusion / gamma
    found = [
        float(mechanics.effective_planck_squared(diffusion, gamma, multiplier, keep=k)) * multiplier**2
        for k in ("stochastic", "learning", "all")
    ]
    np.testing.assert_allclose(found, [4 * r, 4 * r - 1, -((1 - r) ** 2)], rtol=1e-10, atol=1e-12 * (1 + r) ** 2)
    assert float(mechanics.planck_constant(diffusion, gamma, multiplier)) ** 2 * multiplier**2 == pytest.approx(4 * r)


def test_the_value_of_the_action():
    """Constant in time, F = 0: only 4D|∇√p|² = D|∇p|²/p and λ p V are left; by quadrature on a fine grid."""
    fine = np.arange(4000) * 2 * np.pi / 4000
    p, times = 1 + 0.5 * np.cos(fine), jnp.array([0.0, 0.3, 1.0])
    potential = 0.3 * np.cos(fine) + 0.1 * np.sin(2 * fine)
    expected = np.mean(D * (0.5 * np.sin(fine)) ** 2 / p + LAMBDA * p * potential) * 2 * np.pi
    records = np.broadcast_to(1 + 0.5 * np.cos(RING.axes[0]), (3, 32))
    found = mechanics.stationary_entropy_production_action(
        records, jnp.zeros((3, 32)), times, RING, potential=V, keep="learning", **NUMBERS
    )
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_refuses_by_name():
    p, t = jnp.ones((3, 32)), jnp.arange(3.0)
    act = mechanics.stationary_entropy_production_action
    for call, message in (
        (lambda: act(p, p[:2], t, RING, potential=V, **NUMBERS), "`F` must have shape"),
        (lambda: act(p, p, t, RING, potential=V, keep="none", **NUMBERS), "`keep` must be"),
        (lambda: mechanics.effective_planck_squared(D, -1.0, LAMBDA), "`gamma` must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert np.isnan(float(mechanics.planck_constant(D, GAMMA, -LAMBDA)))
