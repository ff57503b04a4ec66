"""Weighted samples: averages, the log of a mean weight, and standard errors by the delta method."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from nnthermo._typing import Array
from nnthermo.canonical.ensemble import CanonicalEnsemble, CanonicalEstimate, Estimate
from nnthermo.linalg.dense import matmul


class WeightedSamples(NamedTuple):
    """States with importance weights: averages are Σ w A(x) / Σ w.

    Attributes:
        states: (samples, N), neurons in the order of `net.ravel`, clamped ones included.
        log_weights: (samples,); their log mean exp is log Z.
        losses: H of each, (samples,).
    """

    states: Array
    log_weights: Array
    losses: Array

    @property
    def weights(self) -> Array:
        """Normalised to sum 1, (samples,)."""
        return jax.nn.softmax(self.log_weights)

    @property
    def effective_samples(self) -> Array:
        """(Σw)²/Σw², shape ()."""
        return 1 / jnp.sum(self.weights**2)

    def mean(self) -> Array:
        """⟨x⟩, shape (N,)."""
        return self.weights @ self.states

    def covariance(self) -> Array:
        """⟨xxᵀ⟩ - ⟨x⟩⟨x⟩ᵀ, shape (N, N)."""
        centred = self.states - self.mean()[None, :]
        return matmul(centred.T, self.weights[:, None] * centred)


def log_mean(log_weights: Array, lineage: Array | None = None) -> Array:
    """log of the mean weight, corrected for the logarithm's bias to first order."""
    count = log_weights.shape[0]
    return logsumexp(log_weights) - math.log(count) + 0.5 * relative_variance(log_weights, lineage)


def relative_variance(log_weights: Array, lineage: Array | None = None) -> Array:
    """Squared standard error of the mean weight over its square."""
    squares = sum_of_squares(jax.nn.softmax(log_weights), lineage)
    return jnp.maximum(squares - 1 / log_weights.shape[0], 0)


def sum_of_squares(terms: Array, lineage: Array | None = None) -> Array:
    """Σ t², or of their sums over samples that descend from one ancestor, lineage (samples,)."""
    if lineage is not None:
        terms = jax.ops.segment_sum(terms, lineage, num_segments=terms.shape[0])
    return jnp.sum(terms**2)


def estimate_from(
    ensemble: CanonicalEnsemble,
    log_weights: Array,
    in_beta: Array,
    in_stiffness: Array,
    lineage: Array | None = None,
) -> CanonicalEstimate:
    """The estimates of weighted samples from their derivatives in β and s, (samples,) each.

    Samples are independent, or those of different ancestors are: `lineage` holds the index of each one's ancestor.
    """
    beta, s = ensemble.beta, ensemble.stiffness
    w = jax.nn.softmax(log_weights)
    slope, curve = jnp.sum(w * in_beta), jnp.sum(w * in_stiffness)
    value = log_mean(log_weights, lineage)
    deviations = w * (1 - beta * (in_beta - slope) - s * (in_stiffness - curve)) - 1 / w.shape[0]

    def root(terms: Array) -> Array:
        return jnp.sqrt(sum_of_squares(terms, lineage))

    return CanonicalEstimate(
        Estimate(value, jnp.sqrt(relative_variance(log_weights, lineage))),
        Estimate(-slope, root(w * (in_beta - slope))),
        Estimate(value - beta * slope - s * curve, root(deviations)),
        Estimate(-2 * curve, 2 * root(w * (in_stiffness - curve))),
        1 / sum_of_squares(w, lineage),
    )
