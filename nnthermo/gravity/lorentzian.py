"""Space-times of labels: the Fisher metric with the sign of its arrow of time turned.

Own design. The abstract of arXiv:2111.00903 says that Lorentz symmetry emerges from the interplay between entropy
production and entropy destruction by learning; the formula below puts the minus sign in by definition. What then
follows, and can fail, is which directions are time-like, the light cones and the curvature.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, function, is_concrete, positive, real_array, refuse
from nnthermo._typing import Array
from nnthermo.gravity._algebra import quadratic, value_and_slopes
from nnthermo.gravity._arguments import square_matrix
from nnthermo.gravity.derivatives import Metric, symmetric
from nnthermo.gravity.fisher import GaussianInformation, Labels, gaussian_information
from nnthermo.gravity.inverse import inverse_and_determinant, regular
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.positive import inverse_and_log_det

TimeFunction = Callable[[Array], Array]
"""T(y), (), of one point (n,): larger is later."""


class ADM(NamedTuple):
    """A metric cut into slices of equal T, in the coordinates (T, y¹, ..., y^d).

    Attributes:
        lapse: N = |g^{ab} T_a T_b|^{-1/2}, ().
        shift: N^i, (d,).
        spatial: h_ij on the slice, (d, d).
        sign: -1 where the normal of the slice is time-like, +1 where it is space-like, ().
        normal: n^a = sign N g^{ab} T_b in the coordinates of the metric, unit, future-directed if time-like, (n,).
    """

    lapse: Array
    shift: Array
    spatial: Array
    sign: Array
    normal: Array


def turn_sign(fisher: Array, time_slopes: Array) -> Array:
    """g_ab = F_ab - 2 T_a T_b / (F^{cd} T_c T_d) at one point, (n, n).

    Signature (-, +, ..., +) for any positive definite F (n, n) and any T_a (n,) that is not zero. NaN where T_a is
    zero, as in learning equilibrium, which has no arrow of time, and where F is singular.
    """
    up = matmul(inverse_and_log_det(fisher)[0], time_slopes)
    return fisher - 2 * time_slopes[:, None] * time_slopes[None, :] / jnp.sum(time_slopes * up)


def lorentzian_metric(fisher: Metric, time: TimeFunction) -> Metric:
    """g_ab = F_ab - 2 T_a T_b / (F^{cd} T_c T_d): displacements of states count +, those along the arrow of time -.

    A tensor under changes of the labels. The lapse, shift and spatial metric of its slices of equal T are those of F.
    Which T is a choice of the user: T = -S, the entropy destroyed (`entropic_metric`), or T = y⁰, a learning time.

    Args:
        fisher: F_ab (n, n), positive definite metric of the labels.
        time: T(y), (), for example `lambda y: y[0]`.

    Returns:
        A metric. NaN where T_a = 0; where F is singular NaN, or to rounding a g that is singular too.

    Raises:
        TypeError: not functions.
        ValueError: outside transformations: T_a = 0, F singular or not symmetric, when the result is called.
    """
    function("fisher", fisher, "a function of one point")
    function("time", time, "a function of one point")

    def metric(y: Array) -> Array:
        y = real_array("point", y, ndim=1)
        F = real_array("fisher", fisher(y), shape=y.shape * 2)
        regular("fisher", F, f" at {y}")
        slopes = _slopes(time, y).astype(F.dtype)
        _has_arrow("time", slopes, y)
        return turn_sign(F, slopes)

    return metric


def entropic_metric(
    mean: Labels | None, covariance: Labels | None = None, *, precision: Labels | None = None
) -> Metric:
    """`lorentzian_metric` with T = -S, the entropy destroyed, of the ensembles N(x̄(y), Σ(y)), computed once for both.

    NaN where S is stationary, as at every y where Σ does not depend on the labels. Arguments and errors of
    `gaussian_information`.
    """
    return entropic_metric_of(gaussian_information(mean, covariance, precision=precision))


def entropic_metric_of(information: Callable[[Array], GaussianInformation]) -> Metric:
    """`entropic_metric` of what `gaussian_information` returned."""

    def metric(y: Array) -> Array:
        found = information(y)
        regular("fisher", found.metric, f" at {y}")
        _has_arrow("entropy", found.entropy_slopes, y)
        return turn_sign(found.metric, -found.entropy_slopes)

    return metric


def _slopes(time: TimeFunction, y: Array) -> Array:
    return value_and_slopes(lambda y: real_array("time", time(y), shape=()), y)[1]


def _has_arrow(name: str, slopes: Array, y: Array) -> None:
    if is_concrete(slopes, y) and not np.any(slopes):
        refuse(name, "have a slope that is not zero", f"none at {y}: no arrow of time in learning equilibrium")


def adm_decomposition(metric: Metric, point: Any, time: TimeFunction | None = None) -> ADM:
    """Lapse, shift and spatial metric: g = sign N² dT² + h_ij (dy^i + N^i dT)(dy^j + N^j dT).

    Standard, for any g, also a Riemannian one such as F, whose lapse, shift and h_ij are those of `lorentzian_metric`.

    Args:
        metric: g_ab (n, n) of one point, n ≥ 2.
        point: coordinates, (n,).
        time: T(y); the first coordinate if None. The y^i, i ≥ 1, are the coordinates of the slices: NaN where they
            cannot be, ∂T/∂y⁰ = 0.

    Returns:
        `ADM`. The lapse is infinite where the normal is null. NaN where g is not symmetric, NaN or infinity where it is
        singular.

    Raises:
        ValueError: wrong shapes, n < 2; where known, also T that does not change along y⁰, and g not finite, not
            symmetric or not invertible.
    """
    y = real_array("point", point, ndim=1)
    n = y.shape[0]
    check("point", "have two or more coordinates", n > 1, n)
    g = real_array("metric", metric(y), shape=(n, n))
    regular("metric", g)
    g = symmetric(g)
    T = jnp.eye(n, dtype=g.dtype)[0] if time is None else _slopes(time, y).astype(g.dtype)
    if is_concrete(T) and np.asarray(T)[0] == 0:
        refuse("time", "change along the first coordinate", f"a slope of 0 at {y}")
    inverse, _ = inverse_and_determinant(g)
    up = matmul(inverse, T)
    squared = jnp.sum(T * up)
    lapse = 1 / jnp.sqrt(jnp.abs(squared))
    first = jnp.where(T[0] == 0, jnp.nan, T[0])
    along = jnp.eye(n, dtype=g.dtype)[0] / first  # ∂_T at fixed y^i
    tangents = jnp.concatenate([-T[1:, None] / first, jnp.eye(n - 1, dtype=g.dtype)], axis=1)  # ∂_i at fixed T
    lowered = matmul(tangents, g)
    h = matmul(lowered, tangents.T)
    h = (h + h.T) / 2
    shift = matmul(inverse_and_determinant(h)[0], matmul(lowered, along))
    sign = jnp.sign(squared)
    return ADM(lapse, shift, h, sign, sign * lapse * up)


def interval(g: Any, displacement: Any) -> Array:
    """g_ab v^a v^b, negative for time-like displacements, zero for light, of g (n, n) and v (n,)."""
    v = real_array("displacement", displacement, ndim=1)
    return quadratic(real_array("g", g, shape=v.shape * 2), v)


def is_timelike(g: Any, displacement: Any) -> Array:
    """Whether g_ab v^a v^b < 0, a boolean (); arguments as in `interval`."""
    return interval(g, displacement) < 0


def light_cone(g: Any, direction: Any) -> Array:
    """The two dy⁰ that make (dy⁰, direction) null, ascending, (2,).

        g_00 u² + 2 g_0i e^i u + g_ij e^i e^j = 0

    A displacement with dy⁰ between them is space-like where ∂_0 is time-like, and time-like where ∂_0 is space-like.

    Args:
        g: g_ab, (n, n).
        direction: e^i in the coordinates y¹, ..., y^d, (d,).

    Returns:
        NaN where no real dy⁰ does, which happens outside the ergoregion never, and for a direction of zeros.

    Raises:
        ValueError: wrong shapes; a known direction of zeros.
    """
    e = real_array("direction", direction, ndim=1)
    n = e.shape[0] + 1
    g = real_array("g", g, shape=(n, n))
    e = e.astype(g.dtype)
    if is_concrete(e) and not np.any(e):
        refuse("direction", "not be zero", "a vector of zeros")
    e = jnp.where(jnp.any(e != 0), e, jnp.nan)
    a, b, c = g[0, 0], jnp.sum(g[0, 1:] * e), jnp.sum(e * matmul(g[1:, 1:], e))
    larger = -(b + jnp.where(b < 0, -1, 1).astype(g.dtype) * jnp.sqrt(b * b - a * c))
    return jnp.sort(jnp.stack([larger / a, c / larger]))


def covariance_interval(covariance: Any, first: Any, second: Any) -> Array:
    """½ Tr(Σ⁻¹X Σ⁻¹Y) - (1/N) Tr(Σ⁻¹X) Tr(Σ⁻¹Y): `lorentzian_metric` with T = -S on all covariances, of two changes.

    Of the kind of DeWitt's metric on the metrics of space: one direction, Σ itself, is time-like.

    Args:
        covariance: Σ, (N, N), positive definite.
        first: X, (N, N), symmetric.
        second: Y, likewise.

    Returns:
        (). NaN where Σ is not positive definite or not symmetric.

    Raises:
        ValueError: wrong shapes; where known, also Σ singular, indefinite or not symmetric.
    """
    S = square_matrix("covariance", covariance)
    n = S.shape[0]
    X, Y = (real_array(k, v, shape=(n, n)).astype(S.dtype) for k, v in (("first", first), ("second", second)))
    if is_concrete(S):
        _refuse_bad_covariance(np.asarray(S, float), float(jnp.finfo(S.dtype).eps))
    P, log_det = inverse_and_log_det(symmetric(S))
    P = jnp.where(jnp.isfinite(log_det), P, jnp.nan)
    A, B = matmul(P, X), matmul(P, Y)
    return jnp.sum(A * B.T) / 2 - jnp.trace(A) * jnp.trace(B) / n


def _refuse_bad_covariance(S: np.ndarray, eps: float) -> None:
    finite("covariance", S)
    asymmetry, variances = np.abs(S - S.T).max(), np.diagonal(S)
    check("covariance", "be symmetric", asymmetry <= 64 * eps * np.abs(S).max(), f"|Σ - Σᵀ| up to {asymmetry:.2g}")
    positive("covariance", variances)
    lowest = np.linalg.eigvalsh(S / np.sqrt(np.outer(variances, variances)))[0]  # of correlations, without units
    check("covariance", "be positive definite", lowest > len(S) * eps, f"an eigenvalue {lowest:.2g} of correlations")
