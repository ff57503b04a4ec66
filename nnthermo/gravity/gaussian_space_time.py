r"""The space-times of normal ensembles in closed form: de Sitter and Bianchi I.

States N(m, σ²1) of N neurons whose mean moves in d ≤ N directions have, with T = -S and y = (σ, m¹, ..., m^d),

    g = (-2N dσ² + dm·dm) / σ²:

the expanding half of de Sitter space of dimension d + 1 and radius ℓ = √(2N), scale factor 1/σ, so that

    R_abcd = (g_ac g_bd - g_ad g_bc)/2N,   R = d(d+1)/2N,   G + Λg = 0 with Λ = d(d-1)/4N:

positive and inversely proportional to the number of neurons. Own derivations, all of it: the abstract of
arXiv:2111.00903 announces a cosmological constant, and a later note says that it fixes a mean number of neurons; its
body was not read.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, function, integer, is_concrete, positive, real_array, refuse
from nnthermo._typing import Array, Scalar
from nnthermo.gravity.derivatives import Metric
from nnthermo.linalg.dense import matmul


def _number(neurons: Scalar, dtype: Any = None) -> Array:
    N = real_array("neurons", neurons, shape=())
    positive("neurons", N)
    return N if dtype is None else N.astype(dtype)


def _point(name: str, point: Any) -> Array:
    y = real_array(name, point, ndim=1)
    check(name, "have σ and one coordinate of the mean or more", y.shape[0] > 1, f"shape {y.shape}")
    finite(name, y)
    if is_concrete(y) and not np.asarray(y)[0] > 0:
        refuse(f"{name}[0]", "be a positive standard deviation", float(np.asarray(y)[0]))
    return y


def gaussian_space_time(neurons: Scalar) -> Metric:
    """The metric (-2N dσ² + dm·dm)/σ² of labels (σ, m), (d + 1,), of N neurons."""
    positive("neurons", neurons)

    def metric(point: Array) -> Array:
        y = _point("point", point)
        scale = jnp.ones_like(y).at[0].set(-2 * _number(neurons, y.dtype))
        return jnp.diag(scale) / y[0] ** 2

    return metric


def de_sitter_radius(neurons: Scalar) -> Array:
    """ℓ = √(2N), in nats^{1/2}."""
    return jnp.sqrt(2 * _number(neurons))


def gaussian_cosmological_constant(space_dimension: int, neurons: Scalar) -> Array:
    """Λ = d(d-1)/4N of the space-time (σ, m¹, ..., m^d); d is the dimension of space, one less than of space-time.

    Raises:
        TypeError: `space_dimension` no integer.
        ValueError: d < 1, N not positive.
    """
    d = integer("space_dimension", space_dimension, least=1)
    return d * (d - 1) / (2 * de_sitter_radius(neurons) ** 2)


def gaussian_interval(first: Any, second: Any, neurons: Scalar) -> Array:
    """Squared length of the geodesic between two normal ensembles, negative if it is time-like.

    With e = ℓσ and u = ((e₁-e₂)² - |m₁-m₂|²)/2e₁e₂ it is -(ℓ arccosh(1 + u))² for u ≥ 0, (ℓ arccos(1 + u))² below;
    smooth through the light cone u = 0.

    Args:
        first: (σ, m), (d + 1,).
        second: the same.
        neurons: N.

    Returns:
        (). NaN for u < -2: no geodesic connects the two.
    """
    a = _point("first", first)
    b = real_array("second", second, shape=a.shape).astype(a.dtype)
    b = _point("second", b)
    squared = 2 * _number(neurons, a.dtype)
    u = (squared * (a[0] - b[0]) ** 2 - jnp.sum((a[1:] - b[1:]) ** 2)) / (2 * squared * a[0] * b[0])
    near = jnp.abs(u) < 1e-4
    series = 2 * u * (1 - u / 6 * (1 - 4 * u / 15 * (1 - 9 * u / 28)))
    ahead, beside = jnp.where(~near & (u > 0), u, 1), jnp.where(~near & (u < 0), u, -1)
    apart = (2 * jnp.arcsinh(jnp.sqrt(ahead / 2))) ** 2
    across = -((2 * jnp.arcsin(jnp.sqrt(-beside / 2))) ** 2)
    return -squared * jnp.where(near, series, jnp.where(u > 0, apart, across))


def de_sitter_embedding(point: Any, neurons: Scalar) -> Array:
    """X = ((ℓ²-e²+m²)/2e, ℓm/e, (ℓ²+e²-m²)/2e), e = ℓσ, with -X₀² + X₁² + ... = ℓ², (d + 2,), of y = (σ, m)."""
    y = _point("point", point)
    ell = jnp.sqrt(2 * _number(neurons, y.dtype))
    e, m = ell * y[0], y[1:]
    rest = (e * e - jnp.sum(m * m)) / (2 * e)
    half = ell * ell / (2 * e)
    return jnp.concatenate([(half - rest)[None], ell * m / e, (half + rest)[None]])


def de_sitter_inverse(embedded: Any, neurons: Scalar) -> Array:
    """y = (σ, m) of a point X (d + 2,) of the hyperboloid; NaN in the half without normal ensembles, X₀ + X_{d+1} ≤ 0.

    Raises:
        ValueError: fewer than three coordinates, or a known X that is not on the hyperboloid.
    """
    X = real_array("embedded", embedded, ndim=1)
    check("embedded", "have three or more coordinates", X.shape[0] > 2, f"shape {X.shape}")
    squared = 2 * _number(neurons, X.dtype)
    if is_concrete(X, squared):
        known = np.asarray(X)
        off = float(np.sum(known[1:] ** 2) - known[0] ** 2 - squared)
        bound = 1e4 * float(jnp.finfo(X.dtype).eps) * float(np.sum(known**2) + squared)
        check("embedded", "have X·X = 2N", abs(off) <= bound, off)
    total = X[0] + X[-1]
    e = squared / jnp.where(total > 0, total, jnp.nan)
    ell = jnp.sqrt(squared)
    return jnp.concatenate([(e / ell)[None], X[1:-1] * e / ell])


def transform_ensemble(transformation: Any, point: Any, neurons: Scalar) -> Array:
    """The normal ensemble (σ, m) that a Lorentz transformation of X takes another to: an isometry.

    Args:
        transformation: (d + 2, d + 2) that keeps diag(-1, 1, ..., 1), for example `lorentz_boost` of it.
        point: (σ, m), (d + 1,).
        neurons: N.

    Returns:
        (d + 1,); NaN where it leaves the half of de Sitter space that normal ensembles fill.
    """
    X = de_sitter_embedding(point, neurons)
    A = real_array("transformation", transformation, shape=(X.shape[0],) * 2).astype(X.dtype)
    if is_concrete(A):
        known, eta = np.asarray(A), np.diag([-1.0] + [1.0] * (X.shape[0] - 1))
        wrong = float(np.abs(known.T @ eta @ known - eta).max())
        bound = 1e3 * float(jnp.finfo(A.dtype).eps) * float(np.abs(known).max()) ** 2
        check("transformation", "keep diag(-1, 1, ..., 1)", wrong <= bound, f"a change of {wrong}")
    return de_sitter_inverse(matmul(A, X), neurons)


def gaussian_light_horizon(deviation: Scalar, neurons: Scalar) -> Array:
    """√(2N) σ: how far in m light gets until σ = 0. In between |dm| ≤ σ √(2/N) |dS|."""
    sigma = real_array("deviation", deviation)
    positive("deviation", sigma)
    return jnp.sqrt(2 * _number(neurons, sigma.dtype)) * sigma


def comoving_proper_time(entropy_destroyed: Scalar, neurons: Scalar) -> Array:
    """τ = √(2/N) × (entropy destroyed, nats), of an ensemble whose mean rests, for any schedule σ(t) that falls."""
    S = real_array("entropy_destroyed", entropy_destroyed)
    return jnp.sqrt(2 / _number(neurons, S.dtype)) * S


def gaussian_geodesic(point: Any, momentum: Any, proper_time: Scalar, neurons: Scalar) -> Array:
    """Where a time-like geodesic from (σ₀, m₀) with P_i = g_ij dm^j/dτ, which it conserves, is after τ.

        1/(Pσ) = sinh(τ/ℓ + arsinh(1/(Pσ₀))),   m - m₀ = (ℓP_i/P²) (√(1+P²σ₀²) - √(1+P²σ²))

    Entropy falls along it, σ → 0 as τ → ∞; P = 0 is the comoving ensemble.

    Args:
        point: (σ₀, m₀), (d + 1,).
        momentum: P, (d,).
        proper_time: τ, of either sign.
        neurons: N.

    Returns:
        (d + 1,). NaN before the finite τ at which σ was infinite.
    """
    y = _point("point", point)
    P = real_array("momentum", momentum, shape=(y.shape[0] - 1,)).astype(y.dtype)
    ell = jnp.sqrt(2 * _number(neurons, y.dtype))
    x = real_array("proper_time", proper_time, shape=()).astype(y.dtype) / ell
    squared = jnp.sum(P * P)
    inverse = jnp.sinh(x) * jnp.sqrt(squared + 1 / y[0] ** 2) + jnp.cosh(x) / y[0]
    sigma = 1 / jnp.where(inverse > 0, inverse, jnp.nan)
    roots = jnp.sqrt(1 + squared * y[0] ** 2) + jnp.sqrt(1 + squared * sigma**2)
    m = y[1:] + ell * P * (y[0] - sigma) * (y[0] + sigma) / roots
    return jnp.concatenate([sigma[None], m])


def bianchi_metric(log_deviations: Callable[[Array], Array]) -> Metric:
    """Metric of (t, m¹, ..., m^d) for states N(m, diag σ_i(t)²): Bianchi I with scale factors 1/σ_i.

        g = -2 Σ_i (d log σ_i/dt)² dt² + Σ_i≤d (dm^i/σ_i)²

    In proper time the rates H_i = -d log σ_i/dτ have Σ H_i² = ½ over all N neurons, and for d = N
    G_ττ = Σ_{i<j} H_iH_j.

    Args:
        log_deviations: t to log σ_i, (N,), N ≥ d; the mean moves in the first d directions. T is any function of t;
            T = -S is one while S is not stationary.

    Returns:
        A metric of points (d + 1,). Degenerate where all rates are zero.
    """
    function("log_deviations", log_deviations, "a function of time")

    def metric(point: Array) -> Array:
        y = real_array("point", point, ndim=1)
        logs, rates = _rates(log_deviations, y[0])
        d = y.shape[0] - 1
        check("point", f"have up to {logs.shape[0]} coordinates of the mean", d <= logs.shape[0], d)
        return jnp.diag(jnp.concatenate([-2 * jnp.sum(rates * rates)[None], jnp.exp(-2 * logs[:d])]))

    return metric


def hubble_rates(log_deviations: Callable[[Array], Array], time: Scalar) -> Array:
    """H_i = -d log σ_i/dτ of `bianchi_metric`, proper time running with t, (N,)."""
    _, rates = _rates(log_deviations, real_array("time", time, shape=()))
    return -rates / jnp.sqrt(2 * jnp.sum(rates * rates))


def _rates(log_deviations: Callable[[Array], Array], t: Array) -> tuple[Array, Array]:
    logs, rates = jax.jvp(log_deviations, (t,), (jnp.ones_like(t),))
    check("log_deviations", "return one vector", logs.ndim == 1, f"shape {logs.shape}")
    return logs, rates
