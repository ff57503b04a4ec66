r"""Spectra of large symmetric matrices from products with vectors: stochastic Lanczos quadrature.

k Lanczos steps from a unit vector v give a tridiagonal T, whose eigenvalues θ_i and squared first components w_i of its
eigenvectors are Gauss's quadrature for the spectral measure of v, vᵀφ(A)v ≈ Σ w_i φ(θ_i), exact for polynomials of
degree 2k - 1. Averaged over random v it is the density of eigenvalues; φ = a step counts them. How much of the measure
lies below a point is known up to the weights of the two nodes around it (Chebyshev, Markov, Stieltjes), so every count
comes with bounds that no spectrum can leave, besides the scatter between probes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check
from nnthermo._typing import Array

Matvec = Callable[[Array], Array]
"""v -> Av, (n,) to (n,), A symmetric."""


class Quadrature(NamedTuple):
    """Nodes and weights of the spectral measures of several unit vectors, each (probes, k); weights sum to 1 each."""

    nodes: np.ndarray
    weights: np.ndarray


class Count(NamedTuple):
    """Numbers of eigenvalues in intervals, one entry an interval.

    Attributes:
        value: by the quadrature, mean over the probes.
        standard_error: of that mean, from the spread between probes; NaN with one.
        low: mean over the probes of the least that the moments of their measures allow.
        high: and of the most. Between them lies the error of too few steps, whatever the spectrum.
    """

    value: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray


def tridiagonalise(matvec: Matvec, start: Array, steps: int) -> tuple[Array, Array]:
    """Diagonal (k,) and off-diagonal (k - 1,) of T after k Lanczos steps, as `krylov` finds them."""
    return krylov(matvec, start, steps)[1:]


def krylov(matvec: Matvec, start: Array, steps: int) -> tuple[Array, Array, Array]:
    """Basis (k, n) of the Krylov space, and diagonal (k,) and off-diagonal (k - 1,) of T in it, after k Lanczos steps.

    Orthogonalised in full at every step. Where the Krylov space of the start is exhausted before, the rest of T is 0:
    its nodes carry no weight. A start of 0 gives zeros.

    Args:
        matvec: the matrix.
        start: (n,).
        steps: k, 1..n.

    Raises:
        ValueError: steps out of range.
    """
    size = start.shape[0]
    check("steps", f"lie between 1 and the {size} rows", 1 <= steps <= size, steps)
    tiny = 10 * min(size, 1000) * jnp.finfo(start.dtype).eps

    def step(k: Array, carry: tuple) -> tuple:
        basis, diagonal, off, scale = carry
        w = matvec(basis[k])
        alpha = jnp.vdot(basis[k], w)
        for _ in range(2):  # once leaves rounding times the condition of the basis, twice is enough
            w = w - basis.T @ (basis @ w)
        norm = jnp.linalg.norm(w)
        scale = jnp.maximum(scale, jnp.maximum(jnp.abs(alpha), norm))
        going = norm > tiny * scale
        beta = jnp.where(going, norm, 0.0)
        following = jnp.where(going, w / jnp.where(going, norm, 1.0), 0.0)
        return basis.at[k + 1].set(following), diagonal.at[k].set(alpha), off.at[k].set(beta), scale

    zeros = jnp.zeros((steps,), start.dtype)
    length = jnp.linalg.norm(start)
    first = start / jnp.where(length > 0, length, 1.0)
    basis = jnp.zeros((steps + 1, size), start.dtype).at[0].set(first)
    basis, diagonal, off, _ = jax.lax.fori_loop(0, steps, step, (basis, zeros, zeros, jnp.zeros((), start.dtype)))
    return basis[:-1], diagonal, off[:-1]


def random_directions(key: Array, probes: int, size: int, dtype: Any) -> Array:
    """Starts for `tridiagonalise`, (probes, n), normal: every direction alike."""
    return jax.random.normal(key, (probes, size), dtype)


def quadrature(diagonal: Any, off_diagonal: Any) -> Quadrature:
    """Nodes and weights from T of several probes, (probes, k) and (probes, k - 1)."""
    d, o = np.asarray(diagonal), np.asarray(off_diagonal)
    T = d[:, :, None] * np.eye(d.shape[1])
    k = np.arange(d.shape[1] - 1)
    T[:, k, k + 1] = T[:, k + 1, k] = o
    nodes, vectors = np.linalg.eigh(T)
    return Quadrature(nodes, vectors[:, 0, :] ** 2)


def count(lower: Any, upper: Any, size: int, found: Quadrature) -> Count:
    """How many of n eigenvalues lie between the ends of each of several intervals.

    Args:
        lower: (intervals,), -inf for none.
        upper: (intervals,).
        size: n.
        found: the quadrature.
    """
    each, low, high = size * np.array(
        [_measures(lower, upper, nodes, weights) for nodes, weights in zip(*found, strict=True)]
    ).transpose(1, 2, 0)
    probes = each.shape[-1]
    error = np.std(each, axis=-1, ddof=1) / np.sqrt(probes) if probes > 1 else np.full(each.shape[:-1], np.nan)
    return Count(each.mean(axis=-1), error, low.mean(axis=-1), high.mean(axis=-1))


def _measures(lower: Any, upper: Any, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Measure of each interval, and its bounds: (3, intervals)."""
    below, least_below, most_below = _below(np.asarray(lower), nodes, weights)
    under, least_under, most_under = _below(np.asarray(upper), nodes, weights)
    return np.stack(
        [under - below, np.maximum(least_under - most_below, 0.0), np.minimum(most_under - least_below, 1.0)]
    )


def _below(points: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure below each point, and the bounds of Chebyshev, Markov and Stieltjes: the weights of the nodes before."""
    sums = np.concatenate([[0.0], np.cumsum(weights), [1.0]])
    j = np.searchsorted(nodes, points)
    infinite = np.isneginf(points)
    return sums[j], sums[np.maximum(j - 1, 0)], np.where(infinite, 0.0, np.minimum(sums[j + 1], 1.0))
