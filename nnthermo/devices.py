"""Work divided over devices and processes: samples, seeds or probes are split, networks are copied.

The programs are those of one device; the compiler divides them (`jax.sharding`) and adds up what the devices found. So
numbers differ from those of one device by the order of summation, and by nothing else.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from nnthermo._checks import check, instance, integer, is_concrete, is_key
from nnthermo._checks import function as check_function
from nnthermo._typing import Array

P = ParamSpec("P")
R = TypeVar("R")

AXIS = "samples"
"""The axis of every mesh made here: whatever is divided is divided along its leading dimension."""


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Devices in a row, to divide samples, seeds or probes over: a `jax.sharding.Mesh` with the one axis "samples".

    Args:
        devices: all devices of all processes if None.

    Raises:
        ValueError: no devices, one of them twice, or those of some processes but not of all.
        TypeError: what are not devices.
    """
    chosen = list(jax.devices() if devices is None else devices)
    for device in chosen:
        if not isinstance(device, jax.Device):
            raise TypeError(f"`devices` must be JAX devices, but got {device!r}")
    check("devices", "hold at least one device", len(chosen) > 0, "none")
    check("devices", "differ from each other", len(set(chosen)) == len(chosen), chosen)
    return as_data_mesh(Mesh(np.array(chosen), (AXIS,)), "devices")


def as_data_mesh(mesh: Any, name: str = "mesh") -> Mesh:
    """The devices of any mesh in a row, as from `data_mesh`.

    Raises:
        TypeError: not a mesh of devices.
        ValueError: a mesh over some of the processes, or without a device of this one.
    """
    instance(name, mesh, Mesh, "a jax.sharding.Mesh, as from data_mesh()")
    devices = mesh.devices.reshape(-1)
    held = {device.process_index for device in devices}
    allowed = ({jax.process_index()}, set(range(jax.process_count())))
    check(name, "hold devices of this process alone or of every process", held in allowed, f"processes {sorted(held)}")
    return Mesh(devices, (AXIS,), axis_types=(AxisType.Auto,))


def without_callers_mesh(function: Callable[P, R]) -> Callable[P, R]:
    """The function as where the caller has set no mesh (`jax.set_mesh`), if it is given a `mesh` of its own."""

    @wraps(function)
    def apart(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("mesh") is None:
            return function(*args, **kwargs)
        with jax.sharding.use_abstract_mesh(AbstractMesh((), ())):
            return function(*args, **kwargs)

    return apart


def is_shared(mesh: Mesh) -> bool:
    """Whether several processes work on the mesh together."""
    return len({device.process_index for device in mesh.devices.flat}) > 1


def divided(mesh: Mesh) -> NamedSharding:
    """The leading dimension over the devices of a data mesh."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def copied(mesh: Mesh) -> NamedSharding:
    """A copy on each device of a data mesh."""
    return NamedSharding(mesh, PartitionSpec())


def shard(tree: Any, mesh: Mesh) -> Any:
    """Arrays divided over the devices of a mesh along their leading dimension: of samples, seeds, keys or probes.

    With several processes each gives the whole arrays, the same ones, and keeps its part of them; arrays too large for
    that are made by `jax.make_array_from_process_local_data` instead.

    Args:
        tree: pytree of arrays (n, ...), random keys among them, n a multiple of the number of devices.
        mesh: as from `data_mesh`; of any other the devices are taken in their order.

    Returns:
        Global arrays of the same shapes.

    Raises:
        ValueError: an array without dimensions, or with a leading one that does not divide; a mesh of some processes.
        TypeError: not a mesh, or leaves that are no arrays.
    """
    mesh = as_data_mesh(mesh)
    for leaf in jax.tree.leaves(tree):
        rows = np.shape(leaf)[0] if np.ndim(leaf) else 0
        requirement = f"have arrays with a leading dimension divisible by the {mesh.size} devices of the mesh"
        check("tree", requirement, np.ndim(leaf) and rows % mesh.size == 0, f"shape {np.shape(leaf)}")
    return jax.tree.map(partial(_place, sharding=divided(mesh)), tree)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Arrays copied to every device of a mesh: networks, optimiser states.

    With several processes each gives the same arrays.

    Args:
        tree: pytree of arrays, random keys among them, or numbers.
        mesh: as from `data_mesh`.

    Raises:
        ValueError: a mesh of some processes but not of all.
        TypeError: not a mesh, or leaves that are no arrays.
    """
    return jax.tree.map(partial(_place, sharding=copied(as_data_mesh(mesh))), tree)


def shard_padded(tree: Any, mesh: Mesh) -> Any:
    """`shard`, filled up with copies of the last row until it divides."""
    return jax.tree.map(lambda a: _place(_filled_up(a, mesh.size), divided(mesh)), tree)


def split_here(tree: Any) -> Any:
    """Inside a program that works on a data mesh, arrays divided over its devices; elsewhere, the arrays."""
    here = jax.sharding.get_abstract_mesh()
    if dict(zip(here.axis_names, here.axis_types, strict=True)).get(AXIS) != AxisType.Auto:
        return tree  # a mesh of the caller's own, or the inside of `map_over`
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(AXIS))


def map_over(function: Callable, mesh: Mesh, *, chunk: int | None = None) -> Callable:
    """`jax.vmap` over the devices of a mesh: each works through its share of the rows, and nothing passes between them.

        mesh = nt.data_mesh()
        each = nt.map_over(lambda u: nt.measure(net, net.propagate(u), beta), mesh)(inputs)  # samples
        grown = nt.map_over(lambda key: experiment(key), mesh)(jax.random.split(key, 64))    # seeds

    Args:
        function: of one row of each array -> pytree of arrays.
        mesh: as from `data_mesh`.
        chunk: rows that a device works on together, under `vmap`; one by one, without it, if None.

    Returns:
        A function (arrays (n, ...), ...) -> the results with the leading dimension n, whole in every process. Where n
        does not divide, the last row is worked out again. It composes with jit, vmap and grad. Within another
        `map_over`, or any `jax.shard_map`, it maps on the device that it is on. A mesh that the caller has set does
        not matter, but arrays with its explicit axes must be arguments: JAX does not let the function close over them.

    Raises:
        ValueError: chunk below 1, a mesh of some processes; when called, no arrays, or arrays of unequal length or
            without rows.
        TypeError: not a function, chunk not an integer, not a mesh.
    """
    check_function("function", function)
    mesh = as_data_mesh(mesh)
    chunk = None if chunk is None else integer("chunk", chunk, least=1)
    specs: dict[str, Any] = {"in_specs": PartitionSpec(AXIS), "out_specs": PartitionSpec(AXIS)}

    def in_turn(rows: tuple) -> Any:
        return jax.lax.map(lambda row: function(*row), rows, batch_size=chunk)

    share = jax.shard_map(in_turn, mesh=mesh, check_vma=False, **specs)

    @partial(jax.jit, static_argnums=1, out_shardings=copied(mesh))
    def whole(rows: tuple, count: int) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # whatever mesh the caller has set
            return jax.tree.map(lambda a: a[:count], share(rows))

    def mapped(*arrays: Any) -> Any:
        lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(arrays)}
        good = len(lengths) == 1 and not lengths & {(), (0,)}
        check("arrays", "have one and the same number of rows, not 0", good, f"leading dimensions {sorted(lengths)}")
        if _on_one_device():
            return in_turn(arrays)
        (count,) = next(iter(lengths))
        return whole(shard_padded(arrays, mesh), count)

    return mapped


def check_same_everywhere(**named: Any) -> None:
    """Refuse, in every process, what is not the same in all: numbers, texts and pytrees of arrays, by name.

    All processes must call it.
    """
    digests = []
    for value in named.values():
        sha = hashlib.sha256()
        for leaf in jax.tree.leaves(value):
            array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
            sha.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        digests.append(np.frombuffer(sha.digest(), np.uint8))
    every = np.asarray(multihost_utils.process_allgather(np.stack(digests)))
    for k, name in enumerate(named):
        differ = np.flatnonzero((every[:, k] != every[:1, k]).any(axis=-1))
        check(name, "be the same in every process", not differ.size, f"another in process {differ.tolist()}")


def said_by_first(text: str) -> str:
    """The text of process 0, in every process; all must call it."""
    spoken = text.encode() + b"."  # never empty
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(spoken))))
    letters = np.frombuffer(spoken, np.uint8) if jax.process_index() == 0 else np.zeros(length, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(letters)).astype(np.uint8).tobytes()[:-1].decode()


def _on_one_device() -> bool:
    """Whether this is the inside of a `shard_map`, where each device does what it does by itself."""
    return AxisType.Manual in jax.sharding.get_abstract_mesh().axis_types


def _place(leaf: Any, sharding: NamedSharding) -> Array:
    if _on_one_device():
        return leaf
    if not isinstance(leaf, jax.Array) and np.asarray(leaf).dtype.kind in "OSUMm":
        raise TypeError(f"`tree` must hold arrays, numbers or random keys, but got {type(leaf).__name__}")
    if not is_concrete(leaf):
        return jax.lax.with_sharding_constraint(leaf, sharding)
    if is_key(leaf):
        return jax.random.wrap_key_data(_place(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    if sharding.is_fully_addressable or not getattr(leaf, "is_fully_addressable", True):
        return jax.device_put(leaf, sharding)
    host = np.asarray(jnp.asarray(leaf))
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def _filled_up(array: Any, devices: int) -> Array:
    array = jnp.asarray(array)
    missing = -array.shape[0] % devices
    return jnp.concatenate([array, jnp.repeat(array[-1:], missing, axis=0)]) if missing else array
