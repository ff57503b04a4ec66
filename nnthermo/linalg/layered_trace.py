r"""Trace functions of block bidiagonal B, from its coupled part alone, with exact first and second derivatives.

`reduce_blocks` gives orthonormal bases Q_l of the coupled directions of each layer: B is B̃ = QᵀBQ = ŨΣṼᵀ on their
span and the identity on the rest, P = I - QQᵀ. The vectors of the coupled part are QŨ and QṼ, those of the rest any
basis of each layer's P, the same left and right, with σ = 1. Nothing is differentiated through the reduction; the
formulas of `trace` for the full B are taken apart instead. First order: K has sub-diagonal blocks QK̃Qᵀ, as P does not
couple layers. Second order: a direction dB that leaves the span couples it to the rest. With C_l the block of dB in row
l + 1 and column l, and for each coupled σ the weights p = (λφ')[σ², 1], q = σφ'[σ², 1],

    dK_l = Q (dK̃)_l Qᵀ + Q {[Ũ p Ũᵀ]_{l+1,l+1} QᵀC_l + [Ũ q Ṽᵀ]_{l+1,l-1} QᵀC_{l-1}ᵀ} P
         + P {C_l Q [Ṽ p Ṽᵀ]_{l,l} + C_{l+1}ᵀ Q [Ũ q Ṽᵀ]_{l+2,l}} Qᵀ + (λφ')'(1) P C_l P,

dK̃ that of B̃ in the direction QᵀdBQ. The rest enters through P only, whatever its size: for n coupled directions a
second derivative costs one SVD of n × n and products linear in the width of the layers that were reduced.
"""

import itertools

import jax.numpy as jnp

from nnthermo._typing import Array, Scalar
from nnthermo.linalg import trace
from nnthermo.linalg.bidiagonal import Blocks, block_sizes, to_dense
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.divided_difference import ScalarFunction
from nnthermo.linalg.reduction import reduce_blocks, unit_count

Bases = tuple[Array | None, ...]


def layered_trace_function(phi: ScalarFunction, blocks: Blocks, *parameters: Scalar) -> Array:
    """Tr φ(BᵀB) of the B of these blocks, shape (); arguments and derivatives as `trace.trace_function`.

    Args:
        phi: φ(λ, *parameters); smooth near λ = 1 too.
        blocks: A_l, shapes (n_l, n_{l-1}).
        parameters: numbers.

    Raises:
        NotImplementedError: third derivatives in the blocks.
    """
    numbers = tuple(jnp.asarray(p, blocks[0].dtype) for p in parameters)
    return trace.structured_trace(phi, LAYERED, tuple(blocks), numbers)


def _values(blocks: Blocks) -> tuple[Array, int]:
    reduced, _ = reduce_blocks(blocks)
    return jnp.linalg.svd(to_dense(reduced), compute_uv=False), unit_count(block_sizes(blocks))


def _factors(blocks: Blocks) -> tuple[trace.Factors, Bases]:
    reduced, bases = reduce_blocks(blocks)
    return trace.decompose(to_dense(reduced)), bases


def _trace_and_slopes(
    phi: ScalarFunction, blocks: Blocks, found: tuple[trace.Factors, Bases], parameters: trace.Parameters
) -> tuple[Array, tuple[Array, ...]]:
    factors, bases = found
    total = trace.sum_of_values(phi, factors.sigma, unit_count(block_sizes(blocks)), parameters)
    inner = _Grid(trace.generalised_function(phi, factors, parameters), blocks, bases)
    slopes = [-2 * _lift(bases[k + 1], _lift(bases[k], inner.block(k + 1, k).T).T) for k in range(len(blocks))]
    return total, tuple(slopes)


def _curvature(
    phi: ScalarFunction,
    blocks: Blocks,
    found: tuple[trace.Factors, Bases],
    parameters: trace.Parameters,
    dots: Blocks,
) -> tuple[Array, ...]:
    # the signs of B = I - A and of the gradient in A cancel: 2 dK for dB = +dA
    factors, bases = found
    left, sigma, right = factors
    projected = [_project(bases[k + 1], _project(bases[k], dot.T).T) for k, dot in enumerate(dots)]
    direction = jnp.eye(sigma.size, dtype=sigma.dtype) - to_dense(projected)
    inner = _Grid(trace.generalised_derivative(phi, factors, parameters, direction), blocks, bases)
    p, q = trace.weights(phi, sigma, jnp.ones_like(sigma), parameters)
    p_left = _Grid(matmul(left * p[None, :], left.T), blocks, bases)
    p_right = _Grid(matmul(right.T * p[None, :], right), blocks, bases)
    mixed = _Grid(matmul(left * q[None, :], right), blocks, bases)
    one = jnp.ones((1,), sigma.dtype)
    p_rest = trace.weights(phi, one, one, parameters)[0]
    changes = []
    for k, dot in enumerate(dots):
        below, above = bases[k], bases[k + 1]
        change = _lift(above, _lift(below, inner.block(k + 1, k).T).T)
        if below is not None:
            into = matmul(p_left.block(k + 1, k + 1), _project(above, dot))
            if k:
                into = into + matmul(mixed.block(k + 1, k - 1), _project(bases[k - 1], dots[k - 1].T))
            change = change + _lift(above, _rest(below, into.T).T)
        if above is not None:
            out = matmul(_project(below, dot.T).T, p_right.block(k, k))
            if k + 1 < len(dots):
                out = out + matmul(_project(bases[k + 2], dots[k + 1]).T, mixed.block(k + 2, k))
            change = change + _lift(below, _rest(above, out).T).T
        if below is not None and above is not None:
            change = change + p_rest * _rest(above, _rest(below, dot.T).T)
        changes.append(2 * change)
    return tuple(changes)


class _Grid:
    """Matrix of the coupled part, cut into its layers."""

    def __init__(self, matrix: Array, blocks: Blocks, bases: Bases) -> None:
        sizes = [n if q is None else q.shape[1] for n, q in zip(block_sizes(blocks), bases, strict=True)]
        self.matrix, self.edges = matrix, (0, *itertools.accumulate(sizes))

    def block(self, row: int, column: int) -> Array:
        rows, columns = (slice(self.edges[k], self.edges[k + 1]) for k in (row, column))
        return self.matrix[rows, columns]


def _project(basis: Array | None, x: Array) -> Array:
    """Qᵀx."""
    return x if basis is None else matmul(basis.T, x)


def _lift(basis: Array | None, x: Array) -> Array:
    """Qx."""
    return x if basis is None else matmul(basis, x)


def _rest(basis: Array, x: Array) -> Array:
    """Px."""
    return x - matmul(basis, matmul(basis.T, x))


LAYERED = trace.Structure(
    values=_values, factors=_factors, trace_and_slopes=_trace_and_slopes, curvature=_curvature
)
"""Sub-diagonal blocks of a unit lower block bidiagonal matrix."""
