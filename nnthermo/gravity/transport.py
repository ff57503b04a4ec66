"""Vectors carried along paths: parallel transport, and what a closed loop does to them."""

import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, function, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.gravity.curvature import christoffel
from nnthermo.gravity.derivatives import Metric, metric_slopes
from nnthermo.gravity.flow import integrate, relative_tolerance, shares
from nnthermo.gravity.geodesics import Geodesic, start
from nnthermo.linalg.dense import matmul

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
    V = real_array("vectors", vectors)
    line = path if isinstance(path, Geodesic) else None
    if line is not None:
        check("parameters", "be None for a geodesic, which has its own", parameters is None, "some")
        x, v, _ = start(metric, line.points[0], line.velocities[0])
        V, parameters, n = V.astype(x.dtype), line.parameters, len(x)
    else:
        function("path", path, "a function of one parameter, or a Geodesic")
        check("parameters", "be given for a curve", parameters is not None, "None")
    dtype = V.dtype
    s, first, length, ordered = shares(parameters, dtype)
    if line is None:
        curve = cast(Curve, path)
        n = curve_dimension(curve, first)
        metric_slopes(metric, curve(first))  # refuses known values
    check("vectors", f"have {n} components", V.ndim > 0 and V.shape[-1] == n, f"shape {V.shape}")
    finite("vectors", V)
    rows, size = unit_rows(V, jnp.zeros_like(V))
    bound = relative_tolerance(tolerance, dtype)
    absolute = jnp.full((1, 1), bound, dtype)

    def turn(x: Array, dx: Array, rows: Array) -> Array:
        return -matmul(rows, connection_along(metric, x, dx).T)

    def on_geodesic(_: Array, y: Array) -> Array:
        return jnp.concatenate([y[1:2], turn(y[0], y[1], y[1:])])  # its velocity is one of those carried

    def on_curve(s: Array, rows: Array) -> Array:
        x, dx = jax.jvp(curve, (first + length * s,), (length,))
        return turn(x.astype(dtype), dx.astype(dtype), rows)

    y, _ = integrate(
        on_curve if line is None else on_geodesic,
        rows if line is None else jnp.concatenate([jnp.stack([x, v * length]), rows]),
        s,
        tolerance=bound,
        absolute=absolute,
        max_steps=max_steps,
        solver=solver,
        adjoint=adjoint,
    )
    if line is not None:
        y, ordered = y[:, 2:], ordered & jnp.isfinite(line.points).all(axis=1)[:, None, None]
    carried = jnp.where(ordered, y * size[None], jnp.nan)
    return carried.reshape(len(s), *V.shape)


def holonomy(metric: Metric, loop: Curve, ends: Any, *, periods: Any = None, **options: Any) -> Array:
    """H^a_b, (n, n), which takes a vector at the start of a closed curve to what comes back after one round.

    On a sphere a rotation by the solid angle enclosed; the identity where the space is flat inside the loop.

    Args:
        metric: g_ab (n, n) of one point.
        loop: a curve as a function of its parameter.
        ends: its first and last parameters, (2,) or more between.
        periods: of the coordinates, (n,), 0 for those that are no angles, infinity for those in which the curve may
            advance as it likes, such as the time of a metric at rest. Without them only g is compared at both ends, and
            an open curve between places with equal g is not seen: H means nothing for it.
        options: of `parallel_transport`.

    Raises:
        ValueError: as in `parallel_transport`; known ends with different g, or not the same place up to periods.
    """
    t = real_array("ends", ends, ndim=1)
    check("ends", "hold at least two values", len(t) > 1, len(t))
    n = curve_dimension(loop, t[0])
    around = None if periods is None else real_array("periods", periods, shape=(n,))
    if is_concrete(t):
        begin, end = loop(t[0]), loop(t[-1])
        _refuse_open(metric(begin), metric(end), begin, end, around)
    return parallel_transport(metric, loop, jnp.eye(n, dtype=t.dtype), t, **options)[-1].T


def _refuse_open(g: Array, other: Array, x: Array, y: Array, periods: Array | None) -> None:
    """Refuse known ends x and y of a loop with different g, or that differ by more than whole periods."""
    if not is_concrete(g, other, x, y):
        return
    allowed = float(jnp.finfo(g.dtype).eps) ** 0.5
    gap = float(np.abs(np.asarray(g) - np.asarray(other)).max() / np.abs(np.asarray(g)).max())
    check("loop", "close", gap < allowed, f"g at its ends differs by {gap:.2g}")
    if periods is not None and is_concrete(periods):
        steps = zip(np.asarray(y - x).tolist(), np.asarray(periods).tolist(), strict=True)
        apart = [0.0 if period == math.inf else math.remainder(s, period) if period else s for s, period in steps]
        nothing = allowed * np.maximum(np.abs(np.asarray(x)), 1)
        check("loop", "close", bool((np.abs(apart) < nothing).all()), f"ends {apart} apart")


def connection_along(metric: Metric, x: Array, v: Array) -> Array:
    """Γ^a_bc v^b, (n, n): how the components of a carried vector turn."""
    return jnp.sum(christoffel(metric, x).astype(v.dtype) * v[None, :, None], axis=1)


def unit_rows(vectors: Array, others: Array) -> tuple[Array, Array]:
    """Vectors as rows (m, n) of unit size, and the sizes (m, 1): linear equations have no scale of their own."""
    n = vectors.shape[-1]
    rows = vectors.reshape(-1, n)
    both = jnp.concatenate([rows, others.reshape(-1, n)], axis=1)
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(both), axis=1, keepdims=True))
    return jnp.where(size > 0, rows / jnp.where(size > 0, size, 1), 0), size


def curve_dimension(path: Curve, parameter: Array) -> int:
    """The number of coordinates of a curve."""
    out = jax.eval_shape(path, parameter)
    check("path", "return one point", hasattr(out, "shape") and len(out.shape) == 1, getattr(out, "shape", out))
    return int(np.prod(out.shape))
