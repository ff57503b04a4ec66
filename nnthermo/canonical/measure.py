"""What the Boltzmann factor exp(-βH) is integrated against: all states, a box (5.7), or a Gaussian window (5.8)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, is_concrete, positive, real_array, refuse
from nnthermo._pytree import pytree
from nnthermo._typing import Activation, Array, Scalar
from nnthermo.network import FeedForward, Network, Septuple
from nnthermo.network.activation import is_bounded


@pytree()
class Flat:
    """dx over R^N, the measure of (4.10) and (5.1) where x is not confined."""


@pytree()
class Window:
    """exp(-s x·x/2) dx, the Gaussian window of (5.8), with which (5.9) and (5.14) are derived.

    It is no approximation of `Box` to any order: it changes the ensemble, by ½ log 2π - log 2 nats a neuron of log Z
    where β = 0 and the box is (-1, 1).

    Args:
        stiffness: s, dimensionless; 1 in the paper.

    Raises:
        ValueError: not positive, or not one number.
    """

    stiffness: Scalar = 1.0

    def __post_init__(self) -> None:
        real_array("stiffness", self.stiffness, shape=())
        positive("stiffness", self.stiffness)


@pytree()
class Box:
    """dx over low < x_i < high (5.7), the range of the activation unless given.

    Args:
        low: number or shape (N,), neurons in the order of `net.ravel`; -inf for none.
        high: the same; inf for none.

    Raises:
        ValueError: only one of them given, or an empty interval.
    """

    low: Any = None
    high: Any = None

    def __post_init__(self) -> None:
        check("low and high", "be given together", (self.low is None) == (self.high is None), (self.low, self.high))
        if self.low is None:
            return
        for name, edge in (("low", self.low), ("high", self.high)):
            real_array(name, edge)
        if is_concrete(self.low, self.high):
            low, high = np.asarray(self.low), np.asarray(self.high)
            check("high", "exceed low", bool(np.all(high > low)), f"{high} for {low}")


Measure = Flat | Window | Box


def resolved(measure: Measure, net: Network, dtype: Any) -> Measure:
    """The measure with its numbers as arrays of a dtype: the edges of a box have shape (N,)."""
    if isinstance(measure, Window):
        return Window(real_array("stiffness", measure.stiffness, shape=()).astype(dtype))
    if isinstance(measure, Flat):
        return measure
    if not isinstance(measure, Box):
        raise TypeError(f"`measure` must be Flat, Window or Box, but got {measure!r}")
    edges = neuron_ranges(net) if measure.low is None else (measure.low, measure.high)
    low, high = (real_array(name, v).astype(dtype) for name, v in zip(("low", "high"), edges, strict=True))
    for name, edge in (("low", low), ("high", high)):
        check(name, f"be a number or have shape {(net.size,)}", edge.shape in ((), (net.size,)), f"shape {edge.shape}")
    return Box(jnp.broadcast_to(low, (net.size,)), jnp.broadcast_to(high, (net.size,)))


def neuron_ranges(net: Network) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of every neuron's activation, shape (N,) each, in the order of `net.ravel`.

    Input neurons, which have none of their own in layers, take that of the layer after them. Found by looking at
    |y| up to 1e6, so exact only for what saturates there or is monotone; -inf and inf for what does not stay bounded.
    """
    if isinstance(net, FeedForward):
        lows, highs = zip(
            *(activation_range(f, n) for f, n in zip(net.activations, net.sizes[1:], strict=True)), strict=True
        )
        low, high = (np.concatenate([np.full(net.sizes[0], edges[0][0]), *edges]) for edges in (lows, highs))
        return low, high
    if not isinstance(net, Septuple):
        refuse("measure", "name its edges, Box(low, high), for this kind of network", type(net).__name__)
    return activation_range(net.activation, net.size)


def activation_range(activation: Activation, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Infimum and supremum of each of `size` element-wise activations, shape (size,) each."""
    magnitudes = np.concatenate([np.linspace(0, 10, 2001), np.geomspace(10, 1e6, 200)])
    with jax.ensure_compile_time_eval():
        points = jnp.asarray(np.concatenate([-magnitudes[::-1], magnitudes]))
        values = np.asarray(jax.vmap(lambda y: activation(jnp.full((size,), y)))(points), np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    if not is_bounded(activation, size):
        growing = np.abs(values[[0, -1]]) > 1e3
        ends = values[[0, -1]]
        low = np.where((growing & (ends < 0)).any(axis=0), -np.inf, low)
        high = np.where((growing & (ends > 0)).any(axis=0), np.inf, high)
    return low, high


def stiffness_of(measure: Measure, dtype: Any) -> Array:
    """s of a window, 0 of others."""
    return jnp.asarray(measure.stiffness if isinstance(measure, Window) else 0.0, dtype)
