"""The audit in the terminal: a table of all equations, or one of them in full."""

from pathlib import Path
from typing import Any

from nnthermo._checks import extra
from nnthermo.experiments.audit.entry import VERDICTS, Check, Entry
from nnthermo.experiments.audit.report import row
from nnthermo.experiments.page import number

COLOURS = {
    "exact": "green",
    "exact with a condition": "yellow",
    "approximate": "yellow",
    "definition": "dim",
    "postulate": "dim",
    "misprint": "red",
    "wrong": "bold red",
    "unconfirmed": "bold magenta",
}


def telling(verdict: str, checks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The check that shows best why the verdict is what it is; None without checks."""
    order = {
        "exact with a condition": ("outside",),
        "approximate": ("printed",),
        "misprint": ("printed",),
        "wrong": ("printed",),
        "unconfirmed": ("right", "law", "printed"),
    }
    for role in order.get(verdict, ("printed", "right")):
        failing = role in ("outside", "printed") and verdict not in ("exact", "definition", "postulate")
        broken = failing or verdict == "unconfirmed"
        found = [c for c in checks if c["role"] == role and c["holds"] is not broken]
        if found:
            return found[0]
    return checks[0] if checks else None


def table(results: dict[str, Any]) -> Any:
    """All equations, a line each."""
    grid = extra("rich.table", "experiments").Table(box=None, pad_edge=False, padding=(0, 1))
    text = extra("rich.text", "experiments").Text
    grid.add_column("", justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("found", no_wrap=True)
    grid.add_column("of")  # gives way in a narrow terminal
    for equation in results["equations"]:
        verdict = equation["verdict"]
        check = telling(verdict, equation["checks"])
        grid.add_row(
            f"({equation['number']})",
            text(f"{VERDICTS[verdict]} {verdict}", style=COLOURS[verdict]),
            text(_compared(check) if check else ""),
            text(check["label"] if check else "", no_wrap=True, overflow="ellipsis"),
        )
    return grid


def _compared(check: dict[str, Any]) -> str:
    """ "0.540 ≠ 0": a check in one line; what is zero up to its tolerance as 0."""
    signs = {"=": "=≠", "≤": "≤>", "≥": "≥<"}[check["relation"]]
    value = "not finite" if check["value"] is None else number(check["value"])
    tiny = check["expected"] == 0 and check["holds"] and check["relation"] == "="
    return f"{'0' if tiny else value} {signs[not check['holds']]} {number(check['expected'])}"


def summary(results: dict[str, Any]) -> str:
    """ "86 equations: 20 exact, 3 wrong." """
    parts = ", ".join(f"{count} {verdict}" for verdict, count in results["tally"].items())
    return f"{results['count']} equations: {parts}."


def show_one(console: Any, entry: Entry, figures: list[Path]) -> None:
    """One equation in full."""
    text = extra("rich.text", "experiments").Text
    equation = entry.equation
    verdict = text(f"{VERDICTS[entry.verdict]} {entry.verdict}", style=COLOURS[entry.verdict])
    console.print(text.assemble((f"({equation.number})  ", "bold"), verdict))
    for name, content in (
        ("printed", equation.printed),
        ("right", equation.right or "the same"),
        ("condition", equation.condition),
        ("comment", equation.comment),
        ("code", equation.code),
    ):
        if content:
            console.print(text.assemble((f"{name:>10}  ", "dim"), content), soft_wrap=True)
    console.print(_numbers(entry.checks))
    for file in figures:
        console.print(text.assemble(("    figure  ", "dim"), str(file)), soft_wrap=True)


def _numbers(checks: tuple[Check, ...]) -> Any:
    grid = extra("rich.table", "experiments").Table(box=None, pad_edge=False, padding=(0, 1))
    text = extra("rich.text", "experiments").Text
    for name in ("", "number", "found", "should be", "of", "reason"):
        grid.add_column(name, overflow="fold")
    for check in checks:
        shown = row(check.to_json())
        sign = text("✓", style="green") if check.holds else text("✕", style="red")
        grid.add_row(sign, *(text(shown[k]) for k in ("label", "value", "expected", "role", "reason")))
    return grid
