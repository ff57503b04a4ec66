"""Figures of the ensembles: densities in the plane, variances, the balance of entropy, ħ², and stills of the films."""

from pathlib import Path
from typing import Any

import numpy as np

from nnthermo._checks import extra
from nnthermo.experiments.drawing import canvas, save_all
from nnthermo.experiments.mechanics import gaussian, measuring
from nnthermo.experiments.mechanics.demonstrations import DoubleWell, Vortices
from nnthermo.experiments.mechanics.settings import SHOWN, Settings
from nnthermo.experiments.mechanics.statements import Runs
from nnthermo.plotting import COOL, DARK, FAINT, INK, WARM

LEVELS = (0.9, 0.5, 0.1)
"""Shares of the probability that contours hold."""


def draw(runs: Runs, well: DoubleWell, pair: Vortices, settings: Settings, folder: Path) -> list[Path]:
    """Figures 1-5, see `save_all`; the first seed is shown where there is room for one."""
    return save_all(
        folder,
        lambda: _plane(runs["plane"][0]),
        lambda: _variances(runs["weights"][0], settings),
        lambda: _balances(runs["weights"]),
        lambda: _planck(runs["planck"], settings),
        lambda: _stills(well, pair),
    )


def contour_levels(p: np.ndarray) -> list[float]:
    """Densities above which `LEVELS` of the probability lie, increasing."""
    ordered = np.sort(p.ravel())[::-1]
    shares = np.cumsum(ordered) / ordered.sum()
    return sorted({float(ordered[np.searchsorted(shares, share)]) for share in LEVELS})


def plane_panel(ax: Any, run: Any, record: int, *, dots: int = 1500) -> None:
    """Replicas of one record, the contours of the prediction, and the loss."""
    first, second = ((edges[1:] + edges[:-1]) / 2 for edges in measuring.axes_of(run))
    a, b = run["widths"]
    ax.contour(first / a, second / b, run["loss"].T, levels=12, colors=FAINT, linewidths=0.5, alpha=0.6)
    samples = run["samples"][record][:dots]
    ax.plot(samples[:, 0] / a, samples[:, 1] / b, ".", color=COOL, markersize=1.6, alpha=0.5)
    p = run["density"][record]
    ax.contour(first / a, second / b, p.T, levels=contour_levels(p), colors=WARM, linewidths=1.4)
    ax.set_title(f"step {int(run['steps'][record])}", fontsize="medium")
    reach = 5.0
    ax.set_xlim(-reach, reach + 1)
    ax.set_ylim(-reach, reach + 1)


def _plane(run: Any) -> Any:
    figure = canvas(9.6, 3.0)
    records = [0, *(int(np.argmin(np.abs(run["steps"] - s))) for s in (2, 9)), len(run["steps"]) - 1]
    axes = figure.subplots(1, len(records), sharey=True)
    for ax, record in zip(axes, records, strict=True):
        plane_panel(ax, run, record)
        ax.set_xlabel("sharpest direction / width")
    axes[0].set_ylabel("second direction / width")
    return figure


def _variances(run: Any, settings: Settings) -> Any:
    figure = canvas(9.6, 3.4)
    left, *others = figure.subplots(1, 3)
    steps = run["steps"] + 1
    size = run["rates"].size
    for rank, colour in zip((1, 10, size // 5, size // 2), (DARK, WARM, COOL, INK), strict=True):
        left.plot(steps, run["measured_variance"][:, -rank], ".", color=colour, markersize=3.5)
        left.plot(steps, run["predicted_variance"][:, -rank], "-", color=colour, linewidth=1.0, label=f"no. {rank}")
    left.set(xscale="log", yscale="log", xlabel="step + 1", ylabel="variance of the weights' combination")
    left.legend(
        frameon=False, fontsize="x-small", title="from the sharpest", title_fontsize="x-small", loc="lower left"
    )
    left.set_ylim(0.35 * float(run["measured_variance"].min()), None)
    for k, (ax, rank) in enumerate(zip(others, SHOWN, strict=True)):
        for record, colour in ((0, FAINT), (len(steps) - 1, DARK)):
            x = run["samples"][record][:, k]
            width = float(np.sqrt(run["predicted_variance"][record, -rank]))
            ax.hist(x, bins=60, density=True, histtype="stepfilled", color=colour, alpha=0.35)
            grid = np.linspace(-5 * width, 5 * width, 200)
            ax.plot(grid, np.exp(-0.5 * (grid / width) ** 2) / width / np.sqrt(2 * np.pi), color=colour, linewidth=1.4,
                    label=f"step {int(run['steps'][record])}")  # fmt: skip
        ax.set(xlabel=f"direction no. {rank} from the sharpest", ylabel="density")
        ax.legend(frameon=False, fontsize="small")
    left.set_title(f"{settings.replicas:,} networks, {size} weights each", fontsize="medium")
    return figure


def _balances(runs: list[Any]) -> Any:
    figure = canvas(8.0, 3.6)
    ax, rest = figure.subplots(1, 2, width_ratios=(2, 1))
    for number, run in enumerate(runs):
        steps = run["steps"]
        change = run["measured_entropy"] - run["measured_entropy"][0]
        made = gaussian.integrated(run["measured_production"], steps)
        lost = gaussian.integrated(run["measured_learning"], steps)
        shade = 1.0 if number == 0 else 0.35
        labels = ("ΔS", "produced by noise", "destroyed by learning", "sum of both") if number == 0 else (None,) * 4
        for values, colour, dashes, label in zip(
            (change, made, lost, made + lost),
            (INK, WARM, DARK, COOL),
            ("-", "-", "-", (0, (4, 2))),
            labels,
            strict=True,
        ):
            ax.plot(steps + 1, values, color=colour, linestyle=dashes, alpha=shade, linewidth=1.4, label=label)
        rest.plot(steps + 1, run["measured_production"], color=WARM, alpha=shade, linewidth=1.4)
        rest.plot(steps + 1, -run["measured_learning"], color=DARK, alpha=shade, linewidth=1.4)
    ax.set(xscale="log", xlabel="step + 1", ylabel="nats since the start")
    ax.legend(frameon=False, fontsize="small")
    rest.set(xscale="log", xlabel="step + 1", ylabel="nats a step")
    rest.set_title("produced, and destroyed", fontsize="medium")
    return figure


def _planck(runs: list[Any], settings: Settings) -> Any:
    figure = canvas(8.0, 3.6)
    ax, rest = figure.subplots(1, 2)
    plain = len(settings.planck_batch_sizes)
    for number, run in enumerate(runs):
        order = np.argsort(run["batch_size"][:plain])
        sizes, unit = run["batch_size"][:plain][order], run["rate"] ** 2
        exact = 4 * run["diffusion"][:plain][order] ** 2
        value, error = run["estimate"][:plain, 0][order], run["estimate"][:plain, 1][order]
        ax.plot(
            sizes, exact / unit, "-", color=FAINT, linewidth=1.0, label="4D², nothing fitted" if not number else None
        )
        ax.errorbar(sizes, -value / unit, yerr=2 * error / unit, fmt="o", markersize=4, color=DARK, capsize=2,
                    alpha=1.0 if not number else 0.4, label="-(ħ/M)², measured" if not number else None)  # fmt: skip
        ratios = run["estimate"][:, 0] / (-4 * run["diffusion"] ** 2)
        spread = 2 * run["estimate"][:, 1] / (4 * run["diffusion"] ** 2)
        places = np.arange(len(ratios)) + 0.12 * (number - (len(runs) - 1) / 2)
        rest.errorbar(places, ratios, yerr=spread, fmt="o", markersize=4, color=DARK, capsize=2)
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="in units of (relaxation rate)²")
    ax.set_xticks(settings.planck_batch_sizes, [str(size) for size in settings.planck_batch_sizes])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize="small")
    rest.axhline(1, color=FAINT, linewidth=1.0)
    rest.axhline(0, color=WARM, linewidth=1.0, linestyle=(0, (4, 2)))
    names = [f"batch {size}" for size in settings.planck_batch_sizes] + ["momentum"]
    rest.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize="small")
    rest.set_ylabel("(ħ/M)² over -4D²")
    rest.set_title("above the dashed line ħ² < 0", fontsize="medium")
    return figure


def _stills(well: DoubleWell, pair: Vortices) -> Any:
    figure = canvas(9.6, 3.2)
    ax, *rest = figure.subplots(1, 3)
    ax.imshow(well.density.T, origin="lower", aspect="auto", cmap="Blues",
              extent=(well.times[0], well.times[-1], well.places[0], well.places[-1]))  # fmt: skip
    ax.plot(well.times, well.particles[:, :40], color=WARM, linewidth=0.3, alpha=0.7)
    ax.set(xlabel="time", ylabel="q", ylim=(-4.5, 4.5))
    ax.set_title("|Ψ|² and Nelson's particles", fontsize="medium")
    for axes, frame in zip(rest, (0, len(pair.times) // 3), strict=True):
        vortex_panel(axes, pair, frame)
    return figure


def vortex_panel(ax: Any, pair: Vortices, frame: int) -> None:
    """The phase as colour, as bright as the density."""
    colors = extra("matplotlib.colors", "plot")
    hue = (pair.phase[frame] / (2 * np.pi)) % 1
    bright = np.sqrt(pair.density[frame] / pair.density[frame].max())
    image = colors.hsv_to_rgb(np.stack([hue, 0.75 * np.ones_like(hue), bright], axis=-1))
    low, high = pair.edges
    ax.imshow(image.swapaxes(0, 1), origin="lower", extent=(low, high, low, high), interpolation="bilinear")
    ax.set(xlabel="q₁", ylabel="q₂", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    ax.set_title(f"winding {pair.winding[frame]:.0f}, t = {pair.times[frame]:.1f}", fontsize="medium")
