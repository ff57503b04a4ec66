"""Flax models of feed-forward septuples, nnx and linen, and conversion both ways without loss."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from flax import linen, nnx

from nnthermo._checks import check, refuse
from nnthermo._typing import Activation, Array
from nnthermo.network.activation import as_tuple
from nnthermo.network.feedforward import FeedForward


def identity(y: Array) -> Array:
    """f(y) = y, the activation of a layer that names none."""
    return y


class MLP(nnx.Module):
    """Dense layers, each followed by its activation: the paper's networks are sizes (784, 40, 20, 10), (784, 60, 10).

    Args:
        sizes: neurons in each layer, inputs first.
        activation: element-wise map, or one a layer after the input.
        rngs: Flax random streams.
    """

    def __init__(self, sizes: Sequence[int], activation: Activation | Sequence[Activation], *, rngs: nnx.Rngs) -> None:
        pairs = list(pairwise(sizes))
        self.activations = as_tuple(activation, len(pairs))
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairs])

    def __call__(self, x: Array) -> Array:
        """Outputs (..., n_out) for inputs (..., n_in)."""
        for layer, f in zip(self.layers, self.activations, strict=True):
            x = f(layer(x))
        return x


class LinenMLP(linen.Module):
    """The linen form of `MLP`.

    Attributes:
        features: neurons in each layer after the input.
        activation: element-wise map, or one a layer.
    """

    features: Sequence[int]
    activation: Activation | Sequence[Activation] = jnp.tanh

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """Outputs (..., n_out) for inputs (..., n_in)."""
        for size, f in zip(self.features, as_tuple(self.activation, len(self.features)), strict=True):
            x = f(linen.Dense(size)(x))
        return x


def _alternate(layers: Sequence[Any], dense: type) -> tuple[list[Any], list[Activation]]:
    """Dense layers and the activation after each, of a sequential model."""
    found: list[Any] = []
    activations: list[Activation] = []
    for layer in layers:
        if type(layer) is dense:  # a subclass (LoRALinear) computes something else
            found.append(layer)
            activations.append(identity)
        elif isinstance(layer, nnx.Module | linen.Module) or not callable(layer):
            refuse("model", "consist of dense layers and activations", type(layer).__name__)
        elif not found or activations[-1] is not identity:
            refuse("model", "have one activation after each dense layer", f"{layer} without a layer of its own")
        else:
            activations[-1] = layer
    check("model", "have at least one dense layer", len(found) > 0, 0)
    return found, activations


def _nnx_layers(model: nnx.Module) -> tuple[list[nnx.Linear], list[Activation]]:
    if isinstance(model, MLP):
        return list(model.layers), list(model.activations)
    if isinstance(model, nnx.Sequential):
        return _alternate(list(model.layers), nnx.Linear)
    raise TypeError(f"`model` must be an nnthermo MLP or a Sequential of dense layers, but got {type(model).__name__}")


def from_nnx(model: nnx.Module) -> FeedForward:
    """The septuple of an nnx model: `MLP`, or `nnx.Sequential` of `nnx.Linear` layers and activations.

    Raises:
        TypeError: another kind of model.
        ValueError: other layers in it, or a dense layer without a bias (the septuple's could not be converted back).
    """
    layers, activations = _nnx_layers(model)
    for k, layer in enumerate(layers):
        check("model", "have a bias in every dense layer", layer.bias is not None, f"none in layer {k}")
    return FeedForward(
        [layer.kernel[...].T for layer in layers],
        [layer.bias[...] for layer in layers if layer.bias is not None],
        activation=activations,
    )


def to_nnx(net: FeedForward) -> MLP:
    """An nnx model with the weights, biases and activations of a septuple; the inverse of `from_nnx`."""
    model = MLP(net.sizes, net.activations, rngs=nnx.Rngs(0))
    return _fill_nnx(model, net)


def _fill_nnx(model: Any, net: FeedForward) -> Any:
    layers, _ = _nnx_layers(model)
    for layer, w, b in zip(layers, net.weights, net.biases, strict=True):
        layer.kernel, layer.bias = nnx.Param(w.T), nnx.Param(b)
    return model


def _linen_layers(model: linen.Module) -> tuple[list[str], list[Activation]]:
    if isinstance(model, LinenMLP):
        names = [f"Dense_{k}" for k in range(len(model.features))]
        return names, list(as_tuple(model.activation, len(names)))
    if isinstance(model, linen.Sequential):
        _, activations = _alternate(model.layers, linen.Dense)
        position = [k for k, layer in enumerate(model.layers) if type(layer) is linen.Dense]
        return [f"layers_{k}" for k in position], activations
    raise TypeError(f"`model` must be a LinenMLP or a Sequential of dense layers, but got {type(model).__name__}")


def from_linen(model: linen.Module, variables: Any) -> FeedForward:
    """The septuple of a linen model and its variables: `LinenMLP`, or `linen.Sequential` of `Dense` and activations.

    Raises:
        TypeError: another kind of model.
        ValueError: other layers in it, missing parameters, or a dense layer without a bias.
    """
    names, activations = _linen_layers(model)
    check("variables", "hold `params`", "params" in variables, sorted(variables))
    params = variables["params"]
    for name in names:
        check("variables", f"have parameters for {name}", name in params, sorted(params))
        check("variables", f"have a kernel for {name}", "kernel" in params[name], sorted(params[name]))
        check("model", "have a bias in every dense layer", "bias" in params[name], f"none in {name}")
    return FeedForward(
        [params[n]["kernel"].T for n in names], [params[n]["bias"] for n in names], activation=activations
    )


def to_linen(net: FeedForward) -> tuple[LinenMLP, dict[str, Any]]:
    """A linen model and its variables with the weights and biases of a septuple; the inverse of `from_linen`."""
    model = LinenMLP(features=net.sizes[1:], activation=net.activations)
    return model, _linen_variables(model, {}, net)


def _linen_variables(model: linen.Module, variables: Any, net: FeedForward) -> dict[str, Any]:
    names, _ = _linen_layers(model)
    params = {n: {"kernel": w.T, "bias": b} for n, w, b in zip(names, net.weights, net.biases, strict=True)}
    return {**variables, "params": params}


def _is_linen_pair(model: Any) -> bool:
    return isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], linen.Module)


def from_flax(model: Any) -> Any:
    """A Flax model as a septuple, by `from_nnx` or `from_linen`; whatever is not a Flax model as it is."""
    if isinstance(model, nnx.Module):
        return from_nnx(model)
    return from_linen(*model) if _is_linen_pair(model) else model


def like_flax(model: Any, net: Any) -> Any:
    """The network in the form of the model that `from_flax` took: a new model, the given one unchanged."""
    if isinstance(model, nnx.Module):
        return _fill_nnx(nnx.clone(model), net)
    if _is_linen_pair(model):
        return model[0], _linen_variables(model[0], model[1], net)
    return net
