"""Generators of drift and diffusion on a grid: probability that jumps between neighbouring cells.

Every face between two cells has two rates, forward u and backward w, and carries J = u p(left) - w p(right). So
probability is conserved face by face, and with rates ≥ 0 no density becomes negative. The rates of Scharfetter and
Gummel (a standard of semiconductor transport, recalled and re-derived here) are those of a drift that is constant
from one point to the next,

    u = ρ B(-c/ρ),   w = ρ B(c/ρ),   B(z) = z / (eᶻ - 1),   u - w = c,   u/w = exp(c/ρ),

with ρ = D/h² and c = drift/h. Without diffusion they become upwind differences.
"""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, real_array, refuse
from nnthermo._pytree import pytree
from nnthermo._typing import Array
from nnthermo.mechanics.grid import Grid
from nnthermo.mechanics.stencil import faces, skew_rates

DENSE = 4096
"""Most points for which `Generator.matrix` and a stationary law by elimination are made."""


Offsets = tuple[tuple[int, ...], ...]


@pytree(static=("offsets",))
class Generator:
    """A with dp/dt = A p on a grid, as rates of jumps over faces. Made by `fokker_planck_generator`.

    Attributes:
        grid: the grid of p.
        forward: rate of jumps from cell i to cell i + offset, 1/time, shape (faces, *points); zero through walls.
        backward: rate of jumps from cell i + offset to cell i, the same shape.
        offsets: one step in cells for each kind of face: along each axis, then along diagonals if D has off-diagonal
            entries.
    """

    grid: Grid
    forward: Array
    backward: Array
    offsets: Offsets

    def right(self, values: Array) -> Array:
        """Values of the cell across each face: values (..., *points) to (..., faces, *points)."""
        axes = tuple(range(-self.grid.dimensions, 0))
        turned = [jnp.roll(values, tuple(-s for s in e), axes) for e in self.offsets]
        return jnp.stack(turned, axis=-self.grid.dimensions - 1)

    def left(self, values: Array) -> Array:
        """Values of the cell before each face: values (..., *points) to (..., 1, *points)."""
        return jnp.expand_dims(values, -self.grid.dimensions - 1)

    def per_face(self, rates: Array, like: Array) -> Array:
        """Rates (faces, *points) in the dtype of `like` with axes before them for its leading ones."""
        return rates.astype(like.dtype).reshape((1,) * (like.ndim - self.grid.dimensions) + rates.shape)

    def current(self, p: Array) -> Array:
        """Probability over each face per time and cell volume, u p(left) - w p(right): shape (..., faces, *points)."""
        self.grid.check("p", p)
        return self.per_face(self.forward, p) * self.left(p) - self.per_face(self.backward, p) * self.right(p)

    def apply(self, p: Array) -> Array:
        """A p for p of shape (..., *points); its integral is zero to rounding."""
        current = self.current(p)
        d = self.grid.dimensions
        rate = jnp.zeros_like(p)
        for k, e in enumerate(self.offsets):
            flux = jnp.take(current, k, axis=-d - 1)
            rate = rate + jnp.roll(flux, e, tuple(range(-d, 0))) - flux
        return rate

    def exit_rates(self) -> Array:
        """Rate at which probability leaves each cell, -A_ii, shape (*points)."""
        axes = tuple(range(self.grid.dimensions))
        into = [jnp.roll(w, e, axes) for w, e in zip(self.backward, self.offsets, strict=True)]
        return jnp.sum(self.forward, axis=0) + sum(into[1:], into[0])

    def matrix(self) -> Array:
        """A as a matrix (n, n) over all n points in row-major order; columns sum to zero.

        Raises:
            ValueError: more than 4096 points.
        """
        n = int(np.prod(self.grid.points))
        check("grid", f"have at most {DENSE} points for a dense matrix", n <= DENSE, n)
        unit = jnp.eye(n, dtype=self.forward.dtype).reshape(n, *self.grid.points)
        return self.apply(unit).reshape(n, n).T

    def stationary(self) -> Array:
        """The density p with A p = 0, normalised, shape (*points).

        Along one axis between walls the current vanishes and p follows from the ratios u/w. Otherwise A is eliminated
        densely, which keeps the sign only to rounding. NaN or infinite where no single such law exists, for instance
        without any diffusion.

        Raises:
            ValueError: more than 4096 points, unless along one axis between walls.
        """
        if self.grid.dimensions == 1 and not self.grid.periodic[0]:
            steps = jnp.log(self.forward[0, :-1]) - jnp.log(self.backward[0, :-1])
            log_p = jnp.concatenate([jnp.zeros(1, steps.dtype), jnp.cumsum(steps)])
            return self.grid.normalise(jnp.exp(log_p - jnp.max(log_p)))
        A = self.matrix()
        closed = A.at[-1].set(jnp.max(jnp.abs(A)))  # the last balance follows from the others: put the norm there
        p = jnp.linalg.solve(closed, jnp.zeros(len(A), A.dtype).at[-1].set(1))
        return self.grid.normalise(p.reshape(self.grid.points))


def fokker_planck_generator(
    grid: Grid,
    free_energy: Any = None,
    *,
    gamma: Any = 1.0,
    diffusion: Any,
    sign: float = -1,
    drift: Any = None,
    ito: bool = False,
) -> Generator:
    r"""The Fokker-Planck operator of trainable variables that drift down or up a free energy and diffuse.

        ∂p/∂t = ∂_k( D_kl ∂_l p - b_k p ),   b = sign·γ ∇F + drift            (Fick, the default)
        ∂p/∂t = ∂_k∂_l( D_kl p ) - ∂_k( b_k p )                                 (`ito=True`)

    Both are the same for constant D. Stochastic gradient descent whose noise depends on q is the Itô one: a step's
    noise is drawn where the step begins. For a scalar D, constant in q, and no further drift, the stationary law of
    the discrete operator is exp(sign·γF/D) exactly; otherwise the operator is of second order in the spacing, and of
    first order where D vanishes (upwind) and on lines where D_kl changes its sign.

    Off-diagonal D_kl becomes jumps along diagonals, which leaves D_kk/h_k - Σ_l |D_kl|/h_l for the axes. Where that is
    negative somewhere in two dimensions the jumps are longer ones (`nnthermo.mechanics.stencil`): rates of cells and no
    more of faces, and an eigenvalue of D below a hundredth of the other, in units of the cells, raised to it. In three
    dimensions, or with traced D, it must not be negative.

    Source: the equation of arXiv:2008.01540 with drift γ∇F, seen from its published list of terms; (11.5) of
    arXiv:2004.09280 is the case γ = 0, with D/2 for D. The paper has sign +1: learning "maximises the free energy"
    (8.2). Gradient descent on a loss, with ∂F/∂q = ⟨∂H/∂q⟩, is sign -1.

    Args:
        grid: one to three variables. Walls reflect: nothing passes. On rings F must close as well.
        free_energy: F at the points, shape (*points); None for none.
        gamma: learning rate γ of the drift, shape ().
        diffusion: D ≥ 0 in (units of q)²/time: a number, (*points), one per axis (d,) or (*points, d), or symmetric
            matrices (d, d) or (*points, d, d).
        sign: +1 up the free energy, -1 down.
        drift: a further drift at the points, shape (*points, d), which need not be a gradient.
        ito: whether D(q) is inside both derivatives.

    Returns:
        A `Generator`; traced values of D that allow no non-negative rates give NaN.

    Raises:
        ValueError: wrong shapes, D negative, not symmetric, or too skew for the spacing in three dimensions.
    """
    d, dtypes = grid.dimensions, [grid.lower.dtype]
    F = None if free_energy is None else real_array("free_energy", free_energy, shape=grid.points)
    b = None if drift is None else real_array("drift", drift, shape=(*grid.points, d))
    dtypes += [v.dtype for v in (F, b) if v is not None]
    gamma = real_array("gamma", gamma, shape=())
    finite("gamma", gamma)
    D = real_array("diffusion", diffusion)
    finite("diffusion", D)
    slope = jnp.asarray(sign, gamma.dtype) * gamma
    if is_concrete(D, grid.spacing) and D.shape in ((2, 2), (*grid.points, 2, 2)) and d == 2:
        least = _least_along_axes(np.asarray(D), np.asarray(grid.spacing))
        if least < 0 and np.linalg.eigvalsh(np.asarray(D)).min() >= -_slack(D.dtype) * np.abs(np.asarray(D)).max():
            dtype = jnp.result_type(*dtypes)
            return Generator(grid, *skew_rates(grid, F, b, np.asarray(D), slope, ito=ito, dtype=dtype))
    offsets = _offsets(grid, D)
    forward, backward = _rates(grid, F, b, D, slope, offsets, ito, jnp.result_type(*dtypes))
    return Generator(grid, forward, backward, offsets)


@partial(jax.jit, static_argnums=(5, 6, 7))
def _rates(
    grid: Grid, F: Array | None, b: Array | None, D: Array, slope: Array, offsets: Offsets, ito: bool, dtype: Any
) -> tuple[Array, Array]:
    """Forward and backward rates of every kind of face, (faces, *points)."""
    h = grid.spacing.astype(dtype)
    axes = tuple(range(grid.dimensions))
    forward, backward = [], []
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
        u, w = _jump_rates(0.5 * (r + there), c)
        exists = faces(grid, e)
        forward.append(jnp.where(exists, u, 0))
        backward.append(jnp.where(exists, w, 0))
    return jnp.stack(forward), jnp.stack(backward)


def _jump_rates(rho: Array, c: Array) -> tuple[Array, Array]:
    """ρ B(-c/ρ) and ρ B(c/ρ), with max(±c, 0) where ρ = 0."""
    some = rho > 0
    z = jnp.abs(c) / jnp.where(some, rho, 1)
    z = jnp.minimum(z, -0.5 * jnp.log(jnp.finfo(z.dtype).tiny))  # beyond, against the drift is against all odds
    small = z < 1e-2  # B by its series: next term z⁶/30240
    safe = jnp.where(small, 1, z)
    against = jnp.where(small, 1 - z / 2 + z**2 / 12 - z**4 / 720, -safe * jnp.exp(-safe) / jnp.expm1(-safe))
    against = jnp.where(some, rho * against, jnp.where(rho == 0, 0, jnp.nan))
    return against + jnp.maximum(c, 0), against + jnp.maximum(-c, 0)


def _offsets(grid: Grid, D: Array) -> Offsets:
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
            least = _least_along_axes(m, np.asarray(grid.spacing))
            check("diffusion", "have D_kk/h_k ≥ Σ_l |D_kl|/h_l for the spacings h, or densities turn negative",
                  least >= 0, f"a difference of {least:.3g} at worst")  # fmt: skip
    return tuple(tuple(int(s) for s in e) for e in offsets)


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
