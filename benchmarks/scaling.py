"""Does the cost of log det and its gradient grow as theory says: width cubed, depth linearly, memory linear in depth?

Layers of one width throughout, float32 and float64; the time of value and gradient of log det(I + βĜ) in weights, the
compiler's count of temporary memory, and the seconds to compile. Slopes are least squares of log time over log width
or depth, over the larger half of the sizes, where fixed costs no longer show.

    python benchmarks/scaling.py --figure scaling.png
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from _timing import machine, take_turns

import nnthermo as nt

WIDTHS = (64, 128, 256, 512, 1024, 2048)
DEPTHS = (6, 12, 25, 50, 100)
FIXED_DEPTH, FIXED_WIDTH = 6, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    parser.add_argument("--figure", help="where to draw time against width and depth")
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(machine())
    curves = {}
    for dtype in (jnp.float32, jnp.float64):
        for axis, values in (("width", chosen.widths), ("depth", chosen.depths)):
            sizes = [(v, FIXED_DEPTH) if axis == "width" else (FIXED_WIDTH, v) for v in values]
            rows = [measure(width, depth, dtype, chosen.rounds) for width, depth in sizes]
            name = f"{axis}, {jnp.dtype(dtype).name}"
            curves[name] = (np.array(values), np.array(rows))
            upper = slice(len(values) // 2, None)
            slope = np.polyfit(np.log(values[upper]), np.log(curves[name][1][upper, 0]), 1)[0]
            fixed = f"depth {FIXED_DEPTH}" if axis == "width" else f"width {FIXED_WIDTH}"
            print(f"\nTime against {name} ({fixed}): slope {slope:.2f}, theory {3 if axis == 'width' else 1}\n")
            print(f"| {axis} | ms | temporary MB | compile s |\n|---|---|---|---|")
            for value, (seconds, memory, compiling) in zip(values, rows, strict=True):
                print(f"| {value} | {1e3 * seconds:.2f} | {memory:.1f} | {compiling:.1f} |")
    if chosen.figure:
        draw(chosen.figure, curves)


def measure(width: int, depth: int, dtype: jnp.dtype, rounds: int) -> tuple[float, float, float]:
    """Seconds, megabytes of temporaries and seconds of compilation of log det and gradient."""
    rng = np.random.default_rng(width + depth)
    weights = tuple(jnp.asarray(rng.normal(size=(width, width)) / np.sqrt(width), dtype) for _ in range(depth - 1))
    slopes = tuple(jnp.asarray(rng.uniform(0.3, 1, size=width), dtype) for _ in range(depth - 1))
    started = time.perf_counter()
    call = jax.jit(jax.value_and_grad(lambda w: nt.LayeredHessian(w, slopes).log_det(1.4))).lower(weights).compile()
    compiling = time.perf_counter() - started
    analysis = call.memory_analysis()
    memory = analysis.temp_size_in_bytes / 1e6 if analysis else float("nan")
    return (
        take_turns({"value and gradient": lambda: call(weights)}, rounds=rounds)["value and gradient"].median,
        memory,
        compiling,
    )


def draw(file: str, curves: dict) -> None:
    """Time against width and against depth."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for ax, axis, power in ((axes[0], "width", 3), (axes[1], "depth", 1)):
        for name, (values, rows) in curves.items():
            if name.startswith(axis):
                ax.loglog(values, 1e3 * rows[:, 0], "o-", label=name.split(", ")[1])
                last = values, 1e3 * rows[-1, 0] * (values / values[-1]) ** power
        ax.loglog(*last, ":", color="#555555", label=f"{axis}$^{power}$")
        ax.set_xlabel(axis)
        ax.legend(frameon=False)
        ax.grid(visible=True, color="#e5e5e5")
    axes[0].set_ylabel("log det and gradient, ms")
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
