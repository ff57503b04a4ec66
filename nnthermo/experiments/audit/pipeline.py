"""From a seed to a folder of results: every equation evaluated, figures, report."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from nnthermo import _checks
from nnthermo.experiments.audit import (
    section_2,
    section_3,
    section_4,
    section_5,
    section_6,
    section_7,
    section_8,
    section_9,
    section_10,
    section_11,
    section_12,
)
from nnthermo.experiments.audit.entry import VERDICTS, Entry, Equation
from nnthermo.experiments.audit.figures import FIGURES, draw
from nnthermo.experiments.audit.report import write_report
from nnthermo.experiments.audit.systems import Systems
from nnthermo.experiments.folder import circumstances, require_folder, writable, write_json

SECTIONS = (
    section_2,
    section_3,
    section_4,
    section_5,
    section_6,
    section_7,
    section_8,
    section_9,
    section_10,
    section_11,
    section_12,
)

EQUATIONS: dict[str, Equation] = {e.number: e for section in SECTIONS for e in section.EQUATIONS}
"""Every numbered equation, Sections 2 to 12, by number, in the paper's order."""

Told = Callable[[Entry], None]


def audit(
    output: str | os.PathLike[str], *, seed: int = 0, command: str = "", report: Told | None = None
) -> dict[str, Any]:
    """Evaluate every equation and write `audit.json`, `report.html` and `figures/`.

    Args:
        output: folder, made if need be; empty, or with an earlier audit, which is replaced.
        seed: of the networks that the equations are evaluated on.
        command: the command line, for the record.
        report: told each entry when it is done.

    Returns:
        The contents of `audit.json`.

    Raises:
        ValueError: a folder with other files, or a negative seed.
        OSError: a folder that cannot be written.
        ImportError: a missing optional package.
    """
    for package in ("jinja2", "matplotlib"):
        _checks.extra(package, "experiments")
    _checks.check("seed", "not be negative", seed >= 0, seed)
    folder = _open(Path(output))
    started = time.perf_counter()
    entries = []
    with jax.enable_x64(True):
        systems = Systems(seed)
        for equation in EQUATIONS.values():
            entries.append(equation.audit(systems))
            if report is not None:
                report(entries[-1])
        figures = draw(systems, FIGURES, folder / "figures")
    results = {
        "title": "“Towards a theory of machine learning”, equation by equation",
        "command": command,
        "seed": seed,
        **circumstances(),
        "seconds": time.perf_counter() - started,
        "count": len(entries),
        "tally": tally(entry.verdict for entry in entries),
        "equations": [entry.to_json() for entry in entries],
    }
    write_json(folder / "audit.json", results)
    write_report(folder, results, figures)
    return results


def audit_one(number: str, output: str | os.PathLike[str] | None = None, *, seed: int = 0) -> tuple[Entry, list[Path]]:
    """Evaluate one equation and draw its figure, if it has one and there is a folder to put it in.

    Args:
        number: "9.4", with or without parentheses.
        output: as for `audit`; None draws nothing.
        seed: as for `audit`.

    Returns:
        The entry, and the files of its figure.

    Raises:
        ValueError: no such equation, or as `audit`.
    """
    key = number.strip().strip("()")
    if key not in EQUATIONS:
        _checks.refuse("equation", f"be one of the {len(EQUATIONS)} from 2.1 to 12.14", repr(number))
    _checks.check("seed", "not be negative", seed >= 0, seed)
    wanted = {key: FIGURES[key]} if key in FIGURES and output is not None else {}
    folder = _open(Path(output)) if wanted and output is not None else None
    with jax.enable_x64(True):
        systems = Systems(seed)
        entry = EQUATIONS[key].audit(systems)
        figures = draw(systems, wanted, folder / "figures") if folder else {}
    return entry, list(figures.get(key, ()))


def tally(verdicts: Any) -> dict[str, int]:
    """How often each verdict was given, in the order of `VERDICTS`."""
    counted = Counter(verdicts)
    return {verdict: counted[verdict] for verdict in VERDICTS if counted[verdict]}


def _open(folder: Path) -> Path:
    """The output folder, which must be ours."""
    require_folder(folder)
    ours = {"audit.json", "report.html", "figures"}
    others = {file.name for file in folder.iterdir()} - ours if folder.exists() else set()
    _checks.check("output", "be empty or hold an earlier audit", not others, f"{folder}, which holds other files")
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
