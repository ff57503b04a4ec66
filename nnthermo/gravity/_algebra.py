"""Contractions that keep their digits on accelerators."""

from functools import partial

import jax
import jax.numpy as jnp

contract = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
"""`jnp.einsum` at full precision; two matrices are `nnthermo.linalg.dense.matmul`."""
