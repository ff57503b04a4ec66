"""The Gaussian partition function (5.9)-(5.14)."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, is_concrete, positive, refuse
from nnthermo._typing import Array, Scalar, State


def log_partition(G: Any, beta: Scalar, *, m: Scalar = 0.0, mean: State | None = None) -> Array:
    r"""Log partition function of the Gaussian canonical ensemble, in nats.

    Eqs. (5.9) with `mean` and (5.14) without:

        log Z = -½ log det M - ½ āᵀ (1-βm) βĜ M⁻¹ ā + (N/2) log 2π,   M = (1-βm) I + βĜ.

    (5.9) is exact for linear networks if `mean` is the fixed state x̄ of (2.9); the paper prints ⟨x⟩, with which it is
    not. For other activations the error is O(1/β). (5.14) drops the second term, which for trained networks is as
    large as what depends on the weights in the first. Both rest on the window exp(-x·x/2) of (5.8).

    Args:
        G: Hessian from `bulk_hessian` or `restrict`; or a `LogSpectrum`, or `Eigenmodes` or a `StochasticSpectrum`,
            which bring their mean along (all without `mean`).
        beta: inverse temperature β > 0, in inverse units of the loss; shape ().
        m: curvature of the potential V = -(m/2) x·x (3.3).
        mean: x̄ in the structure of the network.

    Raises:
        ValueError: β not positive, Ĝ not finite, or M not positive definite, 1 + β(λ_min - m) <= 0, where the numbers
            are known; under jit, vmap and grad the last is returned as NaN.
        TypeError: G of another kind, or β or m not real.
    """
    positive("beta", beta)
    if not hasattr(G, "log_det"):
        raise TypeError(f"`G` must be a Hessian from `bulk_hessian`, but got {type(G).__name__}")
    decomposed = not hasattr(G, "matvec")  # it brings its mean along, or has none
    if decomposed:
        check("mean", f"be left out for {type(G).__name__}, which cannot take one", mean is None, type(mean).__name__)
    if mean is not None or (decomposed and hasattr(G, "log_det_and_form")):
        log_det, form = G.log_det_and_form(beta, m, mean)
    else:
        log_det = G.log_det(beta, m)
        form = jnp.zeros_like(log_det)
    if is_concrete(log_det, beta, m) and not np.isfinite(log_det):
        for leaf in jax.tree.leaves(G):
            if jnp.issubdtype(leaf.dtype, jnp.floating):  # and no random key
                finite("G", leaf)
        requirement = "keep (1 - βm)I + βĜ positive definite, i.e. m < λ_min + 1/β"
        refuse("m", requirement, f"m = {float(m)} at β = {float(beta)}")
    if mean is not None and is_concrete(form) and not np.isfinite(form):
        for leaf in jax.tree.leaves(mean):
            finite("mean", leaf)
    return -0.5 * log_det - 0.5 * form + 0.5 * G.size * math.log(2 * math.pi)
