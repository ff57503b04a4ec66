r"""Geodesics: d²y^a/ds² + Γ^a_bc dy^b/ds dy^c/ds = 0, the paths of localised states.

The abstract of arXiv:2111.00903 has localised states follow geodesics; Γ is (12.11) of arXiv:2004.09280. The argument
from stationary ∫ g(ẏ, ẏ) ds as a dissipation that is quadratic in velocities is our own design.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.gravity._algebra import quadratic
from nnthermo.gravity.derivatives import Metric, metric_slopes
from nnthermo.gravity.flow import integrate, relative_tolerance, shares
from nnthermo.gravity.inverse import inverse_and_determinant, inverse_and_sign


class Geodesic(NamedTuple):
    """A geodesic at T values of its affine parameter.

    Attributes:
        parameters: (T,).
        points: (T, n), NaN from the place where it failed.
        velocities: d(point)/d(parameter), upper indices, (T, n).
        norm: g(v, v), (T,), constant up to the error of integration.
        converged: whether the last parameter was reached, ().
        cause: why not, the place in `CAUSES`, 0 if it was, ().
    """

    parameters: Array
    points: Array
    velocities: Array
    norm: Array
    converged: Array
    cause: Array


def geodesic(
    metric: Metric,
    point: Any,
    velocity: Any,
    parameters: Any,
    *,
    tolerance: float | None = None,
    absolute: Any = None,
    domain: Callable[[Array], Any] | None = None,
    max_steps: int = 4096,
    steps: int | None = None,
    solver: Any = None,
    adjoint: Any = None,
) -> Geodesic:
    """The geodesic from a point with a velocity, by the eighth-order method of Dormand and Prince.

    Time-like, null and space-like alike: g(v, v) is whatever the velocity makes it (`normalized_velocity`). Steps end
    at each parameter, where the full order holds; T values cost at least T - 1 steps. `jax.vmap` over points and
    velocities makes bundles, which take as many steps as their slowest member.

    Args:
        metric: g_ab (n, n) of one point.
        point: the start, (n,). Its dtype is that of the result.
        velocity: d(point)/d(parameter) there, (n,).
        parameters: affine parameters, (T,), increasing or decreasing, the first that of the start.
        tolerance: error of a step relative to each coordinate and velocity; 1e-13 in float64, 4e-6 in float32 if None.
        absolute: error of a step that counts as nothing, in units of each coordinate, a number or (n,); for velocities
            times the whole range of parameters. `tolerance` if None, which suits coordinates of unit size or more.
        domain: function of a point (n,), true where the coordinates hold. The path ends at the first step outside.
        max_steps: adaptive steps at most, beyond those that the parameters ask for.
        steps: so many equal steps over the whole range instead of adaptive ones. Parameters between two of them are
            interpolated.
        solver: a diffrax solver instead.
        adjoint: a diffrax adjoint instead of the one for reverse mode; `diffrax.ForwardMode()` for `jax.jvp`. See also
            `geodesic_deviation`.

    Returns:
        The path; NaN from the first parameter that was not reached, for a cause in `CAUSES`. Coordinates in which a
        horizon is singular (Schwarzschild's) end there. What ends between two steps may be missed if steps are large.

    Raises:
        ImportError: without diffrax.
        TypeError, ValueError: as in `metric_derivatives` at the start; wrong shapes; parameters that do not go one way;
            a start outside the domain.
    """
    x, v, g = start(metric, point, velocity, domain)
    dtype, n = x.dtype, x.shape[0]
    s, first, length, ordered = shares(parameters, dtype)
    bound = relative_tolerance(tolerance, dtype)
    sign = orientation(g)
    y, cause = integrate(
        lambda _, y: jnp.stack([y[1], acceleration(metric, y[0], y[1], sign)]),
        jnp.stack([x, v * length]),
        s,
        tolerance=bound,
        absolute=jnp.broadcast_to(jnp.asarray(bound if absolute is None else absolute, dtype), (n,))[None, :],
        max_steps=max_steps,
        steps=steps,
        solver=solver,
        adjoint=adjoint,
        outside=None if domain is None else lambda y: ~jnp.asarray(domain(y[0]), bool),
    )
    sound = ordered & jnp.isfinite(x).all() & jnp.isfinite(v).all()
    return finish(metric, first + length * s, y[:, 0], y[:, 1] / length, cause, sound, bound)


def start(metric: Metric, point: Any, velocity: Any, domain: Any = None) -> tuple[Array, Array, Array]:
    """Checked point and velocity, and g there."""
    g = metric_slopes(metric, point)[0]
    x = real_array("point", point, ndim=1)
    v = real_array("velocity", velocity, shape=x.shape).astype(x.dtype)
    finite("velocity", v)
    inside = None if domain is None else domain(x)  # traced inside transformations even at a known point
    if inside is not None and is_concrete(inside) and not bool(inside):
        refuse("point", "lie in `domain`", x)
    return x, v, g.astype(x.dtype)


def orientation(g: Array) -> Array:
    """The sign of det g, which a path cannot change."""
    return inverse_and_sign(g)[1]


def acceleration(metric: Metric, x: Array, v: Array, sign: Array | None = None) -> Array:
    """-Γ^a_bc v^b v^c, (n,); NaN where det g has not the sign given, so that steps stop short of it."""
    g, dg = metric_slopes(metric, x)
    slopes = jnp.sum(dg * v[None, None, :], axis=2)
    lower = jnp.sum(slopes * v[None, :], axis=1) / 2 - jnp.sum(v[:, None] * slopes, axis=0)
    inverse, found = inverse_and_sign(g)
    a = jnp.sum(inverse * lower[None, :], axis=1)
    return (a if sign is None else jnp.where(found == sign, a, jnp.nan)).astype(x.dtype)


def finish(
    metric: Metric, parameters: Array, points: Array, velocities: Array, cause: Array, sound: Array, bound: float
) -> Geodesic:
    """The path with g(v, v), NaN where that was not kept or the input was not sound."""
    norm, scale = jax.vmap(lambda x, v: _norm(metric, x, v))(points, velocities)
    drift = jnp.abs(norm - norm[0]) > bound**0.5 * jnp.maximum(scale, scale[0])
    cause = jnp.where((cause == 0) & drift.any(), 4, cause)
    cause = jnp.where(sound, cause, 5).astype(jnp.int32)
    good = sound & jnp.cumprod(~drift).astype(bool)
    points, velocities = (jnp.where(good[:, None], a, jnp.nan) for a in (points, velocities))
    return Geodesic(parameters, points, velocities, jnp.where(good, norm, jnp.nan), cause == 0, cause)


def _norm(metric: Metric, x: Array, v: Array) -> tuple[Array, Array]:
    """g(v, v) and the sum of the sizes of its terms."""
    terms = metric(x).astype(x.dtype) * v[:, None] * v[None, :]
    return jnp.sum(terms), jnp.sum(jnp.abs(terms))


def normalized_velocity(metric: Metric, point: Any, spatial: Any, norm: Scalar = -1.0) -> Array:
    """(v⁰, `spatial`) with g(v, v) = `norm` and v⁰ > 0: -1 for a clock, 0 for light, +1 for a space-like line.

    x⁰ must be a time function there, g^00 < 0, so that growing x⁰ is the future. Where g_00 ≥ 0 (an ergosphere) there
    are two solutions or none; the smaller is returned, the one that goes over into that of the outside.

    Args:
        metric: g_ab (n, n) of one point, signature (-, +, ..., +), time first.
        point: (n,).
        spatial: v^i, (n - 1,).
        norm: g(v, v), ().

    Returns:
        (n,). Inside transformations NaN where there is none.

    Raises:
        TypeError, ValueError: as in `metric_derivatives`; no such velocity: x⁰ is not a time there, or the spatial
            velocity is too small for a space-like norm or, in an ergosphere, turns the wrong way.
    """
    g = metric_slopes(metric, point)[0]
    n = g.shape[0]
    check("metric", "have a time and a space dimension", n > 1, n)
    u = real_array("spatial", spatial, shape=(n - 1,)).astype(g.dtype)
    finite("spatial", u)
    target = real_array("norm", norm, shape=()).astype(g.dtype)
    time = inverse_and_determinant(g)[0][0, 0] < 0
    half = jnp.sum(g[0, 1:] * u)
    rest = quadratic(g[1:, 1:], u) - target
    root = jnp.sqrt(half**2 - g[0, 0] * rest)
    # two forms of one root, each free of cancellation where it is used
    v0 = jnp.where(half > 0, -(half + root) / jnp.where(half > 0, g[0, 0], 1), rest / (root - half))
    v0 = jnp.where(time & (v0 > 0), v0, jnp.nan)
    if is_concrete(v0):
        check("metric", "make coordinate 0 a time at `point`", bool(time), "g^00 ≥ 0")
        possible = bool(np.isfinite(v0))
        check("spatial", f"leave a future-directed velocity of norm {float(target):g}", possible, u)
    return jnp.concatenate([v0[None], u])


def conserved_momentum(metric: Metric, symmetry: Any, point: Any, velocity: Any) -> Array:
    """g(ξ, v) of a Killing vector ξ^a, or K_ab v^a v^b of a Killing tensor: constant along geodesics.

    -E for ∂/∂t, L for ∂/∂φ. Nothing tests here that ξ is a Killing field.

    Args:
        metric: g_ab (n, n) of one point.
        symmetry: ξ^a (n,) or K_ab (n, n), lower indices, or a function of one point to either.
        point: (n,); `jax.vmap` for many.
        velocity: v^a, (n,).

    Raises:
        TypeError, ValueError: as in `metric_derivatives`; wrong shapes.
    """
    x, v, g = start(metric, point, velocity)
    field = real_array("symmetry", symmetry(x) if callable(symmetry) else symmetry).astype(x.dtype)
    n = x.shape[0]
    check("symmetry", f"have shape {(n,)} or {(n, n)}", field.shape in ((n,), (n, n)), f"shape {field.shape}")
    if field.ndim == 1:
        return jnp.sum(g * field[:, None] * v[None, :])
    return quadratic(field, v)
