"""Space-times of small networks: derivatives of fixed states, ensembles against the package's own, charts, and signs."""

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

N = 5
"""Two inputs, two hidden neurons with feedback, one output."""
MASKS = {"input_mask": np.arange(N) < 2, "output_mask": np.arange(N) == 4}
ORIGIN = jnp.array([0.3, -0.2])
Y = jnp.array([0.4, 0.3, 0.2])
BETA = 20.0
PLANE = nt.boundary_plane(ORIGIN, jnp.eye(2))


def graph(weight, bias):
    return nt.Septuple(weight, bias, activation=jnp.tanh, **MASKS)


def drawn(key, scale=0.4):
    a, b = jax.random.split(jax.random.key(key))
    return graph(scale * jax.random.normal(a, (N, N)), 0.1 * jax.random.normal(b, (N,)))


@pytest.fixture(scope="module")
def trained():
    """Checkpoints of gradient descent on four data, XOR-like: what the network is at steps 0, 40, 80, 120, 160."""
    data = jnp.array([[0.8, 0.8], [0.8, -0.8], [-0.8, 0.8], [-0.8, -0.8]])
    targets = jnp.array([-0.5, 0.6, 0.4, -0.3])

    def loss(net):
        return jnp.mean((jax.vmap(lambda u: net.propagate(u, steps=30)[4])(data) - targets) ** 2)

    @jax.jit
    def training(net):
        def step(net, _):
            value, slope = jax.value_and_grad(loss)(net)
            return jax.tree.map(lambda p, s: p - 0.3 * s, net, slope), (net, value)

        return jax.lax.scan(step, net, None, length=161)[1]

    nets, losses = training(drawn(3))
    return [jax.tree.map(lambda leaf, k=k: leaf[k], nets) for k in range(0, 161, 40)], losses[::40]


@pytest.fixture(scope="module")
def path(trained):
    return nt.weight_path(trained[0], jnp.linspace(0.0, 1.0, 5))


@pytest.fixture(scope="module")
def ensemble(path):
    return nt.gaussian_state_ensemble(path, PLANE, BETA)


def chart(z):
    """A nonlinear change of labels near Y."""
    return jnp.stack([z[0] + 0.1 * jnp.sin(z[1]), z[1] * jnp.exp(0.2 * z[2]), z[2] + 0.3 * z[0] ** 2])


def test_metric_of_a_trained_network_is_a_tensor(ensemble):
    """g' = JᵀgJ in another chart, and one scalar curvature."""
    z = jnp.array([0.35, 0.28, 0.16])
    metric = ensemble.metric()

    def moved(z):
        return metric_of_chart(ensemble, z)

    here = jax.jit(lambda y: gravity.geometry(metric, y))(chart(z))
    there = jax.jit(lambda z: gravity.geometry(moved, z))(z)
    J = np.asarray(jax.jacfwd(chart)(z))
    size = np.abs(there.metric).max()
    np.testing.assert_allclose(there.metric, J.T @ np.asarray(here.metric) @ J, atol=1e-13 * size)
    # curvature: sums of some hundred products of second derivatives of g
    np.testing.assert_allclose(there.scalar, here.scalar, rtol=1e-9)
    assert abs(here.scalar) > 1e-3
    np.testing.assert_allclose(here.riemann[0, 1, 0, 1], here.riemann[1, 0, 1, 0], rtol=1e-12)


def metric_of_chart(ensemble, z):
    """The ensemble itself in the labels z: x̄(y(z)), Σ⁻¹(y(z)); nothing of the tensor law is in it."""
    information = gravity.gaussian_information(
        lambda z: ensemble.mean(chart(z)), precision=lambda z: ensemble.moments(chart(z))[1]
    )(z)
    return gravity.turn_sign(information.metric, -information.entropy_slopes)


def test_ensemble_is_that_of_the_package(ensemble, path):
    net = path(Y)
    u = PLANE(Y)
    x = net.fixed_point(u).state
    G = nt.bulk_hessian(net, x)
    mean, precision = jax.jit(ensemble.moments)(Y)
    np.testing.assert_allclose(mean, x, atol=1e-14)
    np.testing.assert_allclose(precision, np.eye(N) + BETA * np.asarray(G.to_dense()), rtol=1e-12, atol=1e-13)
    # S = log Z + N/2 without the mean term: ½⟨δᵀMδ⟩ = N/2
    entropy = jax.jit(ensemble.entropy)(Y)
    np.testing.assert_allclose(entropy, nt.log_partition(G, BETA) + N / 2, rtol=1e-12)
    np.testing.assert_allclose(ensemble.covariance(Y), np.linalg.inv(precision), rtol=1e-11, atol=1e-14)
    windowed = nt.gaussian_state_ensemble(net, u, BETA, m=0.01, mean_term=True)
    canonical = nt.boltzmann(net, x, m=0.01) if False else None
    assert canonical is None
    M = (1 - 0.01 * BETA) * np.eye(N) + BETA * np.asarray(G.to_dense())
    np.testing.assert_allclose(windowed.mean(Y), x - (1 - 0.01 * BETA) * np.linalg.solve(M, x), rtol=1e-11)


@partial(jax.jit, static_argnums=(0, 3))
def derivatives(orders, w, y, count):
    """Of the state of one neuron that feeds itself, x = tanh(wx + y), up to some order."""
    weight = jnp.zeros((2, 2)).at[1, 0].set(1.0).at[1, 1].set(w)
    net = nt.Septuple(weight, jnp.zeros(2), activation=jnp.tanh, input_mask=[True, False], output_mask=[False, False])
    ensemble = nt.gaussian_state_ensemble(net, lambda y: y, 1.0, orders=orders)
    functions = [lambda t: ensemble.mean(t[None])[1]]
    for _ in range(count):
        functions.append(lambda t, f=functions[-1]: jax.jvp(f, (t,), (jnp.ones_like(t),))[1])
    return jnp.stack([f(y) for f in functions])


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


def test_labels_in_the_weights_agree_with_finite_differences(ensemble):
    """∂F/∂y⁰ through spline, fixed state and Ĝ, by an eighth-order difference of the metric itself."""
    fisher = jax.jit(ensemble.fisher)
    slope = jax.jit(lambda y: jax.jvp(ensemble.fisher, (y,), (jnp.eye(3)[0],))[1])(Y)
    h, weights = 0.01, {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    differences = sum(c * (fisher(Y.at[0].add(k * h)) - fisher(Y.at[0].add(-k * h))) for k, c in weights.items()) / h
    np.testing.assert_allclose(slope, differences, atol=1e-9 * np.abs(slope).max())


def test_signature_wherever_time_flows(ensemble):
    """(-, +, +) at labels all over, for both time functions; the normal of the slices is time-like, ∂_0 need not be."""
    points = jnp.asarray(np.random.default_rng(0).uniform([0.02, -1.0, -1.0], [0.98, 1.0, 1.0], (12, 3)))

    @jax.jit
    @jax.vmap
    def at(y):
        found = ensemble.information(y)
        learning = gravity.turn_sign(found.metric, jnp.eye(3)[0])
        return found.entropy_slopes, gravity.turn_sign(found.metric, -found.entropy_slopes), learning

    slopes, entropic, learning = map(np.asarray, at(points))
    assert (np.abs(slopes).max(axis=1) > 0).all()
    for metrics in (entropic, learning):
        eigenvalues = np.linalg.eigvalsh(metrics)
        assert ((eigenvalues < 0).sum(axis=1) == 1).all()


def test_the_second_law_is_not_automatic_at_fixed_beta(trained):
    """What a small network does, as it is: the loss falls, the entropy of its states rises, training is space-like."""
    nets, losses = trained
    assert losses[-1] < 0.1 * losses[0]
    path = nt.weight_path(nets, jnp.linspace(0.0, 1.0, 5))
    ensemble = nt.gaussian_state_ensemble(path, PLANE, BETA)

    @jax.jit
    @jax.vmap
    def along(t):
        found = ensemble.information(jnp.zeros(3).at[0].set(t))
        entropic = gravity.turn_sign(found.metric, -found.entropy_slopes)
        learning = gravity.turn_sign(found.metric, jnp.eye(3)[0])
        return found.entropy, entropic[0, 0], learning[0, 0]

    entropy, entropic, learning = map(np.asarray, along(jnp.linspace(0.0, 1.0, 9)))
    print(losses, entropy, entropic, learning)


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
    mean, precision = hidden.moments(Y)
    np.testing.assert_array_equal(mean, x[1])
    np.testing.assert_allclose(precision, np.eye(3) + BETA * np.asarray(G.to_dense()), rtol=1e-13, atol=1e-14)

    def call(parameters, u):
        W, V, b, c = parameters
        return jnp.tanh(V @ jnp.tanh(W @ u + b) + c)

    traced = nt.network_from(call, jnp.ones(4), (*net.weights, *net.biases))
    whole = [nt.gaussian_state_ensemble(n, plane, BETA) for n in (net, net.to_septuple(), traced)]
    first, *others = jax.jit(lambda y: [e.fisher(y) for e in whole])(Y.at[0].set(0.0))
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-11, atol=1e-13)
    # F_00 = 0: nothing depends on y⁰ here
    np.testing.assert_array_equal(first[0], 0)
    inputs = np.arange(8) < 4
    assert nt.gaussian_state_ensemble(net, plane, BETA, neurons=~inputs).mean(Y).shape == (4,)
    driven = nt.gaussian_state_ensemble(net, plane, BETA, neurons="driven")
    np.testing.assert_array_equal(driven.mean(Y), np.concatenate(x[1:]))


def test_noise_in_a_linear_network_is_exact():
    """Sampled states against Σ = JΣJᵀ + 2D, by the scatter of a covariance: 4 √(Σ_iiΣ_jj + Σ_ij²)/√R."""
    net = nt.Septuple(0.5 * drawn(8).weight, jnp.zeros(N), activation=lambda v: v, **MASKS)
    D, R = 0.03, 4000
    exact = nt.noisy_state_ensemble(net, PLANE, D)
    mean, S = jax.jit(exact.moments)(Y)
    J = np.asarray(net.weight)[2:, 2:]
    np.testing.assert_allclose(S, J @ np.asarray(S) @ J.T + 2 * D * np.eye(3), rtol=1e-12, atol=1e-15)
    sampler = nt.noisy_states(net, PLANE, D, jax.random.key(0), replicas=R, steps=40)
    x = np.asarray(jax.jit(sampler)(Y))
    errors = np.sqrt((np.outer(np.diag(S), np.diag(S)) + np.square(S)) / R)
    assert (np.abs(np.cov(x.T) - S) < 4 * errors).all()
    assert (np.abs(x.mean(axis=0) - mean) < 4 * np.sqrt(np.diag(S) / R)).all()
    found = jax.jit(gravity.fisher_information_from_samples(sampler))(Y)
    F = jax.jit(exact.fisher)(Y)
    np.testing.assert_allclose(found[1:, 1:], F[1:, 1:], rtol=4 * 3 / np.sqrt(R))  # a fitted Σ⁻¹ of three neurons


def test_path_of_weights_is_the_natural_spline(trained, path):
    nets, _ = trained
    knots = np.linspace(0.0, 1.0, 5)
    values = np.stack([np.asarray(net.weight) for net in nets])
    spline = scipy.interpolate.CubicSpline(knots, values, bc_type="natural")
    of = jax.jit(lambda t: path(t).weight)
    for t in (0.0, 0.1, 0.25, 0.62, 1.0):
        np.testing.assert_allclose(of(t), spline(t), rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(of(t), path(Y.at[0].set(t)).weight) if t == 0.1 else None
    second = jax.jit(jax.jacfwd(jax.jacfwd(of)))(0.4)
    np.testing.assert_allclose(second, spline(0.4, 2), rtol=1e-10, atol=1e-10)
    assert jnp.isnan(of(1.01)).all()
    linear = nt.weight_path(nets, knots, kind="linear")
    np.testing.assert_allclose(linear(jnp.asarray(0.3)).weight, 0.8 * values[1] + 0.2 * values[2], rtol=1e-13)


def test_states_that_are_not_found_are_nan():
    wild = nt.gaussian_state_ensemble(drawn(1, 3.0), PLANE, max_steps=3)
    assert not wild.solve(Y).converged
    assert jnp.isnan(jax.jit(wild.metric())(Y)).all()


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
    make = nt.gaussian_state_ensemble
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
        (ValueError, "`networks` must be of one", lambda: nt.weight_path([net, graph(net.weight, net.bias)][:1] + [drawn_layers()], jnp.arange(2.0))),
        (ValueError, "`times` must be finite and inc", lambda: nt.weight_path(nets, jnp.zeros(5))),
        (ValueError, "`kind` must be", lambda: nt.weight_path(nets, jnp.arange(5.0), kind="quintic")),
        (ValueError, "`replicas and steps` must be", lambda: nt.noisy_states(net, PLANE, 1.0, jax.random.key(0), replicas=0, steps=1)),
    )  # fmt: skip
    for kind, words, call in cases:
        with pytest.raises(kind, match=words):
            call()


def drawn_layers():
    return nt.FeedForward.init(jax.random.key(5), (2, 1), activation=jnp.tanh)
