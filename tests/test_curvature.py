"""Curvature of any metric, known space-times, and derivatives of tensor fields.

Oracles: closed forms of exact solutions, finite differences, identities of Riemannian geometry on random metrics of any
signature, and definitions written out in NumPy. Programs are compiled once for each dimension or space-time; hypothesis
draws their numbers.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnthermo.gravity import (
    anti_de_sitter,
    christoffel,
    covariant_derivative,
    covariant_divergence,
    de_sitter,
    einstein_tensor,
    flrw,
    geometry,
    inverse_and_determinant,
    kerr,
    kerr_newman,
    kerr_schild,
    killing_residual,
    kottler,
    kretschmann,
    laplace_beltrami,
    lie_derivative,
    lower_index,
    metric_derivatives,
    metric_slopes,
    minkowski,
    raise_index,
    reissner_nordstrom,
    ricci,
    ricci_scalar,
    riemann,
    schwarzschild,
    schwarzschild_de_sitter,
    signature,
    sphere,
    torus,
    weyl,
)

EPS = np.finfo(float).eps
few = settings(max_examples=12)
seeds = st.integers(0, 2**32 - 1)


def everything(metric, x):
    """All of `geometry` that has a closed form somewhere, as a dictionary for one compiled program."""
    at = geometry(metric, x)
    names = ["metric", "inverse", "determinant", "christoffel", "riemann", "ricci", "scalar", "einstein", "kretschmann"]
    names += ["weyl", "weyl_squared"] if x.shape[0] > 2 else []
    return {name: getattr(at, name) for name in names}


def in_numpy(program):
    return lambda *arguments: jax.tree.map(np.asarray, program(*arguments))


# Random metrics: constant part of a drawn signature, three waves, and a conformal factor


def wavy(p, y):
    base, waves, vectors, stretch, along = p
    g = base + jnp.sum(waves * jnp.sin(vectors @ y)[:, None, None], axis=0)
    return jnp.exp(2 * stretch * jnp.sin(jnp.vdot(along, y))) * g


def drawn(n, seed, *, stretch=0.0, size=0.1):
    """Numbers of `wavy` and a point. Eigenvalues of the constant part within [0.5, 2], waves small beside them."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(n, n)))[0]
    base = turn @ np.diag(rng.choice([-1, 1], n) * rng.uniform(0.5, 2, n)) @ turn.T
    waves = rng.normal(size=(3, n, n))
    waves = size * (waves + waves.transpose(0, 2, 1)) / (2 * n)
    p = (base, waves, rng.normal(size=(3, n)), np.float64(stretch), rng.normal(size=n))
    return jax.tree.map(jnp.asarray, p), jnp.asarray(rng.normal(size=n)), rng


@cache
def of_wavy(n):
    return in_numpy(jax.jit(lambda p, x: everything(partial(wavy, p), x)))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
@given(seed=seeds)
@few
def test_symmetries_and_contractions_of_random_metrics(n, seed):
    p, x, _ = drawn(n, seed, stretch=0.2)
    at = of_wavy(n)(p, x)
    R, g, up = at["riemann"], at["metric"], at["inverse"]
    np.testing.assert_array_equal(R, -R.transpose(1, 0, 2, 3))
    np.testing.assert_array_equal(R, -R.transpose(0, 1, 3, 2))
    np.testing.assert_array_equal(R, R.transpose(2, 3, 0, 1))
    size = np.abs(R).max() + np.abs(at["christoffel"]).max() ** 2 + 1  # terms of order 1 cancel
    assert np.abs(R + R.transpose(0, 2, 3, 1) + R.transpose(0, 3, 1, 2)).max() <= 8 * EPS * size
    np.testing.assert_allclose(up @ g, np.eye(n), atol=1e2 * EPS)  # condition up to ten
    assert at["determinant"] == pytest.approx(np.linalg.det(np.asarray(g)), rel=1e-13)
    small = 1e3 * EPS * size  # n² products, condition ten to the power of the indices raised
    np.testing.assert_allclose(at["ricci"], np.einsum("ac,abcd->bd", up, R), atol=small)
    np.testing.assert_allclose(at["scalar"], np.einsum("ac,bd,abcd->", up, up, R), atol=small)
    np.testing.assert_allclose(at["einstein"], at["ricci"] - at["scalar"] * g / 2, atol=small)
    square = np.einsum("abcd,efgh,ae,bf,cg,dh->", R, R, up, up, up, up, optimize=True)
    assert at["kretschmann"] == pytest.approx(square, rel=1e-11, abs=small)
    if n == 2:  # one number, the Gaussian curvature
        K = at["scalar"] / 2
        np.testing.assert_allclose(R, K * (np.einsum("ac,bd->abcd", g, g) - np.einsum("ad,bc->abcd", g, g)), atol=small)
        np.testing.assert_allclose(at["einstein"], 0, atol=small)
    if n == 3:
        np.testing.assert_allclose(at["weyl"], 0, atol=10 * small)
    if n > 3:
        np.testing.assert_allclose(np.einsum("ac,abcd->bd", up, at["weyl"]), 0, atol=10 * small)
        squares = at["weyl_squared"] + 4 / (n - 2) * np.einsum("ab,cd,ac,bd->", *[at["ricci"]] * 2, up, up)
        squares -= 2 * at["scalar"] ** 2 / ((n - 1) * (n - 2))
        assert at["kretschmann"] == pytest.approx(squares, rel=1e-11, abs=small)


@pytest.mark.parametrize("n", [4, 5])
@given(seed=seeds)
@few
def test_weyl_tensor_scales_with_the_metric(n, seed):
    p, x, _ = drawn(n, seed)
    stretched = (*p[:3], jnp.asarray(0.3), p[4])
    plain, at = of_wavy(n)(p, x), of_wavy(n)(stretched, x)
    factor = np.exp(2 * 0.3 * np.sin(float(p[4] @ x)))
    assert np.abs(plain["weyl"]).max() > 1e-4  # something to compare
    np.testing.assert_allclose(at["weyl"], factor * plain["weyl"], atol=1e-13)
    flat = of_wavy(n)((p[0], 0 * p[1], *stretched[2:]), x)
    assert np.abs(flat["riemann"]).max() > 1e-3 * np.abs(p[4]).max() ** 2
    np.testing.assert_allclose(flat["weyl"], 0, atol=1e-13)


def differences(f, x, step):
    """Central differences of fourth order, the derivative's index first."""
    moved = [[np.asarray(f(x + s * step * e)) for s in (-2, -1, 1, 2)] for e in np.eye(len(x))]
    return np.stack([(a - 8 * b + 8 * c - d) / (12 * step) for a, b, c, d in moved])


@pytest.mark.parametrize("n", [2, 4])
@given(seed=seeds)
@settings(max_examples=6)
def test_connection_and_curvature_by_finite_differences(n, seed):
    """Γ from differences of g and R^a_bcd = ∂_cΓ^a_db - ∂_dΓ^a_cb + ΓΓ - ΓΓ from differences of Γ."""
    p, x, _ = drawn(n, seed, stretch=0.2)
    connection, g = slopes_of_wavy(n)
    at = of_wavy(n)(p, x)
    x = np.asarray(x)
    # h⁴ times fifth derivatives, about 10, and rounding over h: 1e-11 for h = 1e-3
    dg = differences(lambda y: g(p, y), x, 1e-3)
    lower = (dg.transpose(1, 0, 2) + dg.transpose(1, 2, 0) - dg) / 2
    np.testing.assert_allclose(at["christoffel"], np.einsum("ad,dbc->abc", at["inverse"], lower), atol=1e-9)
    np.testing.assert_allclose(at["christoffel"], connection(p, x), atol=1e-14)  # from first derivatives alone
    dG, G = differences(lambda y: connection(p, y), x, 1e-3), at["christoffel"]
    R = np.einsum("cadb->abcd", dG) + np.einsum("ace,edb->abcd", G, G)
    R = np.einsum("ea,abcd->ebcd", at["metric"], R - R.transpose(0, 1, 3, 2))
    np.testing.assert_allclose(at["riemann"], R, atol=1e-8)


@cache
def slopes_of_wavy(n):
    connection = jax.jit(lambda p, x: christoffel(partial(wavy, p), x))
    return connection, jax.jit(wavy)


def test_derivatives_of_the_metric():
    p, x, _ = drawn(3, 7, stretch=0.3)

    def run(p, x):
        metric = partial(wavy, p)
        nested = (metric(x), jax.jacfwd(metric)(x), jax.jacfwd(jax.jacrev(metric))(x))
        return metric_derivatives(metric, x), metric_slopes(metric, x), nested

    (g, dg, ddg), slopes, (value, first, second) = jax.jit(run)(p, x)
    np.testing.assert_allclose(g, value, rtol=4 * EPS)
    np.testing.assert_allclose(dg, np.moveaxis(first, -1, 0), atol=1e-15)
    np.testing.assert_allclose(ddg, np.moveaxis(second, (-2, -1), (0, 1)), atol=1e-15)
    np.testing.assert_allclose(slopes[0], g, rtol=4 * EPS)
    np.testing.assert_allclose(slopes[1], dg, atol=1e-15)


@given(seed=seeds)
@few
def test_tensor_law_under_a_nonlinear_chart(seed):
    """g'_ab(y) = J J g(x(y)) has R' = J J J J R, and the same scalars."""
    p, y, rng = drawn(3, seed, stretch=0.2)
    bend = jnp.asarray(0.2 * rng.normal(size=(3, 3)))
    J, other, at = of_chart()(p, bend, y)
    there = np.einsum("abcd,ai,bj,ck,dl->ijkl", at["riemann"], J, J, J, J, optimize=True)
    scale = 1 + np.abs(there).max() + np.abs(other["christoffel"]).max() ** 2
    np.testing.assert_allclose(other["riemann"], there, atol=1e3 * EPS * scale)  # condition of J, about ten
    for name in ("scalar", "kretschmann"):
        # as the error of R', times the inverses that raise its indices
        assert other[name] == pytest.approx(float(at[name]), rel=1e-10, abs=1e-11 * scale)


@cache
def of_chart():
    def run(p, bend, y):
        def chart(y):
            return y + jnp.sin(bend @ y)

        def pulled(y):
            J = jax.jacfwd(chart)(y)
            return J.T @ wavy(p, chart(y)) @ J

        x = chart(y)
        return jax.jacfwd(chart)(y), everything(pulled, y), everything(partial(wavy, p), x)

    return in_numpy(jax.jit(run))


# Exact solutions


def static(build, *ranges, radii):
    """A row of `SOLUTIONS` for coordinates (t, r, θ, φ)."""
    return build, ranges, [(-1.0, 1.0), radii, (0.3, 2.8), (-3.0, 3.0)]


def rotating(M, a, Q, x):
    """K of Kerr-Newman (Henry 2000) in Boyer-Lindquist r and c = a cos θ."""
    r, c2 = x[1], (a * np.cos(x[2])) ** 2
    S = r * r + c2
    mass = 6 * M**2 * (r**6 - 15 * r**4 * c2 + 15 * r**2 * c2**2 - c2**3)
    mixed = -12 * M * Q**2 * r * (r**4 - 10 * r**2 * c2 + 5 * c2**2)
    return 8 * (mass + mixed + Q**4 * (7 * r**4 - 34 * r**2 * c2 + 7 * c2**2)) / S**6


def power_law(p, k):
    return flrw(lambda t: t**p, k)


SOLUTIONS = {
    "schwarzschild": static(schwarzschild, (0.2, 1.0), radii=(2.5, 20.0)),
    "schwarzschild, inside": static(schwarzschild, (1.5, 3.0), radii=(1.0, 2.5)),
    "schwarzschild, negative mass": static(schwarzschild, (-2.0, -0.5), radii=(0.5, 5.0)),
    "schwarzschild-de sitter": static(schwarzschild_de_sitter, (0.2, 0.5), (-0.2, 0.05), radii=(2.0, 5.0)),
    "reissner-nordström": static(reissner_nordstrom, (0.2, 0.5), (-2.0, 2.0), radii=(1.5, 9.0)),
    "kerr-newman, uncharged": static(kerr_newman, (0.5, 1.0), (-1.5, 1.5), (0.0, 0.0), radii=(2.5, 9.0)),
    "kerr-newman": static(kerr_newman, (0.5, 1.0), (-1.5, 1.5), (-1.5, 1.5), radii=(2.5, 9.0)),
    "flrw": (power_law, ((0.3, 2.0), (-1.0, 0.5)), [(0.5, 2.0), (0.3, 1.0), (0.3, 2.8), (-3.0, 3.0)]),
}


@cache
def of_solution(name):
    build = SOLUTIONS[name.partition(",")[0]][0]
    return in_numpy(jax.jit(lambda parameters, x: everything(build(*parameters), x)))


def numbers(draw, ranges):
    return tuple(draw(st.floats(*pair)) for pair in ranges)


@pytest.mark.parametrize("name", SOLUTIONS)
@given(data=st.data())
@few
def test_exact_solutions(name, data):
    _, ranges, places = SOLUTIONS[name]
    q, x = numbers(data.draw, ranges), numbers(data.draw, places)
    program = of_solution(name.partition(",")[0])
    at = program(tuple(map(jnp.asarray, q)), jnp.asarray(x))
    r = x[1]
    # components in units of lengths along the coordinates; near f = 0 errors grow as 1/f, which is above 0.1 here
    unit = np.sqrt(np.abs(np.diag(at["metric"])))
    einstein = at["einstein"] / np.outer(unit, unit)
    source, scalar = np.zeros((4, 4)), 0.0
    if name.startswith("schwarzschild"):
        L = q[1] if "sitter" in name else 0.0
        source, scalar = -L * at["metric"] / np.outer(unit, unit), 4 * L
        square = 48 * q[0] ** 2 / r**6 + 8 * L**2 / 3
        np.testing.assert_allclose(at["weyl_squared"], 48 * q[0] ** 2 / r**6, rtol=1e-11)
    elif name == "reissner-nordström":
        M, Q = q
        source = Q**2 / r**4 * np.diag([1.0, -1.0, 1.0, 1.0])
        square = 48 * M**2 / r**6 - 96 * M * Q**2 / r**7 + 56 * Q**4 / r**8
    elif name == "flrw":
        p, k = q
        a, H, bend = x[0] ** p, p / x[0], p * (p - 1) / x[0] ** 2
        density, scalar = 3 * (H**2 + k / a**2), 6 * (bend + H**2 + k / a**2)
        source = np.diag([density, *[-2 * bend - density / 3] * 3])
        square = 12 * (bend**2 + (density / 3) ** 2)
    else:
        M, a, Q = q
        square = rotating(M, a, Q, x)
        if Q:  # G^a_b of a charge has eigenvalues ±Q²/Σ², so that its square is a multiple of the unit matrix
            mixed = at["inverse"] @ at["einstein"]
            density = Q**2 / (r * r + (a * np.cos(x[2])) ** 2) ** 2
            np.testing.assert_allclose(mixed @ mixed, density**2 * np.eye(4), atol=1e-12)
            source = einstein
    size = np.sqrt(np.abs(at["riemann"] / np.einsum("a,b,c,d->abcd", *[unit] * 4)).max() ** 2 + 1 / r**4)
    np.testing.assert_allclose(einstein, source, atol=1e3 * EPS * size)
    np.testing.assert_allclose(at["scalar"], scalar, atol=1e4 * EPS * size)
    assert at["kretschmann"] == pytest.approx(square, rel=1e-11, abs=1e4 * EPS * size**2)


@given(mass=st.floats(0.5, 1.0), spin=st.floats(-0.9, 0.9), x=st.tuples(*[st.floats(-3.0, 3.0)] * 3))
@few
def test_kerr_schild_is_regular_and_kerr(mass, spin, x):
    """Outside, inside, on the axis and on the horizon: vacuum, det g = -1 and the Kretschmann scalar of Kerr."""
    x = np.array([0.1, *x])
    half = (x[1:] @ x[1:] - spin**2) / 2
    r2 = half + np.hypot(half, spin * x[3])
    if r2 < 0.3:  # the ring is near
        return
    r, c = np.sqrt(r2), spin * x[3] / np.sqrt(r2)
    square = 48 * mass**2 * (r2 - c**2) * ((r2 + c**2) ** 2 - 16 * r2 * c**2) / (r2 + c**2) ** 6
    at = in_numpy(of_kerr_schild())(jnp.asarray(mass), jnp.asarray(spin), jnp.asarray(x))
    size = mass * r / (r2 + c**2) ** 2 + mass**2 / r2**2 + 1
    np.testing.assert_allclose(at["ricci"], 0, atol=1e3 * EPS * size**2)  # several products of that size cancel
    assert at["determinant"] == pytest.approx(-1, abs=1e2 * EPS * size)
    assert at["kretschmann"] == pytest.approx(square, rel=1e-9, abs=1e4 * EPS * size**3)


@cache
def of_kerr_schild():
    return jax.jit(lambda M, a, x: everything(kerr_schild(M, a), x))


CONSTANT = [(de_sitter, 2, 1), (de_sitter, 5, 1), (anti_de_sitter, 3, -1), (anti_de_sitter, 4, -1)]
CONSTANT += [(sphere, 2, 1), (sphere, 3, 1)]


@pytest.mark.parametrize(("build", "n", "sign"), CONSTANT)
def test_spaces_of_constant_curvature(build, n, sign):
    length = 1.7
    x = jnp.linspace(0.4, 1.3, n)
    at = in_numpy(jax.jit(lambda length, x: everything(build(n, length), x)))(length, x)
    g = at["metric"]
    expected = sign / length**2 * (np.einsum("ac,bd->abcd", g, g) - np.einsum("ad,bc->abcd", g, g))
    np.testing.assert_allclose(at["riemann"], expected, atol=1e2 * EPS * np.abs(g).max() ** 2)
    assert at["scalar"] == pytest.approx(sign * n * (n - 1) / length**2, rel=1e-13)
    assert at["kretschmann"] == pytest.approx(2 * n * (n - 1) / length**4, rel=1e-13)
    constant = sign * (n - 1) * (n - 2) / (2 * length**2)
    np.testing.assert_allclose(at["einstein"] + constant * g, 0, atol=1e3 * EPS * np.abs(g).max())
    assert signature(g) == ((0, n) if build is sphere else (1, n - 1))
    if n > 2:
        np.testing.assert_allclose(at["weyl"], 0, atol=1e3 * EPS * np.abs(g).max() ** 2)


def test_flat_space_and_the_torus():
    for n in (1, 2, 6):
        np.testing.assert_array_equal(minkowski(n)(jnp.zeros(n)), np.diag([-1.0] + [1.0] * (n - 1)))
    u = jnp.linspace(0, 2 * np.pi, 33)[:-1]
    scalar = jax.jit(jax.vmap(lambda u: ricci_scalar(torus(0.4, 1.5), jnp.stack([u, 0 * u]))))(u)
    exact = np.cos(u) / (0.4 * (1.5 + 0.4 * np.cos(u)))
    np.testing.assert_allclose(scalar, 2 * exact, atol=1e-13)
    assert np.sum(scalar * (1.5 + 0.4 * np.cos(u))) == pytest.approx(0, abs=1e-12)  # Gauss and Bonnet


def ingoing(f):
    """-f dv² + 2 dv dr + r² dΩ²: a zero on the diagonal, and no horizon to stop at."""

    def metric(x):
        o, one, r2 = jnp.zeros_like(x[0]), jnp.ones_like(x[0]), x[1] ** 2
        rows = [[-f(x[1]), one, o, o], [one, o, o, o], [o, o, r2, o], [o, o, o, r2 * jnp.sin(x[2]) ** 2]]
        return jnp.stack([jnp.stack(row) for row in rows])

    return metric


def test_null_coordinates():
    at = jax.jit(lambda x: everything(ingoing(lambda r: 1 - 2 / r), x))(jnp.array([0.0, 2.0, 1.0, 0.0]))  # the horizon
    np.testing.assert_allclose(at["ricci"], 0, atol=1e-15)
    assert float(at["kretschmann"]) == pytest.approx(48 / 2**6, rel=1e-14)
    assert signature(at["metric"]) == (1, 3)
    twice = jax.jit(lambda x: ricci_scalar(lambda y: jnp.exp(y[0] * y[1]) * jnp.asarray([[0.0, -0.5], [-0.5, 0.0]]), x))
    x = jnp.array([0.4, -0.7])  # -e^{uv} du dv: R = -e^{-uv} · (-8 ∂_u∂_v ½uv) = 4 e^{-uv}
    assert float(twice(x)) == pytest.approx(4 * np.exp(0.28), rel=1e-14)


# Differential identities


@given(seed=seeds)
@settings(max_examples=6)
def test_bianchi_identities(seed):
    """∇_[e R_ab]cd = 0 and ∇^a G_ab = 0: third derivatives of a random metric."""
    p, x, _ = drawn(4, seed, stretch=0.2)
    slope, divergence, again = of_bianchi()(p, x)
    size = 1 + np.abs(slope).max()
    cyclic = slope + slope.transpose(1, 2, 0, 3, 4) + slope.transpose(2, 0, 1, 3, 4)
    np.testing.assert_allclose(cyclic, 0, atol=1e2 * EPS * size)
    np.testing.assert_allclose(divergence, 0, atol=1e3 * EPS * size)  # raised and summed twice
    np.testing.assert_allclose(again, 0, atol=1e3 * EPS * size)


@cache
def of_bianchi():
    def run(p, x):
        metric = partial(wavy, p)
        slope = covariant_derivative(metric, partial(riemann, metric), x, "____")
        einstein = covariant_derivative(metric, partial(einstein_tensor, metric), x, "__")
        up = inverse_and_determinant(metric(x))[0]
        constant = partial(einstein_tensor, metric, cosmological_constant=0.7)
        again = covariant_divergence(metric, constant, x, "__")
        return slope, jnp.einsum("ca,cab->b", up, einstein), again

    return in_numpy(jax.jit(run))


def twist(y):
    """A mixed tensor T^a_b without symmetry."""
    return jnp.sin(y[:, None] + 2 * jnp.cos(y)[None, :]) + y[:, None] * y[None, ::-1]


def stream(y):
    """A vector v^a."""
    return jnp.cos(y[::-1]) + y * y


@cache
def of_fields():
    def run(p, x):
        metric = partial(wavy, p)
        g, up = metric(x), inverse_and_determinant(metric(x))[0]

        def once(y):
            return covariant_derivative(metric, twist, y, "^_")

        def root(y):
            return jnp.sqrt(jnp.abs(inverse_and_determinant(metric(y))[1]))

        def flux(y):
            return root(y) * stream(y)

        def skew(y):
            return twist(y) - twist(y).T

        def weighted(y):
            return root(y) * skew(y)

        def height(y):
            return jnp.sin(y[0] * y[1]) + y[2] ** 3

        def rise(y):
            return root(y) * inverse_and_determinant(metric(y))[0] @ jax.grad(height)(y)

        dv, dT = covariant_derivative(metric, stream, x, "^"), once(x)
        v, T = stream(x), twist(x)
        return {
            "curvature": raise_index(g, riemann(metric, x), 0),
            "twice": covariant_derivative(metric, once, x, "_^_"),
            "T": T,
            "compatible": covariant_derivative(metric, metric, x, "__"),
            "lowered": lower_index(g, dT, 1) - covariant_derivative(metric, lambda y: metric(y) @ twist(y), x, "__"),
            "trace": jnp.trace(dT, axis1=1, axis2=2) - jax.grad(lambda y: jnp.trace(twist(y)))(x),
            "divergence": covariant_divergence(metric, stream, x) - jnp.trace(jax.jacfwd(flux)(x)) / root(x),
            "maxwell": covariant_divergence(metric, skew, x, "^^")
            - jnp.trace(jax.jacfwd(weighted)(x), axis1=0, axis2=2) / root(x),
            "laplace": laplace_beltrami(metric, height, x) - jnp.trace(jax.jacfwd(rise)(x)) / root(x),
            "lie": lie_derivative(stream, twist, x, "^_")
            - (jnp.einsum("c,cab->ab", v, dT) - jnp.einsum("ca,cb->ab", dv, T) + jnp.einsum("bc,ac->ab", dv, T)),
            "killing": killing_residual(metric, stream, x) - (dv @ g + (dv @ g).T),
            "bracket": lie_derivative(stream, lambda y: twist(y)[0], x, "^")
            + lie_derivative(lambda y: twist(y)[0], stream, x, "^"),
            "moved": raise_index(g, lower_index(g, T, -1), -1) - T,
            "inverse": lower_index(g, up, 0) - jnp.eye(3),
        }

    return in_numpy(jax.jit(run))


@given(seed=seeds)
@few
def test_covariant_derivatives_of_random_fields(seed):
    """Zeros by compatibility, Leibniz' rule, Gauss' law, Cartan's formulas; and the commutator makes the curvature."""
    p, x, _ = drawn(3, seed, stretch=0.2)
    at = of_fields()(p, x)
    R, T, twice = at.pop("curvature"), at.pop("T"), at.pop("twice")
    size = 1 + np.abs(T).max() + np.abs(twice).max()
    commutator = twice - twice.transpose(1, 0, 2, 3)
    expected = np.einsum("ceab,ed->abcd", R, T) - np.einsum("edab,ce->abcd", R, T)
    np.testing.assert_allclose(commutator, expected, atol=1e3 * EPS * size)  # condition ten
    assert np.abs(expected).max() > 1e-4
    for name, zero in at.items():
        np.testing.assert_allclose(zero, 0, atol=1e3 * EPS * size, err_msg=name)


def test_motions_and_waves():
    x = jnp.array([0.3, 4.0, 1.1, 0.4])
    boost = jax.jit(lambda x: killing_residual(minkowski(4), lambda y: jnp.stack([y[2], 0 * y[0], y[0], 0 * y[0]]), x))
    np.testing.assert_array_equal(boost(x), 0)
    spin = jax.jit(lambda v, x: killing_residual(kerr(1.0, 0.7), lambda y: v + 0 * y, x))
    np.testing.assert_array_equal(spin(jnp.array([0.6, 0, 0, -1.3]), x), 0)
    assert np.abs(spin(jnp.array([0.0, 0.0, 1.0, 0.0]), x)).max() > 1  # θ is no symmetry

    def turn(y):
        return jnp.stack([-jnp.sin(y[1]), -jnp.cos(y[0]) / jnp.sin(y[0]) * jnp.cos(y[1])])

    ball = sphere(2, 1.5)
    turned, shifted, waves = jax.jit(
        lambda y: (
            killing_residual(ball, turn, y),
            killing_residual(ball, lambda z: jnp.stack([jnp.cos(z[0]), 0 * z[0]]), y),
            [laplace_beltrami(ball, f, y) / f(y) for f in HARMONICS],
        )
    )(x[2:])
    np.testing.assert_allclose(turned, 0, atol=1e-15)
    assert np.abs(shifted).max() > 0.1
    np.testing.assert_allclose(np.array(waves) * 1.5**2, [-2, -6, -12, -12], rtol=1e-12)
    ray = jax.jit(lambda x: laplace_beltrami(minkowski(3), lambda y: jnp.sin(3 * (y[0] - 0.6 * y[1] - 0.8 * y[2])), x))
    assert abs(float(ray(x[:3]))) < 1e-14  # a null wave


HARMONICS = [
    lambda y: jnp.sin(y[0]) * jnp.cos(y[1]),
    lambda y: 3 * jnp.cos(y[0]) ** 2 - 1,
    lambda y: 5 * jnp.cos(y[0]) ** 3 - 3 * jnp.cos(y[0]),
    lambda y: jnp.sin(y[0]) ** 3 * jnp.sin(3 * y[1]),
]
"""Of degree 1, 2, 3, 3: eigenvalues -l(l + 1)/R² of the Laplacian on a sphere."""


# Transformations, precision and refusals


def test_gradients_in_the_mass_of_a_batch():
    r = jnp.array([1.5, 3.0, 7.0])
    x = jnp.stack([0 * r, r, 0 * r + 1.0, 0 * r], axis=1)
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(lambda m, x: kretschmann(schwarzschild(m), x)), (None, 0)))(
        1.2, x
    )
    np.testing.assert_allclose(value, 48 * 1.2**2 / r**6, rtol=1e-12)
    np.testing.assert_allclose(slope, 96 * 1.2 / r**6, rtol=1e-11)


def test_single_precision_stays_single():
    x = jnp.array([0.0, 5.0, 1.0, 0.0], jnp.float32)
    at = jax.jit(lambda m, x: {"kretschmann": kretschmann(kerr(m, 0.7), x), "ricci": ricci(kerr(m, 0.7), x)})(
        jnp.float32(1.0), x
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(at)} == {jnp.dtype("float32")}
    exact = rotating(1.0, 0.7, 0.0, np.asarray(x, float))
    assert float(at["kretschmann"]) == pytest.approx(exact, rel=1e-4)  # 1e-7 times terms that cancel
    others = [minkowski(4), reissner_nordstrom(1.0, 0.3), de_sitter(4, 2.0), anti_de_sitter(4, 2.0), sphere(4, 2.0)]
    others += [
        schwarzschild_de_sitter(1, 0.01),
        kerr_schild(1.0, 0.5),
        flrw(lambda _: 2.0, 0),
        kottler(lambda r: 1 - 1 / r),
    ]
    assert {metric(x + 0.2).dtype for metric in others} == {jnp.dtype("float32")}


def test_no_new_program_for_new_numbers():
    count = []

    @jax.jit
    def run(mass, x):
        count.append(1)
        return ricci(schwarzschild(mass), x)

    for mass in (0.5, 0.7):
        run(mass, jnp.array([0.0, 3.0 + mass, 1.0, 0.0]))
    assert len(count) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
@given(seed=seeds)
@few
def test_inverse_of_any_signature_and_units(n, seed):
    """Coordinates in other units change the error of no component: minors add what has the same units."""
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(n, n))
    g = g + g.T + np.diag(rng.choice([-1, 1], n) * 4.0 * n)
    if n > 1 and rng.random() < 0.5:
        g[0, 0] = 0.0
    eigenvalues = np.linalg.eigvalsh(g)
    units = 10.0 ** rng.integers(-6, 7, n) if n <= 4 else np.ones(n)
    inverse, determinant = of_inverse(n)(jnp.asarray(g * np.outer(units, units)))
    condition = np.abs(eigenvalues).max() / np.abs(eigenvalues).min()
    np.testing.assert_allclose(inverse * np.outer(units, units), np.linalg.inv(g), atol=64 * EPS * condition)
    assert determinant / np.prod(units**2) == pytest.approx(np.prod(eigenvalues), rel=64 * EPS * condition)
    np.testing.assert_array_equal(inverse, inverse.T)
    assert signature(g * np.outer(units, units)) == ((eigenvalues < 0).sum(), (eigenvalues > 0).sum())


@cache
def of_inverse(n):
    return in_numpy(jax.jit(inverse_and_determinant))


@pytest.mark.parametrize(("n", "factor", "determinant"), [(4, 1e-11, 0), (3, 1e-14, 0), (4, 1e11, np.inf)])
def test_units_in_which_a_determinant_leaves_the_range(n, factor, determinant):
    """In float32 det g is 1e-44 and beyond, its minors are not far behind: the curvature does not notice."""
    x, factor = np.linspace(0.8, 1.2, n, dtype=np.float32), np.float32(factor)
    at = jax.jit(lambda x: geometry(lambda y: sphere(n, 1.0)(y) * factor, x))(x)
    assert float(at.determinant) == determinant
    np.testing.assert_array_equal(at.inverse, np.asarray(at.inverse).T)
    assert float(at.scalar) * factor == pytest.approx(n * (n - 1), rel=1e-5)  # 100 roundings


def test_inside_transformations_trouble_is_nan():
    x = jnp.array([0.0, 2.0, 1.0, 0.0])
    assert not np.isfinite(jax.jit(partial(kretschmann, schwarzschild(1.0)))(x))
    lopsided = jax.jit(lambda x: geometry(lambda y: jnp.array([[1.0, 0.1], [0.0, 1.0]]) + 0 * y[0], x))(x[:2])
    assert np.isnan(lopsided.riemann).all()
    assert np.isnan(jax.jit(jax.vmap(lambda m: schwarzschild(m)(x)[0, 0]))(jnp.array([np.nan]))).all()


HERE = np.array([0.0, 3.0, 1.0, 0.0])
REFUSED = {
    "no function": (lambda: geometry(np.eye(4), HERE), TypeError, "`metric` must be a function"),
    "shape of the metric": (lambda: geometry(lambda _: jnp.eye(3), HERE), ValueError, "`metric` must return shape"),
    "two arrays": (lambda: geometry(lambda y: (y, y), HERE), ValueError, "`metric` must return one array"),
    "complex metric": (
        lambda: geometry(lambda _: jnp.eye(4, dtype=complex), HERE),
        TypeError,
        "`metric` must return real",
    ),
    "asymmetric": (
        lambda: geometry(lambda y: jnp.ones((4, 4)) + y[None], HERE),
        ValueError,
        "`metric` must be symmetric",
    ),
    "degenerate": (lambda: ricci(lambda _: jnp.ones((4, 4)), HERE), ValueError, "`metric` .* invertible"),
    "no coordinates": (lambda: ricci(minkowski(1), []), ValueError, "`point` must have a coordinate"),
    "a batch of points": (lambda: ricci(kerr(1.0, 0.0), np.ones((2, 4))), ValueError, "`point` must have 1 dim"),
    "point not finite": (lambda: ricci(kerr(1.0, 0.0), HERE * np.nan), ValueError, "`point` must be finite"),
    "complex point": (lambda: ricci(kerr(1.0, 0.0), HERE * 1j), TypeError, "`point` must be real"),
    "coordinates": (lambda: riemann(kerr(1.0, 0.0), HERE[:3]), ValueError, "`point` must have 4 coordinates"),
    "horizon": (
        lambda: weyl(schwarzschild(1.5), HERE),
        ValueError,
        r"`metric` .* finite.* at \[0. 3. 1. 0.\]: a hor",
    ),
    "horizon of kerr": (
        lambda: ricci(kerr(1.0, 0.6), [0, 1.8, 1, 0]),
        ValueError,
        "`metric` .* invertible.*horizon",
    ),
    "axis": (lambda: ricci(kerr(1.0, 0.6), [0, 3.0, np.pi, 0]), ValueError, "`metric` .* invertible.*an axis"),
    "centre": (lambda: ricci(schwarzschild(1.0), [0, 0.0, 1, 0]), ValueError, "`metric` .* finite.*a singularity"),
    "disc": (
        lambda: ricci(kerr_schild(1.0, 0.6), [0, 0.3, 0, 0]),
        ValueError,
        "`metric` .* finite.*a singularity",
    ),
    "boundary": (lambda: ricci(anti_de_sitter(2, 1.0), [0, 0.0]), ValueError, "`metric` .* finite"),
    "mass": (lambda: schwarzschild(np.inf), ValueError, "`mass` must be finite"),
    "masses": (lambda: schwarzschild([1.0, 2.0]), ValueError, "`mass` must have 0 dimensions"),
    "complex spin": (lambda: kerr(1.0, 1j), TypeError, "`spin` must be real"),
    "charge": (lambda: reissner_nordstrom(1.0, "e"), TypeError, "`charge` must be real"),
    "constant": (lambda: schwarzschild_de_sitter(1.0, np.nan), ValueError, "`cosmological_constant` must be finite"),
    "no radius": (lambda: de_sitter(4, 0.0), ValueError, "`radius` must be positive"),
    "half a dimension": (lambda: sphere(2.0, 1.0), TypeError, "`dimension` must be an integer"),
    "one dimension": (lambda: anti_de_sitter(1, 1.0), ValueError, "`dimension` must be at least 2"),
    "no scale factor": (lambda: flrw(1.0, 0.0), TypeError, "`scale_factor` must be a function"),
    "vector of factors": (lambda: ricci(flrw(lambda t: [t], 0), HERE + 0.5), ValueError, "`scale_factor` must have 0"),
    "no f": (lambda: kottler(1.0), TypeError, "`f` must be a function"),
    "weyl in a plane": (
        lambda: jax.eval_shape(partial(weyl, sphere(2, 1.0)), HERE[1:3]),
        ValueError,
        "three or more dimensions",
    ),
    "signs": (lambda: covariant_derivative(minkowski(4), stream, HERE, "u"), ValueError, "`indices` must have"),
    "no signs": (lambda: covariant_derivative(minkowski(4), stream, HERE, 1), TypeError, "`indices` must be text"),
    "rank": (lambda: covariant_derivative(minkowski(4), stream, HERE, "^_"), ValueError, "`field` must return shape"),
    "no field": (lambda: lie_derivative(stream, 1.0, HERE, ""), TypeError, "`field` must be a function"),
    "no flow": (lambda: killing_residual(minkowski(4), HERE, HERE), TypeError, "`vector_field` must be a function"),
    "no index": (lambda: covariant_divergence(minkowski(4), lambda y: y[0], HERE, ""), ValueError, "an index to sum"),
    "wave": (
        lambda: laplace_beltrami(minkowski(4), lambda y: jax.lax.complex(y[0], y[0]), HERE),
        TypeError,
        "`scalar_field` .* real",
    ),
    "nan field": (
        lambda: covariant_divergence(minkowski(4), lambda y: y / 0, HERE),
        ValueError,
        "`field` must be finite",
    ),
    "axis to raise": (lambda: raise_index(np.eye(3), np.ones((3, 2)), 1), ValueError, "`tensor` must have an axis 1"),
    "null to lower": (lambda: lower_index(np.zeros((2, 2)), np.ones(2)), ValueError, "`g` .* invertible"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


def test_counts_need_values():
    with pytest.raises(TypeError, match="`g` must be known"):
        jax.jit(lambda g: jnp.asarray(signature(g)))(jnp.eye(2))
