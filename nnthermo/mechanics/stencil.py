r"""Anisotropic diffusion on a grid by jumps that have no negative rates, however skew the diffusion matrix.

A symmetric positive definite D in two or three dimensions is a sum of squares of whole-number steps, D = Σ ρ_e e eᵀ
with ρ_e ≥ 0 (Selling 1874; its use for monotone schemes is due to Bonnans and Zidani, and Mirebeau; re-derived here):
of three steps, or six. With a superbase e₀ + ... + e_d = 0 of the lattice,

    D = -Σ_{i<j} (e_iᵀ D e_j) v_ij v_ijᵀ,   v_ij · e_i = 1,   v_ij · e_j = -1,   v_ij · e_k = 0 for the others,

and turning pairs with e_iᵀ D e_j > 0 round, e_i → -e_i and 2e_i shared by the others but e_j, ends with none: the sum
of all e_iᵀ D e_i falls by 4 e_iᵀ D e_j, or half of it, with each turn. The steps are about as long as the square root
of the condition of D in units of the cells.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.mechanics.grid import Grid

LONGEST = 1000
"""Most turns of the reduction; each makes a superbase shorter, so that far fewer are ever needed."""


Step = tuple[int, ...]
"""A jump, in cells along each axis."""


def skew_steps(diffusion: np.ndarray, *, condition: float = 100.0) -> tuple[tuple[Step, ...], np.ndarray]:
    """Steps e, one of each pair ±e, and weights ρ with D = Σ ρ_e e eᵀ in every cell.

    Args:
        diffusion: D over the spacings, D_kl/(h_k h_l), symmetric and positive semidefinite, (*points, d, d), d = 2 or
            3.
        condition: largest condition; eigenvalues are raised to the largest one over this where they lie below, or the
            steps would cross the whole grid.

    Returns:
        Steps, m tuples of d whole numbers, the axes first, and ρ ≥ 0, (m, *points).
    """
    D = np.asarray(diffusion, float)
    d = D.shape[-1]
    values, vectors = np.linalg.eigh(D)
    values = np.maximum(values, values[..., -1:] / condition)
    D = np.einsum("...ik,...k,...jk->...ij", vectors, values, vectors)
    flat = D.reshape(-1, d, d)
    base = _obtuse(flat)
    found: dict[Step, np.ndarray] = {}
    for i, j in itertools.combinations(range(d + 1), 2):
        weight = np.maximum(-np.einsum("nk,nkl,nl->n", base[:, i], flat, base[:, j]), 0.0)
        rest = [k for k in range(d + 1) if k not in (i, j)]
        if d == 2:
            steps = np.stack([-base[:, rest[0], 1], base[:, rest[0], 0]], axis=1)  # perpendicular
        else:
            steps = np.cross(base[:, rest[0]], base[:, rest[1]])
        lead = np.take_along_axis(steps, (steps != 0).argmax(axis=1)[:, None], axis=1)
        steps = steps * np.sign(lead)  # the first entry that is not 0 counts up
        for e in np.unique(steps[weight > 0], axis=0):
            here = (steps == e).all(axis=1)
            key = tuple(int(n) for n in e)
            found[key] = found.get(key, np.zeros(len(flat))) + np.where(here, weight, 0.0)
    for axis in np.eye(d, dtype=int):  # the drift goes along these where nothing diffuses
        found.setdefault(tuple(int(n) for n in axis), np.zeros(len(flat)))
    order = sorted(found, key=lambda e: (sum(map(abs, e)), [-n for n in e]))
    return tuple(order), np.stack([found[e] for e in order]).reshape(len(order), *D.shape[:-2])


def _obtuse(D: np.ndarray) -> np.ndarray:
    """A superbase with e_iᵀ D e_j ≤ 0 for every pair, (n, d + 1, d), for matrices (n, d, d)."""
    d = D.shape[-1]
    start = np.concatenate([np.eye(d, dtype=int), -np.ones((1, d), int)])
    base = np.broadcast_to(start, (len(D), d + 1, d)).copy()
    rounding = 1e-12 * np.abs(D).max(axis=(1, 2), initial=0.0)
    pairs = list(itertools.combinations(range(d + 1), 2))
    for _ in range(LONGEST):
        products = np.einsum("nik,nkl,njl->nij", base, D, base)
        above = np.stack([products[:, i, j] for i, j in pairs], axis=1)
        worst, turned = above.argmax(axis=1), above.max(axis=1) > rounding
        if not turned.any():
            break
        for pair, (i, j) in enumerate(pairs):
            here = turned & (worst == pair)
            e = base[here, i].copy()
            base[here, i] = -e
            rest = [k for k in range(d + 1) if k not in (i, j)]
            for k in rest:  # 2e in all, so that the sum stays 0
                base[here, k] += 2 * e if d == 2 else e
    return base


def along_strongest(weights: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """How a drift b in cells is made of jumps, b = Σ_e (share_e · b) e, along the d independent steps of largest ρ.

    Where a drift goes along steps that diffuse anyway, central differences keep their rates from being negative.

    Args:
        weights: ρ, (m, *points), of `skew_steps`.
        steps: the m steps; the first d are the axes, which stand in where nothing diffuses.

    Returns:
        Shares, (m, *points, d).
    """
    table = np.asarray(steps)
    d = table.shape[1]
    ranked = np.argsort(-weights, axis=0, kind="stable")
    chosen = ranked[:d].copy()
    if d == 3:  # up to three of six steps lie in a plane, never four
        for rank in range(3, min(6, len(ranked))):
            flat = np.abs(np.linalg.det(np.moveaxis(table[chosen], 0, -2))) < 0.5
            chosen[2] = np.where(flat, ranked[rank], chosen[2])
    of_chosen = np.linalg.inv(np.moveaxis(table[chosen].astype(float), 0, -1))  # b = Σ e share · b: columns e
    number = np.arange(len(weights)).reshape(-1, *[1] * (weights.ndim - 1))
    return sum((number == chosen[k])[..., None] * of_chosen[..., k, :] for k in range(d))


def skew_rates(
    grid: Grid, free_energy: Array | None, drift: Array | None, D: np.ndarray, slope: Array, *, ito: bool, dtype: Any
) -> tuple[Array, Array, tuple[Step, ...], Array]:
    """Rates (faces, *points) of long jumps, their steps and the rates of D alone: see `fokker_planck_generator`.

    The rates are those of each cell: the mean of its jumps is the drift and their squares are D, exactly, but where
    |drift| along a step exceeds its 2ρ, which adds the difference to D. Fick's operator is Itô's with ∂_l D_kl for a
    further drift.
    """
    d, h = grid.dimensions, np.asarray(grid.spacing)
    axes = tuple(range(d))
    matrices = np.broadcast_to(D, (*grid.points, d, d))
    steps, weights = skew_steps(matrices / np.outer(h, h))
    b = jnp.zeros((*grid.points, d), dtype) if drift is None else drift.astype(dtype)
    if free_energy is not None:
        F = free_energy.astype(dtype)
        b = b + slope.astype(dtype) * jnp.stack([_derivative(F, k, grid) for k in axes], axis=-1)
    if not ito:
        field = jnp.asarray(matrices, dtype)
        for k in axes:
            b = b + jnp.stack([_derivative(field[..., j, k], k, grid) for j in axes], axis=-1)
    cells = b / jnp.asarray(h, dtype).reshape((1,) * d + (d,))
    shares = along_strongest(weights, steps)
    raised = np.einsum("m...,mk->...k", weights, np.asarray(steps, float) ** 2)
    diagonal = np.einsum("...kk->...k", matrices) / h**2
    lowered = diagonal / np.where(raised > 0, raised, 1)  # 1 where no eigenvalue was raised
    given = [jnp.zeros(grid.points, dtype)] * d
    forward, backward = [], []
    for e, r, share in zip(steps, weights, shares, strict=True):
        rho, c = jnp.asarray(r, dtype), jnp.sum(jnp.asarray(share, dtype) * cells, axis=-1)
        more = jnp.maximum(jnp.abs(c) / 2 - rho, 0)
        there = tuple(-n for n in e)
        back = jnp.roll(rho - c / 2 + more, there, axes)
        exists = jnp.asarray(faces(grid, e))
        forward.append(jnp.where(exists, rho + c / 2 + more, 0))
        backward.append(jnp.where(exists, back, 0))
        for k in axes:
            own = r * lowered[..., k]
            between = 0.5 * (own + np.roll(own, there, axes))
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
