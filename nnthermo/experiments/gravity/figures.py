"""Figures of the space-times: geodesics, time-like directions, curvature, Einstein's equations, turning."""

from pathlib import Path
from typing import Any

import numpy as np

from nnthermo.experiments.drawing import canvas, save_all
from nnthermo.experiments.gravity.demonstrations import Demonstrations
from nnthermo.experiments.gravity.runs import Runs
from nnthermo.experiments.gravity.settings import ARMS, CLOCK_WORDS, CLOCKS, Settings
from nnthermo.plotting import COOL, DARK, FAINT, INK, WARM

COLOURS = {"entropy": DARK, "training": WARM, "temperature": COOL}


def draw(runs: Runs, shown: Demonstrations, settings: Settings, folder: Path) -> list[Path]:
    """Figures 1-6, see `save_all`; maps are those of the first seed."""
    return save_all(
        folder,
        lambda: _known(shown),
        lambda: _arrow(runs, settings),
        lambda: _maps(runs, "time_like", "g₀₀/F₀₀: below 0 training is time-like", settings),
        lambda: _maps(runs, "scalar", "R", settings),
        lambda: _einstein(runs, settings),
        lambda: _turning(runs, settings),
    )


def _known(shown: Demonstrations) -> Any:
    figure = canvas(9.2, 4.0)
    left, right = figure.subplots(1, 2)
    for line in shown.geodesics:
        left.plot(line[:, 1], line[:, 0], color=DARK, linewidth=1.1)
    reach = np.sqrt(2 * shown.neurons)
    left.fill([-reach, 0, reach], [0, 1, 0], color=FAINT, alpha=0.25, linewidth=0)
    left.set(xlabel="mean m", ylabel="standard deviation σ", ylim=(0, 1.05))
    left.set_title(f"geodesics of {shown.neurons} normal neurons, and their light cone", fontsize="medium")
    for ray in shown.rays:
        right.plot(ray[:, 0], ray[:, 1], color=WARM, linewidth=0.8)
    angle = np.linspace(0, 2 * np.pi, 200)
    horizon = 1 + np.sqrt(1 - shown.spin**2)
    right.fill(horizon * np.cos(angle), horizon * np.sin(angle), color=INK)
    right.set(xlim=(-16, 16), ylim=(-16, 16), aspect="equal", xlabel="x / M", ylabel="y / M")
    right.set_title(f"light in the equator of a hole of spin {shown.spin:g} M", fontsize="medium")
    return figure


def _arrow(runs: Runs, settings: Settings) -> Any:
    figure = canvas(9.2, 3.4)
    axes = figure.subplots(1, 2)
    for ax, arm in zip(axes, ARMS, strict=True):
        first = True
        for name, some in runs.items():
            for run in some if name.startswith(arm) else ():
                S = run["entropy_entropy"]
                change = S - S[:1]
                ax.plot(settings.look_at, change.mean(axis=1), color=DARK, linewidth=1.2,
                        label="mean over inputs" if first else None)  # fmt: skip
                ax.fill_between(settings.look_at, *np.quantile(change, (0.1, 0.9), axis=1), color=DARK, alpha=0.07,
                                linewidth=0)  # fmt: skip
                first = False
        ax.axhline(0, color=FAINT, linewidth=0.8)
        ax.set(xlabel="training time", ylabel="change of S, nats")
        ax.set_title(ARMS[arm], fontsize="medium")
    return figure


def _maps(runs: Runs, name: str, label: str, settings: Settings) -> Any:
    networks = [n for n in (f"small-{max(settings.widths)}", f"image-{settings.hidden}") if n in runs]
    figure = canvas(9.6, 3.1 * len(networks))
    grid = figure.subplots(len(networks), len(CLOCKS), squeeze=False)
    for row, network in zip(grid, networks, strict=True):
        run = runs[network][0]
        edge = run["map_labels"]
        for ax, clock in zip(row, CLOCKS, strict=True):
            values = run[f"{clock}_map_{name}"]
            most = 1.0 if name == "time_like" else float(np.nanquantile(np.abs(values), 0.95)) or 1.0
            image = ax.imshow(values.T, origin="lower", extent=(edge[0], edge[-1], edge[0], edge[-1]), cmap="RdBu_r",
                              vmin=-most, vmax=most, interpolation="nearest")  # fmt: skip
            ax.plot(*run["labels"].T, ".", color=INK, markersize=1.5)
            ax.set(
                xlim=(edge[0], edge[-1]), ylim=(edge[0], edge[-1]), xlabel="first component", ylabel="second component"
            )
            ax.set_title(f"{network.replace('-', ', ')}: {CLOCK_WORDS[clock]}", fontsize="small")
            figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    return figure


def _einstein(runs: Runs, settings: Settings) -> Any:
    figure = canvas(9.2, 3.6)
    ax, rest = figure.subplots(1, 2)
    bins = np.linspace(0, 1, 41)
    for clock in CLOCKS:
        for arm, dashes in (("small", "-"), ("image", (0, (3, 2)))):
            some = [run[f"{clock}_residual"].ravel() for name, r in runs.items() if name.startswith(arm) for run in r]
            if some:
                ax.hist(np.concatenate(some), bins=bins, density=True, histtype="step", color=COLOURS[clock],
                        linestyle=dashes, label=f"{CLOCK_WORDS[clock]}, {arm}")  # fmt: skip
    ax.set(xlabel="‖R_ab - R g_ab/3‖ / ‖R_ab‖", ylabel="density of points", xlim=(0, 1))
    ax.legend(frameon=False, fontsize="x-small")
    sizes = np.asarray(sorted(settings.widths)) + 2
    for clock in ("entropy", "temperature"):
        for k, size in enumerate(sizes):
            values = [run[f"{clock}_cosmological_constant"] for run in runs.get(f"small-{size - 2}", ())]
            for value in values:
                low, middle, high = np.quantile(value, (0.25, 0.5, 0.75))
                place = size + (0.12 if clock == "entropy" else -0.12)
                rest.errorbar(place, middle, yerr=[[middle - low], [high - middle]],
                              fmt="o", markersize=4, color=COLOURS[clock], capsize=2, alpha=0.7,
                              label=CLOCK_WORDS[clock] if k == 0 and value is values[0] else None)  # fmt: skip
    rest.plot(sizes, 1 / (2 * sizes), "-", color=INK, linewidth=1.0, label="d(d-1)/4N")
    rest.axhline(0, color=FAINT, linewidth=0.8)
    rest.set(xlabel="neurons N", ylabel="Λ that is best at a point: quartiles", yscale="symlog")
    rest.legend(frameon=False, fontsize="x-small")
    return figure


def _turning(runs: Runs, settings: Settings) -> Any:
    figure = canvas(9.2, 3.4)
    axes = figure.subplots(1, 2)
    for ax, arm in zip(axes, ARMS, strict=True):
        for clock in ("entropy", "training"):
            some = [run for name, r in runs.items() if name.startswith(arm) for run in r]
            for k, run in enumerate(some):
                ax.plot(settings.look_at, np.median(run[f"{clock}_turning"], axis=1), color=COLOURS[clock],
                        linewidth=1.1, alpha=0.7, label=CLOCK_WORDS[clock] if k == 0 else None)  # fmt: skip
        ax.set(xlabel="training time", ylabel="turning, radians a unit of time", yscale="log")
        ax.set_title(ARMS[arm], fontsize="medium")
        if ax.lines:
            ax.legend(frameon=False, fontsize="small")
    return figure
