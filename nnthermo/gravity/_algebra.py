"""Contractions that keep their digits on accelerators, roots with a derivative everywhere, slopes of functions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._typing import Array

contract = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
"""`jnp.einsum` at full precision; two matrices are `nnthermo.linalg.dense.matmul`."""


def quadratic(g: Array, v: Array) -> Array:
    """g_ab v^a v^b, () of (n, n) and (n,)."""
    return jnp.sum(g * v[:, None] * v[None, :])


def root(square: Array) -> Array:
    """√|square| with derivative zero at zero."""
    size = jnp.abs(square)
    return jnp.where(size == 0, 0, jnp.sqrt(jnp.where(size == 0, 1, size)))


def value_and_slopes(field: Callable[[Array], Any], x: Array) -> tuple[Any, Any]:
    """A function of one point x (n,), of one array or several, and ∂_c of it, derivatives first; forward mode."""
    unit = jnp.eye(x.shape[0], dtype=x.dtype)
    return jax.vmap(lambda u: jax.jvp(field, (x,), (u,)), out_axes=(None, 0))(unit)
