"""Space-times of small networks: derivatives of fixed states, ensembles against the package's own, charts, signs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.interpolate
from hypothesis import given
from hypothesis import strategies as st

import nnthermo as nt
from nnthermo import gravity
from nnthermo.gravity.fisher import information_from_moments
from nnthermo.gravity.lorentzian import entropic_metric_of

N = 5
"""Two inputs, two hidden neurons with feedback, one output."""
MASKS = {"input_mask": np.arange(N) < 2, "output_mask": np.arange(N) == 4}
ORIGIN = jnp.array([0.3, -0.2])
STEPS = np.array([0, 10, 20, 40, 80, 160])
TIMES = np.log1p(STEPS) / np.log1p(160)
BETA = 20.0
PLANE = nt.boundary_plane(ORIGIN, jnp.eye(2))


def graph(weight, bias):
    return nt.Septuple(weight, bias, activation=jnp.tanh, **MASKS)


def drawn(key, scale=0.4):
    a, b = jax.random.split(jax.random.key(key))
    return graph(scale * jax.random.normal(a, (N, N)), 0.1 * jax.random.normal(b, (N,)))


def chart(z):
    """A nonlinear change of labels."""
    return jnp.stack([z[0] + 0.1 * jnp.sin(z[1]), z[1] * jnp.exp(0.2 * z[2]), z[2] + 0.3 * z[0] ** 2])


Z = jnp.array([0.55, 0.28, 0.16])
Y = chart(Z)


@pytest.fixture(scope="module")
def trained():
    """Checkpoints of gradient descent on four data, and the losses there."""
    data = jnp.array([[0.8, 0.8], [0.8, -0.8], [-0.8, 0.8], [-0.8, -0.8]])
    targets = jnp.array([-0.5, 0.6, 0.4, -0.3])

    def loss(net):
        return jnp.mean((jax.vmap(lambda u: net.propagate(u, steps=30)[4])(data) - targets) ** 2)

    @jax.jit
    def training(net):
        def step(net, _):
            value, slope = jax.value_and_grad(loss)(net)
            return jax.tree.map(lambda p, s: p - 0.1 * s, net, slope), (net, value)

        return jax.lax.scan(step, net, None, length=161)[1]

    nets, losses = training(drawn(0))
    return [jax.tree.map(lambda leaf, k=k: leaf[k], nets) for k in STEPS], losses[STEPS]


@pytest.fixture(scope="module")
def path(trained):
    return nt.weight_path(trained[0], TIMES)


@pytest.fixture(scope="module")
def ensemble(path):
    return nt.gaussian_state_ensemble(path, PLANE, BETA, orders=3)


@pytest.fixture(scope="module")
def sheet(ensemble):
    """At many labels: S, its slopes, the metrics with T = -S and with T = y⁰."""

    @jax.jit
    @jax.vmap
    def at(y):
        found = ensemble.information(y)
        metrics = [gravity.turn_sign(found.metric, slopes) for slopes in (-found.entropy_slopes, jnp.eye(3)[0])]
        return found.entropy, found.entropy_slopes, *metrics

    def some(points):
        """Always 25 at once: one program."""
        found = at(jnp.asarray(np.resize(points, (25, 3))))
        return [np.asarray(part)[: len(points)] for part in found]

    return some


@pytest.fixture(scope="module")
def here(ensemble):
    metric = ensemble.metric()
    return jax.tree.map(np.asarray, jax.jit(lambda y: gravity.geometry(metric, y))(Y))


def test_metric_of_a_trained_network_is_a_tensor(ensemble, here):
    """g' = JᵀgJ in another chart, and one scalar curvature; the ensemble itself is asked in the other labels."""
    information = information_from_moments(lambda z: ensemble.moments(chart(z)), "precision")
    there = jax.jit(lambda z: gravity.geometry(entropic_metric_of(information), z))(Z)
    J = np.asarray(jax.jacfwd(chart)(Z))
    np.testing.assert_allclose(there.metric, J.T @ here.metric @ J, atol=1e-14 * np.abs(there.metric).max())
    # sums of some hundred products of second derivatives of g, which are some times larger than their sum
    np.testing.assert_allclose(there.scalar, here.scalar, rtol=1e-10)
    assert abs(here.scalar) > 0.01


def test_derivatives_of_the_metric_agree_with_differences(here, sheet):
    """∂g/∂y⁰ through spline, fixed state and Ĝ: g_db Γ^d_a0 + g_ad Γ^d_b0, against a difference of eighth order."""
    h, weights = 0.001, np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
    offsets = h * np.array([-4, -3, -2, -1, 1, 2, 3, 4])
    metrics = sheet(np.asarray(Y) + offsets[:, None] * np.eye(3)[0])[2]
    half = np.einsum("db,da->ab", here.metric, here.christoffel[:, :, 0])
    slope = np.einsum("k,kab->ab", weights, metrics) / h
    np.testing.assert_allclose(half + half.T, slope, atol=1e-9 * np.abs(slope).max())


def test_ensemble_is_that_of_the_package(ensemble, path):

    @jax.jit
    def everything(y):
        net, u = path(y), PLANE(y)
        x = net.fixed_point(u).state
        windowed = nt.gaussian_state_ensemble(net, u, BETA, m=0.01, mean_term=True)
        ours = *ensemble.moments(y), ensemble.entropy(y), ensemble.covariance(y), windowed.mean(y)
        return x, nt.bulk_hessian(net, x), ours

    x, G, (mean, precision, entropy, covariance, windowed) = everything(Y)
    np.testing.assert_allclose(mean, x, atol=1e-14)
    np.testing.assert_allclose(precision, np.eye(N) + BETA * np.asarray(G.to_dense()), rtol=1e-12, atol=1e-13)
    # S = log Z + N/2 without the mean term: ½⟨δᵀMδ⟩ = N/2
    np.testing.assert_allclose(entropy, nt.log_partition(G, BETA) + N / 2, rtol=1e-12)
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=1e-11, atol=1e-14)
    M = (1 - 0.01 * BETA) * np.eye(N) + BETA * np.asarray(G.to_dense())
    np.testing.assert_allclose(windowed, x - (1 - 0.01 * BETA) * np.linalg.solve(M, x), rtol=1e-11)


@partial(jax.jit, static_argnums=(0, 3))
def derivatives(orders, w, y, count):
    """Of the state of one neuron that feeds itself, x = tanh(wx + y), up to some order."""
    weight = jnp.zeros((2, 2)).at[1, 0].set(1.0).at[1, 1].set(w)
    net = nt.Septuple(weight, jnp.zeros(2), activation=jnp.tanh, input_mask=[True, False], output_mask=[False, False])
    ensemble = nt.gaussian_state_ensemble(net, lambda y: y, 1.0, orders=orders)

    def further(f):
        def with_slope(t):
            values, slopes = jax.jvp(f, (t,), (jnp.ones_like(t),))
            return *values, slopes[-1]

        return with_slope

    f = lambda t: (ensemble.mean(t[None])[1],)  # noqa: E731
    for _ in range(count):
        f = further(f)
    return jnp.stack(f(y))


def test_derivatives_of_a_fixed_state_are_exact_to_the_order_asked():
    """x(y) inverts y = artanh x - wx, of which all derivatives are known."""
    w, y = 0.6, 0.35
    found = np.asarray(derivatives(4, w, y, 4))
    x = found[0]
    np.testing.assert_allclose(np.arctanh(x) - w * x, y, rtol=1e-14)
    s = 1 / (1 - x * x)
    a, b = s - w, 2 * x * s**2  # y', y''
    c = 2 * s**2 + 8 * x**2 * s**3
    d = 24 * x * s**3 + 48 * x**3 * s**4
    exact = [1 / a, -b / a**3, (3 * b**2 - a * c) / a**5, (10 * a * b * c - a**2 * d - 15 * b**3) / a**7]
    np.testing.assert_allclose(found[1:], exact, rtol=1e-11)
    low = np.asarray(derivatives(1, w, y, 2))
    np.testing.assert_allclose(low[1], exact[0], rtol=1e-12)
    assert abs(low[2] / exact[1] - 1) > 0.1  # the second order needs a second step


def test_signature_wherever_time_flows(sheet):
    """(-, +, +) at labels all over, for both time functions."""
    points = np.random.default_rng(0).uniform([0.02, -1.0, -1.0], [0.98, 1.0, 1.0], (25, 3))
    _, slopes, *both = sheet(points)
    assert (np.abs(slopes).max(axis=1) > 0).all()
    for metrics in both:
        assert ((np.linalg.eigvalsh(metrics) < 0).sum(axis=1) == 1).all()


def test_the_second_law_is_not_automatic_at_fixed_beta(trained, sheet):
    """What this network does, as it is: all is learned, and the entropy of its states is higher than before.

    With T = -S training is space-like for part of the way; with T = y⁰ it is time-like all along.
    """
    _, losses = trained
    assert losses[-1] < 1e-3 * losses[0]
    times = np.linspace(0.02, 0.98, 25)
    points = np.stack([times, *(np.full(25, v) for v in (0.5, -0.6))], axis=1)
    entropy, _, entropic, learning = sheet(points)
    assert entropy[-1] > entropy[0]
    spacelike = entropic[:, 0, 0] > 0
    assert 0 < spacelike.sum() < 25
    assert (learning[:, 0, 0] < 0).all()


@jax.jit
def slopes_in_log_beta(weight, bias, y):
    ensemble = nt.gaussian_state_ensemble(graph(weight, bias), PLANE, max_steps=200)
    return ensemble.information(y).entropy_slopes[0], ensemble.solve(y).converged


@given(st.integers(0, 10_000), st.floats(-3, 6), st.floats(0.05, 1.0))
def test_cooling_always_destroys_entropy(seed, log_beta, scale):
    net = drawn(seed, scale)
    slope, converged = slopes_in_log_beta(net.weight, net.bias, Y.at[0].set(log_beta))
    assert slope < 0 or not converged
    assert jnp.isfinite(slope) == converged


def test_layers_and_traced_functions():
    net = nt.FeedForward.init(jax.random.key(5), (4, 3, 1), activation=jnp.tanh)
    plane = nt.boundary_plane(jnp.ones(4) / 2, jnp.eye(4)[:2])
    x = net.propagate(plane(Y))
    free = nt.hidden_neurons(net)
    G = nt.restrict(nt.bulk_hessian(net, x), free)
    hidden = nt.gaussian_state_ensemble(net, plane, BETA, neurons="hidden")
    mean, precision = jax.jit(hidden.moments)(Y)
    np.testing.assert_array_equal(mean, x[1])
    np.testing.assert_allclose(precision, np.eye(3) + BETA * np.asarray(G.to_dense()), rtol=1e-13, atol=1e-14)

    def call(parameters, u):
        W, V, b, c = parameters
        return jnp.tanh(V @ jnp.tanh(W @ u + b) + c)

    traced = nt.network_from(call, jnp.ones(4), (*net.weights, *net.biases))
    graph, *whole = [nt.gaussian_state_ensemble(n, plane, BETA, orders=2) for n in (net.to_septuple(), net, traced)]
    of_graph, first, *others = jax.jit(lambda y: (graph.moments(y), *(e.fisher(y) for e in whole)))(Y)
    np.testing.assert_allclose(of_graph[0], np.concatenate(x), atol=1e-15)
    np.testing.assert_allclose(
        of_graph[1], np.eye(8) + BETA * np.asarray(nt.bulk_hessian(net, x).to_dense()), rtol=1e-13, atol=1e-14
    )
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-11, atol=1e-13)
    # F_00 = 0: nothing depends on y⁰ here
    np.testing.assert_array_equal(first[0], 0)
    inputs = np.arange(8) < 4
    some = [nt.gaussian_state_ensemble(net, plane, BETA, neurons=which) for which in (~inputs, "driven")]
    for mean in jax.jit(lambda y: [e.mean(y) for e in some])(Y):
        np.testing.assert_array_equal(mean, np.concatenate(x[1:]))


def test_noise_in_a_linear_network_is_exact():
    """Sampled states against Σ = JΣJᵀ + 2D, by the scatter of a covariance: 4 √(Σ_iiΣ_jj + Σ_ij²)/√R."""
    net = nt.Septuple(0.5 * drawn(8).weight, jnp.zeros(N), activation=lambda v: v, **MASKS)
    D, R = 0.03, 4000
    exact = nt.noisy_state_ensemble(net, PLANE, D)
    sampler = nt.noisy_states(net, PLANE, D, jax.random.key(0), replicas=R, steps=40)
    fitted = gravity.fisher_information_from_samples(sampler)
    everything = jax.jit(lambda y: (*exact.moments(y), sampler(y), fitted(y), exact.fisher(y)))
    mean, S, x, found, F = map(np.asarray, everything(Y))
    J = np.asarray(net.weight)[2:, 2:]
    np.testing.assert_allclose(S, J @ np.asarray(S) @ J.T + 2 * D * np.eye(3), rtol=1e-12, atol=1e-15)
    errors = np.sqrt((np.outer(np.diag(S), np.diag(S)) + np.square(S)) / R)
    assert (np.abs(np.cov(x.T) - S) < 4 * errors).all()
    assert (np.abs(x.mean(axis=0) - mean) < 4 * np.sqrt(np.diag(S) / R)).all()
    np.testing.assert_allclose(found[1:, 1:], F[1:, 1:], rtol=4 * 3 / np.sqrt(R))  # a fitted Σ⁻¹ of three neurons


def test_path_of_weights_is_the_natural_spline(trained, path):
    nets, _ = trained
    knots = TIMES
    values = np.stack([np.asarray(net.weight) for net in nets])
    spline = scipy.interpolate.CubicSpline(knots, values, bc_type="natural")
    of = jax.jit(lambda t: path(t).weight)
    for t in (0.0, 0.1, 0.25, 0.62, 1.0):
        np.testing.assert_allclose(of(t), spline(t), rtol=1e-12, atol=1e-13)
    second = jax.jit(jax.jacfwd(jax.jacfwd(of)))(0.7)
    np.testing.assert_allclose(second, spline(0.7, 2), rtol=1e-10, atol=1e-10)
    assert jnp.isnan(of(1.01)).all()
    linear = nt.weight_path(nets, knots, kind="linear")
    np.testing.assert_allclose(
        linear(jnp.asarray(0.3 * TIMES[1] + 0.7 * TIMES[2])).weight, 0.3 * values[1] + 0.7 * values[2], rtol=1e-13
    )


def test_states_that_are_not_found_are_nan():
    """A neuron that strongly inhibits itself alternates for ever."""
    net = drawn(1)
    slope, converged = slopes_in_log_beta(net.weight.at[2, 2].set(-8.0), net.bias, Y)
    assert not converged
    assert jnp.isnan(slope)


def test_gradients_in_the_weights():
    """Backward through the forward derivatives of F: how the metric would be trained."""
    net = drawn(4)

    def light(weight):
        ensemble = nt.gaussian_state_ensemble(graph(weight, net.bias), PLANE)
        return jnp.log(ensemble.fisher(Y)[1, 2] ** 2)

    gradient = jax.jit(jax.grad(light))(net.weight)
    value, step = jax.jit(light), 1e-5
    for i, j in ((2, 0), (3, 2)):
        up, down = (float(value(net.weight.at[i, j].add(h))) for h in (step, -step))
        np.testing.assert_allclose(gradient[i, j], (up - down) / (2 * step), rtol=1e-6)


def test_float32_stays():
    net = jax.tree.map(lambda a: a.astype(jnp.float32), drawn(2))
    y = Y.astype(jnp.float32)
    plane = nt.boundary_plane(ORIGIN.astype(jnp.float32), jnp.eye(2, dtype=jnp.float32))
    path = nt.weight_path([net, net], np.array([0.0, 1.0], np.float32))
    ensembles = nt.gaussian_state_ensemble(path, plane, m=0.1), nt.noisy_state_ensemble(net, plane, 0.1)
    found = jax.eval_shape(lambda y: [(e.metric()(y), e.information(y)) for e in ensembles], y)
    assert {a.dtype for a in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}


def test_bad_input_is_refused_by_name(trained):
    nets, _ = trained
    net = nets[0]
    layers = nt.FeedForward.init(jax.random.key(5), (2, 1), activation=jnp.tanh)
    make, key = nt.gaussian_state_ensemble, jax.random.key(0)
    cases = (
        (TypeError, "`network` must be a network or a function", lambda: make(3, PLANE)),
        (TypeError, "`network` must return a network", lambda: make(lambda y: y, PLANE).mean(Y)),
        (ValueError, "`beta` must be positive", lambda: make(net, PLANE, -1.0)),
        (ValueError, "`m` must have shape", lambda: make(net, PLANE, m=jnp.ones(2))),
        (ValueError, "`neurons` must be 'all'", lambda: make(net, PLANE, neurons="some")),
        (ValueError, "`neurons` must be 5 booleans", lambda: make(net, PLANE, neurons=[True])),
        (ValueError, "`neurons` must leave at least one", lambda: make(net, PLANE, neurons=np.zeros(5, bool))),
        (ValueError, "`solving` must be among", lambda: make(net, PLANE, steps=3)),
        (TypeError, "`orders` must be an integer", lambda: make(net, PLANE, orders=2.0)),
        (ValueError, "`boundary` must have shape", lambda: make(net, jnp.ones(3)).mean(Y)),
        (ValueError, "`point` must have 3 labels", lambda: PLANE(Y[:2])),
        (ValueError, "`directions` must have shape", lambda: nt.boundary_plane(ORIGIN, jnp.eye(3))),
        (ValueError, "`networks` must be two", lambda: nt.weight_path(nets[:1], jnp.zeros(1))),
        (ValueError, "`networks` must be of one", lambda: nt.weight_path([net, layers], jnp.arange(2.0))),
        (ValueError, "`times` must increase", lambda: nt.weight_path(nets, jnp.zeros(6))),
        (ValueError, "`kind` must be", lambda: nt.weight_path(nets, jnp.arange(6.0), kind="quintic")),
        (ValueError, "`key` must be", lambda: nt.noisy_states(net, PLANE, 1.0, None, replicas=1, steps=1)),
        (ValueError, "`replicas` must be", lambda: nt.noisy_states(net, PLANE, 1.0, key, replicas=0, steps=1)),
        (TypeError, "`times` must be known", lambda: jax.jit(lambda t: nt.weight_path(nets, t)(t))(jnp.arange(6.0))),
    )
    for kind, words, call in cases:
        with pytest.raises(kind, match=words):
            call()
