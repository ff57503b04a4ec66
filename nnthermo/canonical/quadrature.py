"""Canonical ensembles of up to three free neurons by Gauss-Legendre quadrature: the oracle of every other method."""

import math
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from nnthermo._checks import check, integer, is_concrete, refuse
from nnthermo._typing import Array
from nnthermo.canonical.ensemble import CanonicalEnsemble, CanonicalEstimate, Estimate
from nnthermo.linalg.dense import matmul

MOST = {1: 16_384, 2: 2048, 3: 256}
"""Points along each neuron at most, by the number of neurons."""

WIDTHS = 9.0
"""Half-width of the first interval in standard deviations 1/√κ; beyond it a Gaussian keeps 2e-19 of its mass."""


def quadrature(
    ensemble: CanonicalEnsemble, *, tolerance: float | None = None, points: int | None = None
) -> CanonicalEstimate:
    """log Z, U, S, ⟨x⟩ and the covariance of an ensemble of up to three free neurons.

    Points along each neuron are doubled until log Z, U and ⟨x·x⟩ settle; `error` is their last change, which is larger
    than `tolerance` where they did not: look at it where β is large, since the interval does not shrink with the peaks
    in it and points along a neuron are bounded (16,384, 2,048 and 256 in one, two and three dimensions). Infinite
    intervals are cut where the density has fallen by e^-40 on every face. Not to be traced; for derivatives take the
    differences of two calls with the same `points`.

    Args:
        ensemble: of any network with at most three free neurons.
        tolerance: on the changes; default 1e4 ulp.
        points: along each neuron, to be used as they are.

    Raises:
        ValueError: more than three free neurons, no points, traced numbers, or a density that does not fall.
    """
    check("ensemble", "be known (not traced) for quadrature", is_concrete(ensemble), "a tracer")
    n = ensemble.dimension
    check("ensemble", "have at most 3 free neurons for quadrature", n <= 3, n)
    bound = 1e4 * float(jnp.finfo(ensemble.dtype).eps) if tolerance is None else float(tolerance)
    check("tolerance", "be positive", bound > 0, bound)
    low, high = _interval(ensemble)
    if points is not None:
        points = integer("points", points, least=1)
        found = _integrate(ensemble, low, high, points)
        return _estimate(ensemble, found, found, points**n)
    count = 32
    found = _integrate(ensemble, low, high, count)
    while True:
        count *= 2
        before, found = found, _integrate(ensemble, low, high, count)
        changes = [abs(float(a - b)) for a, b in zip(found[:3], before[:3], strict=True)]
        if max(changes) <= bound or 2 * count > MOST[n]:
            return _estimate(ensemble, found, before, count**n)


def _interval(ensemble: CanonicalEnsemble) -> tuple[np.ndarray, np.ndarray]:
    low, high = (np.array(edge, np.float64) for edge in ensemble.edges())
    kappa = float(ensemble.stiffness + ensemble.beta * (1 - ensemble.m))
    reach = WIDTHS / math.sqrt(kappa) if kappa > 0 else WIDTHS
    centre = float(np.max(np.abs(np.asarray(ensemble.inputs)), initial=1.0))
    if kappa > 0:
        centre *= max(1.0, float(ensemble.beta) / kappa)
    left, right = (np.where(np.isfinite(e), e, s * (centre + reach)) for e, s in ((low, -1.0), (high, 1.0)))
    for _ in range(20):
        outside = _log_density_outside(ensemble, left, right, np.isfinite(low), np.isfinite(high))
        if not (outside > -40).any():
            break
        left = np.where(outside[0] > -40, 1.5 * left, left)
        right = np.where(outside[1] > -40, 1.5 * right, right)
    else:
        refuse(
            "ensemble", "have a density that falls in every direction", "one that still has not at " + _places(right)
        )
    return left, right


def _places(right: np.ndarray) -> str:
    return "|x| = " + ", ".join(f"{v:.3g}" for v in right)


def _log_density_outside(
    ensemble: CanonicalEnsemble, left: np.ndarray, right: np.ndarray, closed_left: np.ndarray, closed_right: np.ndarray
) -> np.ndarray:
    """Largest log density on each face, relative to the largest inside; -inf on faces that are edges: (2, n)."""
    n = len(left)
    side = {1: 65, 2: 33, 3: 17}[n]
    grids = [np.linspace(a, b, side) for a, b in zip(left, right, strict=True)]
    points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, n)
    values = np.asarray(_log_densities(ensemble, jnp.asarray(points, ensemble.dtype))).reshape((side,) * n)
    faces = np.full((2, n), -np.inf)
    for axis in range(n):
        for k, (place, closed) in enumerate(((0, closed_left), (-1, closed_right))):
            if not closed[axis]:
                faces[k, axis] = np.take(values, place, axis=axis).max()
    return faces - values.max()


@jax.jit
def _log_densities(ensemble: CanonicalEnsemble, points: Array) -> Array:
    return jax.vmap(ensemble.log_density)(points)


_rule = lru_cache(maxsize=16)(np.polynomial.legendre.leggauss)
"""Nodes and weights on (-1, 1); half a second for 2,048 of them."""


def _integrate(ensemble: CanonicalEnsemble, low: np.ndarray, high: np.ndarray, count: int) -> Any:
    nodes, weights = _rule(count)
    half = (high - low) / 2
    places = (low + high)[:, None] / 2 + half[:, None] * nodes[None, :]
    logs = np.log(half)[:, None] + np.log(weights)
    return _sums(ensemble, jnp.asarray(places, ensemble.dtype), jnp.asarray(logs, ensemble.dtype))


@jax.jit
def _sums(ensemble: CanonicalEnsemble, places: Array, logs: Array) -> tuple[Array, Array, Array, Array, Array]:
    """log Z, U, ⟨x·x⟩, ⟨x⟩ and ⟨xxᵀ⟩ over free neurons, one row of points of the first neuron at a time."""
    n = places.shape[0]
    rest = [g.ravel() for g in jnp.meshgrid(*places[1:], indexing="ij")] if n > 1 else []
    others = jnp.zeros((1,), logs.dtype)
    for more in logs[1:]:
        others = (others[:, None] + more[None, :]).ravel()

    def row(given: tuple[Array, Array]) -> tuple[Array, ...]:
        first, log_first = given
        x = jnp.stack([jnp.full(others.shape, first), *rest], axis=-1)
        log_p = jax.vmap(ensemble.log_density)(x) + log_first + others
        total = logsumexp(log_p)
        p = jnp.where(jnp.isfinite(total), jnp.exp(log_p - total), 0.0)
        losses = jax.vmap(lambda v: ensemble.loss(ensemble.state(v)))(x)
        return total, p @ losses, p @ x, matmul(x.T, p[:, None] * x)

    totals, losses, means, squares = jax.lax.map(row, (places[0], logs[0]))
    log_z = logsumexp(totals)
    p = jnp.exp(totals - log_z)
    second = jnp.tensordot(p, squares, axes=1)
    return log_z, p @ losses, jnp.trace(second), p @ means, second


def _estimate(ensemble: CanonicalEnsemble, found: Any, before: Any, points: int) -> CanonicalEstimate:
    def four(values: Any) -> tuple[Array, Array, Array, Array]:
        log_z, loss, square = values[:3]
        return log_z, loss, log_z + ensemble.beta * loss + 0.5 * ensemble.stiffness * square, square

    log_z, loss, entropy, square = (Estimate(a, jnp.abs(a - b)) for a, b in zip(four(found), four(before), strict=True))
    index = np.flatnonzero(ensemble.free)
    size = ensemble.net.size
    covariance = found[4] - jnp.outer(found[3], found[3])
    return CanonicalEstimate(
        log_z,
        loss,
        entropy,
        square,
        jnp.asarray(points, ensemble.dtype),
        mean=ensemble.complete(found[3]),
        covariance=jnp.zeros((size, size), ensemble.dtype).at[jnp.ix_(index, index)].set(covariance),
    )
