"""One network: trained, and its space-times measured by every clock."""

import dataclasses

import numpy as np

from nnthermo import FeedForward
from nnthermo.experiments import processes
from nnthermo.experiments.folder import save_arrays
from nnthermo.experiments.gravity.measuring import Look, clock_of, clock_times, measured, points_of
from nnthermo.experiments.gravity.problem import make_problem, sizes_of, train_path
from nnthermo.experiments.gravity.settings import CLOCKS, Settings
from nnthermo.experiments.processes import Report

Runs = dict[str, list[dict[str, np.ndarray]]]
"""What the jobs wrote, by name of the network such as "small-4", a list over seeds."""

TRAINED = ("entropy", "training")
"""Clocks that run with the training, whose space-times rest on derivatives of the path of the weights."""

CHUNK = 64
"""Points that are measured side by side."""


@dataclasses.dataclass(frozen=True)
class Job(processes.Job[Settings]):
    """One network from one seed."""

    arm: str
    width: int
    seed: int

    suffix = ".npz"

    @property
    def network(self) -> str:
        """Arm and width."""
        return f"{self.arm}-{self.width}"


def networks(settings: Settings) -> list[tuple[str, int, int]]:
    """Arm, width and seed of each; those of one shape, which share a program, one after the other."""
    shapes = [("image", settings.hidden)] + [("small", width) for width in sorted(settings.widths, reverse=True)]
    return [(arm, width, seed) for arm, width in shapes for seed in settings.seeds]


@processes.once
def run(job: Job, report: Report | None = None) -> None:
    """Train a network and measure its space-times."""
    save_arrays(job.file, _measured(job, report))


def _measured(job: Job, report: Report | None) -> dict[str, np.ndarray]:
    settings = job.settings
    problem = make_problem(job.arm, settings, job.data_dir)
    path = train_path(problem, sizes_of(job.width, problem), settings, job.seed)
    mapped = job.seed == settings.seeds[0]
    chosen = problem.labels[: settings.points]
    labels = np.linspace(-2.5, 2.5, settings.map_points)
    grid = np.stack(np.meshgrid(labels, labels, indexing="ij"), axis=-1).reshape(-1, 2)
    plan = {clock: points_of(chosen, clock_times(clock, settings)) for clock in CLOCKS}
    total = sum(len(plan[clock]) for clock in CLOCKS + TRAINED) + mapped * len(CLOCKS) * len(grid)
    done = 0

    def looks(clock: str, points: np.ndarray, networks: FeedForward = path.networks) -> dict[str, np.ndarray]:
        nonlocal done
        parts = []
        for begin in range(0, len(points), CHUNK):
            part = points[begin : begin + CHUNK]
            padded = np.concatenate([part, np.repeat(part[-1:], CHUNK - len(part), axis=0)])  # one shape, one program
            found = measured(networks, path.times, problem, clock_of(clock, settings), padded, job.arm)
            parts.append({name: value[: len(part)] for name, value in found.items()})
            done += len(part)
            if report:
                report(job.name, done, total)
        return {name: np.concatenate([p[name] for p in parts]) for name in Look._fields}

    found: dict[str, np.ndarray] = {
        "losses": path.losses,
        "times": path.times,
        "interpolation_error": np.asarray(path.interpolation_error),
        "labels": chosen,
        "neurons": np.asarray(job.width + (problem.targets.shape[1] if job.arm == "small" else 0)),
    }
    for clock, points in plan.items():
        for name, value in looks(clock, points).items():
            found[f"{clock}_{name}"] = value.reshape(settings.looks, len(chosen), *value.shape[1:])
    for clock in TRAINED:  # by how much a coarser path changes what rests on its derivatives
        coarse = looks(clock, plan[clock], path.coarse)
        for name in ("scalar", "turning"):
            fine = found[f"{clock}_{name}"]
            change = np.abs(coarse[name].reshape(fine.shape) - fine) / np.abs(fine)
            found[f"{clock}_{name}_error"] = np.median(change)
    if mapped:
        for clock in CLOCKS:
            time = clock_times(clock, settings)[settings.looks // 2]
            maps = looks(clock, points_of(grid, np.asarray([time])))
            for name in ("time_like", "scalar", "residual"):
                found[f"{clock}_map_{name}"] = maps[name].reshape(settings.map_points, settings.map_points)
        found["map_labels"] = labels
    return found


def load_runs(jobs: list[Job]) -> Runs:
    """What all jobs wrote."""
    found: Runs = {}
    for job in jobs:
        with np.load(job.file) as arrays:
            found.setdefault(job.network, []).append(dict(arrays))
    return found
