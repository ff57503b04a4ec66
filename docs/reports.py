"""The committed reports, written again from their numbers and the pictures in them: `python docs/reports.py`.

After a change of the page that all reports share, or of a sentence in one; what was measured is not touched.
"""

import base64
import importlib
import json
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

KINDS = {"svg+xml": "svg", "png": "png"}
"""Ends of the names of pictures, by type."""


def written(folder: Path, into: Path) -> Path:
    """The report of a committed study, with the pictures that its present report has.

    Args:
        folder: of the study.
        into: where the new report goes.
    """
    audit = folder / "audit.json"
    results = json.loads((audit if audit.exists() else folder / "results.json").read_text(encoding="utf-8"))
    study = results["command"].split()[1]
    report = importlib.import_module(f"nnthermo.experiments.{study}.report")
    old = (folder / "report.html").read_text(encoding="utf-8")
    found = re.findall(r'<img src="data:image/([\w+]+);base64,([^"]+)" alt="(?:Figure|Equation) ([\d.]+)', old)
    with tempfile.TemporaryDirectory() as place:
        pictures = {}
        for kind, data, number in found:
            pictures[number] = Path(place) / f"figure-{number}.{KINDS[kind]}"
            pictures[number].write_bytes(base64.b64decode(data))
        if study == "audit":
            return report.write_report(into, results, {number: (file,) for number, file in pictures.items()})
        films = {file.stem: file for file in folder.glob("films/*.gif")}
        return report.write_report(into, results, list(pictures.values()), *([films] if films else []))


def main(names: list[str]) -> None:
    """Write the reports of the given studies, or of all."""
    for name in names or sorted(file.parent.name for file in HERE.glob("*/report.html")):
        written(HERE / name, HERE / name)


if __name__ == "__main__":
    main(sys.argv[1:])
