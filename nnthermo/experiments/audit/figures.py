"""Pictures of the equations that say more as a curve than as a number."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnthermo.experiments.audit import flow, forms, grids, paths
from nnthermo.experiments.audit.section_5 import errors
from nnthermo.experiments.audit.section_9 import gap_of_two_levels
from nnthermo.experiments.audit.systems import Systems
from nnthermo.experiments.drawing import canvas, save, style
from nnthermo.plotting import DARK, FAINT, INK, WARM


class Figure(NamedTuple):
    """A picture of one or more equations.

    Attributes:
        caption: what it shows.
        draw: puts it on axes.
    """

    caption: str
    draw: Callable[[Any, Systems], None]


def draw(systems: Systems, figures: Mapping[str, Figure], folder: Path) -> dict[str, tuple[Path, Path]]:
    """Draw the figures as equation-9-4.png (150 dots an inch) and .svg.

    Args:
        systems: the networks.
        figures: those wanted, by the number of the equation.
        folder: where they go, made if need be.

    Returns:
        The two files of each, by the same numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    with style():
        for number, figure in figures.items():
            page = canvas(5.6, 3.4)
            ax = page.subplots()
            figure.draw(ax, systems)
            if ax.get_legend_handles_labels()[0]:
                ax.legend(frameon=False, fontsize=8)
            ax.spines[["top", "right"]].set_visible(False)
            files[number] = save(page, folder / f"equation-{number.replace('.', '-')}")
    return files


def _window(ax: Any, s: Systems) -> None:
    betas = np.geomspace(0.01, 300, 25)
    table = np.array([errors(s, float(b)) for b in betas])
    x = forms.fixed_state(s.pair, 2)
    ax.semilogx(betas, table[:, 0] / 2, color=INK, label="(5.8) less (5.7)")
    ax.semilogx(betas, table[:, 1] / 2, color=DARK, ls="--", label="(5.9) at x̄ less (5.8)")
    ax.semilogx(betas, table[:, 2] / 2, color=WARM, ls="-.", label="(5.14) less (5.8)")
    for limit in (0.5 * math.log(2 * math.pi) - math.log(2), -0.25 * float(x @ x)):
        ax.axhline(limit, color=FAINT, lw=0.8, ls=":")
    ax.set(xlabel="β", ylabel="error of log Z a neuron / nats")


def _gaussian(ax: Any, s: Systems) -> None:
    betas = np.geomspace(1, 1e5, 26)
    x = forms.fixed_state(s.pair, 2)
    G = forms.hessian(forms.jacobian(s.pair, x))
    exact = [grids.line(s.pair, float(b), c=1.0) for b in betas]
    for label, colour, dashes, centred in (
        ("with ⟨x⟩, as printed", WARM, "-.", [g.mean(g.x) for g in exact]),
        ("with x̄", DARK, "-", [x] * len(betas)),
    ):
        rest = [
            abs(forms.log_partition(G, float(b), 0.0, a) - g.log_z)
            for b, a, g in zip(betas, centred, exact, strict=True)
        ]
        ax.loglog(betas, rest, color=colour, ls=dashes, label=label)
    ax.loglog(betas, 0.02 / betas, color=FAINT, lw=0.8, ls=":", label="∝ 1/β")
    ax.set(xlabel="β", ylabel="|error of log Z (5.9)| / nats")


def _mean_term(ax: Any, s: Systems) -> None:
    betas = np.geomspace(0.01, 1e4, 60)
    dropped = [0.5 * forms.mean_form(s.dense, s.centre, float(b)) for b in betas]
    kept = [0.5 * np.sum(np.log1p(b * np.exp(s.logs))) - 6 * math.log1p(b) for b in betas]
    ax.semilogx(betas, dropped, color=WARM, label="dropped: ½ x̄ᵀKx̄")
    ax.semilogx(betas, kept, color=INK, ls="--", label="kept of ŵ: ½ log det less its value at ŵ = 0")
    ax.set(xlabel="β", ylabel="nats, 3-4-3-2")


def _split(ax: Any, s: Systems) -> None:  # noqa: ARG001 - a curve of no network
    x = np.linspace(-6, 6, 400)
    for t, colour, dashes in ((1.0, INK, "-"), (0.3, DARK, "--"), (3.0, WARM, "-.")):
        error = [forms.split_error(np.array([v]), 1.0, t) for v in x]
        ax.plot(x, error, color=colour, ls=dashes, label=f"threshold βλ = {t:g}")
    ax.axhline(0.5 * math.log(2), color=FAINT, lw=0.8, ls=":")
    ax.set(xlabel="log βλ", ylabel="E of one eigenvalue / nats")


def _lost(ax: Any, s: Systems) -> None:
    p = flow.start(s)
    betas = np.linspace(flow.START, flow.END, 11)
    for label, rate, colour, dashes in (
        ("(8.1) as printed", flow.printed, WARM, "-"),
        ("with the divergence", flow.liouville, INK, "--"),
    ):
        mass, at, here = [1.0], p, betas[0]
        for b in betas[1:]:
            at, here = flow.evolve(rate, at, here, b, 40), b
            mass.append(flow.integral(at))
        ax.plot(betas, mass, color=colour, ls=dashes, label=label)
    ax.set(xlabel="β", ylabel="∫p dQ")


def _step(ax: Any, s: Systems) -> None:  # noqa: ARG001 - a curve of no network
    x = np.linspace(-6, 6, 400)
    ax.plot(x, (1 + np.exp(x)) ** -2, color=INK, label="(1 + βλ)⁻²")
    for t, colour, dashes in ((1.0, WARM, "-."), (math.sqrt(2) - 1, DARK, "--")):
        ax.plot(x, (np.exp(x) < t).astype(float), color=colour, ls=dashes, label=f"step at βλ = {t:.3g}")
    ax.set(xlabel="log βλ", ylabel="share in N_<")


def _figure_1(ax: Any, s: Systems) -> None:  # noqa: ARG001 - a curve of no network
    x = np.linspace(-8, 8, 500)
    for beta, colour, dashes in ((0.25, DARK, "-"), (0.5, FAINT, "-"), (0.73, INK, "--"), (1.0, WARM, "-.")):
        ax.plot(x, 427 * beta * forms.two_level(x, beta, 1 / 3), color=colour, ls=dashes, label=f"β = {beta}")
        if beta < 1:
            right = 2 * math.log((1 - beta) / beta)
            ax.plot(right, 427 * beta * forms.two_level(right, beta, 1 / 3), "o", color=colour, ms=4)
        printed = float(forms.printed_gap(beta))
        ax.plot(printed, 427 * beta * forms.two_level(printed, beta, 1 / 3), "x", color=colour, ms=6)
    ax.set(xlabel="log λ", ylabel="-ΔF, N = 854, γ = 1/3")


def _roots(ax: Any, s: Systems) -> None:  # noqa: ARG001 - a curve of no network
    betas = np.linspace(0.12, 2.2, 120)
    ax.plot(betas, forms.printed_gap(betas), color=WARM, ls="-.", label="(9.4), γ → 0")
    for gamma, colour, dashes in ((0.05, FAINT, "-"), (0.15, DARK, "--"), (1 / 3, INK, "-")):
        kept = betas[(betas < 0.97) | (gamma < 0.3)]
        found = [gap_of_two_levels(float(b), gamma) for b in kept]
        ax.plot(kept, found, color=colour, ls=dashes, label=f"root of the slope of (9.3), γ = {gamma:.2g}")
    for gap, beta in ((-2.3, 1.37), (-2.5, 1.40), (-3.0, 1.47)):
        ax.plot(beta, gap, "k+", ms=7, label="quoted in Section 10" if beta == 1.37 else None)
    ax.set(xlabel="β", ylabel="log λ", ylim=(-7, 6))


def _spectra(ax: Any, s: Systems) -> None:
    shallow = 2 * np.log(np.linalg.svd(np.eye(12) - s.shallow_links, compute_uv=False))
    for k, (name, values, colour) in enumerate((("7-5", shallow, DARK), ("3-4-3-2", s.logs, WARM))):
        ax.plot(np.sort(values), np.full(12, 1 - k), "|", ms=26, color=colour)
        ax.plot(-np.sort(values), np.full(12, 1 - k - 0.28), "|", ms=8, color=FAINT)
        ax.text(0.01, 0.86 - 0.5 * k, name, transform=ax.transAxes)
    ax.set(xlabel="log λ; below each spectrum its mirror image", yticks=[], ylim=(-0.7, 1.6))


def _wave(ax: Any, s: Systems) -> None:
    p, t = paths.balanced(s), 6.0
    psi, _ = paths.wave(np.sqrt(p) * np.exp(0.25j * paths.multiplier(0.0)[0] * paths.constraint()), t)
    for label, density, colour, dashes in (
        ("p at the start, ∫pΘ = 0", p, FAINT, "-"),
        ("(11.5), t = 6", paths.diffused(p, t), INK, "--"),
        ("|Ψ|² by (11.9), t = 6", np.abs(psi) ** 2, WARM, "-."),
    ):
        ax.plot(flow.Q, density, color=colour, ls=dashes, label=label)
    ax.set(xlabel="Q", ylabel="p")


FIGURES = {
    "5.8": Figure("Errors of log Z a neuron, two tanh neurons. Dotted: the limits of (5.8).", _window),
    "5.9": Figure("Error of (5.9), two tanh neurons, about ⟨x⟩ and about x̄.", _gaussian),
    "5.13": Figure("What (5.13) drops, and what it keeps of the weights.", _mean_term),
    "6.6": Figure("What the split costs an eigenvalue, by where it is made. Dotted: ½ log 2.", _split),
    "8.1": Figure("Probability lost by (8.1), one parameter of a two-neuron network.", _lost),
    "8.12": Figure("The step that (8.12) puts in place of the sum.", _step),
    "9.3": Figure("Fig. 1 again. Dots: the stationary points; crosses: where (9.4) puts them.", _figure_1),
    "9.4": Figure("(9.4) and the stationary point that it stands for.", _roots),
    "9.10": Figure("Spectra of log Ĝ of two layers and of four.", _spectra),
    "11.9": Figure("One ensemble, moved by diffusion and by Schrödinger's equation.", _wave),
}
"""By the number of the equation that it is shown with."""
