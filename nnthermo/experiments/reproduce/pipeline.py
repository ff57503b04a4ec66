"""From settings to a folder of results: trainings, numbers, figures, report."""

import json
import os
from typing import Any, Unpack

import jax

from nnthermo import _checks
from nnthermo.data import load
from nnthermo.experiments.reproduce import sensitivity
from nnthermo.experiments.reproduce.figures import draw
from nnthermo.experiments.reproduce.report import write_report
from nnthermo.experiments.reproduce.runs import Job, load_histories, run, training_data
from nnthermo.experiments.reproduce.settings import NETWORKS, Settings
from nnthermo.experiments.reproduce.statements import statements
from nnthermo.experiments.study import Options, Study
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(epochs=300, learning_rate=0.1, seeds=(0,), observations=10, relaxed_samples=200, sensitivity_epochs=0)
"""Real data and the paper's networks in under a minute: ten times the learning rate for a hundredth of the epochs."""


def reproduce(
    settings: Settings,
    output: str | os.PathLike[str],
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Train the paper's two networks, and write what came out beside what the paper says.

    The folder gets `results.json`, `report.html`, `deep.nc` and `shallow.nc` (histories, NetCDF), `figures/` and
    `runs/` (weights and histories of each run). Killed at any moment and resumed, the numbers are the same to the bit.

    Args:
        settings: of the trainings.
        output: folder, made if need be; it must be empty unless `resume` is set.
        options: `nnthermo.experiments.study.Options`.

    Returns:
        The contents of `results.json`.

    Raises:
        ValueError: bad settings, or a folder that belongs to another run.
        OSError: a folder that cannot be written.
        ImportError: a missing optional package.
    """
    study = Study(settings, output, ("xarray", "h5netcdf", "jinja2", "matplotlib"), **options)
    data_dir, folder = options.get("data_dir"), study.folder
    inputs, _ = training_data(settings, data_dir)  # whatever is wrong with the data is said before the folder is made
    study.open()

    runs = [Job(n, s, settings, data_dir, folder / "runs" / f"{n}-{s}.nc") for s in settings.seeds for n in NETWORKS]
    study.say(
        f"Training {len(runs)} networks for {settings.epochs:,} epochs on {len(inputs):,} samples of {settings.dataset}"
    )
    study.run_all(run, runs)
    by_variant: dict[str, list[Job]] = {}
    if settings.sensitivity_epochs:
        by_variant = sensitivity.jobs(settings, folder / "sensitivity", data_dir)
        short = [job for jobs in by_variant.values() for job in jobs]
        study.say(
            f"Sensitivity: {len(short)} networks for {settings.sensitivity_epochs:,} epochs, one setting changed at a "
            "time"
        )
        study.run_all(run, short)

    study.say("Numbers, figures, report")
    histories = load_histories(runs)
    for name, history in histories.items():
        history.drop_attrs(deep=False).assign_attrs(settings=json.dumps(settings.to_json())).to_netcdf(
            folder / f"{name}.nc", engine="h5netcdf"
        )
    with jax.enable_x64(True):
        found = statements(histories, settings)
        shorter = {"sensitivity": sensitivity.summary(by_variant)} if by_variant else {}
        figures = draw(histories, settings, folder / "figures")
    results = study.record(
        "Towards a theory of machine learning, Section 10: reproduced",
        QUICK,
        load(settings.dataset, data_dir=data_dir).source,
        samples=len(inputs),
        runs=[_about(job) for job in runs],
        statements=[s.to_json() for s in found],
        **shorter,
    )
    write_report(folder, results, figures)
    return results


def _about(job: Job) -> dict[str, Any]:
    xarray = _checks.extra("xarray", "experiments")
    with xarray.open_dataset(job.file, engine="h5netcdf") as run:
        seconds, finite = float(run.attrs["seconds_of_last_process"]), bool(run.attrs["finite"])
        last = run.isel(epoch=-1)
        losses = {name: or_none(float(last[name])) for name in ("boundary_loss", "bulk_loss", "accuracy")}
    return {"network": job.network, "seed": job.seed, "seconds": seconds, "finite": finite, **losses}
