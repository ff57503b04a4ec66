"""log Z, U and S of the networks along a run, in every ensemble at every choice of β, and the first law between them.

The boundary is free: a sample's inputs are data of the ensemble (4.10), all 854 neurons fluctuate. Averages are over a
few samples. Random numbers depend on the block and on the sample alone, so that differences between records and between
temperatures are those of the same noise; their standard errors are over the blocks.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.canonical import Box, CanonicalEnsemble, Window, ancestral, maximum_entropy
from nnthermo.ensemble import bulk_hessian, log_partition, mean_state
from nnthermo.experiments.laws.settings import ENSEMBLES, PATHS, WINDOW, Settings
from nnthermo.laws import first_law
from nnthermo.loss import boundary_loss
from nnthermo.network import FeedForward
from nnthermo.observers import equilibrium_observer
from nnthermo.relaxation import relax
from nnthermo.spectrum import (
    LogSpectrum,
    beta_from_gap,
    complexity,
    displaced_count,
    log_eigenvalues,
    thermodynamic_entropy,
)
from nnthermo.thermodynamics import average_loss, gaussian_entropy, thermodynamic_functions

QUANTITIES = ("log_partition", "average_loss", "entropy", "shannon_entropy")
"""log Z, U, S = βU + log Z (7.1), and -⟨log p⟩ (4.5), which has the window's ½⟨x·x⟩ besides."""

NODES = 24
"""Quadrature nodes a step: enough where β grows tenfold from one record to the next."""


class Data(NamedTuple):
    """Training samples and the few whose inputs are the ensembles' data."""

    inputs: np.ndarray
    targets: np.ndarray
    measured: np.ndarray


def losses(net: FeedForward, data: Data, settings: Settings) -> dict[str, np.ndarray]:
    """Both losses of the training data, in the network's own precision."""
    found = _losses(net, data.inputs, data.targets, settings.relaxed_samples)
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def _losses_of(net: FeedForward, inputs: Array, targets: Array, relaxed: int) -> dict[str, Array]:
    states = jax.vmap(net.propagate)(inputs)
    found = relax(net, inputs[:relaxed], targets[:relaxed])
    right = jnp.argmax(states[-1], axis=-1) == jnp.argmax(targets, axis=-1)
    return {
        "boundary_loss": jnp.mean(jax.vmap(lambda x, t: boundary_loss(net, x, t))(states, targets)),
        "accuracy": jnp.mean(right.astype(inputs.dtype)),
        "bulk_loss": jnp.mean(found.loss),
        "unrelaxed": jnp.mean((~found.converged).astype(inputs.dtype)),
    }


_losses = jax.jit(_losses_of, static_argnums=3)


def measure_record(net: FeedForward, data: Data, settings: Settings) -> dict[str, np.ndarray]:
    """Everything that is measured of one network, by name: see `DIMENSIONS`."""
    row = losses(net, data, settings)
    precise = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), net)
    inputs, measured = (jnp.asarray(a, jnp.float64) for a in (data.inputs, data.measured))
    spectrum = log_eigenvalues(bulk_hessian(precise, mean_state(precise, inputs)))
    betas = np.array([
        settings.beta, float(beta_from_gap(spectrum.gap().centre)), beta_of_loss(spectrum, float(row["bulk_loss"]))
    ])  # fmt: skip
    row |= {"beta": betas, "log_eigenvalues": np.asarray(spectrum.values)} | _threshold_forms(spectrum, betas)
    keys = noise_keys(settings)
    kinds = {name: _estimator(name, settings) for name in ENSEMBLES}
    found = [[np.asarray(kinds[e](precise, measured, b, keys)) for b in betas] for e in ENSEMBLES]
    row |= dict(zip(QUANTITIES, np.moveaxis(np.array(found), 2, 0), strict=True))
    apart = [e for e in ENSEMBLES if e != "box"]
    window = [[kinds[e](precise, measured, settings.beta * f, keys)[0].mean() for f in WINDOW] for e in apart]
    row["window_log_partition"] = np.array(window)
    steps = [_gradient(precise, measured, b) for b in betas]
    row["loss_gradient"] = np.array([float(g) for g, _ in steps])
    row["parameter_norm"] = np.array(np.sqrt(sum(float(jnp.sum(a**2)) for a in jax.tree.leaves(precise))))
    return row


DIMENSIONS = {
    **dict.fromkeys(QUANTITIES, ("ensemble", "temperature", "block")),
    **dict.fromkeys(
        ("beta", "loss_gradient", "complexity", "thermodynamic_entropy", "displaced_count", "gaussian_loss"),
        ("temperature",),
    ),
    "log_eigenvalues": ("eigenvalue",),
    "window_log_partition": ("smooth_ensemble", "multiple"),
}
"""Dimensions of what `measure_record` returns; the rest is one number a record."""


def noise_keys(settings: Settings) -> Array:
    """Random keys, (blocks, samples): never of the seed of training, nor of the record."""
    return jax.random.split(jax.random.key(7), (settings.blocks, settings.measured_samples))


def beta_of_loss(spectrum: LogSpectrum, loss: float) -> float:
    """The β at which N_eff/2β, the exact form of (10.1) for (5.14), is the given loss."""
    bounds = (math.exp(-20.0), math.exp(60.0))
    return float(maximum_entropy(loss, lambda beta: log_partition(spectrum, beta), bounds=bounds).beta)


def _threshold_forms(spectrum: LogSpectrum, betas: np.ndarray) -> dict[str, np.ndarray]:
    """(6.7), (7.4), N_> and U of (5.14) at each β, and (10.5) with 20 and with all but 20 eigenvalues."""
    each: dict[str, Callable[[LogSpectrum, float], Array]] = {
        "complexity": complexity, "thermodynamic_entropy": thermodynamic_entropy, "displaced_count": displaced_count,
        "gaussian_loss": average_loss,
    }  # fmt: skip
    found = {name: np.array([float(f(spectrum, float(b))) for b in betas]) for name, f in each.items()}
    for name, n in (("complexity_20", 20), ("complexity_all_but_20", spectrum.size - 20)):
        found[name] = np.array(float(complexity(spectrum, largest=n)))
    return found


@lru_cache(maxsize=16)
def _estimator(name: str, settings: Settings) -> Callable[..., Array]:
    """(network, inputs, β, keys) -> the quantities, (4, blocks): averages over the inputs."""
    if name in ("window", "box"):
        measure = Window() if name == "window" else Box()
        count = settings.window_samples if name == "window" else settings.box_samples

        def one(net: FeedForward, u: Array, beta: Array, key: Array) -> Array:
            found = ancestral(CanonicalEnsemble(net, u, beta, measure=measure), key, count)
            shannon = found.entropy.value
            half = 0.5 * found.mean_square.value if name == "window" else 0.0
            return jnp.stack([found.log_partition.value, found.average_loss.value, shannon - half, shannon])

        def sampled(net: FeedForward, inputs: Array, beta: Array, keys: Array) -> Array:
            samples = jnp.broadcast_to(inputs, (*keys.shape, inputs.shape[-1]))
            pairs = (samples.reshape(-1, inputs.shape[-1]), keys.reshape(-1))
            rows = jax.lax.map(lambda pair: one(net, pair[0], beta, pair[1]), pairs)
            return jnp.mean(rows.reshape(*keys.shape, -1), axis=1).T

        return jax.jit(sampled)

    def gaussian(net: FeedForward, inputs: Array, beta: Array, keys: Array) -> Array:
        def exact(u: Array) -> Array:
            x = net.propagate(u)
            G = bulk_hessian(net, x)
            f = thermodynamic_functions(G, beta, mean=x if name == "gaussian" else None)
            return jnp.stack([f.log_partition, f.average_loss, f.entropy, gaussian_entropy(G, beta)])

        values = jnp.mean(jax.vmap(exact)(inputs), axis=0)
        return jnp.broadcast_to(values[:, None], (values.size, keys.shape[0]))

    return jax.jit(gaussian)


@jax.jit
def _gradient(net: FeedForward, inputs: Array, beta: Array) -> tuple[Array, Array]:
    """|∂U/∂(w, b)| of (6.2) and U, (5.9)."""
    found = equilibrium_observer(beta=beta)(net, inputs, None)
    return found["average_loss_gradient"], found["mean_average_loss"]


def measure_path(nets: list[FeedForward], betas: np.ndarray, data: Data, settings: Settings) -> dict[str, np.ndarray]:
    """The first law between records, straight lines in β and in the weights: (ensemble, temperature, step) by name.

    Args:
        nets: the networks of all records.
        betas: β of each, (records, temperatures).
        data: its measured inputs are the ensembles' data.
        settings: of the run.
    """
    path = jax.tree.map(lambda *a: jnp.stack([jnp.asarray(v, jnp.float64) for v in a]), *nets)
    inputs = jnp.asarray(data.measured, jnp.float64)
    found: dict[str, list[list[np.ndarray]]] = {}
    for ensemble in PATHS:
        law = _law(ensemble, settings)
        rows = [jax.tree.map(np.asarray, law(jnp.asarray(b), path, inputs)) for b in betas.T]
        for name in rows[0]._fields:
            found.setdefault(name, []).append([getattr(row, name) for row in rows])
    return {name: np.array(values) for name, values in found.items()}


@lru_cache(maxsize=16)
def _law(ensemble: str, settings: Settings) -> Callable[..., Any]:
    keys = noise_keys(settings)[0]

    def log_z(beta: Array, net: FeedForward, inputs: Array) -> Array:
        def one(pair: tuple[Array, Array]) -> Array:
            u, key = pair
            if ensemble == "window":
                return ancestral(CanonicalEnsemble(net, u, beta), key, settings.path_samples).log_partition.value
            x = net.propagate(u)
            return log_partition(bulk_hessian(net, x), beta, mean=x)

        return jnp.mean(jax.vmap(lambda u, key: one((u, key)))(inputs, keys))

    return jax.jit(
        lambda betas, path, inputs: first_law(lambda b, net: log_z(b, net, inputs), betas, path, nodes=NODES)
    )
