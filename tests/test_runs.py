"""Layers that are alike, taken together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo.linalg.runs import LONG, map_runs, run_lengths, stack_runs, total, unstack_runs


@pytest.mark.parametrize("kinds", ["", "a", "aaab", "aaaab", "abbbbbbcaaaa", "abab"])
def test_runs_cover_all_items_and_are_long_and_alike(kinds):
    counts = run_lengths(list(kinds))
    assert sum(counts) == len(kinds)
    start = 0
    for count in counts:
        assert count == 1 or (count >= LONG and len(set(kinds[start : start + count])) == 1)
        start += count
    assert counts.count(1) == len(kinds) - sum(c for c in counts if c > 1)


def test_stacking_and_back():
    items = [(jnp.full((2,), float(k)), jnp.asarray(k)) for k in range(7)]
    back = unstack_runs(stack_runs(items, [1, 4, 1, 1]))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), list(back), items))


@pytest.mark.parametrize("sizes", [(3, 3, 3, 3, 3, 3, 2, 5), (2, 3), (4,) * 9, (1, 2, 2, 2, 2, 1)])
def test_mapped_runs_equal_one_by_one(sizes):
    rng = np.random.default_rng(0)
    matrices = [jnp.asarray(rng.normal(size=(n, n))) for n in sizes]
    others = [None if n == 2 else jnp.asarray(rng.normal(size=n)) for n in sizes]

    def function(a, v):
        return a @ a.T, (jnp.sum(a) if v is None else v @ a @ v)

    found = map_runs(function, matrices, others)
    for got, (a, v) in zip(found, zip(matrices, others, strict=True), strict=True):
        for x, y in zip(got, function(a, v), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-13)  # the same sums, a few roundings in another order
    gradient = jax.grad(lambda ms: total([f[1] for f in map_runs(function, ms, others)]))(matrices)
    alone = jax.grad(lambda ms: sum(function(a, v)[1] for a, v in zip(ms, others, strict=True)))(matrices)
    for x, y in zip(gradient, alone, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-13)
