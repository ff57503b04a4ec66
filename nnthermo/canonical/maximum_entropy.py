"""The principle of maximum entropy (4.6)-(4.10): β from an average loss, for finitely many states or a continuum."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from nnthermo._checks import check, finite, is_concrete, positive, real_array
from nnthermo._typing import Array, Scalar

HALVINGS = 200
"""Bisections at most; an interval of floats is used up by then."""


class MaximumEntropy(NamedTuple):
    """The distribution p ∝ exp(-βH) of largest entropy among those with a given average loss (4.10).

    Attributes:
        beta: the Lagrange multiplier β = dS/dU, in inverse units of the loss; negative where the average exceeds that
            of the flat distribution. NaN where there is none.
        log_partition: log Z(β), in nats; 1 + ν of (4.9).
        entropy: S = log Z + βU, in nats.
        exists: whether there is such a distribution, shape (), boolean.
    """

    beta: Array
    log_partition: Array
    entropy: Array
    exists: Array


def boltzmann(losses: Any, beta: Scalar, *, multiplicities: Any = None) -> Array:
    """p_k = g_k exp(-βH_k)/Z (4.10) over finitely many states, shape (k,); β of either sign.

    Args:
        losses: H of each state, (k,).
        beta: in inverse units of the loss.
        multiplicities: g_k > 0, how many states have it, (k,); 1 each if None.
    """
    h, log_g = _levels(losses, multiplicities)
    return jax.nn.softmax(log_g - jnp.asarray(beta, h.dtype) * h)


def maximum_entropy(
    average_loss: Scalar,
    of: Any,
    *,
    multiplicities: Any = None,
    bounds: tuple[float, float] = (1e-6, 1e6),
) -> MaximumEntropy:
    """β from a measured average loss U = ⟨H⟩ (4.8), by bisection; U(β) decreases strictly, so there is one at most.

    For finitely many states it exists if and only if min H < U < max H, and β < 0 where U exceeds their plain mean. For
    a continuum it exists if and only if U lies between the values at `bounds`: on all of R^N U falls from infinity to
    0 over β in (0, ∞), in a box from the flat average, and beyond it at negative β, which bounds may include.

    Differentiable in U and in what the losses or log Z depend on (dβ/dU = -1/Var H), by the implicit function theorem.

    Args:
        average_loss: U, in units of the loss, shape ().
        of: losses of all states, (k,); or a function β -> log Z(β) of a continuum, differentiable by JAX, for example
            `lambda beta: nt.log_partition(G, beta, mean=x)`.
        multiplicities: how many states have each loss, (k,).
        bounds: interval of β that is searched, for a function.

    Returns:
        MaximumEntropy; β, log Z and S are NaN where `exists` is False.

    Raises:
        ValueError: losses that are not finite, multiplicities that are not positive, an empty interval.
    """
    if callable(of):
        check("bounds", "be an interval (low, high)", len(bounds) == 2 and bounds[0] < bounds[-1], bounds)
        low, high = bounds
        target = real_array("average_loss", average_loss, shape=())
        return _solve(target, of, jnp.asarray(low, target.dtype), jnp.asarray(high, target.dtype), jnp.asarray(True))
    h, log_g = _levels(of, multiplicities)
    target = real_array("average_loss", average_loss, shape=()).astype(h.dtype)
    # beyond this |β| all weight but a share of one rounding, or of U's distance to it, is on the last level
    spread = jnp.max(h) - jnp.min(h)
    gap = jnp.min(jnp.where(_steps(h) > 0, _steps(h), jnp.inf), initial=jnp.inf)
    reach = 4 * (-jnp.log(jnp.finfo(h.dtype).eps) + jnp.ptp(log_g) + jnp.log(h.size)) / jnp.where(spread > 0, gap, 1)
    exists = (target > jnp.min(h)) & (target < jnp.max(h))
    nearest = jnp.minimum(target - jnp.min(h), jnp.max(h) - target) / jnp.where(spread > 0, spread, 1)
    reach += 2 * jnp.abs(jnp.log(jnp.where(exists, nearest, 1))) / jnp.where(spread > 0, gap, 1)
    reach = jax.lax.stop_gradient(reach)
    return _solve(target, lambda b: logsumexp(log_g - b * h), -reach, reach, exists)


def _steps(h: Array) -> Array:
    return jnp.diff(jnp.sort(h))


def _levels(losses: Any, multiplicities: Any) -> tuple[Array, Array]:
    h = real_array("losses", losses, ndim=1)
    check("losses", "hold at least one state", h.size > 0, h.size)
    finite("losses", h)
    if multiplicities is None:
        return h, jnp.zeros_like(h)
    positive("multiplicities", multiplicities)
    return h, jnp.log(real_array("multiplicities", multiplicities, shape=h.shape).astype(h.dtype))


def _solve(
    target: Array, log_partition: Callable[[Array], Array], low: Array, high: Array, possible: Array
) -> MaximumEntropy:
    def excess(beta: Array) -> Array:
        return -jax.jvp(log_partition, (beta,), (jnp.ones_like(beta),))[1].astype(beta.dtype) - target

    exists = possible & (excess(low) >= 0) & (excess(high) <= 0)
    if is_concrete(exists) and not bool(exists):
        nan = jnp.full_like(target, np.nan)
        return MaximumEntropy(nan, nan, nan, exists)

    def bisect(function: Callable[[Array], Array], _guess: Array) -> Array:
        def halve(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            left, right, k = state
            # halfway in the exponent where both ends have one sign: β spans orders of magnitude
            mean, product = (left + right) / 2, left * right
            middle = jnp.where(product > 0, jnp.sign(left) * jnp.sqrt(jnp.abs(product)), mean)
            middle = jnp.where((middle > left) & (middle < right), middle, mean)
            above = function(middle) > 0
            return jnp.where(above, middle, left), jnp.where(above, right, middle), k + 1

        def unfinished(state: tuple[Array, Array, Array]) -> Array:
            left, right, k = state
            width = 2 * jnp.finfo(left.dtype).eps * jnp.maximum(jnp.abs(left), jnp.abs(right))
            return (k < HALVINGS) & (right - left > width)

        ends = jax.lax.stop_gradient((low, high))
        left, right, _ = jax.lax.while_loop(unfinished, halve, (*ends, jnp.zeros((), jnp.int32)))
        return (left + right) / 2

    start = jax.lax.stop_gradient((low + high) / 2)
    beta = jax.lax.custom_root(excess, start, bisect, lambda linear, y: y / linear(jnp.ones_like(y)))
    beta = jnp.where(exists, beta, jnp.nan)
    log_z = log_partition(beta).astype(beta.dtype)
    return MaximumEntropy(beta, log_z, log_z + beta * target, exists)
