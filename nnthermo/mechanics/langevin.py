"""Ensembles of trainable variables that drift and diffuse, where a grid has too many dimensions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from nnthermo._checks import check, extra, function, integer, is_concrete, random_key, real_array, refuse
from nnthermo._pytree import function_argument
from nnthermo._typing import Array
from nnthermo.mechanics._arguments import increasing_times


def langevin_ensemble(
    key: Array,
    drift: Callable[[Array], Array],
    q0: Any,
    diffusion: Any,
    times: Any,
    *,
    steps: int,
    chunk: int | None = None,
    solver: Any = None,
) -> Array:
    r"""Replicas of dq = b(q) dt + √(2D) dW in the Itô sense, whose density follows ∂p/∂t = ∂_k∂_l(D_kl p) - ∂_k(b_k p).

    The noise is diffrax's. For constant D (additive noise) the method is a stochastic Runge-Kutta method whose averages
    are of second order in the step (ShARK of Foster, dos Reis & Strange 2023, of strong order 3/2); for D(q) it is
    Euler-Maruyama, of first order, the one among diffrax's that is Itô's for every kind of noise. For Fick's
    ∂_k(D_kl ∂_l p) add ∂_l D_kl to the drift. Drift sign·γ∇F and D of mini-batches or fast neurons: see
    `sgd_diffusion_matrix`.

    Explicit methods: steps longer than about 2 over the fastest rate of the drift swing and grow without a NaN for
    a while. Halve the step and compare.

    Args:
        key: random key. One key a replica is split from it, so that `chunk` changes nothing.
        drift: b of one point (K,), to (K,). The ensemble is compiled once a function object: name the function, and
            hand numbers that change over by `jax.tree_util.Partial`.
        q0: replicas at times[0], shape (R, K).
        diffusion: D, a number, (K,), a symmetric positive semidefinite (K, K), or a function of one point (K,) to one
            of these.
        times: increasing, shape (T,).
        steps: steps from each time to the next, all of one length.
        chunk: replicas integrated at once; all if None. Memory is that of one chunk and of the result.
        solver: a diffrax solver instead, which must be Itô's for D(q) and have a hash.

    Returns:
        Replicas at the times, shape (T, R, K), the first q0. NaN where a replica blew up, or where D is
        negative, or has an eigenvalue below zero by more than rounding.

    Raises:
        ImportError: without diffrax.
        ValueError: wrong shapes, or times that do not increase.
    """
    random_key("key", key)
    function("drift", drift)
    extra("diffrax", "mechanics")
    q = real_array("q0", q0, ndim=2)
    dtype = q.dtype
    t = increasing_times(times, least=2, dtype=dtype)
    count = integer("steps", steps, least=1)
    R, K = q.shape
    check("q0", "hold at least one replica", R > 0, R)
    some = R if chunk is None else integer("chunk", chunk, least=1)
    noise = function_argument(diffusion) if callable(diffusion) else real_array("diffusion", diffusion).astype(dtype)
    root = noise if callable(noise) else _root(noise, K)
    found = getattr(jax.eval_shape(drift, jax.ShapeDtypeStruct((K,), dtype)), "shape", None)
    check("drift", f"return shape {(K,)}", found == (K,), f"shape {found}")
    return _ensemble(key, function_argument(drift), q, root, t, count, some, solver)


@partial(jax.jit, static_argnums=(5, 6, 7))
def _ensemble(
    key: Array, drift: Partial, q: Array, diffusion: Partial | Array, t: Array, count: int, some: int, solver: Any
) -> Array:
    """Replicas at the times; `diffusion` is a function, or a root of twice a constant."""
    diffrax = extra("diffrax", "mechanics")
    dtype, (R, K) = q.dtype, q.shape
    multiplicative = callable(diffusion)

    def root(q: Array) -> Array:
        return _root(jnp.asarray(diffusion(q), dtype), K) if callable(diffusion) else diffusion

    def noise(_t: Any, q: Array, _args: Any) -> Any:
        found = root(q)
        if found.ndim == 2:
            return found
        return extra("lineax", "mechanics").DiagonalLinearOperator(found)

    def spread(z: Array) -> Array:
        by = root(z)
        return by * z if by.ndim == 1 else jnp.matmul(by, z, precision=jax.lax.Precision.HIGHEST)

    if solver is None and multiplicative:
        solver = diffrax.Euler()
    area = diffrax.SpaceTimeLevyArea if not multiplicative else diffrax.BrownianIncrement
    if hasattr(solver, "minimal_levy_area"):
        area = diffrax.SpaceTimeLevyArea
    part = jnp.arange(count + 1, dtype=dtype) / count
    ends = t[:-1, None] + jnp.diff(t)[:, None] * part[None, :]

    def one(key: Array, q: Array) -> Array:
        path = diffrax.UnsafeBrownianPath(shape=jax.ShapeDtypeStruct((K,), dtype), key=key, levy_area=area)
        terms = diffrax.MultiTerm(diffrax.ODETerm(lambda _t, q, _args: drift(q)), diffrax.ControlTerm(noise, path))

        def additive(q: Array, span: Array) -> Array:
            """ShARK, as diffrax.ShARK steps, but in two passes over the state: noise costs most of it."""
            area, h = path.evaluate(span[0], span[1], use_levy=True), span[1] - span[0]
            W, H = (spread(z) for z in jax.lax.optimization_barrier((area.W, area.H)))  # or they are drawn twice over
            first = h * drift(q + H)
            second = h * drift(q + H + 5 / 6 * (first + W))
            return q + W + 0.4 * first + 0.6 * second

        def step(carry: tuple[Array, Any], span: Array) -> tuple[tuple[Array, Any], None]:
            q, state = carry
            if solver is None:
                return (additive(q, span), state), None
            q, _, _, state, _ = solver.step(terms, span[0], span[1], q, None, state, made_jump=False)
            return (q, state), None

        def interval(carry: tuple[Array, Any], ends: Array) -> tuple[tuple[Array, Any], Array]:
            carry, _ = jax.lax.scan(step, carry, jnp.stack([ends[:-1], ends[1:]], axis=1))
            return carry, carry[0]

        start = (q, None if solver is None else solver.init(terms, ends[0, 0], ends[0, 1], q, None))
        return jnp.concatenate([q[None], jax.lax.scan(interval, start, ends)[1]])

    return jnp.swapaxes(jax.lax.map(lambda pair: one(*pair), (jax.random.split(key, R), q), batch_size=some), 0, 1)


def _root(D: Array, K: int) -> Array:
    """A square root of 2D: (K,) for isotropic and diagonal D, (K, K) for a matrix."""
    if D.shape in ((), (K,)):
        return jnp.sqrt(2 * jnp.broadcast_to(D, (K,)))
    if D.shape != (K, K):
        refuse("diffusion", f"be a number or have shape {(K,)} or {(K, K)}", f"shape {D.shape}")
    if is_concrete(D):
        known = np.asarray(D)
        skew = float(np.max(np.abs(known - known.T)))
        check("diffusion", "be symmetric", not skew > 1e-4 * float(np.max(np.abs(known))), f"an asymmetry of {skew}")
    values, vectors = jnp.linalg.eigh(D)
    slack = K * jnp.finfo(D.dtype).eps * jnp.max(jnp.abs(values))
    values = jnp.where(values < -slack, jnp.nan, jnp.maximum(values, 0))
    return vectors * jnp.sqrt(2 * values)[None, :]
