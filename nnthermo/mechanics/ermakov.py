r"""ħ² from the width of an ensemble: the exact motion of Gaussian densities, in four numbers.

A Gaussian density of variance y in a harmonic, steady force is carried by u = ẏ/2y (q - ⟨q⟩), and the Madelung
equations for it are those of Ermakov (1880) for its width s = √y,

    s̈ = κs + (ħ/M)²/4s³,   so that   y''' = 4κy'   and   (ħ/M)² = 2y y'' - y'² - 4κy²   at any time

(own derivation). So y = a + b sinh(2ωt)/2ω + c (cosh(2ωt) - 1)/4ω², ω² = κ of either sign, (ħ/M)² = 2ac - b² - 4κa².
A diffusion in a harmonic loss has y = (D/k)(1 + εe^{-2kt}), κ = k², (ħ/M)² = -4D² for any ε; a free packet has κ = 0.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import integer, random_key, real_numbers
from nnthermo._typing import Array, Scalar
from nnthermo.mechanics._arguments import replicas_at

NARROWINGS = 40
"""Steps of the golden section: the bracket shrinks by 0.618 in each."""


class WidthPlanck(NamedTuple):
    """ħ² of a Gaussian ensemble, all of shape ().

    Attributes:
        value: ħ², of either sign, in units (mass × unit of q² / unit of time)².
        error: its standard deviation over bootstrap resamples of the replicas.
        curvature: κ, of either sign, 1/time²: k² for a diffusion that relaxes at the rate k.
        misfit: root mean square of the relative misfit of y over √(2/(R - 1)), the sampling error of a Gaussian's
            variance. Below 1 where the family holds the ensemble, as neighbouring times share replicas. Far above 1 no
            such fluid describes it, and `value` says nothing.
    """

    value: Array
    error: Array
    curvature: Array
    misfit: Array


def planck_squared_from_widths(
    samples: Any, times: Any, *, key: Array, mass: Scalar = 1.0, resamples: int = 100
) -> WidthPlanck:
    """ħ² of replicas q_r(t) whose density is Gaussian at each time, in a force that is harmonic and steady.

    Without bias for any such fluid where R is large: exact Ornstein-Uhlenbeck samples that start 0.4 widths narrow and
    are seen for two relaxation times give -4D² within the error, 8 % for 4,096 replicas and 3 % for 40,000.
    `planck_squared_from_samples` takes other densities, and is biased where they change fast.

    Args:
        samples: q, (T, R): replica r is one column, the same at all times; T at least 6, R at least 10.
        times: (T,), increasing. The variance should change by a factor of a few over them.
        key: of the bootstrap.
        mass: M.
        resamples: of the bootstrap over replicas.

    Raises:
        ValueError: shapes, NaN, times that do not increase.
        TypeError: as `real_array`.
    """
    random_key("key", key)
    real_numbers(mass=mass)
    q, t = replicas_at(samples, times, least=6)
    return _estimate(q, t, key, jnp.asarray(mass, q.dtype), integer("resamples", resamples, least=2))


@partial(jax.jit, static_argnums=4)
def _estimate(q: Array, t: Array, key: Array, mass: Array, resamples: int) -> WidthPlanck:
    replicas = q.shape[1]
    span = t[-1] - t[0]
    scale = jnp.var(q)
    time, x = (t - t[0]) / span, q / jnp.sqrt(scale)

    def of_counts(counts: Array) -> tuple[Array, Array, Array]:
        share = counts / jnp.asarray(replicas, x.dtype)
        mean = jnp.matmul(x, share, precision=jax.lax.Precision.HIGHEST)
        y = jnp.matmul((x - mean[:, None]) ** 2, share, precision=jax.lax.Precision.HIGHEST)
        return _fit(y * replicas / (replicas - 1), time)

    def resample(key: Array) -> Array:
        chosen = jax.random.randint(key, (replicas,), 0, replicas)
        return of_counts(jnp.zeros(replicas, x.dtype).at[chosen].add(1))[0]

    unit = mass**2 * (scale / span) ** 2
    value, curvature, misfit = of_counts(jnp.ones(replicas, x.dtype))
    others = jax.lax.map(resample, jax.random.split(key, resamples))
    sampling = jnp.sqrt(jnp.asarray(2 / (replicas - 1), x.dtype))
    return WidthPlanck(unit * value, unit * jnp.std(others, ddof=1), curvature / span**2, misfit / sampling)


def _fit(y: Array, t: Array) -> tuple[Array, Array, Array]:
    """(ħ/M)², κ and the relative misfit for times from 0 to 1: a, b, c linearly for each κ, κ by golden section."""

    def linear(kappa: Array) -> tuple[Array, Array]:
        table = jnp.stack(_waves(kappa, t), axis=1) / y[:, None]
        q, r = jnp.linalg.qr(table)
        numbers = jax.scipy.linalg.solve_triangular(r, q.T @ jnp.ones_like(y))
        return jnp.sqrt(jnp.mean((table @ numbers - 1) ** 2)), numbers

    places = np.concatenate([-np.geomspace(100, 0.05, 24), [0.0], np.geomspace(0.05, 100, 24)])  # ωt to 10
    grid = jnp.asarray(places, y.dtype)
    best = jnp.clip(jnp.argmin(jax.vmap(lambda k: linear(k)[0])(grid)), 1, len(places) - 2)
    golden = jnp.asarray((np.sqrt(5) - 1) / 2, y.dtype)

    def narrow(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        left, right = high - golden * (high - low), low + golden * (high - low)
        better = linear(left)[0] < linear(right)[0]
        return jnp.where(better, low, left), jnp.where(better, right, high)

    low, high = jax.lax.fori_loop(0, NARROWINGS, narrow, (grid[best - 1], grid[best + 1]))
    kappa = (low + high) / 2
    misfit, (a, b, c) = linear(kappa)
    return 2 * a * c - b**2 - 4 * kappa * a**2, kappa, misfit


def _waves(kappa: Array, t: Array) -> tuple[Array, Array, Array]:
    """1, sinh(2ωt)/2ω and (cosh(2ωt) - 1)/4ω², ω² = κ of either sign."""
    z = 4 * kappa * t**2
    few = jnp.abs(z) < 1e-2  # by their series: next terms z³/5040 and z³/40320
    r = jnp.sqrt(jnp.where(few, 1, jnp.abs(z)))
    grows = z > 0
    odd = jnp.where(grows, jnp.sinh(r), jnp.sin(r)) / r
    even = 2 * jnp.where(grows, jnp.sinh(r / 2), jnp.sin(r / 2)) ** 2 / r**2
    odd = jnp.where(few, 1 + z / 6 + z**2 / 120, odd)
    even = jnp.where(few, 0.5 + z / 24 + z**2 / 720, even)
    return jnp.ones_like(t), odd * t, even * t**2
