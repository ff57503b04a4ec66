"""How numbers are read from histories."""

from typing import Any

import numpy as np

from nnthermo.experiments.reproduce.settings import Settings

Histories = dict[str, Any]
"""xarray datasets by network, dimensions (seed, epoch[, eigenvalue])."""


def at_epoch(run: Any, epoch: int) -> Any:
    """The record of one epoch."""
    return run.sel(epoch=epoch)


def late(run: Any, settings: Settings) -> np.ndarray:
    """Which records lie after the first transient: epoch 100 of 30,000, or the same fraction."""
    return run.epoch.values >= transient(settings)


def transient(settings: Settings) -> int:
    """The epoch at which the first transient is over."""
    return max(1, round(settings.epochs / 300))
