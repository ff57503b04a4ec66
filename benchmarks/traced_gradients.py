"""The scatter of one probe's gradient of log det M, four ways to draw it: exact variances, no sampling.

For Rademacher probes the variance of zᵀAz is 2 Σ_{i≠j} S_ij², S the symmetric part of A; so the root mean square error
of a gradient from one probe follows from the dense matrices A of each parameter. Compared, with Φ = φ'(Ĝ) and dB the
change of B: zᵀΦ dĜ z, the derivative of the quadrature itself; the same with each probe split into the colours of
`nnthermo.ensemble.matrix_free`; 2 zᵀΦBᵀdB z in colours; and what nnthermo takes, 2 wᵀdBΦBᵀw in colours, w among the
errors.

    python benchmarks/traced_gradients.py                 # ten seconds
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from _timing import machine
from flax import nnx

import nnthermo as nt
from nnthermo.ensemble.matrix_free import colouring

jax.config.update("jax_enable_x64", True)
BETA = 1.4
WIDE = {"param_dtype": jnp.float64}


class Convolutional(nnx.Module):
    """Two convolutions and a dense layer on 8 × 8 images."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(1, 2, (3, 3), strides=2, rngs=rngs, **WIDE)
        self.second = nnx.Conv(2, 4, (3, 3), strides=2, rngs=rngs, **WIDE)
        self.last = nnx.Linear(16, 3, rngs=rngs, **WIDE)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (3,)."""
        return self.last(jnp.tanh(self.second(jnp.tanh(self.first(x)))).ravel())


class Residual(nnx.Module):
    """Three residual blocks of width 8."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List([nnx.Linear(8, 8, rngs=rngs, **WIDE) for _ in range(6)])

    def __call__(self, x: jax.Array) -> jax.Array:
        """States of the last block (8,)."""
        for k in (0, 2, 4):
            x = jnp.tanh(x + self.layers[k + 1](jnp.tanh(self.layers[k](x))))
        return x


def scatter(A: np.ndarray, mask: np.ndarray) -> float:
    """Root mean square length of the error of one probe; A is (N, N, parameters)."""
    S = (A + A.transpose(1, 0, 2)) / 2 * mask[:, :, None]
    return float(np.sqrt(2 * (np.sum(S**2) - np.sum(np.einsum("iip->ip", S) ** 2))))


@partial(jax.jit, static_argnums=2)
def jacobian(net: nt.TracedNetwork, x: dict, unravel: Callable, q: jax.Array) -> jax.Array:
    """B at parameters q, (N, N)."""
    moved = net.replace(parameters=unravel(q))

    def errors(v: jax.Array) -> jax.Array:
        return moved.ravel(moved.errors(moved.unravel(v)))

    return jax.jacfwd(errors)(moved.ravel(x))


change = jax.jit(jax.jacfwd(jacobian, argnums=3), static_argnums=2)
"""dB, (N, N, parameters)."""


def main() -> None:
    print(machine())
    print("\n| network | length of the gradient | zᵀΦdĜz | in colours | 2zᵀΦBᵀdBz in colours | 2wᵀdBΦBᵀw in colours |")
    print("|---|---|---|---|---|---|")
    for name, model, shape in (("convolutions", Convolutional, (8, 8, 1)), ("residual", Residual, (8,))):
        u = jax.random.normal(jax.random.key(0), shape)
        net = nt.network_from(model(nnx.Rngs(0)), u)
        net = net.replace(parameters=jax.tree.map(lambda a: 1.5 * a, net.parameters))
        x = net.propagate(u)
        flat, unravel = jax.flatten_util.ravel_pytree(net.parameters)

        B, dB = (np.asarray(made(net, x, unravel, flat)) for made in (jacobian, change))
        phi = BETA * np.linalg.inv(np.eye(len(B)) + BETA * B.T @ B)
        X = B @ phi
        one = 2 * np.einsum("ai,ajp->ijp", X, dB)
        other = 2 * np.einsum("ki,akp,aj->ijp", phi, dB, B, optimize=True)
        errors = 2 * np.einsum("aip,bi->abp", dB, X)
        colours = np.repeat(colouring(net), net.sizes)
        same, whole = (colours[:, None] == colours[None]) * 1.0, np.ones_like(B)
        length = np.linalg.norm(2 * np.einsum("ij,ijp->p", X, dB))
        plain = (one + other) / 2
        found = (scatter(plain, whole), scatter(plain, same), scatter(one, same), scatter(errors, same))
        print(f"| {name}, {net.size} neurons | {length:.3g} | " + " | ".join(f"{v:.3g}" for v in found) + " |")


if __name__ == "__main__":
    main()
