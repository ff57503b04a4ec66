"""From settings to a folder of results: a family trained and scored, correlations, verdicts, figures, report."""

import json
import os
from typing import Any, Unpack

import numpy as np

from nnthermo import _checks
from nnthermo.experiments.architectures.figures import draw
from nnthermo.experiments.architectures.measures import Correlations, reached, table
from nnthermo.experiments.architectures.report import write_report
from nnthermo.experiments.architectures.runs import Job, load_runs, members, run
from nnthermo.experiments.architectures.settings import Settings
from nnthermo.experiments.architectures.statements import statements
from nnthermo.experiments.folder import save_dataset
from nnthermo.experiments.samples import held_out
from nnthermo.experiments.study import Options, Study
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(
    samples=1000, test_samples=500, neurons=30, depths=(1, 2, 3), activations=("tanh",), seeds=(0,), epochs=5,
    score_epochs=(0, 1), betas=(1.4,), spectrum_samples=2, kernel_samples=10, resamples=200,
)  # fmt: skip
"""Real data and a few architectures, in less than a minute; too short to judge the paper by."""


def architectures(settings: Settings, output: str | os.PathLike[str], **options: Unpack[Options]) -> dict[str, Any]:
    """Train every architecture that a budget allows, and judge the scores that should have told which one is best.

    Arguments, result and errors are those of every study, see `nnthermo.experiments.study`. The folder also gets
    `scores.nc` (NetCDF): every score of every network at every record.
    """
    study = Study(settings, output, ("xarray", "h5netcdf", "jinja2", "matplotlib", "scipy"), **options)
    data = held_out(settings, study.data_dir)
    some = max(settings.spectrum_samples, settings.kernel_samples)
    _checks.check("samples", f"leave the {some} samples that are scored", some <= len(data.inputs), len(data.inputs))
    everyone = members(settings, data.inputs.shape[1], data.targets.shape[1])
    for activation in settings.activations:
        count = sum(a.activation == activation for a in everyone)
        _checks.check("depths, skips", "leave 4 architectures of each activation to be ranked", count > 3, count)
    study.open()

    pairs = sorted({(a.activation, a.depth) for a in everyone}, key=lambda p: (-p[1], settings.activations.index(p[0])))
    jobs = study.jobs(Job, pairs)
    networks = len(everyone) * len(settings.seeds)
    task = f"{networks:,} networks, for {settings.epochs} epochs on {len(data.inputs):,} samples"
    study.run_all(f"Training {len(everyone)} architectures, {task}", run, jobs)

    study.say("Verdicts, figures, report")
    order = [a.name for a in everyone]
    results = load_runs(jobs).sel(architecture=order)
    results.attrs["settings"] = json.dumps(settings.to_json())
    save_dataset(study.folder / "scores.nc", results)
    correlations = Correlations(results, settings)
    lost = len(everyone) - correlations.results.sizes["architecture"]
    figures = draw(correlations, study.figures)
    content = study.record(
        "Which architectures learn well? Asking the free energy",
        QUICK,
        data.source,
        statements(correlations, lost),
        samples=len(data.inputs),
        test_samples=len(data.test_inputs),
        architectures=len(everyone),
        networks=networks,
        not_finite=lost,
        best=_best(correlations),
        correlations=[_plain(row) for row in table(correlations)],
    )
    write_report(study.folder, content, figures)
    return content


def _best(correlations: Correlations) -> list[dict[str, Any]]:
    """The best and the worst architecture of each activation."""
    rows = []
    for activation in correlations.settings.activations:
        part = correlations.results.isel(architecture=correlations.results.activation.values == activation)
        if not part.sizes["architecture"]:
            continue
        accuracy = reached(part)
        for place, k in (
            ("best", np.argmax(accuracy)),
            ("median", np.argsort(accuracy)[len(accuracy) // 2]),
            ("worst", np.argmin(accuracy)),
        ):
            one = part.isel(architecture=int(k))
            final = one.test_accuracy.isel(epoch=-1).values
            row = {
                "activation": activation,
                "place": place,
                "wiring": str(one.wiring.values),
                "shape": str(one["shape"].values),
            }
            rows.append(
                row | {"accuracy": float(final.mean()), "per_seed": final.tolist(), "parameters": float(one.parameters)}
            )
    return rows


def _plain(value: Any) -> Any:
    """With None in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    return or_none(value) if isinstance(value, float) else value
