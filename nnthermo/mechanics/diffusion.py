"""Drift and diffusion of trainable variables by the noise of mini-batches."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, function, integer, real_array, real_numbers
from nnthermo._typing import Array, Scalar


def sgd_diffusion_matrix(
    per_sample_gradients: Any, learning_rate: Any, batch_size: int, *, replace: bool = True
) -> Array:
    r"""Diffusion matrix of stochastic gradient descent, time in steps: half the covariance of one step.

        D = (η²/2) Cov(g)/B,     times (n - B)/(n - 1) for batches drawn without replacement.

    Cov is over the n samples, divided by n: the data are the whole population that batches come from. The drift is
    -η∇L, so γ = η. Steps that are independent: within an epoch of reshuffled data they are not, and less diffuses.
    Fokker-Planck is then right to O(η), with `modified_loss` to O(η²), in weak averages. A variance, being O(η) itself,
    keeps a relative error of order ηH, H the Hessian of the loss: see `modified_diffusion_matrix`. Own derivation.

    Args:
        per_sample_gradients: g, shape (n, K).
        learning_rate: η, shape ().
        batch_size: B.
        replace: whether a sample may come twice in a batch.

    Returns:
        D, shape (K, K), positive semidefinite; in float rounding too, as a product of a matrix with itself.

    Raises:
        ValueError: no samples, or a batch larger than the data without replacement.
    """
    g = real_array("per_sample_gradients", per_sample_gradients, ndim=2)
    rate = real_array("learning_rate", learning_rate, shape=()).astype(g.dtype)
    n, B = len(g), integer("batch_size", batch_size, least=1)
    check("per_sample_gradients", "hold at least one sample", n > 0, n)
    share = 1.0
    if not replace:
        check("batch_size", f"be at most {n}, the number of samples", n >= B, B)
        share = (n - B) / max(n - 1, 1)
    return _half_covariance(g, rate, 0.5 * share / B)


@partial(jax.jit, inline=True)
def _half_covariance(g: Array, rate: Array, share: Scalar) -> Array:
    g = g - jnp.mean(g, axis=0, keepdims=True)
    covariance = jnp.matmul(g.T, g, precision=jax.lax.Precision.HIGHEST) / len(g)
    return rate**2 * covariance * share


def modified_loss(loss: Callable[[Array], Array], learning_rate: Any) -> Callable[[Array], Array]:
    """q ↦ L + (η/4)|∇L|², whose gradient flow is a step of gradient descent on L to O(η²) rather than O(η).

    The modified equation of numerical analysis, standard, re-derived: with q' = -η∇L̃ over one step,
    q(1) - q(0) = -η∇L̃ + (η²/2)∇∇L̃∇L̃ + O(η³), which is -η∇L when L̃ = L + (η/4)|∇L|². With small noise
    the same holds for weak averages. Use it as the free energy of the drift, or `modified_drift`.

    Args:
        loss: L of q, shape (K,), to shape ().
        learning_rate: η.
    """
    function("loss", loss)
    real_numbers(learning_rate=learning_rate)

    def modified(q: Array) -> Array:
        value, slope = jax.value_and_grad(loss)(q)
        return value + 0.25 * jnp.asarray(learning_rate, value.dtype) * jnp.sum(slope**2)

    return modified


def modified_drift(loss: Callable[[Array], Array], learning_rate: Any) -> Callable[[Array], Array]:
    """q ↦ -η∇(L + (η/4)|∇L|²) = -η∇L - (η²/2)∇∇L∇L per step, by one derivative along the gradient."""
    function("loss", loss)
    real_numbers(learning_rate=learning_rate)

    def drift(q: Array) -> Array:
        slope = jax.grad(loss)(q)
        bend = jax.jvp(jax.grad(loss), (q,), (slope,))[1]
        rate = jnp.asarray(learning_rate, q.dtype)
        return -rate * slope - 0.5 * rate**2 * bend

    return drift


def modified_diffusion_matrix(diffusion: Any, hessian: Any, learning_rate: Any) -> Array:
    r"""D + (η/2)(HD + DH): with the modified drift it gives variances of SGD to a relative O(η²).

    On a quadratic loss a step is q ← q - ηHq + noise of covariance 2D, with the stationary covariance of
    ηHΣ + ηΣH - η²HΣH = 2D. The flow with drift -(ηH + η²H²/2)q has the same Σ to this order if it diffuses by this
    matrix; with D alone Σ is too small by ηH. In one dimension ηC/(2HB)/(1 - ηH/2). Own derivation, for constant D
    and H; changes of either with q are left out.

    Args:
        diffusion: D of `sgd_diffusion_matrix`, shape (..., K, K).
        hessian: H of the loss, shape (..., K, K).
        learning_rate: η.
    """
    real_numbers(learning_rate=learning_rate)
    D, H = real_array("diffusion", diffusion), real_array("hessian", hessian)
    check("hessian", f"end in {D.shape[-2:]}", H.shape[-2:] == D.shape[-2:] and D.ndim > 1, f"shape {H.shape}")
    H = jnp.broadcast_to(H.astype(D.dtype), jnp.broadcast_shapes(D.shape, H.shape))
    DH = jnp.matmul(jnp.broadcast_to(D, H.shape), H, precision=jax.lax.Precision.HIGHEST)
    return jnp.broadcast_to(D, H.shape) + 0.5 * jnp.asarray(learning_rate, D.dtype) * (DH + jnp.swapaxes(DH, -1, -2))
