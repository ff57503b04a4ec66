"""Figures of the laws of learning: entropy, the balance of the first law, what (7.11) leaves over, β(t), (6.2)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnthermo.experiments.drawing import canvas, dress, legend_below, save_all
from nnthermo.experiments.laws.runs import Histories
from nnthermo.experiments.laws.settings import ENSEMBLES, PATHS, TEMPERATURES, Settings
from nnthermo.experiments.laws.statements import NAMES, entropy, path
from nnthermo.experiments.networks import NETWORKS
from nnthermo.plotting import COOL, DARK, FAINT, INK, WARM

LOOKS: dict[str, dict[str, Any]] = {
    "window": {"color": DARK, "linestyle": "-"},
    "box": {"color": COOL, "linestyle": "-"},
    "gaussian": {"color": WARM, "linestyle": (0, (5, 1.5))},
    "gaussian_without_mean": {"color": FAINT, "linestyle": (0, (1.5, 1.2))},
}
DASHES: dict[str, Any] = {"constant": "-", "gap": (0, (5, 1.5)), "loss": (0, (1.5, 1.2))}

Panel = Callable[[Any, Any, str], None]
"""Draws (axes, history, β(t)) of one network."""


def draw(histories: Histories, settings: Settings, folder: Path) -> list[Path]:
    """Figures 1-5, see `save_all`; none if no run has two records."""
    usable = {n: histories[n] for n in settings.networks if "law_heat" in histories[n]}
    if not usable:
        return []
    return save_all(
        folder,
        lambda: _grid(usable, _entropy, "S less that at the start / nats"),
        lambda: _grid(usable, _balance, "cumulated, units of the loss"),
        lambda: _row(usable, _left_over, "|dU - T dS| / |dU|"),
        lambda: _row(usable, _betas, "β"),
        lambda: _row(usable, _gradients, "|∂U|/U over that at the start"),
    )


def _grid(histories: Histories, panel: Panel, label: str) -> Any:
    """One column a network, one row a choice of β(t)."""
    figure = canvas(0.6 + 3.6 * len(histories), 0.8 + 2.3 * len(TEMPERATURES))
    axes = figure.subplots(len(TEMPERATURES), len(histories), squeeze=False, sharex=True)
    for row, temperature in zip(axes, TEMPERATURES, strict=True):
        for ax, (network, history) in zip(row, histories.items(), strict=True):
            panel(ax, history, temperature)
            _dress(ax, f"{network}, {NAMES[temperature]}", history)
        row[0].set_ylabel(label, fontsize="small")
    return _finish(figure, axes)


def _row(histories: Histories, panel: Callable[[Any, Any], None], label: str) -> Any:
    """One panel a network."""
    figure = canvas(0.6 + 3.6 * len(histories), 3.6)
    axes = figure.subplots(1, len(histories), squeeze=False, sharey=True)
    for ax, (network, history) in zip(axes[0], histories.items(), strict=True):
        panel(ax, history)
        _dress(ax, f"{network}, {'-'.join(map(str, NETWORKS[network]))}", history)
    axes[0, 0].set_ylabel(label)
    return _finish(figure, axes)


def _dress(ax: Any, title: str, history: Any) -> None:
    dress(ax, title)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(-0.2, 1.3 * float(history.epoch.max()))


def _finish(figure: Any, axes: Any) -> Any:
    for ax in axes[-1]:
        ax.set_xlabel("epoch, logarithmic")
    legend_below(figure, axes[0, 0])
    return figure


def _band(ax: Any, x: np.ndarray, rows: np.ndarray, label: str, **look: Any) -> None:
    """The mean over seeds and, where there are several, a band of their standard deviation; NaN are left out."""
    good = np.isfinite(rows).any(axis=0)
    middle, x = np.nanmean(rows[:, good], axis=0), x[good]
    ax.plot(x, middle, linewidth=1.6, label=label, **look)
    if len(rows) > 1:
        spread = np.nanstd(rows[:, good], axis=0)
        ax.fill_between(x, middle - spread, middle + spread, color=look["color"], alpha=0.15, linewidth=0)


def _entropy(ax: Any, history: Any, temperature: str) -> None:
    for ensemble in ENSEMBLES:
        s = entropy(history, ensemble, temperature).mean(axis=-1)
        _band(ax, history.epoch.values, s - s[:, :1], NAMES[ensemble], **LOOKS[ensemble])
    ax.axhline(0, color=FAINT, linewidth=0.7)


def _balance(ax: Any, history: Any, temperature: str) -> None:
    for ensemble, dashes in zip(PATHS, ("-", (0, (4, 1.5))), strict=True):
        for name, text, colour in (("loss_change", "ΔU", INK), ("heat", "heat", WARM), ("work", "work", DARK)):
            rows = np.cumsum(path(history, name, ensemble, temperature), axis=1)
            rows = np.concatenate([np.zeros_like(rows[:, :1]), rows], axis=1)
            _band(ax, history.epoch.values, rows, f"{text}, {NAMES[ensemble]}", color=colour, linestyle=dashes)
    ax.axhline(0, color=FAINT, linewidth=0.7)


def _left_over(ax: Any, history: Any) -> None:
    for temperature, dashes in DASHES.items():
        for ensemble in PATHS:
            terms = [np.abs(path(history, n, ensemble, temperature)) for n in ("printed_residual", "loss_change")]
            label = f"{NAMES[temperature]}, {NAMES[ensemble]}"
            middle = np.nanmedian(terms[0] / terms[1], axis=0)
            ax.plot(history.step.values, middle, label=label, color=LOOKS[ensemble]["color"], linestyle=dashes)
    ax.set_yscale("log")


def _betas(ax: Any, history: Any) -> None:
    for temperature, colour in zip(TEMPERATURES, (INK, WARM, DARK), strict=True):
        rows = history.beta.sel(temperature=temperature).transpose("seed", "epoch").values
        _band(ax, history.epoch.values, rows, NAMES[temperature], color=colour)
    ax.set_yscale("log")


def _gradients(ax: Any, history: Any) -> None:
    for temperature, colour in zip(TEMPERATURES, (INK, WARM, DARK), strict=True):
        at = history.sel(temperature=temperature)
        loss = at.average_loss.sel(ensemble="gaussian").mean("block")
        slope = (at.loss_gradient / loss).transpose("seed", "epoch").values
        _band(ax, history.epoch.values, slope / slope[:, :1], NAMES[temperature], color=colour)
    ax.set_yscale("log")
