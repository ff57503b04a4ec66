"""Block tridiagonal matrices: log det, solve, selected inverse and samples against dense NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, condition

from nnthermo.linalg import tridiagonal
from nnthermo.linalg.tridiagonal import eliminate

SHAPES = [(3,), (2, 4, 1), (2, 3, 3, 3, 3, 3, 1)]  # the last holds a run to scan


def edges(sizes):
    return np.concatenate([[0], np.cumsum(sizes)])


def blocks_of(matrix, sizes):
    """Diagonal blocks and those below, by slicing."""
    e = edges(sizes)
    diagonal = [matrix[e[k] : e[k + 1], e[k] : e[k + 1]] for k in range(len(sizes))]
    return diagonal, [matrix[e[k + 1] : e[k + 2], e[k] : e[k + 1]] for k in range(len(sizes) - 1)]


def make(seed, sizes, log_shift=0.0, dtype=np.float64):
    """Dense M = LLᵀ + shift I with L lower block bidiagonal, hence block tridiagonal; and its blocks."""
    rng = np.random.default_rng(seed)
    e = edges(sizes)
    L = np.zeros((e[-1], e[-1]))
    for k, n in enumerate(sizes):
        L[e[k] : e[k] + n, e[k] : e[k] + n] = rng.normal(size=(n, n))
        if k:
            L[e[k] : e[k] + n, e[k - 1] : e[k]] = rng.normal(size=(n, sizes[k - 1]))
    M = L @ L.T + 10.0**log_shift * np.eye(e[-1])
    M = (M + M.T) / 2
    diagonal, lower = blocks_of(M, sizes)
    return M, tuple(jnp.asarray(d.astype(dtype)) for d in diagonal), tuple(jnp.asarray(d.astype(dtype)) for d in lower)


def everything(diagonal, lower, vector, several):
    found = eliminate(diagonal, lower)
    return found.log_det, found.solve(vector), found.solve(several), found.selected_inverse()


together = jax.jit(everything)


def split(v, sizes):
    return tuple(jnp.asarray(part) for part in np.split(v, np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize("sizes", SHAPES)
@given(seed=st.integers(0, 10**6), log_shift=st.floats(-4, 2))
def test_equals_dense(sizes, seed, log_shift):
    """Elimination of a positive definite matrix is backward stable: N ε cond, relative to the largest entry."""
    M, diagonal, lower = make(seed, sizes, log_shift)
    rng = np.random.default_rng(seed)
    v, several = rng.normal(size=len(M)), rng.normal(size=(len(M), 2))
    log_det, x, xs, selected = together(diagonal, lower, split(v, sizes), split(several, sizes))
    P, bound = np.linalg.inv(M), 20 * len(M) * EPS * condition(M)
    assert abs(log_det - np.linalg.slogdet(M)[1]) < bound * max(1, abs(log_det))
    np.testing.assert_allclose(np.concatenate(x), P @ v, rtol=0, atol=bound * np.abs(P).max() * np.abs(v).sum())
    np.testing.assert_allclose(np.concatenate(xs), P @ several, rtol=0, atol=bound * np.abs(P).max() * len(M))
    wanted_diagonal, wanted_lower = blocks_of(P, sizes)
    for got, wanted in zip((*selected.diagonal, *selected.lower), (*wanted_diagonal, *wanted_lower), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=bound * np.abs(P).max())


def draw(diagonal, lower, key, mean):
    return eliminate(diagonal, lower).sample(key, mean)


def test_samples_have_the_mean_and_covariance():
    """The covariance of n draws is Wishart, each entry with standard error sqrt((P_ii P_jj + P_ij²) / n)."""
    sizes = (2, 3, 3, 3, 3, 3, 1)
    M, diagonal, lower = make(3, sizes)
    n = 100_000
    mean = np.arange(len(M), dtype=float)
    around = split(np.repeat(mean[:, None], n, axis=1), sizes)
    sample = jax.jit(draw)
    x = np.concatenate(sample(diagonal, lower, jax.random.key(5), around))
    P = np.linalg.inv(M)
    d = np.diagonal(P)
    error = np.sqrt((np.outer(d, d) + P**2) / n)
    assert np.abs((x.mean(axis=1) - mean) / np.sqrt(d / n)).max() < 5
    assert np.abs((np.cov(x) - P) / error).max() < 5
    one = sample(diagonal, lower, jax.random.key(5), split(mean, sizes))
    assert [a.shape for a in one] == [(k,) for k in sizes]
    again = sample(diagonal, lower, jax.random.key(6), split(mean, sizes))
    assert np.abs(np.concatenate(one) - np.concatenate(again)).min() > 0


@pytest.mark.parametrize("sizes", SHAPES)
def test_samples_are_exact_not_only_statistically(sizes, monkeypatch):
    """With unit vectors for the noise the draws are the columns of R: RRᵀ = M⁻¹ to rounding."""
    M, diagonal, lower = make(4, sizes)
    n = len(M)
    order = []  # the noise is drawn as one vector, layer after layer and run after run

    def unit(_key, shape, _dtype):
        order.append(shape)
        return jnp.concatenate([row.ravel() for row in split(np.eye(n), sizes)])

    monkeypatch.setattr(tridiagonal.jax.random, "normal", unit)
    R = np.concatenate(eliminate(diagonal, lower).sample(jax.random.key(0), split(np.zeros((n, n)), sizes)))
    assert order == [(n * n,)]
    P = np.linalg.inv(M)
    np.testing.assert_allclose(R @ R.T, P, rtol=0, atol=20 * n * EPS * condition(M) * np.abs(P).max())


def scalar(diagonal, lower):
    """A number that every result enters."""
    found = eliminate(diagonal, lower)
    ones = tuple(jnp.ones(len(d), d.dtype) for d in diagonal)
    selected = found.selected_inverse()
    parts = [*selected.diagonal, *selected.lower, *found.solve(ones)]
    return found.log_det + sum(jnp.sum(jnp.sin(p)) for p in parts)


def to_dense(diagonal, lower):
    """M of its blocks."""
    rows = [[jnp.zeros((len(a), len(b)), a.dtype) for b in diagonal] for a in diagonal]
    for k, d in enumerate(diagonal):
        rows[k][k] = d
    for k, e in enumerate(lower):
        rows[k + 1][k], rows[k][k + 1] = e, e.T
    return jnp.block(rows)


def dense_scalar(diagonal, lower):
    M = to_dense(diagonal, lower)
    P = jnp.linalg.inv(M)
    own, below = blocks_of(P, [len(d) for d in diagonal])
    return jnp.linalg.slogdet(M)[1] + sum(jnp.sum(jnp.sin(p)) for p in [*own, *below, P @ jnp.ones(len(P), P.dtype)])


@pytest.mark.parametrize("sizes", SHAPES[1:])
def test_first_and_second_derivatives(sizes):
    _, diagonal, lower = make(5, sizes)
    rng = np.random.default_rng(1)
    squares = [rng.normal(size=d.shape) for d in diagonal]
    dots = tuple(jnp.asarray(a + a.T) for a in squares)
    direction = (dots, tuple(jnp.asarray(rng.normal(size=e.shape)) for e in lower))

    def both(function):
        gradient = jax.grad(lambda p: function(*p))
        return jax.jit(lambda p: jax.jvp(gradient, (p,), (direction,)))((diagonal, lower))

    for found, wanted in zip(both(scalar), both(dense_scalar), strict=True):
        for x, y in zip(found[0], wanted[0], strict=True):  # M is symmetric: only that part of a slope means anything
            np.testing.assert_allclose(x + x.T, y + y.T, rtol=0, atol=1e-11 * max(1, float(jnp.abs(y).max())))
        for x, y in zip(found[1], wanted[1], strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-11 * max(1, float(jnp.abs(y).max())))


def test_many_at_once():
    sizes = (2, 3, 3, 3, 3, 3, 1)
    made = [make(k, sizes) for k in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[(d, e) for _, d, e in made])
    v = split(np.ones(18), sizes)
    found = jax.jit(jax.vmap(everything, in_axes=(0, 0, None, None)))(*stacked, v, v)
    for k, (M, d, e) in enumerate(made):
        alone = together(d, e, v, v)
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(x[k], y, rtol=0, atol=20 * 18 * EPS * condition(M) * max(1, np.abs(y).max()))


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("batched", [False, True])
def test_nan_where_not_positive_definite(sizes, batched):
    """One or two negative eigenvalues, the second with det M > 0, in the first layer or after it; and a singular M."""
    M, _, _ = make(6, sizes)
    values = np.linalg.eigvalsh(M)
    log_det = jax.jit(lambda d, e: eliminate(d, e).log_det)
    for k in (1, 2):
        shifted = M - (values[k - 1] + values[k]) / 2 * np.eye(len(M))
        assert (np.linalg.eigvalsh(shifted) < 0).sum() == k
        d, e = (tuple(jnp.asarray(b) for b in part) for part in blocks_of(shifted, sizes))
        assert np.isnan(jax.vmap(log_det)(*jax.tree.map(lambda a: a[None], (d, e)))[0] if batched else log_det(d, e))
    d, e = (tuple(jnp.asarray(b) for b in part) for part in blocks_of(np.diag([*np.ones(len(M) - 1), 0.0]), sizes))
    assert np.isnan(jax.vmap(log_det)(*jax.tree.map(lambda a: a[None], (d, e)))[0] if batched else log_det(d, e))


def test_depth_does_not_lengthen_the_computation_but_for_slices():
    """One scan forward and one back, whatever the depth: as many products and loops for 100 layers as for 10."""
    counts = []
    for depth in (10, 100):
        _, d, e = make(0, (3,) * depth)
        v = tuple(jnp.ones(3) for _ in d)
        text = jax.jit(everything).lower(d, e, v, v).as_text()
        counts.append((text.count("dot_general"), text.count("while")))
    assert counts[0] == counts[1]
    assert counts[0][1] == 6  # elimination, two solutions of two passes each, selected inverse


def test_float32_stays_float32():
    M, d, e = make(7, (2, 3, 3, 3, 3, 3, 1), dtype=np.float32)
    v = tuple(jnp.ones(len(b), jnp.float32) for b in d)
    found = together(d, e, v, v)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    assert eliminate(d, e).sample(jax.random.key(0), v)[0].dtype == jnp.float32
    assert abs(float(found[0]) - np.linalg.slogdet(M)[1]) < 20 * len(M) * 1.2e-7 * condition(M)


def test_bad_shapes_are_refused():
    _, d, e = make(8, (2, 4, 1))
    with pytest.raises(ValueError, match="`diagonal` must hold at least one block, but got 0"):
        eliminate((), ())
    with pytest.raises(ValueError, match="`lower` must hold one block fewer than `diagonal`, but got 1"):
        eliminate(d, e[:1])
    with pytest.raises(ValueError, match="`diagonal` must hold square blocks, but got"):
        eliminate((d[0], e[0], d[2]), e)
    with pytest.raises(ValueError, match=r"`lower` must have shapes \[\(4, 2\), \(1, 4\)\], but got"):
        eliminate(d, (e[0].T, e[1]))
