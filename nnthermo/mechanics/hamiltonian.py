"""The Hamiltonian of wave functions on the grid, their energy and their norm."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, positive, real_array, real_numbers, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics.fourier import multiply_waves, number_array, squared_wave_numbers, to_complex
from nnthermo.mechanics.grid import Grid, require_grid, vector


def flux_shift(flux: Any, grid: Grid) -> Array | None:
    """Shift 2πν/L of the wave numbers of rings with flux ν; None without flux."""
    if flux is None:
        return None
    nu = vector("flux", flux, grid)
    if not all(grid.periodic):
        refuse("flux", "be None between walls: only rings hold flux", flux)
    return 2 * jnp.pi * nu.astype(grid.lower.dtype) / (grid.upper - grid.lower)


def walls(grid: Grid) -> tuple[int, ...]:
    """The variables along which wave functions are odd: those between (hard) walls."""
    return tuple(k for k, ring in enumerate(grid.periodic) if not ring)


def norm(psi: Any, grid: Grid) -> Array:
    """∫|Ψ|² d^dq, (...)."""
    require_grid(grid)
    psi = number_array("psi", psi)
    grid.check("psi", psi)
    return _norm(psi, grid)


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
    require_grid(grid)
    real_numbers(hbar=hbar, mass=mass)
    psi = to_complex(number_array("psi", psi))
    grid.check("psi", psi)
    V = real_array("potential", potential).astype(psi.real.dtype)
    check("potential", f"have shape {grid.points}", V.shape in ((), grid.points, psi.shape), V.shape)
    V = jnp.broadcast_to(V, psi.shape)
    positive("hbar", hbar)
    positive("mass", mass)
    return _hamiltonian(psi, V, grid, hbar, mass, flux_shift(flux, grid))


@partial(jax.jit, inline=True)
def _hamiltonian(psi: Array, V: Array, grid: Grid, hbar: Scalar, mass: Scalar, shift: Array | None) -> Array:
    real = psi.real.dtype
    h, M = jnp.asarray(hbar, real), jnp.asarray(mass, real)
    kinetic = h**2 / (2 * M) * squared_wave_numbers(grid, shift).astype(real)
    return multiply_waves(psi, grid, kinetic, odd=walls(grid)) + V.astype(psi.dtype) * psi


def schrodinger_energy(psi: Any, potential: Any, grid: Grid, *, hbar: Scalar, mass: Scalar, flux: Any = None) -> Array:
    """⟨H⟩ = ∫Ψ*HΨ / ∫|Ψ|², (...), in units of the potential; arguments as in `hamiltonian`."""
    psi = to_complex(number_array("psi", psi))
    image = hamiltonian(psi, potential, grid, hbar=hbar, mass=mass, flux=flux)
    return _quotient(psi, image, grid)


@partial(jax.jit, inline=True)
def _quotient(psi: Array, image: Array, grid: Grid) -> Array:
    return grid.integrate((jnp.conj(psi) * image).real) / _norm(psi, grid)
