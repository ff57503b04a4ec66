"""The laws of learning (Section 7): the first law along a path of networks, the second as a measurement."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, extra, finite, integer, positive, real_array
from nnthermo._typing import Array

LogPartition = Callable[[Array, Any], Array]
"""log Z(β, θ), in nats, differentiable by JAX: θ a pytree of floats (a network, data and all)."""


class FirstLaw(NamedTuple):
    """dU = T dS + ⟨∂_θH⟩ dθ on each step of a path; all of shape (steps,) and in units of the loss.

    Attributes:
        loss_change: ΔU.
        heat: ∫ T dS.
        work: ∫ ⟨∂_θH⟩·dθ, which for fixed T is the change of the free energy.
        residual: ΔU - heat - work: the error of the quadrature along the step.
        free_energy_change: ΔF.
        printed_residual: ΔU - ∫ T dS, what (7.11), dU = T dS₀ + T dC = T dS, leaves over. It assumes dF = 0 at constant
            temperature; its residual is the work.
    """

    loss_change: Array
    heat: Array
    work: Array
    residual: Array
    free_energy_change: Array
    printed_residual: Array


def first_law(log_partition: LogPartition, betas: Any, path: Any, *, nodes: int = 4) -> FirstLaw:
    r"""The first law of learning along a recorded run, each step a straight line in (β, θ).

    With U = -∂ log Z/∂β and S = log Z + βU,

        dS = β dU + (∂_θ log Z) dθ   and   ⟨∂_θH⟩ = -T ∂_θ log Z,   so   dU = T dS + ⟨∂_θH⟩ dθ,

    for every ensemble. The paper's (7.11) is the case without work. Gauss-Legendre nodes on each step give the
    integrals independently of ΔU: the residual falls as (step)^(2 nodes) for a smooth log Z.

    Args:
        log_partition: log Z(β, θ); of a fixed ensemble, of the Gaussian (5.9), or of samples with a fixed key.
        betas: β at the k + 1 points, shape (k + 1,), or one number.
        path: θ at the points: a pytree, every leaf with a leading axis of k + 1.
        nodes: quadrature points a step.

    Raises:
        ValueError: fewer than two points, β not positive or of another length, no nodes.
    """
    nodes = integer("nodes", nodes, least=1)
    leaves = jax.tree.leaves(path)
    check("path", "have an axis of points", bool(leaves) and all(jnp.ndim(v) > 0 for v in leaves), "no leaves with one")
    points = jnp.shape(leaves[0])[0]
    check("path", "have at least two points", points > 1, points)
    lengths = {jnp.shape(v)[0] for v in leaves}
    check("path", "have leaves of one length", len(lengths) == 1, sorted(lengths))
    dtype = jnp.result_type(*leaves)
    positive("betas", betas)
    b = real_array("betas", betas).astype(dtype)
    check("betas", f"be one number or have shape {(points,)}", b.shape in ((), (points,)), f"shape {b.shape}")
    b = jnp.broadcast_to(b, (points,))
    roots, norms = np.polynomial.legendre.leggauss(nodes)
    places, weights = jnp.asarray((roots + 1) / 2, dtype), jnp.asarray(norms / 2, dtype)

    def loss(beta: Array, theta: Any) -> Array:
        return -jax.jvp(lambda t: log_partition(t, theta), (beta,), (jnp.ones_like(beta),))[1]

    def entropy(beta: Array, theta: Any) -> Array:
        return log_partition(beta, theta) + beta * loss(beta, theta)

    def step(ends: Any) -> tuple[Array, Array]:
        (b0, t0), (b1, t1) = ends
        db, dt = b1 - b0, jax.tree.map(jnp.subtract, t1, t0)

        def at(s: Array) -> tuple[Array, Array]:
            beta, theta = b0 + s * db, jax.tree.map(lambda a, d: a + s * d, t0, dt)
            heat = jax.jvp(entropy, (beta, theta), (db, dt))[1] / beta
            work = -jax.jvp(lambda th: log_partition(beta, th), (theta,), (dt,))[1] / beta
            return heat, work

        heats, works = jax.lax.map(at, places)
        return weights @ heats, weights @ works

    def ends(values: Any) -> Any:
        return jax.tree.map(lambda v: v[:-1], values), jax.tree.map(lambda v: v[1:], values)

    (b0, b1), (t0, t1) = ends(b), ends(path)
    heat, work = jax.lax.map(step, ((b0, t0), (b1, t1)))
    losses, logs = jax.lax.map(lambda p: (loss(*p), log_partition(*p)), (b, path))
    change, free = jnp.diff(losses), jnp.diff(-logs / b)
    return FirstLaw(change, heat, work, change - heat - work, free, change - heat)


class SecondLaw(NamedTuple):
    """dS/dt during training; (7.6) says that it is never positive.

    Attributes:
        rates: ΔS/Δt between records, mean over seeds, (records - 1,), in nats a unit of time.
        errors: standard error over seeds; NaN for one seed.
        low: lower end of the 95 % confidence interval of each rate, by Student's law.
        high: upper end.
        rising: records whose whole interval is above 0: where the law is broken beyond the spread of seeds.
        change: S at the end less S at the start of each seed, (seeds,).
        rises: sum of all increases over the sum of all changes' magnitudes, of each seed: 0 if S never rises, 1 if it
            never falls; (seeds,).
    """

    rates: np.ndarray
    errors: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rising: np.ndarray
    change: np.ndarray
    rises: np.ndarray


def second_law(times: Any, entropies: Any) -> SecondLaw:
    """How the total entropy changes along training runs: the second law (7.6) as a measurement.

    (7.6) is a postulate: nothing in Section 8 implies it. Entropies are those of any ensemble and any choice of β(t);
    each is a law of its own.

    Args:
        times: of the records, increasing, (records,): epochs, seconds or their logarithm.
        entropies: S, in nats, (seeds, records) or (records,).

    Raises:
        ValueError: shapes that do not fit, fewer than two records, times that do not increase, entropies that are not
            finite (leave diverged runs out).
        ImportError: several seeds without SciPy, with the command that installs it.
    """
    t, s = np.asarray(times, np.float64), np.atleast_2d(np.asarray(entropies, np.float64))
    check("times", "be one vector of at least two records", t.ndim == 1 and t.size > 1, f"shape {t.shape}")
    check("times", "increase", bool(np.all(np.diff(t) > 0)), "times that do not")
    check("entropies", f"have {t.size} records", s.ndim == 2 and s.shape[1] == t.size, f"shape {s.shape}")
    finite("entropies", s)
    changes = np.diff(s, axis=1)
    rates = changes / np.diff(t)
    seeds = len(s)
    mean = rates.mean(axis=0)
    error = rates.std(axis=0, ddof=1) / math.sqrt(seeds) if seeds > 1 else np.full_like(mean, np.nan)
    half = np.full_like(mean, np.inf)
    if seeds > 1:
        half = extra("scipy.stats", "experiments").t.ppf(0.975, seeds - 1) * error
    size = np.abs(changes).sum(axis=1)
    rises = np.divide(np.maximum(changes, 0).sum(axis=1), size, out=np.zeros_like(size), where=size > 0)
    return SecondLaw(mean, error, mean - half, mean + half, mean - half > 0, s[:, -1] - s[:, 0], rises)
