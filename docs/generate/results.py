"""What the site and the README show of the committed studies, read from their files: tables, tallies, an overview.

`python docs/generate/results.py` writes the overview into the README; the site is filled in when it is built.
"""

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import tables

DOCS = Path(__file__).parent.parent
README = DOCS.parent / "README.md"


class Finding(NamedTuple):
    """A question, and what came out.

    Attributes:
        question: the title of its page.
        page: its place in `docs/site`.
        studies: folders of the studies that answer it.
        answer: one sentence without numbers.
    """

    question: str
    page: str
    studies: tuple[str, ...]
    answer: str


FINDINGS = (
    Finding(
        "Are the equations right?",
        "theory/index.md",
        ("audit",),
        "Most are; misprints and errors have a right form.",
    ),
    Finding(
        "Does Section 10 come out?",
        "findings/section-10.md",
        ("reproduction",),
        "Spectra and complexities do; plateaus, jumps and a common temperature do not.",
    ),
    Finding(
        "Is the bulk loss better to train on?",
        "findings/bulk-loss.md",
        ("comparison",),
        "It ends as accurate and sticks less; flat directions are as many.",
    ),
    Finding(
        "Does learning obey its two laws?",
        "findings/laws.md",
        ("laws",),
        "The first, with the work of training counted; the second, depending on ensemble and temperature.",
    ),
    Finding(
        "Does ΔF tell which architectures learn well?",
        "findings/architectures.md",
        ("architectures", "architectures_parameters"),
        "Mostly it counts parameters: at equal neurons, then at equal parameters.",
    ),
    Finding(
        "Do weights diffuse, and are they a quantum fluid?",
        "findings/mechanics.md",
        ("mechanics",),
        "They diffuse as predicted, with nothing fitted; ħ² is negative.",
    ),
    Finding(
        "Do neurons have a space-time?",
        "findings/gravity.md",
        ("gravity",),
        "Training is not always a motion in time; cooling is, and comes close to de Sitter space.",
    ),
)
"""What the README and the site open with, in the order of the theory."""

TITLES = {
    "reproduction": "Figures 1-7 and every quoted number of Section 10",
    "audit": "Every numbered equation, evaluated",
    "comparison": "Trained with the bulk loss instead",
    "laws": "The laws of learning, measured",
    "architectures": "Which architectures learn well: equal neurons",
    "architectures_parameters": "The same at equal numbers of parameters",
    "architectures_mnist": "The same on all of MNIST",
    "architectures_fashion": "The same on all of Fashion-MNIST",
    "architectures_fashion_parameters": "Fashion-MNIST at equal numbers of parameters",
    "mechanics": "Weights that diffuse",
    "gravity": "Neurons as space-time",
}
"""Folders of committed studies, and what each is about. Others that appear are shown by their own titles."""


@cache
def studies() -> tuple[str, ...]:
    """Folders with a report, those of `TITLES` first."""
    found = sorted(path.parent.name for path in DOCS.glob("*/report.html"))
    return (*(name for name in TITLES if name in found), *(name for name in found if name not in TITLES))


@cache
def results(study: str) -> dict[str, Any]:
    """The numbers of a study."""
    name = "audit.json" if study == "audit" else "results.json"
    return json.loads((DOCS / study / name).read_text(encoding="utf-8"))


def outcome(root: str = "/") -> str:
    """Markdown: one row a question, with links that start at `root`, the folder of the site's pages."""
    lines = ["| question | answer | statements |", "|---|---|---|"]
    for question, page, answered_by, answer in FINDINGS:
        tallies = "; ".join(_tally(study) for study in answered_by)
        told = f"{results('audit')['count']} equations: {tallies}." if answered_by == ("audit",) else f"{tallies}."
        lines.append(f"| [{question}]({root}{page}) | {answer} | {told} |")
    return "\n".join(lines)


def table(study: str) -> str:
    """Markdown: one row a statement."""
    return f"{summary(study)}\n\n{tables.TABLES[study](results(study))}"


def five_data() -> str:
    """Markdown: the verdicts on claims about architectures, on five data."""
    return tables.five_data()


def summary(study: str) -> str:
    """Markdown: how many statements came out how, by which command, and the report."""
    told, (report, numbers) = results(study), _files(study)
    return (
        f"{_tally(study)}. By `{told['command']}`, {told['date']}, in {_minutes(study)} minutes: {report}, {numbers}."
    )


def listing() -> str:
    """Markdown: one row a study."""
    lines = ["| study | outcome | command | date | minutes | files |", "|---|---|---|---|---|---|"]
    for study in studies():
        told = results(study)
        title = TITLES.get(study, told["title"])
        lines.append(
            f"| {title} | {_tally(study)} | `{told['command']}` | {told['date']} | {_minutes(study)} "
            f"| {', '.join(_files(study))} |"
        )
    return "\n".join(lines)


def totals() -> str:
    """Markdown: statements of all studies together, by verdict."""
    judged = [results(study)["statements"] for study in studies() if "statements" in results(study)]
    counts = Counter(statement["verdict"] for statements in judged for statement in statements)
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    return f"{sum(counts.values())} statements in {len(judged)} studies: {told}."


def audited() -> str:
    """Markdown: the tally of the audit."""
    return f"{results('audit')['count']} equations: {_tally('audit')}."


def verdict(study: str, key: str) -> str:
    """Markdown: the verdict on one statement, which leads to its page."""
    found = next(statement["verdict"] for statement in results(study)["statements"] if statement["key"] == key)
    page = next(finding.page for finding in FINDINGS if study in finding.studies)
    return f"[{found}](/{page}){{ .verdict .{found} }}"


def _tally(study: str) -> str:
    told = results(study)
    counts = told["tally"] if study == "audit" else Counter(s["verdict"] for s in told["statements"])
    order = [v for v in ("agrees", "partly", "disagrees") if v in counts] or list(counts)
    return ", ".join(f"{counts[v]} {v}" for v in [*order, *(v for v in counts if v not in order)] if counts[v])


def _files(study: str) -> tuple[str, str]:
    """Links to report and numbers; like those of every part they start at the root of the site."""
    data = "audit.json" if study == "audit" else "results.json"
    return f"[report](/studies/{study}/report.html)", f"[numbers](/studies/{study}/{data})"


def _minutes(study: str) -> str:
    seconds = results(study)["seconds"]
    return f"{seconds / 60:.0f}" if seconds >= 60 else f"{seconds / 60:.1f}"


def write_readme() -> None:
    """Put the overview into the README in place of the one that is there."""
    text, new = README.read_text(encoding="utf-8"), outcome("docs/site/")
    start = text.index(new.split("\n", 1)[0])
    README.write_text(text[:start] + new + text[text.index("\n\n", start) :], encoding="utf-8")


if __name__ == "__main__":
    write_readme()
