"""What several functions of this package are given, read and checked in one way."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from nnthermo._checks import check, finite, function, positive, real_array, refuse
from nnthermo._typing import Array, Scalar

EINSTEIN_KAPPA = 8 * math.pi
"""κ of G + Λg = κT in units with c = G = 1."""

Variant = Literal["corrected", "printed"]
"""Which signs of (12.2) and (12.9)."""


def square_matrix(name: str, value: Any) -> Array:
    """One matrix (n, n), n ≥ 1."""
    array = real_array(name, value, ndim=2)
    check(name, "be square", array.shape[0] == array.shape[1] > 0, f"shape {array.shape}")
    return array


def one_number(name: str, value: Scalar, like: Array) -> Array:
    """A finite number () in the precision of `like`."""
    number = real_array(name, value, ndim=0).astype(like.dtype)
    finite(name, number)
    return number


def coupling(kappa: Scalar, like: Array) -> Array:
    """κ > 0, in the precision of `like`."""
    positive("kappa", kappa)
    return one_number("kappa", kappa, like)


def known_variant(variant: str) -> None:
    """Refuse what is no `Variant`."""
    if variant not in ("corrected", "printed"):
        refuse("variant", "be 'corrected' or 'printed'", repr(variant))


def returns(name: str, field: Any, x: Array, shape: tuple[int, ...], why: str = "") -> None:
    """Refuse what is no function of one point x that returns real numbers of this shape.

    Raises:
        TypeError: no function, or complex or whole numbers.
        ValueError: more than one array, or another shape.
    """
    function(name, field, "a function of one point")
    out = jax.eval_shape(field, x)
    if not hasattr(out, "shape"):
        refuse(name, "return one array", type(out).__name__)
    check(name, f"return shape {shape}{why}", out.shape == shape, f"shape {out.shape}")
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"`{name}` must return real numbers, but got dtype {out.dtype}")
