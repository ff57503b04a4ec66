"""One table a study, a row a statement, from its results.json."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent

SHOWN = {"variance": 2, "gap": 2, "no gap in the shallow": 2, "two temperatures": 2}
"""Which of its numbers stands for a statement of the reproduction; the first where nothing is said."""


def reproduction(results: dict[str, Any]) -> str:
    """Markdown, one row a statement."""
    rows = ["| statement of Section 10 | where | verdict | paper | here, mean over seeds |", "|---|---|---|---|---|"]
    for statement in results["statements"]:
        number = statement["numbers"][SHOWN.get(statement["key"], 0)]
        paper, ours = number["paper"] or "–", f"{number['label']}: {number['mean']:.3g}"
        if statement["key"] == "complexity line":
            slopes = [n for n in statement["numbers"] if n["label"].startswith("slope")]
            paper = "slopes " + ", ".join(n["paper"] for n in slopes)
            ours = "slopes " + ", ".join(f"{n['mean']:.2f}" for n in slopes)
        if statement["key"] == "β of the gap":
            own = [n for n in statement["numbers"] if "own gap" in n["label"]]
            paper = ", ".join(n["paper"] for n in own)
            ours = "its own gaps give " + ", ".join(f"{n['mean']:.2f}" for n in own)
        rows.append(
            f"| {statement['claim']} | {statement['where']} | {statement['verdict']} | {paper} | {_escaped(ours)} |"
        )
    return "\n".join(rows)


def comparison(results: dict[str, Any]) -> str:
    """Markdown, one row a statement, its first number for each network."""
    return _by_network(results, "what the paper says of the bulk loss", results["settings"]["networks"])


def laws(results: dict[str, Any]) -> str:
    """The same for the laws of learning."""
    return _by_network(results, "law", ("deep", "shallow"))


def architectures(results: dict[str, Any]) -> str:
    """Markdown, one row a statement, its first number for each activation."""
    names = results["settings"]["activations"]
    rows = [f"| claim about architectures | verdict | here: {', '.join(names)} |", "|---|---|---|"]
    for statement in results["statements"]:
        found = {re.sub(r" \(\S+ to \S+\)$", "", n["label"]): n["mean"] for n in statement["numbers"]}
        label = next(iter(found))
        start = label.removesuffix(f", {names[0]}")
        if label != start:
            label, values = start, [found[f"{start}, {name}"] for name in names]
        else:
            values = [found[label]]
        shown = ", ".join(f"{value:.2g}" for value in values)
        rows.append(f"| {statement['claim']} | {statement['verdict']} | {_escaped(f'{label}: {shown}')} |")
    return "\n".join(rows)


FIVE = {
    "architectures": "5,000 digits",
    "architectures_mnist": "MNIST",
    "architectures_fashion": "Fashion-MNIST",
    "architectures_parameters": "digits, ≤ 16,000",
    "architectures_fashion_parameters": "Fashion-MNIST, ≤ 16,000",
}
"""Studies of architectures: at equal neurons on three data, at equal parameters on two."""


def five_data() -> str:
    """Markdown, one row a claim about architectures, its verdict on every data."""
    found = [json.loads((DOCS / study / "results.json").read_text(encoding="utf-8"))["statements"] for study in FIVE]
    rows = [f"| claim about architectures | {' | '.join(FIVE.values())} |", "|---" * (1 + len(FIVE)) + "|"]
    verdicts = ((same[0]["claim"], *(s["verdict"] for s in same)) for same in zip(*found, strict=True))
    return "\n".join([*rows, *(f"| {' | '.join(row)} |" for row in verdicts)])


def mechanics(results: dict[str, Any], head: str = "claim about trainable variables") -> str:
    """Markdown, one row a statement, the mean over seeds of its first number."""
    rows = [f"| {head} | verdict | here, mean over seeds |", "|---|---|---|"]
    for statement in results["statements"]:
        number = statement["numbers"][0]
        ours = _escaped(f"{number['label']}: {number['mean']:.3g}")
        rows.append(f"| {statement['claim']} | {statement['verdict']} | {ours} |")
    return "\n".join(rows)


def gravity(results: dict[str, Any]) -> str:
    """The same for space-times; where there are several networks the mean is over them too."""
    return mechanics(results, "claim about space-time")


def _by_network(results: dict[str, Any], head: str, networks: Sequence[str]) -> str:
    rows = [f"| {head} | verdict | here, mean over seeds: {', '.join(networks)} |", "|---|---|---|"]
    for statement in results["statements"]:
        means = {n["label"]: n["mean"] for n in statement["numbers"]}
        label = statement["numbers"][0]["label"].removesuffix(f", {networks[0]}")
        values = ", ".join(f"{means[f'{label}, {network}']:.3g}" for network in networks)
        rows.append(f"| {statement['claim']} | {statement['verdict']} | {_escaped(f'{label}: {values}')} |")
    return "\n".join(rows)


def _escaped(text: str) -> str:
    """With bars that do not end the cell."""
    return text.replace("|", "\\|")


TABLES = {f.__name__: f for f in (reproduction, comparison, laws, architectures, mechanics, gravity)}
"""Studies by folder, and what writes the table of each."""

TABLES |= dict.fromkeys(FIVE, architectures)
