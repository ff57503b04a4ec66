"""Many networks of unequal architecture as arrays of one shape, so that one program trains and scores them all.

Hidden neurons come first, then padding up to the largest network, then outputs; masks say which connections exist.
Without cycles a network of d hidden layers reaches its fixed state (2.9) in d + 1 synchronous updates (2.5).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Activation, Array
from nnthermo.experiments.architectures.family import Architecture


class Wiring(NamedTuple):
    """Masks, 0 or 1, of a network, or of many along leading axes.

    Attributes:
        first: neurons that every input leads to, (n,).
        links: connections between the others, [i, j] from j to i, (n, n).
        alive: neurons that are not padding, (n,).
    """

    first: Array
    links: Array
    alive: Array


class Parameters(NamedTuple):
    """Weights and biases of a network, or of many along leading axes; 0 where there is no connection.

    Attributes:
        first: from the inputs, (n, inputs).
        links: between the others, (n, n).
        bias: (n,).
    """

    first: Array
    links: Array
    bias: Array


def wirings(architectures: list[Architecture], outputs: int, dtype: np.dtype | type) -> Wiring:
    """Masks of several architectures, padded to the largest, along a new first axis."""
    hidden = max(sum(a.widths) for a in architectures)
    size = hidden + outputs
    shapes = ((size,), (size, size), (size,))
    first, links, alive = (np.zeros((len(architectures), *shape), dtype) for shape in shapes)
    for k, architecture in enumerate(architectures):
        own = sum(architecture.widths)
        place = np.concatenate([np.arange(own), hidden + np.arange(outputs)])
        first[k, place], links[k][np.ix_(place, place)] = architecture.joins(outputs)
        alive[k, place] = 1
    return Wiring(jnp.asarray(first), jnp.asarray(links), jnp.asarray(alive))


def initial(key: Array, wiring: Wiring, inputs: int, scale: float) -> Parameters:
    """Glorot-uniform weights, ±scale √(6 / (connections into the receiver + out of the sender)), and no biases."""
    dtype = wiring.first.dtype
    into = inputs * wiring.first + jnp.sum(wiring.links, axis=1)
    out_of_inputs, out = jnp.sum(wiring.first), jnp.sum(wiring.links, axis=0)
    keys = jax.random.split(key)

    def uniform(k: Array, mask: Array, fans: Array) -> Array:
        limit = scale * jnp.sqrt(6 / jnp.maximum(fans, 1))
        return mask * limit * jax.random.uniform(k, mask.shape, dtype, -1.0, 1.0)

    first = uniform(
        keys[0], jnp.broadcast_to(wiring.first[:, None], (*wiring.first.shape, inputs)), (into + out_of_inputs)[:, None]
    )
    links = uniform(keys[1], wiring.links, into[:, None] + out[None, :])
    return Parameters(first, links, jnp.zeros_like(wiring.first))


def fields(
    p: Parameters, wiring: Wiring, inputs: Array, *, activation: Activation, depth: int, outputs: int
) -> tuple[Array, Array]:
    """Fixed states without the inputs, and the arguments ŵx + b of their activations.

    Args:
        p: of one network.
        wiring: its masks.
        inputs: (samples, inputs).
        activation: of hidden neurons; outputs are tanh.
        depth: hidden layers at most.
        outputs: number of output neurons.

    Returns:
        States and arguments, (samples, n) each; states of padding are 0.
    """
    drive = inputs @ p.first.T + p.bias[None]
    hidden = wiring.alive.at[-outputs:].set(0)[None]
    x = jnp.zeros_like(drive)
    for _ in range(depth):
        x = hidden * activation(drive + x @ p.links.T)
    field = drive + x @ p.links.T
    return jnp.concatenate([x[:, :-outputs], jnp.tanh(field[:, -outputs:])], axis=1), field


def responses(p: Parameters, wiring: Wiring, inputs: Array, **network: object) -> Array:
    """Output neurons, (samples, outputs)."""
    states, _ = fields(p, wiring, inputs, **network)  # type: ignore[arg-type]
    return states[:, -network["outputs"] :]  # type: ignore[operator]


def boundary_losses(p: Parameters, wiring: Wiring, inputs: Array, targets: Array, **network: object) -> Array:
    """H_∂ = ½|x_out - target|² (2.11) of each sample."""
    return 0.5 * jnp.sum((responses(p, wiring, inputs, **network) - targets) ** 2, axis=-1)
