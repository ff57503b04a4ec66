"""Eigenmodes of Ĝ and the share that the mean has in each: every temperature from one decomposition."""

from typing import Any

import jax.numpy as jnp

from nnthermo._checks import instance
from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar, State
from nnthermo.ensemble.blocks import BlockHessian
from nnthermo.ensemble.hessian import DenseHessian, LayeredHessian, flat_state, layer_vectors, shift_and_scale
from nnthermo.ensemble.restricted import RestrictedHessian
from nnthermo.linalg import bidiagonal
from nnthermo.linalg.dense import matmul
from nnthermo.linalg.positive import positive_or_nan
from nnthermo.linalg.reduction import reduce_blocks, unit_count


@pytree(static=("unit_count",))
class Eigenmodes:
    """Eigenvalues of Ĝ with the squared components of x̄ along their eigenvectors; made by `eigenmodes`.

    Stands for Ĝ together with x̄ in `log_partition` and everything that follows from it, at O(n) for each β and m.

    Attributes:
        log_values: log λ of the dynamical eigenvalues, descending, shape (n,).
        shares: (v_i·x̄)² for each, shape (n,); zeros without a mean.
        unit_share: |x̄|² in the space of the eigenvalues that are exactly 1, shape ().
        unit_count: how many these are.
    """

    log_values: Array
    shares: Array
    unit_share: Array
    unit_count: int = 0

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return self.log_values.shape[-1] + self.unit_count

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm) I + βĜ); NaN if not positive definite."""
        return self.log_det_and_form(beta, m)[0]

    def log_det_and_form(self, beta: Scalar, m: Scalar, a: None = None) -> tuple[Array, Array]:  # noqa: ARG002
        """log det of M = cI + βĜ, c = 1 - βm, and x̄ᵀ cβĜM⁻¹ x̄ of (5.9)."""
        dtype = self.log_values.dtype
        beta, shift = shift_and_scale(beta, m, dtype)
        values = jnp.concatenate([jnp.exp(self.log_values), jnp.ones((1,), dtype)])
        counts = jnp.ones_like(values).at[-1].set(self.unit_count)
        shares = jnp.append(self.shares, self.unit_share)
        shifted = shift + beta * values
        shifted = jnp.where(counts == 0, 1, positive_or_nan(shifted))
        return jnp.sum(counts * jnp.log(shifted)), jnp.sum(shift * beta * values / shifted * shares)


def eigenmodes(G: Any, *, mean: State | None = None) -> Eigenmodes:
    """Decompose Ĝ once for sweeps in β and m.

    For a layered network only its coupled part is decomposed (110 of 854 for 784-40-20-10). Derivatives in β and m are
    exact. Those of the shares in weights and states pass through eigenvectors, and are NaN or infinite where dynamical
    eigenvalues coincide, or where rows of W_1 or the coupled directions of a wide layer are linearly dependent: for
    these differentiate `log_partition` of Ĝ itself, which costs a recursion for each β.

    Args:
        G: Hessian from `bulk_hessian` or `restrict`.
        mean: x̄ in the structure of the network, for (5.9); without it (5.14).

    Raises:
        ValueError: the Hessian of many states.
        TypeError: another kind of Hessian.
    """
    instance("G", G, DenseHessian | LayeredHessian | BlockHessian | RestrictedHessian, "a Hessian of a network")
    G.check_one_state()
    if isinstance(G, LayeredHessian):
        if mean is None:
            values, count = G.log_eigenvalues()
            return Eigenmodes(values, jnp.zeros_like(values), jnp.zeros((), values.dtype), count)
        reduced, bases = reduce_blocks(G.blocks, G.weights[0])
        dense, count = bidiagonal.to_dense(reduced), unit_count(G.sizes)
        mean = layer_vectors("mean", mean, G.sizes, dense.dtype, G.groups)
        rest = jnp.zeros((), dense.dtype)
        inside = []
        for v, basis in zip(mean, bases, strict=True):
            inside.append(v if basis is None else matmul(basis.T, v))
            if basis is not None:
                outside = v - matmul(basis, inside[-1])
                rest = rest + jnp.vdot(outside, outside)
        return _decompose(dense, jnp.concatenate(inside), rest, count)
    if isinstance(G, RestrictedHessian):
        kept = None if mean is None else G.select(mean)
        return _decompose(G.jacobian, kept if not isinstance(kept, tuple) else jnp.concatenate(kept))
    return _decompose(G.jacobian, None if mean is None else flat_state("mean", mean, G.size, G.groups))


def _decompose(jacobian: Array, mean: Array | None, unit_share: Array | None = None, count: int = 0) -> Eigenmodes:
    dtype = jacobian.dtype
    if unit_share is None:
        unit_share = jnp.zeros((), dtype)
    if mean is None:
        values = jnp.linalg.svd(jacobian, compute_uv=False)
        return Eigenmodes(2 * jnp.log(values), jnp.zeros_like(values), unit_share, count)
    _, values, right = jnp.linalg.svd(jacobian, full_matrices=False)
    return Eigenmodes(2 * jnp.log(values), matmul(right, mean) ** 2, unit_share, count)
