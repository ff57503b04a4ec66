"""`nnthermo laws`: verdicts by value from made-up histories, a tiny run resumed to the same numbers, the report."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from pages import Page, record, shows_everything

import nnthermo as nt
from nnthermo.experiments.laws import Settings, laws, measuring, pipeline, report, runs
from nnthermo.experiments.laws.settings import ENSEMBLES, PATHS, TEMPERATURES, WINDOW
from nnthermo.experiments.laws.statements import CLAIMS, NAMES, mean_temperature, second_law_verdict, statements

TINY = Settings(
    samples=40, networks=("shallow",), epochs=4, batch_size=20, seeds=(3,), records=3, last_records=2,
    measured_samples=2, relaxed_samples=10, blocks=2, window_samples=20, box_samples=4, path_samples=4,
)  # fmt: skip
SEEN = Settings(networks=("deep",), seeds=(0, 1), epochs=100, records=4, last_records=2, blocks=2)


def test_records_are_log_spaced_from_the_start_to_the_end():
    assert Settings().observe_at[0] == 0
    assert Settings().observe_at[-1] == Settings().epochs
    assert 12 <= len(Settings().observe_at) <= 16


def test_beta_of_the_loss_solves_the_exact_form_of_10_1():
    values = nt.LogSpectrum(jnp.asarray([1.0, 0.3, -0.2, -1.1]), unit_count=6)
    for loss in (1e-5, 0.1, 1.0):
        beta = measuring.beta_of_loss(values, loss)
        count = sum(beta * np.exp(v) / (1 + beta * np.exp(v)) for v in [1.0, 0.3, -0.2, -1.1, *[0.0] * 6])
        assert count / (2 * beta) == pytest.approx(loss, rel=1e-9)


def test_mean_temperature_makes_the_free_modes_exact():
    # U = N/2β and S_0 = (N/2)(1 - log β): ΔU = T ΔS_0 on any step
    betas = np.array([[1.4, 1.4, 2.0, 50.0, 3.0]])
    t = mean_temperature(betas)
    assert -t * np.diff(np.log(betas)) == pytest.approx(np.diff(1 / betas), abs=1e-15)
    assert t[0, 0] == pytest.approx(1 / 1.4)


def entropies(*changes, noise=0.0):
    """S (seeds, records, blocks) from its changes, with an error of the last digit of each block."""
    s = 5.0 + np.concatenate([[0.0], np.cumsum(changes)])
    return np.stack([s, s + noise * np.arange(len(s)) ** 2], axis=-1)[None]


@pytest.mark.parametrize(
    ("s", "verdict"),
    [
        (entropies(-1.0, -0.5, -0.1), "agrees"),
        (entropies(-1.0, 0.2, -0.1), "partly"),
        (entropies(-1.0, 0.0, -0.1), "agrees"),  # constant is not a rise
        (entropies(-1.0, 0.9, 0.2), "disagrees"),
        (entropies(-1.0, 0.2, -0.5, noise=0.05), "agrees"),  # a rise within its error of 0.15
        (entropies(0.1, 0.1, 0.1), "disagrees"),
    ],
)
def test_second_law_by_value(s, verdict):
    assert second_law_verdict([s]) == verdict
    assert second_law_verdict([entropies(-1.0, -1.0, -1.0), s]) == verdict
    assert second_law_verdict([entropies(1.0, 1.0, 1.0), s]) == "disagrees"


def history(seed, settings=SEEN):
    """Records of one seed that do all that the paper says: no work, entropy that falls, factors, a stationary U."""
    epochs = list(settings.observe_at)
    n, rng = len(epochs), np.random.default_rng(seed)
    fall = -np.sort(rng.uniform(size=n))
    betas = np.stack([np.full(n, 1.4), np.linspace(1.4, 2.0, n), np.geomspace(10, 1e5, n)], axis=1)
    shape = (n, len(ENSEMBLES), len(TEMPERATURES), settings.blocks)
    s = np.broadcast_to(fall[:, None, None, None], shape) + 700
    loss = np.broadcast_to((1 + fall)[:, None, None, None], shape) + 1
    free = np.broadcast_to((100 - 1e-3 * fall)[:, None, None, None], shape)
    law = (len(PATHS), len(TEMPERATURES), n - 1)
    change = -rng.uniform(0.5, 1, size=law)
    threshold = np.stack([-0.3 * np.arange(n)] * 3, axis=1)
    data = {
        "log_partition": (("epoch", *measuring.DIMENSIONS["entropy"]), free),
        "average_loss": (("epoch", *measuring.DIMENSIONS["entropy"]), loss),
        "entropy": (("epoch", *measuring.DIMENSIONS["entropy"]), s),
        "shannon_entropy": (("epoch", *measuring.DIMENSIONS["entropy"]), s),
        "beta": (("epoch", "temperature"), betas),
        "loss_gradient": (("epoch", "temperature"), np.outer(np.geomspace(1, 1e-3, n), np.ones(3))),
        "thermodynamic_entropy": (("epoch", "temperature"), np.zeros((n, 3))),
        "complexity": (("epoch", "temperature"), threshold),
        "gaussian_loss": (("epoch", "temperature"), np.zeros((n, 3))),
        "displaced_count": (("epoch", "temperature"), np.full((n, 3), 20)),
        "parameter_norm": ("epoch", np.ones(n)),
        "complexity_20": ("epoch", threshold[:, 0]),
        "complexity_all_but_20": ("epoch", 2 * threshold[:, 0]),
        "window_log_partition": (
            ("epoch", "smooth_ensemble", "multiple"),
            fall[:, None, None] + np.linspace(0, 1, len(WINDOW)) + np.zeros((1, 3, 1)),
        ),
        **dict.fromkeys(("boundary_loss", "bulk_loss", "accuracy", "unrelaxed"), ("epoch", np.full(n, 0.1))),
        "law_loss_change": (("path_ensemble", "temperature", "step"), change),
        "law_heat": (("path_ensemble", "temperature", "step"), 0.99 * change),
        "law_work": (("path_ensemble", "temperature", "step"), 0.01 * change),
        "law_residual": (("path_ensemble", "temperature", "step"), 1e-8 * change),
        "law_free_energy_change": (("path_ensemble", "temperature", "step"), 0.01 * change),
        "law_printed_residual": (("path_ensemble", "temperature", "step"), 0.01 * change),
    }
    heat = mean_temperature(betas.T).T * np.diff(threshold, axis=0)
    data["gaussian_loss"] = (("epoch", "temperature"), np.concatenate([np.zeros((1, 3)), np.cumsum(heat, axis=0)]))
    coords = {**runs.COORDINATES, "epoch": epochs, "step": epochs[1:]}
    return xarray.Dataset(data, coords=coords).assign_coords(seed=seed).expand_dims("seed")


def made_histories(settings=SEEN):
    return {n: xarray.concat([history(s, settings) for s in settings.seeds], dim="seed") for n in settings.networks}


def by_key(histories, settings=SEEN):
    return {s.key: s for s in statements(histories, settings)}


def test_runs_that_obey_the_laws_get_agreement():
    found = by_key(made_histories())
    assert list(found) == [claim.key for claim in CLAIMS]
    verdicts = {key: s.verdict for key, s in found.items()}
    assert set(verdicts.values()) == {"agrees"}, verdicts
    assert all(s.numbers for s in found.values())
    assert json.dumps([s.to_json() for s in found.values()], allow_nan=False)
    law = {n.label: n.ours for n in found["first law as printed, constant β"].numbers}
    assert law["Σ|dU - T dS| / Σ|dU|, Gaussian (5.9), deep"] == pytest.approx([0.01, 0.01])
    heat = {n.label: n.ours for n in found["first law from the spectrum, constant β"].numbers}
    assert heat["Σ|dU - T dS_0 - T dC| / Σ|dU|, C of (6.7), deep"] == pytest.approx([0, 0], abs=1e-12)
    assert heat["Σ|dU - T dS_0 - T dC| / Σ|dU|, C of C_834 (10.5), deep"] == pytest.approx([1, 1])
    alone = found["second law, exact, box, β from the loss"].numbers
    change = [n.ours for n in alone if n.label.startswith("(N/2)")]
    assert change == [pytest.approx([427 * np.log(1e-4)] * 2)]


@pytest.mark.parametrize(
    ("name", "change", "key", "verdict"),
    [
        ("law_residual", lambda v: v * 1e5, "first law with work, Gaussian (5.9)", "partly"),
        ("law_residual", lambda v: v * 1e7, "first law with work, exact, window", "disagrees"),
        ("law_printed_residual", lambda v: v * 30, "first law as printed, β from the gap", "partly"),
        ("law_printed_residual", lambda v: v * 100, "first law as printed, constant β", "disagrees"),
        ("complexity", lambda v: v * 1.3, "first law from the spectrum, constant β", "partly"),
        ("complexity", lambda v: v * 2, "first law from the spectrum, β from the loss", "disagrees"),
        ("loss_gradient", lambda v: v * 0 + 1, "stationary loss", "disagrees"),
        ("window_log_partition", lambda v: v**2, "factors", "disagrees"),
        ("log_partition", lambda v: 100 + 200 * (v - 100), "constant free energy", "partly"),
        ("log_partition", lambda v: 100 + 3000 * (v - 100), "constant free energy", "disagrees"),
        ("entropy", lambda v: -v, "second law, exact, window, constant β", "disagrees"),
    ],
)
def test_verdicts_follow_the_data(name, change, key, verdict):
    histories = made_histories()
    histories["deep"] = histories["deep"].assign({name: change(histories["deep"][name])})
    found = by_key(histories)
    assert found[key].verdict == verdict
    if name == "entropy":
        assert "the verdict would be: agrees." in found[key].comment


def test_a_run_that_diverged_is_left_out_and_named():
    histories = made_histories()
    lost = histories["deep"].sel(seed=[1]).isel(epoch=slice(0, 2), step=slice(0, 1))
    histories["deep"] = xarray.concat([histories["deep"].sel(seed=[0]), lost], dim="seed", join="outer")
    found = by_key(histories)
    assert {s.verdict for s in found.values()} == {"agrees"}
    assert all("training diverged: seed 1." in s.comment for s in found.values())
    none = {"deep": lost}
    assert {s.verdict for s in statements(none, dataclasses.replace(SEEN, seeds=(1,)))} == {"not tested"}


def made_results(**changes):
    found = statements(made_histories(), SEEN)
    run = {
        "network": "deep", "seed": 0, "finite": True, "epochs": 100, "largest_unrelaxed": 0.012,
        "boundary_loss": 0.5, "bulk_loss": 0.0123, "accuracy": 0.987,
        "beta": {"constant": [1.4, 1.4], "gap": [1.5, 1.6], "loss": [200.0, 54321.0]},
        "entropy_change": {e: {"constant": -1.25, "gap": 3.5, "loss": -2345.0} for e in ENSEMBLES},
    }  # fmt: skip
    return record("laws", SEEN, found, samples=5000, seconds=400.0, runs=[run]) | changes


def test_report_shows_every_statement_number_and_caveat_and_loads_nothing(tmp_path):
    results = made_results()
    page = shows_everything(report, CLAIMS, results, tmp_path / "out")
    for text in ("98.7%", "0.0123", "200 to 54,321", "6 min 40 s", "1.2%", *NAMES.values()):
        assert text in page.text, text
    short = {"quick": True, "runs": [{**results["runs"][0], "finite": False}]}
    other = Page(report.write_report(tmp_path / "out", made_results(**short), []).read_text(encoding="utf-8")).text
    assert "This is a short run" in other
    assert "Not every run stayed finite" in other


@pytest.mark.slow
def test_a_tiny_run_and_the_same_interrupted_and_resumed(tmp_path, monkeypatch, in_this_process):
    told = []
    first = laws(TINY, tmp_path / "one", workers=1, report=lambda *message: told.append(message))
    assert json.loads((tmp_path / "one" / "results.json").read_text()) == first
    assert [(run["finite"], run["epochs"]) for run in first["runs"]] == [(True, 4)]
    assert "not tested" not in {s["verdict"] for s in first["statements"]}
    for k in range(1, 6):
        assert (tmp_path / "one" / "figures" / f"figure-{k}.svg").stat().st_size > 1000
    Page((tmp_path / "one" / "report.html").read_text(encoding="utf-8"))
    assert {name for name, *_ in told} == {"shallow-3", "shallow-3, measured"}
    run = xarray.load_dataset(tmp_path / "one" / "shallow.nc", engine="h5netcdf").isel(seed=0)
    assert tuple(run.epoch.values) == TINY.observe_at == (0, 1, 4)
    # βU + log Z, and the same in the Gaussian as by the library's own function
    beta = run.beta.sel(temperature="constant")
    made = beta * run.average_loss.sel(temperature="constant") + run.log_partition.sel(temperature="constant")
    assert float(np.abs(made - run.entropy.sel(temperature="constant")).max()) < 2  # weights' bias of few samples
    exact = made.sel(ensemble="gaussian") - run.entropy.sel(temperature="constant", ensemble="gaussian")
    assert float(np.abs(exact).max()) < 1e-9
    assert (run.shannon_entropy - run.entropy).sel(ensemble="box").values == pytest.approx(0, abs=1e-9)
    # the first law closes, and its steps are the differences of the records
    assert float(np.abs(run.law_residual).sum() / np.abs(run.law_loss_change).sum()) < 1e-6
    u = run.average_loss.sel(ensemble="gaussian").isel(block=0)
    steps = run.law_loss_change.sel(path_ensemble="gaussian").transpose("step", "temperature").values
    assert np.diff(u.transpose("epoch", "temperature").values, axis=0) == pytest.approx(steps, rel=1e-9, abs=1e-9)
    # (10.1) holds at the β from the loss, by construction
    at_loss = run.sel(temperature="loss")
    assert at_loss.gaussian_loss.values == pytest.approx(at_loss.bulk_loss.values, rel=1e-6)

    measure, seen = runs.measure_record, []

    def interrupted(net, data, settings):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(net)
        return measure(net, data, settings)

    monkeypatch.setattr(runs, "measure_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        laws(TINY, tmp_path / "two", workers=1)
    monkeypatch.setattr(runs, "measure_record", measure)
    with pytest.raises(ValueError, match="`output` must be empty"):
        laws(TINY, tmp_path / "two", workers=1)
    monkeypatch.setattr(pipeline, "draw", lambda *_: [])
    second = laws(TINY, tmp_path / "two", workers=1, resume=True)
    assert second["statements"] == first["statements"]
    files = (xarray.load_dataset(tmp_path / name / "shallow.nc", engine="h5netcdf") for name in ("one", "two"))
    xarray.testing.assert_equal(*files)
    assert jax.config.jax_enable_x64
