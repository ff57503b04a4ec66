"""Whatever is trained as a network, and the trained network as what was given."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._typing import Array
from nnthermo.network.feedforward import FeedForward
from nnthermo.network.flax import from_flax, like_flax
from nnthermo.network.models import as_function, filled, is_model
from nnthermo.network.septuple import Septuple
from nnthermo.network.traced import TracedNetwork, network_from


def as_network(given: Any, example: Callable[[], Array]) -> Any:
    """A network as it is; a model of dense layers as a `FeedForward`; any other model by `network_from`.

    Args:
        given: a network, a Flax model, a pair (linen module, variables), or a pytree that can be called.
        example: gives the inputs of one sample, which are then taken in the dtype of the model's parameters.

    Raises:
        TypeError: none of these.
        ValueError: as `network_from`.
    """
    if isinstance(given, FeedForward | Septuple | TracedNetwork):
        return given
    if not is_model(given):
        raise TypeError(
            f"`net` must be a network or a Flax model, but got {type(given).__name__}: `nt.network_from` makes a "
            "network of a function"
        )
    try:
        made = from_flax(given)
    except (TypeError, ValueError):  # not of dense layers alone
        made = given
    if isinstance(made, FeedForward):
        return made
    leaves = jax.tree.leaves(as_function(given, None, {})[1])
    sample = example()
    floats = [leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    try:
        return network_from(given, sample.astype(jnp.result_type(*floats)) if floats else sample)
    except Exception as error:
        error.add_note(
            f"`net` was called with one sample of shape {sample.shape} and no options; `nt.network_from` makes a "
            "network of a function that calls it otherwise"
        )
        raise


def like_given(given: Any, net: Any) -> Any:
    """A trained network in the form of what `as_network` took: a new model, the given one unchanged."""
    if isinstance(net, TracedNetwork) and not isinstance(given, TracedNetwork):
        return filled(given, net.parameters)
    return like_flax(given, net)
