r"""Ĝ without a matrix: products with B and Bᵀ, and traces by stochastic Lanczos quadrature.

With z_i = ±1 at random, Tr φ(Ĝ) = E zᵀφ(Ĝ)z, and zᵀφ(Ĝ)z by the Gauss quadrature of k Lanczos steps from z. Two things
keep the scatter small. Groups of neurons are coloured so that none depends directly on another of its colour, and each
probe is split into its colours: zᵀφ(Ĝ)z then leaves out φ(Ĝ)_ij between them, of first order in f̂'ŵ where what remains
is of second. And a wide input layer is projected onto the directions that the neurons behind it see: all others have
eigenvalue 1 exactly.

The gradient of the trace is d Tr φ(Ĝ) = 2 Tr dB φ'(Ĝ)Bᵀ, by probes w of the same colours among the *errors*: with
u = φ'(Ĝ)Bᵀw from the Krylov space of Bᵀw, it is that of 2 w·Bu at fixed u and w. The derivative of zᵀφ(Ĝ)z itself has
ten times the variance and more (benchmarks/traced_gradients.py).
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, integer, is_key, real_array
from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar
from nnthermo.ensemble.hessian import shift_and_scale
from nnthermo.ensemble.jacobian import jacobian_block
from nnthermo.linalg.divided_difference import elementwise, slope
from nnthermo.linalg.lanczos import krylov
from nnthermo.linalg.positive import positive_or_nan
from nnthermo.linalg.trace import Structure, structured_trace
from nnthermo.network.traced import States, TracedNetwork

AT_ONCE = 2**26
"""Numbers that the Krylov bases of probes taken side by side may hold."""
MAX_BASIS_FLOPS = 1e11
"""Of finding the directions of the inputs that are seen; a second or two on a few cores."""


@pytree(static=("probes", "steps", "chunk"))
class MatrixFreeHessian:
    """Ĝ of a traced network of any size; made by `bulk_hessian(net, x, method="stochastic")`.

    `log_det` and all that follows from it are estimates, the same for the same key; `stochastic_spectrum` gives their
    standard errors. First derivatives in parameters and states are estimated too, by probes of their own; second raise.

    Attributes:
        network: the network.
        state: x.
        key: of the probes.
        probes: how many; standard errors need two.
        steps: Lanczos steps of each.
        chunk: how many probes are taken side by side.
    """

    network: TracedNetwork
    state: States
    key: Array
    probes: int
    steps: int
    chunk: int

    @classmethod
    def of(
        cls,
        net: TracedNetwork,
        x: States,
        *,
        key: Array | None = None,
        probes: int = 8,
        steps: int = 32,
        chunk: int | None = None,
    ) -> "MatrixFreeHessian":
        """Checked, with a fixed key if none is given, and as many probes side by side as fit.

        Raises:
            ValueError: no probes or steps.
        """
        counts = cls.counts(net, probes, steps, chunk)
        check("key", "be a random key from `jax.random.key`", key is None or is_key(key), type(key).__name__)
        return cls(net, x, jax.random.key(0) if key is None else key, *counts)

    @staticmethod
    def counts(net: TracedNetwork, probes: int = 8, steps: int = 32, chunk: int | None = None) -> tuple[int, int, int]:
        """Probes, steps and probes side by side, checked and no more than there can be."""
        probes, steps = integer("probes", probes, least=1), min(integer("steps", steps, least=1), net.size)
        if chunk is None:
            chunk = max(1, AT_ONCE // (net.size * (steps + 1)))
        return probes, steps, min(integer("chunk", chunk, least=1), probes)

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return self.network.size

    @property
    def dtype(self) -> Any:
        """Of Ĝ and what follows from it."""
        return self.network.dtype

    def errors(self, v: Any) -> Any:
        """B v for a state or a vector (N,)."""
        return self._as(v, Products(self.network, self.state).forward(self.flat(v)))

    def errors_transposed(self, v: Any) -> Any:
        """Bᵀ v for a state or a vector (N,)."""
        return self._as(v, Products(self.network, self.state).transposed(self.flat(v)))

    def matvec(self, v: Any) -> Any:
        """Ĝ v for a state or a vector (N,)."""
        products = Products(self.network, self.state)
        return self._as(v, products.gram(self.flat(v)))

    def to_dense(self) -> Array:
        """Ĝ, shape (N, N), of a network that is small enough."""
        products = Products(self.network, self.state)
        return jax.lax.map(products.gram, jnp.eye(self.size, dtype=self.network.dtype), batch_size=self.chunk)

    def trace(self, phi: Any, *parameters: Array) -> Array:
        """Tr φ(Ĝ, *parameters), estimated; with first derivatives in parameters of the network and its state."""
        moving, fixed, structure = _parted(self)
        return structured_trace(phi, structure, moving, parameters, hint=fixed)

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm) I + βĜ), estimated; NaN if not positive definite at the Ritz values."""
        beta, shift = shift_and_scale(beta, m, self.network.dtype)
        return self.trace(log_shifted, jnp.asarray(shift, beta.dtype), beta)

    def log_det_and_form(self, beta: Scalar, m: Scalar, a: Any) -> tuple[Array, Array]:
        """log det of M = cI + βĜ, c = 1 - βm, estimated, and the form aᵀ cβĜM⁻¹ a of (5.9), by conjugate gradients.

        The form is NaN where 2,000 steps do not solve for it.
        """
        beta, shift = shift_and_scale(beta, m, self.network.dtype)
        products, vector = Products(self.network, self.state), self.flat(a)

        def shifted(v: Array) -> Array:
            return shift * v + beta * products.gram(v)

        tolerance = 10 * float(jnp.finfo(vector.dtype).eps)
        solved = jax.scipy.sparse.linalg.cg(shifted, vector, tol=tolerance, maxiter=2000)[0]
        left = jnp.linalg.norm(shifted(solved) - vector)
        solved = jnp.where(left <= tolerance**0.5 * jnp.linalg.norm(vector), solved, jnp.nan)
        form = shift * beta * jnp.vdot(products.forward(vector), products.forward(solved))
        return self.log_det(beta, m), form

    def flat(self, v: Any) -> Array:
        """A state, or a vector as it is, as one vector (N,) in the dtype of Ĝ."""
        if hasattr(v, "keys"):
            return self.network.ravel(v)
        return real_array("v", v, shape=(self.size,)).astype(self.network.dtype)

    def _as(self, v: Any, product: Array) -> Any:
        return self.network.unravel(product) if hasattr(v, "keys") else product


def log_shifted(value: Array, shift: Array, beta: Array) -> Array:
    """log(c + βλ); NaN where that is not positive."""
    return jnp.log(positive_or_nan(shift + beta * value))


class Products:
    """B v, Bᵀ v and Ĝ v at a state, the network evaluated once."""

    def __init__(self, net: TracedNetwork, x: States) -> None:
        def errors(v: Array) -> Array:
            return net.ravel(net.errors(net.unravel(v)))

        at = net.ravel(x)
        if net.program.reversed_products:
            pull = jax.vjp(errors, at)[1]
            self.transposed = lambda v: pull(v)[0]
            push = jax.linear_transpose(self.transposed, at)
            self.forward = lambda v: push(v)[0]
        else:
            self.forward = jax.linearize(errors, at)[1]
            back = jax.linear_transpose(self.forward, at)
            self.transposed = lambda v: back(v)[0]

    def gram(self, v: Array) -> Array:
        """Ĝ v."""
        return self.transposed(self.forward(v))


def unseen_inputs(net: TracedNetwork) -> int:
    """How many directions of a wide input layer no neuron sees: eigenvalues of 1, if they are cheap to find; else 0."""
    seen, wide = sum(g.size for g in net.groups if 0 in g.parents), net.input_size
    return wide - seen if 0 < seen < wide and 4.0 * wide * seen**2 <= MAX_BASIS_FLOPS else 0


class Sight:
    """The directions of the states that Ĝ differs from 1 in, as far as they are known: all, but for wide inputs.

    Attributes:
        basis: (n_in, r) of the inputs that some neuron sees, orthonormal; None if that spares nothing.
        unit_count: how many eigenvalues are exactly 1 besides.
        masks: (colours, n) of 0 and 1, which of the kept directions have each colour.
    """

    def __init__(self, net: TracedNetwork, x: States) -> None:
        children = [k for k, g in enumerate(net.groups) if 0 in g.parents]
        self.basis: Array | None = None
        self.inputs, self.unit_count = net.input_size, unseen_inputs(net)
        if self.unit_count:
            rows = jacobian_block(net, x, tuple(children), (0,))
            self.basis = jax.lax.stop_gradient(jnp.linalg.qr(rows.T)[0])
        kept = self.inputs - self.unit_count
        colours = colouring(net)
        sizes = [kept, *net.sizes[1:]]
        of = np.repeat(colours, sizes)
        self.masks = of[None, :] == np.arange(max(colours) + 1)[:, None]
        self.size = sum(sizes)

    def embed(self, v: Array) -> Array:
        """A vector of the kept directions among all neurons."""
        if self.basis is None:
            return v
        kept = self.basis.shape[1]
        return jnp.concatenate([self.basis @ v[:kept], v[kept:]])

    def restrict(self, v: Array) -> Array:
        """Components along the kept directions."""
        if self.basis is None:
            return v
        return jnp.concatenate([self.basis.T @ v[: self.inputs], v[self.inputs :]])


def colouring(net: TracedNetwork) -> list[int]:
    """A colour for each group, none the same as of the groups it depends on; a chain has two."""
    colours: list[int] = []
    for k, group in enumerate(net.groups):
        taken = {colours[j] for j in group.parents if j < k}
        taken |= {colours[j] for j in range(k) if k in net.groups[j].parents}
        colours.append(next(c for c in range(k + 1) if c not in taken))
    return colours


def probe_quadratures(G: MatrixFreeHessian) -> tuple[Array, Array, Array, Array]:
    """Diagonals (probes, colours, k) and off-diagonals of T, weight of each start (colours,), and the unit count."""
    products, sight = Products(G.network, G.state), Sight(G.network, G.state)

    def one(number: Array) -> tuple[Array, Array]:
        signs = _signs(G, number, sight.size)

        def colour(mask: Array) -> tuple[Array, Array]:
            _, diagonal, off = krylov(_seen(products, sight), signs * mask, min(G.steps, sight.size))
            return diagonal, off

        return jax.lax.map(colour, jnp.asarray(sight.masks, signs.dtype))

    diagonal, off = jax.lax.map(one, jnp.arange(G.probes), batch_size=G.chunk)
    counts = jnp.asarray(sight.masks.sum(axis=1), diagonal.dtype)
    return diagonal, off, counts, jnp.asarray(sight.unit_count, diagonal.dtype)


def ritz(diagonal: Array, off: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of T, (k,) and (k - 1,).

    Where the Krylov space was exhausted, the rest of T is the first Rayleigh quotient in place of 0: φ is finite
    there, and its weight is 0.
    """
    reached = jnp.concatenate([jnp.ones(1, bool), jnp.cumprod(off > 0).astype(bool)])
    T = jnp.diag(jnp.where(reached, diagonal, diagonal[0]))
    places = jnp.arange(off.size)
    return jnp.linalg.eigh(T.at[places, places + 1].set(off).at[places + 1, places].set(off))


def nodes_and_weights(diagonal: Array, off: Array) -> tuple[Array, Array]:
    """Gauss nodes and weights of T, (..., k) and (..., k - 1); one matrix at a time, as batches may hang on CPUs."""
    k = diagonal.shape[-1]

    def one(parts: tuple[Array, Array]) -> tuple[Array, Array]:
        nodes, vectors = ritz(*parts)
        return nodes, vectors[0] ** 2

    shape = diagonal.shape
    nodes, weights = jax.lax.map(one, (diagonal.reshape(-1, k), off.reshape(-1, k - 1)))
    return nodes.reshape(shape), weights.reshape(shape)


def _seen(products: Products, sight: Sight) -> Any:
    return lambda v: sight.restrict(products.gram(sight.embed(v)))


def _signs(G: MatrixFreeHessian, number: Array, size: int) -> Array:
    return jax.random.rademacher(jax.random.fold_in(G.key, number), (size,), G.network.dtype)


def _parted(G: MatrixFreeHessian) -> tuple[list[Array], list[Array], Structure]:
    """The arrays of Ĝ that derivatives go over, those that they do not, and the structure that joins them."""
    leaves, tree = jax.tree.flatten(G)
    real = tuple(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves)
    moving = [leaf for leaf, r in zip(leaves, real, strict=True) if r]
    fixed = [leaf for leaf, r in zip(leaves, real, strict=True) if not r]
    fixed = [jax.random.key_data(f) if is_key(f) else f for f in fixed]
    return moving, fixed, _structure(tree, real, str(jax.random.key_impl(G.key)))


@lru_cache(maxsize=256)
def _structure(tree: Any, real: tuple[bool, ...], kind: str) -> Structure:
    """How traces of the matrix-free Ĝ of one network are found."""

    def rebuild(moving: list[Array], fixed: list[Array]) -> MatrixFreeHessian:
        a, b = iter(moving), iter(fixed)
        G = jax.tree.unflatten(tree, [next(a) if r else next(b) for r in real])
        if not is_key(G.key):
            object.__setattr__(G, "key", jax.random.wrap_key_data(G.key, impl=kind))
        return G

    def trace(phi: Any, factors: tuple, parameters: tuple) -> Array:
        diagonal, off, counts, units = probe_quadratures(rebuild(*factors))
        nodes, weights = nodes_and_weights(diagonal, off)
        values = jnp.sum(elementwise(phi, nodes.ravel(), parameters).reshape(nodes.shape) * weights, axis=-1)
        ones = units * phi(jnp.ones((), nodes.dtype), *parameters)
        return jnp.mean(values @ counts) + jnp.where(units > 0, ones, 0)

    def slopes(phi: Any, factors: tuple, parameters: tuple) -> list[Array]:
        moving, fixed = factors
        G = rebuild(moving, fixed)
        products, colours = Products(G.network, G.state), np.repeat(colouring(G.network), G.network.sizes)
        colours[: G.network.input_size] = -1  # errors of the inputs do not change
        masks = jnp.asarray(colours[None, :] == np.unique(colours[colours >= 0])[:, None], G.network.dtype)
        first = slope(phi)

        def of_probe(total: list[Array], number: Array) -> tuple[list[Array], None]:
            signs = _signs(G, number, G.size)

            def of_colour(total: list[Array], mask: Array) -> tuple[list[Array], None]:
                w = signs * mask
                start = products.transposed(w)
                basis, diagonal, off = krylov(products.gram, start, G.steps)
                nodes, vectors = ritz(diagonal, off)
                coefficients = vectors @ (elementwise(first, nodes, parameters) * vectors[0])
                u = jnp.linalg.norm(start) * (coefficients @ basis)

                def form(moved: list[Array]) -> Array:
                    other = rebuild(moved, fixed)
                    return 2 * jnp.vdot(w, Products(other.network, other.state).forward(u))

                return jax.tree.map(jnp.add, total, jax.grad(form)(moving)), None

            return jax.lax.scan(of_colour, total, masks)[0], None

        total, _ = jax.lax.scan(of_probe, jax.tree.map(jnp.zeros_like, moving), jnp.arange(G.probes))
        return jax.tree.map(lambda t: t / G.probes, total)

    def curvature(*_arguments: Any) -> Any:
        raise NotImplementedError(
            "stochastic traces have first derivatives in parameters and states, but no second: use an exact `method`"
        )

    return Structure(None, lambda moving, fixed: (moving, fixed), trace, slopes, curvature)
