"""Recorded paths: their lengths, their acceleration, and how far they are from geodesics.

A path is given by its points (T, n) at T values of any parameter, evenly spaced or not. Between them stand polynomials
through neighbouring points, so that what comes out converges as a power of the spacing, and noise in the points is
amplified by division by the spacing squared.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, increasing, integer, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.gravity._algebra import quadratic, root
from nnthermo.gravity._arguments import returns
from nnthermo.gravity.derivatives import Metric
from nnthermo.gravity.geodesics import acceleration
from nnthermo.gravity.inverse import regular, suspects
from nnthermo.linalg.dense import matmul


class NonGeodesicity(NamedTuple):
    """How far a path is from a geodesic, whatever its parametrisation.

    Attributes:
        turning: ∫ κ dl, dimensionless, (): radians for space-like paths, rapidity for time-like ones.
        curvature: κ, geodesic curvature at each point, 1/length, (T,).
        length: ∫ dl, ().
    """

    turning: Array
    curvature: Array
    length: Array


def covariant_acceleration(metric: Metric, points: Any, parameters: Any, *, stencil: int = 5) -> Array:
    """a^a = d²y^a/ds² + Γ^a_bc dy^b/ds dy^c/ds of a recorded path, upper index, (T, n): zero on a geodesic whose
    parameter is affine.

    Args:
        metric: g_ab (n, n) of one point.
        points: (T, n).
        parameters: (T,), increasing or decreasing, even or not.
        stencil: neighbouring points in each polynomial. The error is of order stencil - 2 in the spacing, one more in
            the middle of an even odd-sized stencil.

    Raises:
        TypeError, ValueError: wrong shapes, fewer points than the stencil, parameters that do not go one way, a metric
            as in `metric_derivatives` at known points. Inside transformations NaN where g is singular.
    """
    x, t = _path(points, parameters, stencil)
    _regular(metric, x)
    _, velocities, accelerations = _derivatives(x, t, stencil)
    return accelerations - jax.vmap(lambda x, v: acceleration(metric, x, v))(x, velocities)


def non_geodesicity(
    metric: Metric, points: Any, parameters: Any, *, reference: Metric | None = None, stencil: int = 5
) -> NonGeodesicity:
    """The total turning ∫ |a_⊥|/|v|² dl of a recorded path: own design.

    a_⊥ is the covariant acceleration orthogonal to the velocity v, |·|² = |g(·, ·)|. It does not change with the
    parametrisation, nor when g is multiplied by a number; it is zero for a geodesic at any speed and 2π for a circle in
    a plane.

    Orthogonality fails where v is null: NaN where |g(v, v)| is below the square root of rounding times the sizes of its
    terms, and then in the whole turning. On space-like paths in a space-time a null a_⊥ is not seen. A `reference`, a
    positive metric such as Fisher's, measures lengths and orthogonality in both cases instead of g (geodesics stay
    those of g): then null paths count as all others, and the number depends on the reference.

    Args:
        metric: g_ab (n, n) of one point.
        points: (T, n).
        parameters: (T,), increasing or decreasing, even or not.
        reference: a positive metric of one point, or None for `metric` itself.
        stencil: as in `covariant_acceleration`.

    Raises:
        TypeError, ValueError: as in `covariant_acceleration`.
    """
    x, t = _path(points, parameters, stencil)
    _regular(metric, x)
    _, v, a = _derivatives(x, t, stencil)
    ruler = metric if reference is None else reference

    def at(x: Array, v: Array, a: Array) -> tuple[Array, Array]:
        h = ruler(x).astype(x.dtype)
        covariant = a - acceleration(metric, x, v)
        lower = jnp.sum(h * v[None, :], axis=1)
        terms = jnp.sum(jnp.abs(h) * jnp.abs(v)[:, None] * jnp.abs(v)[None, :])
        square = jnp.sum(lower * v)
        square = jnp.where(jnp.abs(square) > jnp.finfo(x.dtype).eps ** 0.5 * terms, square, jnp.nan)
        across = covariant - v * (jnp.sum(lower * covariant) / square)
        size = quadratic(h, across)
        return root(size) / jnp.abs(square), root(square)

    curvature, speed = jax.vmap(at)(x, v, a)
    return NonGeodesicity(_integral(curvature * speed, t, stencil), curvature, _integral(speed, t, stencil))


def path_length(metric: Metric, points: Any, parameters: Any, *, stencil: int = 5) -> Array:
    """∫ √|g(v, v)| dl of a recorded path, (); the error is of order stencil - 1 in the spacing.

    A `Geodesic` knows it better: √|norm| times the range of its parameter.

    Args:
        metric: g_ab (n, n) of one point.
        points: (T, n).
        parameters: (T,), increasing or decreasing, even or not.
        stencil: neighbouring points in each polynomial.

    Raises:
        TypeError, ValueError: as in `covariant_acceleration`.
    """
    return _length(metric, points, parameters, stencil, False)


def proper_time(metric: Metric, path: Any, parameters: Any = None, *, nodes: int = 16, stencil: int = 5) -> Array:
    """∫ √(-g(v, v)) dl along a time-like path, ().

    Args:
        metric: g_ab (n, n) of one point.
        path: a function of a parameter l -> point (n,), integrated by Gauss and Legendre's rule, exponentially accurate
            if smooth. Or recorded points (T, n): joined by chords and the trapezoidal rule, an error of second order in
            their spacing, or with `parameters` by polynomials.
        parameters: of a function the two ends (2,); of recorded points (T,), as in `path_length`.
        nodes: of Gauss and Legendre's rule.
        stencil: neighbouring points in each polynomial.

    Returns:
        () ≥ 0, with derivative zero where the path is null. NaN if some part is space-like.

    Raises:
        TypeError, ValueError: as in `path_length`; fewer than two points; a function without its ends.
    """
    if callable(path):
        check("parameters", "be the two ends of a `path` that is a function", parameters is not None, None)
        start, end = real_array("parameters", parameters, shape=(2,))
        places, weights = np.polynomial.legendre.leggauss(nodes)
        half = (end - start) / 2
        s = (start + end) / 2 + half * jnp.asarray(places, half.dtype)

        def speed(s: Array) -> Array:
            y, v = jax.jvp(path, (s,), (jnp.ones_like(s),))
            return _elapsed(quadratic(metric(y), v))

        return jnp.sum(jnp.asarray(weights, half.dtype) * jax.vmap(speed)(s)) * jnp.abs(half)
    if parameters is not None:
        return _length(metric, path, parameters, stencil, True)
    y = real_array("path", path, ndim=2)
    check("path", "hold two or more points", y.shape[0] > 1, y.shape[0])
    returns("metric", metric, y[0], y.shape[1:] * 2)
    g, steps = jax.vmap(metric)(y), jnp.diff(y, axis=0)
    lengths = [_elapsed(jax.vmap(quadratic)(at, steps)) for at in (g[:-1], g[1:])]
    return jnp.sum(lengths[0] + lengths[1]) / 2


def _length(metric: Metric, points: Any, parameters: Any, stencil: int, timelike: bool) -> Array:
    x, t = _path(points, parameters, stencil)
    returns("metric", metric, x[0], x.shape[1:] * 2)
    v = _derivatives(x, t, stencil)[1]
    square = jax.vmap(lambda x, v: quadratic(metric(x).astype(x.dtype), v))(x, v)
    return _integral(_elapsed(square) if timelike else root(square), t, stencil)


def _elapsed(square: Array) -> Array:
    """√(-square), NaN where it is positive: space-like."""
    return root(jnp.where(square <= 0, square, jnp.nan))


def _regular(metric: Metric, x: Array) -> None:
    """Refuse g at known points as `metric_derivatives` does at one."""
    returns("metric", metric, x[0], x.shape[1:] * 2)
    g = jax.vmap(metric)(x)
    if is_concrete(x, g):
        for k in suspects(g)[:1]:
            regular("metric", g[k], f" at {np.asarray(x[k])}")


def _path(points: Any, parameters: Any, stencil: int) -> tuple[Array, Array]:
    x = real_array("points", points, ndim=2)
    t = real_array("parameters", parameters, shape=x.shape[:1]).astype(x.dtype)
    size = integer("stencil", stencil, least=3)
    check("points", f"be at least as many as the stencil of {size}", len(x) >= size, len(x))
    finite("points", x)
    increasing("parameters", t, or_decreasing=True)
    return x, t


def _basis(nodes: Array, at: Array) -> Array:
    """Lagrange's polynomials of k nodes at one place, (k,)."""
    k = len(nodes)
    other = ~np.eye(k, dtype=bool)
    gaps = jnp.where(other, nodes[:, None] - nodes[None, :], 1)
    return jnp.prod(jnp.where(other, (at - nodes)[None, :], 1) / gaps, axis=1)


def _windows(T: int, stencil: int, centres: np.ndarray) -> np.ndarray:
    """Indices (len(centres), stencil) of the points around each centre, shifted inwards at the ends."""
    first = np.clip(centres - stencil // 2, 0, T - stencil)
    return first[:, None] + np.arange(stencil)[None, :]


def _derivatives(x: Array, t: Array, stencil: int) -> tuple[Array, Array, Array]:
    """Points, first and second derivatives of the polynomials, (T, n) each."""
    around = _windows(len(x), stencil, np.arange(len(x)))

    def at(nodes: Array, values: Array, place: Array) -> tuple[Array, Array]:
        def polynomial(place: Array) -> Array:
            return matmul(_basis(nodes, place), values)

        def slope(place: Array) -> Array:
            return jax.jvp(polynomial, (place,), (jnp.ones_like(place),))[1]

        return jax.jvp(slope, (place,), (jnp.ones_like(place),))

    # places relative to the point itself, where nothing cancels
    first, second = jax.vmap(at)(t[around] - t[:, None], x[around] - x[:, None, :], jnp.zeros_like(t))
    return x, first, second


def _integral(values: Array, t: Array, stencil: int) -> Array:
    """∫ values |dt| of the polynomials, exact for them by Gauss and Legendre's rule on each interval."""
    around = _windows(len(t), stencil, np.arange(len(t) - 1) + stencil % 2)
    places, weights = (jnp.asarray(a, t.dtype) for a in np.polynomial.legendre.leggauss((stencil + 1) // 2))

    def interval(nodes: Array, values: Array, width: Array) -> Array:
        basis = jax.vmap(lambda place: _basis(nodes, width * (place + 1) / 2))(places)
        return width / 2 * jnp.sum(weights * jnp.sum(basis * values[None, :], axis=1))

    parts = jax.vmap(interval)(t[around] - t[:-1, None], values[around], jnp.diff(t))
    return jnp.abs(jnp.sum(parts))
