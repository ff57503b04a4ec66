"""Madelung's fluid: a density p and a velocity u = ∇F/M under a potential and a quantum potential, for ħ² of any sign.

    ∂p/∂t + ∇·(p u) = 0,    ∂F/∂t + M|u|²/2 + V + Q = 0,    Q = -(ħ²/2M) ∇²√p / √p.

With M = 1/(2γ) and ħ² = `effective_planck_squared` these are the stationary points of the action (`action`); recalled
from arXiv:2008.01540 and re-derived. The equations are Madelung's (1927). For ħ² > 0 they are the Schrödinger equation
without its rule that windings are whole numbers; for ħ² = -4D² and M = 1 every gradient Fokker-Planck flow solves them
(own derivation, see `planck`).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import positive_numbers, real_array, real_numbers
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import potential_like, records
from nnthermo.mechanics.fourier import (
    multiply_waves,
    share_of_cutoff,
    spectral_divergence,
    spectral_gradient,
    spectral_laplacian,
    two_thirds_filter,
)
from nnthermo.mechanics.grid import Grid, require_grid


def quantum_potential(p: Any, grid: Grid, *, planck_squared: Scalar, mass: Scalar) -> Array:
    """Q = -(ħ²/2M) ∇²√p / √p, (..., *points), like V in units of F over time: F is an action, ħ in its units.

    Near zeros of p the quotient is one of rounding errors, or infinite.

    Args:
        p: densities, (..., *points), positive.
        grid: rings, or walls about which p is even.
        planck_squared: ħ², of any sign.
        mass: M.
    """
    require_grid(grid)
    real_numbers(planck_squared=planck_squared)
    positive_numbers(mass=mass)
    p = real_array("p", p)
    grid.check("p", p)
    return _quantum_potential(p, grid, planck_squared, mass)


@partial(jax.jit, inline=True)
def _quantum_potential(p: Array, grid: Grid, planck_squared: Scalar, mass: Scalar) -> Array:
    r = jnp.sqrt(p)
    h2, M = jnp.asarray(planck_squared, p.dtype), jnp.asarray(mass, p.dtype)
    return -h2 / (2 * M) * spectral_laplacian(r, grid) / r


def madelung_energy(
    p: Any, velocity: Any, potential: Any, grid: Grid, *, planck_squared: Scalar, mass: Scalar
) -> Array:
    """∫ { p (M|u|²/2 + V) + (ħ²/2M) |∇√p|² }, conserved for a static potential, (...).

    Args:
        p: densities, (..., *points).
        velocity: u, (..., *points, d).
        potential: V, (*points).
        grid: rings, or walls that nothing crosses.
        planck_squared: ħ², of any sign.
        mass: M.
    """
    require_grid(grid)
    real_numbers(planck_squared=planck_squared)
    positive_numbers(mass=mass)
    p = real_array("p", p)
    grid.check("p", p)
    u = real_array("velocity", velocity, shape=(*p.shape, grid.dimensions))
    return _energy(p, u, potential_like(p, potential, grid), grid, planck_squared, mass)


@partial(jax.jit, inline=True)
def _energy(p: Array, u: Array, V: Array, grid: Grid, planck_squared: Scalar, mass: Scalar) -> Array:
    h2, M = jnp.asarray(planck_squared, p.dtype), jnp.asarray(mass, p.dtype)
    bend = jnp.sum(spectral_gradient(jnp.sqrt(p), grid) ** 2, axis=-1)
    return grid.integrate(p * (M * jnp.sum(u**2, axis=-1) / 2 + V) + h2 / (2 * M) * bend)


def madelung_rhs(
    log_amplitude: Any, velocity: Any, potential: Any, grid: Grid, *, planck_squared: Scalar, mass: Scalar
) -> tuple[Array, Array]:
    """Rates of C = log √p and of u = ∇F/M; of the shapes of C (*points) and u (*points, d).

    ∂C/∂t = -u·∇C - ∇·u/2 and ∂u/∂t = -∇(|u|²/2 + V/M - (ħ²/2M²)(∇²C + |∇C|²)). A gradient has no mean along a ring, so
    that the mean of u, which is the winding, never changes. Arguments as in `madelung_evolve`.
    """
    require_grid(grid)
    real_numbers(planck_squared=planck_squared, mass=mass)
    C, u, V = _fluid(log_amplitude, velocity, potential, grid)
    h2, M = jnp.asarray(planck_squared, C.dtype), jnp.asarray(mass, C.dtype)
    slope = spectral_gradient(C, grid)
    bend = spectral_laplacian(C, grid) + jnp.sum(slope**2, axis=-1)
    rate_C = -jnp.sum(u * slope, axis=-1) - spectral_divergence(u, grid) / 2
    head = jnp.sum(u**2, axis=-1) / 2 + V / M - h2 / (2 * M**2) * bend
    return rate_C, -spectral_gradient(head, grid)


class MadelungFlow(NamedTuple):
    """A run of the fluid.

    Attributes:
        times: (S,), the first is 0.
        log_amplitude: C = log √p, (S, *points).
        velocity: u, (S, *points, d).
        mass_error: |∫p / ∫p(0) - 1|, which the equations keep at zero, (S,).
        tail: size of the fastest waves of C that the filter leaves, (S,); C has no unit. It grows as p nears a node.
        valid: whether all is finite, and `mass_error` and `tail` are below 1e-3, (S,). Once false, the fluid has met a
            node, a shock (ħ² = 0), or waves that the grid does not hold (ħ² < 0), and what follows is no solution.
    """

    times: Array
    log_amplitude: Array
    velocity: Array
    mass_error: Array
    tail: Array
    valid: Array

    @property
    def density(self) -> Array:
        """p = exp(2C), (S, *points)."""
        return jnp.exp(2 * self.log_amplitude)


def madelung_evolve(
    log_amplitude: Any,
    velocity: Any,
    potential: Any,
    grid: Grid,
    *,
    planck_squared: Scalar,
    mass: Scalar,
    dt: Scalar,
    steps: int,
    save_every: int | None = None,
) -> MadelungFlow:
    """Run the fluid: fourth-order Runge-Kutta in time, Fourier series in space with the 2/3 filter.

    Holds while p has no node: at a node log p is infinite, and the winding could change. For ħ² > 0 stability asks for
    |ħ| k² dt / (2M) < 2.8, k = 2/3 of the fastest wave number. For ħ² < 0 the equations are ill-posed in both
    directions of time (rounding errors grow as exp(|ħ| k² t / 2M)), so that only short times on coarse grids are right;
    use `schrodinger_bridge` for long ones. For ħ² = 0 the flow ends where trajectories cross.

    Args:
        log_amplitude: C = log √p at the start, (*points).
        velocity: u, (*points, d), without curl; its mean along a ring is the winding 2πħ n / (M L).
        potential: V, (*points).
        grid: rings, or walls about which p is even and which u does not cross.
        planck_squared: ħ², of any sign.
        mass: M.
        dt: step of time.
        steps: how many.
        save_every: steps between records, a divisor of `steps`; default: the end alone, besides the start.
    """
    require_grid(grid)
    real_numbers(planck_squared=planck_squared, dt=dt)
    positive_numbers(mass=mass)
    C, u, V = _fluid(log_amplitude, velocity, potential, grid)
    steps, every = records(steps, save_every)
    numbers = [jnp.asarray(n, C.dtype) for n in (planck_squared, mass, dt)]
    return _evolve(C, u, V, grid, *numbers, steps, every)


def _fluid(log_amplitude: Any, velocity: Any, potential: Any, grid: Grid) -> tuple[Array, Array, Array]:
    C = real_array("log_amplitude", log_amplitude, shape=grid.points)
    u = real_array("velocity", velocity, shape=(*grid.points, grid.dimensions)).astype(C.dtype)
    return C, u, potential_like(C, potential, grid)


def _filter(C: Array, u: Array, grid: Grid) -> tuple[Array, Array]:
    parts = [two_thirds_filter(u[..., k], grid, odd=(k,)) for k in range(grid.dimensions)]
    return two_thirds_filter(C, grid), jnp.stack(parts, axis=-1)


@partial(jax.jit, static_argnums=(7, 8))
def _evolve(
    C: Array, u: Array, V: Array, grid: Grid, h2: Array, M: Array, dt: Array, steps: int, every: int
) -> MadelungFlow:
    def rate(state: tuple[Array, Array]) -> tuple[Array, Array]:
        return _filter(*madelung_rhs(*state, V, grid, planck_squared=h2, mass=M), grid)

    def ahead(state: tuple[Array, Array], slope: tuple[Array, Array], h: Array) -> tuple[Array, Array]:
        return state[0] + h * slope[0], state[1] + h * slope[1]

    def step(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        k1 = rate(state)
        k2 = rate(ahead(state, k1, dt / 2))
        k3 = rate(ahead(state, k2, dt / 2))
        k4 = rate(ahead(state, k3, dt))
        return tuple(  # type: ignore[return-value]
            x + dt / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)
        )

    def record(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        state = jax.lax.fori_loop(0, every, step, state)
        return state, state

    first = (C, u)
    _, later = jax.lax.scan(record, first, None, length=steps // every)
    Cs, us = (jnp.concatenate([a[None], b]) for a, b in zip(first, later, strict=True))
    masses = grid.integrate(jnp.exp(2 * Cs))
    error = jnp.abs(masses / masses[0] - 1)
    tail = _tail(Cs, grid)
    finite = jnp.all(jnp.isfinite(us), axis=tuple(range(1, us.ndim))) & jnp.isfinite(masses)
    times = jnp.arange(steps // every + 1, dtype=C.dtype) * every * dt
    return MadelungFlow(times, Cs, us, error, tail, finite & (error < 1e-3) & (tail < 1e-3))


def _tail(Cs: Array, grid: Grid) -> Array:
    """Largest |C| left when the slower three quarters of the waves that pass the filter are taken away."""
    share = share_of_cutoff(grid)
    fast = multiply_waves(Cs, grid, jnp.asarray((share > 0.75) & (share <= 1), Cs.dtype))
    return jnp.max(jnp.abs(fast), axis=tuple(range(1, Cs.ndim)))
