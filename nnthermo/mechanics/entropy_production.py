r"""Entropy and free energy: what diffusion produces and learning destroys, so that the balance closes on the grid.

Over a face with rates u, w and y = log p(left)/p(right) the entropy changes by J y. The drift's share is taken at the
logarithmic mean of the two densities, Λ = (p(left) - p(right))/y, which makes it linear in p,

    J y = [ J - (u - w) Λ ] y + (u - w)(p(left) - p(right)),

the sum over faces of the last term being ⟨∇·b⟩ with the discrete divergence of the drift. The first term is
(p(left) - p(right)) [ ½(u + w) y + (u - w)(½y coth ½y - 1) ], never negative: ½(u + w) ≥ ½|u - w| and
½y coth ½y - 1 < ½|y|. Own derivation.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import real_array
from nnthermo._typing import Array
from nnthermo.mechanics._arguments import density
from nnthermo.mechanics.generator import Generator, fokker_planck_generator, require_generator
from nnthermo.mechanics.grid import Grid, require_grid


class EntropyProduction(NamedTuple):
    """Rates of change of the Shannon entropy, nats/time.

    Attributes:
        stochastic: D ∫ |∇p|²/p ≥ 0, by diffusion, shape (*leading).
        learning: ∫ p ∇·b - ∮ p b·n by the drift b = sign·γ∇F, negative where learning destroys entropy.
        total: their sum, dS/dt.
        stochastic_by_axis: shape (*leading, d); what flows along a diagonal counts half for each of its axes.
        learning_by_axis: shape (*leading, d).
    """

    stochastic: Array
    learning: Array
    total: Array
    stochastic_by_axis: Array
    learning_by_axis: Array


class FreeEnergyProduction(NamedTuple):
    """Rates of change of the mean free energy ⟨F⟩, free energy/time, each of shape (*leading).

    Attributes:
        explicit: ⟨∂F/∂t⟩, kept by the papers.
        drift: ⟨b·∇F⟩, which is sign·γ⟨|∇F|²⟩ without a further drift; kept by the papers.
        diffusive: ⟨∇·(D∇F)⟩ for Fick, ⟨D_kl ∂_k∂_l F⟩ in the Itô sense, both ⟨D ∇²F⟩ for one constant D; dropped by the
            papers.
        kept: explicit + drift.
        total: all three, d⟨F⟩/dt.
    """

    explicit: Array
    drift: Array
    diffusive: Array
    kept: Array
    total: Array


def shannon_entropy(p: Any, grid: Grid) -> Array:
    """S = -∫ p log p d^dq in nats, shape (*leading); it may be negative.

    Args:
        p: density, shape (*leading, *points); cells without probability count nothing, negative ones give NaN.
        grid: the grid.
    """
    require_grid(grid)
    p = real_array("p", p)
    grid.check("p", p)
    some = p != 0
    return -grid.integrate(jnp.where(some, p * jnp.log(jnp.where(some, p, 1)), 0))


def entropy_production(
    p: Any,
    free_energy: Any,
    grid: Grid,
    *,
    gamma: Any = None,
    diffusion: Any,
    sign: float = -1,
    drift: Any = None,
    ito: bool = False,
) -> EntropyProduction:
    """Stochastic production and learning's destruction of entropy in a density; their sum is dS/dt.

    The balance dS/dt = D∫|∇p|²/p + sign·γ∫p∇²F is exact along Fokker-Planck (own derivation); its two terms are the
    first two of arXiv:2008.01540's list, where the first is written 4D∫|∇√p|² and the sign is +1. Arguments are those
    of `fokker_planck_generator`, whose operator the balance belongs to, to rounding; see `entropy_balance`.
    """
    arguments = {"gamma": gamma, "diffusion": diffusion, "sign": sign, "drift": drift, "ito": ito}
    return entropy_balance(p, fokker_planck_generator(grid, free_energy, **arguments))


def entropy_balance(p: Any, generator: Generator) -> EntropyProduction:
    """Entropy production of any generator: dS/dt of dp/dt = A p exactly, term by term.

    With walls the learning term is ∫ p ∇·b - ∮ p b·n: what the drift piles up at a wall is compressed there. With
    `ito`, b has the ∂_l D_kl of the convention taken off. Where |b|h exceeds D, what upwind differences diffuse counts
    as stochastic.

    Args:
        p: density, shape (*leading, *points), positive.
        generator: A.

    Returns:
        `EntropyProduction`. Infinite where a cell that is empty lies next to one that holds more than a rounding of the
        largest density; NaN for negative p.
    """
    require_generator(generator)
    p = real_array("p", p)
    generator.grid.check("p", p)
    return _balance(p, generator)


@jax.jit
def _balance(p: Array, generator: Generator) -> EntropyProduction:
    a, b = jnp.broadcast_arrays(generator.left(p), generator.right(p))
    u, w = generator.per_face(generator.forward, p), generator.per_face(generator.backward, p)
    limits = jnp.finfo(p.dtype)
    axes = tuple(range(-generator.grid.dimensions - 1, 0))
    enough = limits.eps * jnp.max(generator.left(p), axis=axes, keepdims=True)
    empty = (u + w > 0) & (((a == 0) & (b > enough)) | ((b == 0) & (a > enough)))
    least = limits.tiny  # what underflowed beside what is negligible; negative densities keep their NaN
    y = jnp.log(jnp.where(a < 0, a, jnp.maximum(a, least))) - jnp.log(jnp.where(b < 0, b, jnp.maximum(b, least)))
    small = jnp.abs(y) < 0.1  # ½y coth ½y - 1 by its series: next term y⁸/1209600
    safe = jnp.where(small, 1, y)
    mean = jnp.where(small, y**2 / 12 - y**4 / 720 + y**6 / 30240, 0.5 * safe / jnp.tanh(0.5 * safe) - 1)
    production = (a - b) * (0.5 * (u + w) * y + (u - w) * mean)
    production = jnp.where(empty, jnp.inf, jnp.where(u + w > 0, production, 0))
    stochastic = _by_axis(production, generator)
    learning = _by_axis((u - w) * (a - b), generator)
    s, l = jnp.sum(stochastic, axis=-1), jnp.sum(learning, axis=-1)  # noqa: E741
    return EntropyProduction(s, l, s + l, stochastic, learning)


def free_energy_production(
    p: Any,
    free_energy: Any,
    grid: Grid,
    *,
    gamma: Any,
    diffusion: Any,
    sign: float = -1,
    drift: Any = None,
    ito: bool = False,
    rate_of_change: Any = None,
) -> FreeEnergyProduction:
    """d⟨F⟩/dt = ⟨∂F/∂t + sign·γ|∇F|² + D∇²F⟩ and its three terms; they add up to the discrete flow's to rounding.

    Exact along Fokker-Planck (own derivation). arXiv:2008.01540 keeps the first two (items 3 and 4 of its list); the
    third is as large as the others near the stationary law, where -γ⟨|∇F|²⟩ + D⟨∇²F⟩ = 0. Where D depends on q it is
    ⟨∇·(D∇F)⟩ for Fick, and ⟨D_kl ∂_k∂_l F⟩ with `ito`: the drift's is ⟨b·∇F⟩ in both. Between walls it is less the
    surface term ∮ p n·D∇F. What upwind differences diffuse counts as diffusive.

    Args:
        p: density, shape (*leading, *points); refused where known to be negative, NaN where traced.
        free_energy: F, shape (*points).
        grid: the grid.
        gamma: learning rate γ.
        diffusion: D, as for `fokker_planck_generator`; so are sign, drift and ito.
        sign: +1 up the free energy, -1 down.
        drift: a further drift.
        ito: convention for D(q).
        rate_of_change: ∂F/∂t at the points, shape (*points); zero if None.
    """
    arguments = {"gamma": gamma, "diffusion": diffusion, "sign": sign, "drift": drift, "ito": ito}
    generator = fokker_planck_generator(grid, free_energy, **arguments)
    still = fokker_planck_generator(grid, free_energy, **{**arguments, "diffusion": 0.0, "ito": False})
    p, F = density("p", p, grid), real_array("free_energy", free_energy, shape=grid.points)
    change = None if rate_of_change is None else real_array("rate_of_change", rate_of_change, shape=grid.points)
    return _energy_balance(p, F, change, generator, still)


@jax.jit
def _energy_balance(
    p: Array, F: Array, change: Array | None, generator: Generator, still: Generator
) -> FreeEnergyProduction:
    """`still` is the generator without diffusion, whose u - w is the drift without the ∂D of a convention."""
    grid = generator.grid
    F = F.astype(p.dtype)
    p = jnp.where(jnp.min(p) < -1e-6 * jnp.max(p), jnp.nan, p)
    by_drift, _ = _climbed(p, F, still)
    biased, spread = _climbed(p, F, generator)
    by_noise = spread + (biased - by_drift)
    explicit = jnp.zeros_like(by_drift)
    if change is not None:
        rate = change.astype(p.dtype)
        explicit = grid.integrate(p * rate.reshape((1,) * (p.ndim - rate.ndim) + rate.shape))
    kept = explicit + by_drift
    return FreeEnergyProduction(explicit, by_drift, by_noise, kept, kept + by_noise)


def _climbed(p: Array, F: Array, generator: Generator) -> tuple[Array, Array]:
    """Free energy climbed a time by the difference u - w of the rates, and by their sum: shapes (*leading)."""
    u, w = generator.per_face(generator.forward, p), generator.per_face(generator.backward, p)
    a, b = generator.left(p), generator.right(p)
    climb = generator.per_face(generator.right(F) - generator.left(F), p)
    axes = tuple(range(-generator.grid.dimensions - 1, 0))
    cell = generator.grid.cell.astype(p.dtype)
    differences, sums = 0.5 * (u - w) * (a + b) * climb, 0.5 * (u + w) * (a - b) * climb
    return cell * jnp.sum(differences, axis=axes), cell * jnp.sum(sums, axis=axes)


def _by_axis(values: Array, generator: Generator) -> Array:
    """Sum over faces (..., faces, *points), times the cell, by axis: (..., d)."""
    d = generator.grid.dimensions
    per_kind = jnp.sum(values, axis=tuple(range(-d, 0))) * generator.grid.cell.astype(values.dtype)
    shares = np.abs(np.array(generator.offsets, float))
    shares /= shares.sum(1, keepdims=True)
    return jnp.sum(
        per_kind[..., None] * jnp.asarray(shares, values.dtype).reshape((1,) * (values.ndim - d - 1) + shares.shape),
        axis=-2,
    )
