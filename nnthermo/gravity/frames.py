"""Orthonormal frames of a space-time and the Lorentz group of one point. Standard."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, is_concrete, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.gravity._arguments import square_matrix
from nnthermo.gravity.inverse import signature
from nnthermo.linalg.dense import matmul


def tetrad(g: Any, observer: Any = None) -> Array:
    """Orthonormal frame e_A^a of a metric of signature (-, +, ..., +), one vector a row: e g eᵀ = diag(-1, 1, ..., 1).

    The first vector is the observer's velocity. The others are those of the Cholesky factor of g + 2u_a u_b, turned by
    one reflection; smooth in g and u.

    Args:
        g: g_ab, (n, n).
        observer: a time-like vector u^a (n,), of any length; if None the direction of the negative eigenvalue of the
            matrix g_ab, on the side of growing y⁰, which depends on the coordinates.

    Returns:
        (n, n). NaN where the observer or the metric is not time-like.

    Raises:
        ValueError: a known metric of another signature, an observer that is not time-like.
    """
    g = square_matrix("g", g)
    n = g.shape[0]
    if is_concrete(g):
        with jax.ensure_compile_time_eval():
            found = signature(g)
        check("g", f"have one negative and {n - 1} positive eigenvalues", found == (1, n - 1), found)
    if observer is None:
        u = jnp.linalg.eigh(g)[1][:, 0]
        u = jnp.where(u[0] < 0, -u, u)
    else:
        u = real_array("observer", observer, shape=(n,)).astype(g.dtype)
    squared = jnp.sum(u * matmul(g, u))
    if is_concrete(squared) and not float(squared) < 0:
        refuse("observer", "be time-like", f"a squared length of {float(squared)}")
    u = u / jnp.sqrt(-squared)
    lower = matmul(g, u)
    factor = jnp.linalg.cholesky(g + 2 * lower[:, None] * lower[None, :])
    w = matmul(factor.T, u)  # u in the frame of the factor, of norm 1
    first = jnp.eye(n, dtype=g.dtype)[0]
    side = jnp.where(w[0] < 0, -1, 1).astype(g.dtype)
    axis = w + side * first
    reflection = jnp.eye(n, dtype=g.dtype) - axis[:, None] * axis[None, :] / (1 + jnp.abs(w[0]))
    reflection = reflection.at[:, 0].multiply(-side)
    return jax.scipy.linalg.solve_triangular(factor, reflection, lower=True, trans=1).T


def lorentz_generators(g: Any, observer: Any = None) -> Array:
    """A basis of {X: Xᵀg + gX = 0}, the algebra so(1, d) of one point: d boosts, then d(d-1)/2 rotations.

    Args:
        g: g_ab, (n, n), of signature (-, +, ..., +).
        observer: as in `tetrad`; the boosts mix its time with the axes of its frame.

    Returns:
        X^a_b, (n(n-1)/2, n, n); rotations in the order of the pairs (1, 2), (1, 3), ..., (2, 3), ... of axes.
    """
    frame = tetrad(g, observer)
    n = frame.shape[0]
    basis = np.zeros((n * (n - 1) // 2, n, n))
    for k, (i, j) in enumerate(zip(*np.triu_indices(n, 1), strict=True)):
        basis[k, j, i], basis[k, i, j] = 1.0, 1.0 if i == 0 else -1.0
    return _in_coordinates(jnp.asarray(basis, frame.dtype), frame, g)


def lorentz_boost(g: Any, direction: Any, rapidity: Scalar, observer: Any = None) -> Array:
    """Λ^a_b with Λᵀ g Λ = g that takes the observer to one of the rapidity given, the exponential of a generator.

    Args:
        g: g_ab, (n, n), of signature (-, +, ..., +).
        direction: along the axes of the observer's frame, (d,), of any length but zero.
        rapidity: ζ; the relative velocity is tanh ζ.
        observer: as in `tetrad`.

    Returns:
        (n, n). NaN for a direction of length zero.
    """
    frame = tetrad(g, observer)
    n = frame.shape[0]
    e = real_array("direction", direction, shape=(n - 1,)).astype(frame.dtype)
    size = jnp.linalg.norm(e)
    if is_concrete(size) and float(size) == 0:
        refuse("direction", "not be zero", "a vector of zeros")
    zeta = real_array("rapidity", rapidity, shape=()).astype(frame.dtype)
    e = e / size
    K = jnp.zeros((n, n), frame.dtype).at[0, 1:].set(e).at[1:, 0].set(e)
    twice = 2 * jnp.sinh(zeta / 2) ** 2
    boost = jnp.eye(n, dtype=frame.dtype) + jnp.sinh(zeta) * K + twice * matmul(K, K)
    return _in_coordinates(boost, frame, g)


def _in_coordinates(matrix: Array, frame: Array, g: Any) -> Array:
    """eᵀ M e⁻ᵀ; the inverse of the frame is η e g."""
    g = jnp.asarray(g, frame.dtype)
    eta = jnp.ones((frame.shape[0],), frame.dtype).at[0].set(-1)
    return matmul(matmul(frame.T, matrix), eta[:, None] * matmul(frame, g))
