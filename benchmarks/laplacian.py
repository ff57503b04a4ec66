"""ΔF over all 32,360 weights of 784-40-20-10: the closed form against summing Hessian-vector products, float64.

At fixed slopes, F = -log Z/β of (5.14) by the layered log det of the library. Each product is e_kᵀ(He_k) with H applied
by a gradient linearized once; unit vectors go through in chunks, of the size that is fastest here. All 32,360 products
are timed, in one compiled call; nothing is extrapolated unless `--products` asks for fewer, which is then said. The
closed form is timed as `weight_laplacian` under `jit`, slopes given. Compilation is left out of both and reported.
The two do not take turns: they differ by four orders of magnitude.

    python benchmarks/laplacian.py                    # about two minutes on a quiet core
    python benchmarks/laplacian.py --products 2000 --rounds 5
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from _timing import machine, table, take_turns
from jax.flatten_util import ravel_pytree

import nnthermo as nt

jax.config.update("jax_enable_x64", True)

SIZES, SAMPLES = (784, 40, 20, 10), 256
CHUNKS = (16, 64, 256)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--products", type=int, default=0, help="Hessian-vector products to time; 0: every one")
    options.add_argument("--rounds", type=int, default=3, help="runs of the products")
    options.add_argument("--beta", type=float, default=1.0, help="inverse temperature")
    chosen = options.parse_args()
    net = nt.FeedForward.init(jax.random.key(0), SIZES, activation=jnp.tanh, dtype=jnp.float64)
    inputs = jnp.asarray(np.random.default_rng(0).uniform(size=(SAMPLES, SIZES[0])))
    slopes = net.slopes(net.propagate(inputs[0]))
    flat, unravel = ravel_pytree(net.weights)
    count = min(chosen.products, flat.size) if chosen.products else flat.size

    @jax.jit
    def closed(weights, slopes):
        return nt.weight_laplacian(net.replace(weights=weights), None, chosen.beta, slopes=slopes)

    @jax.jit
    def curvatures(weights, slopes):
        return nt.weight_curvatures(net.replace(weights=weights), None, chosen.beta, slopes=slopes)

    @jax.jit
    def closed_of_all(weights, slopes):
        return jax.vmap(closed, in_axes=(None, 0))(weights, slopes)

    @partial(jax.jit, static_argnames="chunk")
    def products(flat, indices, chunk):
        def free_energy(v):
            return nt.free_energy(nt.LayeredHessian(unravel(v), slopes), chosen.beta)

        _, apply = jax.linearize(jax.grad(free_energy), flat)

        def entry(k):
            return apply((jnp.arange(flat.size) == k).astype(flat.dtype))[k]

        return jax.lax.map(entry, indices, batch_size=chunk)

    print(machine())
    few = jnp.arange(512)
    sizes = take_turns({str(c): partial(products, flat, few, c) for c in CHUNKS}, rounds=3)
    chunk = min(CHUNKS, key=lambda c: sizes[str(c)].median)
    shown = ", ".join(f"{c}: {1e3 * sizes[str(c)].median / len(few):.2f}" for c in CHUNKS)
    print(f"\nms a product in chunks of {shown}")

    indices = jnp.asarray(np.linspace(0, flat.size - 1, count).astype(int))
    started = time.perf_counter()
    entries = jax.block_until_ready(products(flat, indices, chunk))
    first = time.perf_counter()
    value = jax.block_until_ready(closed(net.weights, slopes))
    print(f"First call: products {first - started:.1f} s, closed form {time.perf_counter() - first:.1f} s\n")
    single = take_turns({"products": partial(products, flat, indices, chunk)}, rounds=chosen.rounds, warm_up=0)
    states = jax.vmap(net.propagate)(inputs)
    many = jax.vmap(net.slopes)(states)
    ours = take_turns(
        {
            "closed form": partial(closed, net.weights, slopes),
            "closed form, each of 32,360": partial(curvatures, net.weights, slopes),
            f"closed form, {SAMPLES} samples": partial(closed_of_all, net.weights, many),
        },
        rounds=100,
        warm_up=3,
    )
    print(table({f"{count:,} Hessian-vector products": single["products"], **ours}))
    factor = flat.size / count
    note = "nothing extrapolated" if factor == 1 else f"products extrapolated from {count:,} to {flat.size:,}"
    for kind in ("wall", "cpu"):
        rival, own = (np.median(getattr(t, kind)) for t in (single["products"], ours["closed form"]))
        print(f"\nRatio, {kind}: {factor * rival / own:,.0f} ({note})")
    each = ravel_pytree(curvatures(net.weights, slopes))[0]
    off = float(jnp.max(jnp.abs(each[indices] - entries)) / jnp.max(jnp.abs(entries)))
    print(f"\nΔF = {float(value):.15g}; largest difference of an entry over the largest entry: {off:.1e}")
    if factor == 1:
        print(f"Relative difference of the sums: {abs(float(jnp.sum(entries) / value) - 1):.1e}")


if __name__ == "__main__":
    main()
