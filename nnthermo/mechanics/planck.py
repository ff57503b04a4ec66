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

from nnthermo._checks import check, integer, positive_numbers, real_array, real_numbers
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import increasing_times, potential_like
from nnthermo.mechanics.density_flow import time_derivative, velocity_from_densities
from nnthermo.mechanics.fourier import spectral_derivative, spectral_gradient
from nnthermo.mechanics.grid import Grid, require_grid


class PlanckEstimate(NamedTuple):
    """ħ² from a regression.

    Attributes:
        value: ħ², of either sign, in units (mass × unit of q² / unit of time)².
        error: standard error of the regression, each block of points one independent series in time. With blocks of one
            point it is too small where noise is alike in neighbouring points, as it is in every smoothed density. No
            guide to errors of discretisation.
        residual: share of the acceleration left unexplained, 0 to 1 (the root of 1 - R²).
        signal: share of G that changes in time, 0 to 1: where V is unknown nothing else tells of ħ². NaN estimates come
            of a signal of zero.
    """

    value: Array
    error: Array
    residual: Array
    signal: Array


def estimate_planck_squared(
    densities: Any,
    velocities: Any,
    times: Any,
    grid: Grid,
    *,
    mass: Scalar = 1.0,
    potential: Any = None,
    floor: float = 1e-6,
    block: int = 1,
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
        block: points along each variable whose errors are taken for one; above 1 those of the components of u as well.
            Raise it until `error` stays, to about the width of the kernel that smoothed samples; at most a quarter of
            the points.
    """
    require_grid(grid)
    side, most = integer("block", block), max(min(grid.points) // 4, 1)
    check("block", f"lie between 1 and {most}", 1 <= side <= most, side)
    real_numbers(floor=floor)
    positive_numbers(mass=mass)
    t = increasing_times(times, least=5 if velocities is None else 3)
    p = real_array("densities", densities, shape=(len(t), *grid.points))
    V = None if potential is None else potential_like(p, potential, grid)
    u = None if velocities is None else real_array("velocities", velocities, shape=(*p.shape, grid.dimensions))
    return _estimate(p, u, V, t, grid, jnp.asarray(mass, p.dtype), jnp.asarray(floor, p.dtype), side)


@partial(jax.jit, static_argnums=7, inline=True)
def _estimate(
    p: Array, u: Array | None, V: Array | None, t: Array, grid: Grid, M: Array, floor: Array, block: int
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
        V = V[1:-1]
        push = spectral_gradient(p * V, grid) - V[..., None] * spectral_gradient(p, grid)
        a = a + push / (M * p[..., None])
    w = jnp.where(p > floor * jnp.max(p), p, 0)[..., None]
    return _regress(a, G, jnp.broadcast_to(w, G.shape), M, unknown_force=V is None, block=block)


def _momentum_flow(p: Array, u: Array, grid: Grid) -> Array:
    """∂_j(p u_i u_j): unlike u itself, p u is smooth where p is next to nothing."""
    parts, axes = [], range(grid.dimensions)
    for i in axes:
        flows = ((p * u[..., i] * u[..., j], j) for j in axes)
        parts.append(sum(spectral_derivative(f, grid, j, odd=(i, j) if i != j else ()) for f, j in flows))
    return jnp.stack(parts, axis=-1)


def _quantum_acceleration(p: Array, grid: Grid) -> Array:
    """G = ∇(∇²√p/√p)/2 as ∂_j(p ∂_i∂_j log p)/(4p), in which no small number is divided before the last step."""
    d, r = grid.dimensions, jnp.sqrt(jnp.maximum(p, 0))
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


def _regress(a: Array, G: Array, w: Array, M: Array, *, unknown_force: bool, block: int = 1) -> PlanckEstimate:
    """Weighted least squares a = c(q) + θ G, with c = 0 unless the force is unknown; times are the first axis."""
    a, G = jnp.where(w > 0, a, 0), jnp.where(w > 0, G, 0)  # what does not count need not be finite
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
    if block > 1:
        scores = jnp.sum(scores, axis=-1)
        for axis, n in enumerate(scores.shape):
            padding = [(0, -n % block if k == axis else 0) for k in range(scores.ndim)]
            whole_blocks = jnp.moveaxis(jnp.pad(scores, padding), axis, 0)
            scores = jnp.moveaxis(whole_blocks.reshape(-1, block, *whole_blocks.shape[1:]).sum(axis=1), 0, axis)
    error = jnp.sqrt(jnp.sum(scores**2)) / power
    residual = jnp.sqrt(jnp.sum(w * rest**2) / jnp.sum(w * a**2))
    return PlanckEstimate(M**2 * theta, M**2 * error, residual, jnp.sqrt(power / whole))
