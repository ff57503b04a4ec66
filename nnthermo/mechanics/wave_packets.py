"""Wave functions to start from: Gaussian packets and coherent states."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import positive, positive_numbers
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics.grid import Grid, require_grid, vector


def gaussian_wave_packet(grid: Grid, center: Any, width: Any, momentum: Any = 0.0, *, hbar: Scalar) -> Array:
    """Ψ ∝ exp(-|q - c|²/(4σ²) + i P·(q - c)/ħ) on the grid, ∫|Ψ|² = 1, (*points), complex.

    Free, ⟨q⟩ = c + P t/M and the variance is σ² (1 + (ħt/2Mσ²)²). Along rings q - c is the shorter way round: a packet
    as wide as the ring has a kink at the far side, and so has one whose momentum is no whole number of waves.

    Args:
        grid: the grid.
        center: c, a number or (d,).
        width: σ, the standard deviation of |Ψ|², a number or (d,), well above the spacing.
        momentum: P = M u, a number or (d,).
        hbar: ħ.
    """
    require_grid(grid)
    positive_numbers(hbar=hbar)
    dtype = grid.lower.dtype
    c, sigma, P = (
        vector(name, value, grid).astype(dtype)
        for name, value in (("center", center), ("width", width), ("momentum", momentum))
    )
    positive("width", sigma)
    return _packet(grid, c, sigma, P, hbar)


@partial(jax.jit, inline=True)
def _packet(grid: Grid, c: Array, sigma: Array, P: Array, hbar: Scalar) -> Array:
    d, dtype = grid.dimensions, grid.lower.dtype
    vectors = (1,) * d + (d,)
    away = grid.coordinates - c.reshape(vectors)
    length = (grid.upper - grid.lower).reshape(vectors)
    nearest = jnp.asarray(grid.periodic).reshape(vectors)
    away = jnp.where(nearest, away - length * jnp.round(away / length), away)
    amplitude = jnp.exp(-jnp.sum((away / sigma.reshape(vectors)) ** 2, axis=-1) / 4)
    amplitude = amplitude / jnp.sqrt(grid.integrate(amplitude**2))
    angle = jnp.sum(away * P.reshape(vectors), axis=-1) / jnp.asarray(hbar, dtype)
    return jax.lax.complex(amplitude * jnp.cos(angle), amplitude * jnp.sin(angle))


def coherent_state(
    grid: Grid, center: Any, momentum: Any = 0.0, *, hbar: Scalar, mass: Scalar, frequency: Any
) -> Array:
    """The packet of width √(ħ/2Mω), which in the potential M ω² |q|²/2 swings without spreading, (*points), complex.

    Args:
        grid: the grid.
        center: ⟨q⟩, a number or (d,).
        momentum: ⟨P⟩, a number or (d,).
        hbar: ħ.
        mass: M.
        frequency: ω, a number or (d,).
    """
    require_grid(grid)
    positive_numbers(hbar=hbar, mass=mass)
    omega = vector("frequency", frequency, grid)
    positive("frequency", omega)
    width = jnp.sqrt(jnp.asarray(hbar, omega.dtype) / (2 * jnp.asarray(mass, omega.dtype) * omega))
    return gaussian_wave_packet(grid, center, width, momentum, hbar=hbar)
