"""All weights at once: the Fokker-Planck equation near a minimum, where it is that of Ornstein and Uhlenbeck."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo.experiments.mechanics.problem import Problem
from nnthermo.mechanics import sgd_diffusion_matrix


class Linear(NamedTuple):
    """The linear problem about the minimum: dp/dt = ∇·(ηH(q - q*) p + D∇p), t in steps; nothing in it is fitted.

    Attributes:
        rates: eigenvalues of ηH, increasing, (K,): inverse relaxation times in steps.
        vectors: its eigenvectors, (K, K), columns.
        diffusion: D = η²C/2B in that basis, (K, K).
    """

    rates: np.ndarray
    vectors: np.ndarray
    diffusion: np.ndarray


class Balance(NamedTuple):
    """Entropy of a Gaussian density and its two sources, each (records,): nats, and nats a step.

    Attributes:
        entropy: S = ½ log det 2πeΣ.
        production: Tr DΣ⁻¹, what the noise produces, never negative.
        learning: -Tr ηH, what learning destroys where it is negative: γ∫p∇²F with F = -L.
    """

    entropy: np.ndarray
    production: np.ndarray
    learning: np.ndarray


def linearise(problem: Problem, learning_rate: float, batch_size: int) -> Linear:
    """ηH and D at the minimum; in float64."""
    q = jnp.asarray(problem.minimum)
    hessian = np.asarray(jax.jit(jax.hessian(problem.loss))(q))
    rates, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    gradients = problem.sample_gradients(q)
    diffusion = np.asarray(sgd_diffusion_matrix(gradients, learning_rate, batch_size))
    return Linear(learning_rate * rates, vectors, vectors.T @ diffusion @ vectors)


def covariance(linear: Linear, spread: float | np.ndarray, time: float) -> np.ndarray:
    """Σ(t) in the eigenbasis, from Σ(0) = spread² 1: e^{-(k+l)t} Σ_kl(0) + 2D_kl (1 - e^{-(k+l)t})/(k+l), (K, K)."""
    sums = linear.rates[:, None] + linear.rates[None]
    grown = np.where(np.abs(sums * time) > 1e-12, -np.expm1(-sums * time) / np.where(sums == 0, 1.0, sums), time)
    return np.diag(np.square(spread) * np.exp(-2 * linear.rates * time)) + 2 * linear.diffusion * grown


def discrete_covariance(linear: Linear, spread: float, steps: int) -> np.ndarray:
    """The same of the steps themselves, Σ ← (1 - ηH)Σ(1 - ηH) + 2D: exact for a quadratic loss with constant noise."""
    factors = 1 - linear.rates
    products = factors[:, None] * factors[None]
    powers = products**steps
    rest = 1 - products
    grown = np.where(np.abs(rest) > 1e-15, (1 - powers) / np.where(rest == 0, 1.0, rest), steps)
    return np.diag(spread**2 * factors ** (2 * steps)) + 2 * linear.diffusion * grown


def balance(covariances: np.ndarray, linear: Linear, samples: int | None = None) -> Balance:
    """Entropy and its sources from Σ at each record, (records, K, K), in the eigenbasis.

    Args:
        covariances: exact ones, or the unbiased estimates from `samples` Gaussian replicas: log det and Σ⁻¹ then lose
            the bias that Wishart's distribution gives them.
        linear: of the drift and diffusion.
        samples: replicas, if estimated.
    """
    size = covariances.shape[-1]
    bias = 0.0
    if samples is not None:
        degrees = samples - 1
        digamma = jax.scipy.special.digamma((degrees - np.arange(size)) / 2)
        bias = float(np.sum(digamma)) + size * np.log(2 / degrees)
    log_dets = np.linalg.slogdet(covariances)[1] - bias
    entropy = 0.5 * (log_dets + size * np.log(2 * np.pi * np.e))
    same = np.broadcast_to(linear.diffusion, covariances.shape)
    return Balance(entropy, production(covariances, same, samples), np.full(len(covariances), -linear.rates.sum()))


def production(covariances: np.ndarray, diffusions: np.ndarray, samples: int | None = None) -> np.ndarray:
    """Tr DΣ⁻¹ of each record, (records,); of estimated covariances without the bias of Σ⁻¹."""
    size = covariances.shape[-1]
    factor = 1.0 if samples is None else (samples - size - 2) / (samples - 1)
    return factor * np.einsum("tkl,tlk->t", diffusions, np.linalg.inv(covariances))


def integrated(rates: np.ndarray, times: np.ndarray) -> np.ndarray:
    """∫ rate dt from the first record to each, by the trapezoidal rule in log(1 + t), as records lie: (records,)."""
    logs = np.log1p(times)
    inner = rates * (1 + times)
    return np.concatenate([[0.0], np.cumsum(np.diff(logs) * (inner[1:] + inner[:-1]) / 2)])
