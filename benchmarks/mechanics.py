"""What do a step of the Schrödinger equation and a step of a Langevin ensemble cost beside what no step can do without?

A step of `schrodinger_evolve` on a ring grid of 256 × 256 is compared with its Fourier transforms alone: as many pairs,
of the same dtype, in one loop (order 2 has one pair a step, order 4 six). What is left are products with phases, and a
second loop says what they cannot do without: a change of sign, which reads nothing but Ψ, in place of each product.

A step of `langevin_ensemble` of 10,000 replicas with a linear drift is compared with its floor: a loop that does no
more than draw its normal numbers (two a variable and step: the increment of the noise and its space-time area) by the
same generator, and read and write the state once. The calls take turns; the smallest ratio is what a busy
machine leaves of the cost of the code.

    python benchmarks/mechanics.py                   # three minutes on a quiet core
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
from functools import partial

import jax
import jax.numpy as jnp
from _timing import machine, ratio, take_turns

from nnthermo import mechanics

jax.config.update("jax_enable_x64", True)

POINTS, REPLICAS = 256, 10_000
PAIRS = {2: 1, 4: 6}


def transforms(psi, pairs):
    """As many Fourier pairs as a run makes."""
    return jax.lax.scan(lambda f, _: (jnp.fft.ifftn(jnp.fft.fftn(f)), None), psi, None, length=pairs)[0]


def passes(psi, pairs):
    """The same with a pass over the array after each transform, as products with phases make."""
    return jax.lax.scan(lambda f, _: (-jnp.fft.ifftn(-jnp.fft.fftn(f)), None), psi, None, length=pairs)[0]


def draws(key, q, steps):
    """The noise of a run, added to a state that is read and written once a step."""
    R, K = q.shape

    def one(key, q):
        def step(q, k):
            first, second = jax.random.split(jax.random.fold_in(key, k))
            return q + jax.random.normal(first, (K,), q.dtype) + jax.random.normal(second, (K,), q.dtype), None

        return jax.lax.scan(step, q, jnp.arange(steps))[0]

    return jax.vmap(one)(jax.random.split(key, R), q)


def report(names, timings, steps):
    """One line of Markdown: both times a step, smallest and median ratio."""
    ours, floor = timings["ours"], timings["floor"]
    median, spread = ratio(ours, floor)
    least = [1e3 * float(t.wall.min()) / steps for t in (ours, floor)]
    print(f"| {names} | {least[0]:.2f} | {least[1]:.2f} | {least[0] / least[1]:.2f} | {median:.2f} ± {spread:.2f} |",
          flush=True)  # fmt: skip


def schrodinger(rounds, steps):
    print("\n| Schrödinger | step ms | its Fourier pairs ms | ratio of minima | median |\n|---|---|---|---|---|")
    for dtype in (jnp.float32, jnp.float64):
        lower = jnp.full(2, -8.0, dtype)
        grid = mechanics.Grid(lower, -lower, POINTS, periodic=True)
        V = 0.5 * jnp.sum(grid.coordinates**2, axis=-1)
        psi = mechanics.gaussian_wave_packet(grid, 1.0, 0.8, 0.5, hbar=1.0)
        for order, pairs in PAIRS.items():
            run = partial(
                mechanics.schrodinger_evolve, psi, V, grid, hbar=1.0, mass=1.0, dt=1e-3, steps=steps, order=order
            )
            bare, signs = (partial(jax.jit(f, static_argnums=1), psi, steps * pairs) for f in (transforms, passes))
            timings = take_turns({"ours": run, "passes": signs, "floor": bare}, rounds=rounds, warm_up=2)
            report(f"order {order}, {psi.dtype}", timings, steps)
            report(f"order {order}, {psi.dtype}, signs", timings | {"ours": timings["passes"]}, steps)


def langevin(rounds, steps):
    print("\n| Langevin | step ms | its floor ms | ratio of minima | median |\n|---|---|---|---|---|")
    for K in (2, 100):
        for dtype in (jnp.float32, jnp.float64):
            key, q = jax.random.key(0), jnp.ones((REPLICAS, K), dtype)
            times = jnp.array([0.0, 0.01 * steps], dtype)
            run = jax.jit(lambda key, q, times=times: mechanics.langevin_ensemble(
                key, lambda q: -q, q, 0.5, times, steps=steps))  # fmt: skip
            bare = jax.jit(draws, static_argnums=2)
            calls = {"ours": partial(run, key, q), "floor": partial(bare, key, q, steps)}
            report(f"K = {K}, {q.dtype}", take_turns(calls, rounds=rounds, warm_up=2), steps)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15, help="measured calls of each")
    options.add_argument("--steps", type=int, default=10, help="steps a call, ten times as many of Schrödinger's")
    options.add_argument("--only", choices=("schrodinger", "langevin"), help="half of it")
    chosen = options.parse_args()
    print(machine())
    if chosen.only != "langevin":
        schrodinger(chosen.rounds, 10 * chosen.steps)
    if chosen.only != "schrodinger":
        langevin(chosen.rounds, chosen.steps)


if __name__ == "__main__":
    main()
