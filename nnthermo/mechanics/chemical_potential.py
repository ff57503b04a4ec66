"""The chemical potential at which an ensemble has a given mean number of neurons."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import logsumexp, softmax

from nnthermo._checks import check, integer, is_concrete
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics.grand_canonical import LogPartitions, sum_terms


class ChemicalPotential(NamedTuple):
    """The μ that gives a mean number of neurons.

    Attributes:
        value: μ, in units of the loss, shape (...); NaN where the number asked for is not between the smallest and the
            largest N with Z_N > 0, or a log Z_N is NaN.
        residual: ⟨N⟩(μ) less what was asked for.
        converged: whether the residual is what rounding of log Z_N and μ explains.
    """

    value: Array
    residual: Array
    converged: Array


def chemical_potential(
    log_Z: LogPartitions, beta: Scalar, mean_number: Scalar, *, numbers: Any = None, iterations: int = 100
) -> ChemicalPotential:
    """Invert ⟨N⟩(μ), which grows with μ from the smallest N to the largest.

    Newton's method on the logit of ⟨N⟩ between these two, nearly linear in μ where ⟨N⟩ itself is flat, inside a bracket
    that always holds the root. Derivatives in log Z_N, β and ⟨N⟩ to any order are those of the implicit function.

    Where log Z_N is very concave, ⟨N⟩(μ) is a staircase; on a stair μ is what rounding leaves of it. Near the largest
    N the answer speaks of the truncation and not of the ensemble: see `GrandCanonical.omitted_weight`.

    Args:
        log_Z: as in `grand_canonical`.
        beta: inverse temperature β > 0; any shape that broadcasts with (...).
        mean_number: ⟨N⟩ wanted; as `beta`.
        numbers: as in `grand_canonical`.
        iterations: of the root finder, each a sum over N.

    Raises:
        ValueError: as `grand_canonical`, or a mean number outside the N, where known.
    """
    count = integer("iterations", iterations, least=1)
    terms, beta, target, N = sum_terms(log_Z, beta, mean_number, numbers, "mean_number")
    if is_concrete(target, N):
        inside = bool(((target > N.min()) & (target < N.max())).all())
        check("mean_number", f"lie between {N.min()} and {N.max()}", inside, mean_number)
    return _invert(terms, beta, target, N, count)


@partial(jax.jit, static_argnames="iterations")
def _invert(terms: Array, beta: Array, target: Array, N: Array, iterations: int) -> ChemicalPotential:
    constant = jax.lax.stop_gradient(terms)
    low = jnp.min(jnp.where(constant > -jnp.inf, N, jnp.inf), axis=-1)
    high = jnp.max(jnp.where(constant > -jnp.inf, N, -jnp.inf), axis=-1)
    possible = (target > low) & (target < high)
    target = jnp.where(possible, target, (low + high) / 2)
    above, below = (jnp.log(jnp.maximum(v, 0)) for v in (N - low[..., None], high[..., None] - N))
    logit = jnp.log(target - low) - jnp.log(high - target)

    def excess(y: Array) -> Array:
        e = terms + y[..., None] * N
        return logsumexp(e + above, axis=-1) - logsumexp(e + below, axis=-1) - logit

    bracket = _bracket(constant, N, low, high, jax.lax.stop_gradient(target))
    y = jax.lax.custom_root(
        excess,
        (bracket[0] + bracket[1]) / 2,
        lambda f, _: _root(f, *bracket, iterations),
        lambda slope, v: v / slope(jnp.ones_like(v)),
    )
    residual, rounding = _residual(terms, y, N, target)
    possible = possible & jnp.isfinite(residual)
    return ChemicalPotential(jnp.where(possible, y / beta, jnp.nan), residual, possible & (abs(residual) <= rounding))


def _bracket(terms: Array, N: Array, low: Array, high: Array, target: Array) -> tuple[Array, Array]:
    """βμ with ⟨N⟩ below and above the target.

    If every term is at most x^(high - N) times the last one, then high - ⟨N⟩ <= Σ j x^j = x / (1 - x)²: choose x such
    that this is high - target, and βμ such that the terms are that small. The other end likewise.
    """

    def end(edge: Array, gap: Array, sign: int) -> Array:
        edge = edge[..., None]
        t = jnp.max(jnp.where(edge == N, terms, -jnp.inf), axis=-1, keepdims=True)
        apart = sign * (edge - N)
        some = (apart > 0) & (terms > -jnp.inf)
        steepest = jnp.max(jnp.where(some, (terms - t) / jnp.where(some, apart, 1), -jnp.inf), axis=-1)
        slack = 8 * jnp.finfo(t.dtype).eps * jnp.max(jnp.where(terms > -jnp.inf, abs(terms), 0), axis=-1)
        x = 2 * gap / (2 * gap + 1 + jnp.sqrt(4 * gap + 1))
        return sign * (steepest - jnp.log(x) + slack)

    return end(low, target - low, -1), end(high, high - target, 1)


def _root(f: Callable[[Array], Array], lower: Array, upper: Array, iterations: int) -> Array:
    """Newton's method that halves the bracket instead where its step leaves it or does not halve the last one."""

    def values(y: Array) -> tuple[Array, Array]:
        return jax.jvp(f, (y,), (jnp.ones_like(y),))

    def step(_: Any, carry: tuple) -> tuple:
        lower, upper, y, value, slope, last, best, least = carry
        newton = y - value / slope
        good = (newton > lower) & (newton < upper) & (abs(newton - y) <= last / 2)
        new = jnp.where(good, newton, (lower + upper) / 2)
        last, y = abs(new - y), new
        value, slope = values(y)
        lower, upper = jnp.where(value < 0, y, lower), jnp.where(value > 0, y, upper)
        better = abs(value) < least
        best, least = jnp.where(better, y, best), jnp.where(better, abs(value), least)
        return lower, upper, y, value, slope, last, best, least

    y = (lower + upper) / 2
    value, slope = values(y)
    lower, upper = jnp.where(value < 0, y, lower), jnp.where(value > 0, y, upper)
    start = (lower, upper, y, value, slope, upper - lower, y, abs(value))
    return jax.lax.fori_loop(0, iterations, step, start)[6]


def _residual(terms: Array, y: Array, N: Array, target: Array) -> tuple[Array, Array]:
    """⟨N⟩ - target, and what rounding of the exponents may make of it."""
    p = softmax(terms + y[..., None] * N, axis=-1)
    deviation = N - target[..., None]
    spread = jnp.sqrt(jnp.sum(p * deviation**2, axis=-1))
    size = jnp.sum(p * (jnp.where(p > 0, abs(terms), 0) + abs(y[..., None]) * N), axis=-1)
    eps = jnp.finfo(terms.dtype).eps
    return jnp.sum(p * deviation, axis=-1), 32 * eps * (jnp.max(N) + spread * size)
