"""One HTML file with the figures and what they say of space-time in learning systems."""

from pathlib import Path
from typing import Any

from nnthermo.experiments.page import PAPER, number
from nnthermo.experiments.study_page import Frame, facts, known_answers, write_page

FIGURES = {
    1: (
        "Systems with known answers",
        "Geodesics for localised states (abstract of 2111.00903), and (12.11).",
        "Left: time-like geodesics of normal ensembles, which end as σ falls to 0, and the light cone of the start. "
        "Right: light from the right that passes a rotating black hole, as a test of the same code.",
        ("Onsager tensor", "reciprocity", "dissipation", "duality"),
    ),
    2: (
        "The arrow of time",
        "Entropy destruction by learning, (7.6).",
        "Change of the entropy of the states since the first look, at the same β and the same inputs: mean and the "
        "middle 80 % of the inputs, a line for each network.",
        ("second law", "cooling"),
    ),
    3: (
        "Where training is time-like",
        "Lorentz symmetry from entropy production against entropy destruction (abstract of 2111.00903).",
        "Maps of the plane of the first two principal components of the images, in standard deviations; dots are "
        "samples. At -1 the line of a fixed input runs along the arrow of time, at +1 across it.",
        ("time",),
    ),
    4: (
        "Curvature",
        "A curved space-time of the non-trainable variables (Section 12; abstract of 2111.00903).",
        "Ricci scalar of the same maps; the colours end at the largest 5 %.",
        ("energy",),
    ),
    5: (
        "Einstein's equations",
        "(12.12).",
        "Left: how much of the Ricci tensor is not proportional to the metric, all points and times. Right: the Λ that "
        "would be best at single points of small networks, and what normal ensembles of as many neurons have.",
        ("Einstein's equations", "Λ and N"),
    ),
    6: (
        "Training against geodesics",
        "Localised states move along geodesics (abstract of 2111.00903).",
        "How fast the line of a fixed input turns away from the geodesic in its direction: median over inputs, a line "
        "for each network.",
        ("geodesics",),
    ),
}
"""Title, what the papers have of it, how it is drawn, and the statements that rest on it, by number."""

CAVEATS = (
    "The body of arXiv:2111.00903 was not read, only its abstract and the titles of its sections: that displacements "
    "of states are measured by Fisher information and that the gradient of the entropy destroyed carries the minus "
    "sign is our own design. What then follows and can fail is which lines are time-like, the curvature, Λ and "
    "geodesicity.",
    "Labels of space are inputs of the network; the states are normal around their fixed point, (5.9)-(5.14) with m = "
    "0.",
    "T = -S and T = training time are two choices of clock, and give different space-times. The report shows both.",
    "Networks follow the gradient flow of their mean loss. Between records the weights are a polynomial in training "
    "time; curvature needs its third derivative, and how far it can be trusted is among the facts.",
    "In three dimensions there is no Weyl tensor: empty space-time has constant curvature. A missing T can always be "
    "defined as what is left, so that (12.12) is tested without matter.",
    "Equations of Section 12 are used in corrected form: signs of (12.2) and (12.14), the tensor (12.9), the indices "
    "of (12.7).",
)

_WORDS = {
    "hidden": "hidden neurons, images",
    "duration": "training, learning rate times steps",
    "step": "longest step of it",
    "map_points": "points of the maps, a side",
}


FRAME = Frame(
    FIGURES,
    short="but small networks and few points",
    kept="what was measured of each network in `runs` (npz)",
    caveats=CAVEATS,
    words=_WORDS,
)


def write_report(folder: Path, results: dict[str, Any], figures: list[Path]) -> Path:
    """Write `report.html`; see `nnthermo.experiments.study_page.write_page`."""
    left_out = {
        what: [run[f"{name}_error"] for run in results["runs"] if run[f"{name}_error"] is not None]
        for name, what in (("curvature", "R along training"), ("turning", "turning along training"))
    }
    changes = [
        (f"change of {what} without every second record", f"median {number(max(errors))} at worst of the networks")
        for what, errors in left_out.items()
        if errors
    ]
    networks = sorted({run["network"] for run in results["runs"]})
    return write_page(
        FRAME,
        folder,
        results,
        figures,
        summary=_summary(results),
        facts=facts(FRAME, results, ("networks", ", ".join(networks)), *changes),
        after=[known_answers(results, "Known answers", "of systems with known answers")],
    )


def _summary(results: dict[str, Any]) -> str:
    settings = results["settings"]
    return (
        f"Section 12 of {PAPER} and the second half of "
        "its sequel (arXiv:2111.00903) describe the states of a learning network by a curved space-time with "
        "Einstein's equations. Here the Fisher metric of the states, with the sign of the arrow of time turned, is "
        f"differentiated twice at {settings['points']} inputs and {settings['looks']} times of the training of "
        f"{len(results['runs'])} networks on {settings['dataset'].replace('_', '-')}, and compared with what the "
        "papers say."
    )
