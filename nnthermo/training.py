"""Training with Optax as one compiled loop, with observables recorded inside the run, checkpoints and exact resume."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnthermo._checks import check, extra, finite, integer, real_array, refuse
from nnthermo._typing import Array, State
from nnthermo.checkpoint import Checkpoint
from nnthermo.loss import Network, boundary_loss
from nnthermo.network import FeedForward, Septuple
from nnthermo.network.flax import from_flax, like_flax
from nnthermo.observables import Observer, thermodynamic_observer

Loss = Callable[[Network, State, Array], Array]
"""(network, feed-forward state of one sample, target) -> scalar: `boundary_loss`, `relaxed_bulk_loss`, a mixture."""

Progress = Callable[[int, int], Any]
"""Told (epochs done, epochs in all)."""

_default_optimizer = lru_cache(lambda: optax.sgd(0.1))  # one object each: what was compiled for it serves the next run
_default_observer = lru_cache(thermodynamic_observer)


class TrainResult(NamedTuple):
    """What `train` returns.

    Attributes:
        network: the trained network, of the kind that was given.
        history: what was recorded, by name; each array has the leading axis of `history["epoch"]`. `loss` is the mean
            loss over the mini-batches of the epoch just ended, each taken before its step; NaN at epoch 0.
        epochs: epochs trained in all.
        finite: False if the loss or a weight stopped being finite. Training stops after that epoch, which `epochs`
            counts, and `history` ends before it.
    """

    network: Any
    history: dict[str, np.ndarray]
    epochs: int
    finite: bool


def log_spaced_epochs(epochs: int, count: int = 100) -> tuple[int, ...]:
    """At most `count` distinct epochs from 0 to `epochs`, evenly spaced in the logarithm.

    Raises:
        ValueError: negative epochs, or a count below 2.
        TypeError: numbers that are not integers.
    """
    epochs, count = integer("epochs", epochs), integer("count", count)
    check("epochs", "not be negative", epochs >= 0, epochs)
    check("count", "be at least 2", count >= 2, count)
    if epochs == 0:
        return (0,)
    spaced = np.geomspace(epochs, 1, count - 1).round().astype(int)
    return (0, *sorted({int(e) for e in spaced}))


def mean_loss(loss: Loss, net: Network, inputs: Array, targets: Array, weights: Array | None = None) -> Array:
    """Mean of a loss over a batch, shape (), samples propagated one by one under vmap.

    Args:
        loss: function (network, feed-forward state, target) -> scalar, of one sample.
        net: a network.
        inputs: (batch, n_in).
        targets: (batch, n_out).
        weights: of the samples, (batch,), with a sum that is not 0; equal if None.
    """
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
    progress: bool | Progress = False,
) -> TrainResult:
    """Train a network, recording observables along the way.

    One compiled program runs any number of epochs (`lax.scan` over mini-batches inside a loop over epochs); the host
    sees it only where something is recorded, saved or shown. Every epoch's shuffle follows from `key` and the number of
    the epoch, so a run is the same, bit for bit, whether or not it was observed or interrupted. Runs that share the
    functions `loss`, `optimizer` and `observe` and the shapes share the compiled programs.

    A `Septuple` keeps its graph: connections whose weight is 0 at the start are absent and stay so.

    Args:
        net: `FeedForward`, `Septuple`, a Flax nnx model or a pair (linen module, variables) of dense layers.
        data: inputs (samples, n_in) and targets (samples, n_out).
        key: JAX random key for the order of the samples.
        epochs: passes over the data.
        optimizer: any Optax optimiser, those with a line search included; plain SGD with learning rate 0.1 if None.
        loss: function (network, feed-forward state, target) -> scalar, of one sample.
        batch_size: samples a step, all of them if None. A last, smaller batch keeps the weight of its samples.
        observe: function (network, inputs, targets) -> dict of arrays, or a dict of such functions with one value each;
            `thermodynamic_observer()` if None.
        observe_at: epochs after which to record, 0 for the start; 100 logarithmically spaced ones if None.
        checkpoint: folder, or `Checkpoint`, to save to and resume from.
        progress: show a progress bar (needs tqdm), or a function told (epochs done, epochs in all) now and then.

    Returns:
        TrainResult.

    Raises:
        ValueError: shapes that do not fit the network, non-finite data, epochs or batch sizes out of range, a loss that
            is not a scalar, or a checkpoint of a different run.
        TypeError: arguments of another kind than these, data that are not real, an unknown kind of network.
        ImportError: a missing optional package, with the command that installs it.
        OSError: a checkpoint folder that cannot be written.
    """
    model, net = net, from_flax(net)
    if not isinstance(net, FeedForward | Septuple):
        raise TypeError(f"`net` must be a network or a Flax model, but got {type(model).__name__}")
    inputs, targets = _check_data(net, data)
    samples = inputs.shape[0]
    key = _check_key(key)
    epochs = integer("epochs", epochs)
    check("epochs", "not be negative", epochs >= 0, epochs)
    batch = samples if batch_size is None else integer("batch_size", batch_size)
    check("batch_size", f"lie between 1 and the {samples} samples", 1 <= batch <= samples, batch)
    marks = log_spaced_epochs(epochs) if observe_at is None else _check_marks(observe_at, epochs)
    optimizer = _check_optimizer(optimizer)
    loss = _check_loss(loss, net, inputs, targets)
    observer = jax.jit(_as_observer(observe))
    follow = _follow(progress)
    store = _open(checkpoint)

    state = jax.tree.map(jnp.copy, (net, optimizer.init(net)))  # the compiled loop takes its arguments' memory
    links = jax.tree.map(lambda w: (w != 0) | (w.ndim == 1), net) if isinstance(net, Septuple) else None
    advance = _compile(loss, optimizer, samples, batch)
    recorded = _check_observer(observer, net, inputs, targets)
    history = {name: np.zeros((len(marks), *a.shape), a.dtype) for name, a in recorded.items()}
    history = {"epoch": np.array(marks, dtype=np.int64), "loss": np.full(len(marks), np.nan, inputs.dtype), **history}
    done, rows, last_loss, sound = 0, 0, np.asarray(np.nan, inputs.dtype), True
    if store is not None:
        settings = _settings(net, inputs, targets, key, batch, epochs, marks, observer, loss, optimizer)
        found = store.restore((state, history, last_loss), settings)
        if found is not None:
            (state, history, last_loss), (done, rows) = found
            sound = done == 0 or all(bool(np.isfinite(a).all()) for a in (last_loss, *jax.tree.leaves(state[0])))

    stops = sorted({*marks, epochs, *(range(0, epochs, store.every) if store else ())})
    saved = done
    with follow(done, epochs) as tell:
        for stop in (s for s in stops if s >= done):
            while sound and done < stop:
                chunk = _chunk(stop - done, bool(progress), done)
                state, report = advance(state, links, key, done, done + chunk, inputs, targets)
                last_loss, done, sound = np.asarray(report[0]), int(report[1]), bool(report[2])
                tell(done, epochs)
            if sound and rows < len(marks) and marks[rows] == done:
                for name, value in observer(state[0], inputs, targets).items():
                    history[name][rows] = value
                history["loss"][rows] = last_loss
                rows += 1
            if store is not None and done > saved and (not sound or done % store.every == 0 or done == epochs):
                store.save((state, history, last_loss), settings, (done, rows))
                saved = done
            if not sound:
                break
    history = {name: values[:rows] for name, values in history.items()}
    return TrainResult(like_flax(model, jax.tree.map(jnp.asarray, state[0])), history, done, sound)


def _follow(progress: bool | Progress) -> Callable[[int, int], Any]:
    """A function (epochs done, epochs in all) -> context with the function to call after each stretch of epochs."""
    if not progress:
        return lambda _done, _total: nullcontext(lambda _now, _all: None)
    if callable(progress):
        return lambda _done, _total: nullcontext(progress)
    tqdm = extra("tqdm.auto", "experiments").tqdm

    @contextmanager
    def bar(done: int, total: int) -> Iterator[Progress]:
        with tqdm(total=total, initial=done, unit="epoch") as shown:
            yield lambda now, _all: shown.update(now - shown.n)

    return bar


def _chunk(remaining: int, visible: bool, done: int) -> int:
    """Epochs in one call: all that remain, or few enough for a bar that moves."""
    return min(remaining, max(1, done // 20, 10)) if visible else remaining


def _check_data(net: Network, data: tuple[Any, Any]) -> tuple[Array, Array]:
    if not isinstance(data, tuple | list) or len(data) != 2:
        kind = f"{type(data).__name__} of {len(data)}" if isinstance(data, tuple | list) else type(data).__name__
        refuse("data", "be a pair (inputs, targets)", kind)
    inputs, targets = (real_array(name, a, ndim=2) for name, a in zip(("inputs", "targets"), data, strict=True))
    for name, array, size, kind in (
        ("inputs", inputs, net.input_size, "input"),
        ("targets", targets, net.output_size, "output"),
    ):
        check(name, f"have {size} columns, as many as {kind} neurons", array.shape[1] == size, f"shape {array.shape}")
    rows = inputs.shape[0]
    check("targets", f"have {rows} rows, as many as inputs", targets.shape[0] == rows, f"shape {targets.shape}")
    check("inputs", "hold at least one sample", rows > 0, f"shape {inputs.shape}")
    finite("inputs", inputs)
    finite("targets", targets)
    dtype = jnp.result_type(*jax.tree.leaves(net))
    return inputs.astype(dtype), targets.astype(dtype)


def _check_key(key: Any) -> Array:
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and shape == ()
    if not typed and not (dtype == np.uint32 and shape == (2,)):
        got = type(key).__name__ if dtype is None else f"shape {shape} and dtype {dtype}"
        raise TypeError(f"`key` must be one JAX random key, as from jax.random.key(0), but got {got}")
    return key


def _check_optimizer(optimizer: Any) -> optax.GradientTransformation:
    if optimizer is None:
        return _default_optimizer()
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise TypeError(f"`optimizer` must be an Optax gradient transformation, but got {optimizer!r}")
    return optimizer


def _open(checkpoint: Any) -> Checkpoint | None:
    if not isinstance(checkpoint, Checkpoint | str | Path | None):
        raise TypeError(f"`checkpoint` must be a folder or a Checkpoint, but got {type(checkpoint).__name__}")
    return Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint


def _check_marks(observe_at: Any, epochs: int) -> tuple[int, ...]:
    if not isinstance(observe_at, Iterable):
        raise TypeError(f"`observe_at` must be a sequence of epochs, but got {observe_at!r}")
    marks = tuple(sorted({integer("observe_at", e) for e in observe_at}))
    outside = [e for e in marks if not 0 <= e <= epochs]
    check("observe_at", f"lie between 0 and {epochs}", not outside, outside[:10])
    return marks


def _check_loss(loss: Any, net: Network, inputs: Array, targets: Array) -> Loss:
    if not callable(loss):
        raise TypeError(f"`loss` must be a function of (network, state, target), but got {loss!r}")
    value = jax.eval_shape(lambda n, u, t: loss(n, n.propagate(u), t), net, inputs[0], targets[0])
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None:
        refuse("loss", "return a scalar for each sample", type(value).__name__)
    check("loss", "return a scalar for each sample", shape == (), f"shape {shape}")
    is_real = dtype is not None and jnp.issubdtype(dtype, jnp.floating)
    check("loss", "return a real floating-point number", is_real, f"dtype {dtype}")
    try:
        hash(loss)
    except TypeError:  # it cannot name a compiled program that others share
        return partial(loss)
    return loss


def _check_observer(observer: Observer, net: Network, inputs: Array, targets: Array) -> dict[str, jax.ShapeDtypeStruct]:
    recorded = jax.eval_shape(observer, net, inputs, targets)
    if not isinstance(recorded, Mapping):
        raise TypeError(f"`observe` must return a dict of arrays, but got {type(recorded).__name__}")
    for name, value in recorded.items():
        if not hasattr(value, "shape"):
            raise TypeError(f"`observe` must return a dict of arrays, but got {type(value).__name__} for {name!r}")
    check("observe", "not use the names `epoch` and `loss`", not {"epoch", "loss"} & set(recorded), sorted(recorded))
    return dict(recorded)


def _as_observer(observe: Any) -> Observer:
    if observe is None:
        return _default_observer()
    if isinstance(observe, Mapping):
        for name, function in observe.items():
            if not callable(function):
                raise TypeError(f"`observe` must hold functions, but got {function!r} for {name!r}")
        return _together(tuple(observe.items()))
    if not callable(observe):
        raise TypeError(f"`observe` must be a function or a dict of functions, but got {observe!r}")
    return observe


@lru_cache(maxsize=16)
def _together(functions: tuple[tuple[str, Callable], ...]) -> Observer:
    return lambda net, inputs, targets: {name: jnp.asarray(f(net, inputs, targets)) for name, f in functions}


@lru_cache(maxsize=16)
def _compile(loss: Loss, optimizer: optax.GradientTransformation, samples: int, batch: int) -> Callable:
    """The program (state, links, key, first, last, inputs, targets) -> state, (loss, epochs done, all finite).

    Trains epochs first ... last - 1, fewer if the loss or a weight stops being finite; the loss is the mean over the
    mini-batches of the last one.
    """
    steps = -(-samples // batch)
    padding = steps * batch - samples
    update = _update(optimizer)

    @partial(jax.jit, donate_argnums=0)
    def advance(
        state: tuple[Network, Any], links: Any, key: Array, first: Array, last: Array, inputs: Array, targets: Array
    ) -> tuple[tuple[Network, Any], tuple[Array, Array, Array]]:
        def existing(change: Network) -> Network:
            return change if links is None else jax.tree.map(lambda link, d: jnp.where(link, d, 0), links, change)

        def step(state: tuple, batch_of: tuple[Array, Array | None]) -> tuple[tuple, Array]:
            net, memory = state
            rows, weights = batch_of

            def objective(net: Network) -> Array:
                return mean_loss(loss, net, inputs[rows], targets[rows], weights)

            value, gradient = jax.value_and_grad(objective)(net)
            gradient = existing(gradient)
            # the keywords are for optimisers that search along the line; others do not take them
            change, memory = update(gradient, memory, net, value=value, grad=gradient, value_fn=objective)
            return (optax.apply_updates(net, existing(change)), memory), value

        def epoch(carry: tuple) -> tuple:
            state, (_, number, _) = carry
            order = jax.random.permutation(jax.random.fold_in(key, number), samples)
            weights = None
            if padding:  # the last batch is filled up with samples of no weight
                order = jnp.concatenate([order, jnp.zeros(padding, order.dtype)])
                real = jnp.arange(steps * batch) < samples
                weights = real.astype(inputs.dtype).reshape(steps, batch)
            state, values = jax.lax.scan(step, state, (order.reshape(steps, batch), weights))
            value = jnp.mean(values).astype(inputs.dtype)
            sound = jnp.stack([jnp.isfinite(a).all() for a in (value, *jax.tree.leaves(state[0]))]).all()
            return state, (value, number + 1, sound)

        def unfinished(carry: tuple) -> Array:
            _, (_, number, sound) = carry
            return (number < last) & sound

        start = (jnp.full((), jnp.nan, inputs.dtype), jnp.asarray(first, jnp.int32), jnp.asarray(True))
        return jax.lax.while_loop(unfinished, epoch, (state, start))

    return advance


def _settings(
    net: Network,
    inputs: Array,
    targets: Array,
    key: Array,
    batch: int,
    epochs: int,
    marks: tuple[int, ...],
    observer: Observer,
    loss: Loss,
    optimizer: optax.GradientTransformation,
) -> dict[str, Any]:
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

    leaves = jax.tree.leaves(net)
    memory = optimizer.init(net)
    sample = (net, inputs[:1], targets[:1])
    return {
        "dtype": str(inputs.dtype),
        "shapes of the network": [list(leaf.shape) for leaf in leaves],
        "activation": digest(type(net).__name__, program(lambda n, u: n.propagate(u), net, inputs[0])),
        "initial network": digest(*leaves),
        "inputs": digest(inputs),
        "targets": digest(targets),
        "key": digest(key),
        "batch_size": batch,
        "epochs": epochs,
        "observe_at": digest(np.array(marks, np.int64)),
        "observe": digest(program(observer, *sample)),
        "loss": digest(program(lambda n, u, t: mean_loss(loss, n, u, t), *sample)),
        "optimizer": digest(*jax.tree.leaves(memory), program(_one_update(optimizer), net, memory)),
        "jax": jax.__version__,
    }


def _plain(leaf: Any) -> Any:
    """Random keys as the numbers in them."""
    return jax.random.key_data(leaf) if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key) else leaf


def _update(optimizer: optax.GradientTransformation) -> Callable:
    """The optimiser's update, for any of Optax's protocols and whatever promotion of dtypes the caller has chosen."""
    update = optax.with_extra_args_support(optimizer).update

    def change(*arguments: Any, **options: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):  # Adam, for one, raises a float to an integer power
            return update(*arguments, **options)

    return change


def _one_update(optimizer: optax.GradientTransformation) -> Callable:
    update = _update(optimizer)

    def one(net: Network, memory: Any) -> Any:
        value = jnp.zeros((), jax.tree.leaves(net)[0].dtype)
        return update(net, memory, net, value=value, grad=net, value_fn=lambda n: jnp.sum(jax.tree.leaves(n)[0]))

    return one
