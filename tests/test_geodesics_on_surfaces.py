"""Geodesics, their neighbours and what they carry where everything is known: spheres, hyperbolic planes, and the
space-time of Gaussian states."""

from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import gravity
from nnthermo._checks import extra
from nnthermo.gravity.geodesics import acceleration, orientation

SHARES = np.linspace(0, 1, 7)


def surface(K, N, x):
    """dr² + S_K(r)² dφ², of curvature K; for N > 0 (-2N dσ² + dm²)/σ² of x = (σ, m); for N < 0 dx² + x dy²."""
    r, root, one = x[0], jnp.sqrt(jnp.abs(K)), jnp.ones_like(x[0])
    circle = (jnp.where(K > 0, jnp.sin(root * r), jnp.sinh(root * r)) / root) ** 2
    first = jnp.where(N > 0, -2 * N / r**2, one)
    second = jnp.where(N > 0, 1 / r**2, jnp.where(N < 0, r, circle))
    return jnp.diag(jnp.stack([first, second]))


@jax.jit
def compiled(K, N, point, velocity, parameters):
    return gravity.geodesic(partial(surface, K, N), point, velocity, parameters)


def geodesic(K, N, point, velocity, length):
    return compiled(*(jnp.asarray(v, float) for v in (K, N, point, velocity, length * SHARES)))


def embedded(x):
    return jnp.stack([jnp.sin(x[0]) * jnp.cos(x[1]), jnp.sin(x[0]) * jnp.sin(x[1]), jnp.cos(x[0])])


def test_great_circles():
    x, v = jnp.array([1.0, 0.2]), jnp.array([0.3, 0.7])
    path = geodesic(1, 0, x, v, 9.0)
    start, direction = (np.asarray(a) for a in jax.jvp(embedded, (x,), (v,)))
    speed = np.linalg.norm(direction)
    exact = np.cos(9 * speed * SHARES)[:, None] * start + np.sin(9 * speed * SHARES)[:, None] * direction / speed
    np.testing.assert_allclose(jax.vmap(embedded)(path.points), exact, atol=1e-12)  # 1e-13 a step
    np.testing.assert_allclose(path.norm, speed**2, rtol=1e-12)


@pytest.mark.parametrize(
    ("N", "P", "sigma", "proper"), [(2.0, 0.7, 1.5, 6.0), (8.0, 3.0, 0.4, 10.0), (0.5, 0.01, 2.0, 3.0)]
)
def test_states_of_gaussians_move_by_the_sinh_law(N, P, sigma, proper):
    root = np.sqrt(2 * N)
    velocity = [-sigma * np.sqrt((1 + (P * sigma) ** 2) / (2 * N)), P * sigma**2]
    path = geodesic(1, N, [sigma, 0.1], velocity, proper)
    np.testing.assert_allclose(path.norm, -1, rtol=1e-12)
    tau, (s, m) = np.asarray(path.parameters), np.asarray(path.points).T
    np.testing.assert_allclose(1 / (P * s), np.sinh(tau / root + np.arcsinh(1 / (P * sigma))), rtol=1e-11)
    moved = root / P * (np.sqrt(1 + (P * sigma) ** 2) - np.sqrt(1 + (P * s) ** 2))
    np.testing.assert_allclose(m - 0.1, moved, rtol=1e-11, atol=1e-12)
    e = root * s
    interval = root * np.arccosh(1 + ((e[0] - e[-1]) ** 2 - (m[0] - m[-1]) ** 2) / (2 * e[0] * e[-1]))
    np.testing.assert_allclose(interval, proper, rtol=1e-11)
    P_kept = [gravity.conserved_momentum(partial(surface, 1.0, N), jnp.array([0.0, 1]), *at)
              for at in zip(path.points[::6], path.velocities[::6], strict=True)]  # fmt: skip
    np.testing.assert_allclose(P_kept, P, rtol=1e-11)


def test_a_metric_that_changes_signature_ends_the_path():
    path = geodesic(1, -1, [1, 0], [-1, 0], 1.6)
    assert gravity.CAUSES[int(path.cause)] == "singular"
    np.testing.assert_array_equal(np.isfinite(path.points[:, 0]), SHARES * 1.6 < 1)


@jax.jit
def coarse(point, velocity, parameters):
    return gravity.geodesic(partial(surface, 1.0, 0.0), point, velocity, parameters, steps=4)


def test_errors_of_equal_steps_are_of_eighth_order():
    x, v = jnp.array([1.0, 0.2]), jnp.array([0.3, 0.7])
    lengths = np.array([1.2, 1.5, 1.9])
    errors = [
        float(jnp.abs(coarse(x, v, jnp.array([0, h])).points[-1] - geodesic(1, 0, x, v, h).points[-1]).max())
        for h in lengths
    ]
    slope = np.polyfit(np.log(lengths), np.log(errors), 1)[0]
    assert 8 < slope < 10, (slope, errors)  # length × step⁸ = length⁹, higher orders beside it
    assert gravity.CAUSES[int(coarse(x, v, jnp.array([0.0, 60])).cause)] in ("drift", "singular")


def test_derivatives_of_geodesics():
    """In the metric, the point and the velocity, in forward mode, against differences; in reverse mode: `between`."""
    adjoint = extra("diffrax", "mechanics").ForwardMode()

    @jax.jit
    def pushed(at, along):
        def ends(K, x, v):
            path = gravity.geodesic(partial(surface, K, 0.0), x, v, jnp.asarray(3 * SHARES), adjoint=adjoint)
            return path.points, path.velocities

        return jax.jvp(ends, at, along)[1]

    at = (jnp.array(0.8), jnp.array([1.0, 0.2]), jnp.array([0.3, 0.7]))
    flat, unravel = jax.flatten_util.ravel_pytree(at)
    h = 1e-4
    for e in np.eye(len(flat)):
        plus, minus = (geodesic(K, 0, x, v, 3) for K, x, v in (unravel(flat + h * e), unravel(flat - h * e)))
        for exact, a, b in zip(pushed(at, unravel(jnp.asarray(e))), plus[1:3], minus[1:3], strict=True):
            np.testing.assert_allclose(exact, (a - b) / (2 * h), atol=1e-6)  # h² times third derivatives


# two points


def half_plane(N, x):
    """(-2N dσ² + dm²)/σ²: Gaussian states for N > 0, a plane of curvature 1/2N for N < 0."""
    return jnp.diag(jnp.stack([-2 * N, jnp.ones_like(N)])) / x[0] ** 2


@jax.jit
@partial(jax.value_and_grad, has_aux=True)
def between(inputs):
    """√|interval| plus a little of the path, so that its derivatives are tested too."""
    N, start, end = inputs
    found = gravity.geodesic_between(partial(half_plane, N), start, end, jnp.asarray(SHARES))
    return found.length + 1e-2 * (found.path.points[3].sum() + found.path.velocities[3].sum()), found


def joined(N, start, end):
    (value, found), gradient = between(tuple(jnp.asarray(v, float) for v in (N, start, end)))
    return float(value), found, gradient


@pytest.mark.parametrize(("N", "end"), [(3.0, [0.5, 0.3]), (3.0, [0.5, 1.5]), (-0.5, [0.3, 2.0]), (-2.0, [2.0, -1.0])])
def test_geodesics_between_points(N, end):
    start = np.array([1.0, 0.0])
    _, found, _ = joined(N, start, end)
    c = 1 + (2 * N * (start[0] - end[0]) ** 2 - (start[1] - end[1]) ** 2) / (4 * N * start[0] * end[0])
    exact = np.sqrt(2 * abs(N)) * (np.arccosh(c) if c > 1 else np.arccos(c))
    assert found.converged
    assert found.residual < 1e-11
    np.testing.assert_allclose(found.length, exact, rtol=1e-11)
    assert np.sign(found.interval) == (1 if c < 1 or N < 0 else -1)
    np.testing.assert_allclose(found.path.points[np.array([0, -1])], [start, end], atol=1e-11)
    alone = gravity.conserved_momentum(partial(half_plane, N), jnp.array([0.0, 1]), start, found.path.velocities[0])
    kept = found.path.velocities[:, 1] / found.path.points[:, 0] ** 2
    np.testing.assert_allclose(kept, np.full(7, alone), rtol=1e-10)


def test_points_that_nothing_joins():
    _, found, _ = joined(3.0, [1, 0], [0.9, 20.0])  # de Sitter's space: cosh or cos of the distance below -1
    assert not found.converged
    assert np.isnan(found.length)
    assert np.isnan(found.path.points).all()


def test_gradients_of_the_distance():
    inputs = (np.array(-0.5), np.array([0.9, 0.2]), np.array([1.6, 1.5]))
    flat, unravel = jax.flatten_util.ravel_pytree(tuple(jnp.asarray(v) for v in inputs))
    exact = jax.flatten_util.ravel_pytree(joined(*inputs)[2])[0]
    h = 1e-4
    for k, e in enumerate(np.eye(len(flat))):
        difference = (joined(*unravel(flat + h * e))[0] - joined(*unravel(flat - h * e))[0]) / (2 * h)
        np.testing.assert_allclose(exact[k], difference, rtol=1e-6, atol=1e-7)  # h² times third derivatives


# what paths carry


@jax.jit
def around(K, N, r, ends):
    """Twice round a circle of latitude: the holonomy of a round, and vectors at parameters on the way."""
    metric, loop = partial(surface, K, N), lambda s: jnp.stack([r + 0 * s, s])
    return gravity.parallel_transport(metric, loop, jnp.eye(2), ends)


@pytest.mark.parametrize(("K", "r"), [(1.0, 1.1), (1.0, 2.5), (0.3, 2.0), (-0.7, 1.3)])
def test_holonomy_is_a_rotation_by_the_curvature_inside(K, r):
    carried = around(K, 0.0, r, jnp.asarray(2 * np.pi * SHARES))
    root = np.sqrt(complex(K))
    size = (np.sin(root * r) / root).real
    inside = 2 * np.pi * (1 - np.cos(root * r).real)  # ∫K dA: the solid angle for K = 1
    frames = np.asarray(carried) * [1, size] / np.array([1, size])[:, None]  # orthonormal components, rows the vectors
    for share, frame in zip(SHARES, frames, strict=True):
        angle = share * 2 * np.pi * np.cos(root * r).real  # against the turning coordinates
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(frame, turn, atol=1e-11)  # so norms and angles are kept
    np.testing.assert_allclose(np.trace(frames[-1]), 2 * np.cos(inside), atol=1e-11)


def test_loops_close_up_to_periods():
    """A ring around a sphere and a time that runs on, (t, θ, φ): φ has a period, t is not looked at."""

    def metric(x):
        return jnp.diag(jnp.stack([-jnp.ones_like(x[0]), jnp.ones_like(x[0]), jnp.sin(x[1]) ** 2]))

    loop, ends = lambda s: jnp.stack([s, 1.1 + 0 * s, s]), np.array([0.0, 2 * np.pi])
    periods = np.array([np.inf, 0.0, 2 * np.pi])
    H = gravity.holonomy(metric, loop, ends, periods=periods)
    assert np.trace(H) == pytest.approx(1 + 2 * np.cos(2 * np.pi * np.cos(1.1)), abs=1e-11)
    with pytest.raises(ValueError, match=r"`loop` must close, but got ends \[0.0, 0.0, 3.14"):
        gravity.holonomy(metric, loop, ends / 2, periods=periods)


@pytest.mark.parametrize("n", [4, 5])
def test_the_side_of_a_horizon_is_known_where_its_determinant_underflows(n):
    """diag(x¹, 1, ...) in units of 1e-12, whose determinant float32 does not hold: the path stops where it turns."""

    def metric(x):
        return 1e-12 * jnp.diag(jnp.ones(n, jnp.float32).at[0].set(x[1]))

    x, v = jnp.ones(n, jnp.float32), jnp.ones(n, jnp.float32)
    assert float(gravity.inverse_and_determinant(metric(x))[1]) == 0
    assert float(orientation(metric(x))) == 1
    assert float(orientation(metric(-x))) == -1
    assert np.isfinite(acceleration(metric, x, v, orientation(metric(x)))).all()
    assert np.isnan(acceleration(metric, -x, v, orientation(metric(x)))).all()


def conformal(K, x):
    """Constant curvature again: dx²/(1 + K|x|²/4)²."""
    return jnp.eye(2) / (1 + K * jnp.sum(x**2) / 4) ** 2


@jax.jit
def neighbours(K, point, velocity, separations, rates, parameters):
    return gravity.geodesic_deviation(partial(conformal, K), point, velocity, separations, rates, parameters)


@pytest.mark.parametrize("K", [1.0, 0.4, -0.6])
def test_neighbours_meet_on_spheres_and_part_on_hyperbolic_planes(K):
    root = np.sqrt(complex(K))
    x, v = jnp.array([1.0, 0.2]), jnp.array([0.3, 0.7])
    g = conformal(K, x)
    speed = float(jnp.sqrt(v @ g @ v))
    across = jnp.array([-v[1] * g[1, 1], v[0] * g[0, 0]])  # orthogonal to v
    zero, t = jnp.zeros(2), jnp.asarray(2.0 * SHARES)
    path, xi, rates = neighbours(K, x, v, jnp.stack([zero, across, 0.7 * v]), jnp.stack([across, zero, v]), t)
    metric = jax.vmap(partial(conformal, K))(path.points)

    def length(V):
        return np.sqrt(np.asarray(jnp.einsum("ta,tab,tb->t", V, metric, V)))

    size, far = float(jnp.sqrt(across @ g @ across)), np.asarray(speed * t)
    np.testing.assert_allclose(length(xi[:, 0]), size / speed * np.abs(np.sin(root * far) / root), atol=1e-11)
    np.testing.assert_allclose(length(rates[:, 0]), size * np.abs(np.cos(root * far)), atol=1e-11)
    np.testing.assert_allclose(length(xi[:, 1]), size * np.abs(np.cos(root * far)), atol=1e-11)
    np.testing.assert_allclose(xi[:, 2], (0.7 + t)[:, None] * path.velocities, atol=1e-11)  # along: no curvature


def test_deviation_is_what_riemann_says():
    """D²ξ/ds² = -R^a_bcd v^b ξ^c v^d in a space-time without symmetry, differentiated along the path."""
    rng = np.random.default_rng(2)
    first, second = (0.1 * rng.normal(size=shape) for shape in ((3, 3, 3), (3, 3, 3, 3)))

    def metric(x):
        g = jnp.einsum("abc,c->ab", first, x) + jnp.einsum("abcd,c,d->ab", second, x, x)
        return jnp.diag(jnp.array([-1.0, 1, 1])) + g + g.T

    h = 0.05

    @jax.jit
    def both(x, v, xi, rate):
        path, xi, rates = gravity.geodesic_deviation(metric, x, v, xi, rate, h * jnp.arange(5.0))
        at, v, xi = gravity.geometry(metric, path.points[2]), path.velocities[2], xi[2]
        change = (rates[0] - 8 * rates[1] + 8 * rates[3] - rates[4]) / (12 * h)
        covariant = change + jnp.einsum("abc,b,c->a", at.christoffel, v, rates[2])
        return covariant, -jnp.einsum("ae,ebcd,b,c,d->a", at.inverse, at.riemann, v, xi, v)

    moved, curved = both(*(jnp.asarray(0.3 * rng.normal(size=3)) for _ in range(4)))
    np.testing.assert_allclose(moved, curved, atol=1e-2 * h**4)  # times fifth derivatives, some 0.3⁵


# recorded paths


@jax.jit
def recorded(K, N, points, parameters):
    metric = partial(surface, K, N)
    return (
        gravity.non_geodesicity(metric, points, parameters),
        gravity.covariant_acceleration(metric, points, parameters),
        gravity.path_length(metric, points, parameters),
        gravity.proper_time(metric, points, parameters),
        gravity.non_geodesicity(metric, points, parameters, reference=lambda x: jnp.eye(2) / x[0] ** 2),
    )


def on_record(K, N, curve, parameters):
    return recorded(float(K), float(N), jnp.asarray(np.stack(curve, axis=1)), jnp.asarray(parameters))


s = np.linspace(0.1, 1, 60)
uneven = s**1.5


def test_reparametrised_geodesics_do_not_turn():
    N, P, sigma, root = 2.0, 0.7, 1.5, 2.0
    for tau in (2 * s, 2 * s**2, np.sinh(2 * s)):  # points at even s, whatever the proper time: dτ/ds is not constant
        width = 1 / (P * np.sinh(tau / root + np.arcsinh(1 / (P * sigma))))
        mean = root / P * (np.sqrt(1 + (P * sigma) ** 2) - np.sqrt(1 + (P * width) ** 2))
        told, acceleration, length, proper, referred = on_record(1, N, (width, mean), s)
        assert told.turning < 3e-5  # the spacing, 0.015, to the third at the ends, times fifth derivatives
        assert referred.turning < 3e-5
        np.testing.assert_allclose([length, proper, told.length], np.ptp(tau), rtol=1e-6)
        affine = np.allclose(np.diff(tau), np.diff(tau)[0])
        assert (np.abs(acceleration).max() < 3e-3) == affine  # the same errors; without affine parameter of order one


@pytest.mark.parametrize("parameters", [s, uneven])
def test_circles_turn(parameters):
    r, K = 1.1, 1.0
    told, _, length, proper, _ = on_record(K, 0, (np.full(60, r), np.sin(parameters)), parameters)
    angle = np.ptp(np.sin(parameters))
    np.testing.assert_allclose(told.curvature, 1 / np.tan(r), rtol=1e-4)  # spacing to the third
    np.testing.assert_allclose(told.turning, angle * np.cos(r), rtol=1e-5)
    np.testing.assert_allclose([length, told.length], angle * np.sin(r), rtol=1e-6)
    assert np.isnan(proper)


def test_light_has_no_turning_without_a_reference():
    curve = (1 + s, 2 * s)  # null for N = 2: 2N dσ² = dm²
    told, _, length, _, referred = on_record(1, 2, curve, s)
    assert np.isnan(told.turning)
    assert length < 1e-6
    assert referred.turning < 1e-6  # straight light is a geodesic
    bent = on_record(1, 2, (1 + s, 2 * s + 0.5 * s**2), s)[4]
    assert bent.turning > 0.1


def test_acceleration_converges():
    def error(t):
        r, dr, ddr, dphi = 1 + 0.3 * np.sin(2 * t), 0.6 * np.cos(2 * t), -1.2 * np.sin(2 * t), np.exp(t)
        a = on_record(1, 0, (r, np.exp(t)), t)[1]
        exact = np.stack([ddr - np.sin(r) * np.cos(r) * dphi**2, dphi + 2 / np.tan(r) * dr * dphi], axis=1)
        return np.abs(np.asarray(a) - exact).max(axis=1)

    even = np.arange(60)
    ends = np.log2(error(0.02 * even)[0] / error(0.01 * even)[0])
    middle = np.log2(error(0.02 * (even - 30))[30] / error(0.01 * (even - 30))[30])
    assert 2.8 < ends < 3.3, ends  # a stencil of five: order 3
    assert 3.7 < middle < 4.3, middle  # and one more where it is symmetric
