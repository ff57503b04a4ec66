"""Layered networks and their dense twins: the same states, losses, gradients and relaxed minima; refusals."""

import copy
import functools
import itertools
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import FeedForward, boundary_loss, bulk_loss, relax
from nnthermo.network.activation import Layerwise

EPS = np.finfo(np.float64).eps
SHAPES = ((3, 2), (3, 4, 2), (2, 3, 3, 1))


def logistic(y):
    return jax.nn.sigmoid(y)


def linear(y):
    return y


PER_LAYER = (jnp.tanh, logistic, linear)
NUMPY = {jnp.tanh: np.tanh, logistic: lambda y: 1 / (1 + np.exp(-y)), linear: lambda y: y}


def layered(seed, sizes, *, scale=1.0, activation=None, dtype=np.float64):
    """Random weights of the given scale over √n_in and biases of 0.5; by default another activation in each layer."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(sizes))
    weights = [(scale * rng.normal(size=(b, a)) / np.sqrt(a)).astype(dtype) for a, b in pairs]
    biases = [(0.5 * rng.normal(size=b)).astype(dtype) for _, b in pairs]
    return FeedForward(weights, biases, activation=PER_LAYER[: len(pairs)] if activation is None else activation)


def sample(seed, sizes, dtype=np.float64):
    """(inputs, targets, a state off the fixed point)."""
    rng = np.random.default_rng(seed + 1)
    state = tuple(rng.normal(size=n).astype(dtype) for n in sizes)
    return rng.uniform(-1, 1, sizes[0]).astype(dtype), rng.uniform(-1, 1, sizes[-1]).astype(dtype), state


@functools.cache
def observed(kind, sizes):
    """Everything a network says about a state, compiled once for each kind of network and shape."""

    @jax.jit
    def run(net, x, u, t):
        fixed = net.propagate(u)

        def losses(n, x, u):
            return bulk_loss(n, x, inputs=u) + 0.3 * boundary_loss(n, n.propagate(u), t)

        gradients = jax.grad(losses, argnums=(0, 1, 2))(net, x, u)
        values = {
            "activate": net.ravel(net.activate(x)),
            "residual": net.ravel(net.residual(x)),
            "residual_inputs": net.ravel(net.residual(x, u)),
            "fixed": net.ravel(fixed),
            "reported": net.ravel(net.fixed_point(u).state),
            "clamped": net.ravel(net.clamp(x, u, t)),
            "inputs": net.inputs(x),
            "outputs": net.outputs(x),
            "bulk": bulk_loss(net, x),
            "bulk_inputs": bulk_loss(net, x, inputs=u),
            "boundary": boundary_loss(net, fixed, t),
            "in_state": net.ravel(gradients[1]),
            "in_inputs": gradients[2],
        }
        return values, gradients[0]

    return run


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3, 3, 1)])
@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 3.0))
def test_layers_and_dense_twin_agree(sizes, seed, scale):
    net = layered(seed, sizes, scale=scale)
    twin = net.to_septuple()
    u, t, x = sample(seed, sizes)
    values, gradient = observed("layers", sizes)(net, x, u, t)
    dense, dense_gradient = observed("dense", sizes)(twin, np.concatenate(x), u, t)
    # sums of at most N terms in another order, each layer multiplying earlier errors by |w| < 4 scale, squares of
    # states of a few units: 1e3 N ulp bounds all of it
    rounding = 1e3 * net.size * EPS * (1 + scale) ** (2 * len(sizes))
    for name, value in values.items():
        np.testing.assert_allclose(value, dense[name], rtol=0, atol=rounding, err_msg=name)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    block = np.zeros((net.size, net.size), bool)
    for k, (w, b) in enumerate(zip(gradient.weights, gradient.biases, strict=True)):
        rows, columns = slice(starts[k + 1], starts[k + 2]), slice(starts[k], starts[k + 1])
        np.testing.assert_allclose(w, dense_gradient.weight[rows, columns], rtol=0, atol=rounding)
        np.testing.assert_allclose(b, dense_gradient.bias[rows], rtol=0, atol=rounding)
        block[rows, columns] = True
    assert not np.asarray(twin.weight)[~block].any()
    assert not np.asarray(twin.bias)[: sizes[0]].any()


def test_twin_activation_is_one_map_or_one_a_layer():
    same = layered(0, (3, 4, 2), activation=jnp.tanh).to_septuple()
    assert same.activation is jnp.tanh
    mixed = layered(0, (3, 4, 2)).to_septuple()
    assert isinstance(mixed.activation, Layerwise)
    y = jnp.linspace(-1.0, 1.0, 9)
    expected = np.concatenate([np.tanh(y[:7]), NUMPY[logistic](np.asarray(y[7:]))])
    np.testing.assert_allclose(mixed.activation(y), expected, rtol=4 * EPS)


def test_twin_has_the_masks_and_conditions_of_layers():
    net = layered(1, (2, 3, 3, 1))
    twin = net.to_septuple()
    assert np.flatnonzero(twin.input_mask).tolist() == [0, 1]
    assert np.flatnonzero(twin.output_mask).tolist() == [8]
    assert twin.conditions() == (True, 4, True, True, None)
    assert net.conditions() == (True, 4, True, True, True)  # clamping imposes (2.8) whatever the data
    assert net.conditions([0.1, 0.2]).input_bias is True
    assert net.conditions([0.1, np.nan]).input_bias is False


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_relaxed_minimum_of_twins(dtype):
    sizes = (2, 3, 3, 1)
    net = layered(7, sizes, dtype=dtype)
    twin = net.to_septuple()
    u, t, _ = sample(7, sizes, dtype)
    ours = jax.jit(lambda n: relax(n, u, t))(net)
    dense = jax.jit(lambda n: relax(n, u, t))(twin)
    assert bool(ours.converged)
    assert bool(dense.converged)
    tolerance = float(np.finfo(dtype).eps) ** 0.5
    # each state is within tolerance / λ_min of the minimum, the loss within tolerance² / λ_min; λ_min > 0.1 here
    np.testing.assert_allclose(jnp.concatenate(ours.state), dense.state, rtol=0, atol=20 * tolerance)
    np.testing.assert_allclose(ours.loss, dense.loss, rtol=0, atol=20 * tolerance**2)
    assert ours.loss.dtype == dense.loss.dtype == dense.state.dtype == dtype


# The dynamics.


def forward(net, u):
    states = [np.asarray(u)]
    for w, b, f in zip(net.weights, net.biases, net.activations, strict=True):
        states.append(NUMPY[f](np.asarray(w) @ states[-1] + np.asarray(b)))
    return states


@pytest.mark.parametrize("sizes", SHAPES)
def test_propagate_equals_numpy_layers(sizes):
    net = layered(2, sizes)
    u, _, _ = sample(2, sizes)
    for found, expected in zip(net.propagate(u), forward(net, u), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=10 * net.size * EPS)  # a few sums of n terms


@pytest.mark.parametrize("seed", range(3))
def test_fixed_state_is_reached_in_exactly_one_step_less_than_layers(seed):
    """Row 2.9: x(L - 1) == x(L) bit for bit from (2.4), x(L - 2) is not x̄, and wrong inputs take one step more."""
    net = layered(seed, (2, 3, 3, 1), activation=jnp.tanh)
    layers = len(net.sizes)
    u, _, start = sample(seed, net.sizes)
    step = jax.jit(lambda n, x: n.activate(x))
    orbit = [net.clamp(tuple(jnp.zeros(n) for n in net.sizes), u)]
    for _ in range(layers):
        orbit.append(step(net, orbit[-1]))
    assert all(jnp.array_equal(a, b) for a, b in zip(orbit[layers - 1], orbit[layers], strict=True))
    assert abs(orbit[layers - 2][-1] - orbit[layers - 1][-1]).max() > 1e-3
    for found, expected in zip(orbit[layers - 1], net.propagate(u), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=10 * net.size * EPS)  # another compiled program
    # any hidden start does as well: the same bits after L - 1 steps
    x = net.clamp(tuple(jnp.asarray(s) for s in start), u)
    for _ in range(layers - 1):
        x = step(net, x)
    assert all(jnp.array_equal(a, b) for a, b in zip(x, orbit[layers - 1], strict=True))
    # the dense twin walks the same orbit
    twin = net.to_septuple()
    late, final, early = (twin.propagate(u, steps=k) for k in (layers - 1, layers, layers - 2))
    assert jnp.array_equal(late, final)
    assert not jnp.array_equal(early, late)


def test_fixed_point_reports_what_propagate_finds():
    net = layered(0, (3, 4, 2))
    found = net.fixed_point([0.1, 0.2, 0.3])
    assert all(jnp.array_equal(a, b) for a, b in zip(found.state, net.propagate([0.1, 0.2, 0.3]), strict=True))
    assert (float(found.residual), int(found.steps), bool(found.converged)) == (0.0, 2, True)


def test_overflow_is_not_a_fixed_point():
    net = FeedForward([np.full((2, 2), 1e200)] * 2, [np.zeros(2)] * 2, activation=linear)
    found = net.fixed_point([1.0, 1.0])
    assert not np.isfinite(found.state[-1]).any()
    assert not bool(found.converged)


def test_slopes_and_pre_activations():
    net = layered(3, (3, 4, 2))
    _, _, x = sample(3, (3, 4, 2))
    for k, (y, d) in enumerate(zip(net.pre_activations(x), net.slopes(x), strict=True)):
        expected = np.asarray(net.weights[k]) @ x[k] + np.asarray(net.biases[k])
        np.testing.assert_allclose(y, expected, rtol=0, atol=20 * EPS)  # four products of order 1
        s = NUMPY[logistic](expected)
        np.testing.assert_allclose(d, (1 - np.tanh(expected) ** 2, s * (1 - s))[k], rtol=0, atol=20 * EPS)


def test_absorbed_inputs_leave_the_driven_network_unchanged():
    net = layered(4, (2, 3, 3, 1))
    u, _, x = sample(4, net.sizes)
    x = net.clamp(x, u)
    driven, state = net.absorb_inputs(x)
    assert driven.sizes == (1, 3, 3, 1)
    for found, expected in zip(driven.activate(state)[1:], net.activate(x)[1:], strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=10 * EPS)  # the product W_0 x_0 rounded apart
    restored = net.restore_inputs(state, u)
    assert all(jnp.array_equal(a, b) for a, b in zip(restored, x, strict=True))


def test_sizes_ravel_and_clamp():
    net = layered(0, (2, 3, 3, 1))
    assert (net.size, net.input_size, net.output_size) == (9, 2, 1)
    x = net.unravel(jnp.arange(9.0))
    assert [s.tolist() for s in x] == [[0, 1], [2, 3, 4], [5, 6, 7], [8]]
    assert jnp.array_equal(net.ravel(x), jnp.arange(9.0))
    assert net.inputs(x) is x[0]
    assert net.outputs(x) is x[-1]
    clamped = net.clamp(x, jnp.array([5.0, 6.0]), jnp.array([7.0]))
    assert [s.tolist() for s in clamped] == [[5, 6], [2, 3, 4], [5, 6, 7], [7]]
    assert all(a is b for a, b in zip(net.clamp(x), x, strict=True))


def test_init_is_glorot_uniform():
    """Uniform in ±a with a = scale sqrt(6 / (n_in + n_out)): variance a²/3, and the bound is nearly reached."""
    net = FeedForward.init(jax.random.key(3), (60, 90, 60), activation=(jnp.tanh, logistic), scale=0.5)
    assert net.sizes == (60, 90, 60)
    assert net.activations == (jnp.tanh, logistic)
    bound = 0.5 * np.sqrt(6 / 150)
    for w in map(np.asarray, net.weights):
        assert 0.99 * bound < np.abs(w).max() <= bound * (1 + EPS)
        # mean of n uniform variables: standard error a / √(3 n); variance: a² √(4 / (45 n)); four standard errors
        assert abs(w.mean()) < 4 * bound / np.sqrt(3 * w.size)
        assert abs(w.var() - bound**2 / 3) < 4 * bound**2 * np.sqrt(4 / (45 * w.size))
        assert w.dtype == np.float64
    assert not np.array_equal(np.asarray(net.weights[0]), np.asarray(net.weights[1]).T)  # a key of its own
    assert not any(np.asarray(b).any() for b in net.biases)
    assert FeedForward.init(jax.random.key(3), (2, 2), activation=jnp.tanh, dtype=jnp.float32).weights[0].dtype == "f4"
    with pytest.raises(ValueError, match=r"`sizes` must name at least two layers, but got \(3,\)"):
        FeedForward.init(jax.random.key(3), (3,), activation=jnp.tanh)
    with pytest.raises(ValueError, match=r"`sizes` must be positive, but got \(3, 0, 2\)"):
        FeedForward.init(jax.random.key(3), (3, 0, 2), activation=jnp.tanh)


def test_init_takes_the_integers_of_numpy():
    net = FeedForward.init(jax.random.key(3), np.array([3, 2], np.uint8), activation=jnp.tanh)
    assert net.sizes == (3, 2)


@pytest.mark.parametrize(("place", "size"), [(1, 2.7), (0, 2.0), (2, np.float32(4.0)), (0, "3"), (1, True), (2, None)])
def test_init_refuses_sizes_that_are_not_integers(place, size):
    sizes = [3, 4, 2]
    sizes[place] = size
    sentence = f"`sizes[{place}]` must be an integer, but got {size!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        FeedForward.init(jax.random.key(3), sizes, activation=jnp.tanh)


# Structure.


def test_replace_changes_what_is_named_and_keeps_the_rest():
    net, other = layered(0, (3, 4, 2)), layered(1, (3, 4, 2))
    assert jax.tree.structure(net.replace()) == jax.tree.structure(net)
    weights = net.replace(weights=other.weights)
    assert isinstance(weights, FeedForward)
    for found, expected in zip(weights.weights, other.weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(weights.biases, net.biases, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert weights.activations == net.activations
    biases = net.replace(biases=other.biases)
    np.testing.assert_array_equal(biases.biases[1], other.biases[1])
    np.testing.assert_array_equal(biases.weights[1], net.weights[1])
    assert net.replace(activation=linear).activations == (linear, linear)
    assert net.replace(activation=(linear, jnp.tanh)).activations == (linear, jnp.tanh)
    both = net.replace(weights=other.weights, biases=other.biases)
    u = np.array([0.1, 0.2, 0.3])
    np.testing.assert_array_equal(both.propagate(u)[-1], other.propagate(u)[-1])
    np.testing.assert_array_equal(net.weights[0], layered(0, (3, 4, 2)).weights[0])  # the given one is unchanged


def test_replace_inside_grad():
    net, u = layered(0, (3, 4, 2)), np.array([0.1, 0.2, 0.3])
    found = jax.grad(lambda w: jnp.sum(net.replace(weights=w).propagate(u)[-1]))(net.weights)
    expected = jax.grad(lambda n: jnp.sum(n.propagate(u)[-1]))(net).weights
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_replace_checks_as_the_constructor():
    net = layered(0, (3, 4, 2))
    with pytest.raises(ValueError, match=r"`biases\[1\]` must have shape \(2,\), but got shape \(3,\)"):
        net.replace(biases=[np.zeros(4), np.zeros(3)])
    with pytest.raises(ValueError, match="`activation` must be one map or 1 of them, one a layer, but got 2"):
        net.replace(weights=net.weights[:1], biases=net.biases[:1])
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight'"):
        net.replace(weight=net.weights)


def test_pytree_round_trip_keeps_everything():
    net = layered(0, (3, 4, 2))
    leaves, structure = jax.tree.flatten(net)
    assert len(leaves) == 4
    again = jax.tree.unflatten(structure, leaves)
    assert again.weights == net.weights
    assert again.biases == net.biases
    assert again.activations == net.activations
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(net)]
    assert paths == [".weights[0]", ".weights[1]", ".biases[0]", ".biases[1]"]
    doubled = jax.tree.map(lambda leaf: 2 * leaf, net)
    assert isinstance(doubled, FeedForward)
    assert jnp.array_equal(doubled.weights[1], 2 * net.weights[1])
    jax.tree.map(type, net)  # placeholders are no networks, and no check stands in their way


def test_new_weights_do_not_trace_again():
    traces = []

    @jax.jit
    def outputs(net, u):
        traces.append(1)
        return net.propagate(u)[-1]

    u = jnp.array([0.1, 0.2, 0.3])
    for seed in range(4):
        net = layered(seed, (3, 4, 2))
        np.testing.assert_allclose(outputs(net, u), forward(net, u)[-1], rtol=0, atol=100 * EPS)
    assert len(traces) == 1
    a, b = (jax.tree.structure(layered(seed, (3, 4, 2))) for seed in (0, 1))
    assert a == b
    assert hash(a) == hash(b)
    outputs(layered(0, (3, 4, 2), activation=jnp.tanh), u)
    assert len(traces) == 2


def test_gradient_is_a_network_and_matches_finite_differences():
    net = layered(5, (3, 4, 2))
    u, t, _ = sample(5, net.sizes)
    loss = jax.jit(lambda n: boundary_loss(n, n.propagate(u), t))
    gradient = jax.jit(jax.grad(lambda n: boundary_loss(n, n.propagate(u), t)))(net)
    assert jax.tree.structure(gradient) == jax.tree.structure(net)
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), net)
        h = 1e-5
        up, down = (loss(jax.tree.map(lambda a, d, s=s: a + s * d, net, direction)) for s in (h, -h))
        along = sum(np.vdot(a, d) for a, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
        assert abs((up - down) / (2 * h) - along) < 1e-8  # h² f''' / 6 with f''' < 100, and eps / h


def test_vmap_over_samples_and_networks():
    nets = [layered(seed, (3, 4, 2)) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *nets)
    u = np.random.default_rng(0).normal(size=(5, 3))
    found = jax.jit(jax.vmap(jax.vmap(lambda n, v: n.propagate(v)[-1], (None, 0)), (0, None)))(stacked, u)
    expected = [[forward(net, v)[-1] for v in u] for net in nets]
    np.testing.assert_allclose(found, expected, rtol=0, atol=100 * EPS)  # sums of four terms in another order


def test_pickle_and_copy():
    """With activations that pickle (ones defined in a module; `jnp.tanh` of JAX 0.9 does not)."""
    net = layered(0, (3, 4, 2), activation=(logistic, linear))
    u = np.array([0.1, 0.2, 0.3])
    for again in (pickle.loads(pickle.dumps(net)), copy.copy(net), copy.deepcopy(net)):
        assert jax.tree.structure(again) == jax.tree.structure(net)
        np.testing.assert_allclose(again.propagate(u)[-1], forward(net, u)[-1], rtol=0, atol=100 * EPS)


def test_float32_stays_float32():
    net = layered(0, (3, 4, 2), dtype=np.float32)
    u, t, _ = sample(0, (3, 4, 2), np.float64)  # float64 data take the dtype of the network
    x = net.propagate(u)
    found = [*x, *net.activate(x), *net.slopes(x), *net.clamp(x, u, t), net.fixed_point(u).residual]
    found += jax.tree.leaves(jax.grad(lambda n: jnp.sum(n.propagate(u)[-1]))(net))
    found += jax.tree.leaves((net.to_septuple(), net.propagate([1, 0, 1])))
    assert {str(a.dtype) for a in found} == {"float32"}
    for a, b in zip(x, forward(net, u), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)  # about 20 ulp of float32


def test_activation_with_a_number_for_each_neuron():
    gains = np.linspace(0.5, 1.5, 12)
    net = FeedForward([np.ones((12, 1))], [np.zeros(12)], activation=lambda y: gains * jnp.tanh(y))
    np.testing.assert_allclose(net.propagate([0.3])[-1], gains * np.tanh(0.3), rtol=4 * EPS)


# Refusals, each with its own sentence.

W = [np.ones((4, 3)), np.ones((2, 4))]
B = [np.zeros(4), np.zeros(2)]


@pytest.mark.parametrize(
    ("weights", "biases", "activation", "error", "sentence"),
    [
        ([], [], jnp.tanh, ValueError, "`weights` must have at least one matrix, but got 0"),
        (W, B[:1], jnp.tanh, ValueError, "`biases` must have 2 vectors, one a weight matrix, but got 1"),
        (W, B, (jnp.tanh,), ValueError, "`activation` must be one map or 2 of them, one a layer, but got 1"),
        ([np.ones(3)], B[:1], jnp.tanh, ValueError, r"`weights\[0\]` must have 2 dimensions, but got shape \(3,\)"),
        (W, [B[0], np.zeros(3)], jnp.tanh, ValueError, r"`biases\[1\]` must have shape \(2,\), but got shape \(3,\)"),
        (
            [W[0], np.ones((2, 5))],
            B,
            jnp.tanh,
            ValueError,
            r"`weights\[1\]` must take the 4 neurons of the layer before, but got shape \(2, 5\)",
        ),
        (
            [np.ones((0, 3))],
            [np.zeros(0)],
            jnp.tanh,
            ValueError,
            r"`weights\[0\]` must connect layers with at least one neuron, but got shape \(0, 3\)",
        ),
        ([W[0] * 1j, W[1]], B, jnp.tanh, TypeError, r"`weights\[0\]` must be real, but got dtype complex128"),
        (W, [np.array(["a"] * 4), B[1]], jnp.tanh, TypeError, r"`biases\[0\]` must be real, but got dtype <U1"),
        ([W[0], None], B, jnp.tanh, TypeError, r"`weights\[1\]` must be real, but got dtype object"),
        (
            [W[0].astype(np.float32), W[1]],
            B,
            jnp.tanh,
            ValueError,
            "`weights and biases` must share one dtype, but got float32, float64",
        ),
        (W, B, (jnp.tanh, 3), TypeError, "`activation` must be a function, but got 3"),
        (
            W,
            B,
            jax.nn.softmax,
            ValueError,
            "`activation` must act on each neuron separately .* a map that mixes neurons",
        ),
        (W, B, (jnp.tanh, jnp.sum), ValueError, r"`activation` must keep the shape \(2,\), but got shape \(\)"),
    ],
)
def test_bad_networks_are_refused(weights, biases, activation, error, sentence):
    with pytest.raises(error, match=sentence):
        FeedForward(weights, biases, activation=activation)


def zeros(*sizes):
    return tuple(jnp.zeros(n) for n in sizes)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda net: net.propagate(np.zeros(4)), ValueError, r"`inputs` must have shape \(3,\), but got shape \(4,\)"),
        (lambda net: net.propagate(["a"] * 3), TypeError, "`inputs` must be real, but got dtype <U1"),
        (lambda net: net.fixed_point([]), ValueError, r"`inputs` must have shape \(3,\), but got shape \(0,\)"),
        (lambda net: net.conditions([1.0]), ValueError, r"`inputs` must have shape \(3,\), but got shape \(1,\)"),
        (lambda net: net.activate(jnp.zeros(9)), ValueError, "`x` must be a tuple of 3 layer vectors, but got Array"),
        (lambda net: net.residual(zeros(3, 2)), ValueError, "`x` must be a tuple of 3 layer vectors, but got 2"),
        (
            lambda net: net.slopes(zeros(3, 5, 2)),
            ValueError,
            r"`x` must have layer shapes \(\(3,\), \(4,\), \(2,\)\), but got \(\(3,\), \(5,\), \(2,\)\)",
        ),
        (
            lambda net: net.residual(zeros(3, 4, 2), jnp.zeros(1)),
            ValueError,
            r"`inputs` must have shape \(3,\), but got shape \(1,\)",
        ),
        (
            lambda net: net.clamp(zeros(3, 4, 2), jnp.zeros(1)),
            ValueError,
            r"`inputs` must have shape \(3,\), but got shape \(1,\)",
        ),
        (
            lambda net: net.clamp(zeros(3, 4, 2), 0.5),
            ValueError,
            r"`inputs` must have shape \(3,\), but got shape \(\)",
        ),
        (
            lambda net: net.clamp(zeros(3, 4, 2), None, jnp.zeros(1)),
            ValueError,
            r"`targets` must have shape \(2,\), but got shape \(1,\)",
        ),
        (
            lambda net: net.clamp(zeros(3, 4, 2), None, 0.5),
            ValueError,
            r"`targets` must have shape \(2,\), but got shape \(\)",
        ),
        (
            lambda net: net.clamp(zeros(3, 4, 2), np.ones(3) * 1j),
            TypeError,
            "`inputs` must be real, but got dtype complex128",
        ),
        (lambda net: net.clamp(zeros(3, 4)), ValueError, "`x` must be a tuple of 3 layer vectors, but got 2"),
    ],
)
def test_bad_arguments_are_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(layered(0, (3, 4, 2)))
