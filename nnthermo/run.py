"""What a training run is made of: its arguments checked, and what identifies it to a checkpoint."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnthermo._checks import check, finite, function, integer, is_key, real_array, refuse
from nnthermo._typing import Array
from nnthermo.descent import one_update
from nnthermo.network import Network, Septuple, TracedNetwork
from nnthermo.network.traced import dtype_of
from nnthermo.network.trainable import divide
from nnthermo.objective import FindState, Loss, fixed_state, mean_terms, with_terms
from nnthermo.observables import Observer

_default_optimizer = lru_cache(lambda: optax.sgd(0.1))  # one object: what was compiled for it serves the next run


class Run(NamedTuple):
    """The arguments of `train` that decide what is computed, checked; `reported` names the loss and its terms."""

    net: Network
    inputs: Array
    targets: Array | None
    links: Network | None
    key: Array
    epochs: int
    batch: int
    marks: tuple[int, ...]
    optimizer: optax.GradientTransformation
    loss: Loss
    reported: tuple[str, ...]
    state: FindState | None


def check_run(
    net: Network,
    data: Any,
    *,
    links: Any,
    key: Any,
    epochs: int,
    batch_size: int | None,
    observe_at: Sequence[int] | None,
    optimizer: Any,
    loss: Any,
    state: Any,
) -> Run:
    """The arguments of `train` as it uses them, or the errors its docstring lists."""
    _check_weights(net)
    inputs, targets = _check_data(net, data)
    samples = inputs.shape[0]
    key = _check_key(key)
    epochs = integer("epochs", epochs)
    check("epochs", "not be negative", epochs >= 0, epochs)
    batch = samples if batch_size is None else integer("batch_size", batch_size)
    check("batch_size", f"lie between 1 and the {samples} samples", 1 <= batch <= samples, batch)
    marks = log_spaced_epochs(epochs) if observe_at is None else _check_marks(observe_at, epochs)
    optimizer = _check_optimizer(optimizer)
    loss, terms = _check_loss(loss, state, net, inputs, targets)
    allowed = _check_links(links, net)
    return Run(net, inputs, targets, allowed, key, epochs, batch, marks, optimizer, loss, ("loss", *terms), state)


def log_spaced_epochs(epochs: int, count: int = 100) -> tuple[int, ...]:
    """At most `count` distinct epochs from 0 to `epochs`, evenly spaced in the logarithm.

    Raises:
        ValueError: negative epochs, or a count below 2.
        TypeError: numbers that are not integers.
    """
    epochs, count = integer("epochs", epochs), integer("count", count, least=2)
    check("epochs", "not be negative", epochs >= 0, epochs)
    if epochs == 0:
        return (0,)
    spaced = np.geomspace(epochs, 1, count - 1).round().astype(int)
    return (0, *sorted({int(e) for e in spaced}))


def first_input(data: Any) -> Array:
    """The inputs of the first sample, for what is made to their shape."""
    inputs = real_array("inputs", _pair(data)[0])
    check("inputs", "hold at least one sample", inputs.ndim > 0 and len(inputs) > 0, f"shape {inputs.shape}")
    return inputs[0]


def _pair(data: Any) -> tuple[Any, Any]:
    pair = data if isinstance(data, tuple | list) else (data, None) if hasattr(data, "ndim") else ()
    if len(pair) != 2:
        kind = f"{type(data).__name__} of {len(data)}" if isinstance(data, tuple | list) else type(data).__name__
        refuse("data", "be a pair (inputs, targets) or an array of inputs", kind)
    return pair[0], pair[1]


def _check_weights(net: Network) -> None:
    if not isinstance(net, TracedNetwork):
        return
    leaves = jax.tree.leaves(divide(net)[0])
    advice = "none: give `nt.network_from` a function of (parameters, inputs), and the parameters"
    check("net", "have parameters to train", any(leaf.size for leaf in leaves), advice)
    for leaf in leaves:
        real = jnp.issubdtype(leaf.dtype, jnp.floating)
        check("net", "have real parameters to train", real, f"dtype {leaf.dtype}")


def _check_data(net: Network, data: Any) -> tuple[Array, Array | None]:
    pair = _pair(data)
    dtype = dtype_of(net)
    inputs = _rows(net, "inputs", pair[0])
    given = [("inputs", inputs, net.input_size, "input")]
    if pair[1] is not None:
        given.append(("targets", _rows(net, "targets", pair[1]), net.output_size, "output"))
    for name, array, size, kind in given:
        fits = math.prod(array.shape[1:]) == size
        check(name, f"have {size} columns, as many as {kind} neurons", fits, f"shape {array.shape}")
    rows = inputs.shape[0]
    for name, array, _, _ in given:
        check(name, f"have {rows} rows, as many as inputs", array.shape[0] == rows, f"shape {array.shape}")
    check("inputs", "hold at least one sample", rows > 0, f"shape {inputs.shape}")
    for name, array, _, _ in given:
        finite(name, array)
    arrays = [array.astype(dtype) for _, array, _, _ in given]
    return arrays[0], arrays[1] if len(arrays) > 1 else None


def _rows(net: Network, name: str, value: Any) -> Array:
    """(samples, n); inputs of a traced network also in the shape of its example, its targets in that of its output."""
    if not isinstance(net, TracedNetwork):
        return real_array(name, value, ndim=2)
    array, own = real_array(name, value), net.groups[0 if name == "inputs" else net.program.output]
    allowed = (own.shape, (own.size,))
    shown = " or ".join(str(("samples", *s)).replace("'", "") for s in dict.fromkeys(allowed))
    check(name, f"have shape {shown}", array.ndim and array.shape[1:] in allowed, f"shape {array.shape}")
    return array if name == "inputs" else array.reshape(len(array), own.size)


def _check_links(links: Any, net: Network) -> Network | None:
    """Which entries of a graph's weights may change, in the structure of the network; None for all."""
    if not isinstance(net, Septuple):
        check("links", "be None for a network that is not a Septuple", links is None, type(net).__name__)
        return None
    exist = np.asarray(net.weight) != 0
    allowed = exist if links is None else np.asarray(links)
    if allowed.dtype != bool:
        raise TypeError(f"`links` must be boolean, but got dtype {allowed.dtype}")
    check("links", f"have shape {exist.shape}", allowed.shape == exist.shape, f"shape {allowed.shape}")
    missing = np.argwhere(exist & ~allowed)
    check("links", "have every connection that exists", len(missing) == 0, f"none at {missing[:5].tolist()}")
    return jax.tree.map(lambda w: jnp.asarray(allowed) if w.ndim == 2 else jnp.ones(w.shape, bool), net)


def _check_key(key: Any) -> Array:
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if not (is_key(key) and shape == ()) and not (dtype == np.uint32 and shape == (2,)):
        got = type(key).__name__ if dtype is None else f"shape {shape} and dtype {dtype}"
        raise TypeError(f"`key` must be one JAX random key, as from jax.random.key(0), but got {got}")
    return key


def _check_optimizer(optimizer: Any) -> optax.GradientTransformation:
    if optimizer is None:
        return _default_optimizer()
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise TypeError(f"`optimizer` must be an Optax gradient transformation, but got {optimizer!r}")
    return optimizer


def _check_marks(observe_at: Any, epochs: int) -> tuple[int, ...]:
    if not isinstance(observe_at, Iterable):
        raise TypeError(f"`observe_at` must be a sequence of epochs, but got {observe_at!r}")
    marks = tuple(sorted({integer("observe_at", e) for e in observe_at}))
    outside = [e for e in marks if not 0 <= e <= epochs]
    check("observe_at", f"lie between 0 and {epochs}", not outside, outside[:10])
    return marks


def _check_loss(
    loss: Any, state: FindState | None, net: Network, inputs: Array, targets: Array | None
) -> tuple[Loss, tuple[str, ...]]:
    """The loss, hashable, and the names under which its further terms are recorded."""
    function("loss", loss, "a function of (network, state, target)")
    if state is not None:
        function("state", state, "a function of (network, inputs)")
    try:
        hash(loss)
    except TypeError:  # it cannot name a compiled program that others share
        loss = partial(loss)

    def one(net: Network, u: Array, t: Array | None) -> Any:
        x, converged = fixed_state(net, u, state)
        return loss(net, x, t), converged

    found, converged = jax.eval_shape(one, net, inputs[0], None if targets is None else targets[0])
    value, terms = with_terms(found)
    for name, term in (("loss", value), *terms.items()):
        what = "a scalar for each sample" + ("" if name == "loss" else f" as {name!r}")
        if getattr(term, "shape", None) is None:
            refuse("loss", f"return {what}", type(term).__name__)
        check("loss", f"return {what}", term.shape == (), f"shape {term.shape}")
    is_real = jnp.issubdtype(value.dtype, jnp.floating)
    check("loss", "return a real floating-point number", is_real, f"dtype {value.dtype}")
    names = {*terms, *(() if converged is None else ("unfixed",))}
    return loss, tuple(f"loss_{name}" for name in sorted(names))


def identity(run: Run, observer: Observer) -> dict[str, Any]:
    """What must agree for a run to continue another: by name, so that a difference can be named."""

    def digest(*parts: Any) -> str:
        sha = hashlib.sha256()
        for part in parts:
            array = None if isinstance(part, str) else np.asarray(_plain(part))
            text = part if array is None else f"{array.dtype}{array.shape}"
            sha.update(text.encode() + (b"" if array is None else np.ascontiguousarray(array).tobytes()))
        return sha.hexdigest()[:16]

    def program(function: Callable, *arguments: Any) -> str:
        """A function by what it computes, numbers and arrays it holds included: its own address says nothing."""
        return jax.jit(function).lower(*arguments).as_text()

    net, inputs, targets, loss, optimizer = run.net, run.inputs, run.targets, run.loss, run.optimizer
    leaves = jax.tree.leaves(net)
    weights = divide(net)[0]
    memory = optimizer.init(weights)
    sample = (net, inputs[:1], None if targets is None else targets[:1])
    return {
        "dtype": str(inputs.dtype),
        "shapes of the network": [list(leaf.shape) for leaf in leaves],
        "activation": digest(type(net).__name__, program(lambda n, u: n.propagate(u), net, inputs[0])),
        "initial network": digest(*leaves),
        "inputs": digest(inputs),
        "targets": digest(*jax.tree.leaves(targets)),
        "links": digest(*jax.tree.leaves(run.links)),
        "key": digest(run.key),
        "batch_size": run.batch,
        "epochs": run.epochs,
        "observe_at": digest(np.array(run.marks, np.int64)),
        "observe": digest(program(observer, *sample)),
        "loss": digest(program(lambda n, u, t: mean_terms(loss, n, u, t, state=run.state), *sample)),
        "optimizer": digest(*jax.tree.leaves(memory), program(one_update(optimizer), weights, memory)),
        "jax": jax.__version__,
    }


def _plain(leaf: Any) -> Any:
    """Random keys as the numbers in them."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf
