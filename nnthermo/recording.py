"""Recording a training run: in `train` and in loops written by hand alike; TensorBoard."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnthermo._checks import check, extra, instance, integer
from nnthermo._typing import Array
from nnthermo.history import to_dataset
from nnthermo.network.flax import from_flax
from nnthermo.observables import Observer, thermodynamic_observer
from nnthermo.observers import as_observer
from nnthermo.stopping import Stop, Stopped, as_stop

Sink = Callable[[int, Mapping[str, np.ndarray]], Any]
"""Told (epoch, the record of that epoch by name) after each record: `TensorBoard`, `print`, any function."""


class Recorder:
    """Records what observers see, decides when to stop, and tells sinks: the part of `train` for loops of one's own.

        recorder = Recorder(combine(weight_observer(), state_observer()), stop=LearningEquilibrium(...))
        for epoch in range(1000):
            ...                                          # any Optax loop
            if recorder.record(epoch, net, inputs, targets, loss=value):
                break                                    # recorder.stopped says why and when

    Args:
        observe: function (network, inputs, targets) -> dict of arrays, or a dict of functions with one value each;
            `thermodynamic_observer()` if None. It is compiled.
        at: epochs to record, all that are given to `record` if None; others cost nothing.
        stop: a rule on the history (`LearningEquilibrium`, `Reached`, ...), or several of which any may stop.
        sinks: functions told (epoch, record) after each record, or one of them.
        history: records to go on from, such as those of a `Recorder` before an interruption.

    Attributes:
        stopped: why and when to stop, or None so far.

    Raises:
        TypeError: arguments of another kind than these.
    """

    def __init__(
        self,
        observe: Any = None,
        *,
        at: Iterable[int] | None = None,
        stop: Stop | Sequence[Stop] | None = None,
        sinks: Sink | Sequence[Sink] = (),
        history: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._observer = jax.jit(thermodynamic_observer() if observe is None else as_observer(observe))
        self._at = None if at is None else frozenset(integer("at", e) for e in at)
        self._stop = as_stop(stop)
        self._sinks = as_sinks(sinks)
        self._rows: dict[str, list[np.ndarray]] = {}
        self.stopped: Stopped | None = None
        if history is not None and len(history["epoch"]):  # without a row the shapes are yet to come
            self._rows = {name: list(np.asarray(values)) for name, values in history.items()}
            self.stopped = self._decide()

    def record(
        self, epoch: int, net: Any, inputs: Array, targets: Array | None = None, *, loss: Any = np.nan, **values: Any
    ) -> Stopped | None:
        """Observe, tell the sinks, and decide; nothing but the standing decision at epochs that are not to be recorded.

        Args:
            epoch: number of the epoch, larger than those before.
            net: `FeedForward`, `Septuple`, or a Flax model as in `train`.
            inputs: (samples, n_in).
            targets: (samples, n_out), or None.
            loss: of the epoch, recorded as `loss`; NaN if not given.
            **values: further numbers or arrays to record, the same names each time.

        Returns:
            `stopped`: why and when to stop, None to go on.

        Raises:
            ValueError: an epoch not after the last, other names or shapes than before, or names given twice.
        """
        epoch = integer("epoch", epoch)
        if self._at is not None and epoch not in self._at:
            return self.stopped
        seen = self._observer(from_flax(net), inputs, targets)
        return self.add(epoch, {"loss": loss, **values}, seen)

    def add(self, epoch: int, values: Mapping[str, Any], seen: Mapping[str, Any]) -> Stopped | None:
        """Append a record whose observations are already made."""
        twice = sorted(({"epoch", *values} & set(seen)) | ({"epoch"} & set(values)))
        check("observe", "not use names that are recorded anyway", not twice, twice)
        row = {name: np.asarray(value) for name, value in ({"epoch": np.int64(epoch), **values, **seen}).items()}
        if self._rows:
            check("record", "have the names of those before", row.keys() == self._rows.keys(), sorted(row))
            before = int(self._rows["epoch"][-1])
            check("epoch", f"come after {before}, the last recorded", epoch > before, epoch)
            for name, value in row.items():
                shape = np.shape(self._rows[name][-1])
                check(name, f"have shape {shape} as before", value.shape == shape, f"shape {value.shape}")
        for name, value in row.items():
            self._rows.setdefault(name, []).append(value)
        for sink in self._sinks:
            sink(epoch, row)
        self.stopped = self._decide()
        return self.stopped

    @property
    def history(self) -> dict[str, np.ndarray]:
        """All records by name, as in `TrainResult.history`: each with the leading axis of `epoch`."""
        return {name: np.stack(values) for name, values in self._rows.items()}

    def dataset(self, **attributes: Any) -> Any:
        """The history as an `xarray.Dataset`, see `to_dataset`."""
        return to_dataset(self.history, **attributes)

    def _decide(self) -> Stopped | None:
        return self._stop(self.history) if self._stop is not None else None


class TensorBoard:
    """A sink that writes TensorBoard events: scalars as scalars, arrays as histograms, the epoch as the step.

    Give it as `sinks` to `train` or a `Recorder`; a run that resumes hides what was written after its checkpoint.

    Args:
        folder: of the event files; made at the first record.
        prefix: put in front of the names with a slash, which groups them.

    Raises:
        ImportError: tensorboardX is not installed; the message has the command.
        TypeError: a folder that is not a path.
    """

    def __init__(self, folder: str | Path, *, prefix: str = "") -> None:
        instance("folder", folder, str | Path, "a path")
        self._module = extra("tensorboardX", "tensorboard")
        self.folder, self._prefix = Path(folder), f"{prefix}/" if prefix else ""
        self._writer: Any = None

    def __call__(self, epoch: int, record: Mapping[str, np.ndarray]) -> None:
        """Write one record; numbers that are not finite are left out of histograms."""
        if self._writer is None:
            self._writer = self._module.SummaryWriter(str(self.folder), purge_step=epoch)
        for name, given in record.items():
            values = np.asarray(given)
            if name == "epoch":
                continue
            if values.ndim == 0:
                self._writer.add_scalar(self._prefix + name, float(values), epoch)
            elif (real := values[np.isfinite(values)]).size:
                self._writer.add_histogram(self._prefix + name, real.astype(float), epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file; the next record opens another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def as_sinks(sinks: Any) -> tuple[Sink, ...]:
    """Sinks from one or a sequence.

    Raises:
        TypeError: what cannot be called.
    """
    found = (sinks,) if callable(sinks) else sinks
    if not isinstance(found, tuple | list) or not all(callable(sink) for sink in found):
        raise TypeError(f"`sinks` must be functions of (epoch, record), but got {sinks!r}")
    return tuple(found)


def check_observer(observer: Observer, net: Any, inputs: Array, targets: Array | None) -> dict[str, Any]:
    """Shapes and dtypes of what an observer returns.

    Raises:
        TypeError: not a dict of arrays.
    """
    recorded = jax.eval_shape(observer, net, inputs, targets)
    if not isinstance(recorded, Mapping):
        raise TypeError(f"`observe` must return a dict of arrays, but got {type(recorded).__name__}")
    for name, value in recorded.items():
        if not hasattr(value, "shape"):
            raise TypeError(f"`observe` must return a dict of arrays, but got {type(value).__name__} for {name!r}")
    return dict(recorded)
