"""What is recorded of a network on training and test samples, whatever loss trained it."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.experiments.compare.readout import readout_accuracy
from nnthermo.experiments.compare.settings import Settings
from nnthermo.loss import QuadraticPotential, boundary_loss
from nnthermo.network import FeedForward
from nnthermo.observables import thermodynamic_observer
from nnthermo.relaxation import relax

Record = Callable[[FeedForward, Any, Any, Any, Any], dict[str, Array]]
"""(network, inputs, targets, test inputs, test targets) -> numbers and spectra, by name."""


@lru_cache(maxsize=4)
def recorder(settings: Settings) -> Record:
    """Everything of `thermodynamic_observer` on the training samples, spectra in float64, and beside it, shapes ():

    `test_accuracy`, `test_boundary_loss` over all test samples, `test_bulk_loss` and `test_unrelaxed` over the first
    `relaxed_samples` of them; `free_bulk_loss`, the largest clamped minimum (3.2) of a training sample without its
    target and without a local objective; `objective_loss`, the mean with the
    potential (3.3) and without the constant of its clamped inputs; `objective_unrelaxed`; `readout_accuracy`, of ridge
    regression from all hidden neurons in the fixed state.
    """
    count = settings.relaxed_samples
    steps = settings.max_steps
    thermodynamic = thermodynamic_observer(
        beta=settings.beta, relaxed_samples=count, max_steps=steps, dtype=jnp.float64
    )

    @jax.jit
    def with_targets(net: FeedForward, inputs: Array, targets: Array, tests: Array, truths: Array) -> dict[str, Array]:
        states = jax.vmap(net.propagate)(tests)
        held = relax(net, tests[:count], truths[:count], max_steps=steps)
        right = jnp.argmax(states[-1], axis=-1) == jnp.argmax(truths, axis=-1)
        return {
            **thermodynamic(net, inputs, targets),
            "test_accuracy": _mean(right),
            "test_boundary_loss": jnp.mean(jax.vmap(lambda x, t: boundary_loss(net, x, t))(states, truths)),
            "test_bulk_loss": jnp.mean(held.loss),
            "test_unrelaxed": _mean(~held.converged),
        }

    @jax.jit
    def without_targets(net: FeedForward, inputs: Array, m: Array) -> tuple[Array, Array]:
        """H without the constant of its clamped inputs, and which minima were found; m traced: compiled once."""
        found = relax(net, inputs, potential=QuadraticPotential(m), max_steps=steps)
        return found.loss + 0.5 * m * jnp.sum(inputs**2, axis=-1), found.converged

    @jax.jit
    def code(net: FeedForward, inputs: Array) -> Array:
        return jnp.concatenate(jax.vmap(net.propagate)(inputs)[1:-1], axis=-1)

    def observe(net: FeedForward, inputs: Any, targets: Any, tests: Any, truths: Any) -> dict[str, Array]:
        free, driven = (without_targets(net, inputs[:count], np.float32(m)) for m in (0.0, settings.m))
        return {
            **with_targets(net, inputs, targets, tests, truths),
            "free_bulk_loss": jnp.max(free[0]),
            "objective_loss": jnp.mean(driven[0]),
            "objective_unrelaxed": _mean(~driven[1]),
            "readout_accuracy": np.array(readout_accuracy(code(net, inputs), targets, code(net, tests), truths)),
        }

    return observe


def _mean(values: Array) -> Array:
    return jnp.mean(values.astype(jnp.float32))
