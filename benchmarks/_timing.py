"""Honest timing: warm up, wait for the result, take turns with the rival, and say how much the numbers scatter."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import numpy as np


class Timing(NamedTuple):
    """Seconds of one call, over the rounds of one run.

    Attributes:
        wall: of the clock, one a round.
        cpu: of all threads of this process, one a round: what other work on the machine disturbs least.
    """

    wall: np.ndarray
    cpu: np.ndarray

    @property
    def median(self) -> float:
        """Median of the wall seconds."""
        return float(np.median(self.wall))

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles of the wall seconds."""
        return float(np.subtract(*np.percentile(self.wall, [75, 25]))) / 2


def take_turns(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int, warm_up: int = 1, in_a_row: Mapping[str, int] | None = None
) -> dict[str, Timing]:
    """Time several calls, one after the other in every round, so that a busy minute falls on all of them.

    Args:
        calls: functions of no arguments by name; what they return is waited for.
        rounds: measured calls of each.
        warm_up: unmeasured calls of each before: compilation, page faults, caches.
        in_a_row: calls a round of those that take less than the caches take to fill; their mean counts.
    """
    for call in calls.values():
        for _ in range(warm_up):
            jax.block_until_ready(call())
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(rounds):
        names = list(calls)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:  # nobody always goes first
            times = (in_a_row or {}).get(name, 1)
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(times):
                jax.block_until_ready(calls[name]())
            seconds[name].append(((time.perf_counter() - wall) / times, (time.process_time() - cpu) / times))
    return {name: Timing(*np.array(pairs).T) for name, pairs in seconds.items()}


def ratio(ours: Timing, rival: Timing) -> tuple[float, float]:
    """Wall seconds of ours over the rival's, each against the same round: the median and its spread."""
    paired = ours.wall / rival.wall
    return float(np.median(paired)), float(np.subtract(*np.percentile(paired, [75, 25]))) / 2


def table(timings: Mapping[str, Timing], *, rival: str | None = None) -> str:
    """Lines of Markdown: median ± spread of the clock, median CPU time, in milliseconds; the ratio to the rival."""
    lines = ["| | wall ms | CPU ms |" + (f" × {rival} |" if rival else ""), "|---|---|---|" + ("---|" if rival else "")]
    for name, timing in timings.items():
        line = f"| {name} | {1e3 * timing.median:.2f} ± {1e3 * timing.spread:.2f} | {1e3 * np.median(timing.cpu):.2f} |"
        if rival:
            middle, spread = ratio(timing, timings[rival])
            line += f" {middle:.2f} ± {spread:.2f} |"
        lines.append(line)
    return "\n".join(lines)


def machine() -> str:
    """What the numbers depend on: cores, versions, date, and how busy the machine is."""
    names = ("jax", "jaxlib", "optax", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    blas = os.environ.get("OPENBLAS_NUM_THREADS", "default")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}){load}, Python {platform.python_version()}, {versions}, "
        f"OPENBLAS_NUM_THREADS {blas}, {time.strftime('%Y-%m-%d')}"
    )
