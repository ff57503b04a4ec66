"""Septuples on general graphs: the dynamics (2.5), the conditions (2.1)-(2.3) and (2.8), pytree behaviour, refusals."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import FeedForward, Septuple
from nnthermo.network.activation import Layerwise

EPS = np.finfo(np.float64).eps
N = 6
INPUTS = np.array([True, True, False, False, False, False])
OUTPUTS = np.array([False, False, False, False, True, True])


def steep_tanh(y):
    return jnp.tanh(1.5 * y)


def logistic(y):
    return jax.nn.sigmoid(y)


MIXED = Layerwise((2, 3, 1), (jnp.tanh, logistic, steep_tanh))
MIXED_NUMPY = [np.tanh] * 2 + [lambda y: 1 / (1 + np.exp(-y))] * 3 + [lambda y: np.tanh(1.5 * y)]


def graph(seed, *, acyclic=True, scale=1.0, activation=jnp.tanh):
    """Random graph of N neurons with skip connections, two inputs and two outputs; (2.2) and (2.3) hold."""
    rng = np.random.default_rng(seed)
    weight = scale * rng.normal(size=(N, N)) * (rng.uniform(size=(N, N)) < 0.7)
    if acyclic:
        weight = np.tril(weight, -1)
    weight[INPUTS] = 0
    weight[:, OUTPUTS] = 0
    bias = 0.5 * rng.normal(size=N)
    bias[INPUTS] = 0
    return Septuple(weight, bias, activation=activation, input_mask=INPUTS, output_mask=OUTPUTS)


def cast(net, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), net)


def longest_path(links):
    """Longest directed path in neurons, from powers of the adjacency matrix: |w|^k = 0 first at k = L (2.1)."""
    power, length = np.eye(len(links), dtype=int), 0
    while power.any():
        power, length = np.minimum(links.astype(int) @ power, 1), length + 1
        if length > len(links):
            return None
    return length


step = jax.jit(lambda net, x: net.activate(x))
propagate = jax.jit(lambda net, u: net.propagate(u))
propagate_longer = jax.jit(lambda net, u: net.propagate(u, steps=N + 1))
slopes = jax.jit(lambda net, x: net.slopes(x))
residual = jax.jit(lambda net, x, u: net.residual(x, u))


# The dynamics.


@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 3.0))
def test_one_step_equals_a_loop_over_neurons(seed, scale):
    net = graph(seed, acyclic=False, scale=scale, activation=MIXED)
    x = np.random.default_rng(seed + 1).normal(size=N)
    w, b = np.asarray(net.weight), np.asarray(net.bias)
    expected = x.copy()
    size = 0.0
    for i in range(N):
        if INPUTS[i]:
            continue
        y = b[i] + sum(w[i, j] * x[j] for j in range(N))
        size = max(size, abs(b[i]) + sum(abs(w[i, j] * x[j]) for j in range(N)))
        expected[i] = MIXED_NUMPY[i](y)
    # a sum of N + 1 terms rounds by (N + 1) ulp of the sum of their sizes, and |f'| <= 1.5
    assert np.max(np.abs(step(net, x) - expected)) <= 1.5 * (N + 2) * EPS * (1 + size)


def test_update_is_synchronous():
    """A chain passes a signal on by one neuron a step, in whatever order its neurons are numbered."""
    weight = np.zeros((3, 3))
    weight[1, 2] = weight[0, 1] = 1.0  # 2 -> 1 -> 0
    net = Septuple(
        weight,
        np.zeros(3),
        activation=steep_tanh,
        input_mask=[False, False, True],
        output_mask=[True, False, False],
    )
    assert net.conditions() == (True, 3, True, True, None)
    x0 = jnp.array([0.0, 0.0, 1.0])
    first, second = np.tanh(1.5), np.tanh(1.5 * np.tanh(1.5))
    np.testing.assert_allclose(net.activate(x0), [0.0, first, 1.0], rtol=4 * EPS)  # tanh: within an ulp or two
    np.testing.assert_allclose(net.activate(net.activate(x0)), [second, first, 1.0], rtol=4 * EPS)


@pytest.mark.parametrize("seed", range(4))
def test_inputs_keep_their_data(seed):
    """(2.7): constant along the orbit, bit for bit."""
    net = graph(seed, acyclic=False, scale=3.0)
    u = jnp.array([0.3, -7.0])
    for steps in (0, 1, 2, 9):
        assert jnp.array_equal(net.inputs(net.propagate(u, steps=steps)), u)


def test_start_is_zero_outside_the_inputs():
    """(2.4)."""
    x = graph(0).propagate([0.5, -0.5], steps=0)
    assert jnp.array_equal(x, jnp.array([0.5, -0.5, 0, 0, 0, 0]))


def test_connections_into_inputs_carry_no_signal():
    net = graph(3)
    weight = np.asarray(net.weight).copy()
    weight[INPUTS] = 5.0
    fed = Septuple(weight, net.bias, activation=jnp.tanh, input_mask=INPUTS, output_mask=OUTPUTS)
    u = jnp.array([0.2, 0.9])
    assert jnp.array_equal(fed.propagate(u), net.propagate(u))
    assert not fed.conditions().closed_inputs
    assert jnp.array_equal(fed.signal_weight, net.weight)
    assert jnp.array_equal(fed.pre_activations(jnp.ones(N))[:2], net.bias[:2])
    gradient = jax.grad(lambda n: jnp.sum(n.activate(n.propagate(u)) ** 2))(fed)
    assert not np.asarray(gradient.weight)[INPUTS].any()


@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 3.0))
def test_acyclic_graphs_reach_their_fixed_state_exactly(seed, scale):
    """(2.9): more steps than the longest path has change no bit of the state, skip connections included."""
    net = graph(seed, scale=scale)
    u = np.random.default_rng(seed + 1).uniform(-1, 1, 2)
    x = propagate(net, u)
    assert jnp.array_equal(propagate_longer(net, u), x)
    # another compiled program adds in another order: (N + 1) ulp of Σ|w x| < N scale
    assert np.max(np.abs(residual(net, x, None))) <= N * EPS * (1 + 4 * N * scale)


@pytest.mark.parametrize("seed", range(5))
def test_longest_path_of_concrete_and_traced_weights(seed):
    net = graph(seed)
    layers = net.conditions().layers
    assert layers == longest_path(np.asarray(net.weight) != 0)
    u = jnp.array([0.4, -0.8])
    # eager: L steps for known weights; compiled: N steps for traced ones; one more step changes neither
    assert jnp.array_equal(net.propagate(u), net.propagate(u, steps=layers + 1))
    np.testing.assert_allclose(propagate(net, u), net.propagate(u), rtol=0, atol=N * EPS)
    loops = [eqn for eqn in jax.make_jaxpr(net.propagate)(u).eqns if eqn.primitive.name == "scan"]
    assert [eqn.params["length"] for eqn in loops] == [layers]


def test_hidden_neuron_that_nothing_feeds_takes_one_more_step():
    """x(L - 1) is not yet fixed where a chain begins at a hidden neuron, which starts at 0 and not at f(b)."""
    weight = np.zeros((4, 4))
    weight[2, 1] = weight[3, 2] = 1.0  # 1 -> 2 -> 3; the input, neuron 0, feeds nothing
    net = Septuple(
        weight,
        np.array([0.0, 0.7, 0.0, 0.0]),
        activation=jnp.tanh,
        input_mask=[True, False, False, False],
        output_mask=[False, False, False, True],
    )
    assert net.conditions().layers == 3
    a = np.tanh(0.7)
    expected = [0.1, a, np.tanh(a), np.tanh(np.tanh(a))]
    np.testing.assert_allclose(net.propagate([0.1]), expected, rtol=8 * EPS)  # three nested tanh
    assert abs(net.propagate([0.1], steps=2)[3] - expected[3]) > 0.1


def test_residual_is_zero_at_the_fixed_state_and_counts_given_inputs():
    net = graph(1)
    u = jnp.array([0.3, 0.1])
    x = propagate(net, u)
    free = residual(net, x, None)
    assert not free[:2].any()
    np.testing.assert_allclose(free, 0, atol=4 * N * EPS)  # sums in another order
    r = residual(net, x, jnp.array([0.1, 0.5]))
    np.testing.assert_allclose(r[:2], [0.2, -0.4], rtol=4 * EPS)
    assert jnp.array_equal(r[2:], free[2:])


def test_slopes_are_derivatives_of_the_activation():
    net = graph(2, acyclic=False, activation=MIXED)
    x = np.random.default_rng(0).normal(size=N)
    y = np.asarray(net.weight) @ x + np.asarray(net.bias)
    h = 1e-5
    fd = [(f(v + h) - f(v - h)) / (2 * h) for f, v in zip(MIXED_NUMPY, y, strict=True)]
    # central difference: h² f''' / 6 (f''' up to 7 for the steep tanh) and 1e-16 / h
    np.testing.assert_allclose(slopes(net, x), fd, rtol=0, atol=2e-10)


def test_slopes_of_saturated_neurons_are_finite():
    net = Septuple(
        np.zeros((3, 3)),
        np.array([1e3, -1e3, 0.0]),
        activation=jnp.tanh,
        input_mask=[False] * 3,
        output_mask=[False] * 3,
    )
    assert jnp.array_equal(net.slopes(jnp.zeros(3)), jnp.array([0.0, 0.0, 1.0]))


@pytest.mark.parametrize("seed", range(2))
def test_gradients_through_the_dynamics(seed):
    """In weights, biases and inputs, against central differences of the compiled loss."""
    net = graph(seed, activation=MIXED)
    u = jnp.array([0.4, -0.6])
    loss = jax.jit(lambda n, v: jnp.sum(jnp.sin(n.propagate(v))))
    gradient, along = jax.jit(jax.grad(lambda n, v: jnp.sum(jnp.sin(n.propagate(v))), argnums=(0, 1)))(net, u)
    h = 1e-5
    rng = np.random.default_rng(seed)
    dw, db, du = rng.normal(size=(N, N)), rng.normal(size=N), rng.normal(size=2)

    def moved(t):
        return loss(
            Septuple(net.weight + t * dw, net.bias + t * db, activation=MIXED, input_mask=INPUTS, output_mask=OUTPUTS),
            u + t * du,
        )

    expected = (moved(h) - moved(-h)) / (2 * h)
    found = np.vdot(gradient.weight, dw) + np.vdot(gradient.bias, db) + np.vdot(along, du)
    assert abs(found - expected) < 1e-7 * (1 + abs(expected))  # h² times a third derivative of up to 1e3, and eps / h


# The conditions of Section 2.


def test_conditions_of_a_layered_network():
    net = FeedForward([np.ones((3, 2)), np.ones((1, 3))], [np.zeros(3), np.zeros(1)], activation=jnp.tanh)
    found = net.to_septuple().conditions()
    assert found == (True, 3, True, True, None)
    assert (found.acyclic, found.layers, found.closed_inputs, found.terminal_outputs) == (True, 3, True, True)


def test_nilpotent_but_cyclic_graph_is_rejected():
    """[[1, -1], [1, -1]]² = 0 satisfies (2.1) as printed; slopes break it, so the graph must count as cyclic."""
    weight = np.array([[1.0, -1.0], [1.0, -1.0]])
    assert not (weight @ weight).any()
    net = Septuple(weight, np.zeros(2), activation=jnp.tanh, input_mask=[False] * 2, output_mask=[False] * 2)
    found = net.conditions()
    assert not found.acyclic
    assert found.layers is None
    biased = Septuple(
        weight, np.array([0.0, 1.0]), activation=jnp.tanh, input_mask=[False] * 2, output_mask=[False] * 2
    )
    A = np.asarray(biased.slopes(jnp.zeros(2)))[:, None] * weight  # slopes 1 and 0.42
    assert np.abs(A @ A).max() > 0.3


@pytest.mark.parametrize(
    ("i", "j", "broken"),
    [
        (2, 2, "acyclic"),  # a neuron that feeds itself
        (0, 3, "closed_inputs"),  # (2.2)
        (3, 4, "terminal_outputs"),  # (2.3)
    ],
)
def test_each_violated_condition_is_named(i, j, broken):
    weight = np.zeros((N, N))
    weight[2:4, :2] = 0.5
    weight[4:, 2:4] = -0.5
    intact = Septuple(weight, np.zeros(N), activation=jnp.tanh, input_mask=INPUTS, output_mask=OUTPUTS).conditions()
    assert intact == (True, 3, True, True, None)
    weight[i, j] = 1.0
    found = Septuple(weight, np.zeros(N), activation=jnp.tanh, input_mask=INPUTS, output_mask=OUTPUTS).conditions()
    assert not getattr(found, broken)
    names = {"closed_inputs", "terminal_outputs"} - {broken}
    assert all(getattr(found, name) for name in names)
    assert found.acyclic == (found.layers is not None)


def test_bias_condition_imposed_by_the_inverse_activation():
    """(2.8) holds for tanh with the bias artanh x; the unclamped dynamics then agrees with the clamped one."""
    u = np.array([0.3, -0.8])
    net = graph(5)
    bias = np.asarray(net.bias).copy()
    bias[:2] = np.arctanh(u)
    biased = Septuple(net.weight, bias, activation=jnp.tanh, input_mask=INPUTS, output_mask=OUTPUTS)
    assert biased.conditions(u).input_bias is True
    assert net.conditions(u).input_bias is False
    assert biased.conditions(u + 1e-12).input_bias is False
    x = np.zeros(N)
    x[:2] = u
    for _ in range(N):
        x = np.tanh(np.asarray(net.weight) @ x + bias)
    # f(f⁻¹(u)) returns u within a few ulp, and each layer passes its error on times |w| of about 3
    np.testing.assert_allclose(biased.propagate(u), x, rtol=0, atol=1e4 * EPS)


def test_bias_condition_without_an_inverse_at_zero():
    """Sigmoid has f(0) = 1/2: P_in f(b) = P_in x_∂ is what (2.8) must mean, and b = log(u / (1 - u)) satisfies it."""
    u = np.array([0.3, 0.8])
    bias = np.zeros(N)
    bias[:2] = np.log(u / (1 - u))
    net = Septuple(np.zeros((N, N)), bias, activation=logistic, input_mask=INPUTS, output_mask=OUTPUTS)
    assert net.conditions(u).input_bias is True


def test_bias_condition_of_large_data_is_relative():
    u = np.array([1e6, -2e3])
    bias = np.zeros(N)
    bias[:2] = np.arcsinh(u)  # of 14.5, whose rounding sinh multiplies by that
    net = Septuple(np.zeros((N, N)), bias, activation=jnp.sinh, input_mask=INPUTS, output_mask=OUTPUTS)
    assert net.conditions(u).input_bias is True
    assert net.conditions(u * (1 + 1e-13)).input_bias is False


def test_bias_condition_of_pixels_at_one_is_never_met_by_a_finite_bias():
    bias = np.zeros(N)
    bias[:2] = 10.0
    net = Septuple(np.zeros((N, N)), bias, activation=jnp.tanh, input_mask=INPUTS, output_mask=OUTPUTS)
    assert net.conditions(np.ones(2)).input_bias is False
    assert jnp.array_equal(net.inputs(net.propagate(np.ones(2))), jnp.ones(2))  # clamping does


def test_conditions_need_known_weights():
    with pytest.raises(ValueError, match=r"`weight` must be known \(not traced\) .* but got a tracer"):
        jax.jit(lambda net: net.conditions() and net.weight)(graph(0))


# Known networks inside compiled functions.


def test_propagate_of_a_known_network_inside_jit():
    net, u = graph(0), jnp.array([0.4, -0.8])
    np.testing.assert_allclose(jax.jit(net.propagate)(u), net.propagate(u), rtol=0, atol=N * EPS)


def test_conditions_of_a_known_network_inside_jit():
    net, found = graph(0), []
    jax.jit(lambda v: found.append(net.conditions(np.zeros(2))) or v)(1.0)
    assert found[0].input_bias is True


# Structure.


def test_masks_belong_to_the_network_alone():
    mine = INPUTS.copy()
    net = Septuple(np.zeros((N, N)), np.zeros(N), activation=jnp.tanh, input_mask=mine, output_mask=OUTPUTS)
    assert mine.flags.writeable
    mine[:] = False
    assert net.input_size == 2
    assert not net.input_mask.flags.writeable


def test_sizes_masks_and_projections():
    net = graph(0)
    assert (net.size, net.input_size, net.output_size) == (6, 2, 2)
    assert np.array_equal(net.input_mask, INPUTS)
    assert np.array_equal(net.output_mask, OUTPUTS)
    x = jnp.arange(6.0)
    assert jnp.array_equal(net.inputs(x), jnp.array([0.0, 1.0]))
    assert jnp.array_equal(net.outputs(x), jnp.array([4.0, 5.0]))
    assert jnp.array_equal(net.clamp(x, jnp.array([7.0, 8.0])), jnp.array([7.0, 8.0, 2.0, 3.0, 4.0, 5.0]))
    assert jnp.array_equal(net.clamp(x, None, jnp.array([7.0, 8.0])), jnp.array([0.0, 1.0, 2.0, 3.0, 7.0, 8.0]))
    assert jnp.array_equal(net.unravel(net.ravel(x)), x)
    assert net.absorb_inputs(x)[0] is net
    assert jnp.array_equal(net.restore_inputs(x, jnp.array([7.0, 8.0])), net.clamp(x, jnp.array([7.0, 8.0])))


def test_masks_may_be_interleaved():
    """Inputs and outputs anywhere among the neurons: a permuted graph is the same network."""
    net = graph(4)
    order = np.array([4, 0, 3, 5, 1, 2])
    shuffled = Septuple(
        np.asarray(net.weight)[np.ix_(order, order)],
        np.asarray(net.bias)[order],
        activation=jnp.tanh,
        input_mask=INPUTS[order],
        output_mask=OUTPUTS[order],
    )
    u = jnp.array([0.2, -0.9])
    np.testing.assert_allclose(shuffled.propagate(u), net.propagate(u)[order], rtol=0, atol=N * EPS)  # order of sums


def test_pytree_round_trip_keeps_everything():
    net = graph(0, activation=MIXED)
    leaves, structure = jax.tree.flatten(net)
    assert len(leaves) == 2
    again = jax.tree.unflatten(structure, leaves)
    assert again.weight is net.weight
    assert again.bias is net.bias
    assert again.activation is MIXED
    assert np.array_equal(again.input_mask, INPUTS)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, net)
    assert jnp.array_equal(doubled.weight, 2 * net.weight)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(net)]
    assert paths == [".weight", ".bias"]


def test_equal_structure_means_one_compilation():
    """Masks and activations compare by value, so new weights, or a network built anew, do not trace again."""
    traces = []

    @jax.jit
    def total(net):
        traces.append(1)
        return jnp.sum(net.activate(jnp.ones(N)))

    for seed in range(3):
        total(graph(seed, activation=Layerwise((2, 4), (jnp.tanh, logistic))))
    assert len(traces) == 1
    a, b = (jax.tree.structure(graph(seed)) for seed in (0, 1))
    assert a == b
    assert hash(a) == hash(b)
    other = Septuple(np.zeros((N, N)), np.zeros(N), activation=jnp.tanh, input_mask=INPUTS, output_mask=~INPUTS)
    assert jax.tree.structure(other) != a
    total(other)
    assert len(traces) == 2


def test_vmap_over_networks_equals_a_loop():
    nets = [graph(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *nets)
    u = jnp.array([0.5, -0.5])
    found = jax.vmap(lambda net: net.propagate(u))(stacked)
    for k, net in enumerate(nets):
        np.testing.assert_allclose(found[k], net.propagate(u), rtol=0, atol=N * EPS)  # batched sums in another order


def test_networks_are_frozen():
    with pytest.raises(AttributeError, match="cannot assign"):
        graph(0).bias = jnp.zeros(N)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("weight", np.eye(N, k=-1), lambda net: net.weight),
        ("bias", np.arange(6.0), lambda net: net.bias),
        ("activation", logistic, lambda net: net.activation),
        ("input_mask", np.array([False, True, False, False, False, False]), lambda net: net.input_mask),
        ("output_mask", np.array([False, False, False, True, False, False]), lambda net: net.output_mask),
    ],
)
def test_replace_changes_what_is_named_and_keeps_the_rest(name, value, read):
    net = graph(0)
    found = net.replace(**{name: value})
    assert isinstance(found, Septuple)
    np.testing.assert_array_equal(read(found), value)
    for other in {"weight", "bias", "activation", "input_mask", "output_mask"} - {name}:
        np.testing.assert_array_equal(getattr(found, other), getattr(net, other))
    back = found.replace(**{name: read(net)})
    assert jax.tree.structure(back) == jax.tree.structure(net)


def test_replace_checks_as_the_constructor():
    net = graph(0)
    with pytest.raises(ValueError, match=r"`bias` must have shape \(6,\), but got shape \(5,\)"):
        net.replace(bias=np.zeros(5))
    with pytest.raises(ValueError, match=r"must not overlap, but got neurons \[0, 1\] in both"):
        net.replace(output_mask=INPUTS)


def test_pickle_and_copy():
    """With an activation that pickles (one defined in a module; `jnp.tanh` of JAX 0.9 does not)."""
    net = graph(0, activation=logistic)
    for again in (pickle.loads(pickle.dumps(net)), copy.copy(net), copy.deepcopy(net)):
        assert jax.tree.structure(again) == jax.tree.structure(net)
        assert jnp.array_equal(again.propagate([0.1, 0.2]), net.propagate([0.1, 0.2]))


def test_float32_stays_float32():
    net = cast(graph(0, activation=MIXED), jnp.float32)
    u = np.array([0.1, 0.2])  # float64: data take the network's dtype

    @jax.jit
    def everything(n, v):
        x = n.propagate(v)
        found = n.fixed_point(v)
        gradient = jax.grad(lambda k: jnp.sum(k.propagate(v)))(n)
        return x, n.activate(x), n.residual(x), n.slopes(x), n.clamp(x, v, v), found.state, found.residual, gradient

    values = jax.tree.leaves(everything(net, u))
    x = values[0]
    assert {str(v.dtype) for v in values} == {"float32"}
    np.testing.assert_allclose(x, graph(0, activation=MIXED).propagate(u), rtol=0, atol=1e-5)  # 100 ulp of float32


def test_float64_data_take_the_dtype_of_the_network():
    net = cast(graph(0), jnp.float32)
    u = np.array([0.1, 0.2])
    x = net.propagate(u)
    assert net.clamp(x, u, u).dtype == jnp.float32
    assert net.residual(x, u).dtype == jnp.float32


def test_a_list_of_traced_numbers_is_an_input():
    net = graph(0)
    derivative = jax.grad(lambda a: jnp.sum(net.propagate([a, 2 * a], steps=0)))(0.3)
    assert derivative == 3.0


# Refusals, each with its own sentence.

GOOD = {
    "weight": np.zeros((3, 3)),
    "bias": np.zeros(3),
    "activation": jnp.tanh,
    "input_mask": np.array([True, False, False]),
    "output_mask": np.array([False, False, True]),
}


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"weight": np.zeros(3)}, ValueError, r"`weight` must have 2 dimensions, but got shape \(3,\)"),
        ({"weight": np.zeros((3, 2))}, ValueError, r"`weight` must be square, but got shape \(3, 2\)"),
        ({"weight": np.zeros((0, 0)), "bias": np.zeros(0)}, ValueError, "`weight` must have at least one neuron"),
        ({"weight": np.zeros((3, 3)) * 1j}, TypeError, "`weight` must be real, but got dtype complex128"),
        ({"weight": [["a"] * 3] * 3}, TypeError, "`weight` must be real, but got dtype <U1"),
        ({"weight": [[1.0, 2.0], [3.0]]}, ValueError, "`weight` must be an array, but got nested sequences"),
        ({"bias": np.zeros(2)}, ValueError, r"`bias` must have shape \(3,\), but got shape \(2,\)"),
        ({"bias": None}, TypeError, "`bias` must be real, but got dtype object"),
        ({"bias": np.zeros(3, np.float32)}, ValueError, "`weight and bias` must share one dtype.* float64 and float32"),
        ({"activation": "tanh"}, TypeError, "`activation` must be a function, but got 'tanh'"),
        ({"activation": jax.nn.softmax}, ValueError, "`activation` must act on each neuron separately"),
        ({"activation": lambda y: y[:1]}, ValueError, r"`activation` must keep the shape \(3,\), but got shape \(1,\)"),
        ({"input_mask": np.array([1, 0, 0])}, TypeError, "`input_mask` must be boolean, but got dtype int64"),
        ({"output_mask": [0.0, 0.0, 1.0]}, TypeError, "`output_mask` must be boolean, but got dtype float64"),
        ({"input_mask": [True, False]}, ValueError, r"`input_mask` must have shape \(3,\), but got shape \(2,\)"),
        ({"output_mask": [[True] * 3]}, ValueError, r"`output_mask` must have shape \(3,\), but got shape \(1, 3\)"),
        (
            {"output_mask": [True, False, True]},
            ValueError,
            r"`input_mask and output_mask` must not overlap, but got neurons \[0\] in both",
        ),
    ],
)
def test_bad_septuples_are_refused(changes, error, sentence):
    arguments = {**GOOD, **changes}
    with pytest.raises(error, match=sentence):
        Septuple(arguments.pop("weight"), arguments.pop("bias"), **arguments)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda net: net.propagate(np.zeros(3)), ValueError, r"`inputs` must have shape \(2,\), but got shape \(3,\)"),
        (lambda net: net.propagate(np.zeros(2) * 1j), TypeError, "`inputs` must be real, but got dtype complex128"),
        (lambda net: net.activate(jnp.zeros(5)), ValueError, r"`x` must have shape \(6,\), but got shape \(5,\)"),
        (
            lambda net: net.residual(jnp.zeros((1, 6))),
            ValueError,
            r"`x` must have shape \(6,\), but got shape \(1, 6\)",
        ),
        (lambda net: net.slopes(jnp.zeros(())), ValueError, r"`x` must have shape \(6,\), but got shape \(\)"),
        (lambda net: net.conditions(np.zeros(1)), ValueError, r"`inputs` must have shape \(2,\), but got shape \(1,\)"),
        (lambda net: net.fixed_point([0.0]), ValueError, r"`boundary` must have shape \(2,\), but got shape \(1,\)"),
        (lambda net: net.fixed_point([0, 0], max_steps=0), ValueError, "`max_steps` must be positive, but got 0"),
        (
            lambda net: net.fixed_point([0, 0], initial=np.zeros(2)),
            ValueError,
            r"`initial` must have shape \(6,\), but got shape \(2,\)",
        ),
        (lambda net: net.fixed_point([0, 0], tolerance=-1.0), ValueError, "`tolerance` must be positive, but got -1"),
        (
            lambda net: net.residual(jnp.zeros(6), jnp.zeros(1)),
            ValueError,
            r"`inputs` must have shape \(2,\), but got shape \(1,\)",
        ),
        (
            lambda net: net.clamp(jnp.zeros(6), jnp.zeros(1)),
            ValueError,
            r"`inputs` must have shape \(2,\), but got shape \(1,\)",
        ),
        (
            lambda net: net.clamp(jnp.zeros(6), 0.5),
            ValueError,
            r"`inputs` must have shape \(2,\), but got shape \(\)",
        ),
        (
            lambda net: net.clamp(jnp.zeros(6), None, jnp.zeros(1)),
            ValueError,
            r"`targets` must have shape \(2,\), but got shape \(1,\)",
        ),
        (
            lambda net: net.clamp(jnp.zeros(6), None, ["a", "b"]),
            TypeError,
            "`targets` must be real, but got dtype <U1",
        ),
        (lambda net: net.clamp(jnp.zeros(5)), ValueError, r"`x` must have shape \(6,\), but got shape \(5,\)"),
        (lambda net: net.activate((jnp.zeros(2), jnp.zeros(4))), ValueError, "`x` must be one vector, but got tuple"),
        (lambda net: net.residual([0.0] * 6), ValueError, "`x` must be one vector, but got list"),
    ],
)
def test_bad_arguments_are_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(graph(0))
