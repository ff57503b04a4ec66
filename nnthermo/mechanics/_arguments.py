"""What several functions of this package are given, read and checked in one way."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, increasing, instance, integer, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.mechanics.grid import Grid


def require_grid(value: Any) -> None:
    """Refuse what is no `Grid`.

    Raises:
        TypeError: "`grid` must be a nnthermo.mechanics.Grid, but got ...".
    """
    instance("grid", value, Grid, "a nnthermo.mechanics.Grid")


def vector(name: str, value: Any, grid: Grid) -> Array:
    """A number or one number a variable, as (d,)."""
    array, d = real_array(name, value), grid.dimensions
    check(name, f"be a number or have shape {(d,)}", array.shape in ((), (d,)), f"shape {array.shape}")
    return jnp.broadcast_to(array, (d,))


def variables(name: str, value: Any, grid: Grid) -> tuple[int, ...]:
    """Numbers of variables of the grid, each from 0 to d - 1."""
    instance(name, value, Sequence, "a sequence of variables")
    numbers, d = tuple(integer(name, axis) for axis in value), grid.dimensions
    check(name, f"be a variable of the grid, 0 to {d - 1}", all(0 <= axis < d for axis in numbers), value)
    return numbers


def density(name: str, value: Any, grid: Grid) -> Array:
    """A density (..., *points), refused where it is known to be negative by more than an elimination rounds it."""
    p = real_array(name, value)
    grid.check(name, p)
    if is_concrete(p):
        least, most = (float(f(np.asarray(p), initial=0)) for f in (np.min, np.max))
        check(name, "not be negative", not least < -1e-6 * most, f"{least} at worst")
    return p


def potential_like(values: Array, potential: Any, grid: Grid) -> Array:
    """V (*points), or of the shape of `values` (..., *points), broadcast to it in its precision."""
    V, shapes = real_array("potential", potential).astype(values.real.dtype), dict.fromkeys((grid.points, values.shape))
    fits = V.shape in ((), *shapes)
    check("potential", f"have shape {' or '.join(map(str, shapes))}", fits, f"shape {V.shape}")
    return jnp.broadcast_to(V, values.shape)


def increasing_times(times: Any, *, least: int = 1, dtype: Any = None) -> Array:
    """Times (T,) that increase in the precision in which they are used, T at least `least`."""
    t = real_array("times", times, ndim=1)
    t = t if dtype is None else t.astype(dtype)
    check("times", f"be at least {least}", len(t) >= least, len(t))
    increasing("times", t)
    return t


def replicas_at(samples: Any, times: Any, *, least: int) -> tuple[Array, Array]:
    """Samples (T, R) of at least ten replicas at times (T,) that increase, at least so many, in the same precision."""
    q, t = real_array("samples", samples, ndim=2), real_array("times", times, ndim=1)
    fits = q.shape[0] == len(t) and q.shape[1] >= 10
    check("samples", f"have shape ({len(t)}, R), R at least 10", fits, f"shape {q.shape}")
    finite("samples", q)
    return q, increasing_times(t, least=least, dtype=q.dtype)


def records(steps: int, save_every: int | None) -> tuple[int, int]:
    """Steps and steps between records: all of them, or a divisor."""
    whole = integer("steps", steps, least=1)
    every = whole if save_every is None else integer("save_every", save_every)
    check("save_every", f"divide the number of steps, {whole}", every >= 1 and whole % every == 0, every)
    return whole, every
