"""Ordinary differential equations along paths, with the reason why one ended early."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, extra, full_precision, increasing, integer, positive, real_array
from nnthermo._typing import Array

CAUSES = ("none", "steps", "singular", "left", "drift", "input")
"""What `cause`, the place in this tuple, says of a path.

    0 none        the last parameter was reached
    1 steps       `max_steps` were not enough, as on the last stretch to a horizon, where rounding makes steps small
    2 singular    steps shrank below 1e-11 of the range (1e-5 in float32): a singularity, a horizon that these
                  coordinates do not cross, det g with another sign than at the start, a NaN in g
    3 left        the path left `domain`
    4 drift       g(v, v) was not kept: the path stepped over something singular, or steps are too coarse
    5 input       parameters do not go one way, or a number is not finite
"""


def shares(parameters: Any, dtype: Any) -> tuple[Array, Array, Array, Array]:
    """Parameters as shares s in [0, 1] of their range; the first; the length; whether they go one way."""
    t = real_array("parameters", parameters, ndim=1).astype(dtype)
    check("parameters", "hold at least two values", len(t) > 1, len(t))
    increasing("parameters", t, or_decreasing=True)
    length = t[-1] - t[0]
    s = ((t - t[0]) / length).at[-1].set(1)
    ordered = jnp.all(jnp.diff(s) > 0) & jnp.isfinite(length)
    return jnp.where(ordered, s, jnp.linspace(0, 1, len(t), dtype=dtype)), t[0], length, ordered


def relative_tolerance(tolerance: float | None, dtype: Any) -> float:
    """`tolerance`, or 1e-13 in float64 and 4e-6 in float32."""
    if tolerance is None:
        return max(1e-13, 32 * float(jnp.finfo(dtype).eps))
    positive("tolerance", tolerance)
    return float(tolerance)


def integrate(
    field: Callable[[Array, Array], Array],
    state: Array,
    s: Array,
    *,
    tolerance: float,
    absolute: Any,
    max_steps: int,
    steps: int | None = None,
    solver: Any = None,
    adjoint: Any = None,
    outside: Callable[[Array], Array] | None = None,
) -> tuple[Array, Array]:
    """States (T, ...) at shares s (T,) of dy/ds = field(s, y), and the cause of the end; NaN from there on.

    Args:
        absolute: an error a step that counts as zero, in units of the state; broadcasts to it.
        outside: true of a state that has left the domain.
    """
    diffrax = extra("diffrax", "mechanics")
    dtype = state.dtype
    full_precision("point", dtype)
    name, limit = ("max_steps", max_steps) if steps is None else ("steps", steps)
    most = integer(name, limit, least=1)
    if steps is None:
        first, most = 1e-3, most + len(s)
        controller = diffrax.PIDController(
            rtol=tolerance,
            atol=jnp.broadcast_to(jnp.asarray(absolute, dtype), state.shape),
            norm=_largest,
            dtmin=float(jnp.finfo(dtype).eps) / 64,  # a step may end a rounding error before a parameter
            force_dtmin=False,
            step_ts=s,  # dense output loses two digits
        )
    else:
        first, controller, most = 1 / most, diffrax.ConstantStepSize(), most + 2

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda s, y, _: field(s, y)),
        diffrax.Dopri8() if solver is None else solver,
        s[0],
        s[-1],
        jnp.asarray(first, dtype),
        state,
        saveat=diffrax.SaveAt(ts=s),
        stepsize_controller=controller,
        max_steps=most,
        throw=False,
        event=None if outside is None else diffrax.Event(_event(outside)),
        **({} if adjoint is None else {"adjoint": adjoint}),
    )
    states = solution.ys
    good = jnp.isfinite(states.reshape(len(s), -1)).all(axis=1)
    cause = jnp.where(solution.result == diffrax.RESULTS.max_steps_reached, 1, jnp.where(good.all(), 0, 2))
    if outside is not None:
        gone = jax.vmap(outside)(states)  # the step that leaves is saved
        cause = jnp.where(solution.event_mask | (gone & good).any(), 3, cause)
        good &= ~gone
    good = jnp.cumprod(good).astype(bool).reshape(len(s), *(1,) * (states.ndim - 1))
    return jnp.where(good, states, jnp.nan), cause.astype(jnp.int32)


def _largest(error: Array) -> Array:
    """NaN counts as infinite, or steps would never shrink."""
    largest = jnp.max(jnp.abs(error))
    return jnp.where(jnp.isnan(largest), jnp.inf, largest)


def _event(outside: Callable[[Array], Array]) -> Callable[..., Array]:
    return lambda _, y, __, **___: outside(y)
