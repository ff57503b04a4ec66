"""Blocks of f̂'ŵ of a traced network, one group of neurons against another."""

from functools import partial

import jax
import jax.numpy as jnp

from nnthermo._typing import Array
from nnthermo.network.traced import States, TracedNetwork

AT_ONCE = 2**24
"""Numbers that products of a Jacobian with many vectors may hold at once."""


@partial(jax.jit, static_argnums=(2, 3))
def jacobian_block(net: TracedNetwork, x: States, rows: tuple[int, ...], columns: tuple[int, ...]) -> Array:
    """∂f/∂x of some groups in the states of others, the rest given: (n_rows, n_columns)."""
    here = [net.groups[k] for k in columns]

    def values(v: Array) -> Array:
        changed, start = type(x)(x), 0
        for group in here:
            changed[group.name] = v[start : start + group.size].reshape(group.shape).astype(group.dtype)
            start += group.size
        found = net.activate(changed)
        parts = [
            jnp.zeros(found[net.names[k]].size, net.dtype) if k == 0 else jnp.ravel(found[net.names[k]]) for k in rows
        ]
        return jnp.concatenate([p.astype(net.dtype) for p in parts])

    at = jnp.concatenate([jnp.ravel(x[group.name]).astype(net.dtype) for group in here])
    shape = jax.eval_shape(values, at)
    many = max(1, AT_ONCE // max(net.size, 1))
    if shape.size <= at.size or net.program.reversed_products:
        pull = jax.vjp(values, at)[1]
        return jax.lax.map(lambda e: pull(e)[0], jnp.eye(shape.size, dtype=net.dtype), batch_size=many)
    push = jax.linearize(values, at)[1]
    return jax.lax.map(push, jnp.eye(at.size, dtype=net.dtype), batch_size=many).T
