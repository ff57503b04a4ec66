"""How far a metric is from solving Einstein's equations with a cosmological constant, and the stress it would need.

Own design: for the metric of a learning system no κT is given, so that (12.12) can only be read from left to right.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, is_concrete, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.gravity._algebra import contract, quadratic, root
from nnthermo.gravity._arguments import EINSTEIN_KAPPA, coupling, square_matrix
from nnthermo.gravity.curvature import Geometry, einstein_tensor, geometry
from nnthermo.gravity.derivatives import Metric
from nnthermo.gravity.inverse import inverse_and_determinant, regular


def frame_norm(g: Any) -> Array:
    """h_ab = g_ab + 2 u_a u_b, (n, n): the Euclidean metric of orthonormal frames whose time leg is u.

    u is the unit normal of the slices x⁰ = const. If g is positive definite, h = g. NaN where neither g nor h is: x⁰
    is then no time, and another norm must be given.

    Args:
        g: g_ab, (n, n), signature (-, +, ..., +) or (+, ..., +).
    """
    g = square_matrix("g", g)
    inverse, _ = inverse_and_determinant(g)
    lapse = inverse[0, 0]
    flipped = g.at[0, 0].add(jnp.where(lapse < 0, -2 / lapse, 0))
    return jnp.where(_is_positive(flipped), flipped, jnp.nan)


def _is_positive(h: Array) -> Array:
    """Whether every pivot of a symmetric (n, n) is positive; scaled, so that units do not matter."""
    scale = jax.lax.rsqrt(jnp.abs(jnp.diagonal(h)))
    rest = h * scale[:, None] * scale[None, :]
    positive_so_far = jnp.all(jnp.diagonal(h) > 0)
    while rest.shape[0] > 0:
        pivot, row = rest[0, 0], rest[0, 1:]
        positive_so_far = positive_so_far & (pivot > 4 * h.shape[0] * jnp.finfo(h.dtype).eps)
        rest = rest[1:, 1:] - row[:, None] * (row / pivot)[None, :]
    return positive_so_far


def einstein_residual(metric: Metric, point: Any, norm: Any = None) -> Array:
    """‖R_ab - R g_ab/n‖ / ‖R_ab‖, (): 0 where G + Λg = 0 can hold at the point, in [0, 1] for a norm of frames of g.

    Args:
        metric: g_ab (n, n) of one point.
        point: coordinates, (n,); `jax.vmap` for many.
        norm: positive definite h_ab at the point, (n, n), ‖X‖² = h^ac h^bd X_ab X_cd: the Fisher metric of a learning
            system; without one `frame_norm(g)`. The ratio depends on it, that it vanishes does not.

    Returns:
        The ratio. NaN where R_ab is zero to rounding (vacuum: 0/0), which near a horizon, where g itself loses
        ε |x ∂ log g|, is a wide bound; and where the norm is not positive. The derivative where it is 0 is zero.

    Raises:
        TypeError, ValueError: as in `geometry`; a `norm` of wrong shape, or one known not to be positive definite.
    """
    given = None if norm is None else _positive("norm", norm)
    at = geometry(metric, point)
    h = _norm(at, given)
    inner = _inner(h)
    ricci = at.ricci
    size = jnp.sqrt(inner(ricci, ricci))
    free = ricci - jnp.sum(at.inverse * ricci) * at.metric / at.metric.shape[0]
    raised, eps = inverse_and_determinant(h)[0], jnp.finfo(ricci.dtype).eps
    riemann = jnp.sqrt(contract("abcd,efgh,ae,bf,cg,dh->", at.riemann, at.riemann, raised, raised, raised, raised))
    connection = contract("abc,def,ad,be,cf->", at.christoffel, at.christoffel, h, raised, raised)
    loss = 1 + jnp.max(jnp.abs(real_array("point", point).astype(h.dtype)) * _log_slopes(at, raised))
    vacuum = size <= 64 * at.metric.shape[0] ** 2 * eps * (riemann + connection) * loss
    return jnp.where(vacuum, jnp.nan, root(inner(free, free)) / size)


class CosmologicalFit(NamedTuple):
    """The Λ for which G + Λg is smallest over some points.

    Attributes:
        value: Λ, ().
        spread: weighted standard deviation of the Λ of single points, (): 0 if one constant serves all.
        residual: root of Σ w ‖G + Λg‖² / Σ w ‖G‖², (): 0 if G + Λg = 0 everywhere, 1 if Λ is of no use.
        local: the Λ of each point alone, (M,).
    """

    value: Array
    spread: Array
    residual: Array
    local: Array


def fit_cosmological_constant(
    metric: Metric, points: Any, weights: Any = None, *, norms: Any = None
) -> CosmologicalFit:
    """Least squares of G + Λg = 0 over points, in the positive norm of `einstein_residual`.

    At one point Λ is -⟨G, g⟩/⟨g, g⟩; in a norm of frames of g, which has ⟨g, g⟩ = n, it is (n-2)R/2n.

    Args:
        metric: g_ab (n, n) of one point.
        points: (M, n).
        weights: of the points, (M,), not negative; equal if not given.
        norms: positive definite h_ab at each point, (M, n, n); without them `frame_norm`.

    Returns:
        NaN where a norm is not positive. `residual` is NaN or of order one where G vanishes to rounding.

    Raises:
        TypeError, ValueError: as in `geometry`; weights or norms that do not fit.
    """
    x = real_array("points", points, ndim=2)
    check("points", "be one or more", x.shape[0] > 0, "none")
    w = jnp.ones_like(x[:, 0]) if weights is None else real_array("weights", weights, shape=(x.shape[0],))
    if is_concrete(w):
        fair = bool((np.asarray(w) >= 0).all() and (np.asarray(w) > 0).any())
        check("weights", "not be negative, nor all zero", fair, w)
    given = None
    if norms is not None:
        n = x.shape[1]
        given = real_array("norms", norms, shape=(x.shape[0], n, n))

    def sums(y: Array, h: Array | None) -> tuple[Array, Array, Array, Array]:
        at = geometry(metric, y)
        g, G = at.metric, at.einstein
        inner = _inner(_norm(at, None if h is None else _positive("norms", h)))
        gg = inner(g, g)
        here = -inner(G, g) / gg
        left = G + here * g
        return here, gg, inner(G, G), inner(left, left)

    local, gg, GG, left = jax.vmap(sums, in_axes=(0, None if given is None else 0))(x, given)
    w = (w / jnp.sum(w)).astype(gg.dtype)
    value = jnp.sum(w * gg * local) / jnp.sum(w * gg)
    left = left + gg * (value - local) ** 2  # what no Λ mends at a point, and what another Λ there would
    residual = jnp.sqrt(jnp.sum(w * left) / jnp.sum(w * GG))
    mean = jnp.sum(w * local)
    return CosmologicalFit(value, jnp.sqrt(jnp.sum(w * (local - mean) ** 2)), residual, local)


def effective_stress(
    metric: Metric, point: Any, cosmological_constant: Scalar = 0.0, *, kappa: Scalar = EINSTEIN_KAPPA
) -> Array:
    """T_ab = (G_ab + Λ g_ab)/κ, lower indices, (n, n): the stress-energy with which g would solve (12.12).

    Its divergence vanishes whatever g is (Bianchi), so that conservation says nothing; what does are Λ, the energy
    density and the energy conditions. For a learning system κ only sets the unit of energy.

    Args:
        metric: g_ab (n, n) of one point.
        point: coordinates, (n,); `jax.vmap` for many.
        cosmological_constant: Λ, given or from `fit_cosmological_constant`.
        kappa: κ > 0; 8π if nothing is said.
    """
    left = einstein_tensor(metric, point, cosmological_constant)
    return left / coupling(kappa, left)


def energy_density(T: Any, g: Any, u: Any) -> Array:
    """T_ab u^a u^b / (-g_ab u^a u^b), (): the energy density seen along u, of any length.

    Args:
        T: T_ab, lower indices, (n, n).
        g: g_ab, (n, n).
        u: u^a, (n,), time-like.

    Returns:
        The density; NaN for u that is not time-like under transformations.

    Raises:
        ValueError: shapes that do not fit; where known, also u not time-like.
    """
    g = square_matrix("g", g)
    T, u = real_array("T", T, shape=g.shape).astype(g.dtype), real_array("u", u, shape=g.shape[:1]).astype(g.dtype)
    square = quadratic(g, u)
    if is_concrete(square):
        check("u", "be time-like", float(square) < 0, f"g(u, u) = {float(square):.3g}")
    return quadratic(T, u) / jnp.where(square < 0, -square, jnp.nan)


def _log_slopes(at: Geometry, raised: Array) -> Array:
    """‖∂_c g‖ of each c in the norm, (n,): how fast log g changes, from ∂_c g_ab = g_ad Γ^d_cb + g_bd Γ^d_ca."""
    half = contract("ad,dcb->cab", at.metric, at.christoffel)
    slopes = half + jnp.swapaxes(half, 1, 2)
    return jnp.sqrt(contract("cab,cde,ad,be->c", slopes, slopes, raised, raised))


def _positive(name: str, norm: Any) -> Array:
    h = real_array(name, norm, ndim=2)
    regular(name, h)
    is_positive = _is_positive(h)
    if is_concrete(is_positive):
        check(name, "be positive definite", bool(is_positive), h)
    return jnp.where(is_positive, h, jnp.nan)


def _norm(at: Geometry, given: Array | None) -> Array:
    if given is None:
        return frame_norm(at.metric)
    check("norm", f"have shape {at.metric.shape}", given.shape == at.metric.shape, f"shape {given.shape}")
    return given.astype(at.metric.dtype)


def _inner(h: Array) -> Any:
    raised, _ = inverse_and_determinant(h)
    return lambda X, Y: contract("ac,bd,ab,cd->", raised, raised, X, Y)
