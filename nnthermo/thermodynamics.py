"""Thermodynamic functions by differentiation of log Z in β (Sections 6-7)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._typing import Array, Scalar, State
from nnthermo.ensemble import log_partition


def _in_dtype_of(G: Any, beta: Scalar) -> Array:
    return jnp.asarray(beta, jnp.result_type(*jax.tree.leaves(G)))


def _slope(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """d/dβ in forward mode: for one number as cheap as reverse, and half the code to compile when nested."""
    return lambda beta: jax.jvp(function, (beta,), (jnp.ones_like(beta),))[1]


def free_energy(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """F = -log Z / β (6.4), in units of the loss.

    Args:
        G: Hessian from `bulk_hessian`, or a `LogSpectrum` (without `mean`).
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3).
        mean: x̄, to keep the mean term of (5.9).

    Raises:
        ValueError: as `log_partition`.
    """
    return -log_partition(G, beta, m=m, mean=mean) / _in_dtype_of(G, beta)


def average_loss(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """U = ⟨H⟩ = -∂ log Z/∂β (6.1), in units of the loss. Arguments and errors as `free_energy`.

    Without `mean` and with m = 0, 2βU = Tr βĜ(I + βĜ)⁻¹ exactly, of which (7.5), N_>/2β, is the threshold form.
    With `mean` it is ⟨H⟩ of the quadratic loss about x̄ for m = 0.
    """
    log_partition(G, beta, m=m, mean=mean)  # inside grad the numbers are traced: refuse bad ones here
    return -_slope(lambda b: log_partition(G, b, m=m, mean=mean))(_in_dtype_of(G, beta))


def entropy(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """S = β² ∂F/∂β = log Z + βU (7.1), in nats; the paper prints Z for log Z. Arguments and errors as `free_energy`.

    The differential entropy of the states under the Boltzmann weight alone. The window of (5.8) adds ½⟨x·x⟩ to the
    entropy of the ensemble that (5.9) normalises: `gaussian_entropy`.
    """
    u = average_loss(G, beta, m=m, mean=mean)
    return log_partition(G, beta, m=m, mean=mean) + _in_dtype_of(G, beta) * u


def gaussian_entropy(G: Any, beta: Scalar, *, m: Scalar = 0.0) -> Array:
    """Shannon entropy -⟨log p⟩ (4.5) of the windowed Gaussian ensemble, in nats: (N/2) log 2πe - ½ log det M.

    Exceeds (7.1) by ½ Tr M⁻¹ = ½⟨x·x⟩ about the mean, the window's term that (7.1) leaves out.
    """
    return log_partition(G, beta, m=m) + 0.5 * G.size


def heat_capacity(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """∂U/∂T = β² ∂² log Z/∂β², dimensionless: β² times the variance of the loss. Arguments as `free_energy`."""
    log_partition(G, beta, m=m, mean=mean)
    beta = _in_dtype_of(G, beta)
    return beta**2 * _slope(_slope(lambda b: log_partition(G, b, m=m, mean=mean)))(beta)
