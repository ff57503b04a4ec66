"""Laplacians of the free energy in the eigenvalues of Ĝ and in their logarithms (8.10)-(8.11)."""

import jax.numpy as jnp
from jax.nn import sigmoid, softplus

from nnthermo._checks import positive, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.ensemble import log_partition
from nnthermo.spectrum import LogSpectrum

_TERMS = 34
"""Of the series of h, for s < 1/3: the rest is below 3⁻³² of the first term, which is an ulp of float64."""


def eigenvalue_laplacian(spectrum: LogSpectrum, beta: Scalar, *, m: Scalar = 0.0) -> Array:
    """ΔF = -(β/2) Σ (1 - βm + βλ)⁻² (8.10), (9.1): second derivatives in the eigenvalues, each taken as free.

    Always negative, but that is a property of these coordinates: in log λ the sum is positive
    (`log_eigenvalue_laplacian`), and in the weights it has either sign.

    Args:
        spectrum: log λ of Ĝ, from `log_eigenvalues`.
        beta: inverse temperature β > 0, in inverse units of the loss, shape ().
        m: curvature of the potential (3.3).

    Returns:
        ΔF in units of the loss (λ is dimensionless), shape ().

    Raises:
        ValueError: β not positive, or m >= λ_min + 1/β where the numbers are known; where they are traced that gives
            NaN, as in `log_partition`.
    """
    log_det, beta, shift = _prepare(spectrum, beta, m)
    dynamical = jnp.sum((shift + beta * jnp.exp(spectrum.values)) ** -2)
    found = -beta / 2 * (dynamical + spectrum.unit_count * (shift + beta) ** -2)
    return jnp.where(jnp.isnan(log_det), jnp.nan, found)


def log_eigenvalue_laplacian(spectrum: LogSpectrum, beta: Scalar, *, m: Scalar = 0.0) -> Array:
    """Σ ∂²F/∂(log λ)² = (1/2β) Σ c βλ/(c + βλ)², c = 1 - βm: the twin of (8.10) in log λ, each taken as free.

    For m = 0 it is Σ s(1 - s)/2β with s = βλ/(1 + βλ), between 0 and N/8β. Positive for c > 0 whatever the spectrum
    is, where (8.10) is negative: neither sign belongs to learning. In units of the loss, shape (); arguments and errors
    as `eigenvalue_laplacian`.
    """
    log_det, beta, shift = _prepare(spectrum, beta, m)
    above = spectrum.values > 0  # λ or 1/λ, whichever is below 1: neither overflows
    small = jnp.exp(jnp.where(above, -spectrum.values, spectrum.values))
    each = small / jnp.where(above, shift * small + beta, shift + beta * small) ** 2
    found = shift / 2 * (jnp.sum(each) + spectrum.unit_count * (shift + beta) ** -2)
    return jnp.where(jnp.isnan(log_det), jnp.nan, found)


def integrated_eigenvalue_laplacian(spectrum: LogSpectrum, beta: Scalar) -> Array:
    """∫_0^β ΔF dβ' = -½ Σ λ⁻² [log(1 + βλ) - βλ/(1 + βλ)] of (8.10) at m = 0: the exponent of (8.11) over α.

    As printed (8.11) has -½ Σ (1 + βλ)⁻², which takes ΔF as independent of β and loses a factor β². In units of the
    loss squared, as β is in inverse units of it; -Nβ²/4 for β → 0. Here as -(β²/2) Σ h(βλ), where
    h(x) = [log(1+x) - x/(1+x)]/x² = ½ - ⅔x + ¾x² - ..., of s = x/(1+x): h = (1-s)² (½ + s/3 + s²/4 + ...), which is
    summed where s < 1/3: no difference of near numbers is left. Shape ().

    Args:
        spectrum: log λ of Ĝ, from `log_eigenvalues`.
        beta: β > 0, the upper end of the integral, shape ().

    Raises:
        ValueError: β not positive, or not one number.
    """
    positive("beta", beta)
    dtype = spectrum.values.dtype
    beta = real_array("beta", beta, shape=()).astype(dtype)
    values = jnp.concatenate([spectrum.values, jnp.zeros((1,), dtype)])
    weights = jnp.ones_like(values).at[-1].set(spectrum.unit_count)
    logit = jnp.log(beta) + values
    s = sigmoid(logit)
    small = s < 1 / 3
    near = jnp.where(small, s, 0)
    series = jnp.zeros_like(s)
    for n in range(_TERMS, 1, -1):
        series = series * near + 1 / n
    far = jnp.where(small, 0, logit)  # neither branch may overflow where it is not taken: derivatives see both
    direct = (softplus(far) - sigmoid(far)) * jnp.exp(-2 * far)
    h = jnp.where(small, sigmoid(-logit) ** 2 * series, direct)
    return -(beta**2) / 2 * jnp.vdot(weights, h)


def _prepare(spectrum: LogSpectrum, beta: Scalar, m: Scalar) -> tuple[Array, Array, Array]:
    positive("beta", beta)
    log_det = log_partition(spectrum, beta, m=m)  # refuses such m, or is NaN
    beta, m = jnp.asarray(beta, spectrum.values.dtype), jnp.asarray(m, spectrum.values.dtype)
    return log_det, beta, 1 - beta * m
