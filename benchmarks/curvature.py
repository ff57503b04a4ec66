"""How long does the Riemann tensor of a known metric take at many points, ready to run and running?

Rivals on the same metrics: nested forward derivatives of Γ (the shortest way to write it in JAX), the same formula
differentiated by sympy and put into NumPy with common subexpressions, and einsteinpy, which simplifies as it goes.
Errors are those of the worst component against sympy's expressions in extended precision, over the largest there.

    pip install einsteinpy
    python benchmarks/curvature.py
"""

import argparse
import itertools
import signal
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _timing import Timing, machine, take_turns

from nnthermo.gravity import flrw, kerr, riemann, schwarzschild

jax.config.update("jax_enable_x64", True)

METRICS = {"Schwarzschild": schwarzschild(1.0), "Kerr": kerr(1.0, 0.75), "FLRW": flrw(jnp.cosh, 0.25)}
PLACES = {"Schwarzschild": (3.0, 20.0), "Kerr": (3.0, 20.0), "FLRW": (0.2, 1.5)}


def points(name: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    ranges = [(0.2, 1.5), PLACES[name], (0.3, 2.8), (0.0, 6.0)]
    return np.stack([rng.uniform(*pair, count) for pair in ranges], axis=1)


def nested(metric: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """R^a_bcd = ∂_cΓ^a_db - ∂_dΓ^a_cb + ΓΓ - ΓΓ as it stands in the books, lowered."""

    def connection(y: Any) -> Any:
        dg = jnp.moveaxis(jax.jacfwd(metric)(y), -1, 0)
        lower = (dg.transpose(1, 0, 2) + dg.transpose(1, 2, 0) - dg) / 2
        return jnp.einsum("ad,dbc->abc", jnp.linalg.inv(metric(y)), lower)

    def run(y: Any) -> Any:
        G, dG = connection(y), jax.jacfwd(connection)(y)
        half = jnp.einsum("adbc->abcd", dG) + jnp.einsum("ace,edb->abcd", G, G)
        return jnp.einsum("ea,abcd->ebcd", metric(y), half - half.swapaxes(2, 3))

    return run


def symbols(name: str) -> tuple[Any, Any]:
    """Coordinates and g of sympy, with the numbers of `METRICS`."""
    import sympy as sp

    t, r, theta, phi = sp.symbols("t r theta phi")
    sine2 = sp.sin(theta) ** 2
    if name == "FLRW":
        a2 = sp.cosh(t) ** 2
        g = sp.diag(-1, a2 / (1 - r**2 / 4), a2 * r**2, a2 * r**2 * sine2)
    elif name == "Schwarzschild":
        f = 1 - 2 / r
        g = sp.diag(-f, 1 / f, r**2, r**2 * sine2)
    else:
        a2 = sp.Rational(9, 16)
        S, D = r**2 + a2 * sp.cos(theta) ** 2, r**2 - 2 * r + a2
        mixed = -2 * sp.Rational(3, 4) * r * sine2 / S
        last = (r**2 + a2 + 2 * a2 * r * sine2 / S) * sine2
        g = sp.Matrix([[2 * r / S - 1, 0, 0, mixed], [0, S / D, 0, 0], [0, 0, S, 0], [mixed, 0, 0, last]])
    return (t, r, theta, phi), g


def by_sympy(name: str) -> Callable[..., Any]:
    import sympy as sp

    x, g = symbols(name)
    n, up = range(4), g.inv()
    d = [[[sp.diff(g[i, j], x[k]) for j in n] for i in n] for k in n]
    lower = [[[(d[b][a][c] + d[c][a][b] - d[a][b][c]) / 2 for c in n] for b in n] for a in n]
    G = [[[sum(up[a, e] * lower[e][b][c] for e in n) for c in n] for b in n] for a in n]

    def component(a: int, b: int, c: int, e: int) -> Any:
        second = sp.diff(g[a, e], x[b], x[c]) + sp.diff(g[b, c], x[a], x[e])
        second -= sp.diff(g[a, c], x[b], x[e]) + sp.diff(g[b, e], x[a], x[c])
        return second / 2 + sum(lower[f][b][c] * G[f][a][e] - lower[f][b][e] * G[f][a][c] for f in n)

    return sp.lambdify(x, [component(*abcd) for abcd in itertools.product(n, repeat=4)], "numpy", cse=True)


def by_einsteinpy(name: str) -> Callable[..., Any]:
    import sympy as sp
    from einsteinpy.symbolic import MetricTensor, RiemannCurvatureTensor

    x, g = symbols(name)
    found = RiemannCurvatureTensor.from_metric(MetricTensor(g.tolist(), x)).tensor()
    return sp.lambdify(x, sp.flatten(found), "numpy", cse=True)


def over(function: Callable[..., Any], x: np.ndarray) -> np.ndarray:
    """Components of a lambdified tensor at all points, in one array as ours are."""
    return np.stack([np.broadcast_to(np.asarray(c, x.dtype), len(x)) for c in function(*x.T)], axis=1)


def within(seconds: int, make: Callable[[], Any]) -> tuple[Any, float]:
    """What `make` makes and the seconds it took, or None when it takes too long."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    start = time.perf_counter()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        return make(), time.perf_counter() - start
    except TimeoutError:
        return None, time.perf_counter() - start
    finally:
        signal.alarm(0)


def errors(calls: dict[str, Callable[[], Any]], exact: np.ndarray, g: np.ndarray) -> dict[str, float]:
    scale = np.abs(exact).max(axis=(1, 2, 3, 4))
    found = {
        label: np.asarray(call()).reshape(exact.shape) for label, call in calls.items() if label != "writing alone"
    }
    if "einsteinpy" in found:  # R^a_bcd: the first index is lowered
        found["einsteinpy"] = np.einsum("nea,nabcd->nebcd", g, found["einsteinpy"])
    return {label: float((np.abs(R - exact).max(axis=(1, 2, 3, 4)) / scale).max()) for label, R in found.items()}


def show(timings: dict[str, Timing], ready: dict[str, float], flops: dict[str, float], wrong: dict[str, float]) -> None:
    print("| | ready s | least wall ms | least CPU ms | CPU × nnthermo | flops a point | error |")
    print("|---|---|---|---|---|---|---|")
    for label, timing in timings.items():
        cells = [
            label,
            f"{ready[label]:.2f}" if label in ready else "",
            f"{1e3 * timing.wall.min():.1f}",
            f"{1e3 * timing.cpu.min():.1f}",
            f"{timing.cpu.min() / timings['nnthermo'].cpu.min():.2f}",
            f"{flops[label]:.0f}" if label in flops else "",
            f"{wrong[label]:.1e}" if label in wrong else "",
        ]
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--patience", type=int, default=300, help="seconds that einsteinpy may think about a metric")
    chosen = parser.parse_args()
    try:
        import sympy
    except ImportError:
        sympy = None
        print("without the symbolic rivals and errors, which need: pip install einsteinpy\n")
    print(machine())
    size = chosen.points * 256 * 8
    for name, metric in METRICS.items():
        x = points(name, chosen.points)
        at = jnp.asarray(x)
        calls: dict[str, Callable[[], Any]] = {}
        ready: dict[str, float] = {}
        flops: dict[str, float] = {}
        exact = None
        for label, one in {"nnthermo": lambda y, m=metric: riemann(m, y), "nested jacfwd": nested(metric)}.items():
            start = time.perf_counter()
            compiled = jax.jit(jax.vmap(one)).lower(at).compile()
            ready[label] = time.perf_counter() - start
            flops[label] = compiled.cost_analysis()["flops"] / chosen.points
            calls[label] = lambda f=compiled, at=at: f(at)
        if sympy:
            function, ready["sympy, cse"] = within(3600, lambda n=name: by_sympy(n))
            calls["sympy, cse"] = lambda f=function, x=x: over(f, x)
            exact = over(function, x.astype(np.longdouble)).reshape(-1, 4, 4, 4, 4)
            try:
                function, seconds = within(chosen.patience, lambda n=name: by_einsteinpy(n))
            except ImportError:
                print("einsteinpy is not installed: pip install einsteinpy")
                function = None
            else:
                ready["einsteinpy"] = seconds
            if function:
                calls["einsteinpy"] = lambda f=function, x=x: over(f, x)
        filled = jax.jit(lambda at: jnp.broadcast_to(at[:, :1], (len(at), 256)) * 1.5)
        calls["writing alone"] = lambda at=at, f=filled: f(at)
        timings = take_turns(calls, rounds=chosen.rounds)
        print(f"\n{name}, {chosen.points} points, {size / 1e6:.1f} MB\n")
        show(timings, ready, flops, {} if exact is None else errors(calls, exact, np.asarray(jax.vmap(metric)(at))))
        if "einsteinpy" in ready and "einsteinpy" not in timings:
            print(f"\neinsteinpy did not finish within {chosen.patience} s.")


if __name__ == "__main__":
    main()
