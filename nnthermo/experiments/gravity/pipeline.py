"""From settings to a folder of results: networks, their space-times, known answers, verdicts, figures, report."""

import os
from typing import Any, Unpack

import jax

from nnthermo.experiments.gravity.demonstrations import demonstrate
from nnthermo.experiments.gravity.figures import draw
from nnthermo.experiments.gravity.problem import training_data
from nnthermo.experiments.gravity.report import write_report
from nnthermo.experiments.gravity.runs import TRAINED, Job, load_runs, networks, run
from nnthermo.experiments.gravity.settings import Settings
from nnthermo.experiments.gravity.statements import statements
from nnthermo.experiments.study import Options, Study
from nnthermo.experiments.verdicts import or_none

QUICK = Settings(
    samples=200, widths=(2,), hidden=6, duration=20.0, records=41, looks=3, points=8, map_points=7, seeds=(0,)
)
"""Real data, two small networks, about a minute on two cores; too small to judge the papers by."""


def gravity(settings: Settings, output: str | os.PathLike[str], **options: Unpack[Options]) -> dict[str, Any]:
    """Train networks, measure the space-times of their states, and show what the papers' claims come to.

    Arguments, result, folder and errors are those of every study, see `nnthermo.experiments.study`.
    """
    study = Study(settings, output, ("jinja2", "matplotlib", "diffrax"), **options)
    source = training_data(settings, study.data_dir).source
    study.open()

    jobs = study.jobs(Job, networks(settings))
    task = f"measuring the curvature of each at {settings.points * settings.looks:,} points by three clocks"
    study.run_all(f"Training {len(jobs)} networks and {task}", run, jobs)

    study.say("Systems with known answers")
    with jax.enable_x64(True):
        shown = demonstrate()
    study.say("Verdicts, figures, report")
    runs = load_runs(jobs)
    figures = draw(runs, shown, settings, study.figures)
    results = study.record(
        "Space-time in a learning system: the gravity of its states, measured",
        QUICK,
        source,
        statements(runs, shown.numbers, settings),
        runs=[
            {
                "network": name,
                "seed": seed,
                "neurons": int(found["neurons"]),
                "loss": or_none(float(found["losses"][-1])),
                "interpolation_error": float(found["interpolation_error"]),
                "curvature_error": or_none(max(float(found[f"{clock}_scalar_error"]) for clock in TRAINED)),
                "turning_error": or_none(max(float(found[f"{clock}_turning_error"]) for clock in TRAINED)),
            }
            for name, some in runs.items()
            for seed, found in zip(settings.seeds, some, strict=True)
        ],
        demonstrations={name: or_none(value) for name, value in shown.numbers.items()},
    )
    write_report(study.folder, results, figures)
    return results
