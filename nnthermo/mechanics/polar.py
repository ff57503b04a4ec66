"""Wave functions and fluids: Ψ = √p exp(iF/ħ) read both ways, windings included, and the equations of the fluid tested.

A wave function has one value everywhere, and its phase winds around a ring a whole number of times: M∮u·dq = 2πħ n. A
fluid need not know that: any real circulation solves the Madelung equations (own derivation; Wallstrom's objection of
1994). The difference between the two is the difference between an adjustable and a fixed number of neurons.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import function, real_array, real_numbers
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics.fourier import inverse_laplacian, spectral_divergence, spectral_gradient
from nnthermo.mechanics.grid import Grid, require_grid
from nnthermo.mechanics.hamiltonian import flux_shift, wave_function


def madelung_from_wavefunction(
    psi: Any, grid: Grid, *, hbar: Scalar, mass: Scalar, flux: Any = None
) -> tuple[Array, Array]:
    """Density p = |Ψ|² (..., *points) and velocity u = (ħ/M) (Im(∇Ψ/Ψ) + 2πν/L) (..., *points, d): J = p u.

    The mean of u along a ring is 2πħ/(ML) times the winding and the flux: Ψ with flux ν is a fluid of ν more windings.
    At a zero of Ψ the velocity is infinite or NaN.

    Args:
        psi: Ψ, (..., *points), complex.
        grid: rings; walls only where Ψ is even about them (as wave functions between hard walls are not).
        hbar: ħ.
        mass: M.
        flux: ν through each ring, in quanta, as for `schrodinger_evolve`.
    """
    psi = wave_function(psi, grid)
    real_numbers(hbar=hbar, mass=mass)
    return _fluid(psi, grid, hbar, mass, flux_shift(flux, grid))


@partial(jax.jit, inline=True)
def _fluid(psi: Array, grid: Grid, hbar: Scalar, mass: Scalar, shift: Array | None) -> tuple[Array, Array]:
    real = psi.real.dtype
    turn = (spectral_gradient(psi, grid) / psi[..., None]).imag
    if shift is not None:
        turn = turn + shift.astype(real).reshape((1,) * psi.ndim + shift.shape)
    return jnp.abs(psi) ** 2, jnp.asarray(hbar, real) / jnp.asarray(mass, real) * turn


class PolarForm(NamedTuple):
    """A wave function made of a fluid.

    Attributes:
        psi: Ψ, (*points), complex; its phase is fixed up to a constant.
        windings: M L ū / (2πħ) for each variable, (d,), zero between walls.
        defect: |exp(2πi n) - 1| of each winding, (d,): 0 if Ψ closes along the ring, else it jumps at the end.
        residual: largest |u - ∇F/M|, (): 0 if the velocity has no curl.
    """

    psi: Array
    windings: Array
    defect: Array
    residual: Array


def wavefunction_from_madelung(p: Any, velocity: Any, grid: Grid, *, hbar: Scalar, mass: Scalar) -> PolarForm:
    """Ψ = √p exp(iF/ħ) of a density and a velocity u = ∇F/M, without flux; back by `madelung_from_wavefunction`.

    F is the mean of u along each ring times the coordinate, and the solution of M∇·u = ∇²F for the rest.

    Args:
        p: density, (*points), positive.
        velocity: u, (*points, d), smooth and without curl; vortices need their phase (`wavefunction_from_phase`).
        grid: rings, or walls which u does not cross.
        hbar: ħ.
        mass: M.
    """
    require_grid(grid)
    real_numbers(hbar=hbar, mass=mass)
    p = real_array("p", p, shape=grid.points)
    u = real_array("velocity", velocity, shape=(*grid.points, grid.dimensions))
    return _wave(p, u, grid, hbar, mass)


@partial(jax.jit, inline=True)
def _wave(p: Array, u: Array, grid: Grid, hbar: Scalar, mass: Scalar) -> PolarForm:
    h, M = jnp.asarray(hbar, p.dtype), jnp.asarray(mass, p.dtype)
    u = u.astype(p.dtype)
    rings = jnp.asarray(grid.periodic)
    mean = jnp.where(rings, jnp.mean(u, axis=tuple(range(grid.dimensions))), 0)
    wavy = inverse_laplacian(spectral_divergence(u, grid), grid)
    rest = u - spectral_gradient(wavy, grid) - mean.reshape((1,) * grid.dimensions + mean.shape)
    places = (grid.coordinates - grid.lower.reshape((1,) * grid.dimensions + mean.shape)).astype(p.dtype)
    psi = wavefunction_from_phase(p, M * (wavy + jnp.tensordot(places, mean, 1, precision="highest")), hbar=h)
    windings = M * mean * (grid.upper - grid.lower).astype(p.dtype) / (2 * jnp.pi * h)
    return PolarForm(psi, windings, jnp.abs(2 * jnp.sin(jnp.pi * windings)), jnp.max(jnp.abs(rest)))


def wavefunction_from_phase(p: Any, F: Any, *, hbar: Scalar) -> Array:
    """Ψ = √p exp(iF/ħ), complex, of the shape of p and F.

    Args:
        p: densities, of any shape.
        F: phases, of the shape of p, in units of action.
        hbar: ħ, of either sign.
    """
    real_numbers(hbar=hbar)
    p = real_array("p", p)
    return _polar(p, real_array("F", F, shape=p.shape).astype(p.dtype), hbar)


@partial(jax.jit, inline=True)
def _polar(p: Array, F: Array, hbar: Scalar) -> Array:
    r, angle = jnp.sqrt(p), F / jnp.asarray(hbar, p.dtype)
    return jax.lax.complex(r * jnp.cos(angle), r * jnp.sin(angle))


Field = Callable[[Array, Array], Array]
"""A function of a place q (d,) and a time t, a number."""


def madelung_residual(
    log_density: Field, phase: Field, potential: Field, q: Any, t: Any, *, planck_squared: Scalar, mass: Scalar
) -> tuple[Array, Array]:
    """What is left of both Madelung equations at one place and time, by automatic differentiation.

    The first, continuity, is divided by p: ∂log p/∂t + u·∇log p + ∇·u. The second is ∂F/∂t + M|u|²/2 + V + Q. Any phase
    whose gradient is single-valued may be given: the equations do not ask for whole windings.

    Args:
        log_density: log p(q, t).
        phase: F(q, t).
        potential: V(q, t).
        q: place, (d,).
        t: time.
        planck_squared: ħ².
        mass: M.
    """
    function("log_density", log_density)
    function("phase", phase)
    function("potential", potential)
    real_numbers(planck_squared=planck_squared, mass=mass)
    q, t = real_array("q", q, ndim=1), real_array("t", t)
    h2, M = jnp.asarray(planck_squared, q.dtype), jnp.asarray(mass, q.dtype)
    rate_of_log, rate_of_phase = (jax.grad(f, argnums=1)(q, t) for f in (log_density, phase))
    score, slope = jax.grad(log_density)(q, t), jax.grad(phase)(q, t)
    bend, spread = (jnp.trace(jax.hessian(f)(q, t)) for f in (log_density, phase))
    continuity = rate_of_log + jnp.dot(slope, score) / M + spread / M
    quantum = -h2 / (2 * M) * (bend / 2 + jnp.dot(score, score) / 4)
    return continuity, rate_of_phase + jnp.dot(slope, slope) / (2 * M) + potential(q, t) + quantum
