"""g_ab at a point with its first and second derivatives, from one program."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, function, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.gravity._algebra import value_and_slopes
from nnthermo.gravity._arguments import returns
from nnthermo.gravity.inverse import regular

Metric = Callable[[Array], Array]
"""g_ab (n, n) at one point (n,), symmetric, of JAX operations."""


def metric_derivatives(metric: Metric, point: Any) -> tuple[Array, Array, Array]:
    """g_ab, ∂_c g_ab and ∂_c ∂_d g_ab.

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
    g, dg, ddg = pair_derivatives(metric, point)
    position = pairs(g.shape[0])[2]
    return g, dg[:, position], ddg[position][:, :, position]


def metric_slopes(metric: Metric, point: Any) -> tuple[Array, Array]:
    """g_ab (n, n) and ∂_c g_ab (n, n, n), derivatives first; errors as in `metric_derivatives`."""
    g, dg = _slopes(metric, _point(metric, point))
    return g, dg[:, pairs(g.shape[0])[2]]


def pairs(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices a ≤ b of the P = n(n+1)/2 symmetric pairs, each (P,), and the number of the pair of a and b, (n, n)."""
    first, second = np.triu_indices(n)
    position = np.zeros((n, n), int)
    position[first, second] = position[second, first] = np.arange(len(first))
    return first, second, position


def pair_derivatives(metric: Metric, point: Any) -> tuple[Array, Array, Array]:
    """g_ab (n, n), ∂_c g_p (n, P) and ∂_q g_p (P, P), q the pair of directions: see `pairs` and `metric_derivatives`.

    First derivatives are taken by themselves and not read off the second pass, which would keep all its intermediate
    results for them.
    """
    x = _point(metric, point)
    first, second, _ = pairs(x.shape[0])
    unit = np.eye(x.shape[0], dtype=x.dtype)

    def bent(u: Array, v: Array) -> Array:
        return jax.jvp(lambda y: jax.jvp(metric, (y,), (u,))[1], (x,), (v,))[1]

    g, dg = _slopes(metric, x)
    ddg = jax.vmap(bent)(jnp.asarray(unit[first]), jnp.asarray(unit[second]))
    return g, dg, ddg[:, first, second]


def _slopes(metric: Metric, x: Array) -> tuple[Array, Array]:
    first, second, _ = pairs(x.shape[0])
    g, dg = value_and_slopes(metric, x)
    if is_concrete(g, x):
        regular("metric", g, f" at {np.asarray(x)}")
    return symmetric(g), dg[:, first, second]


def _point(metric: Metric, point: Any) -> Array:
    function("metric", metric, "a function of one point")
    x = real_array("point", point, ndim=1)
    check("point", "have a coordinate", x.shape[0] > 0, "none")
    finite("point", x)
    returns("metric", metric, x, x.shape * 2)
    return x


def symmetric(g: Array) -> Array:
    """(g + gᵀ)/2, all NaN where the two differ by more than rounding."""
    bound = 64 * jnp.finfo(g.dtype).eps * jnp.max(jnp.abs(g))
    return jnp.where(jnp.max(jnp.abs(g - g.T)) <= bound, (g + g.T) / 2, jnp.nan)
