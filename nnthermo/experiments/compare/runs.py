"""The trainings of one network from one seed with every loss, one after the other in one process, resumable.

Between two records a run is one call of `train`, and after each a file keeps weights, record and seconds: killed, the
run goes on from the last one to the same bits (the seconds, which no two runs share, excepted). A training step is
compiled before the clock starts, and what a call of `train` takes without any epoch is subtracted.
"""

import dataclasses
import statistics
import time
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from nnthermo._typing import Array
from nnthermo.experiments import histories, processes
from nnthermo.experiments.compare.curvature import LOSSES, THRESHOLDS, Curvatures, curvatures, reached_span
from nnthermo.experiments.compare.observing import recorder
from nnthermo.experiments.compare.readout import principal_components, readout_accuracy
from nnthermo.experiments.compare.settings import NETWORKS, Settings
from nnthermo.experiments.folder import arrays_of, network_of, save_arrays
from nnthermo.experiments.networks import initial
from nnthermo.experiments.processes import Report
from nnthermo.experiments.samples import Data, held_out
from nnthermo.loss import QuadraticPotential, boundary_loss
from nnthermo.network import FeedForward
from nnthermo.relaxation import relaxed_bulk_loss
from nnthermo.training import Loss, train


@dataclasses.dataclass(frozen=True)
class Training(processes.Job[Settings]):
    """One network, trained with one loss from one seed; its history (NetCDF) and its weights (npz) go to `folder`."""

    network: str
    training: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Job(processes.Job[Settings]):
    """One network from one seed, trained with every loss."""

    network: str
    seed: int

    @property
    def trainings(self) -> list[Training]:
        """Each of them."""
        shared: Any = {"settings": self.settings, "data_dir": self.data_dir, "folder": self.folder}
        return [Training(self.network, training, self.seed, **shared) for training in self.settings.trainings]


def loss_of(training: str, settings: Settings) -> Loss:
    """The loss to train with, and for training without targets one that looks at none."""
    if training == "boundary":
        return boundary_loss
    if training == "bulk":
        return partial(relaxed_bulk_loss, max_steps=settings.max_steps)
    potential = QuadraticPotential(settings.m)
    return lambda net, x, _target: relaxed_bulk_loss(net, x, None, potential=potential, max_steps=settings.max_steps)


def run(job: Job, report: Report | None = None) -> None:
    """Do every training of a job that is not finished, in float32, with spectra and curvatures in float64."""
    for training in job.trainings:
        _run(training, report)


@processes.once
def _run(job: Training, report: Report | None = None) -> None:
    settings, name, training = job.settings, job.name, job.training
    data = held_out(settings, job.data_dir)
    net, order_key = initial(NETWORKS[job.network], job.seed, settings.scale)
    records = job.folder / name
    records.mkdir(exist_ok=True)
    go = _Stretch(loss_of(training, settings), optax.sgd(settings.rate_of(training)), data, settings.batch_size)
    observe = recorder(settings)
    span = reached_span(data.inputs[: settings.curvature_samples])
    total, marks = settings.epochs_of(training), settings.observe_at(training)
    rows: list[dict[str, Any]] = []
    seconds, done = 0.0, 0
    for mark in marks:
        saved = records / f"{mark}.npz"
        if saved.exists():
            with np.load(saved) as kept:
                row = dict(kept)
        else:
            tell = None if report is None else _shifted(report, name, done, total)
            net, spent, finite = go(net, jax.random.fold_in(order_key, done), mark - done, tell)
            if not finite:
                break
            arrays = observe(net, data.inputs, data.targets, data.test_inputs, data.test_targets)
            row = {"epoch": np.array(mark), "seconds": np.array(seconds + spent)}
            row |= {key: np.asarray(value) for key, value in arrays.items()}
            if mark in settings.curvature_at(training):
                row |= _curvature_row(net, data, span, job)
            row |= arrays_of(net)
            save_arrays(saved, row)
        net, seconds, done = network_of(row, net), float(row["seconds"]), mark
        rows.append(row)
        if report:
            report(name, done, total)
    if report and done < total:
        report(name, total, total)
    save_arrays(job.file.with_suffix(".npz"), arrays_of(net))
    about: dict[str, Any] = {"network": job.network, "training": training, "seed": job.seed}
    about["finite"] = int(done == total)
    pca = _pca_readout(data, sum(NETWORKS[job.network][1:-1]))
    histories.save_run(job.file, *_arrays(rows), settings, **about, pca_readout_accuracy=pca)
    for saved in records.iterdir():
        saved.unlink()
    records.rmdir()


def _shifted(report: Report, name: str, before: int, total: int) -> Any:
    return lambda done, _all: report(name, min(before + done, total - 1), total)  # the end is told after the record


class _Stretch:
    """Some epochs of training, and the seconds that they took."""

    def __init__(self, loss: Loss, optimizer: optax.GradientTransformation, data: Data, batch: int) -> None:
        self.data = data.inputs, data.targets
        self.options: dict[str, Any] = {
            "loss": loss, "optimizer": optimizer, "batch_size": batch, "observe": _nothing, "observe_at": ()
        }  # fmt: skip
        self.idle: float | None = None

    def __call__(self, net: FeedForward, key: Array, epochs: int, tell: Any) -> tuple[FeedForward, float, bool]:
        """The network after so many epochs, their seconds, and whether all stayed finite."""
        if not epochs:
            return net, 0.0, True
        if self.idle is None:
            self._timed(net, key, 1, tell)  # compiles; what it trained is thrown away
            self.idle = statistics.median(self._timed(net, key, 0, None)[1] for _ in range(3))
        result, seconds = self._timed(net, key, epochs, tell)
        return result.network, max(seconds - self.idle, 0.0), result.finite

    def _timed(self, net: FeedForward, key: Array, epochs: int, tell: Any) -> tuple[Any, float]:
        started = time.perf_counter()
        result = train(net, self.data, key=key, epochs=epochs, progress=tell or False, **self.options)
        jax.block_until_ready(result.network)
        return result, time.perf_counter() - started


def _nothing(_net: Any, _inputs: Any, _targets: Any) -> dict[str, Array]:
    return {}


def _pca_readout(data: Data, components: int) -> float:
    codes, test_codes = principal_components(data.inputs, data.test_inputs, components)
    return readout_accuracy(codes, data.targets, test_codes, data.test_targets)


def _curvature_row(net: FeedForward, data: Data, span: np.ndarray, job: Training) -> dict[str, np.ndarray]:
    """Curvatures as arrays (hessian[, threshold]); NaN where no sample could be used."""
    settings, n = job.settings, job.settings.curvature_samples
    found, left_out = curvatures(
        net, data.inputs[:n], data.targets[:n], span,
        seed=job.seed, probes=settings.probes, steps=settings.lanczos_steps,
    )  # fmt: skip
    row = {"curvature_left_out": np.array(left_out)}
    for loss in LOSSES:
        for name, value in _curvature_numbers(found.get(loss)).items():
            row.setdefault(name, np.full((len(LOSSES), *np.shape(value)), np.nan))[LOSSES.index(loss)] = value
    return row


COUNTED = tuple(f"{kind}{part}" for kind in ("flat", "falling") for part in ("", "_error", "_low", "_high"))
"""Names of the counts of directions, with their errors and bounds."""


def _curvature_numbers(found: Curvatures | None) -> dict[str, Any]:
    if found is None:
        blank = dict.fromkeys(COUNTED, np.full(len(THRESHOLDS), np.nan))
        return blank | {f"curvature_{name}": np.nan for name in ("largest", "smallest", "trace", "effective")}
    numbers = {f"curvature_{name}": getattr(found, name) for name in ("largest", "smallest", "trace", "effective")}
    return numbers | dict(zip(COUNTED, (*found.flat, *found.falling), strict=True))


def _arrays(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables (epoch[, eigenvalue]) and (curvature_epoch[, hessian[, threshold]]), and the values of these."""
    curved = [row for row in rows if "flat" in row]
    variables: dict[str, Any] = {}
    for name in rows[0]:
        if name.startswith(("weight_", "bias_")) or name == "epoch":
            continue
        if curved and name in curved[0] and name.startswith(("curvature", "flat", "falling")):
            values = np.stack([row[name] for row in curved])
            variables[name] = (("curvature_epoch", "hessian", "threshold")[: values.ndim], values)
        else:
            values = np.stack([row[name] for row in rows])
            variables[name] = (("epoch", "eigenvalue")[: values.ndim], values)
    coordinates: dict[str, Any] = {"epoch": [int(row["epoch"]) for row in rows]}
    if curved:
        coordinates |= {"curvature_epoch": [int(row["epoch"]) for row in curved]}
        coordinates |= {"hessian": list(LOSSES), "threshold": list(THRESHOLDS)}
    return variables, coordinates


Histories = dict[tuple[str, str], Any]
"""By (network, training), xarray datasets with dimensions (seed, epoch, ...)."""


def load_runs(jobs: list[Job]) -> Histories:
    """The histories of finished jobs."""
    runs = (run for job in jobs for run in job.trainings)
    return histories.load_histories(((run.network, run.training), run.seed, run.file) for run in runs)
