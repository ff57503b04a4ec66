"""Epochs of descent as one compiled program, for any Optax optimiser."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from nnthermo._typing import Array
from nnthermo.devices import copied, divided
from nnthermo.network.trainable import unite
from nnthermo.objective import FindState, Loss, mean_terms


@lru_cache(maxsize=16)
def compile_epochs(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    samples: int,
    batch: int,
    find_state: FindState | None,
    mesh: Mesh | None = None,
) -> Callable:
    """The program (state, links, key, first, last, inputs, targets, rest) -> state, (report, epochs done, all finite).

    The state is (weights, memory of the optimiser); weights and rest are the network's, as `divide` has them.

    Trains epochs first ... last - 1, fewer if the loss or a weight stops being finite; the report is of the last one:
    `loss`, the mean over the mini-batches, and `loss_...`, the means over the samples of the terms of the loss.

    On a data mesh every device works on its share of each batch and holds the whole state; inputs and targets are
    divided over the devices, with rows after the last sample that are never read.
    """
    steps = -(-samples // batch)
    padding = steps * batch - samples
    sizes = np.full(steps, batch)
    sizes[-1] -= padding
    update = any_update(optimizer)
    placed: dict[str, Any] = {} if mesh is None else {"out_shardings": copied(mesh)}

    def share(rows: Any) -> Any:
        return rows if mesh is None else jax.lax.with_sharding_constraint(rows, divided(mesh))

    def whole(state: Any) -> Any:
        return state if mesh is None else jax.lax.with_sharding_constraint(state, copied(mesh))

    @partial(jax.jit, donate_argnums=0, **placed)
    def advance(
        state: tuple[Any, Any],
        links: Any,
        key: Array,
        first: Array,
        last: Array,
        inputs: Array,
        targets: Any,
        rest: Any = None,
    ) -> tuple[tuple[Any, Any], tuple[dict[str, Array], Array, Array]]:
        def existing(change: Any) -> Any:
            return change if links is None else jax.tree.map(lambda link, d: jnp.where(link, d, 0), links, change)

        def step(state: tuple, batch_of: tuple[Array, Array | None]) -> tuple[tuple, tuple[Array, dict[str, Array]]]:
            now, memory = state
            rows, weights = batch_of

            def objective(w: Any) -> tuple[Array, dict[str, Array]]:
                rows_of_targets = None if targets is None else share(targets[rows])
                return mean_terms(loss, unite(w, rest), share(inputs[rows]), rows_of_targets, weights, state=find_state)

            (value, terms), gradient = jax.value_and_grad(objective, has_aux=True)(now)
            gradient = existing(gradient)
            # the keywords are for optimisers that search along the line; others do not take them
            options = {"value": value, "grad": gradient, "value_fn": lambda w: objective(w)[0]}
            change, memory = update(gradient, memory, now, **options)
            return whole((optax.apply_updates(now, existing(change)), memory)), (value, terms)

        def epoch(carry: tuple) -> tuple:
            state, (_, number, _) = carry
            order = jax.random.permutation(jax.random.fold_in(key, number), samples)
            weights = None
            if padding:  # the last batch is filled up with samples of no weight
                order = jnp.concatenate([order, jnp.zeros(padding, order.dtype)])
                real = jnp.arange(steps * batch) < samples
                weights = real.astype(inputs.dtype).reshape(steps, batch)
            state, (values, terms) = jax.lax.scan(step, state, (order.reshape(steps, batch), weights))
            shares = jnp.asarray(sizes / samples, values.dtype)
            report = {"loss": jnp.mean(values)} | {f"loss_{name}": shares @ term for name, term in terms.items()}
            report = {name: value.astype(inputs.dtype) for name, value in report.items()}
            sound = jnp.stack([jnp.isfinite(a).all() for a in (report["loss"], *jax.tree.leaves(state[0]))]).all()
            return state, (report, number + 1, sound)

        def unfinished(carry: tuple) -> Array:
            _, (_, number, sound) = carry
            return (number < last) & sound

        fresh = (jnp.asarray(first, jnp.int32), jnp.asarray(True))
        report = jax.eval_shape(lambda state: epoch((state, (None, *fresh)))[1][0], state)
        blank = jax.tree.map(lambda a: jnp.full(a.shape, jnp.nan, a.dtype), report)
        return jax.lax.while_loop(unfinished, epoch, (state, (blank, *fresh)))

    return advance


def any_update(optimizer: optax.GradientTransformation) -> Callable:
    """The optimiser's update, for any of Optax's protocols and whatever promotion of dtypes the caller has chosen."""
    update = optax.with_extra_args_support(optimizer).update

    def change(*arguments: Any, **options: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):  # Adam, for one, raises a float to an integer power
            return update(*arguments, **options)

    return change


def one_update(optimizer: optax.GradientTransformation) -> Callable:
    """One update (weights, memory) -> (change, memory) on made-up gradients, to tell optimisers apart."""
    update = any_update(optimizer)

    def one(weights: Any, memory: Any) -> Any:
        value = jnp.zeros((), jax.tree.leaves(weights)[0].dtype)
        options = {"value": value, "grad": weights, "value_fn": lambda w: jnp.sum(jax.tree.leaves(w)[0])}
        return update(weights, memory, weights, **options)

    return one
