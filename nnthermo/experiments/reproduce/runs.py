"""Training runs of Section 10: one process each, resumable, histories in NetCDF."""

import json
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnthermo._checks import check, extra
from nnthermo._typing import Array
from nnthermo.checkpoint import Checkpoint
from nnthermo.data import load
from nnthermo.ensemble import bulk_hessian, mean_slopes
from nnthermo.experiments.folder import arrays_of, save_arrays, save_dataset
from nnthermo.experiments.processes import Report, alone
from nnthermo.experiments.reproduce.settings import NETWORKS, Settings
from nnthermo.network import FeedForward, Network
from nnthermo.observables import Observer, thermodynamic_observer
from nnthermo.spectrum import log_eigenvalues
from nnthermo.training import train


class Job(NamedTuple):
    """One training: a network of `NETWORKS`, a seed, and the file that its history goes to."""

    network: str
    seed: int
    settings: Settings
    data_dir: str | None
    file: Path

    @property
    def name(self) -> str:
        """Network and seed, as files and progress bars call the run."""
        return f"{self.network}-{self.seed}"


def training_data(settings: Settings, data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (samples, 784) and targets (samples, 10), float32, in the coding of the settings."""
    dataset = load(settings.dataset, data_dir=data_dir)
    available = len(dataset.labels)
    samples = min(6000, available) if settings.samples is None else settings.samples
    check("samples", f"lie between 1 and the {available} of {settings.dataset}", 1 <= samples <= available, samples)
    if samples < available:
        dataset = dataset.take(samples, seed=0)
    check("batch_size", f"not exceed the {samples} samples", settings.batch_size <= samples, settings.batch_size)
    return dataset.inputs(high=settings.pixel_high), dataset.targets(off=settings.target_off, on=settings.target_on)


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


def run(job: Job, report: Report | None = None) -> None:
    """Train one network and write its history (NetCDF) and its weights (npz beside it); a finished run is left alone.

    Interrupted, even killed, it continues from its last checkpoint to the same bits.
    """
    with alone(job.file):
        if not job.file.exists():
            _run(job, report)


def _run(job: Job, report: Report | None) -> None:
    jax.config.update("jax_enable_x64", True)  # spectra in float64; the networks are float32 by construction
    settings = job.settings
    inputs, targets = training_data(settings, job.data_dir)
    weights_key, order_key = jax.random.split(jax.random.key(job.seed))
    net = FeedForward.init(
        weights_key, NETWORKS[job.network], activation=jnp.tanh, scale=settings.scale, dtype=jnp.float32
    )
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
    attributes = {"network": job.network, "seed": job.seed, "samples": len(inputs), "seconds_of_last_process": seconds}
    attributes |= {"finite": int(result.finite), "settings": json.dumps(settings.to_json())}
    save_arrays(job.file.with_suffix(".npz"), arrays_of(result.network))
    save_history(job.file, result.history, attributes)
    shutil.rmtree(folder, ignore_errors=True)


def save_history(file: Path, history: dict[str, np.ndarray], attributes: dict[str, Any]) -> None:
    """Write a history as NetCDF with dimensions (epoch[, eigenvalue]); the file appears only when it is complete."""
    xarray = extra("xarray", "experiments")
    variables = {
        name: (("epoch", "eigenvalue")[: values.ndim], values) for name, values in history.items() if name != "epoch"
    }
    save_dataset(file, xarray.Dataset(variables, coords={"epoch": history["epoch"]}, attrs=attributes))


def load_histories(jobs: list[Job]) -> dict[str, Any]:
    """The histories of finished runs by network, as xarray datasets with dimensions (seed, epoch[, eigenvalue])."""
    xarray = extra("xarray", "experiments")
    found: dict[str, list] = {}
    for job in jobs:
        with xarray.open_dataset(job.file, engine="h5netcdf") as dataset:
            found.setdefault(job.network, []).append(dataset.load().assign_coords(seed=job.seed).expand_dims("seed"))
    return {name: xarray.concat(parts, dim="seed", join="outer") for name, parts in found.items()}
