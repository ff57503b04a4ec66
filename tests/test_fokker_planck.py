"""Densities on a grid: closed moments, exact stationary laws, conservation, positivity, conventions for D(q)."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from nnthermo import mechanics
from nnthermo.mechanics import Grid

WELL = Grid([-2.5], [2.5], 160)


def double_well(q):
    return (q[0] ** 2 - 1) ** 2


F_WELL = double_well([np.asarray(WELL.axes[0])])


def moments(grid, p):
    """Mean (d,) and covariance (d, d) of one density."""
    q, p = grid.coordinates.reshape(-1, grid.dimensions), p.reshape(-1) * grid.cell
    mean = p @ q
    return mean, (q - mean[None]).T @ ((q - mean[None]) * p[:, None])


@jax.jit
def gaussian(grid, mean, variance):
    centre = jnp.broadcast_to(jnp.asarray(mean), (grid.dimensions,))
    return grid.normalise(grid.evaluate(lambda q: jnp.exp(-jnp.sum((q - centre) ** 2) / (2 * variance))))


def test_quadratic_well_has_the_closed_moments_to_second_order_in_the_spacing():
    gamma, D, t = 1.3, 0.3, 0.5
    exact = mechanics.ornstein_uhlenbeck_moments(gamma, D, np.array([1.0]), 0.25, t)
    k = gamma  # m e^(-kt), D/k + (s² - D/k) e^(-2kt)
    assert float(exact.mean[0]) == pytest.approx(np.exp(-k * t), rel=1e-14)  # rounding
    assert float(exact.covariance[0, 0]) == pytest.approx(D / k + (0.25 - D / k) * np.exp(-2 * k * t), rel=1e-14)

    @functools.partial(jax.jit, static_argnums=0)
    def run(n):
        grid = Grid([-4.5], [4.5], n)
        F = grid.evaluate(lambda q: 0.5 * q[0] ** 2)
        A = mechanics.fokker_planck_generator(grid, F, gamma=gamma, diffusion=D)
        found = mechanics.fokker_planck_evolve(gaussian(grid, 1.0, 0.25), A, jnp.array([0.0, t]), steps=8)
        return *moments(grid, found.density[1]), found.error[1]

    errors = []
    for n in (80, 160):
        mean, variance, bound = run(n)
        assert float(bound) < 1e-15
        errors.append([float(mean[0] - exact.mean[0]), float(variance[0, 0] - exact.covariance[0, 0])])
    order = np.log2(np.abs(errors[0]) / np.abs(errors[1]))
    np.testing.assert_allclose(order, 2, atol=0.1)  # the next term is h² smaller: 0.05 at this h
    assert np.abs(errors[1]).max() < 2e-3


@functools.cache
def well_evolution():
    F = F_WELL

    @jax.jit
    def run(gamma, D, p0, t):
        A = mechanics.fokker_planck_generator(WELL, F, gamma=gamma, diffusion=D)
        stationary = mechanics.stationary_density(WELL, F, gamma=gamma, diffusion=D)
        times = jnp.stack([jnp.zeros_like(t), t, 2 * t])
        both = mechanics.fokker_planck_evolve(jnp.stack([p0, stationary]), A, times, steps=3)
        found, kept = both._replace(density=both.density[:, 0]), both.density[:, 1]
        again = mechanics.fokker_planck_evolve(found.density[1], A, jnp.stack([jnp.zeros_like(t), t]), steps=3)
        scale = jnp.max(A.exit_rates()) * jnp.max(stationary)
        return found, again.density[1], A.apply(stationary), scale, stationary, A.stationary(), kept[1]

    return run


@hypothesis.given(
    gamma=st.floats(0.1, 3.0), D=st.floats(0.05, 1.0), t=st.floats(0.0, 0.02), place=st.integers(0, 159)
)  # fmt: skip
def test_double_well_rests_in_its_exact_law_and_loses_nothing(gamma, D, t, place):
    cell = float(WELL.cell)
    start = np.zeros(160)
    start[place] = 1 / cell  # a point: the hardest start for positivity
    found, again, rate, scale, law, other, kept = jax.device_get(well_evolution()(gamma, D, start, t))
    eps = np.finfo(float).eps
    assert np.abs(rate).max() <= 8 * eps * scale  # u p(left) = w p(right), each to rounding
    assert np.abs(rate).max() < 1e-10
    np.testing.assert_allclose(other, law, rtol=160 * 40 * eps)  # 160 ratios with exponents up to 40 nats
    np.testing.assert_allclose(kept, law, atol=1e3 * eps * law.max())  # 456 applications
    assert found.density.min() >= 0
    np.testing.assert_allclose(found.density.sum(1) * cell, 1, atol=1e3 * eps)
    bound = float(found.error[1]) + 1e3 * eps
    assert np.abs(again - found.density[2]).sum() * cell <= 3 * bound  # half a time, twice


def test_evolution_is_the_matrix_exponential_also_in_three_dimensions_with_walls_and_rings():
    grid = Grid([0.0, -1.0, -2.0], [2 * np.pi, 1.0, 2.0], (5, 4, 6), periodic=(True, False, False))
    x, y, z = np.moveaxis(np.asarray(grid.coordinates), -1, 0)
    F, whirl = np.cos(x) * y + z**2 / 2, np.stack([1 + z, z, -y], axis=-1)
    A = mechanics.fokker_planck_generator(grid, F, gamma=1.0, diffusion=jnp.array([0.5, 0.1, 0.3]), drift=whirl)
    dense = np.asarray(A.matrix())
    np.testing.assert_allclose(dense.sum(0), 0, atol=1e-14)
    assert (dense - np.diag(np.diag(dense))).min() >= 0
    np.testing.assert_allclose(-np.diag(dense), A.exit_rates().reshape(-1), rtol=1e-14)
    p0 = gaussian(grid, np.array([3.0, 0.3, -0.5]), 0.2)
    law = A.stationary()
    assert np.abs(A.apply(law)).max() < 1e-13
    assert np.min(law) > 0
    found = mechanics.fokker_planck_evolve(np.stack([p0, law]), A, np.array([0.5, 0.8, 1.5]))
    for (density, kept), t in zip(np.asarray(found.density), (0.0, 0.3, 1.0), strict=True):
        exact = scipy.linalg.expm(t * dense) @ np.asarray(p0).reshape(-1)
        np.testing.assert_allclose(density.reshape(-1), exact, atol=1e-13)  # rounding of a few hundred terms
        np.testing.assert_allclose(kept, law, atol=1e-13)


def test_full_diffusion_matrices_give_the_closed_covariance():
    H, D = np.array([[1.0, 0.3], [0.3, 0.7]]), np.array([[0.3, -0.17], [-0.17, 0.2]])
    exact = mechanics.ornstein_uhlenbeck_moments(H, D, np.ones(2), 0.3, 0.4)

    @functools.partial(jax.jit, static_argnums=0)
    def run(n):
        grid = Grid([-4.0, -3.2], [4.0, 3.2], n)
        F = grid.evaluate(lambda q: 0.5 * q @ H @ q)
        A = mechanics.fokker_planck_generator(grid, F, gamma=1.0, diffusion=D)
        p = mechanics.fokker_planck_evolve(gaussian(grid, 1.0, 0.3), A, jnp.array([0.0, 0.4]), steps=1).density[1]
        return *moments(grid, p), jnp.min(p)

    errors = []
    for n in (32, 64):
        mean, covariance, least = run(n)
        assert float(least) >= 0
        errors.append(np.append(mean - exact.mean, covariance - exact.covariance))
    small = np.abs(errors[0]) < 2e-3  # the off-diagonal one passes through zero
    np.testing.assert_allclose(np.abs(errors[0] / errors[1])[~small], 3.6, atol=0.6)  # to 4; h⁴ is still visible
    assert np.abs(errors[1]).max() < 0.03
    skew = Grid([-4.0, -0.4], [4.0, 0.4], 18)
    assert float(mechanics.fokker_planck_generator(skew, diffusion=D).forward.min()) >= 0  # by longer jumps
    with pytest.raises(ValueError, match="`diffusion` must be positive semidefinite, but got an eigenvalue of -1"):
        mechanics.fokker_planck_generator(skew, diffusion=np.array([[1.0, 2.0], [2.0, 1.0]]))
    traced = jax.jit(lambda D: mechanics.fokker_planck_generator(skew, diffusion=D).forward)(D)
    assert np.isnan(traced).any()  # known too late to refuse


def test_convention_for_a_diffusion_that_depends_on_the_place():
    """d⟨φ⟩/dt = ⟨D_kl ∂_k∂_l φ⟩ for Itô, and ⟨(∂_l D_kl) ∂_k φ⟩ more for Fick; φ = sin(x) cos(y) on a torus."""

    @functools.partial(jax.jit, static_argnums=0)
    def run(n):
        grid = Grid([0.0, 0.0], [2 * np.pi, 2 * np.pi], n, periodic=True)
        x, y = grid.coordinates[..., 0], grid.coordinates[..., 1]
        p = grid.normalise(jnp.exp(jnp.cos(x) + jnp.sin(y)))
        xx, xy, yy = 1 + 0.5 * jnp.sin(y), 0.4 * jnp.cos(x), 1 + 0.3 * jnp.sin(x)
        D = jnp.stack([jnp.stack([xx, xy], -1), jnp.stack([xy, yy], -1)], -1)
        phi = jnp.sin(x) * jnp.cos(y)
        ito = grid.integrate(p * (-(xx + yy) * phi - 2 * xy * jnp.cos(x) * jnp.sin(y)))
        fick = ito + grid.integrate(p * 0.4 * jnp.sin(x) * jnp.sin(x) * jnp.sin(y))  # ∂_x D_yx ∂_y φ
        found = [
            grid.integrate(phi * mechanics.fokker_planck_generator(grid, diffusion=D, ito=i).apply(p))
            for i in (False, True)
        ]
        return jnp.abs(jnp.stack(found) - jnp.stack([fick, ito])), fick - ito

    (coarse, _), (fine, difference) = run(30), run(60)
    assert abs(float(difference)) > 0.02
    assert float(fine.max()) < 4e-3
    np.testing.assert_allclose(coarse / fine, 4, atol=0.5)  # second order


def test_stationary_laws_where_nothing_is_constant():
    @jax.jit
    def laws():
        grid = Grid([-2.0], [2.0], 200)
        q = grid.axes[0]
        D, b = 0.4 + 0.1 * q**2, -q[:, None]
        made = [
            mechanics.fokker_planck_generator(grid, drift=b, diffusion=D, ito=i).stationary() for i in (False, True)
        ]
        fick = D**-5  # exp(∫ b/D) with b/D = -5 (log D)'
        return made, [grid.normalise(fick), grid.normalise(fick / D)]

    for found, exact in zip(*laws(), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-3)  # h² = 4e-4
    ring = Grid([0.0], [1.0], 50, periodic=True)  # a constant drift over a flat ring stays flat, and flows
    wind = np.full((50, 1), 2.0)
    A = mechanics.fokker_planck_generator(ring, drift=wind, diffusion=0.1)
    np.testing.assert_allclose(A.stationary(), 1, rtol=1e-11)  # rounding times the condition of A, 1e3
    np.testing.assert_allclose(A.current(np.ones(50)) / 50, 2.0, rtol=1e-12)
    still = mechanics.fokker_planck_generator(ring, drift=wind, diffusion=0.0)
    np.testing.assert_allclose(still.apply(np.arange(50.0))[1:], -100.0, rtol=1e-12)  # upwind: -2 ∂p for a line


def test_signs_are_downhill_by_default_and_uphill_in_the_paper():
    F = F_WELL
    down = mechanics.stationary_density(WELL, F, gamma=1.0, diffusion=0.2)
    up = mechanics.stationary_density(WELL, F, gamma=1.0, diffusion=0.2, sign=1)
    places = np.asarray(WELL.axes[0])
    assert abs(abs(places[np.argmax(down)]) - 1) < 0.04  # at a minimum of F, to a cell
    assert abs(places[np.argmax(up)]) > 2.4  # at a wall
    np.testing.assert_allclose(
        down, mechanics.stationary_density(WELL, -F, gamma=1.0, diffusion=0.2, sign=1), rtol=1e-14
    )
    A = mechanics.fokker_planck_generator(WELL, F, gamma=1.0, diffusion=0.2, sign=1)
    assert np.abs(A.apply(up)).max() < 1e-10


def test_gradients_follow_finite_differences_and_one_program_serves_all_numbers():
    grid = Grid([-2.0], [2.0], 12)
    F, p0 = grid.evaluate(double_well), gaussian(grid, 0.3, 0.2)
    traces = []

    def mean_square(gamma, D, t):
        traces.append(1)
        A = mechanics.fokker_planck_generator(grid, F, gamma=gamma, diffusion=D)
        p = mechanics.fokker_planck_evolve(p0, A, jnp.stack([jnp.zeros_like(t), t]), steps=1).density[1]
        return grid.integrate(p * grid.axes[0] ** 2)

    at = (0.7, 0.3, 0.5)
    both = jax.jit(jax.value_and_grad(mean_square, argnums=(0, 1, 2)))
    slopes = both(*map(jnp.asarray, at))[1]
    for k, slope in enumerate(slopes):
        ends = [both(*(jnp.asarray(v + s * 1e-5 * (j == k)) for j, v in enumerate(at)))[0] for s in (1, -1)]
        assert float(slope) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-7)  # h² and rounding/h
    assert len(traces) == 1


def test_float32_stays_float32_and_positive():
    @jax.jit
    def run(D):
        grid = Grid(np.float32([-2.0]), np.float32([2.0]), 30)
        A = mechanics.fokker_planck_generator(grid, grid.evaluate(double_well), gamma=1.0, diffusion=D)
        p0 = jnp.zeros(30, jnp.float32).at[7].set(1 / grid.cell)
        density = mechanics.fokker_planck_evolve(p0, A, jnp.array([0.0, 0.1], jnp.float32), steps=1).density[1]
        return A.forward, density, A.stationary(), grid.integrate(density)

    results = run(jnp.float32(0.3))
    assert {v.dtype for v in results} == {jnp.dtype("float32")}
    assert float(results[1].min()) >= 0
    assert float(results[3]) == pytest.approx(1, abs=1e-4)  # 152 roundings of 6e-8


def test_too_few_steps_are_told():
    F = F_WELL
    A = mechanics.fokker_planck_generator(WELL, F, gamma=1.0, diffusion=0.3)
    p0 = mechanics.stationary_density(WELL, F, gamma=1.0, diffusion=2.0)
    found = mechanics.fokker_planck_evolve(p0, A, jnp.array([0.0, 1.0]), steps=1)
    assert float(found.error[1]) == 2.0
    assert float(WELL.integrate(found.density[1])) == pytest.approx(1, abs=1e-12)  # late, but nothing is lost


def test_linear_moments_for_any_matrix_at_any_time():
    A = np.array([[1.0, 2.0, 0.0], [-0.5, 0.3, 1.0], [0.0, 0.0, 0.0]])  # singular: the third diffuses freely
    D, S0 = np.diag([1.0, 0.5, 0.2]), np.diag([0.3, 1.0, 0.1])
    found = mechanics.ornstein_uhlenbeck_moments(A, D, jnp.ones(3), S0, jnp.array([0.0, 0.1, 3.0]))
    for k, t in enumerate((0.0, 0.1, 3.0)):
        block = scipy.linalg.expm(t * np.block([[-A, 2 * D], [np.zeros((3, 3)), A.T]]))
        E = block[:3, :3]
        np.testing.assert_allclose(found.mean[k], E @ np.ones(3), atol=1e-13)
        np.testing.assert_allclose(found.covariance[k], E @ S0 @ E.T + block[:3, 3:] @ E.T, atol=1e-13)
    H, D = np.array([[1.0, 0.3], [0.3, 0.7]]), np.array([[0.3, -0.1], [-0.1, 0.2]])
    late = mechanics.ornstein_uhlenbeck_moments(H, D, jnp.ones(2), 1.0, 1e12)
    np.testing.assert_allclose(late.covariance, scipy.linalg.solve_continuous_lyapunov(H, 2 * D), rtol=1e-13)
    free = mechanics.ornstein_uhlenbeck_moments(0.0, D, jnp.ones(2), 1.0, 1e9)
    np.testing.assert_allclose(free.covariance, np.eye(2) + 2e9 * D, rtol=1e-13)  # 64 doublings
    slope = jax.jit(
        jax.grad(lambda t: mechanics.ornstein_uhlenbeck_moments(H, D, np.ones(2), 1.0, t).covariance[0, 1])
    )(0.2)
    S = np.asarray(mechanics.ornstein_uhlenbeck_moments(H, D, jnp.ones(2), 1.0, 0.2).covariance)
    assert float(slope) == pytest.approx((2 * D - H @ S - S @ H)[0, 1], rel=1e-12)  # the equation itself


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda F: mechanics.fokker_planck_generator(WELL, F, gamma=1.0, diffusion=-0.1),
            "`diffusion` must not be negative",
        ),
        (
            lambda F: mechanics.fokker_planck_generator(WELL, F, gamma=1.0, diffusion=jnp.ones(5)),
            "`diffusion` must be a number",
        ),
        (
            lambda F: mechanics.fokker_planck_generator(WELL, F[1:], gamma=1.0, diffusion=0.1),
            "`free_energy` must have shape",
        ),
        (
            lambda F: mechanics.fokker_planck_generator(WELL, F, gamma=1.0, diffusion=np.nan),
            "`diffusion` must be finite",
        ),
        (
            lambda F: mechanics.stationary_density(WELL, F, gamma=1.0, diffusion=0.0),
            "`diffusion` must be positive",
        ),
        (lambda _: mechanics.fokker_planck_generator(Grid([0.0] * 2, [1.0] * 2, 5), diffusion=np.triu(np.ones((2, 2)))),
         "`diffusion` must be symmetric"),
        (lambda _: mechanics.fokker_planck_generator(Grid([0.0] * 3, [1.0] * 3, 17), diffusion=1.0).matrix(),
         "`grid` must have at most 4096 points"),
    ],
)  # fmt: skip
def test_refuses_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make(F_WELL)


def test_refuses_times_and_traced_values_without_steps():
    A = mechanics.fokker_planck_generator(WELL, F_WELL, gamma=1.0, diffusion=0.1)
    p0 = np.ones(160)
    with pytest.raises(ValueError, match="`times` must not decrease"):
        mechanics.fokker_planck_evolve(p0, A, jnp.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="`steps` must be given where"):
        jax.jit(lambda t: mechanics.fokker_planck_evolve(p0, A, t))(jnp.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="`p0` must have last axes"):
        mechanics.fokker_planck_evolve(p0[1:], A, jnp.array([0.0, 1.0]))
    with pytest.raises(TypeError, match="`p0` must be real"):
        mechanics.fokker_planck_evolve(np.ones(160, complex), A, jnp.array([0.0, 1.0]))
