"""One HTML file that says what was compared, what came out, and what that says of the paper's sentences."""

from pathlib import Path
from typing import Any

from nnthermo.experiments.compare.curvature import LOSSES
from nnthermo.experiments.page import DASH, PAPER, duration, number, percent
from nnthermo.experiments.study_page import Frame, Table, facts, name_of, not_finite, write_page

FIGURES = {
    1: (
        "Losses",
        "U and U_∂ in training with the boundary loss only (Fig. 2); a similar result is expected of the bulk loss.",
        "Log of both losses, averages over training samples (U over the first few), in both trainings.",
        (
            "similar losses",
            "both decrease",
            "orders below",
            "bulk falls monotonically",
            "boundary sticks",
            "sticks less",
        ),
    ),
    2: (
        "Accuracy in equal epochs",
        "Nothing: it gives no accuracies.",
        "Share of samples whose largest output is the right one; thin lines are the other seeds.",
        ("similar accuracy",),
    ),
    3: (
        "Accuracy in equal time",
        "Nothing: it does not say what training with the bulk loss costs.",
        "The same over the seconds of training. The dotted line is the end of the faster training, where both are "
        "compared.",
        ("similar in equal time",),
    ),
    4: (
        "Curvatures at the end",
        "Nothing: that the boundary loss has many flat directions, and the bulk loss a lot fewer, is inferred from "
        "Fig. 3.",
        "How many directions in weights and biases have a |curvature| above a share of the largest. Shades are bounds "
        "that no spectrum can leave, given the random directions that were tried; the dotted line is all directions.",
        ("many flat directions", "saddle", "fewer flat, same weights", "fewer flat, own weights"),
    ),
    5: (
        "Curvatures during training",
        "Nothing.",
        "How many directions have a |curvature| above 10^-2 of the largest.",
        (),
    ),
    6: (
        "Spectra of log Ĝ",
        "Histograms of log λ in training with the boundary loss (Figs. 4-5).",
        "The dynamical eigenvalues at the mean state, at the end of both trainings.",
        (),
    ),
    7: (
        "Complexity",
        "C₂₀ falls in training with the boundary loss (Fig. 6).",
        "The sum (10.5) over the twenty largest eigenvalues, in nats, in both trainings.",
        (),
    ),
}
"""Title, what the paper has of it, how it is drawn, and the statements that rest on it, by number."""

CAVEATS = (
    "The paper trains with the boundary loss only. What it says of the bulk loss as a loss to train on is expected or "
    "inferred there; this is a test of the expectation, with learning rate, batch size and initial weights that the "
    "paper does not give.",
    "Both losses get the same learning rate unless `--bulk-learning-rate` says otherwise. The bulk loss is the smaller "
    "one with the smaller gradients, so equal rates are not equal speeds.",
    "Seconds are wall time of training alone, on a machine that may have done other things; they were measured in "
    "these runs, one loss after the other in one process; times below a second are rough. The relaxation is that of "
    "this library; a faster one shifts the comparison in equal time, not that in equal epochs.",
    "Curvatures are of the mean loss over some of the training samples, relative to the largest of the same loss: the "
    "two losses differ in scale. The Hessian of the bulk loss lets the minima follow the weights. Counts come with "
    "bounds for the number of Lanczos steps and a standard error for the random directions; small thresholds need many "
    "steps.",
    "The bulk minimum is the one reached from the feed-forward state. The verdicts rest on the thresholds in each "
    "card; the numbers are there to judge by.",
)

_WORDS = {
    "beta": "β of recorded functions",
    "m": "m of the local objective",
    "observations": "records, even and logarithmic each",
    "relaxed_samples": "samples that U is averaged over",
    "curvature_samples": "samples of the Hessians",
    "curvature_records": "records of curvatures",
    "probes": "random directions",
    "lanczos_steps": "Lanczos steps",
    "max_steps": "relaxation steps at most",
}


FRAME = Frame(
    FIGURES,
    short="but {epochs:,} epochs and coarse curvatures",
    kept="the histories of all seeds in files such as `deep-bulk.nc` (NetCDF), weights in `runs`",
    caveats=CAVEATS,
    words=_WORDS,
)


def write_report(folder: Path, results: dict[str, Any], figures: list[Path]) -> Path:
    """Write `report.html`; see `nnthermo.experiments.study_page.write_page`."""
    return write_page(
        FRAME,
        folder,
        results,
        figures,
        summary=_summary(results),
        facts=_facts(results),
        notices=not_finite(results["runs"], "numbers that rest on it are missing."),
        elsewhere_title="Without targets",
        tables=[_runs(results["runs"]), _times(results["equal_time"])],
    )


def _summary(results: dict[str, Any]) -> str:
    settings = results["settings"]
    seeds, networks = len(settings["seeds"]), len(settings["networks"])
    return (
        f"Section 10 of {PAPER} trains with the "
        "boundary loss, expects a similar result of the bulk loss, and calls the latter much better for its few flat "
        "directions, without trying it. Here "
        f"{'one network was' if networks == 1 else f'{networks} networks were'} trained with both, "
        f"{'from one seed' if seeds == 1 else f'each from {seeds} seeds'}, for {settings['epochs']:,} epochs on "
        f"{results['samples']:,} images, and the curvatures of both losses were measured."
    )


def _facts(results: dict[str, Any]) -> list[tuple[str, str]]:
    networks = ("networks", ", ".join(results["settings"]["networks"]))
    told = facts(FRAME, results, networks, left_out=("networks",))
    same = results["settings"]["bulk_learning_rate"] is None
    return [(n, "the same" if same and n == "bulk learning rate" else v) for n, v in told]


def _runs(runs: list[dict[str, Any]]) -> Table:
    def row(run: dict[str, Any]) -> tuple[str, ...]:
        blind = run["training"] == "unsupervised"  # its outputs never saw a class
        seen = [DASH if blind else percent(run[name]) for name in ("accuracy", "test_accuracy")]
        shares = [percent(run[name]) for name in ("readout_accuracy", "largest_unrelaxed")]
        epoch = DASH if run["seconds_an_epoch"] is None else f"{number(1000 * run['seconds_an_epoch'])} ms"
        losses = number(run["bulk_loss"]), number(run["boundary_loss"])
        ends = number(run["complexity"], 4), number(run["skewness"])
        return name_of(run), duration(run["seconds"]), epoch, *losses, *seen, *shares, *ends

    heads = ("run", "training", "an epoch", "U", "U_∂", "accuracy", "on test", "read-out", "unrelaxed", "C", "skewness")
    return Table(
        "runs",
        heads,
        [row(run) for run in runs],
        note="At the end of each run; “read-out” is the test accuracy of linear regression from all hidden neurons, "
        "“unrelaxed” is the largest share of a record's relaxations that did not converge, C the complexity (6.7) and "
        "skewness that of log λ.",
    )


def _times(pairs: list[dict[str, Any]]) -> Table:
    def row(pair: dict[str, Any]) -> tuple[str, ...]:
        cells = [f"{pair['network']}, seed {pair['seed']}", f"{number(pair['seconds'])} s"]
        for training in LOSSES:
            at = pair[training]
            losses = number(at["bulk_loss"]), number(at["boundary_loss"])
            cells += [number(at["epoch"]), percent(at["test_accuracy"]), *losses]
        return tuple(cells)

    heads = ("pair", "after", *(head for t in LOSSES for head in (f"epoch, {t}", "on test", "U", "U_∂")))
    return Table("equal time", heads, [row(pair) for pair in pairs], title="In equal time")
