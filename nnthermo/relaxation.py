"""The clamped minimum (3.2): min H(x, b, ŵ) over the neurons whose data are not given."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, finite, positive, real_array
from nnthermo._typing import Array, Scalar, State
from nnthermo.loss import Potential, bulk_loss, check_bounded_below
from nnthermo.network import Network


class Relaxation(NamedTuple):
    """A relaxed state and what is known about it, for each sample.

    Attributes:
        state: x̄ of (3.2) in the structure of the network.
        loss: H at x̄, in units of the loss, shape ().
        gradient_norm: largest |∂H/∂x_i| over the free neurons, shape ().
        steps: gradient steps tried, shape ().
        converged: gradient_norm <= tolerance, shape (). False also where H has no minimum or is not finite.
    """

    state: State
    loss: Array
    gradient_norm: Array
    steps: Array
    converged: Array


_TOGETHER = 256
"""Samples relaxed side by side: enough to fill the vector units, few enough that one slow sample detains few others."""


class _Descent(NamedTuple):
    x: State
    loss: Array
    size: Array
    gradient: State
    previous: State
    step: Array
    momentum: Array
    steps: Array


def _axpy(a: Array, x: State, y: State) -> State:
    return jax.tree.map(lambda u, v: a * u + v, x, y)


def _dot(x: State, y: State) -> Array:
    return jnp.asarray(sum(jnp.vdot(u, v) for u, v in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)))


def _largest(x: State) -> Array:
    leaves = [jnp.max(jnp.abs(leaf), initial=0.0) for leaf in jax.tree.leaves(x)]
    return jnp.max(jnp.stack(leaves))


def relax(
    net: Network,
    inputs: Any,
    targets: Any = None,
    *,
    potential: Potential | None = None,
    tolerance: Scalar | None = None,
    max_steps: int = 10_000,
    start: State | None = None,
) -> Relaxation:
    """Minimise the bulk loss over the free neurons with the boundary clamped (3.2).

    Accelerated gradient descent with a line search on the step, restarted whenever H would rise, so H never does. The
    minimum need not be unique; this is the local one reached from `start`. Each sample stops by itself under `vmap`.
    Not differentiable through its steps: weight gradients at the minimum are the explicit ones (envelope theorem), as
    in `relaxed_bulk_loss`.

    Args:
        net: a network.
        inputs: data of the input neurons, (n_in,), or (samples, n_in): then every field gets that leading axis.
        targets: data of the output neurons, (n_out,) or (samples, n_out); None leaves them free.
        potential: V of (3.3), a function of the state.
        tolerance: on the largest component of the gradient, absolute and not relative to H; default √ε of the dtype
            (3e-4 in float32, 1.5e-8 in float64), which puts the loss within about nε/2λ_min of its minimum, n the free
            neurons. Losses far below 1e-6 in float32 (1e-15 in float64) are not resolved: their gradient is that small
            from the start, which comes back unrelaxed and `converged`. Pass a smaller tolerance for them.
        max_steps: bound on the steps.
        start: where to begin, in the structure of the network (no sample axis); default the feed-forward state, or for
            general graphs N steps of (2.5).

    Raises:
        ValueError: wrong shapes, non-finite data, a bad tolerance, or a potential without a minimum (m >= 1).
        TypeError: data that are not real.
    """
    inputs = real_array("inputs", inputs)
    targets = None if targets is None else real_array("targets", targets)
    finite("inputs", inputs)
    finite("targets", targets if targets is not None else ())
    check("max_steps", "be positive", max_steps > 0, max_steps)
    check_bounded_below(net, potential)
    batched = inputs.ndim == 2
    samples = inputs.shape[:1] if batched else ()
    check(
        "inputs",
        f"have shape {(*samples, net.input_size)}",
        inputs.shape == (*samples, net.input_size),
        f"shape {inputs.shape}",
    )
    if targets is not None:
        expected = (*samples, net.output_size)
        check("targets", f"have shape {expected}", targets.shape == expected, f"shape {targets.shape}")
    dtype = jnp.result_type(*jax.tree.leaves(net))
    if tolerance is None:
        tolerance = float(jnp.finfo(dtype).eps) ** 0.5
    positive("tolerance", tolerance)
    check("tolerance", "be one number", jnp.ndim(tolerance) == 0, f"shape {jnp.shape(tolerance)}")
    if start is not None:
        start = _checked_start(net, start, dtype)

    def one(u: Array, t: Array | None = None) -> Relaxation:
        x = net.clamp(net.propagate(u) if start is None else start, u, t)
        driven, x = net.absorb_inputs(x)
        objective = None if potential is None else lambda s: potential(net.restore_inputs(s, u))
        found = _minimise(driven, x, t is None, objective, jnp.asarray(tolerance, dtype), max_steps)
        return found._replace(state=net.restore_inputs(found.state, u))

    if not batched:
        return one(inputs, targets)
    pair = (inputs,) if targets is None else (inputs, targets)
    return jax.lax.map(lambda data: one(data[0], *data[1:]), pair, batch_size=_TOGETHER)


def _checked_start(net: Network, start: State, dtype: Any) -> State:
    like = jax.eval_shape(net.unravel, jax.ShapeDtypeStruct((net.size,), dtype))
    leaves, shapes = jax.tree.leaves(start), jax.tree.leaves(like)
    same = isinstance(start, tuple | list) == isinstance(like, tuple) and len(leaves) == len(shapes)
    check("start", f"be a state of {len(shapes)} vectors", same, jax.tree.structure(start))
    names = [f"start[{k}]" for k in range(len(shapes))] if isinstance(like, tuple) else ["start"]
    arrays = [real_array(n, a, shape=s.shape).astype(dtype) for n, a, s in zip(names, leaves, shapes, strict=True)]
    for name, array in zip(names, arrays, strict=True):
        finite(name, array)
    return jax.tree.unflatten(jax.tree.structure(like), arrays)


def _minimise(
    net: Network, x: State, outputs_free: bool, potential: Potential | None, tolerance: Array, max_steps: int
) -> Relaxation:
    def terms(x: State) -> tuple[Array, Array]:
        errors = bulk_loss(net, x)
        local = jnp.zeros_like(errors) if potential is None else potential(x)
        return errors + local, jnp.stack([errors, jnp.abs(local)])

    def value_and_gradient(x: State) -> tuple[Array, Array, State]:
        (loss, (errors, local)), gradient = jax.value_and_grad(terms, has_aux=True)(x)
        # what H rounds by, over ε: its terms may cancel, and r = x - f carries the rounding of x into ½ |r|²
        size = errors + jnp.sqrt(2 * errors * _dot(x, x)) + local
        clamped_out = None if outputs_free else jnp.zeros_like(net.outputs(x))
        return loss, size, net.clamp(gradient, jnp.zeros_like(net.inputs(x)), clamped_out)

    def unfinished(s: _Descent) -> Array:
        norm = _largest(s.gradient)
        # NaN norms compare false and stop; a vanishing step cannot make progress
        return (norm > tolerance) & (s.steps < max_steps) & (s.step > tiny)

    def step(s: _Descent) -> _Descent:
        rate = (s.momentum - 1) / ((1 + jnp.sqrt(1 + 4 * s.momentum**2)) / 2)
        ahead = jax.tree.map(lambda u, v: u + rate * (u - v), s.x, s.previous)
        loss, size, gradient = value_and_gradient(ahead)
        trial = _axpy(-s.step, gradient, ahead)
        trial_loss, trial_size, trial_gradient = value_and_gradient(trial)
        short_enough = trial_loss <= loss - 0.5 * s.step * _dot(gradient, gradient) + noise * (size + s.size)
        lower = trial_loss <= s.loss + noise * s.size
        accept = short_enough & lower
        fresh = s.momentum <= 1

        def pick(a: State, b: State) -> State:
            return jax.tree.map(lambda u, v: jnp.where(accept, u, v), a, b)

        return _Descent(
            x=pick(trial, s.x),
            loss=jnp.where(accept, trial_loss, s.loss),
            size=jnp.where(accept, trial_size, s.size),
            gradient=pick(trial_gradient, s.gradient),
            previous=s.x,
            # too long a step is halved; one that works may grow; a rise from momentum alone restarts at the same step
            step=jnp.where(accept, 1.05 * s.step, jnp.where(short_enough & ~fresh, s.step, 0.5 * s.step)),
            momentum=jnp.where(accept, (1 + jnp.sqrt(1 + 4 * s.momentum**2)) / 2, 1.0).astype(s.momentum.dtype),
            steps=s.steps + 1,
        )

    loss, size, gradient = value_and_gradient(x)
    noise = 2 * jnp.finfo(loss.dtype).eps
    tiny = jnp.finfo(loss.dtype).tiny ** 0.5
    first = _Descent(x, loss, size, gradient, x, jnp.ones_like(loss), jnp.ones_like(loss), jnp.zeros((), jnp.int32))
    last = jax.lax.while_loop(unfinished, step, jax.lax.stop_gradient(first))
    norm = _largest(last.gradient)
    return Relaxation(last.x, last.loss, norm, last.steps, norm <= tolerance)


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
    fixed = jax.lax.stop_gradient(net)
    start = jax.lax.stop_gradient(x)
    found = relax(
        fixed, net.inputs(start), target, potential=potential, tolerance=tolerance, max_steps=max_steps, start=start
    )
    state = jax.lax.stop_gradient(found.state)
    data = None if target is None else real_array("target", target)
    return bulk_loss(net, net.clamp(state, net.inputs(x), data), potential=potential)
