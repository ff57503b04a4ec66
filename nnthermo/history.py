"""Records of a training run as a labelled data set: dimensions, units, meanings; NetCDF files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnthermo._checks import check, extra, refuse

QUANTITIES: dict[str, tuple[str, str]] = {
    "epoch": ("epoch", "passes over the data"),
    "loss": ("loss", "mean training loss over the mini-batches of the epoch just ended"),
    "loss_boundary": ("loss", "mean H_∂ (2.11) over the samples of the epoch, before each step"),
    "loss_bulk": ("loss", "mean clamped bulk loss (3.2) over the samples of the epoch, before each step"),
    "loss_potential": ("loss", "mean V at the fixed states over the samples of the epoch, before each step"),
    "loss_unrelaxed": ("1", "share of the epoch's samples whose relaxation did not converge"),
    "loss_unfixed": ("1", "share of the epoch's samples whose fixed state did not converge"),
    "boundary_loss": ("loss", "mean H_∂ (2.11)"),
    "median_boundary_loss": ("loss", "median H_∂ (2.11)"),
    "accuracy": ("1", "share of samples whose largest output is the largest target"),
    "bulk_loss": ("loss", "mean clamped bulk loss (3.2) of the relaxed samples"),
    "median_bulk_loss": ("loss", "median clamped bulk loss (3.2) of the relaxed samples"),
    "relaxed_boundary_loss": ("loss", "mean H_∂ (2.11) of the relaxed samples"),
    "unrelaxed": ("1", "share of relaxed samples that did not converge"),
    "unfixed": ("1", "share of samples whose fixed state did not converge"),
    "log_partition": ("nat", "log Z (5.9)"),
    "free_energy": ("loss", "F (6.4)"),
    "average_loss": ("loss", "U (6.1)"),
    "entropy": ("nat", "S (7.1)"),
    "heat_capacity": ("nat", "β² ∂² log Z/∂β²"),
    "log_partition_without_mean": ("nat", "log Z (5.14)"),
    "complexity": ("nat", "C (6.7)"),
    "thermodynamic_entropy": ("nat", "S₀ (7.4)"),
    "displaced_count": ("1", "N_>: eigenvalues above 1/β"),
    "smooth_complexity": ("nat", "C without a threshold"),
    "smooth_thermodynamic_entropy": ("nat", "S₀ without a threshold"),
    "effective_count": ("1", "2βU of (5.14)"),
    "laplacian": ("loss", "ΔF in the eigenvalues (8.10)"),
    "mu2": ("1", "Tr (log Ĝ)² (9.5)"),
    "mu3": ("1", "Tr (log Ĝ)³ (9.6)"),
    "mean_square": ("1", "mean (log λ)²"),
    "mean_cube": ("1", "mean (log λ)³"),
    "skewness": ("1", "skewness of log λ about 0"),
    "log_eigenvalues": ("1", "dynamical log λ, descending"),
    "average_loss_gradient": ("loss", "norm of the derivatives of U in weights and biases (6.2)"),
    "mean_average_loss": ("loss", "U (6.1), mean over samples"),
    "weight_norm": ("1", "Frobenius norm of ŵ"),
    "bias_norm": ("1", "norm of b"),
    "spectral_norm": ("1", "largest singular value of ŵ"),
    "weight_mean": ("1", "mean over existing links"),
    "weight_variance": ("1", "variance over existing links"),
    "links": ("1", "weights that are not 0"),
    "sparsity": ("1", "share of possible links that do not exist"),
    "state_mean": ("1", "mean x̄ over samples and neurons"),
    "state_variance": ("1", "variance of x̄ over samples and neurons"),
    "saturated": ("1", "share of states near an end of their range"),
    "pre_activation_mean": ("1", "mean of ŵx̄ + b"),
    "pre_activation_variance": ("1", "variance of ŵx̄ + b"),
    "slope_mean": ("1", "mean f' (5.4)"),
    "slope_variance": ("1", "variance of f' (5.4)"),
    "effective_dimension": ("1", "(Tr Σ)² / Tr Σ² of the covariance of the states"),
}
"""Unit and meaning of the names that nnthermo's own observers record; `loss` and `nat` (k_B = 1) are units."""

DIMENSIONS = {"log_eigenvalues": ("eigenvalue",)}


def to_dataset(history: Mapping[str, Any], **attributes: Any) -> Any:
    """A history as an `xarray.Dataset` along `epoch`, with units and meanings (`units`, `long_name`) where known.

    A prefix of `combine` or a layer's is kept apart: `test_bulk_loss` has the unit of `bulk_loss`. Further axes are
    called `eigenvalue`, or after the record: `spread_0`, `spread_1`.

    Args:
        history: arrays with one leading axis, `epoch` among them, as in `TrainResult.history`.
        **attributes: of the whole data set, such as seed=0; strings and numbers.

    Raises:
        ValueError: no `epoch`, or a record of another length.
        ImportError: xarray is not installed; the message has the command.
    """
    xarray = extra("xarray", "history")
    check("history", "hold `epoch`", "epoch" in history, sorted(history))
    epochs = np.asarray(history["epoch"])
    variables = {}
    for name, given in history.items():
        values = np.asarray(given)
        if values.shape[:1] != epochs.shape:
            refuse("history", f"have {len(epochs)} rows, as many as epochs", f"shape {values.shape} for {name!r}")
        key = known_name(name)
        axes = DIMENSIONS.get(key or "", tuple(f"{name}_{k}" for k in range(values.ndim - 1)))
        if key is not None and name != key:  # another spectrum need not be as long
            axes = tuple(f"{name.removesuffix(key)}{axis}" for axis in axes) if key in DIMENSIONS else axes
        about = {} if key is None else dict(zip(("units", "long_name"), QUANTITIES[key], strict=True))
        variables[name] = (("epoch", *axes), values, about)
    coordinate = variables.pop("epoch")
    return xarray.Dataset(variables, coords={"epoch": coordinate}, attrs=attributes)


def known_name(name: str) -> str | None:
    """The longest of the standard names that a record's name is or ends in after an underscore, if any."""
    fits = [key for key in QUANTITIES if name == key or name.endswith(f"_{key}")]
    return max(fits, key=len, default=None)


def save_history(file: str | Path, history: Mapping[str, Any], **attributes: Any) -> Path:
    """Write `to_dataset` as NetCDF (h5netcdf); the file appears under its name only when it is complete.

    Returns:
        The path written; `xarray.open_dataset(path, engine="h5netcdf")` reads it.

    Raises:
        ValueError: as `to_dataset`.
        ImportError: xarray or h5netcdf is not installed; the message has the command.
        OSError: a file that cannot be written.
    """
    extra("h5netcdf", "history")
    dataset = to_dataset(history, **attributes)
    path = Path(file)
    partial = path.with_name(path.name + ".partial")
    dataset.to_netcdf(partial, engine="h5netcdf")
    partial.replace(path)
    return path
