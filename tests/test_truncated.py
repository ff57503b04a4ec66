"""Normal distributions in an interval, narrow or far out, against integrals and expansions in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import network

import nnthermo as nt
from nnthermo.canonical.truncated import log_normal_mass, truncated_normal

CASES = [
    (-1.0, 1.0), (-np.inf, np.inf), (-np.inf, -3.0), (2.0, np.inf), (-1e-3, 2e-3), (5.0, 5.001), (40.0, 41.0),
    (-300.0, -299.0), (1e-9, 3e-9), (-8.0, 0.1), (30.0, np.inf), (0.2, 0.9), (-0.49, 0.5), (11.9, 12.0),
]  # fmt: skip


def exact(a, b):
    """log mass, and the mean of the distribution, by 600 nodes over where it lies."""
    low, high = max(a, -12.0 if a < 12 else a), min(b, 12.0 if b > -12 else b)
    if a > 0:
        high = min(b, a + 40 / max(a, 1))
    if b < 0:
        low = max(a, b - 40 / max(-b, 1))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    panels = np.linspace(low, high, 11)
    width = np.diff(panels)[:, None] / 2
    z = panels[:-1, None] + width * (1 + nodes)
    peak = min(max(0.0, low), high)
    density = weights * width * np.exp(-0.5 * (z - peak) * (z + peak))
    total = density.sum()
    return np.log(total) - 0.5 * peak**2 - 0.5 * np.log(2 * np.pi), (density * z).sum() / total


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("a", "b"), CASES)
def test_masses_and_numbers_in_every_regime(a, b, dtype):
    low, high = dtype(a), dtype(b)
    log_mass, mean = exact(float(low), float(high))
    eps = float(np.finfo(dtype).eps)
    ends = [abs(v) for v in (a, b) if np.isfinite(v)]
    rounding = 200 * eps * (1 + max(ends, default=0.0) / (b - a))  # of sums, and of the width
    rounding = max(rounding, 1e-12)  # what the asymptotic series of log Φ is good to
    assert float(log_normal_mass(jnp.asarray(low), jnp.asarray(high))) == pytest.approx(
        log_mass, rel=rounding, abs=rounding
    )
    u = jnp.asarray((np.arange(20_000) + 0.5) / 20_000, dtype)
    z = np.asarray(truncated_normal(u, jnp.full(u.shape, low), jnp.full(u.shape, high))[0], np.float64)
    assert z.min() >= low
    assert z.max() <= high
    assert np.all(np.diff(z) >= -8 * eps * np.abs(z).max())  # turned over or not
    # the midpoint rule over quantiles, of numbers that carry rounding
    scale = max(z.std(), 1e-300)
    assert z.mean() == pytest.approx(mean, abs=2e-3 * scale + 4 * eps * abs(mean))
    assert len(np.unique(z)) > min(1000, 0.5 * scale / (eps * abs(mean) + 1e-300))


@pytest.mark.parametrize(
    ("a", "b"), [(-1.0, 1.0), (-1e-3, 2e-3), (5.0, 5.001), (40.0, 41.0), (0.2, 0.9), (-np.inf, -3.0)]
)
def test_derivatives_are_those_of_what_is_computed(a, b):
    u, h = jnp.asarray(0.3), 1e-5 if b - a > 0.1 else 1e-8
    low, high = jnp.asarray(a), jnp.asarray(b)
    for k in (0, 1):
        slope = float(jax.grad(lambda v, k=k: truncated_normal(u, low, v)[k])(high))
        finite = (float(truncated_normal(u, low, high + h)[k]) - float(truncated_normal(u, low, high - h)[k])) / (2 * h)
        # h² and ε|value|/h
        value = abs(float(truncated_normal(u, low, high)[k]))
        assert slope == pytest.approx(finite, rel=1e-5, abs=1e-8 + 4e-16 * (1 + value) / h)


def test_boxes_far_from_their_data_and_at_high_temperature():
    far = network(0, (1, 1)).replace(weights=[[[0.7]]], biases=[[0.1]])
    cold = nt.CanonicalEnsemble(far, jnp.array([6.0]), 100.0, measure=nt.Box())
    exact_one, found = nt.quadrature(cold), nt.ancestral(cold, jax.random.key(0), 10_000, moments=True)
    assert (
        abs(float(found.average_loss.value - exact_one.average_loss.value))
        < 4.5 * float(found.average_loss.error) + 1e-9
    )
    assert float(found.log_partition.value) == pytest.approx(float(exact_one.log_partition.value), abs=1e-3)
    assert float(found.covariance[0, 0]) == pytest.approx(
        float(exact_one.covariance[0, 0]), rel=0.1
    )  # 5 √(2/10,000) and more
    single = jax.tree.map(lambda w: w.astype(jnp.float32), far)
    for beta in (1e-10, 1e-6, 1e-4, 1e-2, 10.0):
        u = jnp.array([0.4 if beta < 1 else 6.0])
        reference = nt.quadrature(nt.CanonicalEnsemble(far, u, beta, measure=nt.Box()), points=512)
        found = nt.ancestral(nt.CanonicalEnsemble(single, u, beta, measure=nt.Box()), jax.random.key(1), 10_000)
        U = found.average_loss
        assert abs(float(U.value) - float(reference.average_loss.value)) < 4.5 * float(U.error) + 2e-4, beta
        log_z = found.log_partition
        assert abs(float(log_z.value) - float(reference.log_partition.value)) < 4.5 * float(log_z.error) + 2e-3, beta
