"""Films as GIF: networks and their Fokker-Planck density, a packet that tunnels, vortices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnthermo._checks import extra
from nnthermo.experiments.drawing import canvas, style
from nnthermo.experiments.folder import whole
from nnthermo.experiments.mechanics.demonstrations import DoubleWell, Vortices
from nnthermo.experiments.mechanics.figures import plane_panel, vortex_panel
from nnthermo.experiments.mechanics.statements import Runs
from nnthermo.plotting import COOL, DARK, FAINT, WARM

DOTS_AN_INCH, MILLISECONDS = 72, 90

FILMS = {
    "plane": (
        "Weights that learn",
        "Networks (dots) in the plane of the two sharpest directions of their loss (thin lines), and the contours that "
        "hold 90, 50 and 10 % of the density that the Fokker-Planck equation predicts. Nothing is fitted.",
    ),
    "double-well": (
        "A packet that tunnels",
        "|Ψ|² of the Schrödinger equation (line), the potential (thin line), and the histogram of Nelson's particles, "
        "which diffuse with a drift that feels |Ψ|².",
    ),
    "vortices": (
        "Vortices",
        "Phase as colour, density as brightness. Each vortex is one quantum of circulation: in a free energy that is "
        "defined up to whole multiples of μ, one neuron.",
    ),
}
"""Title and what is to be seen, by name of the file."""


def films(runs: Runs, well: DoubleWell, pair: Vortices, folder: Path) -> dict[str, Path]:
    """Write one GIF for each of `FILMS`.

    Args:
        runs: from `load_runs`; the first seed's plane is shown.
        well: the demonstration of the double well.
        pair: that of the vortices.
        folder: where they go, made if need be.

    Returns:
        Paths by name.

    Raises:
        ImportError: Matplotlib is missing, with the command that installs it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plane = runs["plane"][0]
    height = 1.15 * float(well.density.max())
    bins = np.linspace(-4.5, 4.5, 61)

    def tunnelling(ax: Any, frame: int) -> None:
        ax.hist(well.particles[frame], bins=bins, density=True, color=COOL, alpha=0.5)
        ax.plot(well.places, well.density[frame], color=DARK, linewidth=1.6)
        ax.plot(well.places, well.potential * height / 2, color=FAINT, linewidth=0.9)
        ax.set(xlim=(-4.5, 4.5), ylim=(0, height), xlabel="q", ylabel="density")
        ax.set_title(f"t = {well.times[frame]:.1f}", fontsize="medium", color=WARM)

    def learning(ax: Any, frame: int) -> None:
        plane_panel(ax, plane, frame, dots=2500)
        ax.set(xlabel="sharpest direction / width", ylabel="second direction / width")

    drawn: dict[str, tuple[Callable[[Any, int], None], range, tuple[float, float]]] = {
        "plane": (learning, range(len(plane["steps"])), (4.6, 4.6)),
        "double-well": (tunnelling, range(len(well.times)), (5.4, 3.6)),
        "vortices": (lambda ax, frame: vortex_panel(ax, pair, frame), range(len(pair.times)), (3.4, 3.4)),
    }
    with style():
        return {name: _film(folder / f"{name}.gif", *parts) for name, parts in drawn.items()}


def _film(file: Path, panel: Callable[[Any, int], None], frames: range, size: tuple[float, float]) -> Path:
    """Draw every frame and put them together, the last one held for a while."""
    image = extra("PIL.Image", "plot")
    pictures = []
    for frame in frames:
        figure = canvas(*size)
        figure.set_dpi(DOTS_AN_INCH)
        panel(figure.subplots(), frame)
        figure.canvas.draw()
        rgb = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        pictures.append(image.fromarray(rgb.copy()).quantize(colors=128, method=image.Quantize.MEDIANCUT))
    durations = [MILLISECONDS] * (len(pictures) - 1) + [1500]
    with whole(file) as partial:
        pictures[0].save(partial, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return file
