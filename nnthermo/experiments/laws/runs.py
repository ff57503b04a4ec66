"""One run: a training whose networks are kept, and the measurements on them, resumable at every record."""

import dataclasses
import shutil
from typing import Any

import numpy as np
import optax

from nnthermo._typing import Array
from nnthermo.checkpoint import Checkpoint
from nnthermo.data import load
from nnthermo.experiments import histories, processes
from nnthermo.experiments.folder import network_of, save_arrays
from nnthermo.experiments.laws.measuring import DIMENSIONS, Data, measure_path, measure_record
from nnthermo.experiments.laws.settings import ENSEMBLES, PATHS, TEMPERATURES, WINDOW, Settings
from nnthermo.experiments.networks import NETWORKS, initial
from nnthermo.experiments.processes import Report
from nnthermo.experiments.samples import coded, to_train_on
from nnthermo.network import FeedForward
from nnthermo.training import train


@dataclasses.dataclass(frozen=True)
class Job(processes.Job[Settings]):
    """One network from one seed; `folder` gets its measurements (NetCDF) and its networks (npz)."""

    network: str
    seed: int


def training_data(settings: Settings, data_dir: str | None = None) -> tuple[Data, str]:
    """Training samples in the coding of the settings, float32, the first of which are measured, and their source.

    Raises:
        ValueError: more samples asked for than there are.
    """
    everything = load(settings.dataset, data_dir=data_dir)
    chosen = to_train_on(everything, settings)
    settings.require(
        f"not exceed the {len(chosen)} samples", lambda some: some <= len(chosen), "measured_samples", "relaxed_samples"
    )
    inputs, targets = coded(chosen, settings)
    return Data(inputs, targets, inputs[: settings.measured_samples]), everything.source


@processes.once
def run(job: Job, report: Report | None = None) -> None:
    """Train and measure; an interrupted run continues to the same numbers."""
    data = training_data(job.settings, job.data_dir)[0]
    nets, finite = _trained(job, data, report)
    kept = job.folder / job.name
    kept.mkdir(exist_ok=True)
    rows = []
    for done, (epoch, net) in enumerate(nets.items(), start=1):
        file = kept / f"{epoch}.npz"
        if not file.exists():
            save_arrays(file, measure_record(net, data, job.settings))
        with np.load(file) as row:
            rows.append(dict(row))
        if report:
            report(f"{job.name}, measured", done, len(nets) + 1)
    betas = np.stack([row["beta"] for row in rows])
    law = measure_path(list(nets.values()), betas, data, job.settings) if len(nets) > 1 else {}
    _write(job, list(nets), rows, law, finite)
    shutil.rmtree(kept)
    if report:
        report(f"{job.name}, measured", len(nets) + 1, len(nets) + 1)


def _keep(net: Any, _inputs: Array, _targets: Any) -> dict[str, Array]:
    """An observer that records the network itself."""
    weights = {f"weight_{k}": w for k, w in enumerate(net.weights)}
    return weights | {f"bias_{k}": b for k, b in enumerate(net.biases)}


def _trained(job: Job, data: Data, report: Report | None) -> tuple[dict[int, FeedForward], bool]:
    """The networks of all records by epoch, trained now or before, and whether training came to its end."""
    settings, file = job.settings, job.folder / f"{job.name}.npz"
    net, order_key = initial(NETWORKS[job.network], job.seed, settings.scale)
    if not file.exists():
        checkpoint = job.folder / f"{job.name}-training"
        result = train(
            net,
            (data.inputs, data.targets),
            key=order_key,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            optimizer=optax.sgd(settings.learning_rate),
            observe=_keep,
            observe_at=settings.observe_at,
            checkpoint=Checkpoint(checkpoint, every=max(1, settings.epochs // 10)),
            progress=(lambda done, total: report(job.name, done, total)) if report else False,
        )
        save_arrays(
            file, {k: v for k, v in result.history.items() if k == "epoch" or k.startswith(("weight_", "bias_"))}
        )
        shutil.rmtree(checkpoint, ignore_errors=True)
    with np.load(file) as saved:
        history = dict(saved)
    records = enumerate(history["epoch"])
    nets = {int(epoch): network_of({name: v[i] for name, v in history.items()}, net) for i, epoch in records}
    return nets, tuple(nets) == settings.observe_at


COORDINATES = {
    "ensemble": list(ENSEMBLES), "temperature": list(TEMPERATURES), "path_ensemble": list(PATHS),
    "smooth_ensemble": [e for e in ENSEMBLES if e != "box"], "multiple": list(WINDOW),
}  # fmt: skip
"""Of the dimensions that are the same in every run."""


def _write(job: Job, epochs: list[int], rows: list[dict], law: dict[str, np.ndarray], finite: bool) -> None:
    """A run as NetCDF: records along `epoch`, steps between them along `step`, the epoch at which each ends."""
    variables: dict[str, Any] = {
        name: (("epoch", *DIMENSIONS.get(name, ())), np.stack([row[name] for row in rows])) for name in rows[0]
    }
    for name, values in law.items():
        variables[f"law_{name}"] = (("path_ensemble", "temperature", "step")[: values.ndim], values)
    coordinates = {**COORDINATES, "epoch": epochs, "step": epochs[1:]}
    about = {"network": job.network, "seed": job.seed, "finite": int(finite)}
    histories.save_run(job.file, variables, coordinates, job.settings, **about)


Histories = dict[str, Any]
"""By network, xarray datasets with dimensions (seed, epoch or step, ...)."""


def load_runs(jobs: list[Job]) -> Histories:
    """The measurements of finished runs."""
    return histories.load_histories((job.network, job.seed, job.file) for job in jobs)
