"""Thermodynamic functions by differentiation of log Z in β (Sections 6-7)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import is_concrete, positive, real_array
from nnthermo._typing import Array, Scalar, State
from nnthermo.ensemble import eigenmodes, log_partition


def _in_dtype_of(G: Any, beta: Scalar) -> Array:
    leaves = [leaf for leaf in jax.tree.leaves(G) if jnp.issubdtype(leaf.dtype, jnp.floating)]  # no random keys
    return jnp.asarray(beta, jnp.result_type(*leaves))


class Thermodynamics(NamedTuple):
    """The thermodynamic functions at one temperature, each of shape (), or of the shape of a sweep.

    Attributes:
        log_partition: log Z (5.9) or (5.14), in nats.
        free_energy: F = -log Z / β (6.4), in units of the loss.
        average_loss: U = -∂ log Z/∂β (6.1), in units of the loss.
        entropy: S = log Z + βU (7.1), in nats.
        heat_capacity: β² ∂² log Z/∂β², dimensionless; computed only where it is used, under jit.
    """

    log_partition: Array
    free_energy: Array
    average_loss: Array
    entropy: Array
    heat_capacity: Array


def thermodynamic_functions(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Thermodynamics:
    """Every thermodynamic function from one pass through log Z, at a fraction of the cost of one call for each.

    Args:
        G: Hessian from `bulk_hessian` or `restrict`; or a `LogSpectrum` or `Eigenmodes` (without `mean`).
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3).
        mean: x̄, to keep the mean term of (5.9).

    Raises:
        ValueError: as `log_partition`.
    """
    _refuse(G, beta, m, mean)
    b = _in_dtype_of(G, beta)
    log_z = _log_z(G, m, mean)
    value, slope = _differentiate(log_z, b)
    # apart from the first derivative, so that gradients of F, U and S carry nothing of it where it is not used
    curvature = _differentiate(lambda t: _differentiate(log_z, t)[1], b)[1]
    return Thermodynamics(value, -value / b, -slope, value - b * slope, b**2 * curvature)


def _log_z(G: Any, m: Scalar, mean: State | None) -> Callable[[Array], Array]:
    return lambda beta: log_partition(G, beta, m=m, mean=mean)


def _differentiate(function: Callable[[Array], Any], beta: Array) -> tuple[Any, Any]:
    """Value and d/dβ in forward mode: for one number as cheap as reverse, and half the code to compile when nested."""
    return jax.jvp(function, (beta,), (jnp.ones_like(beta),))


def _refuse(G: Any, beta: Scalar, m: Scalar, mean: State | None) -> None:
    """Refuse bad numbers before differentiation traces them."""
    if is_concrete(beta, m, *jax.tree.leaves((G, mean))):
        log_partition(G, beta, m=m, mean=mean)


def _value_and_slope(G: Any, beta: Scalar, m: Scalar, mean: State | None) -> tuple[Array, Array]:
    """log Z and ∂ log Z/∂β."""
    _refuse(G, beta, m, mean)
    return _differentiate(_log_z(G, m, mean), _in_dtype_of(G, beta))


def sweep(G: Any, betas: Array, *, m: Scalar = 0.0, mean: State | None = None) -> Thermodynamics:
    """`thermodynamic_functions` at many temperatures from one decomposition of Ĝ: O(n) for each further β.

    Args:
        G: Hessian, or `Eigenmodes` or a `LogSpectrum` already at hand (without `mean`).
        betas: inverse temperatures β > 0, shape (k,).
        m: curvature of the potential (3.3).
        mean: x̄, to keep the mean term of (5.9).

    Returns:
        Fields of shape (k,); NaN at the β for which (1 - βm)I + βĜ is not positive definite. Derivatives in weights
        and states have the limits that `eigenmodes` states.

    Raises:
        ValueError: β not positive, or not one vector.
    """
    betas = real_array("betas", betas, ndim=1)
    positive("betas", betas)
    modes, mean = (eigenmodes(G, mean=mean), None) if hasattr(G, "matvec") else (G, mean)
    return jax.vmap(lambda b: thermodynamic_functions(modes, b, m=m, mean=mean))(betas)


def free_energy(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """F = -log Z / β (6.4), in units of the loss. Arguments and errors as `thermodynamic_functions`."""
    return -log_partition(G, beta, m=m, mean=mean) / _in_dtype_of(G, beta)


def average_loss(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """U = ⟨H⟩ = -∂ log Z/∂β (6.1), in units of the loss. Arguments and errors as `thermodynamic_functions`.

    Without `mean` and with m = 0, 2βU = Tr βĜ(I + βĜ)⁻¹ exactly, of which (7.5), N_>/2β, is the threshold form.
    With `mean` it is the average of the quadratic loss about x̄, exact within that model for every admissible m.
    """
    return -_value_and_slope(G, beta, m, mean)[1]


def entropy(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """S = β² ∂F/∂β = log Z + βU (7.1), in nats; the paper prints Z for log Z. Arguments as `thermodynamic_functions`.

    The differential entropy of the states under the Boltzmann weight alone. The window of (5.8) adds ½⟨x·x⟩ to the
    entropy of the ensemble that (5.9) normalises: `gaussian_entropy`.
    """
    value, slope = _value_and_slope(G, beta, m, mean)
    return value - _in_dtype_of(G, beta) * slope


def gaussian_entropy(G: Any, beta: Scalar, *, m: Scalar = 0.0) -> Array:
    """Shannon entropy -⟨log p⟩ (4.5) of the windowed Gaussian ensemble, in nats: (N/2) log 2πe - ½ log det M.

    Exceeds (7.1) by ½ Tr M⁻¹ = ½⟨x·x⟩ about the mean, the window's term that (7.1) leaves out. Arguments and errors as
    `thermodynamic_functions`.
    """
    return log_partition(G, beta, m=m) + 0.5 * G.size


def heat_capacity(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    """∂U/∂T = β² ∂² log Z/∂β², β² times the variance of the loss; no units. Arguments as `thermodynamic_functions`."""
    return thermodynamic_functions(G, beta, m=m, mean=mean).heat_capacity
