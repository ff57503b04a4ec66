"""How much faster than the dense matrix, and than stochastic Lanczos quadrature, are log det and spectrum of Ĝ?

The network is 784-40-20-10, float64, at random weights and a random input. Three questions, each against its rival in
the same run: log det((I + βĜ)) and its gradient in the weights against dense Cholesky of the 854 × 854 matrix;
Tr (log Ĝ)³ and its gradient against dense `eigvalsh`; and the same log det against matfree's quadrature at several
efforts, error against time. matfree gets the fastest product with Ĝ that there is, and uses its own adjoint.

    pip install 'nnthermo[bench]'
    python benchmarks/log_det.py --figure log_det.png
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import Timing, machine, ratio, table, take_turns
from matfree import decomp, funm, stochtrace

import nnthermo as nt

SIZES = (784, 40, 20, 10)
BETA = 1.4
EFFORTS = ((10, 10), (20, 30), (20, 100), (15, 1000))
"""Lanczos steps and probes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--figure", help="where to draw error against time")
    chosen = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    net = nt.FeedForward.init(jax.random.key(0), SIZES, activation=jnp.tanh)
    state = net.propagate(jax.random.uniform(jax.random.key(1), (SIZES[0],)))
    slopes = net.slopes(state)
    print(machine())

    def hessian(weights: Any) -> nt.LayeredHessian:
        return nt.LayeredHessian(weights, slopes)

    def dense_log_det(weights: Any) -> jax.Array:
        G = hessian(weights).to_dense()
        return 2 * jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(jnp.eye(len(G)) + BETA * G))))

    def dense_cube(weights: Any) -> jax.Array:
        return jnp.sum(jnp.log(jnp.linalg.eigvalsh(hessian(weights).to_dense())) ** 3)

    pairs = {
        "log det": (lambda w: hessian(w).log_det(BETA), dense_log_det),
        "Tr (log Ĝ)³": (lambda w: nt.log_eigenvalues(hessian(w)).moment(3), dense_cube),
    }
    exact: dict[str, Timing] = {}
    errors: dict[str, float] = {}
    for name, (ours, dense) in pairs.items():
        for kind, make in (("", jax.jit), (", gradient", lambda f: jax.jit(jax.grad(f)))):
            fast, slow = make(ours), make(dense)
            timings = take_turns(
                {"structured": lambda f=fast: f(net.weights), "dense": lambda f=slow: f(net.weights)},
                rounds=chosen.rounds,
                in_a_row={"structured": 20},
            )
            exact[name + kind] = timings["structured"]
            errors[name + kind] = difference(fast(net.weights), slow(net.weights))
            times, spread = ratio(timings["dense"], timings["structured"])
            print(f"\n{name}{kind}: {times:.0f} ± {spread:.0f} times, ", end="")
            print(f"relative difference {errors[name + kind]:.1e}\n")
            print(table(timings))

    rivals = quadrature(net.weights, hessian, dense_log_det, rounds=min(3, chosen.rounds))
    print("\nStochastic Lanczos quadrature (matfree) of the same log det, float64:\n")
    print("| Lanczos × probes | value ms | relative error | gradient ms | relative error |\n|---|---|---|---|---|")
    ours = [(exact["log det" + k].median, errors["log det" + k]) for k in ("", ", gradient")]
    print(f"| structured, exact | {1e3 * ours[0][0]:.2f} | rounding | {1e3 * ours[1][0]:.2f} | rounding |")
    for (steps, probes), (value, gradient) in rivals.items():
        cells = " | ".join(f"{1e3 * seconds:.1f} | {error:.1e}" for seconds, error in (value, gradient))
        print(f"| {steps} × {probes} | {cells} |")
    if chosen.figure:
        draw(chosen.figure, ours, rivals)


def difference(a: Any, b: Any) -> float:
    """Norm of the difference over the norm of b, all leaves together."""
    x, y = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(v)]) for v in (a, b))
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


Point = tuple[float, float]


def quadrature(weights: Any, hessian: Callable, dense: Callable, *, rounds: int) -> dict[tuple[int, int], tuple]:
    """(seconds, relative error) of value and gradient, by effort; errors are medians over the probes of the rounds."""
    expected, slope = jax.jit(jax.value_and_grad(dense))(weights)
    size = sum(SIZES)
    edges = np.cumsum(SIZES)[:-1]
    found = {}
    for steps, probes in EFFORTS:
        integrand = funm.monte_carlo_funm_sym_logdet(decomp.tridiag_sym(steps))
        estimate = stochtrace.estimator_monte_carlo(
            integrand, sampler=stochtrace.sampler_signs(jnp.zeros(size), num=probes)
        )

        def product(v: jax.Array, w: Any) -> jax.Array:
            return v + BETA * jnp.concatenate(hessian(w).matvec(tuple(jnp.split(v, edges))))

        def value(w: Any, key: jax.Array, estimate: Callable = estimate) -> jax.Array:
            return estimate(product, key, w)

        points: list[Point] = []
        for function, truth in ((jax.jit(value), expected), (jax.jit(jax.grad(value)), slope)):
            keys = iter(jax.random.split(jax.random.key(probes), rounds + 1))
            errors: list[float] = []

            def call(function: Callable = function, truth: Any = truth, keys: Any = keys, errors: list = errors) -> Any:
                result = jax.block_until_ready(function(weights, next(keys)))
                errors.append(difference(result, truth))
                return result

            seconds = take_turns({"quadrature": call}, rounds=rounds)["quadrature"].median
            points.append((seconds, float(np.median(errors))))
        found[steps, probes] = tuple(points)
    return found


def draw(file: str, ours: list[Point], rivals: dict[tuple[int, int], tuple[Point, Point]]) -> None:
    """Error against time of value and gradient."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for k, (name, colour) in enumerate((("value", "#0b4f8a"), ("gradient", "#d1600a"))):
        points = np.array([pair[k] for pair in rivals.values()])
        ax.loglog(1e3 * points[:, 0], points[:, 1], "o-", color=colour, label=f"matfree, {name}")
        ax.loglog([1e3 * ours[k][0]], [ours[k][1]], "*", markersize=14, color=colour, label=f"structured, {name}")
    ax.set_xlabel("milliseconds")
    ax.set_ylabel("relative error")
    ax.set_title("log det(I + βĜ) of 784-40-20-10, float64", loc="left")
    ax.legend(frameon=False)
    ax.grid(visible=True, color="#e5e5e5")
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
