"""What the theory asks of a network: any class with these members can be relaxed, measured and trained."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array, State


class Network(Protocol):
    """A septuple without its state and loss. States have the structure that `propagate` returns."""

    @property
    def size(self) -> int:
        """Number of neurons N."""
        ...

    @property
    def input_size(self) -> int:
        """Number of input neurons."""
        ...

    @property
    def output_size(self) -> int:
        """Number of output neurons."""
        ...

    def activate(self, x: Any) -> State:
        """f(ŵx + b) (2.5), the inputs keeping their data."""
        ...

    def slopes(self, x: Any) -> State:
        """f'(ŵx + b) (5.4)."""
        ...

    def residual(self, x: Any, inputs: Array | None = None) -> State:
        """x - f(ŵx + b), the local errors of (3.1)."""
        ...

    def propagate(self, inputs: Any) -> State:
        """The fixed state (2.9) from the data of the input neurons, (input_size,)."""
        ...

    def inputs(self, x: Any) -> Array:
        """P_in x, shape (input_size,)."""
        ...

    def outputs(self, x: Any) -> Array:
        """P_out x, shape (output_size,)."""
        ...

    def clamp(self, x: Any, inputs: Array | None = None, targets: Array | None = None) -> State:
        """The state with its input and output neurons replaced where data are given (3.2)."""
        ...

    def absorb_inputs(self, x: Any) -> tuple[Any, State]:
        """The network that the clamped inputs of x drive, and x in its structure."""
        ...

    def restore_inputs(self, x: Any, inputs: Array) -> State:
        """A state of the network of `absorb_inputs` in the structure of this one."""
        ...

    def ravel(self, x: Any) -> Array:
        """The state as one vector, (size,)."""
        ...

    def unravel(self, vector: Array) -> State:
        """Inverse of `ravel`."""
        ...


def boundary_masks(net: Network) -> tuple[np.ndarray, np.ndarray]:
    """The diagonals of P_in and P_out: which neurons are inputs and which outputs, (N,) booleans as `ravel` orders."""
    if hasattr(net, "input_mask") and hasattr(net, "output_mask"):  # a general graph has them at hand
        return net.input_mask, net.output_mask
    with jax.ensure_compile_time_eval():
        zero = net.unravel(jnp.zeros((net.size,)))
        inputs = net.ravel(net.clamp(zero, jnp.ones((net.input_size,))))
        outputs = net.ravel(net.clamp(zero, None, jnp.ones((net.output_size,))))
        return np.asarray(inputs) != 0, np.asarray(outputs) != 0


def as_state(net: Network, neurons: np.ndarray) -> State:
    """Booleans (N,), NumPy, in the structure of a state."""
    with jax.ensure_compile_time_eval():
        return jax.tree.map(lambda leaf: np.asarray(leaf) != 0, net.unravel(jnp.asarray(neurons, float)))
