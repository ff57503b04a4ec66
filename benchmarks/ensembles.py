"""How long do log Z and U of the exact canonical ensemble take by ancestral sampling, and how long by a Markov chain?

The network is 784-40-20-10 with tanh, float32, at random weights and a random input; its ensemble is that of (5.8) with
a free boundary, all 854 neurons. Ancestral sampling takes as many samples as log Z to 0.01 nats a layer asks for. The
rival for U is NUTS (blackjax), timed with four chains after its warm-up; what it needs for the error of ancestral
sampling follows from error² × time. A chain has no log Z.

    pip install 'nnthermo[bench]'
    python benchmarks/ensembles.py
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from _timing import machine

import nnthermo as nt

SIZES = (784, 40, 20, 10)
GOAL = 0.01 * len(SIZES)
"""Standard error of log Z asked for, in nats: 0.01 a layer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.1, 1.4, 10.0, 100.0])
    parser.add_argument("--draws", type=int, default=200, help="of each of four chains of the rival; 0 for none")
    chosen = parser.parse_args()
    net = nt.FeedForward.init(jax.random.key(0), SIZES, activation=jnp.tanh, scale=2.0, dtype=jnp.float32)
    inputs = jax.random.uniform(jax.random.key(1), SIZES[:1])
    x = net.propagate(inputs)
    print(machine())
    print("\n| β | samples | log Z error | effective | s | first s | (5.9) less exact | U error | NUTS s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for beta in chosen.betas:
        ensemble = nt.CanonicalEnsemble(net, inputs, beta)
        pilot = nt.ancestral(ensemble, jax.random.key(2), 1000).log_partition.error
        samples = max(1000, math.ceil(1500 * (float(pilot) / GOAL) ** 2))
        first, _ = timed(lambda e=ensemble, n=samples: nt.ancestral(e, jax.random.key(3), n))
        seconds, found = timed(lambda e=ensemble, n=samples: nt.ancestral(e, jax.random.key(4), n))
        gaussian = nt.log_partition(nt.bulk_hessian(net, x), beta, mean=x)
        error = float(found.average_loss.error)
        row = [
            f"{beta:g}", f"{samples:,}", f"{float(found.log_partition.error):.4f}",
            f"{float(found.effective_samples):,.0f}", f"{seconds:.3f}", f"{first:.1f}",
            f"{float(gaussian - found.log_partition.value):+.2f}", f"{error:.1e}",
        ]  # fmt: skip
        print(f"| {' | '.join(row + rival(ensemble, chosen.draws, error, seconds))} |", flush=True)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - started, result


def rival(ensemble: nt.CanonicalEnsemble, draws: int, error: float, seconds: float) -> list[str]:
    """What NUTS took, and how many times ours it needs for an error of U."""
    if not draws:
        return ["", ""]
    options = {"draws": draws, "warmup": 200}
    timed(lambda: nt.sample(ensemble, jax.random.key(5), **options))
    taken, chains = timed(lambda: nt.sample(ensemble, jax.random.key(6), **options))
    its_error = float(chains.average_loss().error)
    needed = taken * max(1.0, (its_error / error) ** 2)
    return [f"{taken:.1f} for ± {its_error:.1e}", f"{needed / seconds:,.0f}"]


if __name__ == "__main__":
    main()
