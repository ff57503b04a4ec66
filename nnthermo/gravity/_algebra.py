"""Contractions that keep their digits on accelerators, and roots with a derivative everywhere."""

from functools import partial

import jax
import jax.numpy as jnp

from nnthermo._typing import Array

contract = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
"""`jnp.einsum` at full precision; two matrices are `nnthermo.linalg.dense.matmul`."""


def root(square: Array) -> Array:
    """√|square| with derivative zero at zero."""
    size = jnp.abs(square)
    return jnp.where(size == 0, 0, jnp.sqrt(jnp.where(size == 0, 1, size)))
