"""From settings to a folder of results: trainings, numbers, figures, report."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from nnthermo import _checks
from nnthermo.data import load
from nnthermo.experiments.folder import circumstances, open_folder, write_json
from nnthermo.experiments.reproduce import sensitivity
from nnthermo.experiments.reproduce.figures import draw
from nnthermo.experiments.reproduce.report import write_report
from nnthermo.experiments.reproduce.runs import Job, Report, load_histories, run_all, training_data
from nnthermo.experiments.reproduce.settings import NETWORKS, Settings
from nnthermo.experiments.reproduce.statements import statements
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(epochs=300, learning_rate=0.1, seeds=(0,), observations=10, relaxed_samples=200)
"""Real data and the paper's networks in under a minute: ten times the learning rate for a hundredth of the epochs."""

Stage = Callable[[str], None]


def reproduce(
    settings: Settings,
    output: str | os.PathLike[str],
    *,
    data_dir: str | None = None,
    resume: bool = False,
    workers: int | None = None,
    sensitivity_epochs: int = 0,
    command: str = "",
    report: Report | None = None,
    stage: Stage | None = None,
) -> dict[str, Any]:
    """Train the paper's two networks, and write what came out beside what the paper says.

    The folder gets `results.json`, `report.html`, `deep.nc` and `shallow.nc` (histories, NetCDF), `figures/` and
    `runs/` (weights and histories of each run). Killed at any moment and resumed, the numbers are the same to the bit.

    Args:
        settings: of the trainings.
        output: folder, made if need be; it must be empty unless `resume` is set.
        data_dir: where the full data sets lie; see `nnthermo.data.load`.
        resume: continue a run of the same settings in `output`.
        workers: processes; as many as cores if None.
        sensitivity_epochs: also run every variant of `sensitivity.VARIANTS` for so many epochs; 0: none.
        command: the command line, for the record.
        report: told the progress of each run.
        stage: told what is being done.

    Returns:
        The contents of `results.json`.

    Raises:
        ValueError: bad settings, or a folder that belongs to another run.
        OSError: a folder that cannot be written.
        ImportError: a missing optional package.
    """
    _checks.check("sensitivity_epochs", "not be negative", sensitivity_epochs >= 0, sensitivity_epochs)
    _checks.check("workers", "be positive", workers is None or workers > 0, workers)
    say = stage or (lambda _text: None)
    for package in ("xarray", "h5netcdf", "jinja2", "matplotlib"):
        _checks.extra(package, "experiments")
    folder = Path(output)
    inputs, _ = training_data(settings, data_dir)  # whatever is wrong with the data is said before the folder is made
    clock = open_folder(folder, settings, resume=resume)
    cores = workers or os.cpu_count() or 1

    runs = [Job(n, s, settings, data_dir, folder / "runs" / f"{n}-{s}.nc") for s in settings.seeds for n in NETWORKS]
    say(
        f"Training {len(runs)} networks for {settings.epochs:,} epochs on {len(inputs):,} samples of {settings.dataset}"
    )
    run_all(runs, workers=cores, report=clock.keeping(report))
    by_variant: dict[str, list[Job]] = {}
    if sensitivity_epochs:
        by_variant = sensitivity.jobs(settings, sensitivity_epochs, folder / "sensitivity", data_dir)
        short = [job for jobs in by_variant.values() for job in jobs]
        say(f"Sensitivity: {len(short)} networks for {sensitivity_epochs:,} epochs, one setting changed at a time")
        run_all(short, workers=cores, report=clock.keeping(report))

    say("Numbers, figures, report")
    histories = load_histories(runs)
    for name, history in histories.items():
        history.drop_attrs(deep=False).assign_attrs(settings=json.dumps(settings.to_json())).to_netcdf(
            folder / f"{name}.nc", engine="h5netcdf"
        )
    with jax.enable_x64(True):
        found = statements(histories, settings)
        shorter = sensitivity.summary(by_variant, sensitivity_epochs) if by_variant else None
        figures = draw(histories, settings, folder / "figures")
    results = {
        "title": "Towards a theory of machine learning, Section 10: reproduced",
        "command": command,
        "quick": dataclasses.replace(QUICK, dataset=settings.dataset, seeds=settings.seeds) == settings,
        "settings": settings.to_json(),
        "samples": len(inputs),
        "data_source": load(settings.dataset, data_dir=data_dir).source,
        **circumstances(),
        "seconds": clock.seconds,
        "runs": [_about(job) for job in runs],
        "statements": [s.to_json() for s in found],
    }
    if shorter:
        results["sensitivity"] = shorter
    write_json(folder / "results.json", results)
    clock.keep()
    write_report(folder, results, figures)
    return results


def _about(job: Job) -> dict[str, Any]:
    xarray = _checks.extra("xarray", "experiments")
    with xarray.open_dataset(job.file, engine="h5netcdf") as run:
        seconds, finite = float(run.attrs["seconds_of_last_process"]), bool(run.attrs["finite"])
        last = run.isel(epoch=-1)
        losses = {name: or_none(float(last[name])) for name in ("boundary_loss", "bulk_loss", "accuracy")}
    return {"network": job.network, "seed": job.seed, "seconds": seconds, "finite": finite, **losses}
