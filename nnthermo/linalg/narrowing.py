r"""The filter of `shifted_gram` for layers that never widen, with its derivatives in closed form.

With the numbers of that module and X_l = T_l⁻¹A_{l+1}ᵀ, going back from the last layer,

    Γ_l = cT_l⁻¹ + β² X_l Γ_{l+1} X_lᵀ,   ∂ log det M/∂W_l = Γ_l,   ∂ log det M/∂A_lᵀ = 2β R_{l-1}A_lᵀ Γ_l,
    π_l = T_l⁻¹(v_l + βA_{l+1}ᵀπ_{l+1}),   z_l = a_l - β(T_l⁻¹v_l - cR_lA_{l+1}ᵀπ_{l+1}),

where z = cM⁻¹a is the smoothed mean and cπ = Bz its residual, so that the form q = cβ aᵀGM⁻¹a has
∂q/∂A_lᵀ = -2βc z_{l-1}π_lᵀ, ∂q/∂a = 2c(a - z), ∂q/∂c = |a - z|² and ∂q/∂β = |Bz|². Again nothing is subtracted from
anything of its own size for c > 0. The code carries S_l = W_l/β, so that no derivative divides by β.

A derivative in the weights of a derivative in β, as of U or S, is taken as the derivative in β of these. Then the whole
computation runs forward, on products of matrices as they lie in memory: reverse mode would transpose each of them.
The inverses T_l⁻¹ are found once and passed on.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from nnthermo._typing import Array
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.positive import inverse_and_log_det


class Chain(NamedTuple):
    """What M depends on besides c and β.

    Attributes:
        blocks: A_2, ..., A_{L-1}.
        gram: A_1A_1ᵀ, (n_1, n_1).
        product: A_1a_0, (n_1,).
        norm: a_0·a_0, ().
        vector: a_1, ..., a_{L-1}.
    """

    blocks: tuple[Array, ...]
    gram: Array
    product: Array
    norm: Array
    vector: tuple[Array, ...]


class _Numbers(NamedTuple):
    c: Array
    beta: Array


class _Slopes(NamedTuple):
    """∂/∂chain and ∂/∂(c, β) of one number."""

    chain: Chain
    numbers: _Numbers


@partial(jax.jit, static_argnames="first_size")
def log_det_and_form(chain: Chain, c: Array, beta: Array, first_size: int) -> tuple[Array, Array]:
    """log det(cI + βG) and aᵀ cβG (cI + βG)⁻¹ a for n_0 >= n_1 >= ... >= n_{L-1}, n_0 = `first_size`."""
    numbers = _Numbers(c, beta)
    found = _forward(*jax.lax.stop_gradient((chain, numbers)), None)
    log_det, form = _value(chain, numbers, found.inverses, found.log_det)
    return log_det + first_size * jnp.log(c + beta), form


class _Layer(NamedTuple):
    inverse: Array  # T⁻¹
    spread: Array  # S = W/β = A R Aᵀ, so that nothing is divided by β
    innovation: Array  # v
    weighted: Array  # T⁻¹v


class _Link(NamedTuple):
    """From a layer to the next."""

    half: Array  # X = T⁻¹A'ᵀ
    spread_half: Array  # SX
    reached: Array  # RA'ᵀ


class _Filtered(NamedTuple):
    layers: tuple[_Layer, ...]
    links: tuple[_Link, ...]
    log_det: Array
    form: Array

    @property
    def inverses(self) -> tuple[Array, ...]:
        return tuple(layer.inverse for layer in self.layers)


def _forward(chain: Chain, numbers: _Numbers, known: Sequence[Array] | None) -> _Filtered:
    """The filter; with the inverses if they are known."""
    c, beta = numbers
    kappa = c + beta
    layers: list[_Layer] = []
    links: list[_Link] = []
    log_det, form = jnp.zeros_like(kappa), chain.norm / kappa
    spread, prior = chain.gram / kappa, c / kappa * chain.product
    for k, a in enumerate(chain.vector):
        if k:
            block, before = chain.blocks[k - 1], layers[-1]
            half = matmul(before.inverse, block.T)
            spread_half = matmul(before.spread, half)
            links.append(_Link(half, spread_half, (block.T + beta * (beta * spread_half)) / kappa))
            spread = matmul(block, links[-1].reached)
            correction = before.innovation + beta * (beta * matmul(before.spread, before.weighted))
            prior = matmul(block, prior + c / kappa * correction)
        shifted = kappa * jnp.eye(a.size, dtype=a.dtype) + c * (beta * spread)
        if known is None:
            inverse, term = inverse_and_log_det(shifted)
            log_det = log_det + term
        else:
            inverse = _known_inverse(shifted, known[k])
        innovation = a - prior
        layers.append(_Layer(inverse, spread, innovation, matmul(inverse, innovation)))
        form = form + jnp.vdot(innovation, layers[-1].weighted)
    return _Filtered(tuple(layers), tuple(links), log_det, c * beta * form)


@jax.custom_jvp
def _known_inverse(_matrix: Array, inverse: Array) -> Array:
    return inverse


@_known_inverse.defjvp
def _known_inverse_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    inverse = _known_inverse(*primals)
    return inverse, -matmul(matmul(inverse, tangents[0]), inverse)


def _slopes(chain: Chain, numbers: _Numbers, known: Sequence[Array]) -> tuple[_Slopes, _Slopes]:
    """Those of the log det, without its n_0 log κ, and of the form."""
    c, beta = numbers
    kappa = c + beta
    found = _forward(chain, numbers, known)
    d_blocks: list[Array] = []
    d_c = d_beta = jnp.zeros_like(kappa)
    gamma = c * found.layers[-1].inverse
    later = zip(found.layers[:-1], found.layers[1:], found.links, chain.blocks, strict=True)
    for before, layer, link, block in reversed(tuple(later)):
        flow = matmul(link.reached, gamma)  # R A'ᵀ Γ'
        d_blocks.append((2 * beta * flow).T)
        d_kappa = jnp.trace(layer.inverse) - beta * jnp.vdot(flow, link.half)
        explicit = jnp.vdot(layer.inverse, layer.spread) - beta * jnp.vdot(flow, link.spread_half)
        d_c = d_c + d_kappa + beta * explicit
        d_beta = d_beta + d_kappa + jnp.vdot(gamma, layer.spread)
        gamma = c * before.inverse + matmul(matmul(beta * link.half, gamma), beta * matmul(block, before.inverse))
    first = found.layers[0]
    trace, through = jnp.trace(first.inverse), jnp.vdot(gamma, first.spread)
    d_c = d_c + trace + beta * (jnp.vdot(first.inverse, first.spread) - through / kappa)
    d_beta = d_beta + trace + c / kappa * through
    nothing = jax.tree.map(jnp.zeros_like, chain)
    of_log_det = _Slopes(
        nothing._replace(blocks=tuple(reversed(d_blocks)), gram=beta / kappa * gamma), _Numbers(d_c, d_beta)
    )
    return of_log_det, _form_slopes(chain, numbers, found)


def _form_slopes(chain: Chain, numbers: _Numbers, found: _Filtered) -> _Slopes:
    c, beta = numbers
    kappa = c + beta
    adjoint = found.layers[-1].weighted  # π
    deviations = [beta * adjoint]  # a - z
    blocks: list[Array] = []
    residual = jnp.vdot(adjoint, adjoint)
    earlier = zip(found.layers[:-1], found.links, chain.blocks, chain.vector[:-1], strict=True)
    for layer, link, block, a in reversed(tuple(earlier)):
        deviation = beta * (layer.weighted - c * matmul(link.reached, adjoint))
        blocks.append(-2 * beta * c * adjoint[:, None] * (a - deviation)[None, :])
        deviations.append(deviation)
        adjoint = matmul(layer.inverse, layer.innovation + beta * matmul(block.T, adjoint))
        residual = residual + jnp.vdot(adjoint, adjoint)
    cross, square = jnp.vdot(chain.product, adjoint), jnp.vdot(adjoint, matmul(chain.gram, adjoint))
    deviation_0 = (beta / kappa) ** 2 * (chain.norm - 2 * c * cross + c**2 * square)  # |a_0 - z_0|²
    residual_0 = (c / kappa) ** 2 * (chain.norm + 2 * beta * cross + beta**2 * square)  # |z_0|²
    deviations.reverse()
    return _Slopes(
        Chain(
            blocks=tuple(reversed(blocks)),
            # z_0 = (c/κ)(a_0 + βA_1ᵀπ_1) in -2βc z_0π_1ᵀ, taken apart into the slopes in A_1A_1ᵀ and A_1a_0
            gram=-(beta * c / kappa) * (beta * c) * adjoint[:, None] * adjoint[None, :],
            product=-2 * beta * c**2 / kappa * adjoint,
            norm=c * beta / kappa,
            vector=tuple(2 * c * d for d in deviations),
        ),
        _Numbers(sum((jnp.vdot(d, d) for d in deviations), deviation_0), residual_0 + c**2 * residual),
    )


@jax.custom_jvp
def _value(chain: Chain, numbers: _Numbers, known: Sequence[Array], log_det: Array) -> tuple[Array, Array]:
    return log_det, _forward(chain, numbers, known).form


@partial(_value.defjvp, symbolic_zeros=True)
def _value_jvp(primals: tuple, tangents: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    chain, numbers, known, _ = primals
    d_chain, d_numbers = tangents[:2]
    parts = []
    if _moves(d_chain):
        parts.append([_inner(s.chain, d_chain) for s in _slopes(chain, numbers, known)])
    if _moves(d_numbers):
        parts.append([_inner(s, d_numbers) for s in _number_slopes(chain, numbers, known)])
    if not parts:
        parts.append([jnp.zeros_like(numbers.c)] * 2)
    log_det, form = (sum(pair[1:], pair[0]) for pair in zip(*parts, strict=True))
    return _value(*primals), (log_det, form)


@jax.custom_jvp
def _number_slopes(chain: Chain, numbers: _Numbers, known: Sequence[Array]) -> tuple[_Numbers, _Numbers]:
    """∂/∂(c, β) of log det and form; derivatives in the chain by exchanging the order of differentiation."""
    of_log_det, of_form = _slopes(chain, numbers, known)
    return of_log_det.numbers, of_form.numbers


@partial(_number_slopes.defjvp, symbolic_zeros=True)
def _number_slopes_jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    chain, numbers, known = primals
    d_chain, d_numbers = tangents[:2]

    def slopes(n: _Numbers) -> tuple[_Slopes, _Slopes]:
        return _slopes(chain, n, known)

    def of_numbers(n: _Numbers) -> tuple[_Numbers, _Numbers]:
        of_log_det, of_form = slopes(n)
        return of_log_det.numbers, of_form.numbers

    zero = jnp.zeros_like(numbers.c)
    along = _Numbers(*(zero if isinstance(d, SymbolicZero) else d for d in d_numbers))
    values, dots = jax.jvp(of_numbers, (numbers,), (along,)) if _moves(d_numbers) else (of_numbers(numbers), None)
    if not _moves(d_chain):
        return values, dots if dots is not None else jax.tree.map(jnp.zeros_like, values)
    rows = []
    for direction in (_Numbers(zero + 1, zero), _Numbers(zero, zero + 1)):
        _, moved = jax.jvp(slopes, (numbers,), (direction,))
        rows.append([_inner(slope.chain, d_chain) for slope in moved])
    crossed = _Numbers(rows[0][0], rows[1][0]), _Numbers(rows[0][1], rows[1][1])
    return values, crossed if dots is None else jax.tree.map(jnp.add, dots, crossed)


def _moves(tangent: Any) -> bool:
    return not all(isinstance(t, SymbolicZero) for t in _leaves(tangent))


def _inner(slopes: Any, tangent: Any) -> Array:
    pairs = zip(jax.tree.leaves(slopes), _leaves(tangent), strict=True)
    terms = [jnp.vdot(s, t) for s, t in pairs if not isinstance(t, SymbolicZero)]
    return sum(terms[1:], terms[0])


def _leaves(tangent: Any) -> list[Any]:
    return jax.tree.leaves(tangent, is_leaf=lambda t: isinstance(t, SymbolicZero))
