"""What the figures of every report share: a style of their own, and files that come out the same twice."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnthermo._checks import extra

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


def canvas(width: float, height: float) -> Any:
    """An empty figure, inches."""
    figure = extra("matplotlib.figure", "plot").Figure(figsize=(width, height), layout="constrained")
    extra("matplotlib.backends.backend_agg", "plot").FigureCanvasAgg(figure)
    return figure
