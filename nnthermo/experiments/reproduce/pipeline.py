"""From settings to a folder of results: trainings, numbers, figures, report."""

import os
from typing import Any, Unpack

import jax

from nnthermo import _checks
from nnthermo.data import load
from nnthermo.experiments.histories import save_histories
from nnthermo.experiments.networks import NETWORKS
from nnthermo.experiments.reproduce import sensitivity
from nnthermo.experiments.reproduce.figures import draw
from nnthermo.experiments.reproduce.report import write_report
from nnthermo.experiments.reproduce.runs import Job, load_runs, run, training_data
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements import statements
from nnthermo.experiments.study import Options, Study
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(epochs=300, learning_rate=0.1, seeds=(0,), observations=10, relaxed_samples=200, sensitivity_epochs=0)
"""Real data and the paper's networks in under a minute: ten times the learning rate for a hundredth of the epochs."""


def reproduce(settings: Settings, output: str | os.PathLike[str], **options: Unpack[Options]) -> dict[str, Any]:
    """Train the paper's two networks, and write what came out beside what the paper says.

    Arguments, result and errors are those of every study, see `nnthermo.experiments.study`. The folder also gets
    `deep.nc` and `shallow.nc` (histories, NetCDF); weights are in `runs/`.
    """
    study = Study(settings, output, ("xarray", "h5netcdf", "jinja2", "matplotlib"), **options)
    inputs, _ = training_data(settings, study.data_dir)
    study.open()

    jobs = study.jobs(Job, ((n, s) for s in settings.seeds for n in NETWORKS))
    task = f"for {settings.epochs:,} epochs on {len(inputs):,} samples of {settings.dataset}"
    study.run_all(f"Training {len(jobs)} networks {task}", run, jobs)
    by_variant: dict[str, list[sensitivity.Short]] = {}
    if settings.sensitivity_epochs:
        by_variant = sensitivity.jobs(settings, study.folder / "sensitivity", study.data_dir)
        short = [job for some in by_variant.values() for job in some]
        task = f"{len(short)} networks for {settings.sensitivity_epochs:,} epochs, one setting changed at a time"
        study.run_all(f"Sensitivity: {task}", run, short)

    study.say("Verdicts, figures, report")
    histories = load_runs(jobs)
    save_histories(study.folder, histories, settings)
    with jax.enable_x64(True):
        found = statements(histories, settings)
        shorter = {"sensitivity": sensitivity.summary(by_variant)} if by_variant else {}
        figures = draw(histories, settings, study.figures)
    results = study.record(
        "Towards a theory of machine learning, Section 10: reproduced",
        QUICK,
        load(settings.dataset, data_dir=study.data_dir).source,
        found,
        samples=len(inputs),
        runs=[_about(job) for job in jobs],
        **shorter,
    )
    write_report(study.folder, results, figures)
    return results


def _about(job: Job) -> dict[str, Any]:
    xarray = _checks.extra("xarray", "experiments")
    with xarray.open_dataset(job.file, engine="h5netcdf") as run:
        seconds, finite = float(run.attrs["seconds_of_last_process"]), bool(run.attrs["finite"])
        last = run.isel(epoch=-1)
        losses = {name: or_none(float(last[name])) for name in ("boundary_loss", "bulk_loss", "accuracy")}
    return {"network": job.network, "seed": job.seed, "seconds": seconds, "finite": finite, **losses}
