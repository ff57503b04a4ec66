"""How much longer does a product with a transposed matrix take in XLA on a CPU than one with a transposed copy?

The matrix is n × n, the other factor n × 64 as in relaxation, where samples lie in columns; float32, the product
repeated in a loop. The rival is the product with the matrix itself.

    python benchmarks/transposed.py
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
from _timing import machine, ratio, table, take_turns

REPEATS = 20


def repeated(*, transposed: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def run(w: jax.Array, x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, REPEATS, lambda _, y: jnp.tanh((w.T if transposed else w) @ y), x)

    return jax.jit(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40, 128, 512])
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    print(machine())
    plain, other = repeated(transposed=False), repeated(transposed=True)
    for n in chosen.sizes:
        w = jax.random.normal(jax.random.key(0), (n, n), jnp.float32) / n
        x = jax.random.normal(jax.random.key(1), (n, 64), jnp.float32)

        timings = take_turns(
            {"matrix": lambda w=w, x=x: plain(w, x), "transposed": lambda w=w, x=x: other(w, x)},
            rounds=chosen.rounds,
        )
        times, spread = ratio(timings["transposed"], timings["matrix"])
        print(f"\n{n} × {n}: {times:.2f} ± {spread:.2f} times, {REPEATS} products and tanh\n")
        print(table(timings))


if __name__ == "__main__":
    main()
