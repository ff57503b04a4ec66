"""Training runs of Section 10: one process each, resumable, histories in NetCDF."""

import dataclasses
import shutil
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnthermo._typing import Array
from nnthermo.checkpoint import Checkpoint
from nnthermo.data import load
from nnthermo.ensemble import bulk_hessian, mean_slopes
from nnthermo.experiments import histories, processes
from nnthermo.experiments.folder import arrays_of, save_arrays
from nnthermo.experiments.networks import NETWORKS, initial
from nnthermo.experiments.processes import Report
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.samples import coded, to_train_on
from nnthermo.network import Network
from nnthermo.observables import Observer, thermodynamic_observer
from nnthermo.spectrum import log_eigenvalues
from nnthermo.training import train


@dataclasses.dataclass(frozen=True)
class Job(processes.Job[Settings]):
    """One training: a network of `NETWORKS` from one seed; `folder` gets its history (NetCDF) and its weights (npz)."""

    network: str
    seed: int


def training_data(settings: Settings, data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (samples, 784) and targets (samples, 10), float32, in the coding of the settings.

    Raises:
        ValueError: more samples asked for than there are, or larger batches.
    """
    everything = load(settings.dataset, data_dir=data_dir)
    chosen = to_train_on(everything, settings)
    return coded(everything if len(chosen) == len(everything) else chosen, settings)


def observer_of(settings: Settings, samples: int) -> Observer:
    """Everything `thermodynamic_observer` records, spectra in float64, and the spectrum with averaged slopes ⟨f'⟩."""
    relaxed = samples if settings.relaxed_samples is None else min(settings.relaxed_samples, samples)
    measure_all = thermodynamic_observer(beta=settings.beta, relaxed_samples=relaxed, dtype=jnp.float64)

    def observe(net: Network, inputs: Array, targets: Array) -> dict[str, Array]:
        slopes = jax.tree.map(lambda s: s.astype(jnp.float64), mean_slopes(net, inputs))
        precise = jax.tree.map(lambda a: a.astype(jnp.float64), net)
        averaged = log_eigenvalues(bulk_hessian(precise, slopes=slopes)).values
        return {**measure_all(net, inputs, targets), "averaged_log_eigenvalues": averaged}

    return observe


@processes.once
def run(job: Job, report: Report | None = None) -> None:
    """Train in float32, spectra in float64; interrupted, it continues from its last checkpoint to the same bits."""
    settings = job.settings
    inputs, targets = training_data(settings, job.data_dir)
    net, order_key = initial(NETWORKS[job.network], job.seed, settings.scale)
    folder = job.file.with_suffix("")
    started = time.perf_counter()
    result = train(
        net,
        (inputs, targets),
        key=order_key,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        optimizer=optax.sgd(settings.learning_rate),
        observe=observer_of(settings, len(inputs)),
        observe_at=settings.observe_at,
        checkpoint=Checkpoint(folder, every=max(1, settings.epochs // 30)),
        progress=(lambda done, total: report(job.name, done, total)) if report else False,
    )
    seconds = time.perf_counter() - started
    save_arrays(job.file.with_suffix(".npz"), arrays_of(result.network))
    epochs = result.history.pop("epoch")
    variables = {name: (("epoch", "eigenvalue")[: values.ndim], values) for name, values in result.history.items()}
    about = {"network": job.network, "seed": job.seed, "samples": len(inputs), "seconds_of_last_process": seconds}
    histories.save_run(job.file, variables, {"epoch": epochs}, settings, **about, finite=int(result.finite))
    shutil.rmtree(folder, ignore_errors=True)


def load_runs(jobs: Sequence[Job]) -> dict[str, Any]:
    """The histories of finished runs by network, as xarray datasets with dimensions (seed, epoch[, eigenvalue])."""
    return histories.load_histories((job.network, job.seed, job.file) for job in jobs)
