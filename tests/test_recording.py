"""The recorder in loops written by hand, and what lands in TensorBoard's files, read back byte by byte."""

import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import nnthermo as nt


def network(seed=0):
    return nt.FeedForward.init(jax.random.key(seed), (3, 4, 2), activation=jnp.tanh)


def samples(seed=0, n=7):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(n, 3))), jnp.asarray(0.5 * rng.normal(size=(n, 2)))


SGD = optax.sgd(0.3)
WATCH = nt.weight_observer()


@jax.jit
def step(net, memory, inputs, targets):
    value, gradient = jax.value_and_grad(lambda n: nt.mean_loss(nt.boundary_loss, n, inputs, targets))(net)
    change, memory = SGD.update(gradient, memory, net)
    return optax.apply_updates(net, change), memory, value


def by_hand(recorder, epochs, net=None, start=0):
    """A user's own loop, which records and stops."""
    inputs, targets = samples()
    net = network() if net is None else net
    memory, value = SGD.init(net), np.nan
    for epoch in range(start, epochs + 1):
        if epoch > start or start > 0:
            net, memory, value = step(net, memory, inputs, targets)
        if recorder.record(epoch, net, inputs, targets, loss=value):
            break
    return net


def trained(epochs=6, **options):
    return nt.train(
        network(), samples(), key=jax.random.key(0), epochs=epochs, optimizer=SGD, observe=WATCH, **options
    )  # fmt: skip


def test_a_loop_by_hand_records_what_train_does():
    recorder = nt.Recorder(WATCH, at=(0, 2, 6))
    by_hand(recorder, 6)
    run = trained(observe_at=(0, 2, 6))
    assert recorder.history.keys() == run.history.keys()
    for name, values in run.history.items():
        assert recorder.history[name].dtype == values.dtype
        np.testing.assert_allclose(recorder.history[name], values, rtol=1e-12, atol=1e-15)  # a full batch reordered
    assert recorder.history["epoch"].tolist() == [0, 2, 6]
    assert recorder.stopped is None
    pytest.importorskip("xarray")
    np.testing.assert_array_equal(recorder.dataset()["weight_norm"], recorder.history["weight_norm"])


def test_a_loop_by_hand_stops_and_goes_on_from_its_records():
    whole = nt.Recorder(WATCH)
    by_hand(whole, 9)
    bound = float(whole.history["loss"][5])
    stopping = nt.Recorder(WATCH, stop=nt.Reached("loss", below=bound))
    net = by_hand(stopping, 9)
    assert stopping.stopped.epoch == 5
    assert stopping.history["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
    again = nt.Recorder(WATCH, stop=nt.Reached("loss", below=bound), history=stopping.history)
    assert again.stopped == stopping.stopped
    rest = nt.Recorder(WATCH, history=stopping.history)
    by_hand(rest, 9, net, start=6)
    for name, values in whole.history.items():
        np.testing.assert_array_equal(rest.history[name], values)


def test_further_values_flax_models_and_sinks():
    model = nt.MLP((3, 4, 2), jnp.tanh, rngs=nnx.Rngs(0))
    told = []
    recorder = nt.Recorder(WATCH, sinks=lambda epoch, record: told.append((epoch, dict(record))))
    inputs, targets = (a.astype(jnp.float32) for a in samples())
    recorder.record(4, model, inputs, targets, rate=0.5, grid=np.eye(2))
    assert told[0][0] == 4
    np.testing.assert_array_equal(told[0][1]["grid"], np.eye(2))
    norm = np.sqrt(sum(np.sum(np.asarray(w, float) ** 2) for w in nt.from_nnx(model).weights))
    np.testing.assert_allclose(recorder.history["weight_norm"], [norm], rtol=1e-6)  # float32
    assert np.isnan(recorder.history["loss"]).all()
    assert recorder.history["rate"].tolist() == [0.5]
    cases = {
        "`epoch` must come after 4, the last recorded, but got 4": (4, {"rate": 1.0, "grid": np.eye(2)}),
        "`record` must have the names of those before": (5, {"rate": 1.0}),
        r"`grid` must have shape \(2, 2\) as before, but got shape \(3, 3\)": (5, {"rate": 1.0, "grid": np.eye(3)}),
        "`observe` must not use names that are recorded anyway, but got .'links'": (5, {"links": 1.0}),
    }
    for sentence, (epoch, values) in cases.items():
        with pytest.raises(ValueError, match=sentence):
            recorder.record(epoch, model, inputs, targets, **values)
    assert len(told) == 1


def events(folder):
    """(step, name, value) of every scalar and (step, name, (min, max, num, sum)) of every histogram in a folder.

    A file is records of length (8 bytes), its checksum (4), an Event, its checksum (4).
    """
    from tensorboardX.proto import event_pb2

    found = []
    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                if value.HasField("histo"):
                    h = value.histo
                    found.append((event.step, value.tag, (h.min, h.max, h.num, h.sum)))
                else:
                    found.append((event.step, value.tag, value.simple_value))
    return found


def first_weights(net, inputs, targets):
    return {"weights": net.weights[0], "nothing": jnp.full(2, jnp.nan)}


def test_tensorboard_files_hold_the_history(tmp_path):
    pytest.importorskip("tensorboardX")
    observe = nt.combine(WATCH, first_weights)
    with nt.TensorBoard(tmp_path, prefix="run") as board:
        run = nt.train(
            network(), samples(), key=jax.random.key(0), epochs=4, optimizer=SGD, observe=observe, sinks=board,
            observe_at=(1, 4),
        )  # fmt: skip
    found = {(step, tag): value for step, tag, value in events(tmp_path)}
    scalars = {name for name, values in run.history.items() if values.ndim == 1 and name != "epoch"}
    assert set(found) == {(e, f"run/{name}") for e in (1, 4) for name in scalars | {"weights"}}
    for row, epoch in enumerate((1, 4)):
        for name in scalars:
            assert found[epoch, f"run/{name}"] == np.float32(run.history[name][row])
        w = run.history["weights"][row]
        np.testing.assert_allclose(found[epoch, "run/weights"], (w.min(), w.max(), w.size, w.sum()), rtol=1e-12)


def test_sinks_of_a_resumed_run_hear_of_what_is_new(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    told = []
    options = {"observe_at": (0, 2, 3, 6), "sinks": [lambda epoch, _: told.append(epoch)]}

    def stopping(epoch, _):
        if epoch == 3:
            raise KeyboardInterrupt

    store = nt.Checkpoint(tmp_path, every=2)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=store, observe_at=(0, 2, 3, 6), sinks=stopping)
    resumed = trained(checkpoint=store, **options)
    assert told == [3, 6]
    whole = trained(observe_at=(0, 2, 3, 6))
    for name, values in whole.history.items():
        np.testing.assert_array_equal(resumed.history[name], values)


def test_missing_tensorboard_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"tensorboardX is not installed: pip install 'nnthermo\[tensorboard\]'"):
        nt.TensorBoard(tmp_path)
    with pytest.raises(TypeError, match="`folder` must be a path, but got int"):
        nt.TensorBoard(3)
