"""Generators of drift and diffusion on a grid: probability that jumps between neighbouring cells.

Every face between two cells has two rates, forward u and backward w, and carries J = u p(left) - w p(right). So
probability is conserved face by face, and with rates ≥ 0 no density becomes negative.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, instance, real_array, real_numbers
from nnthermo._pytree import pytree
from nnthermo._typing import Array
from nnthermo.mechanics._arguments import require_grid
from nnthermo.mechanics.grid import Grid
from nnthermo.mechanics.jump_rates import Offsets, is_too_skew, jump_offsets, jump_rates
from nnthermo.mechanics.stencil import skew_rates

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
        given: D_kk/h_k² along each axis as far as faces carry it, shape (d, *points): what the mean of the two rates
            would be without a drift.
    """

    grid: Grid
    forward: Array
    backward: Array
    offsets: Offsets
    given: Array

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
        return _current(self, jnp.asarray(p))

    def apply(self, p: Array) -> Array:
        """A p for p of shape (..., *points); its integral is zero to rounding."""
        self.grid.check("p", p)
        return _apply(self, jnp.asarray(p))

    def exit_rates(self) -> Array:
        """Rate at which probability leaves each cell, -A_ii, shape (*points)."""
        return _exit_rates(self)

    def added_diffusion(self, p: Any = None) -> Array:
        """What the rates diffuse along each axis beyond D_kk, over D_kk, shape (d,): what widens densities wrongly.

        With z = b h/D along an axis it is (z/2) coth(z/2) - 1 for jumps to neighbours: 0.08 at z = 1, z/2 - 1 for large
        ones; infinite where something drifts and nothing diffuses. 0.01 is one per cent of the width of a density.

        Args:
            p: a density (*points), to average over it; None: the largest value over the grid, which for a steep F is
                that of corners where nothing is.
        """
        d = self.grid.dimensions
        squares = jnp.asarray(np.array(self.offsets, float) ** 2, self.forward.dtype)
        both = jnp.tensordot(squares.T, 0.5 * (self.forward + self.backward), 1, precision="highest")
        more = jnp.where(self.given > 0, both / jnp.where(self.given > 0, self.given, 1) - 1, jnp.inf)
        more = jnp.where((self.given == 0) & (both == 0), 0, jnp.where(jnp.isnan(both), jnp.nan, more))
        axes = tuple(range(1, d + 1))
        if p is None:
            return jnp.max(jnp.maximum(more, 0), axis=axes)
        weight = self.grid.normalise(real_array("p", p, shape=self.grid.points).astype(more.dtype))[None]
        return jnp.sum(jnp.where(weight != 0, weight * more, 0), axis=axes) * self.grid.cell.astype(more.dtype)

    def matrix(self) -> Array:
        """A as a matrix (n, n) over all n points in row-major order; columns sum to zero.

        Raises:
            ValueError: more than 4096 points.
        """
        n = int(np.prod(self.grid.points))
        check("grid", f"have at most {DENSE} points for a dense matrix", n <= DENSE, n)
        return _matrix(self)

    def stationary(self) -> Array:
        """The density p with A p = 0, normalised, shape (*points).

        Along one axis between walls the current vanishes and p follows from the ratios u/w. Otherwise A is eliminated
        densely, which keeps the sign only to rounding. NaN or infinite where no single such law exists, for instance
        without any diffusion.

        Raises:
            ValueError: more than 4096 points, unless along one axis between walls.
        """
        return _stationary(self)


# One program each where they are called on values; inside of another program they are part of it.


@partial(jax.jit, inline=True)
def _current(A: Generator, p: Array) -> Array:
    return A.per_face(A.forward, p) * A.left(p) - A.per_face(A.backward, p) * A.right(p)


@partial(jax.jit, inline=True)
def _apply(A: Generator, p: Array) -> Array:
    current, d = _current(A, p), A.grid.dimensions
    rate = jnp.zeros_like(p)
    for k, e in enumerate(A.offsets):
        flux = jnp.take(current, k, axis=-d - 1)
        rate = rate + jnp.roll(flux, e, tuple(range(-d, 0))) - flux
    return rate


@partial(jax.jit, inline=True)
def _exit_rates(A: Generator) -> Array:
    axes = tuple(range(A.grid.dimensions))
    into = [jnp.roll(w, e, axes) for w, e in zip(A.backward, A.offsets, strict=True)]
    return jnp.sum(A.forward, axis=0) + sum(into[1:], into[0])


@partial(jax.jit, inline=True)
def _matrix(A: Generator) -> Array:
    n = int(np.prod(A.grid.points))
    unit = jnp.eye(n, dtype=A.forward.dtype).reshape(n, *A.grid.points)
    return _apply(A, unit).reshape(n, n).T


@partial(jax.jit, inline=True)
def _stationary(A: Generator) -> Array:
    if A.grid.dimensions == 1 and not A.grid.periodic[0]:
        steps = jnp.log(A.forward[0, :-1]) - jnp.log(A.backward[0, :-1])
        log_p = jnp.concatenate([jnp.zeros(1, steps.dtype), jnp.cumsum(steps)])
        return A.grid.normalise(jnp.exp(log_p - jnp.max(log_p)))
    M = A.matrix()
    closed = M.at[-1].set(jnp.max(jnp.abs(M)))  # the last balance follows from the others: put the norm there
    p = jnp.linalg.solve(closed, jnp.zeros(len(M), M.dtype).at[-1].set(1))
    return A.grid.normalise(p.reshape(A.grid.points))


def require_generator(value: Any) -> None:
    """Refuse what is no `Generator`.

    Raises:
        TypeError: "`generator` must be ..., but got ...".
    """
    instance("generator", value, Generator, "a Generator, of `fokker_planck_generator`")


def fokker_planck_generator(
    grid: Grid,
    free_energy: Any = None,
    *,
    gamma: Any = None,
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
    first order where D vanishes (upwind) and on lines where D_kl changes its sign. What the rates add to D is
    |b|h/2 where |b|h > 2D and b²h²/12D where it is small: keep the spacing h below D/|b|, or densities come out wide;
    `Generator.added_diffusion` tells.

    Off-diagonal D_kl becomes jumps along diagonals, which leaves D_kk/h_k - Σ_l |D_kl|/h_l for the axes. Where that is
    negative somewhere the jumps are longer ones (`nnthermo.mechanics.stencil`): rates of cells and no more of faces,
    and eigenvalues of D below a hundredth of the largest, in units of the cells, raised to it. With traced D it must
    not be negative. Directions that turn from cell to cell are kinds of jumps of their own, an array of rates each.

    Source: the equation of arXiv:2008.01540 with drift γ∇F, seen from its published list of terms; (11.5) of
    arXiv:2004.09280 is the case γ = 0, with D/2 for D. The paper has sign +1: learning "maximises the free energy"
    (8.2). Gradient descent on a loss, with ∂F/∂q = ⟨∂H/∂q⟩, is sign -1.

    Args:
        grid: one to three variables. Walls reflect: nothing passes. On rings F must close as well.
        free_energy: F at the points, shape (*points); None for none.
        gamma: learning rate γ of the drift, shape (); to be given with `free_energy`, without it of no use.
        diffusion: D ≥ 0 in (units of q)²/time: a number, (*points), one per axis (d,) or (*points, d), or symmetric
            matrices (d, d) or (*points, d, d).
        sign: +1 up the free energy, -1 down.
        drift: a further drift at the points, shape (*points, d), which need not be a gradient.
        ito: whether D(q) is inside both derivatives.

    Returns:
        A `Generator`; traced values of D that allow no non-negative rates give NaN.

    Raises:
        ValueError: `free_energy` without `gamma`; wrong shapes; D negative or not symmetric.
    """
    require_grid(grid)
    real_numbers(sign=sign)
    d, dtypes = grid.dimensions, [grid.lower.dtype]
    F = None if free_energy is None else real_array("free_energy", free_energy, shape=grid.points)
    b = None if drift is None else real_array("drift", drift, shape=(*grid.points, d))
    dtypes += [v.dtype for v in (F, b) if v is not None]
    check("gamma", "be given with `free_energy`: the drift is sign·γ∇F", F is None or gamma is not None, gamma)
    gamma = real_array("gamma", 0.0 if gamma is None else gamma, shape=())
    finite("gamma", gamma)
    D = real_array("diffusion", diffusion)
    finite("diffusion", D)
    slope, dtype = jnp.asarray(sign, gamma.dtype) * gamma, jnp.result_type(*dtypes)
    if is_too_skew(grid, D):
        return Generator(grid, *skew_rates(grid, F, b, np.asarray(D), slope, ito=ito, dtype=dtype))
    offsets = jump_offsets(grid, D)
    forward, backward, given = jump_rates(grid, F, b, D, slope, offsets, ito, dtype)
    return Generator(grid, forward, backward, offsets, given)
