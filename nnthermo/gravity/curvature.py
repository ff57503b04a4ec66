"""Curvature of any metric by automatic differentiation: textbook definitions, for any dimension and signature."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check
from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar
from nnthermo.gravity._algebra import contract
from nnthermo.gravity.derivatives import Metric, metric_slopes, pair_derivatives, pairs
from nnthermo.gravity.inverse import inverse_and_determinant


@pytree()
class Geometry:
    """A metric and its curvature at one point; what is not stored is computed when asked for.

    `jax.vmap` of `geometry` gives one of many points, with leading axes (...) in every array and property.

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
        ricci = contract("...ac,...abcd->...bd", self.inverse, self.riemann)
        return (ricci + jnp.swapaxes(ricci, -1, -2)) / 2

    @property
    def scalar(self) -> Array:
        """R = g^ab R_ab, ()."""
        return jnp.sum(self.inverse * self.ricci, axis=(-1, -2))

    @property
    def einstein(self) -> Array:
        """G_ab = R_ab - R g_ab/2, (n, n)."""
        ricci = self.ricci
        return ricci - _trace(self.inverse, ricci) * self.metric / 2

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
        n = self.metric.shape[-1]
        check("metric", "have three or more dimensions for a Weyl tensor", n >= 3, n)
        g, ricci = self.metric, self.ricci
        schouten = (ricci - _trace(self.inverse, ricci) * g / (2 * (n - 1))) / (n - 2)
        return self.riemann - kulkarni_nomizu(schouten, g)

    @property
    def weyl_squared(self) -> Array:
        """C_abcd C^abcd, ()."""
        return self._square(self.weyl)

    def _square(self, tensor: Array) -> Array:
        half = contract("...abcd,...ae,...bf->...efcd", tensor, self.inverse, self.inverse)
        other = contract("...abcd,...ce,...df->...abef", tensor, self.inverse, self.inverse)
        return jnp.sum(half * other, axis=(-1, -2, -3, -4))


def _trace(inverse: Array, tensor: Array) -> Array:
    """g^ab X_ab, (..., 1, 1)."""
    return jnp.sum(inverse * tensor, axis=(-1, -2), keepdims=True)


def kulkarni_nomizu(h: Array, k: Array) -> Array:
    """h_ac k_bd + h_bd k_ac - h_ad k_bc - h_bc k_ad of symmetric (..., n, n), with Riemann's symmetries."""
    product = contract("...ac,...bd->...abcd", h, k) + contract("...bd,...ac->...abcd", h, k)
    return product - jnp.swapaxes(product, -1, -2)


def geometry(metric: Metric, point: Any) -> Geometry:
    """Metric, connection and curvature at one point, all from one pass over g and its first two derivatives.

    In the n(n+1)/2 symmetric pairs of indices one symmetric matrix V holds all that R needs,

        R_abcd = V_bc,ad - V_bd,ac,   V_ab,cd = ½(∂_a∂_b g_cd + ∂_c∂_d g_ab) + g_ef Γ^e_ab Γ^f_cd.

    Args:
        metric: g_ab (n, n) of one point.
        point: coordinates, (n,); `jax.vmap` for many.

    Raises:
        TypeError, ValueError: as in `metric_derivatives`. Inside transformations a singular g gives NaN or infinity.
    """
    return _assembled(*pair_derivatives(metric, point))


@jax.jit
def _assembled(g: Array, dg: Array, ddg: Array) -> Geometry:
    n = g.shape[0]
    inverse, determinant = inverse_and_determinant(g)
    lower = _first_kind(dg)
    upper = contract("ad,dp->ap", inverse, lower)
    # a loop, so that V is kept and not evaluated anew for each component of R that reads it
    v, _ = jax.lax.scan(lambda v, rows: (v + rows[0][:, None] * rows[1][None], None), (ddg + ddg.T) / 2, (lower, upper))
    plus, minus = _readings(n)
    v = v.reshape(-1)
    riemann = (v[plus] - v[minus]).reshape((n,) * 4)
    return Geometry(g, inverse, determinant, upper[:, pairs(n)[2]], riemann)


def christoffel(metric: Metric, point: Any) -> Array:
    """Γ^a_bc of (12.11), upper index first, (n, n, n), from first derivatives alone; arguments as in `geometry`."""
    g, dg = metric_slopes(metric, point)
    first, second, position = pairs(g.shape[0])
    return contract("ad,dp->ap", inverse_and_determinant(g)[0], _first_kind(dg[:, first, second]))[:, position]


def _first_kind(dg: Array) -> Array:
    """Γ_d,p = ½(∂_b g_dc + ∂_c g_db - ∂_d g_bc), p the pair b ≤ c: (n, P) from ∂_c g_p, (n, P)."""
    b, c, position = pairs(dg.shape[0])
    return (dg[b, position[:, c]] + dg[c, position[:, b]] - dg) / 2


def _readings(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where in the flat upper triangle of V the two terms of each R_abcd stand: exactly antisymmetric, pairs alike."""
    a, b, c, d = np.indices((n,) * 4).reshape(4, -1)
    number = pairs(n)[2]

    def place(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return np.minimum(p, q) * (n * (n + 1) // 2) + np.maximum(p, q)

    return place(number[b, c], number[a, d]), place(number[b, d], number[a, c])


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
    """G_ab + Λ g_ab, the left side of (12.12), (n, n); arguments as in `geometry`, and Λ."""
    at = geometry(metric, point)
    return at.einstein + jnp.asarray(cosmological_constant, at.metric.dtype) * at.metric


def weyl(metric: Metric, point: Any) -> Array:
    """C_abcd, all lower, (n, n, n, n); see `Geometry.weyl`."""
    return geometry(metric, point).weyl


def kretschmann(metric: Metric, point: Any) -> Array:
    """R_abcd R^abcd, (); see `geometry`."""
    return geometry(metric, point).kretschmann
