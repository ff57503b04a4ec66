"""The least entropy destruction (9.1) that any spectrum with det Ĝ = 1 allows."""

from typing import NamedTuple

import jax.numpy as jnp

from nnthermo._checks import integer, positive
from nnthermo._typing import Array, Scalar


class OptimalDestruction(NamedTuple):
    """The infimum of -ΔF (9.1) over spectra.

    Attributes:
        value: in units of the loss, shape ().
        attained: whether some spectrum has it, shape (); otherwise one eigenvalue goes to 0 and the others to ∞.
    """

    value: Array
    attained: Array


def optimal_entropy_destruction(size: int, beta: Scalar) -> OptimalDestruction:
    """The infimum of (β/2) Σ (1 + βλ)⁻² (9.1) over all N positive eigenvalues with Π λ = 1, which (9.2) only samples.

    In log λ each term is concave where βλ < ½ and convex beyond. Two eigenvalues in the concave part can be moved
    apart to lower the sum, and those in the convex part lower it by being equal: what is left is the two-level model
    with γ = 1/N. For N >= 3 it has no minimum at log λ < 0, so that the infimum is

        (β/2) N (1+β)⁻², attained at λ = 1, if β >= √N - 1;    else β/2, approached but not attained.

    N = 1 has no freedom, and for N = 2 it is otherwise: for β < ½ the minimum is attained at the two levels
    λ^{1/3} + λ^{-1/3} = 1/β, (β/2)(1 - 2β²)/(1 - β²)², below both. Networks have fewer spectra: an architecture can
    reach at best this.

    Args:
        size: number N of eigenvalues that can move.
        beta: inverse temperature β > 0, any shape.

    Raises:
        ValueError: N below 1 or β not positive.
        TypeError: N not an integer.
    """
    n = integer("size", size, least=1)
    positive("beta", beta)
    beta = jnp.asarray(beta, jnp.result_type(float, beta))
    equal = n / (1 + beta) ** 2
    if n == 2:
        inside = jnp.where(beta < 0.5, beta, 0) ** 2
        split = (1 - 2 * inside) / (1 - inside) ** 2
        return OptimalDestruction(beta / 2 * jnp.where(beta < 0.5, split, equal), jnp.ones_like(beta, bool))
    attained = beta >= n**0.5 - 1
    return OptimalDestruction(beta / 2 * jnp.where(attained, equal, 1), attained)
