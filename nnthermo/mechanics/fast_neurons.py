"""Drift and diffusion of trainable variables by neurons that are fast: averages, and Green-Kubo."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, function, integer, positive_numbers, random_key, real_array, real_numbers
from nnthermo._typing import Array


class GreenKubo(NamedTuple):
    """Diffusion from correlations of a force.

    Attributes:
        diffusion: D, (units of q)²/time, shape (K, K).
        standard_error: of each entry, from the spread over replicas, shape (K, K).
        limit: lag, in samples, at which the integral was cut, shape ().
        converged: whether it was cut by the window rather than at the last lag, shape ().
        running: D(lag) as a function of the cut, to look for its plateau, shape (lags + 1, K, K).
        running_error: its standard error, the same shape.
    """

    diffusion: Array
    standard_error: Array
    limit: Array
    converged: Array
    running: Array
    running_error: Array


class AdiabaticDynamics(NamedTuple):
    """Drift and diffusion of q once the fast variables are averaged out.

    Attributes:
        drift: sign·γ⟨∂H/∂q⟩, shape (K,).
        drift_error: standard error, shape (K,).
        noise: the `GreenKubo` diffusion.
    """

    drift: Array
    drift_error: Array
    noise: GreenKubo


def green_kubo_diffusion(
    force_series: Any, dt: Any, *, gamma: Any, lags: int | None = None, window: float = 6.0
) -> GreenKubo:
    r"""D_kl = γ² ∫₀^∞ ½⟨δf_k(0) δf_l(t) + δf_l(0) δf_k(t)⟩ dt, from series of a stationary force.

    The trapezoidal rule up to a cut. Correlations of a finite series are noise beyond their decay, so that the
    integral wanders as √lag: it is cut at the first lag M with M ≥ window·τ(M), τ the integral of the trace of
    the correlations over its value at lag 0, in samples. For exponential decay that leaves out a share exp(-window),
    0.25 % by default. `running` shows the plateau. Only the symmetric part diffuses; an antisymmetric one is a drift.
    Taking the mean off the series leaves a bias of order 2τ·window/(TR).

    Args:
        force_series: f = ∂H/∂q, shape (T, R, K): times, independent replicas, variables.
        dt: time between samples.
        gamma: γ, the factor between force and velocity of q; 1 for ∫⟨δf δf⟩ itself.
        lags: largest lag, T // 4 if None.
        window: in correlation times.

    Returns:
        `GreenKubo`; the standard error is NaN with one replica, and takes the cut as given.

    Raises:
        ValueError: wrong shapes, or `lags` not below T.
    """
    real_numbers(window=window, gamma=gamma)
    positive_numbers(dt=dt)
    f = real_array("force_series", force_series, ndim=3)
    T, R, K = f.shape
    last = T // 4 if lags is None else integer("lags", lags)
    check("lags", f"lie between 1 and T - 1 = {T - 1}", 1 <= last < T, last)
    step, rate = jnp.asarray(dt, f.dtype), jnp.asarray(gamma, f.dtype)
    f = f - jnp.mean(f, axis=(0, 1), keepdims=True)
    padded = jnp.concatenate([f, jnp.zeros((last, R, K), f.dtype)])

    def correlation(lag: Array) -> Array:
        later = jax.lax.dynamic_slice_in_dim(padded, lag, T)
        c = jnp.einsum("trk,trl->rkl", f, later, precision=jax.lax.Precision.HIGHEST)
        return 0.5 * (c + jnp.swapaxes(c, 1, 2)) / (T - lag).astype(f.dtype)

    def add(carry: tuple[Array, Array], lag: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        before, total = carry
        c = correlation(lag)
        total = total + 0.5 * (before + c)
        spread = jnp.std(total, axis=0, ddof=1) if R > 1 else jnp.full((K, K), jnp.nan, f.dtype)
        return (c, total), (jnp.mean(total, axis=0), spread / jnp.sqrt(jnp.asarray(R, f.dtype)))

    first = correlation(jnp.asarray(0))
    start = (first, jnp.zeros_like(first))
    running, error = jax.lax.scan(add, start, jnp.arange(1, last + 1))[1]
    nothing = jnp.zeros((1, K, K), f.dtype)
    running = rate**2 * step * jnp.concatenate([nothing, running])
    error = rate**2 * step * jnp.concatenate([nothing, error])
    variance = rate**2 * step * jnp.trace(jnp.mean(first, axis=0))
    tau = jnp.trace(running, axis1=1, axis2=2) / jnp.where(variance > 0, variance, 1)
    lag = jnp.arange(last + 1, dtype=f.dtype)
    enough = (lag >= jnp.asarray(window, f.dtype) * tau) & (lag > 0)
    converged = jnp.any(enough)
    limit = jnp.where(converged, jnp.argmax(enough), last)
    return GreenKubo(running[limit], error[limit], limit, converged, running, error)


def adiabatic_drift_diffusion(
    key: Array,
    energy: Callable[[Array, Array], Array],
    q: Any,
    x0: Any,
    *,
    beta: Any,
    dt: Any,
    steps: int,
    burn_in: int,
    gamma: Any,
    mobility: Any = 1.0,
    sign: float = -1,
    lags: int | None = None,
    window: float = 6.0,
) -> AdiabaticDynamics:
    r"""Drift and diffusion of slow q driven by fast neurons, dq = sign·γ ∂H/∂q dt, dx = -G ∂H/∂x dt + √(2G/β) dW.

    At fixed q the neurons sample exp(-βH), so ⟨∂H/∂q⟩ = ∂F/∂q, the drift; what the force fluctuates by diffuses q
    (Green-Kubo, `green_kubo_diffusion`). Exact as γ/G → 0, next order γ/G; q sees the mean force only when it moves
    little in one correlation time. Example: H = g(q)x²/2 has F = log g/(2β), D = γ²g'²/(4Gβ²g³). Own derivation.

    The neurons move by the stochastic Heun step, of second weak order in dt.

    Args:
        key: random key.
        energy: H of one state x, shape (N,), and q, shape (K,).
        q: where, shape (K,).
        x0: where R replicas of the neurons begin, shape (R, N).
        beta: inverse temperature.
        dt: time step, small against 1/(G ∂²H/∂x²).
        steps: length T of the series.
        burn_in: steps before it; they must cover the relaxation from x0, which nothing here checks.
        mobility: G.
        gamma: γ.
        sign: +1 or -1.
        lags: as for `green_kubo_diffusion`.
        window: as there.

    Returns:
        `AdiabaticDynamics`. Its errors are those of sampling, from the spread of the replicas.
    """
    random_key("key", key)
    function("energy", energy)
    real_numbers(gamma=gamma, sign=sign, window=window)
    positive_numbers(beta=beta, dt=dt, mobility=mobility)
    q, x0 = real_array("q", q, ndim=1), real_array("x0", x0, ndim=2)
    count, early = integer("steps", steps, least=2), integer("burn_in", burn_in, least=0)
    if lags is not None:
        check("lags", f"lie between 1 and {count - 1}", 1 <= integer("lags", lags) < count, lags)
    h, G, b, rate = (jnp.asarray(v, x0.dtype) for v in (dt, mobility, beta, gamma))
    pull = jax.vmap(jax.grad(energy), in_axes=(0, None))
    force = jax.vmap(jax.grad(energy, argnums=1), in_axes=(0, None))

    def step(x: Array, key: Array) -> Array:
        kick = jnp.sqrt(2 * G * h / b) * jax.random.normal(key, x.shape, x.dtype)
        slope = pull(x, q)
        ahead = x - h * G * slope + kick
        return x - 0.5 * h * G * (slope + pull(ahead, q)) + kick

    first, second = jax.random.split(key)
    x = jax.lax.scan(lambda x, k: (step(x, k), None), x0, jax.random.split(first, early))[0]

    def record(x: Array, key: Array) -> tuple[Array, Array]:
        return step(x, key), force(x, q)

    series = jax.lax.scan(record, x, jax.random.split(second, count))[1]
    of_replica = jnp.mean(series, axis=0)
    R = len(x0)
    spread = jnp.std(of_replica, axis=0, ddof=1) if R > 1 else jnp.full_like(q, jnp.nan)
    noise = green_kubo_diffusion(series, h, gamma=rate, lags=lags, window=window)
    drift = jnp.asarray(sign, series.dtype) * rate * jnp.mean(of_replica, axis=0)
    return AdiabaticDynamics(drift, jnp.abs(rate) * spread / jnp.sqrt(jnp.asarray(R, series.dtype)), noise)
