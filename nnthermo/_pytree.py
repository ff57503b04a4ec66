"""Frozen dataclasses as pytrees: constructors check, unflattening does not. Functions as pytrees without leaves."""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, dataclass_transform

import jax
from jax.tree_util import Partial

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def pytree(*, static: tuple[str, ...] = ()) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen dataclass and a pytree whose `static` fields are part of the tree structure.

    JAX rebuilds pytrees around tracers, batched arrays and placeholders, which no shape check would accept; so
    unflattening sets the fields directly and leaves `__post_init__` to those who construct the object by hand.
    """

    def register(cls: type[T]) -> type[T]:
        cls = dataclasses.dataclass(frozen=True, eq=False)(cls)
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        leaves = [name for name in names if name not in static]
        keys = [jax.tree_util.GetAttrKey(name) for name in leaves]

        def flatten_with_keys(self: T) -> tuple[list, tuple]:
            children = [(key, getattr(self, name)) for key, name in zip(keys, leaves, strict=True)]
            return children, tuple(getattr(self, name) for name in static)

        def flatten(self: T) -> tuple[list, tuple]:
            return [getattr(self, name) for name in leaves], tuple(getattr(self, name) for name in static)

        def unflatten(fixed: tuple, children: Iterable[Any]) -> T:
            self = object.__new__(cls)
            set_fields(self, **dict(zip(static, fixed, strict=True)), **dict(zip(leaves, children, strict=True)))
            return self

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
        return cls

    return register


def set_fields(instance: Any, **values: Any) -> None:
    """Give a frozen object its fields: for constructors whose arguments are others."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def function_argument(function: Callable[..., Any]) -> Partial:
    """A function that compiled programs take as an argument: they are compiled once a function object.

    The arrays of a `jax.tree_util.Partial` are numbers to them; those that a closure holds are constants. Functions
    without a hash compile at every call.
    """
    if isinstance(function, Partial):
        return function
    try:
        hash(function)
    except TypeError:
        return Partial(partial(function))  # its hash is its identity
    return Partial(function)
