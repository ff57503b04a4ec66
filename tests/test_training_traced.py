"""`train` on traced networks and on models of any kind, against layers, plain Optax loops, and itself resumed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from systems import network
from zoo import Convolutional, flax_rules

import nnthermo as nt
from nnthermo.checkpoint import Checkpoint

KEY, SIZES = jax.random.key(3), (3, 4, 2)
ADAM = optax.adam(0.02)
# Two programs whose sums differ by ε an operation, and Adam's quotient m/√v by up to 30 of that; some ten steps that
# stretch differences by less than 10 each in all but a few directions
ROUNDING = 1e-10
OFFSET = np.asarray([0.3, -0.2])


def samples(*shapes, n=7):
    rng = np.random.default_rng(0)
    return tuple(0.7 * rng.normal(size=(n, *shape)) for shape in shapes)


def layers(q, u):
    """tanh layers with numbers beside the parameters: a constant that is closed over, and a whole number."""
    (w, b), (w_last, b_last) = q["layers"]
    nothing = OFFSET * (q["number"] - 3).astype(u.dtype)
    return jnp.tanh(w_last @ jnp.tanh(w @ u + b) + b_last + nothing)


@functools.cache
def twins():
    """A feed-forward network, and what traces to the same numbers."""
    net = network(0, SIZES, scale=0.9)
    q = {"layers": list(zip(net.weights, net.biases, strict=True)), "number": jnp.asarray(3)}
    return net, nt.network_from(layers, jnp.zeros(3), q)


def same(one, other, tolerance=0.0):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@functools.cache
def trained(which, **change):
    options = {"observe": MEAN, "observe_at": (0, 2, 4), "epochs": 4, **change}
    return nt.train(twins()[which], samples((3,), (2,)), key=KEY, optimizer=ADAM, batch_size=3, **options)


def mean_output(net, inputs, targets):
    return jnp.mean(jax.vmap(lambda u: net.outputs(net.propagate(u)))(inputs) - targets)


MEAN = nt.combine({"mean": mean_output})


def test_traced_layers_train_as_the_layers_do():
    ours, theirs = trained(1), trained(0)
    q = ours.network.parameters
    assert isinstance(ours.network, nt.TracedNetwork)
    assert q["number"] == 3
    same([w for w, _ in q["layers"]], list(theirs.network.weights), ROUNDING)
    same([b for _, b in q["layers"]], list(theirs.network.biases), ROUNDING)
    same(ours.history, theirs.history, ROUNDING)
    moved = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), q, twins()[1].parameters)
    assert min(jax.tree.leaves(moved["layers"])) > 0.01


def test_a_traced_run_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """The optimiser's memory is of the parameters alone, and comes back with them."""
    save, saved = Checkpoint.save, []

    def stopped(self, state, *rest):
        save(self, state, *rest)
        saved.append(state)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stopped)
    net, data = twins()[1], samples((3,), (2,))
    options = {"key": KEY, "epochs": 4, "optimizer": ADAM, "batch_size": 3, "observe": MEAN, "observe_at": (0, 2, 4)}
    options["checkpoint"] = nt.Checkpoint(tmp_path, every=2)
    with pytest.raises(KeyboardInterrupt):
        nt.train(net, data, **options)
    shapes = [np.shape(w) for pair in net.parameters["layers"] for w in pair]
    assert [np.shape(leaf) for leaf in jax.tree.leaves(saved[0][0])] == [*shapes, (), *shapes, *shapes]
    monkeypatch.setattr(Checkpoint, "save", save)
    result = nt.train(net, data, **options)
    same(result.network, trained(1).network)
    same(result.history, trained(1).history)
    other = net.replace(parameters={**net.parameters, "number": jnp.asarray(4)})
    with pytest.raises(ValueError, match="`checkpoint` must come from the same run .* another `initial network`"):
        nt.train(other, data, **options)


@flax_rules()
def test_a_convolutional_model_equals_a_plain_loop_and_comes_back_as_one():
    """Batch statistics are no parameters. The data are images, the targets in the shape of the output."""
    model, (images, targets) = Convolutional(nnx.Rngs(0)), samples((6, 6, 1), (3,), n=8)
    graph, q, *rest = nnx.split(model, nnx.Param, ...)
    before = [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.BatchStat))]

    @jax.jit
    def step(q, memory, u, t):
        def loss(q):
            outputs = jax.vmap(nnx.merge(graph, q, *rest))(u)
            return 0.5 * jnp.mean(jnp.sum((outputs - t) ** 2, axis=1))

        value, gradient = jax.value_and_grad(loss)(q)
        change, memory = ADAM.update(gradient, memory, q)
        return optax.apply_updates(q, change), memory, value

    options = {"key": KEY, "epochs": 3, "optimizer": ADAM, "batch_size": 4, "observe": {}, "observe_at": (1, 2, 3)}
    result = nt.train(model, (images, targets), **options)
    memory, losses = ADAM.init(q), []
    for epoch in range(3):
        order = jax.random.permutation(jax.random.fold_in(KEY, epoch), 8).reshape(2, 4)
        values = []
        for rows in order:
            q, memory, value = step(q, memory, images[rows], targets[rows])
            values.append(value)
        losses.append(np.mean(values))
    assert isinstance(result.network, Convolutional)
    same(nnx.state(result.network, nnx.Param), q, ROUNDING)
    np.testing.assert_allclose(result.history["loss"], losses, rtol=ROUNDING)
    same(nnx.state(result.network, nnx.BatchStat), before)
    kernel = model.conv.kernel[...]
    assert (
        np.abs(np.asarray(kernel) - np.asarray(result.network.conv.kernel[...])).max() > 0.01
    )  # the given model is as it was


def test_what_cannot_be_trained_is_refused_by_name():
    net, (inputs, targets) = twins()[1], samples((3,), (2,))
    options = {"key": KEY, "epochs": 1}

    def refused(sentence, given, data, kind=ValueError, **more):
        with pytest.raises(kind, match=sentence):
            nt.train(given, data, **options, **more)

    advice = r"`net` must have parameters to train, but got none: give `nt.network_from` a function of \(parameters"
    for bare in (nt.network_from(jnp.tanh, inputs[0]), net.replace(parameters=net.parameters)):
        given = bare if bare.parameters is None else nt.network_from(lambda _, u: jnp.tanh(u), inputs[0], {})
        refused(advice, given, inputs)
    rows = nt.network_from(lambda q, u: jnp.tanh(u @ q), jnp.zeros((2, 3)), jnp.ones((3, 3)))
    shapes = r"`inputs` must have shape \(samples, 2, 3\) or \(samples, 6\), but got shape"
    refused(shapes, rows, np.zeros((5, 3)))
    refused(shapes, rows, np.zeros((2, 3)))
    refused(r"`targets` must have shape \(samples, 2\), but got shape", net, (inputs, inputs))
    refused("`dtype` must be None for a TracedNetwork of float64", net, (inputs, targets),
            observe=nt.thermodynamic_observer(dtype=jnp.float32))  # fmt: skip
    for observer in (nt.weight_observer(), nt.state_observer()):
        refused("`net` must be a FeedForward or a Septuple for statistics", net, (inputs, targets), TypeError,
                observe=observer)  # fmt: skip
    refused("but got PjitFunction: `nt.network_from` makes a network of a function", jnp.tanh, inputs, TypeError)
