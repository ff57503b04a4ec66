"""How Ĝ is kept, why so, and what a log det of it costs."""

from typing import Any, NamedTuple

import jax
import numpy as np

from nnthermo._checks import instance
from nnthermo.ensemble.blocks import BlockHessian
from nnthermo.ensemble.hessian import DenseHessian, LayeredHessian
from nnthermo.ensemble.matrix_free import MatrixFreeHessian, colouring, unseen_inputs
from nnthermo.ensemble.restricted import RestrictedHessian
from nnthermo.ensemble.traced import Choice, Cost, block_flops, choose, dense_flops, layered_flops, level_sizes
from nnthermo.linalg.reduction import unit_count
from nnthermo.network.traced import TracedNetwork


class Explanation(NamedTuple):
    """What `explain` found; printed, a short report.

    Attributes:
        method: "layered", "blocks", "dense", "stochastic" or "restricted".
        reason: a sentence.
        size: number of neurons N.
        blocks: neurons in each level or layer; (N,) where there are none.
        unit_count: how many eigenvalues are known to be exactly 1.
        cost: of one log det; of "stochastic" without the products with Ĝ, which are `products`.
        products: how many products with Ĝ one log det takes; 0 of the exact methods.
        alternatives: costs of the other methods that the network allows.
    """

    method: str
    reason: str
    size: int
    blocks: tuple[int, ...]
    unit_count: int
    cost: Cost
    products: int
    alternatives: dict[str, Cost]

    def __str__(self) -> str:
        shown = " ".join(map(str, self.blocks[:12])) + (" ..." if len(self.blocks) > 12 else "")
        lines = [
            f"method      {self.method}: {self.reason}",
            f"neurons     {self.size:,} in {len(self.blocks)} level{'s' * (len(self.blocks) != 1)}: {shown}",
            f"units       {self.unit_count:,} eigenvalues are known to be exactly 1, for any weights",
            f"a log det   {_shown(self.cost)}" + (f", and {self.products:,} products with Ĝ" if self.products else ""),
        ]
        lines += [f"instead     {name}: {_shown(cost)}" for name, cost in self.alternatives.items()]
        return "\n".join(lines)


def _shown(cost: Cost) -> str:
    size, unit = next(
        ((cost.bytes / 1024**k, u) for k, u in ((3, "GiB"), (2, "MiB"), (1, "KiB")) if cost.bytes >= 1024**k),
        (cost.bytes, "bytes"),
    )
    return f"{cost.flops:.1e} flops, {size:.3g} {unit}"


def explain(subject: Any) -> Explanation:
    """How `bulk_hessian` keeps Ĝ and why, what a log det costs, and what other methods would cost.

    Args:
        subject: a Hessian from `bulk_hessian`, or a `TracedNetwork`: then what "auto" would take.

    Raises:
        TypeError: anything else.
    """
    if isinstance(subject, TracedNetwork):
        return _of_choice(subject, choose(subject))
    if isinstance(subject, MatrixFreeHessian):
        return _stochastic(subject)
    if isinstance(subject, LayeredHessian):
        n, cost = subject.sizes, Cost(layered_flops(subject.sizes), _bytes(subject))
        reason = "B is block bidiagonal, one block a layer"
        return Explanation("layered", reason, sum(n), n, unit_count(n), cost, 0, {})
    if isinstance(subject, BlockHessian):
        n, cost = subject.sizes, Cost(block_flops(subject.sizes), _bytes(subject))
        return Explanation("blocks", "B is block bidiagonal with full blocks", sum(n), n, 0, cost, 0, {})
    instance("subject", subject, DenseHessian | RestrictedHessian, "a Hessian or a TracedNetwork")
    size, cost = subject.size, Cost(dense_flops(subject.size), _bytes(subject))
    method = "dense" if isinstance(subject, DenseHessian) else "restricted"
    reason = "B is kept as one matrix" if method == "dense" else "some neurons are clamped"
    return Explanation(method, reason, size, (size,), 0, cost, 0, {})


def _bytes(tree: Any) -> float:
    return float(sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)))


def _of_choice(net: TracedNetwork, found: Choice) -> Explanation:
    sizes = level_sizes(net, found.levels)
    if found.method == "stochastic":
        return _random(net, found.reason, sizes, MatrixFreeHessian.counts(net), found.costs)
    units = unit_count(sizes) if found.method == "layered" else 0
    others = {name: cost for name, cost in found.costs.items() if name != found.method}
    return Explanation(found.method, found.reason, net.size, sizes, units, found.costs[found.method], 0, others)


def _stochastic(G: MatrixFreeHessian) -> Explanation:
    found = choose(G.network)
    reason = found.reason if found.method == "stochastic" else "asked for by name"
    sizes = level_sizes(G.network, found.levels)
    return _random(G.network, reason, sizes, (G.probes, G.steps, G.chunk), found.costs)


def _random(
    net: TracedNetwork, reason: str, sizes: tuple[int, ...], counts: tuple[int, int, int], costs: dict[str, Cost]
) -> Explanation:
    probes, steps, chunk = counts
    runs = probes * (max(colouring(net)) + 1)
    size = float(np.dtype(net.dtype).itemsize) * chunk * (steps + 4) * net.size
    cost = Cost(8.0 * runs * steps**2 * net.size, size)  # two projections, each on and off a whole basis
    return Explanation("stochastic", reason, net.size, sizes, unseen_inputs(net), cost, runs * steps, costs)
