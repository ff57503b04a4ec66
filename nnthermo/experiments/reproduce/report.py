"""One HTML file that says what was done, what came out, and how it compares with arXiv:2004.09280."""

import math
import re
from pathlib import Path
from typing import Any

from nnthermo.experiments.page import DASH, PAPER, card, duration, number, quoted
from nnthermo.experiments.reproduce.statements import CLAIMS
from nnthermo.experiments.study_page import Frame, Table, facts, name_of, not_finite, write_page

LATE = frozenset({"bulk falls on", "jumps", "shallow symmetric", "gap", "no gap in the shallow", "tails"})
"""Keys of the statements about late times, which a short run cannot test."""

_SHOWN = {
    1: (
        "The two-level model",
        "−ΔF (9.3) for β = 0.25, 0.50, 0.73 and 1, γ = 1/3, N = 854, and a stationary point (9.4) that changes from "
        "minimum to maximum at β = ½.",
        "The same curves; they need no training. For γ = 1/3 the stationary points are exactly log λ = 0 and "
        "2 log((1−β)/β), which exists for β < 1 only. The crosses of (9.4) lie on slopes: (9.4) is the limit γ → 0. "
        "Both agree that the two points change places at β = ½.",
    ),
    2: (
        "Losses during training",
        "Log of the average bulk loss U and of the average boundary loss U_∂ of the deep network over 30,000 epochs, "
        "U a few orders of magnitude below.",
        "Thick lines are averages over the samples for the first seed, thin lines the other seeds, dotted lines "
        "medians over the samples. The lower panel has a logarithmic axis to show the beginning.",
    ),
    3: (
        "Bulk loss against boundary loss",
        "At late times the bulk loss keeps falling while the boundary loss stands still for about 10,000 epochs, then "
        "jumps to a smaller value, and so on.",
        "Learning runs from the upper right to the lower left; dots carry their epoch. The lower panel shows the last "
        "nine tenths of the run. A thick stretch, if there is one, is where the boundary loss stands still over at "
        "least a third of the run and the bulk loss falls by more than 0.1.",
    ),
    4: (
        "Spectrum of the shallow network",
        "Histograms of the dynamical eigenvalues of log Ĝ of the shallow network: almost completely symmetric, no "
        "clear gap.",
        "Bars are the first seed, outlines the others. Where the dashed mirror image leaves the bars the spectrum is "
        "not symmetric. Ticks below the axis are single eigenvalues; an arrow marks a gap over three times the median "
        "spacing.",
    ),
    5: (
        "Spectrum of the deep network",
        "Histograms of the dynamical eigenvalues of log Ĝ of the deep network: skewed to negative values, with gaps "
        "marked at -2.3, -2.5 and -3.0 after 100, 1,000 and 10,000 epochs.",
        "Drawn as Figure 4; dotted lines, where the epochs are the paper's, are the gaps that the paper marks.",
    ),
    6: (
        "Complexity during training",
        "C₂₀ and C₈₃₄, sums over the 20 and the 834 largest eigenvalues, decrease; up to a constant the two curves "
        "look alike.",
        "In nats, above over the epoch, below over its logarithm. The sum over all 854 cannot change: it is "
        "(N/2) log 2π = 784.8.",
    ),
    7: (
        "Complexity against the bulk loss",
        "Both are nearly linear in log U, with slopes of order one: C₂₀ ≈ 769 + 1.25 log U and "
        "C₈₃₄ ≈ 772 + 1.41 log U.",
        "Lines are least squares over the records after the first transient, averaged over seeds; dotted lines are the "
        "paper's.",
    ),
}
"""Title, what the paper shows, and how ours is drawn, by number."""


def _first_figure(where: str) -> int | None:
    found = re.search(r"\bFigs?\. (\d+)", where)
    return int(found.group(1)) if found else None


FIGURES = {n: (*told, tuple(c.key for c in CLAIMS if _first_figure(c.where) == n)) for n, told in _SHOWN.items()}
"""The same, and the statements about it."""

CAVEATS = (
    "The paper gives the architecture, tanh, stochastic gradient descent on the boundary loss, 30,000 epochs and 6,000 "
    "samples. It does not give learning rate, batch size, initial weights, pixel range, target coding or seeds. These "
    "are choices made here, such that the statements come out as far as they do; where a sensitivity table is shown it "
    "says what hangs on each.",
    "The embedded digits are 5,000 real MNIST images, not 6,000; `--dataset mnist` takes the full set if it is there.",
    "The paper does not define how it computes U. Here it is the minimum of the bulk loss with input and output "
    "clamped (3.2), averaged over the samples.",
    "The verdicts rest on the thresholds in each card. Other thresholds can give other verdicts; the numbers are there "
    "to judge by.",
    "± is the standard deviation over seeds: it knows nothing of the settings that the paper leaves unsaid.",
)

_WORDS = {
    "beta": "β of recorded functions",
    "observations": "records, even and logarithmic each",
    "relaxed_samples": "samples that U is averaged over",
}


FRAME = Frame(
    FIGURES,
    short="and the paper's networks, but {epochs:,} epochs instead of 30,000",
    kept="the histories of all runs in `deep.nc` and `shallow.nc` (NetCDF), weights in `runs`",
    caveats=CAVEATS,
    words=_WORDS,
    template="reproduce/report.html.jinja",
)


def write_report(folder: Path, results: dict[str, Any], figures: list[Path]) -> Path:
    """Write `report.html`; see `nnthermo.experiments.study_page.write_page`."""
    quoted_rows = [{**row, "card": c} for c in map(card, results["statements"]) for row in c["rows"] if row["quoted"]]
    return write_page(
        FRAME,
        folder,
        results,
        figures,
        too_early=LATE if results["quick"] else (),
        summary=_summary(results),
        facts=facts(FRAME, results),
        notices=not_finite(results["runs"], "numbers that rest on it are missing or cover less than the whole run."),
        elsewhere_title="Temperatures and laws",
        tables=[_runs(results["runs"])],
        quoted=quoted_rows,
        sensitivity=_sensitivity(results),
    )


def _summary(results: dict[str, Any]) -> str:
    settings = results["settings"]
    seeds = len(settings["seeds"])
    return (
        f"Section 10 of {PAPER} trains two tanh "
        "networks of 854 neurons on handwritten digits, a deep one (784-40-20-10) and a shallow one (784-60-10), and "
        f"reads thermodynamics off their spectra. Here both were trained for {settings['epochs']:,} epochs on "
        f"{results['samples']:,} images, {'with one seed' if seeds == 1 else f'each with {seeds} seeds'}."
    )


def _runs(runs: list[dict[str, Any]]) -> Table:
    """What is not known of a run is a dash."""

    def log(value: float | None) -> str:
        return DASH if value is None else number(math.log(value), 4) if 0 < value < math.inf else "not finite"

    rows = [
        (
            name_of(run),
            duration(run["seconds"]),
            log(run.get("bulk_loss")),
            log(run.get("boundary_loss")),
            DASH if run.get("accuracy") is None else f"{run['accuracy']:.2%}",
        )
        for run in runs
    ]
    return Table("runs", ("run", "time", "log U", "log U_∂", "accuracy"), rows)


def _sensitivity(results: dict[str, Any]) -> dict[str, Any] | None:
    """The matrix of verdicts and the table of numbers, rows by statement and by label."""
    given = results.get("sensitivity")
    if not given:
        return None
    columns = [{**given["base"], "name": "as above"}, *({**variant} for variant in given["variants"])]
    for column in columns:
        column["settings"] = ", ".join(f"{name} = {value}" for name, value in column["changed"].items())
    named = {s["key"]: s for s in results["statements"]}
    keys = [*named, *sorted({k for c in columns for k in c["verdicts"]} - set(named))]
    labels = list(dict.fromkeys(label for c in columns for label in c["numbers"]))
    papers = {_without_epoch(n["label"]): n["paper"] for s in results["statements"] for n in s["numbers"]}
    return {
        "epochs": given["epochs"],
        "seeds": given["seeds"],
        "columns": columns,
        "verdicts": [
            {"key": key, "claim": named.get(key, {}).get("claim", ""), "of": [c["verdicts"].get(key) for c in columns]}
            for key in keys
            if any(key in c["verdicts"] for c in columns)
        ],
        "numbers": [
            {
                "label": label,
                "paper": quoted(papers.get(_without_epoch(label))),
                "of": [_cell(c["numbers"], label) for c in columns],
            }
            for label in labels
        ],
    }


def _cell(numbers: dict[str, float | None], label: str) -> str:
    return "not finite" if label in numbers and numbers[label] is None else number(numbers.get(label))


def _without_epoch(label: str) -> str:
    return re.sub(r", epoch [\d,]*\d", "", label)
