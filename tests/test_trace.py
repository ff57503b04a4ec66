"""Tr φ(BᵀB) and its first two derivatives, against twins that know no eigenvalues: determinants, powers, resolvents."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, central_difference, draw_inputs, graph, network, unreduced

import nnthermo as nt
from nnthermo.linalg import bidiagonal
from nnthermo.linalg.divided_difference import divided_difference
from nnthermo.linalg.layered_trace import layered_trace_function
from nnthermo.linalg.trace import trace_function

QUOTIENT = EPS ** (6 / 7)
"""What rounding leaves of a divided difference at the distance where quadrature takes over, 4e-14."""


def log_det(x, beta, _power):
    return jnp.log1p(beta * x)


def polynomial(x, beta, power):
    return beta**2 * x**3 - power * x


def cubed_log(x, beta, _power):
    return beta * jnp.log(x) ** 3


def fractional(x, beta, power):
    return beta * x**power


def contour(phi, radius=3.0, points=240):
    """Tr φ(G) = (1/2πi) ∮ φ(z) Tr (z - G)⁻¹ dz for log z on a circle, inside which φ(e^w) is analytic.

    The trapezoidal rule errs by (largest |log λ| / radius)^points.
    """
    turn = np.exp(2j * np.pi * (np.arange(points) + 0.5) / points)
    z = np.exp(radius * turn)

    def trace(B, *parameters):
        G = (B.T @ B).astype(complex)
        resolvents = jnp.linalg.inv(jnp.asarray(z[:, None, None] * np.eye(B.shape[1])) - G[None])
        values = jax.vmap(lambda x: phi(x, *(p.astype(complex) for p in parameters)))(jnp.asarray(z))
        return jnp.sum(values * jnp.asarray(z * radius * turn) * jnp.trace(resolvents, axis1=1, axis2=2)).real / points

    return trace


def by_slogdet(B, beta, _power):
    return jnp.linalg.slogdet(jnp.eye(B.shape[1]) + beta * B.T @ B)[1]


def by_powers(B, beta, power):
    G = B.T @ B
    return beta**2 * jnp.trace(G @ G @ G) - power * jnp.trace(G)


TWINS = {log_det: by_slogdet, polynomial: by_powers, cubed_log: contour(cubed_log), fractional: contour(fractional)}


def dense(phi):
    return lambda B, *parameters: trace_function(phi, B, *parameters)


DENSE = {phi: dense(phi) for phi in TWINS}


def both_orders(function, at, along):
    """Value, gradient, and the second derivatives along a direction, forward over reverse and reverse over forward."""

    def slope(arguments):
        return jax.jvp(function, (arguments,), (along,))[1]

    value, gradient = jax.value_and_grad(function)(at)
    return value, gradient, jax.jvp(jax.grad(function), (at,), (along,))[1], jax.grad(slope)(at)


@partial(jax.jit, static_argnums=(0, 1))
def compare(trace, twin, at, along):
    """Derivatives of both as functions of (matrix, parameters), and the singular values."""
    return tuple(both_orders(lambda a, f=f: f(a[0], *a[1]), at, along) for f in (trace, twin))


def assert_same(pair, tolerance):
    """Each leaf within the tolerance times its largest number, or 1."""
    for ours, wanted in zip(*pair, strict=True):
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, atol=tolerance * max(1, np.abs(b).max()), rtol=0)


def polar(a):
    left, _, right = np.linalg.svd(a, full_matrices=False)
    return left @ right


MATRICES = {
    "generic": lambda a: a,
    "orthogonal": polar,
    "two equal": lambda a: with_values(a, lambda s: np.r_[2.0, 0.7, 0.7, s[3:]]),
    "nearly equal": lambda a: with_values(a, lambda s: np.r_[2.0, 0.7, 0.7 * (1 + 1e-10), s[3:]]),
    "across the switch": lambda a: with_values(a, lambda s: np.r_[1.0, 1.0029, 1.0059, s[3:]]),
    "zero": np.zeros_like,
    "rank two": lambda a: with_values(a, lambda s: np.r_[s[:2], 0 * s[2:]]),
}


def with_values(a, change):
    left, sigma, right = np.linalg.svd(a, full_matrices=False)
    return (left * change(sigma)) @ right


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("shape", [(5, 5), (7, 4)])
@pytest.mark.parametrize("phi", [log_det, polynomial])
def test_one_matrix(phi, shape, kind):
    rng = np.random.default_rng(1)
    B = jnp.asarray(MATRICES[kind](rng.normal(size=shape)))
    at = (B, (jnp.asarray(1.7), jnp.asarray(0.4)))
    along = (jnp.asarray(rng.normal(size=shape)), (jnp.asarray(0.6), jnp.asarray(-1.1)))
    # φ'(λ), λφ''(λ) are of order 1 for the log det and λ³ for the polynomial, whose derivatives are that large
    assert_same(compare(DENSE[phi], TWINS[phi], at, along), 10 * QUOTIENT)


def blocks_of(seed, sizes, scale=1.0, kind="generic"):
    rng = np.random.default_rng(seed)
    out = []
    for k, (a, b) in enumerate(itertools.pairwise(sizes)):
        w = scale * rng.normal(size=(b, a)) / np.sqrt(a)
        if kind == "zero" or (kind == "one zero" and k == 0):
            w *= 0
        if kind == "nearly zero":
            w *= 1e-9
        if kind == "rank one":
            w = np.outer(w[:, 0], w[0])
        if kind == "orthogonal":
            w = polar(w)
        if kind == "identical":
            w = 0.7 * np.eye(b, a)
        out.append(jnp.asarray(w))
    return tuple(out)


def layered(phi):
    return lambda blocks, *parameters: layered_trace_function(phi, blocks, *parameters)


def on_blocks(twin):
    return lambda blocks, *parameters: twin(bidiagonal.to_dense(blocks), *parameters)


LAYERED = {phi: (layered(phi), on_blocks(twin)) for phi, twin in TWINS.items()}
SHAPES = [(6, 2, 3), (2, 5, 2), (9, 2, 2, 7), (1, 7, 1, 6, 1), (3, 3)]  # layers reduced: first, inner, both ends, ...
KINDS = ["generic", "zero", "one zero", "nearly zero", "rank one", "orthogonal", "identical"]


def compare_layered(phi, sizes, seed, scale, kind, beta):
    at = (blocks_of(seed, sizes, scale, kind), (jnp.asarray(beta), jnp.asarray(0.4)))
    # every direction leaves the span of the coupled part, and couples what was left out
    along = (blocks_of(seed + 1, sizes, 2.0), (jnp.asarray(0.6), jnp.asarray(-1.1)))
    sigma = np.linalg.svd(unreduced(at[0]), compute_uv=False)
    return compare(*LAYERED[phi], at, along), sigma


@pytest.mark.parametrize("sizes", SHAPES)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(KINDS),
    scale=st.sampled_from([0.3, 1.0, 4.0]),
    log_beta=st.floats(-2, 2),
)
def test_layers(sizes, seed, kind, scale, log_beta):
    beta = 10.0**log_beta
    pair, sigma = compare_layered(log_det, sizes, seed, scale, kind, beta)
    # numbers of order β, β² for the derivatives in B; the twin solves with 1 + βG, of condition 1 + βσ²
    assert_same(pair, 10 * QUOTIENT * (1 + beta * sigma[0] ** 2) * max(1, 1 / beta))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("phi", "sizes"), [(polynomial, (9, 2, 2, 7)), (cubed_log, (6, 2, 3)), (fractional, (2, 5, 2))]
)
def test_other_functions_of_layers(phi, sizes, kind):
    pair, sigma = compare_layered(phi, sizes, 3, 0.5, kind, 1.7)
    assert abs(np.log(sigma**2)).max() < 2.6  # the contour has (2.6/3)^240 = 1e-15
    # resolvents at a distance of 0.06 from the spectrum, to the third power in the second derivatives
    assert_same(pair, (10 if phi is polynomial else 3000) * QUOTIENT)


def test_reverse_over_reverse_and_full_second_derivatives():
    ours, twin = LAYERED[log_det]
    at = (blocks_of(5, (4, 1, 2)), (jnp.asarray(1.7), jnp.asarray(0.4)))
    wanted = jax.jit(jax.hessian(lambda a: twin(a[0], *a[1])))(at)
    for mode in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f))):
        found = jax.jit(mode(lambda a: ours(a[0], *a[1])))(at)
        assert_same(((found,), (wanted,)), 10 * QUOTIENT)


def test_second_derivatives_are_those_of_the_gradient():
    """Central differences of the gradient of μ₃ at zero weights, where every eigenvalue is 1, and elsewhere."""
    sizes = (5, 2, 2)
    gradient = jax.jit(jax.grad(lambda blocks: layered_trace_function(lambda x: jnp.log(x) ** 3, blocks)))
    along = blocks_of(8, sizes)
    for at in (blocks_of(7, sizes, kind="zero"), blocks_of(7, sizes)):
        found = jax.jvp(gradient, (at,), (along,))[1]
        for k, change in enumerate(found):
            wanted = central_difference(
                lambda h, at=at, k=k: gradient(tuple(a + h * d for a, d in zip(at, along, strict=True)))[k]
            )
            np.testing.assert_allclose(change, wanted, atol=1e-8)  # h² = 1e-10 and ε/h = 2e-11 of order 10 to 100


def test_sum_of_logarithms_is_flat():
    """Σ log λ = 0 for all layers (7.8), and for two layers μ₃ = 0: so are all derivatives."""
    for phi, sizes in ((jnp.log, (9, 2, 2, 7)), (lambda x: jnp.log(x) ** 3, (9, 4))):
        at, along = blocks_of(9, sizes), blocks_of(10, sizes)
        found = jax.jit(partial(both_orders, partial(layered_trace_function, phi)))(at, along)
        for leaf in jax.tree.leaves(found):
            np.testing.assert_allclose(leaf, 0, atol=1e-11)  # QUOTIENT × cond² of 100


def test_wide_layers_against_the_elimination():
    """784-40-20-10: the log det by elimination shares no step with singular values."""
    sizes = (784, 40, 20, 10)
    at, along = blocks_of(11, sizes), blocks_of(12, sizes)
    slopes = tuple(jnp.ones(n) for n in sizes[1:])
    found = jax.jit(partial(both_orders, lambda blocks: layered_trace_function(log_det, blocks, 2.5, 0.0)))
    wanted = jax.jit(partial(both_orders, lambda blocks: nt.LayeredHessian(blocks, slopes).log_det(2.5)))
    assert_same((found(at, along), wanted(at, along)), 100 * QUOTIENT)


def test_small_singular_values_keep_their_digits():
    """∇ log det G = 2B⁻ᵀ and its change -2B⁻ᵀ dBᵀ B⁻ᵀ: an error of ε cond(B), where BᵀB has lost ε cond(B)²."""
    rng = np.random.default_rng(13)
    left, right = polar(rng.normal(size=(6, 6))), polar(rng.normal(size=(6, 6)))
    sigma = np.geomspace(1e-6, 1, 6)
    B, inverse = jnp.asarray((left * sigma) @ right), (left / sigma) @ right
    dot = rng.normal(size=(6, 6))
    gradient, change = jax.jvp(jax.grad(lambda b: trace_function(jnp.log, b)), (B,), (jnp.asarray(dot),))
    np.testing.assert_allclose(gradient, 2 * inverse, atol=20 * EPS * 1e6 * np.abs(inverse).max())
    wanted = -2 * inverse @ dot.T @ inverse
    np.testing.assert_allclose(change, wanted, atol=40 * EPS * 1e6 * np.abs(wanted).max())


def tall_tanh(x, width):
    return jnp.tanh((x - 1) / width)


QUOTIENTS = {
    "inverse": (lambda x, _w: 1 / x, lambda a, b, _w: -1 / (a * b)),
    "cube": (lambda x, _w: x**3, lambda a, b, _w: a * a + a * b + b * b),
    "root": (lambda x, _w: jnp.sqrt(x), lambda a, b, _w: 1 / (np.sqrt(a) + np.sqrt(b))),
    "logarithm": (lambda x, _w: jnp.log(x), lambda a, b, _w: np.log1p((a - b) / b) / (a - b)),
    "step": (
        tall_tanh,  # sinh(x - y) = (tanh x - tanh y) cosh x cosh y
        lambda a, b, w: np.sinh((a - b) / w) / (a - b) / np.cosh((a - 1) / w) / np.cosh((b - 1) / w),
    ),
}


@pytest.mark.parametrize("name", QUOTIENTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_divided_differences_at_any_distance(name, dtype):
    function, exact = QUOTIENTS[name]
    b = np.array([0.8, 1.0, 1.1])[:, None].astype(dtype)
    a = (b * (1 + np.geomspace(1e-16, 1, 200)[None, :])).astype(dtype)
    a, b = (v.ravel() for v in np.broadcast_arrays(a, b))
    width = dtype(0.2)
    found = divided_difference(function, jnp.asarray(a), jnp.asarray(b), (jnp.asarray(width),))
    assert found.dtype == dtype
    a, b = a.astype(float), b.astype(float)
    wanted = exact(np.where(a == b, b * (1 + 1e-9), a), b, width)  # a derivative of order 1, off by less than 1e-7
    # |f/a| of two values; and what quadrature leaves of the step, 2 × that of |f'| = 5
    rounding = 10 * float(np.finfo(dtype).eps) ** (6 / 7) * np.maximum(1, a**2)
    np.testing.assert_array_less(np.abs(np.asarray(found, float) - wanted), rounding + np.where(a == b, 1e-7, 0))


def test_divided_difference_at_zero():
    zero = jnp.zeros(1)
    np.testing.assert_array_equal(divided_difference(lambda x: jnp.log1p(3 * x), zero, zero, ()), 3)


def test_parameters_have_derivatives_of_any_order():
    """∂/∂β, twice, of value, slope and second derivative along a line, whichever is taken first; ∂³/∂β³."""
    rng = np.random.default_rng(14)
    B, D = (jnp.asarray(rng.normal(size=(3, 3))) for _ in range(2))
    orders = [(1, 1, 1), (0, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), (0, 0, 1, 1), (1, 1, 0, 0)]

    @partial(jax.jit, static_argnums=0)
    def derivatives(trace, beta):
        values = []
        for order in orders:
            f = lambda t, beta: trace(B + t * D, beta, 0.0)  # noqa: E731
            for argument in order:
                f = jax.grad(f, argument)
            values.append(f(0.0, beta))
        return jnp.stack(values)

    wanted = derivatives(by_slogdet, 1.3)
    np.testing.assert_allclose(derivatives(DENSE[log_det], 1.3), wanted, atol=QUOTIENT * max(1, abs(wanted).max()))


@pytest.mark.parametrize("third", [jax.grad, jax.jacfwd, lambda f: jax.jit(jax.grad(f))])
def test_third_derivatives_are_refused(third):
    """Those of the decomposition would be finite and wrong at equal values."""
    B = jnp.eye(3)
    second = jax.grad(jax.grad(lambda t: trace_function(jnp.log, B + t * jnp.eye(3))))
    assert second(0.0) == pytest.approx(-6)
    with pytest.raises(NotImplementedError, match="no third"):
        third(second)(0.0)


# --- Hessians


def cube(x):
    return jnp.log(x) ** 3


@pytest.mark.parametrize("sizes", [(6, 2, 3), (3, 4, 2)])
def test_spectral_trace_counts_every_eigenvalue(sizes):
    net = network(15, sizes)
    G = nt.bulk_hessian(net, net.propagate(draw_inputs(15, sizes[0])))
    spectrum = nt.log_eigenvalues(G)
    log_values = np.r_[np.asarray(spectrum.values), np.zeros(spectrum.unit_count)]
    rounding = 100 * EPS * np.exp(np.abs(log_values).max())
    np.testing.assert_allclose(nt.spectral_trace(G, cube), (log_values**3).sum(), atol=rounding)
    np.testing.assert_allclose(nt.spectral_trace(G, jnp.cosh), np.cosh(np.exp(log_values)).sum(), rtol=rounding)
    assert nt.spectral_trace(G, lambda x: 0 * x + 1) == sum(sizes)  # φ(λ) = 1 counts neurons


def test_layered_equals_dense_twin_in_weights_and_inputs():
    """Through slopes and states, to second order; the dense twin decomposes all 10 neurons."""
    sizes = (6, 1, 3)
    net, inputs = network(16, sizes), draw_inputs(16, 6)
    twin, along = net.to_septuple(), draw_inputs(17, 6)

    def trace(of, inputs):
        return nt.spectral_trace(nt.bulk_hessian(of, of.propagate(inputs)), cube)

    layers = jax.jit(partial(both_orders, partial(trace, net)))(inputs, along)
    dense = jax.jit(partial(both_orders, partial(trace, twin)))(inputs, along)
    assert np.abs(layers[2]).max() > 1e-3
    assert_same((layers, dense), 100 * QUOTIENT)


def test_a_general_graph_and_a_part_of_it():
    net = graph(18, 5, cyclic=True, scale=0.8)
    G = nt.bulk_hessian(net, net.propagate(draw_inputs(18, 2), steps=200))
    eigenvalues = np.linalg.eigvalsh(G.to_dense())
    np.testing.assert_allclose(nt.spectral_trace(G, cube), (np.log(eigenvalues) ** 3).sum(), atol=1e-12)
    part = nt.restrict(G, np.array([False, True, True, True, False]))
    eigenvalues = np.linalg.eigvalsh(part.to_dense())
    np.testing.assert_allclose(nt.spectral_trace(part, cube), (np.log(eigenvalues) ** 3).sum(), atol=1e-12)


def test_vmap_equals_a_loop():
    sizes = (6, 2, 3)
    net = network(19, sizes)
    inputs = jnp.stack([draw_inputs(seed, 6) for seed in range(3)])

    def derivatives(inputs, beta):
        def trace(inputs, beta):
            return nt.spectral_trace(nt.bulk_hessian(net, net.propagate(inputs)), lambda x, b: jnp.log1p(b * x), beta)

        return both_orders(lambda a: trace(*a), (inputs, beta), (jnp.ones(6), jnp.ones(())))

    betas = jnp.array([0.3, 1.0, 7.0])
    together = jax.jit(jax.vmap(derivatives))(inputs, betas)
    alone = [jax.jit(derivatives)(u, b) for u, b in zip(inputs, betas, strict=True)]
    assert_same((together, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)), QUOTIENT)


def test_float32_stays_float32():
    sizes = (6, 2, 3)
    net, twin = network(20, sizes, dtype=np.float32), network(20, sizes)

    def derivatives(of, dtype):
        def trace(weights):
            slopes = tuple(jnp.full((n,), 0.8, dtype) for n in sizes[1:])
            return nt.spectral_trace(nt.LayeredHessian(weights, slopes), lambda x, b: b * jnp.log(x) ** 3, 2.0)

        return jax.jit(partial(both_orders, trace))(of.weights, tuple(jnp.ones(w.shape, dtype) for w in of.weights))

    found = derivatives(net, jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}
    assert_same((found, derivatives(twin, jnp.float64)), 20 * float(np.finfo(np.float32).eps) ** (6 / 7))


def test_bad_input():
    net = network(21, (3, 2))
    G = nt.bulk_hessian(net, net.propagate(jnp.ones(3)))
    with pytest.raises(TypeError, match="`G` must be a Hessian from `bulk_hessian`, but got FeedForward"):
        nt.spectral_trace(net, jnp.log)
    with pytest.raises(TypeError, match="`phi` must be a function, but got 3"):
        nt.spectral_trace(G, 3)
    with pytest.raises(ValueError, match=r"`phi` must return one number of dtype float64, but got .*\(2,\)"):
        nt.spectral_trace(G, lambda x: jnp.stack([x, x]))
    with pytest.raises(ValueError, match="`phi` must return one number of dtype float64, but got .*bool"):
        nt.spectral_trace(G, lambda x: x > 1)
    with pytest.raises(ValueError, match="`phi` must return one number of dtype float64, but got .*None"):
        nt.spectral_trace(G, lambda _: None)
    with pytest.raises(ValueError, match=r"`parameters` must have shape \(\), but got shape \(2,\)"):
        nt.spectral_trace(G, lambda x, b: b * x, jnp.ones(2))
    many = jax.vmap(lambda u: nt.bulk_hessian(net, net.propagate(u)))(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"`G` must be that of one state"):
        nt.spectral_trace(many, jnp.log)
    with pytest.raises(ValueError, match=r"`G` must be that of one state; .*, but got a matrix of shape \(2, 3, 3\)"):
        nt.spectral_trace(nt.DenseHessian(jnp.ones((2, 3, 3))), jnp.log)
    with pytest.raises(ValueError, match=r"`matrix` must have .* as many rows as columns, but got shape \(2, 3\)"):
        trace_function(jnp.log, jnp.ones((2, 3)))
