"""Thousands of networks trained side by side by SGD on the same data, each with its own mini-batches."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.experiments.folder import save_arrays

SampleLoss = Callable[[Array, Array, Array], Array]
"""(trainable variables (K,), input, target) -> loss of the sample."""

Look = Callable[[Array], dict[str, Array]]
"""What is kept of an ensemble (replicas, K) at a record."""


def trained(
    sample_loss: SampleLoss,
    data: tuple[np.ndarray, np.ndarray],
    start: Array,
    key: Array,
    *,
    learning_rate: float,
    batch_size: int,
    record_at: Sequence[int],
    look: Look,
    momentum: float = 0.0,
    state: Path | None = None,
    report: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Train every replica and look at the ensemble now and then.

    q ← q - ηv with v ← μv + ĝ, ĝ the mean gradient over B samples drawn with replacement, other ones for each replica
    and step.

    Args:
        sample_loss: H of one sample.
        data: inputs (n, ...) and targets (n, ...).
        start: (replicas, K), in the dtype of the training.
        key: random key; the batches of step k depend on it and on k alone.
        learning_rate: η.
        batch_size: B.
        record_at: increasing steps, the first may be 0.
        look: what to keep.
        momentum: μ.
        state: file in which the ensemble is kept at every record, to go on from after a kill with the same numbers.
        report: told the steps done.

    Returns:
        What `look` returned at each record, with a leading axis of records.
    """
    inputs, targets = (jnp.asarray(part, start.dtype) for part in data)
    advance = jax.jit(partial(_advance, sample_loss, batch_size, len(data[0])), donate_argnums=(0, 1))
    looked = jax.jit(look)
    q, v, done = jnp.array(start), jnp.zeros_like(start), 0  # a copy: it is given away
    kept: list[dict[str, np.ndarray]] = []
    if state is not None and state.exists():
        with np.load(state) as saved:
            q, v, done = jnp.asarray(saved["q"]), jnp.asarray(saved["v"]), int(saved["done"])
            names = [name for name in saved.files if name.startswith("kept_")]
            count = len(saved[names[0]]) if names else 0
            kept = [{name.removeprefix("kept_"): saved[name][k] for name in names} for k in range(count)]
    numbers = jnp.asarray(learning_rate, start.dtype), jnp.asarray(momentum, start.dtype)
    for target in record_at[len(kept) :]:
        q, v = advance(q, v, key, jnp.asarray(done), jnp.asarray(target), inputs, targets, *numbers)
        done = target
        kept.append({name: np.asarray(value) for name, value in looked(q).items()})
        if state is not None:
            stacked = {f"kept_{name}": np.stack([record[name] for record in kept]) for name in kept[0]}
            save_arrays(state, {"q": np.asarray(q), "v": np.asarray(v), "done": np.asarray(done), **stacked})
        if report:
            report(done)
    return {name: np.stack([record[name] for record in kept]) for name in kept[0]}


def _advance(
    sample_loss: SampleLoss,
    batch_size: int,
    samples: int,
    q: Array,
    v: Array,
    key: Array,
    done: Array,
    target: Array,
    inputs: Array,
    targets: Array,
    learning_rate: Array,
    momentum: Array,
) -> tuple[Array, Array]:
    """From step `done` to step `target`."""

    def batch_loss(q: Array, x: Array, t: Array) -> Array:
        return jnp.mean(jax.vmap(sample_loss, (None, 0, 0))(q, x, t))

    def step(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        q, v = carry
        chosen = jax.random.randint(jax.random.fold_in(key, k), (q.shape[0], batch_size), 0, samples)
        gradient = jax.vmap(jax.grad(batch_loss))(q, inputs[chosen], targets[chosen])
        v = momentum * v + gradient
        return q - learning_rate * v, v

    return jax.lax.fori_loop(done, target, step, (q, v))


def gaussian_start(key: Array, centre: Any, spread: Any, replicas: int, dtype: Any) -> Array:
    """Replicas (replicas, K) about a centre (K,), with one standard deviation for all directions or one for each."""
    middle = jnp.asarray(centre, dtype)
    widths = jnp.broadcast_to(jnp.asarray(spread, dtype), middle.shape)
    return middle[None] + widths[None] * jax.random.normal(key, (replicas, len(middle)), dtype)
