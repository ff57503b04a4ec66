"""The table of results in the README, from results.json beside this file: `python docs/reproduction/summary.py`."""

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"

SHOWN = {"variance": 2, "gap": 2, "no gap in the shallow": 2, "two temperatures": 2}
"""Which of its numbers stands for a statement; the first where nothing is said."""


def table(results: dict[str, Any]) -> str:
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
        ours = re.sub(r"\|log λ\|", "abs(log λ)", ours)
        rows.append(f"| {statement['claim']} | {statement['where']} | {statement['verdict']} | {paper} | {ours} |")
    return "\n".join(rows)


def main() -> None:
    """Put the table into the README in place of the one that is there."""
    results = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    found = re.search(r"\| statement of Section 10 .*?(?=\n\n)", text, re.DOTALL)
    if found is None:
        raise SystemExit("README.md has no table of statements")
    README.write_text(text[: found.start()] + table(results) + text[found.end() :], encoding="utf-8")


if __name__ == "__main__":
    main()
