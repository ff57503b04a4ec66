r"""The two-level model of an optimal network (9.2)-(9.4): its stationary points, their stability and its phases.

γN eigenvalues at λ and (1-γ)N at λ^{-k}, k = γ/(1-γ), ℓ = log λ. With u = ℓ, v = -kℓ and q(u) = e^{-u/3} + β e^{2u/3}
the slope of -ΔF/N in ℓ is γβ² [q(v)⁻³ - q(u)⁻³], and

    q(u) - q(v) = (e^{kℓ/3} - e^{-ℓ/3}) (e^{h(ℓ)} - 1),   h(ℓ) = log β + log(e^{aℓ} + e^{bℓ}),

a = (2-k)/3 = (2-3γ)/(3-3γ), b = (1-2k)/3 = (1-3γ)/(3-3γ). So it is stationary at ℓ = 0 and at the roots of h, which is
convex: at most one where it falls and one where it rises. At a root the curvature is
3γβ² q⁻⁴ (e^{kℓ/3} - e^{-ℓ/3}) h'(ℓ), whose sign is that of ℓ h'(ℓ).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy

from nnthermo._checks import check, is_concrete, positive
from nnthermo._typing import Array, Scalar

_STEPS = 64
"""Newton's steps: a handful at a simple root, one bit each at a double one."""


def two_level_laplacian(log_eigenvalue: Array, beta: Scalar, *, gamma: Scalar, size: int) -> Array:
    """-ΔF (9.3) of γN eigenvalues at λ balanced by (1-γ)N at λ^{γ/(γ-1)}, so that det Ĝ = 1: the curves of Fig. 1.

    Stationary at log λ = 0 and where `spectrum.beta_from_gap(log λ, gamma=γ)` = β; for γ = 1/3 that is
    log λ = 2 log((1-β)/β), β < 1, not the γ → 0 form (9.4) of the figure's text. `two_level_stationary_points` has all.

    Args:
        log_eigenvalue: log λ, any shape.
        beta: inverse temperature β > 0.
        gamma: fraction γ of small eigenvalues, 0 < γ < 1.
        size: number of neurons N.

    Returns:
        Shape of `log_eigenvalue`, in units of the loss.

    Raises:
        ValueError: β or γ out of range, where they are known.
    """
    positive("beta", beta)
    _refuse_fraction(gamma)
    small = (1 + beta * jnp.exp(log_eigenvalue)) ** -2
    large = (1 + beta * jnp.exp(log_eigenvalue * gamma / (gamma - 1))) ** -2
    return size * beta / 2 * (gamma * small + (1 - gamma) * large)


class TwoLevelPoints(NamedTuple):
    """Where -ΔF (9.3) is stationary in ℓ = log λ: the root at which h falls, the origin, the root at which h rises.

    The first lies below the last, but both may lie on one side of the origin. NaN where there is none.

    Attributes:
        log_eigenvalues: ℓ of each, (3,); the second is 0.
        curvatures: ∂²(-ΔF/N)/∂ℓ² there, (3,), in units of the loss: positive at a minimum, which is stable.
    """

    log_eigenvalues: Array
    curvatures: Array


def two_level_stationary_points(beta: Scalar, gamma: Scalar) -> TwoLevelPoints:
    """Every stationary point of (9.3), and whether it is stable: ℓ = 0 and the roots of β(e^{aℓ} + e^{bℓ}) = 1.

    a = (2-k)/3, b = (1-2k)/3, k = γ/(1-γ). For γ < 1/3 there is one root at every β, where (9.4) is the limit γ → 0;
    for γ = 1/3 one for β < 1, ℓ = 2 log((1-β)/β); for 1/3 < γ < 2/3 two or none; γ > 1/2 mirrors 1-γ, the roles of the
    two levels exchanged (ℓ → -ℓ/k). Roots come by Newton's method from the side where it cannot overshoot, to rounding;
    next to the fold of `two_level_phase_boundaries` to its square root. First derivatives in β and γ are exact.

    Args:
        beta: inverse temperature β > 0, shape (); `jax.vmap` takes many.
        gamma: fraction γ of eigenvalues at λ, 0 < γ < 1, shape ().

    Raises:
        ValueError: β or γ out of range, where they are known; else NaN.
    """
    positive("beta", beta)
    _refuse_fraction(gamma)
    dtype = jnp.result_type(float, beta, gamma)
    return _points(jnp.asarray(beta, dtype), jnp.asarray(gamma, dtype))


@jax.jit
def _points(beta: Array, gamma: Array) -> TwoLevelPoints:
    a, b = (_rounded(whole - 3 * gamma) / (3 * (1 - gamma)) for whole in (2, 1))
    k, log_beta = gamma / (1 - gamma), jnp.log(beta)
    falling, found_falling = _rising_root(log_beta, -b, -a)
    rising, found_rising = _rising_root(log_beta, a, b)
    origin = -gamma * beta**2 * (1 + k) * (1 - 2 * beta) / (1 + beta) ** 4

    def curvature(ell: Array) -> Array:
        share = jax.nn.sigmoid((a - b) * ell)
        slope = share * a + (1 - share) * b
        log_q = jnp.logaddexp(-ell / 3, log_beta + 2 * ell / 3)
        above = ell > 0  # e^{kℓ/3} - e^{-ℓ/3}, the larger of the two in front
        front = jnp.exp(jnp.where(above, k * ell / 3, -ell / 3) - 4 * log_q)
        rest = jnp.expm1(jnp.where(above, -1, 1) * (1 + k) * ell / 3)
        return 3 * gamma * beta**2 * slope * front * jnp.where(above, -rest, rest)

    valid = (beta > 0) & (gamma > 0) & (gamma < 1)
    exists = jnp.stack([found_falling & valid, valid, found_rising & valid])
    where = jnp.stack([-falling, jnp.zeros_like(beta), rising])
    bends = jnp.stack([curvature(-falling), origin, curvature(rising)])
    return TwoLevelPoints(jnp.where(exists, where, jnp.nan), jnp.where(exists, bends, jnp.nan))


def _rounded(v: Array) -> Array:
    """0 in place of a few ulp of 1: γ = 1/3 is no binary number, and means b = 0. With the derivative of v."""
    return jnp.where(jnp.abs(v) < 4 * jnp.finfo(v.dtype).eps, v - jax.lax.stop_gradient(v), v)


def _rising_root(log_beta: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """The root of h(ℓ) = log β + log(e^{aℓ} + e^{bℓ}) at which h rises, a > b, and whether there is one (else 0).

    h rises somewhere if a > 0; from -∞ if b > 0, else from its minimum (b < 0) or from log β (b = 0). At
    -log β / exponent, for a positive exponent, h >= 0; that is at or right of the root (for b < 0 < a too, as a minimum
    below 0 lies left of it), and from there Newton's method on a convex function falls onto the root.
    """
    share = jnp.clip(-b / (a - b), 0, 1)  # of e^{aℓ} at the minimum
    lowest = log_beta - xlogy(share, share) - xlogy(1 - share, 1 - share)
    exists = (a > 0) & ((b > 0) | (lowest < 0))
    fixed = jax.lax.stop_gradient(jnp.where(exists, jnp.stack([log_beta, a, b]), jnp.asarray([0, 2, 1], a.dtype)))

    def height_and_slope(ell: Array, log_beta: Array, a: Array, b: Array) -> tuple[Array, Array]:
        weight = jax.nn.sigmoid((a - b) * ell)
        return log_beta + jnp.logaddexp(a * ell, b * ell), weight * a + (1 - weight) * b

    def step(_: int, ell: Array) -> Array:
        height, slope = height_and_slope(ell, *fixed)
        return jnp.where((height > 0) & (slope > 0), ell - height / jnp.where(slope > 0, slope, 1), ell)

    start = -fixed[0] / fixed[1]
    start = jnp.where(fixed[2] > 0, jnp.minimum(start, -fixed[0] / jnp.where(fixed[2] > 0, fixed[2], 1)), start)
    found = jax.lax.stop_gradient(jax.lax.fori_loop(0, _STEPS, step, start))
    # one more step, differentiated: dℓ = -dh/h', the implicit derivative
    moving = jnp.where(exists, jnp.stack([log_beta, a, b]), fixed)
    height, _ = height_and_slope(found, *moving)
    _, slope = height_and_slope(found, *fixed)
    root = found - height / jnp.where(slope > 0, slope, jnp.inf)
    return jnp.where(exists, root, 0), exists


class TwoLevelBoundaries(NamedTuple):
    """Inverse temperatures at which the picture (9.3) changes, each of shape ().

    Attributes:
        origin: ½: below it log λ = 0 is a maximum of -ΔF, above it a minimum.
        fold: where the other stationary points meet and vanish, w^w (1-w)^{1-w} with w = 3γ - 1 between 0 and 1; at
            γ = 1/3 and 2/3 it is 1, where the one root goes to infinity; infinite elsewhere, where a root stays.
        lower_plateau: γ^{-1/2} - 1: above it log λ = 0 lies below the plateau γ at log λ → -∞.
        upper_plateau: (1-γ)^{-1/2} - 1: above it log λ = 0 lies below the plateau 1 - γ at log λ → ∞.
    """

    origin: Array
    fold: Array
    lower_plateau: Array
    upper_plateau: Array


def two_level_phase_boundaries(gamma: Scalar) -> TwoLevelBoundaries:
    """The lines of the phase diagram of (9.3) in β at a fraction γ; between them `two_level_stationary_points`.

    The paper's phases (β < ½, ½ < β < √N - 1, beyond) are `origin` and, at γ = 1/N, `lower_plateau`.

    Raises:
        ValueError: γ outside (0, 1).
    """
    _refuse_fraction(gamma)
    gamma = jnp.asarray(gamma, jnp.result_type(float, gamma))
    w, rest = -_rounded(1 - 3 * gamma), _rounded(2 - 3 * gamma)
    inside = (w >= 0) & (rest >= 0)
    safe = jnp.where(inside, w, 0.5)
    fold = jnp.where(inside, jnp.exp(xlogy(safe, safe) + xlogy(1 - safe, 1 - safe)), jnp.inf)
    return TwoLevelBoundaries(jnp.full_like(gamma, 0.5), fold, gamma**-0.5 - 1, (1 - gamma) ** -0.5 - 1)


def _refuse_fraction(gamma: Scalar) -> None:
    if is_concrete(gamma):
        check("gamma", "lie between 0 and 1", np.all((np.asarray(gamma) > 0) & (np.asarray(gamma) < 1)), gamma)
