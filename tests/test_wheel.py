"""The wheel in an environment of its own: what it brings is enough for the README, and what it lacks it names.

The environment takes the newest Python of the machine and the newest versions that nnthermo allows.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = {"jax", "jaxlib", "flax", "optax", "numpy"}
NEWER = ("3.13", "3.12")
"""Versions of Python that pyproject.toml names, beyond the oldest."""


def interpreter():
    """The newest Python of this machine that nnthermo allows: newer ones get a newer JAX."""
    installed = (Path.home() / ".pyenv" / "versions").glob("*/bin/python3")
    for version in NEWER:
        for found in (shutil.which(f"python{version}"), *sorted(installed)):
            told = found and subprocess.run(
                [found, "-c", "import sys, venv, ensurepip; print('{}.{}'.format(*sys.version_info))"],
                capture_output=True,
                text=True,
                check=False,
            )
            if told and told.stdout.strip() == version:
                return found
    return sys.executable


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A function that runs Python in a new environment with the built wheel and what it requires, in a folder apart."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([interpreter(), "-m", "venv", folder / "env"], check=True)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    away = folder / "away"
    away.mkdir()
    own = {"NNTHERMO_CACHE": str(folder / "cache")}
    clean = own | {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JAX_", "XLA_"))}

    def run(*arguments):
        command = [python, *map(str, arguments)]
        return subprocess.run(command, cwd=away, env=clean, capture_output=True, text=True, timeout=500, check=False)

    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    built = run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("nnthermo-*.whl")
    installed = run(*pip, "install", wheel)
    assert installed.returncode == 0, installed.stderr
    return run


@pytest.mark.slow
@pytest.mark.timeout(1200)  # most of it waits for packages
def test_the_wheel_alone_runs_the_readme(stranger):
    done = stranger("-m", "doctest", ROOT / "README.md")
    assert done.returncode == 0, done.stdout + done.stderr
    where = stranger("-c", "import nnthermo; print(nnthermo.__file__, nnthermo.__version__)").stdout.split()
    assert "site-packages" in where[0]
    assert where[1] == importlib.metadata.version("nnthermo")


@pytest.mark.slow
def test_what_the_wheel_lacks_it_names(stranger):
    """Each extra that is missing says which command brings it, and no test dependency came along."""
    listed = stranger("-m", "pip", "list", "--format", "freeze").stdout.lower()
    assert not {line.split("==")[0] for line in listed.split()} & {
        "pytest",
        "matplotlib",
        "typer",
        "diffrax",
        "blackjax",
    }
    command = stranger("-m", "nnthermo", "--help")
    assert command.returncode != 0
    assert "pip install 'nnthermo[experiments]'" in command.stderr
    assert "Traceback" not in command.stderr
    calls = {
        "plot": "nt.plotting.two_level()",
        "data": "nt.data.load()",
        "tensorboard": "nt.TensorBoard('runs')",
    }
    lines = [f"try: {call}\nexcept ImportError as error: print(error)" for call in calls.values()]
    told = stranger("-c", "\n".join(["import nnthermo as nt", *lines])).stdout.splitlines()
    assert [line.partition(": ")[2] for line in told] == [f"pip install 'nnthermo[{extra}]'" for extra in calls]
