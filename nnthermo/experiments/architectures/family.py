"""The family of architectures: how a budget of neurons or of parameters may be spent."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check
from nnthermo._typing import Activation, Array


def sigmoid(y: Array) -> Array:
    """1 / (1 + exp(-y))."""
    return jax.nn.sigmoid(y)


def relu(y: Array) -> Array:
    """max(y, 0)."""
    return jax.nn.relu(y)


ACTIVATIONS: dict[str, Activation] = {"tanh": jnp.tanh, "relu": relu, "sigmoid": sigmoid}
"""Of hidden neurons; outputs are tanh, so that every architecture has the same targets and the same loss."""

SQUARED_SLOPES = {"tanh": 1.0, "relu": 0.5, "sigmoid": 1 / 16}
"""Mean f'² at arguments that are small and have both signs alike."""

SKIPS = ("none", "hidden", "all")
"""Connections besides those to the next layer: none; from each hidden layer to the next but one; all that go forward,
from the inputs too."""

SHAPES: dict[str, Callable[[int], list[float]]] = {
    "even": lambda depth: [1.0] * depth,
    "narrowing": lambda depth: [float(depth - k) for k in range(depth)],
    "widening": lambda depth: [float(k + 1) for k in range(depth)],
    "waist": lambda depth: [1.0 + abs(2 * k - (depth - 1)) for k in range(depth)],
    "belly": lambda depth: [float(depth) - abs(2 * k - (depth - 1)) for k in range(depth)],
}
"""Relative widths of the hidden layers of a depth."""


class Architecture(NamedTuple):
    """Hidden layers, what skips them, and their activation.

    Attributes:
        shape: of `SHAPES`.
        widths: neurons of the hidden layers.
        skip: of `SKIPS`.
        activation: of `ACTIVATIONS`.
    """

    shape: str
    widths: tuple[int, ...]
    skip: str
    activation: str

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return len(self.widths)

    @property
    def wiring(self) -> str:
        """Widths and skips, for example "30-20-10 + all"."""
        return "-".join(map(str, self.widths)) + ("" if self.skip == "none" else f" + {self.skip}")

    @property
    def name(self) -> str:
        """Wiring and activation, for people."""
        return f"{self.wiring}, {self.activation}"

    def joins(self, outputs: int) -> tuple[np.ndarray, np.ndarray]:
        """Which neurons are connected.

        Args:
            outputs: number of output neurons.

        Returns:
            Neurons (hidden, then output) that every input leads to, (n,), and links (n, n), [i, j] from j to i.
        """
        layer = np.repeat(np.arange(1, self.depth + 2), [*self.widths, outputs])  # inputs are layer 0
        step = layer[:, None] - layer[None, :]
        if self.skip == "all":
            return np.ones(len(layer), bool), step > 0
        return layer == 1, (step == 1) | ((step == 2) & (self.skip == "hidden"))

    def parameters(self, inputs: int, outputs: int) -> int:
        """Weights and biases."""
        first, links = self.joins(outputs)
        return int(inputs * first.sum() + links.sum() + len(first))

    def weighted_links(self, inputs: int, outputs: int) -> float:
        """Connections, each times the mean of f'² of its receiver at arguments of a small even distribution.

        Over (1 + β)² it is ΔF in the weights of a network whose weights are all small: what that score is before it
        knows anything of them.
        """
        first, links = self.joins(outputs)
        into = inputs * first + links.sum(axis=1)
        return float(SQUARED_SLOPES[self.activation] * into[:-outputs].sum() + into[-outputs:].sum())


def spread(neurons: int, weights: list[float]) -> tuple[int, ...] | None:
    """Whole numbers in given proportions that add up to `neurons`, by largest remainders; None if one would be 0."""
    shares = np.asarray(weights) * neurons / sum(weights)
    whole = np.floor(shares).astype(int)
    for k in np.argsort(-(shares - whole), kind="stable")[: neurons - int(whole.sum())]:
        whole[k] += 1
    return tuple(int(n) for n in whole) if whole.min() > 0 else None


def family(
    *,
    depths: tuple[int, ...],
    activations: tuple[str, ...],
    skips: tuple[str, ...],
    inputs: int,
    outputs: int,
    neurons: int | None = None,
    parameters: int | None = None,
) -> list[Architecture]:
    """Every architecture of some depths, shapes, skips and activations that spends a budget.

    Args:
        depths: numbers of hidden layers.
        activations: of `ACTIVATIONS`.
        skips: of `SKIPS`.
        inputs: number of input neurons.
        outputs: number of output neurons.
        neurons: hidden neurons of each, or
        parameters: weights and biases of each at most; as many neurons as that allows.

    Returns:
        Different ones only, in the order activation, depth, shape, skip.

    Raises:
        ValueError: both budgets or neither, or a budget that no architecture fits.
    """
    check(
        "neurons or parameters",
        "be given, and not both",
        (neurons is None) != (parameters is None),
        (neurons, parameters),
    )
    found = []
    for activation in activations:
        seen: set[tuple] = set()
        for depth in depths:
            for shape in SHAPES:
                for skip in skips:
                    one = _fitted(shape, depth, skip, activation, inputs, outputs, neurons, parameters)
                    if one is None:
                        continue
                    first, links = one.joins(outputs)
                    key = (first.tobytes(), links.tobytes())
                    if key not in seen:
                        seen.add(key)
                        found.append(one)
    check(
        "neurons or parameters", "leave room for an architecture", found, neurons if parameters is None else parameters
    )
    return found


def _fitted(
    shape: str, depth: int, skip: str, activation: str, inputs: int, outputs: int, neurons: int | None,
    parameters: int | None,
) -> Architecture | None:  # fmt: skip
    def of(count: int) -> Architecture | None:
        widths = spread(count, SHAPES[shape](depth))
        return None if widths is None else Architecture(shape, widths, skip, activation)

    if neurons is not None:
        return of(neurons)
    assert parameters is not None
    best, count, beyond = None, depth, 0
    # a layer may lose a neuron when one is added in all, but not over as many as the proportions add up to
    while beyond <= sum(SHAPES[shape](depth)):
        one = of(count)
        if one is not None:
            fits = one.parameters(inputs, outputs) <= parameters
            best, beyond = (one, 0) if fits else (best, beyond + 1)
        count += 1
    return best
