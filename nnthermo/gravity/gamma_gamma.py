"""R without second derivatives: the ΓΓ Lagrangian, and the divergence by which it differs from √|g| R, (12.6), (12.10).

Textbook identities, signs and the equality with Onsager's form checked by us.
"""

from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._typing import Array, Scalar
from nnthermo.gravity._algebra import contract
from nnthermo.gravity._arguments import EINSTEIN_KAPPA, coupling
from nnthermo.gravity.curvature import christoffel
from nnthermo.gravity.derivatives import Metric, metric_derivatives, metric_slopes
from nnthermo.gravity.inverse import inverse_and_determinant, volume_density


def gamma_gamma_lagrangian(metric: Metric, point: Any, *, kappa: Scalar = EINSTEIN_KAPPA) -> Array:
    """g^mn (Γ^a_mb Γ^b_na - Γ^a_mn Γ^b_ab)/2κ, (): L^{mn ab cd} g_ab,m g_cd,n with the corrected Onsager tensor.

    In derivatives of g, D_mab = ∂_m g_ab with indices raised by g (own derivation):

        (1/8κ)(2 D_mab D^amb - D_mab D^mab + u_m u^m - 2 u_m w^m),   u_m = g^ab D_mab = ∂_m log|g|,   w_m = g^ab D_abm

    Not a scalar: another chart adds a divergence.

    Args:
        metric: g_ab (n, n) of one point.
        point: coordinates, (n,); `jax.vmap` for many.
        kappa: κ > 0; 8π if nothing is said.

    Raises:
        TypeError, ValueError: as in `metric_slopes`.
    """
    gamma = christoffel(metric, point)
    inverse, _ = inverse_and_determinant(metric(jnp.asarray(point, gamma.dtype)))
    trace = contract("bab->a", gamma)
    first = contract("mn,amb,bna->", inverse, gamma, gamma)
    second = contract("mn,amn,a->", inverse, gamma, trace)
    return (first - second) / (2 * coupling(kappa, gamma))


def total_derivative_current(metric: Metric, point: Any) -> Array:
    """√|g| (g^ab Γ^m_ab - g^ma Γ^b_ab), a vector density (n,), whose divergence (12.10) neglects."""
    return _current(*metric_slopes(metric, point))


def total_derivative_term(metric: Metric, point: Any) -> Array:
    """∂_m[√|g| (g^ab Γ^m_ab - g^ma Γ^b_ab)] = √|g| (R - 2κ L^{mn ab cd} g_ab,m g_cd,n), ().

    The difference between R and Onsager's quadratic form at each point: (12.3) and (12.6) hold under an integral whose
    boundary terms vanish, as on a torus.

    Args:
        metric: g_ab (n, n) of one point.
        point: coordinates, (n,); `jax.vmap` for many.

    Raises:
        TypeError, ValueError: as in `metric_derivatives`.
    """
    g, dg, ddg = metric_derivatives(metric, point)
    n = g.shape[0]

    def along(m: Array) -> Array:
        return jax.jvp(_current, (g, dg), (dg[m], ddg[m]))[1][m]

    return jnp.sum(jax.vmap(along)(jnp.arange(n)))


def _current(g: Array, dg: Array) -> Array:
    inverse, _ = inverse_and_determinant(g)
    log_slope = contract("ab,mab->m", inverse, dg)
    divergence = contract("ab,abm->m", inverse, dg)
    # g^ab Γ_m,ab = w_m - u_m/2 and Γ^b_ab = u_a/2
    return volume_density(g) * contract("ma,a->m", inverse, divergence - log_slope)
