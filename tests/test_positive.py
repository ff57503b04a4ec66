"""Inverse and log det of symmetric positive definite matrices, one by one and many at once, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS

from nnthermo.linalg import positive
from nnthermo.linalg.positive import inverse_and_log_det

SIZES = [1, 2, 10, 11, 23, 40]
TOGETHER = jax.jit(jax.vmap(inverse_and_log_det))


def matrices(seed, n, log_condition=2.0, count=3):
    """Symmetric with eigenvalues from 1 to 10^log_condition."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(count, n, n)))[0]
    values = 10 ** rng.uniform(0, log_condition, size=(count, n))
    found = (q * values[:, None, :]) @ np.swapaxes(q, 1, 2)
    return jnp.asarray((found + np.swapaxes(found, 1, 2)) / 2)


@pytest.mark.parametrize("n", SIZES)
@given(seed=st.integers(0, 10**6), log_condition=st.floats(0, 6))
def test_many_at_once_equal_numpy(n, seed, log_condition):
    """Elimination without pivoting is backward stable for positive definite matrices: N ε cond, relative to |A⁻¹|."""
    given_matrices = matrices(seed, n, log_condition)
    inverses, log_dets = TOGETHER(given_matrices)
    bound = 20 * n * EPS * 10**log_condition
    scale = np.abs(np.linalg.inv(given_matrices)).max()
    np.testing.assert_allclose(inverses, np.linalg.inv(given_matrices), rtol=0, atol=bound * scale)
    np.testing.assert_allclose(log_dets, np.linalg.slogdet(given_matrices)[1], rtol=0, atol=bound)


@pytest.mark.parametrize("n", [2, 23])
def test_one_equals_its_row_of_many_and_of_many_many(n):
    given_matrices = matrices(1, n)
    together = TOGETHER(given_matrices)
    nested = jax.vmap(jax.vmap(inverse_and_log_det))(given_matrices[None])
    for k, matrix in enumerate(given_matrices):
        alone = inverse_and_log_det(matrix)
        for x, y, z in zip(alone, together, nested, strict=True):
            np.testing.assert_allclose(x, y[k], rtol=0, atol=100 * n * EPS * 100)  # condition 100
            np.testing.assert_allclose(x, z[0, k], rtol=0, atol=100 * n * EPS * 100)


def test_large_ones_are_taken_one_by_one(monkeypatch):
    given_matrices = matrices(2, 23)
    expected = TOGETHER(given_matrices)
    monkeypatch.setattr(positive, "LARGEST", 20)
    monkeypatch.setattr(positive, "_eliminate", None)  # would raise if it were called
    found = jax.vmap(inverse_and_log_det)(given_matrices)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=100 * 23 * EPS * 100)


def scalar(pair, matrix):
    inverse, log_det = pair(matrix)
    return jnp.sum(inverse**2 * jnp.arange(inverse.size, dtype=matrix.dtype).reshape(inverse.shape)) + log_det**2


def numpys(matrix):
    return jnp.linalg.inv(matrix), jnp.linalg.slogdet(matrix)[1]


def test_first_and_second_derivatives_alone_and_in_a_batch():
    given_matrices = matrices(4, 12)
    direction = jnp.asarray(np.random.default_rng(1).normal(size=given_matrices.shape))  # not symmetric: no matter

    def ours(m):
        return jnp.sum(jax.vmap(lambda a: scalar(inverse_and_log_det, a))(m))

    def theirs(m):
        return jnp.sum(jax.vmap(lambda a: scalar(numpys, a))(m))

    first, second = jax.jvp(jax.grad(ours), (given_matrices,), (direction,))
    wanted, wanted_second = jax.jvp(jax.grad(theirs), (given_matrices,), (direction,))
    for x, y in ((first, wanted), (second, wanted_second)):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-11 * float(jnp.max(jnp.abs(y))))  # N ε cond² = 3e-11
    alone = jax.grad(lambda m: scalar(inverse_and_log_det, m))(given_matrices[0])
    np.testing.assert_allclose(alone, wanted[0], rtol=0, atol=1e-11 * float(jnp.max(jnp.abs(wanted))))


@pytest.mark.parametrize("n", [2, 12])
def test_what_is_not_positive_definite_is_nan(n):
    bad = -matrices(5, n)  # of even size: det > 0
    assert np.isnan(inverse_and_log_det(bad[0])[1])
    assert np.isnan(TOGETHER(bad)[1]).all()
    mixed = jnp.stack([bad[0], -bad[0]])
    assert list(np.isnan(TOGETHER(mixed)[1])) == [True, False]


def test_float32_stays_float32():
    inverse, log_det = TOGETHER(matrices(6, 23).astype(jnp.float32))
    assert (inverse.dtype, log_det.dtype) == (jnp.float32, jnp.float32)


def test_batches_call_no_lapack():
    """On the hot path there is no custom call, which a CPU would run one matrix after the other."""
    text = jax.jit(jax.vmap(inverse_and_log_det)).lower(matrices(0, 40)).as_text()
    assert "custom_call" not in text
    assert "custom_call" in jax.jit(inverse_and_log_det).lower(matrices(0, 40)[0]).as_text()
