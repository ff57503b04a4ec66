"""The learning problem: real digits, a small network, and a minimum of its loss."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from nnthermo import FeedForward, boundary_loss
from nnthermo._checks import extra
from nnthermo._typing import Array
from nnthermo.experiments.mechanics.settings import Settings
from nnthermo.experiments.samples import training_set


@dataclasses.dataclass(frozen=True)
class Problem:
    """A loss that is a mean over samples, with a minimum; arrays in float64.

    Attributes:
        inputs: (n, inputs).
        targets: (n, 10).
        minimum: q* (K,), all weights and biases.
        unravel: from q to the network.
        decay: α.
        gradient_norm: |∇L(q*)|.
        source: where the data come from.
    """

    inputs: np.ndarray
    targets: np.ndarray
    minimum: np.ndarray
    unravel: Callable[[Array], FeedForward]
    decay: float
    gradient_norm: float
    source: str

    def sample_loss(self, q: Array, x: Array, t: Array) -> Array:
        """H(q) of one sample: the boundary loss (2.11) and ½α|q|²."""
        net = self.unravel(q)
        return boundary_loss(net, net.propagate(x), t) + 0.5 * self.decay * jnp.sum(q * q)

    def loss(self, q: Array) -> Array:
        """L(q), the mean over all samples."""
        x, t = jnp.asarray(self.inputs, q.dtype), jnp.asarray(self.targets, q.dtype)
        return jnp.mean(jax.vmap(self.sample_loss, (None, 0, 0))(q, x, t))

    def sample_gradients(self, q: Array) -> Array:
        """∇H of each sample, (n, K)."""
        x, t = jnp.asarray(self.inputs, q.dtype), jnp.asarray(self.targets, q.dtype)
        return jax.vmap(jax.grad(self.sample_loss), (None, 0, 0))(q, x, t)


def make_problem(settings: Settings, seed: int, data_dir: str | None = None) -> Problem:
    """The data and the minimum that a network from this seed falls to, found by BFGS; call it in float64.

    Raises:
        ValueError: more samples than there are.
        ImportError: SciPy is missing, with the command that installs it.
    """
    optimize = extra("scipy.optimize", "experiments")
    everything = training_set(settings, data_dir)
    data = everything.take(settings.samples, seed=0)
    side = 28 // settings.pool
    pixels = data.inputs().reshape(-1, side, settings.pool, side, settings.pool).mean((2, 4))
    x = np.asarray(pixels.reshape(-1, side * side), np.float64)
    t = 0.8 * np.asarray(data.targets(), np.float64)  # within the range of tanh: saturated outputs have no minimum
    net = FeedForward.init(jax.random.key(seed), settings.sizes, activation=jnp.tanh)
    q, unravel = ravel_pytree(jax.tree.map(lambda a: a.astype(jnp.float64), net))
    start = Problem(x, t, np.asarray(q), unravel, settings.decay, np.nan, everything.source)
    both = jax.jit(jax.value_and_grad(start.loss))
    found = optimize.minimize(
        lambda q: tuple(np.asarray(v, np.float64) for v in both(jnp.asarray(q))), q, jac=True, method="BFGS",
        options={"maxiter": 20_000, "gtol": 1e-7},
    )  # fmt: skip
    norm = float(np.linalg.norm(found.jac))
    return dataclasses.replace(start, minimum=found.x, gradient_norm=norm)
