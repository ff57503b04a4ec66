r"""Trace functions of block bidiagonal B, from its coupled part alone, with exact first and second derivatives.

`reduce_blocks` gives orthonormal bases Q_l of the coupled directions of each layer: B is B̃ = QᵀBQ = ŨΣṼᵀ on their
span and the identity on the rest, P = I - QQᵀ. The vectors of the coupled part are QŨ and QṼ, those of the rest any
basis of each layer's P, the same left and right, with σ = 1. Nothing is differentiated through the reduction; the
formulas of `trace` for the full B are taken apart instead. First order: K has sub-diagonal blocks QK̃Qᵀ, as P does not
couple layers. Second order: a direction dB that leaves the span couples it to the rest. With C_l the block of dB in row
l + 1 and column l, and for each coupled σ the weights p = (λφ')[σ², 1], q = σφ'[σ², 1],

    dK_l = Q (dK̃)_l Qᵀ + Q {[Ũ p Ũᵀ]_{l+1,l+1} QᵀC_l + [Ũ q Ṽᵀ]_{l+1,l-1} QᵀC_{l-1}ᵀ} P
         + P {C_l Q [Ṽ p Ṽᵀ]_{l,l} + C_{l+1}ᵀ Q [Ũ q Ṽᵀ]_{l+2,l}} Qᵀ,

dK̃ that of B̃ in the direction QᵀdBQ. There is no term P C_l P: a layer that is reduced keeps as many directions as the
next one has rows, which then is not reduced, P = 0. The rest enters through P only, whatever its size: for n coupled
directions a second derivative costs one SVD of n × n and products linear in the width of the layers that were reduced.
"""

from itertools import accumulate

import jax.numpy as jnp

from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar
from nnthermo.linalg.bidiagonal import Blocks, block_sizes, to_dense
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.divided_difference import ScalarFunction
from nnthermo.linalg.reduction import reduce_blocks
from nnthermo.linalg.trace import (
    Factors,
    Parameters,
    Structure,
    decompose,
    generalised_derivative,
    generalised_function,
    structured_trace,
    sum_of_values,
    weights,
)


def layered_trace_function(
    phi: ScalarFunction, blocks: Blocks, *parameters: Scalar, first_rows: Array | None = None
) -> Array:
    """Tr φ(BᵀB) of the B of these blocks, shape (); derivatives as those of `trace_function`.

    Args:
        phi: φ(λ, *parameters), as for `trace_function`; smooth near λ = 1 too.
        blocks: A_l, shapes (n_l, n_{l-1}).
        parameters: numbers.
        first_rows: as for `reduce_blocks`; the trace does not depend on them.

    Raises:
        NotImplementedError: third derivatives in the blocks.
    """
    numbers = tuple(jnp.asarray(p, blocks[0].dtype) for p in parameters)
    return structured_trace(phi, LAYERED, tuple(blocks), numbers, first_rows)


@pytree(static=("sizes",))
class _Coupled:
    """The coupled part, and what joins it to the whole.

    Attributes:
        factors: of B̃.
        bases: for each layer Q_l (n_l, k_l), None where it is the identity.
        sizes: n_l.
    """

    factors: Factors
    bases: tuple[Array | None, ...]
    sizes: tuple[int, ...]

    def block(self, matrix: Array, row: int, column: int) -> Array:
        """That of a matrix of the coupled part."""
        kept = [n if q is None else q.shape[1] for n, q in zip(self.sizes, self.bases, strict=True)]
        edges = (0, *accumulate(kept))
        return matrix[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]

    def project(self, layer: int, x: Array) -> Array:
        """Qᵀx."""
        basis = self.bases[layer]
        return x if basis is None else matmul(basis.T, x)

    def lift(self, layer: int, x: Array) -> Array:
        """Qx."""
        basis = self.bases[layer]
        return x if basis is None else matmul(basis, x)

    def rest(self, layer: int, x: Array) -> Array:
        """Px of a layer that was reduced."""
        return x - self.lift(layer, self.project(layer, x))

    def lift_blocks(self, matrix: Array) -> list[Array]:
        """Q_{l+1} X_{l+1,l} Q_lᵀ of a matrix X of the coupled part."""
        layers = range(len(self.sizes) - 1)
        return [self.lift(k + 1, self.lift(k, self.block(matrix, k + 1, k).T).T) for k in layers]


def _factors(blocks: Blocks, first_rows: Array | None) -> _Coupled:
    reduced, bases = reduce_blocks(blocks, first_rows)
    return _Coupled(decompose(to_dense(reduced)), bases, block_sizes(blocks))


def _values(blocks: Blocks, first_rows: Array | None) -> tuple[Array, int]:
    reduced, _ = reduce_blocks(blocks, first_rows)
    sigma = jnp.linalg.svd(to_dense(reduced), compute_uv=False)
    return sigma, sum(block_sizes(blocks)) - sigma.size


def _trace(phi: ScalarFunction, coupled: _Coupled, parameters: Parameters) -> Array:
    sigma = coupled.factors.sigma
    return sum_of_values(phi, sigma, sum(coupled.sizes) - sigma.size, parameters)


def _slopes(phi: ScalarFunction, coupled: _Coupled, parameters: Parameters) -> tuple[Array, ...]:
    # 2⟨K, dB⟩ with dB = -dA
    return tuple(-2 * k for k in coupled.lift_blocks(generalised_function(phi, coupled.factors, parameters)))


def _curvature(phi: ScalarFunction, coupled: _Coupled, parameters: Parameters, dots: Blocks) -> tuple[Array, ...]:
    # 2 dK for dB = +dA, as the sign of B = I - A and that of the slopes cancel
    left, sigma, right = coupled.factors
    project, rest, block = coupled.project, coupled.rest, coupled.block
    projected = [project(k + 1, project(k, dot.T).T) for k, dot in enumerate(dots)]
    direction = jnp.eye(sigma.size, dtype=sigma.dtype) - to_dense(projected)
    changes = coupled.lift_blocks(generalised_derivative(phi, coupled.factors, parameters, direction))

    p, q = weights(phi, sigma, jnp.ones_like(sigma), parameters)
    p_left, p_right = matmul(left * p[None, :], left.T), matmul(right.T * p[None, :], right)
    mixed = matmul(left * q[None, :], right)
    for k, dot in enumerate(dots):
        below, above = (coupled.bases[layer] is not None for layer in (k, k + 1))
        if below:
            into = matmul(block(p_left, k + 1, k + 1), project(k + 1, dot))
            if k:
                into = into + matmul(block(mixed, k + 1, k - 1), project(k - 1, dots[k - 1].T))
            changes[k] = changes[k] + coupled.lift(k + 1, rest(k, into.T).T)
        if above:
            out = matmul(project(k, dot.T).T, block(p_right, k, k))
            if k + 1 < len(dots):
                out = out + matmul(project(k + 2, dots[k + 1]).T, block(mixed, k + 2, k))
            changes[k] = changes[k] + coupled.lift(k, rest(k + 1, out).T).T
    return tuple(2 * change for change in changes)


LAYERED = Structure(values=_values, factors=_factors, trace=_trace, slopes=_slopes, curvature=_curvature)
"""Sub-diagonal blocks of a unit lower block bidiagonal matrix."""
