"""Training with Optax as one compiled loop, recorded inside the run, with stopping rules, checkpoints and resume."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from nnthermo._checks import check, extra, instance, refuse
from nnthermo._typing import Array
from nnthermo.checkpoint import Checkpoint
from nnthermo.descent import compile_epochs
from nnthermo.devices import (
    as_data_mesh,
    check_same_everywhere,
    is_shared,
    replicate,
    said_by_first,
    shard_padded,
    without_callers_mesh,
)
from nnthermo.history import to_dataset
from nnthermo.loss import boundary_loss
from nnthermo.network.given import as_network, like_given
from nnthermo.network.trainable import divide, unite
from nnthermo.objective import FindState, Loss, mean_loss
from nnthermo.observables import Observer, thermodynamic_observer
from nnthermo.observers import as_observer, compile_observer
from nnthermo.recording import Recorder, Sink, as_sinks, check_observer
from nnthermo.run import Run, check_run, first_input, identity, log_spaced_epochs
from nnthermo.stopping import Stop, Stopped, as_stop

__all__ = ["Loss", "TrainResult", "log_spaced_epochs", "mean_loss", "train"]

Progress = Callable[[int, int], Any]
"""Told (epochs done, epochs in all)."""

_default_observer = lru_cache(thermodynamic_observer)  # one object: what was compiled for it serves the next run


class TrainResult(NamedTuple):
    """What `train` returns.

    Attributes:
        network: the trained network, of the kind that was given.
        history: what was recorded, by name; each array has the leading axis of `history["epoch"]`. `loss` is the mean
            loss over the mini-batches of the epoch just ended, each taken before its step, and `loss_...` the means
            over its samples of whatever else the loss reports (`loss_unrelaxed` of `Objective`: the share of samples
            whose gradient is only approximate); NaN at epoch 0.
        epochs: epochs trained in all.
        finite: False if the loss or a weight stopped being finite. Training stops after that epoch, which `epochs`
            counts, and `history` ends before it.
        stopped: why and when a rule of `stop` ended the run, None if none did.
    """

    network: Any
    history: dict[str, np.ndarray]
    epochs: int
    finite: bool
    stopped: Stopped | None = None

    def dataset(self, **attributes: Any) -> Any:
        """The history as an `xarray.Dataset` with dimensions and units, see `to_dataset`."""
        return to_dataset(self.history, **attributes)


@without_callers_mesh
def train(
    net: Any,
    data: Any,
    *,
    key: Array,
    epochs: int,
    optimizer: optax.GradientTransformation | None = None,
    loss: Loss = boundary_loss,
    state: FindState | None = None,
    links: Any = None,
    batch_size: int | None = None,
    observe: Observer | Mapping[str, Callable] | None = None,
    observe_at: Sequence[int] | None = None,
    stop: Stop | Sequence[Stop] | None = None,
    sinks: Sink | Sequence[Sink] = (),
    checkpoint: Checkpoint | str | Path | None = None,
    progress: bool | Progress = False,
    mesh: Mesh | None = None,
) -> TrainResult:
    """Train a network, recording observables along the way.

    One compiled program runs any number of epochs (`lax.scan` over mini-batches inside a loop over epochs); the host
    sees it only where something is recorded, saved or shown. Every epoch's shuffle follows from `key` and the number of
    the epoch, so a run is the same, bit for bit, whether or not it was observed or interrupted. Runs that share the
    functions `loss`, `optimizer`, `state` and `observe` and the shapes share the compiled programs.

    A `Septuple` keeps its graph: connections whose weight is 0 at the start are absent and stay so, unless `links` has
    them. `soft_threshold` in the optimiser removes connections on the way.

    Of a `TracedNetwork` its `parameters` are trained; arrays that its function closes over, and parameters that are not
    floating-point numbers, stay what they are. A model is trained as the septuple it is, one of dense layers as a
    `FeedForward` and any other as `network_from` reads it with the first sample for example, and comes back as a model
    of its kind. It is called with one sample and no options, and must be in evaluation mode: what is no parameter of
    it, such as batch statistics and random streams, stays what it is.

    On a `mesh` each device holds its share of the data and works on its share of every batch and of what is observed;
    the network and the optimiser's memory are copied to all. The batches are those of one device, whatever the numbers
    of samples and devices, so results differ by the order of sums only. With several processes (`jax.distributed`) all
    of them call `train` with the same arguments and get the same result; process 0 alone tells sinks and progress, and
    its rule `stop` decides.

    Args:
        net: `FeedForward`, `Septuple`, `TracedNetwork`, or a model: Flax nnx, a pair (linen module, variables), or a
            pytree that can be called, as Equinox's are.
        data: a pair of inputs (samples, n_in) and targets (samples, n_out); for unsupervised training the inputs alone
            or (inputs, None), and the loss gets the target None; for an auto-encoder the inputs twice. Inputs of a
            `TracedNetwork` or a model may be in the shape of its example, (samples, 28, 28, 1) say, and targets in that
            of its output, which losses and observers get as (samples, n_out).
        key: JAX random key for the order of the samples.
        epochs: passes over the data.
        optimizer: any Optax optimiser, those with a line search included; plain SGD with learning rate 0.1 if None.
        loss: function (network, fixed state, target) -> scalar of one sample, or (scalar, dict of scalars), whose means
            are recorded: `boundary_loss`, `relaxed_bulk_loss`, or a mixture with local objectives, `Objective`.
        state: function (network, inputs of one sample) -> the state that the loss is taken at; `net.propagate` if None,
            `FixedState()` for graphs with cycles.
        links: of a `Septuple`, (N, N) booleans: connections that may exist; those that do at the start if None.
        batch_size: samples a step, all of them if None. A last, smaller batch keeps the weight of its samples.
        observe: function (network, inputs, targets) -> dict of arrays, or a dict of such functions with one value each;
            `thermodynamic_observer()` if None; `combine` joins several.
        observe_at: epochs after which to record, 0 for the start; 100 logarithmically spaced ones if None.
        stop: rule, or several of which any may stop, asked after each record: `LearningEquilibrium()`, `Reached`, or a
            function of the history. A run that resumes stops where the whole one does.
        sinks: functions told (epoch, record) after each record, such as `TensorBoard(folder)`.
        checkpoint: folder, or `Checkpoint`, to save to and resume from.
        progress: show a progress bar (needs tqdm), or a function told (epochs done, epochs in all) now and then.
        mesh: devices to divide the work over, as from `data_mesh()`, whatever mesh the caller has set; one device if
            None.

    Returns:
        TrainResult.

    Raises:
        ValueError: a network without parameters to train, shapes that do not fit it, non-finite data, epochs or batch
            sizes out of range, a loss that is not a scalar, links that leave out a connection that exists, a checkpoint
            of a different run or of one that the rule `stop` would have ended before, arguments that differ between the
            processes of a mesh.
        TypeError: arguments of another kind than these, data that are not real, an unknown kind of network.
        ImportError: a missing optional package, with the command that installs it.
        OSError: a checkpoint folder that cannot be written.
    """
    model, net = net, as_network(net, partial(first_input, data))
    run = check_run(
        net, data, links=links, key=key, epochs=epochs, batch_size=batch_size, observe_at=observe_at,
        optimizer=optimizer, loss=loss, state=state,
    )  # fmt: skip
    observer: Observer = jax.jit(_default_observer() if observe is None else as_observer(observe))
    team = _Team(mesh)
    team.check_same(run, progress, checkpoint)
    recorder = team.recorder(stop, sinks)
    follow = _follow(progress if team.speaks else False)
    store = _open(checkpoint)

    weights, rest = divide(net)
    carried = team.copied(jax.tree.map(jnp.copy, (weights, run.optimizer.init(weights))))  # the loop takes its memory
    advance = compile_epochs(run.loss, run.optimizer, len(run.inputs), run.batch, run.state, team.mesh)
    blank = _blank(run, observer)
    last = {name: np.asarray(np.nan, run.inputs.dtype) for name in run.reported}
    epochs, marks, done, rows, sound = run.epochs, run.marks, 0, 0, True
    if store is not None:
        settings = identity(run, observer)
        found = store.restore((carried, blank, last), settings)
        if found is not None:
            (carried, history, last), (done, rows) = found
            carried = team.copied(carried)
            sound = done == 0 or all(bool(np.isfinite(a).all()) for a in (last["loss"], *jax.tree.leaves(carried[0])))
            history = {name: values[:rows] for name, values in history.items()}
            _check_not_stopped_before(stop, history, done)
            recorder = team.recorder(stop, sinks, history)
    run, observer = team.take(run, observer)
    rest = team.copied(rest)

    stops = sorted({*marks, epochs, *(range(0, epochs, store.every) if store else ())})
    saved = done
    with follow(done, epochs) as tell:
        for pause in (s for s in stops if s >= done):
            if recorder.stopped is not None:
                break
            while sound and done < pause:
                chunk = _chunk(pause - done, bool(progress), done)
                carried, report = advance(
                    carried, run.links, run.key, done, done + chunk, run.inputs, run.targets, rest
                )
                last, done, sound = jax.tree.map(np.asarray, report[0]), int(report[1]), bool(report[2])
                tell(done, epochs)
            if sound and rows < len(marks) and marks[rows] == done:
                team.record(recorder, done, last, observer(unite(carried[0], rest), run.inputs, run.targets))
                rows += 1
            ended = not sound or done == epochs or recorder.stopped is not None
            if store is not None and done > saved and (ended or done % store.every == 0):
                store.save((carried, _filled(blank, recorder.history), last), settings, (done, rows))
                saved = done
            if not sound:
                break
    history = recorder.history if rows else {name: values[:0] for name, values in blank.items()}
    weights = jax.tree.map(jnp.asarray, team.fetched(carried[0]))
    trained = like_given(model, unite(weights, divide(net)[1]))
    return TrainResult(trained, history, done, sound, recorder.stopped)


class _Team:
    """The devices and processes of a run, one device and this process if the mesh is None."""

    def __init__(self, mesh: Mesh | None) -> None:
        self.mesh = None if mesh is None else as_data_mesh(mesh)
        self._shared = self.mesh is not None and is_shared(self.mesh)
        self.speaks = not self._shared or jax.process_index() == 0

    def check_same(self, run: Run, progress: Any, checkpoint: Any) -> None:
        """Refuse processes with different arguments: they would wait for each other for ever."""
        if self._shared:
            check_same_everywhere(
                net=run.net, inputs=run.inputs, targets=run.targets, links=run.links, key=run.key,
                epochs=run.epochs, batch_size=run.batch, observe_at=np.array(run.marks), progress=bool(progress),
                checkpoint=(checkpoint is not None, getattr(checkpoint, "every", 0)),
            )  # fmt: skip

    def take(self, run: Run, observer: Observer) -> tuple[Run, Observer]:
        """What the compiled loop reads where it reads it, and the observer for that."""
        if self.mesh is None:
            return run, observer
        observer = compile_observer(observer, self.mesh, len(run.inputs))
        inputs, targets = shard_padded((run.inputs, run.targets), self.mesh)
        links, key = self.copied((run.links, run.key))
        return run._replace(inputs=inputs, targets=targets, links=links, key=key), observer

    def copied(self, tree: Any) -> Any:
        return tree if self.mesh is None else replicate(tree, self.mesh)

    def fetched(self, tree: Any) -> Any:
        """Ordinary arrays, which this process may use by itself."""
        return tree if self.mesh is None else jax.tree.map(np.asarray, tree)

    def recorder(self, stop: Any, sinks: Any, history: dict[str, np.ndarray] | None = None) -> Recorder:
        sinks = as_sinks(sinks)
        recorder = Recorder({}, stop=stop, sinks=sinks if self.speaks else (), history=history)
        self._agree(recorder)
        return recorder

    def record(self, recorder: Recorder, epoch: int, values: dict[str, Any], seen: dict[str, Any]) -> None:
        recorder.add(epoch, values, seen)
        self._agree(recorder)

    def _agree(self, recorder: Recorder) -> None:
        """The decision of process 0 is that of all: rules that look at a clock may differ."""
        if self._shared:
            said = json.loads(said_by_first(json.dumps(recorder.stopped)))
            recorder.stopped = None if said is None else Stopped(*said)


def _blank(run: Run, observer: Observer) -> dict[str, np.ndarray]:
    """The history before anything is recorded, with room for all."""
    recorded = check_observer(observer, run.net, run.inputs, run.targets)
    own = {"epoch", *run.reported}
    names = " and ".join(f"`{name}`" for name in ("epoch", *run.reported))
    check("observe", f"not use the names {names}", not own & set(recorded), sorted(recorded))
    blank: dict[str, np.ndarray] = {"epoch": np.array(run.marks, np.int64)}
    blank |= {name: np.full(len(run.marks), np.nan, run.inputs.dtype) for name in run.reported}
    return blank | {name: np.zeros((len(run.marks), *a.shape), a.dtype) for name, a in recorded.items()}


def _filled(blank: dict[str, np.ndarray], history: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The records so far in arrays with room for all: a checkpoint keeps its shapes."""
    full = {name: values.copy() for name, values in blank.items()}
    for name, values in history.items():
        full[name][: len(values)] = values
    return full


def _check_not_stopped_before(stop: Any, history: dict[str, np.ndarray], done: int) -> None:
    """Refuse to go on from where a run with this rule would not have come."""
    rule = as_stop(stop)
    for row, epoch in enumerate(history["epoch"], 1):
        early = rule is not None and epoch < done and rule({name: v[:row] for name, v in history.items()})
        if early:
            refuse("checkpoint", f"not be of epoch {done}, beyond the end by the rule `stop`", early.reason)


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


def _open(checkpoint: Any) -> Checkpoint | None:
    instance("checkpoint", checkpoint, Checkpoint | str | Path | None, "a folder or a Checkpoint")
    return Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint
