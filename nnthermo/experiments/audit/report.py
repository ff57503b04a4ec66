"""One HTML file with every equation: as printed, as it should be, the numbers, the verdict."""

import re
from pathlib import Path
from typing import Any

from nnthermo.experiments.audit.entry import ULP, VERDICTS
from nnthermo.experiments.audit.figures import FIGURES
from nnthermo.experiments.page import PAPER, UNITS, duration, embedded, indices, number, render

TONES = {
    "exact": "agrees",
    "exact with a condition": "partly",
    "approximate": "partly",
    "definition": "none",
    "postulate": "none",
    "misprint": "disagrees",
    "wrong": "disagrees",
    "unconfirmed": "none",
}
"""Colours of the verdicts; their signs tell those of one colour apart."""

TITLES = {
    2: "Neural septuple",
    3: "Supervised vs. unsupervised",
    4: "Statistical ensembles",
    5: "Partition function",
    6: "Learning equilibrium",
    7: "Thermodynamics of learning",
    8: "Optimal architecture",
    9: "Deep vs. shallow",
    10: "Numerical experiments",
    11: "Entropic mechanics",
    12: "Emergent gravity",
}

ROLES = {
    "printed": "as printed",
    "outside": "as printed, without the condition",
    "right": "corrected, or a further fact",
    "law": "law of its error",
}

MEANINGS = (
    ("exact", "the printed form holds to rounding, or to the error of the integral it is compared with."),
    (
        "exact with a condition",
        "it holds, and is seen to fail where the condition does. Some of these conditions the paper states, most it "
        "does not.",
    ),
    ("approximate", "it does not hold to rounding, and its error follows the law that is measured."),
    ("definition", "the paper sets it; what is checked is that the library means the same, and what follows."),
    ("postulate", "neither derived nor derivable from the rest; numbers are shown and not judged."),
    ("misprint", "a slip of the pen: the printed form fails, and the corrected one holds."),
    ("wrong", "the printed form fails, and the corrected one is another statement, which holds."),
    ("unconfirmed", "this program could not confirm the corrected form or the law: an error here, not there."),
)

CAVEATS = (
    "Verdicts come from the numbers in each card by one rule: which of them are of the printed form, which of the "
    "corrected one. Whether a failing form is called a misprint or wrong, and what a definition is, was decided by a "
    "reader.",
    "The networks are small and random; identities hold for any, and laws are measured between two values of their "
    "parameter. Another `--seed` draws others.",
    "A few comments quote numbers of trained networks of the paper's size, which this program does not train.",
    "Of an equation with ≈ exactness is not expected; it is asked in order to see how large the error is, and of which "
    "order.",
)


def write_report(folder: Path, results: dict[str, Any], figures: dict[str, tuple[Path, Path]]) -> Path:
    """Write `report.html`, one file that loads nothing from anywhere.

    Args:
        folder: where it goes.
        results: what `audit.json` holds.
        figures: files by the number of the equation; of each the smallest is put in.

    Returns:
        The path of the report.

    Raises:
        ImportError: jinja2 is missing, with the command that installs it.
    """
    verdicts = {verdict: (sign, TONES[verdict]) for verdict, sign in VERDICTS.items()}
    content = _content(results, figures)
    return render("audit/report.html.jinja", folder / "report.html", content, verdicts=verdicts, indices=typeset)


def _content(results: dict[str, Any], figures: dict[str, tuple[Path, Path]]) -> dict[str, Any]:
    """Everything that the template shows."""
    cards = [_card(equation, figures) for equation in results["equations"]]
    sections = [
        {"number": n, "title": title, "cards": [c for c in cards if c["section"] == n]} for n, title in TITLES.items()
    ]
    return {
        "results": results,
        "cards": cards,
        "sections": [section for section in sections if section["cards"]],
        "errata": [c for c in cards if c["verdict"] in ("misprint", "wrong")],
        "tally": list(results["tally"].items()),
        "summary": _summary(results),
        "meanings": [(v, text) for v, text in MEANINGS if v in results["tally"]],
        "caveats": CAVEATS,
        "notices": [],
        "kept": "The numbers are in `audit.json`, the figures in `figures`, beside this file. "
        "`nnthermo audit --equation 9.4` shows one equation in the terminal.",
        "units": f"{UNITS} A = f̂'ŵ, B = I - A, Ĝ = BᵀB, M = (1-βm) I + βĜ, x̄ the fixed state; the window is "
        "exp(-½ x·x).",
        "facts": [
            ("seed", str(results["seed"])),
            ("duration", f"{duration(results['seconds'])} on {results['machine']}"),
            ("numbers compared", str(sum(len(e["checks"]) for e in results["equations"]))),
            ("date", str(results["date"])),
            ("versions", ", ".join(f"{name} {version}" for name, version in results["versions"].items())),
        ],
    }


def _summary(results: dict[str, Any]) -> str:
    tally = results["tally"]
    faults = tally.get("misprint", 0) + tally.get("wrong", 0)
    return (
        f"Each of the {results['count']} numbered equations of {PAPER}, evaluated on small networks in double "
        f"precision: what is printed, what is right, and by how much they differ. {faults} do not hold as printed; "
        "each is shown to fail by a number, beside the form that holds."
    )


def _card(equation: dict[str, Any], figures: dict[str, tuple[Path, Path]]) -> dict[str, Any]:
    """An equation as its card shows it."""
    n = equation["number"]
    files = figures.get(n)
    return {
        **equation,
        "key": f"({n})",
        "section": int(n.partition(".")[0]),
        "claim": f"({n}) {equation['printed']}",
        "rows": [row(check) for check in equation["checks"]],
        "image": embedded(min(files, key=lambda f: f.stat().st_size)) if files else None,
        "caption": FIGURES[n].caption if files else "",
    }


def row(check: dict[str, Any]) -> dict[str, Any]:
    """A check as tables show it."""
    relation = {"=": "", "≤": "≤ ", "≥": "≥ "}[check["relation"]]
    exact = check["reason"] == ULP or not check["tolerance"]
    allowed = "" if exact else f" ± {_short(check['tolerance'])}"
    return {
        "label": check["label"],
        "role": ROLES[check["role"]],
        "value": "not finite" if check["value"] is None else number(check["value"], 4),
        "expected": f"{relation}{_short(check['expected'])}{allowed}",
        "reason": check["reason"],
        "holds": check["holds"],
    }


def _short(value: float) -> str:
    """A number with one digit if it has no more, else with four."""
    return number(value, 1 if float(f"{value:.0e}") == value else 4)


_OWNERS = "(?:nt|net|spectrum|mechanics|gravity)"
"""What names of functions begin with."""


def typeset(text: str) -> Any:
    """Text with the indices and powers of formulas lowered and raised, names of functions left alone."""
    parts = re.split(rf"(\b{_OWNERS}\.\w+)", text)
    return type(indices(""))("").join(
        part if k % 2 == 0 else indices(part) for k, part in enumerate(map(_lower, parts))
    )


def _lower(part: str) -> Any:
    """One stretch of text without names of functions."""
    if re.match(rf"{_OWNERS}\.\w", part):
        return part
    safe = indices(part)
    group = r"\(((?:[^()]|\([^()]*\))*)\)"
    out = re.sub(r"(?<=[^\s(])_" + group, r"<sub>\1</sub>", str(safe))
    out = re.sub(r"(?<=[\w;̄∂])_([0-9A-Za-zα-ω]{1,3}\u0303?(?![0-9A-Za-zα-ω])|∂|&gt;|&lt;)", r"<sub>\1</sub>", out)
    out = re.sub(r"\^" + group, r"<sup>\1</sup>", out)
    return type(safe)(out)
