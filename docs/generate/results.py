"""Tables and summaries of the committed studies: every number that the site shows of them is read from their files."""

import importlib.util
import json
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

DOCS = Path(__file__).parent.parent

STUDIES = {
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
    """Folders with a report, those of `STUDIES` first."""
    found = sorted(path.parent.name for path in DOCS.glob("*/report.html"))
    return (*(name for name in STUDIES if name in found), *(name for name in found if name not in STUDIES))


@cache
def results(study: str) -> dict[str, Any]:
    """The numbers of a study."""
    name = "audit.json" if study == "audit" else "results.json"
    return json.loads((DOCS / study / name).read_text(encoding="utf-8"))


@cache
def tables() -> ModuleType:
    """`docs/tables.py`, which writes the tables of the README."""
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(study: str) -> str:
    """Markdown: one row a statement, as in the README."""
    return f"{summary(study)}\n\n{tables().TABLES[study](results(study))}"


def summary(study: str) -> str:
    """Markdown: how many statements came out how, by which command, and the report."""
    told = results(study)
    return f"{_tally(study)} By `{told['command']}`, {told['date']}: [report](studies/{study}/report.html)."


def listing() -> str:
    """Markdown: one row a study."""
    lines = ["| study | outcome | command | date | minutes | files |", "|---|---|---|---|---|---|"]
    for study in studies():
        told = results(study)
        data = "audit.json" if study == "audit" else "results.json"
        files = f"[report](studies/{study}/report.html), [numbers](studies/{study}/{data})"
        title = STUDIES.get(study, told["title"])
        minutes = f"{told['seconds'] / 60:.0f}" if told["seconds"] >= 60 else f"{told['seconds'] / 60:.1f}"
        lines.append(f"| {title} | {_tally(study)} | `{told['command']}` | {told['date']} | {minutes} | {files} |")
    return "\n".join(lines)


def totals() -> str:
    """Markdown: statements of all studies together, by verdict."""
    judged = [results(study)["statements"] for study in studies() if "statements" in results(study)]
    counts = Counter(statement["verdict"] for statements in judged for statement in statements)
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    return f"{sum(counts.values())} statements in {len(judged)} studies: {told}."


def audited() -> str:
    """Markdown: the tally of the audit."""
    return f"{results('audit')['count']} equations: {_tally('audit')}"


def _tally(study: str) -> str:
    told = results(study)
    counts = told["tally"] if study == "audit" else Counter(s["verdict"] for s in told["statements"])
    order = [v for v in ("agrees", "partly", "disagrees") if v in counts] or list(counts)
    return ", ".join(f"{counts[v]} {v}" for v in [*order, *(v for v in counts if v not in order)] if counts[v]) + "."
