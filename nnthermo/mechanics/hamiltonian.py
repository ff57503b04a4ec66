"""The Hamiltonian of wave functions on the grid, their energy and their norm."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import positive_numbers, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import potential_like
from nnthermo.mechanics.fourier import field, multiply_waves, squared_wave_numbers, to_complex
from nnthermo.mechanics.grid import Grid, vector


def flux_shift(flux: Any, grid: Grid) -> Array | None:
    """Shift 2πν/L of the wave numbers of rings with flux ν; None without flux."""
    if flux is None:
        return None
    nu = vector("flux", flux, grid)
    if not all(grid.periodic):
        refuse("flux", "be None between walls: only rings hold flux", flux)
    return 2 * jnp.pi * nu.astype(grid.lower.dtype) / (grid.upper - grid.lower)


def wave_function(psi: Any, grid: Grid, *, leading: bool = True) -> Array:
    """Ψ (..., *points), or without leading axes, as a complex array."""
    return to_complex(field("psi", psi, grid, leading=leading))


def walls(grid: Grid) -> tuple[int, ...]:
    """The variables along which wave functions are odd: those between (hard) walls."""
    return tuple(k for k, ring in enumerate(grid.periodic) if not ring)


def norm(psi: Any, grid: Grid) -> Array:
    """∫|Ψ|² d^dq, (...)."""
    return _norm(field("psi", psi, grid), grid)


@partial(jax.jit, inline=True)
def _norm(psi: Array, grid: Grid) -> Array:
    return grid.integrate(jnp.abs(psi) ** 2)


def hamiltonian(psi: Any, potential: Any, grid: Grid, *, hbar: Scalar, mass: Scalar, flux: Any = None) -> Array:
    """HΨ = -(ħ²/2M) ∇²Ψ + V Ψ, (..., *points), complex.

    Args:
        psi: Ψ, (..., *points).
        potential: V, (*points).
        grid: rings, or hard walls.
        hbar: ħ.
        mass: M.
        flux: ν through each ring, in quanta.
    """
    psi = wave_function(psi, grid)
    positive_numbers(hbar=hbar, mass=mass)
    V, shift = potential_like(psi, potential, grid), flux_shift(flux, grid)
    h, M = jnp.asarray(hbar, V.dtype), jnp.asarray(mass, V.dtype)
    return apply_hamiltonian(psi, V, kinetic_energies(grid, h, M, shift), grid)


@partial(jax.jit, inline=True)
def kinetic_energies(grid: Grid, h: Array, M: Array, shift: Array | None) -> Array:
    """ħ²|k + shift|²/2M of every wave of the (continued) grid."""
    return h**2 / (2 * M) * squared_wave_numbers(grid, shift).astype(h.dtype)


@partial(jax.jit, inline=True)
def apply_hamiltonian(psi: Array, V: Array, kinetic: Array, grid: Grid) -> Array:
    """HΨ (..., *points) of Ψ complex or, without flux, real; V as Ψ, `kinetic` from `kinetic_energies`."""
    return multiply_waves(psi, grid, kinetic, odd=walls(grid)) + V.astype(psi.dtype) * psi


def schrodinger_energy(psi: Any, potential: Any, grid: Grid, *, hbar: Scalar, mass: Scalar, flux: Any = None) -> Array:
    """⟨H⟩ = ∫Ψ*HΨ / ∫|Ψ|², (...), in units of the potential; arguments as in `hamiltonian`."""
    psi = wave_function(psi, grid)
    image = hamiltonian(psi, potential, grid, hbar=hbar, mass=mass, flux=flux)
    return _quotient(psi, image, grid)


@partial(jax.jit, inline=True)
def _quotient(psi: Array, image: Array, grid: Grid) -> Array:
    return grid.integrate((jnp.conj(psi) * image).real) / _norm(psi, grid)
