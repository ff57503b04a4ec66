"""What training changes of a network, and what it leaves as it is."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo.network.traced import TracedNetwork


def divide(net: Any) -> tuple[Any, Any]:
    """(weights, rest): the pytree that training changes, and the network without it, None if nothing is left.

    Of a `TracedNetwork` the weights are its parameters, those that are not floating-point numbers left out (None in
    their place); the arrays that its function closes over are no parameters. Of any other network all of it.
    """
    if not isinstance(net, TracedNetwork):
        return net, None
    weights = jax.tree.map(lambda a: a if _moves(a) else None, net.parameters)
    fixed = jax.tree.map(lambda a: None if _moves(a) else a, net.parameters)
    return weights, dataclasses.replace(net, parameters=fixed)


def unite(weights: Any, rest: Any) -> Any:
    """The network of other weights; the inverse of `divide`."""
    if rest is None:
        return weights
    both = jax.tree.map(lambda w, f: f if w is None else w, weights, rest.parameters, is_leaf=lambda a: a is None)
    return dataclasses.replace(rest, parameters=both)


def _moves(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
