"""The reduction of B to its coupled directions, its exact unit singular values, and gradients at any degeneracy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, split_blocks, unreduced

from nnthermo.linalg import bidiagonal
from nnthermo.linalg.reduction import log_singular_values, reduce_blocks, unit_count

SHAPES = [(9, 3, 2), (2, 9, 3), (3, 2, 9), (4, 4), (7, 2, 7)]
spectrum = jax.jit(log_singular_values)


def make(seed, sizes, scale=1.0, rank=None):
    rng = np.random.default_rng(seed)
    blocks = []
    for a, b in itertools.pairwise(sizes):
        w = scale * rng.normal(size=(b, a))
        if rank is not None:
            left, s, right = np.linalg.svd(w, full_matrices=False)
            w = left[:, :rank] * s[:rank] @ right[:rank]
        blocks.append(jnp.asarray(w))
    return tuple(blocks)


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ((784, 40, 20, 10), 744),
        ((784, 60, 10), 724),
        ((784, 40, 784), 2 * 744),  # 784-40, 40 and 784-40 directions remain
        ((10, 784), 774),
        ((4, 4), 0),
        ((2, 9, 3), 4),
        (
            (3, 1, 3, 9, 3, 1, 3),
            23 - (1 + 1 + 3 + 6 + 3 + 1 + 1),
        ),  # from the left, each at most what its neighbours see
    ],
)
def test_unit_count(sizes, count):
    assert unit_count(sizes) == count


@pytest.mark.parametrize("sizes", [(784, 40, 20, 10), (784, 60, 10), (90, 6, 90)])
def test_wide_networks_have_the_dense_spectrum(sizes):
    blocks = make(1, sizes, scale=0.1)
    sigma = np.log(np.linalg.svd(unreduced(blocks), compute_uv=False))
    found = np.asarray(log_singular_values(blocks))
    assert len(found) + unit_count(sizes) == sum(sizes)
    merged = np.sort(np.concatenate([found, np.zeros(unit_count(sizes))]))[::-1]
    cond = np.exp(sigma[0] - sigma[-1])
    np.testing.assert_allclose(merged, sigma, atol=10 * sum(sizes) * EPS * cond)  # an SVD is backward stable


@pytest.mark.parametrize("sizes", SHAPES)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.0, 1e-8, 0.3, 1.0, 4.0]), rank=st.sampled_from([None, 1]))
def test_spectrum_equals_dense(sizes, seed, scale, rank):
    blocks = make(seed, sizes, scale, rank)
    sigma = np.log(np.linalg.svd(unreduced(blocks), compute_uv=False))
    found = np.asarray(spectrum(blocks))
    merged = np.sort(np.concatenate([found, np.zeros(unit_count(sizes))]))[::-1]
    rounding = 10 * sum(sizes) * EPS * np.exp(sigma[0] - sigma[-1])
    assert np.all(np.diff(found) <= 0)
    np.testing.assert_allclose(merged, sigma, atol=rounding)
    assert abs(found.sum()) < sum(sizes) * rounding  # det B = 1


@pytest.mark.parametrize("sizes", SHAPES)
def test_reduced_blocks_have_orthonormal_bases(sizes):
    blocks = make(4, sizes)
    reduced, bases = reduce_blocks(blocks)
    for basis, size, full in zip(bases, bidiagonal.block_sizes(reduced), sizes, strict=True):
        if basis is None:
            assert size == full
        else:
            np.testing.assert_allclose(basis.T @ basis, np.eye(size), atol=20 * EPS)
    for k, (r, a) in enumerate(zip(reduced, blocks, strict=True)):
        above = np.eye(sizes[k + 1]) if bases[k + 1] is None else np.asarray(bases[k + 1])
        below = np.eye(sizes[k]) if bases[k] is None else np.asarray(bases[k])
        np.testing.assert_allclose(above @ r @ below.T, a, atol=1e-13)  # nothing of A is lost


FUNCTIONS = {
    "square": (lambda x: x**2, lambda x: 2 * x),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "log det": (lambda x: jnp.log1p(2.5 * jnp.exp(x)), lambda x: 2.5 * np.exp(x) / (1 + 2.5 * np.exp(x))),
    "sine": (jnp.sin, np.cos),
}


def symmetric(blocks):
    """Σ φ(log λ) for each φ, the unit eigenvalues left out: they do not move at first order."""
    return jnp.stack([jnp.sum(phi(2 * log_singular_values(blocks))) for phi, _ in FUNCTIONS.values()])


reverse = jax.jit(jax.jacrev(symmetric))
directional = jax.jit(lambda blocks, dots: jax.jvp(symmetric, (blocks,), (dots,))[1])
together = jax.jit(symmetric)


def dense_gradients(blocks):
    """∂ Tr φ(log G)/∂A = -2 B V diag(φ'(log λ)/λ) Vᵀ on the blocks; a function of G, whatever its degeneracy."""
    B = unreduced(blocks)
    left, sigma, right = np.linalg.svd(B)
    sizes = bidiagonal.block_sizes(blocks)
    # B V diag(g/λ) Vᵀ = U diag(g/σ) Vᵀ
    return [split_blocks(-2 * left * (d(2 * np.log(sigma)) / sigma) @ right, sizes) for _, d in FUNCTIONS.values()]


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize(
    "kind", ["generic", "zero", "repeated", "rank one", "nearly zero", "orthogonal", "one block zero"]
)
def test_gradients_at_any_degeneracy(sizes, kind):
    rng = np.random.default_rng(6)
    blocks = make(6, sizes, rank=1 if kind == "rank one" else None)
    if kind == "zero":
        blocks = jax.tree.map(jnp.zeros_like, blocks)
    if kind == "nearly zero":
        blocks = jax.tree.map(lambda a: 1e-9 * a, blocks)
    if kind == "repeated":
        blocks = jax.tree.map(lambda a: 0.7 * jnp.eye(*a.shape), blocks)
    if kind == "orthogonal":
        blocks = tuple(
            jnp.asarray(np.linalg.svd(a, full_matrices=False)[0] @ np.linalg.svd(a, full_matrices=False)[2])
            for a in blocks
        )
    if kind == "one block zero":
        blocks = (jnp.zeros_like(blocks[0]), *blocks[1:])
    got = reverse(blocks)
    expected = dense_gradients(blocks)
    sigma = np.linalg.svd(unreduced(blocks), compute_uv=False)
    rounding = 100 * sum(sizes) * EPS * (sigma[0] / sigma[-1]) ** 2  # vectors of clusters only enter as their span
    for row, wanted in enumerate(expected):
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a[row], b, atol=rounding * max(1, np.abs(b).max()))
    dots = tuple(jnp.asarray(rng.normal(size=a.shape)) for a in blocks)
    along = np.array([sum(np.vdot(d, w) for d, w in zip(dots, wanted, strict=True)) for wanted in expected])
    np.testing.assert_allclose(directional(blocks, dots), along, atol=rounding * 10 * max(1, np.abs(along).max()))
    step = 1e-5
    moved = [together(tuple(a + s * d for a, d in zip(blocks, dots, strict=True))) for s in (step, -step)]
    # central difference: third derivatives × h² ~ 1e-10 × cond³, and eps/h ~ 1e-10 of sums of order 10
    np.testing.assert_allclose((moved[0] - moved[1]) / (2 * step), along, atol=1e-8 * (sigma[0] / sigma[-1]) ** 3)


def test_wide_gradient_is_that_of_the_dense_spectrum():
    """784-40-20-10, f = μ₂: ∂μ₂/∂A = -4 [log G B⁻¹]ᵀ."""
    blocks = make(2, (784, 40, 20, 10), scale=0.05)
    got = jax.grad(lambda b: jnp.sum((2 * log_singular_values(b)) ** 2))(blocks)
    left, sigma, right = np.linalg.svd(unreduced(blocks))
    # [log G B⁻¹]ᵀ = B⁻ᵀ log G = U diag(2 log σ / σ) Vᵀ
    expected = split_blocks(-4 * left * (2 * np.log(sigma) / sigma) @ right, (784, 40, 20, 10))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)  # 854 eps cond² with cond ~ 10, sizes of order 1


def test_float32_keeps_rounding_times_condition():
    """Singular values of B, not eigenvalues of BᵀB: the error of log σ is N ε cond(B), not N ε cond(B)²."""
    blocks = make(5, (9, 3, 2), scale=4.0)
    sigma = np.log(np.linalg.svd(unreduced(blocks), compute_uv=False))
    cond = np.exp(sigma[0] - sigma[-1])
    assert cond > 300
    found = spectrum(tuple(a.astype(jnp.float32) for a in blocks))
    assert found.dtype == jnp.float32
    ends = np.array([found[0], found[-1]])
    np.testing.assert_allclose(ends, sigma[[0, -1]], atol=20 * 1.2e-7 * cond)
