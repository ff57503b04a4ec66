r"""Trace functions Tr φ(BᵀB) = Σ φ(σ²) with first and second derivatives in B that hold at any degeneracy.

With B = U diag(σ) Vᵀ and G = BᵀB, d Tr φ(G) = 2⟨K, dB⟩ for the generalised matrix function

    K = B φ'(G) = U diag(σφ'(λ)) Vᵀ,   λ = σ².

Its own derivative, from dK = dB φ'(G) + B dφ'(G) and the formula of Daleckii and Krein for dφ'(G), with E = UᵀdB V and
f[a, b] the divided difference (f(a) - f(b)) / (a - b), f'(a) for a = b, is

    dK = U [p ∘ E + q ∘ Eᵀ] Vᵀ,   p_ij = (λφ')[λ_i, λ_j],   q_ij = σ_iσ_j φ'[λ_i, λ_j].

If B has more rows than columns, U spans part of them and dK has the further term (I - UUᵀ) dB V φ'(Σ²) Vᵀ.

In terms of ψ(σ) = σφ'(σ²), p ± q are the quotients (ψ_i ∓ ψ_j) / (σ_i ∓ σ_j) that weigh E ± Eᵀ. K and dK do not depend
on the choice of vectors within a degenerate space. Everything starts from singular values of B, so that a small λ keeps
a relative error of 2 × rounding × cond(B), where the eigenvalues of BᵀB would have the square of cond(B).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from nnthermo._checks import check
from nnthermo._typing import Array, Scalar
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.divided_difference import InParameter, ScalarFunction, divided_difference, elementwise, slope

Parameters = tuple[Array, ...]


class Factors(NamedTuple):
    """Singular value decomposition left diag(sigma) right, shapes (m, n), (n,), (n, n)."""

    left: Array
    sigma: Array
    right: Array


class Structure(NamedTuple):
    """How the trace of a kind of matrix is found; the matrix is a pytree of arrays M, and so are its tangents.

    Attributes:
        values: (M, hint) to σ (n,) and the number of further σ that are exactly 1; None if only `trace` knows.
        factors: (M, hint) to whatever the other three need, never differentiated.
        trace: (φ, factors, parameters) to the trace.
        slopes: (φ, factors, parameters) to its gradient in M.
        curvature: (φ, factors, parameters, dM) to the change of that gradient.
    """

    values: Callable[[Any, Any], tuple[Array, int]] | None
    factors: Callable[[Any, Any], Any]
    trace: Callable[[ScalarFunction, Any, Parameters], Array]
    slopes: Callable[[ScalarFunction, Any, Parameters], Any]
    curvature: Callable[[ScalarFunction, Any, Parameters, Any], Any]


def trace_function(phi: ScalarFunction, matrix: Array, *parameters: Scalar) -> Array:
    """Tr φ(BᵀB) = Σ_i φ(σ_i², *parameters), shape ().

    Differentiable twice in B in any mode, as often as φ is in the parameters, and both in turn. A third derivative in B
    raises; the SVD's own would be wrong at degenerate values without a word. Under `jit` one SVD serves them all.

    Args:
        phi: φ(λ, *parameters), of numbers to a number in the dtype of λ; smooth near every eigenvalue. What it closes
            over is not differentiated (JAX raises): pass it as a parameter.
        matrix: B, (m, n) with m >= n.
        parameters: numbers.

    Raises:
        ValueError: fewer rows than columns.
        NotImplementedError: third derivatives in B.
    """
    tall = matrix.ndim == 2 and matrix.shape[0] >= matrix.shape[1]
    check("matrix", "have two dimensions, and at least as many rows as columns", tall, f"shape {matrix.shape}")
    return structured_trace(phi, DENSE, matrix, tuple(jnp.asarray(p, matrix.dtype) for p in parameters))


def structured_trace(
    phi: ScalarFunction, structure: Structure, matrix: Any, parameters: Parameters, hint: Any = None
) -> Array:
    """Tr φ(BᵀB) for a matrix of any structure, with the derivatives of `trace_function`.

    Args:
        phi: φ(λ, *parameters).
        structure: how to find it.
        matrix: a pytree.
        parameters: arrays of shape ().
        hint: for the decomposition; the trace does not depend on it and has no derivative in it.
    """
    return _trace(phi, structure, False, matrix, jax.lax.stop_gradient(hint), parameters)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _trace(
    phi: ScalarFunction, structure: Structure, vectors: bool, matrix: Any, hint: Any, parameters: Parameters
) -> Array:
    """The trace; with `vectors`, or where there is no other way, from the factors that its derivatives need as well."""
    if vectors or structure.values is None:
        return structure.trace(phi, _factors(structure, matrix, hint), parameters)
    return sum_of_values(phi, *structure.values(matrix, hint), parameters)


@partial(_trace.defjvp, symbolic_zeros=True)
def _trace_jvp(
    phi: ScalarFunction, structure: Structure, _vectors: bool, primals: tuple, tangents: tuple
) -> tuple[Array, Array]:
    d_matrix, _, d_parameters = tangents
    trace = _trace(phi, structure, True, *primals)
    change = jnp.zeros_like(trace)
    if (dots := _moving(d_matrix)) is not None:
        products = jax.tree.map(
            lambda s, d: jnp.sum(s * d).astype(trace.dtype), _slopes(phi, structure, *primals), dots
        )
        change = sum(jax.tree.leaves(products), change)
    for k, dot in enumerate(d_parameters):
        if not _is_zero(dot):
            change = change + dot * _trace(InParameter(phi, k), structure, True, *primals)
    return trace, change


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _slopes(phi: ScalarFunction, structure: Structure, matrix: Any, hint: Any, parameters: Parameters) -> Any:
    return structure.slopes(phi, _factors(structure, matrix, hint), parameters)


@partial(_slopes.defjvp, symbolic_zeros=True)
def _slopes_jvp(phi: ScalarFunction, structure: Structure, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    (matrix, hint, parameters), (d_matrix, _, d_parameters) = primals, tangents
    slopes = _slopes(phi, structure, *primals)
    change = jax.tree.map(jnp.zeros_like, slopes)
    if (dots := _moving(d_matrix)) is not None:
        change = structure.curvature(phi, _factors(structure, matrix, hint), parameters, dots)
    for k, dot in enumerate(d_parameters):
        if not _is_zero(dot):
            more = _slopes(InParameter(phi, k), structure, *primals)
            change = jax.tree.map(lambda c, m, dot=dot: c + dot * m, change, more)
    return slopes, change


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, SymbolicZero)


def _moving(tangent: Any) -> Any:
    """The tangent with every leaf an array; None if all are zero by construction."""
    leaves, tree = jax.tree.flatten(tangent, is_leaf=_is_zero)
    if all(_is_zero(leaf) for leaf in leaves):
        return None
    arrays = [jnp.zeros(leaf.shape, leaf.dtype) if _is_zero(leaf) else leaf for leaf in leaves]
    return jax.tree.unflatten(tree, arrays)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _factors(structure: Structure, matrix: Any, hint: Any) -> Any:
    """Reached by a tangent in a third derivative only: the rules above use the factors as they are."""
    return structure.factors(matrix, hint)


@_factors.defjvp
def _factors_jvp(_structure: Structure, _primals: tuple, _tangents: tuple) -> tuple[Any, Any]:
    raise NotImplementedError("trace functions have first and second derivatives in the matrix, but no third")


def decompose(matrix: Array) -> Factors:
    """Singular value decomposition of a matrix (m, n), m >= n."""
    return Factors(*jnp.linalg.svd(matrix, full_matrices=False))


def sum_of_values(phi: ScalarFunction, sigma: Array, unit_count: int, parameters: Parameters) -> Array:
    """Σ φ(σ²) + unit_count φ(1)."""
    total = jnp.sum(elementwise(phi, sigma**2, parameters))
    return total + unit_count * phi(jnp.ones((), sigma.dtype), *parameters) if unit_count else total


def generalised_function(phi: ScalarFunction, factors: Factors, parameters: Parameters) -> Array:
    """K = U diag(σφ'(σ²)) Vᵀ, (m, n)."""
    psi = factors.sigma * elementwise(slope(phi), factors.sigma**2, parameters)
    return matmul(factors.left * psi[None, :], factors.right)


def weights(phi: ScalarFunction, a: Array, b: Array, parameters: Parameters) -> tuple[Array, Array]:
    """The weights p and q for singular values a and b, arrays of one shape."""
    first = slope(phi)
    p = divided_difference(lambda x, *numbers: x * first(x, *numbers), a**2, b**2, parameters)
    return p, a * b * divided_difference(first, a**2, b**2, parameters)


def generalised_derivative(phi: ScalarFunction, factors: Factors, parameters: Parameters, dot: Array) -> Array:
    """The change of K for dB = `dot`, both (m, n)."""
    left, sigma, right = factors
    turned = matmul(dot, right.T)
    inner = matmul(left.T, turned)
    rows, columns = jnp.broadcast_arrays(sigma[:, None], sigma[None, :])
    p, q = weights(phi, rows, columns, parameters)
    change = matmul(left, p * inner + q * inner.T)
    if left.shape[0] > sigma.size:
        outside = turned - matmul(left, inner)
        change = change + outside * elementwise(slope(phi), sigma**2, parameters)[None, :]
    return matmul(change, right)


DENSE = Structure(
    values=lambda matrix, _hint: (jnp.linalg.svd(matrix, compute_uv=False), 0),
    factors=lambda matrix, _hint: decompose(matrix),
    trace=lambda phi, factors, parameters: sum_of_values(phi, factors.sigma, 0, parameters),
    slopes=lambda *arguments: 2 * generalised_function(*arguments),
    curvature=lambda *arguments: 2 * generalised_derivative(*arguments),
)
"""One matrix with at least as many rows as columns."""
