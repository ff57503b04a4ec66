"""When to stop training: rules over the records so far, learning equilibrium (6.2), (7.6) among them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nnthermo._checks import check, function, integer, refuse

History = Mapping[str, np.ndarray]
"""Records by name, each with the leading axis of `history["epoch"]`."""


class Stopped(NamedTuple):
    """Why and when training stopped.

    Attributes:
        epoch: of the record that decided.
        reason: in words, with the numbers.
    """

    epoch: int
    reason: str


Stop = Callable[[History], Stopped | None]
"""A rule: a pure function of the records so far, called after each; so a resumed run stops where the whole one does."""


def any_of(*rules: Stop) -> Stop:
    """Stop when one of the rules does; the first of them gives the reason.

    Raises:
        TypeError: rules that are not functions.
    """
    return _Any(_checked(rules))


def all_of(*rules: Stop) -> Stop:
    """Stop when all rules do at the same record; the reasons are joined.

    Raises:
        ValueError: no rules.
        TypeError: rules that are not functions.
    """
    check("rules", "hold at least one rule", len(rules) > 0, rules)
    return _All(_checked(rules))


@dataclasses.dataclass(frozen=True)
class Reached:
    """Stop when a recorded scalar is at most `below`, or at least `above`.

    Args:
        name: of the record.
        below: bound in its units.
        above: bound in its units.

    Raises:
        ValueError: neither bound; when called, no such scalar in the history.
    """

    name: str
    _: dataclasses.KW_ONLY
    below: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        check("below or above", "be given", self.below is not None or self.above is not None, "neither")

    def __call__(self, history: History) -> Stopped | None:
        """Why and when, or None."""
        value = float(_scalars(history, self.name)[-1])
        low = self.below is not None and value <= self.below
        high = self.above is not None and value >= self.above
        if not (low or high):
            return None
        bound = f"at most {self.below:g}" if low else f"at least {self.above:g}"
        return Stopped(int(history["epoch"][-1]), f"{self.name} is {value:.6g}, {bound}")


@dataclasses.dataclass(frozen=True)
class LearningEquilibrium:
    """Stop when the loss and the ensemble averages have stood still over the last `window` records.

    In a learning equilibrium the derivatives of U in weights and biases vanish (6.2) and the entropy is constant (7.6).
    Records show only the second kind of statement, that quantities stay as they are while training goes on, so this
    rule tests that: a straight line in the epochs is fitted to each quantity, and the largest change that the fit
    leaves possible, |change over the window| + confidence × its standard error, must be within the tolerance. The noise
    of mini-batches thus delays the decision; where it hides the tolerance, only a longer window ends the run.

    What it cannot tell: a plateau before another drop (Fig. 3 of the paper has one) from the end of learning, nor an
    equilibrium from a learning rate that has decayed; record a gradient (`equilibrium_observer`) and bound that too for
    (6.2) itself. The standard error takes the scatter of the records as independent. With logarithmically spaced
    records the window covers most of the run: give `observe_at` evenly spaced ones.

    Args:
        relative: quantities, by name, with tolerances relative to the size of their mean over the window; default
            `loss` and `average_loss` U (6.1), 0.01 each.
        absolute: quantities with tolerances in their own units; default `entropy` S (7.1), 0.01 nats.
        window: records that must agree, at least 4.
        confidence: standard errors of the change that count as possible.

    Raises:
        ValueError: a short window, tolerances that are not positive, no quantity; when called, a quantity that is not
            in the history or is not a scalar.
    """

    relative: Any = (("loss", 0.01), ("average_loss", 0.01))
    absolute: Any = (("entropy", 0.01),)
    window: int = 20
    confidence: float = 2.0

    def __post_init__(self) -> None:
        for kind in ("relative", "absolute"):
            pairs = getattr(self, kind)
            pairs = tuple((str(n), float(t)) for n, t in (pairs.items() if isinstance(pairs, Mapping) else pairs))
            check(kind, "hold positive tolerances", all(t > 0 for _, t in pairs), dict(pairs))
            object.__setattr__(self, kind, pairs)
        check("relative and absolute", "name at least one quantity", self.relative + self.absolute, "none")
        check("window", "be at least 4 records", integer("window", self.window) >= 4, self.window)
        check("confidence", "not be negative", self.confidence >= 0, self.confidence)

    def __call__(self, history: History) -> Stopped | None:
        """Why and when, or None while something moves, is not finite, or too few records are there."""
        names = [name for name, _ in self.relative + self.absolute]
        columns = {name: _scalars(history, name) for name in names}
        if len(history["epoch"]) < self.window:
            return None
        epochs = np.asarray(history["epoch"][-self.window :], float)
        found = []
        for scaled, (name, tolerance) in [(True, q) for q in self.relative] + [(False, q) for q in self.absolute]:
            values = np.asarray(columns[name][-self.window :], float)
            change, error = drift(epochs, values)
            size = abs(values.mean()) if scaled else 1.0
            if not abs(change) + self.confidence * error <= tolerance * size:  # nor if a value is NaN or infinite
                return None
            relative = f" of {values.mean():.4g}" if scaled else ""
            found.append(f"{name} changed by {change:.2g} ± {error:.2g}{relative}")
        span = f"epochs {int(epochs[0])} to {int(epochs[-1])}"
        return Stopped(int(epochs[-1]), f"learning equilibrium: over {span} {', '.join(found)}")


def drift(epochs: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Change of the least-squares line over the given epochs, and its standard error, in the units of the values.

    With t the epochs and s² the squared residuals over n - 2: slope ± s / √Σ(t - ⟨t⟩)², times t_n - t_1.
    """
    t = epochs - epochs.mean()
    y = values - values.mean()
    spread = t @ t
    slope = (t @ y) / spread
    scatter = np.sum((y - slope * t) ** 2) / (len(t) - 2)
    length = epochs[-1] - epochs[0]
    return float(slope * length), float(np.sqrt(scatter / spread) * length)


def as_stop(stop: Any) -> Stop | None:
    """A rule from None, a rule, or a sequence of rules of which any may stop."""
    if stop is None or callable(stop):
        return stop
    if not isinstance(stop, tuple | list):
        raise TypeError(f"`stop` must be a function of the history or a sequence of them, but got {stop!r}")
    return any_of(*stop)


@dataclasses.dataclass(frozen=True)
class _Any:
    rules: tuple[Stop, ...]

    def __call__(self, history: History) -> Stopped | None:
        return next((found for rule in self.rules if (found := rule(history)) is not None), None)


@dataclasses.dataclass(frozen=True)
class _All:
    rules: tuple[Stop, ...]

    def __call__(self, history: History) -> Stopped | None:
        found = [rule(history) for rule in self.rules]
        reasons = [one.reason for one in found if one is not None]
        return Stopped(int(history["epoch"][-1]), " and ".join(reasons)) if len(reasons) == len(found) else None


def _checked(rules: tuple[Any, ...]) -> tuple[Stop, ...]:
    for rule in rules:
        function("rules", rule, "functions of the history")
    return rules


def _scalars(history: History, name: str) -> np.ndarray:
    if name not in history:
        refuse("stop", f"name what is recorded (one of {', '.join(sorted(history))})", repr(name))
    check("stop", "name scalars", np.ndim(history[name]) == 1, f"{name!r} of shape {np.shape(history[name])[1:]}")
    return history[name]
