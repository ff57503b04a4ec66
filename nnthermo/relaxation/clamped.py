"""The clamped minimum (3.2): min H(x, b, ŵ) over the neurons whose data are not given."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from nnthermo._checks import check, finite, integer, is_concrete, positive, real_array, refuse
from nnthermo._typing import Array, Scalar, State
from nnthermo.loss import Potential, bulk_loss, check_bounded_below
from nnthermo.network import FeedForward, Network, TracedNetwork
from nnthermo.network.protocol import as_state, boundary_masks
from nnthermo.network.traced import dtype_of
from nnthermo.relaxation.bfgs import largest, minimise
from nnthermo.relaxation.coordinates import Coordinates, GraphStates, LayerErrors, Layers, LayerStates
from nnthermo.relaxation.implicit import implicit_derivative


class Relaxation(NamedTuple):
    """A relaxed state and what is known about it, for each sample.

    Attributes:
        state: x̄ of (3.2) in the structure of the network.
        loss: H at x̄, in units of the loss, shape ().
        gradient_norm: largest |∂H/∂x_i| over the free neurons, shape ().
        steps: steps tried, an evaluation of H and its gradient each, shape ().
        converged: gradient_norm <= tolerance, shape (). False also where H has no minimum or is not finite, and at
            minima on a kink of the activation (ReLU), where the gradient does not vanish.
        start: the state descended from. The minimum need not be unique: this one names its basin.
    """

    state: State
    loss: Array
    gradient_norm: Array
    steps: Array
    converged: Array
    start: State


_TOGETHER = 256
"""Samples relaxed side by side: enough to fill the vector units, few enough that one slow sample detains few others."""


class _Plan(NamedTuple):
    """What is known of a problem before its numbers are.

    Attributes:
        coordinates: "states" or "errors".
        clamped: which neurons are, as bytes of booleans, one a leaf of the state.
        periodic: whether the outputs copy the inputs.
        fresh: whether the states are those of `propagate` but for clamped outputs: then the first layer holds what the
            inputs drive, which need not be computed again.
        potential: structure of V, and what of it is no array.
    """

    coordinates: str
    clamped: tuple[bytes, ...]
    periodic: bool
    fresh: bool
    potential: Any

    def masks(self) -> list[np.ndarray]:
        return [np.frombuffer(mask, bool) for mask in self.clamped]


def relax(
    net: Network,
    inputs: Any = None,
    targets: Any = None,
    *,
    clamped: State | None = None,
    periodic: bool = False,
    potential: Potential | None = None,
    tolerance: Scalar | None = None,
    max_steps: int = 10_000,
    start: State | None = None,
    coordinates: str | None = None,
) -> Relaxation:
    """Minimise the bulk loss over the free neurons with the boundary clamped (3.2).

    Memoryless BFGS, one evaluation of H and its gradient a step: the step follows the curvature last seen, H never
    rises, and each sample stops by itself. The minimum need not be unique; this is a local one downhill from `start`.

    Derivatives of `state` are those of the implicit function theorem, dx̄ = -H_xx⁻¹ dH_x over the free neurons, and
    those of `loss` the explicit ones (envelope theorem): nothing is differentiated through the steps. They hold to the
    tolerance; those of `state` are NaN where the relaxation did not converge.

    Args:
        net: a network.
        inputs: data of the input neurons, (n_in,), or (samples, n_in): then every field gets that leading axis. None
            leaves them free, for example to generate inputs from targets; `start` is needed then.
        targets: data of the output neurons, (n_out,) or (samples, n_out); None leaves them free.
        clamped: booleans in the structure of a state: further neurons that keep the value they have in `start`.
        periodic: the outputs have the values of the inputs, neuron by neuron, clamped or not: an auto-encoder closed to
            a ring. It needs as many outputs as inputs, and no targets.
        potential: V of (3.3), a function of the state.
        tolerance: on the largest component of the gradient, absolute and not relative to H; default √ε of the dtype
            (3e-4 in float32, 1.5e-8 in float64), which puts the loss within about nε/2λ_min of its minimum, n the free
            neurons. Losses far below 1e-6 in float32 (1e-15 in float64) are not resolved: their gradient is that small
            from the start, which comes back unrelaxed and `converged`. Pass a smaller tolerance for them.
        max_steps: bound on the steps.
        start: where to begin, in the structure of the network, with or without a leading axis of samples; default the
            feed-forward state, or for general graphs N steps of (2.5).
        coordinates: in which to descend, "states" or, for feed-forward networks, "errors", which needs fewer steps
            where few neurons are clamped behind many free ones and layers are few. Chosen by the widths if None. They
            may lead to different local minima.

    Raises:
        ValueError: wrong shapes, non-finite data, a bad tolerance, a potential without a minimum (m >= 1), no start
            where the inputs are free, masks that are traced or no booleans, unknown coordinates, or a ring with targets
            or with other numbers of inputs and outputs.
        TypeError: data that are not real.
    """
    max_steps = integer("max_steps", max_steps, least=1)
    check_bounded_below(net, potential)
    dtype = dtype_of(net)
    if tolerance is None:
        tolerance = float(jnp.finfo(dtype).eps) ** 0.5
    positive("tolerance", tolerance)
    check("tolerance", "be one number", jnp.ndim(tolerance) == 0, f"shape {jnp.shape(tolerance)}")
    data, samples = _checked_data(net, inputs, targets)
    along = False
    if start is not None:
        start, samples, along = _checked_start(net, start, samples, dtype)
    elif inputs is None:
        refuse("start", "be given where `inputs` are not", "None")
    x = _begin(net, data, start, samples, along)
    masks = _masks(net, clamped, inputs is not None, targets is not None, periodic)
    leaves, rest = _split(potential, net, dtype)
    fresh = start is None and clamped is None
    chosen = _choose(net, masks, periodic, coordinates)
    plan = _Plan(chosen, tuple(m.tobytes() for m in masks), periodic, fresh, rest)
    numbers = jnp.asarray(tolerance, dtype), jnp.asarray(max_steps, jnp.int32)
    solve = _relax_one if samples is None else _relax_many
    state, loss, norm, steps = solve(plan, net, leaves, *numbers, x)
    return Relaxation(state, loss, norm, steps, norm <= numbers[0], x)


def _checked_data(net: Network, inputs: Any, targets: Any) -> tuple[tuple[Array | None, Array | None], int | None]:
    """Inputs and targets, and how many samples; None for one without a leading axis."""
    if isinstance(net, TracedNetwork) and inputs is not None:
        inputs = net.flat_inputs(inputs)
    found: list[Array | None] = []
    samples: tuple[int, ...] | None = None
    for name, value, size in (("inputs", inputs, net.input_size), ("targets", targets, net.output_size)):
        array = None if value is None else real_array(name, value)
        if array is not None:
            finite(name, array)
            samples = (array.shape[:1] if array.ndim == 2 else ()) if samples is None else samples
            check(name, f"have shape {(*samples, size)}", array.shape == (*samples, size), f"shape {array.shape}")
        found.append(array)
    return (found[0], found[1]), samples[0] if samples else None


def _checked_start(net: Network, start: State, samples: int | None, dtype: Any) -> tuple[State, int | None, bool]:
    """The start in the structure of a state, how many samples there are, and whether it has one for each."""
    like = jax.eval_shape(net.unravel, jax.ShapeDtypeStruct((net.size,), dtype))
    if isinstance(net, TracedNetwork):
        right = hasattr(start, "keys") and set(start) == set(like)
        check("start", f"hold states of {', '.join(like)}", right, jax.tree.structure(start))
        start = type(like)((name, start[name]) for name in like)
    leaves, shapes = jax.tree.leaves(start), jax.tree.leaves(like)
    same = isinstance(start, tuple | list) == isinstance(like, tuple) and len(leaves) == len(shapes)
    check("start", f"be a state of {len(shapes)} vectors", same, jax.tree.structure(start))
    many = bool(leaves) and all(jnp.ndim(leaf) == len(s.shape) + 1 for leaf, s in zip(leaves, shapes, strict=True))
    if many and samples is None:
        samples = jnp.shape(leaves[0])[0]
    front = (samples,) if many else ()
    places = like if isinstance(net, TracedNetwork) else range(len(shapes))
    names = ["start"] if isinstance(like, jax.ShapeDtypeStruct) else [f"start[{k!r}]" for k in places]
    arrays = [
        real_array(n, a, shape=(*front, *s.shape)).astype(dtype) for n, a, s in zip(names, leaves, shapes, strict=True)
    ]
    for name, array in zip(names, arrays, strict=True):
        finite(name, array)
    return jax.tree.unflatten(jax.tree.structure(like), arrays), samples, many


def _begin(
    net: Network, data: tuple[Array | None, Array | None], start: State | None, samples: int | None, along: bool
) -> State:
    """The states to begin at, with a leading axis if there are samples."""

    def one(u: Array | None, t: Array | None, x: State | None) -> State:
        return net.clamp(net.propagate(u) if x is None else x, u, t)

    if samples is None:
        return one(*data, start)
    axes = (*(None if a is None else 0 for a in data), 0 if along else None)
    if axes == (None, None, None):
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (samples, *leaf.shape)), one(*data, start))
    return jax.vmap(one, in_axes=axes)(*data, start)


def _masks(net: Network, clamped: State | None, inputs: bool, targets: bool, periodic: bool) -> list[np.ndarray]:
    """Which neurons are clamped, one array a leaf of a state."""
    if periodic:
        sizes = net.input_size, net.output_size
        check("periodic", "be for as many outputs as inputs", sizes[0] == sizes[1], f"{sizes[1]} and {sizes[0]}")
        check("targets", "be left out if `periodic`", not targets, "both")
    first, last = boundary_masks(net)
    held = (first & inputs) | (last & (targets or periodic))  # on a ring the outputs copy the inputs
    masks = jax.tree.leaves(as_state(net, held))
    if clamped is None:
        return masks
    leaves = jax.tree.leaves(clamped)
    check("clamped", "be known (not traced)", is_concrete(*leaves), "a tracer")
    given, shapes = [np.asarray(leaf) for leaf in leaves], [mask.shape for mask in masks]
    found = [(leaf.shape, leaf.dtype.name) for leaf in given]
    check("clamped", f"hold booleans of shapes {shapes}", found == [(s, "bool") for s in shapes], found)
    return [mask | more for mask, more in zip(masks, given, strict=True)]


def _choose(net: Network, masks: Sequence[np.ndarray], periodic: bool, coordinates: str | None) -> str:
    layered = isinstance(net, FeedForward) and not periodic
    allowed = ("states", "errors") if layered else ("states",)
    if coordinates is not None:
        check("coordinates", f"be one of {allowed} here", coordinates in allowed, repr(coordinates))
        return coordinates
    if not layered:
        return "states"
    hidden = [len(mask) for mask in masks[1:-1]]
    usual = masks[0].all() and masks[-1].all() and not any(mask.any() for mask in masks[1:-1])
    few = usual and len(hidden) in (1, 2, 3) and 4 * len(masks[-1]) <= min(hidden)
    return "errors" if few else "states"


def _split(potential: Potential | None, net: Network, dtype: Any) -> tuple[list[Any], Any]:
    """The arrays of V, and the rest of it, which can be hashed."""
    leaves, structure = jax.tree.flatten(potential)
    numbers = [isinstance(leaf, jax.Array | np.ndarray | float | int) for leaf in leaves]
    if potential is not None and not all(numbers):
        # a function may hold numbers that are being differentiated or mapped over
        like = jax.eval_shape(net.unravel, jax.ShapeDtypeStruct((net.size,), dtype))
        traced = jax.make_jaxpr(potential)(like)
        if not is_concrete(*traced.consts):
            return list(traced.consts), traced.jaxpr
    rest = tuple(None if n else (leaf,) for leaf, n in zip(leaves, numbers, strict=True))
    return [leaf for leaf, n in zip(leaves, numbers, strict=True) if n], (structure, rest)


def _join(arrays: Sequence[Any], rest: Any) -> Potential | None:
    if not isinstance(rest, tuple):
        return lambda x: jaxpr_as_fun(ClosedJaxpr(rest, arrays))(*jax.tree.leaves(x))[0]
    structure, others = rest
    numbers = iter(arrays)
    return jax.tree.unflatten(structure, [next(numbers) if other is None else other[0] for other in others])


_Found = tuple[State, Array, Array, Array]


@partial(jax.jit, static_argnums=0)
def _relax_one(plan: _Plan, net: Network, arrays: list, tolerance: Array, max_steps: Array, x: State) -> _Found:
    """The relaxed state, its loss, largest gradient and steps, of one sample."""

    def plain(net: Network, arrays: list, tolerance: Array, max_steps: Array, x: State) -> _Found:
        rows = jax.tree.map(lambda leaf: leaf[None], x)
        return jax.tree.map(lambda leaf: leaf[0], _side_by_side(plan, net, arrays, tolerance, max_steps, rows))

    one = custom_vmap(plain)

    @one.def_vmap
    def _many(size: int, batched: list, *given: Any) -> tuple[_Found, Any]:
        net, arrays, tolerance, max_steps, x = given
        if any(jax.tree.leaves(batched[:-1])):  # networks differ
            found = jax.vmap(plain, in_axes=tuple(_axes(b) for b in batched))(*given)
        else:
            rows = jax.tree.map(
                lambda along, leaf: leaf if along else jnp.broadcast_to(leaf, (size, *leaf.shape)),
                batched[-1],
                x,
            )
            found = _in_chunks(plan, net, arrays, tolerance, max_steps, rows)
        return found, jax.tree.map(lambda _: True, found)

    solve = implicit_derivative(one, partial(_loss, plan), plan.masks())
    state, *about = solve(net, arrays, tolerance, max_steps, x)
    return (net.clamp(state, None, net.inputs(state)) if plan.periodic else state, *about)


def _axes(batched: Any) -> Any:
    return jax.tree.map(lambda along: 0 if along else None, batched)


@partial(jax.jit, static_argnums=0)
def _relax_many(plan: _Plan, net: Network, arrays: list, tolerance: Array, max_steps: Array, x: State) -> _Found:
    return jax.vmap(partial(_relax_one, plan, net, arrays, tolerance, max_steps))(x)


def _loss(plan: _Plan, net: Network, arrays: list, x: State) -> Array:
    x = net.clamp(x, None, net.inputs(x)) if plan.periodic else x
    return bulk_loss(net, x, potential=_join(arrays, plan.potential))


def _in_chunks(plan: _Plan, net: Network, arrays: list, tolerance: Array, max_steps: Array, rows: State) -> _Found:
    samples = jax.tree.leaves(rows)[0].shape[0]
    solve = partial(_side_by_side, plan, net, arrays, tolerance, max_steps)
    if samples <= _TOGETHER:
        return solve(rows)
    whole = samples - samples % _TOGETHER
    chunks = jax.tree.map(lambda a: a[:whole].reshape(-1, _TOGETHER, *a.shape[1:]), rows)
    found = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), jax.lax.map(solve, chunks))
    if whole == samples:
        return found
    last = solve(jax.tree.map(lambda a: a[whole:], rows))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), found, last)


def _side_by_side(plan: _Plan, net: Network, arrays: list, tolerance: Array, max_steps: Array, rows: State) -> _Found:
    """Samples in rows to what was found, in rows; inside they lie in columns."""
    x = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), rows)
    problem = _problem(plan, net, _join(arrays, plan.potential), x)
    verify = problem.largest_gradient if isinstance(problem, LayerErrors) else None
    found = minimise(problem.evaluate, problem.start(), tolerance, max_steps, verify)
    driven = problem.driven if isinstance(problem, Layers) else None
    x = problem.state(found.z)
    there = _problem(plan._replace(coordinates="states", fresh=False), net, _join(arrays, plan.potential), x, driven)
    at = there.evaluate(there.start())
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), x), at.loss, largest(at.gradient), found.steps


def _problem(
    plan: _Plan, net: Network, potential: Potential | None, x: State, driven: Array | None = None
) -> Coordinates:
    masks = plan.masks()
    if isinstance(net, FeedForward) and not plan.periodic:
        kind = LayerErrors if plan.coordinates == "errors" else LayerStates
        known = x[1] if plan.fresh and len(x) > 2 else driven
        return kind(net, x, masks, potential, known)
    free = np.flatnonzero(~np.concatenate(masks))
    tied = None
    if plan.periodic:
        with jax.ensure_compile_time_eval():
            order = net.unravel(jnp.arange(net.size))
            tied = np.asarray(net.outputs(order)), np.asarray(net.inputs(order))
    return GraphStates(net, x, free, potential, tied)


def relaxed_bulk_loss(
    net: Network,
    x: State,
    target: Any,
    *,
    potential: Potential | None = None,
    tolerance: Scalar | None = None,
    max_steps: int = 10_000,
) -> Array:
    """Bulk loss at its clamped minimum (3.2), shape (), differentiable in the network: what bulk training minimises.

    By the envelope theorem the derivatives are the explicit ones at the minimum, -f'_i r_i x_j in ŵ, -f'_i r_i in b,
    P_∂(Bᵀr - mx) in the boundary data x_∂ and -|x|²/2 in m: nothing is differentiated through the relaxation. Exact to
    the tolerance.

    Args:
        net: a network.
        x: the state that relaxation starts from and that carries the inputs, normally `net.propagate(inputs)`.
        target: data of the output neurons, (n_out,); None leaves them free.
        potential: V of (3.3).
        tolerance: as in `relax`.
        max_steps: as in `relax`.
    """
    return clamped_minimum(net, x, target, potential=potential, tolerance=tolerance, max_steps=max_steps)[0]


def clamped_minimum(
    net: Network, x: State, target: Any, *, potential: Potential | None, tolerance: Scalar | None, max_steps: int
) -> tuple[Array, Array]:
    """`relaxed_bulk_loss`, and whether the relaxation converged, shape ()."""
    fixed, start = jax.lax.stop_gradient((net, x))
    found = relax(
        fixed, net.inputs(start), target, potential=potential, tolerance=tolerance, max_steps=max_steps, start=start
    )
    state = jax.lax.stop_gradient(found.state)
    data = None if target is None else real_array("target", target)
    return bulk_loss(net, net.clamp(state, net.inputs(x), data), potential=potential), found.converged
