"""One HTML file that says what was measured along the runs and what that says of the laws of learning."""

from pathlib import Path
from typing import Any

from nnthermo.experiments.claims import keys
from nnthermo.experiments.laws.settings import TEMPERATURES
from nnthermo.experiments.laws.statements import CLAIMS, NAMES
from nnthermo.experiments.page import PAPER, number, percent
from nnthermo.experiments.study_page import Frame, Table, facts, name_of, not_finite, write_page

FIGURES = {
    1: (
        "Entropy",
        "Nothing: (7.6) is a postulate there.",
        "S = βU + log Z less that of the untrained network, mean and standard deviation over seeds, in each ensemble "
        "at each choice of β(t). Scales differ.",
        keys(CLAIMS, "second law"),
    ),
    2: (
        "The balance of the first law",
        "dU = T dS without a term for work (7.11).",
        "ΔU, heat ∫ T dS and work ∫ ⟨∂H⟩, cumulated from the start. Heat and work add up to ΔU.",
        keys(CLAIMS, "first law with work"),
    ),
    3: (
        "What the printed law leaves over",
        "Nothing is left over.",
        "|dU - T dS| over |dU| on each step between records, median over seeds.",
        (*keys(CLAIMS, "first law as printed"), *keys(CLAIMS, "first law from"), "constant free energy"),
    ),
    4: ("Temperatures", "β near 1.4 from the gap; T falls as learning goes on.", "The three choices of β(t).", ()),
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
    "Averages are over a few samples.",
)

_WORDS = {
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


FRAME = Frame(
    FIGURES,
    short="but {epochs:,} epochs and few records",
    kept="what was measured at every record in files such as `deep.nc` (NetCDF), the networks in `runs`",
    caveats=CAVEATS,
    words=_WORDS,
)


def write_report(folder: Path, results: dict[str, Any], figures: list[Path]) -> Path:
    """Write `report.html`; see `nnthermo.experiments.study_page.write_page`."""
    networks = ", ".join(results["settings"]["networks"])
    return write_page(
        FRAME,
        folder,
        results,
        figures,
        summary=_summary(results),
        facts=facts(FRAME, results, ("networks", networks), left_out=("networks",)),
        notices=not_finite(results["runs"], "these seeds are left out of the statements."),
        tables=[_runs(results["runs"]), _changes(results["runs"])],
    )


def _summary(results: dict[str, Any]) -> str:
    settings = results["settings"]
    seeds = len(settings["seeds"])
    return (
        f"Sections 6 and 7 of {PAPER} derive an "
        "equilibrium of learning and postulate two laws, which were not measured there. Here "
        f"{' and '.join(settings['networks'])} networks were trained "
        f"{'from one seed' if seeds == 1 else f'from {seeds} seeds each'} for {settings['epochs']:,} epochs on "
        f"{results['samples']:,} images, and log Z, U and S were computed along the runs."
    )


def _runs(runs: list[dict[str, Any]]) -> Table:
    def row(run: dict[str, Any]) -> tuple[str, ...]:
        betas = [f"{number(run['beta'][c][0])} to {number(run['beta'][c][-1])}" for c in ("gap", "loss")]
        shares = [percent(run[name]) for name in ("accuracy", "largest_unrelaxed")]
        return name_of(run), number(run["boundary_loss"]), number(run["bulk_loss"]), *shares, *betas

    return Table(
        "runs",
        ("run", "U_∂", "U", "accuracy", "unrelaxed", "β from the gap", "β from the loss"),
        [row(run) for run in runs],
        note="Losses and accuracy at the end of each run, on training samples; β at the first and at the last record; "
        "“unrelaxed” is the largest share of a record's relaxations that did not converge.",
    )


def _changes(runs: list[dict[str, Any]]) -> Table:
    rows = [
        (f"{run['network']}, seed {run['seed']}, {NAMES[ensemble]}", *(number(found[t], 4) for t in TEMPERATURES))
        for run in runs
        for ensemble, found in run["entropy_change"].items()
    ]
    heads = ("run and ensemble", *(NAMES[t] for t in TEMPERATURES))
    return Table("changes of entropy", heads, rows, title="Change of S over the run, in nats")
