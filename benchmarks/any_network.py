"""What a log det of a large traced network costs: seconds and memory against the number of neurons.

A chain of three convolutions (3 × 3, stride 2, 8, 16 and 32 channels, ReLU), their mean and a dense layer, float32, on
images of 224 × 224 × 3, or smaller ones where few neurons are asked for; more come from more images in a batch. One log
det: 4 probes of 2 colours, 20 Lanczos steps, 160 products with Ĝ. Each size runs in a process of its own, so that its
peak memory is its own; compiling is left out of the seconds. Then the slope of log seconds over log N, and the cost of
each neuron in flops and bytes: what one GPU and a pod would need if they are limited by their memory's bandwidth.

    python benchmarks/any_network.py                      # five minutes on two cores, 2 GiB for the largest
    python benchmarks/any_network.py --exact              # and exact log dets beside the estimates, where these fit
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
from _timing import machine
from flax import nnx

import nnthermo as nt

SIZES = ((12, 1), (40, 1), (124, 1), (224, 3), (224, 31))
"""Side of the images and number of images."""
PROBES, STEPS, BETA = 4, 20, 1.4
PASSES = 9
"""Times that a product reads or writes each neuron: three for B, three for Bᵀ, three for what joins them."""
BANDWIDTH = {"one GPU of 2 TB/s": 2e12, "a pod of 256 of them": 256 * 2e12}


class Convolutions(nnx.Module):
    """The chain."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        widths = (3, 8, 16, 32)
        self.layers = nnx.List([nnx.Conv(a, b, (3, 3), strides=2, rngs=rngs) for a, b in pairwise(widths)])
        self.last = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (batch, 10)."""
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return self.last(x.mean(axis=(1, 2)))


def measure(side: int, batch: int, rounds: int, exact: bool) -> dict:
    """Seconds, memory and the estimate for one size."""
    images = jax.random.normal(jax.random.key(0), (batch, side, side, 3))
    net = nt.network_from(Convolutions(nnx.Rngs(0)), images)
    x = net.propagate(images)

    @jax.jit
    def log_det(net, x, key):
        G = nt.bulk_hessian(net, x, method="stochastic", key=key, probes=PROBES, steps=STEPS)
        return nt.stochastic_spectrum(G).estimate(lambda s: s.log_det(BETA))

    found = jax.block_until_ready(log_det(net, x, jax.random.key(0)))
    seconds = []
    for k in range(rounds):
        start = time.perf_counter()
        found = jax.block_until_ready(log_det(net, x, jax.random.key(k)))
        seconds.append(time.perf_counter() - start)
    size = net.size
    row = {
        "neurons": size, "seconds": float(np.median(seconds)), "value": float(found.value),
        "error": float(found.standard_error), "truncation": float(found.truncation),
        "above_units": float(found.value) - size * float(np.log1p(BETA)),
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip
    if exact and nt.explain(net).method != "stochastic":
        row["exact"] = float(nt.bulk_hessian(net, x).log_det(BETA))
    return row


def draw(rows: list[dict], slope: float, path: Path) -> None:
    """Seconds and memory against N, with the line of the slope."""
    import matplotlib.pyplot as plt

    n, seconds, gib = (np.array([row[k] for row in rows]) for k in ("neurons", "seconds", "gib"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.loglog(n, seconds, "o", label="one log det")
    left.loglog(n[1:], seconds[-1] * (n[1:] / n[-1]) ** slope, "-", label=f"slope {slope:.2f}")
    right.semilogx(n, gib, "o", label="peak of the process")
    for axes, name in ((left, "seconds"), (right, "GiB")):
        axes.set(xlabel="neurons", ylabel=name)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3, help="measured calls of each")
    options.add_argument("--exact", action="store_true", help="compare with exact log dets where these fit")
    options.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        print(json.dumps(measure(*chosen.one, chosen.rounds, chosen.exact)))
        return
    print(machine())
    print("\n| neurons | seconds | µs / neuron | peak GiB | log det | standard error | relative | exact |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for side, batch in SIZES:
        command = [sys.executable, __file__, "--one", str(side), str(batch), "--rounds", str(chosen.rounds)]
        done = subprocess.run(command + ["--exact"] * chosen.exact, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        n, s = row["neurons"], row["seconds"]
        print(
            f"| {n:,} | {s:.3g} | {1e6 * s / n:.2f} | {row['gib']:.2f} | {row['value']:.6g} | {row['error']:.2g} "
            f"| {row['error'] / row['value']:.1e} | {row.get('exact', float('nan')):.6g} |",
            flush=True,
        )
    large = [r for r in rows if r["neurons"] > 1e4]
    slope, _ = np.polyfit(*np.log([[r["neurons"] for r in large], [r["seconds"] for r in large]]), 1)
    draw(rows, float(slope), Path(__file__).with_suffix(".png"))
    products = 2 * PROBES * STEPS
    orthogonal = 4 * STEPS  # each step reads the whole basis twice for each of two projections
    moved = 4.0 * products * (PASSES + orthogonal)
    print(f"\nSlope of log seconds over log N beyond 10⁴: {slope:.2f}.")
    print(
        f"Moved for each neuron: {products} products × ({PASSES} + {orthogonal}) × 4 bytes = {moved / 1e3:.0f} kB, at"
    )
    here = moved * rows[-1]["neurons"] / rows[-1]["seconds"]
    print(f"{here / 1e9:.1f} GB/s for the largest here.")
    for name, bandwidth in BANDWIDTH.items():
        print(
            f"{name}: {moved * 1e7 / bandwidth * 1e3:.2g} ms for 10⁷ neurons, {moved * 1e9 / bandwidth:.2g} s for 10⁹"
        )


if __name__ == "__main__":
    main()
