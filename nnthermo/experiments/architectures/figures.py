"""Figures of the study: every correlation, -ΔF against accuracy, depth, skewness along training, the skews of skips."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnthermo.experiments.architectures.measures import SCORES, Correlations, reached, values
from nnthermo.experiments.drawing import canvas, dress, save_all
from nnthermo.plotting import COOL, DARK, FAINT, INK, WARM

COLOURS = {"tanh": DARK, "relu": WARM, "sigmoid": COOL}
KINDS = {"thermodynamic": DARK, "baseline": WARM, "short training": COOL}
MARKS = {"none": "o", "hidden": "^", "all": "s"}


def draw(correlations: Correlations, folder: Path) -> list[Path]:
    """Figures 1-5, see `save_all`."""
    figures = (_forest, _scatter, _depth, _training, _skips)
    return save_all(folder, *(partial(figure, correlations) for figure in figures))


def _forest(c: Correlations) -> Any:
    """ρ of every score with the accuracy reached, at the start and after the last short training."""
    epochs = (c.settings.score_epochs[0], c.settings.score_epochs[-1])
    figure = canvas(9.2, 0.28 * len(SCORES) + 1.6)
    axes = figure.subplots(1, len(set(epochs)), sharey=True, squeeze=False)[0]
    for ax, epoch in zip(axes, sorted(set(epochs)), strict=True):
        for row, score in enumerate(SCORES):
            if score.kind == "short training" and epoch == 0:
                continue
            plain = c.of(score.key, epoch)
            ax.plot([plain.low, plain.high], [row - 0.14] * 2, color=KINDS[score.kind], linewidth=1.8)
            ax.plot(plain.value, row - 0.14, "o", color=KINDS[score.kind], markersize=5)
            if score.key != "parameters":
                rest = c.of(score.key, epoch, fixed=("parameters",))
                ax.plot([rest.low, rest.high], [row + 0.18] * 2, color=FAINT, linewidth=1.2)
                ax.plot(rest.value, row + 0.18, "o", markerfacecolor="white", markeredgecolor=FAINT, markersize=4)
            if score.sign:
                ax.annotate(
                    "+" if score.sign > 0 else "−",
                    (1.06, row),
                    ha="center",
                    va="center",
                    color=INK,
                    annotation_clip=False,
                )
        ax.axvline(0, color=INK, linewidth=0.7)
        ax.set_xlim(-1, 1.0)
        dress(ax, f"after {epoch} epochs" if epoch else "untrained", "ρ with the accuracy reached")
    axes[0].set_yticks(range(len(SCORES)), [s.label for s in SCORES], fontsize="small")
    axes[0].set_ylim(len(SCORES) - 0.5, -0.5)
    handles = [axes[0].plot([], [], "o-", color=colour, label=kind)[0] for kind, colour in KINDS.items()]
    handles.append(
        axes[0].plot([], [], "o-", color=FAINT, markerfacecolor="white", label="at a fixed number of parameters")[0]
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


def _panels(c: Correlations, height: float = 3.4) -> tuple[Any, Any]:
    figure = canvas(0.5 + 3.1 * len(c.settings.activations), height)
    return figure, figure.subplots(1, len(c.settings.activations), squeeze=False)[0]


def _of(c: Correlations, activation: str) -> Any:
    return c.results.isel(architecture=c.results.activation.values == activation)


def _scatter(c: Correlations) -> Any:
    """-ΔF of the untrained network against the accuracy reached."""
    figure, axes = _panels(c)
    for ax, activation in zip(axes, c.settings.activations, strict=True):
        own = _of(c, activation)
        x, y = values(own, "entropy_destruction", 0), reached(own)
        for skip, mark in MARKS.items():
            keep = own.skip.values == skip
            points = ax.scatter(
                x[keep],
                y[keep],
                c=own.depth.values[keep],
                marker=mark,
                s=22,
                cmap="viridis",
                vmin=min(c.settings.depths),
                vmax=max(c.settings.depths),
                linewidths=0,
            )
        found = c.of("entropy_destruction", activation=activation)
        dress(ax, f"{activation}, ρ = {found.value:.2f}".replace("-", "−"), "−ΔF at the start, less unlinked")
    axes[0].set_ylabel("test accuracy reached")
    figure.colorbar(points, ax=axes[-1], label="hidden layers", ticks=sorted(c.settings.depths))
    handles = [
        axes[0].plot([], [], mark, linestyle="none", color=FAINT, label=f"skips: {skip}")[0]
        for skip, mark in MARKS.items()
        if skip in c.settings.skips
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure


def _depth(c: Correlations) -> Any:
    """Accuracy and skewness against the number of hidden layers."""
    figure = canvas(9.2, 3.4)
    left, middle, right = figure.subplots(1, 3)
    for activation in c.settings.activations:
        own = _of(c, activation)
        depths = own.depth.values
        marks = sorted(set(depths))
        accuracy = reached(own)
        best = [accuracy[depths == d].max() for d in marks]
        typical = [np.median(accuracy[depths == d]) for d in marks]
        left.plot(marks, best, "o-", color=COLOURS[activation], markersize=4, label=activation)
        left.plot(marks, typical, "o--", color=COLOURS[activation], markersize=3, linewidth=0.9)
        plain = own.isel(architecture=own.skip.values == "none")
        for ax, key in ((middle, "skewness"), (right, "entropy_destruction")):
            each = values(plain, key, 0)
            ax.plot(plain.depth.values, each, ".", color=COLOURS[activation], alpha=0.35)
            levels = sorted(set(plain.depth.values))
            ax.plot(levels, [np.median(each[plain.depth.values == d]) for d in levels], "-", color=COLOURS[activation])
    dress(left, "accuracy: best, and median (dashed)", "hidden layers", "test accuracy reached")
    dress(middle, "skewness, untrained, no skips", "hidden layers")
    dress(right, "−ΔF less unlinked, no skips", "hidden layers")
    left.legend(frameon=False, fontsize="small")
    return figure


def _training(c: Correlations) -> Any:
    """μ3 of networks without skips along training, by depth."""
    figure, axes = _panels(c)
    place = np.arange(len(c.settings.records))
    shades = np.linspace(0.15, 0.9, max(len(c.settings.depths), 2))
    for ax, activation in zip(axes, c.settings.activations, strict=True):
        own = _of(c, activation)
        own = own.isel(architecture=own.skip.values == "none")
        for shade, depth in zip(shades, sorted(c.settings.depths), strict=False):
            part = own.isel(architecture=own.depth.values == depth)
            if part.sizes["architecture"]:
                lines = np.stack([values(part, "mu3", e) for e in c.settings.records])
                ax.plot(
                    place,
                    np.median(lines, axis=1),
                    "o-",
                    markersize=3,
                    color=(0.05, 0.3 * (1 - shade), 1 - shade),
                    label=f"{depth} hidden",
                )
        ax.axhline(0, color=FAINT, linewidth=0.7)
        ax.set_xticks(place, [str(e) for e in c.settings.records])
        dress(ax, activation, "epoch")
    axes[0].set_ylabel("μ3, median over architectures")
    axes[-1].legend(frameon=False, fontsize="x-small")
    return figure


def _skips(c: Correlations) -> Any:
    """Σ 2 sinh log λ by kind of skip."""
    figure, axes = _panels(c)
    for ax, activation in zip(axes, c.settings.activations, strict=True):
        own = _of(c, activation)
        for k, skip in enumerate(c.settings.skips):
            each = own.isel(architecture=own.skip.values == skip).hyperbolic_skewness
            for moment, colour, shift in ((0, DARK, -0.15), (-1, WARM, 0.15)):
                points = each.isel(epoch=moment).values.ravel()
                ax.plot(
                    k + shift + np.linspace(-0.1, 0.1, len(points)), np.sort(points), ".", color=colour, markersize=3
                )
        ax.axhline(0, color=INK, linewidth=0.7)
        ax.set_yscale("symlog", linthresh=1)
        ax.set_xticks(range(len(c.settings.skips)), c.settings.skips)
        dress(ax, activation, "skips")
    axes[0].set_ylabel("Σ 2 sinh log λ")
    handles = [
        axes[0].plot([], [], "o", color=colour, label=text)[0]
        for colour, text in ((DARK, "untrained"), (WARM, "trained"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure
