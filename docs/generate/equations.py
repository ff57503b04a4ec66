"""The numbered equations of arXiv:2004.09280 for the theory pages: verdicts of the audit, and their functions."""

import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import reference

AUDIT = Path(__file__).parent.parent / "audit" / "audit.json"

PAGES = {
    2: "septuple",
    3: "losses",
    4: "ensembles",
    5: "partition-function",
    6: "equilibrium",
    7: "thermodynamics",
    8: "architecture",
    9: "depth",
    10: "experiments",
    11: "mechanics",
    12: "gravity",
}
"""Theory pages by section."""

OBJECTS = {"net": "nnthermo.network.septuple.Septuple", "spectrum": "nnthermo.spectrum.LogSpectrum"}
"""What the audit calls objects of the package whose methods it names."""


class Row(NamedTuple):
    """An equation as the site shows it."""

    number: str
    printed: str
    code: str
    verdict: str
    right: str = ""
    condition: str = ""
    comment: str = ""

    @property
    def section(self) -> int:
        """The section it stands in."""
        return int(self.number.split(".")[0])

    @property
    def anchor(self) -> str:
        """Its id on its page."""
        return f"eq-{self.number.replace('.', '-')}"


@cache
def audit() -> dict[str, Any]:
    """The committed audit."""
    return json.loads(AUDIT.read_text(encoding="utf-8"))


@cache
def rows() -> dict[str, Row]:
    """Every numbered equation, by its number, in the paper's order."""
    judged = (
        Row(e["number"], e["printed"], e["code"], e["verdict"], e["right"] or "", e["condition"], e["comment"])
        for e in audit()["equations"]
    )
    return {row.number: row for row in judged}


@cache
def citations() -> dict[str, tuple[reference.Name, ...]]:
    """Public names whose docstrings cite an equation, by its number; (5.9)-(5.14) cites all from the first on."""
    numbers = list(rows())
    found: dict[str, list[reference.Name]] = {}
    for name in reference.names():
        text = reference.docstring(name.path)
        cited = dict.fromkeys(re.findall(r"\((\d+\.\d+)\)", text))
        for first, last in re.findall(r"\((\d+\.\d+)\)-\((\d+\.\d+)\)", text):
            if first in numbers and last in numbers:
                cited |= dict.fromkeys(numbers[numbers.index(first) : numbers.index(last) + 1])
        for number in cited:
            found.setdefault(number, []).append(name)
    return {number: tuple(inside) for number, inside in found.items()}


def target(code: str) -> str:
    """The anchor in the API reference of a name as the audit writes it: "nt.entropy", "net.slopes"."""
    head, _, rest = code.partition(".")
    if head in OBJECTS:
        return f"{OBJECTS[head]}.{rest}"
    found = next((name.path for name in reference.names() if name.shown == code), None)
    if found is None:
        raise ValueError(f"the code of an equation must be a public name, but got {code!r}")
    return found


def section(number: str) -> str:
    """Markdown of all equations of a section, one block each."""
    chosen = [row for row in rows().values() if row.section == int(number)]
    return "\n\n".join([_tally(chosen), *(_block(row) for row in chosen)])


def overview() -> str:
    """Markdown of a table: sections against verdicts, and where to find each equation."""
    lines = ["| section | equations |", "|---|---|"]
    for number, page in PAGES.items():
        chosen = [row for row in rows().values() if row.section == number]
        links = " ".join(
            f'[{row.number}]({page}.md#{row.anchor}){{ .{_slug(row.verdict)} title="{row.verdict}" }}' for row in chosen
        )
        lines.append(f"| [{number}]({page}.md) | {links} |")
    return "\n".join([_tally(list(rows().values())), "", *lines])


def _tally(chosen: list[Row]) -> str:
    verdicts = [row.verdict for row in chosen]
    order = sorted(set(verdicts), key=list(audit()["tally"]).index)
    shown = " ".join(f"{_badge(verdict)} {verdicts.count(verdict)}" for verdict in order)
    return f'<p class="tally">{shown}</p>'


def _judged(row: Row) -> str:
    """The verdict, which leads to its numbers in the report of the audit."""
    place = f"../studies/audit/report.html#{row.anchor.replace('eq', 'statement')}"
    return f'[{row.verdict}]({place}){{ .verdict .{_slug(row.verdict)} title="its numbers" }}'


def _badge(verdict: str) -> str:
    return f'<span class="verdict {_slug(verdict)}">{verdict}</span>'


def _block(row: Row) -> str:
    lines = [
        f'<div class="equation" id="{row.anchor}" markdown>',
        "",
        f"**({row.number})** {_formula(row.printed)} {_judged(row)}",
        "",
    ]
    told = [f"Right: {_formula(row.right)}" if row.right else ""]
    told += [f"Needs: {_plain(row.condition)}" if row.condition else "", _plain(row.comment), _in_code(row)]
    lines += [line for text in told if text for line in (text, "")]
    return "\n".join([*lines, "</div>"])


def _in_code(row: Row) -> str:
    main = target(row.code) if row.code else ""
    others = [name for name in citations().get(row.number, ()) if name.path != main]
    cited = "cited by " + ", ".join(f"[`{name.shown}`][{name.path}]" for name in others) if others else ""
    told = [part for part in (f"[`{row.code}`][{main}]" if main else "", cited) if part]
    return f"In the code: {'; '.join(told)}." if told else "No function of its own."


def _formula(text: str) -> str:
    return f'<span class="formula">{_plain(text)}</span>'


def _plain(text: str) -> str:
    """Text in which nothing is Markdown."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text, quote=False))


def _slug(verdict: str) -> str:
    return verdict.replace(" ", "-")
