"""A program with its neurons marked: found once, and interpreted with their states given or computed."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from nnthermo._checks import full_precision, refuse
from nnthermo._typing import Array
from nnthermo.network.graph.elementwise import Part, activations, called, name_of
from nnthermo.network.graph.live import needed, scan_counts, wanted_of_scan

OPAQUE = {
    "while": "have no neurons in a `while_loop`, whose length is unknown: take `jax.lax.scan`, or `fori_loop` with "
    "fixed bounds",
    "cond": "have no neurons in a branch of `cond` or `switch`: compute all branches and select by `jnp.where`",
    "shard_map": "have no neurons in a `shard_map`: trace the function of the whole, and leave sharding to `jit`",
    "pmap": "have no neurons in a `pmap`: use `jit` and `vmap`",
    "custom_root": "have no neurons in a `custom_root`: iterate by `jax.lax.scan`",
    "custom_linear_solve": "have no neurons in a `custom_linear_solve`: name them outside of it",
}
"""What cannot have neurons inside, and what to do instead."""
CALLBACKS = ("pure_callback", "io_callback")


@dataclasses.dataclass(frozen=True)
class Neurons:
    """A group of neurons: what one name, or one activation, computes.

    Attributes:
        name: of the group, unique.
        shape: of its state; within a `scan` the steps come first.
        dtype: of its state.
        parents: numbers of the groups that its values directly depend on, its own among them within a `scan`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    parents: frozenset[int]

    @property
    def size(self) -> int:
        """How many neurons."""
        return int(np.prod(self.shape))


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """What becomes of one equation that has neurons: its output is a group, or the program it calls holds some."""

    kind: str  # "neurons", "call", "remat" or "scan"
    steps: tuple["Step | None", ...] = ()
    count: int = 0


Steps = tuple[Step | None, ...]


class Finder:
    """Finds the neurons of a program; groups are numbered in the order of computation, 0 the inputs.

    Args:
        named: whether neurons are what has a name, or what comes out of element-wise non-linear functions.
        chosen: the names to take; None for all.
        inputs: the group of the input neurons.

    Attributes:
        groups: the inputs and what it found.
        dropped: names of functions whose custom derivatives have neurons inside, which cut them in two.
    """

    def __init__(self, named: bool, chosen: frozenset[str] | None, inputs: Neurons) -> None:
        self.named, self.chosen = named, chosen
        self.groups: list[Neurons] = [inputs]
        self.dropped: dict[str, None] = {}

    def find(
        self, jaxpr: Any, sources: Sequence[frozenset[int]], wanted: Sequence[bool] | None = None
    ) -> tuple[Steps, list[frozenset[int]]]:
        """The steps of a program, and the groups that its outputs depend on, given those of its inputs.

        Equations that the wanted outputs (all if None) do not need have no neurons, unless these are named.
        """
        wanted = [True] * len(jaxpr.outvars) if wanted is None else wanted
        uses, _ = needed(jaxpr, wanted, self._is_named)
        known: dict[Any, frozenset[int]] = dict(zip(jaxpr.invars, sources, strict=True))

        def of(v: Any) -> frozenset[int]:
            return frozenset() if isinstance(v, core.Literal) else known.get(v, frozenset())

        def read() -> dict[int, str]:
            alive = [k for k, used in enumerate(uses) if used is not None]
            part = Part([jaxpr.eqns[k] for k in alive], [v for v, w in zip(jaxpr.outvars, wanted, strict=True) if w])
            reached = {v for v, s in zip(jaxpr.invars, sources, strict=True) if s}
            for equation in part.eqns:
                if any(not isinstance(v, core.Literal) and v in reached for v in equation.invars):
                    reached.update(equation.outvars)
            ends = activations(part, lambda v: not isinstance(v, core.Literal) and v in reached)
            return {alive[k]: name for k, name in ends.items()}

        ends = {} if self.named else read()
        steps: list[Step | None] = []
        for k, equation in enumerate(jaxpr.eqns):
            before = frozenset().union(*(of(v) for v in equation.invars))
            used, step, after = uses[k], None, [before] * len(equation.outvars)
            if used is not None:
                step, after = self._step(equation, ends.get(k), [of(v) for v in equation.invars], before, used)
            steps.append(step)
            known.update(zip(equation.outvars, after, strict=True))
        return tuple(steps), [of(v) for v in jaxpr.outvars]

    def _step(  # noqa: PLR0911
        self,
        equation: Any,
        ending: str | None,
        sources: list[frozenset[int]],
        before: frozenset[int],
        used: Sequence[bool],
    ) -> tuple[Step | None, list[frozenset[int]]]:
        primitive = equation.primitive.name
        everything = [before] * len(equation.outvars)
        if self._is_named(equation) and before:
            name = equation.params["name"]
            return Step("neurons", count=1), [self._add(name, equation.outvars[0].aval, before)]
        if ending is not None:
            return Step("neurons", count=1), [self._add(ending, equation.outvars[0].aval, before)]
        if primitive in CALLBACKS and before:
            refuse("fn", "be differentiable in its inputs", f"a `{primitive}` in their way; write it in JAX")
        if primitive in OPAQUE:
            self._refuse_within(equation, primitive, before)
            return None, everything
        inner = called(equation)
        if inner is None:
            self._refuse_within(equation, primitive, before)
            return None, everything
        if primitive == "scan":
            return self._scan(equation, inner, sources, everything, used)
        start = len(self.groups)
        steps, after = self.find(inner.jaxpr, sources, used)
        if len(self.groups) == start:
            return None, everything
        if primitive.startswith("custom_"):
            self.dropped[name_of(equation)] = None
        return Step(
            "remat" if primitive in ("checkpoint", "remat2", "remat") else "call", steps, len(self.groups) - start
        ), after

    def _scan(
        self,
        equation: Any,
        inner: Any,
        sources: list[frozenset[int]],
        everything: list[frozenset[int]],
        used: Sequence[bool],
    ) -> tuple[Step | None, list[frozenset[int]]]:
        fixed, carried = scan_counts(equation, inner)
        wanted = wanted_of_scan(equation, used, self._is_named)
        start, groups = len(self.groups), list(self.groups)
        carry = sources[fixed : fixed + carried]
        while True:  # what the carry depends on after some steps
            self.groups = list(groups)
            given = [*sources[:fixed], *carry, *sources[fixed + carried :]]
            steps, after = self.find(inner.jaxpr, given, wanted)
            grown = [a | b for a, b in zip(carry, after[:carried], strict=True)]
            if grown == carry:
                break
            carry = grown
        if len(self.groups) == start:
            return None, everything
        length = equation.params["length"]
        for k in range(start, len(self.groups)):
            group = self.groups[k]
            self.groups[k] = dataclasses.replace(group, shape=(length, *group.shape))
        return Step("scan", steps, len(self.groups) - start), [*grown, *after[carried:]]

    def _is_named(self, equation: Any) -> bool:
        named = self.named and equation.primitive.name == "name"
        return named and (self.chosen is None or equation.params["name"] in self.chosen)

    def _refuse_within(self, equation: Any, primitive: str, before: frozenset[int]) -> None:
        """Refuse neurons where their states could not be given."""
        if not before:
            return
        inside = Finder(self.named, self.chosen, self.groups[0])
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                jaxpr = inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner
                if isinstance(jaxpr, core.Jaxpr) and any(
                    getattr(v.aval, "shape", ()) for v in jaxpr.invars
                ):  # no rule of reduction
                    inside.find(jaxpr, [before] * len(jaxpr.invars))
        if len(inside.groups) > 1:
            other = f"have no neurons inside of `{primitive}`: name them outside of it, or write it in `jax.lax`"
            refuse("fn", OPAQUE.get(primitive, other), f"{inside.groups[1].name!r} in one")

    def _add(self, name: str, aval: Any, parents: frozenset[int]) -> frozenset[int]:
        if not jnp.issubdtype(aval.dtype, jnp.floating):
            refuse("fn", "have neurons of real floating-point states", f"{name!r} of dtype {aval.dtype}")
        full_precision("fn", aval.dtype, f" for {name!r}")
        taken = {group.name for group in self.groups}
        unique, k = name, 1
        while unique in taken:
            unique, k = f"{name}_{k}", k + 1
        self.groups.append(Neurons(unique, tuple(aval.shape), aval.dtype, parents))
        return frozenset({len(self.groups) - 1})


def as_calls(steps: Steps) -> Steps:
    """The same steps without rematerialisation, which hides that an output is a neuron's own state."""
    kinds = {"remat": "call"}
    return tuple(s and Step(kinds.get(s.kind, s.kind), as_calls(s.steps), s.count) for s in steps)


Given = list[Array] | None


def run(
    jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any], steps: Steps, given: Given
) -> tuple[list, list]:
    """Outputs of a program and the values f of its neurons, in order.

    Args:
        jaxpr: the program.
        constants: of its `constvars`.
        arguments: of its `invars`.
        steps: from `Finder`.
        given: states of the neurons that the rest of the program sees in place of these values; None for the values.
    """
    values: dict[Any, Any] = {**dict(zip(jaxpr.constvars, constants, strict=True))}
    values.update(zip(jaxpr.invars, arguments, strict=True))
    found: list[Array] = []

    def read(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else values[v]

    for equation, step in zip(jaxpr.eqns, steps, strict=True):
        inputs = [read(v) for v in equation.invars]
        if step is None or step.kind == "neurons":
            outputs = bind(equation, inputs)
            if step is not None:
                found.append(outputs[0])
                outputs = outputs if given is None else [given[len(found) - 1]]
        else:
            inner = called(equation)
            states = None if given is None else given[len(found) : len(found) + step.count]
            outputs, more = INSIDE[step.kind](equation, inner, inputs, step, states)
            found.extend(more)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(v) for v in jaxpr.outvars], found


def bind(equation: Any, inputs: list) -> list:
    """Evaluate one equation as it stands."""
    outputs = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))
    return list(outputs) if equation.primitive.multiple_results else [outputs]


def _call(_equation: Any, inner: Any, inputs: list, step: Step, given: Given) -> tuple[list, list]:
    return run(inner.jaxpr, inner.consts, inputs, step.steps, given)


def _remat(equation: Any, inner: Any, inputs: list, step: Step, given: Given) -> tuple[list, list]:
    @jax.checkpoint
    def again(inputs: list, given: Given) -> tuple[list, list]:
        return _call(equation, inner, inputs, step, given)

    return again(inputs, given)


def _scan(equation: Any, inner: Any, inputs: list, step: Step, given: Given) -> tuple[list, list]:
    fixed, carried = scan_counts(equation, inner)

    def body(carry: list, slices: tuple[list, Given]) -> tuple[list, tuple[list, list]]:
        each, states = slices
        outputs, found = _call(equation, inner, [*inputs[:fixed], *carry, *each], step, states)
        return outputs[:carried], (outputs[carried:], found)

    options = {name: equation.params[name] for name in ("length", "reverse", "unroll")}
    carry, (stacked, found) = jax.lax.scan(
        body, inputs[fixed : fixed + carried], (inputs[fixed + carried :], given), **options
    )
    return [*carry, *stacked], found


INSIDE: dict[str, Callable] = {"call": _call, "remat": _remat, "scan": _scan}
