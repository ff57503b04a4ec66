"""The data as points of a plane, and the path of a network's weights through its training."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo import FeedForward, boundary_loss
from nnthermo._checks import check
from nnthermo._typing import Array
from nnthermo.data import Dataset
from nnthermo.experiments.gravity.settings import Settings
from nnthermo.experiments.samples import training_set


class Problem(NamedTuple):
    """Inputs whose first two principal components are the labels y¹, y², each in units of its standard deviation.

    Attributes:
        inputs: (n, n_in).
        targets: (n, outputs).
        labels: (n, 2).
        origin: inputs of the label 0, (n_in,).
        directions: change of the inputs with each label, (2, n_in).
    """

    inputs: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    origin: np.ndarray
    directions: np.ndarray


class Path(NamedTuple):
    """Weights along a training.

    Attributes:
        times: training times of the records, (T,).
        networks: a network whose arrays have a first axis T.
        coarse: the same, at the same times, on the polynomial through every second record.
        losses: mean boundary loss at the records, (T,).
        interpolation_error: largest distance of the two, over the distance that the weights moved in all: that of
            `networks` is much smaller.
    """

    times: np.ndarray
    networks: FeedForward
    coarse: FeedForward
    losses: np.ndarray
    interpolation_error: float


def training_data(settings: Settings, data_dir: str | None = None) -> Dataset:
    """The whole training set.

    Raises:
        ValueError: more samples asked for than there are.
    """
    everything = training_set(settings, data_dir)
    check("points", f"be at most the {settings.samples} samples", settings.points <= settings.samples, settings.points)
    return everything


def make_problem(arm: str, settings: Settings, data_dir: str | None = None) -> Problem:
    """Whole images and ten classes for "image"; two components of two classes for "small"; float64."""
    everything = training_data(settings, data_dir)
    if arm == "image":
        data = everything.take(settings.samples, seed=0)
        x, t = np.asarray(data.inputs(), float), np.asarray(data.targets(), float)
        mean = x.mean(axis=0)
        _, spreads, axes = np.linalg.svd(x - mean, full_matrices=False)
        directions = axes[:2] * spreads[:2, None] / np.sqrt(len(x))
        labels = (x - mean) @ axes[:2].T / (spreads[:2] / np.sqrt(len(x)))
        return Problem(x, 0.8 * t, labels, mean, directions)
    rows = np.flatnonzero(np.isin(everything.labels, settings.classes))
    rows = rows[: settings.samples]
    x = np.asarray(everything.inputs(), float)[rows]
    x = x - x.mean(axis=0)
    left, _, _ = np.linalg.svd(x, full_matrices=False)
    labels = left[:, :2] * np.sqrt(len(x))
    second = everything.labels[rows] == settings.classes[1]
    t = 0.8 * np.where(np.stack([~second, second], axis=1), 1.0, -1.0)
    return Problem(labels, t, labels, np.zeros(2), np.eye(2))


def sizes_of(width: int, problem: Problem) -> tuple[int, int, int]:
    """Neurons of the layers."""
    return problem.inputs.shape[1], width, problem.targets.shape[1]


def train_path(problem: Problem, sizes: tuple[int, ...], settings: Settings, seed: int) -> Path:
    """Gradient flow on the mean boundary loss of all samples, by Runge and Kutta's method; call it in float64."""
    net = FeedForward.init(jax.random.key(seed), sizes, activation=jnp.tanh)
    net = jax.tree.map(lambda a: a.astype(jnp.float64), net)
    x, t = jnp.asarray(problem.inputs), jnp.asarray(problem.targets)

    def loss(net: FeedForward) -> Array:
        return jnp.mean(jax.vmap(lambda x, t: boundary_loss(net, net.propagate(x), t))(x, t))

    def moved_by(net: FeedForward, slopes: FeedForward, h: Array) -> FeedForward:
        return jax.tree.map(lambda w, g: w - h * g, net, slopes)

    @jax.jit
    def descend(net: FeedForward, steps: Array, h: Array) -> tuple[FeedForward, Array]:
        slope = jax.grad(loss)

        def step(_: Array, net: FeedForward) -> FeedForward:
            first = slope(net)
            second = slope(moved_by(net, first, h / 2))
            third = slope(moved_by(net, second, h / 2))
            fourth = slope(moved_by(net, third, h))
            mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, first, second, third, fourth)
            return moved_by(net, mean, h)

        net = jax.lax.fori_loop(0, steps, step, net)
        return net, loss(net)

    kept, losses, done = [], [], 0.0
    times = settings.kept_at
    for at in map(settings.elapsed, times):
        steps = math.ceil((at - done) / settings.step)
        net, value = descend(net, jnp.asarray(steps), jnp.asarray((at - done) / max(1, steps)))
        kept.append(net)
        losses.append(float(value))
        done = at

    def through(networks: list[FeedForward]) -> FeedForward:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)

    half, nodes = through(kept[::2]), jnp.asarray(times[::2])
    between = [network_at(half, nodes, jnp.asarray(time)) for time in times]
    error = max(_distance(one, other) for one, other in zip(between, kept, strict=True))
    return Path(times, through(kept), through(between), np.asarray(losses), error / _distance(kept[0], kept[-1]))


def _distance(one: Any, other: Any) -> float:
    squares = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), one, other)
    return float(jnp.sqrt(sum(jax.tree.leaves(squares))))


def network_at(stacked: FeedForward, nodes: Array, time: Array) -> FeedForward:
    """The network at a training time: the polynomial through all records, which has every derivative.

    Lagrange's form, which divides by distances of records alone; at Chebyshev's points accurate to some rounding.
    """
    count = len(nodes)
    other = ~np.eye(count, dtype=bool)
    gaps = jnp.where(other, nodes[:, None] - nodes[None, :], 1)
    basis = jnp.prod(jnp.where(other, time - nodes[None, :], 1) / gaps, axis=1)
    return jax.tree.map(lambda leaf: jnp.tensordot(basis, leaf, 1, precision=jax.lax.Precision.HIGHEST), stacked)
