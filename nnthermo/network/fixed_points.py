"""Every fixed state (2.9) of a graph with cycles that Newton's method finds from many starts, and a check by degree."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import full_precision, integer, is_concrete, positive, random_key, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.network.activation import is_bounded
from nnthermo.network.fixed_point import newton
from nnthermo.network.septuple import Septuple

MAX_STEPS = 200
"""Newton steps from each start."""

SETTLING = 50
"""Steps of the dynamics (2.5) that every second start is given first, which brings it close to what is stable."""


class FixedPoints(NamedTuple):
    """The distinct fixed states found, those that are stable first, then in lexical order.

    Attributes:
        states: x̄, (k, N).
        residuals: largest |x̄ - f(ŵx̄ + b)| of each, (k,).
        spectral_radius: largest |eigenvalue| of f̂'ŵ over the neurons that are no inputs, (k,).
        stable: whether the dynamics (2.5) is drawn to it, spectral_radius < 1, (k,) booleans.
        indices: sign of det(I - f̂'ŵ) there, (k,) integers: 1, -1, or 0 where it is singular to rounding.
        index_sum: their sum.
        complete: whether that is 1, as it must be if none is missing; None for unbounded activations, where there is no
            such rule.
    """

    states: Array
    residuals: Array
    spectral_radius: Array
    stable: Array
    indices: Array
    index_sum: int
    complete: bool | None


def fixed_points(
    net: Septuple, inputs: Any, *, key: Array, starts: int = 200, tolerance: Scalar | None = None
) -> FixedPoints:
    """The fixed states x̄ = f(ŵx̄ + b) (2.9) with the inputs clamped, stable and unstable ones alike.

    Each of them is a zero of the bulk loss (3.1), so that at large β each is a mode of the ensemble, stable or not,
    with the weight exp(log Z) of (5.9) at it: `nt.log_partition(nt.bulk_hessian(net, x), beta, mean=x)`, whose log sum
    exp over all is log Z up to O(1/β).

    Where f is bounded, x + t(f(ŵx + b) - x) has no zero far away for any t in [0, 1], so that the degree of x - f is
    that of the identity: the indices add up to 1. `complete` is False if they do not: then some were missed. It cannot
    tell if those that were missed add up to 0, as the pair at a fold does, or two stable ones with two saddles; nor
    where one is 0, at a bifurcation. There may be exponentially many in N: more starts find more.

    Not differentiable and not to be traced (their number is found): for derivatives of one of them give it to
    `net.fixed_point` as `initial`.

    Args:
        net: weights and biases must be known.
        inputs: data of the input neurons, (input_size,).
        key: JAX random key, of the starts.
        starts: how many: random values of the activations, half of them after some steps of (2.5).
        tolerance: on the largest |x̄ - f(ŵx̄ + b)|; default 16 ulp times 1 + the largest row sum of |ŵ|.

    Raises:
        TypeError: another kind of network.
        ValueError: traced weights, a network of half precision, no random key, no starts, or inputs of another shape.
    """
    if not isinstance(net, Septuple):
        raise TypeError(f"`net` must be a Septuple, but got {type(net).__name__}; layers have one fixed state")
    if not is_concrete(net.weight, net.bias):
        refuse("net", "be known (not traced): how many fixed points there are depends on it", "a tracer")
    full_precision("net", net.weight.dtype)
    random_key("key", key)
    starts = integer("starts", starts, least=1)
    data = real_array("inputs", inputs, shape=(net.input_size,)).astype(net.weight.dtype)
    if tolerance is None:
        rows = float(jnp.max(jnp.sum(jnp.abs(net.signal_weight), axis=1)))
        tolerance = 16 * float(jnp.finfo(net.weight.dtype).eps) * (1 + rows)
    positive("tolerance", tolerance)
    states, residuals, slopes = map(np.asarray, _search(net, data, _starts(net, key, starts), tolerance))
    found = residuals <= float(tolerance)  # False for NaN
    return _described(net, states[found], residuals[found], slopes[found], float(tolerance))


def _starts(net: Septuple, key: Array, count: int) -> Array:
    """f of normal numbers of many sizes: all of its range, its middle as well as its ends, (count, N)."""
    key_size, key_value = jax.random.split(key)
    dtype = net.weight.dtype
    sizes = 10 ** jax.random.uniform(key_size, (count, 1), dtype, -1.0, 1.5)
    return jax.vmap(net.activation)(sizes * jax.random.normal(key_value, (count, net.size), dtype))


@jax.jit
def _search(net: Septuple, inputs: Array, starts: Array, tolerance: Scalar) -> tuple[Array, Array, Array]:
    """States, residuals and slopes from each start, one start at a time."""

    def step(x: Array) -> Array:
        return net.clamp(net.activate(x), inputs)

    def solve(given: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        start, settle = given
        settled = jax.lax.fori_loop(0, SETTLING, lambda _, x: step(x), start)
        x, _ = newton(step, net.clamp(jnp.where(settle, settled, start), inputs), tolerance, MAX_STEPS)
        return x, jnp.max(jnp.abs(x - step(x))), net.slopes(x)

    return jax.lax.map(solve, (starts, jnp.arange(starts.shape[0]) % 2 == 1))


def _described(
    net: Septuple, states: np.ndarray, residuals: np.ndarray, slopes: np.ndarray, tolerance: float
) -> FixedPoints:
    free = ~net.input_mask
    weight = np.asarray(net.signal_weight, np.float64)[np.ix_(free, free)]
    eps = float(jnp.finfo(states.dtype).eps)
    kept: list[int] = []
    facts: list[tuple[float, float, int]] = []  # distance to the exact state at most, spectral radius, index
    for i in np.argsort(residuals, kind="stable"):
        jacobian = slopes[i][free].astype(np.float64)[:, None] * weight
        least = float(np.linalg.svd(np.eye(len(jacobian)) - jacobian, compute_uv=False).min(initial=1.0))
        distance = 4 * np.sqrt(len(states[i])) * tolerance / max(least, eps) + np.sqrt(eps)
        scale = 1 + np.abs(states[i]).max()
        if any(
            np.linalg.norm(states[i] - states[j]) < (distance + d[0]) * scale for j, d in zip(kept, facts, strict=True)
        ):
            continue
        kept.append(int(i))
        radius = float(np.abs(np.linalg.eigvals(jacobian)).max(initial=0.0))
        sign = np.linalg.slogdet(np.eye(len(jacobian)) - jacobian)[0]
        facts.append((distance, radius, int(sign) if least > len(jacobian) * eps else 0))
    chosen, radii = np.array(kept, int), np.array([f[1] for f in facts])
    indices = np.array([f[2] for f in facts], int)
    rounded = states[chosen].round(6)
    order = np.lexsort((*rounded.T[::-1], radii >= 1))
    total = int(indices.sum())
    return FixedPoints(
        jnp.asarray(states[chosen][order]),
        jnp.asarray(residuals[chosen][order]),
        jnp.asarray(radii[order].astype(states.dtype)),
        jnp.asarray(radii[order] < 1),
        jnp.asarray(indices[order]),
        total,
        total == 1 if is_bounded(net.activation, net.size) else None,
    )
