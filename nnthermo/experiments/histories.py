"""Histories of training runs, xarray datasets with dimensions (seed, epoch, ...): their files, and what they tell."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nnthermo._checks import extra
from nnthermo.experiments.folder import save_dataset
from nnthermo.experiments.settings import StoredSettings
from nnthermo.spectrum import LogSpectrum

SIZE = 854
EVERYTHING = 0.5 * SIZE * math.log(2 * math.pi)
"""C_N = (N/2) log 2π = 784.77 nats, which no network without cycles can change."""

Key = TypeVar("Key", bound=str | tuple[str, ...])


def save_run(
    file: Path, variables: Mapping[str, Any], coordinates: Mapping[str, Any], settings: StoredSettings, **about: Any
) -> None:
    """Write what a run recorded (NetCDF): (dimensions, values) by name, with its settings and what is said about it."""
    xarray = extra("xarray", "experiments")
    told = {**about, "settings": json.dumps(settings.to_json())}
    save_dataset(file, xarray.Dataset(variables, coords=coordinates, attrs=told))


def load_histories(files: Iterable[tuple[Key, int, Path]]) -> dict[Key, Any]:
    """One dataset a key from (key, seed, file of one run); shorter runs are filled up with NaN."""
    xarray = extra("xarray", "experiments")
    found: dict[Key, list[Any]] = {}
    for key, seed, file in files:
        with xarray.open_dataset(file, engine="h5netcdf") as run:
            found.setdefault(key, []).append(run.load().assign_coords(seed=seed).expand_dims("seed"))
    return {key: xarray.concat(parts, dim="seed", join="outer") for key, parts in found.items()}


def save_histories(folder: Path, histories: dict[Any, Any], settings: StoredSettings) -> None:
    """Write each to a NetCDF file of its own, `deep.nc` for "deep" and `deep-bulk.nc` for ("deep", "bulk")."""
    for key, history in histories.items():
        name = key if isinstance(key, str) else "-".join(key)
        told = history.drop_attrs(deep=False).assign_attrs(settings=json.dumps(settings.to_json()))
        save_dataset(folder / f"{name}.nc", told)


def fixed_count_complexity(run: Any, n: int) -> np.ndarray:
    """C_n (10.5) at each record, nats, from the recorded dynamical eigenvalues."""
    spectra = np.atleast_2d(run.log_eigenvalues.values)
    units = SIZE - spectra.shape[-1]
    return np.array([EVERYTHING - 0.5 * float(LogSpectrum(v, units).largest_sum(n)) for v in spectra])


def plateau(
    epochs: np.ndarray, boundary: np.ndarray, bulk: np.ndarray, *, tolerance: float = 0.1
) -> tuple[float, float, float]:
    """The stretch of at least a third of the run over which log U falls most while log U_∂ stays within `tolerance`.

    Returns:
        Fall of log U there, its first and its last epoch; zeros if the boundary loss is never that still.
    """
    best = (0.0, 0.0, 0.0)
    third = epochs[-1] / 3
    for i in range(len(epochs)):
        for j in range(i + 1, len(epochs)):
            still = np.ptp(boundary[i : j + 1]) < tolerance
            if still and epochs[j] - epochs[i] >= third and bulk[i] - bulk[j] > best[0]:
                best = (float(bulk[i] - bulk[j]), float(epochs[i]), float(epochs[j]))
    return best
