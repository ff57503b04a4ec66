"""g_ab at a point with its first and second derivatives, from one program."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.gravity.inverse import regular

Metric = Callable[[Array], Array]
"""g_ab (n, n) at one point (n,), symmetric, of JAX operations."""


def metric_derivatives(metric: Metric, point: Any) -> tuple[Array, Array, Array]:
    """g_ab, ∂_c g_ab and ∂_c ∂_d g_ab, in one pass over the metric.

    Forward over forward along the n(n+1)/2 pairs of directions c ≤ d, which share the evaluation of g itself.

    Args:
        metric: g_ab (n, n) of one point.
        point: coordinates, (n,).

    Returns:
        Arrays (n, n), (n, n, n), (n, n, n, n), derivatives first. A metric that is not symmetric is all NaN inside
        transformations, where its values cannot be read.

    Raises:
        TypeError: `metric` not callable, complex numbers.
        ValueError: wrong shapes; outside transformations also a point or g that is not finite (a horizon), g that is
            not symmetric or not invertible (an axis).
    """
    x = _point(metric, point)
    n = x.shape[0]
    first, second = np.triu_indices(n)
    unit = jnp.eye(n, dtype=x.dtype)

    def pushed(u: Array, v: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return jax.jvp(lambda y: jax.jvp(metric, (y,), (u,)), (x,), (v,))

    (g, along_first), (_, both) = jax.vmap(pushed, out_axes=((None, 0), (0, 0)))(unit[first], unit[second])
    diagonal = np.flatnonzero(first == second)
    position = np.zeros((n, n), int)
    position[first, second] = position[second, first] = np.arange(len(first))
    return _symmetric(g, x), _halves(along_first[diagonal]), _halves(both[position])


def metric_slopes(metric: Metric, point: Any) -> tuple[Array, Array]:
    """g_ab (n, n) and ∂_c g_ab (n, n, n), derivatives first; errors as in `metric_derivatives`."""
    x = _point(metric, point)
    unit = jnp.eye(x.shape[0], dtype=x.dtype)
    g, dg = jax.vmap(lambda u: jax.jvp(metric, (x,), (u,)), out_axes=(None, 0))(unit)
    return _symmetric(g, x), _halves(dg)


def _point(metric: Metric, point: Any) -> Array:
    if not callable(metric):
        raise TypeError(f"`metric` must be a function of one point, but got {type(metric).__name__}")
    x = real_array("point", point, ndim=1)
    check("point", "have a coordinate", x.shape[0] > 0, "none")
    finite("point", x)
    out = jax.eval_shape(metric, x)
    check("metric", "return one array", hasattr(out, "shape"), type(out).__name__)
    check("metric", f"return shape {(x.shape[0],) * 2} at a point of {x.shape[0]}", out.shape == x.shape * 2, out.shape)
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"`metric` must return real numbers, but got dtype {out.dtype}")
    return x


def _symmetric(g: Array, point: Array) -> Array:
    if is_concrete(g, point):
        regular("metric", g, f" at {np.asarray(point)}")
        return _halves(g)
    bound = 64 * jnp.finfo(g.dtype).eps * jnp.max(jnp.abs(g))
    return jnp.where(jnp.max(jnp.abs(g - g.T)) <= bound, _halves(g), jnp.nan)


def _halves(array: Array) -> Array:
    return (array + jnp.swapaxes(array, -1, -2)) / 2
