"""Ĝ = (I - f̂'ŵ)ᵀ(I - f̂'ŵ) (5.6), the Gauss-Newton Hessian of the bulk loss, in the structure of the network.

Every Hessian has `size`, `sizes`, `dtype`, `jacobian`, `to_dense`, `matvec`, `log_det`, `log_det_and_form` and
`log_eigenvalues`; one without a matrix (`matrix_free`) has estimates of some and `trace` in place of the others.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, full_precision, is_concrete, real_array
from nnthermo._typing import Array, Scalar, State
from nnthermo.linalg import bidiagonal
from nnthermo.linalg.dense import cholesky, gram, matmul
from nnthermo.linalg.reduction import log_singular_values, unit_count
from nnthermo.linalg.shifted_gram import First, log_det_and_form
from nnthermo.network import Network, TracedNetwork


def shift_and_scale(beta: Scalar, m: Scalar, dtype: Any) -> tuple[Array, Scalar]:
    """β as an array, and c = 1 - βm: the number 1 if m is known to be 0, which spares the code for other signs of c.

    Raises:
        ValueError: β or m not one number, β zero or infinite in the dtype of Ĝ, or Ĝ of half precision.
    """
    full_precision("G", dtype)
    beta = real_array("beta", beta, shape=()).astype(dtype)
    if is_concrete(beta):
        check("beta", f"be positive and finite in {beta.dtype}", 0 < float(beta) < np.inf, float(beta))
    m = real_array("m", m, shape=())
    if is_concrete(m) and float(m) == 0:
        return beta, 1.0
    return beta, 1 - beta * m.astype(dtype)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Groups:
    """Names of the groups of neurons of a traced network, in the order of computation."""

    names: tuple[str, ...]


class DenseHessian(NamedTuple):
    """Ĝ = BᵀB of a general graph.

    Attributes:
        jacobian: B = ∂r/∂x = I - f̂'ŵ, shape (N, N).
        groups: of a traced network, in whose order its states are taken.
    """

    jacobian: Array
    groups: Groups | None = None

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return self.jacobian.shape[-1]

    @property
    def sizes(self) -> tuple[int, ...]:
        """(N,): a general graph has no layers."""
        return (self.size,)

    @property
    def dtype(self) -> Any:
        """Of Ĝ and what follows from it."""
        return self.jacobian.dtype

    def to_dense(self) -> Array:
        """Ĝ, shape (N, N)."""
        self.check_one_state()
        return gram(self.jacobian)

    def matvec(self, v: Array) -> Array:
        """Ĝ v, shape (N,)."""
        return matmul(self.jacobian.T, matmul(self.jacobian, v))

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm) I + βĜ); NaN if not positive definite."""
        beta, shift = shift_and_scale(beta, m, self.dtype)
        return cholesky(self._shifted(beta, shift)).log_det()

    def log_det_and_form(self, beta: Scalar, m: Scalar, a: Array) -> tuple[Array, Array]:
        """log det of M = cI + βĜ, c = 1 - βm, and the form aᵀ cβĜM⁻¹ a of (5.9)."""
        beta, shift = shift_and_scale(beta, m, self.dtype)
        a = flat_state("mean", a, self.size, self.groups).astype(self.dtype)
        factor = cholesky(self._shifted(beta, shift))
        error = matmul(self.jacobian, a)  # r = Ba: aᵀβĜM⁻¹a = βrᵀ(B M⁻¹ a), with no subtraction
        return factor.log_det(), shift * beta * jnp.vdot(error, matmul(self.jacobian, factor.solve(a)))

    def log_eigenvalues(self) -> tuple[Array, int]:
        """Every log λ, descending, and 0: a general graph has no eigenvalue that is 1 by its shape."""
        self.check_one_state()
        return 2 * jnp.log(jnp.linalg.svd(self.jacobian, compute_uv=False)), 0

    def check_one_state(self) -> None:
        """Refuse the Hessian of many states, or of half precision."""
        shape = jnp.shape(self.jacobian)
        check("G", "be that of one state; `jax.vmap` takes many", len(shape) == 2, f"a matrix of shape {shape}")
        full_precision("G", self.dtype)

    def _shifted(self, beta: Array, shift: Scalar) -> Array:
        return shift * jnp.eye(self.size, dtype=self.dtype) + beta * self.to_dense()


class LayeredHessian(NamedTuple):
    """Ĝ = BᵀB of a feed-forward network: B is block bidiagonal with -A_l = -diag(f'_l) W_l below the diagonal.

    Weights and slopes are separate leaves, so that under `vmap` over states what depends on the weights alone, above
    all W_1W_1ᵀ of the wide input layer, is computed once.

    Attributes:
        weights: L - 1 matrices (n_{l+1}, n_l).
        slopes: L - 1 vectors (n_{l+1},).
        groups: of a traced network, in whose order its states are taken.
    """

    weights: tuple[Array, ...]
    slopes: tuple[Array, ...]
    groups: Groups | None = None

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return sum(self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons in each layer, inputs first."""
        return bidiagonal.block_sizes(self.weights)

    @property
    def dtype(self) -> Any:
        """Of Ĝ and what follows from it."""
        return self.weights[0].dtype

    @property
    def blocks(self) -> tuple[Array, ...]:
        """A_l = diag(f'_l) W_l."""
        return tuple(d[:, None] * w for d, w in zip(self.slopes, self.weights, strict=True))

    @property
    def first_gram(self) -> Array:
        """A_1A_1ᵀ = diag(f'_1) W_1W_1ᵀ diag(f'_1), all that a log det needs of wide inputs, (n_1, n_1)."""
        shared = matmul(self.weights[0], self.weights[0].T)  # of the weights alone: once for all samples
        return self.slopes[0][:, None] * shared * self.slopes[0][None, :]

    @property
    def jacobian(self) -> Array:
        """B = ∂r/∂x = I - f̂'ŵ, shape (N, N), neurons in the order of the layers."""
        return bidiagonal.to_dense(self.blocks)

    def to_dense(self) -> Array:
        """Ĝ, shape (N, N), neurons in the order of the layers."""
        return gram(self.jacobian)

    def matvec(self, v: tuple[Array, ...]) -> tuple[Array, ...]:
        """Ĝ v for a tuple of layer vectors."""
        v = layer_vectors("v", v, self.sizes, self.dtype, self.groups)
        return bidiagonal.multiply_transposed(self.blocks, bidiagonal.multiply(self.blocks, v))

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm) I + βĜ) in O(L n³), n the width after the input layer; NaN if not positive definite."""
        zero = tuple(jnp.zeros(n, self.dtype) for n in self.sizes)
        return self.log_det_and_form(beta, m, zero)[0]

    def log_det_and_form(self, beta: Scalar, m: Scalar, a: tuple[Array, ...]) -> tuple[Array, Array]:
        """log det of M = cI + βĜ, c = 1 - βm, and the form aᵀ cβĜM⁻¹ a of (5.9)."""
        self.check_one_state()
        beta, shift = shift_and_scale(beta, m, self.dtype)
        a = layer_vectors("mean", a, self.sizes, self.dtype, self.groups)
        first = First(self.first_gram, self.slopes[0] * matmul(self.weights[0], a[0]))
        return log_det_and_form(self.blocks, shift, beta, a, first)

    def log_eigenvalues(self) -> tuple[Array, int]:
        """Log λ of the coupled directions, descending, and how many eigenvalues are exactly 1 besides."""
        self.check_one_state()
        return 2 * log_singular_values(self.blocks, self.weights[0]), unit_count(self.sizes)

    def check_one_state(self) -> None:
        """Refuse the Hessian of many states, or of half precision."""
        ranks = {jnp.ndim(w) for w in self.weights}, {jnp.ndim(d) for d in self.slopes}
        check("G", "be that of one state; `jax.vmap` takes many", ranks == ({2}, {1}), f"arrays of ranks {ranks}")
        full_precision("G", self.dtype)


Hessian = DenseHessian | LayeredHessian


def flat_state(name: str, value: Any, size: int, groups: Groups | None = None) -> Array:
    """A state as one vector (N,): of a traced network group after group, in whatever order they are given.

    Raises:
        ValueError: of another size, or of other groups.
    """
    if isinstance(value, Mapping):
        names = tuple(value) if groups is None else groups.names
        right = set(names) == set(value)
        check(name, f"hold states of {', '.join(names)}", right, ", ".join(map(str, value)))
        value = jnp.concatenate([jnp.ravel(real_array(f"{name}[{k!r}]", value[k])) for k in names])
    return real_array(name, value, shape=(size,))


def layer_vectors(
    name: str, value: Any, sizes: tuple[int, ...], dtype: Any, groups: Groups | None = None
) -> tuple[Array, ...]:
    """A state of a layered network, checked and in the dtype of Ĝ; of a traced one, cut at the same places.

    Raises:
        ValueError: not one vector a layer, or of other sizes.
    """
    if isinstance(value, Mapping):
        whole = flat_state(name, value, sum(sizes), groups)
        return tuple(part.astype(dtype) for part in jnp.split(whole, np.cumsum(sizes)[:-1]))
    is_tuple = isinstance(value, tuple | list)
    check(name, f"have {len(sizes)} layer vectors", is_tuple and len(value) == len(sizes), type(value).__name__)
    return tuple(
        real_array(f"{name}[{k}]", v, shape=(n,)).astype(dtype)
        for k, (v, n) in enumerate(zip(value, sizes, strict=True))
    )


def mean_state(net: Network, inputs: Array) -> State:
    """⟨x⟩ over a data set: the mean of the fixed states of all samples, where the paper takes its one Ĝ.

    Not itself a fixed state, and f'(⟨x⟩) is not ⟨f'⟩ (`mean_slopes`): their spectra differ by half.

    Args:
        net: a network.
        inputs: (samples, n_in); of a `TracedNetwork` also in the shape of its example, (samples, ...).
    """
    ndim = None if isinstance(net, TracedNetwork) else 2
    states = jax.vmap(net.propagate)(real_array("inputs", inputs, ndim=ndim))
    return jax.tree.map(lambda s: jnp.mean(s, axis=0), states)


def mean_slopes(net: Network, inputs: Array) -> State:
    """⟨f'⟩ over a data set: the mean over samples of the slopes at their own fixed states.

    Args:
        net: a network.
        inputs: (samples, n_in).
    """
    slopes = jax.vmap(lambda u: net.slopes(net.propagate(u)))(real_array("inputs", inputs, ndim=2))
    return jax.tree.map(lambda s: jnp.mean(s, axis=0), slopes)
