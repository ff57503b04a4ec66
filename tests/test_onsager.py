"""Onsager's tensor of gravity: (12.3) to (12.10) with the corrected tensor, and by how much the printed one fails."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import gravity

SIGNATURES = [(2, 0), (3, 0), (4, 1)]  # dimension, number of times


@partial(jax.jit, static_argnums=(0, 1))
def waves_at(n, times, waves, point):
    """A metric near the flat one, periodic in all coordinates with period 2π; depends on the first two of four."""
    k, phase, amplitude = waves
    flat = jnp.diag(jnp.asarray([-1.0] * times + [1.0] * (n - times)))
    wave = jnp.cos(jnp.sum(k * point[None, : k.shape[1]], axis=1) + phase)
    return flat + jnp.einsum("k,kab->ab", wave, amplitude)


def waves(n, seed):
    rng = np.random.default_rng(seed)
    amplitude = 0.05 * rng.normal(size=(4, n, n))
    k = np.array([[1, 0], [0, 1], [1, 1], [1, -1]])
    return jnp.asarray(k, float), jnp.asarray(rng.normal(size=4)), jnp.asarray(amplitude + np.swapaxes(amplitude, 1, 2))


@partial(jax.jit, static_argnums=(0, 1))
def everything(n, times, waves, points):
    """√|g| times R/2, both contractions, ΓΓ, half the divergence, each (M,), κ = 1; g and its slopes."""

    def metric(x):
        return waves_at(n, times, waves, x)

    def at(x):
        here = gravity.geometry(metric, x)
        slopes = gravity.metric_slopes(metric, x)
        terms = [
            here.scalar / 2,
            gravity.onsager_contraction(*slopes, kappa=1.0),
            gravity.onsager_contraction(*slopes, kappa=1.0, variant="printed"),
            gravity.gamma_gamma_lagrangian(metric, x, kappa=1.0),
        ]
        root = jnp.sqrt(jnp.abs(here.determinant))
        return (*(root * term for term in terms), gravity.total_derivative_term(metric, x) / 2), slopes

    return jax.vmap(at)(points)


def torus(n):
    return gravity.torus_nodes((24, 24), [2 * np.pi] * 2, dimensions=n)


@pytest.mark.parametrize(("n", "times"), SIGNATURES)
def test_on_a_torus_the_integral_of_the_scalar_is_that_of_the_corrected_form(n, times):
    points, weights = torus(n)
    (R, corrected, printed, gamma_gamma, divergence), _ = everything(n, times, waves(n, n), points)
    pointwise = 64 * np.finfo(float).eps * np.abs(R).max()  # rounding
    np.testing.assert_allclose(R, corrected + divergence, atol=pointwise)
    np.testing.assert_allclose(gamma_gamma, corrected, atol=pointwise)
    assert np.abs(divergence).max() > 1e3 * pointwise

    def integral(values):
        return float(weights @ values)

    # trapezoid on a torus: the error falls exponentially in the number of nodes
    assert integral(R) == pytest.approx(integral(corrected), abs=1e-12)
    assert abs(integral(divergence)) < 1e-12
    if n == 2:
        assert abs(integral(R)) < 1e-12  # Gauss-Bonnet
    else:
        assert abs(integral(R)) > 0.01
    assert abs(integral(printed) - integral(R)) > 0.01


def invariants(g, dg):
    """The five quadratic invariants of the forces; no word of the library."""
    i = np.linalg.inv(g)
    up = np.einsum("mn,ac,bd,ncd->mab", i, i, i, dg)
    u, w = np.einsum("ab,mab->m", i, dg), np.einsum("ab,abm->m", i, dg)
    amb = np.sum(dg * np.swapaxes(up, 0, 1))
    return np.array([amb, np.sum(dg * up), u @ i @ u, u @ i @ w, w @ i @ w])


def random_metric(n, times, rng):
    frame = rng.normal(size=(n, n)) + 2 * np.eye(n)
    g = frame.T @ np.diag([-1.0] * times + [1.0] * (n - times)) @ frame
    dg = rng.normal(size=(n, n, n))
    return (g + g.T) / 2, dg + np.swapaxes(dg, 1, 2)


def test_the_fit_over_all_five_invariants_is_unique():
    """2κ L g_ab,m g_cd,n = (2, -1, +1, -2, 0)/4 of them, from √|g| R less a divergence at random points."""
    (R, _, _, _, divergence), slopes = everything(3, 0, waves(3, 3), torus(3)[0])
    g, dg = map(np.asarray, slopes)
    roots = np.sqrt(np.linalg.det(g))
    rows = [root * invariants(*at) for root, *at in zip(roots[::7], g[::7], dg[::7], strict=True)]
    divergence, R = divergence[::7], R[::7]
    weights, _, rank, values = np.linalg.lstsq(np.array(rows), 2 * np.asarray(R - divergence), rcond=None)
    assert rank == 5
    condition = values[0] / values[-1]
    np.testing.assert_allclose(weights, np.array([2, -1, 1, -2, 0]) / 4, atol=1e3 * condition * np.finfo(float).eps)


@partial(jax.jit, static_argnames="variant")
def forms(g, dg, kappa, variant):
    """L before and after it is symmetrised, fluxes, contraction."""
    choices = {"kappa": kappa, "variant": variant}
    raw, L = (gravity.onsager_tensor(g, **choices, symmetrise=choice) for choice in (False, True))
    return raw, L, gravity.onsager_fluxes(g, dg, **choices), gravity.onsager_contraction(g, dg, **choices)


@pytest.mark.parametrize("variant", ["corrected", "printed"])
@pytest.mark.parametrize(("n", "times"), SIGNATURES)
def test_tensor_fluxes_and_contraction_agree(n, times, variant):
    g, dg = random_metric(n, times, np.random.default_rng(n))
    kappa = 0.7
    weights = {"corrected": (2, -1, 1, -2, 0), "printed": (2, -1, -1, 0, 0)}[variant]
    expected = np.dot(weights, invariants(g, dg)) / (8 * kappa)
    raw, L, J, contraction = map(np.asarray, forms(g, dg, kappa, variant))
    rounding = 1e3 * np.finfo(float).eps
    scale = np.sum(np.abs(dg) * np.abs(J))
    for tensor in (raw, L):
        assert np.einsum("mnabcd,mab,ncd->", tensor, dg, dg) == pytest.approx(expected, abs=rounding * scale)
    assert contraction == pytest.approx(expected, abs=rounding * scale)
    np.testing.assert_allclose(J, np.einsum("mnabcd,ncd->mab", L, dg), atol=rounding * np.abs(J).max())
    for axes in ((2, 3), (4, 5)):  # (12.8)
        np.testing.assert_allclose(L, np.swapaxes(L, *axes), atol=1e-15 * np.abs(L).max())


def test_reciprocity_holds_as_stated_and_not_as_printed():
    g, dg = random_metric(4, 1, np.random.default_rng(2))
    violation = gravity.onsager_reciprocity_violation
    for variant in ("corrected", "printed"):
        raw, L, _, _ = forms(g, dg, 1.0, variant)
        assert violation(L) == 0
    assert violation(raw) < 1e-14  # (12.9) obeys it before it is symmetrised
    assert violation(raw, relation="printed") > 0.1
    flat, _, _, _ = forms(np.eye(4), dg, 1.0, "printed")
    assert violation(flat, relation="printed") == pytest.approx(0.5, abs=1e-14)
    gap = np.abs(flat - np.swapaxes(flat, 2, 3)).max() / np.abs(flat).max()
    assert gap > 0.1  # (12.8) needs the symmetrisation


def test_the_printed_tensor_is_right_where_the_determinant_is_constant():
    """∂ log|g| = 0: the sign and the missing term meet a zero."""
    rng = np.random.default_rng(3)
    g, dg = random_metric(4, 1, rng)
    free = dg - np.einsum("ab,mab->m", np.linalg.inv(g), dg)[:, None, None] * g / 4
    right, printed = (float(forms(g, free, 1.0, v)[3]) for v in ("corrected", "printed"))
    assert printed == pytest.approx(right, rel=1e-11)
    right, printed = (float(forms(g, dg, 1.0, v)[3]) for v in ("corrected", "printed"))
    assert abs(printed - right) > 0.1 * abs(right)


@pytest.mark.parametrize(("times", "inertia"), [(0, (20, 0, 20)), (1, (18, 0, 22))])
def test_the_quadratic_form_has_no_sign(times, inertia):
    g, _ = random_metric(4, times, np.random.default_rng(times))
    assert gravity.onsager_inertia(g) == inertia
    units = np.diag([1e-3, 1.0, 1e2, 1.0])
    assert gravity.onsager_inertia(units @ g @ units) == inertia
    assert gravity.onsager_inertia(g, variant="printed").zero == 4
    assert jax.jit(lambda x: x * gravity.onsager_inertia(g).negative)(1.0) == inertia[0]  # g is known there too
    flat = np.diag([-1, 1, 1, 1])  # whole numbers are converted there
    assert jax.jit(lambda x: x * gravity.signature(flat)[0] * gravity.onsager_inertia(flat).negative)(1.0) == 18
    rng = np.random.default_rng(0)  # and by trial: both signs occur
    signs = {np.sign(float(forms(g, random_metric(4, 0, rng)[1], 1.0, "corrected")[3])) for _ in range(16)}
    assert signs == {-1.0, 1.0}


def test_entropy_production_of_a_gaussian():
    """(12.1): D tr g is dS/dt of the diffusing Gaussian, of covariance Σ = (2g)⁻¹ + D t."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    g, D, h = root @ root.T + np.eye(3), 0.3, 1e-4

    def entropy(t):
        return 0.5 * np.linalg.slogdet(np.linalg.inv(2 * g) + D * t * np.eye(3))[1]

    rate = (entropy(h) - entropy(-h)) / (2 * h)
    assert float(gravity.gaussian_entropy_production(g, D)) == pytest.approx(rate, rel=1e-5)  # h² and ε/h
    assert float(jax.grad(gravity.gaussian_entropy_production, argnums=1)(jnp.asarray(g), D)) == pytest.approx(
        np.trace(g)
    )


def test_dtype_is_kept_and_transformations_work():
    g, dg = random_metric(4, 1, np.random.default_rng(7))

    @jax.jit
    @jax.value_and_grad
    def value(dg, g):
        return gravity.onsager_contraction(g, dg, kappa=2.0)

    single, slope = value(jnp.asarray(dg, jnp.float32), jnp.asarray(g, jnp.float32))
    _, _, J, contraction = forms(g, dg, 2.0, "corrected")
    assert single.dtype == slope.dtype == jnp.float32
    assert float(single) == pytest.approx(float(contraction), rel=1e-4)
    # a quadratic form with a symmetric L: fluxes are half its slope
    np.testing.assert_allclose(slope, 2 * J, atol=1e-5 * np.abs(J).max())


def test_bad_input_by_name():
    g, dg = np.eye(2), np.zeros((2, 2, 2))
    with pytest.raises(ValueError, match="`variant` must be 'corrected' or 'printed', but got 'wrong'"):
        gravity.onsager_tensor(g, kappa=1.0, variant="wrong")
    with pytest.raises(ValueError, match="`kappa` must be positive"):
        gravity.onsager_tensor(g, kappa=0.0)
    with pytest.raises(ValueError, match="`g` must be square"):
        gravity.onsager_tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="`g` must be invertible"):
        gravity.onsager_tensor(np.ones((2, 2)))
    with pytest.raises(TypeError, match="`g` must be real"):
        gravity.onsager_tensor(1j * g)
    with pytest.raises(ValueError, match="`dg` must have shape"):
        gravity.onsager_fluxes(g, g)
    with pytest.raises(ValueError, match="`dg` must be symmetric"):
        gravity.onsager_fluxes(g, dg + np.array([[0, 1], [0, 0]]))
    with pytest.raises(ValueError, match="`L` must have six equal axes"):
        gravity.onsager_reciprocity_violation(np.zeros((2, 2, 2, 2, 2, 3)))
    with pytest.raises(ValueError, match="`relation` must be"):
        gravity.onsager_reciprocity_violation(np.zeros((2,) * 6), relation="other")
    with pytest.raises(TypeError, match="`g` must be known"):
        jax.jit(gravity.onsager_inertia)(g)
    with pytest.raises(ValueError, match="`g` must be positive definite"):
        gravity.gaussian_entropy_production(np.diag([1.0, -1.0]), 1.0)
    with pytest.raises(ValueError, match="`diffusion` must not be negative"):
        gravity.gaussian_entropy_production(g, -1.0)
