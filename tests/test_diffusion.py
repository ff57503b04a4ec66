"""Diffusion from mini-batches, by enumeration and by exact moments of SGD; and from fast neurons, by closed form."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from nnthermo import mechanics
from nnthermo.mechanics import Grid


@pytest.mark.parametrize("replace", [True, False])
def test_mini_batch_matrix_is_half_the_covariance_of_all_possible_steps(replace):
    g, rate, B = np.random.default_rng(0).normal(size=(5, 3)), 0.1, 3
    batches = itertools.product(range(5), repeat=B) if replace else itertools.combinations(range(5), B)
    steps = -rate * np.array([g[list(batch)].mean(0) for batch in batches])
    found = mechanics.sgd_diffusion_matrix(g, rate, B, replace=replace)
    np.testing.assert_allclose(found, np.cov(steps.T, ddof=0) / 2, atol=1e-16)  # rounding of 1e-3
    full = mechanics.sgd_diffusion_matrix(g, rate, 5, replace=False)
    np.testing.assert_array_equal(full, 0)  # the whole batch has no noise


# A network of one weight, output q x, half the squared error: the gradient is linear in q, so the first two moments of
# SGD with batches drawn with replacement obey a closed recursion.
X, Y = np.random.default_rng(1).normal(size=(2, 12))
Y = 0.8 * X + 0.6 * Y
BATCH, RATE_TIME = 1, 1.2


def loss(q):
    return 0.5 * jnp.mean((q[0] * X - Y) ** 2)


def gradients(q):
    return (q * X - Y) * X


def exact_moments(rate, steps, mean, square):
    """E q and E q² after steps q ← q - rate (a q - c), a and c the batch means of x² and xy."""
    a, c = X**2, X * Y
    aa, ac, cc = (
        u.mean() * v.mean() + np.mean((u - u.mean()) * (v - v.mean())) / BATCH for u, v in ((a, a), (a, c), (c, c))
    )
    for _ in range(steps):
        square = (
            square - 2 * rate * (a.mean() * square - c.mean() * mean) + rate**2 * (aa * square - 2 * ac * mean + cc)
        )
        mean = mean - rate * (a.mean() * mean - c.mean())
    return mean, square


def test_the_recursion_is_that_of_sgd():
    rate, steps, R = 0.1, 12, 4000
    rng = np.random.default_rng(2)
    q = np.full(R, -0.5)
    for _ in range(steps):
        batch = rng.integers(0, 12, size=(R, BATCH))
        q = q - rate * np.mean((q[:, None] * X[batch] - Y[batch]) * X[batch], axis=1)
    mean, square = exact_moments(rate, steps, -0.5, 0.25)
    assert q.mean() == pytest.approx(mean, abs=4 * q.std() / np.sqrt(R))
    assert q.var() == pytest.approx(square - mean**2, rel=4 * np.sqrt(2 / R) * 1.3)  # nearly Gaussian


@jax.jit
def predicted(rate, modified):
    """⟨q⟩, ⟨q²⟩ at the start and at the end by Fokker-Planck, with the diffusion at each point, in the Itô sense."""
    grid = Grid([-1.2], [1.4], 800)
    F = grid.evaluate(lambda q: jnp.where(modified, mechanics.modified_loss(loss, rate)(q), loss(q)))
    D = grid.evaluate(lambda q: mechanics.sgd_diffusion_matrix(gradients(q[0])[:, None], rate, BATCH))
    A = mechanics.fokker_planck_generator(grid, F, gamma=rate, diffusion=D, ito=True)
    p0 = grid.normalise(grid.evaluate(lambda q: jnp.exp(-((q[0] + 0.3) ** 2) / (2 * 0.1**2))))
    evolved = mechanics.fokker_planck_evolve(p0, A, jnp.stack([jnp.zeros_like(rate), RATE_TIME / rate]), steps=80)
    q = grid.axes[0]
    return *(jnp.stack([grid.integrate(p * q), grid.integrate(p * q**2)]) for p in evolved.density), evolved.error[1]


def test_drift_and_diffusion_predict_sgd_to_first_order_and_the_modified_loss_to_second():
    errors, variances = {}, {}
    for modified, rate in itertools.product((False, True), (0.08, 0.04)):
        start, end, bound = predicted(jnp.asarray(rate), modified)
        assert float(bound) < 1e-10
        mean, square = exact_moments(rate, round(RATE_TIME / rate), *np.asarray(start))
        errors[modified, rate] = float(end[0] - mean)
        variances[modified, rate] = float(end[1] - end[0] ** 2) / (square - mean**2) - 1
    assert errors[False, 0.08] / errors[False, 0.04] == pytest.approx(2, abs=0.1)  # first order in the rate
    assert abs(errors[True, 0.04]) < abs(errors[False, 0.04]) / 20
    assert abs(errors[True, 0.04]) < 1.5e-4
    assert 2.8 < errors[True, 0.08] / errors[True, 0.04] < 4.5  # second, with 1e-5 of the grid's own
    assert abs(variances[True, 0.04]) < 0.01  # relative; the grid's own h² is in it


def test_modified_drift_is_minus_the_gradient_of_the_modified_loss():
    def rough(q):
        return jnp.sum(jnp.cos(q) * jnp.roll(q, 1) ** 2)

    @jax.jit
    def both(q):
        return mechanics.modified_drift(rough, 0.1)(q), -0.1 * jax.grad(mechanics.modified_loss(rough, 0.1))(q)

    found, exact = both(jnp.array([0.3, -1.1, 2.0]))
    np.testing.assert_allclose(found, exact, rtol=1e-13)


def test_modified_diffusion_gives_the_stationary_covariance_of_steps_to_second_order():
    H, D = np.array([[2.0, 0.4], [0.4, 0.7]]), np.array([[0.5, -0.2], [-0.2, 0.4]])
    errors = []
    for rate in (0.2, 0.1):
        step = np.eye(2) - rate * H
        exact = scipy.linalg.solve_discrete_lyapunov(step, 2 * D)
        drift = rate * H + rate**2 * H @ H / 2
        modified = mechanics.modified_diffusion_matrix(D, H, rate)
        found = scipy.linalg.solve_continuous_lyapunov(drift, 2 * np.asarray(modified))
        plain = scipy.linalg.solve_continuous_lyapunov(drift, 2 * D)
        errors.append([np.abs(v / exact - 1).max() for v in (found, plain)])
    (second, first), (finer, first_finer) = errors
    assert 3.5 < second / finer < 5  # relative O(η²)
    assert 1.7 < first / first_finer < 2.3  # what D alone leaves
    assert finer < 0.03


def test_green_kubo_of_an_exact_series():
    """AR(1) forces with decay e^(-dt): the trapezoid of its correlations is coth(dt/2) dt/2 times the variance."""
    T, R, dt = 1500, 60, 0.25
    rng = np.random.default_rng(3)
    noise, mix = rng.normal(size=(T, R, 2)), np.array([[1.0, 0.0], [0.6, 0.8]])
    f = np.empty_like(noise)
    f[0] = noise[0]
    for n in range(1, T):
        f[n] = np.exp(-dt) * f[n - 1] + np.sqrt(1 - np.exp(-2 * dt)) * noise[n]

    @jax.jit
    def run(f, window):
        return mechanics.green_kubo_diffusion(f, dt, gamma=2.0, lags=80, window=window)

    found = run(5.0 + f @ mix.T, 6.0)
    exact = 4 * mix @ mix.T * (dt / 2) / np.tanh(dt / 2)
    assert bool(found.converged)
    assert 5 < float(found.limit) * dt < 8  # six correlation times
    np.testing.assert_allclose((found.diffusion - exact) / found.standard_error, 0, atol=4)
    assert float(jnp.max(found.standard_error)) < 0.25  # γ² times √(2·window·2τ/(TR)) is 0.18
    cut = 1 - np.exp(-np.arange(0, 17) * dt)  # the share of each integral up to there
    np.testing.assert_allclose(found.running[:17, 0, 0], exact[0, 0] * cut, atol=4 * 0.19)
    np.testing.assert_array_equal(found.diffusion, found.diffusion.T)
    g = (f @ mix.T)[:, :, 1] - (f @ mix.T)[:, :, 1].mean()  # the trapezoid of the first two lags by hand
    by_hand = 4 * dt * 0.5 * (np.mean(g * g) + np.mean(g[:-1] * g[1:]))
    assert float(found.running[1, 1, 1]) == pytest.approx(by_hand, rel=1e-12)
    short = run(5.0 + f @ mix.T, 100.0)
    assert not bool(short.converged)
    assert int(short.limit) == 80


def test_fast_neurons_give_the_averaged_drift_and_the_closed_diffusion():
    """H = g(q) x²/2, g = e^q: F = log g/(2β), D = γ² g'²/(4 G β² g³)."""
    beta, G, gamma, q = 1.5, 0.7, 0.1, 0.3

    @jax.jit
    def run(key):
        return mechanics.adiabatic_drift_diffusion(
            key,
            lambda x, q: 0.5 * jnp.exp(q[0]) * jnp.sum(x**2),
            jnp.array([q]),
            jnp.zeros((200, 1)),
            beta=beta,
            dt=0.15,
            steps=1000,
            burn_in=60,
            mobility=G,
            gamma=gamma,
            lags=60,
        )

    found = run(jax.random.key(4))
    # 4 standard errors, and (G g dt)²/12-like errors of the step: 0.2 %
    drift, D = -gamma / (2 * beta), gamma**2 / (4 * G * beta**2 * np.exp(q))
    assert float(found.drift[0]) == pytest.approx(drift, abs=4 * float(found.drift_error[0]) + 0.004 * abs(drift))
    assert float(found.drift_error[0]) < 0.02 * abs(drift)
    error = float(found.noise.standard_error[0, 0])
    assert float(found.noise.diffusion[0, 0]) == pytest.approx(D, abs=4 * error + 0.01 * D)
    assert error < 0.06 * D
    assert bool(found.noise.converged)


def test_slow_variable_with_fast_neurons_follows_the_reduced_equation():
    """Both simulated together from q = 0.8, H = g(q)x²/2 + q²/2, against drift and diffusion of the elimination."""
    beta, G, gamma, dt, T, R = 2.0, 1.0, 0.02, 0.1, 800, 2000
    rng = np.random.default_rng(5)
    q, x = np.full(R, 0.8), rng.normal(size=R) / np.sqrt(beta * np.exp(0.8))
    for _ in range(T):
        g = np.exp(q)
        kick = np.sqrt(2 * G * dt / beta) * rng.normal(size=R)
        q_next = q - gamma * dt * (0.5 * g * x**2 + q)
        ahead = x - G * dt * g * x + kick
        x = x - 0.5 * G * dt * g * (x + ahead) + kick
        q = q_next

    # reduced: b = -γ(1/(2β) + q), D = γ²/(4Gβ² g): moments by the grid
    def run():
        grid = Grid([-0.3], [1.0], 1000)
        D = grid.evaluate(lambda q: gamma**2 / (4 * G * beta**2) * jnp.exp(-q[0]))
        F = grid.evaluate(lambda q: 0.5 / beta * q[0] + 0.5 * q[0] ** 2)
        A = mechanics.fokker_planck_generator(grid, F, gamma=gamma, diffusion=D)
        width = 0.02
        p0 = grid.normalise(grid.evaluate(lambda q: jnp.exp(-((q[0] - 0.8) ** 2) / (2 * width**2))))
        p = mechanics.fokker_planck_evolve(p0, A, jnp.array([0.0, T * dt]), steps=80).density[1]
        s = grid.axes[0]
        mean = grid.integrate(p * s)
        return mean, grid.integrate(p * (s - mean) ** 2) - width**2 * jnp.exp(-2 * gamma * T * dt)

    mean, variance = jax.jit(run)()
    assert q.mean() == pytest.approx(float(mean), abs=4 * q.std() / np.sqrt(R) + gamma / G * 0.1)  # next order γ/G
    assert q.var() == pytest.approx(float(variance), rel=4 * np.sqrt(2 / R) + 0.1)


def test_float32_and_refusals():
    g = np.ones((4, 2), np.float32)
    assert mechanics.sgd_diffusion_matrix(g, 0.1, 2).dtype == jnp.float32
    kubo = jax.eval_shape(lambda f: mechanics.green_kubo_diffusion(f, 0.1, gamma=1.0), np.ones((9, 2, 1), np.float32))
    assert kubo.diffusion.dtype == jnp.float32
    for call, message in (
        (lambda: mechanics.sgd_diffusion_matrix(g, 0.1, 5, replace=False), "`batch_size` must be at most 4"),
        (lambda: mechanics.sgd_diffusion_matrix(g, 0.1, 0), "`batch_size` must be positive"),
        (lambda: mechanics.sgd_diffusion_matrix(g[0], 0.1, 1), "`per_sample_gradients` must have 2 dim"),
        (lambda: mechanics.green_kubo_diffusion(np.ones((9, 2, 1)), 0.1, gamma=1.0, lags=9), "`lags` must lie between"),
        (lambda: mechanics.green_kubo_diffusion(np.ones((9, 2, 1)), 0.0, gamma=1.0), "`dt` must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
