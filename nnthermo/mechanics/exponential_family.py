"""Densities whose logarithm is a polynomial, in place and time: the fit behind `planck_squared_from_samples`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._typing import Array


class Basis(NamedTuple):
    """Tables on the interval -1..1: `polynomials` (4, K, n), with derivatives 0-3; `times` (3, J, T)."""

    polynomials: Array
    step: Array
    times: Array


def legendre(degree: int, x: Any, derivatives: int) -> Array:
    """Legendre polynomials of degrees 0 to `degree` ≥ 1 and their derivatives, (derivatives + 1, degree + 1, *x.shape).

    By k P_k = (2k - 1) x P_{k-1} - (k - 1) P_{k-2} and its derivatives.
    """
    zero = 0 * x
    one = zero + 1
    rows = [[one] + [zero] * derivatives, [x, one, *[zero] * derivatives][: derivatives + 1]]
    for k in range(2, degree + 1):
        before, last = rows[-2:]
        slopes = [zero, *last]  # (x P)^(d) = x P^(d) + d P^(d-1)
        row = [(2 * k - 1) * (x * p + d * slopes[d]) - (k - 1) * before[d] for d, p in enumerate(last)]
        rows.append([p / k for p in row])
    return jnp.stack([jnp.stack(row) for row in rows], axis=1)


def log_density(A: Array, basis: Basis) -> Array:
    """log p at each time and point, (T, n), of coefficients A (K, J + 1)."""
    a = jnp.einsum("kj,jt->tk", A, basis.times[0], precision="highest")
    log_p = jnp.einsum("tk,kn->tn", a, basis.polynomials[0], precision="highest")
    return log_p - jax.nn.logsumexp(log_p, axis=1, keepdims=True) - jnp.log(basis.step)


def fit_moments(moments: Array, A: Array, basis: Basis, iterations: int) -> tuple[Array, Array]:
    """Coefficients of largest likelihood by Levenberg's method; the last decrement squared tells how far from rest."""
    K, J = A.shape
    P, B = basis.polynomials[0], basis.times[0]
    T = B.shape[1]

    def likelihood(A: Array) -> Array:
        a = jnp.einsum("kj,jt->tk", A, B, precision="highest")
        heights = jnp.einsum("tk,kn->tn", a, P, precision="highest")
        return (jnp.sum(a.T * moments) - jnp.sum(jax.nn.logsumexp(heights, axis=1))) / T

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        A, damping, _rest = state
        p = jnp.exp(log_density(A, basis)) * basis.step
        mean = jnp.einsum("tn,kn->tk", p, P, precision="highest")
        away = P[None] - mean[:, :, None]
        covariance = jnp.einsum("tn,tkn,tln->tkl", p, away, away, precision="highest")
        slope = jnp.einsum("kt,jt->kj", moments - mean.T, B, precision="highest").ravel() / T
        bend = jnp.einsum("tkl,it,jt->kilj", covariance, B, B, precision="highest").reshape(K * J, K * J) / T
        scale = 1 / jnp.sqrt(jnp.diag(bend))
        scaled = bend * scale[:, None] * scale[None] + damping * jnp.eye(K * J, dtype=A.dtype)
        move = scale * jnp.linalg.solve(scaled, scale * slope)
        tried = A + move.reshape(K, J)
        better = likelihood(tried) >= likelihood(A) - 10 * jnp.finfo(A.dtype).eps
        damping = jnp.where(better, damping / 10, jnp.maximum(damping, 1e-8) * 10)
        return jnp.where(better, tried, A), damping, jnp.sum(move * slope)

    first = (A, jnp.asarray(1e-2, A.dtype), jnp.asarray(jnp.inf, A.dtype))
    A, _, rest = jax.lax.fori_loop(0, iterations, step, first)
    return A, rest
