"""Learning equilibrium (Section 6): how nearly log Z splits into a part of β and a part of the weights."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from nnthermo._checks import check, positive, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.spectrum import LogSpectrum


class Factorisation(NamedTuple):
    """log Z(β, w) as the sum (6.3) of a function of β, a function of the network, and what is left.

    Attributes:
        of_temperature: -βA(β) up to a constant, (temperatures,), in nats; its mean is 0.
        of_network: C(w, b), (networks,), in nats.
        defect: log Z less both, (networks, temperatures): rows and columns add up to 0. Zero if and only if log Z
            factorises, as it does for feed-forward networks on all of R^N.
        root_mean_square: of the defect, shape ().
        share: of the variance of log Z between networks at a fixed temperature that the defect makes up, between 0 and
            1, shape (): what (6.3) leaves unexplained of the differences that training makes. NaN if there are none.
    """

    of_temperature: Array
    of_network: Array
    defect: Array
    root_mean_square: Array
    share: Array


def factorise(log_partitions: Any) -> Factorisation:
    """The best split (6.3) of log Z over a window of temperatures and a set of networks, by least squares.

    (6.3) follows from (6.2) only where U is stationary in the weights on an open set of (β, w, b); at one point it says
    nothing. The defect is the interaction of a two-way analysis of variance.

    Args:
        log_partitions: (networks, temperatures), in nats: records of a training run, or neighbours of a network, each
            at the same temperatures.

    Raises:
        ValueError: fewer than two networks or temperatures.
    """
    values = real_array("log_partitions", log_partitions, ndim=2)
    check("log_partitions", "have at least two rows and two columns", min(values.shape) > 1, f"shape {values.shape}")
    total = jnp.mean(values)
    by_network, by_temperature = jnp.mean(values, axis=1), jnp.mean(values, axis=0) - total
    defect = values - by_network[:, None] - by_temperature[None, :]
    between = jnp.sum((values - jnp.mean(values, axis=0)[None, :]) ** 2)
    left = jnp.sum(defect**2)
    share = jnp.where(between > 0, left / jnp.where(between > 0, between, 1), jnp.nan)
    return Factorisation(by_temperature, by_network, defect, jnp.sqrt(jnp.mean(defect**2)), share)


def split_error(spectrum: LogSpectrum, beta: Scalar, threshold: Scalar = 1.0) -> Array:
    """What the threshold form (6.6) misses of ½ log det(I + βĜ), in nats; never negative, shape ().

        E(t) = ½ Σ_{βλ > t} log(1 + 1/βλ) + ½ Σ_{βλ <= t} log(1 + βλ)

    Smallest at t = 1 for every spectrum, where it is ½ Σ log(1 + exp(-abs(log βλ))), at most ½ log 2 an eigenvalue:
    (6.6) has no small parameter. `decompose` has no error.

    Args:
        spectrum: log λ.
        beta: inverse temperature β > 0.
        threshold: t > 0, dimensionless: eigenvalues above t/β are taken for large.

    Raises:
        ValueError: β or t not positive.
    """
    positive("beta", beta)
    positive("threshold", threshold)
    beta, t = (jnp.asarray(v, spectrum.values.dtype) for v in (beta, threshold))

    def missed(log_value: Array) -> Array:
        logit = jnp.log(beta) + log_value
        return 0.5 * jnp.where(logit > jnp.log(t), jnp.logaddexp(0, -logit), jnp.logaddexp(0, logit))

    units = missed(jnp.zeros((), spectrum.values.dtype))
    return jnp.sum(missed(spectrum.values)) + (spectrum.unit_count * units if spectrum.unit_count else 0.0)
