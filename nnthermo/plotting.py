"""Pictures of learning: losses, spectra, complexities, and the two-level model, from plain arrays.

Each function draws on `ax`, or on a new pyplot figure if none is given, and returns the axes. Histories have shape
(epochs,) or (seeds, epochs): the first seed is drawn in front, the others thin behind it. Losses are given as they are
and drawn as natural logarithms; entropies and complexities are in nats.

Needs Matplotlib, `pip install 'nnthermo[plot]'`, which is imported at the first call.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, extra
from nnthermo.architecture import two_level_laplacian, two_level_phase_boundaries, two_level_stationary_points
from nnthermo.spectrum import LogSpectrum

DARK, WARM, COOL, FAINT, INK = "#0b4f8a", "#d55e00", "#3a9b78", "#8c8c8c", "#222222"
"""Colours that stay apart for colour-blind eyes and in grey; line styles repeat the distinction."""

STYLES = ({"color": DARK, "linestyle": "-"}, {"color": WARM, "linestyle": (0, (5, 1.5))})

Values = Any
"""Anything NumPy takes for a real array."""


def two_level(
    betas: Sequence[float] = (0.25, 0.5, 0.73, 1.0),
    *,
    gamma: float = 1 / 3,
    size: int = 854,
    log_eigenvalue: Values | None = None,
    ax: Any = None,
) -> Any:
    """-ΔF(log λ) of the two-level network (9.3), Fig. 1.

    Filled dots mark the stationary points: log λ = 0 and where `beta_from_gap(log λ, gamma=γ)` = β, for γ = 1/3
    log λ = 2 log((1-β)/β) if β < 1. Crosses mark where (9.4) puts the second one; on the curves it is not stationary
    unless γ → 0 or β = ½.

    Args:
        betas: inverse temperatures, one curve each.
        gamma: fraction γ of small eigenvalues.
        size: number of neurons N.
        log_eigenvalue: increasing log λ to draw at, shape (points,); -8 to 5 if None.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    grid = np.linspace(-8, 5, 2601) if log_eigenvalue is None else np.asarray(log_eigenvalue, float)
    check("log_eigenvalue", "be one vector of at least two", grid.ndim == 1 and len(grid) > 1, f"shape {grid.shape}")
    colours = (DARK, COOL, WARM, INK)
    dashes: tuple[Any, ...] = ("-", (0, (7, 2)), (0, (4, 1.5)), (0, (1.5, 1.2)))
    for k, beta in enumerate(betas):
        curve = _two_level(grid, beta, gamma, size)
        colour = colours[k % len(colours)]
        ax.plot(grid, curve, color=colour, linestyle=dashes[k % len(dashes)], linewidth=1.8, label=f"β = {beta:.2f}")
        ax.annotate(
            f"β = {beta:.2f}", (grid[0], curve[0]), (2, 4), textcoords="offset points", color=colour, fontweight="bold"
        )
        exact = stationary_points(grid, beta, gamma)
        printed = np.array([3 * np.log(-0.5 + np.sqrt(0.25 + 1 / beta))])
        for points, marker, face, label in (
            (exact, "o", colour, "stationary points of (9.3)"),
            (printed, "X", "white", "second one by (9.4), as printed"),
        ):
            ax.plot(
                points,
                _two_level(points, beta, gamma, size),
                linestyle="none",
                marker=marker,
                markersize=7 if marker == "X" else 7.5,
                markerfacecolor=face,
                markeredgecolor=colour,
                markeredgewidth=1.3,
                zorder=6 if marker == "X" else 5,
                label=f"{label}, β = {beta:.2f}",
            )
    handles = [
        ax.plot([], [], linestyle="none", marker=m, markersize=7, markerfacecolor=f, markeredgecolor=INK, label=text)[0]
        for m, f, text in (("o", INK, "where (9.3) is stationary"), ("X", "white", "where (9.4) says so besides 0"))
    ]
    _dress(ax, "Stationary points of −ΔF, exact and as printed", "log λ", "−ΔF", handles=handles)
    ax.set_xlim(grid[0], grid[-1])
    ax.set_ylim(bottom=0)
    return ax


def stationary_points(log_eigenvalue: Values, beta: float, gamma: float) -> np.ndarray:
    """Where (9.3) is stationary between the ends of increasing log λ, by `two_level_stationary_points`: 0 first."""
    grid = np.asarray(log_eigenvalue, float)
    falling, zero, rising = np.asarray(two_level_stationary_points(beta, gamma).log_eigenvalues, float)
    return np.array([point for point in (zero, falling, rising) if grid[0] <= point <= grid[-1]])


PHASES = ("no stable minimum", "one", "two")


def two_level_phases(
    *,
    gamma: Values | None = None,
    beta: Values | None = None,
    ax: Any = None,
) -> Any:
    """The phases of the two-level network (9.3) in the plane of γ and β: how many stable minima -ΔF has in log λ.

    Shaded by `two_level_stationary_points`, one cell a pair (γ, β), the darker the more minima; lines are those of
    `two_level_phase_boundaries`. Plateaus at log λ → ±∞ are not minima, and below their lines -ΔF is smaller there than
    at log λ = 0.

    Args:
        gamma: increasing fractions γ between 0 and 1, shape (columns,); 160 of them if None.
        beta: increasing inverse temperatures β, shape (rows,); 160 from 0.05 to 20, logarithmically spaced, if None.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    columns = np.linspace(0, 1, 162)[1:-1] if gamma is None else np.asarray(gamma, float)
    rows = np.geomspace(0.05, 20, 160) if beta is None else np.asarray(beta, float)
    for name, values, top in (("gamma", columns, 1), ("beta", rows, np.inf)):
        right = values.ndim == 1 and len(values) > 1 and values[0] > 0 and values[-1] < top
        check(name, f"be increasing numbers between 0 and {top}", right and np.all(np.diff(values) > 0), values)
    over_columns = jax.vmap(two_level_stationary_points, (None, 0))
    points = jax.vmap(over_columns, (0, None))(jnp.asarray(rows), jnp.asarray(columns))
    minima = np.sum(np.asarray(points.curvatures) > 0, axis=-1)
    ax.pcolormesh(columns, rows, minima, cmap="Blues", vmin=0, vmax=4, shading="nearest", rasterized=True)
    lines = jax.vmap(two_level_phase_boundaries)(jnp.asarray(columns))
    drawn = (
        ("origin", "log λ = 0 turns stable", INK, "-"),
        ("fold", "fold: other stationary points vanish", WARM, "-"),
        ("lower_plateau", "−ΔF(0) = −ΔF(−∞)", COOL, (0, (5, 1.5))),
        ("upper_plateau", "−ΔF(0) = −ΔF(∞)", DARK, (0, (1.5, 1.2))),
    )
    for name, label, colour, dash in drawn:
        curve = np.asarray(getattr(lines, name), float)
        ax.plot(columns, np.where(np.isfinite(curve), curve, np.nan), color=colour, linestyle=dash, label=label)
    shades = [
        ax.plot([], [], linestyle="none", marker="s", markersize=9, color=ax.collections[0].cmap(count / 4),
                markeredgecolor=FAINT, label=f"{PHASES[count]}, −ΔF(log λ)")[0]
        for count in np.unique(minima)
    ]  # fmt: skip
    ax.set_yscale("log")
    _dress(ax, "Stable minima of −ΔF in the two-level network", "fraction γ", "inverse temperature β", handles=[
        *ax.lines[: len(drawn)], *shades
    ])  # fmt: skip
    ax.set_xlim(columns[0], columns[-1])
    ax.set_ylim(rows[0], rows[-1])
    return ax


def losses(
    epochs: Values,
    bulk: Values,
    boundary: Values,
    *,
    medians: tuple[Values, Values] | None = None,
    ax: Any = None,
) -> Any:
    """Log U and log U_∂ against the epoch, Fig. 2.

    Args:
        epochs: shape (epochs,).
        bulk: average bulk loss U, shape (epochs,) or (seeds, epochs).
        boundary: average boundary loss U_∂, same shape.
        medians: bulk and boundary loss of the typical sample, same shapes; the first seed is drawn dotted.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    epochs = np.asarray(epochs, float)
    for k, (name, values, symbol) in enumerate((("bulk", bulk, "$U$"), ("boundary", boundary, "$U_\\partial$"))):
        _seeds(ax, epochs, np.log(_rows(name, values, len(epochs))), STYLES[k], f"{name} loss {symbol}")
        if medians is not None:
            row = np.log(_rows(f"medians[{k}]", medians[k], len(epochs)))[0]
            style = {"color": STYLES[k]["color"], "linestyle": (0, (1, 1.4)), "linewidth": 1.3}
            ax.plot(epochs, row, **style, label=f"{name}, median sample")
    _dress(ax, "Bulk and boundary loss during training", "epoch", "log loss")
    return ax


def bulk_against_boundary(
    bulk: Values,
    boundary: Values,
    *,
    epochs: Values | None = None,
    marks: Sequence[int] = (),
    plateau: tuple[float, float] | None = None,
    ax: Any = None,
) -> Any:
    """Log U against log U_∂, Fig. 3; learning runs from the upper right to the lower left.

    Args:
        bulk: average bulk loss U, shape (epochs,) or (seeds, epochs).
        boundary: average boundary loss U_∂, same shape.
        epochs: shape (epochs,); needed for `marks` and `plateau`.
        marks: epochs to point out on the first seed.
        plateau: first and last epoch of a stretch of the first seed to draw thick, e.g. where the boundary loss stands
            still.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    x, y = np.log(_rows("boundary", boundary)), np.log(_rows("bulk", bulk))
    check("bulk", "have the shape of boundary", x.shape == y.shape, y.shape)
    for k in range(len(x) - 1, 0, -1):
        ax.plot(x[k], y[k], color=DARK, alpha=0.35, linewidth=0.9, zorder=2)
    ax.plot(x[0], y[0], color=DARK, linewidth=1.5, zorder=3, label="first seed")
    both = np.concatenate([x[np.isfinite(x)], y[np.isfinite(y)]])
    if both.size:
        ends = np.array([both.min(), both.max()])
        ax.plot(ends, ends, color=FAINT, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1, label="$U = U_\\partial$")
    when = None if epochs is None else np.asarray(epochs, float)
    check("epochs", "be given with marks or plateau", when is not None or not (marks or plateau), epochs)
    if when is not None:
        check("epochs", f"have shape ({x.shape[-1]},)", when.shape == x.shape[-1:], when.shape)
        if plateau is not None:
            still = (when >= plateau[0]) & (when <= plateau[1])
            label = f"epochs {plateau[0]:,.0f} to {plateau[1]:,.0f}"
            ax.plot(x[0, still], y[0, still], color=WARM, linewidth=3.5, zorder=4, solid_capstyle="round", label=label)
        for position, mark in enumerate(sorted(marks, reverse=True)):  # neighbours get their text on opposite sides
            k = int(np.argmin(np.abs(when - mark)))
            shift, side, end = ((7, -7), "left", "top") if position % 2 == 0 else ((-7, 7), "right", "bottom")
            ax.plot(x[0, k], y[0, k], "o", color=DARK, markersize=5, zorder=5)
            ax.annotate(
                f"{when[k]:,.0f}", (x[0, k], y[0, k]), shift, textcoords="offset points", ha=side, va=end,
                fontsize="small", color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            )  # fmt: skip
    ax.margins(0.06, 0.1)
    title = "Bulk loss against boundary loss" + (", with epochs" if len(marks) else "")
    _dress(ax, title, "log boundary loss, log $U_\\partial$", "log bulk loss, log $U$", columns=3)
    return ax


def eigenvalue_histogram(
    log_eigenvalues: Values,
    *,
    width: float = 0.25,
    limit: float | None = None,
    contrast: float = 3.0,
    paper: float | None = None,
    title: str = "Dynamical eigenvalues",
    ax: Any = None,
) -> Any:
    """How many dynamical eigenvalues have which log λ, Figs. 4-5.

    Bars are the first seed, thin outlines the others, the dashed outline the first seed with log λ → -log λ: where it
    leaves the bars the spectrum is not symmetric. Ticks below the axis are the eigenvalues one by one. An arrow marks
    the gap (`LogSpectrum.gap`) of the first seed if it is wide enough to be one.

    Args:
        log_eigenvalues: shape (n,) or (seeds, n).
        width: of the bins, one of which is centred on 0.
        limit: the axis shows |log λ| up to it; all eigenvalues if None.
        contrast: how many median spacings a gap must exceed to get an arrow.
        paper: log λ at which the paper marks its gap, drawn as a dotted line.
        title: of the axes.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    check("width", "be positive", width > 0, width)
    spectra = [row[np.isfinite(row)] for row in _rows("log_eigenvalues", log_eigenvalues)]
    check("log_eigenvalues", "hold a finite eigenvalue in the first spectrum", spectra[0].size > 0, spectra[0])
    reach = max([np.abs(row).max() for row in spectra if row.size] + [limit or 0.0])
    side = int(np.ceil(reach / width - 0.5)) if reach > width / 2 else 0
    edges = (np.arange(-side, side + 2) - 0.5) * width
    first = spectra[0]
    counts = np.histogram(first, edges)[0]
    ax.bar(
        edges[:-1], counts, width, align="edge", color=DARK, alpha=0.8, edgecolor="white", linewidth=0.6, label="counts"
    )
    for row in spectra[1:]:
        ax.stairs(np.histogram(row, edges)[0], edges, color=DARK, alpha=0.55, linewidth=0.8, label="other seeds")
    ax.stairs(counts[::-1], edges, color=INK, linestyle=(0, (3, 1.5)), linewidth=1.1, label="mirrored")
    top = max(np.histogram(row, edges)[0].max() for row in spectra if row.size) * 1.15
    ax.plot(
        first, np.full_like(first, -0.05 * top), "|", color=INK, markersize=6, markeredgewidth=0.7, label="eigenvalues"
    )
    ax.set_ylim(-0.1 * top, top)
    shown = limit or edges[-1]
    ax.set_xlim(-shown, shown)
    if paper is not None:
        ax.axvline(paper, ymax=0.72, color=WARM, linestyle=(0, (1, 1.5)), linewidth=1.2, label="gap in the paper")
    if first.size > 1:
        gap = LogSpectrum(jnp.asarray(np.sort(first)[::-1])).gap()
        if float(gap.contrast) > contrast and bool(jnp.isfinite(gap.centre)):
            centre = float(gap.centre)
            ax.annotate(
                f"gap {_minus(f'{centre:.1f}')}", (centre, 0), (centre, 0.82 * top), ha="center", va="bottom", zorder=6,
                color=WARM, fontweight="bold", arrowprops={"arrowstyle": "-|>", "color": WARM, "linewidth": 1.6},
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            )  # fmt: skip
    ax.set_title(title, loc="left", fontsize="medium", color=INK)
    _frame(ax, "log λ", "eigenvalues")
    ax.set_yticks([t for t in ax.get_yticks() if 0 <= t <= top])
    return ax


def complexity_history(
    epochs: Values, complexities: Mapping[int, Values], *, total: tuple[int, float] | None = None, ax: Any = None
) -> Any:
    """Complexities C_n (10.5) against the epoch, Fig. 6.

    Args:
        epochs: shape (epochs,).
        complexities: C_n by n, each of shape (epochs,) or (seeds, epochs), nats.
        total: (N, C_N), a grey line that no network without cycles can leave.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    epochs = np.asarray(epochs, float)
    for k, (n, values) in enumerate(complexities.items()):
        _seeds(ax, epochs, _rows(f"complexities[{n}]", values, len(epochs)), STYLES[k % 2], f"$C_{{{n}}}$")
    if total is not None:
        ax.axhline(
            total[1], color=FAINT, linewidth=1.0, zorder=1, label=f"$C_{{{total[0]}}}$ = {total[1]:.1f}, constant"
        )
    _dress(ax, "Complexity during training", "epoch", "complexity / nats", columns=3)
    return ax


def complexity_against_loss(
    bulk: Values,
    complexities: Mapping[int, Values],
    *,
    fitted: Values | None = None,
    paper: Mapping[int, tuple[float, float]] | None = None,
    ax: Any = None,
) -> Any:
    """Complexities C_n (10.5) against log U with least-squares lines, Fig. 7.

    A line is fitted to each seed; its mean over seeds is drawn and written in the legend.

    Args:
        bulk: average bulk loss U, shape (epochs,) or (seeds, epochs).
        complexities: C_n by n, each of that shape, nats.
        fitted: which records the lines are fitted to, booleans of shape (epochs,); all if None. The others are faint.
        paper: (slope, intercept) the paper quotes, by n; drawn thin over the same log U.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    x = np.log(_rows("bulk", bulk))
    keep = np.ones(x.shape[-1], bool) if fitted is None else np.asarray(fitted, bool)
    check("fitted", f"have shape ({x.shape[-1]},)", keep.shape == x.shape[-1:], keep.shape)
    for k, (n, values) in enumerate(complexities.items()):
        y = _rows(f"complexities[{n}]", values, x.shape[-1])
        check(f"complexities[{n}]", f"have {len(x)} seeds as bulk has", len(y) == len(x), len(y))
        colour = STYLES[k % 2]["color"]
        dots = {"linestyle": "none", "marker": "os"[k % 2], "color": colour, "markeredgewidth": 0}
        for seed in range(len(x) - 1, -1, -1):
            size, alpha = (4.5, 0.9) if seed == 0 else (2.5, 0.35)
            ax.plot(x[seed, keep], y[seed, keep], **dots, markersize=size, alpha=alpha, zorder=3, label="_data")
            ax.plot(x[seed, ~keep], y[seed, ~keep], **dots, markersize=2.5, alpha=0.25, label="_transient")
        slope, intercept = _mean_line(x, y, keep)
        span = x[:, keep][np.isfinite(x[:, keep])]
        if span.size and np.isfinite(slope):
            ends = np.array([span.min(), span.max()])
            ax.plot(
                ends, intercept + slope * ends, **STYLES[k % 2], linewidth=1.8, zorder=4,
                label=f"$C_{{{n}}}$ = {_line_text(f'{intercept:.1f}', slope)}",
            )  # fmt: skip
            if paper and n in paper:
                ax.plot(
                    ends, paper[n][1] + paper[n][0] * ends, color=colour, linestyle=(0, (1, 1.5)), linewidth=1.3,
                    label=f"paper: {_line_text(f'{paper[n][1]:g}', paper[n][0])}",
                )  # fmt: skip
    _dress(ax, "Complexity against the bulk loss", "log bulk loss, log $U$", "complexity / nats", columns=2)
    return ax


def approximation_errors(
    betas: Values, errors: Mapping[str, Values], *, title: str = "Error of log Z a neuron", ax: Any = None
) -> Any:
    """What each step from the exact ensemble to a Gaussian costs, against β: `nt.approximation_report(...).errors()`.

    Args:
        betas: (betas,), positive; drawn on a logarithmic axis.
        errors: nats a neuron, or rank correlations, by name, each of shape (betas,).
        title: of the picture.
        ax: Matplotlib axes.
    """
    ax = _axes(ax)
    x = np.asarray(betas, float)
    check("betas", "be one vector of positive numbers", x.ndim == 1 and bool((x > 0).all()), betas)
    names = {
        "window": "window for box, (5.8)", "gaussian": "(5.9) for the window",
        "gaussian_without_mean": "(5.14) for the window", "total": "(5.9) for the box",
        "total_without_mean": "(5.14) for the box",
    }  # fmt: skip
    ax.axhline(0.0, color=FAINT, linewidth=0.8)
    lines = itertools.product(("-", (0, (5, 1.5)), (0, (1, 1.5))), (DARK, WARM, COOL))
    for (name, values), (line, colour) in zip(errors.items(), lines, strict=False):
        y = np.asarray(values, float)
        check(f"errors[{name!r}]", f"have shape {x.shape}", y.shape == x.shape, f"shape {y.shape}")
        ax.plot(
            x, y, color=colour, linestyle=line, linewidth=1.7, marker="o", markersize=3, label=names.get(name, name)
        )
    ax.set_xscale("log")
    _dress(ax, title, "β, 1/loss", "nats a neuron" if title.startswith("Error") else "", columns=2)
    return ax


def _line_text(intercept: str, slope: float) -> str:
    return f"{_minus(intercept)} {'−' if slope < 0 else '+'} {abs(slope):.2f} log $U$"


def _mean_line(x: np.ndarray, y: np.ndarray, keep: np.ndarray) -> tuple[float, float]:
    """Slope and intercept by least squares, averaged over the rows that have two different x; NaN if none has."""
    found = []
    for a, b in zip(x[:, keep], y[:, keep], strict=True):
        good = np.isfinite(a) & np.isfinite(b)
        if len(np.unique(a[good])) > 1:
            found.append(np.polyfit(a[good], b[good], 1))
    slope, intercept = np.mean(found, axis=0) if found else (np.nan, np.nan)
    return float(slope), float(intercept)


def _two_level(log_eigenvalue: np.ndarray, beta: float, gamma: float, size: int) -> np.ndarray:
    return np.asarray(two_level_laplacian(jnp.asarray(log_eigenvalue), beta, gamma=gamma, size=size), float)


def _axes(ax: Any) -> Any:
    return extra("matplotlib.pyplot", "plot").subplots(layout="constrained")[1] if ax is None else ax


def _rows(name: str, values: Values, length: int | None = None) -> np.ndarray:
    """Values as (seeds, length), float64."""
    array = np.asarray(values, float)
    check(
        name, "have shape (epochs,) or (seeds, epochs)", array.ndim in (1, 2) and array.size > 0, f"shape {array.shape}"
    )
    rows = np.atleast_2d(array)
    check(name, f"have {length} epochs", length is None or rows.shape[-1] == length, rows.shape[-1])
    return rows


def _seeds(ax: Any, x: np.ndarray, rows: np.ndarray, style: dict[str, Any], label: str) -> None:
    for row in rows[:0:-1]:
        ax.plot(x, row, **style, alpha=0.35, linewidth=0.9, zorder=2)
    ax.plot(x, rows[0], **style, linewidth=1.7, zorder=3, label=label)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _frame(ax: Any, xlabel: str, ylabel: str) -> None:
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#e4e4e4", linewidth=0.6)
    ax.set_axisbelow(True)


def _dress(
    ax: Any, title: str, xlabel: str, ylabel: str, *, columns: int = 2, handles: list[Any] | None = None
) -> None:
    """Title, then the legend in its own rows between title and data, then the axes."""
    _frame(ax, xlabel, ylabel)
    if handles is None:
        handles = ax.get_legend_handles_labels()[0]
    if handles:
        ax.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False,
            fontsize="small", borderaxespad=0.2, borderpad=0.1, handlelength=2.4, columnspacing=1.2, labelspacing=0.3,
        )  # fmt: skip
    rows = -(-len(handles) // columns)
    ax.set_title(title, loc="left", fontsize="large", color=INK, pad=7 + 15 * rows)
