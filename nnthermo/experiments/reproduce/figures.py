"""Figures 1-7 of arXiv:2004.09280 from the histories of our runs."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from nnthermo import plotting
from nnthermo.experiments.drawing import canvas, save_all
from nnthermo.experiments.histories import fixed_count_complexity, plateau
from nnthermo.experiments.reproduce.settings import MILESTONES, Settings
from nnthermo.experiments.reproduce.statements.record import Histories, late
from nnthermo.experiments.reproduce.statements.spectra import PAPER_GAPS

PAPER_LINES = {20: (1.25, 769.0), 834: (1.41, 772.0)}
"""Slope and intercept of C_n against log U (Fig. 7)."""

GAPS = dict(zip(MILESTONES, map(float, PAPER_GAPS), strict=True))
"""Log λ of the gaps that the paper marks (Fig. 5), by epoch."""


def draw(histories: Histories, settings: Settings, folder: Path) -> list[Path]:
    """Figures 1-7, see `save_all`."""
    deep, shallow = histories["deep"], histories["shallow"]
    complexities = _complexities(deep)
    return save_all(
        folder,
        _figure_1,
        lambda: _figure_2(deep),
        lambda: _figure_3(deep, settings),
        lambda: _spectra(shallow, settings, "shallow"),
        lambda: _spectra(deep, settings, "deep"),
        lambda: _figure_6(deep, complexities),
        lambda: _figure_7(deep, settings, complexities),
    )


def _figure_1() -> Any:
    figure = canvas(6.0, 4.4)
    plotting.two_level(ax=figure.subplots())
    return figure


def _figure_2(deep: Any) -> Any:
    figure = canvas(6.0, 5.8)
    above, below = figure.subplots(2, 1)
    losses = deep.bulk_loss.values, deep.boundary_loss.values
    medians = deep.median_bulk_loss.values, deep.median_boundary_loss.values
    plotting.losses(deep.epoch.values, *losses, medians=medians, ax=above)
    plotting.losses(deep.epoch.values, *losses, medians=medians, ax=below)
    _as_logarithmic(below, deep)
    return figure


def _figure_3(deep: Any, settings: Settings) -> Any:
    figure = canvas(6.0, 8.2)
    bulk, boundary, epochs = deep.bulk_loss.values, deep.boundary_loss.values, deep.epoch.values
    last = int(max(epochs[np.isfinite(bulk[0])], default=0))
    trained = (epochs > 0) & (epochs <= last)
    if not trained.any():
        plotting.bulk_against_boundary(bulk, boundary, ax=figure.subplots())
        return figure
    losses = np.log(boundary[0, trained]), np.log(bulk[0, trained])
    fall, begin, end = plateau(epochs[trained].astype(float), *losses)
    stretch = (begin, end) if fall > 0.1 else None
    above, below = figure.subplots(2, 1)
    early = [int(epochs[trained][0]), *(e for e in settings.milestones() if e < last / 10), last]
    plotting.bulk_against_boundary(bulk, boundary, epochs=epochs, marks=early, plateau=stretch, ax=above)
    shown = epochs >= last / 10
    shares = (0.1, 1 / 3, 2 / 3, 1)
    marks = sorted({int(epochs[shown][np.argmin(np.abs(epochs[shown] - last * share))]) for share in shares})
    plotting.bulk_against_boundary(
        bulk[:, shown], boundary[:, shown], epochs=epochs[shown], marks=marks, plateau=stretch, ax=below
    )
    below.set_title(f"The same from epoch {int(epochs[shown][0]):,} on", loc="left", fontsize="large", pad=7)
    below.get_legend().remove()
    return figure


def _spectra(dataset: Any, settings: Settings, name: str) -> Any:
    marks = settings.milestones()
    figure = canvas(6.0, 6.2)
    panels = figure.subplots(len(marks), 1, sharex=True, squeeze=False)[:, 0]
    spectra = [dataset.sel(epoch=mark, method="nearest").log_eigenvalues.values for mark in marks]
    everything = np.abs(np.concatenate([s.ravel() for s in spectra]))
    limit = math.ceil(2 * float(everything[np.isfinite(everything)].max(initial=0.5)) + 1) / 2
    for ax, mark, values in zip(panels, marks, spectra, strict=True):
        paper = GAPS.get(mark) if name == "deep" and marks == MILESTONES else None
        plotting.eigenvalue_histogram(values, limit=limit, paper=paper, title=f"epoch {mark:,}", ax=ax)
        if ax is not panels[-1]:
            ax.set_xlabel("")
    size = dataset.sizes["eigenvalue"]
    figure.suptitle(
        f"The {size} dynamical eigenvalues of the {name} network",
        x=0.02,
        ha="left",
        fontsize="large",
        color=plotting.INK,
    )
    handles = {label: h for ax in panels for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    words = {"counts": "first seed", "other seeds": "other seeds", "mirrored": "first seed, mirrored at 0"}
    words |= {"gap in the paper": "the paper's gap"}
    shown = [label for label in words if label in handles]
    figure.legend(
        [handles[label] for label in shown], [words[label] for label in shown], loc="outside lower center",
        ncols=len(shown), frameon=False, fontsize="small",
    )  # fmt: skip
    return figure


def _complexities(deep: Any) -> dict[int, np.ndarray]:
    runs = [deep.isel(seed=k) for k in range(deep.sizes["seed"])]
    return {n: np.stack([fixed_count_complexity(run, n) for run in runs]) for n in PAPER_LINES}


def _figure_6(deep: Any, complexities: dict[int, np.ndarray]) -> Any:
    figure = canvas(6.0, 5.8)
    above, below = figure.subplots(2, 1)
    plotting.complexity_history(deep.epoch.values, complexities, ax=above)
    plotting.complexity_history(deep.epoch.values, complexities, ax=below)
    _as_logarithmic(below, deep)
    return figure


def _figure_7(deep: Any, settings: Settings, complexities: dict[int, np.ndarray]) -> Any:
    figure = canvas(6.0, 4.6)
    plotting.complexity_against_loss(
        deep.bulk_loss.values, complexities, fitted=late(deep, settings), paper=PAPER_LINES, ax=figure.subplots()
    )
    return figure


def _as_logarithmic(ax: Any, dataset: Any) -> None:
    """Turn a second panel into the same picture over log epoch, which shows the beginning."""
    ax.set_title("", loc="left")
    first, last = max(1, int(dataset.epoch.values[0])), int(dataset.epoch.values[-1])
    if last > first:  # else training stopped where it began
        ax.set_xscale("log")
        ax.set_xlim(first, last)
        ax.set_xlabel("epoch, logarithmic")
    ax.get_legend().remove()
