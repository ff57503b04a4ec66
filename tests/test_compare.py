"""`nnthermo compare`: curvatures against dense Hessians, verdicts by value, runs resumed to the same bits."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure
from pages import Page, record, shows_everything

import nnthermo as nt
from nnthermo.__main__ import main
from nnthermo.experiments.compare import Settings, compare, curvature, figures, readout, report
from nnthermo.experiments.compare.curvature import LOSSES, THRESHOLDS
from nnthermo.experiments.compare.report import write_report
from nnthermo.experiments.compare.settings import NETWORKS
from nnthermo.experiments.compare.statements import CLAIMS, statements
from nnthermo.experiments.compare.statements.flatness import parameters
from nnthermo.experiments.compare.statements.learning import longest_still, rises
from nnthermo.experiments.compare.statements.record import at_time, equal_time, flatness
from nnthermo.experiments.samples import held_out

TINY = Settings(
    samples=60, test_samples=40, networks=("shallow",), epochs=6, unsupervised_epochs=2, batch_size=20, seeds=(3,),
    observations=2, relaxed_samples=20, max_steps=500, curvature_samples=10, curvature_records=2, probes=2,
    lanczos_steps=6,
)  # fmt: skip
FLAGS = [
    *("--samples", "60", "--test-samples", "40", "--networks", "shallow", "--epochs", "6", "--batch-size", "20"),
    *("--unsupervised-epochs", "2", "--seeds", "3", "--observations", "2", "--relaxed-samples", "20"),
    *("--max-steps", "500", "--curvature-samples", "10", "--curvature-records", "2", "--probes", "2"),
    *("--lanczos-steps", "6"),
]


def test_settings_say_when_to_record():
    marks = Settings().observe_at("bulk")
    assert set(Settings().curvature_at("bulk")) == {0, 30, 300, 3000} <= set(marks)
    assert Settings().curvature_at("unsupervised") == ()
    assert TINY.curvature_at("boundary") == (0, 6)
    assert max(Settings().observe_at("unsupervised")) == Settings().unsupervised_epochs
    assert dataclasses.replace(TINY, bulk_learning_rate=0.5).rate_of("bulk") == 0.5
    assert dataclasses.replace(TINY, bulk_learning_rate=0.5).rate_of("boundary") == TINY.learning_rate
    assert TINY.rate_of("bulk") == TINY.learning_rate


def test_the_read_out_is_ridge_regression_and_scores_what_it_has_not_seen():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    targets = 2.0 * np.eye(3)[truth] - 1
    codes = np.concatenate([targets @ rng.normal(size=(3, 3)), rng.normal(size=(400, 4))], axis=1)
    codes += 5  # offsets are no information
    assert readout.readout_accuracy(codes[:300], targets[:300], codes[300:], targets[300:]) == 1.0
    noise = rng.normal(size=codes.shape)  # a third by chance; 100 samples: ± 0.05 each way
    assert readout.readout_accuracy(noise[:300], targets[:300], noise[300:], targets[300:]) < 0.5
    c = codes[:300] - codes[:300].mean(axis=0)
    assert readout.readout_accuracy(np.ones((300, 7)), targets[:300], np.ones((100, 7)), targets[300:]) == np.mean(
        truth[300:] == np.bincount(truth[:300]).argmax()
    )
    known, new = readout.principal_components(codes[:300], codes[300:], 2)
    scales = np.linalg.svd(c, compute_uv=False)[:2]
    assert np.sort(np.linalg.norm(known, axis=0))[::-1] == pytest.approx(scales, rel=1e-10)
    assert new.shape == (100, 2)
    joint = readout.principal_components(codes[:300], codes[:300], 2)[1]
    assert joint == pytest.approx(known, abs=1e-12)


def test_every_network_has_854_neurons_and_60_hidden_ones():
    assert {(sum(sizes), sum(sizes[1:-1])) for sizes in NETWORKS.values()} == {(854, 60)}
    assert parameters("deep") == 32_430


def small_problem(samples=9, inputs=12, scale=1.3):
    """A network with few neurons, more inputs than samples, and its reduced problem."""
    keys = jax.random.split(jax.random.key(5), 4)
    net = nt.FeedForward.init(keys[0], (inputs, 5, 4, 3), activation=jnp.tanh, scale=scale, dtype=jnp.float64)
    net = net.replace(biases=[0.3 * jax.random.normal(k, b.shape) for k, b in zip(keys, net.biases, strict=False)])
    u = jax.random.uniform(keys[1], (samples, inputs))
    t = jnp.sign(jax.random.normal(keys[2], (samples, 3)))
    span = curvature.reached_span(u)
    return net, u, t, span


def dense(product, problem):
    """The Hessian of the reduced problem, column by column."""
    flat, unravel = ravel_pytree(problem.net)
    columns = jax.jit(jax.vmap(lambda v: ravel_pytree(product(problem, unravel(v)))[0]))(jnp.eye(flat.size))
    return np.asarray(columns)


@pytest.mark.slow
def test_boundary_curvatures_are_those_of_all_weights():
    net, u, t, span = small_problem()
    problem, left_out = curvature.prepare(net, u, t, span)
    assert left_out == 0
    flat, unravel = ravel_pytree(net)
    full = jax.jit(jax.hessian(lambda w: nt.mean_loss(nt.boundary_loss, unravel(w), u, t)))(flat)
    reduced = dense(curvature.boundary_product, problem)
    unreached = full.shape[0] - reduced.shape[0]
    assert unreached == 5 * (12 - 9)  # 9 samples span 9 of the 12 inputs of each of 5 neurons
    expected = np.linalg.eigvalsh(np.asarray(full))
    found = np.sort(np.concatenate([np.linalg.eigvalsh(reduced), np.zeros(unreached)]))
    assert found == pytest.approx(expected, abs=1e-12 * np.abs(expected).max())


@pytest.mark.slow
def test_bulk_curvatures_are_the_derivative_of_the_envelope_gradient():
    net, u, t, span = small_problem()
    problem, left_out = curvature.prepare(net, u, t, span)
    assert left_out == 0
    loss = lambda n, x, target: nt.relaxed_bulk_loss(n, x, target, tolerance=1e-13, max_steps=20_000)  # noqa: E731
    gradient = jax.jit(jax.grad(lambda n: nt.mean_loss(loss, n, problem.inputs, problem.targets)))
    flat, unravel = ravel_pytree(problem.net)
    found = dense(curvature.bulk_product, problem)
    assert found == pytest.approx(found.T, abs=1e-9)  # to the tolerance 1e-9 of the minimum
    h = 1e-5
    for k in range(3):
        v = jax.random.normal(jax.random.key(k), flat.shape)
        ahead, behind = (ravel_pytree(gradient(unravel(flat + s * h * v)))[0] for s in (1, -1))
        # central differences: h² from the third derivative, 1e-13/h from the tolerance of the minimum
        assert found @ np.asarray(v) == pytest.approx(np.asarray(ahead - behind) / (2 * h), abs=2e-7)
    frozen = jax.jit(jax.hessian(lambda w: curvature.mean_clamped_loss(unravel(w), problem.hidden, problem)))(flat)
    moved = np.asarray(frozen) - found  # h_wx h_xx⁻¹ h_xw is positive: minima that follow can only lower curvature
    assert np.linalg.eigvalsh(moved).min() > -1e-10
    assert np.linalg.eigvalsh(moved).max() > 1e-2


@pytest.mark.slow
def test_counts_agree_with_dense_curvatures():
    net, u, t, span = small_problem()
    found, left_out = curvature.curvatures(net, u, t, span, seed=1, probes=60, steps=25)
    problem, _ = curvature.prepare(net, u, t, span)
    assert left_out == 0
    for loss in LOSSES:
        values = np.linalg.eigvalsh(dense(curvature.PRODUCTS[loss], problem))
        got, unreached = found[loss], 15
        assert got.largest == pytest.approx(np.abs(values).max(), rel=1e-9)  # the outermost converge first
        assert got.smallest == pytest.approx(min(values.min(), 0), rel=1e-6)
        # 60 random directions: the trace of 69 curvatures to a few percent, four standard errors
        assert got.trace == pytest.approx(values.sum(), rel=0.2)
        assert got.effective == pytest.approx(np.abs(values).sum() ** 2 / (values**2).sum(), rel=0.3)
        for k, threshold in enumerate(THRESHOLDS):
            cut = threshold * np.abs(values).max()
            for count, exact in (
                (got.flat, (np.abs(values) < cut).sum() + unreached),
                (got.falling, (values < -cut).sum()),
            ):
                error = 4 * count.standard_error[k]
                assert count.low[k] - error - 1e-9 <= exact <= count.high[k] + error + 1e-9
        # tight where it matters: the nodes beyond a tenth of the largest are single eigenvalues, converged
        assert (got.flat.high - got.flat.low)[THRESHOLDS.index(0.1)] < 0.15 * 84


@pytest.mark.slow
def test_samples_without_a_minimum_are_left_out(monkeypatch):
    net, u, t, span = small_problem()
    relaxed = curvature._relax

    def fails_once(*arguments):
        found = relaxed(*arguments)
        return found._replace(converged=found.converged.at[2].set(False))

    monkeypatch.setattr(curvature, "_relax", fails_once)
    problem, left_out = curvature.prepare(net, u, t, span)
    assert left_out == pytest.approx(1 / 9)
    monkeypatch.undo()
    keep = np.arange(9) != 2
    other, _ = curvature.prepare(net, u[keep], t[keep], span)
    for product in curvature.PRODUCTS.values():
        assert dense(product, problem) == pytest.approx(dense(product, other), abs=1e-12)
    monkeypatch.setattr(curvature, "POSITIVE", np.inf)  # no minimum is one
    assert curvature.curvatures(net, u, t, span, seed=0, probes=2, steps=3) == ({}, 1.0)


EPOCHS = np.array([0, 1, 10, 100, 1000])
SECONDS = {"boundary": 0.01, "bulk": 0.1, "unsupervised": 0.1}
"""Of an epoch."""


def history(training, boundary, bulk, curved=(100.0, 300.0), accuracy=0.9):
    """One seed's records; `curved`: how many directions of each loss are not flat."""
    epochs = EPOCHS if training != "unsupervised" else np.array([0, 30])
    n = len(epochs)
    total = parameters("deep")
    flat = total - np.array(curved)[None, :, None] * np.ones((2, 2, len(THRESHOLDS)))
    one = np.ones(n)
    data = {
        "seconds": ("epoch", epochs * SECONDS[training]),
        "boundary_loss": ("epoch", np.asarray(boundary, float)[:n]),
        "relaxed_boundary_loss": ("epoch", np.asarray(boundary, float)[:n]),
        "test_boundary_loss": ("epoch", np.asarray(boundary, float)[:n]),
        "bulk_loss": ("epoch", np.asarray(bulk, float)[:n]),
        "test_bulk_loss": ("epoch", np.asarray(bulk, float)[:n]),
        "accuracy": ("epoch", accuracy * one),
        "test_accuracy": ("epoch", np.linspace(0.1, accuracy, n)),
        "free_bulk_loss": ("epoch", 0 * one),
        "objective_loss": ("epoch", -np.linspace(0.5, 1, n)),
        "readout_accuracy": ("epoch", np.linspace(0.7, 0.8, n)),
        "log_eigenvalues": (("epoch", "eigenvalue"), np.tile(np.linspace(2, -2, 110), (n, 1))),
    }
    zeros = ("unrelaxed", "test_unrelaxed", "objective_unrelaxed", "complexity", "mean_square", "mean_cube", "skewness")
    data |= dict.fromkeys(zeros, ("epoch", 0 * one))
    coords = {"epoch": epochs}
    if training != "unsupervised":
        axes = ("curvature_epoch", "hessian", "threshold")
        data |= {"flat": (axes, flat), "flat_low": (axes, flat - 5), "flat_high": (axes, flat + 5)}
        falling = np.full_like(flat, 3.0)
        data |= {"falling": (axes, falling), "falling_low": (axes, falling), "falling_high": (axes, falling)}
        data |= {"flat_error": (axes, falling), "falling_error": (axes, 0 * falling)}
        data |= {f"curvature_{k}": (axes[:2], np.full((2, 2), v)) for k, v in (("largest", 2.0), ("smallest", -1.0))}
        data |= {f"curvature_{k}": (axes[:2], np.array([[4.0, 6.0]] * 2)) for k in ("trace", "effective")}
        data["curvature_left_out"] = ("curvature_epoch", np.zeros(2))
        coords |= {"curvature_epoch": [0, 1000], "hessian": list(LOSSES), "threshold": list(THRESHOLDS)}
    return xarray.Dataset(data, coords=coords, attrs={"finite": 1, "pca_readout_accuracy": 0.75}).expand_dims(seed=[0])


SEEN = Settings(networks=("deep",), seeds=(0,), epochs=1000)


def made_histories():
    """Runs that do all that the paper says."""
    boundary, bulk = np.exp([1.0, 0.5, 0.0, -0.02, -0.05]), np.exp([-3.0, -4, -5, -6, -7])
    few = parameters("deep")
    falling = np.exp([1.0, 0, -1, -2, -3])
    return {
        ("deep", "boundary"): history("boundary", boundary, bulk, curved=(100.0, few - 2000.0)),
        ("deep", "bulk"): history("bulk", falling * np.exp(2.95), bulk * 1.1, curved=(100.0, few - 2000.0)),
        ("deep", "unsupervised"): history("unsupervised", boundary, bulk),
    }


def by_key(histories, settings=SEEN):
    return {s.key: s for s in statements(histories, settings)}


def test_runs_that_do_what_the_paper_says_get_agreement():
    found = by_key(made_histories())
    assert list(found) == [claim.key for claim in CLAIMS]
    verdicts = {key: s.verdict for key, s in found.items() if key != "similar in equal time"}
    assert set(verdicts.values()) == {"agrees"}, verdicts
    assert all(s.numbers for s in found.values())
    assert json.dumps([s.to_json() for s in found.values()], allow_nan=False)
    learned = {n.label: n.ours for n in found["beyond supervised"].numbers if "read-out" in n.label}
    assert list(learned.values()) == [[0.8], [0.7], [0.75]], learned  # trained, random weights, PCA


def test_verdicts_follow_the_data():
    def changed(training, **values):
        histories = made_histories()
        key = ("deep", training)
        histories[key] = histories[key].assign({k: (histories[key][k].dims, v) for k, v in values.items()})
        return {key: s.verdict for key, s in by_key(histories).items()}

    ends = np.exp([[-3.0, -4, -5, -6, -5]])
    found = changed("boundary", bulk_loss=ends)
    assert found["bulk falls monotonically"] == "partly"
    assert found["similar losses"] == "disagrees"
    assert changed("bulk", test_accuracy=np.full((1, 5), 0.5))["similar accuracy"] == "disagrees"
    assert changed("boundary", boundary_loss=np.exp([[1.0, 0, -1, -2, -3]]))["boundary sticks"] == "disagrees"
    assert changed("bulk", bulk_loss=np.ones((1, 5)))["both decrease"] == "partly"
    assert changed("bulk", bulk_loss=np.ones((1, 5)))["sticks less"] == "disagrees"
    near = np.exp([[0.0, 0, 0, 0, -3]])
    assert changed("bulk", relaxed_boundary_loss=near)["orders below"] == "partly"
    assert changed("boundary", free_bulk_loss=np.full((1, 5), 1e-3))["zero without objective"] == "partly"
    assert changed("bulk", objective_loss=np.zeros((1, 5)))["non-zero with one"] == "partly"
    assert changed("unsupervised", objective_loss=np.zeros((1, 2)))["beyond supervised"] == "disagrees"
    falling = made_histories()["deep", "boundary"].falling.values * 0
    assert changed("boundary", falling=falling)["saddle"] == "disagrees"


@pytest.mark.parametrize("instant", [("boundary",), ("bulk",), ("boundary", "bulk")])
def test_training_too_short_to_be_timed_is_said_to_be(instant):
    """A few steps take no longer than the call without any that is subtracted."""
    histories = made_histories()
    for training in instant:
        histories["deep", training] = histories["deep", training].assign(seconds=("epoch", np.zeros(5)))
    found = by_key(histories)["similar in equal time"]
    ratio = found.to_json()["numbers"][-1]["per_seed"]
    assert ratio == ([0.0] if instant == ("bulk",) else [None])
    assert found.comment.endswith("too short a time to be measured.") == ("boundary" in instant)
    ax = Figure().subplots()
    figures._accuracy(ax, "deep", histories, "seconds")
    assert ax.get_xscale() == ("linear" if len(instant) == 2 else "log")
    assert ("logarithmic" in ax.get_xlabel()) == (len(instant) == 1)


@pytest.mark.parametrize(
    ("curved", "verdict"), [(300.0, "partly"), (120.0, "partly"), (112.0, "disagrees"), (50.0, "disagrees")]
)
def test_fewer_flat_directions_count_only_beyond_the_bounds(curved, verdict):
    # bounds are ±5 and two standard errors of 3 each: 100 and 112 not flat overlap, 100 and 123 do not
    curved = curved if curved != 120.0 else 123.0
    histories = made_histories()
    histories["deep", "boundary"] = history("boundary", [1.0] * 5, [1e-3] * 5, curved=(100.0, curved))
    found = by_key(histories)
    assert found["fewer flat, same weights"].verdict == verdict
    assert found["fewer flat, own weights"].verdict == "agrees"


def test_a_run_that_diverged_is_left_out_and_named():
    histories = {}
    for key, one in made_histories().items():
        lost = one
        if key[1] == "bulk":
            lost = one.map(lambda values: values.where(values.epoch <= 10) if "epoch" in values.dims else values)
        histories[key] = xarray.concat([one, lost.assign_coords(seed=[5])], dim="seed", join="outer")
    found = by_key(histories, dataclasses.replace(SEEN, seeds=(0, 5)))
    alone = by_key(made_histories())
    for claim in CLAIMS:
        statement = found[claim.key]
        assert statement.verdict == alone[claim.key].verdict
        assert ("training diverged: seed 5." in statement.comment) == ("bulk" in claim.needs), claim.key
    none = {k: h.isel(epoch=slice(0, 1)) for k, h in made_histories().items()}
    assert {s.verdict for s in by_key(none).values()} == {"not tested"}
    off = by_key(made_histories(), dataclasses.replace(SEEN, unsupervised_epochs=0))
    assert off["beyond supervised"].verdict == "not tested"


def test_numbers_by_hand():
    histories = made_histories()
    one, other = (histories["deep", t].isel(seed=0) for t in ("boundary", "bulk"))
    assert equal_time(one, other) == pytest.approx(10.0)  # 1,000 epochs at 10 ms, before 1,000 at 100 ms
    assert at_time(other, "epoch", 10.0) == pytest.approx(100)
    assert at_time(other, "test_accuracy", 5.5) == pytest.approx((0.5 + 0.7) / 2)  # halfway from epoch 10 to 100
    value, low, high = flatness(one, "boundary", 1e-2)
    assert (parameters("deep") - value, value - low, high - value) == pytest.approx((100, 11, 11))
    zigzag = xarray.Dataset({"x": ("epoch", np.exp([4.0, 2, 3, 1, 0]))}, coords={"epoch": [0, 1, 2, 3, 4]})
    assert rises(zigzag, "x") == pytest.approx(1 / 4)
    assert rises(zigzag.assign(x=1 / zigzag.x), "x") == np.inf
    still = xarray.Dataset({"x": ("epoch", np.exp([4.0, 2, 2.05, 2, 0]))}, coords={"epoch": [0, 1, 2, 4, 10]})
    assert longest_still(still, "x") == pytest.approx(0.3)


def made_results(**changes):
    found = statements(made_histories(), SEEN)
    run = {
        "network": "deep", "training": "bulk", "seed": 0, "finite": True, "epochs": 1000, "seconds": 100.0,
        "seconds_an_epoch": 0.1, "largest_unrelaxed": 0.012, "boundary_loss": 0.5, "bulk_loss": 0.001,
        "accuracy": 0.987, "test_accuracy": 0.876, "complexity": 777.7, "skewness": -0.25,
        "readout_accuracy": 0.765,
    }  # fmt: skip
    at = {"epoch": 100.0, "test_accuracy": 0.7, "accuracy": 0.8, "boundary_loss": 1.5, "bulk_loss": None}
    pair = {"network": "deep", "seed": 0, "seconds": 10.0, "boundary": at, "bulk": at}
    return record("compare", SEEN, found, samples=4000, runs=[run], equal_time=[pair]) | changes


def test_report_shows_every_statement_number_and_caveat_and_loads_nothing(tmp_path):
    page = shows_everything(report, CLAIMS, made_results(), tmp_path / "out")
    for text in ("98.7%", "87.6%", "76.5%", "1.2%", "100 ms", "2 h 3 min", "10 s"):
        assert text in page.text, text
    assert page.text.count("not finite") == 0
    quick = Page(write_report(tmp_path / "out", made_results(quick=True), []).read_text(encoding="utf-8"))
    assert "This is a short run" in quick.text
    blind = made_results()
    blind["runs"] = [{**blind["runs"][0], "training": "unsupervised"}]
    text = Page(write_report(tmp_path / "out", blind, []).read_text(encoding="utf-8")).text
    assert "76.5%" in text
    assert "87.6%" not in text  # its outputs never saw a class: an accuracy would mean nothing


def test_test_samples_are_not_trained_on():
    data = held_out(TINY)
    assert data.inputs.shape == (60, 784)
    assert data.test_inputs.shape == (40, 784)
    assert not {a.tobytes() for a in data.inputs} & {a.tobytes() for a in data.test_inputs}
    assert data.targets.sum(axis=0).tolist() == [6 * 1.0 - 54] * 10  # classes in equal numbers
    with pytest.raises(ValueError, match="`samples` must lie between 1 and the 4960 of digits"):
        held_out(dataclasses.replace(TINY, samples=4961))
    with pytest.raises(ValueError, match="`test_samples` must be at most 4999"):
        held_out(dataclasses.replace(TINY, test_samples=5000))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "out"
    told = []
    results = compare(TINY, folder, workers=1, report=lambda *message: told.append(message))
    return folder, results, told


@pytest.mark.slow
def test_folder_of_results(finished):
    folder, results, told = finished
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["settings"] == TINY.to_json()
    assert [(run["training"], run["finite"], run["epochs"]) for run in results["runs"]] == [
        ("boundary", True, 6), ("bulk", True, 6), ("unsupervised", True, 2),
    ]  # fmt: skip
    assert "not tested" not in {s["verdict"] for s in results["statements"]}
    verdicts = {s["key"]: s["verdict"] for s in results["statements"]}
    assert verdicts["zero without objective"] == verdicts["non-zero with one"] == "agrees"
    for k in range(1, 8):
        assert (folder / "figures" / f"figure-{k}.svg").stat().st_size > 1000
    Page((folder / "report.html").read_text(encoding="utf-8"))
    starts = []
    for training in TINY.trainings:
        run = xarray.load_dataset(folder / f"shallow-{training}.nc", engine="h5netcdf").isel(seed=0)
        assert tuple(run.epoch.values) == TINY.observe_at(training)
        assert (np.diff(run.seconds) >= 0).all()
        # H* <= H_∂ on the same samples, which the feed-forward state with its output moved shows
        assert (run.bulk_loss <= run.relaxed_boundary_loss * (1 + 1e-5)).all()
        assert np.abs(run.log_eigenvalues.sum("eigenvalue")).max() < 1e-10  # (7.8) in float64
        starts.append(float(run.boundary_loss[0]))
        weights = np.load(folder / "runs" / f"shallow-{training}-3.npz")
        assert weights["weight_0"].shape == (60, 784)
        assert not (folder / "runs" / f"shallow-{training}-3").exists()
    assert len(set(starts)) == 1  # the same initial weights
    names = {name for name, *_ in told}
    assert names == {f"shallow-{t}-3" for t in TINY.trainings}
    for name in names:
        done = [d for n, d, _ in told if n == name]
        assert done == sorted(done)
        assert done.count(max(done)) == 1


@pytest.mark.slow
def test_the_boundary_run_is_plain_training(finished):
    """Its weights are those that gradient descent written out here gives."""
    folder, *_ = finished
    data = held_out(TINY)
    weights_key, order_key = jax.random.split(jax.random.key(3))
    net = nt.FeedForward.init(weights_key, NETWORKS["shallow"], activation=jnp.tanh, dtype=jnp.float32)
    u, t = jnp.asarray(data.inputs), jnp.asarray(data.targets)
    gradient = jax.jit(jax.grad(lambda n, rows: nt.mean_loss(nt.boundary_loss, n, u[rows], t[rows])))
    marks = TINY.observe_at("boundary")
    for begin, end in pairwise(marks):
        for epoch in range(end - begin):
            key = jax.random.fold_in(jax.random.fold_in(order_key, begin), epoch)
            for rows in jax.random.permutation(key, 60).reshape(3, 20):
                net = jax.tree.map(lambda w, g: w - jnp.float32(TINY.learning_rate) * g, net, gradient(net, rows))
    saved = np.load(folder / "runs" / "shallow-boundary-3.npz")
    assert saved["weight_0"] == pytest.approx(np.asarray(net.weights[0]), abs=1e-5)  # float32 sums in another order


@pytest.mark.slow
def test_killed_the_run_resumes_to_the_same_bits(finished, tmp_path, capsys):
    expected, *_ = finished
    output = tmp_path / "out"
    arguments = [sys.executable, "-m", "nnthermo", "compare", *FLAGS, "--workers", "1", "--output", str(output)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = time.monotonic()
    while not (output / "runs" / "shallow-bulk-3" / "3.npz").exists() and process.poll() is None:
        assert time.monotonic() - started < 300
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(SystemExit) as refused:
        main(arguments[3:])
    assert refused.value.code == 2
    assert "`output` must be empty (or continued with --resume)" in capsys.readouterr().err
    done = subprocess.run([*arguments, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for training in TINY.trainings:
        files = (folder / f"shallow-{training}.nc" for folder in (expected, output))
        first, second = (xarray.load_dataset(f, engine="h5netcdf").drop_vars("seconds") for f in files)
        xarray.testing.assert_equal(first, second)


@pytest.mark.slow
def test_runs_that_diverge_are_reported_and_not_judged(tmp_path):
    results = compare(dataclasses.replace(TINY, target_on=1e30, unsupervised_epochs=0), tmp_path / "out", workers=1)
    assert [run["finite"] for run in results["runs"]] == [False, False]
    assert {s["verdict"] for s in results["statements"]} == {"not tested"}
    assert "Not every run stayed finite" in (tmp_path / "out" / "report.html").read_text()
