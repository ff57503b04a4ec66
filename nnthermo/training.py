"""Training with Optax as one compiled loop, with observables recorded inside the run, checkpoints and exact resume."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnthermo._checks import check, extra, finite, real_array, refuse
from nnthermo._typing import Array, State
from nnthermo.checkpoint import Checkpoint
from nnthermo.loss import Network, boundary_loss
from nnthermo.network import FeedForward, Septuple
from nnthermo.network.flax import from_flax, like_flax
from nnthermo.observables import Observer, thermodynamic_observer

Loss = Callable[[Network, State, Array], Array]
"""(network, feed-forward state of one sample, its target) -> scalar: `boundary_loss`, `relaxed_bulk_loss`, a mixture."""


class TrainResult(NamedTuple):
    """What `train` returns.

    Attributes:
        network: the trained network, of the kind that was given.
        history: what was recorded, by name; each array has the leading axis of `history["epoch"]`. `loss` is the mean
            loss over the mini-batches of the epoch just ended, NaN at epoch 0.
        epochs: epochs trained in all.
        finite: False if the loss stopped being finite, where training stops: the remaining rows are not recorded.
    """

    network: Any
    history: dict[str, np.ndarray]
    epochs: int
    finite: bool


def log_spaced_epochs(epochs: int, count: int = 100) -> tuple[int, ...]:
    """At most `count` distinct epochs from 0 to `epochs`, evenly spaced in the logarithm."""
    check("epochs", "not be negative", epochs >= 0, epochs)
    check("count", "be at least 2", count >= 2, count)
    if epochs == 0:
        return (0,)
    spaced = np.geomspace(1, epochs, count - 1).round().astype(int)
    return (0, *sorted({int(e) for e in spaced}))


def mean_loss(loss: Loss, net: Network, inputs: Array, targets: Array, weights: Array | None = None) -> Array:
    """Mean of a loss over a batch, samples propagated one by one under vmap; optional weights (batch,)."""
    values = jax.vmap(lambda u, t: loss(net, net.propagate(u), t))(inputs, targets)
    return jnp.mean(values) if weights is None else jnp.vdot(weights, values) / jnp.sum(weights)


def train(
    net: Any,
    data: tuple[Any, Any],
    *,
    key: Array,
    epochs: int,
    optimizer: optax.GradientTransformation | None = None,
    loss: Loss = boundary_loss,
    batch_size: int | None = None,
    observe: Observer | Mapping[str, Callable] | None = None,
    observe_at: Sequence[int] | None = None,
    checkpoint: Checkpoint | str | Path | None = None,
    progress: bool = False,
) -> TrainResult:
    """Train a network, recording observables along the way.

    One compiled program runs any number of epochs (`lax.scan` over mini-batches inside a loop over epochs); the host
    sees it only where something is recorded, saved or shown. Every epoch's shuffle follows from `key` and the number of
    the epoch, so a run is the same, bit for bit, whether it was interrupted or not.

    Args:
        net: `FeedForward`, `Septuple`, a Flax nnx model or a pair (linen module, variables) of dense layers.
        data: inputs (samples, n_in) and targets (samples, n_out).
        key: JAX random key for the order of the samples.
        epochs: passes over the data.
        optimizer: any Optax optimiser; plain SGD with learning rate 0.1 if None.
        loss: function (network, feed-forward state, target) -> scalar, of one sample.
        batch_size: samples a step, all of them if None. A last, smaller batch keeps the weight of its samples.
        observe: function (network, inputs, targets) -> dict of arrays, or a dict of such functions with one value each;
            `thermodynamic_observer()` if None.
        observe_at: epochs after which to record, 0 for the start; 100 logarithmically spaced ones if None.
        checkpoint: folder, or `Checkpoint`, to save to and resume from.
        progress: show a progress bar (needs tqdm).

    Returns:
        TrainResult.

    Raises:
        ValueError: shapes that do not fit the network, non-finite data, epochs or batch sizes out of range, or a
            checkpoint of a different run.
        TypeError: data that are not real, an unknown kind of network.
        ImportError: a missing optional package, with the command that installs it.
    """
    model, net = net, from_flax(net)
    if not isinstance(net, FeedForward | Septuple):
        raise TypeError(f"`net` must be a network or a Flax model, but got {type(model).__name__}")
    inputs, targets = _check_data(net, data)
    samples = inputs.shape[0]
    check("epochs", "not be negative", epochs >= 0, epochs)
    batch = samples if batch_size is None else batch_size
    check("batch_size", f"lie between 1 and the {samples} samples", 1 <= batch <= samples, batch)
    marks = log_spaced_epochs(epochs) if observe_at is None else tuple(sorted({int(e) for e in observe_at}))
    check("observe_at", f"lie between 0 and {epochs}", all(0 <= e <= epochs for e in marks), list(marks)[:10])
    optimizer = optax.sgd(0.1) if optimizer is None else optimizer
    observer = jax.jit(_as_observer(observe))
    store = Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint

    state = jax.tree.map(jnp.copy, (net, optimizer.init(net)))  # the compiled loop takes its arguments' memory
    advance = _compile(loss, optimizer, samples, batch)
    recorded = jax.eval_shape(observer, net, inputs, targets)
    check("observe", "not use the names `epoch` and `loss`", not {"epoch", "loss"} & set(recorded), sorted(recorded))
    history = {name: np.zeros((len(marks), *a.shape), a.dtype) for name, a in recorded.items()}
    history = {"epoch": np.array(marks, dtype=np.int64), "loss": np.full(len(marks), np.nan, inputs.dtype), **history}
    done, rows, last_loss = 0, 0, np.asarray(np.nan, inputs.dtype)
    if store is not None:
        program = jax.make_jaxpr(advance)(state, key, 0, 1, inputs, targets)
        settings = _settings(net, program, inputs, targets, key, batch, epochs, marks, recorded)
        found = store.restore((state, history, last_loss), settings)
        if found is not None:
            (state, history, last_loss), (done, rows) = found
    bar = extra("tqdm.auto", "experiments").tqdm(total=epochs, initial=done, unit="epoch") if progress else None

    saved, is_finite = done, True
    stops = sorted({*marks, epochs, *(range(0, epochs, store.every) if store else ())})
    for stop in (s for s in stops if s >= done):
        while done < stop:
            chunk = _chunk(stop - done, bar is not None, done)
            state, value = advance(state, key, done, done + chunk, inputs, targets)
            last_loss, done = np.asarray(value), done + chunk
            if bar is not None:
                bar.update(chunk)
        is_finite = bool(np.isfinite(last_loss)) or done == 0
        if rows < len(marks) and marks[rows] == done:
            for name, value in observer(state[0], inputs, targets).items():
                history[name][rows] = value
            history["loss"][rows] = last_loss
            rows += 1
        if store is not None and done > saved and (done % store.every == 0 or done == epochs):
            store.save((state, history, last_loss), settings, (done, rows))
        if not is_finite:
            break
    if bar is not None:
        bar.close()
    history = {name: values[:rows] for name, values in history.items()}
    return TrainResult(like_flax(model, state[0]), history, done, is_finite)


def _chunk(remaining: int, visible: bool, done: int) -> int:
    """Epochs in one call: all that remain, or few enough for a bar that moves."""
    return min(remaining, max(1, done // 20, 10)) if visible else remaining


def _check_data(net: Network, data: tuple[Any, Any]) -> tuple[Array, Array]:
    if not isinstance(data, tuple | list) or len(data) != 2:
        refuse("data", "be a pair (inputs, targets)", type(data).__name__)
    inputs, targets = (real_array(name, a, ndim=2) for name, a in zip(("inputs", "targets"), data, strict=True))
    check("inputs", f"have {net.input_size} columns, as many as input neurons", inputs.shape[1] == net.input_size, f"shape {inputs.shape}")
    check("targets", f"have {net.output_size} columns, as many as output neurons", targets.shape[1] == net.output_size, f"shape {targets.shape}")
    check("targets", f"have {inputs.shape[0]} rows, as many as inputs", targets.shape[0] == inputs.shape[0], f"shape {targets.shape}")
    check("inputs", "hold at least one sample", inputs.shape[0] > 0, f"shape {inputs.shape}")
    finite("inputs", inputs)
    finite("targets", targets)
    dtype = jnp.result_type(*jax.tree.leaves(net))
    return inputs.astype(dtype), targets.astype(dtype)


def _as_observer(observe: Observer | Mapping[str, Callable] | None) -> Observer:
    if observe is None:
        return thermodynamic_observer()
    if isinstance(observe, Mapping):
        return lambda net, inputs, targets: {k: jnp.asarray(f(net, inputs, targets)) for k, f in observe.items()}
    return observe


def _compile(loss: Loss, optimizer: optax.GradientTransformation, samples: int, batch: int) -> Callable:
    """The program (state, key, first, last, inputs, targets) -> (state, mean loss of the last epoch)."""
    steps = -(-samples // batch)
    padding = steps * batch - samples

    @partial(jax.jit, donate_argnums=0)
    def advance(
        state: tuple[Network, Any], key: Array, first: Array, last: Array, inputs: Array, targets: Array
    ) -> tuple[tuple[Network, Any], Array]:
        def step(state: tuple, batch_of: tuple[Array, Array | None]) -> tuple[tuple, Array]:
            net, memory = state
            rows, weights = batch_of
            value, gradient = jax.value_and_grad(partial(mean_loss, loss))(net, inputs[rows], targets[rows], weights)
            updates, memory = optimizer.update(gradient, memory, net)
            return (optax.apply_updates(net, updates), memory), value

        def epoch(number: Array, carry: tuple) -> tuple:
            state, _ = carry
            order = jax.random.permutation(jax.random.fold_in(key, number), samples)
            weights = None
            if padding:  # the last batch is filled up with samples of no weight
                order = jnp.concatenate([order, jnp.zeros(padding, order.dtype)])
                real = jnp.arange(steps * batch) < samples
                weights = real.astype(inputs.dtype).reshape(steps, batch)
            state, values = jax.lax.scan(step, state, (order.reshape(steps, batch), weights))
            return state, jnp.mean(values)

        return jax.lax.fori_loop(first, last, epoch, (state, jnp.full((), jnp.nan, inputs.dtype)))

    return advance


def _settings(
    net: Network,
    program: Any,
    inputs: Array,
    targets: Array,
    key: Array,
    batch: int,
    epochs: int,
    marks: tuple[int, ...],
    recorded: Mapping[str, jax.ShapeDtypeStruct],
) -> dict[str, Any]:
    """What must agree for a run to continue another: by name, so that a difference can be named."""

    def digest(*parts: Any) -> str:
        sha = hashlib.sha256()
        for part in parts:
            sha.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes())
        return sha.hexdigest()[:16]

    text = re.sub(r"0x[0-9a-f]+", "", str(program))  # addresses of functions differ from process to process
    return {
        "initial network": digest(*(np.asarray(leaf) for leaf in jax.tree.leaves(net))),
        "shapes of the network": [list(leaf.shape) for leaf in jax.tree.leaves(net)],
        "dtype": str(inputs.dtype),
        "inputs": digest(np.asarray(inputs)),
        "targets": digest(np.asarray(targets)),
        "key": digest(np.asarray(jax.random.key_data(key))),
        "batch_size": batch,
        "epochs": epochs,
        "observe_at": digest(np.array(marks)),
        "observables": sorted(f"{name}{list(a.shape)}" for name, a in recorded.items()),
        "loss, optimizer and activation (compiled program)": digest(text),
        "jax": jax.__version__,
    }
