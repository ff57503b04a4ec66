"""What the figures of every report share: a style of their own, and files that come out the same twice."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nnthermo._checks import extra
from nnthermo.plotting import INK

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#555555",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "svg.hashsalt": "nnthermo",
    "svg.fonttype": "path",
    "path.simplify": True,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The library's defaults and ours for a while, so that a user's own style does not change the figures."""
    matplotlib = extra("matplotlib", "plot")
    with matplotlib.rc_context():
        matplotlib.rcParams.update({k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"})
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Any, stem: Path) -> tuple[Path, Path]:
    """Save as PNG (150 dots an inch) and SVG, the same to the byte for the same picture."""
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    figure.savefig(png, dpi=150)
    figure.savefig(svg, metadata={"Date": None})
    return png, svg


def save_all(folder: Path, *figures: Callable[[], Any]) -> list[Path]:
    """Make figures in our style, and save them in a folder, made if need be, as PNG (150 dots an inch) and SVG.

    Returns:
        figure-1.png, figure-1.svg, figure-2.png, ...; from the same numbers the SVG are the same to the byte.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with style():
        return [file for k, figure in enumerate(figures, start=1) for file in save(figure(), folder / f"figure-{k}")]


def dress(ax: Any, title: str, x: str = "", y: str = "") -> None:
    """A title at the left, a pale grid behind, no frame at the top and at the right, and names of the axes."""
    ax.set_title(title, loc="left", fontsize="medium", color=INK)
    ax.set(**{name: text for name, text in (("xlabel", x), ("ylabel", y)) if text})
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#e4e4e4", linewidth=0.6)
    ax.set_axisbelow(True)


def legend_below(figure: Any, ax: Any, columns: int = 2) -> None:
    """One legend for all panels, of what one of them shows."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")


def canvas(width: float, height: float) -> Any:
    """An empty figure, inches."""
    figure = extra("matplotlib.figure", "plot").Figure(figsize=(width, height), layout="constrained")
    extra("matplotlib.backends.backend_agg", "plot").FigureCanvasAgg(figure)
    return figure
