"""Geodesics, their neighbours and what they carry where everything is known: spheres, hyperbolic planes, and the
space-time of Gaussian states."""

from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import gravity

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


def test_gradients_of_geodesics():
    """In the point, the velocity and the metric, against differences of the same program."""
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(7, 2)))

    def functional(K, x, v):
        path = gravity.geodesic(partial(surface, K, 0.0), x, v, jnp.asarray(3 * SHARES))
        return jnp.sum(weights * (path.points + path.velocities))

    def value(K, x, v):
        path = geodesic(K, 0, x, v, 3)
        return float(jnp.sum(weights * (path.points + path.velocities)))

    at = (jnp.array(0.8), jnp.array([1.0, 0.2]), jnp.array([0.3, 0.7]))
    gradients = jax.jit(jax.grad(functional, argnums=(0, 1, 2)))(*at)
    flat, unravel = jax.flatten_util.ravel_pytree(at)
    h = 1e-4
    differences = [(value(*unravel(flat + e)) - value(*unravel(flat - e))) / (2 * h) for e in h * jnp.eye(len(flat))]
    exact = jax.flatten_util.ravel_pytree(gradients)[0]
    np.testing.assert_allclose(exact, differences, rtol=1e-6, atol=1e-6)  # h² times third derivatives


# two points


@jax.jit
@partial(jax.value_and_grad, has_aux=True)
def between(inputs):
    """√|interval| plus a little of the path, so that its derivatives are tested too."""
    K, N, start, end = inputs
    found = gravity.geodesic_between(partial(surface, K, N), start, end, jnp.asarray(SHARES))
    return found.length + 1e-2 * (found.path.points[3].sum() + found.path.velocities[3].sum()), found


def joined(K, N, start, end):
    (value, found), gradient = between(tuple(jnp.asarray(v, float) for v in (K, N, start, end)))
    return float(value), found, gradient


def test_geodesics_between_points():
    start, end = np.array([0.9, 0.2]), np.array([1.6, 1.5])
    (a, alpha), (b, beta) = start, end
    _, found, _ = joined(1, 0, start, end)
    exact = np.arccos(np.cos(a) * np.cos(b) + np.sin(a) * np.sin(b) * np.cos(alpha - beta))
    np.testing.assert_allclose(found.length, exact, rtol=1e-11)
    assert found.converged and found.residual < 1e-11
    np.testing.assert_allclose(found.path.points[jnp.array([0, -1])], [start, end], atol=1e-11)
    K, R = -0.5, np.sqrt(2)
    _, found, _ = joined(K, 0, start, end)
    a, b = a / R, b / R
    exact = R * np.arccosh(np.cosh(a) * np.cosh(b) - np.sinh(a) * np.sinh(b) * np.cos(alpha - beta))
    np.testing.assert_allclose(found.length, exact, rtol=1e-11)
    for N, to, sign in ((3.0, [0.5, 0.3], -1), (3.0, [0.5, 1.5], 1)):  # the closed-form interval of Gaussian states
        _, found, _ = joined(1, N, [1, 0], to)
        e = np.sqrt(2 * N)
        c = 1 + (2 * N * (1 - to[0]) ** 2 - to[1] ** 2) / (4 * N * to[0])
        np.testing.assert_allclose(found.length, e * (np.arccosh(c) if sign < 0 else np.arccos(c)), rtol=1e-11)
        assert np.sign(found.interval) == sign
    _, found, _ = joined(1, 3, [1, 0], [0.9, 20.0])  # c < -1: no geodesic of de Sitter's space joins them
    assert not found.converged and np.isnan(found.length) and np.isnan(found.path.points).all()


def test_gradients_of_the_distance():
    inputs = (-0.5, 0.0, np.array([0.9, 0.2]), np.array([1.6, 1.5]))
    _, _, gradient = joined(*inputs)
    flat, unravel = jax.flatten_util.ravel_pytree(tuple(jnp.asarray(v) for v in inputs))
    h = 1e-4
    for k in (0, 2, 3, 4, 5):
        e = h * np.eye(len(flat))[k]
        difference = (joined(*unravel(flat + e))[0] - joined(*unravel(flat - e))[0]) / (2 * h)
        np.testing.assert_allclose(jax.flatten_util.ravel_pytree(gradient)[0][k], difference, rtol=1e-6, atol=1e-7)


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


@jax.jit
def neighbours(K, point, velocity, separations, rates, parameters):
    return gravity.geodesic_deviation(partial(surface, K, 0.0), point, velocity, separations, rates, parameters)


@pytest.mark.parametrize("K", [1.0, 0.4, -0.6])
def test_neighbours_meet_on_spheres_and_part_on_hyperbolic_planes(K):
    root = np.sqrt(complex(K))
    x, v = jnp.array([1.0, 0.2]), jnp.array([0.3, 0.7])
    g = surface(K, 0.0, x)
    speed = float(jnp.sqrt(v @ g @ v))
    across = jnp.array([-v[1] * g[1, 1], v[0] * g[0, 0]])  # orthogonal to v
    zero, t = jnp.zeros(2), jnp.asarray(2.0 * SHARES)
    path, xi, rates = neighbours(K, x, v, jnp.stack([zero, across, 0.7 * v]), jnp.stack([across, zero, v]), t)
    metric = jax.vmap(partial(surface, K, 0.0))(path.points)

    def length(V):
        return np.sqrt(np.asarray(jnp.einsum("ta,tab,tb->t", V, metric, V)))

    size, l = float(jnp.sqrt(across @ g @ across)), np.asarray(speed * t)
    np.testing.assert_allclose(length(xi[:, 0]), size / speed * np.abs(np.sin(root * l) / root), atol=1e-11)
    np.testing.assert_allclose(length(rates[:, 0]), size * np.abs(np.cos(root * l)), atol=1e-11)
    np.testing.assert_allclose(length(xi[:, 1]), size * np.abs(np.cos(root * l)), atol=1e-11)
    np.testing.assert_allclose(xi[:, 2], (0.7 + t)[:, None] * path.velocities, atol=1e-11)  # along: no curvature
    h = 1e-5  # what the flow does to a change of the velocity; its difference errs by h² times a third derivative
    ends = [geodesic(K, 0, x, v + s * h * across, 2).points for s in (1, -1)]
    np.testing.assert_allclose(xi[:, 0], (ends[0] - ends[1]) / (2 * h), atol=1e-8)


def test_deviation_is_what_riemann_says():
    """D²ξ/ds² of the linearised equation in coordinates against -R^a_bcd v^b ξ^c v^d, at a point of any metric."""
    rng = np.random.default_rng(2)
    base = np.diag([-1.0, 1, 1]) + 0.05 * (s := rng.normal(size=(3, 3))) + 0.05 * s.T
    first, second = (0.1 * rng.normal(size=shape) for shape in ((3, 3, 3), (3, 3, 3, 3)))

    def metric(x):
        g = jnp.asarray(base) + jnp.einsum("abc,c->ab", first, x) + jnp.einsum("abcd,c,d->ab", second, x, x)
        return (g + g.T) / 2

    x, v, xi, slope = (jnp.asarray(0.3 * rng.normal(size=3)) for _ in range(4))

    @jax.jit
    def both(x, v, xi, slope):
        def field(x, v):
            return -jnp.einsum("abc,b,c->a", gravity.christoffel(metric, x), v, v)

        def rate(x, v, xi, slope):
            return slope + jnp.einsum("abc,b,c->a", gravity.christoffel(metric, x), v, xi)

        a, da = jax.jvp(field, (x, v), (xi, slope))
        w, dw = jax.jvp(rate, (x, v, xi, slope), (v, a, slope, da))
        at = gravity.geometry(metric, x)
        curved = -jnp.einsum("ae,ebcd,b,c,d->a", at.inverse, at.riemann, v, xi, v)
        own = gravity.geodesic_deviation(metric, x, v, xi, w, jnp.array([0.0, 1e-3, 2e-3]))
        return dw + jnp.einsum("abc,b,c->a", at.christoffel, v, w), curved, own

    flow, curved, own = both(x, v, xi, slope)
    np.testing.assert_allclose(flow, curved, atol=1e-14)
    np.testing.assert_allclose(own.rates[0], own.rates[0])


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
        uniform = np.allclose(np.diff(tau), np.diff(tau)[0])
        assert (np.abs(acceleration).max() < 1e-4) == uniform  # zero for the affine parameter alone


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
    assert np.isnan(told.turning) and length < 1e-6
    assert referred.turning < 1e-6  # straight light is a geodesic
    bent = on_record(1, 2, (1 + s, 2 * s + 0.5 * s**2), s)[4]
    assert bent.turning > 0.1


def test_acceleration_converges():
    errors = []
    for T in (16, 31):
        t = np.linspace(0, 1, T)
        path = np.stack([1 + 0.3 * np.sin(2 * t), np.exp(t)], axis=1)
        a = gravity.covariant_acceleration(partial(surface, 1.0, 0.0), path, t)
        r, dr, ddr, dphi = 1 + 0.3 * np.sin(2 * t), 0.6 * np.cos(2 * t), -1.2 * np.sin(2 * t), np.exp(t)
        exact = np.stack([ddr - np.sin(r) * np.cos(r) * dphi**2, dphi + 2 / np.tan(r) * dr * dphi], axis=1)
        errors.append(np.abs(np.asarray(a) - exact).max(axis=1))
    ends, middle = (np.log2(errors[0][k] / errors[1][2 * k]) for k in (0, 7))
    assert 2.7 < ends < 3.5 and 3.5 < middle < 4.6, (ends, middle)  # orders 3 and 4
