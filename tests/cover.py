"""Coverage by module: which lines do the tests run?

    pip install -e ".[dev]"
    python tests/cover.py                 # the whole suite, half an hour on two cores; then writes docs/coverage.json
    python tests/cover.py tests/test_loss.py -n 0      # a part, shown and not written

Python 3.12 counts lines almost for nothing (`sys.monitoring`); 3.11 takes about a sixth more time, which is why the
ordinary test command does not count. `tests/test_package.py` compares the modules of the file with those there are.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RAW = ROOT / ".cache" / "coverage.json"
KEPT = ROOT / "docs" / "coverage.json"


def main() -> None:
    """Run pytest with the arguments given, and keep the numbers if there were none."""
    RAW.parent.mkdir(exist_ok=True)
    core = {"COVERAGE_CORE": "sysmon"} if sys.version_info >= (3, 12) else {}
    command = [sys.executable, "-m", "pytest", "--cov=nnthermo", f"--cov-report=json:{RAW}", "--cov-report="]
    told = subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, env={**os.environ, **core}, check=False)
    files = json.loads(RAW.read_text(encoding="utf-8"))["files"]
    modules = {
        path: [f["summary"]["num_statements"], f["summary"]["missing_lines"]] for path, f in sorted(files.items())
    }
    for path, (statements, missing) in modules.items():
        if missing:
            print(f"{path}: {missing} of {statements} lines not run: {files[path]['missing_lines']}")
    total, missing = (sum(column) for column in zip(*modules.values(), strict=True))
    print(f"{total - missing} of {total} lines run, {1 - missing / total:.2%}")
    if not sys.argv[1:] and told.returncode == 0:
        about = {
            "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
            "python": platform.python_version(),
            "jax": importlib.metadata.version("jax"),
        }
        rows = ",\n".join(f"    {json.dumps(path)}: {json.dumps(counts)}" for path, counts in modules.items())
        KEPT.write_text(f'{json.dumps(about)[:-1]}, "modules": {{\n{rows}\n}}}}\n', encoding="utf-8")
    sys.exit(told.returncode)


if __name__ == "__main__":
    main()
