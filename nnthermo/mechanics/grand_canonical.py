"""The grand canonical ensemble over the number of neurons: Ξ = Σ_N e^{βμN} Z_N, and what follows by differentiation.

Standard statistical mechanics. That learning systems exchange neurons with a bath is read in the abstract of
M. I. Katsnelson and V. Vanchurin, *Emergent quantumness in neural networks*, arXiv:2012.05082.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp, softmax

from nnthermo._checks import check, integers, is_concrete, positive, real_array
from nnthermo._typing import Array, Scalar

LogPartitions = Any
"""log Z_N, (..., k): an array, or a function of β that returns one."""


class GrandCanonical(NamedTuple):
    """Everything about an ensemble whose number of neurons varies; arrays of one shape (...).

    Attributes:
        log_partition: log Ξ, in nats.
        grand_potential: Ω = -log Ξ / β, in units of the loss.
        mean_number: ⟨N⟩ = -∂Ω/∂μ.
        number_variance: ⟨N²⟩ - ⟨N⟩² = (1/β) ∂⟨N⟩/∂μ.
        average_loss: U = -∂ log Ξ/∂β at fixed βμ; NaN where log Z_N is an array, which does not say how it varies
            with β.
        entropy: S = β² ∂Ω/∂β = log Ξ + β(U - μ⟨N⟩), in nats; NaN as `average_loss`.
        number_entropy: -Σ p(N) log p(N), in nats, the part of S that knows nothing but N.
        last_weight: p(N_max), the weight of the last term of the sum.
        last_ratio: the last term over the one before, per neuron; 1 or more says that the sum is cut off where its
            terms still grow, and that its results are those of N_max.
        omitted_weight: what the terms beyond N_max would add to Ξ, over Ξ, if they went on as a geometric series with
            `last_ratio`; infinite where that diverges.
    """

    log_partition: Array
    grand_potential: Array
    mean_number: Array
    number_variance: Array
    average_loss: Array
    entropy: Array
    number_entropy: Array
    last_weight: Array
    last_ratio: Array
    omitted_weight: Array


def grand_canonical(log_Z: LogPartitions, beta: Scalar, mu: Scalar, *, numbers: Any = None) -> GrandCanonical:
    """Every function of the ensemble from log Ξ(β, μ) and its derivatives.

    Sums are taken about the N nearest to ⟨N⟩, so that the variance loses nothing to cancellation, also in float32.

    Args:
        log_Z: log Z_N in nats, (..., k); -inf for an N that does not occur. Or a function of β that returns this, which
            average loss and entropy need.
        beta: inverse temperature β > 0, in inverse units of the loss; any shape that broadcasts with (...).
        mu: chemical potential μ of a neuron, in units of the loss, of either sign; as `beta`.
        numbers: the N of each entry, increasing whole numbers, gaps allowed; 0, ..., k - 1 if None.

    Returns:
        Fields of the common shape (...). NaN if every Z_N is 0.

    Raises:
        ValueError: β not positive, fewer than two N, or shapes that do not fit.
        TypeError: numbers that are not whole.
    """
    terms, beta, mu, N = sum_terms(log_Z, beta, mu, numbers)
    y = beta * mu
    log_xi, mean, variance = _cumulants(terms, y, N)
    average_loss = jnp.full_like(y, jnp.nan)
    if callable(log_Z):
        losses = -jax.jvp(lambda b: _shape(log_Z(b), y.shape), (beta,), (jnp.ones_like(beta),))[1]
        p = _distribution(terms, y, N)
        average_loss = jnp.sum(jnp.where(p > 0, p * losses, 0), axis=-1)
    return _everything(terms, beta, y, N, log_xi, mean, variance, average_loss)


def grand_partition_function(log_Z: LogPartitions, beta: Scalar, mu: Scalar, *, numbers: Any = None) -> Array:
    """log Ξ = log Σ_N exp(βμN + log Z_N), in nats. Arguments and errors as `grand_canonical`."""
    terms, beta, mu, N = sum_terms(log_Z, beta, mu, numbers)
    return _cumulants(terms, beta * mu, N)[0]


def grand_potential(log_Z: LogPartitions, beta: Scalar, mu: Scalar, *, numbers: Any = None) -> Array:
    """Ω = -log Ξ / β, in units of the loss. Arguments and errors as `grand_canonical`."""
    terms, beta, mu, N = sum_terms(log_Z, beta, mu, numbers)
    return -_cumulants(terms, beta * mu, N)[0] / beta


def mean_neuron_number(log_Z: LogPartitions, beta: Scalar, mu: Scalar, *, numbers: Any = None) -> Array:
    """⟨N⟩ = -∂Ω/∂μ. Arguments and errors as `grand_canonical`."""
    terms, beta, mu, N = sum_terms(log_Z, beta, mu, numbers)
    return _cumulants(terms, beta * mu, N)[1]


def neuron_number_variance(log_Z: LogPartitions, beta: Scalar, mu: Scalar, *, numbers: Any = None) -> Array:
    """Var N = (1/β) ∂⟨N⟩/∂μ. Arguments and errors as `grand_canonical`."""
    terms, beta, mu, N = sum_terms(log_Z, beta, mu, numbers)
    return _cumulants(terms, beta * mu, N)[2]


def neuron_number_distribution(log_Z: LogPartitions, beta: Scalar, mu: Scalar, *, numbers: Any = None) -> Array:
    """p(N) = e^{βμN} Z_N / Ξ, shape (..., k). Arguments and errors as `grand_canonical`."""
    terms, beta, mu, N = sum_terms(log_Z, beta, mu, numbers)
    return _distribution(terms, beta * mu, N)


def addition_energy(log_Z: LogPartitions, beta: Scalar, *, numbers: Any = None) -> Array:
    """What the next neuron costs: the μ at which N and the next N are equally likely, -Δ log Z / (β ΔN).

    The sum over N converges for μ below its limit at large N. Where it falls with N, no μ makes the N between the most
    likely.

    Args:
        log_Z: as in `grand_canonical`.
        beta: inverse temperature β > 0.
        numbers: as in `grand_canonical`.

    Returns:
        (..., k - 1), in units of the loss.
    """
    terms, beta, _, N = sum_terms(log_Z, beta, 0.0, numbers)
    return -jnp.diff(terms, axis=-1) / (beta[..., None] * jnp.diff(N, axis=-1))


def sum_terms(log_Z: Any, beta: Any, mu: Any, numbers: Any, name: str = "mu") -> tuple[Array, Array, Array, Array]:
    """log Z_N (..., k), β and μ (...), N (1, ..., k), of one dtype."""
    positive("beta", beta)
    beta, mu = real_array("beta", beta), real_array(name, mu)
    terms = real_array("log_Z", log_Z(beta) if callable(log_Z) else log_Z)
    check("log_Z", "have a last axis of two or more N", terms.ndim > 0 and terms.shape[-1] > 1, f"shape {terms.shape}")
    N = _numbers(numbers, terms.shape[-1])
    try:
        shape = jnp.broadcast_shapes(terms.shape[:-1], beta.shape, mu.shape)
    except ValueError:
        shape = None
    got = f"{terms.shape[:-1]}, {beta.shape} and {mu.shape}"
    check(f"log_Z, beta and {name}", "broadcast together but for the last axis of log_Z", shape is not None, got)
    beta, mu = (jnp.broadcast_to(v.astype(terms.dtype), shape) for v in (beta, mu))
    return _shape(terms, shape), beta, mu, N.astype(terms.dtype).reshape((1,) * len(shape) + N.shape)  # type: ignore[arg-type]


def _numbers(numbers: Any, count: int) -> Array:
    if numbers is None:
        return jnp.arange(count)
    found = integers("numbers", numbers)
    check("numbers", f"have shape ({count},), one for each log Z", found.shape == (count,), f"shape {found.shape}")
    if is_concrete(found):
        values = np.asarray(found)
        check("numbers", "increase from 0 or more", values[0] >= 0 and (np.diff(values) > 0).all(), values)
    return found


def _shape(terms: Array, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(terms, (*shape, terms.shape[-1]))


def _centre(terms: Array, y: Array, N: Array) -> Array:
    """The whole number nearest to ⟨N⟩, a constant to derivatives."""
    return jax.lax.stop_gradient(jnp.round(jnp.sum(softmax(terms + y[..., None] * N, axis=-1) * N, axis=-1)))


@jax.jit
def _cumulants(terms: Array, y: Array, N: Array) -> tuple[Array, Array, Array]:
    """log Σ exp(log Z_N + yN), y = βμ, and its first two derivatives in y, ⟨N⟩ and Var N."""
    centre = _centre(terms, y, N)
    ones = jnp.ones_like(y)

    def log_sum(y: Array) -> Array:
        return logsumexp(terms + y[..., None] * (N - centre[..., None]), axis=-1)

    def deviation(y: Array) -> Array:
        return jax.jvp(log_sum, (y,), (ones,))[1]

    mean, variance = jax.jvp(deviation, (y,), (ones,))
    return y * centre + log_sum(y), centre + mean, variance


@jax.jit
def _distribution(terms: Array, y: Array, N: Array) -> Array:
    return softmax(terms + y[..., None] * (N - _centre(terms, y, N)[..., None]), axis=-1)


@jax.jit
def _everything(
    terms: Array, beta: Array, y: Array, N: Array, log_xi: Array, mean: Array, variance: Array, average_loss: Array
) -> GrandCanonical:
    p = _distribution(terms, y, N)
    rise = (terms[..., -1] - terms[..., -2]) / (N[..., -1] - N[..., -2]) + y
    ratio = jnp.exp(rise)
    tail = p[..., -1] * ratio / jnp.where(ratio < 1, -jnp.expm1(rise), 1)
    return GrandCanonical(
        log_partition=log_xi,
        grand_potential=-log_xi / beta,
        mean_number=mean,
        number_variance=variance,
        average_loss=average_loss,
        entropy=log_xi + beta * average_loss - y * mean,
        number_entropy=-jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0), axis=-1),
        last_weight=p[..., -1],
        last_ratio=ratio,
        omitted_weight=jnp.where(ratio < 1, tail, jnp.where(jnp.isnan(ratio), jnp.nan, jnp.inf)),
    )
