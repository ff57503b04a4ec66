"""Log det and quadratic form of cI + βBᵀB for block bidiagonal B, against dense float64 linear algebra."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, condition, jit, split_blocks, unreduced

from nnthermo.linalg import bidiagonal, shifted_gram
from nnthermo.linalg.dense import cholesky
from nnthermo.linalg.shifted_gram import First, log_det_and_form

SHAPES = [(6, 2, 3), (2, 5, 2), (2, 3, 6)]  # wide and narrow layers in every place


def make(seed, sizes, scale=1.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    blocks = tuple(jnp.asarray((scale * rng.normal(size=(b, a))).astype(dtype)) for a, b in itertools.pairwise(sizes))
    return blocks, tuple(jnp.asarray(rng.normal(size=n).astype(dtype)) for n in sizes)


def both(blocks, c, beta, a):
    return log_det_and_form(blocks, c, beta, a, First(blocks[0] @ blocks[0].T, blocks[0] @ a[0]))


def weighted(blocks, c, beta, a, weights):
    found = both(blocks, c, beta, a)
    return jnp.vdot(jnp.stack(found), weights), found


compiled = jit(jax.grad(weighted, argnums=(0, 1, 2, 3), has_aux=True))  # one compilation a shape


def gradients(blocks, c, beta, a, weights):
    return compiled(blocks, c, beta, a, weights)[0]


def values(blocks, c, beta, a):
    return compiled(blocks, c, beta, a, jnp.ones(2, blocks[0].dtype))[1]


def dense(blocks, c, beta, a):
    """(log det, form, their gradients, the size of the terms these are differences of, cond M).

    With M = cI + βG, P = M⁻¹, y = Pa: d log det = Tr P dc + Tr GP dβ - 2β (BP)·dA. The form is q = cβ aᵀGy, and with
    a - cy = βGy: dq/da = 2cβGy, dq/dc = |βGy|², dq/dβ = c² yᵀGy, dq/dA = -2βc² (By)yᵀ.
    """
    B, v = unreduced(blocks), np.concatenate([np.asarray(x, np.float64) for x in a])
    sizes = tuple(len(x) for x in a)
    M = c * np.eye(len(v)) + beta * B.T @ B
    P = np.linalg.inv(M)
    y = P @ v
    Gy = B.T @ (B @ y)
    log_det = (split_blocks(-2 * beta * B @ P, sizes), np.trace(P), np.trace(B @ P @ B.T), np.zeros_like(v))
    form = (
        split_blocks(-2 * beta * c**2 * np.outer(B @ y, y), sizes),
        beta**2 * Gy @ Gy,
        c**2 * y @ Gy,
        2 * c * beta * Gy,
    )
    norm = v @ v
    sizes = (
        [beta * np.abs(P).max(), 0, 0, 0],
        [abs(c) * norm, norm, abs(c) * norm / beta, abs(c) * norm**0.5],
    )
    return np.linalg.slogdet(M)[1], c * beta * v @ Gy, (log_det, form), sizes, condition(M)


def smallest_eigenvalue(blocks):
    B = unreduced(blocks)
    return np.linalg.svd(B, compute_uv=False)[-1] ** 2


def check_against_dense(blocks, c, beta, a, *, eps=EPS, gradient=True):
    """The structured numbers against the dense ones.

    Rounding: a backward error of a few N eps of M moves log det by N eps cond, and a gradient by as much relative to
    its size; the dense twin has the same. Where the result is a difference, the size is that of its terms: βP in
    βBP = βP - βAP, and |c||a|² in the form for c < 0 or c ≪ β. 20 covers the constants seen, with room of about five.
    """
    log_det, form, slopes, sizes, cond = dense(blocks, c, beta, a)
    n = sum(len(x) for x in a)
    rounding = 20 * n * eps * cond
    norm = sum(float(jnp.vdot(x, x)) for x in a)
    got = values(blocks, c, beta, a)
    assert abs(float(got[0]) - log_det) < rounding + 20 * n * eps * abs(log_det)
    assert abs(float(got[1]) - form) <= rounding * max(abs(form), abs(c) * norm)
    if not gradient:
        return
    for weights, expected, natural in zip(np.eye(2, dtype=blocks[0].dtype), slopes, sizes, strict=True):
        d_blocks, d_c, d_beta, d_a = gradients(blocks, c, beta, a, jnp.asarray(weights))
        pairs = [
            (np.concatenate([np.ravel(x) for x in d_blocks]), np.concatenate([np.ravel(x) for x in expected[0]])),
            (d_c, expected[1]),
            (d_beta, expected[2]),
            (np.concatenate(d_a), expected[3]),
        ]
        for (actual, wanted), size in zip(pairs, natural, strict=True):
            assert np.all(np.isfinite(actual))
            assert np.max(np.abs(actual - wanted)) < rounding * max(np.max(np.abs(wanted)), size, eps)


@pytest.mark.parametrize("sizes", SHAPES)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-6, 6),
    scale=st.sampled_from([0.0, 0.1, 1.0, 2.0]),
    c=st.floats(1e-3, 3),
)
def test_filter_equals_dense(sizes, seed, log_beta, scale, c):
    blocks, a = make(seed, sizes, scale)
    check_against_dense(blocks, c, 10.0**log_beta, a)


@pytest.mark.parametrize("sizes", SHAPES)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-6, 6),
    scale=st.sampled_from([0.0, 0.1, 1.0]),
    depth=st.just(0.0) | st.floats(1e-6, 0.9),
)
def test_negative_shifts_equal_dense(sizes, seed, log_beta, scale, depth):
    blocks, a = make(seed, sizes, scale)
    beta = 10.0**log_beta
    check_against_dense(blocks, -depth * beta * smallest_eigenvalue(blocks), beta, a)


def test_shifts_of_either_sign_meet_at_zero():
    """c → 0 from either side: the log det is continuous, and so is its slope Tr M⁻¹."""
    blocks, a = make(3, (6, 2, 3))
    pick = jnp.array([1.0, 0.0])
    above, below = (gradients(blocks, c, 2.0, a, pick) for c in (1e-13, -1e-13))
    for u, v in zip(jax.tree.leaves(above), jax.tree.leaves(below), strict=True):
        np.testing.assert_allclose(u, v, rtol=1e-9, atol=1e-9)  # 1e-13 × second derivatives of up to cond² ~ 1e3
    assert abs(values(blocks, 1e-13, 2.0, a)[0] - values(blocks, 0.0, 2.0, a)[0]) < 1e-10


@pytest.mark.parametrize("c", [0.0, 1e-300, -1e-300])
def test_zero_shift_leaves_the_determinant_of_beta_gram(c):
    """Det B = 1, so log det βG = N log β, and the form vanishes with c."""
    blocks, a = make(5, (2, 5, 2))
    log_det, form = values(blocks, c, 3.0, a)
    cond = condition(unreduced(blocks).T @ unreduced(blocks))
    assert abs(log_det - 9 * np.log(3.0)) < 20 * 9 * EPS * cond
    assert abs(form) < 1e-290


@pytest.mark.parametrize("sizes", SHAPES)
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-2, 4), where=st.integers(0, 11), fraction=st.floats(0.1, 0.9))
def test_nan_exactly_when_not_positive_definite(sizes, seed, log_beta, where, fraction):
    """C between the k-th and the next eigenvalue of -βG: NaN for every k > 0, also even k, where det M > 0."""
    blocks, a = make(seed, sizes)
    beta = 10.0**log_beta
    spectrum = np.sort(np.linalg.svd(unreduced(blocks), compute_uv=False) ** 2)
    k = where % (len(spectrum) + 1)
    low = 0.0 if k == 0 else spectrum[k - 1]
    high = spectrum[k] if k < len(spectrum) else 2 * spectrum[-1]
    if (high - low) * fraction * (1 - fraction) < 1e-9 * spectrum[-1]:
        return  # the sign of an eigenvalue of M would be up to rounding
    c = -beta * (low + fraction * (high - low))
    got = values(blocks, c, beta, a)[0]
    if k == 0:
        M = c * np.eye(len(spectrum)) + beta * unreduced(blocks).T @ unreduced(blocks)
        assert abs(got - np.linalg.slogdet(M)[1]) < 20 * len(spectrum) * EPS * (condition(M) + abs(got))
    else:
        assert np.isnan(got)


def test_two_negative_eigenvalues_with_positive_determinant_are_refused():
    blocks, a = make(11, (2, 4))
    spectrum = np.sort(np.linalg.svd(unreduced(blocks), compute_uv=False) ** 2)
    c = -(spectrum[1] + spectrum[2]) / 2
    M = c * np.eye(6) + unreduced(blocks).T @ unreduced(blocks)
    assert np.linalg.det(M) > 0
    assert (np.linalg.eigvalsh(M) < 0).sum() == 2
    assert np.isnan(values(blocks, c, 1.0, a)[0])


SWEEP = jax.jit(
    jax.vmap(jax.value_and_grad(weighted, argnums=(0, 1, 2, 3), has_aux=True), in_axes=(None, 0, 0, None, None))
)


def test_a_sweep_over_shifts_of_both_signs_equals_the_loop():
    blocks, a = make(8, (2, 4))
    low = smallest_eigenvalue(blocks)
    beta = jnp.asarray([1e-6, 1e-2, 1.0, 1.0, 10.0, 1e6, 1e6])
    c = jnp.asarray([1.0, 2.0, 1.0, -0.5 * low, -9.9 * low, 1.0, -0.5e6 * low])
    pick = jnp.array([1.0, 0.7])
    (value, _), slopes = SWEEP(blocks, c, beta, a, pick)
    for k in range(len(beta)):
        alone = gradients(blocks, c[k], beta[k], a, pick)
        # batched LAPACK and BLAS sum in another order: rounding × condition of each entry
        log_det, form, _, _, cond = dense(blocks, float(c[k]), float(beta[k]), a)
        assert abs(value[k] - (log_det + 0.7 * form)) < 20 * 6 * EPS * cond * max(1, abs(log_det))
        for u, v in zip(jax.tree.leaves(slopes), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(u[k], v, rtol=200 * 6 * EPS * cond, atol=200 * 6 * EPS * cond)


def everything(sizes):
    return tuple(tuple(range(n)) for n in sizes)


@pytest.mark.parametrize("sizes", SHAPES)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-3, 3),
    scale=st.sampled_from([0.0, 0.1, 1.0]),
    share=st.floats(-0.9, 1),
)
def test_elimination_from_the_first_block_is_a_twin(sizes, seed, log_beta, scale, share):
    """What serves columns left out at c <= 0, with none left out: the same numbers, at rounding × condition of M."""
    blocks, a = make(seed, sizes, scale)
    beta = 10.0**log_beta
    c = share * beta * smallest_eigenvalue(blocks)
    M = c * np.eye(sum(sizes)) + beta * unreduced(blocks).T @ unreduced(blocks)
    found = SCHUR[sizes](blocks, c, beta, a)
    expected = values(blocks, c, beta, a)
    rounding = 40 * sum(sizes) * EPS * condition(M)
    assert abs(found[0] - expected[0]) < rounding * max(1, abs(expected[0]))
    norm = sum(float(jnp.vdot(x, x)) for x in a)
    assert abs(found[1] - expected[1]) <= rounding * max(abs(expected[1]), abs(c) * norm)


SCHUR = {sizes: jit(partial(shifted_gram._schur, kept=everything(sizes))) for sizes in SHAPES}


def test_signs_of_the_shift_share_a_batch_with_finite_gradients():
    """float32, cond(M) > 1/ε: elimination of M itself breaks down, and must leave no NaN where it is not taken."""
    sizes = (2, 3, 6)
    blocks, a = make(2, sizes, scale=100.0, dtype=np.float32)
    one, beta = jnp.float32(1), jnp.asarray([1.0, 1e4, 1e8], jnp.float32)
    assert np.isnan(SCHUR[sizes](blocks, one, beta[2], a)[0])

    def total(blocks, c, beta, a):
        first = First(blocks[0] @ blocks[0].T, blocks[0] @ a[0])
        return jnp.sum(jax.vmap(lambda c, b: log_det_and_form(blocks, c, b, a, first, everything(sizes))[0])(c, beta))

    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(blocks, jnp.ones_like(beta), beta, a)
    for leaf in jax.tree.leaves(slopes):
        assert np.all(np.isfinite(leaf))


@given(seed=st.integers(0, 10**6), log_beta=st.floats(-3, 3), scale=st.sampled_from([0.1, 1.0, 2.0]))
def test_float32_keeps_rounding_times_condition(seed, log_beta, scale):
    """The float32 filter: absolute error of log det below 20 N ε cond(M) with ε = 1.2e-7, and float32 out."""
    blocks, a = make(seed, (4, 3), scale, np.float32)
    beta = np.float32(10.0**log_beta)
    assert {x.dtype for x in values(blocks, np.float32(1), beta, a)} == {np.dtype(np.float32)}
    check_against_dense(blocks, np.float32(1), beta, a, eps=float(np.finfo(np.float32).eps), gradient=False)


@pytest.mark.parametrize("sizes", SHAPES)
def test_products_and_dense_form(sizes):
    blocks, v = make(2, sizes)
    B, x = unreduced(blocks), np.concatenate(v)
    np.testing.assert_array_equal(bidiagonal.to_dense(blocks), B)
    np.testing.assert_allclose(np.concatenate(bidiagonal.multiply(blocks, v)), B @ x, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(
        np.concatenate(bidiagonal.multiply_transposed(blocks, v)), B.T @ x, rtol=1e-13, atol=1e-13
    )
    assert bidiagonal.block_sizes(blocks) == sizes


def test_cholesky_solves_and_refuses():
    matrix = jnp.array([[4.0, 1.0], [1.0, 3.0]])
    factor = cholesky(matrix)
    assert abs(factor.log_det() - np.log(11.0)) < 4 * EPS * 10
    np.testing.assert_allclose(factor.solve(jnp.eye(2)), np.linalg.inv(matrix), rtol=1e-14)
    assert np.isnan(cholesky(-matrix).log_det())  # det = 11 > 0
