"""Planck's constant measured: how much of the acceleration of an ensemble is a quantum potential, and of which sign.

A Madelung fluid accelerates as D_t u + ∇V/M = (ħ/M)² G with G = ∇(∇²√p/√p)/2. Of densities and velocities at several
times both sides are known but for V, and where V does not depend on time the differences in time do not contain it.

Theorem (own derivation): every gradient Fokker-Planck flow ∂p/∂t = ∇·(D∇p - γ p ∇F) with F at rest is a Madelung fluid
with (ħ/M)² = -4D². For φ = γF - D log p, u = ∇φ,

    ∂φ/∂t + |∇φ|²/2 - [γ²|∇F|²/2 + Dγ ∇²F] + 2D² ∇²√p/√p = 0.

So plain stochastic descent is a diffusion, ħ² < 0, and a positive ħ² is a claim that data can refute. The estimate
returns -4D² only for one constant D; where D depends on the place or the loss surface moves, it is a number without
that meaning, and `residual` says so.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, integer, is_concrete, positive, real_array, real_numbers
from nnthermo._typing import Array, Scalar
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


class PlanckEstimate(NamedTuple):
    """ħ² from a regression.

    Attributes:
        value: ħ², of either sign, in units (mass × unit of q² / unit of time)².
        error: standard error of the regression, each point of the grid one independent series in time: an
            approximation, too small where noise is alike in neighbouring points, and no guide to errors of
            discretisation.
        residual: share of the acceleration left unexplained, 0 to 1 (the root of 1 - R²).
        signal: share of G that changes in time, 0 to 1: where V is unknown nothing else tells of ħ². NaN estimates come
            of a signal of zero.
    """

    value: Array
    error: Array
    residual: Array
    signal: Array


def time_derivative(values: Any, times: Any) -> Array:
    """Second-order derivative at the interior times, (T - 2, ...), for times that need not be evenly spaced."""
    values, t = real_array("values", values), real_array("times", times, ndim=1)
    check("times", "be at least 3, one for each of `values`", len(t) >= 3 and values.shape[:1] == t.shape, t.shape)
    check("times", "increase", not is_concrete(t) or bool((np.diff(np.asarray(t)) > 0).all()), t)
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
    Densities that decay to rounding level have no velocity there: it is damped to zero.

    Args:
        densities: p, (T, *points), positive.
        times: (T,).
        grid: rings, or walls that nothing crosses.
        iterations: of the conjugate gradients.

    Returns:
        Velocities (T - 2, *points, d), and max|∇·(pu) + ∂p/∂t| / max|∂p/∂t|, (T - 2,).
    """
    require_grid(grid)
    p = real_array("densities", densities)
    grid.check("densities", p)
    check("densities", "have one time axis before those of the grid", p.ndim == grid.dimensions + 1, p.shape)
    t = real_array("times", times, ndim=1)
    check("times", "be at least 3, one for each of `densities`", len(t) >= 3 and p.shape[:1] == t.shape, t.shape)
    check("times", "increase", not is_concrete(t) or bool((np.diff(np.asarray(t)) > 0).all()), t)
    count = integer("iterations", iterations)
    check("iterations", "be at least 1", count >= 1, count)
    return _velocity(p, t, grid, count)


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
    goes to zero, and p u = √p ∇χ - χ ∇√p."""
    r = jnp.sqrt(p)
    rounding = (1e3 * jnp.finfo(p.dtype).eps) ** 2 * jnp.max(p)
    inverse = r / (p + rounding)
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
    return flow / (p + 10 * jnp.finfo(p.dtype).eps * jnp.max(p))[..., None]


def estimate_planck_squared(
    densities: Any,
    velocities: Any,
    times: Any,
    grid: Grid,
    *,
    mass: Scalar = 1.0,
    potential: Any = None,
    floor: float = 1e-6,
) -> PlanckEstimate:
    """ħ² by regression of the acceleration of a fluid on the gradient of its quantum potential, weighted by p.

    Densities must be smooth and positive, of a solver or a fit: three derivatives of histograms are noise. For samples
    in one variable use `planck_squared_from_samples`. The error is of second order in the steps of time.

    Args:
        densities: p, (T, *points), positive.
        velocities: u, (T, *points, d), or None: `velocity_from_densities`, which needs two times more.
        times: (T,), increasing, T at least 3 (5 without velocities).
        grid: rings, or walls that nothing crosses.
        mass: M, of use with ħ² or V; (ħ/M)² is the estimate for M = 1.
        potential: V (*points), or (T, *points); None: unknown and at rest, removed point by point.
        floor: points with p below this share of its largest value do not count.
    """
    require_grid(grid)
    real_numbers(mass=mass, floor=floor)
    p, t = real_array("densities", densities), real_array("times", times, ndim=1)
    d = grid.dimensions
    check("densities", f"have shape {(len(t), *grid.points)}", p.shape == (len(t), *grid.points), p.shape)
    positive("mass", mass)
    V = None if potential is None else real_array("potential", potential)
    if V is not None:
        check("potential", f"have shape {grid.points}, or {p.shape}", V.shape in (grid.points, p.shape), V.shape)
        V = jnp.broadcast_to(V, p.shape)
    u = None if velocities is None else real_array("velocities", velocities)
    check("velocities", f"have shape {(*p.shape, d)}", u is None or u.shape == (*p.shape, d),
          np.shape(velocities))  # fmt: skip
    check("times", "be at least 3, or 5 without velocities", len(t) >= (5 if u is None else 3), len(t))
    check("times", "increase", not is_concrete(t) or bool((np.diff(np.asarray(t)) > 0).all()), t)
    return _estimate(p, u, V, t, grid, jnp.asarray(mass, p.dtype), jnp.asarray(floor, p.dtype))


@partial(jax.jit, inline=True)
def _estimate(
    p: Array, u: Array | None, V: Array | None, t: Array, grid: Grid, M: Array, floor: Array
) -> PlanckEstimate:
    if u is None:
        u, _ = velocity_from_densities(p, t, grid)
        p, t, V = p[1:-1], t[1:-1], None if V is None else V[1:-1]
    rate = time_derivative(p[..., None] * u, t)
    p, u = p[1:-1], u[1:-1]
    acceleration = (rate + _momentum_flow(p, u, grid)) / p[..., None]
    G = _quantum_acceleration(p, grid)
    a = acceleration
    if V is not None:  # p ∇V as ∇(pV) - V∇p: V need not be smooth at the ends of the grid where p is next to nothing
        V = V[1:-1].astype(p.dtype)
        push = spectral_gradient(p * V, grid) - V[..., None] * spectral_gradient(p, grid)
        a = a + push / (M * p[..., None])
    w = jnp.where(p > floor * jnp.max(p), p, 0)[..., None]
    return _regress(a, G, jnp.broadcast_to(w, G.shape), M, unknown_force=V is None)


def _momentum_flow(p: Array, u: Array, grid: Grid) -> Array:
    """∂_j(p u_i u_j): unlike u itself, p u is smooth where p is next to nothing."""
    parts, axes = [], range(grid.dimensions)
    for i in axes:
        flows = ((p * u[..., i] * u[..., j], j) for j in axes)
        parts.append(sum(spectral_derivative(f, grid, j, odd=(i, j) if i != j else ()) for f, j in flows))
    return jnp.stack(parts, axis=-1)


def _quantum_acceleration(p: Array, grid: Grid) -> Array:
    """G = ∇(∇²√p/√p)/2 as ∂_j(p ∂_i∂_j log p)/(4p), in which no small number is divided before the last step."""
    d, r = grid.dimensions, jnp.sqrt(p)
    slope = spectral_gradient(r, grid)
    parts = []
    for i in range(d):
        total = jnp.zeros_like(p)
        for j in range(d):
            if i == j:
                stress = spectral_derivative(p, grid, i, order=2) - 4 * slope[..., i] ** 2
                total = total + spectral_derivative(stress, grid, i)
            else:
                mixed = spectral_derivative(spectral_derivative(p, grid, i), grid, j, odd=(i,))
                total = total + spectral_derivative(mixed - 4 * slope[..., i] * slope[..., j], grid, j, odd=(i, j))
        parts.append(total / (4 * p))
    return jnp.stack(parts, axis=-1)


def _regress(a: Array, G: Array, w: Array, M: Array, *, unknown_force: bool) -> PlanckEstimate:
    """Weighted least squares a = c(q) + θ G, with c = 0 unless the force is unknown; times are the first axis."""
    whole = jnp.sum(w * G**2)
    if unknown_force:
        total = jnp.sum(w, axis=0, keepdims=True)
        share = jnp.where(total > 0, w / jnp.where(total > 0, total, 1), 0)
        a = a - jnp.sum(share * a, axis=0, keepdims=True)
        G = G - jnp.sum(share * G, axis=0, keepdims=True)
    a, G = jnp.where(w > 0, a, 0), jnp.where(w > 0, G, 0)
    power = jnp.sum(w * G**2)
    theta = jnp.sum(w * G * a) / power
    rest = a - theta * G
    scores = jnp.sum(w * G * rest, axis=0)
    error = jnp.sqrt(jnp.sum(scores**2)) / power
    residual = jnp.sqrt(jnp.sum(w * rest**2) / jnp.sum(w * a**2))
    return PlanckEstimate(M**2 * theta, M**2 * error, residual, jnp.sqrt(power / whole))
