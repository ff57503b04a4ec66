"""`train` against a plain Optax loop, closed forms of gradient descent, and itself repeated."""

import builtins
import functools
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import nnthermo as nt

SIZES, SAMPLES, EPOCHS = (3, 4, 2), 7, 4
OPTIMIZERS = {
    "sgd": optax.sgd(0.3),
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.02),
}
SGD = OPTIMIZERS["sgd"]
# Two programs that compute the same sums in another order differ by ε an operation. Over the at most 12 steps here the
# map from weights to weights stretches differences by less than 10 a step in all but a few directions; Adam's quotient
# m/√v by up to 1/√(1 - 0.999) ≈ 30 more. 1e-10 is 4e5 ε.
ROUNDING = 1e-10

seeds = st.integers(0, 2**31 - 1)
scales = st.floats(0.1, 2.0)
few = settings(max_examples=10)


def network(seed=0, scale=1.0, dtype=None, activation=jnp.tanh, sizes=SIZES):
    net = nt.FeedForward.init(jax.random.key(seed), sizes, activation=activation, scale=scale, dtype=dtype)
    biases = np.random.default_rng(seed).normal(size=sum(sizes[1:])) * 0.3
    parts = np.split(biases.astype(net.weights[0].dtype), np.cumsum(sizes[1:])[:-1])
    return nt.FeedForward(net.weights, parts, activation=activation)


def samples(seed=0, n=SAMPLES, sizes=SIZES):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, sizes[0])), 0.5 * rng.normal(size=(n, sizes[-1]))


def leaves(net):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(net)]


def assert_close(net, other, tolerance=ROUNDING):
    for a, b in zip(leaves(net), leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def assert_identical(net, other):
    for a, b in zip(leaves(net), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def same_history(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def total(net, inputs, targets):
    return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(net))


def squares(net, inputs, targets):
    """½|P_out x - t|² averaged over the samples, the layers written out."""
    x = inputs.T
    for w, b in zip(net.weights, net.biases, strict=True):
        x = jnp.tanh(w @ x + b[:, None])
    return 0.5 * jnp.mean(jnp.sum((x.T - targets) ** 2, axis=1))


WATCH = {"total": total, "squares": squares}
NOTHING = {"observe": {}, "observe_at": ()}


@functools.cache
def jitted_step(optimizer, objective):
    """One Optax step on the rows that are given, however few."""

    @jax.jit
    def step(net, memory, inputs, targets):
        value, gradient = jax.value_and_grad(objective)(net, inputs, targets)
        with jax.numpy_dtype_promotion("standard"):  # Optax's Adam raises a float to an integer power
            updates, memory = optimizer.update(gradient, memory, net)
        return optax.apply_updates(net, updates), memory, value

    return step


def plain_loop(net, data, *, key, epochs, optimizer, objective, batch=None):
    """Optax as its documentation writes it: the networks after 0, 1, ... epochs and the mean losses of the epochs."""
    inputs, targets = (jnp.asarray(a, leaves(net)[0].dtype) for a in data)
    n = len(inputs)
    step, memory = jitted_step(optimizer, objective), optimizer.init(net)
    networks, losses = [net], [np.nan]
    for epoch in range(epochs):
        order = jax.random.permutation(jax.random.fold_in(key, epoch), n)
        values = []
        for start in range(0, n, batch or n):
            rows = order[start : start + (batch or n)]
            net, memory, value = step(net, memory, inputs[rows], targets[rows])
            values.append(float(value))
        networks.append(net)
        losses.append(np.mean(values))
    return networks, np.array(losses)


@pytest.mark.parametrize("batch", [None, 3, 1])
@pytest.mark.parametrize("name", OPTIMIZERS)
@few
@given(seed=seeds, scale=scales)
def test_equals_a_plain_optax_loop(name, batch, seed, scale):
    net, data, key = network(seed, scale), samples(seed), jax.random.key(seed)
    given_leaves = leaves(net)
    result = nt.train(
        net, data, key=key, epochs=EPOCHS, optimizer=OPTIMIZERS[name], batch_size=batch,
        observe=WATCH, observe_at=range(EPOCHS + 1),
    )  # fmt: skip
    networks, losses = plain_loop(
        net, data, key=key, epochs=EPOCHS, optimizer=OPTIMIZERS[name], objective=squares, batch=batch
    )
    assert isinstance(result.network, nt.FeedForward)
    assert result.epochs == EPOCHS
    assert result.finite
    assert_close(result.network, networks[-1])
    np.testing.assert_array_equal(result.history["epoch"], np.arange(EPOCHS + 1))
    np.testing.assert_allclose(result.history["loss"], losses, rtol=ROUNDING, equal_nan=True)
    for name_, function in WATCH.items():
        by_hand = [function(n, *map(jnp.asarray, data)) for n in networks]
        np.testing.assert_allclose(result.history[name_], by_hand, rtol=ROUNDING, atol=ROUNDING)
    assert_identical(net, given_leaves)


def relaxed(net, x, target):
    return nt.relaxed_bulk_loss(net, x, target, tolerance=1e-11)


def mixture(net, x, target):
    return 0.25 * nt.boundary_loss(net, x, target) + 0.75 * relaxed(net, x, target)


@pytest.mark.parametrize(("loss", "batch"), [(relaxed, None), (mixture, 3)])
def test_other_losses_equal_a_plain_loop(loss, batch):
    net, data, key = network(3, 1.5), samples(3), jax.random.key(3)

    def objective(net, inputs, targets):
        return jnp.mean(jax.vmap(lambda u, t: loss(net, net.propagate(u), t))(inputs, targets))

    result = nt.train(net, data, key=key, epochs=2, optimizer=SGD, loss=loss, batch_size=batch, **NOTHING)
    networks, _ = plain_loop(net, data, key=key, epochs=2, optimizer=SGD, objective=objective, batch=batch)
    # both stop a relaxation within 1e-11 of the minimum's gradient, perhaps a step apart; the weight gradient there is
    # first order in the state, hence 1e-11 times the inverse stiffness of the hidden state, at most 100 here
    assert_close(result.network, networks[-1], 1e-9)
    boundary = nt.train(net, data, key=key, epochs=2, optimizer=SGD, batch_size=batch, **NOTHING)
    assert np.abs(leaves(result.network)[0] - leaves(boundary.network)[0]).max() > 1e-4


@few
@given(seed=seeds, scale=scales)
def test_relaxed_loss_of_a_linear_network_follows_its_closed_form(seed, scale):
    """H* = ½ eᵀ(I + W₂W₂ᵀ)⁻¹e for two linear layers: training on the relaxed loss is training on that."""
    net, data = network(seed, scale, activation=identity), samples(seed)

    def closed(net, inputs, targets):
        (w1, w2), (b1, b2) = net.weights, net.biases
        error = targets - ((inputs @ w1.T + b1[None]) @ w2.T + b2[None])
        stiffness = jnp.eye(len(w2)) + w2 @ w2.T
        return 0.5 * jnp.mean(jnp.sum(error * jnp.linalg.solve(stiffness, error.T).T, axis=1))

    key = jax.random.key(seed)
    result = nt.train(net, data, key=key, epochs=3, optimizer=SGD, loss=relaxed, batch_size=4, **NOTHING)
    networks, _ = plain_loop(net, data, key=key, epochs=3, optimizer=SGD, objective=the(closed, "linear"), batch=4)
    # as above: 1e-11 in the state's gradient, stiffness at least 1 / (1 + |W|²), |W|² below 60
    assert_close(result.network, networks[-1], 1e-8)


def identity(y):
    return y


@functools.cache
def _kept(name):
    return []


def the(function, name):
    """The first function given under a name, so that hypothesis' examples share one compiled step."""
    kept = _kept(name)
    kept.append(function) if not kept else None
    return kept[0]


@given(seed=seeds, stretch=st.floats(0.05, 0.95), epochs=st.integers(0, 50))
@settings(max_examples=20)
def test_gradient_descent_on_a_quadratic_loss_has_its_closed_form(seed, stretch, epochs):
    """One linear layer, full batch: θ_k = θ* + (I - ηH)^k (θ_0 - θ*), H the second moments of (inputs, 1)."""
    inputs, targets = samples(seed, n=9, sizes=(3, 2))
    rate = 0.3
    inputs *= np.sqrt(stretch * 2 / rate / np.linalg.eigvalsh(inputs.T @ inputs / 9)[-1])
    net = network(seed, sizes=(3, 2), activation=identity)
    extended = np.hstack([inputs, np.ones((9, 1))])
    H = extended.T @ extended / 9
    start = np.hstack([leaves(net)[0], leaves(net)[1][:, None]]).T
    best = np.linalg.lstsq(extended, targets, rcond=None)[0]
    decay = np.linalg.matrix_power(np.eye(4) - rate * H, epochs)
    expected = best + decay @ (start - best)
    result = nt.train(net, (inputs, targets), key=jax.random.key(seed), epochs=epochs, optimizer=SGD, **NOTHING)
    found = np.hstack([leaves(result.network)[0], leaves(result.network)[1][:, None]]).T
    # lstsq loses ε cond(X)² < 1e-9 for the worst of these Gaussian designs; past the edge of stability errors grow too
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * max(1, np.abs(decay).max()))


def lower_triangular(seed, size=6):
    """A dense acyclic graph with skip connections: 2 inputs, 2 outputs."""
    rng = np.random.default_rng(seed)
    weight = np.tril(rng.normal(size=(size, size)), -1)
    weight[:2] = 0
    weight[:, -2:] = 0
    index = np.arange(size)
    return nt.Septuple(
        weight, 0.1 * rng.normal(size=size), activation=jnp.tanh, input_mask=index < 2, output_mask=index >= size - 2
    )


def test_septuple_of_layers_trains_as_the_layers_do():
    net, data, key = network(5), samples(5), jax.random.key(5)
    options = {"key": key, "epochs": 3, "optimizer": OPTIMIZERS["adam"], "batch_size": 3, **NOTHING}
    layered = nt.train(net, data, **options).network
    graph = nt.train(net.to_septuple(), data, **options).network
    assert isinstance(graph, nt.Septuple)
    hidden = np.asarray(net.to_septuple().weight != 0)
    assert_close(graph.weight, layered.to_septuple().weight)
    np.testing.assert_array_equal(np.asarray(graph.weight)[~hidden], 0)  # absent connections stay absent
    assert graph.conditions().layers == 3
    np.testing.assert_allclose(graph.bias[3:], layered.to_septuple().bias[3:], rtol=ROUNDING, atol=ROUNDING)


def test_general_graph_equals_a_plain_loop_and_stays_acyclic():
    net, data, key = lower_triangular(1), samples(1, sizes=(2, 2)), jax.random.key(1)
    optimizer = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.2, momentum=0.5))
    links = np.asarray(net.weight) != 0

    def objective(net, inputs, targets):
        def one(u):
            x = [u[0], u[1]]
            for i in range(2, 6):
                x.append(jnp.tanh(sum(net.weight[i, j] * x[j] for j in range(i) if links[i, j]) + net.bias[i]))
            return jnp.stack(x[-2:])

        return 0.5 * jnp.mean(jnp.sum((jax.vmap(one)(inputs) - targets) ** 2, axis=1))

    result = nt.train(net, data, key=key, epochs=3, optimizer=optimizer, batch_size=3, **NOTHING)
    networks, _ = plain_loop(net, data, key=key, epochs=3, optimizer=optimizer, objective=objective, batch=3)
    assert_close(result.network, networks[-1])
    assert result.network.conditions().acyclic


def test_noise_in_the_optimizer_makes_no_connection():
    net, data = lower_triangular(2), samples(2, sizes=(2, 2))
    noisy = optax.noisy_sgd(0.1, key=jax.random.key(9))
    result = nt.train(net, data, key=jax.random.key(2), epochs=2, optimizer=noisy, **NOTHING)
    changed = np.asarray(result.network.weight) != np.asarray(net.weight)
    np.testing.assert_array_equal(changed, np.asarray(net.weight) != 0)


def flax_models():
    mlp = nt.MLP(SIZES, jnp.tanh, rngs=nnx.Rngs(0))
    stack = nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(1)), jnp.tanh, nnx.Linear(4, 2, rngs=nnx.Rngs(2)), jnp.tanh)
    flat = nt.LinenMLP(features=SIZES[1:], activation=jnp.tanh)
    chain = linen.Sequential([linen.Dense(4), jnp.tanh, linen.Dense(2), jnp.tanh])
    one = jnp.ones((1, 3), jnp.float32)
    return {
        "nnx MLP": mlp,
        "nnx Sequential": stack,
        "linen MLP": (flat, flat.init(jax.random.key(3), one)),
        "linen Sequential": (chain, chain.init(jax.random.key(4), one)),
    }


def outputs_of(model, inputs):
    if isinstance(model, tuple):
        return model[0].apply(model[1], inputs)
    return model(inputs)


@pytest.mark.parametrize("name", ["nnx MLP", "nnx Sequential", "linen MLP", "linen Sequential"])
def test_flax_models_come_back_as_the_kind_given(name):
    model = flax_models()[name]
    data = tuple(a.astype(np.float32) for a in samples(6))
    convert = (lambda m: nt.from_linen(*m)) if isinstance(model, tuple) else nt.from_nnx
    before = leaves(convert(model))
    key = jax.random.key(6)
    options = {"key": key, "epochs": 3, "optimizer": OPTIMIZERS["adam"], "batch_size": 3, **NOTHING}
    result = nt.train(model, data, **options)
    assert type(result.network) is type(model)
    networks, _ = plain_loop(
        convert(model), data, key=key, epochs=3, optimizer=OPTIMIZERS["adam"], objective=squares, batch=3
    )
    # float32: 2e5 ε as ROUNDING is of float64, less for fewer steps
    assert_close(convert(result.network), networks[-1], 1e-4)
    assert leaves(convert(result.network))[0].dtype == np.float32
    expected = jax.vmap(lambda u: networks[-1].outputs(networks[-1].propagate(u)))(jnp.asarray(data[0]))
    np.testing.assert_allclose(outputs_of(result.network, jnp.asarray(data[0])), expected, atol=1e-4)
    assert_identical(before, convert(model))  # the given model is unchanged and its arrays alive
    assert np.abs(leaves(convert(result.network))[0] - before[0]).max() > 1e-3


def test_given_arrays_survive_and_are_not_copied_from_later():
    weights = [jnp.asarray(w) for w in network(7).weights]
    net = nt.FeedForward(weights, network(7).biases, activation=jnp.tanh)
    inputs, targets = map(jnp.asarray, samples(7))
    options = {"key": jax.random.key(7), "epochs": 2, "optimizer": SGD, **NOTHING}
    first = nt.train(net, (inputs, targets), **options)
    again = nt.train(net, (inputs, targets), **options)
    assert not any(a.is_deleted() for a in (*weights, inputs, targets, *jax.tree.leaves((net, first.network))))
    assert_identical(first.network, again.network)


@pytest.mark.parametrize("batch", [None, 3])
def test_bit_identical_whatever_is_recorded_or_shown(batch, tmp_path):
    net, data = network(8), samples(8)
    options = {"key": jax.random.key(8), "epochs": 23, "optimizer": OPTIMIZERS["adam"], "batch_size": batch}
    first = nt.train(net, data, **options, observe=WATCH, observe_at=(0, 5, 23))
    again = nt.train(net, data, **options, observe=WATCH, observe_at=(0, 5, 23))
    assert_identical(first.network, again.network)
    same_history(first.history, again.history)
    marks = ((), (0,), (23,), range(24), (1, 2, 3), None)
    for watched in itertools.chain(
        (nt.train(net, data, **options, observe=WATCH, observe_at=at) for at in marks),
        [nt.train(net, data, **options, observe=WATCH, checkpoint=nt.Checkpoint(tmp_path, every=4), progress=True)],
    ):
        assert_identical(first.network, watched.network)
        both = np.intersect1d(first.history["epoch"], watched.history["epoch"])
        for name in ("loss", *WATCH):
            rows = [np.isin(r.history["epoch"], both) for r in (first, watched)]
            np.testing.assert_array_equal(first.history[name][rows[0]], watched.history[name][rows[1]])


def test_the_key_orders_the_samples():
    net, data = network(9), samples(9)
    options = {"epochs": 2, "optimizer": SGD, **NOTHING}
    runs = [nt.train(net, data, key=jax.random.key(k), batch_size=3, **options).network for k in (0, 1)]
    assert np.abs(leaves(runs[0])[0] - leaves(runs[1])[0]).max() > 1e-4
    old_style = nt.train(net, data, key=jax.random.PRNGKey(0), batch_size=3, **options).network
    assert_identical(runs[0], old_style)
    whole = [nt.train(net, data, key=jax.random.key(k), **options).network for k in (0, 1)]
    assert_close(*whole)  # a full batch is the same sum in another order


def test_history_of_the_thermodynamic_observer_is_that_observer_by_hand():
    net, data, key = network(10), samples(10), jax.random.key(10)
    observer = nt.thermodynamic_observer()
    options = {"key": key, "optimizer": SGD, "batch_size": 3}
    result = nt.train(net, data, epochs=3, observe=observer, **options)
    assert result.history["epoch"].tolist() == [0, 1, 2, 3]
    networks, _ = plain_loop(net, data, key=key, epochs=3, optimizer=SGD, objective=squares, batch=3)
    observe = jax.jit(observer)
    for row, at in enumerate(networks):
        expected = observe(at, *map(jnp.asarray, data))
        assert set(expected) | {"epoch", "loss"} == set(result.history)
        for name, value in expected.items():
            # ROUNDING times the conditioning of moments of log λ at a sum that nearly cancels
            np.testing.assert_allclose(result.history[name][row], value, rtol=1e-7, atol=1e-8, err_msg=name)
    default = nt.train(net, data, epochs=0, observe_at=(), **options)
    assert default.history.keys() == result.history.keys()


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ((), []),
        ((0,), [0]),
        ((5,), [5]),
        ((3, 3, 0, 3), [0, 3]),
        ((5, 1, 4), [1, 4, 5]),
        (np.array([4, 2]), [2, 4]),
        (iter([2, 1]), [1, 2]),
        ({4}, [4]),
    ],
)
def test_observe_at(at, expected):
    net, data, key = network(11), samples(11), jax.random.key(11)
    result = nt.train(net, data, key=key, epochs=5, optimizer=SGD, observe=WATCH, observe_at=at)
    assert result.history["epoch"].tolist() == expected
    assert {name: len(values) for name, values in result.history.items()} == dict.fromkeys(
        ("epoch", "loss", *WATCH), len(expected)
    )
    networks, losses = plain_loop(net, data, key=key, epochs=5, optimizer=SGD, objective=squares)
    np.testing.assert_allclose(result.history["loss"], losses[expected], rtol=ROUNDING, equal_nan=True)
    by_hand = [total(networks[e], *data) for e in expected]
    np.testing.assert_allclose(result.history["total"], by_hand, rtol=ROUNDING, atol=ROUNDING)
    assert_close(result.network, networks[-1])


@pytest.mark.parametrize("at", [None, (), (0,)])
def test_no_epochs(at):
    net, data = network(12), samples(12)
    result = nt.train(net, data, key=jax.random.key(0), epochs=0, observe=WATCH, observe_at=at)
    assert_identical(net, result.network)
    assert (result.epochs, result.finite) == (0, True)
    assert result.history["epoch"].tolist() == ([] if at == () else [0])
    assert np.isnan(result.history["loss"]).all()


def test_observers_in_either_form_and_of_any_shape():
    net, data = network(13), samples(13)

    def shapes(net, inputs, targets):
        return {"first": net.weights[0], "rows": jnp.asarray(inputs.shape[0]), "mean": jnp.mean(targets, axis=0)}

    options = {"key": jax.random.key(1), "epochs": 2, "optimizer": SGD, "observe_at": (0, 2)}
    one = nt.train(net, data, observe=shapes, **options)
    two = nt.train(net, data, observe={name: pick(shapes, name) for name in ("first", "rows", "mean")}, **options)
    same_history(one.history, two.history)
    assert one.history["first"].shape == (2, 4, 3)
    np.testing.assert_array_equal(one.history["first"][0], net.weights[0])
    np.testing.assert_array_equal(one.history["first"][1], one.network.weights[0])
    assert one.history["rows"].tolist() == [SAMPLES, SAMPLES]
    assert np.issubdtype(one.history["rows"].dtype, np.integer)
    np.testing.assert_allclose(one.history["mean"][1], data[1].mean(axis=0), rtol=1e-14)  # a sum of 7
    assert one.history["epoch"].dtype == np.int64
    assert all(isinstance(values, np.ndarray) for values in one.history.values())


def pick(function, name):
    return lambda *arguments: function(*arguments)[name]


def test_a_run_that_diverges_stops_and_says_so():
    net, data = network(14, activation=identity), samples(14)
    wild = optax.sgd(1e3)
    options = {"key": jax.random.key(1), "optimizer": wild}
    result = nt.train(net, data, epochs=500, observe=WATCH, observe_at=range(0, 501, 2), **options)
    assert not result.finite
    assert 1 < result.epochs < 100
    assert result.history["epoch"].tolist() == list(range(0, result.epochs, 2))
    assert np.isfinite(result.history["loss"][1:]).all()
    assert np.isfinite(result.history["total"]).all()
    # where it stops does not depend on what is recorded, and the epoch before was finite
    assert nt.train(net, data, epochs=500, **NOTHING, **options).epochs == result.epochs
    before = nt.train(net, data, epochs=result.epochs - 1, **NOTHING, **options)
    assert before.finite
    assert all(np.isfinite(leaf).all() for leaf in leaves(before.network))


def test_a_loss_that_is_not_a_number_from_the_start():
    net, data = network(14), samples(14)
    result = nt.train(net, data, key=jax.random.key(1), epochs=9, loss=not_a_number, observe=WATCH)
    assert (result.finite, result.epochs, result.history["epoch"].tolist()) == (False, 1, [0])


def test_weights_that_overflow_in_the_last_step_are_seen():
    net, (inputs, targets) = network(14), samples(14)
    data = inputs, 100 * targets
    result = nt.train(net, data, key=jax.random.key(1), epochs=1, optimizer=optax.sgd(1.7e308), observe=WATCH)
    by_hand = jax.grad(squares)(net, *map(jnp.asarray, data))
    assert max(np.abs(g).max() for g in leaves(by_hand)) > 1.1  # which 1.7e308 takes over the largest double
    assert (result.finite, result.epochs, result.history["epoch"].tolist()) == (False, 1, [0])


def not_a_number(net, x, target):
    return jnp.log(-jnp.sum(x[-1] ** 2) - 1)


def test_single_precision_stays_single():
    net, data = network(15, dtype=jnp.float32), samples(15)
    options = {"key": jax.random.key(1), "epochs": 2, "optimizer": OPTIMIZERS["adam"], "batch_size": 3}
    result = nt.train(net, data, observe=WATCH, **options)
    assert {leaf.dtype for leaf in leaves(result.network)} == {np.dtype(np.float32)}
    assert {v.dtype for name, v in result.history.items() if name != "epoch"} == {np.dtype(np.float32)}
    whole = (np.ones((4, 3), int), np.zeros((4, 2), bool))
    assert nt.train(net, whole, key=jax.random.key(1), epochs=1, **NOTHING).finite


def test_the_default_observer_of_single_precision_is_single():
    net, data = network(15, dtype=jnp.float32), samples(15)
    result = nt.train(net, data, key=jax.random.key(1), epochs=1, observe_at=(1,))
    floats = {name: v.dtype for name, v in result.history.items() if np.issubdtype(v.dtype, np.floating)}
    assert set(floats.values()) == {np.dtype(np.float32)}, floats


def test_default_optimizer_is_plain_descent():
    net, data, key = network(16), samples(16), jax.random.key(16)
    result = nt.train(net, data, key=key, epochs=2, batch_size=3, **NOTHING)
    networks, _ = plain_loop(net, data, key=key, epochs=2, optimizer=optax.sgd(0.1), objective=squares, batch=3)
    assert_close(result.network, networks[-1])


def test_optimizers_that_want_the_loss_get_it():
    """Polyak's step is loss / |gradient|²."""
    net, data, key = network(17), samples(17), jax.random.key(17)
    polyak = optax.polyak_sgd(max_learning_rate=1e6)
    result = nt.train(net, data, key=key, epochs=2, optimizer=polyak, **NOTHING)
    expected = net
    for _ in range(2):
        value, gradient = jax.value_and_grad(squares)(expected, *data)
        rate = value / sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient))
        expected = jax.tree.map(lambda p, g, r=rate: p - r * g, expected, gradient)
    assert_close(result.network, expected)


def test_runs_that_share_functions_and_shapes_compile_once():
    traces = []

    def counted(net, x, target):
        traces.append(1)
        return nt.boundary_loss(net, x, target)

    options = {"epochs": 2, "optimizer": SGD, "loss": counted, "batch_size": 3, "observe": WATCH}
    nt.train(network(18), samples(18), key=jax.random.key(0), **options)
    first = len(traces)
    nt.train(network(19), samples(19), key=jax.random.key(1), **options)
    assert len(traces) - first <= 1  # the check of its shape


def test_a_loss_that_cannot_be_hashed():
    class Doubled:
        __hash__ = None

        def __call__(self, net, x, target):
            return 2 * nt.boundary_loss(net, x, target)

    net, data, key = network(21), samples(21), jax.random.key(21)
    options = {"key": key, "epochs": 1, **NOTHING}
    result = nt.train(net, data, loss=Doubled(), optimizer=optax.sgd(0.15), **options)
    assert_close(result.network, nt.train(net, data, optimizer=SGD, **options).network)


def test_progress_bar(capsys, monkeypatch):
    import tqdm.auto

    bars = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            bars.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    net, data = network(20), samples(20)
    options = {"key": jax.random.key(0), "optimizer": SGD, "observe": WATCH, "observe_at": (7, 40)}
    result = nt.train(net, data, epochs=40, progress=True, **options)
    (bar,) = bars
    assert (bar.n, bar.total, bar.disable) == (40, 40, True)  # closing disables
    assert "40/40" in capsys.readouterr().err
    assert_identical(result.network, nt.train(net, data, epochs=40, **options).network)
    assert capsys.readouterr().err == ""
    nt.train(net, data, key=jax.random.key(0), epochs=40, progress=True, loss=not_a_number, observe=WATCH)
    assert (bars[1].n, bars[1].disable) == (1, True)

    class BrokenError(Exception):
        pass

    def broken(net, inputs, targets):
        return {"total": jax.pure_callback(fail, jax.ShapeDtypeStruct((), float), total(net, inputs, targets))}

    def fail(value):
        raise BrokenError

    with pytest.raises(Exception, match="BrokenError"):
        nt.train(net, data, epochs=4, progress=True, **{**options, "observe": broken, "observe_at": (4,)})
    assert bars[2].disable


def test_progress_told_to_a_function():
    told = []
    net, data = network(20), samples(20)
    options = {"key": jax.random.key(0), "optimizer": SGD, "observe": WATCH, "observe_at": (7, 40)}
    result = nt.train(net, data, epochs=40, progress=lambda done, total: told.append((done, total)), **options)
    assert told == [(7, 40), (17, 40), (27, 40), (37, 40), (40, 40)]
    assert_identical(result.network, nt.train(net, data, epochs=40, **options).network)


def test_missing_progress_bar_names_the_command(monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "tqdm":
            monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == "tqdm":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install 'nnthermo\[experiments\]'"):
        nt.train(network(), samples(), key=jax.random.key(0), epochs=1, progress=True)


x, t = samples()
graph, pair = lower_triangular(0), samples(sizes=(2, 2))
nan = np.where(np.arange(21).reshape(7, 3) == 4, np.nan, x)
BAD = {
    "another kind of network": ({"net": jnp.tanh}, TypeError, "`net` must be a network or a Flax model, but got"),
    "data not a pair": ({"data": {"x": x}}, ValueError, r"`data` must be a pair \(inputs, targets\) .*, but got dict"),
    "no targets": ({"data": x}, ValueError, "`target` must be given for the boundary loss .*, but got None"),
    "data of three": ({"data": (x, t, t)}, ValueError, r"`data` must be a pair .*, but got tuple of 3"),
    "inputs of another width": ({"data": (t, t)}, ValueError, r"`inputs` must have 3 columns, .* shape \(7, 2\)"),
    "targets of another width": ({"data": (x, x)}, ValueError, r"`targets` must have 2 columns, .* shape \(7, 3\)"),
    "fewer targets": ({"data": (x, t[:5])}, ValueError, r"`targets` must have 7 rows, .* shape \(5, 2\)"),
    "one sample as a vector": ({"data": (x[0], t[0])}, ValueError, "`inputs` must have 2 dimensions, but got"),
    "no samples": ({"data": (x[:0], t[:0])}, ValueError, "`inputs` must hold at least one sample, but got"),
    "inputs not finite": ({"data": (nan, t)}, ValueError, "`inputs` must be finite, but got 1 non-finite"),
    "targets not finite": ({"data": (x, t * np.inf)}, ValueError, "`targets` must be finite, but got 14"),
    "complex inputs": ({"data": (x + 0j, t)}, TypeError, "`inputs` must be real, but got dtype complex128"),
    "text for inputs": ({"data": (x.astype(str), t)}, TypeError, "`inputs` must be real, but got dtype <U"),
    "a seed for the key": ({"key": 0}, TypeError, "`key` must be one JAX random key, .*, but got int"),
    "many keys": ({"key": jax.random.split(jax.random.key(0))}, TypeError, r"`key` must be one .* shape \(2,\)"),
    "negative epochs": ({"epochs": -1}, ValueError, "`epochs` must not be negative, but got -1"),
    "half an epoch": ({"epochs": 0.5}, TypeError, "`epochs` must be an integer, but got 0.5"),
    "empty batches": ({"batch_size": 0}, ValueError, "`batch_size` must lie between 1 and the 7 samples, but got 0"),
    "large batches": ({"batch_size": 8}, ValueError, "`batch_size` must lie between 1 and the 7 samples, but got 8"),
    "real batches": ({"batch_size": 2.0}, TypeError, "`batch_size` must be an integer, but got 2.0"),
    "marks before the start": ({"observe_at": (-1, 2)}, ValueError, r"`observe_at` must lie .* 3, but got \[-1\]"),
    "marks after the end": ({"observe_at": (1, 4)}, ValueError, r"`observe_at` must lie .* 0 and 3, but got \[4\]"),
    "marks between epochs": ({"observe_at": (1.5,)}, TypeError, "`observe_at` must be an integer, but got 1.5"),
    "one mark": ({"observe_at": 3}, TypeError, "`observe_at` must be a sequence of epochs, but got 3"),
    "optimizer by name": ({"optimizer": "adam"}, TypeError, "`optimizer` must be an Optax gradient transform.*'adam'"),
    "loss by name": ({"loss": "mse"}, TypeError, r"`loss` must be a function of \(network, state, target\), but got"),
    "loss a vector": ({"loss": lambda _n, x, t: x[-1] - t}, ValueError, r"`loss` must return a scalar .* shape \(2,\)"),
    "loss a tuple": ({"loss": lambda *_: (0.0, 1)}, ValueError, "`loss` must return a scalar .* got tuple"),
    "loss a count": ({"loss": lambda _n, _x, t: jnp.sum(t > 0)}, ValueError, "`loss` must return a real .* dtype int"),
    "loss a vector of terms": (
        {"loss": lambda n, x, t: (nt.boundary_loss(n, x, t), {"a": t})},
        ValueError,
        r"`loss` must return a scalar for each sample as 'a', but got shape \(2,\)",
    ),
    "state by name": ({"state": "fixed"}, TypeError, r"`state` must be a function of \(network, inputs\), but got"),
    "links of layers": (
        {"links": np.eye(9) > 0},
        ValueError,
        "`links` must be None for .*, but got FeedForward",
    ),
    "links of numbers": ({"net": graph, "data": pair, "links": np.eye(6)}, TypeError, "`links` must be boolean, but"),
    "links too few": (
        {"net": graph, "data": pair, "links": np.eye(6) > 0},
        ValueError,
        "`links` must have every connection that exists, but got none at",
    ),
    "other links": (
        {"net": graph, "data": pair, "links": np.eye(5) > 0},
        ValueError,
        r"`links` must have shape",
    ),
    "stop by number": ({"stop": 3}, TypeError, "`stop` must be a function of the history or a sequence of them"),
    "sinks by name": ({"sinks": "tb"}, TypeError, r"`sinks` must be functions of \(epoch, record\), but got 'tb'"),
    "observer by name": ({"observe": "loss"}, TypeError, "`observe` must be a function or a dict of functions"),
    "observer of numbers": ({"observe": {"a": 1}}, TypeError, "`observe` must hold functions, but got 1 for 'a'"),
    "observer without names": ({"observe": total}, TypeError, "`observe` must return a dict of arrays, but got"),
    "observer of pairs": ({"observe": lambda *_: {"a": (1, 2)}}, TypeError, "`observe` must return .* tuple for 'a'"),
    "observer of the loss": ({"observe": {"loss": total}}, ValueError, "`observe` must not use the names `epoch` and"),
    "checkpoint a number": ({"checkpoint": 3}, TypeError, "`checkpoint` must be a folder or a Checkpoint, but got int"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case):
    change, kind, sentence = BAD[case]
    call = {"net": network(), "data": (x, t), "key": jax.random.key(0), "epochs": 3, **change}
    with pytest.raises(kind, match=sentence) as caught:
        nt.train(call.pop("net"), call.pop("data"), **call)
    assert "\n" not in str(caught.value)


@given(epochs=st.integers(0, 10**6), count=st.integers(2, 200))
def test_log_spaced_epochs(epochs, count):
    marks = nt.log_spaced_epochs(epochs, count)
    assert marks[0] == 0
    assert marks[-1] == epochs
    assert list(marks) == sorted(set(marks))
    assert len(marks) <= count
    assert all(isinstance(e, int) for e in marks)
    if len(marks) == count > 2:  # none merged by rounding: even in the logarithm up to half an epoch
        even = np.linspace(0, np.log(epochs), count - 1)
        assert np.all(np.abs(np.array(marks[1:]) - np.exp(even)) <= 0.5 + 1e-9 * np.exp(even))  # ε of log and exp, 12×


def test_log_spaced_epochs_by_hand():
    assert nt.log_spaced_epochs(1000, 5) == (0, 1, 10, 100, 1000)
    assert nt.log_spaced_epochs(1000, 2) == (0, 1000)
    assert nt.log_spaced_epochs(3) == (0, 1, 2, 3)
    assert len(nt.log_spaced_epochs(3000)) > 60
    with pytest.raises(ValueError, match="`epochs` must not be negative, but got -1"):
        nt.log_spaced_epochs(-1)
    with pytest.raises(ValueError, match="`count` must be at least 2, but got 1"):
        nt.log_spaced_epochs(5, 1)
    with pytest.raises(TypeError, match=r"`epochs` must be an integer, but got 2\.5"):
        nt.log_spaced_epochs(2.5)


@given(seed=seeds, scale=scales)
def test_mean_loss_and_its_gradient(seed, scale):
    net, (inputs, targets) = network(seed, scale), samples(seed)
    weights = np.random.default_rng(seed).uniform(0.1, 1, SAMPLES)
    value, gradient = mean_and_gradient(net, inputs, targets, None)
    expected, by_hand = jax.value_and_grad(squares)(net, inputs, targets)
    np.testing.assert_allclose(value, expected, rtol=1e-13)  # some 20 operations
    assert_close(gradient, by_hand, 1e-12)
    weighted, _ = mean_and_gradient(net, inputs, targets, weights)
    singly = [float(squares(net, u[None], v[None])) for u, v in zip(inputs, targets, strict=True)]
    np.testing.assert_allclose(weighted, np.average(singly, weights=weights), rtol=1e-13)


@jax.jit
def mean_and_gradient(net, inputs, targets, weights):
    return jax.value_and_grad(lambda n: nt.mean_loss(nt.boundary_loss, n, inputs, targets, weights))(net)
