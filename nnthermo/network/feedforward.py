"""Feed-forward networks (2.1)-(2.5): the septuple whose weight matrix is block sub-diagonal."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, integer, random_key, real_array
from nnthermo._pytree import pytree, set_fields
from nnthermo._typing import Activation, Array
from nnthermo.network.activation import Layerwise, as_tuple, check_elementwise, slope
from nnthermo.network.fixed_point import FixedPoint, exact_fixed_point
from nnthermo.network.septuple import Conditions, Septuple, inputs_agree

LayerStates = tuple[Array, ...]


@pytree(static=("activations",))
class FeedForward:
    """Layered network x_{l+1} = f(W_l x_l + b_l), the feed-forward septuple of Section 2 of arXiv:2004.09280.

    A state is a tuple of layer vectors (x_0, ..., x_{L-1}), the inputs first. Input neurons hold their data: condition
    (2.8) on their bias is imposed by clamping, so they carry no bias here.

    Args:
        weights: L - 1 matrices; weights[l] has shape (n_{l+1}, n_l), from layer l to layer l + 1.
        biases: L - 1 vectors; biases[l] has shape (n_{l+1},).
        activations: L - 1 element-wise maps, one for each layer after the input; the constructor's keyword
            `activation` takes one map for all or a sequence.

    Raises:
        ValueError: no layers, an empty layer, shapes that do not chain, mixed dtypes, an activation that mixes neurons.
        TypeError: data that are not real.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activations: tuple[Activation, ...]

    def __init__(
        self, weights: Sequence[Any], biases: Sequence[Any], *, activation: Activation | Sequence[Activation]
    ) -> None:
        check("weights", "have at least one matrix", len(weights) > 0, len(weights))
        check("biases", f"have {len(weights)} vectors, one a weight matrix", len(biases) == len(weights), len(biases))
        ws = tuple(real_array(f"weights[{k}]", w, ndim=2) for k, w in enumerate(weights))
        bs = tuple(
            real_array(f"biases[{k}]", b, shape=(w.shape[0],)) for k, (w, b) in enumerate(zip(ws, biases, strict=True))
        )
        for k, w in enumerate(ws):
            check(f"weights[{k}]", "connect layers with at least one neuron", min(w.shape) > 0, f"shape {w.shape}")
            if k:
                fan_in = ws[k - 1].shape[0]
                requirement = f"take the {fan_in} neurons of the layer before"
                check(f"weights[{k}]", requirement, w.shape[1] == fan_in, f"shape {w.shape}")
        dtypes = {str(a.dtype) for a in (*ws, *bs)}
        check("weights and biases", "share one dtype", len(dtypes) == 1, ", ".join(sorted(dtypes)))
        fs = as_tuple(activation, len(ws))
        for f, b in zip(fs, bs, strict=True):
            check_elementwise(f, b.shape[0])
        set_fields(self, weights=ws, biases=bs, activations=fs)

    @classmethod
    def init(
        cls,
        key: Array,
        sizes: Sequence[int],
        *,
        activation: Activation | Sequence[Activation],
        scale: float = 1.0,
        dtype: Any = None,
    ) -> "FeedForward":
        """Random network: weights uniform in ±scale sqrt(6 / (n_in + n_out)) (Glorot), biases zero.

        Args:
            key: JAX random key.
            sizes: neurons in each layer, inputs first; at least two layers.
            activation: element-wise map, or one a layer after the input.
            scale: multiplies every weight.
            dtype: default float dtype if None.

        Raises:
            ValueError: fewer than two layers or an empty one, or no random key.
            TypeError: a size that is not an integer.
        """
        random_key("key", key)
        sizes = tuple(integer(f"sizes[{k}]", n) for k, n in enumerate(sizes))
        check("sizes", "name at least two layers", len(sizes) >= 2, sizes)
        check("sizes", "be positive", min(sizes) > 0, sizes)
        dtype = jnp.result_type(float) if dtype is None else dtype
        glorot = jax.nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", in_axis=1, out_axis=0)
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = list(pairwise(sizes))
        weights = [jnp.asarray(scale, dtype) * glorot(k, (b, a), dtype) for k, (a, b) in zip(keys, pairs, strict=True)]
        return cls(weights, [jnp.zeros((b,), dtype) for _, b in pairs], activation=activation)

    def replace(
        self,
        *,
        weights: Sequence[Any] | None = None,
        biases: Sequence[Any] | None = None,
        activation: Activation | Sequence[Activation] | None = None,
    ) -> "FeedForward":
        """A network with the given arguments in place of its own, checked as by the constructor.

        Unlike `dataclasses.replace`, which would pass `activations` to a constructor that takes `activation`.

        Raises:
            ValueError, TypeError: as the constructor.
        """
        return FeedForward(
            self.weights if weights is None else weights,
            self.biases if biases is None else biases,
            activation=self.activations if activation is None else activation,
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons in each layer, inputs first."""
        return (self.weights[0].shape[-1], *(w.shape[-2] for w in self.weights))

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return sum(self.sizes)

    @property
    def input_size(self) -> int:
        """Number of input neurons."""
        return self.sizes[0]

    @property
    def output_size(self) -> int:
        """Number of output neurons."""
        return self.sizes[-1]

    def pre_activations(self, x: LayerStates) -> LayerStates:
        """(W_l x_l + b_l) for each layer after the input: the argument of f in (2.5)."""
        self.check_state(x)
        return tuple(w @ s + b for w, b, s in zip(self.weights, self.biases, x[:-1], strict=True))

    def activate(self, x: LayerStates) -> LayerStates:
        """f(ŵx + b) (2.5), one synchronous step; the inputs keep their data (2.7)."""
        y = self.pre_activations(x)
        return (x[0], *(f(v) for f, v in zip(self.activations, y, strict=True)))

    def slopes(self, x: LayerStates) -> LayerStates:
        """f'(ŵx + b) (5.4) for each layer after the input."""
        return tuple(slope(f, v) for f, v in zip(self.activations, self.pre_activations(x), strict=True))

    def residual(self, x: LayerStates, inputs: Array | None = None) -> LayerStates:
        """r(x) = x - f(ŵx + b), the local errors of (3.1).

        The input neurons' error is x_0 - inputs, which (2.8) makes zero: it is zero when `inputs` is None.
        """
        later = tuple(s - v for s, v in zip(x[1:], self.activate(x)[1:], strict=True))
        if inputs is None:
            return (jnp.zeros_like(x[0]), *later)
        return (x[0] - real_array("inputs", inputs, shape=(self.input_size,)).astype(x[0].dtype), *later)

    def propagate(self, inputs: Any) -> LayerStates:
        """The fixed state x̄ (2.9), reached from (2.4) by L - 1 steps of (2.5).

        Args:
            inputs: (n_0,).

        Returns:
            Layer vectors (x̄_0, ..., x̄_{L-1}); layer l is exact after l steps, so one pass through the layers is
            all of (2.5).
        """
        inputs = real_array("inputs", inputs, shape=(self.input_size,))
        states = [inputs.astype(self.weights[0].dtype)]
        for w, b, f in zip(self.weights, self.biases, self.activations, strict=True):
            states.append(f(w @ states[-1] + b))
        return tuple(states)

    def fixed_point(self, boundary: Any) -> FixedPoint:
        """x̄ (2.9) with the report that general graphs give: exact after L - 1 steps."""
        state = self.propagate(boundary)
        return exact_fixed_point(state, len(self.weights), state[0].dtype)

    def inputs(self, x: LayerStates) -> Array:
        """P_in x, shape (n_0,)."""
        return x[0]

    def outputs(self, x: LayerStates) -> Array:
        """P_out x, shape (n_{L-1},)."""
        return x[-1]

    def clamp(self, x: LayerStates, inputs: Array | None = None, targets: Array | None = None) -> LayerStates:
        """The state with its input and output neurons replaced where data are given: (P_in + P_out) x = x_∂ (3.2).

        Args:
            x: a state.
            inputs: (n_0,).
            targets: (n_{L-1},).

        Raises:
            ValueError: wrong shapes; nothing is broadcast.
            TypeError: data that are not real.
        """
        self.check_state(x)
        first, last = x[0], x[-1]
        if inputs is not None:
            first = real_array("inputs", inputs, shape=(self.input_size,)).astype(first.dtype)
        if targets is not None:
            last = real_array("targets", targets, shape=(self.output_size,)).astype(last.dtype)
        return (first, *x[1:-1], last)

    def absorb_inputs(self, x: LayerStates) -> tuple["FeedForward", LayerStates]:
        """The network that the clamped inputs x_0 drive: W_0 x_0 computed once, behind one input neuron that is 1.

        Returns:
            That network and the same state in its structure; `restore_inputs` undoes the second.
        """
        driven = object.__new__(FeedForward)
        weights = ((self.weights[0] @ x[0])[:, None], *self.weights[1:])
        set_fields(driven, weights=weights, biases=self.biases, activations=self.activations)
        return driven, (jnp.ones((1,), x[0].dtype), *x[1:])

    def restore_inputs(self, x: LayerStates, inputs: Array) -> LayerStates:
        """A state of the network of `absorb_inputs` in the structure of this one."""
        return (inputs.astype(x[0].dtype), *x[1:])

    def ravel(self, x: LayerStates) -> Array:
        """The state as one vector (N,), in the order of `to_septuple`."""
        return jnp.concatenate(x, axis=-1)

    def unravel(self, vector: Array) -> LayerStates:
        """Inverse of `ravel`."""
        return tuple(jnp.split(vector, np.cumsum(self.sizes)[:-1], axis=-1))

    def to_septuple(self) -> Septuple:
        """The dense twin: one (N, N) weight matrix, neurons in the order of the layers, input biases zero."""
        sizes, dtype = self.sizes, self.weights[0].dtype
        starts = np.concatenate([[0], np.cumsum(sizes)])
        weight = jnp.zeros((self.size, self.size), dtype)
        for k, w in enumerate(self.weights):
            weight = weight.at[starts[k + 1] : starts[k + 2], starts[k] : starts[k + 1]].set(w)
        bias = jnp.concatenate([jnp.zeros((sizes[0],), dtype), *self.biases])
        layer = np.repeat(np.arange(len(sizes)), sizes)
        one = len(set(self.activations)) == 1
        activation = self.activations[0] if one else Layerwise(sizes, (self.activations[0], *self.activations))
        return Septuple(weight, bias, activation=activation, input_mask=layer == 0, output_mask=layer == len(sizes) - 1)

    def conditions(self, inputs: Any = None) -> Conditions:
        """(2.1)-(2.3) and (2.8), which hold by construction: the inputs are clamped, whatever they are."""
        agrees = True if inputs is None else inputs_agree(self.input_size, inputs)
        return Conditions(
            acyclic=True, layers=len(self.sizes), closed_inputs=True, terminal_outputs=True, input_bias=agrees
        )

    def check_state(self, x: LayerStates) -> None:
        """Refuse what is no state of this network.

        Raises:
            ValueError: not a tuple of as many vectors as layers, or vectors of other lengths.
        """
        count = len(x) if isinstance(x, tuple | list) else type(x).__name__
        check("x", f"be a tuple of {len(self.sizes)} layer vectors", count == len(self.sizes), count)
        shapes = tuple(jnp.shape(s) for s in x)
        expected = tuple((n,) for n in self.sizes)
        check("x", f"have layer shapes {expected}", shapes == expected, shapes)
