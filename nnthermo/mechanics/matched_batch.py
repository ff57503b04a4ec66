"""Step size, mini-batch and chemical potential tuned to one Planck constant: 4D/(γλ) = (μ/2π)².

That these are the knobs is read in the abstract of arXiv:2111.00903. The formula is an own derivation: with the noise
of stochastic gradient descent, D = η²C/2B and γ = η, the ħ = 2√(D/γλ) of the stationary entropy production is μ/2π for

    B = 2ηC/(λħ²) = 8π²ηC/(λμ²).

It takes the noise to be isotropic, D the same number along every trainable variable. The noise of real networks is not:
`gradient_noise` measures by how much.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.lax import Precision

from nnthermo._checks import check, nonzero, positive, real_array
from nnthermo._typing import Array, Scalar


class GradientNoise(NamedTuple):
    """A covariance of gradients, and how far it is from a multiple of the identity.

    Attributes:
        variance: C = Tr C / K, the variance along one variable, shape ().
        anisotropy: ‖C - (Tr C/K) I‖ / ‖(Tr C/K) I‖ in the Frobenius norm, 0 if isotropic, at most √(K - 1), shape ().
        directions: (Tr C)² / Tr C², how many of the K directions carry the noise, shape ().
    """

    variance: Array
    anisotropy: Array
    directions: Array


def gradient_noise(per_sample_gradients: Any) -> GradientNoise:
    """The noise of per-sample gradients, at the cost of the smaller of their two Gram matrices.

    Args:
        per_sample_gradients: (n, K), n ≥ 2 samples, K trainable variables; the covariance is divided by n. Samples that
            are all alike have no noise: `directions` is NaN.
    """
    g = real_array("per_sample_gradients", per_sample_gradients, ndim=2)
    fair = g.shape[0] >= 2 and g.shape[1] >= 1
    check("per_sample_gradients", "have two samples or more, and variables", fair, f"shape {g.shape}")
    g = g - jnp.mean(g, axis=0, keepdims=True)
    n, K = g.shape
    gram = jnp.matmul(g, g.T, precision=Precision.HIGHEST) if n < K else jnp.matmul(g.T, g, precision=Precision.HIGHEST)
    return _noise(jnp.trace(gram) / n, jnp.sum((gram / n) ** 2), K)


def _noise(trace: Array, squares: Array, K: int) -> GradientNoise:
    directions = trace**2 / squares
    excess = jnp.maximum(K / directions - 1, 0)
    return GradientNoise(trace / K, jnp.where(excess > 0, jnp.sqrt(jnp.where(excess > 0, excess, 1)), 0), directions)


class Matched(NamedTuple):
    """A knob at which the noise of learning and the exchange of neurons agree on ħ.

    Attributes:
        value: the batch size, learning rate or chemical potential, not rounded.
        hbar: |μ|/2π, the Planck constant of both.
        anisotropy: of the covariance (see `GradientNoise`); 0 where a number was given. Away from 0 the match is one on
            average over directions: along an axis with variance cC̄ the noise alone has √c ħ.
    """

    value: Array
    hbar: Array
    anisotropy: Array


def matched_batch_size(gradient_covariance: Any, learning_rate: Scalar, multiplier: Scalar, mu: Scalar) -> Matched:
    """B = 8π²ηC/(λμ²), the batch size at which 4D/(γλ) = (μ/2π)².

    Args:
        gradient_covariance: C of the gradients of single samples: a number, the variance along every variable, or the
            matrix (K, K), of which C = Tr C/K enters.
        learning_rate: η > 0 of q ← q - ηg.
        multiplier: λ > 0, of free-energy production; the theory does not say which.
        mu: chemical potential of a neuron, not 0; its sign does not matter.

    Returns:
        B as a real number; below 1 no batch is small enough.

    Raises:
        ValueError: numbers that are not positive, a covariance that is neither a number nor square.
    """
    C, anisotropy = _isotropic(gradient_covariance)
    eta, lam = _positive(C, learning_rate=learning_rate, multiplier=multiplier)
    hbar = _planck_constant(mu, C)
    return Matched(2 * eta * C / (lam * hbar**2), hbar, anisotropy)


def matched_learning_rate(gradient_covariance: Any, batch_size: Scalar, multiplier: Scalar, mu: Scalar) -> Matched:
    """η = λBμ²/(8π²C): `matched_batch_size` solved for the learning rate. Arguments as there."""
    C, anisotropy = _isotropic(gradient_covariance)
    B, lam = _positive(C, batch_size=batch_size, multiplier=multiplier)
    hbar = _planck_constant(mu, C)
    return Matched(lam * B * hbar**2 / (2 * C), hbar, anisotropy)


def matched_chemical_potential(
    gradient_covariance: Any, learning_rate: Scalar, batch_size: Scalar, multiplier: Scalar
) -> Matched:
    """|μ| = 2π √(2ηC/(λB)): `matched_batch_size` solved for the chemical potential. Arguments as there."""
    C, anisotropy = _isotropic(gradient_covariance)
    eta, B, lam = _positive(C, learning_rate=learning_rate, batch_size=batch_size, multiplier=multiplier)
    hbar = jnp.sqrt(2 * eta * C / (lam * B))
    return Matched(2 * math.pi * hbar, hbar, anisotropy)


def _isotropic(covariance: Any) -> tuple[Array, Array]:
    C = real_array("gradient_covariance", covariance)
    is_matrix = C.ndim == 2 and C.shape[0] == C.shape[1]
    check("gradient_covariance", "be a number or a square matrix", C.ndim == 0 or is_matrix, f"shape {C.shape}")
    if C.ndim == 0:
        noise = GradientNoise(C, jnp.zeros_like(C), jnp.ones_like(C))
    else:
        noise = _noise(jnp.trace(C), jnp.sum(C * C), C.shape[0])
    positive("gradient_covariance's mean variance", noise.variance)
    return noise.variance, noise.anisotropy


def _planck_constant(mu: Scalar, like: Array) -> Array:
    """|μ|/2π."""
    given = real_array("mu", mu).astype(like.dtype)
    nonzero("mu", given)
    return abs(given) / (2 * math.pi)


def _positive(like: Array, **values: Any) -> tuple[Array, ...]:
    for name, value in values.items():
        positive(name, value)
    return tuple(real_array(name, value).astype(like.dtype) for name, value in values.items())
