"""Soft thresholds: one step by hand, the lasso's closed form, links that come back, a recurrent graph that learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from systems import graph, identity, network

import nnthermo as nt

NOTHING = {"observe": {}, "observe_at": ()}


@pytest.mark.parametrize(("regrow", "back"), [(False, 0.0), (True, 0.4)])
def test_one_step_by_hand(regrow, back):
    """τ = 0.1: shrunk, cut, crossing 0, absent; vectors are left alone."""
    weights = {"w": jnp.array([[1.0, -0.05, 0.3, 0.0]]), "b": jnp.array([0.02, 0.0])}
    updates = {"w": jnp.array([[-0.2, 0.01, -0.7, 0.5]]), "b": jnp.array([0.01, 0.03])}
    proximal = nt.soft_threshold(0.1, regrow=regrow)
    change, state = proximal.update(updates, proximal.init(weights), weights)
    found = optax.apply_updates(weights, change)
    np.testing.assert_allclose(found["w"], [[0.7, 0.0, -0.3, back]], rtol=1e-15)
    assert found["w"][0, 1] == 0  # exactly
    np.testing.assert_allclose(found["b"], [0.03, 0.03], rtol=1e-15)
    assert state.steps == 1


def test_a_schedule_is_told_the_steps_taken():
    proximal = nt.soft_threshold(lambda steps: 0.1 * (1.0 + steps.astype(float)))
    w, zero, state = jnp.full((1, 1), 2.0), jnp.zeros((1, 1)), proximal.init(jnp.zeros((1, 1)))
    for expected in (1.9, 1.7, 1.4):
        change, state = proximal.update(zero, state, w)
        w = optax.apply_updates(w, change)
        np.testing.assert_allclose(w, expected, rtol=1e-14)


def test_training_finds_the_lasso():
    """Orthonormal centred inputs: ½|t - Wu|² + s Σ|w| has its minimum at the soft-thresholded least squares."""
    rng = np.random.default_rng(0)
    n, strength, rate = 12, 0.15, 0.3
    u = np.linalg.qr(np.hstack([np.ones((n, 1)), rng.normal(size=(n, 5))]))[0][:, 1:] * np.sqrt(n)
    t = rng.normal(size=(n, 3))
    squares = t.T @ u / n
    expected = np.sign(squares) * np.maximum(np.abs(squares) - strength, 0)
    assert 0 < np.sum(expected == 0) < expected.size
    net = network(0, (5, 3), activation=identity)
    optimizer = optax.chain(optax.sgd(rate), nt.soft_threshold(rate * strength, regrow=True))
    found = nt.train(net, (u, t), key=jax.random.key(0), epochs=150, optimizer=optimizer, **NOTHING).network
    # errors shrink by 1 - rate a step: 0.7^150 < 1e-23
    np.testing.assert_allclose(found.weights[0], expected, atol=1e-14)
    np.testing.assert_array_equal(np.asarray(found.weights[0]) == 0, expected == 0)
    np.testing.assert_allclose(found.biases[0], t.mean(axis=0), rtol=1e-13)


def pull(net, x, target):
    """Gradient descent at rate η moves each weight to (1 - η) w + η target."""
    return 0.5 * jnp.sum((net.weight - target.reshape(net.weight.shape)) ** 2)


@pytest.mark.parametrize("regrow", [False, True])
def test_which_links_may_come_back(regrow):
    """A weight is cut in the first epoch and pulled back for good after; a link that never existed only by `links`."""
    start = np.zeros((4, 4))
    start[2, 0], start[2, 1], start[3, 2] = 0.5, 0.02, 0.7
    mask = np.arange(4)
    net = nt.Septuple(start, np.zeros(4), activation=jnp.tanh, input_mask=mask < 2, output_mask=mask >= 4)
    wanted = np.zeros((4, 4))
    wanted[2, 0], wanted[2, 1], wanted[3, 2], wanted[3, 1], wanted[2, 3] = 0.0, 0.8, 0.7, 0.9, 0.6
    links = start != 0
    links[3, 1] = True

    def drawn(net, x, target):
        del target
        return pull(net, x, jnp.asarray(wanted))

    optimizer = optax.chain(optax.sgd(0.5), nt.soft_threshold(0.1, regrow=regrow))
    run = nt.train(
        net, np.zeros((1, 2)), key=jax.random.key(0), epochs=60, optimizer=optimizer, loss=drawn, links=links,
        observe=nt.weight_observer(), observe_at=(0, 60),
    )  # fmt: skip
    # fixed points of w = S(½ w + ½ wanted, 0.1): wanted - 0.2 where that is positive; w[2, 1] -> 0.31 in one step
    expected = np.zeros((4, 4))
    expected[2, 1], expected[3, 2] = 0.6, 0.5
    if regrow:
        expected[3, 1] = 0.7
    found = np.asarray(run.network.weight)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_array_equal(found == 0, expected == 0)
    assert run.history["links"].tolist() == [3, 3 if regrow else 2]


def test_cut_links_stay_cut_by_default():
    weights = jnp.array([[0.05, 1.0]])
    proximal = nt.soft_threshold(0.1)
    state = proximal.init(weights)
    for pulled in (0.0, 5.0, 5.0):
        change, state = proximal.update(jnp.array([[pulled, 0.0]]), state, weights)
        weights = optax.apply_updates(weights, change)
    assert weights[0, 0] == 0
    np.testing.assert_allclose(weights[0, 1], 0.7, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["boundary", "bulk"])
def test_a_recurrent_graph_learns_and_loses_links(part):
    """A dense graph learns what two neurons that excite and inhibit each other do, at fixed points or in the bulk."""
    rng = np.random.default_rng(0)
    weight = np.zeros((7, 7))
    weight[2, [0, 3]], weight[3, [1, 2]], weight[6, [2, 3]] = (1.5, -0.9), (1.5, 0.9), (1.5, -1.5)
    teacher = graph(1, 7, cyclic=True).replace(weight=weight, bias=0.2 * rng.normal(size=7))
    inputs = jnp.asarray(rng.uniform(-2, 2, size=(24, 2)))
    state = nt.FixedState(tolerance=1e-10)
    targets = jax.vmap(lambda u: teacher.outputs(state(teacher, u).state))(inputs)
    net = graph(2, 7, cyclic=True, scale=0.8)
    existed = np.asarray(net.weight) != 0
    loss, rate, strength = {
        "boundary": (nt.Objective(1.0), 0.3, 1e-3), "bulk": (nt.Objective(bulk=1.0, tolerance=1e-6), 0.5, 2e-4),
    }[part]  # fmt: skip
    run = nt.train(
        net, (inputs, targets), key=jax.random.key(0), epochs=1500, loss=loss, state=state, observe_at=(0, 1, 1500),
        optimizer=optax.chain(optax.sgd(rate), nt.soft_threshold(rate * strength)), observe=nt.weight_observer(),
    )  # fmt: skip
    found = np.asarray(run.network.weight)
    assert run.history["loss"][-1] < run.history["loss"][1] / 30
    before, after = (float(nt.mean_loss(nt.boundary_loss, n, inputs, targets, state=state)) for n in (net, run.network))
    assert after < before / 3  # the bulk loss need not be small on the boundary: its errors sit on all neurons
    assert run.history["links"].tolist()[:2] == [existed.sum()] * 2
    assert run.history["links"][-1] <= 0.6 * existed.sum()
    assert not found[~existed].any()
    assert (run.history["loss_unfixed"][-1], run.history.get("loss_unrelaxed", [0])[-1]) == (0, 0)
    assert not run.network.conditions().acyclic  # what is left still feeds back


BAD = {
    "negative": (lambda: nt.soft_threshold(-0.1), ValueError, "`threshold` must not be negative, but got -0.1"),
    "two": (
        lambda: nt.soft_threshold(np.ones(2)),
        ValueError,
        r"`threshold` must have shape \(\), but got",
    ),
    "text": (lambda: nt.soft_threshold("l1"), TypeError, "`threshold` must be real, but got dtype <U2"),
    "blind": (
        lambda: nt.soft_threshold(0.1).update(jnp.ones(2), nt.soft_threshold(0.1).init(None)),
        ValueError,
        "`params` must be given to `update`",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_thresholds_are_refused_in_one_sentence(case):
    call, kind, sentence = BAD[case]
    with pytest.raises(kind, match=sentence):
        call()
