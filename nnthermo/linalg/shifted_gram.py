r"""Log det and a quadratic form of M = cI + βBᵀB for block bidiagonal B, and for B with some of its columns only.

B has identities on the diagonal and -A_l below it; A_l has shape (n_l, n_{l-1}), l = 1 ... L-1.

**Filter.** Since det B = 1, det M = det N with N = βI + cB⁻¹B⁻ᵀ, which is positive definite if and only if M is. For
c > 0, N/cβ is the covariance of observations a_l = z_l + η/√c of a Markov chain z_l = A_l z_{l-1} + ξ/√β, and its block
elimination is the chain's Kalman filter, with prediction covariance Q_l/β, innovation covariance T_l/cβ and posterior
covariance R_l. With κ = c + β and G = BᵀB,

    W_l = βA_lR_{l-1}A_lᵀ,   Q_l = I + W_l,   T_l = cQ_l + βI = κI + cW_l,   R_l = Q_lT_l⁻¹ = (I + βW_lT_l⁻¹) / κ,
    log det M = Σ_l log det T_l,   aᵀ cβG M⁻¹ a = cβ Σ_l v_lᵀ T_l⁻¹ v_l,
    v_l = a_l - A_lμ_{l-1},   μ_l = A_lμ_{l-1} + cR_lv_l,

from R_0 = I/κ. The same recursion holds for c <= 0. For c > 0 nothing is subtracted from anything of its own size; for
c < 0 only T_l is a difference, as M is one. A layer wider than the one before it costs no more than that one:

    J = κR_{l-1}⁻¹ + cβA_lᵀA_l,   log det T_l = (n_l - n_{l-1}) log κ + log det R_{l-1} + log det J,
    βW_lT_l⁻¹ = β²A_lJ⁻¹A_lᵀ,

and a wide first layer enters through A_1A_1ᵀ only.

**Columns left out** are variables held fixed. Their rows stay, as observations A_lz_{l-1} = 0 with noise 1/√β alone,
which multiply det M by det Q of those rows. They come after the T of the layers they watch, which need not be positive
definite before for c < 0 even if M is; then M itself is eliminated from the first block on (**Schur**),

    S_l = κI + βA_{l+1}ᵀA_{l+1} - β²A_lS_{l-1}⁻¹A_lᵀ,

positive definite for every l if and only if M is. There a layer costs its own width cubed.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import is_concrete
from nnthermo._typing import Array, Scalar
from nnthermo.linalg import narrowing
from nnthermo.linalg.bidiagonal import Blocks, block_sizes
from nnthermo.linalg.dense import gram, matmul
from nnthermo.linalg.positive import inverse_and_log_det
from nnthermo.linalg.runs import LONG

Indices = tuple[tuple[int, ...], ...]


class First(NamedTuple):
    """What the first block enters through if it is not tall: given, so that what matrices share is computed once.

    Attributes:
        gram: A_1A_1ᵀ of the columns that are kept, (n_1, n_1).
        product: A_1a_0, (n_1,).
    """

    gram: Array
    product: Array


class Rows(NamedTuple):
    """The rows of B of one layer after the first, on the columns that are kept.

    Attributes:
        free: rows whose own columns are kept, (n_l, n_{l-1}).
        fixed: rows whose own columns are left out, (k, n_{l-1}); None if there are none.
    """

    free: Array
    fixed: Array | None


def log_det_and_form(
    blocks: Blocks,
    shift: Scalar,
    scale: Scalar,
    vector: Sequence[Array],
    first: First,
    kept: Indices | None = None,
) -> tuple[Array, Array]:
    """log det(cI + βG) and the quadratic form aᵀ cβG (cI + βG)⁻¹ a, G = BᵀB.

    Args:
        blocks: A_l, shapes (n_l, n_{l-1}).
        shift: c; any sign, as long as the matrix is positive definite. With columns left out, a number that is known
            settles at once which elimination is compiled.
        scale: β > 0.
        vector: a, block vectors of the sizes of the columns that are kept.
        first: A_1A_1ᵀ and A_1a_0.
        kept: columns of B that are kept, by layer; all if None.

    Returns:
        Two scalars; the log det is NaN if the matrix is not positive definite.
    """
    dtype = blocks[0].dtype
    given = tuple(blocks), jnp.asarray(shift, dtype), jnp.asarray(scale, dtype), tuple(vector)
    if kept is None:
        return _filter(*given, first)
    if is_concrete(shift):
        return general_filter(*given, first, kept) if np.all(np.asarray(shift) > 0) else _schur(*given, kept)
    return _either(*given, first, kept)


@jax.jit
def _filter(blocks: Blocks, c: Array, beta: Array, a: Sequence[Array], first: First) -> tuple[Array, Array]:
    sizes = block_sizes(blocks)
    if len(blocks) <= LONG and all(n >= after for n, after in pairwise(sizes)):
        chain = narrowing.Chain(tuple(blocks[1:]), first.gram, first.product, jnp.vdot(a[0], a[0]), tuple(a[1:]))
        return narrowing.log_det_and_form(chain, c, beta, sizes[0])
    return general_filter(blocks, c, beta, a, first, None)


@partial(jax.jit, static_argnames="kept")
def _either(
    blocks: Blocks, c: Array, beta: Array, a: Sequence[Array], first: First, kept: Indices
) -> tuple[Array, Array]:
    # above the rounding of 1 - βm, by which copies of it in one program may differ, also in sign
    small = 4 * jnp.finfo(c.dtype).eps
    return jax.lax.cond(
        c > small,  # the branch not taken stays finite, and so do its derivatives
        lambda c: general_filter(blocks, jnp.where(c > small, c, small), beta, a, first, kept),
        lambda c: _schur(blocks, c, beta, a, kept),
        c,
    )


def _split(blocks: Blocks, kept: Indices | None) -> list[Rows]:
    if kept is None:
        return [Rows(block, None) for block in blocks]
    rows = []
    for k, block in enumerate(blocks):
        columns, here = np.asarray(kept[k], int), np.asarray(kept[k + 1], int)
        fixed = np.setdiff1d(np.arange(block.shape[0]), here)
        seen = block[:, columns]
        rows.append(Rows(seen[here], seen[fixed] if fixed.size else None))
    return rows


class _Belief(NamedTuple):
    """What the filter knows of a layer: posterior mean μ (n,), and R = (I + left right) / κ; R = I/κ where None."""

    mean: Array
    left: Array | None
    right: Array | None


class _Sums(NamedTuple):
    log_det: Array
    form: Array  # Σ vᵀT⁻¹v over rows that are kept
    fixed_form: Array  # Σ vᵀQ⁻¹v over rows of columns left out


@partial(jax.jit, static_argnames="kept")
def general_filter(
    blocks: Blocks, c: Array, beta: Array, a: Sequence[Array], first: First | None, kept: Indices | None
) -> tuple[Array, Array]:
    """The filter for any layers; arguments and results as `log_det_and_form`."""
    kappa = c + beta
    rows = _split(blocks, kept)
    belief = _Belief(c / kappa * a[0], None, None)
    zero = jnp.zeros((), kappa.dtype)
    sums = _Sums(a[0].size * jnp.log(kappa), jnp.vdot(a[0], a[0]) / kappa, zero)
    known = None if first is None else first.gram
    if known is not None and kept is not None:
        known = known[jnp.ix_(*2 * (np.asarray(kept[1], int),))]
    k = 0
    while k < len(rows):
        belief, sums = _advance(c, beta, rows[k], a[k + 1], belief, sums, None if k else known)
        k += 1
        count = _alike(rows, k, belief)
        if count:
            belief, sums = _scan(c, beta, rows[k : k + count], a[k + 1 : k + 1 + count], belief, sums)
            k += count
    return sums.log_det, c * beta * sums.form + beta * sums.fixed_form


def _alike(rows: Sequence[Rows], start: int, belief: _Belief) -> int:
    """How many rows from `start` on leave the shapes of the belief as they are; 0 if too few to scan."""
    n = belief.mean.size
    same = belief.left is not None and belief.left.shape == (n, n)
    end = start
    while same and end < len(rows) and rows[end].free.shape == (n, n) and rows[end].fixed is None:
        end += 1
    return end - start if end - start >= LONG and n else 0


def _scan(
    c: Array, beta: Array, rows: Sequence[Rows], a: Sequence[Array], belief: _Belief, sums: _Sums
) -> tuple[_Belief, _Sums]:
    def step(carry: tuple[_Belief, _Sums], layer: tuple[Array, Array]) -> tuple[tuple[_Belief, _Sums], None]:
        return _advance(c, beta, Rows(layer[0], None), layer[1], *carry, None), None

    layers = jnp.stack([r.free for r in rows]), jnp.stack(a)
    return jax.lax.scan(step, (belief, sums), layers)[0]


def _advance(
    c: Array, beta: Array, rows: Rows, a: Array, belief: _Belief, sums: _Sums, known_gram: Array | None
) -> tuple[_Belief, _Sums]:
    """One layer of the filter; `known_gram` is A Aᵀ of its free rows."""
    kappa = c + beta
    if rows.fixed is not None and belief.mean.size:
        belief, sums = _observe(beta, kappa, rows.fixed, belief, sums)
    block = rows.free
    n, width = block.shape
    if not n:
        return _Belief(a, None, None), sums
    prior = matmul(block, belief.mean)
    innovation = a - prior
    if n <= width or not width:
        spread = beta * _spread(kappa, block, belief, known_gram)
        inverse, log_det = inverse_and_log_det(kappa * jnp.eye(n, dtype=block.dtype) + c * spread)
        weighted = matmul(inverse, innovation)
        left, right = beta * spread, inverse
    else:
        precision, log_det_before = _precision(kappa, width, belief)
        inverse, log_det = inverse_and_log_det(kappa * precision + c * beta * gram(block))
        log_det = log_det + log_det_before + (n - width) * jnp.log(kappa)
        left, right = beta * matmul(beta * block, inverse), block.T
        weighted = (innovation - c / beta * matmul(left, matmul(right, innovation))) / kappa
    mean = prior + c / kappa * (innovation + matmul(left, matmul(right, innovation)))
    form = sums.form + jnp.vdot(innovation, weighted)
    return _Belief(mean, left, right), sums._replace(log_det=sums.log_det + log_det, form=form)


def _observe(beta: Array, kappa: Array, block: Array, belief: _Belief, sums: _Sums) -> tuple[_Belief, _Sums]:
    """Take in A z = 0 with noise 1/√β."""
    n, width = block.shape
    identity = jnp.eye(n, dtype=block.dtype)
    inverse, log_det = inverse_and_log_det(identity + beta * _spread(kappa, block, belief, None))
    innovation = -matmul(block, belief.mean)
    weighted = matmul(inverse, innovation)
    reached = block.T
    if belief.left is not None and belief.right is not None:
        reached = reached + matmul(belief.left, matmul(belief.right, block.T))
    reached = reached / kappa  # R Aᵀ
    left = -kappa * beta * matmul(matmul(reached, inverse), reached.T)
    if belief.left is not None and belief.right is not None:
        left = left + matmul(belief.left, belief.right)
    mean = belief.mean + beta * matmul(reached, weighted)
    found = sums._replace(log_det=sums.log_det + log_det, fixed_form=sums.fixed_form + jnp.vdot(innovation, weighted))
    return _Belief(mean, left, jnp.eye(width, dtype=block.dtype)), found


def _spread(kappa: Array, block: Array, belief: _Belief, known_gram: Array | None) -> Array:
    """A R Aᵀ."""
    spread = matmul(block, block.T) if known_gram is None else known_gram
    if belief.left is not None and belief.right is not None:
        spread = spread + matmul(matmul(block, belief.left), matmul(belief.right, block.T))
    return spread / kappa


def _precision(kappa: Array, size: int, belief: _Belief) -> tuple[Array, Array]:
    """R⁻¹ and log det R."""
    identity = jnp.eye(size, dtype=kappa.dtype)
    if belief.left is None or belief.right is None:
        return kappa * identity, -size * jnp.log(kappa)
    covariance = (identity + matmul(belief.left, belief.right)) / kappa
    return inverse_and_log_det((covariance + covariance.T) / 2)


@partial(jax.jit, static_argnames="kept")
def _schur(blocks: Blocks, c: Array, beta: Array, a: Sequence[Array], kept: Indices) -> tuple[Array, Array]:
    rows = _split(blocks, kept)
    kappa, dtype = c + beta, blocks[0].dtype
    log_det = form = jnp.zeros((), dtype)
    carried, product = jnp.zeros_like(a[0]), jnp.zeros((a[0].size, a[0].size), dtype)
    for k, v in enumerate(a):
        following, fixed = rows[k] if k < len(rows) else (jnp.zeros((0, v.size), dtype), None)
        if not v.size:
            carried, product = (jnp.zeros((following.shape[0],) * n, dtype) for n in (1, 2))
            continue
        diagonal = kappa * jnp.eye(v.size, dtype=dtype) - beta**2 * (product + product.T) / 2
        diagonal = diagonal + beta * gram(following) + (0 if fixed is None else beta * gram(fixed))
        inverse, term = inverse_and_log_det(diagonal)
        right = v + beta * carried
        solved = matmul(inverse, right)
        log_det, form = log_det + term, form + jnp.vdot(right, solved)
        carried, product = matmul(following, solved), matmul(matmul(following, inverse), following.T)  # A S⁻¹ Aᵀ
    norm = sum((jnp.vdot(v, v) for v in a), jnp.zeros((), dtype))
    return log_det, c * (norm - c * form)  # βG M⁻¹ = I - cM⁻¹
