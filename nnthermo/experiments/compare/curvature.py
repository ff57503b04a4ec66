r"""Curvatures of the mean loss in weights and biases, and how many directions are flat.

The Hessian of the mean boundary loss (2.11) is applied to a direction v by differentiating its gradient along v. The
clamped bulk loss (3.2) of a sample is E(w) = min_x h(w, x) = h(w, x̄(w)) over its hidden neurons. By the envelope
theorem ∇E = h_w(w, x̄), and since h_x(w, x̄) = 0 for every w, dx̄ = -h_xx⁻¹ h_xw v when w moves along v, so that

    (∇²E) v = h_ww v + h_wx dx̄ = (h_ww - h_wx h_xx⁻¹ h_xw) v :

the derivative of h_w(w, x) along (v, dx̄). h_xx is one matrix over the hidden neurons a sample, inverted once. Samples
whose minimum was not found, or is none because h_xx is not positive definite, are left out of both losses and counted.

Weights of the first layer act through W u only. With Q an orthonormal basis of the span of the samples' inputs, the
network with weights WQ and inputs Qᵀu is the same function, and its Hessian has the same eigenvalues but for those of
the directions that no sample reaches, which are exactly 0.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from nnthermo._typing import Array
from nnthermo.linalg.lanczos import Count, Quadrature, count, quadrature, random_directions, tridiagonalise
from nnthermo.loss import boundary_loss, bulk_loss
from nnthermo.network import FeedForward
from nnthermo.relaxation import relax

LOSSES = ("boundary", "bulk")

THRESHOLDS = tuple(round(10 ** (-k / 2), 10) for k in range(8, 0, -1))
"""A direction is flat if its |curvature| is below so many times the largest: 10^-4, 10^-3.5, ..., 10^-½."""

POSITIVE = 1e-6
"""h_xx, whose diagonal is at least 1 for the outermost hidden layer's own error, must have no eigenvalue below this."""


class Problem(NamedTuple):
    """A network on the samples over which curvatures are taken, in float64, inputs reduced to their span.

    Attributes:
        net: weights WQ in the first layer.
        inputs: Qᵀu, (samples, r).
        targets: (samples, n_out).
        hidden: the minimum of (3.2), (samples, hidden neurons), layer after layer.
        inverse: h_xx⁻¹ there, (samples, hidden, hidden).
        share: weight of each sample in the mean, (samples,); 0 for those left out.
    """

    net: FeedForward
    inputs: Array
    targets: Array
    hidden: Array
    inverse: Array
    share: Array


def reached_span(inputs: Any) -> np.ndarray:
    """Q, an orthonormal basis (n_in, r) of the span of inputs (samples, n_in), float64."""
    _, sigma, right = np.linalg.svd(np.asarray(inputs, np.float64), full_matrices=False)
    return right[sigma > sigma[:1] * max(np.shape(inputs)) * np.finfo(np.float64).eps].T


def prepare(net: FeedForward, inputs: Any, targets: Any, span: np.ndarray) -> tuple[Problem, float]:
    """The problem of a network on samples, and the share of them that were left out.

    Args:
        net: a network.
        inputs: (samples, n_in).
        targets: (samples, n_out).
        span: Q, from `reached_span` of these inputs.
    """
    wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), net)
    reduced = wide.replace(weights=(wide.weights[0] @ span, *wide.weights[1:]))
    u, t = jnp.asarray(inputs, jnp.float64) @ span, jnp.asarray(targets, jnp.float64)
    found = _relax(reduced, u, t)
    hidden = jnp.concatenate(found.state[1:-1], axis=-1)
    values, vectors = np.linalg.eigh(np.asarray(_state_hessians(reduced, u, t, hidden)))
    keep = np.asarray(found.converged) & (values[:, 0] > POSITIVE)
    inverse = (vectors / np.where(keep[:, None], values, 1.0)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    share = keep / max(1, int(keep.sum()))
    return Problem(reduced, u, t, hidden, jnp.asarray(inverse), jnp.asarray(share)), float(1 - keep.mean())


@jax.jit
def _relax(net: FeedForward, inputs: Array, targets: Array) -> Any:
    return relax(net, inputs, targets, tolerance=1e-9)


def clamped_loss(net: FeedForward, inputs: Array, target: Array, hidden: Array) -> Array:
    """h(w, x), the bulk loss (3.1) of a sample: x from inputs, hidden neurons (hidden,) and target; shape ()."""
    layers = jnp.split(hidden, np.cumsum(net.sizes[1:-1])[:-1])
    return bulk_loss(net, (inputs, *layers, target))


@jax.jit
def _state_hessians(net: FeedForward, inputs: Array, targets: Array, hidden: Array) -> Array:
    return jax.vmap(jax.hessian(clamped_loss, argnums=3), (None, 0, 0, 0))(net, inputs, targets, hidden)


def mean_boundary_loss(net: FeedForward, problem: Problem) -> Array:
    """Mean of (2.11) over the samples, shape ()."""
    each = jax.vmap(lambda u, t: boundary_loss(net, net.propagate(u), t))(problem.inputs, problem.targets)
    return jnp.vdot(problem.share, each)


def mean_clamped_loss(net: FeedForward, hidden: Array, problem: Problem) -> Array:
    """Mean of h(w, x) over the samples, shape ()."""
    each = jax.vmap(clamped_loss, (None, 0, 0, 0))(net, problem.inputs, problem.targets, hidden)
    return jnp.vdot(problem.share, each)


def boundary_product(problem: Problem, direction: FeedForward) -> FeedForward:
    """Hessian of the mean boundary loss times a direction in the structure of the network."""
    gradient = jax.grad(mean_boundary_loss)
    return jax.jvp(lambda net: gradient(net, problem), (problem.net,), (direction,))[1]


def bulk_product(problem: Problem, direction: FeedForward) -> FeedForward:
    """Hessian of the mean clamped bulk loss times a direction, minima following the weights."""
    net, hidden = problem.net, problem.hidden
    in_state = jax.vmap(jax.grad(clamped_loss, argnums=3), (None, 0, 0, 0))
    force = jax.jvp(lambda n: in_state(n, problem.inputs, problem.targets, hidden), (net,), (direction,))[1]
    response = -jnp.einsum("sij,sj->si", problem.inverse, force)
    in_weights = jax.grad(mean_clamped_loss)
    return jax.jvp(lambda n, x: in_weights(n, x, problem), (net, hidden), (direction, response))[1]


PRODUCTS: dict[str, Callable[[Problem, FeedForward], FeedForward]] = {
    "boundary": boundary_product,
    "bulk": bulk_product,
}


@lru_cache(maxsize=8)
def _compiled(loss: str, probes: int, steps: int) -> Callable:
    """(problem, key) -> T of each probe; one object a setting, so that networks of one shape share the program."""

    def run(problem: Problem, key: Array) -> tuple[Array, Array]:
        flat, unravel = ravel_pytree(problem.net)

        def matvec(v: Array) -> Array:
            return ravel_pytree(PRODUCTS[loss](problem, unravel(v)))[0]

        starts = random_directions(key, probes, flat.size, flat.dtype)
        return jax.vmap(lambda v: tridiagonalise(matvec, v, min(steps, flat.size)))(starts)

    return jax.jit(run)


class Curvatures(NamedTuple):
    """What is known of the Hessian of one loss at one set of weights; counts are of all directions.

    Attributes:
        largest: largest |curvature|, in units of the loss per squared weight.
        smallest: most negative curvature, same units.
        trace: sum of the curvatures, same units.
        effective: (Σ|κ|)² / Σκ², how many directions share the curvature; no threshold in it.
        flat: directions with |κ| below each of `THRESHOLDS` times the largest.
        falling: directions with κ below minus that, along which the loss would fall faster and faster.
    """

    largest: float
    smallest: float
    trace: float
    effective: float
    flat: Count
    falling: Count


def summarise(found: Quadrature, reached: int, unreached: int) -> Curvatures:
    """Curvatures from quadratures over the reached directions; the others are exactly flat."""

    def moment(values: np.ndarray) -> float:
        return reached * float(np.mean(np.sum(values * found.weights, axis=-1)))

    largest = float(np.abs(found.nodes).max())
    cut = largest * np.array(THRESHOLDS)
    flat = count(-cut, cut, reached, found)
    squares = moment(found.nodes**2)
    return Curvatures(
        largest=largest,
        smallest=float(min(found.nodes.min(), 0.0)),
        trace=moment(found.nodes),
        effective=moment(np.abs(found.nodes)) ** 2 / squares if squares > 0 else 0.0,
        flat=Count(flat.value + unreached, flat.standard_error, flat.low + unreached, flat.high + unreached),
        falling=count(np.full_like(cut, -np.inf), -cut, reached, found),
    )


def curvatures(
    net: FeedForward, inputs: Any, targets: Any, span: np.ndarray, *, seed: int, probes: int, steps: int
) -> tuple[dict[str, Curvatures], float]:
    """Curvatures of both losses on the same samples, by name, and the share of samples left out.

    All of them left out, there is nothing to differentiate, and the first part is empty.

    Args:
        net: a network.
        inputs: (samples, n_in).
        targets: (samples, n_out).
        span: Q, from `reached_span` of these inputs.
        seed: of the random directions.
        probes: how many.
        steps: Lanczos steps from each.
    """
    problem, left_out = prepare(net, inputs, targets, span)
    if left_out == 1:
        return {}, left_out
    unreached = net.weights[0].size - problem.net.weights[0].size
    reached = sum(leaf.size for leaf in jax.tree.leaves(problem.net))
    found = {}
    for loss in LOSSES:
        T = _compiled(loss, probes, steps)(problem, jax.random.key(seed))
        found[loss] = summarise(quadrature(*T), reached, unreached)
    return found, left_out
