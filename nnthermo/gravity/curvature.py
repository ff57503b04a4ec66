"""Curvature of any metric by automatic differentiation: textbook definitions, for any dimension and signature."""

from typing import Any

import jax.numpy as jnp
from jax.lax import Precision

from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar
from nnthermo.gravity.derivatives import Metric, metric_derivatives, metric_slopes
from nnthermo.gravity.inverse import inverse_and_determinant


def _contract(subscripts: str, *arrays: Array) -> Array:
    return jnp.einsum(subscripts, *arrays, precision=Precision.HIGHEST)


@pytree()
class Geometry:
    """A metric and its curvature at one point; what is not stored is computed when asked for.

    Attributes:
        metric: g_ab, (n, n).
        inverse: g^ab, (n, n).
        determinant: det g, ().
        christoffel: Γ^a_bc, upper index first, (n, n, n).
        riemann: R_abcd, all lower, (n, n, n, n), with its symmetries to the last bit but the cyclic one.
    """

    metric: Array
    inverse: Array
    determinant: Array
    christoffel: Array
    riemann: Array

    @property
    def ricci(self) -> Array:
        """R_bd = g^ac R_abcd, (n, n)."""
        ricci = _contract("ac,abcd->bd", self.inverse, self.riemann)
        return (ricci + ricci.T) / 2

    @property
    def scalar(self) -> Array:
        """R = g^ab R_ab, ()."""
        return jnp.sum(self.inverse * self.ricci)

    @property
    def einstein(self) -> Array:
        """G_ab = R_ab - R g_ab/2, (n, n)."""
        ricci = self.ricci
        return ricci - jnp.sum(self.inverse * ricci) * self.metric / 2

    @property
    def kretschmann(self) -> Array:
        """R_abcd R^abcd, ()."""
        return self._square(self.riemann)

    @property
    def weyl(self) -> Array:
        """C_abcd, the part of R_abcd without traces, (n, n, n, n); zero below four dimensions.

        Raises:
            ValueError: fewer than three dimensions.
        """
        n = self.metric.shape[0]
        if n < 3:
            raise ValueError(f"`metric` must have three or more dimensions for a Weyl tensor, but got {n}")
        g, ricci = self.metric, self.ricci
        schouten = (ricci - jnp.sum(self.inverse * ricci) * g / (2 * (n - 1))) / (n - 2)
        return self.riemann - kulkarni_nomizu(schouten, g)

    @property
    def weyl_squared(self) -> Array:
        """C_abcd C^abcd, ()."""
        return self._square(self.weyl)

    def _square(self, tensor: Array) -> Array:
        half = _contract("abcd,ae,bf->efcd", tensor, self.inverse, self.inverse)
        other = _contract("abcd,ce,df->abef", tensor, self.inverse, self.inverse)
        return jnp.sum(half * other)


def kulkarni_nomizu(h: Array, k: Array) -> Array:
    """h_ac k_bd + h_bd k_ac - h_ad k_bc - h_bc k_ad of two symmetric (n, n): (n, n, n, n), symmetric as Riemann is."""
    product = _contract("ac,bd->abcd", h, k) + _contract("bd,ac->abcd", h, k)
    return product - jnp.swapaxes(product, 2, 3)


def geometry(metric: Metric, point: Any) -> Geometry:
    """Metric, connection and curvature at one point, all from one pass over g and its first two derivatives.

        R_abcd = ½(∂_b∂_c g_ad + ∂_a∂_d g_bc - ∂_a∂_c g_bd - ∂_b∂_d g_ac) + g_ef (Γ^e_bc Γ^f_ad - Γ^e_bd Γ^f_ac)

    Args:
        metric: g_ab (n, n) of one point.
        point: coordinates, (n,); `jax.vmap` for many.

    Raises:
        TypeError, ValueError: as in `metric_derivatives`. Inside transformations a singular g gives NaN or infinity.
    """
    g, dg, ddg = metric_derivatives(metric, point)
    inverse, determinant = inverse_and_determinant(g)
    lower = _first_kind(dg)
    upper = _contract("ad,dbc->abc", inverse, lower)
    # w_abcd = ∂_b∂_c g_ad + Γ_f,ad Γ^f_bc; the other terms are exchanges of its indices
    w = jnp.transpose(ddg, (2, 0, 1, 3)) + _contract("fad,fbc->abcd", lower, upper)
    w = w - jnp.swapaxes(w, 0, 1)
    w = (w - jnp.swapaxes(w, 2, 3)) / 2
    riemann = (w + jnp.transpose(w, (2, 3, 0, 1))) / 2
    return Geometry(g, inverse, determinant, upper, riemann)


def christoffel(metric: Metric, point: Any) -> Array:
    """Γ^a_bc of (12.11), upper index first, (n, n, n), from first derivatives alone; arguments as in `geometry`."""
    g, dg = metric_slopes(metric, point)
    return _contract("ad,dbc->abc", inverse_and_determinant(g)[0], _first_kind(dg))


def _first_kind(dg: Array) -> Array:
    """Γ_d,bc = ½(∂_b g_dc + ∂_c g_db - ∂_d g_bc)."""
    return (jnp.transpose(dg, (1, 0, 2)) + jnp.transpose(dg, (1, 2, 0)) - dg) / 2


def riemann(metric: Metric, point: Any) -> Array:
    """R_abcd, all lower, (n, n, n, n); see `geometry`."""
    return geometry(metric, point).riemann


def ricci(metric: Metric, point: Any) -> Array:
    """R_ab, (n, n); see `geometry`."""
    return geometry(metric, point).ricci


def ricci_scalar(metric: Metric, point: Any) -> Array:
    """R, (); see `geometry`."""
    return geometry(metric, point).scalar


def einstein_tensor(metric: Metric, point: Any, cosmological_constant: Scalar = 0.0) -> Array:
    """G_ab + Λ g_ab, the left side of (12.12), (n, n); see `geometry`."""
    at = geometry(metric, point)
    return at.einstein + jnp.asarray(cosmological_constant, at.metric.dtype) * at.metric


def weyl(metric: Metric, point: Any) -> Array:
    """C_abcd, all lower, (n, n, n, n); see `Geometry.weyl`."""
    return geometry(metric, point).weyl


def kretschmann(metric: Metric, point: Any) -> Array:
    """R_abcd R^abcd, (); see `geometry`."""
    return geometry(metric, point).kretschmann
