"""Rates of jumps over the faces of a grid, from a drift and a diffusion.

The rates of Scharfetter and Gummel (a standard of semiconductor transport, recalled and re-derived here) are those of a
drift that is constant from one point to the next,

    u = ρ B(-c/ρ),   w = ρ B(c/ρ),   B(z) = z / (eᶻ - 1),   u - w = c,   u/w = exp(c/ρ),

with ρ = D/h² and c = drift/h. Without diffusion they become upwind differences.
"""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, is_concrete, refuse
from nnthermo._typing import Array
from nnthermo.mechanics.grid import Grid
from nnthermo.mechanics.stencil import faces

Offsets = tuple[tuple[int, ...], ...]
"""One step in cells for each kind of face."""


@partial(jax.jit, static_argnums=(5, 6, 7))
def jump_rates(
    grid: Grid, F: Array | None, b: Array | None, D: Array, slope: Array, offsets: Offsets, ito: bool, dtype: Any
) -> tuple[Array, Array, Array]:
    """Both rates of every kind of face, (faces, *points), and those of D alone by axis, (d, *points)."""
    h = grid.spacing.astype(dtype)
    axes = tuple(range(grid.dimensions))
    forward, backward, given = [], [], [jnp.zeros(grid.points, dtype)] * grid.dimensions
    for e, r in zip(offsets, _cell_rates(grid, D.astype(dtype), h, offsets), strict=True):
        there = jnp.roll(r, tuple(-s for s in e), axes)
        c = jnp.zeros(grid.points, dtype)
        if sum(map(abs, e)) == 1:
            k = e.index(1)
            if F is not None:
                c = c + slope.astype(dtype) * (jnp.roll(F, -1, k) - F).astype(dtype) / h[k] ** 2
            if b is not None:
                c = c + 0.5 * (b[..., k] + jnp.roll(b[..., k], -1, k)).astype(dtype) / h[k]
        if ito:
            c = c - (there - r)
        u, w = _scharfetter_gummel(0.5 * (r + there), c)
        exists = faces(grid, e)
        forward.append(jnp.where(exists, u, 0))
        backward.append(jnp.where(exists, w, 0))
        for k in range(grid.dimensions):
            given[k] = given[k] + e[k] ** 2 * jnp.where(exists, 0.5 * (r + there), 0)
    return jnp.stack(forward), jnp.stack(backward), jnp.stack(given)


def _scharfetter_gummel(rho: Array, c: Array) -> tuple[Array, Array]:
    """ρ B(-c/ρ) and ρ B(c/ρ), with max(±c, 0) where ρ = 0."""
    some = rho > 0
    z = jnp.abs(c) / jnp.where(some, rho, 1)
    z = jnp.minimum(z, -0.5 * jnp.log(jnp.finfo(z.dtype).tiny))  # beyond, against the drift is against all odds
    small = z < 1e-2  # B by its series: next term z⁶/30240
    safe = jnp.where(small, 1, z)
    against = jnp.where(small, 1 - z / 2 + z**2 / 12 - z**4 / 720, -safe * jnp.exp(-safe) / jnp.expm1(-safe))
    against = jnp.where(some, rho * against, jnp.where(rho == 0, 0, jnp.nan))
    return against + jnp.maximum(c, 0), against + jnp.maximum(-c, 0)


def jump_offsets(grid: Grid, D: Array) -> Offsets:
    """The jumps that D needs: along axes, and along the diagonals of a matrix. Refuses D where its values are known."""
    d, points = grid.dimensions, grid.points
    unit = np.eye(d, dtype=int)
    offsets = [unit[k] for k in range(d)]
    matrices = D.shape in ((d, d), (*points, d, d)) and d > 1
    if not matrices and D.shape not in ((), points, (d,), (*points, d), (d, d), (*points, d, d)):
        refuse("diffusion", f"be a number or have a shape of {points}, with ({d},) or ({d}, {d}) for axes",
               f"shape {D.shape}")  # fmt: skip
    known = is_concrete(D, grid.spacing)
    if known and not matrices:
        check("diffusion", "not be negative", bool((np.asarray(D) >= 0).all()), float(np.min(D)))
    if matrices:
        m = np.asarray(D) if known else np.zeros((d, d))
        skew = np.abs(m - np.swapaxes(m, -1, -2)).max()
        check("diffusion", "be symmetric", skew <= 1e-4 * np.abs(m).max(), f"an asymmetry of {skew}")
        for (k, l), s in itertools.product(itertools.combinations(range(d), 2), (1, -1)):  # noqa: E741
            if not known or (s * (m[..., k, l] + m[..., l, k]) > 0).any():
                offsets.append(unit[k] + s * unit[l])
        if known:
            skewest = _least_along_axes(m, np.asarray(grid.spacing))  # below 0 the steps are those of `stencil`
            check("diffusion", "be positive semidefinite", skewest >= 0,
                  f"an eigenvalue of {np.linalg.eigvalsh(m).min():.3g}")  # fmt: skip
    return tuple(tuple(int(s) for s in e) for e in offsets)


def is_too_skew(grid: Grid, D: Array) -> bool:
    """Whether known, positive semidefinite matrices need longer jumps than to neighbours."""
    d = grid.dimensions
    if d == 1 or D.shape not in ((d, d), (*grid.points, d, d)) or not is_concrete(D, grid.spacing):
        return False
    m = np.asarray(D)
    definite = np.linalg.eigvalsh(m).min() >= -_slack(m.dtype) * np.abs(m).max()
    return bool(definite) and _least_along_axes(m, np.asarray(grid.spacing)) < 0


def _least_along_axes(D: np.ndarray, spacing: np.ndarray) -> float:
    """Least D_kk/h_k - Σ_l |D_kl|/h_l; 0 if rounding alone makes it negative."""
    scaled = D / np.outer(spacing, spacing).astype(D.dtype)
    diagonal = np.einsum("...kk->...k", scaled)
    rest = 2 * diagonal - np.abs(scaled).sum(-1)
    fair = rest >= -_slack(D.dtype) * np.abs(diagonal)
    return 0.0 if fair.all() else float((rest * spacing).min())


def _slack(dtype: Any) -> float:
    return 16 * float(jnp.finfo(dtype).eps)


def _cell_rates(grid: Grid, D: Array, h: Array, offsets: Offsets) -> list[Array]:
    """ρ at the points for each kind of jump: D/h², less what goes along diagonals; NaN if that is negative."""
    d, points = grid.dimensions, grid.points
    if D.shape in ((), points):
        diagonal = [jnp.broadcast_to(D, points)] * d
    elif D.shape in ((d,), (*points, d)):
        diagonal = [jnp.broadcast_to(D[..., k], points) for k in range(d)]
    else:
        diagonal = [jnp.broadcast_to(D[..., k, k], points) for k in range(d)]
    full = [v / h[k] ** 2 for k, v in enumerate(diagonal)]
    along, across = list(full), []
    for e in offsets[d:]:
        k, l = (j for j in range(d) if e[j])  # noqa: E741
        skew = jnp.broadcast_to(0.5 * (D[..., k, l] + D[..., l, k]), points) / (h[k] * h[l])
        across.append(jnp.maximum(e[l] * skew, 0))
        along[k], along[l] = along[k] - across[-1], along[l] - across[-1]
    for k in range(d):
        fair = along[k] >= -_slack(D.dtype) * jnp.abs(full[k])
        along[k] = jnp.where(fair, jnp.maximum(along[k], 0), jnp.nan)
    return [*along, *across]
