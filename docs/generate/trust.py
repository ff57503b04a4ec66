"""The table of coverage: which lines of which modules the tests run, from `docs/coverage.json`."""

import json
from pathlib import Path

KEPT = Path(__file__).parent.parent / "coverage.json"


def coverage() -> str:
    """Markdown: a row a part of the package, then every module of which something is not run."""
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    parts: dict[str, list[int]] = {}
    left = []
    for path, (statements, missing) in found["modules"].items():
        inner = path.removeprefix("nnthermo/")
        counts = parts.setdefault(inner.rpartition("/")[0] or "the modules beside them", [0, 0, 0])
        for k, number in enumerate((1, statements, missing)):
            counts[k] += number
        if missing:
            share = missing / statements
            left.append((share, f"| `{inner}` | {statements} | {missing} | {1 - share:.1%} |"))
    total, missing = (sum(counts[k] for counts in parts.values()) for k in (1, 2))
    filled = ((name, n, lines, out) for name, (n, lines, out) in sorted(parts.items()) if lines)
    rows = [f"| {name} | {n} | {lines} | {1 - out / lines:.1%} |" for name, n, lines, out in filled]
    return "\n".join(
        [
            f"{1 - missing / total:.2%} of {total} lines, counted on {found['date']} under Python {found['python']}",
            f"and jax {found['jax']} by `python tests/cover.py`. What runs in processes of its own is not counted.\n",
            "| part | modules | lines | run by the tests |",
            "|---|---|---|---|",
            *rows,
            "\nModules of which some lines are never run:\n",
            "| module | lines | not run | run |",
            "|---|---|---|---|",
            *(row for _, row in sorted(left, reverse=True)),
        ]
    )
