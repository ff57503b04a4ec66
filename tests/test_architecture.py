"""ΔF in the eigenvalues (8.10) by second derivatives, and the two-level model (9.3)."""

import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import draw_inputs, network

import nnthermo as nt

VALUES = np.array([2.0, 0.4, -0.9, -3.0])


def free_energy_of(lam, beta, m):
    """F of (5.14) as a function of the eigenvalues themselves, without its constant."""
    return 0.5 * jnp.sum(jnp.log(1 - beta * m + beta * lam)) / beta


@given(log_beta=st.floats(-3, 3), relative_m=st.floats(-1, 0.9), units=st.integers(0, 3))
def test_eigenvalue_laplacian_is_the_trace_of_second_derivatives(log_beta, relative_m, units):
    beta = 10.0**log_beta
    lam = jnp.concatenate([jnp.exp(jnp.asarray(VALUES)), jnp.ones(3)])[: 4 + units]
    m = relative_m * (np.exp(-3.0) + 1 / beta)
    wanted = sum(second(lam, k, beta, m) for k in range(4 + units))
    found = nt.eigenvalue_laplacian(nt.LogSpectrum(jnp.asarray(VALUES), units), beta, m=m)
    assert abs(found - wanted) < 1e-12 * abs(wanted)  # condition of 1 - βm + βλ, at most 1e1 here
    assert found < 0


@jax.jit
def second(lam, k, beta, m):
    """∂²F/∂λ_k²."""
    unit = jnp.arange(lam.size) == k
    return jax.grad(jax.grad(lambda h: free_energy_of(lam + jnp.where(unit, h, 0.0), beta, m)))(0.0)


@pytest.mark.parametrize("units", [0, 3])
def test_beyond_the_smallest_eigenvalue_is_refused_or_nan(units):
    """M = (1 - βm)I + βĜ has an eigenvalue 0 at m = λ_min + 1/β: the sum has a pole, and means nothing beyond."""
    values, beta = jnp.asarray(VALUES if units == 0 else VALUES[:2]), 1.7  # with units λ_min is one of them
    spectrum = nt.LogSpectrum(values, units)
    lowest = np.exp(-3.0) if units == 0 else 1.0
    traced = jax.jit(nt.eigenvalue_laplacian)
    for m in (lowest + 1 / beta + 1e-9, lowest + 2 / beta, 100.0):
        with pytest.raises(ValueError, match="`m` must keep .* positive definite, i.e. m < λ_min"):
            nt.eigenvalue_laplacian(spectrum, beta, m=m)
        assert np.isnan(traced(spectrum, beta, m=m))
    for m in (lowest + 1 / beta - 1e-9, -100.0):
        assert np.isfinite(nt.eigenvalue_laplacian(spectrum, beta, m=m))
        assert np.isfinite(traced(spectrum, beta, m=m))


def test_sign_depends_on_the_coordinates():
    """In log λ the same sum is +Σ s(1-s)/2β, with s = βλ/(1+βλ): positive."""
    beta = 1.7
    hessian = jax.hessian(lambda v: free_energy_of(jnp.exp(v), beta, 0.0))(jnp.asarray(VALUES))
    s = 1 / (1 + np.exp(-VALUES - np.log(beta)))
    assert abs(jnp.trace(hessian) - np.sum(s * (1 - s)) / (2 * beta)) < 1e-14
    assert nt.eigenvalue_laplacian(nt.LogSpectrum(jnp.asarray(VALUES)), beta) < 0 < jnp.trace(hessian)


@pytest.mark.parametrize("gamma", [0.25, 0.5])
@given(log_eigenvalue=st.floats(-6, 6), log_beta=st.floats(-2, 2))
def test_two_level_model_is_the_laplacian_of_its_spectrum(gamma, log_eigenvalue, log_beta):
    """γN eigenvalues λ and (1-γ)N at λ^{-γ/(1-γ)}: det Ĝ = 1, and (9.3) is -(8.10)."""
    n, beta = 8, 10.0**log_beta
    other = -log_eigenvalue * gamma / (1 - gamma)
    values = [log_eigenvalue] * int(n * gamma) + [other] * int(n * (1 - gamma))
    assert abs(sum(values)) < 1e-13 * (1 + abs(log_eigenvalue)) * n
    spectrum = nt.LogSpectrum(jnp.asarray(sorted(values, reverse=True)))
    wanted = -nt.eigenvalue_laplacian(spectrum, beta)
    found = nt.two_level_laplacian(jnp.asarray(log_eigenvalue), beta, gamma=gamma, size=n)
    assert abs(found - wanted) < 1e-13 * wanted


@given(gamma=st.floats(0.01, 0.95), beta=st.floats(0.01, 50))
def test_curvature_at_the_origin(gamma, beta):
    """Second derivative of γ(1+βλ)⁻² + ... at log λ = 0 is -2γβ(1+k)(1-2β)/(1+β)⁴, k = γ/(1-γ)."""
    k = gamma / (1 - gamma)
    wanted = -2 * gamma * beta * (1 + k) * (1 - 2 * beta) / (1 + beta) ** 4
    size = 2 * gamma * beta * (1 + k) * (1 + 2 * beta) / (1 + beta) ** 4
    assert abs(curvature(beta, gamma) - wanted) < 1e-13 * size
    # stationary: the slopes of the two levels cancel
    assert abs(slope(beta, gamma)) < 1e-14 * size


def reduced_curve(v, beta, gamma):
    """-ΔF of (9.3) over Nβ/2."""
    return nt.two_level_laplacian(v, beta, gamma=gamma, size=2) / beta


curvature = jax.jit(lambda beta, gamma: jax.grad(jax.grad(reduced_curve))(0.0, beta, gamma))
slope = jax.jit(lambda beta, gamma: jax.grad(reduced_curve)(0.0, beta, gamma))


@pytest.mark.parametrize("gamma", [1 / 854, 1 / 3, 0.6])
def test_plateau_and_origin(gamma):
    """λ → 0: the plateau γ; log λ = 0: (1+β)⁻²; equal at β = γ^{-1/2} - 1, 0.732 for the figure's γ = 1/3."""
    beta = gamma**-0.5 - 1
    plateau = reduced_curve(-200.0, beta, gamma)
    tail = (1 - gamma) * (1 + beta * np.exp(200 * gamma / (1 - gamma))) ** -2.0
    assert abs(plateau - gamma - tail) < 1e-14
    assert abs(reduced_curve(0.0, beta, gamma) - (1 + beta) ** -2) < 1e-15
    assert abs(reduced_curve(0.0, beta, gamma) - gamma) < 1e-14
    if gamma == 1 / 3:
        assert abs(beta - 0.732) < 1e-3


def test_shapes_and_dtypes():
    levels = jnp.linspace(-4, 1, 6, dtype=jnp.float32).reshape(2, 3)
    found = nt.two_level_laplacian(levels, 0.7, gamma=0.3, size=10)
    assert found.shape == (2, 3)
    assert found.dtype == jnp.float32
    spectrum = nt.LogSpectrum(jnp.asarray([1.0, -1.0], jnp.float32), 3)
    assert nt.eigenvalue_laplacian(spectrum, 0.7).dtype == jnp.float32
    assert nt.eigenvalue_laplacian(spectrum, np.float32(0.7), m=0.1).dtype == jnp.float32


def test_bad_arguments():
    spectrum = nt.LogSpectrum(jnp.asarray(VALUES))
    for beta in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`beta` must be positive, but got"):
            nt.eigenvalue_laplacian(spectrum, beta)
        with pytest.raises(ValueError, match="`beta` must be positive, but got"):
            nt.two_level_laplacian(jnp.asarray(-1.0), beta, gamma=0.3, size=3)
    with pytest.raises(ValueError, match=r"`gamma` must lie between 0 and 1, but got 0\.0"):
        nt.two_level_laplacian(jnp.asarray(-1.0), 1.0, gamma=0.0, size=3)
    with pytest.raises(ValueError, match=r"`gamma` must lie between 0 and 1, but got 1\.0"):
        nt.two_level_laplacian(jnp.asarray(-1.0), 1.0, gamma=1.0, size=3)


# ---------------------------------------------------------------- log λ, and the integral over β


@given(log_beta=st.floats(-3, 3), relative_m=st.floats(-1, 0.9), units=st.integers(0, 3))
def test_log_eigenvalue_laplacian_is_the_trace_of_second_derivatives(log_beta, relative_m, units):
    beta = 10.0**log_beta
    values = np.concatenate([VALUES, np.zeros(units)])
    m = relative_m * (np.exp(-3.0) + 1 / beta)
    wanted = float(log_trace(jnp.asarray(values), beta, m))
    found = float(nt.log_eigenvalue_laplacian(nt.LogSpectrum(jnp.asarray(VALUES), units), beta, m=m))
    # each term is a difference βλ/(c+βλ) - (βλ/(c+βλ))², of which the closed form has none; over 2β
    share = beta * np.exp(values) / (1 - beta * m + beta * np.exp(values))
    assert abs(found - wanted) < 1e-13 * np.sum(np.abs(share) + share**2) / beta
    if beta * m < 1:
        assert found > 0
    if m == 0:
        assert found <= (4 + units) / (8 * beta)


@jax.jit
def log_trace(values, beta, m):
    return jnp.trace(jax.hessian(lambda v: free_energy_of(jnp.exp(v), beta, m))(values))


def test_log_eigenvalue_laplacian_does_not_overflow_and_has_a_gradient_at_zero():
    for dtype, far in ((jnp.float32, 200.0), (jnp.float64, 2000.0)):
        spectrum = nt.LogSpectrum(jnp.asarray([far, 0.0, -far], dtype))
        found, slope = jax.value_and_grad(lambda s: nt.log_eigenvalue_laplacian(s, 1.7))(spectrum)
        wanted = 1 / (2 * 2.7**2)
        assert abs(found - wanted) < 1e-6 * wanted
        assert np.isfinite(slope.values).all()
        # d/dℓ of βλ/2β(1+βλ)² at ℓ = 0
        assert abs(slope.values[1] - (1 - 1.7) / (2 * 2.7**3)) < 1e-6
    beyond = nt.LogSpectrum(jnp.asarray(VALUES))
    with pytest.raises(ValueError, match="`m` must keep"):
        nt.log_eigenvalue_laplacian(beyond, 1.7, m=10.0)
    assert np.isnan(jax.jit(nt.log_eigenvalue_laplacian)(beyond, 1.7, m=10.0))


DEPTHS = [(3, 2), (2, 2, 3, 2), (2, 3) * 3, (3, 1, 2, 2, 1, 3, 2), (2,) * 8]
"""Two to eight layers; the first has one layer of weights, and six and more of one width share a `scan`."""


@jax.jit
def library_laplacians(net, x, beta, m):
    spectrum = nt.log_eigenvalues(nt.bulk_hessian(net, x))
    return (
        nt.eigenvalue_laplacian(spectrum, beta, m=m),
        nt.log_eigenvalue_laplacian(spectrum, beta, m=m),
        nt.weight_laplacian(net, x, beta, m=m),
    )


@jax.jit
def dense_laplacians(net, x, beta, m):
    """Traces of Hessians of log det((1-βm)I + βĜ)/2β: in λ and log λ with the eigenvectors held, and in the weights."""
    slopes, edges = net.slopes(x), np.concatenate([[0], np.cumsum(net.sizes)])

    def gram(weights):
        B = jnp.eye(edges[-1])
        for k, w in enumerate(weights):
            block = -slopes[k][:, None] * w
            B = B.at[edges[k + 1] : edges[k + 2], edges[k] : edges[k + 1]].set(block)
        return B.T @ B

    def free_energy(G):
        return jnp.linalg.slogdet((1 - beta * m) * jnp.eye(len(G)) + beta * G)[1] / (2 * beta)

    lam, vectors = jnp.linalg.eigh(gram(net.weights))
    flat, unravel = jax.flatten_util.ravel_pytree(net.weights)
    hessians = (
        jax.hessian(lambda h: free_energy(vectors @ jnp.diag(lam + h) @ vectors.T))(jnp.zeros_like(lam)),
        jax.hessian(lambda h: free_energy(vectors @ jnp.diag(lam * jnp.exp(h)) @ vectors.T))(jnp.zeros_like(lam)),
        jax.hessian(lambda q: free_energy(gram(unravel(q))))(flat),
    )
    diagonals = [jnp.diagonal(h) for h in hessians]
    return [jnp.sum(d) for d in diagonals], [jnp.sum(jnp.abs(d)) for d in diagonals], lam


@pytest.mark.parametrize("sizes", DEPTHS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-2, 2), share=st.floats(-1, 0.9))
def test_every_laplacian_at_every_depth_by_a_dense_hessian(sizes, seed, log_beta, share):
    net, beta = network(seed, sizes, scale=0.9), 10.0**log_beta
    x, m = net.propagate(draw_inputs(seed, sizes[0])), share / beta
    found = library_laplacians(net, x, beta, m)
    wanted, sums, lam = dense_laplacians(net, x, beta, m)
    # second derivatives of a log det lose cond(M)² ulp of what is added up; 1e4 of them in the products of each side
    allowed = 1e-12 * ((1 - beta * m + beta * lam[-1]) / (1 - beta * m + beta * lam[0])) ** 2
    for value, exact, size in zip(found, wanted, sums, strict=True):
        assert abs(value - exact) < allowed * (size + 1 / beta)
    assert found[0] < 0 < found[1]


POINTS, WEIGHTS = np.polynomial.legendre.leggauss(40)


@given(log_beta=st.floats(-6, 2), shift=st.floats(-3, 3), units=st.integers(0, 2))
def test_integral_over_beta_by_quadrature(log_beta, shift, units):
    """Gauss-Legendre in log β' and not in β': (1+βλ)⁻² has its pole at -1/λ, near compared with β for large βλ."""
    beta, values = 10.0**log_beta, VALUES + shift
    every = np.exp(np.concatenate([values, np.zeros(units)]))
    start = 1e-9 / every.max()
    edges = np.linspace(np.log(start), np.log(beta), 25)
    nodes = np.exp(np.concatenate([(b - a) / 2 * POINTS + (a + b) / 2 for a, b in itertools.pairwise(edges)]))
    steps = np.tile(WEIGHTS, 24) * (edges[1] - edges[0]) / 2 * nodes
    inner = -nodes / 2 * np.sum((1 + nodes[:, None] * every) ** -2.0, axis=1)
    wanted = float(steps @ inner) - start**2 / 4 * len(every)
    found = float(nt.integrated_eigenvalue_laplacian(nt.LogSpectrum(jnp.asarray(values), units), beta))
    assert abs(found / wanted - 1) < 1e-12  # a few hundred roundings in the sums


@given(log_beta=st.floats(-12, 6))
def test_integral_has_the_laplacian_as_its_slope_and_does_not_cancel(log_beta):
    beta = 10.0**log_beta
    for dtype, allowed in ((jnp.float64, 1e-13), (jnp.float32, 2e-5)):
        spectrum = nt.LogSpectrum(jnp.asarray(VALUES, dtype), 2)
        slope = integral_slope(spectrum, jnp.asarray(beta, dtype))
        assert slope.dtype == dtype
        assert abs(float(slope) / float(nt.eigenvalue_laplacian(spectrum, beta)) - 1) < allowed


integral_slope = jax.jit(jax.grad(nt.integrated_eigenvalue_laplacian, argnums=1))


def test_limits_of_the_integral():
    spectrum = nt.LogSpectrum(jnp.asarray(VALUES, jnp.float32), 2)
    tiny = nt.integrated_eigenvalue_laplacian(spectrum, 1e-12)
    assert abs(float(tiny) / (-6 * 1e-24 / 4) - 1) < 1e-6  # -Nβ²/4
    assert tiny.dtype == jnp.float32
    far = nt.LogSpectrum(jnp.asarray([80.0, 0.0, -80.0], jnp.float32))  # λ² would overflow
    found, slope = jax.value_and_grad(lambda s: nt.integrated_eigenvalue_laplacian(s, 1.5))(far)
    wanted = -0.5 * (np.log(2.5) - 0.6) - 1.5**2 / 4
    assert abs(float(found) / wanted - 1) < 1e-6
    assert np.isfinite(slope.values).all()
    with pytest.raises(ValueError, match="`beta` must be positive"):
        nt.integrated_eigenvalue_laplacian(spectrum, 0.0)
