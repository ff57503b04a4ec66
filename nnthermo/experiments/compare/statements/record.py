"""How numbers are read from histories."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nnthermo.experiments.compare.curvature import LOSSES, THRESHOLDS
from nnthermo.experiments.compare.runs import Histories
from nnthermo.experiments.compare.settings import Settings
from nnthermo.experiments.verdicts import Number, per_seed


def by_network(
    label: str, histories: Histories, settings: Settings, training: str, function: Callable[..., float]
) -> list[Number]:
    """A number from each seed's history of a training, function(history), for each network."""
    return [
        Number(f"{label}, {network}", None, per_seed(histories[network, training], function))
        for network in settings.networks
    ]


def pairwise(
    label: str, histories: Histories, settings: Settings, function: Callable[[Any, Any], float]
) -> list[Number]:
    """A number from both trainings with targets, function(boundary history, bulk history), for each network."""
    numbers = []
    for network in settings.networks:
        one, other = histories[network, "boundary"], histories[network, "bulk"]
        values = [float(function(one.isel(seed=k), other.isel(seed=k))) for k in range(one.sizes["seed"])]
        numbers.append(Number(f"{label}, {network}", None, values))
    return numbers


def values_of(numbers: list[Number]) -> list[float]:
    """All values of several numbers: every network and seed."""
    return [value for number in numbers for value in number.ours]


def last(run: Any, name: str) -> float:
    """A record of the last epoch."""
    return float(run[name].isel(epoch=-1))


def equal_time(one: Any, other: Any) -> float:
    """The smaller of the training times of two runs, seconds without compiling and recording."""
    return min(last(one, "seconds"), last(other, "seconds"))


def at_time(run: Any, name: str, seconds: float) -> float:
    """A record after so many seconds of training, linear between records."""
    return float(np.interp(seconds, run.seconds.values, run[name].values))


def flatness(run: Any, loss: str, threshold: float, *, count: str = "flat", record: int = -1) -> tuple[float, ...]:
    """(value, low, high): how many directions of a loss are flat (or `falling`) at a threshold.

    Low and high are the bounds of the quadrature, widened by two standard errors of the probes.
    """
    k = int(np.argmin(np.abs(np.log(np.array(THRESHOLDS) / threshold))))
    place = run.isel(curvature_epoch=record, hessian=LOSSES.index(loss), threshold=k)
    value, error, low, high = (float(place[f"{count}{part}"]) for part in ("", "_error", "_low", "_high"))
    return value, low - 2 * error, high + 2 * error
