"""What labels mean: data of the inputs, and weights along a training run."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, increasing, known, real_array
from nnthermo._typing import Array
from nnthermo.linalg.dense import matmul
from nnthermo.network import Network

Labels = Callable[[Array], Any]
"""A function of y, (n,)."""


def boundary_plane(origin: Any, directions: Any) -> Labels:
    """Data of the inputs as a function of labels: origin + y¹ e_1 + ... + y^d e_d; y⁰ is left to learning.

    Args:
        origin: (n_in,).
        directions: e_i, (d, n_in).
    """
    start = real_array("origin", origin, ndim=1)
    e = real_array("directions", directions, ndim=2)
    check("directions", f"have shape (d, {start.shape[0]})", e.shape[1] == start.shape[0], f"shape {e.shape}")
    for name, array in (("origin", start), ("directions", e)):
        finite(name, array)

    def boundary(y: Array) -> Array:
        check("point", f"have {e.shape[0] + 1} labels", y.shape == (e.shape[0] + 1,), f"shape {y.shape}")
        return start.astype(y.dtype) + matmul(y[1:], e.astype(y.dtype))

    return boundary


def weight_path(networks: Sequence[Network], times: Any, *, kind: str = "cubic") -> Labels:
    """Networks recorded during training as one smooth function of y⁰.

    A natural cubic spline has two continuous derivatives, so that the metric is continuous with one; inside of its
    intervals there are all, and curvature exists. What lies between two checkpoints is interpolation: space them so
    that the weights move little on the scale at which y⁰ is measured.

    Args:
        networks: two or more, of one structure.
        times: y⁰ of each, (T,), increasing; training steps, or their logarithm.
        kind: "cubic", or "linear" between neighbours, whose metric is continuous inside of intervals only.

    Returns:
        A function of labels y (n,), or of y⁰ alone (), to the network. NaN outside of the recorded times.

    Raises:
        ValueError: fewer than two networks, different structures, times that do not increase, another kind.
        TypeError: traced times.
    """
    check("networks", "be two or more", len(networks) > 1, len(networks))
    check("kind", "be 'cubic' or 'linear'", kind in ("cubic", "linear"), repr(kind))
    form = jax.tree.structure(networks[0]), [jnp.shape(a) for a in jax.tree.leaves(networks[0])]
    for net in networks[1:]:
        same = (jax.tree.structure(net), [jnp.shape(a) for a in jax.tree.leaves(net)]) == form
        check("networks", "be of one structure", same, "another")
    known("times", times)
    with jax.ensure_compile_time_eval():
        knots = np.asarray(real_array("times", times, shape=(len(networks),)))
    increasing("times", knots)
    curvatures = _spline_curvatures(knots) if kind == "cubic" else np.zeros((len(knots), len(knots)))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)

    def path(y: Array) -> Network:
        t = real_array("point", y).reshape(-1)[0]
        at = jnp.asarray(knots, t.dtype)
        inside = (t >= at[0]) & (t <= at[-1])
        k = jnp.clip(jnp.searchsorted(at, t, side="right") - 1, 0, len(knots) - 2)
        h = at[k + 1] - at[k]
        u = (t - at[k]) / h
        before, after = jax.nn.one_hot(jnp.stack([k, k + 1]), len(knots), dtype=t.dtype)
        bend = jnp.asarray(curvatures, t.dtype)
        v = 1 - u
        weights = v * before + u * after + h * h / 6 * ((v**3 - v) * bend[k] + (u**3 - u) * bend[k + 1])
        weights = jnp.where(inside, weights, jnp.nan)
        return jax.tree.map(partial(_combine, weights), stacked)

    return path


def _combine(weights: Array, leaf: Array) -> Array:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf[0]
    return jnp.tensordot(weights.astype(leaf.dtype), leaf, 1, precision=jax.lax.Precision.HIGHEST)


def _spline_curvatures(knots: np.ndarray) -> np.ndarray:
    """Second derivatives at the knots of the natural spline through values v: this matrix times v."""
    n, h = len(knots), np.diff(knots.astype(float))
    left, right = np.eye(n), np.zeros((n, n))
    for i in range(1, n - 1):
        left[i, i - 1 : i + 2] = h[i - 1] / 6, (h[i - 1] + h[i]) / 3, h[i] / 6
        right[i, i - 1 : i + 2] = 1 / h[i - 1], -1 / h[i - 1] - 1 / h[i], 1 / h[i]
    return np.linalg.solve(left, right)
