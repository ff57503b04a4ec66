"""Any JAX function as a septuple: its neurons are named values, or what its element-wise non-linearities compute."""

import dataclasses
import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, full_precision, real_array, refuse
from nnthermo._pytree import pytree
from nnthermo._typing import Array
from nnthermo.network.fixed_point import FixedPoint, exact_fixed_point
from nnthermo.network.graph import Finder, Neurons, Steps, as_calls, run
from nnthermo.network.models import as_function

States = OrderedDict[str, Array]
"""States of the groups of neurons by name, in the order in which they are computed; the inputs first."""

INPUTS, OUTPUTS = "inputs", "outputs"


class CustomDerivativeWarning(UserWarning):
    """A custom derivative is not used, since there are neurons inside of its function."""


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """What `network_from` found, without arrays.

    Attributes:
        jaxpr: the function, of flattened parameters and inputs to one output.
        steps: where its neurons are.
        groups: its groups of neurons, the inputs first.
        output: number of the group that is its output.
        computed: how many groups `steps` holds; without a neuron for its output the function has one more.
        reversed_products: whether forward derivatives must go by the transpose of reverse ones (`custom_vjp`).
    """

    jaxpr: Any
    steps: Steps
    groups: tuple[Neurons, ...]
    output: int
    computed: int
    reversed_products: bool


@pytree(static=("program",))
class TracedNetwork:
    """A feed-forward septuple made from a function by `network_from`.

    A state is an `OrderedDict` of arrays, one for each group of neurons in the shape that the function gives it. Each
    neuron's f may depend on the states of all groups computed before it: with the states of its parents given, not
    what they would compute, f_k(parents) is what the function computes for it, and r_k = x_k - f_k its local error.

    Where parameters are shared, by convolution or over time, w is a family w(Q), and `parameters` is Q.

    Attributes:
        parameters: Q, the pytree that the function takes first; None if it takes inputs alone.
        constants: arrays that the function closes over.
        program: its structure, without arrays.
    """

    parameters: Any
    constants: tuple[Array, ...]
    program: Program

    @property
    def groups(self) -> tuple[Neurons, ...]:
        """Names, shapes and parents of the groups of neurons."""
        return self.program.groups

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups of neurons, the inputs first."""
        return tuple(group.name for group in self.groups)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons in each group."""
        return tuple(group.size for group in self.groups)

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
        return self.sizes[self.program.output]

    @property
    def dtype(self) -> Any:
        """Of Ĝ and of states as vectors: the widest of the groups'."""
        return max((group.dtype for group in self.groups), key=lambda d: jnp.dtype(d).itemsize)

    def replace(self, *, parameters: Any) -> "TracedNetwork":
        """The network of other parameters.

        Raises:
            ValueError: another tree, or other shapes or dtypes.
        """

        def form(p: Any) -> tuple:
            return jax.tree.structure(p), [(jnp.shape(a), jnp.result_type(a)) for a in jax.tree.leaves(p)]

        same = form(parameters) == form(self.parameters)
        check("parameters", "have the tree, shapes and dtypes of the network's own", same, form(parameters)[1])
        return dataclasses.replace(self, parameters=parameters)

    def activate(self, x: States) -> States:
        """f of the states of the parents (2.5), one synchronous step; the inputs keep their data."""
        self.check_state(x)
        return self._named([x[INPUTS], *self._evaluate(x[INPUTS], [x[name] for name in self.names[1:]])])

    def residual(self, x: States, inputs: Array | None = None) -> States:
        """r = x - f(parents), the local errors of (3.1).

        The input neurons' error is x_in - inputs, and zero when `inputs` is None.
        """
        found = self.activate(x)
        data = x[INPUTS] if inputs is None else self._data(inputs)
        return self._named([x[INPUTS] - data, *(x[name] - found[name] for name in self.names[1:])])

    def propagate(self, inputs: Any) -> States:
        """The fixed state x̄ (2.9): every value as the function computes it.

        Args:
            inputs: in the shape of the example, or (input_size,).
        """
        data = self._data(inputs)
        return self._named([data, *self._evaluate(data, None)])

    def fixed_point(self, boundary: Any) -> FixedPoint:
        """x̄ (2.9) with the report that general graphs give: exact after one pass."""
        return exact_fixed_point(self.propagate(boundary), len(self.groups) - 1, self.dtype)

    def slopes(self, x: States) -> States:  # noqa: ARG002
        """Not defined: the function's f̂'ŵ is one linear map, of which no slopes are split off.

        Raises:
            TypeError: always.
        """
        raise TypeError("`net` must be a FeedForward or a Septuple to have slopes f', but got TracedNetwork")

    def inputs(self, x: States) -> Array:
        """P_in x, shape (input_size,)."""
        return jnp.ravel(x[INPUTS])

    def outputs(self, x: States) -> Array:
        """P_out x, shape (output_size,)."""
        return jnp.ravel(x[self.names[self.program.output]])

    def clamp(self, x: States, inputs: Array | None = None, targets: Array | None = None) -> States:
        """The state with its input and output neurons replaced where data are given (3.2).

        Args:
            x: a state.
            inputs: in the shape of the example, or (input_size,).
            targets: (output_size,).
        """
        self.check_state(x)
        changed = dict(x)
        if inputs is not None:
            changed[INPUTS] = self._data(inputs)
        if targets is not None:
            group = self.groups[self.program.output]
            values = real_array("targets", targets, shape=(group.size,)).astype(group.dtype)
            changed[group.name] = values.reshape(group.shape)
        return self._named([changed[name] for name in self.names])

    def absorb_inputs(self, x: States) -> tuple["TracedNetwork", States]:
        """This network and state: what its inputs drive is not split off."""
        return self, x

    def restore_inputs(self, x: States, inputs: Array) -> States:
        """The state with its inputs in place."""
        return self.clamp(x, inputs)

    def ravel(self, x: States) -> Array:
        """The state as one vector (N,), group after group."""
        self.check_state(x)
        return jnp.concatenate([jnp.ravel(x[name]).astype(self.dtype) for name in self.names])

    def unravel(self, vector: Array) -> States:
        """Inverse of `ravel`."""
        parts, start = [], 0
        for group in self.groups:
            parts.append(vector[start : start + group.size].reshape(group.shape).astype(group.dtype))
            start += group.size
        return self._named(parts)

    def errors(self, x: States) -> States:
        """r as a map of all states, the inputs' own error x_in among them: its Jacobian is B = I - f̂'ŵ."""
        return self._named([x[INPUTS], *(list(self.residual(x).values())[1:])])

    def is_one_sample(self, inputs: Any) -> bool:
        """Whether inputs are in the shape of the example, or that of a vector (input_size,)."""
        return jnp.shape(inputs) in (self.groups[0].shape, (self.input_size,))

    def flat_inputs(self, inputs: Any) -> Array:
        """Inputs of one sample as a vector (input_size,), of many as rows; what is neither as it is."""
        data, shape = real_array("inputs", inputs), self.groups[0].shape
        if data.shape == shape:
            return data.reshape(-1)
        return data.reshape(data.shape[0], -1) if data.ndim and data.shape[1:] == shape else data

    def ordered(self, x: States) -> States:
        """A state, checked, its groups in the order of computation: what is read by place must be in its place."""
        self.check_state(x)
        return self._named(x[name] for name in self.names)

    def check_state(self, x: States) -> None:
        """Refuse what is no state of this network.

        Raises:
            ValueError: other names or shapes.
        """
        named = hasattr(x, "keys")
        if not named or set(x) != set(self.names):
            refuse("x", f"hold states of {', '.join(self.names)}", ", ".join(map(str, x)) if named else type(x))
        for group in self.groups:
            got = jnp.shape(x[group.name])
            check(f"x[{group.name!r}]", f"have shape {group.shape}", got == group.shape, f"shape {got}")

    def _data(self, inputs: Any) -> Array:
        group, data = self.groups[0], real_array("inputs", inputs)
        requirement = f"have shape {group.shape}, or {(group.size,)}"
        check("inputs", requirement, self.is_one_sample(data), f"shape {data.shape}")
        return data.reshape(group.shape).astype(group.dtype)

    def _named(self, values: Iterable[Array]) -> States:
        return OrderedDict(zip(self.names, values, strict=True))

    def _evaluate(self, data: Array, given: list[Array] | None) -> list[Array]:
        """Values f of all groups after the inputs."""
        program = self.program
        arguments = [*jax.tree.leaves(self.parameters), data]
        within = None if given is None else given[: program.computed]
        outputs, found = run(program.jaxpr, self.constants, arguments, program.steps, within)
        return found if program.computed == len(program.groups) - 1 else [*found, outputs[0]]


def network_from(
    fn: Any, example_input: Any, parameters: Any = None, *, neurons: str | Iterable[str] = "auto", **options: Any
) -> TracedNetwork:
    """Any JAX function, or a Flax or Equinox model as it is, as a septuple.

        def fn(parameters, image): ...
        net = nt.network_from(fn, image, parameters)
        nt.measure(net, net.propagate(image), beta=1.4)

    Its neurons are the values that `jax.ad_checkpoint.checkpoint_name` names, or else the outputs of element-wise
    non-linear functions of one array (tanh, relu, sigmoid, gelu, silu, softplus, clip, sin, ...; not exp, log and
    roots, which softmax and normalisation are made of). Several in a row, such as tanh(tanh(x)), are one. What the
    output does not depend on does not count, unless it is named. The output is a group of neurons of its own,
    "outputs", unless it is one of these, not reshaped; the inputs are "inputs". Everything else is the wiring f̂'ŵ
    between neurons: max(x, 0) or max(x, x/10) is a neuron's, but the maximum of two arrays that are computed apart, as
    in maxout, is wiring, and so are masks. Whoever wants it, or the residual stream of a transformer, among the neurons
    names it.

    Nested `jit`, `vmap`, `checkpoint` and `custom_jvp` may have neurons inside. Inside of a `scan` each step has its
    own: the group's state has the steps as its first axis. A custom derivative around neurons does not count: their
    states cut the function in two, of which `CustomDerivativeWarning` tells.

    Args:
        fn: function (inputs) -> output, or (parameters, inputs) -> output if `parameters` are given; or a Flax nnx
            model, a pair (linen module, variables), or a pytree that can be called, as Equinox's models are: these
            bring their parameters. Models in evaluation mode: dropout and batch statistics must be fixed.
        example_input: real array in the shape of one sample, or of a batch: its samples then are neurons side by side.
        parameters: Q, pytree of arrays; what derivatives in the weights go over.
        neurons: "auto", "named", "activations", or the names to take.
        options: passed on to the call of a model, for example `deterministic=True`.

    Raises:
        ValueError: no neurons; neurons inside `while_loop`, `cond`, `shard_map` or a custom solver; an output that is
            not one real array; half precision.
        TypeError: inputs that are not real floating-point numbers (tokens: embed them first), or `fn` not callable.

    Warns:
        CustomDerivativeWarning: neurons inside of a function with a custom derivative.
    """
    call, parameters = as_function(fn, parameters, options)
    dtype = jnp.result_type(example_input)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"`example_input` must be of a real floating-point dtype, but got {dtype}: embed tokens first, and give "
            "the function of their embedding"
        )
    full_precision("example_input", dtype)
    if neurons not in ("auto", "named", "activations"):
        check("neurons", "be 'auto', 'named', 'activations' or names", not isinstance(neurons, str), repr(neurons))
    parameters = jax.tree.map(jnp.asarray, parameters)
    leaves, tree = jax.tree.flatten(parameters)
    shape = jax.ShapeDtypeStruct(jnp.shape(example_input), dtype)

    def flat(*arguments: Any) -> Any:
        return call(jax.tree.unflatten(tree, arguments[:-1]), arguments[-1])

    closed, output = jax.make_jaxpr(flat, return_shape=True)(*leaves, shape)
    one = isinstance(output, jax.ShapeDtypeStruct) and jnp.issubdtype(output.dtype, jnp.floating)
    check("example_input", "hold at least one number", math.prod(shape.shape) > 0, f"shape {shape.shape}")
    check("fn", "return one array of a real floating-point dtype", one, output)

    inputs = Neurons(INPUTS, shape.shape, dtype, frozenset())
    sources = [*(frozenset() for _ in leaves), frozenset({0})]
    finder, steps, after = _find(closed.jaxpr, sources, inputs, neurons)
    if finder.dropped:
        names = ", ".join(finder.dropped)
        warnings.warn(
            f"`fn` should have no neurons inside of custom derivatives, but got some in {names}: their derivatives are "
            "those of what they compute; name neurons outside of them, or choose `neurons`",
            CustomDerivativeWarning,
            stacklevel=2,
        )
    groups = finder.groups
    computed = len(groups) - 1

    def outcome(arguments: list, given: list) -> list:
        return run(closed.jaxpr, closed.consts, arguments, as_calls(steps), given)[0]

    states = [jax.ShapeDtypeStruct(g.shape, g.dtype) for g in groups[1:]]
    last = _position(outcome, [*leaves, shape], states)
    if last is None:
        name = OUTPUTS
        while any(g.name == name for g in groups):
            name += "_"
        full_precision("fn", output.dtype, " for its output")
        groups = [*groups, Neurons(name, output.shape, output.dtype, after[0])]
        last = len(groups) - 2
    program = Program(closed.jaxpr, steps, tuple(groups), last + 1, computed, "custom_vjp" in str(closed.jaxpr))
    return TracedNetwork(parameters, tuple(closed.consts), program)


def _find(jaxpr: Any, sources: list, inputs: Neurons, neurons: str | Iterable[str]) -> tuple[Finder, Steps, list]:
    chosen = None if isinstance(neurons, str) else frozenset(neurons)
    ways = {"auto": (True, False), "activations": (False,)}
    for named in ways.get(neurons, (True,)) if isinstance(neurons, str) else (True,):
        finder = Finder(named, chosen, inputs)
        steps, after = finder.find(jaxpr, sources)
        if len(finder.groups) > 1:
            break
    found = {g.name for g in finder.groups}
    if chosen is not None:
        missing = sorted(chosen - found)
        check("neurons", "be names that the function gives", not missing, ", ".join(missing))
    advice = "none: name them by `jax.ad_checkpoint.checkpoint_name`"
    check("fn", "have neurons that depend on its inputs", len(finder.groups) > 1, advice)
    return finder, steps, after


def _position(outcome: Callable, arguments: list, states: list) -> int | None:
    """Which of the states given the output is, unchanged; None if it is none."""
    found: list[int | None] = []

    def trace(arguments: list, given: list) -> None:
        output = outcome(arguments, given)[0]
        found.append(next((k for k, g in enumerate(given) if g is output), None))

    jax.eval_shape(trace, arguments, states)
    return found[0]


def dtype_of(net: Any) -> Any:
    """In which a network computes: of a traced one that of its states."""
    return net.dtype if isinstance(net, TracedNetwork) else jnp.result_type(*jax.tree.leaves(net))
