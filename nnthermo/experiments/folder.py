"""The folder of results: opened, written whole or not at all, and what is said of every run."""

import contextlib
import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnthermo import __version__
from nnthermo._checks import check, refuse
from nnthermo.experiments.settings import StoredSettings
from nnthermo.network import FeedForward

RECORD = "settings.json"
"""Settings of the run in a folder, and the seconds spent on it."""


class Clock:
    """Seconds spent on a study in all its calls; the folder keeps them, so that a kill loses the last few only."""

    def __init__(self, folder: Path, settings: StoredSettings, spent: float) -> None:
        self._file, self._settings, self._spent = folder / RECORD, settings, spent
        self._started = self._kept = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._spent + time.perf_counter() - self._started

    def keep(self) -> None:
        """Write them down."""
        self._kept = time.perf_counter()
        write_json(self._file, {"settings": self._settings.to_json(), "seconds": self.seconds})

    def keeping(self, report: Callable[..., None] | None) -> Callable[..., None]:
        """A report that also writes them down, every few seconds."""

        def told(*message: Any) -> None:
            if time.perf_counter() - self._kept > 5:
                self.keep()
            if report:
                report(*message)

        return told


def require_folder(folder: Path) -> None:
    """Refuse a file in its place."""
    if folder.exists() and not folder.is_dir():
        refuse("output", "be a folder", f"a file, {folder}")


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Say by name that a folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise OSError(f"`output` must be a folder that can be written, but got {folder}: {error}") from error


def saved_run(folder: Path) -> dict[str, Any] | None:
    """What a folder keeps of its run, `settings` as JSON types and the `seconds` spent; None if it has none.

    Raises:
        ValueError: a record that cannot be read.
    """
    record = folder / RECORD
    if not record.exists():
        return None
    try:
        saved = json.loads(record.read_text(encoding="utf-8"))
        return {"settings": dict(saved["settings"]), "seconds": float(saved["seconds"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"`output` must hold a readable {RECORD}, but got {error!r} in {record}") from error


def open_folder(folder: Path, settings: StoredSettings, *, resume: bool) -> Clock:
    """Make the output folder or check that it holds this run; the clock goes on from the seconds spent on it before."""
    require_folder(folder)
    if saved := saved_run(folder):
        check("output", "be empty (or continued with --resume)", resume, f"a run in {folder}")
        settings.require_same(saved["settings"], folder)
        return Clock(folder, settings, saved["seconds"])
    if folder.exists() and any(folder.iterdir()):
        refuse("output", "be empty", f"{folder}, which holds other files")
    with writable(folder):
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        clock = Clock(folder, settings, 0.0)
        clock.keep()
    return clock


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Where to write a file that shall appear only when it is complete."""
    partial = file.with_suffix(".partial")
    yield partial
    partial.replace(file)


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with whole(file) as partial:
        partial.write_text(text, encoding="utf-8")


def save_arrays(file: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays (npz)."""
    with whole(file) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)


def save_dataset(file: Path, dataset: Any) -> None:
    """Write an xarray dataset (NetCDF)."""
    with whole(file) as partial:
        dataset.to_netcdf(partial, engine="h5netcdf")


def arrays_of(net: FeedForward) -> dict[str, np.ndarray]:
    """Weights and biases by name, to be saved."""
    arrays = {f"weight_{k}": np.asarray(w) for k, w in enumerate(net.weights)}
    return arrays | {f"bias_{k}": np.asarray(b) for k, b in enumerate(net.biases)}


def network_of(arrays: Mapping[str, Any], like: FeedForward) -> FeedForward:
    """The network whose `arrays_of` these are, among others; activations and depth are those of another one."""
    layers = range(len(like.weights))
    return like.replace(weights=[arrays[f"weight_{k}"] for k in layers], biases=[arrays[f"bias_{k}"] for k in layers])


def circumstances() -> dict[str, Any]:
    """Versions, machine and date, as JSON types."""
    return {
        "versions": _versions(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jax.default_backend()}",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def _versions() -> dict[str, str]:
    others = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {"python": platform.python_version(), "nnthermo": __version__, **others}
