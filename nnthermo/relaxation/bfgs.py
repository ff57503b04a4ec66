r"""Local minima of many functions side by side, by memoryless BFGS with one evaluation a step.

From the last displacement s and change of gradient y, with ρ = 1/s·y and the curvature along s setting the scale
γ = s·y/y·y, the next direction is -Pg with the inverse Hessian P that BFGS makes of γI,

    P = (I - ρsyᵀ) γI (I - ρysᵀ) + ρssᵀ,   Pg = γg + c s - γa y,   a = ρ s·g,  c = a - ργ(y·g - a y·y).

A trial that is refused leaves its pair as well: the next direction from the same point knows the curvature that made it
too long, so there is no line search. Samples lie last, in columns, where sums over neurons run along the processor's
vectors; each column stops by itself and none knows of the others.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._typing import Array

FIRST = 0.3
"""Length of the first step over the gradient; the curvature seen along it sets every later one."""

SLACK = 8.0
"""By so many roundings the loss may rise."""

PATIENCE = 256
"""A column gives up after so many steps that neither lowered its loss by `PROGRESS` nor halved its gradient.

On a smooth function that takes a condition number of about 10⁶. At a kink, where the gradient does not vanish, it is
the rule.
"""

PROGRESS = 1e-6
"""Relative to what the loss rounds by, over ε."""


class Evaluation(NamedTuple):
    """A function of each column.

    Attributes:
        loss: (columns,).
        size: what the loss rounds by, over ε, (columns,).
        gradient: (n, columns).
    """

    loss: Array
    size: Array
    gradient: Array


class Descent(NamedTuple):
    """Where the columns are.

    Attributes:
        z: (n, columns).
        steps: evaluations after the first, (columns,).
    """

    z: Array
    steps: Array


class _Column(NamedTuple):
    z: Array
    lowest: Array  # loss: accepted ones may lie above it by their rounding
    gradient: Array
    square: Array  # g·g
    direction: Array
    slope: Array  # direction · g < 0
    fraction: Array  # of the direction to try
    scale: Array  # γ
    norm: Array
    goal: Array
    steps: Array
    passes: Array
    mark: Array  # lowest loss and norm when patience was last renewed
    mark_norm: Array
    least: Array
    stuck: Array


def minimise(
    evaluate: Callable[[Array], Evaluation],
    z: Array,
    tolerance: Array,
    max_steps: Array,
    verify: Callable[[Array], Array] | None = None,
) -> Descent:
    """A local minimum of each column, downhill from z; the loss never rises by more than its rounding.

    Args:
        evaluate: z (n, columns) to an `Evaluation`.
        z: where to begin.
        tolerance: on the largest component of the gradient, shape ().
        max_steps: bound on the evaluations, shape ().
        verify: z to the norm (columns,) that `tolerance` is meant for, where it is not the largest
            component; descent goes on with a smaller goal for those columns where it is still too large.

    Returns:
        Where each column stopped: at the tolerance, or at `max_steps`, or where nothing got smaller any more. Which of
        these, the gradient there tells.
    """
    state = _begin(evaluate, z, tolerance)

    def descend(state: _Column) -> _Column:
        def unfinished(s: _Column) -> Array:
            return jnp.any(_active(s, max_steps))

        return jax.lax.while_loop(unfinished, lambda s: _step(evaluate, s, max_steps), state)

    state = descend(state)
    if verify is None:
        return Descent(state.z, state.steps)

    def unverified(carry: tuple[_Column, Array]) -> Array:
        state, norm = carry
        more = (norm > tolerance) & (state.norm <= state.goal) & (state.steps < max_steps) & ~state.stuck
        return jnp.any(more & (state.goal > 1e-3 * tolerance))

    def again(carry: tuple[_Column, Array]) -> tuple[_Column, Array]:
        state, norm = carry
        tighter = state.goal * jnp.clip(0.8 * tolerance / norm, 0.05, 0.8)
        state = descend(state._replace(goal=jnp.where(norm > tolerance, tighter, state.goal)))
        return state, verify(state.z)

    state, _ = jax.lax.while_loop(unverified, again, (state, verify(state.z)))
    return Descent(state.z, state.steps)


def largest(columns: Array) -> Array:
    """Largest |component| of each column; NaN where one is."""
    return jnp.max(jnp.abs(columns), axis=0, initial=0.0)


def column_sums(u: Array) -> Array:
    """Sum over the neurons; in parts of 32 rows, as XLA takes longer sums on a CPU through a slow detour."""
    if not 32 < len(u) <= 128:
        return jnp.sum(u, axis=0)
    parts = [jnp.sum(u[k : k + 32], axis=0) for k in range(0, len(u), 32)]
    return sum(parts[1:], parts[0])


def _active(s: _Column, max_steps: Array) -> Array:
    # NaN norms compare false and stop
    return (s.norm > s.goal) & (s.steps < max_steps) & ~s.stuck


def _begin(evaluate: Callable[[Array], Evaluation], z: Array, tolerance: Array) -> _Column:
    loss, _, g = evaluate(z)
    square, norm, one = column_sums(g * g), largest(g), jnp.ones_like(loss)
    none = jnp.zeros(loss.shape, jnp.int32)
    return _Column(
        z, loss, g, square, -FIRST * g, -FIRST * square, one, FIRST * one, norm, tolerance * one, none,
        jnp.zeros((), jnp.int32), loss, norm, norm, jnp.zeros(loss.shape, bool),
    )  # fmt: skip


def _step(evaluate: Callable[[Array], Evaluation], s: _Column, max_steps: Array) -> _Column:
    where = jnp.where
    active = _active(s, max_steps)
    step = s.fraction[None] * s.direction
    z = s.z + step
    loss, size, g = evaluate(z)
    rounding = SLACK * jnp.finfo(loss.dtype).eps * size
    square, across, along = jnp.sum(jnp.stack([g * g, g * s.gradient, g * step], axis=1), axis=0)  # at one go
    before = s.fraction * s.slope  # step · old gradient < 0
    sound = jnp.isfinite(loss) & jnp.isfinite(square)
    accept = (loss <= s.lowest + 1e-4 * before + rounding) & active & sound

    # the pair, also of a trial that is refused
    sy, yy = along - before, jnp.maximum(square - 2 * across + s.square, 0)
    convex = (sy > -1e-4 * before) & sound & (yy > 0)
    rho = where(convex, 1 / where(convex, sy, 1), 0)
    scale = where(convex, sy / where(convex, yy, 1), s.scale)
    sg, yg = where(accept, along, before), where(accept, square - across, across - s.square)  # with the kept gradient
    a = rho * sg
    c = a - rho * scale * (yg - a * yy)
    kept = where(accept, square, s.square)
    slope = -scale * kept - c * sg + scale * a * yg
    good = slope < -1e-5 * scale * kept
    c, a = where(good, c, 0), where(good, a, 0)
    gradient = where(accept[None], g, s.gradient)
    change = where(sound[None], g - s.gradient, 0)
    direction = -scale[None] * gradient - c[None] * where(sound[None], step, 0) + (scale * a)[None] * change

    shorter = where(convex, 0.5, 0.25) * s.fraction
    longer = where(convex, 1.0, jnp.minimum(4 * s.fraction, 64))
    fraction = where(active, where(accept, longer, shorter), s.fraction).astype(loss.dtype)
    norm = where(accept, largest(g), s.norm)
    lowest = where(accept, jnp.minimum(loss, s.lowest), s.lowest)
    least = jnp.minimum(s.least, norm)
    due = s.passes % PATIENCE == PATIENCE - 1
    idle = (s.mark - lowest <= rounding + PROGRESS * size) & (least > 0.5 * s.mark_norm)
    return _Column(
        z=where(accept[None], z, s.z),
        lowest=lowest,
        gradient=gradient,
        square=kept,
        direction=direction,
        slope=where(good, slope, -scale * kept),
        fraction=fraction,
        scale=scale,
        norm=norm,
        goal=s.goal,
        steps=s.steps + active.astype(jnp.int32),
        passes=s.passes + 1,
        mark=where(due, lowest, s.mark),
        mark_norm=where(due, least, s.mark_norm),
        least=least,
        stuck=s.stuck | (active & ((due & idle) | (fraction < 1e-10))),
    )
