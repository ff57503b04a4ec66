"""Dense symmetric positive definite matrices: log det, solve, and products at full precision."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from nnthermo._typing import Array

matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
"""Matrix product that keeps its digits on accelerators, whose default for float32 does not."""


class Cholesky(NamedTuple):
    """Lower factor of a symmetric positive definite matrix, shape (n, n); NaN if the matrix is not one."""

    lower: Array

    def log_det(self) -> Array:
        """log det of the factored matrix; NaN, never the log of |det|, if it is not positive definite."""
        return 2 * jnp.sum(jnp.log(jnp.diagonal(self.lower)))

    def solve(self, right: Array) -> Array:
        """Inverse times `right`, shape (n,) or (n, k)."""
        half = solve_triangular(self.lower, right, lower=True)
        return solve_triangular(self.lower, half, lower=True, trans=1)


def cholesky(matrix: Array) -> Cholesky:
    """Factor a symmetric positive definite matrix (n, n)."""
    return Cholesky(jnp.linalg.cholesky(matrix, symmetrize_input=False))


def gram(matrix: Array) -> Array:
    """AᵀA, exactly symmetric."""
    return matmul(matrix.T, matrix)
