r"""Unit lower block bidiagonal B, and log det and solve of its shifted Gram matrix M = cI + βBᵀB.

B has identities on the diagonal and -A_l below it; A_l has shape (n_l, n_{l-1}), l = 1 ... L-1. Two eliminations:

**Filter** (c > 0). Since det B = 1, log det M = log det Σ + N log(cβ) with Σ = I/c + (1/β) B⁻¹B⁻ᵀ, the covariance of
observations a_l = z_l + η/√c of a Markov chain z_l = A_l z_{l-1} + ξ/√β. Its Kalman filter, with prediction
covariance Q_l/β and T_l = cQ_l + βI, is

    Q_0 = I,   Q_l = I + β A_l Q_{l-1} T_{l-1}⁻¹ A_lᵀ,   log det M = Σ_l log det T_l,
    aᵀ cβG M⁻¹ a = aᵀ Σ⁻¹ a = cβ Σ_l v_lᵀ T_l⁻¹ v_l,   v_l = a_l - A_l μ_{l-1},   μ_l = a_l - β T_l⁻¹ v_l,

with G = BᵀB. Nothing is subtracted from anything of its own size, and the first block enters through A_1A_1ᵀ only,
as T_0 = (c + β) I.

**Schur** (any c). Block Cholesky of M itself from the first block on,

    S_l = (c + β)I + βA_{l+1}ᵀA_{l+1} - β²A_lS_{l-1}⁻¹A_lᵀ,

positive definite for every l if and only if M is; S_0 enters through A_1A_1ᵀ. It subtracts numbers of size β to leave
one of size c, so it serves c <= 0 only.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from nnthermo._typing import Array, Scalar
from nnthermo.linalg.dense import cholesky, matmul

Blocks = Sequence[Array]


def block_sizes(blocks: Blocks) -> tuple[int, ...]:
    """(n_0, ..., n_{L-1}) from the sub-diagonal blocks."""
    return (blocks[0].shape[-1], *(a.shape[-2] for a in blocks))


def to_dense(blocks: Blocks) -> Array:
    """B, shape (N, N)."""
    sizes = block_sizes(blocks)
    rows = []
    for k, size in enumerate(sizes):
        row = [jnp.zeros((size, n), blocks[0].dtype) for n in sizes]
        row[k] = jnp.eye(size, dtype=blocks[0].dtype)
        if k:
            row[k - 1] = -blocks[k - 1]
        rows.append(row)
    return jnp.block(rows)


def multiply(blocks: Blocks, v: Sequence[Array]) -> tuple[Array, ...]:
    """B v for block vectors."""
    return (v[0], *(v[k + 1] - matmul(a, v[k]) for k, a in enumerate(blocks)))


def multiply_transposed(blocks: Blocks, v: Sequence[Array]) -> tuple[Array, ...]:
    """Bᵀ v for block vectors."""
    return (*(v[k] - matmul(a.T, v[k + 1]) for k, a in enumerate(blocks)), v[-1])


@jax.jit  # `lax.cond` would otherwise compile its branches anew at every eager call
def log_det_and_form(
    blocks: Blocks, shift: Scalar, scale: Scalar, vector: Sequence[Array], first_gram: Array
) -> tuple[Array, Array]:
    """log det(cI + βG) and the quadratic form aᵀ cβG (cI + βG)⁻¹ a, G = BᵀB.

    Args:
        blocks: A_l, shapes (n_l, n_{l-1}).
        shift: c; any sign, as long as the matrix is positive definite.
        scale: β > 0.
        vector: a, block vectors of sizes n_0 ... n_{L-1}.
        first_gram: A_1A_1ᵀ, (n_1, n_1): given, so that what it shares between matrices is computed once.

    Returns:
        Two scalars; the log det is NaN if the matrix is not positive definite.
    """
    dtype = blocks[0].dtype
    shift, scale = jnp.asarray(shift, dtype), jnp.asarray(scale, dtype)
    safe = jnp.where(shift > 0, shift, 1)  # the branch not taken stays finite, and so do its derivatives
    return jax.lax.cond(
        shift > 0,
        lambda c: _filter(blocks, jnp.where(shift > 0, c, safe), scale, vector, first_gram),
        lambda c: _schur(blocks, c, scale, vector, first_gram),
        shift,
    )


def _filter(blocks: Blocks, c: Array, beta: Array, a: Sequence[Array], first_gram: Array) -> tuple[Array, Array]:
    log_det = a[0].size * jnp.log(c + beta)
    form = jnp.vdot(a[0], a[0]) / (c + beta)
    mean = a[0] - beta / (c + beta) * a[0]
    spread = first_gram / (c + beta)  # A_1 Q_0 T_0⁻¹ A_1ᵀ
    for k, block in enumerate(blocks):
        identity = jnp.eye(block.shape[0], dtype=block.dtype)
        covariance = identity + beta * spread
        factor = cholesky(c * covariance + beta * identity)
        innovation = a[k + 1] - matmul(block, mean)
        weighted = factor.solve(innovation)
        log_det = log_det + factor.log_det()
        form = form + jnp.vdot(innovation, weighted)
        if k + 1 < len(blocks):
            mean = a[k + 1] - beta * weighted
            product = factor.solve(covariance)
            following = blocks[k + 1]
            spread = matmul(matmul(following, (product + product.T) / 2), following.T)
    return log_det, c * beta * form


def _schur(blocks: Blocks, c: Array, beta: Array, a: Sequence[Array], first_gram: Array) -> tuple[Array, Array]:
    kappa = c + beta
    n_0, dtype = a[0].size, blocks[0].dtype
    # S_0 = κI + βA_1ᵀA_1 through the Gram matrix K = A_1A_1ᵀ: det S_0 = κ^n_0 det(I + βK/κ)
    inner = cholesky(kappa * jnp.eye(first_gram.shape[0], dtype=dtype) + beta * first_gram)
    log_det = (n_0 - first_gram.shape[0]) * jnp.log(kappa) + inner.log_det()

    def first_solve(v: Array) -> Array:
        return (v - beta * matmul(blocks[0].T, inner.solve(matmul(blocks[0], v)))) / kappa

    product = inner.solve(first_gram)  # A_1S_0⁻¹A_1ᵀ
    form = jnp.vdot(a[0], first_solve(a[0]))
    carried = matmul(blocks[0], first_solve(a[0]))  # A_lS_{l-1}⁻¹ of the eliminated right-hand side
    for k, block in enumerate(blocks):
        identity = jnp.eye(block.shape[0], dtype=dtype)
        diagonal = kappa * identity - beta**2 * (product + product.T) / 2
        if k + 1 < len(blocks):
            diagonal = diagonal + beta * matmul(blocks[k + 1].T, blocks[k + 1])
        factor = cholesky(diagonal)
        right = a[k + 1] + beta * carried
        solved = factor.solve(right)
        log_det = log_det + factor.log_det()
        form = form + jnp.vdot(right, solved)
        if k + 1 < len(blocks):
            carried = matmul(blocks[k + 1], solved)
            product = matmul(blocks[k + 1], factor.solve(blocks[k + 1].T))
    norm = sum(jnp.vdot(v, v) for v in a)
    return log_det, c * (norm - c * form)  # βG M⁻¹ = I - cM⁻¹
