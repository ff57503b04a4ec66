"""Densities of trainable variables that drift and diffuse: how they move, and where they come to rest."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, integer, is_concrete, positive_numbers, real_array, real_numbers
from nnthermo._typing import Array
from nnthermo.mechanics._arguments import density
from nnthermo.mechanics.generator import Generator, require_generator
from nnthermo.mechanics.grid import Grid, require_grid

JUMPS = 64.0
"""Mean number of jumps of the fastest cell in one step of uniformisation: exp(-64) is a number in float32 too."""

TERMS = 152
"""Terms of the Poisson sum a step: beyond them lies 3e-20 of a law of mean 64."""


class Evolution(NamedTuple):
    """Densities at the times asked for.

    Attributes:
        density: shape (T, *leading, *points).
        error: bound on the integral of |error| from cutting the sums over jumps, for a density of integral one, shape
            (T,). It does not know of the grid's own error, nor of rounding. 2 says that `steps` is far too small.
    """

    density: Array
    error: Array


def fokker_planck_evolve(p0: Any, generator: Generator, times: Any, *, steps: int | None = None) -> Evolution:
    r"""The density at later times, exp((t - t₀)A) p₀, positive and conserved in one to three dimensions.

    By uniformisation (Jensen 1953, recalled and re-derived): with Λ above every exit rate, P = 1 + A/Λ has entries ≥ 0
    and columns that sum to one, and exp(tA) = Σ_n Poisson(n; Λt) Pⁿ is an average of its powers. What lies beyond
    the last term is given to that term. So nothing is ever negative, the sum stays to rounding, and there is no
    order in time: the error is that of the grid and the bound that comes back. The cost is about 2.4 Λt applications
    of A, Λ ≈ 2 Σ_k D/h_k², whatever the accuracy: twice as fine a grid is four times as many.

    Args:
        p0: density at times[0], shape (*leading, *points), ≥ 0.
        generator: A.
        times: increasing, shape (T,), in the units of 1/rates.
        steps: applications of A are made in so many runs of 152 between two times; None takes Λ·Δt/64 from the values
            of A and the times, which must then be known.

    Returns:
        `Evolution`; its first density is p0. Differentiable; the backward pass stores one density a run.

    Raises:
        ValueError: wrong shapes, times that decrease, or `steps` missing where values are traced.
    """
    require_generator(generator)
    p = density("p0", p0, generator.grid)
    t = real_array("times", times, ndim=1)
    check("times", "hold at least one time", len(t) > 0, "none")
    dtype = jnp.result_type(p.dtype, generator.forward.dtype)
    p = p.astype(dtype)
    ceiling = _ceiling(generator)
    if is_concrete(t):
        finite("times", t)
        check("times", "not decrease", bool((np.diff(np.asarray(t)) >= 0).all()), t)
    if steps is None:
        known = is_concrete(ceiling, t)
        check("steps", "be given where the rates or the times are traced", known, "None")
        most = float(np.max(np.diff(np.asarray(t)), initial=0.0)) * float(ceiling)
        finite("generator", ceiling)
        steps = max(1, int(np.ceil(most / JUMPS)))
    return _uniformise(p, generator, ceiling, t, integer("steps", steps, least=1))


@partial(jax.jit, inline=True)
def _ceiling(generator: Generator) -> Array:
    """Λ, above every exit rate; the sum is the same for each Λ."""
    return 1.02 * jax.lax.stop_gradient(jnp.max(generator.exit_rates()))


@partial(jax.jit, static_argnums=4)
def _uniformise(p: Array, generator: Generator, ceiling: Array, t: Array, count: int) -> Evolution:
    """Densities at the times, `count` Poisson sums from each to the next, and the bound on the error of each."""
    dtype = p.dtype
    hop = 1 / jnp.where(ceiling > 0, ceiling, 1).astype(dtype)
    n = jnp.arange(1, TERMS, dtype=dtype)

    def power(carry: tuple[Array, Array], weight: Array) -> tuple[tuple[Array, Array], None]:
        v, total = carry
        v = v + hop * generator.apply(v)
        return (v, total + weight * v), None

    @jax.checkpoint
    def run(v: Array, mean: Array) -> Array:
        weights = jnp.exp(-mean) * jnp.cumprod(mean / n)
        weights = weights.at[-1].add(1 - jnp.exp(-mean) - jnp.sum(weights))
        return jax.lax.scan(power, (v, jnp.exp(-mean) * v), jnp.maximum(weights, 0))[0][1]

    def interval(v: Array, span: Array) -> tuple[Array, tuple[Array, Array]]:
        mean = ceiling.astype(dtype) * span.astype(dtype) / count
        v = jax.lax.scan(lambda u, _: (run(u, mean), None), v, None, length=count)[0]
        return v, (v, jnp.minimum(2 * count * _beyond(jax.lax.stop_gradient(mean)), 2))

    densities, errors = jax.lax.scan(interval, p, jnp.diff(t))[1]
    start = jnp.zeros(1, errors.dtype)
    return Evolution(jnp.concatenate([p[None], densities]), jnp.concatenate([start, jnp.cumsum(errors)]))


def _beyond(mean: Array) -> Array:
    """Bound on what a Poisson law holds from TERMS on: its term there, and a geometric series of the first ratio."""
    term = jnp.exp(TERMS * jnp.log(mean) - mean - math.lgamma(TERMS + 1))
    ratio = jnp.minimum(mean / (TERMS + 1), 1)
    return jnp.where(ratio == 1, 1, jnp.minimum(term / (1 - ratio), 1))


def stationary_density(grid: Grid, free_energy: Any, *, gamma: Any, diffusion: Any, sign: float = -1) -> Array:
    """exp(sign·γF/D) over its integral on the grid: the law that drift and diffusion leave as it is.

    For one number D; other diffusions: `Generator.stationary`. Own derivation, a standard result; the paper's sign
    is +1 (8.2).

    Args:
        grid: the grid.
        free_energy: F at the points, shape (..., *points).
        gamma: learning rate γ, shape ().
        diffusion: D > 0, shape ().
        sign: +1 up the free energy, -1 down.

    Returns:
        Density, the shape of F.

    Raises:
        ValueError: D that is not positive, or wrong shapes.
    """
    require_grid(grid)
    F = real_array("free_energy", free_energy)
    grid.check("free_energy", F)
    real_numbers(sign=sign, gamma=gamma)
    positive_numbers(diffusion=diffusion)
    return _boltzmann(grid, F, *(jnp.asarray(number, F.dtype) for number in (sign, gamma, diffusion)))


@partial(jax.jit, inline=True)
def _boltzmann(grid: Grid, F: Array, sign: Array, gamma: Array, D: Array) -> Array:
    exponent = sign * gamma * F / D
    axes = tuple(range(-grid.dimensions, 0))
    return grid.normalise(jnp.exp(exponent - jnp.max(exponent, axis=axes, keepdims=True)))
