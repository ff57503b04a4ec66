"""The README's examples run as written, in a fresh interpreter with JAX's defaults."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_examples_of_the_readme():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_ENABLE")}
    done = subprocess.run(
        [sys.executable, "-m", "doctest", "README.md"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_shows_files_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = [part.split(")")[0] for part in text.split("](")[1:]]
    local = [link for link in shown if "://" not in link]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_the_overview_of_the_readme_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "generate"))
    results = importlib.import_module("results")
    assert results.outcome("docs/site/") in (ROOT / "README.md").read_text(encoding="utf-8")
