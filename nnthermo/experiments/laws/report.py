"""One HTML file that says what was measured along the runs and what that says of the laws of learning."""

from pathlib import Path
from typing import Any

from nnthermo.experiments.laws.statements import CLAIMS, NAMES
from nnthermo.experiments.page import (
    DASH,
    number,
    tally_sentence,
)
from nnthermo.experiments.study_page import facts, write_page


def _keys(start: str) -> tuple[str, ...]:
    return tuple(claim.key for claim in CLAIMS if claim.key.startswith(start))


FIGURES = {
    1: (
        "Entropy",
        "Nothing: (7.6) is a postulate there.",
        "S = βU + log Z less that of the untrained network, mean and standard deviation over seeds, in each ensemble "
        "at each choice of β(t). Scales differ.",
        _keys("second law"),
    ),
    2: (
        "The balance of the first law",
        "dU = T dS without a term for work (7.11).",
        "ΔU, heat ∫ T dS and work ∫ ⟨∂H⟩, cumulated from the start. Heat and work add up to ΔU.",
        _keys("first law with work"),
    ),
    3: (
        "What the printed law leaves over",
        "Nothing is left over.",
        "|dU - T dS| over |dU| on each step between records, median over seeds.",
        (*_keys("first law as printed"), *_keys("first law from"), "constant free energy"),
    ),
    4: (
        "Temperatures",
        "β near 1.4 from the gap; T falls as learning goes on.",
        "The three choices of β(t).",
        (),
    ),
    5: (
        "Is the average loss stationary?",
        "It is, in equilibrium (6.2).",
        "The gradient of U in weights and biases over U, as a multiple of that of the untrained network.",
        ("stationary loss", "factors"),
    ),
}
"""Title, what the paper has of it, how it is drawn, and the statements that rest on it, by number."""

CAVEATS = (
    "The boundary is free, as in (4.10): inputs of a sample are data of the ensemble, and all 854 neurons fluctuate. "
    "784 of them are inputs, whose share of log Z is the same at every record; the laws are about differences.",
    "The paper does not say at which β its laws hold along a run. The three choices here are a constant, the β that "
    "(9.4) reads off the gap, and the β at which N_eff/2β is the average bulk loss; they differ by orders of "
    "magnitude.",
    "At the β from the loss T falls by orders of magnitude, and S with it as (N/2) log T for any weights. That S falls "
    "then says that the loss falls; the constant β is the test of what the weights do.",
    "S is (7.1), the entropy against the measure of the ensemble. With the window of (5.8) that is not -⟨log p⟩, "
    "which has ½⟨x·x⟩ besides; cards give both.",
    "Exact ensembles are sampled with the same random numbers at all records; their standard errors are over "
    "independent blocks, and a change counts beyond 4 of them. The Gaussian forms have no such error.",
    "Between records the first law is integrated along straight lines in β and in the weights, not along the path of "
    "training, which it need not follow: all terms but heat and work depend on the ends alone.",
    "Averages are over a few samples, one of each of the first classes.",
)

_WORDS = {
    "dataset": "data set",
    "scale": "initial weights, times Glorot",
    "pixel_high": "value of a white pixel",
    "target_off": "target of silent outputs",
    "target_on": "target of the active output",
    "beta": "constant β",
    "records": "records, logarithmic",
    "last_records": "records near equilibrium",
    "measured_samples": "samples of the ensembles",
    "relaxed_samples": "samples that the bulk loss is averaged over",
    "blocks": "blocks of random numbers",
    "window_samples": "states a block, window",
    "box_samples": "states a block, box",
    "path_samples": "states, first law in the window",
}


def write_report(folder: Path, results: dict[str, Any], figures: list[Path]) -> Path:
    """Write `report.html`; see `nnthermo.experiments.study_page.write_page`."""
    networks = ", ".join(results["settings"]["networks"])
    return write_page(
        "laws/report.html.jinja",
        folder,
        results,
        figures,
        figures=FIGURES,
        summary=_summary(results),
        facts=facts(results, ("networks", networks), words=_WORDS, left_out=("networks",)),
        runs_shown=[_run(run) for run in results["runs"]],
        changes_shown=[_change(run, ensemble) for run in results["runs"] for ensemble in run["entropy_change"]],
        caveats=CAVEATS,
    )


def _summary(results: dict[str, Any]) -> str:
    settings = results["settings"]
    seeds = len(settings["seeds"])
    return (
        "Sections 6 and 7 of “Towards a theory of machine learning” (V. Vanchurin, arXiv:2004.09280) derive an "
        "equilibrium of learning and postulate two laws, which were not measured there. Here "
        f"{' and '.join(settings['networks'])} networks were trained "
        f"{'from one seed' if seeds == 1 else f'from {seeds} seeds each'} for {settings['epochs']:,} epochs on "
        f"{results['samples']:,} images, and log Z, U and S were computed along the runs. "
        + tally_sentence(results["statements"])
    )


def _run(run: dict[str, Any]) -> dict[str, str]:
    """A run as the table shows it."""
    shown = {
        "name": f"{run['network']}, seed {run['seed']}{'' if run['finite'] else ' (not finite)'}",
        "boundary": number(run["boundary_loss"]),
        "bulk": number(run["bulk_loss"]),
        "accuracy": DASH if run["accuracy"] is None else f"{run['accuracy']:.1%}",
        "unrelaxed": DASH if run["largest_unrelaxed"] is None else f"{run['largest_unrelaxed']:.1%}",
    }
    for choice in ("gap", "loss"):
        shown[choice] = f"{number(run['beta'][choice][0])} to {number(run['beta'][choice][-1])}"
    return shown


def _change(run: dict[str, Any], ensemble: str) -> dict[str, str]:
    """The changes of S of a run in an ensemble."""
    changes = run["entropy_change"][ensemble]
    return {"name": f"{run['network']}, seed {run['seed']}, {NAMES[ensemble]}"} | {
        choice: number(value, 4) for choice, value in changes.items()
    }
