"""Losses from parts: closed forms of linear networks, unsupervised and auto-encoding, reports, equality, cycles."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from systems import draw_inputs, graph, identity, network

import nnthermo as nt

SGD = optax.sgd(0.3)
NOTHING = {"observe": {}, "observe_at": ()}


def samples(seed=0, n=7, sizes=(3, 4, 2)):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(n, sizes[0]))), jnp.asarray(rng.normal(size=(n, sizes[-1])))


def relaxed_by_hand(net, u, t, m):
    """min of ½|h - W₁u - b₁|² + ½|o - W₂h - b₂|² - (m/2)(|u|² + |h|² + |o|²), o = t or free; m < λ_min."""
    (w1, w2), (b1, b2) = net.weights, net.biases
    first = w1 @ u + b1
    if t is not None:
        h = jnp.linalg.solve((1 - m) * jnp.eye(4) + w2.T @ w2, first + w2.T @ (t - b2))
        o = t
    else:
        block = jnp.block([[(1 - m) * jnp.eye(4) + w2.T @ w2, -w2.T], [-w2, (1 - m) * jnp.eye(2)]])
        h, o = jnp.split(jnp.linalg.solve(block, jnp.concatenate([first - w2.T @ b2, b2])), [4])
    local = -0.5 * m * (u @ u + h @ h + o @ o)
    return 0.5 * jnp.sum((h - first) ** 2) + 0.5 * jnp.sum((o - w2 @ h - b2) ** 2) + local


def mixture_by_hand(net, u, t, a, c, m):
    x = net.propagate(u)
    boundary = 0.5 * jnp.sum((x[-1] - t) ** 2)
    local = -0.5 * m * sum(jnp.sum(s**2) for s in x)
    return a * (boundary + local) + c * relaxed_by_hand(net, u, t, m)


@pytest.mark.filterwarnings("ignore::nnthermo.UnboundedLossWarning")
def test_mixture_with_a_local_objective_is_its_closed_form():
    """Values, parts and weight gradient of a linear network; m below λ_min of the hidden block, which is at least 1."""
    net, (u, t) = network(2, (3, 4, 2), activation=identity), (a[0] for a in samples(2))
    loss = nt.Objective(0.3, 0.8, potential=nt.QuadraticPotential(0.4), tolerance=1e-12)
    (value, terms), gradient = jax.jit(
        jax.value_and_grad(lambda n: loss(n, n.propagate(u), t), has_aux=True)
    )(net)  # fmt: skip
    expected, by_hand = jax.jit(jax.value_and_grad(lambda n: mixture_by_hand(n, u, t, 0.3, 0.8, 0.4)))(net)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(by_hand), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)  # first order in the tolerance over the stiffness
    assert set(terms) == {"boundary", "potential", "bulk", "unrelaxed"}
    np.testing.assert_allclose(terms["bulk"], relaxed_by_hand(net, u, t, 0.4), rtol=1e-12)
    np.testing.assert_allclose(0.3 * (terms["boundary"] + terms["potential"]) + 0.8 * terms["bulk"], value, rtol=1e-14)
    assert terms["unrelaxed"] == 0


def test_several_local_objectives_add():
    """V = -(m/2)|x|² + Σ x_i⁴ + Σ g_ij x_i x_j, at the fixed state, against the sums written out."""
    net, (u, t) = network(3, (3, 4, 2)), (a[0] for a in samples(3))
    g = np.random.default_rng(0).normal(size=(9, 9))
    parts = (nt.QuadraticPotential(0.2), nt.local_potential(fourth), nt.pair_interaction(g))
    x = net.propagate(u)
    flat = np.concatenate([np.asarray(s) for s in x])
    expected = -0.1 * np.sum(flat**2) + np.sum(flat**4)
    expected += sum(g[i, j] * flat[i] * flat[j] for i in range(9) for j in range(9))
    _, terms = nt.Objective(1.0, potential=parts)(net, x, t)
    np.testing.assert_allclose(terms["potential"], expected, rtol=1e-13)
    np.testing.assert_allclose(nt.total_potential(*parts)(x), expected, rtol=1e-13)


def fourth(x):
    return x**4


def test_equal_arguments_give_equal_functions():
    def build(m=0.2, g=1.0, c=0.5, function=fourth):
        parts = [nt.QuadraticPotential(m), nt.local_potential(function), nt.pair_interaction(g * np.eye(3))]
        return nt.Objective(1, c, potential=parts, tolerance=1e-6)

    assert build() == build()
    assert hash(build()) == hash(build())
    others = [build(m=0.3), build(g=2.0), build(c=0.4), build(function=jnp.abs)]
    assert all(other != build() for other in others)
    assert nt.QuadraticPotential(0.5) != nt.QuadraticPotential(jnp.asarray(0.5))  # one promotes dtypes, one does not
    assert nt.FixedState(max_steps=3) == nt.FixedState(max_steps=3)


def test_equal_objectives_share_one_compiled_program():
    traces = []

    def counted(x):
        traces.append(1)
        return x**4

    data = samples(4)
    options = {"key": jax.random.key(0), "epochs": 1, "optimizer": SGD, **NOTHING}
    sizes = []
    for seed in range(3):
        loss = nt.Objective(1.0, potential=nt.local_potential(counted))
        nt.train(network(seed, (3, 4, 2)), data, loss=loss, **options)
        sizes.append(len(traces))
    layers = 3  # one call a layer; the later runs only check the shape of the loss
    assert np.diff(sizes).tolist() == [layers, layers]
    assert sizes[0] > layers


def test_report_of_an_epoch_is_over_its_samples():
    """At learning rate 0, with a smaller last batch: means over all samples, as a loop over them finds them."""
    net, (inputs, targets) = network(5, (3, 4, 2), scale=2.0), samples(5)
    steps = int(np.median([nt.relax(net, u, t).steps for u, t in zip(inputs, targets, strict=True)]))
    loss = nt.Objective(1.0, 0.5, max_steps=steps)
    run = nt.train(
        net, (inputs, targets), key=jax.random.key(1), epochs=2, batch_size=3, loss=loss, optimizer=optax.sgd(0.0),
        observe={}, observe_at=(0, 1, 2),
    )  # fmt: skip
    found = [nt.relax(net, u, t, max_steps=steps) for u, t in zip(inputs, targets, strict=True)]
    share = np.mean([not f.converged for f in found])
    assert 0 < share < 1
    boundary = [float(nt.boundary_loss(net, net.propagate(u), t)) for u, t in zip(inputs, targets, strict=True)]
    assert set(run.history) == {"epoch", "loss", "loss_boundary", "loss_bulk", "loss_unrelaxed"}
    assert np.isnan(run.history["loss_unrelaxed"][0])
    np.testing.assert_allclose(run.history["loss_unrelaxed"][1:], share, rtol=1e-14)
    np.testing.assert_allclose(run.history["loss_boundary"][1:], np.mean(boundary), rtol=1e-13)
    np.testing.assert_allclose(run.history["loss_bulk"][1:], np.mean([f.loss for f in found]), rtol=1e-9)


def with_terms(net, x, target):
    return nt.boundary_loss(net, x, target), {"twice": 2 * nt.boundary_loss(net, x, target), "yes": True}


def test_a_loss_of_the_users_own_reports_too():
    net, data, key = network(6, (3, 4, 2)), samples(6), jax.random.key(0)
    options = {"key": key, "epochs": 3, "optimizer": SGD, "observe": {}, "observe_at": (1, 2, 3)}
    run = nt.train(net, data, loss=with_terms, **options)
    plain = nt.train(net, data, **options)
    np.testing.assert_array_equal(run.history["loss"], plain.history["loss"])
    np.testing.assert_allclose(run.history["loss_twice"], 2 * plain.history["loss"], rtol=1e-14)
    assert run.history["loss_yes"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(
        nt.mean_loss(with_terms, net, *data), nt.mean_loss(nt.boundary_loss, net, *data), rtol=1e-15
    )


def test_unsupervised_training_follows_its_closed_form():
    """Three steps down min H with free outputs and a tachyonic potential, of a linear network."""
    m = 0.05  # below λ_min of the free block for these weights
    net, (inputs, _) = network(7, (3, 4, 2), activation=identity, scale=0.7), samples(7)
    loss = nt.Objective(bulk=1.0, potential=nt.QuadraticPotential(m), tolerance=1e-12)

    @jax.jit
    def step(net):
        def mean(net):
            return jnp.mean(jax.vmap(lambda u: relaxed_by_hand(net, u, None, m))(inputs))

        value, gradient = jax.value_and_grad(mean)(net)
        return jax.tree.map(lambda w, g: w - 0.3 * g, net, gradient), value

    options = {"key": jax.random.key(0), "epochs": 3, "optimizer": SGD, "loss": loss, "observe": {}, "observe_at": (3,)}
    with pytest.warns(nt.UnboundedLossWarning):
        alone = nt.train(net, inputs, **options)
    with pytest.warns(nt.UnboundedLossWarning):
        pair = nt.train(net, (inputs, None), **options)
    expected = net
    for _ in range(3):
        expected, value = step(expected)
    for a, b, c in zip(*(jax.tree.leaves(n) for n in (alone.network, expected, pair.network)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)  # 1e-12 over λ_min - m > 0.01
        np.testing.assert_array_equal(a, c)
    np.testing.assert_allclose(alone.history["loss"], value, rtol=1e-10)
    assert set(alone.history) == {"epoch", "loss", "loss_bulk", "loss_unrelaxed"}


def test_the_default_observer_without_targets():
    net, (inputs, targets) = network(8, (3, 4, 2)), samples(8)
    observer = jax.jit(nt.thermodynamic_observer())
    with_them, without = observer(net, inputs, targets), observer(net, inputs, None)
    missing = {"boundary_loss", "median_boundary_loss", "accuracy", "relaxed_boundary_loss"}
    assert set(with_them) - set(without) == missing
    assert without["bulk_loss"] == 0  # the feed-forward state is a minimum of H when the outputs are free
    np.testing.assert_array_equal(without["log_eigenvalues"], with_them["log_eigenvalues"])


def test_a_linear_auto_encoder_finds_the_principal_subspace():
    """Targets = inputs: the least loss of a 4-2-4 linear network is half the discarded variance."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 4)) @ np.diag([2.0, 1.5, 0.7, 0.3]) @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    net = network(1, (4, 2, 4), activation=identity)
    run = nt.train(
        net, (inputs, inputs), key=jax.random.key(0), epochs=2000, optimizer=optax.adam(0.02), observe={},
        observe_at=(2000,), loss=nt.Objective(1.0),
    )  # fmt: skip
    variances = np.linalg.eigvalsh(np.cov(inputs.T, bias=True))
    # descent on a strict saddle-free landscape: linear convergence, far below 1e-6 after 2000 steps
    np.testing.assert_allclose(run.history["loss"], 0.5 * variances[:2].sum(), rtol=1e-6)


def test_losses_at_the_fixed_points_of_a_graph_with_cycles():
    """Value and derivative against NumPy's iteration of (2.5) and finite differences; who did not converge."""
    net = graph(3, 6, cyclic=True, scale=0.9)
    inputs = jnp.stack([draw_inputs(k, 2) for k in range(4)])
    targets = jnp.asarray(np.random.default_rng(0).normal(size=(4, 1)))

    def by_hand(w):
        total = 0.0
        for u, t in zip(np.asarray(inputs), np.asarray(targets), strict=True):
            x = np.concatenate([u, np.zeros(4)])
            for _ in range(800):
                x = np.concatenate([u, np.tanh(w @ x + np.asarray(net.bias))[2:]])
            total += 0.5 * (x[-1] - t[0]) ** 2
        return total / 4

    state = nt.FixedState(tolerance=1e-14)
    value, gradient = jax.jit(
        jax.value_and_grad(lambda n: nt.mean_loss(nt.boundary_loss, n, inputs, targets, state=state))
    )(net)  # fmt: skip
    w = np.asarray(net.weight)
    np.testing.assert_allclose(value, by_hand(w), rtol=1e-11)
    direction = np.random.default_rng(1).normal(size=w.shape) * (w != 0)
    h = 1e-5
    slope = (by_hand(w + h * direction) - by_hand(w - h * direction)) / (2 * h)
    np.testing.assert_allclose(np.sum(np.asarray(gradient.weight) * direction), slope, rtol=1e-7)  # h² and ε/h
    rough = float(nt.mean_loss(nt.boundary_loss, net, inputs, targets))
    assert abs(rough - by_hand(w)) > 1e-6  # N steps are not enough here, which is why `state` is there
    few = nt.FixedState(tolerance=1e-3, max_steps=8)
    run = nt.train(
        net, (inputs, targets), key=jax.random.key(0), epochs=1, optimizer=optax.sgd(0.0), state=few, observe={},
        observe_at=(1,),
    )  # fmt: skip
    stuck = [not net.fixed_point(u, tolerance=1e-3, max_steps=8).converged for u in inputs]
    np.testing.assert_allclose(run.history["loss_unfixed"], np.mean(stuck), rtol=1e-15)
    observed = nt.thermodynamic_observer(state=few)(net, inputs, targets)
    np.testing.assert_allclose(observed["unfixed"], np.mean(stuck), rtol=1e-15)


def test_single_precision_stays_single():
    net = network(9, (3, 4, 2), dtype=np.float32)
    inputs, targets = (a.astype(jnp.float32) for a in samples(9))
    loss = nt.Objective(0.5, 0.5, potential=nt.QuadraticPotential(0.1))
    value, terms = jax.jit(lambda n: loss(n, n.propagate(inputs[0]), targets[0]))(net)
    assert {a.dtype for a in (value, *terms.values())} == {jnp.dtype(jnp.float32)}


BAD = {
    "nothing": (nt.Objective, ValueError, r"`boundary and bulk` must not both be 0, but got \(0.0, 0.0\)"),
    "negative": (
        lambda: nt.Objective(-1.0),
        ValueError,
        "`boundary` must be a number that .*, but got -1",
    ),
    "infinite": (lambda: nt.Objective(bulk=np.inf), ValueError, "`bulk` must be a number that is .*, but got inf"),
    "no steps": (lambda: nt.Objective(bulk=1, max_steps=0), ValueError, "`max_steps` must be positive, but got 0"),
    "no function": (lambda: nt.Objective(1, potential=3), TypeError, "`parts` must be functions .*, but got 3"),
    "no parts": (nt.total_potential, ValueError, "`parts` must hold at least one potential, but got"),
    "a number for V_i": (lambda: nt.local_potential(1.0), TypeError, "`function` must be a function, but got 1.0"),
    "no target": (
        lambda: nt.Objective(1.0)(network(0, (3, 2)), network(0, (3, 2)).propagate(np.ones(3)), None),
        ValueError,
        "`boundary` must be 0 without targets, but got 1.0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parts_are_refused_in_one_sentence(case):
    call, kind, sentence = BAD[case]
    with pytest.raises(kind, match=sentence):
        call()
