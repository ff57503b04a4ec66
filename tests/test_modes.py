"""Sweeps in β and m from one decomposition, against Ĝ itself and against dense closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, Gaussian, condition, draw_inputs, flat, graph, jacobian, jit, network, shifted

import nnthermo as nt

SHAPES = [(6, 2, 3), (2, 5, 2)]  # a wide first layer, a wide hidden one
BETAS = np.array([1e-3, 0.1, 1.4, 30.0, 1e3])


@jit
def swept(net, x, m):
    G = nt.bulk_hessian(net, x)
    return nt.sweep(G, jnp.asarray(BETAS), m=m, mean=x), nt.sweep(G, jnp.asarray(BETAS), m=m)


@pytest.mark.parametrize("sizes", SHAPES)
@given(seed=st.integers(0, 10**6), share=st.floats(-2, 0.5), scale=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_sweep_equals_the_dense_closed_forms(sizes, seed, share, scale):
    """m from -2 to half of λ_min, admissible at every β. Rounding: N ε cond(M), β² times that for Var H."""
    net = network(seed, sizes, scale=scale)
    x = tuple(draw_inputs(seed + k, n) for k, n in enumerate(sizes))
    B = jacobian(net, x)
    m = share * np.linalg.svd(B, compute_uv=False)[-1] ** 2 if share > 0 else share
    for found, a in zip(swept(net, x, m), (flat(x), np.zeros(len(B))), strict=True):
        for k, beta in enumerate(BETAS):
            model = Gaussian(B, a, beta, m)
            rounding = 100 * len(B) * EPS * condition(shifted(B, beta, m))
            size = abs(1 - beta * m) * (a @ a) + len(B)
            assert abs(found.log_partition[k] - model.log_z) < rounding * max(abs(model.log_z), size)
            assert abs(found.free_energy[k] + model.log_z / beta) < rounding * max(abs(model.log_z), size) / beta
            energy = model.average_loss
            assert abs(found.average_loss[k] - energy) < rounding * (abs(energy) + size / beta + abs(m) * (a @ a))
            entropy = model.log_z + beta * energy
            assert abs(found.entropy[k] - entropy) < rounding * (abs(entropy) + size + beta * abs(energy))
            heat = beta**2 * model.variance
            assert abs(found.heat_capacity[k] - heat) < rounding * (heat + size * (1 + beta * abs(m)) ** 2)


def test_shares_add_to_the_norm_of_the_mean():
    net = network(1, (9, 2, 2, 7))
    x = net.propagate(draw_inputs(0, 9))
    modes = nt.eigenmodes(nt.bulk_hessian(net, x), mean=x)
    spectrum = nt.log_eigenvalues(nt.bulk_hessian(net, x))
    np.testing.assert_allclose(modes.log_values, spectrum.values, atol=1e-13)
    assert (modes.unit_count, modes.size) == (spectrum.unit_count, spectrum.size) == (12, 20)
    assert float(jnp.sum(modes.shares) + modes.unit_share) == pytest.approx(float(flat(x) @ flat(x)), rel=1e-14)


@pytest.mark.parametrize("kind", ["graph", "restricted layers", "restricted graph"])
def test_every_kind_of_hessian(kind):
    if kind == "restricted layers":
        net = network(2, (5, 4, 3, 2))
        x = net.propagate(draw_inputs(0, 5))
        G = nt.restrict(nt.bulk_hessian(net, x), nt.hidden_neurons(net))
    else:
        net = graph(2, 6)
        x = net.propagate(draw_inputs(0, 2))
        G = nt.bulk_hessian(net, x)
        G = nt.restrict(G, nt.hidden_neurons(net)) if kind == "restricted graph" else G
    functions = (nt.log_partition, nt.free_energy, nt.average_loss, nt.entropy, nt.heat_capacity)

    @jax.jit
    def both(G, x):
        modes = nt.eigenmodes(G, mean=x)
        return [(f(modes, 1.4, m=0.05), f(G, 1.4, m=0.05, mean=x)) for f in functions]

    for found, exact in both(G, x):
        assert float(found) == pytest.approx(float(exact), rel=1e-11)


def test_one_pass_equals_one_call_each():
    net = network(3, (5, 4, 2))
    x = net.propagate(draw_inputs(0, 5))
    G = nt.bulk_hessian(net, x)
    for mean in (None, x):
        found = nt.thermodynamic_functions(G, 1.4, m=0.1, mean=mean)
        for name in ("log_partition", "free_energy", "average_loss", "entropy", "heat_capacity"):
            alone = float(getattr(nt, name)(G, 1.4, m=0.1, mean=mean))
            assert float(getattr(found, name)) == pytest.approx(alone, rel=1e-13)


def test_a_sweep_past_the_admissible_temperatures_is_nan_there():
    net = network(4, (5, 4, 2))
    x = net.propagate(draw_inputs(0, 5))
    G = nt.bulk_hessian(net, x)
    low = float(jnp.exp(nt.log_eigenvalues(G).values[-1]))
    m = 2 * low  # 1 + β(λ_min - m) > 0 for β < 1/λ_min
    found = jax.jit(lambda b: nt.sweep(G, b, m=m))(jnp.asarray([0.5, 2.0]) / low)
    assert list(np.isnan(found.free_energy)) == [False, True]


def test_bad_sweeps_are_named():
    net = network(5, (3, 2))
    x = net.propagate(draw_inputs(0, 3))
    G = nt.bulk_hessian(net, x)
    with pytest.raises(ValueError, match="`betas` must be positive"):
        nt.sweep(G, jnp.asarray([1.0, -1.0]))
    with pytest.raises(ValueError, match="`betas` must have 1 dimension"):
        nt.sweep(G, jnp.asarray(1.0))
    with pytest.raises(ValueError, match="`mean` must be left out for Eigenmodes"):
        nt.free_energy(nt.eigenmodes(G, mean=x), 1.0, mean=x)
    with pytest.raises(TypeError, match="`G` must be a Hessian"):
        nt.eigenmodes(net)
    for argument in ({"beta": jnp.ones(2)}, {"beta": 1.0, "m": jnp.ones(2)}):
        with pytest.raises(ValueError, match=r"must have shape \(\), but got shape \(2,\)"):
            nt.free_energy(G, **argument)


def test_a_mean_is_not_dropped_where_it_cannot_be_used():
    net = network(5, (3, 2))
    x = net.propagate(draw_inputs(0, 3))
    G = nt.bulk_hessian(net, x)
    for bare in (nt.eigenmodes(G), nt.log_eigenvalues(G)):
        with pytest.raises(ValueError, match="`mean` must be left out for"):
            nt.sweep(bare, jnp.asarray([1.0]), mean=x)
        with pytest.raises(ValueError, match="`mean` must be left out for"):
            nt.log_partition(bare, 1.0, mean=x)
