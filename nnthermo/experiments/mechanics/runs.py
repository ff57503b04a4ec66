"""The ensembles of one network: trained, and set beside what the Fokker-Planck equation says of them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo import mechanics
from nnthermo._typing import Array
from nnthermo.experiments import processes
from nnthermo.experiments.folder import save_arrays
from nnthermo.experiments.mechanics import gaussian, plane
from nnthermo.experiments.mechanics.ensembles import gaussian_start, trained
from nnthermo.experiments.mechanics.problem import Problem, make_problem
from nnthermo.experiments.mechanics.settings import ARMS, SHOWN, Settings
from nnthermo.experiments.processes import Report

CURVATURE_REPLICAS, NOISE_REPLICAS = 256, 32
"""Replicas over which the trace of the Hessian and the covariance of the gradients are averaged."""


@dataclasses.dataclass(frozen=True)
class Job(processes.Job[Settings]):
    """One arm of one seed."""

    arm: str
    seed: int

    suffix = ".npz"


@processes.once
def run(job: Job, report: Report | None = None) -> None:
    """Train an ensemble and predict it; a killed run goes on from its last record to the same numbers."""
    problem = make_problem(job.settings, job.seed, job.data_dir)
    arms = {"plane": run_plane, "weights": run_weights, "planck": run_planck}
    found = arms[job.arm](problem, job, report)
    save_arrays(job.file, {**found, "gradient_norm": np.asarray(problem.gradient_norm)})
    for state in job.folder.glob(f"{job.name}*.state.npz"):
        state.unlink()


def _keys(job: Job) -> tuple[Array, Array]:
    """Of the start and of the batches."""
    both = jax.random.split(jax.random.fold_in(jax.random.key(job.seed), ARMS.index(job.arm)))
    return both[0], both[1]


def _told(job: Job, report: Report | None, total: int, before: int = 0) -> Callable[[int], None] | None:
    return None if report is None else lambda done: report(job.name, before + done, total)


def run_plane(problem: Problem, job: Job, report: Report | None = None) -> dict[str, np.ndarray]:
    """SGD in the plane, (records, replicas, 2), and the density that the Fokker-Planck equation gives."""
    settings, times = job.settings, job.settings.records_of("plane")
    linear = gaussian.linearise(problem, settings.plane_learning_rate, settings.plane_batch_size)
    where = plane.make_plane(problem, linear)
    centre, spread = plane.start_of(where, settings)
    start_key, key = _keys(job)
    start = gaussian_start(start_key, centre, spread, settings.replicas, jnp.float32)
    ensemble = trained(
        plane.plane_loss(problem, where), (problem.inputs, problem.targets), start, key,
        learning_rate=settings.plane_learning_rate, batch_size=settings.plane_batch_size, record_at=times,
        look=lambda a: {"samples": a}, state=job.folder / f"{job.name}.state.npz",
        report=_told(job, report, settings.plane_steps),
    )  # fmt: skip
    found: dict[str, np.ndarray] = {"samples": ensemble["samples"], "steps": np.asarray(times)}
    for name, points in (("", settings.points), ("coarse_", (settings.points + 1) // 2)):
        grid = plane.grid_of(where, points, settings)
        fields = plane.landscape(problem, where, grid.coordinates)
        predicted = predict(grid, fields, centre, spread, times, settings)
        found |= {f"{name}{key}": value for key, value in predicted.items()}
    flat = linear._replace(rates=linear.rates[[-1, -2]], diffusion=linear.diffusion[[-1, -2]][:, [-1, -2]])
    means = np.exp(-np.outer(times, flat.rates)) * centre
    found["linear_mean"] = means
    found["linear_covariance"] = np.stack([gaussian.covariance(flat, spread, t) for t in times])
    return found | {"widths": where.widths}


def predict(
    grid: mechanics.Grid,
    fields: plane.Landscape,
    centre: np.ndarray,
    spread: np.ndarray,
    times: Any,
    settings: Settings,
) -> dict[str, np.ndarray]:
    """The density at the records from the Gaussian start, entropy and its sources, free energy and its sources."""
    drift, diffusion = plane.drift_and_diffusion(fields, settings)
    generator = mechanics.fokker_planck_generator(grid, drift=drift, diffusion=diffusion, ito=True)
    p0 = grid.normalise(grid.evaluate(lambda a: jnp.exp(-0.5 * jnp.sum(((a - centre) / spread) ** 2))))
    density = mechanics.fokker_planck_evolve(p0, generator, jnp.asarray(times, p0.dtype)).density
    balance = mechanics.entropy_balance(density, generator)
    loss = jnp.asarray(fields["loss"])[None]
    work = jnp.sum(drift * jnp.asarray(fields["gradient"]), axis=-1)[None]
    return {
        "density": np.asarray(density),
        "lower": np.asarray(grid.lower),
        "upper": np.asarray(grid.upper),
        "loss": fields["loss"],
        "covariance": fields["covariance"],
        "entropy": np.asarray(mechanics.shannon_entropy(density, grid)),
        "production": np.asarray(balance.stochastic),
        "learning": np.asarray(balance.learning),
        "free_energy": np.asarray(grid.integrate(density * loss)),
        "free_energy_drift": np.asarray(grid.integrate(density * work)),
        "free_energy_rate": np.asarray(grid.integrate(generator.apply(density) * loss)),
    }


def run_weights(problem: Problem, job: Job, report: Report | None = None) -> dict[str, np.ndarray]:
    """SGD in all weights about the minimum, in the eigenbasis of its Hessian, and the linear prediction."""
    settings, times = job.settings, job.settings.records_of("weights")
    linear = gaussian.linearise(problem, settings.learning_rate, settings.batch_size)
    vectors, centre = (jnp.asarray(v, jnp.float32) for v in (linear.vectors, problem.minimum))
    start_key, key = _keys(job)
    shown = [-rank for rank in SHOWN]

    def look(q: Array) -> dict[str, Array]:
        z = jnp.matmul(q - centre[None], vectors, precision=jax.lax.Precision.HIGHEST)
        mean = z.mean(0)
        covariance = jnp.matmul((z - mean[None]).T, z - mean[None], precision=jax.lax.Precision.HIGHEST) / (len(z) - 1)
        few, fewer = q[:CURVATURE_REPLICAS], q[:NOISE_REPLICAS]
        return {
            "mean": mean, "covariance": covariance, "samples": z[:, jnp.asarray(shown)],
            "curvature": curvature(problem, few), "noise": noise(problem, fewer, vectors),
        }  # fmt: skip

    ensemble = trained(
        problem.sample_loss, (problem.inputs, problem.targets),
        gaussian_start(start_key, problem.minimum, settings.spread, settings.replicas, jnp.float32), key,
        learning_rate=settings.learning_rate, batch_size=settings.batch_size, record_at=times, look=look,
        state=job.folder / f"{job.name}.state.npz", report=_told(job, report, settings.steps),
    )  # fmt: skip
    steps = np.asarray(times, float)
    covariances = ensemble["covariance"].astype(float)
    scale = settings.learning_rate**2 / (2 * settings.batch_size)
    found = {
        "steps": steps,
        "samples": ensemble["samples"],
        "mean": ensemble["mean"].astype(float),
        "variance": np.diagonal(covariances, axis1=1, axis2=2),
        "rates": linear.rates,
        "diffusion": np.diag(linear.diffusion),
        "curvature_error": ensemble["curvature"].std(1, ddof=1) / np.sqrt(ensemble["curvature"].shape[1]),
    }
    kinds = {
        "measured": (covariances, settings.replicas),
        "predicted": (np.stack([gaussian.covariance(linear, settings.spread, t) for t in times]), None),
        "discrete": (np.stack([gaussian.discrete_covariance(linear, settings.spread, t) for t in times]), None),
    }
    noises = scale * ensemble["noise"].astype(float)
    destroyed = -settings.learning_rate * ensemble["curvature"].mean(1).astype(float)
    for name, (values, samples) in kinds.items():
        balance = gaussian.balance(values, linear, samples)
        found |= {f"{name}_{field}": value for field, value in balance._asdict().items()}
        found[f"{name}_variance"] = np.diagonal(values, axis1=1, axis2=2)
    found["measured_learning"] = destroyed
    found["measured_production"] = gaussian.production(covariances, noises, settings.replicas)
    return found


def curvature(problem: Problem, q: Array) -> Array:
    """Tr ∇²L at each of some replicas, (replicas,), by one random vector of signs for each."""
    signs = jax.random.rademacher(jax.random.key(0), q.shape, q.dtype)

    def one(pair: tuple[Array, Array]) -> Array:
        place, z = pair
        return z @ jax.jvp(jax.grad(problem.loss), (place,), (z,))[1]

    return jax.lax.map(one, (q, signs), batch_size=16)


def noise(problem: Problem, q: Array, vectors: Array) -> Array:
    """Covariance of the samples' gradients averaged over some replicas, in the eigenbasis, (K, K)."""

    def one(place: Array) -> Array:
        g = jnp.matmul(problem.sample_gradients(place), vectors, precision=jax.lax.Precision.HIGHEST)
        away = g - g.mean(0)[None]
        return jnp.matmul(away.T, away, precision=jax.lax.Precision.HIGHEST) / len(g)

    return jax.lax.map(one, q).mean(0)


def run_planck(problem: Problem, job: Job, report: Report | None = None) -> dict[str, np.ndarray]:
    """Slow SGD with several batch sizes and with momentum, seen along the sharpest direction."""
    settings = job.settings
    eta = settings.planck_learning_rate
    linear = gaussian.linearise(problem, eta, 1)
    rate, unit = float(linear.rates[-1]), float(linear.diffusion[-1, -1])
    steps = np.unique(np.rint(np.linspace(0, settings.planck_relaxations / rate, settings.planck_times)).astype(int))
    vector, centre = jnp.asarray(linear.vectors[:, -1], jnp.float32), jnp.asarray(problem.minimum, jnp.float32)
    sizes = settings.planck_batch_sizes
    kinds = [(size, 0.0) for size in sizes] + [(sizes[0], settings.momentum)]
    start_key, key = _keys(job)
    samples = []
    for k, (size, momentum) in enumerate(kinds):
        spread = settings.planck_spread * float(np.sqrt(unit / size / rate))
        ensemble = trained(
            problem.sample_loss, (problem.inputs, problem.targets),
            gaussian_start(jax.random.fold_in(start_key, k), problem.minimum, spread, settings.replicas, jnp.float32),
            jax.random.fold_in(key, k),
            learning_rate=eta * (1 - momentum), batch_size=size, momentum=momentum, record_at=[int(t) for t in steps],
            look=partial(_along, centre, vector), state=job.folder / f"{job.name}-{k}.state.npz",
            report=_told(job, report, len(kinds) * int(steps[-1]), k * int(steps[-1])),
        )  # fmt: skip
        samples.append(ensemble["samples"])
    batch_sizes = np.asarray([size for size, _ in kinds])
    return {
        "steps": steps.astype(float),
        "samples": np.stack(samples),
        "batch_size": batch_sizes,
        "momentum": np.asarray([momentum for _, momentum in kinds]),
        "rate": np.asarray(rate),
        "diffusion": unit / batch_sizes,
    }


def planck_estimates(run: dict[str, np.ndarray], settings: Settings) -> np.ndarray:
    """(ħ/M)², its standard error and the misfit of each ensemble of a `run_planck`, (ensembles, 3); in float64."""
    found = []
    for k, samples in enumerate(run["samples"]):
        q = jnp.asarray(samples, jnp.float64)
        widths = mechanics.planck_squared_from_widths(
            q, jnp.asarray(run["steps"], jnp.float64), key=jax.random.key(k), resamples=settings.resamples
        )
        found.append([float(widths.value), float(widths.error), float(widths.misfit)])
    return np.asarray(found)


def _along(centre: Array, vector: Array, q: Array) -> dict[str, Array]:
    return {"samples": jnp.matmul(q - centre[None], vector, precision=jax.lax.Precision.HIGHEST)}


def load_runs(jobs: list[Job]) -> dict[str, list[dict[str, np.ndarray]]]:
    """What the jobs wrote, a list over seeds for each arm."""
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for job in jobs:
        with np.load(job.file) as saved:
            found.setdefault(job.arm, []).append(dict(saved))
    return found
