"""Entropy and free energy balances: closed to rounding on the grid, equal to the closed forms for Gaussians."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics
from nnthermo.mechanics import Grid

GRIDS = (Grid([-2.0, 0.0], [2.0, 2 * np.pi], (7, 6), periodic=(False, True)),)


@functools.cache
def balances(k):
    grid = GRIDS[k]
    d = grid.dimensions

    @jax.jit
    def run(seed, gamma, D, roughness, sign):
        keys = jax.random.split(jax.random.key(seed), 4)
        F = jax.random.normal(keys[0], grid.points)
        p = grid.normalise(jnp.exp(roughness * jax.random.normal(keys[1], grid.points)))
        change = jax.random.normal(keys[2], grid.points)
        arguments = {"gamma": gamma, "diffusion": D, "drift": jax.random.normal(keys[3], (*grid.points, d))}
        A = mechanics.fokker_planck_generator(grid, F, **arguments)
        entropy = mechanics.entropy_production(p, F, grid, **arguments)
        free = mechanics.free_energy_production(p, F, grid, **arguments, rate_of_change=change)
        rate = A.apply(p)
        slope = jax.jvp(lambda p: mechanics.shannon_entropy(p, grid), (p,), (rate,))[1]
        scale = grid.integrate(A.exit_rates() * p * (1 + jnp.abs(jnp.log(p)) + jnp.abs(F)))
        return entropy, free, slope, grid.integrate(rate * F + p * change), scale

    return run


@pytest.mark.parametrize("k", range(len(GRIDS)))
@hypothesis.given(
    seed=st.integers(0, 2**31), gamma=st.floats(0.0, 10.0), D=st.floats(0.0, 2.0), roughness=st.floats(1e-6, 5.0)
)  # fmt: skip
@hypothesis.settings(max_examples=15)
def test_both_balances_close_to_rounding(k, seed, gamma, D, roughness):
    entropy, free, slope, energy_slope, scale = balances(k)(seed, gamma, D, roughness, 1.0)
    rounding = 60 * np.finfo(float).eps * float(scale)
    assert float(entropy.stochastic) >= -rounding
    assert float(entropy.stochastic_by_axis.min()) >= -rounding
    assert float(entropy.total) == pytest.approx(float(slope), abs=rounding)
    assert float(jnp.sum(entropy.stochastic_by_axis + entropy.learning_by_axis)) == pytest.approx(
        float(entropy.total), abs=rounding
    )
    assert float(free.total) == pytest.approx(float(energy_slope), abs=rounding)
    assert float(free.kept + free.diffusive) == pytest.approx(float(free.total), abs=rounding)


def test_gaussian_in_a_quadratic_well_has_the_closed_rates():
    """Variances s_k² in F = a·q²/2: D Σ 1/s², -γ Σ a; γ Σ a² s² (and the mean), D Σ a; entropy log(2πe s²)/2."""
    gamma, D, a, s2, m = 0.8, 0.3, np.array([1.0, 0.5]), np.array([0.2, 0.4]), np.array([0.3, -0.2])

    @functools.partial(jax.jit, static_argnums=0)
    def run(n):
        grid = Grid([-4.0, -5.0], [4.0, 5.0], n)
        F = grid.evaluate(lambda q: 0.5 * jnp.sum(a * q**2))
        p = grid.normalise(grid.evaluate(lambda q: jnp.exp(-jnp.sum((q - m) ** 2 / (2 * s2)))))
        entropy = mechanics.entropy_production(p, F, grid, gamma=gamma, diffusion=D)
        free = mechanics.free_energy_production(p, F, grid, gamma=gamma, diffusion=D)
        found = [*entropy.stochastic_by_axis, *entropy.learning_by_axis, free.drift, free.diffusive]
        return jnp.stack(found), mechanics.shannon_entropy(p, grid)

    exact = [*(D / s2), *(-gamma * a), -gamma * np.sum(a**2 * (s2 + m**2)), D * a.sum()]
    (coarse, _), (fine, S) = run(40), run(80)
    assert float(S) == pytest.approx(0.5 * np.log(2 * np.pi * np.e * s2).sum(), abs=1e-12)  # smooth: beyond all orders
    errors = np.abs(np.array([coarse - np.array(exact), fine - np.array(exact)]))
    linear = [2, 3]  # ⟨∇²F⟩ of a quadratic is exact
    assert errors[:, linear].max() < 1e-10
    rest = [0, 1, 4, 5]
    np.testing.assert_allclose((errors[0] / errors[1])[rest], 4, rtol=0.15)  # order 2, h⁴ still visible
    assert errors[1].max() < 0.02


def test_balance_along_a_run_and_the_term_the_papers_drop():
    grid, dt = Grid([-2.2], [2.2], 100), 1e-3

    @jax.jit
    def run():
        F = grid.evaluate(lambda q: (q[0] ** 2 - 1) ** 2)
        A = mechanics.fokker_planck_generator(grid, F, gamma=1.0, diffusion=0.3)
        p0 = grid.normalise(grid.evaluate(lambda q: jnp.exp(-((q[0] - 0.4) ** 2) / 0.08)))
        times = jnp.array([0.0, 0.1 - dt, 0.1, 0.1 + dt])
        p = mechanics.fokker_planck_evolve(p0, A, times, steps=2).density
        rest = mechanics.stationary_density(grid, F, gamma=1.0, diffusion=0.3)
        two = jnp.stack([p[2], rest])
        return (
            jnp.stack([mechanics.shannon_entropy(p, grid), jax.vmap(lambda p: grid.integrate(p * F))(p)]),
            mechanics.entropy_production(two, F, grid, gamma=1.0, diffusion=0.3),
            mechanics.free_energy_production(two, F, grid, gamma=1.0, diffusion=0.3),
            mechanics.free_energy_production(p[2], F, grid, gamma=1.0, diffusion=0.3, sign=1),
        )

    (S, U), entropies, energies, uphill = run()
    entropy, at_rest = (jax.tree.map(lambda v, k=k: v[k], entropies) for k in (0, 1))
    free, energy_at_rest = (jax.tree.map(lambda v, k=k: v[k], energies) for k in (0, 1))
    slope, energy_slope = float(S[3] - S[1]) / (2 * dt), float(U[3] - U[1]) / (2 * dt)
    assert float(entropy.total) == pytest.approx(slope, abs=1e-4)  # d³S/dt³ dt²/6, with rates of 10
    assert float(free.total) == pytest.approx(energy_slope, abs=1e-4)
    assert abs(float(free.kept) - energy_slope) > 0.1  # without D⟨∇²F⟩ it fails
    assert float(entropy.learning) < 0 < float(entropy.stochastic)
    assert float(at_rest.total) == pytest.approx(0, abs=1e-12)  # production equals destruction
    assert float(at_rest.stochastic) > 1
    assert float(energy_at_rest.total) == pytest.approx(0, abs=1e-12)
    assert float(energy_at_rest.kept) < -0.5  # what the papers keep does not vanish at rest
    assert float(uphill.drift) == pytest.approx(-float(free.drift), rel=1e-13)


def test_off_diagonal_diffusion_produces_by_its_quadratic_form():
    """D_kl ∫ ∂_kp ∂_lp/p = tr(D Σ⁻¹) for a Gaussian: log p is quadratic, for which differences are exact."""
    D, S = np.array([[0.3, -0.15], [-0.15, 0.2]]), np.array([[0.3, 0.1], [0.1, 0.2]])

    @jax.jit
    def run():
        grid = Grid([-4.0, -3.2], [4.0, 3.2], 40)
        p = grid.normalise(grid.evaluate(lambda q: jnp.exp(-0.5 * q @ np.linalg.inv(S) @ q)))
        return mechanics.entropy_production(p, jnp.zeros(grid.points), grid, gamma=1.0, diffusion=D)

    found = run()
    assert float(jnp.sum(found.stochastic_by_axis)) == pytest.approx(float(found.stochastic), rel=1e-14)
    assert float(found.stochastic) == pytest.approx(np.trace(D @ np.linalg.inv(S)), rel=1e-9)  # tails at the walls
    assert float(found.learning) == 0


def test_empty_cells_and_leading_axes_and_float32():
    grid = Grid([-2.0], [2.0], 23)
    F, point = np.asarray(grid.axes[0]) ** 2, np.zeros(23)
    point[5] = 1 / grid.cell
    assert float(mechanics.shannon_entropy(point, grid)) == pytest.approx(np.log(float(grid.cell)), rel=1e-14)
    rest = mechanics.stationary_density(grid, F, gamma=1.0, diffusion=0.1)
    negative = np.array(rest)
    negative[3] = -1
    four = np.stack([np.full(23, 0.25), rest, negative, point])
    rates = mechanics.entropy_production(four, F, grid, gamma=1.0, diffusion=0.1)
    np.testing.assert_allclose(rates.stochastic[0], 0, atol=1e-15)  # flat
    np.testing.assert_allclose(rates.total[1], 0, atol=1e-12)
    assert rates.learning_by_axis.shape == (4, 1)
    assert np.isnan(rates.total[2])
    assert float(rates.stochastic[3]) == np.inf

    @jax.jit
    def single(p):
        small = Grid(np.float32([-2.0]), np.float32([2.0]), 23)
        F = small.evaluate(lambda q: q[0] ** 2)
        narrow = small.normalise(jnp.exp(-60 * F))  # underflows at the walls
        both = mechanics.entropy_production(jnp.stack([p, narrow]), F, small, gamma=1.0, diffusion=jnp.float32(0.1))
        return both, mechanics.free_energy_production(p, F, small, gamma=1.0, diffusion=jnp.float32(0.1))

    both, energy = single(jnp.asarray(rest, jnp.float32))
    assert {v.dtype for v in [*both, *energy]} == {jnp.dtype("float32")}
    assert float(both.total[0]) == pytest.approx(0, abs=1e-4)  # float32 of rates of order 10
    assert float(both.stochastic[1]) == pytest.approx(0.1 * 120, rel=0.15)  # D/s²; the spacing is two widths s


def test_balance_in_space_with_jumps_longer_than_a_cell():
    """Three variables, a ring among them, D too skew for neighbours and a drift that whirls: to rounding."""
    grid = Grid([-2.0, 0.0, -1.0], [2.0, 2 * np.pi, 1.0], (5, 4, 5), periodic=(False, True, False))
    rng = np.random.default_rng(0)
    half = np.array([[0.8, 0.0, 0.0], [1.1, 0.4, 0.0], [-0.2, 0.3, 0.2]])
    A = mechanics.fokker_planck_generator(grid, drift=rng.normal(size=(5, 4, 5, 3)), diffusion=half @ half.T)
    assert max(np.abs(e).sum() for e in A.offsets) > 2
    p = np.exp(rng.normal(size=grid.points))
    p = p / p.sum() / float(grid.cell)
    found, rate = mechanics.entropy_balance(p, A), np.asarray(A.apply(p))
    exact = -np.sum(rate * (np.log(p) + 1)) * float(grid.cell)
    rounding = 1e-13 * float(np.sum(np.asarray(A.exit_rates()) * p * (1 + np.abs(np.log(p)))) * grid.cell)
    assert float(found.total) == pytest.approx(exact, abs=rounding)
    assert float(found.stochastic) > 0
    assert float(jnp.sum(found.stochastic_by_axis)) == pytest.approx(float(found.stochastic), rel=1e-13)
    assert float(jnp.sum(found.learning_by_axis)) == pytest.approx(float(found.learning), abs=rounding)
