"""Known space-times as metrics: functions of one point that curvature, geodesics and tests take.

Each function takes parameters, which may be traced, and returns `metric(point)`. Signature (-, +, ..., +), c = G = 1; a
dimension counts the time. Angles are θ from the axis, then φ. Every chart ends somewhere; where it does `geometry`
refuses the point by name outside transformations, and inside gives NaN, infinity or, as sin π is not 0 to rounding,
numbers without meaning. Near the end of a chart digits are lost: of R_abcd R^abcd of Schwarzschild four are left at
θ = 1e-6 and none at 1e-8, of that of Kerr none 1e-8 off the horizon. `kerr_schild` has neither end.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from nnthermo._checks import check, finite, function, integer, positive, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.gravity.derivatives import Metric


def minkowski(dimension: int) -> Metric:
    """diag(-1, 1, ..., 1), of any dimension ≥ 1."""
    n = integer("dimension", dimension, least=1)
    return _chart(n, lambda x: _diagonal(-jnp.ones_like(x[0]), *[jnp.ones_like(x[0])] * (n - 1)))


def schwarzschild(mass: Scalar) -> Metric:
    """A black hole at rest in (t, r, θ, φ): `kottler` with f = 1 - 2M/r.

    Both sides of the horizon r = 2M, where the chart ends. M < 0 is a naked singularity at r = 0, without horizon.

    Raises:
        TypeError, ValueError: `mass` not one real finite number.
    """
    M = _number("mass", mass)
    return kottler(lambda r: 1 - 2 * M.astype(r.dtype) / r)


def schwarzschild_de_sitter(mass: Scalar, cosmological_constant: Scalar) -> Metric:
    """f = 1 - 2M/r - Λr²/3 in (t, r, θ, φ), R_ab = Λ g_ab; Λ < 0 is Schwarzschild-anti-de Sitter.

    Static between black-hole and cosmological horizon, which exist for 0 < 9ΛM² < 1. Beyond, r is a time everywhere:
    a cosmos with a naked singularity, whose curvature the metric gives all the same.
    """
    M, L = _number("mass", mass), _number("cosmological_constant", cosmological_constant)
    return kottler(lambda r: 1 - 2 * M.astype(r.dtype) / r - L.astype(r.dtype) * r * r / 3)


def reissner_nordstrom(mass: Scalar, charge: Scalar) -> Metric:
    """f = 1 - 2M/r + Q²/r² in (t, r, θ, φ), Q in units where Coulomb's potential is Q/r.

    Horizons at M ± √(M² - Q²). |Q| > M is a naked singularity: no horizon, and the metric holds for all r > 0.
    """
    M, Q = _number("mass", mass), _number("charge", charge)
    return kottler(lambda r: 1 - 2 * M.astype(r.dtype) / r + (Q.astype(r.dtype) / r) ** 2)


def kottler(f: Callable[[Array], Array]) -> Metric:
    """-f(r) dt² + dr²/f(r) + r²(dθ² + sin²θ dφ²): static, spherical, one function of r.

    Ends at f = 0, r = 0 and on the axis.
    """
    function("f", f, "a function of one number")

    def metric(x: Array) -> Array:
        r, sine = x[1], jnp.sin(x[2])
        at = f(r)
        return _diagonal(-at, 1 / at, r * r, (r * sine) ** 2)

    return _chart(4, metric)


def kerr(mass: Scalar, spin: Scalar) -> Metric:
    """A rotating black hole in Boyer-Lindquist coordinates (t, r, θ, φ): `kerr_newman` without charge.

    `spin` is a = J/M, a length. Horizons at M ± √(M² - a²), where the chart ends. |a| > M is a naked singularity, a
    ring at r = 0, θ = π/2, and the metric holds for all other r, negative ones too.
    """
    return kerr_newman(mass, spin, 0.0)


def kerr_newman(mass: Scalar, spin: Scalar, charge: Scalar) -> Metric:
    """A rotating charged black hole in Boyer-Lindquist coordinates (t, r, θ, φ).

    With Σ = r² + a² cos²θ, Δ = r² - 2Mr + a² + Q² and μ = (2Mr - Q²)/Σ,

        -(1 - μ) dt² - 2μ a sin²θ dt dφ + Σ dr²/Δ + Σ dθ² + (r² + a² + μ a² sin²θ) sin²θ dφ².

    Ends at Δ = 0, at Σ = 0 (the ring) and on the axis; without horizon for a² + Q² > M².
    """
    M, a, Q = _number("mass", mass), _number("spin", spin), _number("charge", charge)

    def metric(x: Array) -> Array:
        m, s, q = (p.astype(x.dtype) for p in (M, a, Q))
        r, sine2, a2 = x[1], jnp.sin(x[2]) ** 2, s * s
        sigma = r * r + a2 * jnp.cos(x[2]) ** 2
        delta = r * r - 2 * m * r + a2 + q * q
        mu = (2 * m * r - q * q) / sigma
        o, tp = jnp.zeros_like(r), -mu * s * sine2
        pp = (r * r + a2 + mu * a2 * sine2) * sine2
        return _matrix([[mu - 1, o, o, tp], [o, sigma / delta, o, o], [o, o, sigma, o], [tp, o, o, pp]])

    return _chart(4, metric)


def kerr_schild(mass: Scalar, spin: Scalar) -> Metric:
    """Kerr's black hole in Cartesian Kerr-Schild coordinates (t, x, y, z): regular at the horizons and on the axis.

        η + (2Mr³/(r⁴ + a²z²)) k k,  k = (1, (rx + ay)/(r² + a²), (ry - ax)/(r² + a²), z/r),

    r > 0 of (x² + y²)/(r² + a²) + z²/r² = 1; det g = -1. Ends at the disc r = 0, |z| = 0 and x² + y² ≤ a², of which the
    rim is singular; spin 0 is Schwarzschild in Eddington-Finkelstein form.
    """
    M, a = _number("mass", mass), _number("spin", spin)

    def metric(x: Array) -> Array:
        m, s = M.astype(x.dtype), a.astype(x.dtype)
        a2, z2, half = s * s, x[3] ** 2, (x[1] ** 2 + x[2] ** 2 + x[3] ** 2 - s * s) / 2
        root = jnp.sqrt(half * half + a2 * z2)
        # the larger root of r⁴ - 2 half r² = a²z², without cancellation where half < 0
        r2 = jnp.where(half > 0, half + root, a2 * z2 / jnp.where(half > 0, 1, root - half))
        r = jnp.sqrt(r2)
        one, level = jnp.ones_like(r), r2 + a2
        k = jnp.stack([one, (r * x[1] + s * x[2]) / level, (r * x[2] - s * x[1]) / level, x[3] / r])
        flat = _diagonal(-one, one, one, one)
        return flat + 2 * m * r * r2 / (r2 * r2 + a2 * z2) * (k[:, None] * k[None, :])

    return _chart(4, metric)


def de_sitter(dimension: int, radius: Scalar) -> Metric:
    """Constant positive curvature in the flat slicing (τ, x...): -dτ² + exp(2τ/l) dx², n ≥ 2.

    R_abcd = (g_ac g_bd - g_ad g_bc)/l², Λ = (n - 1)(n - 2)/2l². Covers half of the hyperboloid, for all τ and x.
    """
    n, length = integer("dimension", dimension, least=2), _size("radius", radius)

    def metric(x: Array) -> Array:
        grown = jnp.exp(2 * x[0] / length.astype(x.dtype))
        return _diagonal(-jnp.ones_like(grown), *[grown] * (n - 1))

    return _chart(n, metric)


def anti_de_sitter(dimension: int, radius: Scalar) -> Metric:
    """Constant negative curvature in Poincaré coordinates (t, x..., z), z ≠ 0: (l/z)²(-dt² + dx² + dz²), n ≥ 2.

    R_abcd = -(g_ac g_bd - g_ad g_bc)/l², Λ = -(n - 1)(n - 2)/2l². z > 0 covers one of the two Poincaré patches; z = 0
    is the boundary at infinity.
    """
    n, length = integer("dimension", dimension, least=2), _size("radius", radius)

    def metric(x: Array) -> Array:
        factor = (length.astype(x.dtype) / x[n - 1]) ** 2
        return _diagonal(-factor, *[factor] * (n - 1))

    return _chart(n, metric)


def flrw(scale_factor: Callable[[Array], Array], curvature: Scalar) -> Metric:
    """A homogeneous isotropic cosmos in (t, r, θ, φ): -dt² + a(t)²[dr²/(1 - kr²) + r²(dθ² + sin²θ dφ²)].

    With H = a'/a: G_tt = 3(H² + k/a²), R = 6(a''/a + H² + k/a²). k is any real number in units of r⁻²; ends at kr² = 1,
    r = 0, a = 0 and on the axis.

    Args:
        scale_factor: a(t), differentiable twice.
        curvature: k.
    """
    function("scale_factor", scale_factor, "a function of one number")
    k = _number("curvature", curvature)

    def metric(x: Array) -> Array:
        a, r2 = real_array("scale_factor", scale_factor(x[0]), ndim=0).astype(x.dtype), x[1] ** 2
        a2, angle = a * a, (a * x[1]) ** 2
        return _diagonal(-jnp.ones_like(r2), a2 / (1 - k.astype(x.dtype) * r2), angle, angle * jnp.sin(x[2]) ** 2)

    return _chart(4, metric)


def sphere(dimension: int, radius: Scalar) -> Metric:
    """The round sphere S^n in hyperspherical angles (θ₁, ..., θ_n): l²(dθ₁² + sin²θ₁(dθ₂² + sin²θ₂(...))), n ≥ 1.

    R_abcd = (g_ac g_bd - g_ad g_bc)/l². Positive definite; ends where one of θ₁, ..., θ_{n-1} is a multiple of π.
    """
    n, length = integer("dimension", dimension, least=1), _size("radius", radius)

    def metric(x: Array) -> Array:
        factor = [length.astype(x.dtype) ** 2]
        for angle in range(n - 1):
            factor.append(factor[-1] * jnp.sin(x[angle]) ** 2)
        return _diagonal(*factor)

    return _chart(n, metric)


def torus(tube: Scalar, centre: Scalar) -> Metric:
    """The torus of revolution in (u, v): r² du² + (c + r cos u)² dv², tube radius r < centre radius c.

    Gaussian curvature cos u/(r(c + r cos u)), of integral zero.
    """
    small, large = _size("tube", tube), _size("centre", centre)

    def metric(x: Array) -> Array:
        r, c = small.astype(x.dtype), large.astype(x.dtype)
        return _diagonal(r * r, (c + r * jnp.cos(x[0])) ** 2)

    return _chart(2, metric)


def _number(name: str, value: Any) -> Array:
    number = real_array(name, value, ndim=0)
    finite(name, number)
    return number


def _size(name: str, value: Any) -> Array:
    number = _number(name, value)
    positive(name, number)
    return number


def _chart(n: int, metric: Metric) -> Metric:
    """The metric, with the number of coordinates checked and whole numbers made real."""

    def checked(point: Array) -> Array:
        x = real_array("point", point, ndim=1)
        check("point", f"have {n} coordinates", x.shape == (n,), f"shape {x.shape}")
        return metric(x)

    return checked


def _diagonal(*entries: Array) -> Array:
    zero = jnp.zeros_like(entries[0])
    return _matrix([[g if i == j else zero for j in range(len(entries))] for i, g in enumerate(entries)])


def _matrix(rows: list[list[Array]]) -> Array:
    return jnp.stack([jnp.stack(row) for row in rows])
