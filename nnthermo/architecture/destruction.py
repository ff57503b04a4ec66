"""Entropy destruction -ΔF (9.1) of a network at a state, as something to train on."""

import jax.numpy as jnp

from nnthermo._checks import check, is_concrete, positive, real_array
from nnthermo._typing import Array, Scalar, State
from nnthermo.ensemble import bulk_hessian, log_partition
from nnthermo.laplacians import weight_laplacian
from nnthermo.linalg.positive import positive_or_nan
from nnthermo.network import Network
from nnthermo.spectrum import spectral_trace


def entropy_destruction(
    net: Network,
    x: State,
    beta: Scalar,
    *,
    m: Scalar = 0.0,
    coordinates: str = "eigenvalues",
    slopes: State | None = None,
) -> Array:
    """-ΔF at a state (9.1), which the paper's principle asks to be as small as it can: shape (), in units of the loss.

    Differentiable in network, state and β, also where eigenvalues are equal. As a loss of `train`, alone or mixed:

        loss = lambda net, x, t: nt.boundary_loss(net, x, t) + 0.01 * nt.entropy_destruction(net, x, 1.0)

    Coordinates:
        "eigenvalues": (β/2) Tr M⁻², M = (1-βm)I + βĜ, minus `eigenvalue_laplacian`; between 0 and N β/2 for m = 0.
        "log_eigenvalues": minus `log_eigenvalue_laplacian`, negative for m < 1/β.
        "weights": minus `weight_laplacian`, of either sign.
        The three are not minimised by the same networks.

    Args:
        net: a network; a `TracedNetwork` has no "weights", and should be small enough for an exact Ĝ: all samples would
            share the probes of a stochastic one.
        x: state in the structure of the network.
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3).
        coordinates: see above.
        slopes: f̂' in place of f'(ŵx + b), for example `mean_slopes`.

    Raises:
        ValueError: another name of coordinates, or as `log_partition`; where values are traced, M that is not positive
            definite gives NaN.
        TypeError: another kind of network.
    """
    names = ("eigenvalues", "log_eigenvalues", "weights")
    check("coordinates", f"be one of {', '.join(names)}", coordinates in names, repr(coordinates))
    positive("beta", beta)
    if coordinates == "weights":
        return -weight_laplacian(net, x, beta, m=m, slopes=slopes)
    G = bulk_hessian(net, x, slopes=slopes)
    phi = _eigenvalue if coordinates == "eigenvalues" else _log_eigenvalue
    value = spectral_trace(G, phi, beta, m)
    if is_concrete(value) and jnp.isnan(value):
        log_partition(G, real_array("beta", beta), m=m)  # names what is wrong
    return value


def _shifted(x: Array, beta: Array, m: Array) -> Array:
    return positive_or_nan(1 - beta * m + beta * x)


def _eigenvalue(x: Array, beta: Array, m: Array) -> Array:
    return beta / 2 * _shifted(x, beta, m) ** -2


def _log_eigenvalue(x: Array, beta: Array, m: Array) -> Array:
    return -(1 - beta * m) / 2 * x * _shifted(x, beta, m) ** -2
