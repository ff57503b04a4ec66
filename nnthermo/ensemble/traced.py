"""Ĝ of traced networks: which structure it is kept in, by its cost, and its blocks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp

from nnthermo._checks import check
from nnthermo.ensemble.blocks import BlockHessian
from nnthermo.ensemble.hessian import DenseHessian, Groups, LayeredHessian
from nnthermo.ensemble.jacobian import jacobian_block
from nnthermo.ensemble.matrix_free import MatrixFreeHessian
from nnthermo.network.traced import States, TracedNetwork

METHODS = ("layered", "blocks", "dense", "stochastic")
OPTIONS = ("key", "probes", "steps", "chunk")
"""Of "stochastic"."""
MAX_BYTES = 2**30
"""Of what an exact method keeps."""
MAX_FLOPS = 1e12
"""Of one log det; some tens of seconds on a few cores."""


class Cost(NamedTuple):
    """Of one log det by one method.

    Attributes:
        flops: multiplications and additions, without those of finding the Jacobian.
        bytes: of the matrices it keeps.
    """

    flops: float
    bytes: float


class Choice(NamedTuple):
    """Which method `bulk_hessian` takes, and why.

    Attributes:
        method: "layered", "blocks", "dense" or "stochastic".
        reason: a sentence.
        levels: numbers of the groups in each level; neurons depend on their own level and the one before.
        costs: of each method that can be used at all.
    """

    method: str
    reason: str
    levels: tuple[tuple[int, ...], ...]
    costs: dict[str, Cost]


def levels_of(net: TracedNetwork) -> tuple[tuple[int, ...], ...]:
    """The groups in the order of computation, cut into the shortest levels that depend on one level before at most."""
    children = [[k for k, g in enumerate(net.groups) if j in g.parents] for j in range(len(net.groups))]
    levels, start, end = [], 0, 1
    while start < len(net.groups):
        levels.append(tuple(range(start, end)))
        reach = max((k + 1 for j in range(start, end) for k in children[j]), default=0)
        start, end = end, max(reach, end + 1)
    return tuple(levels)


def level_sizes(net: TracedNetwork, levels: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Neurons in each level."""
    return tuple(sum(net.groups[k].size for k in level) for level in levels)


def is_layered(net: TracedNetwork, levels: Sequence[Sequence[int]]) -> bool:
    """Whether no neuron depends on another of its own level."""
    return all(not net.groups[k].parents & set(level) for level in levels for k in level)


def dense_flops(size: int) -> float:
    """Of a log det of Ĝ as one matrix: BᵀB and a Cholesky factor."""
    return 4 / 3 * float(size) ** 3


def layered_flops(sizes: Sequence[int]) -> float:
    """Of a log det of a `LayeredHessian`."""
    return sum(2.0 * b**2 * a + 2.0 * b**3 for a, b in pairwise(sizes))


def block_flops(sizes: Sequence[int]) -> float:
    """Of a log det of a `BlockHessian`."""
    return sum(4.0 * a**3 for a in sizes) + sum(4.0 * b**2 * a for a, b in pairwise(sizes))


def choose(net: TracedNetwork, *, max_bytes: float = MAX_BYTES, max_flops: float = MAX_FLOPS) -> Choice:
    """The method for a network, from its sizes and wiring alone."""
    levels = levels_of(net)
    n = level_sizes(net, levels)
    number = jnp.dtype(net.dtype).itemsize
    blocks = sum(float(a) * b for a, b in pairwise(n))
    costs = {"dense": Cost(dense_flops(net.size), 3.0 * number * net.size**2)}
    if len(levels) > 1 and is_layered(net, levels):
        costs["layered"] = Cost(layered_flops(n), number * (blocks + 2 * sum(float(b) ** 2 for b in n[1:])))
    elif len(levels) > 1:
        costs["blocks"] = Cost(block_flops(n), number * (2 * blocks + 3 * sum(float(a) ** 2 for a in n)))
    fits = {k: c.bytes <= max_bytes and c.flops <= max_flops for k, c in costs.items()}
    for method in sorted(fits, key=lambda k: costs[k].flops):
        if fits[method]:
            what = {
                "layered": f"every one of {len(levels)} levels depends on the one before alone",
                "blocks": f"neurons depend on their own and the previous of {len(levels)} levels",
                "dense": "neurons depend on all before them"
                if len(levels) < 3
                else "the levels are too wide to gain by",
            }[method]
            return Choice(method, f"{what}; the matrices of {method} fit", levels, costs)
    least = min(costs, key=lambda k: costs[k].flops)
    reason = (
        f"{least} would take {costs[least].flops:.1e} flops and {costs[least].bytes / 2**30:.3g} GiB, more than "
        f"{max_flops:.0e} flops or {max_bytes / 2**30:.3g} GiB"
    )
    return Choice("stochastic", reason, levels, costs)


def traced_hessian(
    net: TracedNetwork, x: States, method: str, options: dict[str, Any]
) -> DenseHessian | LayeredHessian | BlockHessian | MatrixFreeHessian:
    """Ĝ of a traced network at a state; see `bulk_hessian`."""
    check("method", f"be 'auto' or one of {', '.join(METHODS)}", method in ("auto", *METHODS), repr(method))
    x = net.ordered(x)
    chosen = choose(net)
    if method == "auto":
        method = chosen.method
    unknown = sorted(set(options) - set(OPTIONS))
    check("options", f"be among {', '.join(OPTIONS)} of a stochastic Ĝ", not unknown, ", ".join(unknown))
    check("options", "be left out unless Ĝ is stochastic", method == "stochastic" or not options, ", ".join(options))
    if method == "stochastic":
        return MatrixFreeHessian.of(net, x, **options)
    groups = Groups(net.names)
    if method == "dense":
        everything = tuple(range(len(net.groups)))
        B = jnp.eye(net.size, dtype=net.dtype) - jacobian_block(net, x, everything, everything)
        return DenseHessian(B, groups)
    pairs = list(pairwise(chosen.levels))
    check("net", "have more than one level of neurons for `method` other than dense and stochastic", pairs, 1)
    below = [jacobian_block(net, x, after, before) for before, after in pairs]
    if method == "layered":
        check("net", "have no neurons that depend on others of their level", is_layered(net, chosen.levels), "some")
        return LayeredHessian(tuple(below), tuple(jnp.ones(len(a), net.dtype) for a in below), groups)
    within = []
    for level, n in zip(chosen.levels, level_sizes(net, chosen.levels), strict=True):
        own = any(net.groups[k].parents & set(level) for k in level)
        unit = jnp.eye(n, dtype=net.dtype)
        within.append(unit - jacobian_block(net, x, level, level) if own else unit)
    return BlockHessian(tuple(within), tuple(-a for a in below), groups)
