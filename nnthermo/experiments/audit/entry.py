"""An equation of the paper, the numbers it is judged by, and the rule that turns numbers into a verdict."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnthermo.experiments.audit.systems import Systems
from nnthermo.experiments.verdicts import or_none

VERDICTS = {
    "exact": "✓",
    "exact with a condition": "◐",
    "approximate": "≈",
    "definition": "≡",
    "postulate": "○",
    "misprint": "✎",
    "wrong": "✕",
    "unconfirmed": "?",
}
"""Verdicts in the order of the tally, each with its sign. "unconfirmed" says that the audit itself failed."""

ROLES = ("printed", "outside", "right", "law")
KINDS = ("statement", "definition", "postulate")


@dataclasses.dataclass(frozen=True)
class Check:
    """A number beside what it should be.

    Attributes:
        label: what it is.
        value: as evaluated.
        expected: what it should be, or the bound.
        tolerance: how far it may be from there.
        reason: why that far.
        role: what hangs on it. "printed": the equation as printed, under the conditions the paper states. "outside":
            as printed, where a condition that the paper does not state fails. "right": the corrected form, or a
            further fact that must hold. "law": how large the error of an approximation is.
        relation: "=", or "≤" and "≥" for bounds.
    """

    label: str
    value: float
    expected: float
    tolerance: float
    reason: str
    role: str = "printed"
    relation: str = "="

    @property
    def holds(self) -> bool:
        """Whether the value is where it should be; never if it is not finite."""
        gap = float(self.value) - float(self.expected)
        error = {"=": abs(gap), "≤": gap, "≥": -gap}[self.relation]
        return math.isfinite(gap) and error <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        numbers = {name: or_none(float(getattr(self, name))) for name in ("value", "expected", "tolerance")}
        words = {name: getattr(self, name) for name in ("label", "reason", "role", "relation")}
        return {**words, **numbers, "holds": self.holds}


Evaluate = Callable[[Systems], Iterator[Check]]


@dataclasses.dataclass(frozen=True)
class Equation:
    """What is said of a numbered equation, and how it is checked.

    Attributes:
        number: "9.4".
        printed: the equation as printed.
        right: the corrected form; None where the printed one is right.
        condition: what it needs to hold, in words; "" for nothing.
        comment: a sentence or two for the reader.
        code: the public name that implements it, "nt.log_partition".
        kind: "statement", "definition" or "postulate".
        fault: what it is called if the printed form fails: "misprint" for a slip of the pen, else "wrong".
        evaluate: yields the checks, given the systems.
    """

    number: str
    printed: str
    right: str | None
    condition: str
    comment: str
    code: str
    kind: str
    fault: str
    evaluate: Evaluate

    @property
    def section(self) -> int:
        """The section it stands in."""
        return int(self.number.partition(".")[0])

    def audit(self, systems: Systems) -> "Entry":
        """Evaluate the checks."""
        started = time.perf_counter()
        checks = tuple(self.evaluate(systems))
        return Entry(self, checks, judge(self, checks), time.perf_counter() - started)


@dataclasses.dataclass(frozen=True)
class Entry:
    """An equation with its numbers and its verdict."""

    equation: Equation
    checks: tuple[Check, ...]
    verdict: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        told = {f.name: getattr(self.equation, f.name) for f in dataclasses.fields(Equation) if f.name != "evaluate"}
        checks = [check.to_json() for check in self.checks]
        return {**told, "verdict": self.verdict, "seconds": round(self.seconds, 3), "checks": checks}


def judge(equation: Equation, checks: Sequence[Check]) -> str:
    """The verdict that the numbers give.

    - "unconfirmed": a corrected form or a law fails, or there are no numbers for a statement.
    - "definition", "postulate": what the paper sets rather than derives, unless what it prints contradicts itself.
    - "approximate": the printed form is not met, but its error follows a law.
    - "misprint" or "wrong": the printed form is not met, the corrected one is.
    - "exact with a condition": the printed form is met, but not without a condition that the paper leaves out.
    - "exact": the printed form is met.
    """
    held = {role: [c.holds for c in checks if c.role == role] for role in ROLES}
    printed = all(held["printed"])
    if not all(held["right"] + held["law"]):
        return "unconfirmed"
    if equation.kind == "postulate" or (equation.kind == "definition" and printed):
        return equation.kind
    if not printed:
        repaired = equation.fault if held["right"] and equation.right else "unconfirmed"
        return "approximate" if held["law"] else repaired
    if held["law"] or not held["printed"]:
        return "unconfirmed"  # an error that should be there is not, or nothing was checked
    return "exact" if all(held["outside"]) else "exact with a condition"


def chapter() -> tuple[list[Equation], Callable[..., Callable[[Evaluate], Equation]]]:
    """An empty list of equations, and the decorator that adds to it."""
    equations: list[Equation] = []

    def equation(
        number: str,
        printed: str,
        *,
        right: str | None = None,
        condition: str = "",
        comment: str = "",
        code: str = "",
        kind: str = "statement",
        fault: str = "wrong",
    ) -> Callable[[Evaluate], Equation]:
        def record(evaluate: Evaluate) -> Equation:
            made = Equation(number, printed, right, condition, comment, code, kind, fault, evaluate)
            equations.append(made)
            return made

        return record

    return equations, equation


ULP = "rounding"
"""The reason of most tolerances."""


def same(label: str, value: Any, expected: Any, *, role: str = "printed", tolerance: float | None = None) -> Check:
    """Two numbers that differ by rounding only."""
    value, expected = float(value), float(expected)
    allowed = 1e-11 * max(1.0, abs(expected)) if tolerance is None else tolerance
    return Check(label, value, expected, allowed, ULP, role)


def zero(label: str, value: Any, *, role: str = "printed", tolerance: float = 1e-11, reason: str = ULP) -> Check:
    """A number that is zero up to rounding, or to a tolerance with its own reason."""
    return Check(label, float(value), 0.0, tolerance, reason, role)


def near(label: str, value: Any, expected: Any, tolerance: float, reason: str, *, role: str = "printed") -> Check:
    """Two numbers within a tolerance that has its own reason."""
    return Check(label, float(value), float(expected), tolerance, reason, role)


def slope(label: str, value: Any, expected: float, tolerance: float = 0.1, *, role: str = "law") -> Check:
    """The power with which an error falls, between two values of its parameter."""
    return Check(label, float(value), expected, tolerance, "the next order", role)


def at_least(label: str, value: Any, bound: float, *, role: str = "right", reason: str = "a lower bound") -> Check:
    """A number no smaller than a bound."""
    return Check(label, float(value), bound, 0.0, reason, role, "≥")


def at_most(
    label: str, value: Any, bound: float, *, role: str = "right", tolerance: float = 0.0, reason: str = "an upper bound"
) -> Check:
    """A number no larger than a bound."""
    return Check(label, float(value), bound, tolerance, reason, role, "≤")
