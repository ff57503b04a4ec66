"""What do per-sample free energies, with gradients in the weights, cost beside one training step on the same batch?

784-40-20-10, tanh, float32, a batch of 256. The training step is the boundary loss, forward and backward. Beside it:
F of every sample; F and the gradient of its mean; F, U and S of every sample; and these with the gradient of the sum of
their means, each through one propagation, with slopes that follow the states. The floor counts multiplications and
additions of what has to be computed, at the rate at which the training step does its own.

    python benchmarks/per_sample.py
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
import itertools
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from _timing import machine, ratio, take_turns

import nnthermo as nt

SIZES = (784, 40, 20, 10)
BETA = 1.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--batch", type=int, default=256)
    chosen = parser.parse_args()
    keys = jax.random.split(jax.random.key(0), 3)
    net = nt.FeedForward.init(keys[0], SIZES, activation=jnp.tanh, dtype=jnp.float32)
    inputs = jax.random.uniform(keys[1], (chosen.batch, SIZES[0]), jnp.float32)
    targets = jnp.sign(jax.random.normal(keys[2], (chosen.batch, SIZES[-1]), jnp.float32))

    def loss(net: nt.FeedForward) -> jax.Array:
        return jnp.mean(jax.vmap(lambda u, t: nt.boundary_loss(net, net.propagate(u), t))(inputs, targets))

    def energies(net: nt.FeedForward) -> jax.Array:
        return jax.vmap(lambda u: nt.free_energy(nt.bulk_hessian(net, net.propagate(u)), BETA))(inputs)

    def functions(net: nt.FeedForward) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            found = nt.thermodynamic_functions(nt.bulk_hessian(net, net.propagate(u)), BETA)
            return found.free_energy, found.average_loss, found.entropy

        return jax.vmap(one)(inputs)

    def total(net: nt.FeedForward) -> tuple[jax.Array, Any]:
        found = functions(net)
        return sum(jnp.mean(f) for f in found), found

    calls: dict[str, Callable] = {
        "training step": jax.value_and_grad(loss),
        "F": energies,
        "F, gradient of its mean": jax.value_and_grad(lambda n: jnp.mean(energies(n))),
        "F, U, S": functions,
        "F, U, S, gradient of their means": jax.value_and_grad(total, has_aux=True),
    }
    compiled, seconds = {}, {}
    for name, function in calls.items():
        started = time.perf_counter()
        compiled[name] = jax.jit(function).lower(net).compile()
        seconds[name] = time.perf_counter() - started
    timings = take_turns({name: (lambda f=f: f(net)) for name, f in compiled.items()}, rounds=chosen.rounds)
    print(machine())
    step = timings["training step"]
    print(f"\n{chosen.batch} samples, float32:\n")
    print("| | ms | × training step | floor, × training step | compile s | passes |\n|---|---|---|---|---|---|")
    for name, timing in timings.items():
        times, spread = ratio(timing, step)
        apart = passes(compiled[name].as_text(), chosen.batch)
        print(
            f"| {name} | {1e3 * timing.median:.2f} ± {1e3 * timing.spread:.2f} | {times:.1f} ± {spread:.1f} | "
            f"{floor(name) / floor('training step'):.1f} | {seconds[name]:.1f} | {apart} |"
        )


def passes(program: str, batch: int) -> int:
    """Element-wise passes over arrays of a matrix a sample that the compiler leaves apart, each a trip to memory."""
    return len(re.findall(rf"= \w+\[{batch},\d+,\d+\]\S* fusion\(", program))


def floor(name: str) -> float:
    """Multiply-adds a sample that no algorithm of this kind avoids.

    Layers n_0 ... n_3. For the value: each T_l inverted by elimination (n³), then T_l⁻¹A_{l+1}ᵀ, R_lA_{l+1}ᵀ and the
    next spread. For the gradient two products and one outer product a layer back. For ∂/∂β of either twice as much
    again, a product having two factors, with T⁻¹ṪT⁻¹ in place of the inverse.
    """
    n = SIZES
    links = list(itertools.pairwise(n[1:]))
    propagate = sum(a * b for a, b in itertools.pairwise(n))
    inverses = sum(k**3 for k in n[1:])
    forward = sum(2 * a * a * b + a * b * b for a, b in links)
    backward = sum(a * a * b + 2 * a * b * b + a * a * b for a, b in links)
    tangent_of_inverses = 2 * inverses
    return {
        "training step": 3 * propagate - n[0] * n[1],
        "F": propagate + inverses + forward,
        "F, gradient of its mean": 3 * propagate + inverses + forward + backward,
        "F, U, S": propagate + inverses + forward + backward,
        "F, U, S, gradient of their means": 3 * propagate + inverses + tangent_of_inverses + 3 * (forward + backward),
    }[name]


if __name__ == "__main__":
    main()
