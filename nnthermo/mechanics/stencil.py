r"""Anisotropic diffusion on a grid by jumps that have no negative rates, however skew the diffusion matrix.

A symmetric positive definite D is a sum of squares of whole-number steps, D = Σ ρ_e e eᵀ with ρ_e ≥ 0 (Selling 1874;
its use for monotone schemes is due to Bonnans and Zidani, and Mirebeau; re-derived here): in two dimensions of three
steps. With a superbase e₀ + e₁ + e₂ = 0 of the lattice,

    D = -Σ_{i<j} (e_iᵀ D e_j) e_k^⊥ e_k^⊥ᵀ,   k the third,

and turning pairs with e_iᵀ D e_j > 0 round, (e_i, e_j) → (-e_i, e_j), ends with none. The steps are as long as the
square root of the condition of D in units of the cells.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.mechanics.grid import Grid

LONGEST = 1000
"""Most turns of the reduction; each makes a superbase shorter, so that far fewer are ever needed."""


def skew_steps(diffusion: np.ndarray, *, condition: float = 100.0) -> tuple[tuple[tuple[int, int], ...], np.ndarray]:
    """Steps e, one of each pair ±e, and weights ρ with D = Σ ρ_e e eᵀ in every cell.

    Args:
        diffusion: D over the spacings, D_kl/(h_k h_l), symmetric and positive semidefinite, (*points, 2, 2).
        condition: largest condition; the smaller eigenvalue is raised to the larger one over this where it lies below,
            or the steps would cross the whole grid.

    Returns:
        Steps, m pairs of whole numbers, and ρ ≥ 0, (m, *points).
    """
    D = np.asarray(diffusion, float)
    values, vectors = np.linalg.eigh(D)
    values = np.maximum(values, values[..., -1:] / condition)
    D = np.einsum("...ik,...k,...jk->...ij", vectors, values, vectors)
    flat = D.reshape(-1, 2, 2)
    base = np.broadcast_to(np.array([[1, 0], [0, 1], [-1, -1]]), (len(flat), 3, 2)).copy()
    rounding = 1e-12 * np.abs(flat).max(axis=(1, 2), initial=0.0)
    for _ in range(LONGEST):
        products = np.einsum("nik,nkl,njl->nij", base, flat, base)
        pairs = np.stack([products[:, 0, 1], products[:, 0, 2], products[:, 1, 2]], axis=1)
        worst = pairs.argmax(axis=1)
        turned = pairs.max(axis=1) > rounding
        if not turned.any():
            break
        for pair, (i, j, k) in enumerate(((0, 1, 2), (0, 2, 1), (1, 2, 0))):
            here = turned & (worst == pair)
            e, f = base[here, i].copy(), base[here, j].copy()
            base[here, i], base[here, j], base[here, k] = -e, f, e - f
    products = np.einsum("nik,nkl,njl->nij", base, flat, base)
    found: dict[tuple[int, int], np.ndarray] = {}
    for i, j, k in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        weight = np.maximum(-products[:, i, j], 0.0)
        steps = np.stack([-base[:, k, 1], base[:, k, 0]], axis=1)  # perpendicular
        back = (steps[:, 0] < 0) | ((steps[:, 0] == 0) & (steps[:, 1] < 0))
        steps = np.where(back[:, None], -steps, steps)
        for e in np.unique(steps[weight > 0], axis=0):
            here = (steps == e).all(axis=1)
            key = (int(e[0]), int(e[1]))
            found[key] = found.get(key, np.zeros(len(flat))) + np.where(here, weight, 0.0)
    for axis in ((1, 0), (0, 1)):  # the drift goes along these
        found.setdefault(axis, np.zeros(len(flat)))
    order = sorted(found, key=lambda e: (abs(e[0]) + abs(e[1]), -e[0], e[1]))  # (1, 0) and (0, 1) first
    return tuple(order), np.stack([found[e] for e in order]).reshape(len(order), *D.shape[:-2])


def along_strongest(weights: np.ndarray, steps: Sequence[tuple[int, int]]) -> np.ndarray:
    """How a drift b in cells is made of jumps, b = Σ_e (share_e · b) e, along the two steps of largest ρ in each cell.

    Where a drift goes along steps that diffuse anyway, central differences keep their rates from being negative.

    Args:
        weights: ρ, (m, *points), of `skew_steps`.
        steps: the m steps; the first two are the axes, which stand in where nothing diffuses.

    Returns:
        Shares, (m, *points, 2).
    """
    first, second = np.argsort(-weights, axis=0, kind="stable")[:2]
    e, f = np.asarray(steps)[first], np.asarray(steps)[second]
    determinant = e[..., 0] * f[..., 1] - e[..., 1] * f[..., 0]
    of_first = np.stack([f[..., 1], -f[..., 0]], axis=-1) / determinant[..., None]
    of_second = np.stack([-e[..., 1], e[..., 0]], axis=-1) / determinant[..., None]
    number = np.arange(len(weights)).reshape(-1, *[1] * first.ndim)
    return (number == first)[..., None] * of_first + (number == second)[..., None] * of_second


def skew_rates(
    grid: Grid, free_energy: Array | None, drift: Array | None, D: np.ndarray, slope: Array, *, ito: bool, dtype: Any
) -> tuple[Array, Array, tuple[tuple[int, int], ...], Array]:
    """Rates (faces, *points) of long jumps, their steps and the rates of D alone: see `fokker_planck_generator`.

    The rates are those of each cell: the mean of its jumps is the drift and their squares are D, exactly, but where
    |drift| along a step exceeds its 2ρ, which adds the difference to D. Fick's operator is Itô's with ∂_l D_kl for a
    further drift.
    """
    h = np.asarray(grid.spacing)
    matrices = np.broadcast_to(D, (*grid.points, 2, 2))
    steps, weights = skew_steps(matrices / np.outer(h, h))
    b = jnp.zeros((*grid.points, 2), dtype) if drift is None else drift.astype(dtype)
    if free_energy is not None:
        F = free_energy.astype(dtype)
        b = b + slope.astype(dtype) * jnp.stack([_derivative(F, k, grid) for k in (0, 1)], axis=-1)
    if not ito:
        field = jnp.asarray(matrices, dtype)
        for k in (0, 1):
            b = b + jnp.stack([_derivative(field[..., j, k], k, grid) for j in (0, 1)], axis=-1)
    cells = b / jnp.asarray(h, dtype).reshape(1, 1, 2)
    shares = along_strongest(weights, steps)
    raised = np.einsum("m...,mk->...k", weights, np.asarray(steps, float) ** 2)
    diagonal = np.einsum("...kk->...k", matrices) / h**2
    lowered = diagonal / np.where(raised > 0, raised, 1)  # 1 where no eigenvalue was raised
    given = [jnp.zeros(grid.points, dtype)] * 2
    forward, backward = [], []
    for e, r, share in zip(steps, weights, shares, strict=True):
        rho, c = jnp.asarray(r, dtype), jnp.sum(jnp.asarray(share, dtype) * cells, axis=-1)
        more = jnp.maximum(jnp.abs(c) / 2 - rho, 0)
        back = jnp.roll(rho - c / 2 + more, (-e[0], -e[1]), (0, 1))
        exists = jnp.asarray(faces(grid, e))
        forward.append(jnp.where(exists, rho + c / 2 + more, 0))
        backward.append(jnp.where(exists, back, 0))
        for k in (0, 1):
            own = r * lowered[..., k]
            between = 0.5 * (own + np.roll(own, (-e[0], -e[1]), (0, 1)))
            given[k] = given[k] + jnp.asarray(np.where(np.asarray(faces(grid, e)), e[k] ** 2 * between, 0), dtype)
    return jnp.stack(forward), jnp.stack(backward), steps, jnp.stack(given)


def _derivative(values: Array, axis: int, grid: Grid) -> Array:
    """Central difference along an axis, one-sided at walls."""
    h = grid.spacing[axis].astype(values.dtype)
    if grid.periodic[axis]:
        return (jnp.roll(values, -1, axis) - jnp.roll(values, 1, axis)) / (2 * h)
    return jnp.asarray(jnp.gradient(values, axis=axis)) / h


def faces(grid: Grid, offset: tuple[int, ...]) -> np.ndarray:
    """Which cells have a neighbour at this step: all on rings, not the ones at walls."""
    exists = np.ones(grid.points, bool)
    for k, (s, n, ring) in enumerate(zip(offset, grid.points, grid.periodic, strict=True)):
        there = np.arange(n) + s
        inside = ring | ((there >= 0) & (there < n))
        exists &= inside.reshape([-1 if k == j else 1 for j in range(grid.dimensions)])
    return exists
