"""Recording all observables at 100 logarithmically spaced epochs adds under 5 % to a run of 3,000 epochs.

The run: 784-40-20-10 on the 5,000 embedded digits, batch 100, float32. It is timed with and without observing, the two
taking turns, after a run of one epoch that compiles the same programs. The difference of two long runs drowns in
whatever else the machine does, so the claim is judged inside the observed run, where intervals with and without an
observation follow each other. Then one observation on the trained network is taken apart.

    python benchmarks/observing.py                    # the full run, about a minute and a half on a quiet core
    python benchmarks/observing.py --epochs 100 --rounds 3
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
import itertools
import time
from collections.abc import Callable

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

    def run(
        epochs: int, observe_at: tuple[int, ...], clock: Callable[[int, int], None] | bool = False
    ) -> nt.TrainResult:
        return nt.train(
            net,
            (inputs, targets),
            key=jax.random.key(1),
            epochs=epochs,
            batch_size=BATCH,
            observe=observe,
            observe_at=observe_at,
            progress=clock,
        )

    run(1, (0, 1))  # compiles what both runs use
    stops: list[list[tuple[int, float, float]]] = []

    def watched() -> None:
        stops.append([])
        trained.append(run(chosen.epochs, marks, lambda done, _: stops[-1].append((done, *now()))).network)

    trained: list[nt.FeedForward] = []
    runs = take_turns(
        {"without": lambda: run(chosen.epochs, ()).network.weights, "with": watched}, rounds=chosen.rounds, warm_up=0
    )
    print(machine())
    print(f"\n{chosen.epochs} epochs of {chosen.samples} digits, {len(marks)} observations, seconds:")
    for name, timing in runs.items():
        print(f"  {name:8s} wall {timing.median:8.2f} ± {timing.spread:.2f}   CPU {np.median(timing.cpu):8.2f}")
    print("\nInside the observed runs, from one stop to the next:\n")
    print("| | an epoch, ms | an observation, ms | overhead |\n|---|---|---|---|")
    for kind, column in (("wall", 1), ("CPU", 2)):
        epoch, observation = split(stops, column, marks)
        share = len(marks) * observation / (chosen.epochs * epoch)
        print(f"| {kind} | {1e3 * epoch:.2f} | {1e3 * observation:.2f} | {100 * share:.2f} % |")

    parts = take_apart(trained[-1], inputs, targets, observe)
    print("\nOne observation on the trained network:\n")
    print(table(parts))


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def split(runs: list[list[tuple[int, float, float]]], column: int, marks: tuple[int, ...]) -> tuple[float, float]:
    """Seconds of an epoch and of an observation, told apart inside the same run.

    A run is told at every stop, before it observes; so an interval that starts at a mark holds an observation and its
    epochs, any other its epochs only. Medians over the intervals: a busy moment spoils one of them, not the result.
    """
    intervals = [(a[0], b[0] - a[0], b[column] - a[column]) for run in runs for a, b in itertools.pairwise(run)]
    epoch = float(np.median([seconds / epochs for start, epochs, seconds in intervals if start not in marks]))
    extra = [seconds - epochs * epoch for start, epochs, seconds in intervals if start in marks]
    return epoch, float(np.mean(np.sort(extra)[len(extra) // 20 : len(extra) - len(extra) // 20]))


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
