"""From settings to a folder of results: trainings, measurements, verdicts, figures, report."""

import os
from typing import Any, Unpack

import jax

from nnthermo.experiments.histories import save_histories
from nnthermo.experiments.laws.figures import draw
from nnthermo.experiments.laws.report import write_report
from nnthermo.experiments.laws.runs import Histories, Job, load_runs, run, training_data
from nnthermo.experiments.laws.settings import Settings
from nnthermo.experiments.laws.statements import statements
from nnthermo.experiments.study import Options, Study
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(
    samples=1000, epochs=30, seeds=(0,), records=4, last_records=2, measured_samples=2, relaxed_samples=50, blocks=4,
    window_samples=200, box_samples=40, path_samples=20,
)  # fmt: skip
"""Real data, the paper's networks, in about a minute; too short to judge the paper by."""


def laws(settings: Settings, output: str | os.PathLike[str], **options: Unpack[Options]) -> dict[str, Any]:
    """Train the paper's networks, measure log Z, U and S along the runs, and judge equilibrium and the laws.

    Arguments, result and errors are those of every study, see `nnthermo.experiments.study`. The folder also gets one
    NetCDF file a network; the networks of all records are in `runs/`.
    """
    study = Study(settings, output, ("xarray", "h5netcdf", "jinja2", "matplotlib"), **options)
    data, source = training_data(settings, study.data_dir)
    study.open()

    # turned round after the first seed: a process that has compiled for the smaller network, done first, gets it again
    orders = [settings.networks] + [settings.networks[::-1]] * (len(settings.seeds) - 1)
    pairs = [(n, s) for s, networks in zip(settings.seeds, orders, strict=True) for n in networks]
    jobs = study.jobs(Job, pairs)
    task = f"{len(jobs)} networks for {settings.epochs:,} epochs on {len(data.inputs):,} samples, and measuring"
    study.run_all(f"Training {task}", run, jobs)

    study.say("Verdicts, figures, report")
    histories = load_runs(jobs)
    save_histories(study.folder, histories, settings)
    with jax.enable_x64(True):
        found = statements(histories, settings)
    figures = draw(histories, settings, study.figures)
    results = study.record(
        "The laws of learning along real training runs",
        QUICK,
        source,
        found,
        samples=len(data.inputs),
        runs=[_about(histories, settings, job) for job in jobs],
    )
    write_report(study.folder, results, figures)
    return results


def _about(histories: Histories, settings: Settings, job: Job) -> dict[str, Any]:
    """A run and its last record."""
    history = histories[job.network].sel(seed=job.seed).dropna("epoch", subset=["boundary_loss"])
    last = history.isel(epoch=-1)
    return {
        "network": job.network,
        "seed": job.seed,
        "finite": tuple(history.epoch.values) == settings.observe_at,
        "epochs": int(last.epoch),
        "largest_unrelaxed": or_none(float(history.unrelaxed.max())),
        **{name: or_none(float(last[name])) for name in ("boundary_loss", "bulk_loss", "accuracy")},
        "beta": {str(t): [or_none(v) for v in history.beta.sel(temperature=t).values] for t in last.temperature.values},
        "entropy_change": {
            str(e): {str(t): or_none(_change(history, str(e), str(t))) for t in last.temperature.values}
            for e in last.ensemble.values
        },
    }


def _change(history: Any, ensemble: str, temperature: str) -> float:
    s = history.entropy.sel(ensemble=ensemble, temperature=temperature).mean("block")
    return float(s.isel(epoch=-1) - s.isel(epoch=0))
