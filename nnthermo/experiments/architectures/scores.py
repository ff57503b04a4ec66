r"""What is known of a network before it is trained to the end: thermodynamic scores, and the zero-cost ones of others.

Per network and sample Ĝ has the neurons' own block and the inputs, which couple to it through at most n directions:
with the triangle R of a QR decomposition of the first weights, U Uᵀ = RᵀR, the operator B = I - f̂'ŵ becomes

    [ I      0     ]
    [ -DRᵀ  I - DW ],  D the slopes,

and all other inputs are eigenvalues that are exactly 1.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._typing import Activation, Array
from nnthermo.experiments.architectures.stack import Parameters, Wiring, fields

UNMOVED = 1e-6
"""|log λ| below which an eigenvalue counts as 1: float64 rounds at 1e-15."""


def each(function: Callable[[Any], Any], items: Any) -> Any:
    """Of every item along the first axis: one after the other on CPUs, all at once elsewhere.

    Batched decompositions of jaxlib wait for threads of their own pool on CPUs, and for ever where all of those wait
    too: with one core, or with several CPU devices in one process.
    """
    return jax.lax.map(function, items) if jax.default_backend() == "cpu" else jax.vmap(function)(items)


def thermodynamic_scores(
    p: Parameters, wiring: Wiring, inputs: Array, betas: Array, *, activation: Activation, outputs: int, depth: int
) -> dict[str, Array]:
    """Sections 8 and 9 of one network: means over samples of functions of each sample's own Ĝ, m = 0.

    Args:
        p: of the network.
        wiring: its masks.
        inputs: (samples, inputs).
        betas: (temperatures,).
        activation: of hidden neurons.
        outputs: number of output neurons.
        depth: hidden layers at most.

    Returns:
        Scores of shape (temperatures,): `entropy_destruction`, -ΔF (9.1); `log_laplacian` and `weight_laplacian`, ΔF in
        log λ and in the weights at fixed slopes; `free_energy` (8.9); `effective_count` 2βU (10.1); `entropy` (7.1).
        Of shape (): `mu2` and `mu3` (9.5), (9.6), sums; `skewness`, of the moving eigenvalues; `hyperbolic_skewness`,
        Σ 2 sinh log λ; `moving`, how many eigenvalues are not 1; `smallest`, the smallest log λ.
    """
    _, arguments = fields(p, wiring, inputs, activation=activation, depth=depth, outputs=outputs)

    def hidden_slope(y: Array) -> Array:
        return jax.grad(activation)(y)

    slopes = (
        jax.vmap(jax.vmap(hidden_slope))(arguments).at[:, -outputs:].set(1 - jnp.tanh(arguments[:, -outputs:]) ** 2)
    )
    triangle = jnp.linalg.qr(p.first.T, mode="r")
    found = each(lambda d: _of_slopes(p, wiring, triangle, d * wiring.alive, betas), slopes)
    return jax.tree.map(lambda v: jnp.mean(v, axis=0), found)


def _of_slopes(p: Parameters, wiring: Wiring, triangle: Array, d: Array, betas: Array) -> dict[str, Array]:
    r, n, inputs = triangle.shape[0], len(d), p.first.shape[1]
    eye = jnp.eye(n, dtype=d.dtype)
    top = jnp.concatenate([jnp.eye(r, dtype=d.dtype), jnp.zeros((r, n), d.dtype)], axis=1)
    bottom = jnp.concatenate([-d[:, None] * triangle.T, eye - d[:, None] * p.links], axis=1)
    B = jnp.concatenate([top, bottom])
    logs = 2 * jnp.log(jnp.linalg.svd(B, compute_uv=False))
    # padding is a unit eigenvalue too many, inputs that are not coupled are as many too few
    units = inputs - r - jnp.sum(1 - wiring.alive)
    size = inputs + jnp.sum(wiring.alive)

    def at(beta: Array) -> dict[str, Array]:
        s = beta * jnp.exp(logs) / (1 + beta * jnp.exp(logs))
        unit = beta / (1 + beta)
        log_det = jnp.sum(jnp.log1p(beta * jnp.exp(logs))) + units * jnp.log1p(beta)
        count = jnp.sum(s) + units * unit
        log_z = 0.5 * (size * jnp.log(2 * jnp.pi) - log_det)
        return {
            "entropy_destruction": beta / 2 * (jnp.sum((1 - s) ** 2) + units * (1 - unit) ** 2),
            "log_laplacian": (jnp.sum(s * (1 - s)) + units * unit * (1 - unit)) / (2 * beta),
            "weight_laplacian": _in_weights(B, wiring, d, inputs, beta),
            "free_energy": -log_z / beta,
            "effective_count": count,
            "entropy": log_z + count / 2,
        }

    mu2, mu3 = jnp.sum(logs**2), jnp.sum(logs**3)
    moving = jnp.sum(jnp.abs(logs) > UNMOVED).astype(d.dtype)
    count = jnp.maximum(moving, 1)
    spread = jnp.where(mu2 > 0, mu2, 1) / count
    return jax.vmap(at)(betas) | {
        "mu2": mu2,
        "mu3": mu3,
        "skewness": jnp.where(mu2 > 0, mu3 / count / spread**1.5, 0),
        "hyperbolic_skewness": jnp.sum(2 * jnp.sinh(logs)),
        "moving": moving,
        "smallest": jnp.min(logs),
    }


def _in_weights(B: Array, wiring: Wiring, d: Array, inputs: int, beta: Array) -> Array:
    """ΔF over all weights that exist: Σ d_i² { P_jj [1 - β(BPBᵀ)_ii] - β(BP)_ij² }, as in `nnthermo.laplacians`."""
    n = len(d)
    r = len(B) - n
    P = jnp.linalg.inv(jnp.eye(r + n, dtype=d.dtype) + beta * B.T @ B)
    BP = (B @ P)[r:]
    dual = 1 - beta * jnp.sum(BP * B[r:], axis=1)
    diagonal = jnp.diagonal(P)
    from_inputs = dual * (jnp.sum(diagonal[:r]) + (inputs - r) / (1 + beta)) - beta * jnp.sum(BP[:, :r] ** 2, axis=1)
    between = dual[:, None] * diagonal[r:][None, :] - beta * BP[:, r:] ** 2
    return jnp.sum(d**2 * (wiring.first * from_inputs + jnp.sum(wiring.links * between, axis=1)))


def baselines(
    p: Parameters, wiring: Wiring, inputs: Array, targets: Array, *, activation: Activation, outputs: int, depth: int
) -> dict[str, Array]:
    """What others read off a network without training it; scores of shape ().

    Args:
        p: of the network.
        wiring: its masks.
        inputs: (samples, inputs).
        targets: (samples, outputs).
        activation: of hidden neurons.
        outputs: number of output neurons.
        depth: hidden layers at most.

    Returns:
        `gradient_norm`, of the mean boundary loss in all parameters; `kernel_trace` and `kernel_condition`, log10 of
        the trace and of the condition number of the empirical neural tangent kernel of the outputs (Jacot et al.,
        arXiv:1806.07572; its condition number as a score: Chen et al., arXiv:2102.11535); `synflow`, log10 of
        Σ θ ∂R/∂θ with absolute weights, identity activations and inputs 1 (Tanaka et al., arXiv:2006.05467).
    """
    network: dict[str, Any] = {"activation": activation, "depth": depth, "outputs": outputs}
    states, _ = fields(p, wiring, inputs, **network)

    def shifted(e: Array, u: Array) -> Array:
        return fields(p._replace(bias=p.bias + e), wiring, u[None], **network)[0][0, -outputs:]

    deltas = jax.vmap(lambda u: jax.jacrev(shifted)(jnp.zeros_like(p.bias), u))(inputs)  # (samples, outputs, n)
    pairs = jnp.einsum("sj,tj,ij->ist", states, states, wiring.links)  # of all that lead into neuron i
    pairs = pairs + wiring.first[:, None, None] * (inputs @ inputs.T)[None] + wiring.alive[:, None, None]
    kernel = jnp.einsum("soi,tpi,ist->sotp", deltas, deltas, pairs)
    errors = states[:, -outputs:] - targets
    samples = len(inputs)
    gradient = jnp.einsum("so,sotp,tp->", errors, kernel, errors) / samples**2
    eigenvalues = jnp.linalg.eigvalsh(kernel.reshape(samples * outputs, samples * outputs))
    floor = jnp.finfo(kernel.dtype).eps * jnp.max(eigenvalues)
    smallest = jnp.maximum(eigenvalues[0], floor)
    return {
        "gradient_norm": jnp.sqrt(jnp.maximum(gradient, 0)),
        "kernel_trace": jnp.log10(jnp.sum(eigenvalues)),
        "kernel_condition": jnp.log10(eigenvalues[-1] / smallest),
        "synflow": _synflow(p, depth, outputs),
    }


def _synflow(p: Parameters, depth: int, outputs: int) -> Array:
    def flow(weights: tuple[Array, Array]) -> Array:
        drive = jnp.sum(weights[0], axis=1)
        x = drive
        for _ in range(depth):
            x = drive + weights[1] @ x
        return jnp.sum(x[-outputs:])

    absolute = (jnp.abs(p.first), jnp.abs(p.links))
    saliency = jax.tree.map(lambda w, g: jnp.sum(w * g), absolute, jax.grad(flow)(absolute))
    return jnp.log10(sum(saliency))


def fixed_scores(architecture: Any, inputs: int, outputs: int) -> dict[str, float]:
    """What the drawing of an architecture says: no weights are needed."""
    return {
        "parameters": float(architecture.parameters(inputs, outputs)),
        "neurons": float(inputs + sum(architecture.widths) + outputs),
        "depth": float(architecture.depth),
        "narrowest": float(min(architecture.widths)),
        "weighted_links": float(architecture.weighted_links(inputs, outputs)),
    }
