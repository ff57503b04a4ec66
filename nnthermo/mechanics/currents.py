"""Currents, windings and angular momentum of wave functions.

One quantum of circulation, M∮u·dq = 2πħ, is the exchange of one neuron when ħ = μ/2π (arXiv:2012.05082, recalled).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, positive_numbers, real_array, real_numbers, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics.fourier import spectral_derivative, spectral_gradient
from nnthermo.mechanics.grid import Grid, require_grid, vector
from nnthermo.mechanics.hamiltonian import flux_shift, walls, wave_function
from nnthermo.mechanics.interpolation import spectral_interpolate


def probability_current(psi: Any, grid: Grid, *, hbar: Scalar, mass: Scalar, flux: Any = None) -> Array:
    """J = (ħ/M) Im(Ψ* (∇ + 2πiν/L) Ψ), (..., *points, d): ∂|Ψ|²/∂t + ∇·J = 0.

    Args:
        psi: Ψ, (..., *points).
        grid: rings, or hard walls (Ψ is zero there).
        hbar: ħ.
        mass: M.
        flux: ν through each ring, in quanta.
    """
    psi = wave_function(psi, grid)
    positive_numbers(hbar=hbar, mass=mass)
    return _current(psi, grid, hbar, mass, flux_shift(flux, grid))


@partial(jax.jit, inline=True)
def _current(psi: Array, grid: Grid, hbar: Scalar, mass: Scalar, shift: Array | None) -> Array:
    real = psi.real.dtype
    J = (jnp.conj(psi)[..., None] * spectral_gradient(psi, grid, odd=walls(grid))).imag
    if shift is not None:
        J = J + (jnp.abs(psi) ** 2)[..., None] * shift.astype(real).reshape((1,) * psi.ndim + shift.shape)
    return jnp.asarray(hbar, real) / jnp.asarray(mass, real) * J


def _loop(loop: Any, d: int | None) -> Array:
    """Points (L, d), of any d if it is None."""
    loop = real_array("loop", loop, ndim=2)
    fits = loop.shape[0] >= 3 and d in (None, loop.shape[1])
    check("loop", f"have shape (L, {d or 'd'}) with L at least 3", fits, f"shape {loop.shape}")
    return loop


def winding_number(psi: Any, loop: Any, grid: Grid) -> Array:
    """How many times the phase of Ψ turns along a closed loop: a whole number up to rounding, ().

    Ψ is interpolated by its Fourier series. Between neighbouring points the phase must turn by less than half a turn:
    take more points until the number stays. NaN where Ψ vanishes or is NaN on the loop.

    Args:
        psi: Ψ, (*points).
        loop: points in order, the first not repeated at the end, (L, d); counter-clockwise counts positive. A loop
            that goes around a ring ends one step before the image of its start.
        grid: rings, or hard walls.
    """
    psi = wave_function(psi, grid, leading=False)
    return _turns(spectral_interpolate(psi, grid, _loop(loop, grid.dimensions), odd=walls(grid)))


@jax.jit
def _turns(values: Array) -> Array:
    ratio = jnp.roll(values, -1) * jnp.conj(values)
    turns = jnp.sum(jnp.angle(ratio)) / (2 * jnp.pi)
    return jnp.where(jnp.all(jnp.abs(ratio) > 0), turns, jnp.nan)


def wave_velocity(psi: Any, grid: Grid, *, hbar: Scalar, mass: Scalar, flux: Any = None) -> Callable[[Array], Array]:
    """The function u(places) = (ħ/M) (Im(∇Ψ/Ψ) + 2πν/L), places (L, d) to (L, d), by the Fourier series of Ψ.

    Ψ is smooth where its velocity is not: near a vortex this is exact, and interpolating the velocity is hopeless.

    Args:
        psi: Ψ, (*points).
        grid: rings, or hard walls.
        hbar: ħ.
        mass: M.
        flux: ν through each ring, in quanta: the velocity is that of `probability_current`.
    """
    psi = wave_function(psi, grid, leading=False)
    real_numbers(hbar=hbar, mass=mass)
    real, odd, shift = psi.real.dtype, walls(grid), flux_shift(flux, grid)
    slopes = [spectral_derivative(psi, grid, k, odd=odd) for k in range(grid.dimensions)]

    def velocity(places: Array) -> Array:
        value = spectral_interpolate(psi, grid, places, odd=odd)
        parts = []
        for k, slope in enumerate(slopes):  # the derivative along a wall-to-wall variable is even about its walls
            others = tuple(axis for axis in odd if axis != k)
            parts.append((spectral_interpolate(slope, grid, places, odd=others) / value).imag)
        turn = jnp.stack(parts, axis=-1)
        if shift is not None:
            turn = turn + shift.astype(real)[None]
        return jnp.asarray(hbar, real) / jnp.asarray(mass, real) * turn

    return velocity


def circulation(velocity: Any, loop: Any, *, mass: Scalar, grid: Grid | None = None) -> Array:
    """M∮u·dq along a smooth closed loop, in units of action, ().

    The loop is differentiated by Fourier series, so that the error falls exponentially with L for a smooth loop with
    evenly spaced parameter, such as a circle. Around a ring, give the grid: the loop is then closed the shorter way.

    Args:
        velocity: a function of places, (L, d) to (L, d), or an array (*points, d) on the grid, interpolated by
            Fourier series (smooth fields alone; between walls, fields that do not cross them).
        loop: points in order, the first not repeated at the end, (L, d), L at least 3.
        mass: M.
        grid: of the array, or of the ring that the loop goes around.
    """
    if grid is not None:
        require_grid(grid)
    real_numbers(mass=mass)
    loop = _loop(loop, None if grid is None else grid.dimensions)
    if callable(velocity):
        u = real_array("velocity", velocity(loop), shape=loop.shape)
    else:
        if grid is None:
            refuse("grid", "be given with a velocity that is an array", grid)
        field = real_array("velocity", velocity, shape=(*grid.points, grid.dimensions))
        parts = [spectral_interpolate(field[..., k], grid, loop, odd=(k,)) for k in range(grid.dimensions)]
        u = jnp.stack(parts, axis=-1)
    return _circulation(u, loop, mass, grid)


@jax.jit
def _circulation(u: Array, loop: Array, mass: Scalar, grid: Grid | None) -> Array:
    step = jnp.roll(loop, -1, axis=0) - loop
    if grid is not None:
        length = (grid.upper - grid.lower).astype(loop.dtype)[None]
        step = jnp.where(jnp.asarray(grid.periodic)[None], step - length * jnp.round(step / length), step)
    closure = jnp.sum(step, axis=0, keepdims=True)  # zero, or the ring that the loop goes around
    n, zero = len(loop), jnp.zeros(1, loop.dtype)
    round_once = Grid(zero, zero + 1, n, periodic=True)
    wavy = jnp.concatenate([jnp.zeros_like(closure), jnp.cumsum(step, axis=0)[:-1]]) - round_once.coordinates * closure
    tangent = spectral_derivative(wavy.T, round_once, 0).T + closure
    return jnp.asarray(mass, u.dtype) * jnp.sum(u * tangent.astype(u.dtype)) / n


def angular_momentum(psi: Any, grid: Grid, *, hbar: Scalar, center: Any = 0.0, flux: Any = None) -> Array:
    """⟨(q - c) × (-iħ∇)⟩ / ∫|Ψ|²: L_z, (...), in two variables; the vector, (..., 3), in three.

    Along rings Ψ must vanish at the ends of the box, where q jumps. With flux it is the kinetic one, M∫(q - c) × J.

    Args:
        psi: Ψ, (..., *points).
        grid: of two or three variables.
        hbar: ħ.
        center: c, a number or (d,).
        flux: ν through each ring, in quanta: ∇ becomes ∇ + 2πiν/L.
    """
    psi = wave_function(psi, grid)
    real_numbers(hbar=hbar)
    d = grid.dimensions
    check("grid", "have two or three variables", d in (2, 3), d)
    return _turning(psi, grid, hbar, vector("center", center, grid), flux_shift(flux, grid))


@partial(jax.jit, inline=True)
def _turning(psi: Array, grid: Grid, hbar: Scalar, center: Array, shift: Array | None) -> Array:
    d, real = grid.dimensions, psi.real.dtype
    c = center.astype(grid.lower.dtype)
    away = (grid.coordinates - c.reshape((1,) * d + (d,))).astype(real)
    away = jnp.broadcast_to(away, (*psi.shape, d))
    P = _current(psi, grid, hbar, 1.0, shift)
    weight = grid.integrate(jnp.abs(psi) ** 2)

    def about(a: int, b: int) -> Array:
        return grid.integrate(away[..., a] * P[..., b] - away[..., b] * P[..., a]) / weight

    return about(0, 1) if d == 2 else jnp.stack([about(1, 2), about(2, 0), about(0, 1)], axis=-1)
