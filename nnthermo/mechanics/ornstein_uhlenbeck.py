"""Moments of a linear drift with constant diffusion, in closed form: the dense twin of grids and ensembles."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, real_array, real_matrix
from nnthermo._typing import Array

DOUBLINGS = 64
"""Times up to 2⁶⁴/|A| are halved so often that a short series is exact."""


class GaussianMoments(NamedTuple):
    """Mean (..., K) and covariance (..., K, K)."""

    mean: Array
    covariance: Array


def ornstein_uhlenbeck_moments(
    drift_matrix: Any, diffusion_matrix: Any, mean0: Any, covariance0: Any, time: Any
) -> GaussianMoments:
    r"""Mean and covariance of dq = -A q dt + noise with ∂p/∂t = ∂_k∂_l(D_kl p) + ∂_k((Aq)_k p), at a later time.

        m(t) = e^{-At} m₀,   Σ(t) = e^{-At} Σ₀ e^{-Aᵀt} + ∫₀ᵗ e^{-As} 2D e^{-Aᵀs} ds.

    Both come from a short time by doubling, E(2t) = E(t)², V(2t) = V(t) + E(t) V(t) E(t)ᵀ, with E - 1 in place of E as
    long as it is small: no growing exponential, no inverse of A. So long times, singular A (free diffusion, 2Dt) and
    rotations are fine; a growing mode grows. Standard; own derivation of the doubling.

    Args:
        drift_matrix: A, 1/time, shape (K, K), or a number for A times the identity. Learning on the quadratic loss
            qᵀHq/2 has A = γH.
        diffusion_matrix: D, a number, (K,) or (K, K), as everywhere with ∂p/∂t = D∇²p.
        mean0: m₀, shape (K,).
        covariance0: Σ₀, a number, (K,) or (K, K).
        time: shape () or (T,), finite, ≥ 0.

    Returns:
        `GaussianMoments`, with the axes of `time` in front.

    Raises:
        ValueError: wrong shapes, negative times, diffusions or covariances.
    """
    m0 = real_array("mean0", mean0, ndim=1)
    t = real_array("time", time)
    finite("time", t)
    check("time", "not be negative", not is_concrete(t) or bool((np.asarray(t) >= 0).all()), time)
    check("time", "be one number or a vector", t.ndim <= 1, f"shape {t.shape}")
    given = {"drift_matrix": drift_matrix, "diffusion_matrix": diffusion_matrix, "covariance0": covariance0}
    A, D, S0 = (real_matrix(name, value, len(m0)).astype(m0.dtype) for name, value in given.items())
    for name, matrix in (("diffusion_matrix", D), ("covariance0", S0)):
        if is_concrete(matrix):
            known = np.asarray(matrix)
            size, skew = float(np.max(np.abs(known))), float(np.max(np.abs(known - known.T)))
            check(name, "be symmetric", not skew > 1e-4 * size, f"an asymmetry of {skew}")
            least = float(np.min(np.linalg.eigvalsh(known)))
            check(name, "have no negative eigenvalue", not least < -1e-4 * size, least)
    return _moments(A, D, m0, S0, t.astype(m0.dtype))


@partial(jax.jit, inline=True)
def _moments(A: Array, D: Array, m0: Array, S0: Array, t: Array) -> GaussianMoments:
    K = len(m0)

    def product(*factors: Array) -> Array:
        return jnp.linalg.multi_dot(factors, precision=jax.lax.Precision.HIGHEST)

    def at(t: Array) -> GaussianMoments:
        step = t / jnp.asarray(2.0**DOUBLINGS, t.dtype)
        a = -A * step
        power, X, V, twice = a, a, 2 * D * step, 2 * D * step
        for n in range(2, 9):
            twice = (product(a, twice) + product(twice, a.T)) / n  # of the integral's Taylor series
            power = product(power, a) / n
            X, V = X + power, V + twice

        def double(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            X, V = carry
            XV = product(X, V)
            V = 2 * V + XV + XV.T + product(XV, X.T)
            return (2 * X + product(X, X), 0.5 * (V + V.T)), None

        X, V = jax.lax.scan(double, (X, V), None, length=DOUBLINGS)[0]
        E = X + jnp.eye(K, dtype=X.dtype)
        return GaussianMoments(jnp.matmul(E, m0, precision=jax.lax.Precision.HIGHEST), product(E, S0, E.T) + V)

    return jax.vmap(at)(t) if t.ndim else at(t)
