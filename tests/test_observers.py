"""Observers against NumPy: weights, states, (6.2) by finite differences, and how they compose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import Gaussian, draw_inputs, fixed_state, flat, graph, jacobian, network

import nnthermo as nt


def sparse_graph():
    net = graph(1, 6, cyclic=True, scale=0.9)
    w = np.array(net.weight)
    w[3, 4] = w[2, 0] = 0
    w[0, 3] = 5.0  # into an input neuron: carries no signal
    return net.replace(weight=w)


def weights_by_hand(w, b):
    kept = w[w != 0]
    return {
        "weight_norm": np.sqrt(np.sum(w**2)),
        "bias_norm": np.sqrt(np.sum(b**2)),
        "weight_mean": kept.mean(),
        "weight_variance": kept.var(),
        "links": kept.size,
        "sparsity": np.mean(w == 0),
    }


def assert_values(found, wanted, tolerance=1e-12):
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name].shape == ()
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_weights_of_layers_and_each_layer():
    net = network(0, (3, 5, 2))
    net = net.replace(weights=[net.weights[0].at[1, 2].set(0), net.weights[1]])
    found = jax.jit(nt.weight_observer(by_layer=True))(net, None, None)
    ws, bs = ([np.asarray(a) for a in arrays] for arrays in (net.weights, net.biases))
    wanted = weights_by_hand(*(np.concatenate([a.ravel() for a in arrays]) for arrays in (ws, bs)))
    wanted["spectral_norm"] = np.linalg.norm(np.asarray(net.to_septuple().weight), 2)
    for k in (1, 2):
        each = weights_by_hand(ws[k - 1], bs[k - 1]) | {"spectral_norm": np.linalg.norm(ws[k - 1], 2)}
        wanted |= {f"layer{k}_{name}": value for name, value in each.items()}
    assert_values(found, wanted)
    assert found["layer2_sparsity"] == 0


def test_weights_of_a_graph_leave_out_what_carries_no_signal():
    net = sparse_graph()
    found = jax.jit(nt.weight_observer())(net, None, None)
    w, b = np.asarray(net.weight)[2:], np.asarray(net.bias)[2:]
    assert_values(found, weights_by_hand(w, b) | {"spectral_norm": np.linalg.norm(w, 2)})


def states_by_hand(x, y, slopes, near):
    covariance = np.atleast_2d(np.cov(x.T, bias=True))
    eigenvalues = np.linalg.eigvalsh(covariance)
    return {
        "state_mean": x.mean(),
        "state_variance": x.var(),
        "saturated": near.mean(),
        "pre_activation_mean": y.mean(),
        "pre_activation_variance": y.var(),
        "slope_mean": slopes.mean(),
        "slope_variance": slopes.var(),
        "effective_dimension": eigenvalues.sum() ** 2 / np.sum(eigenvalues**2),
    }


@pytest.mark.parametrize("n", [3, 30])  # fewer and more samples than neurons
def test_states_of_layers_and_each_layer(n):
    net = network(1, (3, 5, 2), scale=2.0)
    inputs = np.random.default_rng(0).normal(size=(n, 3))
    found = jax.jit(nt.state_observer(margin=0.2, by_layer=True))(net, jnp.asarray(inputs), None)
    columns, x = [], inputs
    for w, b in zip(net.weights, net.biases, strict=True):
        y = x @ np.asarray(w).T + np.asarray(b)
        x = np.tanh(y)
        columns.append((x, y, 1 - x**2, np.abs(x) >= 0.8))
    wanted = states_by_hand(*(np.hstack(c) for c in zip(*columns, strict=True)))
    for k, column in enumerate(columns, 1):
        wanted |= {f"layer{k}_{name}": value for name, value in states_by_hand(*column).items()}
    assert_values(found, wanted)
    assert 0 < found["saturated"] < 1


def test_states_of_a_graph_with_cycles():
    net = sparse_graph()
    inputs = np.stack([draw_inputs(k, 2) for k in range(4)])
    state = nt.FixedState(tolerance=1e-14)
    found = jax.jit(nt.state_observer(margin=0.5, state=state))(net, jnp.asarray(inputs), None)
    x = np.stack([np.asarray(fixed_state(net, u)) for u in jnp.asarray(inputs)])
    y = (x @ np.asarray(net.signal_weight).T + np.asarray(net.bias))[:, 2:]
    x = np.tanh(y)
    wanted = states_by_hand(x, y, 1 - x**2, np.abs(x) >= 0.5) | {"unfixed": 0.0}
    assert_values(found, wanted, 1e-11)
    stuck = nt.state_observer(state=nt.FixedState(max_steps=1))(net, jnp.asarray(inputs), None)
    assert stuck["unfixed"] == 1


def test_effective_dimension_of_known_states():
    """Independent unit variances count fully; one direction counts once; constant states not at all."""
    net = nt.FeedForward([np.eye(4)], [np.zeros(4)], activation=lambda y: y)
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    observe = jax.jit(nt.state_observer())
    for inputs, expected in ((corners, 4), (corners[:, :1] * np.ones(4), 1), (np.ones((5, 4)), 0)):
        np.testing.assert_allclose(observe(net, jnp.asarray(inputs), None)["effective_dimension"], expected, rtol=1e-14)


def falling(y):
    return 3 - jax.nn.sigmoid(y)


@pytest.mark.parametrize(
    ("activation", "near"),
    [
        (jnp.tanh, lambda x: np.abs(x) >= 0.9),
        (jax.nn.sigmoid, lambda x: (x <= 0.05) | (x >= 0.95)),
        (falling, lambda x: (x <= 2.05) | (x >= 2.95)),
        (jax.nn.relu, lambda x: x <= 0.1),
        (lambda y: -jax.nn.relu(y), lambda x: x >= -0.1),
        (lambda y: y, lambda x: x > np.inf),
    ],
)
def test_ends_of_ranges(activation, near):
    net = nt.FeedForward([np.ones((1, 1))], [np.zeros(1)], activation=activation)
    inputs = np.linspace(-6, 6, 101)[:, None]
    states = np.asarray(activation(jnp.asarray(inputs)))
    found = nt.state_observer(margin=0.1)(net, jnp.asarray(inputs), None)["saturated"]
    np.testing.assert_allclose(found, near(states).mean(), rtol=1e-14)


def test_equilibrium_gradient_by_finite_differences():
    """∂U/∂(w, b) of the dense Gaussian ensemble, each entry by central differences; links that are absent excluded."""
    net = sparse_graph()
    inputs = jnp.stack([draw_inputs(k, 2) for k in range(2)])
    observe = jax.jit(nt.equilibrium_observer(beta=1.4, m=0.1, state=nt.FixedState(tolerance=1e-15)))
    found = observe(net, inputs, None)

    def average(w, b):
        moved = net.replace(weight=w, bias=b)
        states = [fixed_state(moved, u) for u in inputs]
        return np.mean([Gaussian(jacobian(moved, x), flat(x), 1.4, 0.1).average_loss for x in states])

    w, b = np.array(net.weight), np.array(net.bias)
    np.testing.assert_allclose(found["mean_average_loss"], average(w, b), rtol=1e-12)
    h, squares = 1e-5, 0.0
    for i, j in np.argwhere(w != 0):
        if i >= 2:
            e = np.zeros_like(w)
            e[i, j] = h
            squares += ((average(w + e, b) - average(w - e, b)) / (2 * h)) ** 2
    for i in range(2, 6):
        e = np.zeros_like(b)
        e[i] = h
        squares += ((average(w, b + e) - average(w, b - e)) / (2 * h)) ** 2
    np.testing.assert_allclose(found["average_loss_gradient"], np.sqrt(squares), rtol=1e-7)  # h² and ε/h


def count(net, inputs, targets):
    return {"rows": jnp.asarray(inputs.shape[0]), "sum": jnp.sum(targets)}


def test_observers_compose_with_prefixes_and_other_data():
    net = network(0, (3, 2))
    u, t = np.ones((5, 3)), np.full((5, 2), 2.0)
    both = nt.combine(count, {"half": lambda _n, u, _t: jnp.sum(u) / 2}, test=nt.on_data(count, u[:2], 3 * t[:2]))
    found = jax.jit(both)(net, jnp.asarray(u), jnp.asarray(t))
    assert {name: float(v) for name, v in found.items()} == {
        "rows": 5, "sum": 20, "half": 7.5, "test_rows": 2, "test_sum": 24,
    }  # fmt: skip
    assert nt.combine(count, a=count) == nt.combine(count, a=count)
    with pytest.raises(ValueError, match=r"`observers` must record different names .*, but got \['rows', 'sum'\]"):
        nt.combine(count, count)(net, u, t)
    with pytest.raises(TypeError, match="`observe` must be a function or a dict of functions, but got 3"):
        nt.combine(3)


def test_bad_observers_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="`margin` must lie between 0 and 1, but got 0"):
        nt.state_observer(margin=0)
    with pytest.raises(ValueError, match="`beta` must be positive, but got -1"):
        nt.equilibrium_observer(beta=-1.0)
    for observer in (nt.weight_observer(by_layer=True), nt.state_observer(by_layer=True)):
        with pytest.raises(ValueError, match="`net` must have layers to be observed by layer, but got Septuple"):
            observer(sparse_graph(), jnp.ones((2, 2)), None)


def test_single_precision_stays_single():
    net = network(0, (3, 4, 2), dtype=np.float32)
    u = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    observe = nt.combine(nt.weight_observer(by_layer=True), nt.state_observer(), nt.equilibrium_observer())
    found = jax.jit(observe)(net, u, None)
    wide = jax.jit(observe)(jax.tree.map(lambda a: a.astype(jnp.float64), net), u.astype(jnp.float64), None)
    for name, value in found.items():
        assert value.dtype == (jnp.int64 if "links" in name else jnp.float32), name
        # sums of tens of terms at ε = 6e-8; the gradient of U is conditioned no worse than 1e3 here
        np.testing.assert_allclose(value, wide[name], rtol=1e-3 if "average_loss" in name else 1e-5, atol=1e-5)
