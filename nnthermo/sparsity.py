"""Graphs that lose and gain links while they learn: soft thresholds as an Optax transformation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nnthermo._checks import check, is_concrete, real_array
from nnthermo._typing import Array, Scalar


class ThresholdState(NamedTuple):
    """Steps taken, for thresholds that follow a schedule.

    Attributes:
        steps: shape (), int32.
    """

    steps: Array


def soft_threshold(
    threshold: Scalar | Callable[[Array], Scalar], *, regrow: bool = False
) -> optax.GradientTransformation:
    """Proximal step of the L1 norm: after an optimiser's step w → w + u, w becomes sign(w) max(|w| - τ, 0).

    Last in a chain: `optax.chain(optax.sgd(η), soft_threshold(η * strength))` descends H + strength Σ|w_ij| (proximal
    gradient); τ = η × strength is that penalty exactly for plain SGD, where every weight has the learning rate η. Links
    below the threshold become exactly 0, that is, absent. Biases, which are vectors, are left alone.

    Args:
        threshold: τ >= 0 in units of the weights, or a schedule (steps taken) -> τ.
        regrow: whether a link that is absent comes back when a step moves its weight by more than τ. Without, it stays
            absent for good; with it, in `train` only links that existed at the start, or those of its `links`, can.

    Raises:
        ValueError: a negative threshold, or one that is not a number; when used, weights not given to `update`.
        TypeError: a threshold that is not real.
    """
    if not callable(threshold):
        real_array("threshold", threshold, shape=())
        check("threshold", "not be negative", not is_concrete(threshold) or float(threshold) >= 0, threshold)

    def init(params: Any) -> ThresholdState:
        del params
        return ThresholdState(jnp.zeros((), jnp.int32))

    def update(updates: Any, state: ThresholdState, params: Any = None) -> tuple[Any, ThresholdState]:
        check("params", "be given to `update` (a proximal step needs the weights)", params is not None, None)
        height = threshold(state.steps) if callable(threshold) else threshold

        def proximal(u: Array, w: Array) -> Array:
            if w.ndim < 2:
                return u
            tau = jnp.asarray(height).astype(w.dtype)
            moved = w + u
            shrunk = jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - tau, 0)
            return (shrunk if regrow else jnp.where(w == 0, 0, shrunk)) - w

        return jax.tree.map(proximal, updates, params), ThresholdState(state.steps + 1)

    return optax.GradientTransformation(init, update)
