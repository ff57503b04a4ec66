r"""Inverse and log det of symmetric positive definite matrices, many small ones as well as one large.

One matrix goes through LAPACK's Cholesky factor. Many (under `vmap`) are inverted together by block elimination,

    [[A, Cᵀ], [C, D]]⁻¹ = [[V + WᵀS⁻¹W, -WᵀS⁻¹], [-S⁻¹W, S⁻¹]],   V = A⁻¹,  W = CV,  S = D - WCᵀ,

halving down to blocks of `BASE` that are swept pivot by pivot: matrix products and element-wise operations only.
Batched LAPACK calls take one matrix after the other on a CPU, several times as long, and one kernel each on a GPU.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from nnthermo._typing import Array
from nnthermo.linalg.dense import cholesky, matmul

BASE = 10
"""Size below which a matrix is swept: larger costs memory traffic, smaller compile time and calls."""

LARGEST = 128
"""Size up to which many matrices are inverted together; beyond, each keeps the processor busy by itself."""


@jax.custom_jvp
def inverse_and_log_det(matrix: Array) -> tuple[Array, Array]:
    """A⁻¹ and log det A of a symmetric positive definite matrix (n, n).

    Differentiable to any order, through dA⁻¹ = -A⁻¹ dA A⁻¹ and d log det A = Tr A⁻¹ dA. A log det that is NaN says
    that the matrix was not positive definite; the inverse is then of no use.
    """
    return _inverse_and_log_det(matrix)


@inverse_and_log_det.defjvp
def _inverse_and_log_det_jvp(primals: tuple, tangents: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (matrix,), (dot,) = primals, tangents
    inverse, log_det = inverse_and_log_det(matrix)
    product = matmul(inverse, dot)
    return (inverse, log_det), (-matmul(product, inverse), jnp.trace(product))


@custom_vmap
def _inverse_and_log_det(matrix: Array) -> tuple[Array, Array]:
    factor = cholesky(matrix)
    return factor.solve(jnp.eye(matrix.shape[-1], dtype=matrix.dtype)), factor.log_det()


@_inverse_and_log_det.def_vmap
def _inverse_and_log_det_batched(_size: int, _batched: list[bool], matrices: Array) -> tuple[tuple, tuple]:
    if matrices.shape[-1] > LARGEST:
        one_by_one = jax.lax.map(_inverse_and_log_det, matrices)
        return one_by_one, (True, True)
    return _eliminate(matrices), (True, True)


def positive_or_nan(x: Array) -> Array:
    """The numbers that are positive, NaN in place of all others, in derivatives too."""
    return x * jnp.where(x > 0, 1, jnp.nan)


def _eliminate(matrices: Array) -> tuple[Array, Array]:
    """Inverses (..., n, n) and log dets (...,) by halves."""
    n = matrices.shape[-1]
    if n <= BASE:
        return _sweep(matrices)
    h = n // 2
    above, beside = matrices[..., :h, h:], matrices[..., h:, :h]  # both, as a product with a transpose copies it first
    first, log_det = _eliminate(matrices[..., :h, :h])
    across, down = matmul(beside, first), matmul(first, above)
    last, rest = _eliminate(matrices[..., h:, h:] - matmul(across, above))
    right, below = -matmul(down, last), -matmul(last, across)
    upper = jnp.concatenate([first - matmul(down, below), right], axis=-1)
    return jnp.concatenate([upper, jnp.concatenate([below, last], axis=-1)], axis=-2), log_det + rest


def _sweep(matrices: Array) -> tuple[Array, Array]:
    """The same pivot by pivot: A_ij - A_ik A_kj / A_kk, but ±A_ik / A_kk in the pivot's row and column.

    The matrices lie innermost, so that each operation runs along them.
    """

    def pivot_on(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        a, log_det = state
        column = jax.lax.dynamic_index_in_dim(a, k, 1, keepdims=False)
        pivot = jax.lax.dynamic_index_in_dim(column, k, 0, keepdims=False)
        pivot = jnp.where(pivot > 0, pivot, jnp.nan)  # the inverse too, as that of Cholesky
        row = column / pivot[None]
        swept = a - column[:, None] * row[None]
        row = jax.lax.dynamic_update_index_in_dim(row, -1 / pivot, k, 0)
        swept = jax.lax.dynamic_update_index_in_dim(swept, row, k, 0)
        return jax.lax.dynamic_update_index_in_dim(swept, row, k, 1), log_det + jnp.log(pivot)

    start = jnp.moveaxis(matrices, (-2, -1), (0, 1)), jnp.zeros_like(matrices[..., 0, 0])
    swept, log_det = jax.lax.fori_loop(0, matrices.shape[-1], pivot_on, start)
    return -jnp.moveaxis(swept, (0, 1), (-2, -1)), log_det
