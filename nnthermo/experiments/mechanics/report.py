"""One HTML file with the films, the figures and what they say of the mechanics of trainable variables."""

from pathlib import Path
from typing import Any

from nnthermo.experiments.mechanics.animations import FILMS
from nnthermo.experiments.page import PAPER
from nnthermo.experiments.study_page import Frame, facts, known_answers, write_page

FIGURES = {
    1: (
        "Networks in a plane",
        "Trainable variables diffuse, (11.5), and drift along the free energy (2008.01540).",
        "Networks (dots) trained by SGD in two directions only, and the contours that hold 90, 50 and 10 % of the "
        "predicted density. Drift and diffusion are those of the loss and of its gradients at every point.",
        ("density", "dropped diffusion"),
    ),
    2: (
        "All weights",
        "The same in as many dimensions as there are weights.",
        "Left: variances along eigenvectors of the Hessian, measured (dots) and predicted (lines). Right: densities in "
        "two directions at the start and at the end, with the predicted Gaussians.",
        ("variances", "one temperature"),
    ),
    3: (
        "The balance of entropy",
        "Stochastic entropy production against the destruction of entropy by learning.",
        "Entropy of all weights since the start, what noise has produced and what learning has destroyed, each "
        "measured by itself; the dashed line is the sum of the two. Seeds other than the first are pale.",
        ("balance", "signs", "dropped learning"),
    ),
    4: (
        "Planck's constant, squared",
        "A real ħ, from the stationarity of entropy production or from an exchange of neurons.",
        "Of the acceleration of the density along the sharpest direction, how much is a quantum potential. Left: "
        "against the batch size. Right: over its predicted value.",
        ("sign of ħ²", "size of ħ²", "momentum"),
    ),
    5: (
        "Two systems with known answers",
        "The Schrödinger equation as the dynamics that the papers arrive at.",
        "Left: |Ψ|² of a packet that tunnels, and forty of Nelson's particles. Right: two vortices in a harmonic well.",
        (),
    ),
}
"""Title, what the papers have of it, how it is drawn, and the statements that rest on it, by number."""

CAVEATS = (
    "Free energy here is the loss: F(q) of the papers at zero temperature of the neurons, whose states follow the "
    "weights at once. Gradient descent goes down in it; the papers write dq = +γ∂F dt.",
    "The papers' D in (11.5) is twice this one. Time is counted in steps.",
    "The Fokker-Planck equation is the limit of small steps: it sees mean and covariance of a step, not its shape, and "
    "its first correction in η is included in the plane.",
    "The linear prediction for all weights holds near the minimum. Flat directions have not come to rest by the end.",
    "Entropies of all weights are those of Gaussians with the measured covariance.",
    "ħ² is measured along one direction from the width of the ensemble, by Ermakov's equation: exact for densities "
    "that are Gaussian in a steady harmonic force, and a misfit above 1.5 says that they are not.",
    "Of arXiv:2111.00903 the abstract was read, and of arXiv:2008.01540 a published list of terms.",
    "What the Schrödinger equation would need of a network, a number of neurons, step or batch size that adjusts "
    "itself so that entropy production is stationary, is not part of stochastic gradient descent and was not trained.",
)

_WORDS = {
    "pool": "pixels averaged along each side",
    "hidden": "hidden neurons",
    "decay": "weight decay α",
    "planck_learning_rate": "learning rate, ħ²",
    "planck_batch_sizes": "batch sizes, ħ²",
    "planck_spread": "width of the start over that at rest, ħ²",
    "planck_times": "looks, ħ²",
    "planck_relaxations": "relaxation times, ħ²",
}


FRAME = Frame(
    FIGURES,
    short="but few networks and few steps",
    kept="the films in `films`, what was recorded of each ensemble in `runs` (npz)",
    caveats=CAVEATS,
    words=_WORDS,
    template="mechanics/report.html.jinja",
)


def write_report(folder: Path, results: dict[str, Any], figures: list[Path], films: dict[str, Path]) -> Path:
    """Write `report.html`; see `nnthermo.experiments.study_page.write_page`. `films` are GIF files by name."""
    shown = [
        {"title": title, "text": text, "image": f"films/{films[name].name}"}
        for name, (title, text) in FILMS.items()
        if name in films
    ]
    network = f"{'-'.join(map(str, results['sizes']))}, tanh, {results['parameters']} weights and biases"
    return write_page(
        FRAME,
        folder,
        results,
        figures,
        films=shown,
        summary=_summary(results),
        facts=facts(FRAME, results, ("network", network)),
        known=known_answers(results, "", "of the two systems with known answers"),
    )


def _summary(results: dict[str, Any]) -> str:
    settings = results["settings"]
    seeds = len(settings["seeds"])
    return (
        f"Section 11 of {PAPER} and the first half of "
        "its sequel (arXiv:2111.00903) describe the weights of a learning network by a Fokker-Planck equation, and by "
        "a Schrödinger equation where entropy production is stationary. Here "
        f"{settings['replicas']:,} networks of {results['parameters']} weights were trained side by side, "
        f"{'from one minimum' if seeds == 1 else f'from the minima of {seeds} seeds'}, on {settings['samples']:,} "
        "images, and compared with predictions in which no constant is fitted."
    )
