"""What the entropic mechanics says of itself: shares by their names, refusals, flux, times that are not even."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics


def test_the_share_of_the_drift_is_that_of_the_drift_in_both_conventions():
    """F = q²/2, D = 0.3(1 + 0.8 tanh q): drift -γ⟨F'²⟩; diffusive ⟨DF''⟩ for Itô, ⟨(DF')'⟩ for Fick."""
    gamma, grid = 0.7, mechanics.Grid([-6.0], [6.0], 400)
    q = np.asarray(grid.axes[0])
    D, dD = 0.3 * (1 + 0.8 * np.tanh(q)), 0.24 / np.cosh(q) ** 2
    p = np.asarray(grid.normalise(np.exp(-2 * (q - 0.4) ** 2)))  # mean square 0.25 + 0.16 = 0.41

    @jax.jit
    def run(p):
        both = (
            mechanics.free_energy_production(p, q**2 / 2, grid, gamma=gamma, diffusion=D, ito=ito)
            for ito in (True, False)
        )
        return tuple(both)

    exact = {True: np.sum(D * p) * float(grid.cell), False: np.sum((D + dD * q) * p) * float(grid.cell)}
    for ito, found in zip((True, False), run(p), strict=True):
        # second order in the spacing 0.03: h²/4 of p'' and the like
        assert float(found.drift) == pytest.approx(-gamma * 0.41, abs=5e-4)
        assert float(found.diffusive) == pytest.approx(exact[ito], abs=5e-4)
        assert float(found.total) == pytest.approx(float(found.drift + found.diffusive), abs=1e-14)
    assert float(found.drift) == pytest.approx(-0.2870, abs=5e-4)
    np.testing.assert_allclose([exact[True], exact[False]], [0.3769, 0.4275], atol=5e-5)


def test_a_free_energy_asks_for_its_learning_rate():
    grid = mechanics.Grid([-1.0], [1.0], 5)
    F = p = np.full(5, 0.5)
    for call in (
        lambda: mechanics.fokker_planck_generator(grid, F, diffusion=0.1),
        lambda: mechanics.entropy_production(p, F, grid, diffusion=0.1),
    ):
        with pytest.raises(ValueError, match="`gamma` must be given with `free_energy`"):
            call()
    for call in (
        lambda: mechanics.stationary_density(grid, F, diffusion=0.1),
        lambda: mechanics.free_energy_production(p, F, grid, diffusion=0.1),
    ):
        with pytest.raises(TypeError, match="'gamma'"):
            call()
    pure = mechanics.fokker_planck_generator(grid, diffusion=0.1)
    np.testing.assert_allclose(pure.forward[0, :-1], 0.1 / 0.4**2, rtol=1e-14)


def test_current_velocity_and_angular_momentum_hold_the_same_flux():
    """J = p u with flux, on the grid and off it; L is that of the current, and changes by ħ times the moment of ν."""
    grid = mechanics.Grid([-4.0, -3.5], [4.0, 3.5], 24, periodic=True)
    physics = {"hbar": 0.7, "mass": 1.3, "flux": jnp.array([0.3, -0.2])}
    x, y = np.moveaxis(np.asarray(grid.coordinates), -1, 0)
    psi = np.exp(-(x**2 + y**2) / 2) * (1.3 + 0.5j + x + 1j * y)

    @jax.jit
    def run(psi):
        J = mechanics.probability_current(psi, grid, **physics)
        p, u = mechanics.madelung_from_wavefunction(psi, grid, **physics)
        places = grid.coordinates[8:16, 8:16].reshape(-1, 2)
        off = mechanics.wave_velocity(psi, grid, **physics)(places)
        turning = mechanics.angular_momentum(psi, grid, hbar=0.7, center=0.1, flux=physics["flux"])
        away = grid.coordinates - 0.1
        moment = 1.3 * grid.integrate(away[..., 0] * J[..., 1] - away[..., 1] * J[..., 0]) / grid.integrate(p)
        return J, p[..., None] * u, u[8:16, 8:16].reshape(-1, 2), off, turning, moment

    J, product, on_grid, off, turning, moment = run(psi)
    np.testing.assert_allclose(product, J, atol=1e-13)
    np.testing.assert_allclose(off, on_grid, atol=1e-11)  # rounding over the smallest |Ψ| there, 0.02
    assert float(turning) == pytest.approx(float(moment), rel=1e-13)
    plain = mechanics.probability_current(psi, grid, hbar=0.7, mass=1.3)
    assert float(jnp.max(jnp.abs(J - plain))) > 0.1
    walls = mechanics.Grid([0.0, 0.0], [1.0, 1.0], 8)
    for call in (
        lambda: mechanics.madelung_from_wavefunction(np.ones((8, 8)), walls, **physics),
        lambda: mechanics.wave_velocity(np.ones((8, 8)), walls, **physics),
        lambda: mechanics.angular_momentum(np.ones((8, 8)), walls, hbar=1.0, flux=0.5),
    ):
        with pytest.raises(ValueError, match="`flux` must be None between walls"):
            call()


def test_nelson_drift_of_uneven_and_of_backward_times():
    """Ψ = exp(i s_k sin q) at record k: the drift is s_k cos q there, that of the mean Ψ halfway between two."""
    grid = mechanics.Grid([0.0], [2 * np.pi], 16, periodic=True)
    x, place = np.asarray(grid.axes[0]), jnp.asarray(np.asarray(grid.axes[0])[3:4])
    uneven = np.array([0.0, 1.0, 3.0, 3.5])
    speeds = np.array([0.3, 1.0, -0.5, 0.7])
    psi = np.exp(1j * speeds[:, None] * np.sin(x)[None])

    def drift(times, psi, at):
        return mechanics.nelson_drift_on_grid(psi, times, grid, hbar=1.0, mass=1.0)(place, at)

    run = jax.jit(jax.vmap(drift, in_axes=(None, None, 0)))
    records = speeds * np.cos(x[3])
    np.testing.assert_allclose(run(uneven, psi, uneven)[:, 0], records, atol=1e-6)  # Ψ resolved by 16 points
    middle, half = run(uneven, psi, np.array([2.0])), (psi[1] + psi[2]) / 2
    slope = (1j * np.cos(x) * (speeds[1] * psi[1] + speeds[2] * psi[2]) / 2)[3] / half[3]
    assert float(middle[0, 0]) == pytest.approx((slope.real + slope.imag), abs=1e-6)
    back = run(-uneven, psi, -np.array([0.0, 1.0, 2.0, 3.5, 9.0]))[:, 0]
    np.testing.assert_allclose(back, [*records[:2], middle[0, 0], records[3], records[3]], atol=1e-6)
    wrong = np.array([0.0, 2.0, 1.0, 3.0])
    assert np.isnan(run(wrong, psi, uneven)).all()
    with pytest.raises(ValueError, match="`times` must increase or decrease"):
        drift(wrong, psi, 0.5)


def test_refuses_by_name():
    one = np.ones(4)
    for call, message in (
        (lambda: mechanics.matched_learning_rate(1.0, 10.0, 1.0, 0.0), "`mu` must not be 0"),
        (lambda: mechanics.effective_planck_squared(0.1, 1.0, 0.0), "`multiplier` must not be 0"),
        (lambda: mechanics.planck_constant(0.1, 1.0, np.array([1.0, 0.0])), "`multiplier` must not be 0"),
        (lambda: mechanics.shifted_phase(one, one, diffusion=0.1, gamma=1.0, multiplier=0.0, keep="all"), "`multi"),
        (lambda: mechanics.heat_pair(one, one, planck_squared=0.5), "`planck_squared` must be negative"),
        (lambda: mechanics.density_and_phase(one, one, planck_squared=0.5), "`planck_squared` must be negative"),
        (lambda: mechanics.density_and_phase(one, one[1:], planck_squared=-0.5), "`minus` must have shape"),
        (lambda: mechanics.gradient_noise(np.ones((1, 5))), "`per_sample_gradients` must have two samples"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
    traced = jax.jit(lambda h2: mechanics.heat_pair(one, one, planck_squared=h2))
    assert np.isnan(traced(0.0)).all()  # and not infinite
    back = mechanics.density_and_phase(*mechanics.heat_pair(one, 0.3 * one, planck_squared=-0.5), planck_squared=-0.5)
    np.testing.assert_allclose(back, [one, 0.3 * one], atol=1e-14)
    np.testing.assert_allclose(mechanics.time_derivative(np.array([0.0, 1.0, 9.0]), np.array([0.0, 1.0, 3.0])), [2.0])
