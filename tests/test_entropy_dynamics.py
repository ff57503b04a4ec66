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
