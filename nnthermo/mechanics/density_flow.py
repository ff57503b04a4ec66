"""The velocity of an ensemble from its densities at several times: the gradient whose current they ask for."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, integer, real_array
from nnthermo._typing import Array
from nnthermo.mechanics._arguments import increasing_times
from nnthermo.mechanics.fourier import (
    inverse_laplacian,
    multiply_waves,
    spectral_derivative,
    spectral_divergence,
    spectral_gradient,
    spectral_laplacian,
    squared_wave_numbers,
)
from nnthermo.mechanics.grid import Grid, require_grid


def time_derivative(values: Any, times: Any) -> Array:
    """Second-order derivative at the interior times, (T - 2, ...), for times that need not be evenly spaced."""
    values, t = real_array("values", values), increasing_times(times, least=3)
    fits = values.shape[:1] == t.shape
    check("values", f"have a first axis of {len(t)}, one entry a time", fits, f"shape {values.shape}")
    return _central(values, t)


@partial(jax.jit, inline=True)
def _central(values: Array, t: Array) -> Array:
    step = jnp.diff(t.astype(values.dtype)).reshape((-1,) + (1,) * (values.ndim - 1))
    slope = jnp.diff(values, axis=0) / step
    before, after = step[:-1], step[1:]
    return (slope[:-1] * after + slope[1:] * before) / (before + after)


def velocity_from_densities(densities: Any, times: Any, grid: Grid, *, iterations: int = 100) -> tuple[Array, Array]:
    """The gradient velocity u = ∇φ with ∇·(p∇φ) = -∂p/∂t at the interior times, and what is left of that equation.

    In one variable the current is minus the cumulative of ∂p/∂t, with no net circulation along a ring. In more, the
    equation is solved by conjugate gradients for √p φ.
    Densities that decay to rounding level, or below zero by it, have no velocity there: it is damped to zero, in more
    variables than one where p is below 1e-14 of its largest value (3e-6 in float32), and a per cent off at a hundred
    times that.

    Args:
        densities: p, (T, *points), positive.
        times: (T,), increasing, T at least 3.
        grid: rings, or walls that nothing crosses.
        iterations: of the conjugate gradients.

    Returns:
        Velocities (T - 2, *points, d), and max|∇·(pu) + ∂p/∂t| / max|∂p/∂t|, (T - 2,).
    """
    require_grid(grid)
    t = increasing_times(times, least=3)
    p = real_array("densities", densities, shape=(len(t), *grid.points))
    return _velocity(p, t, grid, integer("iterations", iterations, least=1))


@partial(jax.jit, static_argnums=3, inline=True)
def _velocity(p: Array, t: Array, grid: Grid, iterations: int) -> tuple[Array, Array]:
    rate = _central(p, t)
    inner = p[1:-1]
    if grid.dimensions == 1:
        J = -spectral_derivative(inverse_laplacian(rate, grid), grid, 0)
        if grid.periodic[0]:  # the constant current that lets ∮u dq vanish
            J = J - grid.integrate(J / inner)[:, None] / grid.integrate(1 / inner)[:, None]
        rounding = 10 * jnp.finfo(p.dtype).eps * jnp.max(inner)
        u = (J / (inner + rounding))[..., None]
    else:
        u = jax.vmap(lambda p, rate: _gradient_flow(p, rate, grid, iterations))(inner, rate)
    left = spectral_divergence(inner[..., None] * u, grid) + rate
    axes = tuple(range(1, p.ndim))
    return u, jnp.max(jnp.abs(left), axis=axes) / jnp.max(jnp.abs(rate), axis=axes)


def _gradient_flow(p: Array, rate: Array, grid: Grid, iterations: int) -> Array:
    """u = ∇φ of -∇·(p∇φ) = rate. With φ = χ/√p the equation is (-∇² + ∇²√p/√p) χ = rate/√p, in which no coefficient
    goes to zero, and p u = √p ∇χ - χ ∇√p. Thirty roundings of the largest density are added to all of it: what is
    noise, or below zero, has a smooth root then."""
    size = jnp.max(p)
    floor = 30 * jnp.finfo(p.dtype).eps * size
    p = jnp.maximum(p, 0) + floor
    r = jnp.sqrt(p)
    inverse = 1 / r
    well = spectral_laplacian(r, grid) * inverse
    scale = jnp.mean(spectral_laplacian(r, grid) ** 2) / jnp.mean(jnp.sum(spectral_gradient(r, grid) ** 2, axis=-1))
    smooth = 1 / (squared_wave_numbers(grid).astype(p.dtype) + scale)

    def across(f: Array) -> Array:  # √p, the state of zero energy, is no part of the solution
        return f - r * jnp.sum(r * f) / jnp.sum(p)

    chi, _ = jax.scipy.sparse.linalg.cg(
        lambda f: across(well * f - spectral_laplacian(f, grid)),
        across(rate * inverse),
        M=lambda f: across(multiply_waves(across(f), grid, smooth)),
        tol=1e3 * float(jnp.finfo(p.dtype).eps),
        maxiter=iterations,
    )
    flow = r[..., None] * spectral_gradient(chi, grid) - chi[..., None] * spectral_gradient(r, grid)
    return flow * ((1 - floor / p) / p)[..., None]  # zero where nothing but the floor is
