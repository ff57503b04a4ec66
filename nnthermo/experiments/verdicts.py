"""A claim's verdict and the numbers it rests on, in the form that every report shows."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


@dataclasses.dataclass
class Number:
    """A number the paper quotes beside ours.

    Attributes:
        label: what it is.
        paper: its value as printed there, "1.40"; None where the paper says it in words only.
        ours: one value a seed.
    """

    label: str
    paper: str | None
    ours: list[float]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.ours))

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; NaN for one."""
        return float(np.std(self.ours, ddof=1)) if len(self.ours) > 1 else math.nan

    def to_json(self) -> dict[str, Any]:
        """As JSON types, numbers that are not finite as None."""
        return {
            "label": self.label,
            "paper": self.paper,
            "mean": or_none(self.mean),
            "spread": or_none(self.spread),
            "per_seed": [or_none(v) for v in self.ours],
        }


def or_none(value: float) -> float | None:
    """The value for JSON, which knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


class Finding(NamedTuple):
    """What the runs say of a claim: numbers, "agrees", "partly" or "disagrees", and a sentence or two."""

    numbers: list[Number]
    verdict: str
    comment: str


@dataclasses.dataclass
class Statement:
    """A claim with its verdict.

    Attributes:
        key: short name, the same in every report.
        where: figure or section of the paper.
        claim: the claim in our words.
        criterion: what counts as agreement.
        numbers: those it rests on.
        verdict: "agrees", "partly", "disagrees" or "not tested".
        comment: what came out, in a sentence or two.
    """

    key: str
    where: str
    claim: str
    criterion: str
    numbers: list[Number]
    verdict: str
    comment: str

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        fields = {name: getattr(self, name) for name in ("key", "where", "claim", "criterion", "verdict", "comment")}
        return {**fields, "numbers": [n.to_json() for n in self.numbers]}


def per_seed(dataset: Any, function: Callable[..., float], *arguments: Any) -> list[float]:
    """A number from each seed's history, function(history, *arguments)."""
    return [float(function(dataset.isel(seed=k), *arguments)) for k in range(dataset.sizes["seed"])]


def graded(whole: Any, part: Any) -> str:
    """ "agrees" where the whole criterion is met, "partly" where only a part of it is, else "disagrees"."""
    return "agrees" if whole else "partly" if part else "disagrees"


def judge(results: Sequence[bool]) -> str:
    """The verdict of all seeds: "partly" if only some meet the criterion."""
    return graded(all(results), any(results))
