"""Linear dynamics of states: their entropy balance, and the covariance they settle to."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, real_matrix, refuse
from nnthermo._typing import Array
from nnthermo.gravity._arguments import square_matrix
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.positive import inverse_and_log_det

DOUBLINGS = 40
"""Sums over 2⁴⁰ steps: spectral radii up to 1 - 1e-10 settle."""


class EntropyBalance(NamedTuple):
    """dS/dt = production - destruction, both in nats per unit of time.

    Attributes:
        production: Π = Tr(D Σ⁻¹) > 0, by noise.
        destruction: Δ = -Tr A, by learning; negative where the drift expands.
    """

    production: Array
    destruction: Array


def _matrix(name: str, value: Any, like: Array) -> Array:
    matrix = real_matrix(name, value, len(like)).astype(like.dtype)
    finite(name, matrix)
    return matrix


def gaussian_entropy_balance(drift: Any, diffusion: Any, covariance: Any) -> EntropyBalance:
    """Production and destruction of the entropy of a normal ensemble by dx = A x dt + noise, dΣ/dt = AΣ + ΣAᵀ + 2D.

    S = ½ log det(2πe Σ) changes at ½ Tr(Σ⁻¹ dΣ/dt) = Tr(DΣ⁻¹) + Tr A; in the stationary state the two parts cancel. Own
    derivation, after the words of the abstract of arXiv:2111.00903.

    Args:
        drift: A, (N, N), 1/time; stable if its eigenvalues have negative real parts.
        diffusion: D, with ∂p/∂t = D∇²p: a number, (N,) or (N, N).
        covariance: Σ, a number, (N,) or (N, N); NaN, or an error where it is known, if not positive definite.
    """
    A = square_matrix("drift", drift)
    finite("drift", A)
    D, S = (_matrix(name, value, A) for name, value in (("diffusion", diffusion), ("covariance", covariance)))
    inverse, log_det = inverse_and_log_det((S + S.T) / 2)
    if is_concrete(log_det) and not bool(jnp.isfinite(log_det)):
        refuse("covariance", "be positive definite", f"log det {float(log_det)}")
    known = jnp.where(jnp.isfinite(log_det), 0.0, jnp.nan).astype(A.dtype)
    return EntropyBalance(jnp.sum(D * inverse.T) + known, -jnp.trace(A))


def stationary_state_covariance(jacobian: Any, noise: Any) -> Array:
    """Σ = JΣJᵀ + 2D, the covariance of states that noise moves at every step, x(t+1) = x̄ + J(x(t) - x̄) + √(2D) ξ.

    For a network (2.5) near its fixed state J = f̂'ŵ: exact for linear activations, and to first order in D else. By
    doubling, Σ ← Σ + JΣJᵀ, J ← J²; differentiable to any order, the first derivative by an equation of the same kind.

    Args:
        jacobian: J, (N, N).
        noise: D in squared states per step, half the variance added by a step: a number, (N,) or (N, N).

    Returns:
        Σ, (N, N), symmetric. NaN inside transformations where the spectral radius of J is 1 or more (to 1e-10): the
        variance grows without bound.

    Raises:
        ValueError: wrong shapes, not finite, a known J of spectral radius 1 or more, or known negative noise.
    """
    J = square_matrix("jacobian", jacobian)
    finite("jacobian", J)
    D = _matrix("noise", noise, J)
    if is_concrete(D):
        lowest = float(np.diagonal(np.asarray(D)).min())
        check("noise", "not be negative on its diagonal", lowest >= 0, lowest)
    S = _lyapunov(J, D + D.T)
    if is_concrete(S) and not np.isfinite(S).all():
        radius = float(np.abs(np.linalg.eigvals(np.asarray(J))).max())
        refuse("jacobian", "have a spectral radius below 1", radius)
    return S


def _doubled(J: Array, Q: Array) -> tuple[Array, Array]:
    """Σ_k J^k Q J^kᵀ over the 2^DOUBLINGS first k, and the power of J that comes next."""

    def double(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        S, A = carry
        S = S + matmul(matmul(A, S), A.T)
        return (S + S.T) / 2, matmul(A, A)

    return jax.lax.fori_loop(0, DOUBLINGS, double, (Q, J))


@jax.custom_jvp
def _lyapunov(J: Array, Q: Array) -> Array:
    """Σ_k J^k Q J^kᵀ, NaN where it does not converge."""
    S, A = _doubled(J, Q)
    settled = jnp.max(jnp.abs(A)) < jnp.finfo(J.dtype).eps
    return jnp.where(settled, S, jnp.nan)


@_lyapunov.defjvp
def _lyapunov_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (J, Q), (dJ, dQ) = primals, tangents
    S = _lyapunov(J, Q)
    moved = matmul(matmul(dJ, S), J.T)
    # JAX 0.12 cannot transpose a function with a rule of its own in which J^k runs along
    return S, _doubled(J, dQ + moved + moved.T)[0]
