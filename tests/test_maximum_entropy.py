"""Maximum entropy: β from an average loss, against closed forms, competitors, and finite differences."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import draw_inputs, network

import nnthermo as nt


def entropy_of(p):
    p = np.asarray(p)
    return -np.sum(p[p > 0] * np.log(p[p > 0]))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), beta=st.floats(-20, 20), scale=st.floats(0.1, 10),
    weights=st.sampled_from([None, (3.0, 1.0, 2.0, 0.5, 7.0)]),
)  # fmt: skip
def test_beta_of_finitely_many_states_gives_the_loss_back(seed, beta, scale, weights):
    H = scale * np.random.default_rng(seed).uniform(0, 1, 5)
    beta = beta / scale
    p = nt.boltzmann(H, beta, multiplicities=weights)
    assert float(p.sum()) == pytest.approx(1)
    U = float(p @ H)
    found = nt.maximum_entropy(U, H, multiplicities=weights)
    assert bool(found.exists)
    variance = float(p @ (H - U) ** 2)
    # U carries rounding ε·scale, of which β has that over its slope Var H
    assert float(found.beta) == pytest.approx(beta, rel=1e-9, abs=1e-12 * (1 + scale / max(variance, 1e-300)))
    g = np.ones(5) if weights is None else np.array(weights)
    assert float(found.log_partition) == pytest.approx(
        np.log(np.sum(g * np.exp(-beta * H))), abs=1e-8 * (1 + abs(beta) * scale)
    )
    if weights is None:
        assert float(found.entropy) == pytest.approx(entropy_of(p), abs=1e-7)


def test_no_competitor_with_the_same_loss_has_more_entropy():
    rng = np.random.default_rng(1)
    H = np.array([0.0, 0.3, 1.0, 2.5])
    found = nt.maximum_entropy(0.7, H)
    best = nt.boltzmann(H, found.beta)
    _, _, kernel = np.linalg.svd(np.stack([np.ones(4), H]))
    for _ in range(200):
        q = np.asarray(best) + 0.05 * rng.normal() * (rng.normal(size=2) @ kernel[2:])
        if q.min() > 0:
            assert q @ H == pytest.approx(0.7)
            assert entropy_of(q) <= float(found.entropy) + 1e-12
    assert float(found.entropy) == pytest.approx(entropy_of(best), abs=1e-12)


def test_existence_and_signs():
    H = jnp.array([1.0, 2.0, 4.0])
    mean = 7 / 3
    assert float(nt.maximum_entropy(mean, H).beta) == pytest.approx(0, abs=1e-12)
    assert float(nt.maximum_entropy(mean + 0.1, H).beta) < 0 < float(nt.maximum_entropy(mean - 0.1, H).beta)
    for U in (0.5, 1.0, 4.0, 5.0):
        found = nt.maximum_entropy(U, H)
        assert not bool(found.exists)
        assert np.isnan([float(v) for v in found[:3]]).all()
    assert not bool(nt.maximum_entropy(1.0, jnp.array([1.0, 1.0])).exists)
    near = nt.maximum_entropy(1 + 1e-9, H)  # nearly all weight on the lowest: e^-β = 1e-9
    assert float(near.beta) == pytest.approx(-math.log(1e-9), rel=1e-6)
    two = jnp.array([0.0, 1.0], jnp.float32)
    assert float(nt.maximum_entropy(jnp.float32(1e-30), two).beta) == pytest.approx(30 * math.log(10), rel=1e-5)
    with pytest.raises(ValueError, match="`bounds` must be an interval"):
        nt.maximum_entropy(1.0, lambda b: -jnp.log(b), bounds=(1.0,))
    with pytest.raises(ValueError, match="`losses` must be finite"):
        nt.maximum_entropy(1.0, [0.0, np.inf])
    with pytest.raises(ValueError, match="`multiplicities` must be positive"):
        nt.maximum_entropy(1.0, [0.0, 2.0], multiplicities=[1.0, 0.0])
    with pytest.raises(ValueError, match="`bounds` must be an interval"):
        nt.maximum_entropy(1.0, lambda b: -jnp.log(b), bounds=(2.0, 1.0))


def test_a_continuum_gives_beta_back():
    for N, beta in ((3, 0.01), (7, 4.0), (5, 1e4)):  # flat feed-forward: log Z = (N/2) log(2π/β), U = N/2β
        found = nt.maximum_entropy(N / 2 / beta, lambda b, N=N: 0.5 * N * jnp.log(2 * jnp.pi / b))
        assert float(found.beta) == pytest.approx(beta, rel=1e-13)
        assert float(found.entropy) == pytest.approx(N / 2 * (1 + math.log(2 * math.pi / beta)), rel=1e-12)
    net = network(0, (3, 4, 2))
    x = net.propagate(draw_inputs(0, 3))
    G = nt.bulk_hessian(net, x)
    U = nt.average_loss(G, 2.3, mean=x)
    found = nt.maximum_entropy(U, lambda b: nt.log_partition(G, b, mean=x))
    assert float(found.beta) == pytest.approx(2.3, rel=1e-10)
    assert float(found.entropy) == pytest.approx(float(nt.entropy(G, 2.3, mean=x)), abs=1e-8)
    assert not bool(nt.maximum_entropy(1e9, lambda b: nt.log_partition(G, b, mean=x)).exists)


def test_negative_temperatures_of_a_box():
    def log_z(b):  # H = x on (0, 1): Z = (1 - e^-β)/β
        safe = jnp.where(jnp.abs(b) < 1e-8, 1.0, b)
        return jnp.where(jnp.abs(b) < 1e-8, -b / 2, jnp.log(-jnp.expm1(-safe) / safe))

    found = nt.maximum_entropy(0.6, log_z, bounds=(-100.0, 100.0))
    beta = float(found.beta)
    assert beta < 0
    assert 1 / beta - 1 / math.expm1(beta) == pytest.approx(0.6, abs=1e-12)


def test_beta_is_differentiable():
    H = jnp.array([0.0, 0.4, 1.0, 3.0])
    U = jnp.asarray(0.8)
    found = nt.maximum_entropy(U, H)
    p = nt.boltzmann(H, found.beta)
    slope = jax.grad(lambda u: nt.maximum_entropy(u, H).beta)(U)
    assert float(slope) == pytest.approx(-1 / float(p @ (H - 0.8) ** 2), rel=1e-10)
    assert float(jax.grad(lambda u: nt.maximum_entropy(u, H).entropy)(U)) == pytest.approx(float(found.beta), rel=1e-10)
    h = 1e-6
    of_losses = jax.grad(lambda v: nt.maximum_entropy(U, v).beta)(H)
    for k in range(4):
        step = h * jnp.eye(4)[k]
        finite = float(nt.maximum_entropy(U, H + step).beta - nt.maximum_entropy(U, H - step).beta) / (2 * h)
        assert float(of_losses[k]) == pytest.approx(finite, rel=1e-7, abs=1e-8)  # h² and ε/h

    many = jax.jit(jax.vmap(lambda u: nt.maximum_entropy(u, H).beta))(jnp.array([0.5, 0.8, 2.0, 9.0]))
    assert float(many[1]) == pytest.approx(float(found.beta))
    assert np.isnan(float(many[3]))


def test_the_two_temperatures_of_the_paper_are_two():
    # Section 10: the gap at log λ = -2.3 gives β = 1.47 by (9.4); N_> = 500 and log U = -6 give 1e5 by (10.1)
    assert float(nt.beta_from_gap(-2.3)) == pytest.approx(1.470, abs=5e-4)
    assert float(nt.beta_from_loss(500, math.exp(-6))) == pytest.approx(1.0e5, rel=0.01)
    # where (10.1) is exact, U = N/2β, it is maximum entropy
    found = nt.maximum_entropy(0.25, lambda b: 0.5 * 10 * jnp.log(2 * jnp.pi / b))
    assert float(found.beta) == pytest.approx(float(nt.beta_from_loss(10, 0.25)), rel=1e-12)
