"""How far each statement depends on what the paper leaves unsaid: one setting changed at a time, in shorter runs."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnthermo.experiments.networks import NETWORKS
from nnthermo.experiments.reproduce.runs import Job, load_runs
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements import statements
from nnthermo.experiments.verdicts import or_none

VARIANTS: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "pixels 0 to 255": lambda _base: {"pixel_high": 255.0},
    "targets 0 and 1": lambda _base: {"target_off": 0.0},
    "learning rate × 10": lambda base: {"learning_rate": 10 * base.learning_rate},
    "learning rate ÷ 10": lambda base: {"learning_rate": base.learning_rate / 10},
    "batch size ÷ 5": lambda base: {"batch_size": max(1, base.batch_size // 5)},
    "batch size × 10": lambda base: {"batch_size": 10 * base.batch_size},
    "initial weights ÷ 2": lambda base: {"scale": base.scale / 2},
    "initial weights × 2": lambda base: {"scale": 2 * base.scale},
    "1,000 samples": lambda _base: {"samples": 1000},
}
"""Name, and the settings that it changes."""

KEY_NUMBERS = (
    "mean (log λ)³ deep,",
    "mean (log λ)³ shallow,",
    "mean (log λ)² deep,",
    "mean (log λ)² shallow,",
    "log10 U_∂/U, averages",
    "slope of C_20",
    "slope of C_834",
    "β from the gap",
)
"""Beginnings of the labels that the table of numbers shows."""


@dataclasses.dataclass(frozen=True)
class Short(Job):
    """A short run, in a folder of its variant."""

    @property
    def file(self) -> Path:
        """Where its history goes."""
        return self.folder / f"{self.network}.nc"


def variants(base: Settings) -> dict[str, Settings]:
    """Settings of each short run, the unchanged base first; one seed, fewer records, the bulk loss over 500 samples."""
    short = dataclasses.replace(
        base, epochs=base.sensitivity_epochs, seeds=base.seeds[:1], observations=10, relaxed_samples=500
    )
    found = {"base": short}
    for name, change in VARIANTS.items():
        found[name] = dataclasses.replace(short, **change(base))
    return found


def jobs(base: Settings, folder: Path, data_dir: str | None) -> dict[str, list[Short]]:
    """The runs of every variant."""
    found = {}
    for k, (name, settings) in enumerate(variants(base).items()):
        place = folder / f"variant-{k}"
        place.mkdir(parents=True, exist_ok=True)
        seed = settings.seeds[0]
        found[name] = [Short(n, seed, settings=settings, data_dir=data_dir, folder=place) for n in NETWORKS]
    return found


def summary(by_variant: dict[str, list[Short]]) -> dict[str, Any]:
    """Verdicts and key numbers of every variant, as JSON types."""
    base = next(iter(by_variant.values()))[0]
    rows = []
    for name, runs in by_variant.items():
        found = statements(load_runs(runs), runs[0].settings)
        numbers = {n.label: n.to_json()["mean"] for s in found for n in s.numbers if n.label.startswith(KEY_NUMBERS)}
        last = load_runs(runs)["deep"].isel(epoch=-1, seed=0)
        numbers["accuracy on the training samples"] = or_none(float(last.accuracy))
        rows.append(
            {
                "name": name,
                "changed": _changed(runs[0].settings, base.settings),
                "verdicts": {s.key: s.verdict for s in found},
                "numbers": numbers,
            }
        )
    return {"epochs": base.settings.epochs, "seeds": [base.seed], "base": rows[0], "variants": rows[1:]}


def _changed(settings: Settings, base: Settings) -> dict[str, Any]:
    one, other = settings.to_json(), base.to_json()
    return {name: value for name, value in one.items() if value != other[name]}
