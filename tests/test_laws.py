"""The laws of learning: the first law closes along random paths, the second is counted right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import draw_inputs, network

import nnthermo as nt


def gaussian_log_z(u):
    def log_z(beta, net):
        x = net.propagate(u)
        return nt.log_partition(nt.bulk_hessian(net, x), beta, mean=x)

    return log_z


def path_of(points=5, seed=0, step=0.3):
    net = network(seed, (3, 4, 2), scale=1.5)
    keys = jax.random.split(jax.random.key(seed), points)
    nets = [jax.tree.map(lambda a, k=k: a + step * jax.random.normal(k, a.shape, a.dtype), net) for k in keys]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *nets)


def test_the_first_law_closes_along_a_random_path():
    betas = jnp.array([0.5, 0.9, 1.4, 1.2, 3.0])
    log_z, path = gaussian_log_z(draw_inputs(0, 3)), path_of(step=0.1)
    residuals = []
    for nodes in (2, 4):
        law = nt.first_law(log_z, betas, path, nodes=nodes)
        residuals.append(float(jnp.abs(law.residual).max()))
    size = float(jnp.abs(law.loss_change).max())
    # an analytic function along each step: every node more gains a constant factor
    assert residuals[1] < 1e-4 * size
    assert residuals[0] > 100 * residuals[1]
    # the paper's form leaves the work over, which is no small thing
    assert np.asarray(law.printed_residual) == pytest.approx(np.asarray(law.work + law.residual), abs=1e-12)
    assert float(jnp.abs(law.printed_residual).max()) > 0.05 * size


def test_heat_and_work_of_closed_forms():
    # log Z = (n/2) log(2π/βk), U = n/2β: a step in β at fixed k, then one in k at fixed β
    n = 6

    def log_z(beta, theta):
        return 0.5 * n * jnp.log(2 * jnp.pi / (beta * theta["k"]))

    law = nt.first_law(log_z, jnp.array([1.0, 2.0, 2.0]), {"k": jnp.array([1.5, 1.5, 4.5])}, nodes=12)
    U = n / 2 / np.array([1.0, 2.0, 2.0])
    assert np.asarray(law.loss_change) == pytest.approx(np.diff(U), abs=1e-14)
    # S = n/2 (1 + log(2π/βk)), T dS = -(n/2)(dβ/β² + dk/(βk)); ⟨∂_kH⟩ = n/(2βk)
    assert np.asarray(law.heat) == pytest.approx([-n / 2 * (1 - 0.5), -n / 4 * np.log(3)], abs=1e-8)
    assert np.asarray(law.work) == pytest.approx([0.0, n / 4 * np.log(3)], abs=1e-8)
    assert np.asarray(law.free_energy_change)[1] == pytest.approx(n / 4 * np.log(3), abs=1e-12)


def test_one_node_on_one_step_is_the_midpoint_rule():
    law = nt.first_law(lambda beta, k: -0.5 * jnp.log(beta * k), 2.0, jnp.array([1.0, 3.0]), nodes=1)
    # U = 1/2β does not change, and ⟨∂_kH⟩ = 1/(2βk), at k = 2
    np.testing.assert_allclose(law.loss_change, [0], atol=1e-16)
    np.testing.assert_allclose(law.work, [1 / (2 * 2 * 2) * 2], rtol=1e-15)
    np.testing.assert_allclose(law.heat, -law.work, rtol=1e-15)


def test_four_nodes_if_none_are_asked_for():
    arguments = lambda beta, k: -0.5 * jnp.log(beta * k), 2.0, jnp.array([1.0, 3.0])
    assert nt.first_law(*arguments).work == nt.first_law(*arguments, nodes=4).work


@pytest.mark.exhaustive
def test_at_fixed_temperature_work_is_the_change_of_the_free_energy():
    law = nt.first_law(gaussian_log_z(draw_inputs(0, 3)), 1.4, path_of(step=0.1), nodes=6)
    assert np.asarray(law.work) == pytest.approx(np.asarray(law.free_energy_change), abs=1e-8)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_first_law_of_the_exact_ensemble():
    u = draw_inputs(1, 3)

    def log_z(beta, net):
        return nt.ancestral(nt.CanonicalEnsemble(net, u, beta), jax.random.key(0), 500).log_partition.value

    law = nt.first_law(log_z, jnp.array([1.0, 1.5, 1.5]), path_of(points=3, seed=1, step=0.1), nodes=6)
    # fixed noise: log Z is a smooth function of 500 samples, whatever their number
    assert float(jnp.abs(law.residual).max()) < 1e-6 * float(jnp.abs(law.loss_change).max())


def test_bad_paths_are_named():
    log_z, path = gaussian_log_z(draw_inputs(0, 3)), path_of()
    with pytest.raises(ValueError, match="`betas` must be one number or have shape"):
        nt.first_law(log_z, jnp.ones(3), path)
    with pytest.raises(ValueError, match="at least two points"):
        nt.first_law(log_z, 1.0, path_of(points=1))
    for bad in ({}, {"k": 2.0}, (jnp.ones(3), 2.0)):
        with pytest.raises(ValueError, match="`path` must have an axis of points, but got no leaves with one"):
            nt.first_law(log_z, 1.0, bad)
    with pytest.raises(ValueError, match="`betas` must be positive"):
        nt.first_law(log_z, -1.0, path)
    with pytest.raises(ValueError, match="`nodes` must be positive"):
        nt.first_law(log_z, 1.0, path, nodes=0)
    with pytest.raises(ValueError, match="leaves of one length"):
        nt.first_law(lambda b, q: b * q[0].sum(), 1.0, (jnp.ones(3), jnp.ones(4)))


def test_the_second_law_counts_what_rises():
    t = np.array([0.0, 1.0, 2.0, 4.0])
    S = np.array([[5.0, 4.0, 4.5, 1.0], [6.0, 5.1, 5.5, 2.2], [4.0, 2.9, 3.4, 0.0]])
    law = nt.second_law(t, S)
    assert law.rates == pytest.approx([-1.0, (0.5 + 0.4 + 0.5) / 3, (-3.5 - 3.3 - 3.4) / 6])
    assert law.rising.tolist() == [False, True, False]
    spread = np.std([0.5, 0.4, 0.5], ddof=1) / np.sqrt(3)
    assert law.errors[1] == pytest.approx(spread)
    # 97.5 % quantiles of Student's law: 0.95 / √(2 · 0.975 · 0.025) for two degrees of freedom, tan 0.475π for one
    assert law.high[1] - law.rates[1] == pytest.approx(0.95 / np.sqrt(0.04875) * spread)
    two = nt.second_law(t, S[:2])
    assert two.rates[0] - two.low[0] == pytest.approx(np.tan(0.475 * np.pi) * 0.05)  # of -1 and -0.9: 0.1/2
    assert law.change == pytest.approx([-4.0, -3.8, -4.0])
    assert law.rises == pytest.approx([0.5 / 5.0, 0.4 / 4.6, 0.5 / 5.0])
    assert nt.second_law(t, S / 100).rises == pytest.approx(law.rises)
    one = nt.second_law(t, S[0])
    assert np.isnan(one.errors).all()
    assert (one.low == -np.inf).all()
    assert (one.high == np.inf).all()
    assert not one.rising.any()  # one seed knows no spread
    assert nt.second_law(t, np.ones(4)).rises == pytest.approx(0)
    assert not nt.second_law(t, np.ones((3, 4))).rising.any()  # sure of 0, which is no rise
    assert nt.second_law(t[:2], S[:, :2]).rates == pytest.approx([-1.0])
    with pytest.raises(ValueError, match="`times` must increase"):
        nt.second_law(t[::-1], S)
    with pytest.raises(ValueError, match="`times` must increase"):
        nt.second_law([0.0, 1.0, 1.0, 2.0], S)
    for times, entropies in ((t[:1], S[:, :1]), (np.stack([t, t]), S), (3.0, S)):
        with pytest.raises(ValueError, match="`times` must be one vector of at least two records, but got shape"):
            nt.second_law(times, entropies)
    with pytest.raises(ValueError, match="`entropies` must be finite"):
        nt.second_law(t, np.where(S > 5, np.nan, S))
    with pytest.raises(ValueError, match="`entropies` must have 4 records"):
        nt.second_law(t, S[:, :3])


def test_intervals_hold_what_they_should():
    rng = np.random.default_rng(0)
    for seeds in (3, 5, 12):
        law = nt.second_law([0.0, *np.arange(1.0, 4001)], np.cumsum(rng.normal(size=(seeds, 4001)), axis=1))
        share = np.mean((law.low < 0) & (law.high > 0))
        assert share == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))
