"""Recording all observables at 100 logarithmically spaced epochs adds under 5 % to a run of 3,000 epochs.

The run: 784-40-20-10 on the 5,000 embedded digits, batch 100, float32, `log_spaced_epochs(3000, 100)`, is timed with
and without observing. As the difference of two long runs drowns in whatever else the machine does, the observations are
also timed by themselves, on the very networks the run passes through: early ones relax quickly, late ones do not. Their
sum over the time of the run that is not observed is the overhead. Compilation comes before and is reported apart. Last,
one observation on the trained network is taken apart.

    python benchmarks/observing.py                    # the full run, about a minute and a half on a quiet core
    python benchmarks/observing.py --epochs 100 --rounds 3
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from _timing import Timing, machine, table, take_turns

import nnthermo as nt
from nnthermo.data import load

SIZES, BATCH, COUNT, RELAXED = (784, 40, 20, 10), 100, 100, 128


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=3000, help="length of the run")
    options.add_argument("--rounds", type=int, default=1, help="runs of each kind")
    options.add_argument("--samples", type=int, default=5000, help="digits to train on")
    chosen = options.parse_args()
    digits = load("digits")
    inputs = jnp.asarray(digits.images[: chosen.samples].reshape(chosen.samples, -1) / np.float32(255), jnp.float32)
    targets = jax.nn.one_hot(digits.labels[: chosen.samples], 10, dtype=jnp.float32)
    net = nt.FeedForward.init(jax.random.key(0), SIZES, activation=jnp.tanh, dtype=jnp.float32)
    observe = nt.thermodynamic_observer(relaxed_samples=RELAXED)
    marks = nt.log_spaced_epochs(chosen.epochs, COUNT)

    def run(epochs: int, observe: Callable, observe_at: tuple[int, ...]) -> nt.TrainResult:
        return nt.train(
            net,
            (inputs, targets),
            key=jax.random.key(1),
            epochs=epochs,
            batch_size=BATCH,
            observe=observe,
            observe_at=observe_at,
        )

    started = time.perf_counter()
    run(1, weights, (0, 1))
    training_ready = time.perf_counter()
    run(1, observe, (0, 1))
    ready = time.perf_counter()
    path: list[dict] = []

    def unobserved() -> None:
        path[:] = [run(chosen.epochs, weights, marks).history]  # copies 0.1 MB at every mark, and nothing else

    runs = take_turns(
        {"without": unobserved, "with": lambda: run(chosen.epochs, observe, marks).network.weights},
        rounds=chosen.rounds,
        warm_up=0,
    )
    print(machine())
    print(f"\nFirst run of one epoch: {training_ready - started:.1f} s; the observer's compilation: ", end="")
    print(f"{ready - training_ready:.1f} s")
    print(f"\n{chosen.epochs} epochs of {chosen.samples} digits, {len(marks)} observations, seconds:")
    for name, timing in runs.items():
        print(f"  {name:8s} wall {timing.median:8.2f} ± {timing.spread:.2f}   CPU {np.median(timing.cpu):8.2f}")

    networks = [network_of(net, path[0], row) for row in range(len(marks))]
    watch = jax.jit(observe)
    alone = take_turns(
        {str(e): partial(watch, n, inputs, targets) for e, n in zip(marks, networks, strict=True)}, rounds=5
    )
    print("\n| | an epoch, ms | an observation, ms: mean, first, last | overhead |\n|---|---|---|---|")
    for kind in ("wall", "cpu"):
        each = np.array([np.median(getattr(timing, kind)) for timing in alone.values()])
        total = float(np.median(getattr(runs["without"], kind)))
        shown = ", ".join(f"{1e3 * v:.1f}" for v in (each.mean(), each[0], each[-1]))
        print(f"| {kind} | {1e3 * total / chosen.epochs:.2f} | {shown} | {100 * each.sum() / total:.2f} % |")

    parts = take_apart(networks[-1], inputs, targets, observe)
    print("\nOne observation on the trained network:\n")
    print(table(parts))


def weights(net: nt.FeedForward, _inputs: jax.Array, _targets: jax.Array) -> dict[str, jax.Array]:
    return {str(k): leaf for k, leaf in enumerate(jax.tree.leaves(net))}


def network_of(net: nt.FeedForward, history: dict, row: int) -> nt.FeedForward:
    leaves, structure = jax.tree.flatten(net)
    return jax.tree.unflatten(structure, [jnp.asarray(history[str(k)][row]) for k in range(len(leaves))])


def take_apart(net: nt.FeedForward, inputs: jax.Array, targets: jax.Array, observe: Callable) -> dict[str, Timing]:
    """One observation and its parts, each its own program: fused in one they share work and cost less than the sum."""
    mean = nt.mean_state(net, inputs)

    @jax.jit
    def forward(net, inputs, targets):
        return nt.mean_loss(nt.boundary_loss, net, inputs, targets)

    @jax.jit
    def relaxation(net, inputs, targets):
        return nt.relax(net, inputs[:RELAXED], targets[:RELAXED], max_steps=2000).loss

    @jax.jit
    def spectrum(net, x):
        return nt.log_eigenvalues(nt.bulk_hessian(net, x)).values

    @jax.jit
    def log_z(net, x):
        return nt.log_partition(nt.bulk_hessian(net, x), 1.0, mean=x)

    @jax.jit
    def derivatives(net, x):
        G = nt.bulk_hessian(net, x)
        return nt.average_loss(G, 1.0, mean=x), nt.heat_capacity(G, 1.0, mean=x)

    whole, states, measure = jax.jit(observe), jax.jit(nt.mean_state), jax.jit(lambda net, x: nt.measure(net, x, 1.0))
    return take_turns(
        {
            "whole observation": lambda: whole(net, inputs, targets),
            "forward pass and loss, all samples": lambda: forward(net, inputs, targets),
            "forward pass and mean state, all samples": lambda: states(net, inputs),
            f"relaxation of {RELAXED} samples": lambda: relaxation(net, inputs, targets),
            "`measure` at the mean state": lambda: measure(net, mean),
            "– spectrum": lambda: spectrum(net, mean),
            "– log Z": lambda: log_z(net, mean),
            "– its two derivatives": lambda: derivatives(net, mean),
        },
        rounds=40,
        warm_up=2,
    )


if __name__ == "__main__":
    main()
