"""Markov chains against quadrature, ancestral samples and Gaussian integrals; coordinates; how failure is told."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import draw_inputs, graph, identity, network

import nnthermo as nt
from nnthermo.canonical import sampling
from nnthermo.canonical.coordinates import Coordinates

pytest.importorskip("blackjax")

SIGMAS = 4.0  # the keys are fixed: what passes once passes always; one in 16,000 is off by chance
KEY = jax.random.key(17)
INF = math.inf


def bistable():
    """One neuron that feeds itself, with modes at -0.95 and 0.97."""
    none = [False]
    return nt.Septuple(np.array([[2.0]]), np.array([0.1]), activation=jnp.tanh, input_mask=none, output_mask=none)


def quartic(x):
    """A local potential, for layers and graphs alike."""
    return sum(0.1 * jnp.sum(v**4) for v in jax.tree.leaves(x))


def assert_agrees(chains, mean, covariance, loss, *, loss_error=0.0):
    """Means and U within so many of their standard errors; covariances within those of normal numbers, and a half."""
    found = chains.mean()
    free = np.diagonal(covariance) > 0
    assert (np.abs(found.value - mean)[free] < SIGMAS * np.asarray(found.error)[free]).all()
    np.testing.assert_allclose(found.value[~free], mean[~free], atol=1e-12)
    energy = chains.average_loss()
    assert abs(float(energy.value) - loss) < SIGMAS * math.hypot(float(energy.error), loss_error)
    d, C = np.diagonal(covariance), np.asarray(covariance)
    # squares decorrelate at least twice as fast or as slowly as the slowest neuron
    count = min(float(chains.effective_samples.min()), chains.losses.size)
    bound = 1.5 * SIGMAS * np.sqrt((np.outer(d, d) + C**2) / count)
    assert (np.abs(chains.covariance() - C) <= bound + 1e-12).all()


CYCLES = [(0, 0.5, 0.0, 1.0), (1, 4.0, 0.3, 1.5), (2, 30.0, -0.5, 0.9)]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "beta", "m", "scale"), CYCLES)
def test_graphs_with_cycles_in_the_window_against_quadrature(seed, beta, m, scale):
    net = graph(seed, 4, cyclic=True, scale=scale, inputs=1)
    u = draw_inputs(seed, 1)
    ensemble = nt.CanonicalEnsemble(net, u, beta, clamp_inputs=True, m=m)
    chains = nt.sample(ensemble, jax.random.fold_in(KEY, seed))
    exact = nt.quadrature(ensemble, points=96)  # three neurons: a million points
    assert_agrees(chains, exact.mean, exact.covariance, float(exact.average_loss.value))
    assert bool(chains.converged)
    assert chains.states.shape == (4, 1000, 4)
    assert (np.asarray(chains.states)[:, :, 0] == float(u[0])).all()
    assert (np.asarray(chains.acceptance) > 0.6).all()
    losses = jax.vmap(ensemble.loss)(chains.states[0, :5])
    np.testing.assert_allclose(chains.losses[0, :5], losses, rtol=1e-12)

    # Stein: ⟨β∇H + x⟩ = 0 over the free neurons, to the spread of the means of 40 stretches of 100 draws
    force = jax.vmap(jax.vmap(jax.grad(ensemble.log_density)))(chains.states[:, :, 1:])
    stretches = np.asarray(force).reshape(40, 100, 3).mean(axis=1)
    assert (np.abs(stretches.mean(0)) < SIGMAS * stretches.std(0, ddof=1) / math.sqrt(40)).all()


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(("seed", "beta"), [(0, 1.0), (1, 40.0)])
def test_clamped_layers_in_a_box_with_a_potential_against_quadrature(seed, beta):
    net = network(seed, (2, 2, 1), scale=2.0)
    ensemble = nt.CanonicalEnsemble(
        net, draw_inputs(seed, 2), beta, targets=[0.6], clamp_inputs=True, m=0.2, measure=nt.Box(), potential=quartic
    )
    chains = nt.sample(ensemble, jax.random.fold_in(KEY, seed), method="hmc")
    exact = nt.quadrature(ensemble)
    assert_agrees(chains, exact.mean, exact.covariance, float(exact.average_loss.value))
    assert (np.abs(np.asarray(chains.states)[:, :, 2:4]) <= 1).all()
    assert (np.asarray(chains.states)[:, :, 4] == 0.6).all()


@pytest.mark.slow
def test_chains_agree_with_ancestral_samples():
    net, beta = network(3, (3, 4, 2), scale=1.5), 6.0
    ensemble = nt.CanonicalEnsemble(net, draw_inputs(3, 3), beta, m=0.2)
    chains = nt.sample(ensemble, KEY)
    exact = nt.ancestral(ensemble, KEY, 200_000, moments=True)
    assert_agrees(
        chains,
        exact.mean,
        exact.covariance,
        float(exact.average_loss.value),
        loss_error=float(exact.average_loss.error),
    )
    assert bool(chains.converged)


@pytest.mark.parametrize("beta", [0.7, 200.0])
def test_clamped_linear_networks_have_their_closed_form(beta):
    """Identity: U_cl = H* + n/2β over n hidden neurons, with the covariance (β B_hᵀB_h)⁻¹."""
    net = network(7, (3, 3, 2), activation=identity)
    u, target = np.asarray(draw_inputs(7, 3)), np.array([0.4, -0.7])
    (w1, w2), (b1, b2) = ([np.asarray(a) for a in part] for part in (net.weights, net.biases))
    hidden = w1 @ u + b1
    error, S = target - (w2 @ hidden + b2), np.eye(2) + w2 @ w2.T
    least = 0.5 * error @ np.linalg.solve(S, error)
    covariance, mean = np.zeros((8, 8)), np.concatenate([u, hidden + w2.T @ np.linalg.solve(S, error), target])
    covariance[3:6, 3:6] = np.linalg.inv(np.eye(3) + w2.T @ w2) / beta
    ensemble = nt.CanonicalEnsemble(net, u, beta, targets=target, clamp_inputs=True, measure=nt.Flat())
    chains = nt.sample(ensemble, KEY)
    assert_agrees(chains, mean, covariance, least + 3 / (2 * beta))
    assert float(chains.average_loss().error) < 0.05 * 3 / (2 * beta)


@pytest.mark.exhaustive
def test_chains_stay_in_their_modes_and_r_hat_sees_it_unless_all_are_in_one():
    """β = 400: barriers of βH = 9 and 20 on the two sides of the saddle."""
    ensemble = nt.CanonicalEnsemble(bistable(), jnp.zeros(0), 400.0)
    apart = nt.sample(ensemble, KEY, draws=300, warmup=200, start=[[-0.9], [-0.95], [0.9], [0.95]])
    assert float(apart.r_hat[0]) > 1.1
    assert not bool(apart.converged)
    together = nt.sample(ensemble, KEY, draws=300, warmup=200, start=jnp.full((4, 1), 0.95))
    exact = nt.quadrature(ensemble)
    assert float(together.r_hat[0]) < 1.05  # necessary, not sufficient
    assert abs(float(together.mean().value[0] - exact.mean[0])) > 0.3
    annealed = nt.annealed(ensemble, KEY)
    error = float(annealed.estimate.log_partition.error)
    assert abs(float(annealed.estimate.log_partition.value - exact.log_partition.value)) < SIGMAS * error < 0.4
    assert abs(float(annealed.estimate.mean[0] - exact.mean[0])) < 0.2


def test_new_numbers_do_not_compile_again_and_keys_decide():
    ensemble = nt.CanonicalEnsemble(bistable(), jnp.zeros(0), 400.0)
    start = jnp.full((4, 1), 0.95)
    one = nt.sample(ensemble, KEY, draws=300, warmup=200, start=start)
    before = sampling._run._cache_size()
    again = nt.sample(ensemble.replace(beta=400.0), KEY, draws=300, warmup=200, start=start)
    other = nt.sample(ensemble.replace(beta=300.0, m=0.1), jax.random.key(1), draws=300, warmup=200, start=-start)
    assert sampling._run._cache_size() == before
    np.testing.assert_array_equal(one.states, again.states)
    assert float(other.states.mean()) < 0 < float(one.states.mean())


def test_float32_stays():
    net = network(2, (1, 2, 1), dtype=np.float32)
    ensemble = nt.CanonicalEnsemble(net, jnp.asarray([0.3], jnp.float32), 4.0, clamp_inputs=True, measure=nt.Box())
    chains = nt.sample(ensemble, KEY, draws=400, warmup=200, method="hmc", integration_steps=6)
    floats = [leaf.dtype for leaf in jax.tree.leaves(chains) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert set(floats) == {jnp.dtype(jnp.float32)}
    exact = nt.quadrature(ensemble)
    assert (np.abs(chains.mean().value - exact.mean) <= SIGMAS * chains.mean().error + 1e-6).all()


# ---------------------------------------------------------------- coordinates

ENDS = Coordinates(jnp.array([-1.0, 0.0, -INF, -INF, 2.0]), jnp.array([1.0, INF, 3.0, INF, 2.5]))


@given(st.lists(st.floats(-30, 30), min_size=5, max_size=5))
def test_coordinates_invert_and_have_the_jacobian_of_autodiff(numbers):
    y = jnp.array(numbers)
    x = ENDS.state(y)
    assert (np.asarray(x) >= np.asarray(ENDS.low)).all()
    assert (np.asarray(x) <= np.asarray(ENDS.high)).all()
    near = jnp.clip(y, -8.0, 8.0)
    # 1 - x has the rounding of 1, which e^8 stretches, here as in the derivative
    slopes = np.diagonal(jax.jacfwd(ENDS.state)(near))
    np.testing.assert_allclose(ENDS.log_jacobian(near), np.log(slopes).sum(), atol=1e-11)
    np.testing.assert_allclose(ENDS.position(ENDS.state(near)), near, atol=1e-11)


@pytest.mark.parametrize("y", [-800.0, -40.0, 40.0, 800.0])
def test_densities_are_finite_and_differentiable_up_to_the_edges(y):
    value, slope = jax.value_and_grad(ENDS.log_jacobian)(jnp.full(5, y))
    assert np.isfinite(float(value))
    assert np.isfinite(np.asarray(slope)).all()
    assert np.isfinite(np.asarray(ENDS.position(jnp.array([1.0, 0.0, 3.0, 7.0, 2.0])))).all()


# ---------------------------------------------------------------- bad input


def test_bad_arguments(monkeypatch):
    ensemble = nt.CanonicalEnsemble(bistable(), jnp.zeros(0), 5.0, measure=nt.Box())
    for name, least in {
        "draws": "at least 4",
        "warmup": "at least 20",
        "chains": "at least 2",
        "integration_steps": "positive",
    }.items():
        with pytest.raises(ValueError, match=f"`{name}` must be {least}, but got 0"):
            nt.sample(ensemble, KEY, **{name: 0})
    with pytest.raises(TypeError, match="`draws` must be an integer"):
        nt.sample(ensemble, KEY, draws=10.5)
    with pytest.raises(ValueError, match="`method` must be 'nuts' or 'hmc', but got 'gibbs'"):
        nt.sample(ensemble, KEY, method="gibbs")
    with pytest.raises(ValueError, match=r"`start` must have shape \(1,\) or \(4, 1\), but got shape \(2,\)"):
        nt.sample(ensemble, KEY, start=jnp.zeros(2))
    with pytest.raises(ValueError, match="`start` must lie inside the box"):
        nt.sample(ensemble, KEY, start=[1.0])
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ImportError, match=r"pip install 'nnthermo\[sampling\]'"):
        nt.sample(ensemble, KEY)
