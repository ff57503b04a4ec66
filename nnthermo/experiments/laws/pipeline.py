"""From settings to a folder of results: trainings, measurements, verdicts, figures, report."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from nnthermo import _checks
from nnthermo.experiments import processes
from nnthermo.experiments.folder import circumstances, open_folder, write_json
from nnthermo.experiments.laws.figures import draw
from nnthermo.experiments.laws.report import write_report
from nnthermo.experiments.laws.runs import Histories, Job, laws_data, load_histories, run
from nnthermo.experiments.laws.settings import Settings
from nnthermo.experiments.laws.statements import statements
from nnthermo.experiments.processes import Report
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(
    samples=1000, epochs=30, seeds=(0,), records=4, last_records=2, measured_samples=2, relaxed_samples=50, blocks=4,
    window_samples=200, box_samples=40, path_samples=20,
)  # fmt: skip
"""Real data, the paper's networks, in about a minute; too short to judge the paper by."""


def laws(
    settings: Settings,
    output: str | os.PathLike[str],
    *,
    data_dir: str | None = None,
    resume: bool = False,
    workers: int | None = None,
    command: str = "",
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train the paper's networks, measure log Z, U and S along the runs, and judge equilibrium and the laws.

    The folder gets `results.json`, `report.html`, one NetCDF file a network, `figures/` and `runs/` (the networks of
    all records). Killed at any moment and resumed, all but the seconds is the same.

    Args:
        settings: of the trainings and measurements.
        output: folder, made if need be; it must be empty unless `resume` is set.
        data_dir: where the full data sets lie; see `nnthermo.data.load`.
        resume: continue a run of the same settings in `output`.
        workers: processes; as many as cores if None.
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
    _checks.check("workers", "be positive", workers is None or workers > 0, workers)
    say = stage or (lambda _text: None)
    for package in ("xarray", "h5netcdf", "jinja2", "matplotlib"):
        _checks.extra(package, "experiments")
    folder = Path(output)
    data, source = laws_data(settings, data_dir)  # what is wrong with the data is said before the folder is made
    clock = open_folder(folder, settings, resume=resume)

    # turned round after the first seed: a process that has compiled for the smaller network, done first, gets it again
    orders = [settings.networks] + [settings.networks[::-1]] * (len(settings.seeds) - 1)
    pairs = [(n, s) for s, networks in zip(settings.seeds, orders, strict=True) for n in networks]
    jobs = [Job(n, s, settings, data_dir, folder / "runs") for n, s in pairs]
    say(f"Training {len(jobs)} networks for {settings.epochs:,} epochs on {len(data.inputs):,} samples, and measuring")
    processes.run_all(run, jobs, workers=workers or os.cpu_count() or 1, report=clock.keeping(report))

    say("Verdicts, figures, report")
    histories = load_histories(jobs)
    for network, history in histories.items():
        history.drop_attrs(deep=False).assign_attrs(settings=json.dumps(settings.to_json())).to_netcdf(
            folder / f"{network}.nc", engine="h5netcdf"
        )
    with jax.enable_x64(True):
        found = statements(histories, settings)
    figures = draw(histories, settings, folder / "figures")
    results = {
        "title": "The laws of learning along real training runs",
        "command": command,
        "quick": dataclasses.replace(QUICK, dataset=settings.dataset, seeds=settings.seeds) == settings,
        "settings": settings.to_json(),
        "samples": len(data.inputs),
        "data_source": source,
        **circumstances(),
        "seconds": clock.seconds,
        "workers": workers or os.cpu_count() or 1,
        "runs": [_about(histories, settings, job) for job in jobs],
        "statements": [s.to_json() for s in found],
    }
    write_json(folder / "results.json", results)
    clock.keep()
    write_report(folder, results, figures)
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
