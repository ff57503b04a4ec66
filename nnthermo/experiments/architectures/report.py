"""One HTML file: which architectures learned well, what had told so, and what that says of Section 9."""

from pathlib import Path
from typing import Any

from nnthermo.experiments.architectures.statements import CLAIMS
from nnthermo.experiments.claims import keys
from nnthermo.experiments.page import DASH, PAPER, number, percent
from nnthermo.experiments.study_page import Frame, Table, facts, write_page

FIGURES = {
    1: (
        "Every score against the accuracy reached",
        "No test of this kind. The claimed signs stand at the right.",
        "Spearman's ρ over architectures, ranked within each activation, with 95 % bootstrap intervals; below each, in "
        "grey, the same at a fixed number of parameters.",
        keys(CLAIMS, "better than", "more than", "variance", "dynamical", "apples"),
    ),
    2: (
        "Entropy destruction",
        "The smaller -ΔF, the better.",
        "-ΔF in the eigenvalues (9.1) of untrained networks and the test accuracy they reached; colours are depths.",
        keys(CLAIMS, "less entropy", "also after", "the Laplacian"),
    ),
    3: (
        "Depth",
        "Hidden layers make the distribution of log λ skewed, -ΔF smaller and learning better.",
        "Accuracy, skewness and -ΔF against the number of hidden layers, at the same budget.",
        keys(CLAIMS, "depth"),
    ),
    4: (
        "Skewness along training",
        "A second peak grows: a few eigenvalues become very small.",
        "μ3 (9.6), the median over architectures without skips.",
        keys(CLAIMS, "skewness"),
    ),
    5: (
        "Skips",
        "Layers only.",
        "Σ 2 sinh log λ of every network, before and after training. Without skips it is -Σ_{k>=2}|A^k|².",
        keys(CLAIMS, "no skips"),
    ),
}
"""Title, what the paper has of it, how it is drawn, and the statements that rest on it, by number."""

CAVEATS = (
    "A rank correlation over a family depends on the family. This one spends one budget in different ways; with a "
    "budget of neurons the number of parameters varies tenfold and more, and most scores mostly measure that.",
    "With a fixed number of hidden neurons a wide first layer has most of the parameters. What a score says beyond "
    "that is its correlation at a fixed number of parameters, given beside each.",
    "Every network is trained alike: Adam, one learning rate, one number of epochs. An architecture that would win "
    "with another recipe is not seen to win here.",
    "Ĝ is that of single samples at their own fixed states, and scores are means over samples and seeds. The paper "
    "takes one Ĝ at the mean state.",
    "-ΔF, ΔF in log λ, F, S and 2βU are counted from those of as many unlinked neurons: with a budget of parameters "
    "architectures differ in size, and size alone would order them.",
    "Thermodynamic scores depend on β, which the paper does not fix before training; the table has them at several.",
    "Outputs are tanh in all networks. Activations are not compared with each other: ranks are taken within each.",
    "Intervals are over architectures as if they were drawn at random, and no correction is made for their number.",
)

_WORDS = {
    "test_samples": "samples to test on",
    "neurons": "hidden neurons of each architecture",
    "parameters": "parameters of each architecture, at most",
    "depths": "numbers of hidden layers",
    "score_epochs": "epochs after which scores are taken",
    "betas": "β of the scores",
    "spectrum_samples": "samples of the spectra",
    "kernel_samples": "samples of the tangent kernel",
    "resamples": "resamples of the bootstrap",
}


FRAME = Frame(
    FIGURES,
    short="but small architectures and {epochs} epochs",
    kept="every score of every network at every record in `scores.nc` (NetCDF)",
    caveats=CAVEATS,
    words=_WORDS,
    units="Kernel and synflow scores are decimal logarithms.",
)


def write_report(folder: Path, results: dict[str, Any], figures: list[Path]) -> Path:
    """Write `report.html`; see `nnthermo.experiments.study_page.write_page`."""
    unused = [name for name, value in results["settings"].items() if value is None]
    return write_page(
        FRAME,
        folder,
        results,
        figures,
        summary=_summary(results),
        facts=facts(FRAME, results, ("architectures", f"{results['architectures']}"), left_out=unused),
        notices=_left_out(results),
        tables=[_best(results["best"])],
        after=[_scores(results["correlations"], results["settings"]["activations"])],
    )


def _summary(results: dict[str, Any]) -> str:
    settings = results["settings"]
    budget = (
        f"{settings['neurons']} hidden neurons" if settings["neurons"] else f"{settings['parameters']:,} parameters"
    )
    return (
        f"Sections 8 and 9 of {PAPER} say that the "
        "Laplacian of the free energy and the skewness of log Ĝ tell how efficiently a network learns. Here "
        f"{results['architectures']} architectures of {budget}, {results['networks']:,} networks, were scored, trained "
        f"for {settings['epochs']} epochs on {results['samples']:,} images, and tested on {results['test_samples']:,} "
        "others."
    )


def _left_out(results: dict[str, Any]) -> list[tuple[str, str]]:
    lost = f"{results['not_finite']} of {results['architectures']} architectures are left out:"
    return [(lost, "a number of theirs is not finite.")] if results["not_finite"] else []


def _best(rows: list[dict[str, Any]]) -> Table:
    shown = [
        (
            f"{row['activation']}, {row['place']}",
            row["wiring"],
            number(row["parameters"]),
            percent(row["accuracy"]),
            ", ".join(map(percent, row["per_seed"])),
        )
        for row in rows
    ]
    heads = ("activation", "hidden layers", "parameters", "test accuracy", "seeds")
    return Table("best and worst architectures", heads, shown)


def _scores(rows: list[dict[str, Any]], activations: list[str]) -> Table:
    signs = {1: "+", -1: "\N{MINUS SIGN}", 0: DASH}
    shown = [
        (
            row["label"] + ("" if row["beta"] is None else f", β = {row['beta']:g}"),
            number(row["epoch"]),
            signs[row["sign"]],
            *map(_rho, (row["all"], row["beyond_parameters"], *row["activations"].values())),
        )
        for row in rows
    ]
    return Table(
        "rank correlations",
        ("score", "epochs", "claimed", "all activations", "at fixed parameters", *activations),
        shown,
        title="Every correlation",
        note="Spearman's ρ of a score with the test accuracy reached, and its 95 % interval; “claimed” is the sign it "
        "should have.",
    )


def _rho(found: dict[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return DASH
    return "{value:.2f} ({low:.2f} to {high:.2f})".format(**found).replace("-", "\N{MINUS SIGN}")
