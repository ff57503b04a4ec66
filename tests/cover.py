"""Coverage by module: which lines do the tests run, and does any module fall behind what `docs/coverage.json` says?

    pip install -e ".[test]"
    python tests/cover.py                              # the whole suite counting lines, then the comparison
    python tests/cover.py tests/test_loss.py -n 0      # a part: shown, not compared
    python tests/cover.py --compare                    # what the last run has counted
    python tests/cover.py --keep                       # ... and keep it in docs/coverage.json

Counting takes about a sixth more time: the ordinary test command does without, `.ci/run` does it.
"""

import datetime
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RAW = ROOT / ".cache" / "coverage.json"
KEPT = ROOT / "docs" / "coverage.json"
OPTIONS = ("--cov=nnthermo", f"--cov-report=json:{RAW}", "--cov-report=")

MOST = 0.2
"""Share of a new module that may stay unrun; `SLACK` lines more than before may, of one that is known."""
SLACK = 5


def counted() -> dict[str, tuple[int, int]]:
    """Lines of each module that can run, and how many of them did not, in the last run."""
    files = json.loads(RAW.read_text(encoding="utf-8"))["files"]
    for path, file in sorted(files.items()):
        if file["missing_lines"]:
            print(f"{path}: lines {file['missing_lines']} do not run")
    counts = {path: file["summary"] for path, file in sorted(files.items())}
    modules = {path: (count["num_statements"], count["missing_lines"]) for path, count in counts.items()}
    total, missing = (sum(column) for column in zip(*modules.values(), strict=True))
    print(f"{total - missing} of {total} lines run, {1 - missing / total:.2%}")
    return modules


def fallen(modules: dict[str, tuple[int, int]]) -> list[str]:
    """Modules of which more is left out than was, in one sentence each."""
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["modules"]
    allowed = {path: kept[path][1] + SLACK if path in kept else MOST * lines for path, (lines, _) in modules.items()}
    return [
        f"{path}: {missing} lines do not run, at most {allowed[path]:g} may"
        for path, (_, missing) in modules.items()
        if missing > allowed[path]
    ]


def keep(modules: dict[str, tuple[int, int]]) -> None:
    """Write the counts, with what they were counted by."""
    about = {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
    }
    rows = ",\n".join(f"    {json.dumps(path)}: {json.dumps(counts)}" for path, counts in modules.items())
    KEPT.write_text(f'{json.dumps(about)[:-1]}, "modules": {{\n{rows}\n}}}}\n', encoding="utf-8")


def main() -> None:
    """Run pytest with the arguments given, or look at what it has counted."""
    arguments = sys.argv[1:]
    if arguments == ["--keep"]:
        keep(counted())
        return
    if arguments != ["--compare"]:
        RAW.parent.mkdir(exist_ok=True)
        told = subprocess.run([sys.executable, "-m", "pytest", *OPTIONS, *arguments], cwd=ROOT, check=False)
        if told.returncode or arguments:
            counted()
            sys.exit(told.returncode)
    if sentences := fallen(counted()):
        sys.exit("\n".join(sentences))


if __name__ == "__main__":
    main()
