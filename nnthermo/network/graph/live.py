"""Which equations of a program its outputs need, programs within programs included."""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend import core

from nnthermo.network.graph.elementwise import called


def needed(
    jaxpr: Any, wanted: Sequence[bool], kept: Callable[[Any], bool]
) -> tuple[list[tuple[bool, ...] | None], list[bool]]:
    """For each equation which of its outputs are needed, None if it is computed in vain; and which inputs are.

    Args:
        jaxpr: the program.
        wanted: which of its outputs are wanted.
        kept: whether an equation counts although nothing needs it.
    """
    used = {v for v, w in zip(jaxpr.outvars, wanted, strict=True) if w and not isinstance(v, core.Literal)}
    found: list[tuple[bool, ...] | None] = []
    for equation in reversed(jaxpr.eqns):
        outputs = tuple(v in used for v in equation.outvars)
        alive = any(outputs) or _keeps(equation, kept)
        found.append(outputs if alive else None)
        if alive:
            inputs = _inputs(equation, outputs, kept)
            used.update(
                v for v, n in zip(equation.invars, inputs, strict=True) if n and not isinstance(v, core.Literal)
            )
    return found[::-1], [v in used for v in jaxpr.invars]


def wanted_of_scan(equation: Any, outputs: Sequence[bool], kept: Callable[[Any], bool]) -> tuple[bool, ...]:
    """Which outputs of one step are wanted: what is carried counts if a later step needs it."""
    inner = called(equation)
    fixed, carried = scan_counts(equation, inner)
    wanted = tuple(outputs)
    while True:
        before = needed(inner.jaxpr, wanted, kept)[1][fixed : fixed + carried]
        grown = (*(a or b for a, b in zip(wanted[:carried], before, strict=True)), *wanted[carried:])
        if grown == wanted:
            return wanted
        wanted = grown


def scan_counts(equation: Any, inner: Any) -> tuple[int, int]:
    """Number of constants and of carried values: the slices come last, and have an axis more outside than inside."""

    def count(outer: Sequence[Any], within: Sequence[Any]) -> int:
        return sum(len(a.aval.shape) == len(b.aval.shape) for a, b in zip(outer, within, strict=True))

    carried = count(equation.outvars, inner.jaxpr.outvars)
    return count(equation.invars, inner.jaxpr.invars) - carried, carried


def _inputs(equation: Any, outputs: tuple[bool, ...], kept: Callable[[Any], bool]) -> list[bool]:
    """Which inputs of an equation its needed outputs need."""
    inner = called(equation)
    if inner is None:
        return [True] * len(equation.invars)
    if equation.primitive.name != "scan":
        return needed(inner.jaxpr, outputs, kept)[1]
    wanted, (fixed, carried) = wanted_of_scan(equation, outputs, kept), scan_counts(equation, inner)
    inputs = needed(inner.jaxpr, wanted, kept)[1]
    inputs[fixed : fixed + carried] = [a or b for a, b in zip(inputs[fixed:], wanted[:carried], strict=False)]
    return inputs


def _keeps(equation: Any, kept: Callable[[Any], bool]) -> bool:
    inner = called(equation)
    return kept(equation) or (inner is not None and any(_keeps(e, kept) for e in inner.jaxpr.eqns))
