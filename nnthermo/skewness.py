r"""How lopsided the spectrum of log Ĝ is (9.6), without eigenvalues: an exact signed measure, and series in f̂'ŵ.

With A = f̂'ŵ, Ĝ = (I - A)ᵀ(I - A) = I + E, E = -A - Aᵀ + AᵀA, the moments μ_k = Tr (log Ĝ)^k are sums of traces of words
in A and Aᵀ with rational coefficients. A layered network has only words with as many A as Aᵀ, a closed walk from layer
to layer each: μ₃ = -3|A²|² + O(A⁶), while skip connections and cycles add -6 Tr(A²Aᵀ) - 2 Tr A³, of either sign.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, instance, integer
from nnthermo._typing import Array
from nnthermo.ensemble import DenseHessian, LayeredHessian
from nnthermo.linalg.dense import matmul

Polynomial = dict[str, Fraction]
"""Coefficients of words: the letter a is A, b is Aᵀ."""


def hyperbolic_skewness(G: Any) -> Array:
    r"""Σ 2 sinh log λ = Tr Ĝ - Tr Ĝ⁻¹ over all eigenvalues, shape (): 2μ₁ + μ₃/3 + ..., the third moment with its tail.

    For layered networks it is -Σ_{k>=2} |(f̂'ŵ)^k|² <= 0, and 0 only if no two layers follow one another with a product
    that is not 0: the paper's claim on deep and shallow networks (9.10) as an exact sum over paths of two links or
    more. No such sign holds with skip connections or cycles. Nothing cancels where A is small: of layered networks by
    K_1 = A_0A_0ᵀ, K_{l+1} = A_l (I + K_l) A_lᵀ, of which only Σ <A_l K_l, A_l> is kept; in general through
    D = B⁻¹ - I - A = A²B⁻¹ as -4 Tr A - 2 Tr D - 2<A, D> - |D|².

    Args:
        G: Hessian from `bulk_hessian`, of one state; `jax.vmap` takes many.

    Raises:
        TypeError: G of another kind.
        ValueError: the Hessian of many states.
    """
    _check_hessian(G)
    if isinstance(G, LayeredHessian):
        blocks, grams = G.blocks, G.first_gram
        terms = [jnp.zeros((), grams.dtype)]
        for block in blocks[1:]:
            carried = matmul(block, grams)
            terms.append(-jnp.vdot(carried, block, precision=jax.lax.Precision.HIGHEST))
            grams = matmul(block, block.T) + matmul(carried, block.T)
        return jnp.sum(jnp.stack(terms))
    B = G.jacobian
    A = jnp.eye(G.size, dtype=B.dtype) - B
    D = jnp.linalg.solve(B, matmul(A, A))
    return -4 * jnp.trace(A) - 2 * jnp.trace(D) - jnp.sum((2 * A + D) * D)


def moment_series(G: Any, k: int, *, order: int = 6) -> Array:
    r"""μ_k = Tr (log Ĝ)^k (9.5), (9.6) to a given order in A = f̂'ŵ, shape (): no decomposition, exact coefficients.

    For layered networks, T(w) the trace of the word w, a = A, b = Aᵀ,

        μ₂ = 2T(ab) + ⅔T(aabb) - ⅙T(abab) + ...,    μ₃ = -3T(aabb) - (5/2)T(aaabbb) + ...,

    and for general graphs μ₂ = 2T(aa) + 2T(ab) + ..., μ₃ = -2T(aaa) - 6T(aab) + .... What is left out is of order
    |A|^{order+1} in general, for layered networks of the next even order: |A|^{order+2} if `order` is even. The series
    is one in small A: beyond |A| of about 1 (singular values) it does not converge, and `spectral_trace` is the answer.

    A wide input layer enters through W_1W_1ᵀ alone, and traces are taken at the narrowest layer of each walk. Words
    double in number with each order; coefficients are made once for each (k, order).

    Args:
        G: Hessian from `bulk_hessian`, of one state; `jax.vmap` takes many.
        k: which moment, k >= 1.
        order: highest number of factors A and Aᵀ in a word, at least k.

    Raises:
        TypeError: G of another kind, or k or order not integers.
        ValueError: k below 1, order below k, or the Hessian of many states.
    """
    _check_hessian(G)
    k, order = integer("k", k, least=1), integer("order", order)
    check("order", f"be at least k = {k}", order >= k, order)
    return _layered_series(G, k, order) if isinstance(G, LayeredHessian) else _dense_series(G, k, order)


def _check_hessian(G: Any) -> None:
    instance("G", G, DenseHessian | LayeredHessian, "a Hessian from `bulk_hessian`")
    G.check_one_state()


@partial(jax.jit, static_argnums=(1, 2))
def _dense_series(G: DenseHessian, k: int, order: int) -> Array:
    A = jnp.eye(G.size, dtype=G.jacobian.dtype) - G.jacobian

    @cache
    def product(word: str) -> Array:
        last = A if word[-1] == "a" else A.T
        return last if len(word) == 1 else matmul(product(word[:-1]), last)

    def trace(word: str) -> Array:
        if len(word) == 1:
            return jnp.trace(A)
        half = len(word) // 2
        return jnp.sum(product(word[:half]) * product(_transposed(word[half:])))  # Tr XY = <X, Yᵀ>

    return _combine(moment_words(k, order), trace, A.dtype)


@partial(jax.jit, static_argnums=(1, 2))
def _layered_series(G: LayeredHessian, k: int, order: int) -> Array:
    blocks, gram = G.blocks, G.first_gram

    @cache
    def product(walk: tuple[int, ...]) -> Array:
        """Of the blocks from layer to layer; (1, 0, 1) is one factor, so that the input layer is never written out."""
        if walk[-3:] == (1, 0, 1):
            return gram if len(walk) == 3 else matmul(product(walk[:-2]), gram)
        before, after = walk[-2:]
        last = blocks[after] if before > after else blocks[before].T
        return last if len(walk) == 2 else matmul(product(walk[:-1]), last)

    def trace(walk: tuple[int, ...]) -> Array:
        half = len(walk) // 2
        half += walk[half] == 0  # not in the middle of that factor
        if half == len(walk) - 1:
            return jnp.trace(product(walk))
        return jnp.sum(product(walk[: half + 1]) * product(walk[half:][::-1]))

    walks = _closed_walks(G.sizes, k, order)
    return _combine(walks, trace, gram.dtype)


def _combine(coefficients: Mapping[Any, Fraction], trace: Callable[[Any], Array], dtype: Any) -> Array:
    terms = [float(c) * trace(w) for w, c in coefficients.items()]
    return jnp.sum(jnp.stack(terms)) if terms else jnp.zeros((), dtype)


@cache
def _closed_walks(sizes: tuple[int, ...], k: int, order: int) -> dict[tuple[int, ...], Fraction]:
    """Coefficients of closed walks over the layers, first layer = last, begun at the narrowest but the input layer."""
    found: dict[tuple[int, ...], Fraction] = {}
    for word, coefficient in moment_words(k, order).items():
        steps = [-1 if letter == "a" else 1 for letter in word]  # A leads from layer l (columns) to l + 1 (rows)
        for start in range(len(sizes)):
            walk = [start]
            for step in steps:
                walk.append(walk[-1] + step)
            if walk[-1] == start and min(walk) >= 0 and max(walk) < len(sizes):
                name = _from_narrowest(tuple(walk[:-1]), sizes)
                found[name] = found.get(name, Fraction(0)) + coefficient
    return {walk: c for walk, c in found.items() if c}


def _from_narrowest(ring: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """A ring begun at its narrowest layer but the input; its reversal is never met, for transposes share a name."""
    turned = [(*ring[i:], *ring[: i + 1]) for i, layer in enumerate(ring) if layer > 0]
    return min((sizes[walk[0]], walk) for walk in turned)[1]


@cache
def moment_words(k: int, order: int) -> Polynomial:
    """Exact coefficients of μ_k = Tr (log(I + E))^k to `order`, words up to rotation and transposition."""
    E: Polynomial = {"a": Fraction(-1), "b": Fraction(-1), "ba": Fraction(1)}
    log: Polynomial = {}
    power: Polynomial = {"": Fraction(1)}
    for n in range(1, order + 1):
        power = _multiply(power, E, order)
        for word, c in power.items():
            log[word] = log.get(word, Fraction(0)) + c * Fraction((-1) ** (n + 1), n)
    whole: Polynomial = {"": Fraction(1)}
    for _ in range(k):
        whole = _multiply(whole, log, order)
    found: Polynomial = {}
    for word, c in whole.items():
        name = _name(word)
        found[name] = found.get(name, Fraction(0)) + c
    return {word: c for word, c in sorted(found.items(), key=lambda item: (len(item[0]), item[0])) if c}


def _multiply(left: Polynomial, right: Polynomial, order: int) -> Polynomial:
    found: Polynomial = {}
    for u, c in left.items():
        for v, d in right.items():
            if len(u) + len(v) <= order:
                found[u + v] = found.get(u + v, Fraction(0)) + c * d
    return found


def _transposed(word: str) -> str:
    return word[::-1].translate(str.maketrans("ab", "ba"))


def _name(word: str) -> str:
    """The first in the alphabet of the words with the same trace."""
    return min(w[i:] + w[:i] for w in (word, _transposed(word)) for i in range(len(word)))
