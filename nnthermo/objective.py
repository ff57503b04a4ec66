"""What training minimises: a mixture of the boundary loss (2.11) and the clamped bulk loss (3.2), with its report."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, integer
from nnthermo._typing import Array, State
from nnthermo.loss import Potential, boundary_loss, total_potential
from nnthermo.network import FixedPoint, Network, Septuple, iterate
from nnthermo.network.fixed_point import Solver
from nnthermo.relaxation import clamped_minimum

Loss = Callable[[Network, State, Any], Array | tuple[Array, Mapping[str, Array]]]
"""(network, fixed state of one sample, target or None) -> scalar, or (scalar, dict of scalars to report)."""

FindState = Callable[[Network, Array], State | FixedPoint]
"""(network, inputs of one sample) -> the state x̄ (2.9) that a loss is taken at, with its report or without."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss a [H_∂(x̄) + V(x̄)] + c min_x [H(x) + V(x)] of one sample: boundary, bulk, or any mixture (3.4).

    x̄ is the fixed state (2.9); the minimum is (3.2), over the states whose boundary is clamped, and its derivatives are
    the explicit ones (envelope theorem). A local objective V belongs to each part that is present, as Section 3 has it.

    Call it with (network, x̄, target or None): the loss, shape (), and a dict of scalars of shape (): `boundary`, H_∂;
    `potential`, V(x̄); `bulk`, the minimum; `unrelaxed`, 1 if the relaxation did not converge (the gradient is then only
    approximate) and 0 if it did. The first and last two are there if a and c are not 0.

    Objectives with equal arguments are equal, so that runs with them share compiled programs.

    Args:
        boundary: a, dimensionless; it needs targets.
        bulk: c, dimensionless. Without targets the outputs relax too, and for feed-forward networks the minimum is then
            0 whatever the weights are unless there is a V.
        potential: V, or several that are added: `QuadraticPotential(m)`, `local_potential(V_i)`, `pair_interaction(g)`.
        tolerance: of the relaxation, as in `relax`.
        max_steps: of the relaxation, as in `relax`.

    Raises:
        ValueError: negative or infinite parts, or both 0; max_steps below 1; when called, a > 0 without a target.
        TypeError: a potential that is not a function of the state.
    """

    boundary: float = 0.0
    bulk: float = 0.0
    _: dataclasses.KW_ONLY
    potential: Potential | Sequence[Potential] | None = None
    tolerance: float | None = None
    max_steps: int = 10_000

    def __post_init__(self) -> None:
        for name in ("boundary", "bulk"):
            value = float(getattr(self, name))
            check(name, "be a number that is not negative", math.isfinite(value) and value >= 0, value)
            object.__setattr__(self, name, value)
        check("boundary and bulk", "not both be 0", self.boundary or self.bulk, (self.boundary, self.bulk))
        if self.tolerance is not None:
            object.__setattr__(self, "tolerance", float(self.tolerance))
        object.__setattr__(self, "max_steps", integer("max_steps", self.max_steps, least=1))
        if self.potential is not None:
            parts = self.potential if isinstance(self.potential, tuple | list) else (self.potential,)
            object.__setattr__(self, "potential", total_potential(*parts))

    def __call__(self, net: Network, x: State, target: Any) -> tuple[Array, dict[str, Array]]:
        """The loss and its report, for one sample."""
        V: Any = self.potential
        terms: dict[str, Array] = {}
        parts = []
        if self.boundary:
            check("boundary", "be 0 without targets", target is not None, self.boundary)
            terms["boundary"] = boundary_loss(net, x, target)
            parts.append(self.boundary * terms["boundary"])
            if V is not None:
                terms["potential"] = V(x)
                parts.append(self.boundary * terms["potential"])
        if self.bulk:
            options: dict[str, Any] = {"tolerance": self.tolerance, "max_steps": self.max_steps}
            terms["bulk"], converged = clamped_minimum(net, x, target, potential=V, **options)
            terms["unrelaxed"] = (~converged).astype(terms["bulk"].dtype)
            parts.append(self.bulk * terms["bulk"])
        return jnp.asarray(sum(parts[1:], parts[0])), terms


@dataclasses.dataclass(frozen=True)
class FixedState:
    """`net.fixed_point` as the `state` of a training run or an observer: for graphs with cycles.

    `net.propagate`, the default there, runs (2.5) for N steps, which reaches the fixed state of every acyclic graph but
    of one with cycles only roughly. Here it is solved for, with its implicit derivative and whether it converged.

    Args:
        tolerance: on the largest |x̄ - f(ŵx̄ + b)|, as in `Septuple.fixed_point`.
        max_steps: bound on the iterations.
        solver: `iterate`, or `newton` for unstable fixed points too.
    """

    tolerance: float | None = None
    max_steps: int = 1000
    solver: Solver = iterate

    def __call__(self, net: Any, inputs: Array) -> FixedPoint:
        """x̄ of (2.9) from the data of the input neurons, (n_in,), as a FixedPoint."""
        if not isinstance(net, Septuple):
            return net.fixed_point(inputs)
        options: dict[str, Any] = {"tolerance": self.tolerance, "max_steps": self.max_steps, "solver": self.solver}
        return net.fixed_point(inputs, **options)


def fixed_state(net: Network, inputs: Array, state: FindState | None = None) -> tuple[State, Array | None]:
    """x̄ by `state`, `net.propagate` if None, and whether it converged where that is known."""
    found = net.propagate(inputs) if state is None else state(net, inputs)
    return (found.state, found.converged) if isinstance(found, FixedPoint) else (found, None)


def mean_loss(
    loss: Loss,
    net: Network,
    inputs: Array,
    targets: Array | None = None,
    weights: Array | None = None,
    *,
    state: FindState | None = None,
) -> Array:
    """Mean of a loss over a batch, shape (), samples propagated one by one under vmap.

    Args:
        loss: function (network, fixed state, target) -> scalar of one sample, or (scalar, dict of scalars).
        net: a network.
        inputs: (batch, n_in).
        targets: (batch, n_out), or None.
        weights: of the samples, (batch,), with a sum that is not 0; equal if None.
        state: function (network, inputs of one sample) -> state, for example `FixedState()`; `net.propagate` if None.
    """
    return mean_terms(loss, net, inputs, targets, weights, state=state)[0]


def mean_terms(
    loss: Loss,
    net: Network,
    inputs: Array,
    targets: Array | None = None,
    weights: Array | None = None,
    *,
    state: FindState | None = None,
) -> tuple[Array, dict[str, Array]]:
    """`mean_loss` and the means of what the loss reports besides, in the dtype of the loss, shapes ().

    A `state` that returns a FixedPoint adds `unfixed`, the share of samples whose fixed state did not converge.
    """

    def one(u: Array, t: Array | None) -> tuple[Array, dict[str, Array]]:
        x, converged = fixed_state(net, u, state)
        value, terms = with_terms(loss(net, x, t))
        if converged is not None:
            terms["unfixed"] = ~converged
        return value, {name: jnp.asarray(term).astype(value.dtype) for name, term in terms.items()}

    def mean(values: Array) -> Array:
        if weights is None:
            return jnp.mean(values)
        shares = weights.astype(values.dtype)
        return jnp.vdot(shares, values) / jnp.sum(shares)

    values, terms = jax.vmap(one)(inputs, targets)
    return mean(values), {name: mean(term) for name, term in terms.items()}


def with_terms(value: Any) -> tuple[Any, dict[str, Any]]:
    """What a loss returned, as (value, dict of scalars)."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
        return value[0], dict(value[1])
    return value, {}
