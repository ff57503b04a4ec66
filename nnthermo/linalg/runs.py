"""Layers that are alike, taken together: depth then hardly lengthens the compilation.

A run is so many items in a row whose arrays have the same shapes. Runs of `LONG` or more are stacked and go through a
`scan` or a `vmap`; shorter ones item by item.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, groupby
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._typing import Array

LONG = 4
"""Items in a row from which on a run is stacked."""


def run_lengths(kinds: Sequence[Hashable]) -> list[int]:
    """Lengths of the runs to stack, and 1 for each item that is in none."""
    lengths = [len(list(same)) for _, same in groupby(kinds)]
    return [count for n in lengths for count in ([n] if n >= LONG else [1] * n)]


def stack_runs(items: Sequence[Any], counts: Sequence[int]) -> list[Any]:
    """Each run as one pytree with a leading axis over its items."""
    ends = accumulate(counts)
    runs = (items[end - count : end] for end, count in zip(ends, counts, strict=True))
    return [jax.tree.map(lambda *leaves: jnp.stack(leaves), *run) for run in runs]


def unstack_runs(stacks: Sequence[Any]) -> tuple[Any, ...]:
    """The items again."""
    return tuple(
        jax.tree.map(lambda leaf: jax.lax.index_in_dim(leaf, k, keepdims=False), stack)  # noqa: B023 - called at once
        for stack in stacks
        for k in range(len(jax.tree.leaves(stack)[0]))
    )


def map_runs(function: Callable, *sequences: Sequence[Any]) -> tuple[Any, ...]:
    """`function` of each item of the sequences, in runs at once where they are alike.

    Args:
        function: of one item of each sequence, to a pytree of arrays.
        sequences: of the same length, of pytrees of arrays.
    """
    items = list(zip(*sequences, strict=True))
    counts = run_lengths([_kind(item) for item in items])
    found: list[Any] = []
    start = 0
    for count in counts:
        run = items[start : start + count]
        if count == 1:
            found.append(function(*run[0]))
        else:
            stacked = stack_runs(run, [count])[0]
            found.extend(unstack_runs([jax.vmap(function)(*stacked)]))
        start += count
    return tuple(found)


def _kind(item: Any) -> Hashable:
    leaves, structure = jax.tree.flatten(item)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def total(terms: Sequence[Array]) -> Array:
    """Sum of scalars."""
    return jnp.sum(jnp.stack(terms))
