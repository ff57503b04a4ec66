"""Ĝ = BᵀB where B is block bidiagonal with full blocks: networks whose neurons skip layers, taken level by level."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp

from nnthermo._checks import check, full_precision
from nnthermo._typing import Array, Scalar
from nnthermo.ensemble.hessian import Groups, layer_vectors, shift_and_scale
from nnthermo.linalg import tridiagonal
from nnthermo.linalg.dense import gram, matmul


class BlockHessian(NamedTuple):
    """Ĝ = BᵀB, B with blocks D_l = B_ll, unit triangular in the order of computation, and -A_l = B_{l+1,l} below them.

    M = cI + βĜ is block tridiagonal with blocks cI + β(D_lᵀD_l + A_lᵀA_l) and -βD_{l+1}ᵀA_l, which elimination factors
    in O(Σ n_l³).

    Attributes:
        diagonal: D_l, shapes (n_l, n_l).
        lower: B_{l+1,l} = -A_l, shapes (n_{l+1}, n_l).
        groups: of a traced network, in whose order its states are taken.
    """

    diagonal: tuple[Array, ...]
    lower: tuple[Array, ...]
    groups: Groups | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons in each level."""
        return tuple(d.shape[-1] for d in self.diagonal)

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return sum(self.sizes)

    @property
    def dtype(self) -> Any:
        """Of Ĝ and what follows from it."""
        return self.diagonal[0].dtype

    @property
    def jacobian(self) -> Array:
        """B = ∂r/∂x, shape (N, N), neurons in the order of computation."""
        self.check_one_state()
        edges = list(accumulate(self.sizes, initial=0))
        B = jnp.zeros((self.size, self.size), self.dtype)
        for k, d in enumerate(self.diagonal):
            B = B.at[edges[k] : edges[k + 1], edges[k] : edges[k + 1]].set(d)
        for k, e in enumerate(self.lower):
            B = B.at[edges[k + 1] : edges[k + 2], edges[k] : edges[k + 1]].set(e)
        return B

    def to_dense(self) -> Array:
        """Ĝ, shape (N, N), neurons in the order of computation."""
        return gram(self.jacobian)

    def errors(self, v: Sequence[Array]) -> tuple[Array, ...]:
        """B v for a tuple of level vectors."""
        product = [matmul(d, x) for d, x in zip(self.diagonal, v, strict=True)]
        below = [matmul(e, x) for e, x in zip(self.lower, v[:-1], strict=True)]
        return (product[0], *(p + q for p, q in zip(product[1:], below, strict=True)))

    def matvec(self, v: Any) -> tuple[Array, ...]:
        """Ĝ v for a tuple of level vectors, or a state of the network."""
        r = self.errors(layer_vectors("v", v, self.sizes, self.dtype, self.groups))
        product = [matmul(d.T, x) for d, x in zip(self.diagonal, r, strict=True)]
        above = [matmul(e.T, x) for e, x in zip(self.lower, r[1:], strict=True)]
        return (*(p + q for p, q in zip(product[:-1], above, strict=True)), product[-1])

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm) I + βĜ); NaN if not positive definite."""
        return self._eliminate(*shift_and_scale(beta, m, self.dtype)).log_det

    def log_det_and_form(self, beta: Scalar, m: Scalar, a: Any) -> tuple[Array, Array]:
        """log det of M = cI + βĜ, c = 1 - βm, and the form aᵀ cβĜM⁻¹ a of (5.9)."""
        beta, shift = shift_and_scale(beta, m, self.dtype)
        a = layer_vectors("mean", a, self.sizes, self.dtype, self.groups)
        found = self._eliminate(beta, shift)
        terms = [jnp.vdot(r, q) for r, q in zip(self.errors(a), self.errors(found.solve(a)), strict=True)]
        return found.log_det, shift * beta * jnp.sum(jnp.stack(terms))

    def log_eigenvalues(self) -> tuple[Array, int]:
        """Every log λ, descending, by the singular values of B as a whole, and 0."""
        return 2 * jnp.log(jnp.linalg.svd(self.jacobian, compute_uv=False)), 0

    def check_one_state(self) -> None:
        """Refuse the Hessian of many states, or of half precision."""
        ranks = {jnp.ndim(d) for d in (*self.diagonal, *self.lower)}
        check("G", "be that of one state; `jax.vmap` takes many", ranks == {2}, f"arrays of ranks {ranks}")
        full_precision("G", self.dtype)

    def _eliminate(self, beta: Array, shift: Scalar) -> tridiagonal.Elimination:
        self.check_one_state()
        within = [gram(d) for d in self.diagonal]
        for k, e in enumerate(self.lower):
            within[k] = within[k] + gram(e)
        blocks = [shift * jnp.eye(len(g), dtype=g.dtype) + beta * g for g in within]
        pairs = zip(pairwise(self.diagonal), self.lower, strict=True)
        return tridiagonal.eliminate(blocks, [beta * matmul(after.T, e) for (_, after), e in pairs])
