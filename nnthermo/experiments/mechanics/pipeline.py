"""From settings to a folder of results: ensembles, demonstrations, verdicts, figures, films, report."""

import os
from typing import Any, Unpack

import jax

from nnthermo.experiments.mechanics.animations import films
from nnthermo.experiments.mechanics.demonstrations import conserved, double_well, vortices
from nnthermo.experiments.mechanics.figures import draw
from nnthermo.experiments.mechanics.report import write_report
from nnthermo.experiments.mechanics.runs import Job, load_runs, planck_estimates, run
from nnthermo.experiments.mechanics.settings import ARMS, Settings
from nnthermo.experiments.mechanics.statements import statements
from nnthermo.experiments.samples import training_set
from nnthermo.experiments.study import Options, Study

QUICK = Settings(
    samples=300, replicas=400, steps=300, records=10, points=41, planck_times=12, planck_batch_sizes=(2, 10),
    seeds=(0,), resamples=10,
)  # fmt: skip
"""Real data, a few hundred networks, under a minute on two cores; too small to judge the papers by."""


def mechanics(settings: Settings, output: str | os.PathLike[str], **options: Unpack[Options]) -> dict[str, Any]:
    """Train ensembles of networks, compare them with the Fokker-Planck equation, measure ħ², and show what it means.

    Arguments, result and errors are those of every study, see `nnthermo.experiments.study`. The folder also gets
    `films/` (GIF).
    """
    study = Study(settings, output, ("scipy", "jinja2", "matplotlib", "PIL"), **options)
    source = training_set(settings, study.data_dir).source
    study.open()

    jobs = study.jobs(Job, ((arm, seed) for seed in settings.seeds for arm in ARMS))
    task = f"{len(jobs)} ensembles of {settings.replicas:,} networks, {settings.parameters} weights each"
    study.run_all(f"Training {task}", run, jobs)

    study.say("Two systems with known answers")
    with jax.enable_x64(True):
        well, pair = double_well(), vortices()
    study.say("Verdicts, figures, films, report")
    runs = load_runs(jobs)
    with jax.enable_x64(True):
        for found in runs["planck"]:
            found["estimate"] = planck_estimates(found, settings)
    figures = draw(runs, well, pair, settings, study.figures)
    moving = films(runs, well, pair, study.folder / "films")
    results = study.record(
        "Weights that diffuse: the mechanics of trainable variables, measured",
        QUICK,
        source,
        statements(runs, settings),
        sizes=list(settings.sizes),
        parameters=settings.parameters,
        demonstrations=conserved(well, pair),
    )
    write_report(study.folder, results, figures, moving)
    return results
