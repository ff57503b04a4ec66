"""Derivatives by Fourier series on the grid: waves along rings, reflected functions between walls.

Along a ring a function is a sum of waves, and its derivatives are exact for every wave that the grid resolves. Between
walls it is continued by reflection: evenly, as densities and phases of a fluid that does not cross the wall are (zero
slope), or oddly, as wave functions between hard walls are (zero value). The cell centres of `Grid` are then half a cell
away from the walls, and the continued function lives on a ring of twice the points. A function with another behaviour
at the walls has a kink there, and its derivatives are of low order near it.

With an even number of points the fastest wave has no first derivative on the grid; it is dropped there.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint

from nnthermo._checks import check, integer, is_concrete, real_array
from nnthermo._typing import Array
from nnthermo.mechanics._arguments import require_grid, variables
from nnthermo.mechanics.grid import Grid, along

Axes = Sequence[int]


def to_complex(values: Array) -> Array:
    """`values` in the complex dtype of the same precision."""
    return values if jnp.iscomplexobj(values) else jax.lax.complex(values, jnp.zeros_like(values))


def number_array(name: str, values: Any) -> Array:
    """`values` as a real or complex floating-point array."""
    if not is_concrete(values):
        values = jnp.asarray(values)
    return jnp.asarray(values) if np.iscomplexobj(values) else real_array(name, values)


def field(name: str, values: Any, grid: Grid, *, leading: bool = True) -> Array:
    """`values` of a grid, (..., *points), or without leading axes, as a real or complex floating-point array."""
    require_grid(grid)
    array = number_array(name, values)
    if leading:
        grid.check(name, array)
    else:
        check(name, f"have shape {grid.points}", array.shape == grid.points, f"shape {array.shape}")
    return array


def _in_order(values: Array) -> Array:
    return with_layout_constraint(values, Layout(major_to_minor=tuple(range(values.ndim))))


def transform(function: Callable[..., Array], values: Array, axes: Axes) -> Array:
    """A Fourier transform whose input and output are laid out in memory in the order of their axes.

    XLA on the CPU refuses to transform what a neighbouring operation, such as `eigh` of a matrix made of transforms,
    wants transposed in memory (jax 0.9: "RET_CHECK failure ... fft_thunk ... IsMonotonicWithDim0Major").
    """
    return _in_order(function(_in_order(values), axes=tuple(axes)))


def continued(values: Array, grid: Grid, axis: int, odd: Axes) -> Array:
    """Values (..., *points) as a ring along one variable: between walls followed by their reflection, odd or even."""
    where = axis - grid.dimensions
    if grid.periodic[axis]:
        return values
    mirrored = jnp.flip(values, where)
    return jnp.concatenate([values, -mirrored if axis in odd else mirrored], where)


def _whole_numbers(grid: Grid, axis: int) -> np.ndarray:
    """Waves along one variable of the continued grid in the order of the FFT: (n,) on a ring, (2 n,) between walls."""
    n = grid.points[axis] * (1 if grid.periodic[axis] else 2)
    return np.rint(np.fft.fftfreq(n, 1 / n))


def wave_numbers(grid: Grid, axis: int) -> Array:
    """Angular wave numbers along one variable in the order of the FFT: (n,) on a ring, (2 n,) between walls."""
    whole = jnp.asarray(_whole_numbers(grid, axis), grid.lower.dtype)
    return 2 * jnp.pi * whole / (len(whole) * grid.spacing[axis])


def squared_wave_numbers(grid: Grid, shift: Array | None = None) -> Array:
    """|k + shift|² of every wave of the (continued) grid; `shift` (d,), of use on rings only."""
    terms = squared_by_axis(grid, shift)
    return sum(terms[1:], terms[0])


def squared_by_axis(grid: Grid, shift: Array | None = None) -> list[Array]:
    """The terms (k + shift)² of `squared_wave_numbers`, one array a variable, of length 1 along the others."""
    shifts: Any = [0] * grid.dimensions if shift is None else shift
    return [along(grid, axis, (wave_numbers(grid, axis) + by) ** 2) for axis, by in enumerate(shifts)]


def share_of_cutoff(grid: Grid) -> np.ndarray:
    """Wave number over that at which the fastest third begins, the largest over the variables, of every wave."""
    terms = [along(grid, k, 3 * np.abs(_whole_numbers(grid, k))) for k in range(grid.dimensions)]
    return reduce(np.maximum, [term / term.size for term in terms])


def amplitudes(values: Array, grid: Grid, *, odd: Axes = ()) -> Array:
    """Sums over the (continued) grid of values times each wave, (..., points of rings, twice those between walls)."""
    for axis in range(grid.dimensions):
        values = continued(values, grid, axis, odd)
    return transform(jnp.fft.fftn, to_complex(values), tuple(range(-grid.dimensions, 0)))


def multiply_waves(values: Array, grid: Grid, *symbols: Array, odd: Axes = ()) -> Array:
    """Multiply the amplitude of every wave by the symbols, arrays of the (continued) grid, real or complex.

    Args:
        values: (..., *points), real or complex; real stays real, which needs symbol(-k) = symbol(k)*.
        grid: the grid.
        symbols: (points along rings, twice the points between walls), or 1 along a variable that one does not depend
            on: a product of waves by axis is cheaper to read than its outer product.
        odd: variables along which the function is odd about its walls; even about the others.
    """
    return _multiply(values, grid, symbols, tuple(odd))


@partial(jax.jit, static_argnums=3, inline=True)
def _multiply(values: Array, grid: Grid, symbols: Sequence[Array], odd: Axes) -> Array:
    d = grid.dimensions
    last, waves = tuple(range(-d, 0)), amplitudes(values, grid, odd=odd)
    for symbol in symbols:
        waves = waves * to_complex(symbol).astype(waves.dtype).reshape((1,) * (values.ndim - d) + symbol.shape)
    result = transform(jnp.fft.ifftn, waves, last)
    result = result[(..., *(slice(n) for n in grid.points))]
    return result if jnp.iscomplexobj(values) else result.real


def spectral_derivative(values: Any, grid: Grid, axis: int, *, order: int = 1, odd: Axes = ()) -> Array:
    """∂^order values / ∂q_axis^order, (..., *points).

    Args:
        values: (..., *points), real or complex.
        grid: the grid.
        axis: which variable, 0 to d - 1.
        order: of the derivative, at least 1.
        odd: variables along which the function is odd about its walls; even about the others.

    Raises:
        ValueError: no such variable, or values of another grid.
    """
    values = field("values", values, grid)
    (axis,) = variables("axis", (axis,), grid)
    return _derivative(values, grid, axis, integer("order", order, least=1), variables("odd", odd, grid))


@partial(jax.jit, static_argnums=(2, 3, 4), inline=True)
def _derivative(values: Array, grid: Grid, axis: int, order: int, odd: Axes) -> Array:
    k = wave_numbers(grid, axis)
    n = len(k)
    if order % 2 and n % 2 == 0:
        k = k.at[n // 2].set(0)
    turn = (1, 1j, -1, -1j)[order % 4]
    where = values.ndim - grid.dimensions + axis
    waves = transform(jnp.fft.fftn, to_complex(continued(values, grid, axis, odd)), (where,))
    symbol = (turn * to_complex(k**order)).astype(waves.dtype)
    symbol = symbol.reshape([n if a == where else 1 for a in range(values.ndim)])
    result = transform(jnp.fft.ifftn, waves * symbol, (where,))
    result = jax.lax.slice_in_dim(result, 0, grid.points[axis], axis=where)
    return result if jnp.iscomplexobj(values) else result.real


def spectral_gradient(values: Any, grid: Grid, *, odd: Axes = ()) -> Array:
    """∇ values, (..., *points, d); arguments as in `spectral_derivative`."""
    return _gradient(field("values", values, grid), grid, variables("odd", odd, grid))


@partial(jax.jit, static_argnums=2, inline=True)
def _gradient(values: Array, grid: Grid, odd: Axes) -> Array:
    return jnp.stack([_derivative(values, grid, axis, 1, odd) for axis in range(grid.dimensions)], axis=-1)


def spectral_laplacian(values: Any, grid: Grid, *, odd: Axes = ()) -> Array:
    """∇² values, (..., *points); arguments as in `spectral_derivative`."""
    return _laplacian(field("values", values, grid), grid, variables("odd", odd, grid))


@partial(jax.jit, static_argnums=2, inline=True)
def _laplacian(values: Array, grid: Grid, odd: Axes) -> Array:
    return jnp.sum(jnp.stack([_derivative(values, grid, axis, 2, odd) for axis in range(grid.dimensions)]), axis=0)


def spectral_divergence(vectors: Any, grid: Grid) -> Array:
    """∇·vectors, (..., *points), of vectors (..., *points, d) that do not cross walls: v_k is odd about its own."""
    require_grid(grid)
    vectors = number_array("vectors", vectors)
    d = grid.dimensions
    fits = vectors.shape[-1:] == (d,)
    check("vectors", f"have a last axis of {d}, one entry a variable", fits, f"shape {vectors.shape}")
    grid.check("vectors", jax.eval_shape(lambda v: v[..., 0], vectors))
    return _divergence(vectors, grid)


@partial(jax.jit, inline=True)
def _divergence(vectors: Array, grid: Grid) -> Array:
    parts = [_derivative(vectors[..., axis], grid, axis, 1, (axis,)) for axis in range(grid.dimensions)]
    return jnp.sum(jnp.stack(parts), axis=0)


def inverse_laplacian(values: Any, grid: Grid) -> Array:
    """The function of mean zero whose Laplacian is `values` less their mean, (..., *points)."""
    return _inverse_laplacian(field("values", values, grid), grid)


@partial(jax.jit, inline=True)
def _inverse_laplacian(values: Array, grid: Grid) -> Array:
    k2 = squared_wave_numbers(grid)
    return multiply_waves(values, grid, jnp.where(k2 > 0, -1 / jnp.where(k2 > 0, k2, 1), 0))


def two_thirds_filter(values: Any, grid: Grid, *, odd: Axes = ()) -> Array:
    """Drop the fastest third of the waves along each variable: products of two of the rest then alias onto none.

    Arguments as in `spectral_derivative`.
    """
    values = field("values", values, grid)
    keep = jnp.asarray(share_of_cutoff(grid) < 1, grid.lower.dtype)
    return multiply_waves(values, grid, keep, odd=variables("odd", odd, grid))
