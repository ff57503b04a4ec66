r"""Next to the diagonal of P = (cI + βBᵀB)⁻¹ and K = (cI + βBBᵀ)⁻¹ for block bidiagonal B, wide layers left small.

B has identities on the diagonal and -A_l below it, A_l (n_l, n_{l-1}); κ = c + β. Both matrices are block tridiagonal,
K as P with the layers in reverse and each A_l transposed. A layer wider than its two neighbours together enters through
V = [A_l, A_{l+1}ᵀ], the only directions in which it is coupled (V = A_1ᵀ for the first layer, A_{L-1} for the last),
and is eliminated before the others. With G = VᵀV, in blocks a (the layer before) and b (the one after), and
U = (κI + βG_bb)⁻¹, what it leaves to its neighbours is

    β(cG_aa + β²G_ab U G_ba)/κ in place of βG_aa,   cI + βκU in place of κI,   -β²UG_ba between them,

nothing of which is a difference of larger numbers for c > 0. From Π, the blocks of P of the neighbours,

    H = [[I/κ, 0], [-βUG_ba/κ, U]],   P_ll = I/κ + VYVᵀ,   Y = β²HΠHᵀ - (β/κ) diag(0, U),   P_nl = βΠHᵀVᵀ.

Two wide layers are never neighbours. No basis is chosen, so that derivatives hold at any rank of V; and traces and
norms need V in G alone: A_1A_1ᵀ for a wide first layer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from nnthermo._typing import Array
from nnthermo.linalg.bidiagonal import Blocks, block_sizes
from nnthermo.linalg.dense import gram, matmul
from nnthermo.linalg.positive import inverse_and_log_det
from nnthermo.linalg.runs import map_runs
from nnthermo.linalg.tridiagonal import eliminate


class Link(NamedTuple):
    """From layer l - 1 to layer l.

    Attributes:
        trace: Tr P_{l-1,l-1}.
        diagonal: diagonal of P_{l-1,l-1}, (n_{l-1},).
        beside: (BP)_{l,l-1} = (KB)_{l,l-1}, (n_l, n_{l-1}).
        beside_norms: |row|² of `beside`, (n_l,).
        dual: diagonal of cK_ll = I - β(BPBᵀ)_ll, (n_l,).
    """

    trace: Array
    diagonal: Array
    beside: Array
    beside_norms: Array
    dual: Array


class _Gram(NamedTuple):
    """VᵀV in blocks."""

    before: Array  # A_lᵀA_l
    across: Array  # A_{l+1}A_l
    after: Array  # A_{l+1}A_{l+1}ᵀ

    def dense(self) -> Array:
        return jnp.block([[self.before, self.across.T], [self.across, self.after]])

    def reversed(self) -> "_Gram":
        return _Gram(self.after, self.across.T, self.before)


class _Thin(NamedTuple):
    own: Array  # P_ll


class _Wide(NamedTuple):
    vectors: Array  # V
    gram: Array  # G
    inner: Array  # Y
    beside: Array  # βΠHᵀ


_Layer = _Thin | _Wide


def near_diagonal(
    blocks: Blocks, c: Array, beta: Array, first_gram: Array | None = None
) -> tuple[tuple[Link, ...], Array]:
    """One `Link` a block, and whether cI + βBᵀB is positive definite; where it is not, the links mean nothing.

    Errors are a few N ε cond(cI + βBᵀB), relative to the largest entries.

    Args:
        blocks: A_l, shapes (n_l, n_{l-1}).
        c: shift, of any sign.
        beta: β > 0.
        first_gram: A_1A_1ᵀ where known, so that what matrices share is computed once.
    """
    grams = _grams(blocks, first_gram)
    layers, below, log_det = _blocks_of_inverse(blocks, grams, c, beta)
    flipped = tuple(a.T for a in reversed(blocks))
    flipped_grams = [None if g is None else g.reversed() for g in reversed(grams)]
    dual, _, _ = _blocks_of_inverse(flipped, flipped_grams, c, beta)

    def link(block: Array, before: _Layer, after: _Layer, below: Array | None, dual: _Layer) -> Link:
        diagonal, trace = _diagonal(before, c + beta)
        beside, norms = _beside(block, before, after, below, c + beta)
        return Link(trace, diagonal, beside, norms, c * _diagonal(dual, c + beta)[0])

    between = [below.get(k + 1) for k in range(len(blocks))]
    return map_runs(link, blocks, layers[:-1], layers[1:], between, dual[-2::-1]), ~jnp.isnan(log_det)


def _grams(blocks: Blocks, first_gram: Array | None) -> list[_Gram | None]:
    """VᵀV of the layers wider than their neighbours together."""
    sizes, dtype = block_sizes(blocks), blocks[0].dtype
    found: list[_Gram | None] = []
    for k, n in enumerate(sizes):
        a, b = (sizes[k - 1] if k else 0), (sizes[k + 1] if k + 1 < len(sizes) else 0)
        if n <= a + b:
            found.append(None)
            continue
        before = gram(blocks[k - 1]) if a else jnp.zeros((0, 0), dtype)
        after = jnp.zeros((0, 0), dtype)
        if b:
            after = matmul(blocks[k], blocks[k].T) if k or first_gram is None else first_gram
        found.append(_Gram(before, matmul(blocks[k], blocks[k - 1]) if a and b else jnp.zeros((b, a), dtype), after))
    return found


def _blocks_of_inverse(
    blocks: Blocks, grams: Sequence[_Gram | None], c: Array, beta: Array
) -> tuple[list[_Layer], dict[int, Array], Array]:
    """P_ll of every layer, P_{l,l-1} between two thin ones, and a log det that is NaN unless M is positive definite."""
    pivots, log_det = _pivots(grams, c, beta)
    thin = [k for k, known in enumerate(grams) if known is None]
    found = eliminate(*_remaining(blocks, grams, pivots, c, beta))
    selected = found.selected_inverse()
    own = dict(zip(thin, selected.diagonal, strict=True))
    below = dict(zip(thin[1:], selected.lower, strict=True))  # to the thin layer before, across a wide one or not
    layers: list[_Layer] = []
    for k, known in enumerate(grams):
        if known is None:
            layers.append(_Thin(own[k]))
            continue
        around = [own[j] for j in (k - 1, k + 1) if j in own]
        if len(around) == 2:
            around = [jnp.block([[around[0], below[k + 1].T], [below[k + 1], around[1]]])]
        vectors = [*([blocks[k - 1]] if k else []), *([blocks[k].T] if k < len(blocks) else [])]
        layers.append(_wide(jnp.concatenate(vectors, axis=1), known, pivots[k], around[0], beta, c + beta))
    return layers, below, log_det + found.log_det


def _pivots(grams: Sequence[_Gram | None], c: Array, beta: Array) -> tuple[dict[int, Array], Array]:
    """U of each wide layer, and the log det of what was inverted."""
    kappa = c + beta
    pivots, log_det = {}, jnp.zeros_like(kappa)
    for k, known in enumerate(grams):
        if known is None:
            continue
        pivots[k], term = known.after, jnp.zeros_like(kappa)
        if len(known.after):
            pivots[k], term = inverse_and_log_det(kappa * _identity(known.after) + beta * known.after)
        log_det = log_det + jnp.where(kappa > 0, term, jnp.nan)  # κ is an eigenvalue of that block of M
    return pivots, log_det


def _remaining(
    blocks: Blocks, grams: Sequence[_Gram | None], pivots: dict[int, Array], c: Array, beta: Array
) -> tuple[list[Array], list[Array]]:
    """M without its wide layers: diagonal blocks and those below."""
    kappa = c + beta
    diagonal, lower = [], []
    padded = [None, *grams, None]
    grams_after = map_runs(lambda a: beta * gram(a), blocks)
    for k, n in enumerate(block_sizes(blocks)):
        before, here, after = padded[k : k + 3]
        if here is not None:
            continue
        identity = jnp.eye(n, dtype=kappa.dtype)
        own = kappa * identity if before is None else c * identity + beta * kappa * pivots[k - 1]
        if after is not None:
            own = own + beta * c / kappa * after.before
            own = own + beta**3 / kappa * matmul(matmul(after.across.T, pivots[k + 1]), after.across)
        elif k < len(blocks):
            own = own + grams_after[k]
        if before is not None and k > 1:
            lower.append(-(beta**2) * matmul(pivots[k - 1], before.across))
        elif before is None and k:
            lower.append(-beta * blocks[k - 1])
        diagonal.append(own)
    return diagonal, lower


def _wide(vectors: Array, known: _Gram, pivot: Array, around: Array, beta: Array, kappa: Array) -> _Wide:
    a, b = len(known.before), len(known.after)
    identity = jnp.eye(a, dtype=kappa.dtype) / kappa
    reach = jnp.block(
        [[identity, jnp.zeros((a, b), kappa.dtype)], [-beta / kappa * matmul(pivot, known.across), pivot]]
    )
    beside = beta * matmul(around, reach.T)
    inner = beta * matmul(reach, beside)
    return _Wide(vectors, known.dense(), inner.at[a:, a:].add(-beta / kappa * pivot), beside)


def _diagonal(layer: _Layer, kappa: Array) -> tuple[Array, Array]:
    """Diagonal of P_ll and its sum."""
    if isinstance(layer, _Thin):
        return jnp.diagonal(layer.own), jnp.trace(layer.own)
    n = len(layer.vectors)
    diagonal = 1 / kappa + jnp.sum(matmul(layer.vectors, layer.inner) * layer.vectors, axis=1)
    return diagonal, n / kappa + jnp.vdot(layer.inner, layer.gram)


def _beside(block: Array, before: _Layer, after: _Layer, below: Array | None, kappa: Array) -> tuple[Array, Array]:
    """(BP)_{l,l-1} = P_{l,l-1} - A_l P_{l-1,l-1} and its squared row norms."""
    if isinstance(before, _Wide):  # A_l = V_bᵀ: a matrix times Vᵀ, of which the last rows of Π and G are those of l
        n = len(block)
        rows = before.beside[-n:] - matmul(before.gram[-n:], before.inner)
        rows = rows - jnp.eye(n, len(before.gram), k=len(before.gram) - n, dtype=kappa.dtype) / kappa
        return matmul(rows, before.vectors.T), jnp.sum(matmul(rows, before.gram) * rows, axis=1)
    if isinstance(after, _Wide):  # A_l = V_a
        n = block.shape[1]
        below = matmul(after.vectors, after.beside[:n].T)
    assert below is not None
    beside = below - matmul(block, before.own)
    return beside, jnp.sum(beside**2, axis=1)


def _identity(matrix: Array) -> Array:
    return jnp.eye(len(matrix), dtype=matrix.dtype)
