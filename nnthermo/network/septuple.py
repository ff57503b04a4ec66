"""The neural septuple (x, P_in, P_out, ŵ, b, f, H) of Section 2 on an arbitrary directed graph."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, integer, is_concrete, positive, real_array, refuse
from nnthermo._pytree import pytree, set_fields
from nnthermo._typing import Activation, Array, Scalar
from nnthermo.network.activation import check_elementwise, slope
from nnthermo.network.fixed_point import FixedPoint, Solver, iterate, solve_fixed_point


class Conditions(NamedTuple):
    """Which conditions of Section 2 a network meets.

    Attributes:
        acyclic: (2.1) as it must be read: no directed cycle, so that |ŵ| is nilpotent. Nilpotency of ŵ alone, the
            printed form, is too weak: [[1, -1], [1, -1]] is nilpotent, yet f̂'ŵ is not.
        layers: L, the number of neurons on the longest path, if acyclic; else None.
        closed_inputs: (2.2), no connection into an input neuron.
        terminal_outputs: (2.3), no connection out of an output neuron.
        input_bias: (2.8), f(b) = x_∂ on the inputs (as printed it would also need f(0) = 0); None without inputs.
    """

    acyclic: bool
    layers: int | None
    closed_inputs: bool
    terminal_outputs: bool
    input_bias: bool | None


class Mask:
    """The diagonal of a projection: a boolean vector that can be part of a pytree's structure."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values, dtype=bool)  # a copy: the caller's array stays the caller's
        self.values.setflags(write=False)
        self.index = np.flatnonzero(self.values)
        self._key = (self.values.size, self.values.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def inputs_agree(size: int, inputs: Any) -> bool:
    """Whether inputs have the shape (size,) and are finite: then clamping imposes (2.8) exactly."""
    with jax.ensure_compile_time_eval():
        values = np.asarray(real_array("inputs", inputs, shape=(size,)))
    return bool(np.isfinite(values).all())


@pytree(static=("activation", "_inputs", "_outputs"))
class Septuple:
    """Network on any directed graph, cycles included: x(t+1) = f(ŵx(t) + b) (2.5). A state is a vector (N,).

    Input neurons are clamped to their data. That imposes (2.8) whatever their bias is, and connections into them,
    which (2.2) forbids in feed-forward networks, carry no signal. `conditions` tells which of (2.1)-(2.3), (2.8) hold.

    Args:
        weight: ŵ, shape (N, N); weight[i, j] is the connection from neuron j to neuron i.
        bias: b, shape (N,).
        activation: element-wise map of a vector (N,); neurons may differ.
        input_mask: diagonal of P_in, N booleans.
        output_mask: diagonal of P_out, N booleans; no neuron may be both.

    Raises:
        ValueError: shapes that do not match, overlapping masks, mixed dtypes, an activation that mixes neurons.
        TypeError: data that are not real, masks that are not boolean.
    """

    weight: Array
    bias: Array
    activation: Activation
    _inputs: Mask
    _outputs: Mask

    def __init__(self, weight: Any, bias: Any, *, activation: Activation, input_mask: Any, output_mask: Any) -> None:
        w = real_array("weight", weight, ndim=2)
        check("weight", "be square", w.shape[0] == w.shape[1], f"shape {w.shape}")
        check("weight", "have at least one neuron", w.shape[0] > 0, f"shape {w.shape}")
        b = real_array("bias", bias, shape=(w.shape[0],))
        check("weight and bias", "share one dtype", w.dtype == b.dtype, f"{w.dtype} and {b.dtype}")
        check_elementwise(activation, w.shape[0])
        masks = []
        for name, value in (("input_mask", input_mask), ("output_mask", output_mask)):
            mask = np.asarray(value)
            if mask.dtype != bool:
                raise TypeError(f"`{name}` must be boolean, but got dtype {mask.dtype}")
            check(name, f"have shape {b.shape}", mask.shape == b.shape, f"shape {mask.shape}")
            masks.append(mask)
        if (both := masks[0] & masks[1]).any():
            refuse("input_mask and output_mask", "not overlap", f"neurons {np.flatnonzero(both).tolist()} in both")
        set_fields(self, weight=w, bias=b, activation=activation, _inputs=Mask(masks[0]), _outputs=Mask(masks[1]))

    def replace(
        self,
        *,
        weight: Any = None,
        bias: Any = None,
        activation: Activation | None = None,
        input_mask: Any = None,
        output_mask: Any = None,
    ) -> "Septuple":
        """A network with the given arguments in place of its own, checked as by the constructor.

        Unlike `dataclasses.replace`, which would pass fields that the constructor does not take.

        Raises:
            ValueError, TypeError: as the constructor.
        """
        return Septuple(
            self.weight if weight is None else weight,
            self.bias if bias is None else bias,
            activation=self.activation if activation is None else activation,
            input_mask=self.input_mask if input_mask is None else input_mask,
            output_mask=self.output_mask if output_mask is None else output_mask,
        )

    @property
    def input_mask(self) -> np.ndarray:
        """Diagonal of P_in, (N,) booleans."""
        return self._inputs.values

    @property
    def output_mask(self) -> np.ndarray:
        """Diagonal of P_out, (N,) booleans."""
        return self._outputs.values

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return self._inputs.values.size

    @property
    def input_size(self) -> int:
        """Number of input neurons."""
        return self._inputs.index.size

    @property
    def output_size(self) -> int:
        """Number of output neurons."""
        return self._outputs.index.size

    @property
    def signal_weight(self) -> Array:
        """(I - P_in) ŵ, shape (N, N): the connections that carry a signal once the inputs are clamped."""
        return jnp.where(self.input_mask[:, None], 0, self.weight)

    def pre_activations(self, x: Array) -> Array:
        """ŵx + b, shape (N,)."""
        self.check_state(x)
        return self.signal_weight @ x + self.bias

    def activate(self, x: Array) -> Array:
        """f(ŵx + b) (2.5), one synchronous step; the inputs keep their data (2.7)."""
        return jnp.where(self.input_mask, x, self.activation(self.pre_activations(x)))

    def slopes(self, x: Array) -> Array:
        """f'(ŵx + b) (5.4), shape (N,)."""
        return slope(self.activation, self.pre_activations(x))

    def residual(self, x: Array, inputs: Array | None = None) -> Array:
        """r(x) = x - f(ŵx + b), the local errors of (3.1), shape (N,).

        An input neuron's error is x_i - inputs_i, which (2.8) makes zero: it is zero when `inputs` is None.
        """
        r = x - self.activate(x)
        if inputs is None:
            return r
        data = real_array("inputs", inputs, shape=(self.input_size,)).astype(x.dtype)
        return r.at[self._inputs.index].set(self.inputs(x) - data)

    def propagate(self, inputs: Any, *, steps: int | None = None) -> Array:
        """x(t) after `steps` steps of (2.5) from x(0) = P_in x_∂ (2.4), shape (N,).

        Args:
            inputs: (input_size,).
            steps: default L, the neurons on the longest path (N where ŵ is traced or has cycles), with which every
                acyclic graph has reached its fixed state; for cycles use `fixed_point`, which reports convergence.
        """
        inputs = real_array("inputs", inputs, shape=(self.input_size,)).astype(self.weight.dtype)
        if steps is None:
            layers = None
            if is_concrete(self.weight):  # in NumPy: under `jit` even an operation on known weights gives a tracer
                layers = _longest_path((np.asarray(self.weight) != 0) & ~self.input_mask[:, None])
            steps = self.size if layers is None else layers  # L - 1, and one for hidden neurons that nothing feeds
        start = self.clamp(jnp.zeros_like(self.bias), inputs)
        return jax.lax.scan(lambda x, _: (self.activate(x), None), start, None, length=steps)[0]

    def fixed_point(
        self,
        boundary: Any,
        *,
        initial: Array | None = None,
        tolerance: Scalar | None = None,
        max_steps: int = 1000,
        solver: Solver = iterate,
    ) -> FixedPoint:
        """Fixed state x̄ = f(ŵx̄ + b) (2.9) with the inputs clamped.

        Args:
            boundary: data of the input neurons, (input_size,).
            initial: start of the other neurons, (N,); zero by (2.4) if None.
            tolerance: on the largest |x̄ - f(ŵx̄ + b)|; default 16 ulp.
            max_steps: bound on the iterations.
            solver: `iterate`, the dynamics (2.5), for stable fixed points; `newton` for unstable ones too.

        Returns:
            FixedPoint, differentiable in weights, biases and boundary by the implicit function theorem. A graph with
            cycles may have no fixed point in reach (`converged` is False) or several (the one reached is returned).
        """
        inputs = real_array("boundary", boundary, shape=(self.input_size,)).astype(self.weight.dtype)
        max_steps = integer("max_steps", max_steps, least=1)
        if tolerance is not None:
            positive("tolerance", tolerance)
        start = jnp.zeros_like(self.bias) if initial is None else real_array("initial", initial, shape=(self.size,))
        start = self.clamp(start.astype(self.weight.dtype), inputs)
        return solve_fixed_point(
            lambda x: self.clamp(self.activate(x), inputs),
            jax.lax.stop_gradient(start),
            tolerance=tolerance,
            max_steps=max_steps,
            solver=solver,
        )

    def inputs(self, x: Array) -> Array:
        """P_in x, shape (input_size,)."""
        return x[self._inputs.index]

    def outputs(self, x: Array) -> Array:
        """P_out x, shape (output_size,)."""
        return x[self._outputs.index]

    def clamp(self, x: Array, inputs: Array | None = None, targets: Array | None = None) -> Array:
        """The state with its input and output neurons replaced where data are given: (P_in + P_out) x = x_∂ (3.2).

        Args:
            x: a state, (N,).
            inputs: (input_size,).
            targets: (output_size,).

        Raises:
            ValueError: wrong shapes; nothing is broadcast.
            TypeError: data that are not real.
        """
        self.check_state(x)
        for name, mask, data in (("inputs", self._inputs, inputs), ("targets", self._outputs, targets)):
            if data is not None:
                x = x.at[mask.index].set(real_array(name, data, shape=mask.index.shape).astype(x.dtype))
        return x

    def absorb_inputs(self, x: Array) -> tuple["Septuple", Array]:
        """The network that clamped inputs drive, and the state in its structure: here this very network."""
        return self, x

    def restore_inputs(self, x: Array, inputs: Array) -> Array:
        """Inverse of `absorb_inputs` for the state."""
        return self.clamp(x, inputs)

    def ravel(self, x: Array) -> Array:
        """The state as a vector (N,): itself."""
        return x

    def unravel(self, vector: Array) -> Array:
        """Inverse of `ravel`: itself."""
        return vector

    def conditions(self, inputs: Any = None) -> Conditions:
        """Which of (2.1), (2.2), (2.3) and, given inputs (input_size,), (2.8) hold; needs concrete weights.

        Raises:
            ValueError: called on traced weights.
        """
        if not is_concrete(self.weight, self.bias):
            refuse("weight", "be known (not traced) to check the conditions of Section 2", "a tracer")
        links = np.asarray(self.weight) != 0
        layers = _longest_path(links)
        bias_holds = None
        if inputs is not None:
            with jax.ensure_compile_time_eval():
                data = np.asarray(real_array("inputs", inputs, shape=(self.input_size,)))
                imposed = np.asarray(self.activation(self.bias))[self._inputs.index]
            rounding = 16 * np.finfo(imposed.dtype).eps  # f(f⁻¹(x)) returns x within a few ulp
            bias_holds = bool(np.all(np.abs(imposed - data) <= rounding * np.maximum(1, np.abs(data))))
        return Conditions(
            acyclic=layers is not None,
            layers=layers,
            closed_inputs=not links[self.input_mask].any(),
            terminal_outputs=not links[:, self.output_mask].any(),
            input_bias=bias_holds,
        )

    def check_state(self, x: Array) -> None:
        """Refuse what is no state of this network.

        Raises:
            ValueError: not one vector (the layers of a `FeedForward` are a tuple), or of another length.
        """
        if not hasattr(x, "shape"):
            refuse("x", "be one vector", type(x).__name__)
        check("x", f"have shape {(self.size,)}", x.shape == (self.size,), f"shape {x.shape}")


def _longest_path(links: np.ndarray) -> int | None:
    """Neurons on the longest directed path of links[i, j] (j to i); None if there is a cycle."""
    remaining = np.ones(len(links), dtype=bool)
    length = 0
    while remaining.any():
        sources = remaining & ~links[:, remaining].any(axis=1)
        if not sources.any():
            return None
        remaining &= ~sources
        length += 1
    return length
