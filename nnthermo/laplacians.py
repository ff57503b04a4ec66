r"""Laplacians of the free energy in the weights: at fixed slopes in closed form, and totals by differentiation.

With M = (1-βm)I + βĜ, P = M⁻¹, B = I - f̂'ŵ and F = ½ log det M / β + const from (5.14), slopes d held fixed,

    ∂²F/∂w_ij² = d_i² { P_jj [1 - β(BPBᵀ)_ii] - β (BP)_ij² },   1 - βBPBᵀ = (1-βm) [(1-βm)I + βBBᵀ]⁻¹.

For βm < 1 the first term is positive and the second negative: the sum has any sign, unlike (8.10) in the eigenvalues.
At w = 0 it is +Σ d_i² (1-βm)/(1-βm+β)², and it vanishes at βm = 1, where det M is β^N whatever the weights (of an
acyclic graph).

In the biases the Laplacian at fixed slopes is identically zero, since Ĝ holds weights and slopes only: there is no
function for it. The total one, for which the state follows weights and biases, is `laplacian`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh

from nnthermo._checks import check, integer, is_concrete, positive, random_key, real_array, refuse
from nnthermo._typing import Array, Scalar, State
from nnthermo.devices import map_over
from nnthermo.ensemble import DenseHessian, LayeredHessian, bulk_hessian, log_partition
from nnthermo.ensemble.hessian import shift_and_scale
from nnthermo.linalg.dense import gram, matmul
from nnthermo.linalg.gram_inverse import Link, near_diagonal
from nnthermo.linalg.positive import inverse_and_log_det
from nnthermo.linalg.runs import map_runs, total
from nnthermo.network import Network, Septuple


def weight_laplacian(
    net: Network, x: State | None, beta: Scalar, *, m: Scalar = 0.0, slopes: State | None = None
) -> Array:
    """ΔF = Σ ∂²F/∂w_ij² over all existing weights at fixed slopes, F = -log Z/β of (5.14), shape ().

    Where the slopes are constant (linear networks) this is the total Laplacian; elsewhere the state follows the
    weights, and `laplacian` of the free energy as a function of them has further terms. For a `FeedForward` every entry
    of its weight matrices exists, zeros included, and the cost is that of a few log dets (a wide input layer enters
    through W_1W_1ᵀ); for a `Septuple` a connection exists whose weight is not 0 and which does not lead into a clamped
    input neuron, and the cost is O(N³). For another choice sum `weight_curvatures`.

    Relative errors are a few N ε cond(M): in float32 cond(M) must stay well below 1e6.

    Args:
        net: a `FeedForward` or `Septuple`.
        x: state in the structure of the network; not needed with `slopes`.
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3).
        slopes: f̂' in place of f'(ŵx + b), for example `mean_slopes`.

    Returns:
        ΔF, in units of the loss.

    Raises:
        ValueError: as `bulk_hessian` and `log_partition`; where values are traced, M that is not positive definite
            gives NaN.
        TypeError: another kind of network.
    """
    G, d, beta, c = _prepare(net, x, beta, m, slopes)
    value = _layered_sum(G, beta, c) if isinstance(G, LayeredHessian) else _dense_sum(net, G, d, beta, c)
    _refuse_indefinite(value, G, beta, m)
    return value


def weight_curvatures(
    net: Network, x: State | None, beta: Scalar, *, m: Scalar = 0.0, slopes: State | None = None
) -> Any:
    """Each ∂²F/∂w_ij² at fixed slopes, of which `weight_laplacian` is the sum. Arguments and errors as there.

    Returns:
        In units of the loss. A tuple of (n_{l+1}, n_l) for a `FeedForward`; (N, N) for a `Septuple`, where an entry
        whose weight is 0 tells what adding that connection would do, and rows of clamped input neurons are 0.
    """
    G, d, beta, c = _prepare(net, x, beta, m, slopes)
    found = _layered_each(G, beta, c) if isinstance(G, LayeredHessian) else _dense_each(net, G, d, beta, c)
    _refuse_indefinite(jax.tree.leaves(found)[0][0, 0], G, beta, m)
    return found


def _refuse_indefinite(value: Array, G: Any, beta: Scalar, m: Scalar) -> None:
    if is_concrete(value, beta, m) and jnp.isnan(value):
        log_partition(G, beta, m=m)  # names what is wrong, unless it is the rounding
        refuse("beta", "leave (1 - βm)I + βĜ well enough conditioned for its dtype", f"{float(beta)} in {value.dtype}")


def _prepare(net: Network, x: State | None, beta: Scalar, m: Scalar, slopes: State | None) -> tuple:
    """Ĝ, the slopes of a general graph, β, and c = 1 - βm."""
    positive("beta", beta)
    if slopes is None and x is not None:
        slopes = net.slopes(x)
    G = bulk_hessian(net, x, slopes=slopes)
    beta, shift = shift_and_scale(beta, m, G.dtype)
    d = real_array("slopes", slopes).astype(G.dtype) if isinstance(G, DenseHessian) else None
    return G, d, beta, jnp.asarray(shift, G.dtype)


@jax.jit
def _layered_sum(G: LayeredHessian, beta: Array, c: Array) -> Array:
    links, definite = near_diagonal(G.blocks, c, beta, G.first_gram)
    terms = map_runs(lambda d, k: jnp.vdot(d**2, k.trace * k.dual - beta * k.beside_norms), G.slopes, links)
    return jnp.where(definite, total(terms), jnp.nan)


@jax.jit
def _layered_each(G: LayeredHessian, beta: Array, c: Array) -> tuple[Array, ...]:
    links, definite = near_diagonal(G.blocks, c, beta, G.first_gram)

    def each(d: Array, k: Link) -> Array:
        found = d[:, None] ** 2 * (k.dual[:, None] * k.diagonal[None, :] - beta * k.beside**2)
        return jnp.where(definite, found, jnp.nan)

    return map_runs(each, G.slopes, links)


@jax.jit
def _dense_each(net: Septuple, G: DenseHessian, d: Array, beta: Array, c: Array) -> Array:
    B = G.jacobian
    identity = c * jnp.eye(G.size, dtype=B.dtype)
    p, log_det = inverse_and_log_det(identity + beta * gram(B))
    dual, _ = inverse_and_log_det(identity + beta * gram(B.T))
    own = c * jnp.diagonal(dual)[:, None] * jnp.diagonal(p)[None, :] - beta * matmul(B, p) ** 2
    carried = jnp.where(net.input_mask[:, None], 0, d[:, None] ** 2 * own)
    return jnp.where(jnp.isnan(log_det), jnp.nan, carried)


@jax.jit
def _dense_sum(net: Septuple, G: DenseHessian, d: Array, beta: Array, c: Array) -> Array:
    return jnp.sum(jnp.where(net.weight == 0, 0, _dense_each(net, G, d, beta, c)))


class Laplacian(NamedTuple):
    """Trace of a Hessian.

    Attributes:
        value: Σ ∂²F/∂q_k², or an unbiased estimate of it, shape ().
        standard_error: of that estimate, shape (); 0 if it is exact.
    """

    value: Array
    standard_error: Array


def laplacian(
    F: Callable[[Any], Array],
    q: Any,
    *,
    method: str = "exact",
    key: Array | None = None,
    probes: int = 64,
    chunk: int = 64,
    mesh: Mesh | None = None,
) -> Laplacian:
    r"""Laplacian Σ ∂²F/∂q_k² of a function of a pytree, over all n entries of all its arrays.

    The total Laplacian of a free energy, in which the state follows the parameters as the network is propagated:

        def F(net):
            return nt.free_energy(nt.bulk_hessian(net, net.propagate(inputs)), beta)

        nt.laplacian(F, net)                                              # weights and biases
        nt.laplacian(lambda w: F(net.replace(weights=w)), net.weights)    # weights
        nt.laplacian(lambda b: F(net.replace(biases=b)), net.biases)      # biases

    The entries of the `weight` and `bias` of a `Septuple` include connections that do not exist and biases of inputs.

    Methods:
        "exact": e_kᵀHe_k by products of the Hessian with n unit vectors, forward over reverse: each costs two to five
            times F, and the intermediate values of F are kept in memory. Works wherever `jax.grad` does.
        "forward": the same numbers by two nested forward derivatives along each unit vector. Nothing is kept, so that
            memory does not grow with the length of the computation, and loops of unknown length (`while_loop`) are
            allowed; functions with only a `custom_vjp` are not. For long loops, and where "exact" runs out of memory.
        "stochastic": the mean of vᵀHv over `probes` random vectors of ±1 (Hutchinson), for n beyond a few thousand,
            with the products of "exact". Its variance is 2 Σ_{k≠l} H_kl² / probes, 0 for a diagonal Hessian; the
            standard error is estimated from the spread of the probes, and in the wings it holds for many of them only.

    Args:
        F: function of q to one real number, twice differentiable at q; where second derivatives jump or F has kinks
            (`relu`), they are those that JAX assigns, of the pieces.
        q: pytree of real arrays of one dtype, for example a network.
        method: see above.
        key: JAX random key, for "stochastic" only.
        probes: how many random vectors, at least 2.
        chunk: vectors that are worked on together: memory grows with it, and speed up to the width of the machine.
        mesh: devices to divide the vectors over, as from `data_mesh()`; each works on chunks of its share.

    Raises:
        TypeError: leaves of q, or a value of F, that are not real floating point; probes or chunk not integers; not a
            mesh.
        ValueError: F that does not return one number, an unknown method, no key, leaves of several dtypes, an empty q,
            a mesh of some processes but not of all, or inside of one that the caller has set.
    """
    check("method", "be 'exact', 'forward' or 'stochastic'", method in ("exact", "forward", "stochastic"), repr(method))
    if method != "stochastic":
        diagonal, _ = _diagonal(F, q, method, chunk, mesh)
        value = jnp.sum(diagonal)
        return Laplacian(value, jnp.zeros_like(value))
    if key is None:
        refuse("key", "be given for the stochastic method", None)
    random_key("key", key)
    probes = integer("probes", probes, least=2)
    curvature, size, dtype, _ = _curvature(F, q, "exact")

    def probe(k: Array) -> Array:
        v = jax.random.rademacher(k, (size,), dtype)
        return curvature(v)

    found = _map(probe, jax.random.split(key, probes), chunk, mesh)
    return Laplacian(jnp.mean(found), jnp.std(found, ddof=1) / probes**0.5)


def second_derivatives(
    F: Callable[[Any], Array], q: Any, *, method: str = "exact", chunk: int = 64, mesh: Mesh | None = None
) -> Any:
    """The diagonal ∂²F/∂q_k² of the Hessian, in the structure of q. Arguments and errors as `laplacian`."""
    check("method", "be 'exact' or 'forward'", method in ("exact", "forward"), repr(method))
    diagonal, unravel = _diagonal(F, q, method, chunk, mesh)
    return unravel(diagonal)


def _diagonal(F: Callable, q: Any, method: str, chunk: int, mesh: Mesh | None) -> tuple[Array, Callable]:
    curvature, size, dtype, unravel = _curvature(F, q, method)

    def entry(k: Array) -> Array:
        return curvature((jnp.arange(size) == k).astype(dtype))

    return _map(entry, jnp.arange(size), chunk, mesh), unravel


def _map(function: Callable, rows: Array, chunk: int, mesh: Mesh | None) -> Array:
    chunk = integer("chunk", chunk, least=1)
    if mesh is None:
        return jax.lax.map(function, rows, batch_size=chunk)
    # what `function` holds was computed on the caller's mesh, of which the inside of `map_over` knows nothing
    here = jax.sharding.get_abstract_mesh()
    check("mesh", "be None inside of `jax.set_mesh`", here.empty or AxisType.Manual in here.axis_types, here.axis_names)
    return map_over(function, mesh, chunk=chunk)(rows)


def _curvature(F: Callable, q: Any, method: str) -> tuple[Callable[[Array], Array], int, Any, Callable]:
    """v ↦ vᵀHv, the number of entries of q, their dtype, and the way back from a flat vector."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(q)]
    check("q", "hold at least one number", sum(leaf.size for leaf in leaves) > 0, q)
    dtypes = sorted({str(leaf.dtype) for leaf in leaves})
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise TypeError(f"`q` must hold real floating-point arrays, but got {', '.join(dtypes)}")
    check("q", "hold arrays of one dtype", len(dtypes) == 1, ", ".join(dtypes))
    flat, unravel = ravel_pytree(q)
    out = jax.eval_shape(F, q)
    check("F", "return one number", getattr(out, "shape", None) == (), out)
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"`F` must return a real floating-point number, but got {out.dtype}")

    def of_flat(v: Array) -> Array:
        return F(unravel(v))

    def nested(v: Array) -> Array:
        def slope(at: Array) -> Array:
            return jax.jvp(of_flat, (at,), (v,))[1]

        return jax.jvp(slope, (flat,), (v,))[1]

    if method == "forward":
        return nested, flat.size, flat.dtype, unravel
    gradient = jax.grad(of_flat)
    jax.eval_shape(gradient, flat)  # where there is no reverse mode `grad` says so, and `linearize` of it does not
    try:
        _, product = jax.linearize(gradient, flat)
    except ValueError:  # JAX 0.9 cannot linearize gradients of the scan over many equal layers: go the other way round

        def product(v: Array) -> Array:
            return jax.grad(lambda at: jax.jvp(of_flat, (at,), (v,))[1])(flat)

    return lambda v: jnp.vdot(v, product(v)), flat.size, flat.dtype, unravel
