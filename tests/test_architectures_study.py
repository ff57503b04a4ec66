"""The family of architectures, its stacked networks, every score against an oracle, correlations and verdicts."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import nnthermo as nt
from nnthermo.experiments.architectures import QUICK, Settings, architectures, runs, scores, stack
from nnthermo.experiments.architectures.correlations import Correlation, correlation, lead
from nnthermo.experiments.architectures.family import ACTIVATIONS, SHAPES, SKIPS, Architecture, family, spread
from nnthermo.experiments.architectures.measures import SCORES, UNLINKED, Correlations, reached, values
from nnthermo.experiments.architectures.report import CAVEATS, FIGURES
from nnthermo.experiments.architectures.statements import CLAIMS, direction, statements
from nnthermo.experiments.samples import Data

INPUTS, OUTPUTS = 7, 3
TINY = dataclasses.replace(
    QUICK, samples=200, test_samples=100, neurons=8, depths=(1, 2), skips=("none", "all"), epochs=2, batch_size=20,
    score_epochs=(0, 1), kernel_samples=5, resamples=100, seeds=(0, 1),
)  # fmt: skip


def an_architecture(shape: str, depth: int, skip: str, activation: str) -> Architecture:
    return Architecture(shape, spread(4 * depth, SHAPES[shape](depth)), skip, activation)


CASES = [
    an_architecture(shape, depth, skip, activation)
    for shape, depth, skip, activation in (
        ("even", 1, "all", "tanh"), ("narrowing", 2, "none", "relu"), ("belly", 3, "hidden", "tanh"),
        ("widening", 4, "none", "sigmoid"),
    )
]  # fmt: skip


@jax.jit
def initial(key, wiring):
    return stack.initial(key, wiring, INPUTS, 1.5)


def a_network(architecture, seed, padding=2):
    """Random float64 weights of an architecture, padded by a larger one beside it, and its masks."""
    larger = Architecture("even", (sum(architecture.widths) + padding,), "none", architecture.activation)
    both = stack.wirings([architecture, larger], OUTPUTS, np.float64)
    wiring = jax.tree.map(lambda a: a[0], both)
    p = initial(jax.random.key(seed), wiring)
    noise = jax.random.normal(jax.random.key(seed + 1), p.bias.shape)
    return p._replace(bias=0.3 * wiring.alive * noise), wiring


def as_septuple(p, wiring, architecture):
    """The same network on the dense graph of its inputs and living neurons."""
    alive = np.flatnonzero(np.asarray(wiring.alive))
    n = INPUTS + len(alive)
    weight, bias = np.zeros((n, n)), np.zeros(n)
    weight[INPUTS:, :INPUTS] = np.asarray(p.first)[alive]
    weight[INPUTS:, INPUTS:] = np.asarray(p.links)[np.ix_(alive, alive)]
    bias[INPUTS:] = np.asarray(p.bias)[alive]
    f = ACTIVATIONS[architecture.activation]
    place = np.arange(n)

    def activation(y):
        return jnp.where(place < n - OUTPUTS, f(y), jnp.tanh(y))

    return nt.Septuple(weight, bias, activation=activation, input_mask=place < INPUTS, output_mask=place >= n - OUTPUTS)


def of(architecture):
    return {"activation": ACTIVATIONS[architecture.activation], "depth": architecture.depth, "outputs": OUTPUTS}


# the family


def test_every_member_spends_the_budget_and_no_wiring_comes_twice():
    everyone = family(
        depths=(1, 2, 3, 4), activations=("tanh", "relu"), skips=SKIPS, inputs=784, outputs=10, neurons=60
    )
    assert {sum(a.widths) for a in everyone} == {60}
    wirings = [(a.activation, *(m.tobytes() for m in a.joins(10))) for a in everyone]
    assert len(set(wirings)) == len(wirings)
    # one hidden layer: alone or with the inputs led to the outputs; two: three shapes; three and four: five shapes
    assert len(everyone) == 2 * (2 + 3 * 3 + 2 * 5 * 3)
    assert Architecture("even", (60,), "none", "tanh").parameters(784, 10) == 784 * 60 + 60 + 600 + 10


@pytest.mark.parametrize("budget", [9_000, 20_000])
def test_a_budget_of_parameters_is_kept_and_one_neuron_more_would_break_it(budget):
    everyone = family(depths=(1, 3), activations=("tanh",), skips=SKIPS, inputs=784, outputs=10, parameters=budget)
    for one in everyone:
        assert one.parameters(784, 10) <= budget
        for extra in range(1, 10):  # a layer may lose a neuron when one is added: more can be cheaper
            more = one._replace(widths=spread(sum(one.widths) + extra, SHAPES[one.shape](one.depth)))
            assert more.parameters(784, 10) > budget


@given(st.integers(1, 200), st.lists(st.floats(0.1, 10), min_size=1, max_size=6))
def test_a_spread_adds_up_and_is_within_one_of_the_proportions(neurons, weights):
    found = spread(neurons, weights)
    exact = np.array(weights) * neurons / sum(weights)
    if found is None:
        assert min(exact) < 1
    else:
        assert sum(found) == neurons
        assert np.abs(np.array(found) - exact).max() < 1 + 1e-9


def test_families_that_cannot_be():
    some = {"depths": (1,), "activations": ("tanh",), "skips": SKIPS, "inputs": 784, "outputs": 10}
    with pytest.raises(ValueError, match="`neurons or parameters` must be given, and not both"):
        family(**some)
    with pytest.raises(ValueError, match="`neurons or parameters` must leave room for an architecture"):
        family(**some, parameters=100)
    with pytest.raises(ValueError, match="`neurons or parameters` must leave room for an architecture"):
        family(**some | {"depths": (5,)}, neurons=4)


# stacked networks


@pytest.mark.parametrize("architecture", CASES, ids=lambda a: a.name)
def test_padded_networks_are_the_septuples_they_stand_for(architecture):
    p, wiring = a_network(architecture, 3)
    inputs = jax.random.normal(jax.random.key(9), (4, INPUTS))
    net = as_septuple(p, wiring, architecture)
    states, _ = jax.jit(partial(stack.fields, **of(architecture)))(p, wiring, inputs)
    alive = np.flatnonzero(np.asarray(wiring.alive))
    exact = jax.jit(jax.vmap(net.propagate))(inputs)
    np.testing.assert_allclose(states[:, alive], exact[:, INPUTS:], atol=1e-13)  # the same sums in another order
    target = jnp.ones(OUTPUTS)
    losses = jax.jit(partial(stack.boundary_losses, **of(architecture)))(p, wiring, inputs, target[None])
    one_loss = jax.jit(lambda x: nt.boundary_loss(net, x, target))
    np.testing.assert_allclose(losses, [one_loss(x) for x in exact], rtol=1e-12)


def test_initial_weights_are_those_of_glorot():
    architecture = Architecture("even", (40, 40), "none", "tanh")
    wiring = jax.tree.map(lambda a: a[0], stack.wirings([architecture], 10, np.float64))
    p = stack.initial(jax.random.key(0), wiring, 784, 1.0)
    for weights, fans in ((p.first[:40], 824), (p.links[40:80, :40], 80), (p.links[80:, 40:80], 50)):
        limit = np.sqrt(6 / fans)
        assert np.abs(weights).max() <= limit
        # uniform: variance limit²/3, known to 4 standard errors, √(4/5)/√n of it
        assert abs(np.var(weights) / (limit**2 / 3) - 1) < 4 * np.sqrt(0.8 / weights.size)
    assert not np.any(np.asarray(p.links) * (1 - np.asarray(wiring.links)))


# scores


def exact_scores(net, inputs, betas):
    """At each β, through the library's own functions on the dense graph; means over samples."""

    @jax.jit
    def one(u, beta):
        x = net.propagate(u)
        G = nt.bulk_hessian(net, x)
        spectrum = nt.log_eigenvalues(G)
        return spectrum.values, {
            "entropy_destruction": -nt.eigenvalue_laplacian(spectrum, beta),
            "weight_laplacian": nt.weight_laplacian(net, x, beta),
            "free_energy": nt.free_energy(G, beta),
            "effective_count": 2 * beta * nt.average_loss(G, beta),
            "entropy": nt.entropy(G, beta),
        }

    def row(u, beta):
        logs, of_library = one(u, beta)
        logs = np.asarray(logs)
        s = beta * np.exp(logs) / (1 + beta * np.exp(logs))
        mu2, moving = np.sum(logs**2), np.sum(np.abs(logs) > 1e-6)
        return {
            **of_library,
            "log_laplacian": np.sum(s * (1 - s)) / (2 * beta),
            "mu2": mu2,
            "mu3": np.sum(logs**3),
            "skewness": np.sum(logs**3) / moving / (mu2 / moving) ** 1.5,
            "hyperbolic_skewness": np.sum(2 * np.sinh(logs)),
            "moving": moving,
            "smallest": logs.min(),
        }

    for beta in betas:
        rows = [row(u, float(beta)) for u in inputs]
        yield {name: np.mean([float(r[name]) for r in rows]) for name in rows[0]}


@pytest.mark.parametrize("architecture", CASES, ids=lambda a: a.name)
def test_thermodynamic_scores_are_those_of_the_dense_graph(architecture):
    p, wiring = a_network(architecture, 5)
    inputs = jax.random.normal(jax.random.key(2), (3, INPUTS))
    betas = jnp.array([0.25, 1.4, 10.0])
    found = jax.jit(partial(scores.thermodynamic_scores, **of(architecture)))(p, wiring, inputs, betas)
    net = as_septuple(p, wiring, architecture)
    for k, exact_there in enumerate(exact_scores(net, inputs, betas)):
        for name, exact in exact_there.items():
            mine = found[name][k] if found[name].ndim else found[name]
            # cond(B) is below 100 here: N ε cond² of inverses; cubes of numbers near 0 leave an absolute error
            assert mine == pytest.approx(exact, rel=1e-9, abs=1e-9), name


def test_wide_inputs_and_few_alike():
    """More inputs than neurons and fewer: the triangle has another shape."""
    architecture = an_architecture("even", 4, "none", "tanh")
    p, wiring = a_network(architecture, 1)
    assert len(p.bias) > INPUTS  # the other case is the one above
    inputs = jax.random.normal(jax.random.key(2), (2, INPUTS))
    found = scores.thermodynamic_scores(p, wiring, inputs, jnp.array([1.0]), **of(architecture))
    (exact,) = exact_scores(as_septuple(p, wiring, architecture), inputs, [1.0])
    for name, value in exact.items():
        assert float(jnp.ravel(found[name])[0]) == pytest.approx(value, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("architecture", CASES, ids=lambda a: a.name)
def test_baselines_are_those_of_all_parameters_by_autodiff(architecture):
    p, wiring = a_network(architecture, 8)
    keys = jax.random.split(jax.random.key(4))
    inputs, targets = jax.random.normal(keys[0], (3, INPUTS)), jax.random.normal(keys[1], (3, OUTPUTS))
    network = of(architecture)
    found = jax.jit(partial(scores.baselines, **network))(p, wiring, inputs, targets)
    masks = stack.Parameters(jnp.broadcast_to(wiring.first[:, None], p.first.shape), wiring.links, wiring.alive)

    def masked(tree):
        return jnp.concatenate(
            [
                (a * m.reshape((1,) * (a.ndim - m.ndim) + m.shape)).reshape(*a.shape[: a.ndim - m.ndim], -1)
                for a, m in zip(tree, masks, strict=True)
            ],
            -1,
        )

    def loss(q):
        return jnp.mean(stack.boundary_losses(q, wiring, inputs, targets, **network))

    gradient = jax.jit(lambda q: masked(jax.grad(loss)(q)))(p)
    assert found["gradient_norm"] == pytest.approx(float(jnp.linalg.norm(gradient)), rel=1e-10)
    J = jax.jit(lambda q: masked(jax.jacrev(lambda r: stack.responses(r, wiring, inputs, **network).ravel())(q)))(p)
    J = np.asarray(J)
    eigenvalues = np.linalg.eigvalsh(J @ J.T)
    assert 10 ** float(found["kernel_trace"]) == pytest.approx(eigenvalues.sum(), rel=1e-10)
    # the smallest eigenvalue is known to ε λ_max: with cond < 1e6 that is 1e-9 of it
    assert float(found["kernel_condition"]) == pytest.approx(np.log10(eigenvalues[-1] / eigenvalues[0]), abs=1e-8)
    absolute = p._replace(first=jnp.abs(p.first), links=jnp.abs(p.links), bias=0 * p.bias)

    def flow(first, links):
        q = absolute._replace(first=first, links=links)
        linear = {**network, "activation": lambda y: y}
        return jnp.sum(stack.fields(q, wiring, jnp.ones((1, INPUTS)), **linear)[1][0, -OUTPUTS:])

    slopes = jax.jit(jax.grad(flow, (0, 1)))(absolute.first, absolute.links)
    exact = jnp.sum(absolute.first * slopes[0]) + jnp.sum(absolute.links * slopes[1])
    assert float(found["synflow"]) == pytest.approx(float(jnp.log10(exact)), rel=1e-12)


# training


def tiny_data(samples=60):
    keys = jax.random.split(jax.random.key(0), 2)
    inputs = np.asarray(jax.random.normal(keys[0], (samples, INPUTS), jnp.float32))
    targets = np.sign(inputs[:, :OUTPUTS]).astype(np.float32)
    return Data(inputs, targets, inputs[:20], targets[:20], "made up")


def test_training_lowers_the_loss_keeps_the_wiring_and_seeds_do_not_depend_on_each_other():
    chosen = [Architecture("even", (3, 2), "none", "tanh"), Architecture("even", (3, 3), "all", "tanh")]
    plan = dataclasses.replace(TINY, batch_size=10, learning_rate=0.02, spectrum_samples=2, kernel_samples=3)
    data = tiny_data()
    both = runs.Trainer(chosen, plan, data)
    state = both.start()
    before = both.record(state)
    for epoch in range(5):
        state = both.epoch(state, epoch)
    after = both.record(state)
    assert (after["boundary_loss"] < 0.8 * before["boundary_loss"]).all()
    for name, mask in (
        ("first", both.wiring.first[..., None]),
        ("links", both.wiring.links),
        ("bias", both.wiring.alive),
    ):
        assert not np.any(np.asarray(getattr(state.parameters, name)) * (1 - np.asarray(mask))), name
    alone = runs.Trainer(chosen, dataclasses.replace(plan, seeds=(1,)), data)
    other = alone.start()
    for epoch in range(5):
        other = alone.epoch(other, epoch)
    # float32 sums in another order, through 30 steps
    np.testing.assert_allclose(other.parameters.first[0], state.parameters.first[1], atol=1e-4)
    assert np.abs(np.asarray(state.parameters.first[0] - state.parameters.first[1])).max() > 0.05


def test_a_gradient_step_is_that_of_the_septuple():
    """One step of Adam on the whole data set moves every weight by the learning rate times the sign of its slope."""
    architecture = Architecture("even", (3, 2), "all", "tanh")
    data = tiny_data()
    plan = dataclasses.replace(TINY, batch_size=60, learning_rate=1e-3, seeds=(4,))
    trainer = runs.Trainer([architecture], plan, data)
    state = trainer.start()
    p = jax.tree.map(lambda a: a[0, 0].astype(jnp.float64), state.parameters)
    wiring = jax.tree.map(lambda a: a[0].astype(jnp.float64), trainer.wiring)
    net = as_septuple(p, wiring, architecture)

    def loss(weight):
        other = net.replace(weight=weight)
        each = jax.vmap(lambda u, t: nt.boundary_loss(other, other.propagate(u), t))
        return jnp.mean(each(data.inputs.astype(float), data.targets.astype(float)))

    slope = jax.grad(loss)(net.weight)[INPUTS:, :INPUTS]
    moved = np.asarray(trainer.epoch(state, 0).parameters.first[0, 0]) - np.asarray(p.first)
    clear = np.abs(slope) > 1e-5  # far above Adam's ε of 1e-8 and the rounding of float32
    assert clear.mean() > 0.9
    np.testing.assert_allclose(np.asarray(moved)[clear], -1e-3 * np.sign(slope)[clear], rtol=2e-3)


def test_two_devices_give_the_same_numbers():
    """In a process of its own, with two CPU devices: an odd number of architectures is padded and cut again."""
    code = f"""
import dataclasses, sys, jax, numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
jax.config.update("jax_enable_x64", True)
from test_architectures_study import TINY, tiny_data
from nnthermo.experiments.architectures import runs
from nnthermo.experiments.architectures.family import Architecture
chosen = [Architecture("even", w, "none", "tanh") for w in ((3, 2), (2, 3), (4, 4))]
plan = dataclasses.replace(TINY, batch_size=10, spectrum_samples=2, kernel_samples=3)
rows = []
for count in (1, 2):
    all_devices = jax.devices
    jax.devices = lambda: all_devices()[:count]
    trainer = runs.Trainer(chosen, plan, tiny_data())
    assert len(trainer.wiring.first.devices()) == count
    state = trainer.start()
    for epoch in range(2):
        state = trainer.epoch(state, epoch)
    rows.append(trainer.record(state))
    jax.devices = all_devices
for name in rows[0]:
    assert rows[0][name].shape[:2] == (2, 3), name
    np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-4, atol=1e-5, err_msg=name)  # float32 training
print("same")
"""
    options = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=2"
    flags = os.environ | {"XLA_FLAGS": options, "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=flags, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.stdout.strip().endswith("same"), found.stderr[-2000:]


# correlations


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(5, 40), st.booleans())
def test_correlations_are_those_of_scipy(seed, n, ties):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n))
    if ties:
        x = np.round(x)
    found = correlation(x, y, resamples=50)
    exact = scipy.stats.spearmanr(x, y).statistic
    if np.isnan(exact):
        assert np.isnan(found.value)
    else:
        assert found.value == pytest.approx(exact, abs=1e-12)
        assert -1 <= found.low <= found.high <= 1


def test_partial_correlations_are_those_of_three_coefficients():
    rng = np.random.default_rng(0)
    z = rng.normal(size=300)
    x, y = z + rng.normal(size=300), z + rng.normal(size=300)
    xy, xz, yz = (scipy.stats.spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    exact = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    found = correlation(x, y, (z,), resamples=500)
    assert found.value == pytest.approx(exact, abs=1e-12)
    assert xy > 0.4
    assert found.low < 0 < found.high  # nothing is left once z is held fixed
    assert np.isnan(correlation(z, y, (z,), resamples=50).value)  # and nothing at all of z itself


def test_groups_are_ranked_apart():
    """Simpson: a difference between groups is no correlation within them."""
    rng = np.random.default_rng(1)
    labels = np.repeat(["a", "b"], 50)
    x = rng.normal(size=100) + 10 * (labels == "b")
    y = -x + 20 * (labels == "b")
    assert correlation(x, y, resamples=50).value > 0.4
    assert correlation(x, y, groups=labels, resamples=50).value == pytest.approx(-1)


def test_what_was_drawn_together_is_resampled_together():
    """Copies of the same pairs in three groups tell nothing new: the interval is that of one, not √3 narrower."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=40)
    y = 0.5 * x + rng.normal(size=40)
    one = correlation(x, y, resamples=2000)
    groups, clusters = np.repeat(["a", "b", "c"], 40), np.tile(np.arange(40), 3)
    three = correlation(np.tile(x, 3), np.tile(y, 3), groups=groups, clusters=clusters, resamples=2000)
    alone = correlation(np.tile(x, 3), np.tile(y, 3), groups=groups, clusters=np.arange(120), resamples=2000)
    width, whole, narrow = (c.high - c.low for c in (one, three, alone))
    assert whole == pytest.approx(width, rel=0.1)  # quantiles of 2,000 resamples: 3 %
    assert narrow == pytest.approx(width / np.sqrt(3), rel=0.15)


def test_the_lead_of_one_score_over_another():
    rng = np.random.default_rng(4)
    result = rng.normal(size=80)
    near, far = -result + 0.2 * rng.normal(size=80), result + 2 * rng.normal(size=80)
    one_group, alone = np.zeros(80), np.arange(80)
    found = lead(near, far, result, groups=one_group, clusters=alone, resamples=500)
    exact = [abs(scipy.stats.spearmanr(v, result).statistic) for v in (near, far)]
    assert found.value == pytest.approx(exact[0] - exact[1], abs=1e-12)
    assert found.low > 0
    other = lead(far, near, result, groups=one_group, clusters=alone, resamples=500)
    assert (other.value, other.low, other.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_intervals_cover_the_true_correlation():
    """Of 200 samples of 60 pairs with a known ρ, 95 % intervals hold all but some 10 (4 standard errors: 12)."""
    rng = np.random.default_rng(2)
    pearson = 0.5
    exact = 6 / np.pi * np.arcsin(pearson / 2)  # of normal variables
    held = 0
    for _ in range(200):
        x, e = rng.normal(size=(2, 60))
        found = correlation(x, pearson * x + np.sqrt(1 - pearson**2) * e, resamples=400)
        held += found.low < exact < found.high
    assert held >= 178


@pytest.mark.parametrize(
    ("intervals", "sign", "verdict"),
    [
        ([(0.1, 0.5), (0.2, 0.6)], 1, "agrees"), ([(0.1, 0.5), (-0.2, 0.6)], 1, "partly"),
        ([(0.1, 0.5), (-0.5, -0.1)], 1, "disagrees"), ([(-0.1, 0.5)], 1, "disagrees"),
        ([(-0.5, -0.1)], -1, "agrees"), ([(-0.5, 0.1), (-0.6, -0.2)], -1, "partly"),
        ([(np.nan, np.nan)], 1, "not tested"),
    ],
)  # fmt: skip
def test_verdicts_follow_the_intervals(intervals, sign, verdict):
    assert direction([Correlation((low + high) / 2, low, high, 9) for low, high in intervals], sign) == verdict


def made_up(change, seeds=(0, 1)):
    """Results in which every score is random, changed in place by a function of them."""
    plan = dataclasses.replace(Settings(), seeds=seeds, resamples=300)
    everyone = runs.members(plan, 784, 10)
    rng = np.random.default_rng(5)
    n, moments = len(everyone), plan.records
    drawn = [scores.fixed_scores(a, 784, 10) for a in everyone]
    variables = {}
    for score in SCORES:
        if score.key not in drawn[0]:
            thermodynamic = score.key in (*UNLINKED, "weight_laplacian")
            dims = ("seed", "architecture", "epoch", "beta")[: 3 + thermodynamic]
            shape = (len(seeds), n, len(moments), len(plan.betas))[: 3 + thermodynamic]
            variables[score.key] = (dims, rng.normal(size=shape))
    variables |= {name: ("architecture", np.array([d[name] for d in drawn])) for name in drawn[0]}
    coordinates = {"seed": list(seeds), "epoch": list(moments), "beta": list(plan.betas)}
    coordinates["architecture"] = [a.name for a in everyone]
    for name in ("shape", "skip", "activation", "wiring"):
        coordinates[name] = ("architecture", [getattr(a, name) for a in everyone])
    results = xarray.Dataset(variables, coords=coordinates)
    change(results, rng)
    return Correlations(results, plan)


def accuracy_follows(key, sign, epoch=0, beta=None):
    def change(results, rng):
        score = values(results, key, epoch, beta)
        rank = score.argsort().argsort() / len(score)
        results["test_accuracy"][:] = (sign * rank + 0.02 * rng.normal(size=len(rank)))[None, :, None]

    return change


def follows_depth(key, sign):
    def change(results, rng):
        depth = results.depth.values[None, :, None]
        shape = results[key].shape
        noise = 0.1 * rng.normal(size=shape)
        results[key][:] = sign * depth.reshape(depth.shape + (1,) * (len(shape) - 3)) + noise

    return change


def changes_in_training(sign):
    def change(results, _rng):
        for key in ("mu3", "smallest"):
            results[key][:, :, -1] = results[key].values[:, :, 0] + sign

    return change


def sinh_without_skips(sign):
    def change(results, _rng):
        results["hyperbolic_skewness"][:] = 1.0
        results["hyperbolic_skewness"][:, results.skip.values == "none"] = sign

    return change


def every_score_is_the_accuracy(kind):
    def change(results, rng):
        accuracy = rng.normal(size=results.sizes["architecture"])
        results["test_accuracy"][:, :, -1] = accuracy[None]
        for score in SCORES:
            if score.kind == kind and "epoch" in results[score.key].dims and score.key != "test_accuracy":
                shape = results[score.key].shape
                each = accuracy[None, :, None].reshape((1, -1, 1) + (1,) * (len(shape) - 3))
                results[score.key][:] = each + 0.01 * rng.normal(size=shape)

    return change


def a_day_late(results, rng):
    """Nothing is known before the last record."""
    results["test_accuracy"][:] = rng.normal(size=results.test_accuracy.shape)


WORLDS = {
    "less entropy destruction is better": [accuracy_follows("entropy_destruction", s, 0, 1.4) for s in (-1, 1)],
    "less entropy destruction in the initial phase": [
        accuracy_follows("entropy_destruction", s, 0, 0.25) for s in (-1, 1)
    ],
    "also after a short training": [accuracy_follows("entropy_destruction", s, 3, 1.4) for s in (-1, 1)],
    "variance": [accuracy_follows("mu2", s) for s in (1, -1)],
    "skewness": [accuracy_follows("mu3", s) for s in (-1, 1)],
    "skewness after a short training": [accuracy_follows("mu3", s, 3) for s in (-1, 1)],
    "dynamical eigenvalues": [accuracy_follows("moving", s) for s in (1, -1)],
    "apples to apples": [accuracy_follows("mu3", s) for s in (-1, 1)],
    "depth makes skewness": [follows_depth("skewness", s) for s in (-1, 1)],
    "depth saves entropy": [follows_depth("entropy_destruction", s) for s in (-1, 1)],
    "depth pays": [accuracy_follows("depth", s) for s in (1, -1)],
    "skewness grows in training": [changes_in_training(s) for s in (-1, 1)],
    "no skips, no positive skewness": [sinh_without_skips(s) for s in (-1, 1)],
    "the Laplacian in the weights": [accuracy_follows("weight_laplacian", s) for s in (1, -1)],
    "more than the number of parameters": [every_score_is_the_accuracy("thermodynamic"), a_day_late],
    "better than other scores": [every_score_is_the_accuracy("thermodynamic"), every_score_is_the_accuracy("baseline")],
}
"""Of every claim a world in which it is right and one in which it is wrong."""


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.key)
def test_every_claim_agrees_where_it_is_right_and_disagrees_where_it_is_wrong(claim):
    right, wrong = (claim.test(made_up(world)) for world in WORLDS[claim.key])
    assert right.verdict == "agrees", right.comment
    # a thirteenth of independent scores may exclude 0 by chance: 5 % of them do
    allowed = ("disagrees", "partly") if claim.key == "more than the number of parameters" else ("disagrees",)
    assert wrong.verdict in allowed, wrong.comment


def test_no_short_training_no_verdict_on_it():
    c = made_up(lambda *_: None)
    plan = dataclasses.replace(c.settings, score_epochs=(0,))
    early = Correlations(c.results.sel(epoch=[0, plan.epochs]), plan)
    for key in ("also after a short training", "skewness after a short training"):
        assert next(claim for claim in CLAIMS if claim.key == key).test(early).verdict == "not tested"


def test_an_activation_that_is_lost_as_a_whole_is_not_tested():
    def lose(results, _rng):
        results["mu2"][:, results.activation.values == "relu"] = np.nan

    found = {s.key: s.verdict for s in statements(made_up(lose), 71)}
    assert found["less entropy destruction is better"] == "not tested"
    assert len(found) == len(CLAIMS)


def test_names_of_all_activations_survive_the_files(tmp_path):
    """Each run's file has text of its own width; the first must not cut that of the others."""
    jobs = []
    for activation in ("tanh", "sigmoid"):
        job = runs.Job(activation, 1, settings=TINY, data_dir=None, folder=tmp_path)
        names = {"activation": ("architecture", [activation]), "architecture": [f"60, {activation}"]}
        xarray.Dataset({"depth": ("architecture", [1.0])}, coords=names).to_netcdf(job.file, engine="h5netcdf")
        jobs.append(job)
    runs.load_runs(jobs).to_netcdf(tmp_path / "all.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "all.nc", engine="h5netcdf") as again:
        assert list(again.activation.values) == ["tanh", "sigmoid"]
        assert list(again.architecture.values) == ["60, tanh", "60, sigmoid"]


def test_unlinked_neurons_have_no_score_left():
    """Weights of 0, in networks of two sizes: (9.1) and the others are what each neuron adds by itself."""
    betas = jnp.array([0.25, 1.4, 10.0])
    for architecture in CASES[:3]:
        p, wiring = a_network(architecture, 0)
        none = jax.tree.map(jnp.zeros_like, p)
        found = scores.thermodynamic_scores(none, wiring, jnp.ones((1, INPUTS)), betas, **of(architecture))
        size = scores.fixed_scores(architecture, INPUTS, OUTPUTS)["neurons"]
        for name, each in UNLINKED.items():
            for k, beta in enumerate(betas):
                assert float(found[name][k]) == pytest.approx(size * each(float(beta)), rel=1e-12), name


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0])
def test_the_variance_moves_the_entropy_destruction_one_way_below_a_half_and_the_other_above(beta):
    """-ΔF of log λ = ±ε less that of log λ = 0, against β²(2β - 1) μ2 / 2(1 + β)⁴; the next order is ε⁴."""
    spread = nt.LogSpectrum(jnp.array([1e-3, -1e-3]))
    change = nt.eigenvalue_laplacian(nt.LogSpectrum(jnp.zeros(2)), beta) - nt.eigenvalue_laplacian(spread, beta)
    slope = beta**2 * (2 * beta - 1) / (2 * (1 + beta) ** 4)
    assert float(change) == pytest.approx(slope * 2e-6, abs=3e-12)  # ε⁴ × a coefficient of order 1, and rounding


def test_what_is_not_finite_is_left_out():
    c = made_up(lambda *_: None)
    broken = c.results.copy(deep=True)
    broken["mu2"][1, 7, 2] = np.nan
    assert Correlations(broken, c.settings).results.sizes["architecture"] == c.results.sizes["architecture"] - 1


# the study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("architectures") / "out"
    return folder, architectures(TINY, folder, workers=1, command="nnthermo architectures")


def test_the_folder_holds_all_that_is_promised(study):
    folder, results = study
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["architectures"] == 2 + 3 * 2
    assert [s["key"] for s in results["statements"]] == [c.key for c in CLAIMS]
    assert sorted(f.name for f in (folder / "figures").iterdir()) == sorted(
        f"figure-{k}.{kind}" for k in FIGURES for kind in ("png", "svg")
    )
    with xarray.open_dataset(folder / "scores.nc", engine="h5netcdf") as dataset:
        assert {score.key for score in SCORES} <= set(dataset.data_vars)
        assert dict(dataset.sizes) == {"seed": 2, "architecture": 8, "epoch": 3, "beta": 1}
        assert float(reached(dataset).max()) > 0.3  # of ten classes, after two epochs of 200 samples
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert CAVEATS[0][:40] in page
    assert page.count("<img") == len(FIGURES)


def test_killed_and_resumed_it_is_the_same(study, tmp_path, monkeypatch):
    """The training of one run stops after its first epoch, once with a record just kept and once without."""
    folder, results = study
    monkeypatch.setattr(runs, "held_out", lambda *_: runs_data)
    from nnthermo.experiments.samples import held_out

    runs_data = held_out(TINY)
    job = runs.Job("tanh", 2, settings=TINY, data_dir=None, folder=tmp_path)
    calls = []

    class KilledError(Exception):
        pass

    def report(_name, done, _total):
        calls.append(done)
        if len(calls) in (2, 4):
            raise KilledError

    for _ in range(2):
        with pytest.raises(KilledError):
            runs.run(job, report)
    runs.run(job, report)
    assert calls == [0, 1, 1, 2, 2]  # each epoch once, told again after each kill
    with (
        xarray.open_dataset(job.file, engine="h5netcdf") as again,
        xarray.open_dataset(folder / "runs" / "tanh-2.nc", engine="h5netcdf") as whole,
    ):
        assert again.load().identical(whole.load())
    assert not (tmp_path / "tanh-2.npz").exists()
    assert results["not_finite"] == 0


def test_too_few_architectures_are_refused_before_anything_is_written(tmp_path):
    few = dataclasses.replace(TINY, depths=(1,), skips=("none",))
    with pytest.raises(ValueError, match="`depths, skips` must leave 4 architectures of each activation"):
        architectures(few, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_budget_of_parameters_replaces_that_of_neurons():
    assert Settings(parameters=9000).neurons is None
    assert Settings.from_json(Settings(parameters=9000).to_json()) == Settings(parameters=9000)
