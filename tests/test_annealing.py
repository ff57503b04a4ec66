"""log Z by annealing: against quadrature, Gaussian integrals and the ancestral sum, without bias and with its error."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import draw_inputs, graph, identity, network

import nnthermo as nt
from nnthermo.canonical import annealing

pytest.importorskip("blackjax")

SIGMAS = 4.0  # the keys are fixed: what passes once passes always; one in 16,000 is off by chance
KEY = jax.random.key(41)


def bistable(w=2.0, b=0.1):
    """One neuron that feeds itself: two modes and a saddle between them."""
    none = [False]
    return nt.Septuple(np.array([[w]]), np.array([b]), activation=jnp.tanh, input_mask=none, output_mask=none)


def quartic(x):
    """A local potential, for layers and graphs alike."""
    return sum(0.1 * jnp.sum(v**4) for v in jax.tree.leaves(x))


def assert_agrees(found, exact):
    """Every estimate within so many of its own standard errors; means by the variance of weighted samples."""
    for name in ("log_partition", "average_loss", "entropy", "mean_square"):
        estimate, value = getattr(found, name), float(getattr(exact, name).value)
        assert abs(float(estimate.value) - value) < SIGMAS * float(estimate.error) + 1e-9, name
    free = np.diagonal(exact.covariance) > 0
    error = np.sqrt(np.diagonal(exact.covariance) / float(found.effective_samples))
    assert (np.abs(found.mean - exact.mean)[free] < SIGMAS * error[free]).all()
    np.testing.assert_array_equal(found.mean[~free].round(12), exact.mean[~free].round(12))
    # of a covariance of normal numbers: (C_ii C_jj + C_ij²)/n, which is more than that of numbers with lighter tails
    d = np.diagonal(exact.covariance)
    spread = np.sqrt((np.outer(d, d) + np.asarray(exact.covariance) ** 2) / float(found.effective_samples))
    assert (np.abs(found.covariance - exact.covariance) <= 1.5 * SIGMAS * spread + 1e-12).all()


CYCLES = [(0, 0.5, 0.0, 1.0), (1, 4.0, 0.3, 3.0), (2, 30.0, -0.5, 0.9), (3, 8.0, 0.2, 4.0)]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "beta", "m", "scale"), CYCLES)
def test_graphs_with_cycles_against_quadrature(seed, beta, m, scale):
    net = graph(seed, 4, cyclic=True, scale=scale, inputs=1)
    ensemble = nt.CanonicalEnsemble(net, draw_inputs(seed, 1), beta, clamp_inputs=True, m=m)
    found = nt.annealed(ensemble, jax.random.fold_in(KEY, seed))
    assert_agrees(found.estimate, nt.quadrature(ensemble, points=96))  # three neurons: a million points
    assert float(found.estimate.log_partition.error) < 0.1
    assert found.temperatures.shape == (33,)
    assert float(found.acceptance.mean()) > 0.6


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(("seed", "beta"), [(0, 1.0), (1, 40.0)])
def test_clamped_layers_in_a_box_with_a_potential_against_quadrature(seed, beta):
    net = network(seed, (2, 2, 1), scale=2.0)
    ensemble = nt.CanonicalEnsemble(
        net, draw_inputs(seed, 2), beta, targets=[0.6], clamp_inputs=True, m=0.2, measure=nt.Box(), potential=quartic
    )
    found = nt.annealed(ensemble, jax.random.fold_in(KEY, seed))
    assert_agrees(found.estimate, nt.quadrature(ensemble))
    states = np.asarray(found.samples.states)
    assert (np.abs(states[:, 2:4]) < 1).all()
    np.testing.assert_array_equal(states[:, 4], 0.6)


@pytest.mark.exhaustive
def test_half_infinite_boxes_against_quadrature():
    """ReLU neurons in a cycle, x > 0."""
    net = graph(5, 4, cyclic=True, scale=0.9, inputs=1, activation=jax.nn.relu)
    ensemble = nt.CanonicalEnsemble(net, draw_inputs(5, 1), 3.0, clamp_inputs=True, measure=nt.Box())
    low, high = ensemble.edges()
    np.testing.assert_array_equal(low, 0)
    assert np.isinf(high).all()
    assert_agrees(nt.annealed(ensemble, KEY).estimate, nt.quadrature(ensemble, tolerance=1e-5))


@pytest.mark.parametrize("beta", [0.7, 200.0])
def test_clamped_linear_networks_have_their_closed_form(beta):
    """Identity: log Z_cl = -βH* - ½ log det S + (n/2) log(2π/β), U_cl = H* + n/2β over n hidden neurons."""
    net = network(7, (3, 4, 3, 2), activation=identity)
    u, target = np.asarray(draw_inputs(7, 3)), np.array([0.4, -0.7])
    (w1, w2, w3), (b1, b2, b3) = ([np.asarray(a) for a in part] for part in (net.weights, net.biases))
    error = target - (w3 @ (w2 @ (w1 @ u + b1) + b2) + b3)
    S = np.eye(2) + w3 @ w3.T + w3 @ w2 @ w2.T @ w3.T
    least, n = 0.5 * error @ np.linalg.solve(S, error), 7
    ensemble = nt.CanonicalEnsemble(net, u, beta, targets=target, clamp_inputs=True, measure=nt.Flat())
    found = nt.annealed(ensemble, KEY).estimate
    log_z = -beta * least - 0.5 * np.linalg.slogdet(S)[1] + 0.5 * n * math.log(2 * math.pi / beta)
    for estimate, value in ((found.log_partition, log_z), (found.average_loss, least + n / (2 * beta))):
        assert abs(float(estimate.value) - value) < SIGMAS * float(estimate.error)
    assert float(found.log_partition.error) < 0.1


def test_several_modes_are_weighed():
    """β = 2000: peaks of width 0.02 at distance 1.9, one of them unstable; quadrature gives -1.943."""
    ensemble = nt.CanonicalEnsemble(bistable(), jnp.zeros(0), 2000.0)
    found = nt.annealed(ensemble, KEY, temperatures=64)
    exact = nt.quadrature(ensemble)
    assert abs(float(found.estimate.log_partition.value - exact.log_partition.value)) < SIGMAS * float(
        found.estimate.log_partition.error
    )
    assert float(found.estimate.log_partition.error) < 0.1
    x, w = np.asarray(found.samples.states[:, 0]), np.asarray(found.samples.weights)
    weights = [float(w[part].sum()) for part in (x < -0.5, np.abs(x) < 0.5, x > 0.5)]
    # of the three peaks by (5.9): exp(-3.093, -2.866, -3.206) over exp(-1.946); an error of each as of log Z
    np.testing.assert_allclose(weights, np.exp(np.array([-3.093, -2.866, -3.206]) + 1.946), atol=0.08)


@pytest.fixture(scope="module")
def many():
    """200 runs of 64 particles in four groups, resampled whenever a tenth of a group is lost."""
    ensemble = nt.CanonicalEnsemble(bistable(), jnp.zeros(0), 40.0)
    run = jax.jit(jax.vmap(lambda key: nt.annealed(ensemble, key, particles=64, temperatures=8, resample=0.9)))
    return run(jax.random.split(KEY, 200)), nt.quadrature(ensemble)


@pytest.mark.exhaustive
def test_z_is_unbiased_however_few_the_particles(many):
    found, exact = many
    assert np.asarray(found.resampled).any()
    log_mean = np.asarray(jax.nn.logsumexp(found.samples.log_weights, axis=1)) - math.log(64)
    ratio = np.exp(log_mean - float(exact.log_partition.value))
    assert ratio.std() > 0.05  # there is something to be unbiased about
    assert abs(ratio.mean() - 1) < SIGMAS * ratio.std() / math.sqrt(len(ratio))


@pytest.mark.exhaustive
def test_the_standard_error_is_that_of_repeated_runs(many):
    found, exact = many
    for name in ("log_partition", "average_loss", "entropy", "mean_square"):
        estimate = getattr(found.estimate, name)
        z = (np.asarray(estimate.value) - float(getattr(exact, name).value)) / np.asarray(estimate.error)
        # the standard deviation of 200 numbers is uncertain by 5 %, and each error itself by 1/sqrt(2 · 30 families)
        assert 0.7 < z.std() < 1.4, name
        assert abs(z.mean()) < 0.5, name


def test_without_work_to_do_z_is_exact():
    """Layers on all of R^N with a free boundary: every weight is the same, log Z = (N/2) log(2π/β)."""
    net = network(1, (2, 3, 2), scale=2.0)
    found = nt.annealed(nt.CanonicalEnsemble(net, draw_inputs(1, 2), 5.0, measure=nt.Flat()), KEY, particles=52)
    assert float(found.estimate.log_partition.value) == pytest.approx(3.5 * math.log(2 * math.pi / 5), abs=1e-10)
    assert float(found.effective_samples) == pytest.approx(52)
    assert abs(float(found.estimate.average_loss.value) - 0.7) < SIGMAS * float(found.estimate.average_loss.error)


def test_new_numbers_do_not_compile_again():
    net = graph(0, 4, cyclic=True, inputs=1)
    ensemble = nt.CanonicalEnsemble(net, draw_inputs(0, 1), 1.0, clamp_inputs=True)
    nt.annealed(ensemble, KEY)
    before = annealing._run._cache_size()
    nt.annealed(ensemble.replace(net=net.replace(weight=2 * net.weight), beta=2.0, m=0.1), jax.random.key(1))
    assert annealing._run._cache_size() == before


@pytest.mark.exhaustive
def test_temperatures_of_ones_own_and_no_resampling():
    ensemble = nt.CanonicalEnsemble(bistable(), jnp.zeros(0), 5.0)
    grid = np.linspace(0, 1, 33) ** 2
    found = nt.annealed(ensemble, KEY, temperatures=grid, resample=0.0, particles=400)
    np.testing.assert_allclose(found.temperatures, grid)
    assert not np.asarray(found.resampled).any()
    assert float(found.effective_samples) == pytest.approx(float(found.samples.effective_samples))
    exact = float(nt.quadrature(ensemble).log_partition.value)
    assert abs(float(found.estimate.log_partition.value) - exact) < SIGMAS * float(found.estimate.log_partition.error)


def test_float32_stays():
    net = network(2, (1, 2, 1), dtype=np.float32)
    ensemble = nt.CanonicalEnsemble(net, jnp.asarray([0.3], jnp.float32), 4.0, targets=[0.5], clamp_inputs=True)
    found = nt.annealed(ensemble, KEY, particles=200)
    floats = [leaf.dtype for leaf in jax.tree.leaves(found) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert set(floats) == {jnp.dtype(jnp.float32)}
    exact = nt.ancestral(ensemble, KEY, 20_000).log_partition
    error = math.hypot(float(exact.error), float(found.estimate.log_partition.error))
    assert abs(float(found.estimate.log_partition.value - exact.value)) < SIGMAS * error


def test_bad_arguments(monkeypatch):
    ensemble = nt.CanonicalEnsemble(bistable(), jnp.zeros(0), 5.0)
    for name, least in {"particles": "at least 32", "moves": "positive", "integration_steps": "positive"}.items():
        with pytest.raises(ValueError, match=f"`{name}` must be {least}, but got 0"):
            nt.annealed(ensemble, KEY, **{name: 0})
    with pytest.raises(TypeError, match="`particles` must be an integer"):
        nt.annealed(ensemble, KEY, particles=10.5)
    with pytest.raises(ValueError, match=r"`resample` must be in \[0, 1\], but got 2"):
        nt.annealed(ensemble, KEY, resample=2)
    for grid in ([0.0, 0.5], [0.1, 1.0], [0.0, 0.6, 0.5, 1.0], [0.0]):
        with pytest.raises(ValueError, match="`temperatures` must rise from 0 to 1"):
            nt.annealed(ensemble, KEY, temperatures=grid)
    with pytest.raises(ValueError, match="`temperatures` must be at least 2"):
        nt.annealed(ensemble, KEY, temperatures=1)
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ImportError, match=r"pip install 'nnthermo\[sampling\]'"):
        nt.annealed(ensemble, KEY)
