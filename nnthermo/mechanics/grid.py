"""A uniform grid in one to three trainable variables, with walls or closed into a ring along each."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, function, instance, integer, is_concrete, real_array
from nnthermo._pytree import pytree
from nnthermo._typing import Array


@pytree(static=("points", "periodic"))
class Grid:
    """Points in a box: the centres of cells between walls; along a ring the first point is the lower end.

    Functions of the grid are arrays of shape `points`, one number a point; vectors have a last axis of `dimensions`.

        grid = Grid([-3.0], [3.0], 200)
        F = grid.evaluate(lambda q: 0.5 * q[0] ** 2)

    Attributes:
        lower: lower ends, shape (d,), d one to three.
        upper: upper ends, shape (d,), each above the lower one.
        points: points along each variable, at least three.
        periodic: whether each variable is a ring, its upper end the lower one again.

    Raises:
        ValueError: ends of different lengths, out of order, or too few points.
        TypeError: points that are not whole numbers.
    """

    lower: Array
    upper: Array
    points: tuple[int, ...]
    periodic: tuple[bool, ...]

    def __init__(
        self, lower: Any, upper: Any, points: int | Sequence[int], *, periodic: bool | Sequence[bool] = False
    ) -> None:
        low, high = jnp.atleast_1d(real_array("lower", lower)), jnp.atleast_1d(real_array("upper", upper))
        check("lower", "be one vector of one to three ends", low.ndim == 1 and 1 <= len(low) <= 3, f"shape {low.shape}")
        check("upper", f"have shape {low.shape}", high.shape == low.shape, f"shape {high.shape}")
        finite("lower", low)
        finite("upper", high)
        if is_concrete(low, high):
            check("upper", "lie above `lower`", bool((np.asarray(high) > np.asarray(low)).all()), f"{high} for {low}")
        d, dtype = len(low), jnp.promote_types(low.dtype, high.dtype)
        each = (points,) * d if np.ndim(points) == 0 else tuple(points)  # type: ignore[arg-type]
        counts = tuple(integer("points", n, least=3) for n in each)
        check("points", f"be one number or {d}", len(counts) == d, len(counts))
        if not isinstance(periodic, bool):
            instance("periodic", periodic, Sequence, f"one truth value or {d}")
        rings = (periodic,) * d if isinstance(periodic, bool) else tuple(bool(p) for p in periodic)
        check("periodic", f"be one truth value or {d}", len(rings) == d, len(rings))
        fields = {"lower": low.astype(dtype), "upper": high.astype(dtype), "points": counts, "periodic": rings}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def dimensions(self) -> int:
        """Number of variables d."""
        return len(self.points)

    @property
    def spacing(self) -> Array:
        """Distance between neighbouring points along each variable, shape (d,)."""
        return (self.upper - self.lower) / jnp.asarray(self.points, self.lower.dtype)

    @property
    def cell(self) -> Array:
        """Volume of one cell, shape ()."""
        return jnp.prod(self.spacing)

    @property
    def axes(self) -> tuple[Array, ...]:
        """Coordinates along each variable: d arrays of shapes (points[k],)."""
        return _axes(self)

    @property
    def coordinates(self) -> Array:
        """Every point, shape (*points, d)."""
        return _coordinates(self)

    def evaluate(self, field: Callable[[Array], Any]) -> Any:
        """`field`, a function of one point (d,), at every point: the leading axes of each result are `points`."""
        function("field", field, "a function of one point")
        places = self.coordinates.reshape(-1, self.dimensions)
        values = jax.vmap(field)(places)
        return jax.tree.map(lambda v: v.reshape(*self.points, *v.shape[1:]), values)

    def integrate(self, values: Array) -> Array:
        """∫ values d^dq over the last d axes, each cell by its point: shape of the axes before them."""
        values = jnp.asarray(values)
        self.check("values", values)
        return _integral(self, values)

    def normalise(self, density: Array) -> Array:
        """A density over its integral."""
        density = jnp.asarray(density)
        self.check("density", density)
        return _normalised(self, density)

    def check(self, name: str, values: Any) -> None:
        """Refuse arrays whose last axes are not those of the grid.

        Raises:
            ValueError: with the shape that is wanted.
        """
        shape = jnp.shape(values)
        fits = shape[-self.dimensions :] == self.points
        check(name, f"have last axes {self.points}, those of the grid", fits, f"shape {shape}")


def along(grid: Grid, axis: int, numbers: Any) -> Any:
    """Numbers of one variable, (n,), as an array of length 1 along the others."""
    return numbers.reshape([-1 if k == axis else 1 for k in range(grid.dimensions)])


# One program each where they are called on values; inside of another program they are part of it.


@partial(jax.jit, inline=True)
def _axes(grid: Grid) -> tuple[Array, ...]:
    dtype = grid.lower.dtype
    shift = [0.0 if ring else 0.5 for ring in grid.periodic]
    ends = zip(grid.lower, grid.spacing, grid.points, shift, strict=True)
    return tuple(low + (jnp.arange(n, dtype=dtype) + s) * h for low, h, n, s in ends)


@partial(jax.jit, inline=True)
def _coordinates(grid: Grid) -> Array:
    return jnp.stack(jnp.meshgrid(*_axes(grid), indexing="ij"), axis=-1)


@partial(jax.jit, inline=True)
def _integral(grid: Grid, values: Array) -> Array:
    return jnp.sum(values, axis=tuple(range(-grid.dimensions, 0))) * grid.cell.astype(values.real.dtype)


@partial(jax.jit, inline=True)
def _normalised(grid: Grid, density: Array) -> Array:
    total = _integral(grid, density)
    return density / total.reshape(total.shape + (1,) * grid.dimensions)
