"""Stochastic Lanczos quadrature against dense eigenvalues; its bounds against what the moments allow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo.linalg.lanczos import count, quadrature, random_directions, tridiagonalise


def matrix(size, seed=0, decay=0.7):
    """A symmetric matrix with eigenvalues of both signs over many orders of magnitude, and those eigenvalues."""
    r = np.random.default_rng(seed)
    values = decay ** np.arange(size) * r.choice([-1.0, 1.0], size)
    basis = np.linalg.qr(r.normal(size=(size, size)))[0]
    return jnp.asarray((basis * values) @ basis.T), np.sort(values)


def measured(A, probes, steps, seed=0):
    starts = random_directions(jax.random.key(seed), probes, A.shape[0], A.dtype)
    return quadrature(*jax.vmap(lambda v: tridiagonalise(lambda u: A @ u, v, steps))(starts)), starts


def test_all_steps_give_all_eigenvalues_and_the_measure_of_the_start():
    A, values = matrix(12)
    found, starts = measured(A, 2, 12)
    vectors = np.linalg.eigh(np.asarray(A))[1]
    for nodes, weights, start in zip(*found, starts, strict=True):
        # full orthogonalisation: rounding of 12 steps on a matrix of norm 1
        assert nodes == pytest.approx(values, abs=1e-13)
        assert weights == pytest.approx((vectors.T @ np.asarray(start)) ** 2 / float(start @ start), abs=1e-10)


def test_few_steps_integrate_polynomials_exactly():
    A, _ = matrix(30, seed=1, decay=0.9)
    found, starts = measured(A, 3, 4)
    for nodes, weights, start in zip(*found, starts, strict=True):
        v, power = np.asarray(start / jnp.linalg.norm(start)), np.eye(30)
        for degree in range(8):  # 2k - 1 = 7 is the last that Gauss's quadrature has exactly
            assert np.sum(weights * nodes**degree) == pytest.approx(v @ power @ v, abs=1e-13)
            power = power @ np.asarray(A)
        assert abs(np.sum(weights * nodes**8) - v @ power @ v) > 1e-10


def test_an_exhausted_space_adds_no_weight():
    A = jnp.diag(jnp.array([3.0, 3.0, 3.0, -1.0, -1.0, 0.5]))
    found, _ = measured(A, 4, 6)
    assert np.isfinite(found.nodes).all()
    for lower, upper, exact in ((2.0, 4.0, 3), (-2.0, -0.5, 2), (0.4, 0.6, 1)):
        weight = np.where((found.nodes > lower) & (found.nodes < upper), found.weights, 0.0).sum(axis=1)
        assert (weight > 0).all(), exact
    inside = np.isin(np.round(found.nodes, 8), [3.0, -1.0, 0.5])
    assert np.where(inside, 0.0, found.weights).sum() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("steps", [4, 10, 25])
def test_bounds_hold_for_every_probe_and_counts_within_their_errors(steps):
    A, values = matrix(60, seed=2, decay=0.85)
    found, starts = measured(A, 40, steps)
    vectors = np.linalg.eigh(np.asarray(A))[1]
    lower, upper = np.array([-np.inf, -0.01, 0.05, -0.3]), np.array([-0.02, 0.01, 0.5, 0.2])
    exact = np.array([((values > a) & (values < b)).sum() for a, b in zip(lower, upper, strict=True)])
    for k, start in enumerate(starts):
        v = (vectors.T @ np.asarray(start)) ** 2 / float(start @ start)
        truth = np.array([v[(values > a) & (values < b)].sum() for a, b in zip(lower, upper, strict=True)])
        one = count(lower, upper, 1, type(found)(found.nodes[k : k + 1], found.weights[k : k + 1]))
        assert (one.low <= truth + 1e-12).all()
        assert (truth <= one.high + 1e-12).all()
    together = count(lower, upper, 60, found)
    # 40 probes: 4 standard errors, beyond the bounds, would come by chance once in 10^4
    assert (exact >= together.low - 4 * together.standard_error).all()
    assert (exact <= together.high + 4 * together.standard_error).all()
    if steps == 25:
        assert (together.high - together.low < 5)[2:].all()  # the other two end where eigenvalues are dense


def test_one_probe_has_no_standard_error():
    A, _ = matrix(8)
    assert np.isnan(count([-1.0], [0.1], 8, measured(A, 1, 4)[0]).standard_error).all()


@pytest.mark.parametrize("steps", [0, 9])
def test_steps_out_of_range_are_named(steps):
    with pytest.raises(ValueError, match="`steps` must lie between 1 and the 8 rows"):
        tridiagonalise(lambda v: v, jnp.ones(8), steps)
