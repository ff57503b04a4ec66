"""Settings of a study: kept as JSON types, compared with those that were kept, and checked in one sentence each."""

import dataclasses
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Self

from nnthermo._checks import check, refuse


class StoredSettings:
    """A frozen dataclass of settings that a folder keeps. What it requires of itself is called when it is made."""

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """The settings that `to_json` wrote."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()})

    def changed(self, **given: Any) -> Self:
        """The same with what is given.

        Raises:
            ValueError: settings that are not allowed, alone or together.
        """
        return dataclasses.replace(self, **given)  # type: ignore[type-var]

    def require_same(self, saved: dict[str, Any], where: Path) -> None:
        """Refuse to continue a run that was started with other settings; the message names the first that differs."""
        for name, value in self.to_json().items():
            if saved.get(name) != value:
                refuse(name, f"stay {saved.get(name)}, as the run in {where} was started", value)

    def require(self, requirement: str, holds: Callable[[Any], bool], *names: str) -> None:
        """Refuse settings of which something does not hold, each by its name."""
        for name in names:
            check(name, requirement, holds(getattr(self, name)), getattr(self, name))

    def require_positive(self, *names: str) -> None:
        """Numbers above 0."""
        self.require("be positive", lambda value: value > 0, *names)

    def require_at_least(self, least: float, *names: str) -> None:
        """Numbers that are no smaller."""
        self.require(f"be at least {least}", lambda value: value >= least, *names)

    def require_distinct(self, *names: str) -> None:
        """Lists with at least one entry, and none twice."""
        self.require("name at least one", lambda values: len(values) > 0, *names)
        self.require("differ", lambda values: len(set(values)) == len(values), *names)

    def require_some_of(self, name: str, known: Collection[str]) -> None:
        """A list of names, each one that is known, and none twice."""
        values = getattr(self, name)
        check(name, f"be some of {', '.join(known)}", values and set(values) <= set(known), ", ".join(values))
        self.require_distinct(name)

    def require_seeds(self) -> None:
        """Seeds: at least one, none twice, none negative."""
        self.require("name at least one seed", bool, "seeds")
        self.require_distinct("seeds")
        self.require("not be negative", lambda seeds: min(seeds) >= 0, "seeds")

    def require_coding(self) -> None:
        """Pixels and targets that tell something from nothing."""
        off = getattr(self, "target_off")  # noqa: B009 - not every study has them
        self.require_positive("pixel_high")
        self.require("exceed target_off", lambda on: on > off, "target_on")
