"""Vectors carried along paths: parallel transport, holonomy, and the spreading of neighbouring geodesics."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.gravity.curvature import christoffel
from nnthermo.gravity.derivatives import Metric
from nnthermo.gravity.flow import integrate, relative_tolerance, shares
from nnthermo.gravity.geodesics import Geodesic, acceleration, borders, finish, start

Curve = Callable[[Array], Array]
"""A point (n,) as a function of one parameter (), of JAX operations."""


def parallel_transport(
    metric: Metric,
    path: Curve | Geodesic,
    vectors: Any,
    parameters: Any = None,
    *,
    tolerance: float | None = None,
    max_steps: int = 4096,
    solver: Any = None,
    adjoint: Any = None,
) -> Array:
    """dV^a/ds + Γ^a_bc ẋ^b V^c = 0: vectors carried along without turning; their products by g stay.

    Args:
        metric: g_ab (n, n) of one point.
        path: a curve as a function of its parameter, or a `Geodesic`, which is integrated again with its vectors.
        vectors: V^a at the first parameter, upper indices, (..., n): one vector or the rows of a frame.
        parameters: where the vectors are wanted, (T,), increasing or decreasing; those of the geodesic if None.
        tolerance, max_steps, solver, adjoint: as for `geodesic`; absolute errors count relative to the largest
            component of each vector.

    Returns:
        V^a, (T, ..., n); NaN from where the path fails (`CAUSES`) or the metric along the curve is singular.

    Raises:
        ImportError: without diffrax.
        TypeError, ValueError: as in `metric_derivatives` at the start; wrong shapes; no parameters for a curve.
    """
    if isinstance(path, Geodesic):
        check("parameters", "be None for a geodesic, which has its own", parameters is None, "some")
        line, carried, _ = _carry(
            metric, path.points[0], path.velocities[0], vectors, None, path.parameters,
            tolerance, None, None, max_steps, solver, adjoint,
        )  # fmt: skip
        return jnp.where(jnp.isfinite(line.norm).reshape(-1, *(1,) * (carried.ndim - 1)), carried, jnp.nan)
    if not callable(path):
        raise TypeError(f"`path` must be a function of one parameter or a Geodesic, but got {type(path).__name__}")
    check("parameters", "be given for a curve", parameters is not None, "None")
    V = real_array("vectors", vectors)
    dtype = V.dtype
    s, first, length, ordered = shares(parameters, dtype)
    n = _curve_dimension(path, first)
    check("vectors", f"have {n} components", V.ndim > 0 and V.shape[-1] == n, f"shape {V.shape}")
    christoffel(metric, path(first).astype(dtype))  # its checks of known values
    finite("vectors", V)
    rows, size = _unit_rows(V, jnp.zeros_like(V))
    bound = relative_tolerance(tolerance, dtype)

    def field(s: Array, rows: Array) -> Array:
        x, dx = jax.jvp(path, (first + length * s,), (length,))
        connection = christoffel(metric, x.astype(dtype)).astype(dtype)
        turn = jnp.sum(connection * dx.astype(dtype)[None, :, None], axis=1)
        return -jnp.matmul(rows, turn.T, precision=jax.lax.Precision.HIGHEST)

    y, _ = integrate(
        field, rows, s, tolerance=bound, absolute=bound, max_steps=max_steps, solver=solver, adjoint=adjoint
    )
    return jnp.where(ordered, (y * size[None]).reshape(len(s), *V.shape), jnp.nan)


def holonomy(metric: Metric, loop: Curve, ends: Any, **options: Any) -> Array:
    """H^a_b, (n, n), which takes a vector at the start of a closed curve to what comes back after one round.

    On a sphere a rotation by the solid angle enclosed; the identity where the space is flat inside the loop.

    Args:
        metric: g_ab (n, n) of one point.
        loop: a curve as a function of its parameter.
        ends: its first and last parameters, (2,) or more between.
        options: of `parallel_transport`.

    Raises:
        ValueError: as in `parallel_transport`; a known loop that does not close. Ends that differ by the period of an
            angle, 2π, are closed.
    """
    t = real_array("ends", ends, ndim=1)
    check("ends", "hold at least two values", len(t) > 1, len(t))
    n = _curve_dimension(loop, t[0])
    if is_concrete(t):
        a, b = metric(loop(t[0])), metric(loop(t[-1]))
        if is_concrete(a, b):
            gap = float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(a)))
            check("loop", "close", gap < float(jnp.finfo(a.dtype).eps) ** 0.5, f"g at its ends differs by {gap:.2g}")
    return parallel_transport(metric, loop, jnp.eye(n, dtype=t.dtype), t, **options)[-1].T


class GeodesicDeviation(NamedTuple):
    """Separations of neighbouring geodesics from one between them.

    Attributes:
        geodesic: the one between, at T parameters.
        separations: ξ^a, upper indices, (T, ..., n).
        rates: Dξ^a/ds, the covariant derivative along the geodesic, (T, ..., n).
    """

    geodesic: Geodesic
    separations: Array
    rates: Array


def geodesic_deviation(
    metric: Metric,
    point: Any,
    velocity: Any,
    separations: Any,
    rates: Any,
    parameters: Any,
    *,
    tolerance: float | None = None,
    absolute: Any = None,
    domain: Callable[[Array], Any] | None = None,
    max_steps: int = 4096,
    solver: Any = None,
    adjoint: Any = None,
) -> GeodesicDeviation:
    """Jacobi fields D²ξ^a/ds² = -R^a_bcd v^b ξ^c v^d along a geodesic, as derivatives of its equation.

    The linearised equation of geodesics in coordinates, which needs second derivatives of g along ξ alone and no
    Riemann tensor. ξ = 0 with rates e_b at the start gives ∂(point)/∂(velocity) at every parameter.

    Args:
        metric, point, velocity, parameters: as for `geodesic`.
        separations: ξ^a at the start, upper indices, (..., n).
        rates: Dξ^a/ds at the start, covariant, of the same shape. Zero for geodesics that start parallel.
        tolerance, absolute, domain, max_steps, solver, adjoint: as for `geodesic`.

    Returns:
        The geodesic and its neighbours, NaN from where it failed.

    Raises:
        ImportError, TypeError, ValueError: as for `geodesic`; `separations` and `rates` of different shapes.
    """
    line, carried, changes = _carry(
        metric, point, velocity, separations, rates, parameters, tolerance, absolute, domain, max_steps, solver, adjoint
    )
    return GeodesicDeviation(line, carried, changes)


def _carry(
    metric: Metric, point: Any, velocity: Any, vectors: Any, rates: Any, parameters: Any,
    tolerance: float | None, absolute: Any, domain: Any, max_steps: int, solver: Any, adjoint: Any,
) -> tuple[Geodesic, Array, Array]:  # fmt: skip
    """A geodesic with vectors: parallel if `rates` is None, else Jacobi fields and their covariant rates."""
    x, v, g = start(metric, point, velocity, domain)
    dtype, n = x.dtype, x.shape[0]
    s, first, length, ordered = shares(parameters, dtype)
    parallel = rates is None
    name = "vectors" if parallel else "separations"
    V = real_array(name, vectors).astype(dtype)
    check(name, f"have {n} components", V.ndim > 0 and V.shape[-1] == n, f"shape {V.shape}")
    W = jnp.zeros_like(V) if rates is None else real_array("rates", rates, shape=V.shape).astype(dtype)
    finite(name, V)
    finite("rates", W)
    bound = relative_tolerance(tolerance, dtype)
    u = v * length
    rows, size = _unit_rows(V, W * length)
    slopes = jnp.where(size > 0, (W * length).reshape(rows.shape) / jnp.where(size > 0, size, 1), 0)
    m = len(rows)

    def turned(x: Array, u: Array, rows: Array) -> Array:
        turn = jnp.sum(christoffel(metric, x).astype(dtype) * u[None, :, None], axis=1)
        return jnp.matmul(rows, turn.T, precision=jax.lax.Precision.HIGHEST)

    def parallel_field(_: Array, y: Array) -> Array:
        x, u, rows = y[0], y[1], y[2:]
        return jnp.concatenate([jnp.stack([u, acceleration(metric, x, u)]), -turned(x, u, rows)])

    def jacobi_field(_: Array, y: Array) -> Array:
        x, u, rows, slopes = y[0], y[1], y[2 : 2 + m], y[2 + m :]

        def pushed(a: Array, b: Array) -> tuple[Array, Array]:
            return jax.jvp(lambda x, u: acceleration(metric, x, u), (x, u), (a, b))

        own, others = jax.vmap(pushed, out_axes=(None, 0))(rows, slopes)
        return jnp.concatenate([jnp.stack([u, own]), slopes, others])

    state, scale = [jnp.stack([x, u]), rows], jnp.asarray(bound if absolute is None else absolute, dtype)
    if not parallel:
        state.append(slopes - turned(x, u, rows))
    y, cause = integrate(
        parallel_field if parallel else jacobi_field,
        jnp.concatenate(state),
        s,
        tolerance=bound,
        absolute=jnp.where(np.arange(sum(map(len, state)))[:, None] < 2, jnp.broadcast_to(scale, (1, n)), bound),
        max_steps=max_steps,
        solver=solver,
        adjoint=adjoint,
        borders=borders(metric, g, domain, lambda y: y[0]),
    )
    sound = ordered & jnp.isfinite(x).all() & jnp.isfinite(v).all()
    line = finish(metric, first + length * s, y[:, 0], y[:, 1] / length, cause, sound, bound)
    carried = y[:, 2 : 2 + m]
    changes = y[:, 2 + m :] + jax.vmap(turned)(y[:, 0], y[:, 1], carried) if not parallel else carried
    shape, good = (len(s), *V.shape), jnp.isfinite(line.norm)[:, None, None]
    carried, changes = (jnp.where(good, a * size[None], jnp.nan).reshape(shape) for a in (carried, changes / length))
    return line, carried, changes


def _unit_rows(vectors: Array, others: Array) -> tuple[Array, Array]:
    """Vectors as rows (m, n) of unit size, and the sizes (m, 1): linear equations have no scale of their own."""
    n = vectors.shape[-1]
    rows = vectors.reshape(-1, n)
    both = jnp.concatenate([rows, others.reshape(-1, n)], axis=1)
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(both), axis=1, keepdims=True))
    return jnp.where(size > 0, rows / jnp.where(size > 0, size, 1), 0), size


def _curve_dimension(path: Curve, parameter: Array) -> int:
    out = jax.eval_shape(path, parameter)
    check("path", "return one point", hasattr(out, "shape") and len(out.shape) == 1, getattr(out, "shape", out))
    return int(np.prod(out.shape))
