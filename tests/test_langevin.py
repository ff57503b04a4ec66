"""Ensembles against closed moments, against the grid solver, and the order of their averages in the step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics
from nnthermo.mechanics import Grid

pytest.importorskip("diffrax")


def test_full_noise_of_low_rank_in_five_dimensions_has_the_closed_moments():
    R, rng = 3000, np.random.default_rng(0)
    H = 0.3 * rng.normal(size=(5, 5)) + np.eye(5)
    half = rng.normal(size=(5, 2))
    D = 0.2 * half @ half.T  # two directions of noise, as mini-batches of three samples have
    times = np.array([0.0, 0.4, 1.0])

    @jax.jit
    def run(key):
        q0 = jnp.ones((R, 5))
        return mechanics.langevin_ensemble(key, lambda q: -H @ q, q0, D, times, steps=5, chunk=750)

    q = np.asarray(run(jax.random.key(0)))
    exact = mechanics.ornstein_uhlenbeck_moments(H, D, np.ones(5), 0.0, times)
    np.testing.assert_array_equal(q[0], 1)
    for k in (1, 2):
        S = np.asarray(exact.covariance[k])
        deviation = np.sqrt(np.diag(S))
        # 4.5 standard errors for 20 numbers, and 1 % of the step
        np.testing.assert_allclose((q[k].mean(0) - exact.mean[k]) / deviation, 0, atol=4.5 / np.sqrt(R) + 0.01)
        scale = np.sqrt((np.outer(deviation**2, deviation**2) + S**2) / R)
        np.testing.assert_allclose((np.cov(q[k].T) - S) / scale, 0, atol=5)


def variances(diffusion, ends):
    """Of q' = -q + noise from 0, after four steps to each of the ends, in 30000 replicas, over the exact ones."""
    q0 = jnp.zeros((30000, 1))

    @jax.jit
    def run(key, end):
        times = jnp.stack([jnp.zeros_like(end), end])
        return jnp.var(mechanics.langevin_ensemble(key, lambda q: -q, q0, diffusion, times, steps=4)[-1])

    return [float(run(jax.random.key(1), jnp.asarray(end))) / (1 - np.exp(-2 * end)) for end in ends]


def test_averages_are_of_second_order_for_constant_noise_and_of_first_for_noise_that_depends_on_the_place():
    error = np.sqrt(2 / 30000)
    long, short = (v - 1 for v in variances(1.0, (3.2, 1.6)))
    assert 3.2 < long / short < 9  # 2² and more: steps of 0.8 are long; a standard error is 20 % of the short one's
    assert abs(short) < 0.07
    decay = (1 - 0.4) ** 2
    euler = 2 * 0.4 * (1 - decay**4) / (1 - decay) / (1 - np.exp(-3.2))  # of first order: 1 + dt/2 at late times
    assert abs(euler - 1) > 0.2
    assert variances(jnp.ones_like, (1.6,))[0] == pytest.approx(euler, rel=4.5 * error)


def test_multiplicative_noise_is_ito():
    """dq = -a q dt + √(2s) q dW: E q = e^(-at), E q² = e^(2(s-a)t); Stratonovich's mean would be e^((s-a)t)."""
    a, s, R, steps = 1.0, 0.3, 20000, 20

    @jax.jit
    def run(key):
        def diffusion(q):
            return s * q**2

        q0, times = jnp.ones((R, 1)), np.array([0.0, 1.0])
        return mechanics.langevin_ensemble(key, lambda q: -a * q, q0, diffusion, times, steps=steps)

    q = np.asarray(run(jax.random.key(2)))[-1, :, 0]
    dt = 1 / steps
    mean, square = (1 - a * dt) ** steps, ((1 - a * dt) ** 2 + 2 * s * dt) ** steps  # Euler's own, exactly
    assert mean == pytest.approx(np.exp(-a), rel=0.03)
    assert q.mean() == pytest.approx(mean, abs=4 * q.std() / np.sqrt(R))
    assert np.mean(q**2) == pytest.approx(square, abs=4 * np.std(q**2) / np.sqrt(R))


def test_ensemble_and_grid_agree_in_a_double_well():
    R, D, gamma, times = 4000, 0.3, 0.5, np.array([0.0, 1.0])

    def well(q):
        return (q[0] ** 2 - 1) ** 2

    @jax.jit
    def run(key):
        grid = Grid([-2.2], [2.2], 80)
        A = mechanics.fokker_planck_generator(grid, grid.evaluate(well), gamma=gamma, diffusion=D)
        p0 = grid.normalise(grid.evaluate(lambda q: jnp.exp(-((q[0] - 0.4) ** 2) / (2 * 0.1))))
        p = mechanics.fokker_planck_evolve(p0, A, times, steps=8).density[1]
        first, second = jax.random.split(key)
        q0 = 0.4 + np.sqrt(0.1) * jax.random.normal(first, (R, 1))
        q = mechanics.langevin_ensemble(second, lambda q: -gamma * jax.grad(well)(q), q0, D, times, steps=40)
        return jnp.stack([grid.integrate(p * grid.axes[0] ** k) for k in (1, 2, 4)]), q[-1, :, 0]

    moments, q = run(jax.random.key(3))
    for k, exact in zip((1, 2, 4), np.asarray(moments), strict=True):
        power = np.asarray(q) ** k
        assert power.mean() == pytest.approx(exact, abs=4 * power.std() / np.sqrt(R) + 3e-3)  # h² of the grid


def test_float32_slopes_and_refusals():
    times = np.array([0.0, 0.5])

    unsound = np.array([[1.0, 2.0], [2.0, 1.0]], np.float32)  # an eigenvalue of -1
    single = jax.jit(lambda key, q0: mechanics.langevin_ensemble(key, lambda q: -q, q0, unsound, times, steps=1))
    q = single(jax.random.key(0), np.ones((1, 2), np.float32))
    assert q.dtype == jnp.float32
    assert np.isnan(q[-1]).all()

    @jax.jit
    def end(D):
        q0, key = jnp.ones((3, 1)), jax.random.key(0)
        q = mechanics.langevin_ensemble(key, lambda q: -q, q0, lambda q: D * jnp.ones_like(q), times, steps=2)
        return jnp.sum(q[-1])

    value, slope = jax.jit(jax.value_and_grad(end))(0.3)
    assert float(slope) == pytest.approx((float(value) - 3 * 0.75**2) / 0.6, rel=1e-12)  # noise goes as √D
    for change, message in (
        ({"q0": np.ones(3)}, "`q0` must have 2 dim"),
        ({"diffusion": np.ones(3)}, "`diffusion` must be a number"),
        ({"times": np.array([0.0, 0.0])}, "`times` must increase"),
        ({"steps": 0}, "`steps` must be positive"),
        ({"drift": lambda q: q[0]}, "`drift` must return shape"),
    ):
        arguments = {
            "drift": lambda q: -q,
            "q0": np.ones((3, 2)),
            "diffusion": 0.1,
            "times": times,
            "steps": 2,
        } | change
        with pytest.raises(ValueError, match=message):
            mechanics.langevin_ensemble(jax.random.key(0), **arguments)
