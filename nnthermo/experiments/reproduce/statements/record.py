"""A statement of the paper, the numbers it rests on, and how they are read from histories."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.verdicts import Finding
from nnthermo.spectrum import LogSpectrum

SIZE = 854
EVERYTHING = 0.5 * SIZE * math.log(2 * math.pi)
"""C_N = (N/2) log 2π = 784.77 nats, which no network without cycles can change."""

Histories = dict[str, Any]
"""xarray datasets by network, dimensions (seed, epoch[, eigenvalue])."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of the paper and the test of it.

    Attributes:
        key: short name, the same in every report.
        where: figure or section of the paper.
        claim: the claim in our words.
        criterion: what counts as agreement; "{first}" and "{last}" stand for the first and last epoch of the spectra.
        networks: those that the test needs, each trained to its end.
        test: (histories, settings) -> what they say of it.
    """

    key: str
    where: str
    claim: str
    criterion: str
    networks: tuple[str, ...]
    test: Callable[[Histories, Settings], Finding]


def at_epoch(run: Any, epoch: int) -> Any:
    """The record of one epoch."""
    return run.sel(epoch=epoch)


def late(run: Any, settings: Settings) -> np.ndarray:
    """Which records lie after the first transient: epoch 100 of 30,000, or the same fraction."""
    return run.epoch.values >= transient(settings)


def transient(settings: Settings) -> int:
    """The epoch at which the first transient is over."""
    return max(1, round(settings.epochs / 300))


def fixed_count_complexity(run: Any, n: int) -> np.ndarray:
    """C_n (10.5) at each record, nats, from the recorded dynamical eigenvalues."""
    spectra = np.atleast_2d(run.log_eigenvalues.values)
    units = SIZE - spectra.shape[-1]
    return np.array([EVERYTHING - 0.5 * float(LogSpectrum(v, units).largest_sum(n)) for v in spectra])
