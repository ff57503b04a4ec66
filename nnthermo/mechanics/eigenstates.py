"""Stationary states of the Schrödinger equation on the grid."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, integer, positive_numbers, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics.fourier import to_complex
from nnthermo.mechanics.grid import Grid, require_grid
from nnthermo.mechanics.hamiltonian import apply_hamiltonian, flux_shift, kinetic_energies

DENSE = 1024
"""Grids of up to so many points are diagonalised as matrices."""


class Eigenstates(NamedTuple):
    """The lowest states.

    Attributes:
        energies: E_n in rising order, (s,).
        states: ψ_n with ∫|ψ_n|² = 1, (s, *points); complex with a flux, else real.
        residual: largest |Hψ - Eψ| over the largest |E|, (s,): rounding, if the iteration has converged. It does not
            know the error of the grid.
    """

    energies: Array
    states: Array
    residual: Array


def schrodinger_eigenstates(
    potential: Any,
    grid: Grid,
    *,
    hbar: Scalar,
    mass: Scalar,
    states: int,
    flux: Any = None,
    dense: bool | None = None,
    iterations: int = 40,
) -> Eigenstates:
    """The lowest eigenstates of H = -(ħ²/2M)∇² + V, in the basis of the waves of the grid.

    Small grids: a dense symmetric eigenvalue problem, exact for what the grid resolves. Large ones: subspace iteration
    with Chebyshev filters of degree 40, which reaches rounding where the spectrum above `states` is not much wider than
    the gap times 1000; `residual` tells.

    Args:
        potential: V, (*points).
        grid: rings; between walls, which are hard, the states vanish at the walls.
        hbar: ħ.
        mass: M.
        states: how many.
        flux: ν through each ring, in quanta.
        dense: whether to diagonalise a matrix; default: up to 1024 points.
        iterations: of the subspace, for large grids.
    """
    require_grid(grid)
    positive_numbers(hbar=hbar, mass=mass)
    V = real_array("potential", potential, shape=grid.points)
    count = integer("states", states)
    check("states", f"lie between 1 and the number of points, {V.size}", 1 <= count <= V.size, count)
    sweeps = integer("iterations", iterations)
    kinetic = kinetic_energies(grid, jnp.asarray(hbar, V.dtype), jnp.asarray(mass, V.dtype), flux_shift(flux, grid))
    if dense if dense is not None else V.size <= DENSE:
        return _dense(V, kinetic, grid, count, flux is not None)
    check("states", "leave room for the subspace: at most a quarter of the points", 4 * count <= V.size, count)
    return _filtered(V, kinetic, grid, count, flux is not None, sweeps)


def _result(energies: Array, rows: Array, images: Array, grid: Grid) -> Eigenstates:
    axes = tuple(range(1, rows.ndim))
    off = jnp.max(jnp.abs(images - energies.astype(rows.dtype).reshape((-1,) + (1,) * len(axes)) * rows), axis=axes)
    size = jnp.max(jnp.abs(energies)) * jnp.max(jnp.abs(rows), axis=axes)
    return Eigenstates(energies, rows / jnp.sqrt(grid.cell).astype(rows.dtype), off / size)


@partial(jax.jit, static_argnums=(3, 4))
def _dense(V: Array, kinetic: Array, grid: Grid, count: int, turning: bool) -> Eigenstates:
    unit = jnp.eye(V.size, dtype=V.dtype).reshape(V.size, *V.shape)
    unit = to_complex(unit) if turning else unit
    H = apply_hamiltonian(unit, V[None], kinetic, grid).reshape(V.size, V.size)  # row k: H of point k, a column
    H = (H.T + H.conj()) / 2
    energies, vectors = jnp.linalg.eigh(H)
    vectors = vectors[:, :count]
    images = jnp.matmul(H, vectors, precision="highest")
    rows, images = (f.T.reshape(count, *V.shape) for f in (vectors, images))
    return _result(energies[:count], rows, images, grid)


@partial(jax.jit, static_argnums=(3, 4, 5))
def _filtered(V: Array, kinetic: Array, grid: Grid, count: int, turning: bool, iterations: int) -> Eigenstates:
    width = count + max(4, count // 2)
    top = jnp.max(V) + jnp.max(kinetic)
    start = jax.random.normal(jax.random.key(0), (width, *V.shape), V.dtype)
    start = to_complex(start) if turning else start

    def orthonormal(f: Array) -> Array:
        return jnp.linalg.qr(f.reshape(width, -1).T)[0].T.reshape(f.shape)

    def rotate(f: Array) -> tuple[Array, Array]:
        flat, image = f.reshape(width, -1), apply_hamiltonian(f, V[None], kinetic, grid).reshape(width, -1)
        small = jnp.matmul(flat.conj(), image.T, precision="highest")
        energies, vectors = jnp.linalg.eigh((small + small.conj().T) / 2)
        return energies, jnp.matmul(vectors.T, flat, precision="highest").reshape(f.shape)

    def sweep(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        energies, f = state
        low = energies[-1]  # what lies between here and the top is damped, what lies below grows
        centre, half = ((top + low) / 2).astype(f.dtype), ((top - low) / 2).astype(f.dtype)

        def recur(_: int, pair: tuple[Array, Array]) -> tuple[Array, Array]:
            before, now = pair
            size = jnp.maximum(jnp.max(jnp.abs(now)), 1).astype(now.dtype)
            after = 2 * (apply_hamiltonian(now, V[None], kinetic, grid) - centre * now) / half - before
            return now / size, after / size

        first = (apply_hamiltonian(f, V[None], kinetic, grid) - centre * f) / half
        _, f = jax.lax.fori_loop(0, 39, recur, (f, first))
        return rotate(orthonormal(f))

    energies, f = jax.lax.fori_loop(0, iterations, sweep, rotate(orthonormal(start)))
    return _result(energies[:count], f[:count], apply_hamiltonian(f, V[None], kinetic, grid)[:count], grid)
