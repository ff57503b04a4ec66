"""Models of Flax and Equinox as functions of their parameters and inputs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check

Function = Callable[[Any, Any], Any]
"""(parameters, inputs) -> output."""


def as_function(fn: Any, parameters: Any, options: dict[str, Any]) -> tuple[Function, Any]:
    """A function of parameters and inputs, and its parameters, of whatever `network_from` takes.

    Raises:
        ValueError: parameters for a model that has its own.
        TypeError: neither a function nor a model.
    """
    maker = _maker(fn)
    if maker is not None:
        check("parameters", "be left out for a model, which has its own", parameters is None, type(parameters).__name__)
        return maker(fn, options)
    if not callable(fn):
        raise TypeError(
            f"`fn` must be a function, a Flax nnx model, a pair (linen module, variables) or a pytree that can be "
            f"called, but got {type(fn).__name__}"
        )
    if parameters is None:
        return (lambda _none, x: fn(x, **options)), None
    return (lambda q, x: fn(q, x, **options)), parameters


def is_model(value: Any) -> bool:
    """Whether it is a model that brings its parameters: of Flax, or a pytree that can be called."""
    return _maker(value) is not None


def filled(model: Any, parameters: Any) -> Any:
    """A model like the given one with other parameters, in the structure in which `as_function` finds them."""
    if _is_a(model, "flax.nnx.module.Module"):
        from flax import nnx

        graph, _, *rest = nnx.split(model, nnx.Param, ...)
        return nnx.merge(graph, parameters, *rest)
    if _maker(model) is _linen:
        return model[0], {**model[1], "params": parameters}
    leaves, tree = jax.tree.flatten(model)
    for k, value in zip(_moving(leaves), parameters, strict=True):
        leaves[k] = value
    return jax.tree.unflatten(tree, leaves)


def _maker(fn: Any) -> Callable[[Any, dict[str, Any]], tuple[Function, Any]] | None:
    if _is_a(fn, "flax.nnx.module.Module"):
        return _nnx
    if isinstance(fn, tuple) and len(fn) == 2 and _is_a(fn[0], "flax.linen.module.Module"):
        return _linen
    return _tree if callable(fn) and not jax.tree_util.all_leaves([fn]) else None


def _is_a(value: Any, name: str) -> bool:
    """Whether a class of that full name is among the bases: asked without importing its package."""
    return any(f"{base.__module__}.{base.__qualname__}" == name for base in type(value).__mro__)


def _nnx(model: Any, options: dict[str, Any]) -> tuple[Function, Any]:
    from flax import nnx

    graph, parameters, *rest = nnx.split(model, nnx.Param, ...)

    def call(q: Any, x: Any) -> Any:
        return nnx.merge(graph, q, *rest)(x, **options)

    return call, parameters


def _linen(pair: Any, options: dict[str, Any]) -> tuple[Function, Any]:
    module, variables = pair
    check("variables", "hold `params`", "params" in variables, sorted(variables))
    rest = {name: value for name, value in variables.items() if name != "params"}

    def call(q: Any, x: Any) -> Any:
        return module.apply({"params": q, **rest}, x, **options)

    return call, variables["params"]


def _tree(model: Any, options: dict[str, Any]) -> tuple[Function, Any]:
    """A pytree that can be called: its floating-point arrays are the parameters."""
    leaves, tree = jax.tree.flatten(model)
    moving = _moving(leaves)

    def call(q: Any, x: Any) -> Any:
        new = list(leaves)
        for k, value in zip(moving, q, strict=True):
            new[k] = value
        return jax.tree.unflatten(tree, new)(x, **options)

    return call, [leaves[k] for k in moving]


def _moving(leaves: list[Any]) -> list[int]:
    """Places of the floating-point arrays."""
    return [k for k, leaf in enumerate(leaves) if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)]
