"""Rules that end training: drifts against polyfit, learning equilibrium by hand, resumed runs that stop alike."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nnthermo as nt
from nnthermo.stopping import drift


def exponential(tau=20.0, floor=0.5, records=200, noise=0.0):
    epochs = np.arange(records) * 3
    rng = np.random.default_rng(0)
    loss = floor + np.exp(-epochs / tau) + noise * rng.normal(size=records)
    return {"epoch": epochs, "loss": loss, "entropy": 7 - 2 * loss, "average_loss": 3 * loss}


def first(rule, history):
    """The decision of the first record at which there is one."""
    for rows in range(1, len(history["epoch"]) + 1):
        found = rule({name: values[:rows] for name, values in history.items()})
        if found is not None:
            return found
    return None


def test_drift_is_the_line_of_least_squares():
    rng = np.random.default_rng(1)
    epochs = np.sort(rng.choice(1000, 15, replace=False)).astype(float)
    values = rng.normal(size=15) + 0.01 * epochs
    (slope, _), covariance = np.polyfit(epochs, values, 1, cov=True)
    length = epochs[-1] - epochs[0]
    np.testing.assert_allclose(drift(epochs, values), (slope * length, np.sqrt(covariance[0, 0]) * length), rtol=1e-10)


def test_equilibrium_is_where_no_quantity_can_have_moved():
    history = exponential()
    rule = nt.LearningEquilibrium({"loss": 0.02}, {"entropy": 0.005}, window=10, confidence=1.5)
    for rows in range(10, 200):
        epochs = history["epoch"][rows - 10 : rows].astype(float)
        bounds = {}
        for name in ("loss", "entropy"):
            y = history[name][rows - 10 : rows]
            (slope, _), covariance = np.polyfit(epochs, y, 1, cov=True)
            bounds[name] = (abs(slope) + 1.5 * np.sqrt(covariance[0, 0])) * (epochs[-1] - epochs[0]), y.mean()
        if bounds["loss"][0] <= 0.02 * bounds["loss"][1] and bounds["entropy"][0] <= 0.005:
            break
    found = first(rule, history)
    assert found.epoch == 3 * (rows - 1)
    assert 20 < rows < 199
    assert "learning equilibrium: over epochs" in found.reason
    assert "entropy changed by" in found.reason
    # the entropy's tolerance is the tighter: alone the loss is at rest earlier
    assert first(nt.LearningEquilibrium({"loss": 0.02}, {}, window=10, confidence=1.5), history).epoch < found.epoch


def test_noise_delays():
    rule = nt.LearningEquilibrium(window=10)
    assert first(rule, exponential(records=400)).epoch < 200
    noisy = exponential(records=400, noise=0.01)  # standard error 0.01 √12/√10 of a loss of 0.5, tolerance 0.005
    assert first(rule, noisy) is None
    # with 200 records 0.01 √12/√200 = 0.0024, twice that within 0.005 when the drift happens to be small
    assert first(nt.LearningEquilibrium({"loss": 0.02}, {}, window=200), noisy).epoch > 600


def test_undecided_while_values_are_missing():
    history = exponential(records=30, tau=0.1)
    rule = nt.LearningEquilibrium(window=5)
    assert first(rule, history).epoch == 15  # from the second record on nothing moves: records 1 to 5
    history["loss"][:4] = np.nan
    assert first(rule, history).epoch == 24


def test_reached_and_combinations_by_hand():
    history = {"epoch": np.array([0, 4, 9]), "loss": np.array([3.0, 2.0, 1.0]), "accuracy": np.array([0.1, 0.9, 0.95])}
    low, right = nt.Reached("loss", below=1.0), nt.Reached("accuracy", above=0.9)
    assert first(low, history) == nt.Stopped(9, "loss is 1, at most 1")
    assert first(right, history) == (4, "accuracy is 0.9, at least 0.9")
    assert first(nt.any_of(low, right), history) == (4, "accuracy is 0.9, at least 0.9")
    assert first(nt.all_of(low, right), history) == (9, "loss is 1, at most 1 and accuracy is 0.95, at least 0.9")
    assert first(nt.any_of(nt.all_of(low, nt.Reached("loss", above=2)), nt.Reached("loss", below=0)), history) is None


def network(seed=0):
    return nt.FeedForward.init(jax.random.key(seed), (3, 4, 2), activation=jnp.tanh)


def samples(seed=0, n=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), 0.5 * rng.normal(size=(n, 2))


ADAM = optax.adam(0.02)
RULE = nt.LearningEquilibrium({"loss": 0.3}, {"size": 0.5}, window=5)


def size(net, inputs, targets):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(net))


def run(stop=RULE, checkpoint=None, epochs=60):
    return nt.train(
        network(), samples(), key=jax.random.key(1), epochs=epochs, optimizer=ADAM, batch_size=3,
        observe={"size": size}, observe_at=range(0, 61, 2), stop=stop, checkpoint=checkpoint,
    )  # fmt: skip


def assert_same(one, two):
    assert (one.epochs, one.finite, one.stopped) == (two.epochs, two.finite, two.stopped)
    for a, b in zip(jax.tree.leaves(one.network), jax.tree.leaves(two.network), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.history.keys() == two.history.keys()
    for name, values in one.history.items():
        assert values.dtype == two.history[name].dtype
        np.testing.assert_array_equal(values, two.history[name])


def test_a_run_stops_where_its_history_says():
    whole, stopped = run(stop=None), run()
    assert whole.stopped is None
    assert whole.epochs == 60
    expected = first(RULE, whole.history)
    assert 10 < expected.epoch < 58
    assert stopped.stopped == expected
    assert stopped.epochs == expected.epoch == stopped.history["epoch"][-1]
    for name, values in stopped.history.items():
        np.testing.assert_array_equal(values, whole.history[name][: len(values)])
    assert run(stop=[nt.Reached("size", above=1e9), RULE]).stopped == expected


@pytest.mark.parametrize("count", [1, 3])
def test_an_interrupted_run_stops_at_the_same_epoch(tmp_path, monkeypatch, count):
    whole = run()
    save, calls = nt.Checkpoint.save, []

    def interrupted(self, *arguments):
        calls.append(1)
        save(self, *arguments)
        if len(calls) == count:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(nt.Checkpoint, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint=nt.Checkpoint(tmp_path, every=5))
    assert_same(run(checkpoint=nt.Checkpoint(tmp_path, every=5)), whole)
    assert_same(run(checkpoint=nt.Checkpoint(tmp_path, every=5)), whole)  # what has stopped stays so
    # without the rule it goes on to the end, as if it had never stopped
    rest = run(stop=None, checkpoint=nt.Checkpoint(tmp_path, every=5))
    assert_same(rest, run(stop=None))
    with pytest.raises(ValueError, match="`checkpoint` must not be of epoch 60, beyond the end .*, but got learning"):
        run(checkpoint=nt.Checkpoint(tmp_path, every=5))


HISTORY = {"epoch": np.arange(9), "loss": np.ones(9), "spectrum": np.ones((9, 2))}
BAD = {
    "unknown": (lambda: nt.Reached("x", below=1)(HISTORY), ValueError, "`stop` must name what is recorded .* got 'x'"),
    "vector": (lambda: nt.Reached("spectrum", below=1)(HISTORY), ValueError, r"`stop` must name scalars.*shape \(2,\)"),
    "no bound": (lambda: nt.Reached("loss"), ValueError, "`below or above` must be given, but got neither"),
    "short": (lambda: nt.LearningEquilibrium(window=3), ValueError, "`window` must be at least 4 records, but got 3"),
    "exact": (lambda: nt.LearningEquilibrium({"loss": 0}), ValueError, "`relative` must hold positive tolerances"),
    "none": (lambda: nt.LearningEquilibrium({}, {}), ValueError, "must name at least one quantity, but got none"),
    "sure": (
        lambda: nt.LearningEquilibrium(confidence=-1),
        ValueError,
        "`confidence` must not be negative, but",
    ),
    "no rules": (nt.all_of, ValueError, "`rules` must hold at least one rule, but got"),
    "a number": (lambda: nt.any_of(3), TypeError, "`rules` must be functions of the history, but got 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rules_are_refused_in_one_sentence(case):
    call, kind, sentence = BAD[case]
    with pytest.raises(kind, match=sentence):
        call()
