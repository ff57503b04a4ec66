"""How long do metric and curvature of the states of a network take to trace, to compile, and to run?

Recurrent networks of N tanh neurons, three labels: log β and two directions of the inputs, and along a weight path of
five checkpoints; the hidden layer of 784-40-10 for two directions of the images. All derivatives are forward; T = -S.

    python benchmarks/network_metric.py              # two minutes on a quiet core
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import time

import jax
import jax.numpy as jnp
import numpy as np
from _timing import machine

import nnthermo as nt
from nnthermo import gravity

jax.config.update("jax_enable_x64", True)

Y = jnp.array([0.4, 0.3, 0.2])
BATCH = 100


def recurrent(n):
    """Two inputs, one output, feedback everywhere else."""
    a, b = jax.random.split(jax.random.key(n))
    masks = {"input_mask": np.arange(n) < 2, "output_mask": np.arange(n) == n - 1}
    weight = 0.8 * jax.random.normal(a, (n, n)) / np.sqrt(n)
    return nt.Septuple(weight, 0.1 * jax.random.normal(b, (n,)), activation=jnp.tanh, **masks)


def ensembles():
    """Name, neurons, ensemble."""
    plane = nt.boundary_plane(jnp.array([0.3, -0.2]), jnp.eye(2))
    for n in (8, 32):
        net = recurrent(n)
        yield "recurrent, log β", n, nt.gaussian_state_ensemble(net, plane)
        nets = [jax.tree.map(lambda a, k=k: a * (1 + 0.1 * k), net) for k in range(5)]
        yield "recurrent, weights", n, nt.gaussian_state_ensemble(nt.weight_path(nets, jnp.arange(5.0)), plane, 20.0)
    yield (
        "recurrent, noise",
        8,
        nt.noisy_state_ensemble(nt.weight_path([recurrent(8)] * 2, jnp.arange(2.0)), plane, 0.1),
    )
    images = jax.random.normal(jax.random.key(0), (3, 784)) / 28
    layers = nt.FeedForward.init(jax.random.key(1), (784, 40, 10), activation=jnp.tanh)
    plane = nt.boundary_plane(images[0], images[1:])
    yield "784-40-10, hidden", 40, nt.gaussian_state_ensemble(layers, plane, neurons="hidden")


def report(name, n, what, function, point):
    """One line of Markdown: CPU seconds to trace and compile, and milliseconds of the fastest of ten calls."""
    start = time.process_time()
    lowered = jax.jit(function).lower(point)
    traced = time.process_time()
    compiled = lowered.compile()
    end = time.process_time()
    jax.block_until_ready(compiled(point))
    walls = []
    for _ in range(10):
        wall = time.perf_counter()
        jax.block_until_ready(compiled(point))
        walls.append(time.perf_counter() - wall)
    print(f"| {name} | {n} | {what} | {traced - start:.1f} | {end - traced:.1f} | {1e3 * min(walls):.2f} |", flush=True)


if __name__ == "__main__":
    print(machine(), end="\n\n")
    print("| states | N | | trace s | compile s | run ms |\n|---|---|---|---|---|---|")
    for name, n, ensemble in ensembles():
        metric = ensemble.metric()
        report(name, n, "metric", metric, Y)
        report(name, n, "Riemann", lambda y, g=metric: gravity.geometry(g, y), Y)
        if n == 8:
            many = jax.vmap(lambda y, g=metric: gravity.geometry(g, y))
            report(name, n, f"Riemann at {BATCH} points", many, jnp.tile(Y, (BATCH, 1)))
