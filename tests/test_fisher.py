"""Fisher metrics of normal ensembles, by the Kullback-Leibler divergence, by samples, and in linear dynamics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import gravity

N, Y = 3, jnp.array([0.3, -0.4])
MIX = jnp.array([[1.0, 0.3, -0.2], [0.1, 1.4, 0.5], [0.0, -0.6, 0.9]])


def mean(y):
    return jnp.stack([y[0] * y[1], jnp.sin(y[0]), y[1] ** 2])


def covariance(y):
    root = MIX + jnp.outer(jnp.sin(y[0] + jnp.arange(3.0)), jnp.cos(y[1] * jnp.arange(3.0))) / 3
    return root @ root.T


def precision(y):
    return jnp.linalg.inv(covariance(y))


def log_density(x, y):
    S, d = covariance(y), x - mean(y)
    return -0.5 * (d @ jnp.linalg.solve(S, d) + jnp.linalg.slogdet(2 * jnp.pi * S)[1])


def divergence(mean, covariance, y, z):
    """KL(y|z) of normal distributions in closed form, whose Hessian in z at z = y is the Fisher information."""
    S, C, d = covariance(y), covariance(z), mean(z) - mean(y)
    log_dets = jnp.linalg.slogdet(C)[1] - jnp.linalg.slogdet(S)[1]
    return 0.5 * (jnp.trace(jnp.linalg.solve(C, S)) + d @ jnp.linalg.solve(C, d) - d.shape[0] + log_dets)


@pytest.fixture(scope="module")
def found():
    return jax.jit(gravity.gaussian_information(mean, covariance))(Y)


def test_fisher_is_the_hessian_of_the_divergence(found):
    hessian = jax.jit(jax.hessian(lambda z: divergence(mean, covariance, Y, z)))(Y)
    # rounding 1e-16 times a condition of Σ of 10, and the cancellation in the divergence
    np.testing.assert_allclose(found.metric, hessian, rtol=1e-13, atol=1e-14)
    assert (found.metric == found.metric.T).all()


def test_precision_and_covariance_are_two_ways_to_the_same(found):
    other = jax.jit(gravity.gaussian_information(mean, precision=precision))(Y)
    for ours, theirs in zip(found, other, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-14)


def test_entropy_and_its_slopes(found):
    def entropy(y):
        return 0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * covariance(y))[1]

    value, slopes = jax.jit(jax.value_and_grad(entropy))(Y)
    np.testing.assert_allclose(found.entropy, value, rtol=1e-14)
    np.testing.assert_allclose(found.entropy_slopes, slopes, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(jax.jit(gravity.state_entropy(precision=precision))(Y), value, rtol=1e-14)


def test_diagonals_and_numbers_are_matrices():
    def widths(y):
        return jnp.exp(y[0] * jnp.arange(1.0, 4.0) + y[1])

    def one(y):
        return jnp.exp(y[0] - 2 * y[1])

    for short, dense in ((widths, lambda y: jnp.diag(widths(y))), (one, lambda y: one(y) * jnp.eye(3))):
        for keyword in ("covariance", "precision"):
            both = [gravity.gaussian_information(mean, **{keyword: matrix}) for matrix in (short, dense)]
            for a, b in zip(*jax.jit(lambda y, both=both: [of(y) for of in both])(Y), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15)


def test_scores_agree_within_their_standard_errors(found):
    root = np.linalg.cholesky(np.asarray(covariance(Y)))
    x = np.asarray(mean(Y)) + np.random.default_rng(0).standard_normal((20_000, N)) @ root.T
    s = np.asarray(jax.jit(lambda x: gravity.scores(log_density, x, Y))(jnp.asarray(x)))
    F, errors = map(np.asarray, gravity.fisher_information_from_scores(s))
    # three numbers, four standard errors: by chance once in 5,000
    assert (np.abs(F - found.metric) < 4 * errors).all()
    assert (errors < 0.03 * np.sqrt(np.outer(np.diag(F), np.diag(F)))).all()  # the test has some power
    by_hand = np.std([s[:, 0] * s[:, 1]], ddof=1) / np.sqrt(len(s))
    np.testing.assert_allclose(errors[0, 1], by_hand, rtol=1e-12)


def test_fitted_samples_have_the_mean_of_the_exact_metric():
    """Few samples, many fits: without (R-N-2)/(R-1) the first entry would be too large by 11/7.

    The width e^{y¹} moves the mean of R samples, whose square in units of Σ is N/R.
    """
    R = 12
    root = jnp.linalg.cholesky(covariance(Y))

    def one(z):
        metric = gravity.fisher_information_from_samples(lambda y: mean(y)[None] + jnp.exp(y[1]) * (z @ root.T))
        return metric(Y)

    fits = jax.jit(jax.vmap(one))(jax.random.normal(jax.random.key(1), (4000, R, N)))
    exact = jax.jit(gravity.fisher_information(mean, lambda y: jnp.exp(2 * y[1]) * covariance(Y)))(Y)
    exact = exact.at[1, 1].add(N / R)
    errors = jnp.std(fits, axis=0) / np.sqrt(4000)
    assert (jnp.abs(jnp.mean(fits, axis=0) - exact) < 4 * errors).all()
    assert (errors < 0.05 * exact.max()).all()


def test_balance_is_the_derivative_of_the_entropy():
    A = jnp.array([[-1.0, 0.4, 0.0], [-0.4, -0.5, 0.2], [0.1, 0.0, -2.0]])
    D = covariance(Y) / 2
    S = covariance(-Y)
    rate = A @ S + S @ A.T + 2 * D
    slope = jax.grad(lambda t: 0.5 * jnp.linalg.slogdet(S + t * rate)[1])(0.0)
    balance = gravity.gaussian_entropy_balance(A, D, S)
    np.testing.assert_allclose(balance.production - balance.destruction, slope, rtol=1e-13)
    assert balance.production > 0
    assert balance.destruction == 3.5
    settled = scipy.linalg.solve_continuous_lyapunov(np.asarray(A), -2 * np.asarray(D))
    np.testing.assert_allclose(*gravity.gaussian_entropy_balance(A, D, settled), rtol=1e-12)


def test_stationary_covariance_solves_its_equation():
    J = jnp.array([[0.6, 0.5, 0.0], [-0.3, 0.7, 0.2], [0.0, 0.4, -0.5]])
    D = covariance(Y)
    exact = scipy.linalg.solve_discrete_lyapunov(np.asarray(J), 2 * np.asarray(D))
    S = gravity.stationary_state_covariance(J, D)
    np.testing.assert_allclose(S, exact, rtol=1e-13)

    def trace(J):
        return jnp.trace(gravity.stationary_state_covariance(J, D))

    gradient = jax.jit(jax.grad(trace))(J)
    step = 1e-5
    for i, j in ((0, 1), (2, 2)):
        up, down = (float(trace(J.at[i, j].add(h))) for h in (step, -step))
        np.testing.assert_allclose(gradient[i, j], (up - down) / (2 * step), rtol=1e-8)  # step² and 1e-16/step


@given(st.floats(0.0, 0.999999))
def test_one_noisy_neuron_has_the_variance_of_the_geometric_series(a):
    """2D/(1 - a²), with its first two derivatives."""
    ours = _one(a)
    v = 2 / (1 - a * a)
    exact = v, a * v**2, v**2 + 2 * a * a * v**3
    np.testing.assert_allclose(ours, exact, rtol=1e-9)  # 1 - a² cancels down to 2e-6


@jax.jit
def _one(a):
    def variance(a):
        return gravity.stationary_state_covariance(a[None, None], 1.0)[0, 0]

    def slope(a):
        return jax.jvp(variance, (a,), (jnp.ones_like(a),))

    (value, first), (_, second) = jax.jvp(slope, (a,), (jnp.ones_like(a),))
    return value, first, second


def test_unstable_states_have_no_covariance():
    J = jnp.diag(jnp.array([0.5, 1.1]))
    with pytest.raises(ValueError, match=r"`jacobian` must have a spectral radius below 1, but got 1\.1"):
        gravity.stationary_state_covariance(J, 1.0)
    assert jnp.isnan(jax.jit(gravity.stationary_state_covariance)(J, 1.0)).all()
    assert jnp.isnan(_one(1.0)[0])


def test_float32_stays():
    y = Y.astype(jnp.float32)

    def everything(y):
        def covariance(y):
            return jnp.exp(y[0]) * jnp.eye(2, dtype=y.dtype)

        information = gravity.gaussian_information(lambda y: jnp.stack([y[0] * y[1], y[1]]), covariance)
        S = gravity.stationary_state_covariance(covariance(y) / 3, 0.5)
        return information(y), S, gravity.gaussian_entropy_balance(-S, 0.5, 2.0)

    found = jax.tree.leaves(jax.eval_shape(everything, y))
    assert {a.dtype for a in found} == {jnp.dtype(jnp.float32)}


def test_bad_input_is_refused_by_name():
    cases = (
        (TypeError, "`covariance` or `precision` must be given, but got neither", gravity.state_entropy),
        (TypeError, "but got both", lambda: gravity.state_entropy(covariance, precision=precision)),
        (TypeError, "`mean` must be a function", lambda: gravity.fisher_information(1.0, covariance)),
        (TypeError, "`covariance` must be a function", lambda: gravity.fisher_information(mean, 1.0)),
        (ValueError, "`covariance` must have shape", lambda: gravity.fisher_information(mean, lambda y: y)(Y)),
        (
            ValueError,
            "`covariance` must be finite and positive definite",
            lambda: gravity.fisher_information(mean, lambda y: -covariance(y))(Y),
        ),
        (ValueError, "`covariance` must be a matrix or", lambda: gravity.state_entropy(lambda y: y[0])(Y)),
        (ValueError, "`point` must be finite", lambda: gravity.fisher_information(mean, covariance)(Y * jnp.nan)),
        (ValueError, "`scores` must hold two", lambda: gravity.fisher_information_from_scores(jnp.ones((1, 2)))),
        (ValueError, "`samples` must be more than", lambda: gravity.fisher_information_from_samples(lambda _: MIX)(Y)),
        (TypeError, "`samples` must be a function", lambda: gravity.fisher_information_from_samples(MIX)),
        (ValueError, "`drift` must be square", lambda: gravity.gaussian_entropy_balance(jnp.ones((2, 3)), 1.0, 1.0)),
        (ValueError, "`covariance` must be positive def", lambda: gravity.gaussian_entropy_balance(-MIX, 1.0, -1.0)),
        (ValueError, "`noise` must not be negative", lambda: gravity.stationary_state_covariance(MIX / 9, -0.1)),
        (ValueError, "`noise` must have shape", lambda: gravity.stationary_state_covariance(MIX / 9, jnp.ones(2))),
        (TypeError, "`jacobian` must be real", lambda: gravity.stationary_state_covariance(np.eye(2) * 1j, 1.0)),
    )
    for kind, words, call in cases:
        with pytest.raises(kind, match=words.replace("(", r"\(")):
            call()
    assert jnp.isnan(jax.jit(gravity.fisher_information(mean, lambda y: -covariance(y)))(Y)).all()
