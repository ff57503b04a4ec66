"""How lopsided the spectrum is: the exact signed sum, the series of μ₃, and μ₃ itself, with the error of the series.

For one state of a Glorot network with tanh, float64, everything under `jit` with the network and the slopes given:
`hyperbolic_skewness`; `moment_series` of μ₃ to order 6; μ₃ by `spectral_trace` and by `log_eigenvalues` (one SVD of the
coupled part, 110 of 854 neurons for 784-40-20-10); and the gradients in all weights of the three that have them for
training. The calls take turns. The error of the series is that of the stated weights, and of them scaled down, where
it should fall with the fourth power of the scale: of order 8 over μ₃, of order 4.

    python benchmarks/skewness.py                    # half a minute on a quiet core
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see README.md: before NumPy or jaxlib load it

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from _timing import machine, table, take_turns

import nnthermo as nt

jax.config.update("jax_enable_x64", True)

NETWORKS = ((784, 40, 20, 10), (784, 20, 20, 20, 10))
SCALES = (1.0, 0.5, 0.25, 0.125)


def cubed_log(x):
    return jnp.log(x) ** 3


FORMS = {
    "hyperbolic_skewness": nt.hyperbolic_skewness,
    "moment_series, order 6": lambda G: nt.moment_series(G, 3),
    "spectral_trace": lambda G: nt.spectral_trace(G, cubed_log),
    "log_eigenvalues": lambda G: nt.log_eigenvalues(G).moment(3),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=200, help="measured calls of each")
    chosen = options.parse_args()
    print(machine())
    for sizes in NETWORKS:
        net = nt.FeedForward.init(jax.random.key(0), sizes, activation=jnp.tanh, dtype=jnp.float64)
        inputs = jnp.asarray(np.random.default_rng(0).uniform(size=sizes[0]))
        G = nt.bulk_hessian(net, net.propagate(inputs))
        calls = {name: partial(jax.jit(form), G) for name, form in FORMS.items()}
        for name in ("hyperbolic_skewness", "moment_series, order 6", "spectral_trace"):
            calls[f"gradient of {name}"] = partial(jax.jit(jax.grad(FORMS[name])), G)
        print(f"\n{'-'.join(map(str, sizes))}\n")
        print(table(take_turns(calls, rounds=chosen.rounds, warm_up=3), rival="spectral_trace"))
        print("\n| weights × | Σ 2 sinh log λ | μ₃ | relative error of the series |\n|---|---|---|---|")
        for scale in SCALES:
            scaled = nt.LayeredHessian(tuple(scale * w for w in G.weights), G.slopes)
            exact, series = (float(FORMS[name](scaled)) for name in ("log_eigenvalues", "moment_series, order 6"))
            signed = float(nt.hyperbolic_skewness(scaled))
            print(f"| {scale} | {signed:.4g} | {exact:.4g} | {series / exact - 1:.1e} |")


if __name__ == "__main__":
    main()
