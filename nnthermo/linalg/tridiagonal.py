r"""Symmetric positive definite block tridiagonal matrices, by block elimination from the first block on.

With diagonal blocks D_l (n_l, n_l) and E_l (n_{l+1}, n_l) below them, E_lᵀ above, M = L diag(S_l) Lᵀ with

    S_0 = D_0,   S_{l+1} = D_{l+1} - K_l E_lᵀ,   K_l = E_l S_l⁻¹,   log det M = Σ_l log det S_l,

L unit lower block bidiagonal with K_l below its diagonal. Blocks of P = M⁻¹ follow from the last one back,

    P_{l+1,l} = -P_{l+1,l+1} K_l,   P_ll = S_l⁻¹ + K_lᵀ P_{l+1,l+1} K_l,

as does a vector x ~ N(0, P): given x_{l+1}, x_l is normal with mean -K_lᵀ x_{l+1} and covariance S_l⁻¹.

Memory and time are linear in the number of blocks. The elimination does not pivot, which a positive definite matrix does
not need: relative errors are a few N ε cond(M). Derivatives of any order; compilation does not lengthen with the depth
of runs of blocks of one size, but for the slices of their results.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check
from nnthermo._typing import Array
from nnthermo.linalg.dense import cholesky, matmul
from nnthermo.linalg.positive import inverse_and_log_det

LONG = 4
"""So many blocks of one size in a row are run through by a scan."""

BlockVector = Sequence[Array]
"""Block vectors (n_l,), or several side by side, (n_l, k)."""


class Selected(NamedTuple):
    """Blocks of M⁻¹ where M has blocks.

    Attributes:
        diagonal: (M⁻¹)_ll, shapes (n_l, n_l).
        lower: (M⁻¹)_{l+1,l}, shapes (n_{l+1}, n_l).
    """

    diagonal: tuple[Array, ...]
    lower: tuple[Array, ...]


class Elimination(NamedTuple):
    """M = L diag(S_l) Lᵀ, from `eliminate`.

    Attributes:
        inverses: S_l⁻¹, shapes (n_l, n_l).
        gains: K_l = E_l S_l⁻¹, shapes (n_{l+1}, n_l).
        log_det: log det M; NaN, never the log of |det|, if M is not positive definite, and then nothing else holds.
    """

    inverses: tuple[Array, ...]
    gains: tuple[Array, ...]
    log_det: Array

    def solve(self, right: BlockVector) -> tuple[Array, ...]:
        """M⁻¹ times block vectors (n_l,), or several at once, (n_l, k)."""

        def forward(y: Array, layer: tuple[Array, Array]) -> tuple[Array, Array]:
            gain, b = layer
            y = b - matmul(gain, y)
            return y, y

        def back(x: Array, layer: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            inverse, gain, y = layer
            x = matmul(inverse, y) - matmul(gain.T, x)
            return x, x

        _, later = _run(forward, right[0], zip(self.gains, right[1:], strict=True))
        halfway = (right[0], *later)
        last = matmul(self.inverses[-1], halfway[-1])
        layers = zip(self.inverses[:-1], self.gains, halfway[:-1], strict=True)
        _, earlier = _run(back, last, reversed(tuple(layers)))
        return (*reversed(earlier), last)

    def selected_inverse(self) -> Selected:
        """The blocks of M⁻¹ on the diagonal and below it, at the cost of the elimination."""

        def back(p: Array, layer: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            inverse, gain = layer
            below = -matmul(p, gain)
            p = inverse - matmul(gain.T, below)
            p = (p + p.T) / 2
            return p, (p, below)

        last = self.inverses[-1]
        _, found = _run(back, last, reversed(tuple(zip(self.inverses[:-1], self.gains, strict=True))))
        found.reverse()
        return Selected((*(p for p, _ in found), last), tuple(below for _, below in found))

    def sample(self, key: Array, mean: BlockVector) -> tuple[Array, ...]:
        """A draw from N(mean, M⁻¹), exact up to rounding.

        Args:
            key: JAX random key.
            mean: block vectors (n_l,); or (n_l, k), around each of whose columns one independent vector is drawn.
        """
        ends = np.cumsum([len(mu) for mu in mean])
        drawn = jax.random.normal(key, (ends[-1], *mean[0].shape[1:]), mean[0].dtype)  # at once: short to compile
        noise = jnp.split(drawn, ends[:-1])

        def back(x: Array, layer: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            inverse, gain, z = layer
            x = _coloured(inverse, z) - matmul(gain.T, x)
            return x, x

        last = _coloured(self.inverses[-1], noise[-1])
        layers = zip(self.inverses[:-1], self.gains, noise[:-1], strict=True)
        _, earlier = _run(back, last, reversed(tuple(layers)))
        deviation = (*reversed(earlier), last)
        return tuple(mu + x for mu, x in zip(mean, deviation, strict=True))


def eliminate(diagonal: Sequence[Array], lower: Sequence[Array]) -> Elimination:
    """Factor M of diagonal blocks D_l (n_l, n_l), which must be symmetric, and E_l (n_{l+1}, n_l) below them.

    Raises:
        ValueError: no blocks, a wrong number of them, or shapes that do not fit.
    """
    check("diagonal", "hold at least one block", len(diagonal) > 0, len(diagonal))
    check("lower", "hold one block fewer than `diagonal`", len(lower) == len(diagonal) - 1, len(lower))
    sizes = [d.shape[-1] for d in diagonal]
    check("diagonal", "hold square blocks", all(d.shape == (n, n) for d, n in zip(diagonal, sizes, strict=True)), sizes)
    shapes, expected = [e.shape for e in lower], [(after, before) for before, after in pairwise(sizes)]
    check("lower", f"have shapes {expected}", shapes == expected, shapes)

    def step(carry: tuple[Array, Array], layer: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (before, log_det), (block, below) = carry, layer
        gain = matmul(below, before)
        inverse, term = inverse_and_log_det(block - matmul(gain, below.T))
        return (inverse, log_det + term), (inverse, gain)

    first, log_det = inverse_and_log_det(diagonal[0])
    (_, log_det), found = _run(step, (first, log_det), zip(diagonal[1:], lower, strict=True))
    log_det = jnp.where(jnp.isfinite(log_det), log_det, jnp.nan)  # a pivot of exactly 0 leaves -∞
    return Elimination((first, *(inverse for inverse, _ in found)), tuple(gain for _, gain in found), log_det)


def multiply(diagonal: Sequence[Array], lower: Sequence[Array], v: BlockVector) -> tuple[Array, ...]:
    """M v for block vectors (n_l,), or several at once, (n_l, k)."""
    product = [matmul(d, x) for d, x in zip(diagonal, v, strict=True)]
    for k, e in enumerate(lower):
        product[k] = product[k] + matmul(e.T, v[k + 1])
        product[k + 1] = product[k + 1] + matmul(e, v[k])
    return tuple(product)


def to_dense(diagonal: Sequence[Array], lower: Sequence[Array]) -> Array:
    """M, shape (N, N)."""
    rows = [[jnp.zeros((a.shape[0], b.shape[0]), a.dtype) for b in diagonal] for a in diagonal]
    for k, d in enumerate(diagonal):
        rows[k][k] = d
    for k, e in enumerate(lower):
        rows[k + 1][k], rows[k][k + 1] = e, e.T
    return jnp.block(rows)


def _coloured(covariance: Array, noise: Array) -> Array:
    return matmul(cholesky((covariance + covariance.T) / 2).lower, noise)


def _run(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, layers: Any) -> tuple[Any, list[Any]]:
    """`step` over the layers, runs of equal shapes by a scan; the last carry and what each step gave besides.

    Two blocks of one shape in a row are square, so that the carry keeps its shape over such a run.
    """
    layers, given = list(layers), []
    shapes = [[leaf.shape for leaf in layer] for layer in layers]
    start = 0
    while start < len(layers):
        end = start
        while end < len(layers) and shapes[end] == shapes[start]:
            end += 1
        if end - start < LONG:
            carry, out = step(carry, layers[start])
            given.append(out)
            start += 1
            continue
        stacked = tuple(jnp.stack(leaves) for leaves in zip(*layers[start:end], strict=True))
        carry, out = jax.lax.scan(step, carry, stacked)
        given += [jax.tree.map(partial(jax.lax.index_in_dim, index=k, keepdims=False), out) for k in range(end - start)]
        start = end
    return carry, given
