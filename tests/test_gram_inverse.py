"""(cI + βBᵀB)⁻¹ and (cI + βBBᵀ)⁻¹ next to the diagonal, with wide layers in every place, against dense inverses."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, condition, unreduced

from nnthermo.linalg.gram_inverse import near_diagonal

# none wide; first; a hidden one; last; first and last beside each other's neighbour; every other one; two layers alone
SHAPES = [(3, 4, 2), (6, 2, 3), (2, 7, 2), (2, 3, 6), (9, 2, 2, 9, 3), (2, 9, 3, 8, 2), (5, 2), (2, 5)]
found_by = jax.jit(near_diagonal)


def make(seed, sizes, scale=1.0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(scale * rng.normal(size=(b, a)) / a**0.5) for a, b in itertools.pairwise(sizes))


def edges(sizes):
    return np.concatenate([[0], np.cumsum(sizes)])


@pytest.mark.parametrize("sizes", SHAPES)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-4, 4),
    scale=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    sign=st.sampled_from([1.0, 0.0, -0.5]),
)
def test_equals_dense_inverses(sizes, seed, log_beta, scale, sign):
    """Rounding: a few N ε cond(M), relative to the largest entries of P and K; BP = KB mixes both with |B|."""
    blocks, beta = make(seed, sizes, scale), 10.0**log_beta
    B = unreduced(blocks)
    lowest = np.linalg.svd(B, compute_uv=False)[-1] ** 2
    c = sign * (1 if sign >= 0 else beta * lowest)
    M, dual = (c * np.eye(len(B)) + beta * product for product in (B.T @ B, B @ B.T))
    P, K = np.linalg.inv(M), np.linalg.inv(dual)
    rounding = 20 * len(B) * EPS * condition(M)
    links, definite = found_by(blocks, c, beta)
    assert definite
    e = edges(sizes)
    largest = np.abs(P).max() * max(1, np.abs(B).max())
    for k, link in enumerate(links):
        here, after = slice(e[k], e[k + 1]), slice(e[k + 1], e[k + 2])
        beside = (B @ P)[after, here]
        assert abs(link.trace - np.trace(P[here, here])) < rounding * largest * sizes[k]
        np.testing.assert_allclose(link.diagonal, np.diagonal(P)[here], rtol=0, atol=rounding * largest)
        np.testing.assert_allclose(link.beside, beside, rtol=0, atol=rounding * largest)
        norms = np.sum(beside**2, axis=1)
        np.testing.assert_allclose(link.beside_norms, norms, rtol=0, atol=rounding * largest**2 * sizes[k])
        np.testing.assert_allclose(
            link.dual, c * np.diagonal(K)[after], rtol=0, atol=rounding * abs(c) * np.abs(K).max() + 1e-300
        )


@pytest.mark.parametrize("sizes", SHAPES)
def test_what_is_not_positive_definite_is_told(sizes):
    """One, two, ... and all eigenvalues negative: in a wide layer most are c + β, which the others do not tell."""
    blocks = make(1, sizes)
    values = np.sort(np.linalg.svd(unreduced(blocks), compute_uv=False) ** 2)
    for low, high in itertools.pairwise([*values, 2 * values[-1]]):
        if high - low > 1e-9:
            assert not found_by(blocks, -(low + high) / 2, 1.0)[1]
    assert found_by(blocks, -0.99 * values[0], 1.0)[1]


def test_dual_keeps_its_digits_where_it_is_a_small_difference():
    """I - βBPBᵀ = cK is of size c/β: at β = 1e12 the difference has no digits left, the entries found have all."""
    blocks, beta = make(2, (6, 2, 3), 0.5), 1e12
    B = unreduced(blocks)
    K = np.linalg.inv(B @ B.T + np.eye(len(B)) / beta) / beta
    links, _ = found_by(blocks, 1.0, beta)
    e = edges((6, 2, 3))
    for k, link in enumerate(links):
        np.testing.assert_allclose(link.dual, np.diagonal(K)[e[k + 1] : e[k + 2]], rtol=1e-13)


def test_given_gram_is_used_and_the_same():
    blocks = make(3, (6, 2, 3))
    given_gram, _ = found_by(blocks, 1.0, 2.0, blocks[0] @ blocks[0].T)
    for x, y in zip(jax.tree.leaves(given_gram), jax.tree.leaves(found_by(blocks, 1.0, 2.0)[0]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-15)
    other, _ = found_by(blocks, 1.0, 2.0, 2 * blocks[0] @ blocks[0].T)
    assert abs(other[0].trace - given_gram[0].trace) > 1e-3


@pytest.mark.parametrize("sizes", [(6, 2, 3), (2, 7, 2)])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_derivatives_at_any_rank(sizes, scale):
    """Also at A = 0, where directions of a wide layer could not be told apart."""
    blocks = make(4, sizes, scale)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(2, n)) for n in sizes[1:]]

    def ours(blocks):
        links, _ = near_diagonal(blocks, jnp.asarray(1.0), jnp.asarray(2.0))
        return sum(
            w[0] @ k.dual + w[1] @ k.beside_norms + jnp.sum(k.diagonal**2) + k.trace
            for k, w in zip(links, weights, strict=True)
        )

    def theirs(blocks):
        n, e = sum(sizes), edges(sizes)
        B = jnp.eye(n)
        for k, a in enumerate(blocks):
            B = B.at[e[k + 1] : e[k + 2], e[k] : e[k + 1]].set(-a)
        P, K = (jnp.linalg.inv(jnp.eye(n) + 2.0 * product) for product in (B.T @ B, B @ B.T))
        total = 0.0
        for k, w in enumerate(weights):
            here, after = slice(e[k], e[k + 1]), slice(e[k + 1], e[k + 2])
            d = jnp.diagonal(P)[here]
            beside = jnp.sum((B @ P)[after, here] ** 2, axis=1)
            total += w[0] @ jnp.diagonal(K)[after] + w[1] @ beside + jnp.sum(d**2) + jnp.sum(d)
        return total

    for x, y in zip(jax.jit(jax.grad(ours))(blocks), jax.jit(jax.grad(theirs))(blocks), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)  # N ε cond², cond about 10
