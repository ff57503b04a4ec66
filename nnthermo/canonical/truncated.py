"""Normal distributions in an interval: numbers and masses that keep their digits however narrow or far it is.

Three regimes. Where the density changes by less than a factor of about e the mass is a Gauss-Legendre sum, and nothing
is subtracted. Elsewhere the interval is turned over to have most of it below 0, and masses are taken as logarithms,
whose differences have digits in any tail. Quantiles are found by Newton's method on either, of which the last step
carries the derivative.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtri

from nnthermo._typing import Array

_ROOTS, _NORMS = np.polynomial.legendre.leggauss(12)
NODES, WEIGHTS = (_ROOTS + 1) / 2, _NORMS / 2
LOG_2PI = math.log(2 * math.pi)


def truncated_normal(uniform: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """A standard normal number in (low, high) from one in (0, 1), and the log of that interval's mass.

    Smooth in the ends, which may be infinite.
    """
    flip, a, b = _mirrored(low, high)
    uniform = jnp.where(flip, 1 - uniform, uniform)  # the number grows with it in either case, and without a jump
    narrow = is_narrow(a, b)
    inside = _narrow_quantile(uniform, jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 0.5))
    outside = _quantile(uniform, jnp.where(narrow, -1.0, a), jnp.where(narrow, 1.0, b))
    z = jnp.where(narrow, inside, outside)
    z = jnp.clip(z, *jax.lax.stop_gradient((a, b)))  # of rounding; infinite ends have infinite derivatives
    return jnp.where(flip, -z, z), log_normal_mass(low, high)


def log_normal_mass(low: Array, high: Array) -> Array:
    """log of a standard normal's mass in (low, high), whose ends may be infinite; differentiable."""
    _, a, b = _mirrored(low, high)
    narrow = is_narrow(a, b)
    c, d = jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 0.5)
    inside = -0.5 * LOG_2PI + jnp.log(d - c) + log_mean_exp(lambda z: -0.5 * z**2, c, d)
    log_b, ratio = _log_ends(jnp.where(narrow, -1.0, a), jnp.where(narrow, 1.0, b))
    return jnp.where(narrow, inside, log_b + jnp.log1p(-ratio))


def is_narrow(low: Array, high: Array) -> Array:
    """Whether a standard normal density changes by less than about e between both ends, element by element."""
    reach = jnp.maximum(jnp.maximum(jnp.abs(low), jnp.abs(high)), 1.0)
    return (high - low) * reach < 1


def log_mean_exp(exponent: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """log of the mean of exp(exponent(x)) over (low, high), both finite, of an exponent that changes by little."""
    span, nodes = high - low, jnp.asarray(NODES, low.dtype)
    middle = exponent((low + high) / 2)
    values = jax.vmap(lambda t: jnp.exp(exponent(low + t * span) - middle))(nodes)
    return middle + jnp.log(jnp.tensordot(jnp.asarray(WEIGHTS, low.dtype), values, axes=1))


def _mirrored(low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Whether the interval is turned over to have most of it below 0, and its ends then."""
    flip = low + high > 0
    return flip, jnp.where(flip, -high, low), jnp.where(flip, -low, high)


def _log_ends(a: Array, b: Array) -> tuple[Array, Array]:
    """log Φ(b), and Φ(a)/Φ(b); an infinite end has no derivative, where the chain rule would give 0 times infinity."""
    whole, open_ = jnp.isneginf(a), jnp.isposinf(b)
    log_b = jnp.where(open_, 0.0, log_ndtr(jnp.where(open_, 0.0, b)))
    log_a = log_ndtr(jnp.where(whole, -1.0, a))
    return log_b, jnp.where(whole, 0.0, jnp.exp(jnp.where(whole, -1.0, log_a - log_b)))


def _narrow_quantile(uniform: Array, a: Array, b: Array) -> Array:
    span, nodes = b - a, jnp.asarray(NODES, a.dtype)
    middle = (a + b) / 2

    def density(t: Array) -> Array:
        z = a + t * span
        return jnp.exp(0.5 * (middle - z) * (middle + z))

    def share(t: Array) -> Array:
        return t * jnp.tensordot(jnp.asarray(WEIGHTS, a.dtype), jax.vmap(lambda s: density(s * t))(nodes), axes=1)

    total = share(jnp.ones_like(uniform))
    t = uniform
    for _ in range(3):
        t = jnp.clip(t - (share(t) / total - uniform) * total / density(t), 0.0, 1.0)
    t = jax.lax.stop_gradient(t)
    return a + span * (t - (share(t) / total - uniform) * jax.lax.stop_gradient(total / density(t)))


def _quantile(uniform: Array, a: Array, b: Array) -> Array:
    log_b, ratio = _log_ends(a, b)
    tiny = jnp.finfo(a.dtype).tiny
    level = log_b + jnp.log(ratio + jnp.maximum(uniform, tiny) * (1 - ratio))  # log Φ(z)
    fixed = jax.lax.stop_gradient(level)
    square = -2 * fixed - LOG_2PI
    tail = -jnp.sqrt(jnp.maximum(square - jnp.log(jnp.maximum(square, 1.0)), 0.0))
    p = jnp.clip(jnp.exp(jnp.maximum(fixed, -10.0)), tiny, 1 - jnp.finfo(a.dtype).epsneg)
    z = jnp.where(fixed > -5, ndtri(p), tail)

    def rate(z: Array) -> Array:
        return jnp.exp(-0.5 * z**2 - 0.5 * LOG_2PI - log_ndtr(z))

    for _ in range(3):
        z = jnp.where(z < 1, z - (log_ndtr(z) - fixed) / rate(z), z)
    z = jax.lax.stop_gradient(z)
    return z + (level - fixed) / jax.lax.stop_gradient(rate(z))
