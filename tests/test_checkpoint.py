"""Checkpoints: runs that are killed go on to the same end, bit for bit; runs that differ are refused by name."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

import nnthermo as nt
from nnthermo import training
from nnthermo.checkpoint import Checkpoint
from nnthermo.observers import as_observer
from nnthermo.run import check_run, identity

ADAM = optax.adam(0.02)


def network(seed=0, activation=jnp.tanh, sizes=(3, 4, 2), dtype=None):
    return nt.FeedForward.init(jax.random.key(seed), sizes, activation=activation, dtype=dtype)


def samples(seed=0, n=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def total(net, inputs, targets):
    return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(net))


def first_layer(net, inputs, targets):
    return net.weights[0]


WATCH = {"total": total, "first": first_layer}


def run(checkpoint=None, **change):
    options = {
        "net": network(), "data": samples(), "key": jax.random.key(1), "epochs": 12, "optimizer": ADAM,
        "batch_size": 3, "observe": WATCH, "observe_at": (0, 1, 5, 6, 12), **change,
    }  # fmt: skip
    return nt.train(options.pop("net"), options.pop("data"), checkpoint=checkpoint, **options)


def assert_same(one, two):
    assert (one.epochs, one.finite) == (two.epochs, two.finite)
    for a, b in zip(jax.tree.leaves(one.network), jax.tree.leaves(two.network), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert one.history.keys() == two.history.keys()
    for name, values in one.history.items():
        assert values.dtype == two.history[name].dtype
        np.testing.assert_array_equal(values, two.history[name])


def steps(folder):
    return sorted(int(path.name) for path in Path(folder).iterdir() if path.name.isdigit())


def interrupt_at_save(monkeypatch, count, *, before):
    """End the run with KeyboardInterrupt at its save number `count`, just before or just after it is written."""
    save, calls = Checkpoint.save, []

    def stopped(self, *arguments):
        calls.append(1)
        if len(calls) == count and before:
            raise KeyboardInterrupt
        save(self, *arguments)
        if len(calls) == count:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stopped)


@pytest.mark.parametrize(
    ("count", "before", "batch"), [(1, True, 3), (1, False, 3), (1, False, None), (3, True, 3), (3, False, 3)]
)
def test_a_run_stopped_at_any_save_goes_on_to_the_same_end(tmp_path, monkeypatch, count, before, batch):
    with monkeypatch.context() as patch:
        interrupt_at_save(patch, count, before=before)
        with pytest.raises(KeyboardInterrupt):
            run(Checkpoint(tmp_path, every=4), batch_size=batch)
    assert (steps(tmp_path) or [0])[-1] == 4 * (count - before)
    assert_same(run(Checkpoint(tmp_path, every=4), batch_size=batch), run(batch_size=batch))
    assert steps(tmp_path) == [8, 12]


@pytest.mark.parametrize("every", [2, 5, 1000])
def test_saves_every_so_often_and_at_the_end_and_keeps_the_last(tmp_path, every):
    result = run(Checkpoint(tmp_path, every=every, keep=3))
    assert steps(tmp_path) == sorted({*range(every, 13, every), 12})[-3:]
    assert_same(result, run())


def test_a_folder_is_enough(tmp_path):
    for folder in (tmp_path / "made" / "here", str(tmp_path / "text")):
        result = run(folder)
        assert steps(folder) == [12]
        assert_same(result, run(folder))


def test_a_finished_run_returns_at_once(tmp_path, monkeypatch):
    store = Checkpoint(tmp_path)
    first = run(store)
    stamp = (tmp_path / "12").stat().st_mtime_ns

    def forbidden(*arguments):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(training, "compile_epochs", lambda *_: forbidden)
    assert_same(run(store), first)  # the same object, which has saved
    assert_same(run(Checkpoint(tmp_path)), first)
    assert (tmp_path / "12").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("marks", [(), (0,), (12,)])
def test_runs_that_record_little_or_nothing(tmp_path, monkeypatch, marks):
    with monkeypatch.context() as patch:
        interrupt_at_save(patch, 2, before=False)
        with pytest.raises(KeyboardInterrupt):
            run(Checkpoint(tmp_path, every=4), observe_at=marks)
    assert_same(run(Checkpoint(tmp_path, every=4), observe_at=marks), run(observe_at=marks))


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.noisy_sgd(0.1, key=jax.random.key(5)),
        optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(optax.exponential_decay(0.1, 3, 0.5), momentum=0.9)),
        optax.inject_hyperparams(optax.sgd)(learning_rate=0.1),
    ],
    ids=["a random key", "a count and a trace", "numbers"],
)
def test_memories_of_optimizers(tmp_path, monkeypatch, optimizer):
    with jax.numpy_dtype_promotion("standard"):
        whole = run(optimizer=optimizer)
        with monkeypatch.context() as patch:
            interrupt_at_save(patch, 2, before=False)
            with pytest.raises(KeyboardInterrupt):
                run(Checkpoint(tmp_path, every=4), optimizer=optimizer)
        assert_same(run(Checkpoint(tmp_path, every=4), optimizer=optimizer), whole)


def test_a_diverged_run_is_remembered_as_such(tmp_path):
    wild = {"optimizer": optax.sgd(1e3), "net": network(activation=double), "epochs": 500, "observe_at": range(500)}
    first = run(Checkpoint(tmp_path, every=7), **wild)
    assert not first.finite
    assert steps(tmp_path)[-1] == first.epochs
    assert_same(run(Checkpoint(tmp_path, every=7), **wild), first)
    assert_same(run(**wild), first)


def double(y):
    return 2 * y


def test_states_of_any_kind_come_back(tmp_path):
    state = {
        "half": jnp.asarray([1.5, -2.0], jnp.bfloat16),
        "single": np.float32(0.1),
        "double": jnp.linspace(0.0, 1.0, 7).reshape(7, 1),
        "whole": jnp.asarray(3, jnp.int32),
        "truth": np.array([True, False]),
        "none": np.zeros((0, 4), np.float32),
        "keys": jax.random.split(jax.random.key(3), 2),
        "other": jax.random.key(4, impl="rbg"),
        "nan": np.array([np.nan, np.inf, -0.0]),
    }
    store = Checkpoint(tmp_path)
    assert store.restore(state, {}) is None
    store.save(state, {"name": [1, "two"]}, (5, 2))
    like = jax.tree.map(lambda a: a if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else np.zeros_like(a), state)
    found, position = Checkpoint(tmp_path).restore(like, {"name": [1, "two"]})
    assert position == (5, 2)
    assert found["half"].dtype == ml_dtypes.bfloat16
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        same = [jax.random.key_data(a) if is_key else a for a in (found[name], value)]
        np.testing.assert_array_equal(*same)
    assert np.signbit(found["nan"]).tolist()[2]


def test_half_written_folders_are_ignored(tmp_path):
    whole = run()
    run(Checkpoint(tmp_path / "a", every=4), epochs=12)
    saved = tmp_path / "a" / "12"
    (tmp_path / "a" / "500" / "state").mkdir(parents=True)  # an interrupted copy by hand
    (tmp_path / "a" / "600").mkdir()
    assert_same(run(Checkpoint(tmp_path / "a", every=4)), whole)
    folder = tmp_path / "b"
    folder.mkdir()
    partial = folder / "12.orbax-checkpoint-tmp"
    (partial / "state").mkdir(parents=True)
    (partial / "about").mkdir()
    (partial / "about" / "metadata").write_text(next((saved / "about").iterdir()).read_text()[:20])
    assert_same(run(Checkpoint(folder, every=4)), whole)
    assert steps(folder) == [8, 12]
    assert not partial.exists()


SCRIPT = textwrap.dedent(
    """
    import sys
    import jax
    jax.config.update("jax_enable_x64", True)
    import numpy as np
    import nnthermo as nt
    sys.path.insert(0, sys.argv[1])
    from test_checkpoint import run
    for _ in range(int(sys.argv[4])):
        run(nt.Checkpoint(sys.argv[2], every=1), **eval(sys.argv[3]))
    """
)
LONG = {"epochs": 400, "observe_at": tuple(range(0, 401, 25))}


def start(folder, change, runs=1):
    arguments = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(folder), repr(change), str(runs)]
    path = os.pathsep.join([str(Path(nt.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}  # the compile cache is not silent
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def kill_when(process, condition, seconds=300):
    """SIGKILL as soon as the condition holds, looked at without pause."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    output = process.communicate()
    assert process.returncode == -signal.SIGKILL
    return output


def half_written(folder):
    return [path for path in Path(folder).glob("*tmp*") if path.is_dir()]


@pytest.mark.slow
def test_killed_at_any_moment_a_run_goes_on_to_the_same_end(tmp_path):
    """One run, killed in four processes one after the other: early, while saving, at random; finished in this one."""
    rng = np.random.default_rng(20261122)

    def later(epochs):
        reached = (steps(tmp_path) or [0])[-1] + epochs
        return lambda: (steps(tmp_path) or [0])[-1] >= reached

    def at_random():
        saved, moment = later(2), []

        def condition():
            if saved() and not moment:
                moment.append(time.monotonic() + rng.uniform(0, 0.3))
            return bool(moment) and time.monotonic() > moment[0]

        return condition

    def saving():
        saved = later(2)
        return lambda: saved() and half_written(tmp_path)

    torn, reached = 0, []
    for moment in (lambda: later(1), saving, at_random, saving):
        condition = moment()  # counted from what is there now
        out, err = kill_when(start(tmp_path, LONG), condition)
        assert (out, err) == ("", "")  # Orbax is silent
        torn += bool(half_written(tmp_path))
        reached.append(steps(tmp_path)[-1])
    assert torn  # at least one died with a checkpoint half written
    assert reached == sorted(set(reached))  # each process went on from the one before
    assert reached[-1] < LONG["epochs"] - 1
    assert_same(run(Checkpoint(tmp_path, every=50), **LONG), run(**LONG))
    assert not half_written(tmp_path)


def test_a_step_torn_from_its_metadata_is_taken_up_in_silence(tmp_path, saved):
    """What a kill may leave between the arrays of a step and its metadata."""
    folder, heard = tmp_path / "torn", []
    shutil.copytree(saved, folder)
    last = steps(folder)[-1]
    (folder / str(last) / "_CHECKPOINT_METADATA").unlink()
    handler = logging.Handler()
    handler.emit = heard.append
    logging.getLogger("absl").addHandler(handler)
    try:
        assert_same(run(Checkpoint(folder, every=6)), run())
    finally:
        logging.getLogger("absl").removeHandler(handler)
    assert [record.getMessage() for record in heard if record.levelno >= logging.WARNING] == []


def test_silent_in_ordinary_use(tmp_path):
    process = start(tmp_path, {}, runs=2)  # saving, then resuming
    assert process.communicate(timeout=300) == ("", "")
    assert process.returncode == 0
    assert steps(tmp_path) == [11, 12]


OTHER = {
    "batch_size": {"batch_size": 4},
    "optimizer": {"optimizer": optax.adam(0.02 * (1 + 1e-12))},
    "optimizer, its kind": {"optimizer": optax.sgd(0.02)},
    "optimizer, its memory": {"optimizer": ADAM._replace(init=lambda n: one_count_more(ADAM.init(n)))},
    "activation": {"net": network(activation=jnp.sin)},
    "initial network": {"net": network(1)},
    "shapes of the network": {"net": network(sizes=(3, 5, 2))},
    "dtype": {"net": network(dtype=jnp.float32)},
    "inputs": {"data": (samples()[0] + 1e-12, samples()[1])},
    "inputs, their number": {"data": tuple(a[:6] for a in samples())},
    "targets": {"data": (samples()[0], samples()[1][::-1])},
    "key": {"key": jax.random.key(2)},
    "epochs": {"epochs": 13},
    "observe_at": {"observe_at": (0, 12)},
    "observe": {"observe": {"total": lambda n, x, t: 2 * total(n, x, t), "first": first_layer}},
    "observe, its names": {"observe": {"total": total}},
    "loss": {"loss": lambda n, x, t: 2 * nt.boundary_loss(n, x, t)},
    "loss, an array in it": {"loss": lambda n, x, t: nt.boundary_loss(n, x, t + jnp.asarray(SHIFT))},
}
SHIFT = np.array([0.0, 1e-9])


def one_count_more(memory):
    return jax.tree.map(lambda a: a + 1 if a.dtype == jnp.int32 else a, memory)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    run(Checkpoint(folder, every=6))
    return folder


@pytest.mark.parametrize("name", OTHER)
def test_a_different_run_is_refused_by_name(saved, name):
    before = sorted(saved.rglob("*"))
    difference = f"another `{name.split(',')[0]}`: .+, not .+"
    sentence = rf"^`checkpoint` must come from the same run \(in .*\), but got {difference}$"
    with pytest.raises(ValueError, match=sentence):
        run(Checkpoint(saved), **OTHER[name])
    assert sorted(saved.rglob("*")) == before


def test_arrays_inside_a_loss_count():
    shifted = [lambda n, x, t, s=s: nt.boundary_loss(n, x, t + jnp.asarray(s)) for s in (SHIFT, 2 * SHIFT)]
    digests = []
    for loss in shifted:
        options = {"batch_size": 3, "observe_at": (0,), "links": None, "state": None, "optimizer": ADAM, "loss": loss}
        same = check_run(network(), samples(), key=jax.random.key(0), epochs=1, **options)
        digests.append(identity(same, jax.jit(as_observer(WATCH))))
    assert [name for name in digests[0] if digests[0][name] != digests[1][name]] == ["loss"]
    json.dumps(digests)


@pytest.mark.parametrize("options", [{"every": 5}, {"every": 6, "keep": 7}])
def test_how_it_is_saved_does_not_change_the_run(saved, options):
    assert_same(run(Checkpoint(saved, **options)), run())


def test_unwritable_folder(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match=r"`checkpoint` must be a folder that can be written, but got .*file/below: "):
        run(file / "below")
    with pytest.raises(OSError, match=r"`checkpoint` must be a folder that can be written, but got .*file: "):
        Checkpoint(file)


@pytest.mark.parametrize("name", ["every", "keep"])
def test_numbers_below_one(tmp_path, name):
    for value in (0, -3):
        with pytest.raises(ValueError, match=f"^`{name}` must be positive, but got {value}$"):
            Checkpoint(tmp_path / "new", **{name: value})
    with pytest.raises(TypeError, match=rf"^`{name}` must be an integer, but got 1\.5$"):
        Checkpoint(tmp_path / "new", **{name: 1.5})
    with pytest.raises(TypeError, match=r"^`folder` must be a path, but got int$"):
        Checkpoint(3)
    assert not (tmp_path / "new").exists()


def test_missing_orbax_names_the_command(tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "orbax":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "orbax", None)
    with pytest.raises(ImportError, match=r"^orbax is not installed: pip install 'nnthermo\[checkpoint\]'$"):
        run(tmp_path)
