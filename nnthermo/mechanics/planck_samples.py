"""ħ² from samples of one variable: an ensemble of replicas seen at several times, with a bootstrap error.

Histograms have no third derivative. The density is fitted as log p(q, t) = Σ_k a_k(t) P_k(q) - log Z(t), an exponential
family whose coefficients a_k(t) are polynomials in time, by maximum likelihood. The likelihood is concave and knows the
samples by their moments ⟨P_k⟩ at each time alone, so that a bootstrap costs one matrix product a resample. Everything
that `estimate_planck_squared` needs is then a derivative of the fit. Own design.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, integer, is_concrete, positive_numbers, random_key, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import replicas_at
from nnthermo.mechanics.exponential_family import Basis, fit_moments, legendre, log_density


class SampledPlanck(NamedTuple):
    """ħ² of an ensemble.

    Attributes:
        value: ħ², of either sign, in units (mass × unit of q² / unit of time)².
        error: half the central 68 % of bootstrap resamples of the replicas. It does not know the bias of a family of
            densities too small for the ensemble: see `misfit`.
        bias: median of the resamples less the value.
        residual: share of the acceleration left unexplained, from products of two halves of the replicas: noise apart
            0 to 1.
        signal: share of the quantum acceleration that changes in time, 0 to 1.
        misfit: χ² a degree of freedom of the moments against the fit, with their sampled covariance: about 1 where the
            family holds the ensemble, if samples at different times are independent or T is large.
        converged: whether the fit and the fits of all resamples came to rest.
    """

    value: Array
    error: Array
    bias: Array
    residual: Array
    signal: Array
    misfit: Array
    converged: Array


def planck_squared_from_samples(
    samples: Any,
    times: Any,
    *,
    key: Array,
    mass: Scalar = 1.0,
    degree: int = 4,
    time_degree: int = 5,
    resamples: int = 50,
    interval: tuple[float, float] | None = None,
    points: int = 400,
) -> SampledPlanck:
    """ħ² of replicas q_r(t) from samples of one coordinate; the potential is unknown and at rest.

    A plain gradient flow with constant diffusion D gives -4D² for M = 1, a Schrödinger ensemble (`nelson_ensemble`)
    +ħ². `degree` 2 is a Gaussian at each time, 4 knows skewness and two maxima. Scan both degrees: raise them until
    `misfit` is at most 1 and the value stays, and no further, because the error grows with them. A family too small in
    time is biased by more than its error, and `misfit` does not always tell: an Ornstein-Uhlenbeck ensemble that
    starts 0.4 widths narrow gives 0.4, 0.7, 0.85 and 0.95 of its -4D² at degrees 5 to 8, and a positive value at 3.
    Gaussian ensembles are for `planck_squared_from_widths`, which has no such bias.

    How many replicas: for exact Ornstein-Uhlenbeck samples, D = 0.3 and k = 1, variance 0.08 to 0.27 at 21 times, the
    error was 0.14-0.18 at R = 1000, 0.09-0.11 at 3000 and 0.04-0.05 at 10,000 for a true -0.36 (degree 2, time_degree
    5, three seeds each), falling as 1/√R. With degree 4 it was 0.07-0.08 at 10,000 and beyond use at 1000. Below a few
    thousand replicas the values lean towards zero. Over a dozen runs the scatter about the truth was about 1.4 times
    the error: take twice the error as no more than a hint of a sign.

    Args:
        samples: q, (T, R): replica r is one column, the same at all times; T above `time_degree`, R at least 10.
        times: (T,), increasing. The whole of them should see the density change.
        key: of the bootstrap.
        mass: M.
        degree: K, even: of the polynomial log p in q.
        time_degree: J, of the polynomials a_k(t), at least 2.
        resamples: of the bootstrap over replicas.
        interval: ends that hold every sample; default: those of the samples and a tenth of their distance. The
            density is zero outside.
        points: of the quadrature on the interval.

    Raises:
        ValueError: shapes, samples outside of `interval`, NaN, times that do not increase.
    """
    random_key("key", key)
    positive_numbers(mass=mass)
    numbers = (("degree", degree), ("time_degree", time_degree), ("resamples", resamples))
    K, J, B = (integer(name, n, least=2) for name, n in numbers)
    check("degree", "be even", K % 2 == 0, K)
    q, t = replicas_at(samples, times, least=J + 1)
    if interval is None:
        low, high = jnp.min(q), jnp.max(q)
        low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    else:
        low, high = real_array("interval", interval, shape=(2,)).astype(q.dtype)
        if is_concrete(q, low, high):
            inside = bool(jnp.all((q >= low) & (q <= high)))
            check("samples", f"lie in the interval {interval}", inside, f"{float(q.min())} to {float(q.max())}")
    n = integer("points", points, least=1)
    table = legendre(K, -1 + 2 * (np.arange(n) + 0.5) / n, 3)[:, 1:].astype(q.dtype)
    tau = 2 * (t - t[0]) / (t[-1] - t[0]) - 1
    basis = Basis(table, jnp.asarray(2 / n, q.dtype), legendre(J, tau, 2))
    return _estimate(q, t, low, high, key, jnp.asarray(mass, q.dtype), basis, B)


@partial(jax.jit, static_argnums=(7,))
def _estimate(q: Array, t: Array, low: Array, high: Array, key: Array, M: Array, basis: Basis, B: int) -> SampledPlanck:
    T, R = q.shape
    K = basis.polynomials.shape[1]
    features = legendre(K, (2 * q - low - high) / (high - low), 0)[0, 1:]  # (K, T, R)
    moments = jnp.mean(features, axis=2)

    A, rest = fit_moments(moments, jnp.zeros((K, basis.times.shape[1]), q.dtype), basis, 60)
    halves = (features[:, :, ::2], features[:, :, 1::2])

    def drawn(key: Array) -> Array:
        """Moments of both halves, each resampled among its own replicas."""
        rows = []
        for half, k in zip(halves, jax.random.split(key), strict=True):
            count = half.shape[2]
            counts = jnp.zeros(count, q.dtype).at[jax.random.randint(k, (count,), 0, count)].add(1)
            rows.append(jnp.einsum("ktr,r->kt", half, counts, precision="highest") / count)
        return jnp.stack(rows)

    def estimate(moments: Array) -> tuple[Array, ...]:
        fits, rests = jax.vmap(lambda m: fit_moments(m, A, basis, 15))(moments)
        return *_regress(fits, basis), jnp.max(rests)

    actual = jnp.stack([jnp.mean(half, axis=2) for half in halves])
    resampled = jax.lax.map(drawn, jax.random.split(key, B))
    everything = jax.lax.map(estimate, jnp.concatenate([actual[None], resampled]))
    value, residual, signal = (column[0] for column in everything[:3])
    values, rests = everything[0][1:], everything[3]
    scale = M**2 * ((high - low) / 2) ** 4 / ((t[-1] - t[0]) / 2) ** 2
    log_p = log_density(A, basis)
    fitted = jnp.einsum("kn,tn->kt", basis.polynomials[0], jnp.exp(log_p) * basis.step, precision="highest")
    centred = features - moments[:, :, None]
    covariance = jnp.einsum("ktr,ltr->tkl", centred, centred, precision="highest") / R**2
    off = (moments - fitted).T
    solved = jnp.linalg.solve(covariance, off[..., None])[..., 0]
    misfit = jnp.sum(off * solved) / (K * (T - basis.times.shape[1]))
    small = 1e-3 / R  # of the likelihood of one sample; its sampling error is of order 1/R
    converged = (rest < small) & jnp.all(rests < small) & jnp.all(jnp.isfinite(values))
    low_end, middle, high_end = jnp.quantile(values, jnp.asarray([0.1587, 0.5, 0.8413], q.dtype))
    error, bias = (high_end - low_end) / 2, middle - value
    return SampledPlanck(scale * value, scale * error, scale * bias, residual, signal, misfit, converged)


def _fields(A: Array, basis: Basis) -> tuple[Array, Array, Array]:
    """Acceleration D_t u, quantum acceleration G and weight, (T, n) each.

    The weight p is let go to zero in the tails, where the polynomial is a guess, and at the ends of time, where its
    derivatives are worst.
    """
    a0, a1, a2 = (jnp.einsum("kj,jt->tk", A, B, precision="highest") for B in basis.times)

    def series(a: Array, derivative: int) -> Array:
        return jnp.einsum("tk,kn->tn", a, basis.polynomials[derivative], precision="highest")

    p = jnp.exp(log_density(A, basis))
    weight = p * basis.step

    def centred(f: Array) -> Array:
        return f - jnp.sum(weight * f, axis=1, keepdims=True)

    rate = centred(series(a1, 0))  # ∂log p/∂t
    rate2 = centred(series(a2, 0)) - jnp.sum(weight * rate**2, axis=1, keepdims=True)  # ∂²log p/∂t²
    s, s1, s2 = (series(a0, d) for d in (1, 2, 3))
    u = -_below(weight * rate) / p
    u_t = -_below(weight * (rate2 + rate**2)) / p - u * rate
    acceleration = u_t - u * (rate + u * s)  # ∂u/∂q = -∂log p/∂t - u ∂log p/∂q
    G = (s2 + s * s1) / 4

    below = jnp.clip(jnp.cumsum(weight, axis=1) - weight / 2, 0, 1)
    window = (basis.times[0, 0] - basis.times[0, 1] ** 2)[:, None] ** 2
    return acceleration, G, weight * window * (4 * below * (1 - below)) ** 2


def _regress(halves: Array, basis: Basis) -> tuple[Array, Array, Array]:
    """theta = (ħ/M)² in units of the interval, the unexplained share and the share of G that changes in time.

    G of one half of the replicas is multiplied by the acceleration, and by G, of the other half: noise that is squared
    would draw the ratio towards zero.
    """
    (a1, a2), (G1, G2), (w1, w2) = jax.vmap(lambda A: _fields(A, basis))(halves)
    weight = (w1 + w2) / 2
    total = jnp.sum(weight, axis=0, keepdims=True)
    whole = jnp.sum(weight * G1 * G2)

    def moving(f: Array) -> Array:
        return f - jnp.sum(weight * f, axis=0, keepdims=True) / total

    a1, a2, G1, G2 = (moving(f) for f in (a1, a2, G1, G2))
    power = jnp.sum(weight * G1 * G2)
    theta = jnp.sum(weight * (G1 * a2 + G2 * a1)) / (2 * power)
    left = jnp.sum(weight * (a1 - theta * G1) * (a2 - theta * G2)) / jnp.sum(weight * a1 * a2)
    return theta, jnp.sqrt(jnp.maximum(left, 0)), jnp.sqrt(power / whole)


def _below(mass: Array) -> Array:
    """∫ up to each point of what integrates to zero, from the nearer end: tails keep their relative accuracy."""
    left = jnp.cumsum(mass, axis=1) - mass / 2
    right = jnp.cumsum(mass[:, ::-1], axis=1)[:, ::-1] - mass / 2
    middle = jnp.arange(mass.shape[1]) < mass.shape[1] // 2
    return jnp.where(jnp.broadcast_to(middle[None], mass.shape), left, -right)
