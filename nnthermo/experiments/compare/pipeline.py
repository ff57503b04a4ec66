"""From settings to a folder of results: trainings, numbers, figures, report."""

import os
from typing import Any, Unpack

import jax

from nnthermo.experiments.compare.curvature import LOSSES
from nnthermo.experiments.compare.figures import draw
from nnthermo.experiments.compare.report import write_report
from nnthermo.experiments.compare.runs import COUNTED, Histories, Job, load_runs, run
from nnthermo.experiments.compare.settings import Settings
from nnthermo.experiments.compare.statements import statements
from nnthermo.experiments.compare.statements.record import at_time, equal_time
from nnthermo.experiments.histories import save_histories
from nnthermo.experiments.samples import held_out
from nnthermo.experiments.study import Options, Study
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(
    samples=1000, test_samples=500, networks=("deep", "shallow"), epochs=30, unsupervised_epochs=3, seeds=(0,),
    observations=4, relaxed_samples=100, max_steps=500, curvature_samples=60, curvature_records=2, probes=2,
    lanczos_steps=60,
)  # fmt: skip
"""Real data, the paper's networks, all losses, in about a minute; too short and too coarse to judge the paper by."""


def compare(settings: Settings, output: str | os.PathLike[str], **options: Unpack[Options]) -> dict[str, Any]:
    """Train each network from each seed with each loss, and say of every sentence on the bulk loss what came out.

    Arguments, result and errors are those of every study, see `nnthermo.experiments.study`. The folder also gets one
    NetCDF file a network and loss such as `deep-bulk.nc`; what is read off at equal seconds is not the same twice.
    """
    study = Study(settings, output, ("xarray", "h5netcdf", "jinja2", "matplotlib"), **options)
    data = held_out(settings, study.data_dir)
    study.open()

    jobs = study.jobs(Job, ((n, s) for s in settings.seeds for n in settings.networks))
    count = len(jobs) * len(settings.trainings)
    task = f"for {settings.epochs:,} epochs on {len(data.inputs):,} samples of {settings.dataset}"
    study.run_all(f"Training {count} networks {task}", run, jobs)

    study.say("Verdicts, figures, report")
    histories = load_runs(jobs)
    save_histories(study.folder, histories, settings)
    with jax.enable_x64(True):
        found = statements(histories, settings)
        figures = draw(histories, settings, study.figures)
    results = study.record(
        "Boundary loss or bulk loss: the comparison that “Towards a theory of machine learning” leaves undone",
        QUICK,
        data.source,
        found,
        samples=len(data.inputs),
        runs=[_about(histories, settings, job, training) for job in jobs for training in settings.trainings],
        equal_time=[_in_equal_time(histories, job) for job in jobs],
        curvatures=[_curvatures(histories, job, t) for job in jobs for t in settings.trainings[:2]],
    )
    write_report(study.folder, results, figures)
    return results


SHOWN = (
    "boundary_loss", "bulk_loss", "accuracy", "test_boundary_loss", "test_bulk_loss", "test_accuracy", "unrelaxed",
    "complexity", "mean_square", "mean_cube", "skewness", "free_bulk_loss", "objective_loss", "readout_accuracy",
)  # fmt: skip
"""What `results.json` has of the last record of each run."""


def _about(histories: Histories, settings: Settings, job: Job, training: str) -> dict[str, Any]:
    """A run and its last record with finite numbers."""
    with_rows = histories[job.network, training].sel(seed=job.seed).dropna("epoch", subset=["seconds"])
    last = with_rows.isel(epoch=-1)
    epochs, seconds = int(last.epoch), float(last.seconds)
    return {
        "network": job.network,
        "training": training,
        "seed": job.seed,
        "finite": epochs == settings.epochs_of(training),
        "epochs": epochs,
        "seconds": seconds,
        "seconds_an_epoch": seconds / epochs if epochs else None,
        "largest_unrelaxed": or_none(float(with_rows.unrelaxed.max())),
        **{name: or_none(float(last[name])) for name in SHOWN},
    }


def _in_equal_time(histories: Histories, job: Job) -> dict[str, Any]:
    """Both trainings at the smaller of their times, seconds; accuracies and losses linear between records."""
    runs = {t: histories[job.network, t].sel(seed=job.seed).dropna("epoch", subset=["seconds"]) for t in LOSSES}
    seconds = equal_time(*runs.values())
    names = ("epoch", "test_accuracy", "accuracy", "boundary_loss", "bulk_loss")
    reached = {t: {n: or_none(at_time(run, n, seconds)) for n in names} for t, run in runs.items()}
    return {"network": job.network, "seed": job.seed, "seconds": seconds, **reached}


def _curvatures(histories: Histories, job: Job, training: str) -> dict[str, Any]:
    """Counts of every record of curvatures: lists over epochs of lists over thresholds, by loss."""
    run = histories[job.network, training].sel(seed=job.seed)
    names = (*COUNTED, "curvature_largest", "curvature_smallest", "curvature_trace", "curvature_effective")
    found: dict[str, Any] = {
        loss: {n: jax.tree.map(or_none, run[n].isel(hessian=k).values.tolist()) for n in names}
        for k, loss in enumerate(LOSSES)
    }
    return {
        "network": job.network, "training": training, "seed": job.seed,
        "epochs": run.curvature_epoch.values.tolist(), "thresholds": run.threshold.values.tolist(),
        "left_out": [or_none(v) for v in run.curvature_left_out.values.tolist()], **found,
    }  # fmt: skip
