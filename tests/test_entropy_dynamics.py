"""Liouville flow: probability is conserved, dS/dβ = α⟨ΔF⟩, and the printed (8.1) fails both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import network

import nnthermo as nt

TAU = 2 * np.pi


def wave(q, beta):
    """A free energy that is periodic in each parameter and changes with β."""
    return 0.3 * jnp.sum(jnp.cos(q)) / beta + 0.1 * jnp.prod(jnp.sin(q))


def bump(shape):
    axes = [np.arange(n) * TAU / n for n in shape]
    grid = np.meshgrid(*axes, indexing="ij")
    p = np.exp(sum(np.cos(g - 1.0) for g in grid))
    return jnp.asarray(p / (p.sum() * np.prod([TAU / n for n in shape])))


@pytest.mark.parametrize("shape", [(64,), (48, 48), (24, 24, 24)])
def test_the_conserved_form_keeps_probability_and_makes_entropy_at_the_stated_rate(shape):
    betas = jnp.linspace(0.5, 1.5, 41)
    flow = nt.liouville_density(wave, bump(shape), [TAU] * len(shape), betas, rate=0.7, tolerance=1e-11)
    assert np.asarray(flow.probability) == pytest.approx(1, abs=1e-12)
    # Simpson's rule over 40 intervals of 0.025: 1e-9 relative; the grid's own error falls exponentially with its size
    h = 1 / 40
    weights = np.array([1, *([4, 2] * 19), 4, 1]) * h / 3
    change = float(flow.entropy[-1] - flow.entropy[0])
    assert change == pytest.approx(float(weights @ np.asarray(flow.production)), rel=1e-6)
    assert abs(change) > 0.05
    doubled = nt.liouville_density(
        wave, bump(shape), [TAU] * len(shape), betas[:2], rate=0.7, normalisation=3.0, tolerance=1e-11
    )
    assert np.asarray(doubled.entropy) == pytest.approx(np.asarray(flow.entropy[:2]) - np.log(3), abs=1e-12)


def test_the_printed_form_loses_probability():
    betas = jnp.linspace(0.5, 0.5 + 1e-4, 2)
    p = bump((64,))
    printed = nt.liouville_density(wave, p, TAU, betas, conserved=False, tolerance=1e-12)
    lost = float(printed.probability[1] - printed.probability[0]) / 1e-4
    # d∫p/dβ = α∫pΔF, which is what the conserved form produces in entropy; forward difference: 1e-4 of its curvature
    assert lost == pytest.approx(float(printed.production[0]), rel=1e-3)
    assert abs(lost) > 0.01
    # (8.4) says α∫pΔF(1 - log p) for dS/dβ; (8.5) as derived from (8.1) is -α∫ΔF p log p
    q = np.arange(64) * TAU / 64
    laplacian = -0.3 * np.cos(q) / 0.5 + -0.1 * np.sin(q)
    density = np.asarray(p)
    made = float(printed.entropy[1] - printed.entropy[0]) / 1e-4
    exact = -np.sum(laplacian * density * np.log(density)) * TAU / 64
    assert made == pytest.approx(exact, rel=1e-3)
    assert abs(made - (exact + lost)) > 0.01  # what (8.4) says


def test_particles_and_grid_agree():
    betas = jnp.linspace(0.5, 1.5, 5)
    rng = np.random.default_rng(0)
    p = np.asarray(bump((256,)))
    grid = np.arange(256) * TAU / 256
    cumulative = np.concatenate([[0], np.cumsum((p + np.roll(p, -1)) / 2 * TAU / 256)])
    drawn = np.interp(rng.uniform(0, cumulative[-1], 40_000), cumulative, np.append(grid, TAU))
    logs = np.log(np.exp(np.cos(drawn - 1.0)) / (TAU * np.i0(1.0)))
    flow = nt.liouville_flow(wave, drawn[:, None], logs, betas, rate=0.7)
    whole = nt.liouville_density(wave, jnp.asarray(p), TAU, betas, rate=0.7)
    spread = np.asarray(flow.log_densities).std(axis=1) / np.sqrt(40_000)
    assert np.all(np.abs(np.asarray(flow.entropy - whole.entropy)) < 4.5 * spread)
    assert np.asarray(flow.production) == pytest.approx(
        np.asarray(whole.production), abs=0.01
    )  # 40,000 numbers below 1
    assert abs(float(flow.entropy[-1] - flow.entropy[0])) > 20 * spread.max()


def test_particles_carry_the_density_of_a_linear_flow():
    # F = ½ k q·q/β: q grows by exp(αk log(β1/β0)), the density falls by that to the K
    k, rate, betas = 0.6, 0.5, jnp.array([1.0, 2.0, 4.0])
    q = jnp.asarray(np.random.default_rng(1).normal(size=(20, 3)))
    logs = jnp.sum(-0.5 * q**2 - 0.5 * jnp.log(2 * jnp.pi), axis=1)
    flow = nt.liouville_flow(lambda x, b: 0.5 * k * jnp.sum(x**2) / b, q, logs, betas, rate=rate, tolerance=1e-12)
    growth = np.array([1.0, 2.0, 4.0]) ** (rate * k)
    assert np.asarray(flow.parameters) == pytest.approx(growth[:, None, None] * np.asarray(q)[None], rel=1e-9)
    assert np.asarray(flow.log_densities) == pytest.approx(
        np.asarray(logs)[None] - 3 * np.log(growth)[:, None], abs=1e-9
    )
    assert np.asarray(flow.production) == pytest.approx(3 * rate * k / np.array([1.0, 2.0, 4.0]), rel=1e-12)


@pytest.mark.exhaustive
def test_networks_flow_along_their_free_energy():
    net = network(0, (2, 2, 1), scale=0.5).to_septuple()
    x = net.propagate(jnp.array([0.3, -0.5]))
    scales = jnp.array([0, 0, 0, 0, 1])[:, None] * jnp.ones((5, 5), int)  # which layer a weight ends in

    def free_energy(q, beta):
        moved = net.replace(weight=net.weight * q[scales])
        return nt.free_energy(nt.bulk_hessian(moved, x), beta)

    q = 1 + 0.1 * jax.random.normal(jax.random.key(0), (50, 2))
    flow = nt.liouville_flow(free_energy, q, jnp.zeros(50), jnp.array([0.5, 0.6, 0.7]), rate=2.0, tolerance=1e-9)
    # (8.2) by one small step, and dS/dβ by Simpson's rule on two of them: (0.1)⁴ of its derivatives
    slope = jax.vmap(jax.grad(free_energy), (0, None))(q, jnp.asarray(0.5))
    near = nt.liouville_flow(free_energy, q, jnp.zeros(50), jnp.array([0.5, 0.5 + 1e-5]), rate=2.0, tolerance=1e-12)
    assert np.asarray(near.parameters[1] - q) / 1e-5 == pytest.approx(2.0 * np.asarray(slope), rel=1e-3, abs=1e-6)
    made = float(flow.entropy[2] - flow.entropy[0])
    assert made == pytest.approx(0.1 / 3 * float(flow.production @ jnp.array([1.0, 4.0, 1.0])), rel=1e-4)


def test_bad_flows_are_named():
    with pytest.raises(ValueError, match="`betas` must increase"):
        nt.liouville_flow(wave, jnp.zeros((2, 1)), jnp.zeros(2), [1.0, 0.5])
    with pytest.raises(ValueError, match="`log_densities` must have shape"):
        nt.liouville_flow(wave, jnp.zeros((2, 1)), jnp.zeros(3), [1.0, 2.0])
    with pytest.raises(ValueError, match="one to three axes"):
        nt.liouville_density(wave, jnp.ones((2,) * 4), [1.0] * 4, [1.0, 2.0])
    with pytest.raises(ValueError, match="`density` must not be negative"):
        nt.liouville_density(wave, jnp.array([-0.1, 0.5, 0.5]), 1.0, [1.0, 2.0])
    with pytest.raises(ValueError, match="`normalisation` must be positive"):
        nt.liouville_flow(wave, jnp.zeros((2, 1)), jnp.zeros(2), [1.0, 2.0], normalisation=-1.0)
    with pytest.raises(ValueError, match="`lengths` must be 1 positive numbers"):
        nt.liouville_density(wave, jnp.ones(4), [1.0, 2.0], [1.0, 2.0])


def spectral_divergence(field, lengths):
    """∇· of a field (K, *grid) by NumPy's transforms."""
    total = 0
    for axis, part in enumerate(field):
        n = part.shape[axis]
        k = 2j * np.pi / lengths[axis] * np.fft.fftfreq(n, 1 / n)
        shape = [-1 if a == axis else 1 for a in range(part.ndim)]
        total = total + np.real(np.fft.ifft(k.reshape(shape) * np.fft.fft(part, axis=axis), axis=axis))
    return total


@pytest.mark.parametrize("shape", [(64,), (48, 48)])
def test_balance_of_the_entropy_density(shape):
    """∂σ/∂β + ∇·(vσ) = αΔF p; (8.6) has αΔF σ on the right and no transport, and is off by as much as what it says."""
    step, start, rate, volume = 1e-3, 0.7, 0.7, 2.5
    betas = start + step * np.arange(-2, 3)
    first = nt.liouville_density(wave, bump(shape), [TAU] * len(shape), [0.5, betas[0]], rate=rate, tolerance=1e-13)
    flow = nt.liouville_density(
        wave, first.densities[-1], [TAU] * len(shape), betas, rate=rate, normalisation=volume, tolerance=1e-13
    )
    sigma, p = np.asarray(flow.entropy_densities), np.asarray(flow.densities[2])
    assert sigma.shape == (5, *shape)
    np.testing.assert_allclose(sigma[2], -p * np.log(volume * p), rtol=1e-13, atol=1e-15)
    cell = np.prod([TAU / n for n in shape])
    np.testing.assert_allclose(cell * sigma.reshape(5, -1).sum(1), flow.entropy, rtol=1e-13)
    change = (sigma[0] - 8 * sigma[1] + 8 * sigma[3] - sigma[4]) / (12 * step)
    q = np.stack(np.meshgrid(*[np.arange(n) * TAU / n for n in shape], indexing="ij"))
    # of `wave`, by hand
    others = [np.prod(np.sin(np.delete(q, k, axis=0)), axis=0) for k in range(len(shape))]
    slopes = np.stack([-0.3 * np.sin(q[k]) / start + 0.1 * np.cos(q[k]) * others[k] for k in range(len(shape))])
    laplacian = -0.3 * np.sum(np.cos(q), axis=0) / start - 0.1 * len(shape) * np.prod(np.sin(q), axis=0)
    transport = spectral_divergence(rate * slopes * sigma[2], [TAU] * len(shape))
    made = rate * laplacian * p
    # fourth differences of step 1e-3: 1e-12, and the integrator's 1e-13 over the step
    size = np.abs(made).max()
    assert np.abs(change + transport - made).max() < 1e-8 * size
    printed = change - rate * laplacian * sigma[2]
    assert np.abs(printed).max() > 0.3 * np.abs(change).max()
    advected = change + transport - rate * laplacian * sigma[2]  # nor is transport all that it lacks
    assert np.abs(advected).max() > 0.3 * size


def test_entropy_density_carried_along_a_path():
    """By the flow of particles, at M = 3; the printed (8.8), a factor exp(αβΔF) on σ, is elsewhere."""
    q = jnp.asarray(np.random.default_rng(1).normal(size=(20, 2)))
    logs = jnp.sum(-0.5 * q**2 - 0.5 * jnp.log(2 * jnp.pi), axis=1)
    flow = nt.liouville_flow(wave, q, logs, [0.5, 1.0, 1.5], rate=0.7, tolerance=1e-12)
    start = jnp.broadcast_to(logs, flow.log_densities.shape)
    exponent = start - flow.log_densities
    found = nt.carried_entropy_density(start, exponent, 3.0)
    p = np.exp(np.asarray(flow.log_densities))
    np.testing.assert_allclose(found, -p * np.log(3 * p), rtol=1e-12, atol=1e-15)
    printed = nt.entropy_density(logs, 3.0) * jnp.exp(exponent[-1])
    assert np.abs(printed - found[-1]).max() > 0.3 * np.abs(found[-1]).max()


def test_eigenvalues_at_rest_carry_the_integrated_laplacian():
    """p = p_0 exp(-α∫ΔF): with λ in place, the integral between two β is a difference of the closed form."""
    spectrum, rate = nt.LogSpectrum(jnp.asarray([1.0, -0.5, -2.0])), 0.7
    ends = [nt.integrated_eigenvalue_laplacian(spectrum, b) for b in (0.5, 2.0)]
    nodes, weights = np.polynomial.legendre.leggauss(30)
    betas = 1.25 + 0.75 * nodes
    each = jax.vmap(lambda b: nt.eigenvalue_laplacian(spectrum, b))(jnp.asarray(betas))
    exponent = rate * (ends[1] - ends[0])
    assert abs(float(exponent) - rate * 0.75 * float(weights @ np.asarray(each))) < 1e-13
    log_p = jnp.asarray(-3.0)
    p = np.exp(-3.0 - float(exponent))
    assert abs(nt.carried_entropy_density(log_p, exponent) + p * np.log(p)) < 1e-15


def test_entropy_density_at_its_limits():
    values = nt.entropy_density(jnp.asarray([-jnp.inf, 0.0, -1.0], jnp.float32), 1.0)
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, [0, 0, np.exp(-1)], rtol=1e-6)
    slope = jax.vmap(jax.grad(nt.entropy_density))(jnp.asarray([-jnp.inf, -1.0]))
    np.testing.assert_allclose(slope, [0, 0], atol=1e-15)  # of -L exp(L): -(1 + L) exp(L)
    with pytest.raises(ValueError, match="`normalisation` must be positive"):
        nt.entropy_density(jnp.zeros(2), 0.0)
    with pytest.raises(ValueError, match="`exponent` must have shape"):
        nt.carried_entropy_density(jnp.zeros(2), jnp.zeros(3))


def test_densities_that_are_lost_are_not_zero():
    """NaN is no density: only log p = -∞ has no entropy."""
    found = nt.entropy_density(jnp.array([jnp.nan, -jnp.inf, -1.0]))
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [0, np.exp(-1)], rtol=1e-15)
