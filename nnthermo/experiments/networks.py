"""The layered tanh networks of the paper, before they are trained."""

import jax
import jax.numpy as jnp

from nnthermo._typing import Array
from nnthermo.network import FeedForward

NETWORKS = {"deep": (784, 40, 20, 10), "shallow": (784, 60, 10)}
"""Neurons of the layers; both have N = 854, all tanh."""


def initial(sizes: tuple[int, ...], seed: int, scale: float) -> tuple[FeedForward, Array]:
    """A float32 network with Glorot-uniform weights times `scale`, and the key of the order of its samples."""
    weights_key, order_key = jax.random.split(jax.random.key(seed))
    return FeedForward.init(weights_key, sizes, activation=jnp.tanh, scale=scale, dtype=jnp.float32), order_key
