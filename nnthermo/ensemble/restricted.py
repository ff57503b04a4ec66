"""Ĝ of some of the neurons, the others held fixed: ensembles with a clamped boundary (3.2), or of any part."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, instance, is_concrete, real_array
from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar, State
from nnthermo.ensemble.hessian import DenseHessian, Hessian, LayeredHessian, flat_state, layer_vectors, shift_and_scale
from nnthermo.linalg import shifted_gram
from nnthermo.linalg.dense import matmul
from nnthermo.network import Network
from nnthermo.network.protocol import as_state, boundary_masks


@pytree(static=("kept",))
class RestrictedHessian:
    """Rows and columns of Ĝ that belong to the neurons that are free; made by `restrict`.

    Its log det costs no more than that of all neurons: a clamped neuron is one observation more in the same recursion.
    States and vectors are those of the whole network where a network gives them (`log_det_and_form`, `select`), and
    tuples of layer vectors, or one vector for a general graph, of free neurons else.

    Attributes:
        hessian: of all neurons.
        kept: indices of free neurons, by layer; one tuple for a general graph.
    """

    hessian: Hessian
    kept: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Number of free neurons."""
        return sum(self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Free neurons in each layer; one number for a general graph."""
        return tuple(map(len, self.kept))

    @property
    def dtype(self) -> Any:
        """Of Ĝ and what follows from it."""
        return self.hessian.dtype

    def select(self, x: State) -> State:
        """The free neurons of a state of the whole network."""
        if isinstance(self.hessian, DenseHessian):
            return flat_state("x", x, self.hessian.size, self.hessian.groups)[self._index(0)]
        x = layer_vectors("x", x, self.hessian.sizes, self.dtype, self.hessian.groups)
        return tuple(v[self._index(k)] for k, v in enumerate(x))

    def embed(self, v: State) -> State:
        """A state of the whole network with the free neurons given and the others zero; the transpose of `select`."""
        if isinstance(self.hessian, DenseHessian):
            v = real_array("v", v, shape=(self.size,))
            return jnp.zeros((self.hessian.size,), v.dtype).at[self._index(0)].set(v)
        v = layer_vectors("v", v, self.sizes, self.dtype)
        pairs = enumerate(zip(self.hessian.sizes, v, strict=True))
        return tuple(jnp.zeros((n,), u.dtype).at[self._index(k)].set(u) for k, (n, u) in pairs)

    def to_dense(self) -> Array:
        """The rows and columns of Ĝ, shape (size, size)."""
        whole = self.hessian.to_dense()
        flat = self._flat()
        return whole[jnp.ix_(flat, flat)]

    def matvec(self, v: State) -> State:
        """The restricted Ĝ times v."""
        return self.select(self.hessian.matvec(self.embed(v)))

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm) I + βĜ) over free neurons; NaN if not positive definite."""
        if isinstance(self.hessian, DenseHessian):
            return DenseHessian(self.jacobian).log_det(beta, m)
        return self._layered(beta, m, tuple(jnp.zeros((n,), self.dtype) for n in self.sizes))[0]

    def log_det_and_form(self, beta: Scalar, m: Scalar, a: State) -> tuple[Array, Array]:
        """log det of M = cI + βĜ, c = 1 - βm, and the form aᵀ cβĜM⁻¹ a of (5.9); a is a state of the whole network."""
        if isinstance(self.hessian, DenseHessian):
            return DenseHessian(self.jacobian).log_det_and_form(beta, m, self.select(a))
        return self._layered(beta, m, self.select(a))

    @property
    def jacobian(self) -> Array:
        """The columns of B = ∂r/∂x of free neurons, dense, without rows that are zero for any weights."""
        columns = self.hessian.jacobian[:, self._flat()]
        seen = [bool(own) or (k > 0 and bool(self.kept[k - 1])) for k, own in enumerate(self.kept)]
        return columns if all(seen) else columns[np.repeat(seen, self.hessian.sizes)]

    def log_eigenvalues(self) -> tuple[Array, int]:
        """Every log λ, descending, and 0. They need not sum to zero: Σ log λ = 0 (7.8) is a property of the whole.

        From singular values of the columns of B, at the cost of the free neurons' number cubed: not reduced further.
        """
        return DenseHessian(self.jacobian).log_eigenvalues()

    def check_one_state(self) -> None:
        """Refuse the Hessian of many states, or of half precision."""
        self.hessian.check_one_state()

    def _index(self, k: int) -> np.ndarray:
        return np.asarray(self.kept[k], int)

    def _flat(self) -> np.ndarray:
        starts = np.cumsum((0, *self.hessian.sizes))
        return np.concatenate([starts[k] + self._index(k) for k in range(len(self.kept))])

    def _layered(self, beta: Scalar, m: Scalar, a: tuple[Array, ...]) -> tuple[Array, Array]:
        G = self.hessian
        assert isinstance(G, LayeredHessian)
        # A_1 of the free inputs; its Gram matrix is shared between states as long as the slopes are kept apart
        first = G.weights[0][:, self._index(0)]
        gram = G.slopes[0][:, None] * matmul(first, first.T) * G.slopes[0][None, :]
        product = G.slopes[0] * matmul(first, a[0])
        beta, shift = shift_and_scale(beta, m, self.dtype)
        return shifted_gram.log_det_and_form(G.blocks, shift, beta, a, shifted_gram.First(gram, product), self.kept)


def restrict(G: Hessian, free: State) -> RestrictedHessian:
    """Ĝ of the neurons that are free, every other one held fixed.

    The exponent of the ensemble is then -βH* - (β/2) δᵀĜδ - (1-βm)/2 |x̄ + δ|² over free neurons; `log_partition` and
    what follows from it leave out H*, the loss at the state itself, which is zero for a state that nothing clamps. Ĝ
    is the Hessian of the clamped loss as far as the residuals there vanish or the activations are linear.

    Args:
        G: Hessian of all neurons, from `bulk_hessian`.
        free: booleans in the structure of a state, True where a neuron is free; NumPy arrays, as they decide shapes.
            `hidden_neurons` gives those of a clamped boundary.

    Raises:
        ValueError: another structure, no neuron free, or the Hessian of many states.
        TypeError: not booleans, or traced; or a Hessian of another kind, such as one restricted before.
    """
    instance("G", G, DenseHessian | LayeredHessian, "a Hessian of all neurons")
    G.check_one_state()
    layers = tuple(jax.tree.leaves(free))
    check("free", f"have {len(G.sizes)} arrays, one a layer", len(layers) == len(G.sizes), len(layers))
    for size, layer in zip(G.sizes, layers, strict=True):
        if not is_concrete(layer) or np.asarray(layer).dtype != bool:
            raise TypeError(f"`free` must be booleans known before compilation, but got {layer!r}")
        check("free", f"have shape ({size},)", np.shape(layer) == (size,), np.shape(layer))
    kept = tuple(tuple(np.flatnonzero(layer).tolist()) for layer in layers)
    check("free", "leave at least one neuron free", any(kept), "none")
    return RestrictedHessian(G, kept)


def hidden_neurons(net: Network) -> Any:
    """Booleans in the structure of a state, NumPy, True for the neurons that neither inputs nor targets clamp (3.2)."""
    inputs, outputs = boundary_masks(net)
    return as_state(net, ~(inputs | outputs))
