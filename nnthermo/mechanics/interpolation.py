"""Fourier series of functions on the grid, summed at any places."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, real_array
from nnthermo._typing import Array
from nnthermo.mechanics.fourier import Axes, amplitudes, field, to_complex, wave_numbers
from nnthermo.mechanics.grid import Grid, variables


def spectral_interpolate(values: Any, grid: Grid, places: Any, *, odd: Axes = ()) -> Array:
    """The sum of waves through `values` at any places, (L,): exact where the grid resolves the function.

    Args:
        values: (*points), real or complex.
        grid: the grid.
        places: (L, d); along rings any real numbers, between walls continued by reflection.
        odd: variables along which the function is odd about its walls; even about the others.
    """
    values, places = field("values", values, grid, leading=False), real_array("places", places, ndim=2)
    d = grid.dimensions
    check("places", f"have shape (L, {d})", places.shape[1] == d, f"shape {places.shape}")
    return _interpolate(values, grid, places, variables("odd", odd, grid))


@partial(jax.jit, static_argnums=3, inline=True)
def _interpolate(values: Array, grid: Grid, places: Array, odd: Axes) -> Array:
    d, waves = grid.dimensions, amplitudes(values, grid, odd=odd)
    waves = waves / waves.size
    for axis in reversed(range(d)):  # contract the last variable first; the places become the first axis
        k = wave_numbers(grid, axis).astype(places.dtype)
        angle = (places[:, axis, None] - grid.axes[axis][0].astype(places.dtype)) * k[None]
        phases = jax.lax.complex(jnp.cos(angle), jnp.sin(angle)).astype(waves.dtype)
        if len(k) % 2 == 0:  # the fastest wave is as much one way round as the other
            phases = phases.at[:, len(k) // 2].set(to_complex(phases[:, len(k) // 2].real))
        rule = "ln,...n->l..." if axis == d - 1 else "ln,l...n->l..."
        waves = jnp.einsum(rule, phases, waves, precision="highest")
    return waves if jnp.iscomplexobj(values) else waves.real
