"""Figures of the comparison: the same networks, trained with the boundary loss and with the bulk loss."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnthermo._checks import extra
from nnthermo.experiments.compare.curvature import LOSSES, THRESHOLDS
from nnthermo.experiments.compare.runs import Histories
from nnthermo.experiments.compare.settings import NETWORKS, Settings
from nnthermo.experiments.compare.statements.flatness import FLAT, parameters
from nnthermo.experiments.drawing import canvas, dress, legend_below, save_all
from nnthermo.experiments.histories import fixed_count_complexity
from nnthermo.plotting import DARK, FAINT, WARM

COLOURS = {"boundary": WARM, "bulk": DARK}
"""Of the loss trained on; dashes tell the quantities apart."""

Panel = Callable[[Any, str], None]
"""Draws one network on axes."""


def draw(histories: Histories, settings: Settings, folder: Path) -> list[Path]:
    """Figures 1-7, see `save_all`."""
    both = {key: h for key, h in histories.items() if key[1] in COLOURS}
    panels: tuple[tuple[Panel, str], ...] = (
        (lambda ax, n: _losses(ax, n, both), "log loss"),
        (lambda ax, n: _accuracy(ax, n, both, "epoch"), "accuracy"),
        (lambda ax, n: _accuracy(ax, n, both, "seconds"), "accuracy"),
        (lambda ax, n: _curved(ax, n, both), "directions"),
        (lambda ax, n: _flat_history(ax, n, both), "directions not flat"),
        (lambda ax, n: _spectrum(ax, n, both), "eigenvalues of log Ĝ"),
        (lambda ax, n: _complexity(ax, n, both), "C₂₀ / nats"),
    )
    return save_all(folder, *(partial(_figure, panel, label, settings) for panel, label in panels))


def _figure(panel: Panel, label: str, settings: Settings) -> Any:
    """One panel a network, one below the other, and one legend for all."""
    names = settings.networks
    figure = canvas(6.0, 0.7 + 2.5 * len(names))
    axes = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for ax, name in zip(axes, names, strict=True):
        panel(ax, name)
        dress(ax, f"{name}, {'-'.join(map(str, NETWORKS[name]))}", y=label)
        if ax is not axes[-1]:
            ax.set_xlabel("")
    legend_below(figure, axes[0])
    return figure


def _lines(ax: Any, x: np.ndarray, rows: np.ndarray, label: str, **options: Any) -> None:
    """The first seed in front, the others thin behind it; x of shape (points,) or (seeds, points)."""
    xs = np.broadcast_to(x, rows.shape)
    for k in range(len(rows) - 1, -1, -1):
        if k:
            ax.plot(xs[k], rows[k], **{**options, "linewidth": 0.9, "alpha": 0.35})
        else:
            ax.plot(xs[k], rows[k], linewidth=1.7, label=label, **options)


def _losses(ax: Any, network: str, histories: Histories) -> None:
    for training, colour in COLOURS.items():
        runs = histories[network, training]
        for name, symbol, dashes in (("boundary_loss", "$U_\\partial$", "-"), ("bulk_loss", "$U$", (0, (4, 1.5)))):
            label = f"{symbol}, {training} training"
            _lines(ax, runs.epoch.values, np.log(runs[name].values), label, color=colour, linestyle=dashes)
    ax.set_xlabel("epoch")


def _accuracy(ax: Any, network: str, histories: Histories, along: str) -> None:
    for training, colour in COLOURS.items():
        runs = histories[network, training]
        x = runs.epoch.values if along == "epoch" else runs.seconds.values
        for name, what, dashes in (("test_accuracy", "test", "-"), ("accuracy", "training", (0, (1, 1.4)))):
            rows = runs[name].values
            _lines(ax, x, rows, f"{what} samples, {training} training", color=colour, linestyle=dashes)
    if along == "seconds":
        seconds = {t: histories[network, t].seconds.values for t in COLOURS}
        ax.axvline(min(np.nanmax(s) for s in seconds.values()), color=FAINT, linestyle=(0, (1, 1.5)), zorder=1)
        both = np.concatenate([s.ravel() for s in seconds.values()])
        both = both[both > 0]
        if np.unique(both).size > 1:
            ax.set_xscale("log")
            ax.xaxis.set_minor_formatter(extra("matplotlib.ticker", "plot").NullFormatter())
            ax.set_xlim(both.min(), both.max())
        ax.set_xlabel("seconds of training" + ", logarithmic" * (ax.get_xscale() == "log"))
    else:
        ax.set_xlabel("epoch")


def _curved(ax: Any, network: str, histories: Histories) -> None:
    total = parameters(network)
    for training, colour in COLOURS.items():
        place = histories[network, training].isel(curvature_epoch=-1)
        for k, (loss, dashes) in enumerate(zip(LOSSES, ("-", (0, (4, 1.5))), strict=True)):
            at = place.isel(hessian=k)
            label = f"{loss} loss, weights of {training} training"
            _lines(
                ax, np.array(THRESHOLDS), np.maximum(total - at.flat.values, 0.5), label, color=colour, linestyle=dashes
            )
            low, high = total - at.flat_high.values[0], total - at.flat_low.values[0]
            ax.fill_between(THRESHOLDS, np.maximum(low, 0.5), high, color=colour, alpha=0.10, linewidth=0)
    ax.axhline(total, color=FAINT, linewidth=1.0, linestyle=(0, (1, 1.5)), zorder=1)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(THRESHOLDS[0], THRESHOLDS[-1])
    ax.set_ylim(0.7, 1.5 * total)
    ax.set_xlabel("|curvature| over the largest")


def _flat_history(ax: Any, network: str, histories: Histories) -> None:
    total, k = parameters(network), int(np.argmin(np.abs(np.log(np.array(THRESHOLDS) / FLAT))))
    for training, colour in COLOURS.items():
        runs = histories[network, training]
        for j, (loss, dashes) in enumerate(zip(LOSSES, ("-", (0, (4, 1.5))), strict=True)):
            at = runs.isel(hessian=j, threshold=k)
            rows = total - at.flat.values
            label = f"{loss} loss, {training} training"
            x = runs.curvature_epoch.values
            _lines(ax, x, rows, label, color=colour, linestyle=dashes, marker="o", markersize=3.5)
            low, high = total - at.flat_high.values[0], total - at.flat_low.values[0]
            ax.fill_between(x, np.maximum(low, 0), high, color=colour, alpha=0.10, linewidth=0)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("epoch, logarithmic")


def _spectrum(ax: Any, network: str, histories: Histories) -> None:
    runs = {t: histories[network, t].log_eigenvalues.isel(epoch=-1).values for t in COLOURS}
    limit = max((float(np.abs(v[np.isfinite(v)]).max(initial=0.5)) for v in runs.values()), default=0.5)
    edges = np.linspace(-limit, limit, 41)
    for training, values in runs.items():
        for k, row in enumerate(values):
            look = {"linewidth": 1.7, "label": f"{training} training"} if k == 0 else {"linewidth": 0.9, "alpha": 0.35}
            ax.stairs(np.histogram(row, edges)[0], edges, color=COLOURS[training], **look)
    ax.set_xlabel("log λ")


def _complexity(ax: Any, network: str, histories: Histories) -> None:
    for training, colour in COLOURS.items():
        runs = histories[network, training]
        rows = np.stack([fixed_count_complexity(runs.isel(seed=k), 20) for k in range(runs.sizes["seed"])])
        _lines(ax, runs.epoch.values, rows, f"{training} training", color=colour)
    ax.set_xlabel("epoch")
