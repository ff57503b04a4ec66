"""Generators of drift and diffusion on a grid: probability that jumps between neighbouring cells.

Every face between two cells has two rates, forward u and backward w, and carries J = u p(left) - w p(right). So
probability is conserved face by face, and with rates ≥ 0 no density becomes negative. The rates of Scharfetter and
Gummel (a standard of semiconductor transport, recalled and re-derived here) are those of a drift that is constant
from one point to the next,

    u = ρ B(-c/ρ),   w = ρ B(c/ρ),   B(z) = z / (eᶻ - 1),   u - w = c,   u/w = exp(c/ρ),

with ρ = D/h² and c = drift/h. Without diffusion they become upwind differences.
"""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, real_array, refuse
from nnthermo._pytree import pytree
from nnthermo._typing import Array
from nnthermo.mechanics.grid import Grid
from nnthermo.mechanics.stencil import along_strongest, skew_steps

DENSE = 4096
"""Most points for which `Generator.matrix` and a stationary law by elimination are made."""


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
    offsets: tuple[tuple[int, ...], ...]

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
    negative somewhere in two dimensions the jumps are longer ones (`skew_steps`): the Itô operator then, with the
    difference to Fick's as a drift, and an eigenvalue of D below a hundredth of the other, in units of the cells,
    raised to it. In three dimensions, or with traced D, it must not be negative.

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
    d, h = grid.dimensions, grid.spacing
    if free_energy is None and drift is None:
        drift = jnp.zeros((*grid.points, d), h.dtype)
    F = None if free_energy is None else real_array("free_energy", free_energy, shape=grid.points)
    b = None if drift is None else real_array("drift", drift, shape=(*grid.points, d))
    dtype = jnp.result_type(h.dtype, *(v.dtype for v in (F, b) if v is not None))
    gamma = real_array("gamma", gamma, shape=()).astype(dtype)
    finite("gamma", gamma)
    h = h.astype(dtype)
    D = _diffusion_matrix(grid, diffusion).astype(dtype)
    rho, offsets, long = _face_rates(grid, D, h)
    axes = tuple(range(d))
    if long:  # rates of each cell, not of faces: its mean jump is b, which takes up what Itô's form leaves of Fick's
        b = jnp.zeros((*grid.points, d), dtype) if b is None else b.astype(dtype)
        if F is not None:
            b = b + jnp.asarray(sign, dtype) * gamma * jnp.stack(
                [_slope(F.astype(dtype), k, grid) for k in range(d)], -1
            )
        for l in () if ito else range(d):  # noqa: E741
            b = b + jnp.stack([_slope(D[..., k, l], l, grid) for k in range(d)], axis=-1)
        shares = along_strongest(np.asarray(jnp.stack(rho)), offsets)
        cells = b / h.reshape((1,) * d + (d,))
    forward, backward = [], []
    for number, (e, r) in enumerate(zip(offsets, rho, strict=True)):
        there = jnp.roll(r, tuple(-s for s in e), axes)
        c = jnp.zeros(grid.points, dtype)
        if long:
            c = jnp.sum(jnp.asarray(shares[number], dtype) * cells, axis=-1)
        elif sum(map(abs, e)) == 1:
            k = e.index(1)
            if F is not None:
                c = c + jnp.asarray(sign, dtype) * gamma * (jnp.roll(F, -1, k) - F).astype(dtype) / h[k] ** 2
            if b is not None:
                c = c + (0.5 * (b[..., k] + jnp.roll(b[..., k], -1, k)) / h[k].astype(b.dtype)).astype(dtype)
        if long:
            u, w = r + c / 2, jnp.roll(r - c / 2, tuple(-s for s in e), axes)
            more = jnp.maximum(jnp.abs(c) / 2 - r, 0)  # what keeps both rates of a cell from being negative
            u, w = u + more, w + jnp.roll(more, tuple(-s for s in e), axes)
        else:
            u, w = _jump_rates(0.5 * (r + there), c - (there - r) if ito else c)
        exists = _faces(grid, e)
        forward.append(jnp.where(exists, u, 0))
        backward.append(jnp.where(exists, w, 0))
    return Generator(grid, jnp.stack(forward), jnp.stack(backward), tuple(offsets))


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


def _diffusion_matrix(grid: Grid, diffusion: Any) -> Array:
    """D as matrices of shape (*points, d, d)."""
    d, points = grid.dimensions, grid.points
    D = real_array("diffusion", diffusion)
    finite("diffusion", D)
    eye = jnp.eye(d, dtype=D.dtype)
    if D.shape in ((), points):
        full = D[..., None, None] * eye.reshape((1,) * D.ndim + (d, d))
    elif D.shape in ((d,), (*points, d)):
        full = D[..., None] * eye.reshape((1,) * (D.ndim - 1) + (d, d))
    elif D.shape in ((d, d), (*points, d, d)):
        full = D
        if is_concrete(D):
            m = np.asarray(D)
            skew = np.abs(m - np.swapaxes(m, -1, -2)).max()
            check("diffusion", "be symmetric", skew <= 1e-4 * np.abs(m).max(), f"an asymmetry of {skew}")
    else:
        refuse("diffusion", f"be a number or have a shape of {points}, with ({d},) or ({d}, {d}) for axes",
               f"shape {D.shape}")  # fmt: skip
    return jnp.broadcast_to(full, (*points, d, d))


def _slope(values: Array, axis: int, grid: Grid) -> Array:
    """Central difference along an axis, one-sided at walls."""
    h = grid.spacing[axis].astype(values.dtype)
    if grid.periodic[axis]:
        return (jnp.roll(values, -1, axis) - jnp.roll(values, 1, axis)) / (2 * h)
    return jnp.gradient(values, axis=axis) / h


def _face_rates(grid: Grid, D: Array, h: Array) -> tuple[list[Array], list[tuple[int, ...]], bool]:
    """ρ at the points and the step in cells, for jumps along axes and along the diagonals that off-diagonal D needs.

    The last says whether there are longer jumps, whose ρ need not be continuous from cell to cell.
    """
    d = grid.dimensions
    unit = np.eye(d, dtype=int)
    scaled = D / jnp.outer(h, h).reshape((1,) * d + (d, d))
    along = [scaled[..., k, k] for k in range(d)]
    across, offsets = [], [tuple(int(s) for s in unit[k]) for k in range(d)]
    for k, l in itertools.combinations(range(d), 2):  # noqa: E741
        skew = 0.5 * (scaled[..., k, l] + scaled[..., l, k])
        if is_concrete(skew) and not np.asarray(skew).any():
            continue
        for s in (1, -1):
            across.append(jnp.maximum(s * skew, 0))
            offsets.append(tuple(int(v) for v in unit[k] + s * unit[l]))
        along[k], along[l] = along[k] - jnp.abs(skew), along[l] - jnp.abs(skew)
    slack = 16 * float(jnp.finfo(D.dtype).eps)
    least = [-slack * jnp.abs(scaled[..., k, k]) for k in range(d)]
    if d == 2 and is_concrete(scaled) and not all(bool((v >= low).all()) for v, low in zip(along, least, strict=True)):
        offsets, weights = skew_steps(np.asarray(scaled))  # longer jumps, that skew matrices need
        return [jnp.asarray(w, D.dtype) for w in weights], list(offsets), True
    for k in range(d):
        if is_concrete(along[k]):
            got = f"at least {float(along[k].min() * h[k]):.3g} along axis {k}"
            check("diffusion", "have D_kk/h_k ≥ Σ_l |D_kl|/h_l ≥ 0 for the spacings h, or densities turn negative",
                  bool((along[k] >= least[k]).all()), got)  # fmt: skip
        along[k] = jnp.where(along[k] >= least[k], jnp.maximum(along[k], 0), jnp.nan)
    return [*along, *across], offsets, False


def _faces(grid: Grid, offset: tuple[int, ...]) -> np.ndarray:
    """Which cells have a neighbour at this step: all on rings, not the ones at walls."""
    exists = np.ones(grid.points, bool)
    for k, (s, n, ring) in enumerate(zip(offset, grid.points, grid.periodic, strict=True)):
        there = np.arange(n) + s
        inside = ring | ((there >= 0) & (there < n))
        exists &= inside.reshape([-1 if k == j else 1 for j in range(grid.dimensions)])
    return exists
