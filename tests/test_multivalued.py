"""Multivalued free energies, the Planck constant of an exchange of neurons, and the noise that matches it."""

import math

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from nnthermo import mechanics

EPS = np.finfo(float).eps
temperature = st.floats(0.125, 8, width=32)


@jax.jit
def follow(values, smooth, mu):
    branches = mechanics.free_energy_branches(smooth, mu, [-2, 0, 7])
    return mechanics.unwrap_free_energy(values, mu), mechanics.exchanged_neurons(values, mu), branches


@jax.jit
def match(C, eta, lam, mu):
    B = mechanics.matched_batch_size(C, eta, lam, mu)
    back = mechanics.matched_learning_rate(C, B.value, lam, mu)
    return B, back.value, mechanics.matched_chemical_potential(C, eta, B.value, lam).value


def test_planck_constant_of_a_chemical_potential():
    hbar = mechanics.planck_constant_from_chemical_potential(-3.1)
    assert float(hbar) == pytest.approx(-3.1 / (2 * math.pi), rel=2 * EPS)
    assert float(mechanics.chemical_potential_from_planck_constant(hbar)) == pytest.approx(-3.1, rel=4 * EPS)
    hbars = hbar / jnp.array([1, 2, 5, 0.5, 0.3])
    defect = mechanics.single_valuedness_defect(-3.1, hbars)
    want = [0, 0, 0, 2, abs(np.exp(0.6j * math.pi) - 1)]
    np.testing.assert_allclose(defect, want, atol=60 * EPS)  # 2π times the rounding of five turns
    many = mechanics.single_valuedness_defect(2 * math.pi * 2.0**40, 1.0)
    assert float(many) < 1e-15  # a whole number of turns, however many


@given(
    mu=st.floats(0.5, 4, width=32),
    sign=st.sampled_from([-1, 1]),
    branches=st.lists(st.integers(-9, 9), min_size=32, max_size=32),
    winding=st.integers(-4, 4),
)
def test_a_free_energy_is_followed_through_its_branches(mu, sign, branches, winding):
    mu = sign * mu
    angle = 2 * np.pi * np.arange(32) / 32
    smooth = mu * (winding * angle / (2 * np.pi) + 0.2 * np.sin(angle))  # steps below μ(4 / 32 + 0.04)
    given_ = smooth + mu * np.array(branches)
    found, whole, all_branches = follow(given_, smooth, mu)
    np.testing.assert_allclose(found.free_energy - found.free_energy[0], smooth - smooth[0], atol=1e-13)
    np.testing.assert_array_equal(found.neurons, branches[0] - np.array(branches))
    assert float(found.largest_step) < 0.17
    assert int(whole) == winding
    np.testing.assert_allclose(all_branches, smooth + mu * np.array([[-2], [0], [7]]), rtol=4 * EPS)


def test_a_vortex_of_any_circulation_solves_madelung_and_of_whole_circulation_schrodinger():
    hbar, mass, frequency = 0.7, 1.3, 0.9

    @jax.jit
    def state(nu, q, t):
        return mechanics.oscillator_vortex(q, nu, t, hbar=hbar, mass=mass, frequency=frequency)

    @jax.jit
    def residuals(nu, q, t):
        def log_p(q):
            return state(nu, q, t).log_density

        def phase(q, t):
            return state(nu, q, t).free_energy

        pull, spread = jax.grad(log_p)(q), jnp.trace(jax.hessian(log_p)(q))
        u, divergence = jax.grad(phase)(q, t), jnp.trace(jax.hessian(phase)(q, t))
        quantum = -(hbar**2) / (2 * mass) * (spread / 2 + pull @ pull / 4)
        potential = 0.5 * mass * frequency**2 * q @ q

        def wave(q):
            return jnp.exp(log_p(q) / 2) * jnp.stack([jnp.cos(phase(q, t) / hbar), jnp.sin(phase(q, t) / hbar)])

        laplacian = jnp.trace(jax.hessian(wave)(q), axis1=1, axis2=2)
        schrodinger = -(hbar**2) / (2 * mass) * laplacian + (potential - state(nu, q, t).energy) * wave(q)
        return (
            (pull @ u + divergence) / mass,
            jax.grad(phase, 1)(q, t) + u @ u / (2 * mass) + quantum + potential,
            schrodinger,
        )

    velocity = jax.jit(jax.grad(lambda nu, q: state(nu, q, 0.4).free_energy, 1))
    for nu in (1.0, -2.0, 0.4, -1.7):
        for q in (jnp.array([0.6, -0.8]), jnp.array([-1.1, 0.3])):
            continuity, jacobi, schrodinger = residuals(nu, q, 0.4)
            np.testing.assert_allclose([continuity, jacobi], 0, atol=1e-13)  # of terms of order 1
            np.testing.assert_allclose(schrodinger, 0, atol=1e-13)  # locally, for every ν
        angles = np.linspace(-np.pi, np.pi, 16, endpoint=False) + 0.1
        loop = [1.5 * jnp.array([np.cos(a), np.sin(a)]) for a in angles]
        circulation = sum(velocity(nu, q) @ jnp.array([-q[1], q[0]]) for q in loop) * (2 * np.pi / 16)
        assert float(circulation) == pytest.approx(2 * np.pi * hbar * nu, rel=1e-14)  # each term is the same
        if nu % 1 == 0:  # in units of μ = 2πħ, whole neurons
            values = jnp.stack([state(nu, q, 0.4).free_energy for q in loop])
            mu = mechanics.chemical_potential_from_planck_constant(hbar)
            assert int(mechanics.exchanged_neurons(values, mu)) == int(nu)
        above, below = (state(nu, jnp.array([-1.0, s * 1e-12]), 0.4).free_energy for s in (1, -1))
        defect = mechanics.single_valuedness_defect(above - below, hbar)
        assert float(defect) == pytest.approx(abs(np.exp(2j * np.pi * nu) - 1), abs=1e-10)
    r = (jnp.arange(4000.0) + 0.5) / 4000 * 9.0  # midpoint rule: error h² of the singular r^{1.8}
    p = jax.vmap(lambda r: jnp.exp(state(0.4, jnp.stack([r, 0 * r]), 0.0).log_density))(r)
    assert float(jnp.sum(2 * np.pi * r * p) * 9.0 / 4000) == pytest.approx(1, abs=1e-5)


@given(C=temperature, eta=st.floats(0.001, 1), lam=temperature, mu=st.floats(0.01, 9), sign=st.sampled_from([-1, 1]))
def test_the_matched_batch_has_the_planck_constant_of_the_chemical_potential(C, eta, lam, mu, sign):
    B, rate, potential = match(C, eta, lam, sign * mu)
    D = eta**2 * C / (2 * B.value)
    np.testing.assert_allclose(4 * D / (eta * lam), (mu / (2 * np.pi)) ** 2, rtol=1e-12)
    np.testing.assert_allclose(B.hbar, mu / (2 * np.pi), rtol=4 * EPS)
    np.testing.assert_allclose(rate, eta, rtol=1e-12)
    np.testing.assert_allclose(potential, mu, rtol=1e-12)
    assert float(B.anisotropy) == 0


def test_the_noise_of_gradients_is_that_of_their_covariance():
    for shape in ((40, 3), (3, 40)):
        g = np.random.default_rng(0).normal(size=shape) * np.arange(1.0, shape[1] + 1)
        C = np.cov(g.T, bias=True)
        found = jax.jit(mechanics.gradient_noise)(g)
        mean = np.trace(C) / len(C)
        np.testing.assert_allclose(found.variance, mean, rtol=1e-13)
        away = np.linalg.norm(C / mean - np.eye(len(C))) / len(C) ** 0.5
        np.testing.assert_allclose(found.anisotropy, away, rtol=1e-12)
        np.testing.assert_allclose(found.directions, np.trace(C) ** 2 / np.sum(C**2), rtol=1e-12)
    slope = jax.jit(jax.value_and_grad(lambda C: mechanics.matched_batch_size(C, 0.1, 1.0, 0.3).anisotropy))
    matrix = mechanics.matched_batch_size(C, 0.1, 1.0, 0.3)
    np.testing.assert_allclose(matrix.anisotropy, away, rtol=1e-12)
    np.testing.assert_allclose(matrix.value, mechanics.matched_batch_size(mean, 0.1, 1.0, 0.3).value, rtol=1e-12)
    isotropic, pull = slope(2.0 * jnp.eye(4))
    assert float(isotropic) == 0
    assert np.isfinite(pull).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mechanics.matched_batch_size(jnp.ones(3), 0.1, 1.0, 1.0), ValueError, "a number or a square matrix"),
        (lambda: mechanics.matched_batch_size(1.0, 0.1, 1.0, 0.0), ValueError, "`mu` must not be 0"),
        (lambda: mechanics.matched_batch_size(1.0, -0.1, 1.0, 1.0), ValueError, "`learning_rate` must be positive"),
        (lambda: mechanics.free_energy_branches(1.0, 2.0, [0.5]), TypeError, "`exchanged` must be whole"),
        (lambda: mechanics.unwrap_free_energy(1.0, 2.0), ValueError, "`free_energy` must have a last axis"),
        (lambda: mechanics.oscillator_vortex(jnp.ones(3), 1.0), ValueError, "`q` must have shape"),
    ],
)
def test_refuses_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
