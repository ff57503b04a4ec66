"""Unit lower block bidiagonal B, identities on the diagonal and -A_l below it; A_l has shape (n_l, n_{l-1})."""

from collections.abc import Sequence

import jax.numpy as jnp

from nnthermo._typing import Array
from nnthermo.linalg.dense import matmul

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
