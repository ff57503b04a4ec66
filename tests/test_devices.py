"""Several devices and several processes against one device: values, not shapes.

Virtual devices must be asked for before JAX starts, so this file is also a script: the checks run in processes of their
own, all of them in one, and report what failed by name.
"""

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AxisType, Mesh

import nnthermo as nt
from nnthermo import training
from nnthermo.checkpoint import Checkpoint
from nnthermo.descent import compile_epochs
from nnthermo.devices import replicate, shard_padded
from nnthermo.observers import compile_observer

SIZES, SAMPLES = (3, 6, 2), 41
ADAM = optax.adam(0.02)
# Sums of at most 41 terms in another order differ by 41 ε = 1e-14 of their largest partial sum. Adam divides a gradient
# by its root mean square, about a hundredth of the terms that it is the sum of: 1e-12 a step, and 36 steps of a map
# that does not stretch differences (the rate is 0.02).
ROUNDING = 4e-11


def network():
    return nt.FeedForward.init(jax.random.key(0), SIZES, activation=jnp.tanh)


def samples(n=SAMPLES, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, SIZES[0])), 0.5 * rng.normal(size=(n, SIZES[-1]))


def mean_square(net, inputs, targets):
    outputs = jax.vmap(lambda u: net.propagate(u)[-1])(inputs)
    return jnp.mean((outputs - targets) ** 2)


def every_output(net, inputs, targets):
    return jax.vmap(lambda u: net.propagate(u)[-1])(inputs)


@functools.cache  # one object: what was compiled for it serves the next run
def watch():
    elsewhere = nt.on_data({"elsewhere": mean_square}, *samples(10, seed=1))
    return nt.combine({"mean_square": mean_square, "outputs": every_output}, elsewhere)


def total_input(net, inputs, targets):
    assert targets is None
    return jnp.sum(inputs)


def train(mesh=None, **change):
    options = {
        "net": network(), "data": samples(), "key": jax.random.key(1), "epochs": 6, "optimizer": ADAM,
        "batch_size": 7, "observe": watch(), "observe_at": (0, 3, 6), **change,
    }  # fmt: skip
    return nt.train(options.pop("net"), options.pop("data"), mesh=mesh, **options)


def assert_close(one, other, tolerance=ROUNDING):
    """Two results of training, or any two pytrees."""
    parts = [(r.network, r.history, r.epochs, r.finite) if isinstance(r, nt.TrainResult) else r for r in (one, other)]
    assert jax.tree.structure(parts[0]) == jax.tree.structure(parts[1])
    for a, b in zip(*map(jax.tree.leaves, parts), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def assert_same(one, other):
    assert_close(one, other, 0)


@contextlib.contextmanager
def interrupted(count):
    """End runs with KeyboardInterrupt after their save number `count`."""
    save, calls = Checkpoint.save, []

    def stopped(self, *arguments):
        save(self, *arguments)
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt

    Checkpoint.save = stopped
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        Checkpoint.save = save


def refused(sentence, function, *arguments, kind=ValueError, **options):
    with pytest.raises(kind, match=f"^{sentence}$"):
        function(*arguments, **options)


# Four devices


def check_arrays_are_where_they_should_be(folder):
    mesh = nt.data_mesh()
    assert (mesh.axis_names, mesh.size) == (("samples",), 4)
    rows, keys = np.arange(24.0).reshape(8, 3), jax.random.split(jax.random.key(3, impl="rbg"), 4)
    for given in (mesh, jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Explicit,) * 2)):
        there, dealt = nt.shard((rows, keys), given)
        for k, shard in enumerate(there.addressable_shards):
            assert shard.device == given.devices.reshape(-1)[k]
            np.testing.assert_array_equal(shard.data, rows[2 * k : 2 * k + 2])
        assert [shard.data.shape for shard in dealt.addressable_shards] == [(1,)] * 4
        np.testing.assert_array_equal(jax.random.key_data(dealt), jax.random.key_data(keys))
        copied = nt.replicate({"a": rows, "key": keys[0], "number": 3}, given)
        assert [np.array_equal(shard.data, rows) for shard in copied["a"].addressable_shards] == [True] * 4
        assert (copied["key"] == keys[0], int(copied["number"])) == (True, 3)
    three = nt.data_mesh(jax.devices()[:3])
    divisible = "`tree` must have arrays with a leading dimension divisible by the 3 devices of the mesh, but got shape"
    refused(divisible + r" \(8, 3\)", nt.shard, rows, three)
    refused(divisible + r" \(\)", nt.shard, 1.0, three)
    refused("`devices` must differ from each other, but got .*", nt.data_mesh, jax.devices()[:1] * 2)


def check_training_equals_one_device(folder):
    mesh = nt.data_mesh()
    line_search = optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=5))
    cases = {
        "ragged": {},
        "one batch, by a line search": {"batch_size": None, "optimizer": line_search},
        "fewer samples than devices": {"data": samples(3), "batch_size": 2, "optimizer": optax.sgd(0.1, momentum=0.9)},
        "inputs alone, relaxed": {"data": samples()[0], "loss": nt.Objective(bulk=1.0, potential=pull), "observe": {}},
    }
    for change in cases.values():
        assert_close(train(mesh, **change), train(**change))


def pull(x):
    """A local potential that keeps the states small."""
    return 0.1 * sum(jnp.sum(layer**2) for layer in x)


def check_graphs_models_and_rules(folder):
    mesh = nt.data_mesh()
    graph = network().to_septuple()
    assert_close(train(mesh, net=graph, observe={}), train(net=graph, observe={}))
    model = nt.MLP(SIZES, jnp.tanh, rngs=nnx.Rngs(0))
    before = jax.tree.leaves(nt.from_nnx(model))
    divisible = {"net": model, "data": samples(40), "batch_size": 8, "observe": {}}
    trained, one = train(mesh, **divisible), train(**divisible)
    assert isinstance(trained.network, nt.MLP)
    # float32, whose ε is 5e8 times larger; 40 ε of a partial sum, over Adam's root mean square, is 5e-4
    assert_close(nt.from_nnx(trained.network), nt.from_nnx(one.network), 5e-4)
    assert all(not leaf.is_deleted() for leaf in before)
    value = train().history["mean_square"][1]
    rule = nt.Reached("mean_square", below=float(value) * (1 + 1e-9))
    stopped = train(mesh, stop=rule)
    assert (stopped.epochs, stopped.stopped.epoch) == (3, 3)
    assert stopped.stopped == train(stop=rule).stopped
    there = nt.replicate(network(), mesh)
    assert_same(train(mesh, net=there), train(mesh))
    assert all(leaf.sharding.is_fully_addressable and not leaf.is_deleted() for leaf in jax.tree.leaves(there))
    assert [len(leaf.devices()) for leaf in jax.tree.leaves(train(mesh).network)] == [1] * 4
    refused("`mesh` must be a jax.sharding.Mesh, as from data_mesh\\(\\), but got list", train, [1], kind=TypeError)


def check_work_is_divided_and_stays_on_the_devices(folder):
    """Evaluations of tanh and memory of one device as XLA counts them, donated memory, nothing for the host."""
    mesh = nt.data_mesh()
    inputs, targets = (jnp.asarray(a) for a in samples(4096))
    state, programs = (network(), ADAM.init(network())), []
    for here in (None, mesh):
        advance = compile_epochs(nt.boundary_loss, ADAM, 4096, 1024, None, here)
        place = (lambda tree: tree) if here is None else lambda tree: replicate(tree, mesh)
        data = (inputs, targets) if here is None else shard_padded((inputs, targets), mesh)
        carried = place(jax.tree.map(jnp.copy, state))
        program = advance.lower(carried, None, place(jax.random.key(0)), 0, 1, *data).compile()
        programs.append(program)
        after, _ = advance(carried, None, place(jax.random.key(0)), 0, 1, *data)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(carried))
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(carried))
        assert program.memory_analysis().alias_size_in_bytes >= size
        assert not any(word in program.as_text() for word in ("callback", "infeed", "outfeed", "send(", "recv("))
        if here is not None:
            assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(after))
    observers = []
    watch = nt.on_data({"elsewhere": mean_square}, inputs, targets)
    for chosen in (mesh, nt.data_mesh(jax.devices()[:1])):
        look = compile_observer(watch, chosen, 8)
        observers.append(look.lower(replicate(network(), chosen), *shard_padded(samples(8), chosen)).compile())
    one, four = (program.memory_analysis().argument_size_in_bytes for program in programs)
    data = inputs.nbytes + targets.nbytes
    assert one - four == data * 3 // 4
    for one, four in (programs, observers[::-1]):
        # the tanh of a quarter of the samples; the square roots of Adam are all done by every device
        assert four.cost_analysis()["transcendentals"] < 0.27 * one.cost_analysis()["transcendentals"]
    calls, compiled = [], training.compile_epochs
    training.compile_epochs = lambda *arguments: lambda *rest: (calls.append(rest[3:5]), compiled(*arguments)(*rest))[1]
    try:
        train(mesh)
    finally:
        training.compile_epochs = compiled
    assert calls == [(0, 3), (3, 6)]  # one program between records


def check_observers_equal_one_device(folder):
    net, (inputs, targets), mesh = network(), samples(), nt.data_mesh()
    observe = nt.combine(nt.thermodynamic_observer(relaxed_samples=30), nt.state_observer())
    expected = jax.jit(observe)(net, jnp.asarray(inputs), jnp.asarray(targets))
    # the mean over 41 states differs by 41 ε, and the eigenvalues of Ĝ, between 1/100 and 100 here, by 100 times that
    assert_close(nt.on_mesh(observe, mesh)(net, inputs, targets), expected, 1e-11)
    alone = nt.on_mesh({"total": total_input}, mesh)(net, inputs[:2])  # the rows that fill up are not seen
    np.testing.assert_allclose(alone["total"], inputs[:2].sum(), rtol=1e-14)
    recorder = nt.Recorder(nt.on_mesh({"mean_square": mean_square}, mesh))
    recorder.record(0, net, jnp.asarray(inputs), jnp.asarray(targets))
    np.testing.assert_allclose(recorder.history["mean_square"][0], mean_square(net, inputs, targets), rtol=1e-14)


def check_maps_equal_a_loop(folder):
    net, (inputs, _), mesh = network(), samples(6), nt.data_mesh()

    def heat(u):
        return nt.measure(net, net.propagate(u), 2.0).heat_capacity

    expected = [*map(jax.jit(heat), jnp.asarray(inputs))]
    np.testing.assert_allclose(nt.map_over(heat, mesh)(inputs), expected, rtol=1e-12)  # cond(1 + βĜ) < 1e3
    keys = jax.random.split(jax.random.key(2), 5)

    def both(key, x):
        return {"drawn": jax.random.normal(key, (2,)) + x, "x": x}

    for chunk in (None, 2):
        found = nt.map_over(both, mesh, chunk=chunk)(keys, jnp.arange(5.0))
        np.testing.assert_array_equal(found["x"], np.arange(5.0))
        np.testing.assert_array_equal(found["drawn"], jax.vmap(both)(keys, jnp.arange(5.0))["drawn"])
    cubes = jax.jit(jax.grad(lambda x: jnp.sum(nt.map_over(lambda a: a**3, mesh)(x))))(jnp.arange(5.0))
    np.testing.assert_array_equal(cubes, 3 * np.arange(5.0) ** 2)
    rows = "`arrays` must have one and the same number of rows, not 0, but got leading dimensions"
    refused(rf"{rows} \[\(2,\), \(3,\)\]", nt.map_over(both, mesh), jnp.ones(2), jnp.ones(3))
    refused(rf"{rows} \[\(0,\)\]", nt.map_over(heat, mesh), jnp.ones((0, 3)))
    refused("`chunk` must be positive, but got 0", nt.map_over, heat, mesh, chunk=0)

    def error(w):
        return mean_square(nt.FeedForward(w, net.biases, activation=jnp.tanh), *map(jnp.asarray, samples(6)))

    probes = {"method": "stochastic", "key": jax.random.key(1), "probes": 10, "chunk": 2}
    for options in ({}, probes):
        one, other = (jax.jit(lambda w, o=options, m=m: nt.laplacian(error, w, mesh=m, **o)) for m in (None, mesh))
        one = one(net.weights)
        assert_close(other(net.weights), one, 1e-13)  # 30 terms of order 1
        assert '"samples"=4' in other.lower(net.weights).as_text()
    assert one.standard_error > 0.01  # so the probes differ


def check_maps_within_maps_and_under_meshes_of_the_caller(folder):
    """Inside `map_over` each device is alone; a mesh that the caller has set is none of the library's."""
    net, (inputs, targets), mesh, scales = network(), samples(6), nt.data_mesh(), jnp.arange(1.0, 6.0)
    look = nt.on_data({"elsewhere": mean_square}, inputs, targets)

    def scaled(s):
        return look(jax.tree.map(lambda w: s * w, net), None, None)["elsewhere"]

    expected = [*map(jax.jit(scaled), scales)]
    np.testing.assert_allclose(nt.map_over(scaled, mesh)(scales), expected, rtol=1e-14)
    table = nt.map_over(lambda s: nt.map_over(lambda a, b: a**2 * s + b, mesh, chunk=2)(scales, scales), mesh)(scales)
    np.testing.assert_array_equal(table, scales[None, :] ** 2 * scales[:, None] + scales[None, :])
    total = nt.map_over(lambda s: jnp.sum(nt.shard(s * scales[:4], mesh) + nt.replicate(s, mesh)), mesh)(scales)
    np.testing.assert_array_equal(total, 14 * scales)
    with jax.set_mesh(jax.make_mesh((4,), ("samples",), axis_types=(AxisType.Explicit,))):
        np.testing.assert_allclose(jax.jit(look)(net, None, None)["elsewhere"], expected[0], rtol=1e-14)
        np.testing.assert_array_equal(nt.map_over(lambda a: a**2, mesh)(np.arange(5.0)), np.arange(5.0) ** 2)
    for name, kind in (("samples", AxisType.Explicit), ("other", AxisType.Auto)):
        with jax.set_mesh(jax.make_mesh((4,), (name,), axis_types=(kind,))):
            given = jax.tree.map(lambda a: a + 0.0, (net, samples()))  # arrays on the caller's mesh
            assert_close(train(mesh, net=given[0], data=given[1]), train(mesh))
            refused(
                r"`mesh` must be None inside of `jax.set_mesh`, but got \('\w+',\)",
                nt.laplacian,
                jnp.sum,
                scales,
                mesh=mesh,
            )


def check_traced_networks_train_as_on_one_device(folder):
    """With constants of every kind beside the parameters, random keys among them."""
    offset, key = np.asarray([0.2, -0.1]), jax.random.key(9)

    def layers(q, u):
        noise = 0.1 * jax.random.normal(key, (2,))
        return jnp.tanh(q["w"] @ u + offset + noise)

    net = nt.network_from(layers, jnp.zeros(3), {"w": network().weights[0][:2]})
    change = {"net": net, "observe": {"outputs": observed}, "loss": nt.relaxed_bulk_loss, "observe_at": (0, 6)}
    one, four = train(**change), train(nt.data_mesh(), **change)
    assert_close((four.network.parameters, four.history), (one.network.parameters, one.history))
    assert float(jnp.abs(one.network.parameters["w"] - net.parameters["w"]).min()) > 0.001
    assert all(leaf.sharding.is_fully_addressable for leaf in jax.tree.leaves(four.network.parameters))


def observed(net, inputs, targets):
    return jax.vmap(lambda u: net.outputs(net.propagate(u)))(inputs)


def check_checkpoints_go_on_elsewhere(folder):
    mesh, two = nt.data_mesh(), nt.data_mesh(jax.devices()[:2])
    noisy = {"optimizer": optax.chain(optax.noisy_sgd(0.1, key=jax.random.key(5)), optax.trace(0.9))}
    whole = {name: train(where, **noisy) for name, where in (("four", mesh), ("one", None))}
    for name, start, ends in (("four", mesh, (mesh, two, None)), ("one", None, (mesh,))):
        with interrupted(2):
            train(start, checkpoint=nt.Checkpoint(folder / name, every=2), **noisy)
        for k, end in enumerate(ends):
            copy = shutil.copytree(folder / name, folder / f"{name}-{k}")
            result = train(end, checkpoint=nt.Checkpoint(copy, every=2), **noisy)
            assert sorted(int(step.name) for step in copy.iterdir() if step.name.isdigit()) == [4, 6]
            assert_close(result, whole[name], 0 if end is start else ROUNDING)


# Two processes of two devices each: both run each check


def together_training_equals_one_process(folder):
    told, shown = [], []
    sink, progress = (lambda *record: told.append(record[0])), (lambda *now: shown.append(now))
    whole = train(nt.data_mesh(), sinks=sink, progress=progress)
    assert told == ([0, 3, 6] if jax.process_index() == 0 else [])
    assert shown == ([(3, 6), (6, 6)] if jax.process_index() == 0 else [])
    for leaf in jax.tree.leaves(whole.network):
        assert leaf.is_fully_addressable
    np.savez(folder / f"trained{jax.process_index()}", *jax.tree.leaves(whole.network), **whole.history)
    alone = train(nt.data_mesh(jax.local_devices()), observe={}, observe_at=())
    assert_close(alone.network, whole.network)


def together_the_first_process_decides(folder):
    rank = jax.process_index()

    def rule(history):
        epoch = int(history["epoch"][-1])
        return nt.Stopped(epoch, f"process {rank}") if epoch >= 3 * (rank == 0) else None

    assert train(nt.data_mesh(), stop=rule).stopped == (3, "process 0")


def together_differences_are_refused(folder):
    rank, mesh = jax.process_index(), nt.data_mesh()
    for name, change in {
        "inputs": {"data": (samples()[0] + rank, samples()[1])},
        "key": {"key": jax.random.key(rank)},
        "epochs": {"epochs": 6 + rank},
        "progress": {"progress": rank == 1},
    }.items():
        sentence = f"`{name}` must be the same in every process, but got another in process \\[1\\]"
        refused(sentence, train, mesh, **change)
    processes = f"hold devices of this process alone or of every process, but got processes \\[{1 - rank}\\]"
    others = [device for device in jax.devices() if device.process_index != rank]
    refused(f"`devices` must {processes}", nt.data_mesh, others)
    refused(f"`mesh` must {processes}", train, Mesh(np.array(others), ("samples",)))


def together_observers_and_maps_equal_one_process(folder):
    net, (inputs, targets), mesh = network(), samples(), nt.data_mesh()
    observe = nt.state_observer()
    assert_close(nt.on_mesh(observe, mesh)(net, inputs, targets), jax.jit(observe)(net, inputs, targets))
    keys = jax.random.split(jax.random.key(0), 5)
    drawn = nt.map_over(lambda key: jax.random.normal(key, (3,)), mesh)(keys)
    np.testing.assert_array_equal(drawn, jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys))
    there = nt.shard(inputs[:40], mesh)
    for shard in there.addressable_shards:
        np.testing.assert_array_equal(shard.data, inputs[:40][shard.index])
    assert len(there.addressable_shards) == 2


def together_checkpoints_go_on(folder):
    with interrupted(2):
        train(nt.data_mesh(), checkpoint=nt.Checkpoint(folder / "shared", every=2))
    if jax.process_index() == 0:
        shutil.copytree(folder / "shared", folder / "left")
    result = train(nt.data_mesh(), checkpoint=nt.Checkpoint(folder / "shared", every=2))
    assert_same(result, train(nt.data_mesh()))
    assert sorted(int(step.name) for step in (folder / "shared").iterdir() if step.name.isdigit()) == [4, 6]


def reports(kind, folder, *, devices, processes=1, seconds=200):
    """What the checks of each process found."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    path = os.pathsep.join([str(Path(nt.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    printed = [folder / f"printed{rank}" for rank in range(processes)]  # a pipe that nobody reads stops its writer
    running = []
    try:
        for rank, file in enumerate(printed):
            command = [sys.executable, __file__, kind, str(folder), str(port), str(rank), str(processes)]
            with file.open("w") as out:
                running.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment))
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.05)
            if any(process.poll() for process in running):  # the others would wait for it
                break
    finally:
        for process in running:
            process.kill()
            process.wait()
    text = "\n".join(file.read_text()[-5000:] for file in printed)
    assert [process.returncode for process in running] == [0] * processes, text
    return [json.loads(file.read_text().splitlines()[-1]) for file in printed]


@pytest.mark.slow
def test_four_devices(tmp_path):
    (found,) = reports("check", tmp_path, devices=4)
    assert found == dict.fromkeys(named("check"), "passed"), "\n".join(found.values())


@pytest.mark.slow
def test_two_processes(tmp_path):
    for found in reports("together", tmp_path, devices=2, processes=2):
        assert found == dict.fromkeys(named("together"), "passed"), "\n".join(found.values())
    alone = train()
    expected = {f"arr_{k}": leaf for k, leaf in enumerate(jax.tree.leaves(alone.network))} | alone.history
    one, other = (dict(np.load(tmp_path / f"trained{rank}.npz")) for rank in range(2))
    assert_close(one, expected)
    assert_close(one, other, 0)
    left = tmp_path / "left"  # by two processes, taken up by one with one device
    assert sorted(int(step.name) for step in left.iterdir() if step.name.isdigit()) == [2, 4]
    assert_close(train(checkpoint=left), alone)


def test_one_device_is_a_mesh_too():
    mesh = nt.data_mesh(jax.devices()[:1])
    assert_close(train(mesh), train())
    refused("`devices` must hold at least one device, but got none", nt.data_mesh, [])
    refused("`devices` must be JAX devices, but got 3", nt.data_mesh, [3], kind=TypeError)
    for function in (nt.shard, nt.replicate):
        sentence = r"`mesh` must be a jax.sharding.Mesh, as from data_mesh\(\), but got NoneType"
        refused(sentence, function, np.ones(3), None, kind=TypeError)
    leaf = "`tree` must hold arrays, numbers or random keys, but got str"
    refused(leaf, nt.replicate, {"a": 1.0, "name": "abc"}, mesh, kind=TypeError)
    refused("`function` must be a function, but got 3", nt.map_over, 3, mesh, kind=TypeError)
    look = nt.on_mesh({"total": total_input}, mesh)
    rows = r"`targets` must have 5 rows, as many as inputs, but got shape \(8, 2\)"
    refused(rows, look, network(), np.ones((5, 3)), np.ones((8, 2)))
    refused(rows, nt.on_data, {}, np.ones((5, 3)), np.ones((8, 2)))
    refused(r"`inputs` must hold at least one sample, but got shape \(0, 3\)", look, network(), np.ones((0, 3)))
    refused(r"`inputs` must have 2 dimensions or more, but got shape \(3,\)", look, network(), np.ones(3))


def named(kind):
    return [name for name in globals() if name.startswith(f"{kind}_")]


def main(kind, folder, port, rank, processes):
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    if int(processes) > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", int(processes), int(rank))
    found = {}
    for name in named(kind):
        start = time.monotonic()
        try:
            globals()[name](Path(folder))
            found[name] = "passed"
        except Exception:
            found[name] = f"{name}: {traceback.format_exc()}"
            if int(processes) > 1:  # the other process would wait for this one
                print(found[name], flush=True)
                os._exit(1)
        print(f"{name} took {time.monotonic() - start:.1f} s")
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
