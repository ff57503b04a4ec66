"""The geodesic between two points: shooting by Newton's method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from nnthermo._checks import finite, integer, real_array
from nnthermo._typing import Array
from nnthermo.gravity._algebra import contract, quadratic
from nnthermo.gravity.derivatives import Metric, metric_slopes
from nnthermo.gravity.deviation import geodesic_deviation
from nnthermo.gravity.flow import relative_tolerance
from nnthermo.gravity.geodesics import Geodesic, geodesic
from nnthermo.gravity.inverse import inverse_and_determinant
from nnthermo.gravity.transport import connection_along
from nnthermo.linalg.dense import matmul


class ConnectingGeodesic(NamedTuple):
    """A geodesic between two points.

    Attributes:
        path: from the first to the second, at T parameters; NaN if not found.
        interval: g(v, v) times the square of the range of parameters, (): negative if the points are time-like apart,
            as long as this is the only geodesic between them.
        length: √|interval|, (): distance or proper time along it.
        residual: how far the last try misses the second point, beside the distance of the two, ().
        converged: whether it was found, ().
        solutions: geodesics that were tried, ().
    """

    path: Geodesic
    interval: Array
    length: Array
    residual: Array
    converged: Array
    solutions: Array


def geodesic_between(
    metric: Metric,
    start: Any,
    end: Any,
    parameters: Any = None,
    *,
    velocity: Any = None,
    tolerance: float | None = None,
    absolute: Any = None,
    domain: Callable[[Array], Any] | None = None,
    max_steps: int = 4096,
    max_solutions: int = 60,
) -> ConnectingGeodesic:
    """A geodesic from `start` to `end`, whose initial velocity is found by Newton's method on where it ends.

    The derivative of the end in the velocity are Jacobi fields (`geodesic_deviation`). A step that does not come closer
    is halved. Which geodesic is found where there are several, and whether it is the shortest, depends on the first
    velocity: the straight line of the coordinates if None. Angles are coordinates like others: 0 and 2π differ.

    First derivatives in both points and in what the metric closes over, in reverse mode, follow from the equation that
    is solved (implicit functions); second ones do not.

    Args:
        metric: g_ab (n, n) of one point.
        start, end: (n,).
        parameters: affine, (T,), the first that of the start, the last that of the end; 17 from 0 to 1 if None.
        velocity: a first guess of d(point)/d(parameter) at the start, (n,).
        tolerance, absolute, domain, max_steps: as for `geodesic`.
        max_solutions: geodesics that may be tried.

    Returns:
        The path; NaN where none was found: conjugate points, points that no geodesic connects (in a space-time they may
        be close), too far a first guess, or no more solutions allowed.

    Raises:
        ImportError, TypeError, ValueError: as for `geodesic`.
    """
    g = metric_slopes(metric, start)[0]
    x = real_array("start", start, ndim=1)
    dtype, n = x.dtype, x.shape[0]
    target = real_array("end", end, shape=(n,)).astype(dtype)
    finite("end", target)
    most = integer("max_solutions", max_solutions, least=1)
    t = real_array("parameters", jnp.linspace(0, 1, 17, dtype=dtype) if parameters is None else parameters, ndim=1)
    t = t.astype(dtype)
    bound = relative_tolerance(tolerance, dtype)
    guess = (target - x) / (t[-1] - t[0])
    if velocity is not None:
        guess = real_array("velocity", velocity, shape=(n,)).astype(dtype)
        finite("velocity", guess)
    converted, constants = jax.closure_convert(metric, x)
    fixed = [stop_gradient(c) for c in constants]
    options = {"tolerance": bound, "absolute": absolute, "domain": domain, "max_steps": max_steps}

    def size(v: Array) -> Array:
        return jnp.sqrt(quadratic(jnp.abs(stop_gradient(g).astype(dtype)), jnp.abs(v)))

    x0, x1, span = stop_gradient(x), stop_gradient(target), stop_gradient(t[-1] - t[0])
    apart = size(x1 - x0)
    enough = 100 * bound * (apart + 1e-3 * size(jnp.abs(x0) + jnp.abs(x1)))

    def newton(state: _Search) -> _Search:
        here = geodesic_deviation(
            lambda y: converted(y, *fixed), x0, state.trial, jnp.zeros((n, n), dtype), jnp.eye(n, dtype=dtype),
            stop_gradient(t), **options,
        )  # fmt: skip
        miss = here.geodesic.points[-1] - x1
        better = size(miss) < state.error  # never if NaN
        fraction = jnp.where(better, 1, state.fraction / 2)
        new = _Search(state.trial, state.trial, miss, here.separations, here.rates, size(miss), fraction, state.count)
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), new, state)
        step = _solve(kept.fields[-1].T, kept.miss)
        return kept._replace(trial=kept.velocity - fraction * step, fraction=fraction, count=state.count + 1)

    def unfinished(state: _Search) -> Array:
        return (state.error > enough) & (state.count < most) & (state.fraction > 1e-9)

    shares = (stop_gradient(t) - t[0]) / span
    eye = jnp.eye(n, dtype=dtype)
    first = _Search(
        stop_gradient(guess),
        jnp.zeros(n, dtype),
        x0 - x1,
        stop_gradient(shares)[:, None, None] * span * eye[None],
        jnp.broadcast_to(eye, (len(t), n, n)),
        apart,
        jnp.ones((), dtype),
        0,
    )
    found = stop_gradient(jax.lax.while_loop(unfinished, newton, first))

    # one more step of Newton, linear and as small as the error, carries the derivatives
    line = geodesic(metric, x, found.velocity, t, **options)
    step = -_solve(found.fields[-1].T, line.points[-1] - target)
    points = line.points + contract("tba,b->ta", found.fields, step)
    turns = stop_gradient(jax.vmap(lambda x, v: connection_along(metric, x, v))(line.points, line.velocities))
    slopes = found.rates - contract("tac,tbc->tba", turns, found.fields)
    velocities = line.velocities + contract("tba,b->ta", slopes, step)
    converged = (found.error <= enough) & line.converged
    norm = quadratic(metric(x).astype(dtype), velocities[0])
    points, velocities, norm = (jnp.where(converged, a, jnp.nan) for a in (points, velocities, norm))
    path = Geodesic(t, points, velocities, jnp.broadcast_to(norm, t.shape), converged, line.cause)
    interval = norm * (t[-1] - t[0]) ** 2
    apart = jnp.where(apart > 0, apart, 1)
    length = jnp.sqrt(jnp.where(interval == 0, 1, jnp.abs(interval))) * jnp.abs(jnp.sign(interval))
    return ConnectingGeodesic(path, interval, length, found.error / apart, converged, found.count)


class _Search(NamedTuple):
    """The best velocity so far with its Jacobi fields, and the one to try next."""

    trial: Array
    velocity: Array
    miss: Array
    fields: Array
    rates: Array
    error: Array
    fraction: Array
    count: Any


def _solve(matrix: Array, right: Array) -> Array:
    """By normal equations, refined once: no LAPACK up to n = 4."""
    inverse = inverse_and_determinant(matmul(matrix.T, matrix))[0]
    first = matmul(inverse, matmul(matrix.T, right))
    return first + matmul(inverse, matmul(matrix.T, right - matmul(matrix, first)))
