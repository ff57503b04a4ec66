"""Activation maps f (2.6): element-wise, with their slopes f' (5.4)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, function, is_concrete, refuse
from nnthermo._typing import Activation, Array

PROBES = np.linspace(-1.3, 1.7, 8)


@dataclasses.dataclass(frozen=True)
class Layerwise:
    """One activation per consecutive group of neurons: the f_i of (2.6) for a network whose layers differ.

    Args:
        sizes: number of neurons in each group; they add up to the length of the argument.
        activations: element-wise maps, one a group.
    """

    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]

    def __call__(self, y: Array) -> Array:
        """f_i(y_i); y and the result have shape (..., sum(sizes))."""
        parts = jnp.split(y, np.cumsum(self.sizes)[:-1], axis=-1)
        return jnp.concatenate([f(part) for f, part in zip(self.activations, parts, strict=True)], axis=-1)


def slope(activation: Activation, y: Array) -> Array:
    """f'_i(y_i), the diagonal of f̂' (5.4); for tanh this is 1 - tanh² (10.4), which does not overflow.

    Shape of y; exact for element-wise f only (a directional derivative along ones).
    """
    return jax.jvp(activation, (y,), (jnp.ones_like(y),))[1]


def check_elementwise(activation: Activation, size: int) -> None:
    """Refuse what is not callable, changes the shape, or lets one neuron's input reach another's output (softmax).

    Raises:
        TypeError: not callable.
        ValueError: not element-wise, as probed at a few points.
    """
    function("activation", activation)
    if size == 0:
        return
    with jax.ensure_compile_time_eval():
        y = np.resize(PROBES, size)
        base = _at(activation, y)
        xp = np if isinstance(base, np.ndarray) else jnp
        check("activation", f"keep the shape {y.shape}", jnp.shape(base) == y.shape, f"shape {jnp.shape(base)}")
        # the bits of two different numbers differ somewhere, so each neuron stays still while any other moves
        for bit in range(max(size - 1, 1).bit_length()):
            for side in (0, 1):
                still = (np.arange(size) >> bit) % 2 == side
                for move in (-4.7, 4.7):  # far enough to change every order
                    moved = _at(activation, np.where(still, y, y + move))
                    same = (base == moved) | (xp.isnan(base) & xp.isnan(moved))
                    if not bool(xp.all(same | ~still)):
                        refuse("activation", "act on each neuron separately (2.6)", "a map that mixes neurons")


def is_bounded(activation: Activation, size: int) -> bool:
    """Whether f stays bounded, judged at |y| = 1e3 and 1e6: true of tanh, false of the identity and ReLU."""
    with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
        values = [_at(activation, np.full(size, r)) for r in (1e3, -1e3, 1e6, -1e6)]
        xp = np if all(isinstance(v, np.ndarray) for v in values) else jnp
        right_near, left_near, right_far, left_far = (xp.abs(v) for v in values)
        near, far = xp.maximum(right_near, left_near), xp.maximum(right_far, left_far)
        return bool(xp.all((far <= 2.0 * near + 1.0) & xp.isfinite(far)))


def _at(activation: Activation, y: np.ndarray) -> Any:
    """f(y), on the host where it is known: comparisons there need no compiled program for each size."""
    value = activation(jnp.asarray(y))
    return np.asarray(value) if isinstance(value, jax.Array) and is_concrete(value) else value


def as_tuple(activation: Activation | Sequence[Activation], layers: int) -> tuple[Activation, ...]:
    """One activation for each of `layers` layers, from one for all or a sequence.

    Raises:
        ValueError: a sequence of another length.
    """
    if callable(activation):
        return (activation,) * layers
    activations = tuple(activation)
    check("activation", f"be one map or {layers} of them, one a layer", len(activations) == layers, len(activations))
    return activations
