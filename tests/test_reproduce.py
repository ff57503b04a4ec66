"""`nnthermo reproduce`: settings, numbers and verdicts by value; the command end to end, killed and resumed."""

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray

from nnthermo.experiments.histories import EVERYTHING, fixed_count_complexity, plateau
from nnthermo.experiments.networks import NETWORKS
from nnthermo.experiments.reproduce import QUICK, Settings, reproduce, sensitivity
from nnthermo.experiments.reproduce.statements import CLAIMS, statements
from nnthermo.experiments.reproduce.statements.laws import line
from nnthermo.experiments.verdicts import Number

TINY = Settings(
    sensitivity_epochs=0,
    samples=200,
    epochs=60,
    learning_rate=0.05,
    batch_size=50,
    seeds=(3,),
    observations=3,
    relaxed_samples=50,
)
FLAGS = [
    *("--samples", "200", "--epochs", "60", "--learning-rate", "0.05", "--batch-size", "50"),
    *("--seeds", "3", "--observations", "3", "--relaxed-samples", "50"),
]


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "nnthermo", *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def test_records_include_the_milestones_of_the_paper():
    marks = Settings().observe_at
    assert {0, 100, 1000, 10_000, 30_000} <= set(marks)
    assert Settings().milestones() == (100, 1000, 10_000)
    assert set(QUICK.milestones()) <= set(QUICK.observe_at)
    assert max(marks) == 30_000
    assert list(marks) == sorted(set(marks))


def test_settings_that_differ_are_named_when_continuing(tmp_path):
    saved = TINY.to_json()
    TINY.require_same(saved, tmp_path)
    with pytest.raises(ValueError, match="`learning_rate` must stay 0.05"):
        dataclasses.replace(TINY, learning_rate=0.1).require_same(saved, tmp_path)


def test_every_variant_changes_exactly_what_its_name_says():
    found = sensitivity.variants(dataclasses.replace(TINY, sensitivity_epochs=7))
    base = found.pop("base")
    assert (base.epochs, base.seeds) == (7, (3,))
    for name, settings in found.items():
        assert len(sensitivity._changed(settings, base)) == 1, name
    assert found["learning rate ÷ 10"].learning_rate == pytest.approx(0.005)
    assert found["initial weights × 2"].scale == 2.0


def history(spectra, boundary, bulk, epochs):
    """One seed's records with the given spectra (records, eigenvalues) and losses."""
    spectra = np.asarray(spectra, float)
    count = spectra.shape[1]
    return xarray.Dataset(
        {
            "log_eigenvalues": (("epoch", "eigenvalue"), np.sort(spectra, axis=1)[:, ::-1]),
            "averaged_log_eigenvalues": (("epoch", "eigenvalue"), np.sort(spectra, axis=1)[:, ::-1]),
            "boundary_loss": ("epoch", np.asarray(boundary, float)),
            "bulk_loss": ("epoch", np.asarray(bulk, float)),
            "median_boundary_loss": ("epoch", np.asarray(boundary, float)),
            "median_bulk_loss": ("epoch", np.asarray(bulk, float) / 10),
            "entropy": ("epoch", -np.arange(len(epochs), dtype=float)),
            "displaced_count": ("epoch", np.full(len(epochs), count + 700.0)),
            "unrelaxed": ("epoch", np.zeros(len(epochs))),
            "loss": ("epoch", np.where(np.asarray(epochs) > 0, boundary, np.nan)),
        },
        coords={"epoch": np.asarray(epochs)},
    ).expand_dims(seed=[0])


EPOCHS = (0, 100, 1000, 10_000, 20_000, 30_000)


def made_histories():
    """A deep network that does all the paper says and a shallow one with an exactly symmetric spectrum."""
    near = np.linspace(-0.2, 0.2, 81)
    deep = []
    for depth in (2.0, 2.3, 2.5, 3.0, 3.1, 3.2):
        low = -depth - np.array([0.2, 0.25, 0.3])
        high = np.full(9, -(low.sum() + near.sum()) / 9)
        deep.append(np.concatenate([near, low, high]))
    values = np.linspace(0.01, 0.9, 60)
    shallow = np.tile(np.concatenate([values, -values]), (6, 1))
    bulk = np.exp([0.0, -2, -3, -5, -5.5, -6])
    boundary = np.exp([1.0, 0, -1, -2.0, -2.02, -2.05])
    return {
        "deep": history(deep, boundary, bulk, EPOCHS),
        "shallow": history(shallow, boundary, bulk, EPOCHS),
    }


def by_key(histories, settings=None):
    return {s.key: s for s in statements(histories, settings or Settings(seeds=(0,)))}


def test_a_network_that_does_what_the_paper_says_gets_agreement():
    found = by_key(made_histories())
    verdicts = {key: s.verdict for key, s in found.items()}
    for key in (
        "both decrease", "bulk falls on", "most near zero", "shallow symmetric", "deep skewed", "gap",
        "no gap in the shallow", "tails", "second law",
    ):  # fmt: skip
        assert verdicts[key] == "agrees", (key, found[key])
    # the two that contradict themselves whatever the runs give
    assert verdicts["β of the gap"] == "disagrees"
    assert verdicts["two temperatures"] == "disagrees"


def test_verdicts_follow_the_data():
    histories = made_histories()
    flipped = {**histories, "deep": histories["deep"].assign(log_eigenvalues=-histories["deep"].log_eigenvalues)}
    assert by_key(flipped)["deep skewed"].verdict == "disagrees"
    rising = histories["deep"].assign(bulk_loss=1 / histories["deep"].bulk_loss)
    assert by_key({**histories, "deep": rising})["both decrease"].verdict == "disagrees"
    assert by_key({**histories, "deep": rising})["bulk falls on"].verdict == "disagrees"
    swapped = {"deep": histories["shallow"], "shallow": histories["deep"]}
    assert by_key(swapped)["shallow symmetric"].verdict == "disagrees"


def test_numbers_by_hand():
    found = by_key(made_histories())
    ratio = found["bulk below boundary"].numbers[0]
    assert ratio.ours[0] == pytest.approx((6 - 2.05) / math.log(10))  # logs to base 10 of exp(3.95)
    assert found["bulk below boundary"].numbers[1].ours[0] == pytest.approx(ratio.ours[0] + 1)
    centre = found["gap"].numbers[2]
    assert centre.paper == "-3.0"
    assert centre.ours[0] == pytest.approx((-3.2 - 0.2) / 2)
    cubes = found["deep skewed"].numbers
    spectrum = made_histories()["deep"].log_eigenvalues.sel(epoch=10_000, seed=0).values
    assert cubes[0].ours[0] == pytest.approx(np.mean(spectrum**3))
    assert cubes[1].ours[0] == pytest.approx(np.sum(spectrum**3))
    assert math.isnan(ratio.spread)
    assert ratio.to_json()["spread"] is None
    assert Number("x", None, [1.0, 3.0]).spread == pytest.approx(math.sqrt(2))


def test_a_shallow_gap_counts_against_the_claim_that_there_is_none():
    histories = made_histories()
    assert by_key(histories)["no gap in the shallow"].verdict == "agrees"
    values = histories["shallow"].log_eigenvalues.values.copy()
    values[values < -0.7] -= 0.3  # a gap of its own, much narrower than the deep network's 2.8
    with_gap = histories["shallow"].assign(log_eigenvalues=(("seed", "epoch", "eigenvalue"), values))
    assert by_key({**histories, "shallow": with_gap})["no gap in the shallow"].verdict == "partly"
    swapped = {"deep": histories["shallow"], "shallow": histories["deep"]}
    assert by_key(swapped)["no gap in the shallow"].verdict == "disagrees"


def diverged(one, seed, after):
    """The same records with another seed, NaN after an epoch, as the outer join of runs of different length gives."""
    lost = one.where(one.epoch <= after).assign_coords(seed=[seed])
    return xarray.concat([one, lost], dim="seed")


def test_a_seed_that_diverged_is_left_out_and_named():
    alone, histories = by_key(made_histories()), made_histories()
    histories["deep"] = diverged(histories["deep"], 5, after=1000)
    histories["shallow"] = xarray.concat(
        [histories["shallow"], histories["shallow"].assign_coords(seed=[5])], dim="seed"
    )
    found = by_key(histories, Settings(seeds=(0, 5)))
    needs = {claim.key: claim.needs for claim in CLAIMS}
    for key, statement in found.items():
        assert statement.verdict == alone[key].verdict
        left_out = "deep" in needs[key]
        assert ("training diverged: seed 5." in statement.comment) == left_out
        if left_out:
            assert statement.numbers == alone[key].numbers


def test_what_no_run_can_tell_is_not_tested():
    histories = made_histories()
    histories["deep"] = histories["deep"].sel(epoch=slice(0, 1000))  # as a single seed is that diverged
    found = by_key(histories)
    verdicts = {claim.key: found[claim.key].verdict for claim in CLAIMS}
    assert {v for key, v in verdicts.items() if key != "shallow symmetric"} == {"not tested"}
    assert verdicts["shallow symmetric"] == "agrees"
    assert json.dumps([s.to_json() for s in found.values()], allow_nan=False)


def test_fixed_count_complexity_counts_the_exact_eigenvalues_as_zeros():
    run = made_histories()["deep"].isel(seed=0)
    spectrum = run.log_eigenvalues.values[3]
    everything = np.sort(np.concatenate([spectrum, np.zeros(854 - spectrum.size)]))[::-1]
    for n in (1, 20, 60, 400, 834, 854):
        expected = 854 / 2 * math.log(2 * math.pi) - everything[:n].sum() / 2
        assert fixed_count_complexity(run, n)[3] == pytest.approx(expected, abs=1e-9)  # sums of 854 float64
    assert fixed_count_complexity(run, 854)[3] == pytest.approx(EVERYTHING, abs=1e-9)


def test_plateau_and_line():
    epochs = np.array([0.0, 10, 20, 30, 40, 50, 60])
    boundary = np.array([3.0, 2.0, 1.0, 1.01, 0.99, 1.0, 0.0])
    bulk = np.array([5.0, 4, 3, 2.5, 2, 1.5, -9])
    assert plateau(epochs, boundary, bulk) == (1.5, 20.0, 50.0)
    assert plateau(epochs, 10 * epochs, bulk) == (0.0, 0.0, 0.0)
    slope, intercept, quality = line(np.array([0.0, 1, 2]), np.array([1.0, 3, 5]))
    assert (slope, intercept, quality) == pytest.approx((2, 1, 1))
    assert line(np.array([0.0, 1, -np.inf, 2]), np.array([1.0, 3, 9, 5])) == pytest.approx((2, 1, 1))
    assert np.isnan(line(np.array([0.0, np.nan]), np.array([1.0, 3]))).all()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce") / "out"
    return folder, reproduce(TINY, folder, workers=2, command="nnthermo reproduce")


@pytest.mark.slow
def test_folder_of_results(finished):
    folder, results = finished
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["settings"] == TINY.to_json()
    assert results["samples"] == 200
    assert [(run["network"], run["seed"], run["finite"]) for run in results["runs"]] == [
        ("deep", 3, True),
        ("shallow", 3, True),
    ]
    assert len(results["statements"]) == len({s["key"] for s in results["statements"]}) >= 15
    assert "not tested" not in {s["verdict"] for s in results["statements"]}
    for number in range(1, 8):
        for kind in ("png", "svg"):
            assert (folder / "figures" / f"figure-{number}.{kind}").stat().st_size > 1000
    report = (folder / "report.html").read_text()
    assert all(f"figure-{k}" in report or f"Figure {k}" in report or f"Fig. {k}" in report for k in range(1, 8))
    for name, sizes in NETWORKS.items():
        with xarray.open_dataset(folder / f"{name}.nc", engine="h5netcdf") as run:
            assert json.loads(run.attrs["settings"]) == TINY.to_json()
            assert tuple(run.epoch.values) == TINY.observe_at
            # det Ĝ = 1 (7.8) in float64: rounding of ~100 logarithms of singular values
            assert np.abs(run.log_eigenvalues.sum("eigenvalue")).max() < 1e-10
            assert float(run.boundary_loss.isel(epoch=-1, seed=0)) < float(run.boundary_loss.isel(epoch=0, seed=0))
            assert (run.bulk_loss <= run.boundary_loss * 1.5).all()  # H* <= H_∂ for each sample; means over 50 and 200
            unmoved = sum(sizes) - run.sizes["eigenvalue"]
            assert unmoved == {"deep": 744, "shallow": 724}[name]
    weights = np.load(folder / "runs" / "deep-3.npz")
    assert [weights[f"weight_{k}"].shape for k in range(3)] == [(40, 784), (20, 40), (10, 20)]
    assert not (folder / "runs" / "deep-3").exists(), "checkpoints of a finished run should be gone"


@pytest.mark.slow
def test_runs_that_diverge_are_reported_and_not_judged(tmp_path):
    results = reproduce(dataclasses.replace(TINY, target_on=1e30), tmp_path / "out", workers=2)
    assert [run["finite"] for run in results["runs"]] == [False, False]
    assert {s["verdict"] for s in results["statements"]} == {"not tested"}
    assert "could not be tested" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_folder_is_not_overwritten(finished, tmp_path):
    folder, _ = finished
    with pytest.raises(ValueError, match="`output` must be empty"):
        reproduce(TINY, folder)
    with pytest.raises(ValueError, match="`epochs` must stay 60"):
        reproduce(dataclasses.replace(TINY, epochs=61), folder, resume=True)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="`output` must be empty, but got .* other files"):
        reproduce(TINY, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "x"
    with pytest.raises(ValueError, match="`output` must be a folder"):
        reproduce(TINY, tmp_path / "mine.txt")
    with pytest.raises(OSError, match="`output` must be a folder that can be written"):
        reproduce(TINY, tmp_path / "mine.txt" / "below")


@pytest.mark.slow
def test_killed_at_any_moment_the_run_resumes_to_the_same_bits(finished, tmp_path):
    expected, _ = finished
    output = tmp_path / "out"
    arguments = [sys.executable, "-m", "nnthermo", "reproduce", *FLAGS, "--workers", "2", "--sensitivity-epochs", "0"]
    moments = random.Random(7)
    for _ in range(2):
        process = subprocess.Popen(
            [*arguments, "--resume", "--output", str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        started = time.monotonic()
        while not any((output / "runs").glob("*/*")) and process.poll() is None and time.monotonic() - started < 120:
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 1.5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = command("reproduce", *FLAGS, "--workers", 2, "--sensitivity-epochs", 0, "--resume", "--output", output)
    assert done.returncode == 0, done.stderr
    for name in NETWORKS:
        one, other = (np.load(folder / "runs" / f"{name}-3.npz") for folder in (expected, output))
        assert all((one[key] == other[key]).all() for key in one.files)
        files = (folder / f"{name}.nc" for folder in (expected, output))
        first, second = (xarray.load_dataset(file, engine="h5netcdf") for file in files)
        xarray.testing.assert_equal(first, second)


def test_help_version_and_missing_extra(capsys, monkeypatch):
    from nnthermo import __version__
    from nnthermo.__main__ import main

    for arguments, text in (
        (["--version"], __version__),
        (["--help"], "reproduce"),
        (["reproduce", "--help"], "--quick"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert text in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit, match=r"typer is not installed: pip install 'nnthermo\[experiments\]'"):
        main(["--version"])
