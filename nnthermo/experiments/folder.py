"""The folder of results: opened, written whole or not at all, and what is said of every run."""

import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import jax

from nnthermo import __version__
from nnthermo._checks import check, refuse


class Settings(Protocol):
    """What a folder needs to know of the settings of the run in it."""

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON types."""

    def require_same(self, saved: dict[str, Any], where: Path) -> None:
        """Refuse other settings than those the run was started with."""


def open_folder(folder: Path, settings: Settings, *, resume: bool) -> float:
    """Make the output folder or check that it holds this run; returns the seconds spent on it before."""
    record = folder / "settings.json"
    if folder.exists() and not folder.is_dir():
        refuse("output", "be a folder", f"a file, {folder}")
    if record.exists():
        check("output", "be empty (or continued with --resume)", resume, f"a run in {folder}")
        try:
            saved = json.loads(record.read_text())
            settings.require_same(saved["settings"], folder)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"`output` must hold a readable settings.json, but got {error!r} in {record}") from error
        return float(saved["seconds"])
    if folder.exists() and any(folder.iterdir()):
        refuse("output", "be empty", f"{folder}, which holds other files")
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        write_json(record, {"settings": settings.to_json(), "seconds": 0.0})
    except OSError as error:
        raise OSError(f"`output` must be a folder that can be written, but got {folder}: {error}") from error
    return 0.0


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file, which appears only when it is complete."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(file)


def circumstances() -> dict[str, Any]:
    """Versions, machine and date, as JSON types."""
    return {
        "versions": _versions(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jax.default_backend()}",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def _versions() -> dict[str, str]:
    others = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {"python": platform.python_version(), "nnthermo": __version__, **others}
