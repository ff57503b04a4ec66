"""Laplacians of the free energy in the eigenvalues (8.10) and the two-level model of an optimal network (9.1)-(9.4)."""

import jax.numpy as jnp

from nnthermo._checks import positive
from nnthermo._typing import Array, Scalar
from nnthermo.ensemble import log_partition
from nnthermo.spectrum import LogSpectrum


def eigenvalue_laplacian(spectrum: LogSpectrum, beta: Scalar, *, m: Scalar = 0.0) -> Array:
    """ΔF = -(β/2) Σ (1 - βm + βλ)⁻² (8.10), (9.1): second derivatives in the eigenvalues, each taken as free.

    Always negative, but that is a property of these coordinates: in log λ the sum is +Σ s(1-s)/2β with
    s = βλ/(1+βλ), and in the weights it has either sign. In units of the loss (λ is dimensionless).

    Raises:
        ValueError: β not positive, or m >= λ_min + 1/β where the numbers are known; where they are traced that gives
            NaN, as in `log_partition`.
    """
    positive("beta", beta)
    log_det = log_partition(spectrum, beta, m=m)  # refuses such m, or is NaN
    beta, m = jnp.asarray(beta, spectrum.values.dtype), jnp.asarray(m, spectrum.values.dtype)
    shift = 1 - beta * m
    dynamical = jnp.sum((shift + beta * jnp.exp(spectrum.values)) ** -2)
    found = -beta / 2 * (dynamical + spectrum.unit_count * (shift + beta) ** -2)
    return jnp.where(jnp.isnan(log_det), jnp.nan, found)


def two_level_laplacian(log_eigenvalue: Array, beta: Scalar, *, gamma: Scalar, size: int) -> Array:
    """-ΔF (9.3) of γN eigenvalues at λ balanced by (1-γ)N at λ^{γ/(γ-1)}, so that det Ĝ = 1: the curves of Fig. 1.

    Stationary at log λ = 0 and where `spectrum.beta_from_gap(log λ, gamma=γ)` = β; for γ = 1/3 that is
    log λ = 2 log((1-β)/β), β < 1, not the γ → 0 form (9.4) of the figure's text.

    Args:
        log_eigenvalue: log λ, any shape.
        beta: inverse temperature β > 0.
        gamma: fraction γ of small eigenvalues, 0 < γ < 1.
        size: number of neurons N.

    Returns:
        Shape of `log_eigenvalue`, in units of the loss.
    """
    positive("beta", beta)
    positive("gamma", gamma)
    positive("1 - gamma", 1 - gamma)
    small = (1 + beta * jnp.exp(log_eigenvalue)) ** -2
    large = (1 + beta * jnp.exp(log_eigenvalue * gamma / (gamma - 1))) ** -2
    return size * beta / 2 * (gamma * small + (1 - gamma) * large)
