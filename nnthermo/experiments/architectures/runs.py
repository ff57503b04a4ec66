"""One run: all architectures of one activation and depth, from all seeds, trained together and scored along the way.

The networks are stacked along two axes, (seeds, architectures): each seed has its own order of samples, which its
architectures share. Architectures are spread over the devices there are. After each record a file keeps weights,
optimiser and scores; killed, the run goes on from the last one to the same bits.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nnthermo._checks import extra
from nnthermo._typing import Array
from nnthermo.experiments import processes
from nnthermo.experiments.architectures.family import ACTIVATIONS, Architecture, family
from nnthermo.experiments.architectures.scores import baselines, each, fixed_scores, thermodynamic_scores
from nnthermo.experiments.architectures.settings import Settings
from nnthermo.experiments.architectures.stack import Parameters, Wiring, boundary_losses, initial, responses, wirings
from nnthermo.experiments.folder import save_arrays
from nnthermo.experiments.histories import save_run
from nnthermo.experiments.processes import Report
from nnthermo.experiments.samples import Data, held_out

NETWORKS = PartitionSpec(None, "architectures")
"""How what has axes (seeds, architectures, ...) lies on the devices."""


@dataclasses.dataclass(frozen=True)
class Job(processes.Job[Settings]):
    """All architectures of one activation and one depth; `folder` gets a NetCDF file of their scores."""

    activation: str
    depth: int

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished run stands."""
        return self.folder / f"{self.name}.npz"


def members(settings: Settings, inputs: int, outputs: int) -> list[Architecture]:
    """The family of the settings."""
    return family(
        depths=settings.depths, activations=settings.activations, skips=settings.skips, inputs=inputs, outputs=outputs,
        neurons=settings.neurons, parameters=settings.parameters,
    )  # fmt: skip


def run(job: Job, report: Report | None = None) -> None:
    """Train in float32 and score in float64; an interrupted run continues to the same numbers."""
    _run(job, report)
    job.checkpoint.unlink(missing_ok=True)


class State(NamedTuple):
    """Of a training: weights and optimiser, with axes (seeds, architectures, ...)."""

    parameters: Parameters
    optimizer: Any


class Trainer:
    """The compiled steps of a run, on all devices."""

    def __init__(self, architectures: list[Architecture], settings: Settings, data: Data) -> None:
        self.settings, self.data = settings, data
        inputs, outputs = data.inputs.shape[1], data.targets.shape[1]
        depth, activation = architectures[0].depth, ACTIVATIONS[architectures[0].activation]
        self.network: dict[str, Any] = {"activation": activation, "depth": depth, "outputs": outputs}
        devices = jax.devices()[: len(architectures)]
        self.mesh = Mesh(np.array(devices), ("architectures",))
        self.count = len(architectures)
        padded = architectures + architectures[:1] * (-len(architectures) % len(devices))
        self.wiring = self._spread(wirings(padded, outputs, np.float32), 0)
        self.optimizer = optax.adam(settings.learning_rate)
        self.keys = jnp.stack([jax.random.key(seed) for seed in settings.seeds])
        self._inputs = inputs

        def shared(function: Any, of_wiring: Any, *others: Any, out: Any) -> Any:
            specs = (of_wiring, *others)
            return jax.jit(jax.shard_map(function, mesh=self.mesh, in_specs=specs, out_specs=out, check_vma=False))

        along, whole = PartitionSpec("architectures"), PartitionSpec()
        self._start = shared(self._starts, along, along, whole, out=NETWORKS)
        self._epoch = shared(self._epochs, along, NETWORKS, whole, whole, whole, out=NETWORKS)
        self._test = shared(self._tests, along, NETWORKS, whole, whole, out=NETWORKS)
        self._score = shared(self._scores, along, NETWORKS, whole, whole, out=NETWORKS)

    def _spread(self, tree: Any, axis: int) -> Any:
        """Put on the devices, architectures (on `axis`) apart."""
        spec = PartitionSpec(*[None] * axis, "architectures")
        return jax.tree.map(lambda a: jax.device_put(a, NamedSharding(self.mesh, spec)), tree)

    def start(self) -> State:
        """Untrained networks: weights by seed and by place in the family."""
        return self._start(self.wiring, jnp.arange(len(self.wiring.first)), self.keys)

    def _starts(self, wiring: Wiring, places: Array, keys: Array) -> State:
        def one(key: Array, place: Array, own: Wiring) -> State:
            p = initial(jax.random.fold_in(key, place), own, self._inputs, self.settings.scale)
            return State(p, self.optimizer.init(p))

        return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(keys, places, wiring)

    def epoch(self, state: State, epoch: int) -> State:
        """Each network after one more pass over the data."""
        keys = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, 1 << 30), epoch))(self.keys)
        with jax.numpy_dtype_promotion("standard"):  # Optax multiplies numbers of both kinds
            return self._epoch(self.wiring, state, keys, self.data.inputs, self.data.targets)

    def _epochs(self, wiring: Wiring, state: State, keys: Array, inputs: Array, targets: Array) -> State:
        batch = self.settings.batch_size
        steps = len(inputs) // batch
        orders = jax.vmap(lambda key: jax.random.permutation(key, len(inputs))[: steps * batch])(keys)

        def loss(p: Parameters, own: Wiring, u: Array, t: Array) -> Array:
            return jnp.mean(boundary_losses(p, own, u, t, **self.network))

        def one(own: Wiring, s: State, u: Array, t: Array) -> State:
            slopes = jax.grad(loss)(s.parameters, own, u, t)
            slopes = Parameters(slopes.first * own.first[:, None], slopes.links * own.links, slopes.bias * own.alive)
            change, memory = self.optimizer.update(slopes, s.optimizer)
            return State(optax.apply_updates(s.parameters, change), memory)

        def step(s: State, chosen: Array) -> tuple[State, None]:  # chosen: (seeds, batch)
            u, t = inputs[chosen], targets[chosen]
            together = jax.vmap(jax.vmap(one, (0, 0, None, None)), (None, 0, 0, 0))
            return together(wiring, s, u, t), None

        return jax.lax.scan(step, state, jnp.moveaxis(orders.reshape(len(keys), steps, batch), 1, 0))[0]

    def record(self, state: State) -> dict[str, np.ndarray]:
        """Losses, accuracies and scores, (seeds, architectures, ...)."""
        n = {"test_": (self.data.test_inputs, self.data.test_targets), "": (self.data.inputs, self.data.targets)}
        found: dict[str, Any] = {}
        for start, (inputs, targets) in n.items():
            tested = self._test(self.wiring, state.parameters, inputs, targets)
            found |= {f"{start}{name}": value for name, value in tested.items()}
        precise = jax.tree.map(lambda a: a.astype(jnp.float64), (self.wiring, state.parameters))
        some = max(self.settings.spectrum_samples, self.settings.kernel_samples)
        samples = (self.data.inputs[:some].astype(np.float64), self.data.targets[:some].astype(np.float64))
        found |= self._score(*precise, *samples)
        return {name: np.asarray(value)[:, : self.count] for name, value in found.items()}

    def _tests(self, wiring: Wiring, parameters: Parameters, inputs: Array, targets: Array) -> dict[str, Array]:
        def one(own: Wiring, p: Parameters) -> dict[str, Array]:
            got = responses(p, own, inputs, **self.network)
            right = jnp.argmax(got, axis=-1) == jnp.argmax(targets, axis=-1)
            loss = 0.5 * jnp.mean(jnp.sum((got - targets) ** 2, axis=-1))
            return {"accuracy": jnp.mean(right.astype(loss.dtype)), "boundary_loss": loss}

        return _all(one, wiring, parameters)

    def _scores(self, wiring: Wiring, parameters: Parameters, inputs: Array, targets: Array) -> dict[str, Array]:
        betas = jnp.asarray(self.settings.betas, inputs.dtype)
        few, some = self.settings.spectrum_samples, self.settings.kernel_samples

        def one(own: Wiring, p: Parameters) -> dict[str, Array]:
            thermodynamic = thermodynamic_scores(p, own, inputs[:few], betas, **self.network)
            return thermodynamic | baselines(p, own, inputs[:some], targets[:some], **self.network)

        return _all(one, wiring, parameters)


def _all(one: Callable[[Wiring, Parameters], Any], wiring: Wiring, parameters: Parameters) -> Any:
    """Of each network, (seeds, architectures, ...)."""
    return jax.lax.map(lambda p: each(lambda pair: one(*pair), (wiring, p)), parameters)


@processes.once
def _run(job: Job, report: Report | None = None) -> None:
    settings, data = job.settings, held_out(job.settings, job.data_dir)
    chosen = [
        a
        for a in members(settings, data.inputs.shape[1], data.targets.shape[1])
        if (a.activation, a.depth) == (job.activation, job.depth)
    ]
    trainer = Trainer(chosen, settings, data)
    rows: list[dict[str, np.ndarray]] = []
    state, epoch = trainer.start(), 0
    if job.checkpoint.exists():
        state, epoch, rows = _restored(job.checkpoint, state, trainer.count)
    while True:
        if epoch in settings.records[len(rows) :][:1]:
            rows.append(trainer.record(state))
            _keep(job.checkpoint, state, epoch, rows, trainer.count)
        if report:
            report(job.name, epoch, settings.epochs)
        if epoch == settings.epochs:
            break
        state, epoch = trainer.epoch(state, epoch), epoch + 1
        if epoch % max(1, settings.epochs // 5) == 0:
            _keep(job.checkpoint, state, epoch, rows, trainer.count)
    _write(job, chosen, rows, data)


def _keep(file: Path, state: State, epoch: int, rows: list[dict[str, np.ndarray]], count: int) -> None:
    leaves = {f"leaf_{k}": np.asarray(leaf)[:, :count] for k, leaf in enumerate(jax.tree.leaves(state))}
    recorded = {f"row_{k}_{name}": v for k, row in enumerate(rows) for name, v in row.items()}
    save_arrays(file, {"epoch": np.asarray(epoch), "rows": np.asarray(len(rows)), **leaves, **recorded})


def _restored(file: Path, like: State, count: int) -> tuple[State, int, list[dict[str, np.ndarray]]]:
    with np.load(file) as saved:
        leaves, structure = jax.tree.flatten(like)
        placed = []
        for k, leaf in enumerate(leaves):
            whole = np.array(leaf)  # what pads the devices is as at the start: nobody looks at it
            whole[:, :count] = saved[f"leaf_{k}"]
            placed.append(jax.device_put(whole, leaf.sharding))
        rows: list[dict[str, np.ndarray]] = []
        for k in range(int(saved["rows"])):
            start = f"row_{k}_"
            rows.append({name.removeprefix(start): saved[name] for name in saved.files if name.startswith(start)})
        return jax.tree.unflatten(structure, placed), int(saved["epoch"]), rows


def _write(job: Job, architectures: list[Architecture], rows: list[dict[str, np.ndarray]], data: Data) -> None:
    """A run as NetCDF: dimensions (seed, architecture, epoch, beta), and what is fixed by the drawing."""
    settings = job.settings
    variables: dict[str, Any] = {}
    for name in rows[0]:
        values = np.stack([row[name] for row in rows], axis=2)
        variables[name] = (("seed", "architecture", "epoch", "beta")[: values.ndim], values)
    sizes = data.inputs.shape[1], data.targets.shape[1]
    drawn = [fixed_scores(a, *sizes) for a in architectures]
    for name in drawn[0]:
        variables[name] = (("architecture",), np.array([d[name] for d in drawn]))
    coordinates: dict[str, Any] = {
        "seed": list(settings.seeds),
        "architecture": [a.name for a in architectures],
        "epoch": list(settings.records),
        "beta": list(settings.betas),
    }
    for name in ("shape", "skip", "activation", "wiring"):
        coordinates[name] = (("architecture",), [getattr(a, name) for a in architectures])
    save_run(job.file, variables, coordinates, settings)


def load_runs(jobs: list[Job]) -> Any:
    """The scores of all finished runs as one dataset, architectures in the order of the family."""
    xarray = extra("xarray", "experiments")
    parts = []
    for job in jobs:
        with xarray.open_dataset(job.file, engine="h5netcdf") as dataset:
            parts.append(dataset.load())
    # without the encoding of the first file, whose width of text would cut the names of the others
    return xarray.concat(parts, dim="architecture", data_vars="minimal", join="exact").drop_encoding()
