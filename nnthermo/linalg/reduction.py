r"""Exact reduction of B to its coupled directions, and its singular values.

A direction of layer l that neither A_l reaches nor A_{l+1} sees, orthogonal to the columns of A_l and to the rows of
A_{l+1}, is left alone by B and Bᵀ: a singular value of exactly 1. At most n_{l-1} + n_{l+1} directions of layer l are
coupled; a wider layer is rotated onto an orthonormal basis of them and the rest counted.
"""

import jax
import jax.numpy as jnp

from nnthermo._typing import Array
from nnthermo.linalg.bidiagonal import Blocks, block_sizes, to_dense
from nnthermo.linalg.dense import matmul


def unit_count(sizes: tuple[int, ...]) -> int:
    """How many singular values of B are 1 for any blocks of these sizes, by the reduction of `reduce_blocks`."""
    return sum(sizes) - sum(_reduced_sizes(sizes))


def _reduced_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    reduced: list[int] = []
    for k, size in enumerate(sizes):
        before = reduced[-1] if k else 0
        after = sizes[k + 1] if k + 1 < len(sizes) else 0
        reduced.append(min(size, before + after))
    return tuple(reduced)


def reduce_blocks(
    blocks: Blocks, first_rows: Array | None = None
) -> tuple[tuple[Array, ...], tuple[Array | None, ...]]:
    """Blocks of the coupled part, and for each layer the basis (n_l, k_l) it was rotated onto (None if it was not).

    Args:
        blocks: A_l, shapes (n_l, n_{l-1}).
        first_rows: n_1 rows that span those of A_1, such as W for A_1 = DW: where these are shared between matrices, so
            is the decomposition of a wide first layer.
    """
    reduced = list(blocks)
    bases: list[Array | None] = []
    for k, size in enumerate(block_sizes(blocks)):
        if k == 0 and first_rows is not None and first_rows.shape[0] < size:
            basis = jnp.linalg.qr(first_rows.T)[0]
            bases.append(basis)
            reduced[0] = matmul(reduced[0], basis)
            continue
        coupled = ([reduced[k - 1]] if k else []) + ([reduced[k].T] if k < len(blocks) else [])
        directions = jnp.concatenate(coupled, axis=1)
        if directions.shape[1] >= size:
            bases.append(None)
            continue
        basis = jnp.linalg.qr(directions)[0]
        bases.append(basis)
        if k:
            reduced[k - 1] = matmul(basis.T, reduced[k - 1])
        if k < len(blocks):
            reduced[k] = matmul(reduced[k], basis)
    return tuple(reduced), tuple(bases)


def log_singular_values(blocks: Blocks, first_rows: Array | None = None) -> Array:
    """log σ of B without the `unit_count` zeros, descending; `first_rows` as in `reduce_blocks`.

    Accurate to rounding × cond(B), where the eigenvalues of BᵀB would lose cond(B)². Differentiable once at any
    degeneracy in the sense that matters: sums of φ(log σ) have the derivative of φ(B), and none passes through the
    reduction. Second derivatives of degenerate values are not defined; those of their sums are in `layered_trace`.
    """
    return _log_singular_values(tuple(blocks), first_rows)


@jax.custom_jvp
def _log_singular_values(blocks: tuple[Array, ...], first_rows: Array | None) -> Array:
    reduced, _ = reduce_blocks(blocks, first_rows)
    return jnp.log(jnp.linalg.svd(to_dense(reduced), compute_uv=False))


@_log_singular_values.defjvp
def _log_singular_values_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # dσ_i = u_iᵀ dB v_i, and the vectors of the coupled part lie in the span of the bases: dB may be projected first
    # first_rows choose a basis, on which nothing depends
    (blocks, first_rows), (dots, _) = primals, tangents
    reduced, bases = reduce_blocks(blocks, first_rows)
    sizes = block_sizes(reduced)
    left, sigma, right = jnp.linalg.svd(to_dense(reduced))
    projected = []
    for k, dot in enumerate(dots):
        before, after = bases[k], bases[k + 1]
        rows = dot if after is None else matmul(after.T, dot)
        projected.append(rows if before is None else matmul(rows, before))
    d_dense = to_dense(projected) - jnp.eye(sum(sizes), dtype=sigma.dtype)
    d_sigma = jnp.sum(left * matmul(d_dense, right.T), axis=0)
    return jnp.log(sigma), d_sigma / sigma
