"""Checks at trace time, all with one sentence: "`name` must ..., but got ..."."""

import importlib
import operator
from types import ModuleType
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array


def is_concrete(*values: Any) -> bool:
    """Whether every leaf is a value and none a tracer: only then can numbers, and not just shapes, be checked."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def known(name: str, value: Any, why: str = "") -> None:
    """Refuse tracers, where a number decides what is computed.

    Raises:
        TypeError: "`name` must be known`why`, but got a traced value".
    """
    if not is_concrete(value):
        raise TypeError(f"`{name}` must be known{why}, but got a traced value")


def refuse(name: str, requirement: str, got: Any) -> NoReturn:
    """Raise the ValueError "`name` must `requirement`, but got `got`"."""
    raise ValueError(f"`{name}` must {requirement}, but got {got}")


def check(name: str, requirement: str, holds: Any, got: Any) -> None:
    """Refuse unless `holds`."""
    if not holds:
        refuse(name, requirement, got)


def real_array(name: str, value: Any, *, ndim: int | None = None, shape: tuple[int, ...] | None = None) -> Array:
    """`value` as a real floating-point array; integers and booleans become the default float dtype.

    Raises:
        TypeError: complex, string or object data.
        ValueError: wrong rank or shape.
    """
    try:
        if not is_concrete(value):  # a sequence of tracers, which NumPy cannot read
            value = jnp.asarray(value)
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    except ValueError:
        refuse(name, "be an array", "nested sequences of unequal length")
    is_number = jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer) or dtype == np.bool_
    if not is_number:
        raise TypeError(f"`{name}` must be real, but got dtype {dtype}")
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    if ndim is not None:
        check(name, f"have {ndim} dimensions", array.ndim == ndim, f"shape {array.shape}")
    if shape is not None:
        check(name, f"have shape {shape}", array.shape == shape, f"shape {array.shape}")
    return array


def real_matrix(name: str, value: Any, n: int) -> Array:
    """A number for a multiple of the identity, a diagonal (n,), or a matrix, as (n, n)."""
    array = real_array(name, value)
    check(name, f"have shape (), ({n},) or ({n}, {n})", array.shape in ((), (n,), (n, n)), f"shape {array.shape}")
    return array if array.ndim == 2 else jnp.diag(jnp.broadcast_to(array, (n,)))


def finite(name: str, value: Any) -> None:
    """Refuse NaN and infinity where the value is known."""
    if is_concrete(value):
        array = np.asarray(value)
        if array.size and not np.isfinite(array).all():
            refuse(name, "be finite", f"{int((~np.isfinite(array)).sum())} non-finite entries of {array.size}")


def positive(name: str, value: Any) -> None:
    """Refuse zero, negative, and NaN entries where the value is known; always refuse complex dtypes."""
    if not is_concrete(value):
        return
    array = np.asarray(value)
    if not jnp.issubdtype(array.dtype, np.number) or jnp.issubdtype(array.dtype, np.complexfloating):
        raise TypeError(f"`{name}` must be a real number, but got {value!r}")
    if not (array > 0).all():
        refuse(name, "be positive", float(array.min()) if array.ndim else float(array))


def nonzero(name: str, value: Any) -> None:
    """Refuse zeros, NaN and infinity where the value is known."""
    if is_concrete(value):
        finite(name, value)
        check(name, "not be 0", bool((np.asarray(value) != 0).all()), value)


def increasing(name: str, value: Any, *, or_decreasing: bool = False) -> None:
    """Refuse a vector of numbers that are not finite or do not go up (or down) throughout, where they are known."""
    if is_concrete(value):
        finite(name, value)
        steps = np.diff(np.asarray(value))
        fits = (steps > 0).all() or (or_decreasing and (steps < 0).all())
        check(name, "increase or decrease" if or_decreasing else "increase", fits, value)


def integer(name: str, value: Any, *, least: int | None = None) -> int:
    """`value` as an int, from whatever is one: NumPy's integers too, but no booleans and no floats such as 3.0.

    Raises:
        TypeError: anything else.
        ValueError: an integer below `least`.
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"`{name}` must be an integer, but got {value!r}")
    check(name, "be positive" if least == 1 else f"be at least {least}", least is None or number >= least, number)
    return number


def integers(name: str, value: Any) -> Array:
    """`value` as an array of integers.

    Raises:
        TypeError: another dtype.
    """
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"`{name}` must be whole numbers, but got dtype {dtype}")
    return jnp.asarray(value)


def real_numbers(**values: Any) -> None:
    """Refuse what is not one real number each, `name=value`; also arrays of one."""
    for name, value in values.items():
        real_array(name, value, shape=())


def positive_numbers(**values: Any) -> None:
    """Refuse what is not one real number each, `name=value`, and where it is known positive."""
    real_numbers(**values)
    for name, value in values.items():
        positive(name, value)


def instance(name: str, value: Any, kind: Any, described: str) -> None:
    """Refuse objects that are no `kind`, a class, several, or a union of them.

    Raises:
        TypeError: "`name` must be `described`, but got" the type of `value`.
    """
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` must be {described}, but got {type(value).__name__}")


def function(name: str, value: Any, described: str = "a function") -> None:
    """Refuse what cannot be called.

    Raises:
        TypeError: "`name` must be `described`, but got" a text, a number or None as it is, of all else the type.
    """
    if not callable(value):
        plain = value is None or isinstance(value, str | bool | int | float)
        raise TypeError(f"`{name}` must be {described}, but got {repr(value) if plain else type(value).__name__}")


def is_key(value: Any) -> bool:
    """Whether it is a random key, or an array of them, from `jax.random.key`."""
    return jnp.issubdtype(getattr(value, "dtype", bool), jax.dtypes.prng_key)


def random_key(name: str, value: Any) -> None:
    """Refuse what is not one key, from `jax.random.key` or of the old style, such as a seed or an array of keys."""
    fresh, old = is_key(value), getattr(value, "dtype", None) == jnp.uint32
    check(name, "be a random key from `jax.random.key`", fresh or old, type(value).__name__)
    check(name, "be one random key", value.ndim == (0 if fresh else 1), f"shape {value.shape}")


def full_precision(name: str, dtype: Any, where: str = "") -> None:
    """Refuse half precision, in which decompositions do not exist and Ĝ would have no digits left."""
    advice = "cast parameters and inputs by `jax.tree.map(lambda a: a.astype(jnp.float32), ...)`"
    check(name, "be float32 or float64", jnp.dtype(dtype).itemsize > 2, f"{jnp.dtype(dtype)}{where}: {advice}")


def extra(module: str, extra_name: str) -> ModuleType:
    """Import an optional package, or say which `pip install` brings it.

    Raises:
        ImportError: with the command that mends it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{package} is not installed: pip install 'nnthermo[{extra_name}]'") from error
