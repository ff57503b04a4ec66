"""Densities whose logarithm is a polynomial, in place and time: the fit behind `planck_squared_from_samples`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array


class Basis(NamedTuple):
    """Tables on the interval -1..1: `polynomials` (4, K, n), with derivatives 0-3; `times` (3, J, T)."""

    polynomials: Array
    step: Array
    times: Array


def legendre_table(degree: int, at: Any, derivatives: int, *, first: int) -> np.ndarray:
    """Legendre polynomials of degrees first..degree and their derivatives, (derivatives + 1, degrees, *at)."""
    rows = [np.polynomial.Legendre.basis(k) for k in range(first, degree + 1)]
    return np.stack([np.stack([r.deriv(d)(at) if d else r(at) for r in rows]) for d in range(derivatives + 1)])


def time_table(t: Array, J: int) -> Array:
    """Legendre polynomials in time of degrees 0..J, with two derivatives, on -1..1: (3, J + 1, T)."""
    tau = 2 * (t - t[0]) / (t[-1] - t[0]) - 1
    one, zero = jnp.ones_like(tau), jnp.zeros_like(tau)
    rows = [[one, zero, zero], [tau, one, zero]]
    for k in range(2, J + 1):
        (a, a1, a2), (b, b1, b2) = rows[-1], rows[-2]
        c, s = (2 * k - 1) / k, (k - 1) / k
        rows.append([c * tau * a - s * b, c * (a + tau * a1) - s * b1, c * (2 * a1 + tau * a2) - s * b2])
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
