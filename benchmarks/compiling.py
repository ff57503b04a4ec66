"""How long do the common calls take to trace and to compile, each in a program of its own?

784-40-20-10, float32; β and, where it says m, the curvature m are traced numbers. The aim: under 5 s each on two cores.

    python benchmarks/compiling.py
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from _timing import machine

import nnthermo as nt

SIZES = (784, 40, 20, 10)


def main() -> None:
    net = nt.FeedForward.init(jax.random.key(0), SIZES, activation=jnp.tanh)
    deep = nt.FeedForward.init(jax.random.key(0), (64,) * 100, activation=jnp.tanh)
    images = jax.random.uniform(jax.random.key(1), (256, SIZES[0]))
    x, far = net.propagate(images[0]), deep.propagate(jnp.ones(64))

    def log_z(n: nt.FeedForward, s: Any, beta: Any, m: Any) -> jax.Array:
        return nt.log_partition(nt.bulk_hessian(n, s), beta, m=m, mean=s)

    def energies(n: nt.FeedForward, u: jax.Array) -> Any:
        return jax.vmap(lambda v: nt.thermodynamic_functions(nt.bulk_hessian(n, n.propagate(v)), 1.4)[:4])(u)

    def total(n: nt.FeedForward, u: jax.Array) -> jax.Array:
        return sum(jnp.mean(f) for f in energies(n, u))

    def hvp(n: nt.FeedForward, s: Any) -> Any:
        return jax.jvp(jax.grad(lambda k: nt.free_energy(nt.bulk_hessian(k, s), 1.4)), (n,), (n,))

    def many(n: nt.FeedForward, s: Any) -> Any:
        return nt.sweep(nt.bulk_hessian(n, s), jnp.geomspace(0.1, 10, 100), mean=s)

    calls: dict[str, tuple[Callable, tuple]] = {
        "log Z, m, mean": (log_z, (net, x, 1.4, 0.1)),
        "gradient of log Z, m, mean": (jax.grad(log_z), (net, x, 1.4, 0.1)),
        "Hessian-vector product of F": (hvp, (net, x)),
        "measure": (nt.measure, (net, x, 1.4)),
        "measure, m": (lambda n, s, b, m: nt.measure(n, s, b, m=m), (net, x, 1.4, 0.1)),
        "sweep over 100 β": (many, (net, x)),
        "F, U, S of 256 samples": (energies, (net, images)),
        "F, U, S of 256 samples, gradient": (jax.grad(total), (net, images)),
        "weight_laplacian": (lambda n, s: nt.weight_laplacian(n, s, 1.4), (net, x)),
        "relax 256 samples": (lambda n, u: nt.relax(n, u, jnp.ones((256, SIZES[-1]))).loss, (net, images)),
        "100 layers of 64: gradient of log Z": (jax.grad(lambda n, s: log_z(n, s, 1.4, 0.0)), (deep, far)),
    }  # fmt: skip
    print(machine())
    print("\n| | trace s | compile s |\n|---|---|---|")
    for name, (function, arguments) in calls.items():
        started = time.perf_counter()
        lowered = jax.jit(function).lower(*arguments)
        traced = time.perf_counter()
        lowered.compile()
        print(f"| {name} | {traced - started:.1f} | {time.perf_counter() - traced:.1f} |", flush=True)


if __name__ == "__main__":
    main()
