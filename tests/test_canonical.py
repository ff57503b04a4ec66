"""Canonical ensembles: ancestral sampling and quadrature against closed forms, each other and hand-made integrals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from systems import LOG_2PI, draw_inputs, identity, linear_log_z, network

import nnthermo as nt
from nnthermo.canonical.ancestral import triangular_root
from nnthermo.canonical.measure import activation_range, neuron_ranges

SAMPLES = 20_000
SIGMAS = 4.5  # one in 150,000 by chance, for the few thousand comparisons of this file
MEASURES = {"flat": nt.Flat(), "window": nt.Window(), "box": nt.Box()}


def within(estimate, exact, rounding=1e-9):
    """|estimate - exact| in standard errors, the rounding of exactly known numbers allowed for."""
    slack = SIGMAS * float(estimate.error) + rounding * (1 + abs(float(exact)))
    return abs(float(estimate.value) - float(exact)) <= slack


# ---------------------------------------------------------------- ensembles against closed forms


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), beta=st.floats(0.05, 50), scale=st.floats(0, 4))
def test_flat_feed_forward_ensembles_know_nothing_of_weights(seed, beta, scale):
    net = network(seed, (3, 4, 2), scale=scale)
    ensemble = nt.CanonicalEnsemble(net, draw_inputs(seed, 3), beta, measure=nt.Flat())
    found = nt.ancestral(ensemble, jax.random.key(seed), 50)
    n = net.size
    # identity: log Z = (N/2) log(2π/β), U = N/2β, S = (N/2)(1 + log(2π/β)); exact sample by sample
    assert float(found.log_partition.value) == pytest.approx(n / 2 * math.log(2 * math.pi / beta), rel=1e-12, abs=1e-12)
    assert float(found.average_loss.value) == pytest.approx(n / 2 / beta, rel=1e-12)
    assert float(found.entropy.value) == pytest.approx(n / 2 * (1 + math.log(2 * math.pi / beta)), rel=1e-12, abs=1e-12)
    assert float(found.log_partition.error) < 1e-12
    assert float(found.effective_samples) == pytest.approx(50)


@pytest.mark.exhaustive
def test_flat_samples_have_normal_residuals():
    net, beta = network(1, (3, 5, 4), scale=2.0), 3.0
    u = draw_inputs(1, 3)
    drawn = nt.ancestral_samples(nt.CanonicalEnsemble(net, u, beta, measure=nt.Flat()), jax.random.key(2), SAMPLES)
    r = np.asarray(jax.vmap(lambda x: net.ravel(net.residual(net.unravel(x), u)))(drawn.states)) * math.sqrt(beta)
    # mean and covariance of 12 standard normal numbers, each uncertain by 1/√n or √2/√n
    assert np.abs(r.mean(axis=0)).max() < 5 / math.sqrt(SAMPLES)
    assert np.abs(np.cov(r.T) - np.eye(12)).max() < 5 * math.sqrt(2 / SAMPLES)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), beta=st.floats(0.05, 20), m=st.floats(-0.5, 0.4), scale=st.floats(0, 1))
def test_linear_windowed_ensembles_have_the_gaussian_partition_function(seed, beta, m, scale):
    net = network(seed, (2, 3, 2), scale=scale, activation=identity)
    u = draw_inputs(seed, 2)
    x = net.propagate(u)
    G = nt.bulk_hessian(net, x)
    lowest = float(jnp.exp(nt.log_eigenvalues(G).values[-1]))
    if 1 + beta * (lowest - m) < 0.2 or 1 + beta * (1 - m) < 0.2:
        assume(False)  # no partition function, or one that samples see badly
    exact = nt.thermodynamic_functions(G, beta, m=m, mean=x)
    found = nt.ancestral(nt.CanonicalEnsemble(net, u, beta, m=m), jax.random.key(seed), SAMPLES)
    if m > 0 and float(found.effective_samples) < 0.2 * SAMPLES:
        assume(False)  # weights exp(+f²) of unbounded activations may have no variance
    assert within(found.log_partition, exact.log_partition)
    assert within(found.average_loss, exact.average_loss)


def test_the_entropy_has_the_term_of_the_window():
    net, u, beta = network(4, (2, 3, 2), activation=identity), draw_inputs(4, 2), 1.7
    G = nt.bulk_hessian(net, net.propagate(u))
    found = nt.ancestral(nt.CanonicalEnsemble(net, u, beta), jax.random.key(0), 200_000, moments=True)
    assert within(found.entropy, nt.gaussian_entropy(G, beta))
    assert not within(found.entropy, nt.entropy(G, beta, mean=net.propagate(u)))  # (7.1) lacks ½⟨x·x⟩
    M = np.eye(7) + beta * np.asarray(G.to_dense())
    shift = np.linalg.solve(M, np.asarray(net.ravel(net.propagate(u))))  # ⟨x⟩ = x̄ - M⁻¹x̄
    mean = np.asarray(net.ravel(net.propagate(u))) - shift
    deviation = np.sqrt(np.diag(np.linalg.inv(M)))
    n_eff = float(found.effective_samples)
    assert np.all(np.abs(np.asarray(found.mean) - mean) < 5 * deviation / math.sqrt(n_eff))
    # entries of a covariance are uncertain by at most √2 σ_i σ_j/√n
    bound = 6 * math.sqrt(2 / n_eff) * np.outer(deviation, deviation)
    assert np.all(np.abs(np.asarray(found.covariance) - np.linalg.inv(M)) < bound)
    assert within(found.mean_square, np.trace(np.linalg.inv(M)) + mean @ mean)


@pytest.mark.exhaustive
def test_gaussian_ensembles_are_the_exact_ones_of_linear_networks():
    net, u = network(4, (2, 3, 2), activation=identity), draw_inputs(4, 2)
    for m, options in ((0.0, {}), (0.2, {}), (0.2, {"clamp_inputs": True})):
        ensemble = nt.CanonicalEnsemble(net, u, 1.7, m=m, **options)
        exact = nt.ancestral(ensemble, jax.random.key(0), SAMPLES, moments=True)
        gaussian = nt.gaussian_ensemble(ensemble)
        for name in ("log_partition", "average_loss", "entropy"):
            assert within(getattr(exact, name), getattr(gaussian, name)), (m, options, name)
        n_eff, covariance = float(exact.effective_samples), np.asarray(gaussian.covariance())
        deviation = np.sqrt(np.diag(covariance))
        assert np.all(np.abs(np.asarray(exact.mean - gaussian.mean)) <= 5 * deviation / math.sqrt(n_eff) + 1e-12)
        bound = 6 * math.sqrt(2 / n_eff) * np.outer(deviation, deviation) + 1e-12
        assert np.all(np.abs(np.asarray(exact.covariance) - covariance) <= bound)
        drawn = np.asarray(gaussian.sample(jax.random.key(1), SAMPLES))
        assert np.all(
            np.abs(drawn.mean(axis=0) - np.asarray(gaussian.mean)) <= 5 * deviation / math.sqrt(SAMPLES) + 1e-12
        )
        spread = 6 * math.sqrt(2 / SAMPLES) * np.outer(deviation, deviation) + 1e-12
        assert np.all(np.abs(np.cov(drawn.T) - covariance) <= spread)


def test_gaussian_ensembles_with_and_without_the_mean_term():
    net, u = network(5, (2, 3, 2)), draw_inputs(5, 2)
    ensemble = nt.CanonicalEnsemble(net, u, 1.7)
    x = net.propagate(u)
    G = nt.bulk_hessian(net, x)
    kept, dropped = (nt.gaussian_ensemble(ensemble, mean_term=k) for k in (True, False))
    assert float(kept.log_partition) == pytest.approx(float(nt.log_partition(G, 1.7, mean=x)), rel=1e-14)
    assert float(dropped.log_partition) == pytest.approx(float(nt.log_partition(G, 1.7)), rel=1e-14)
    assert float(kept.average_loss) == pytest.approx(float(nt.average_loss(G, 1.7, mean=x)), rel=1e-13)
    assert float(kept.entropy) == float(dropped.entropy) == pytest.approx(float(nt.gaussian_entropy(G, 1.7)), rel=1e-14)
    assert np.asarray(dropped.mean) == pytest.approx(np.asarray(net.ravel(x)))
    # S = βU + log Z + ½⟨x·x⟩ with the moments of the distribution itself
    square = float(jnp.trace(kept.covariance()) + kept.mean @ kept.mean)
    assert float(kept.entropy) == pytest.approx(float(1.7 * kept.average_loss + kept.log_partition) + square / 2)
    for change, message in (
        ({"measure": nt.Box()}, "`measure` must be a window"), ({"measure": nt.Window(2.0)}, "`stiffness` must be 1"),
        ({"targets": jnp.zeros(2)}, "`targets` must be left free"),
        ({"potential": nt.local_potential(jnp.cos)}, "`potential` must be left out"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            nt.gaussian_ensemble(ensemble.replace(**change))


# ---------------------------------------------------------------- quadrature


def test_quadrature_of_linear_graphs_is_the_gaussian_integral():
    for seed, beta, m in ((0, 0.3, 0.0), (1, 2.0, 0.2), (2, 30.0, -1.0)):
        net = network(seed, (1, 1, 1), activation=identity)
        u = draw_inputs(seed, 1)
        x = net.propagate(u)
        G = nt.bulk_hessian(net, x)
        found = nt.quadrature(nt.CanonicalEnsemble(net, u, beta, m=m), points=128)
        exact = nt.thermodynamic_functions(G, beta, m=m, mean=x)
        assert float(found.log_partition.value) == pytest.approx(float(exact.log_partition), abs=1e-9)
        assert float(found.average_loss.value) == pytest.approx(float(exact.average_loss), abs=1e-9)
        B = np.linalg.cholesky(np.asarray(G.to_dense())).T
        offset = B @ np.asarray(net.ravel(x))
        assert float(found.log_partition.value) == pytest.approx(linear_log_z(B, offset, beta, m), abs=1e-9)
        inverse = np.linalg.inv((1 - beta * m) * np.eye(3) + beta * np.asarray(G.to_dense()))
        assert np.asarray(found.covariance) == pytest.approx(inverse, abs=1e-9)


def test_quadrature_has_the_moments_of_a_hand_made_integral():
    net = network(7, (1, 1), scale=2.0)
    u, beta = jnp.array([0.6]), 4.0
    ensemble = nt.CanonicalEnsemble(net, u, beta, measure=nt.Box(), m=0.3)
    found = nt.quadrature(ensemble)
    nodes, weights = np.polynomial.legendre.leggauss(300)
    a, b = np.meshgrid(nodes, nodes, indexing="ij")
    w, c = float(net.weights[0][0, 0]), float(net.biases[0][0])
    H = 0.5 * (a - 0.6) ** 2 + 0.5 * (b - np.tanh(w * a + c)) ** 2 - 0.15 * (a**2 + b**2)
    density = np.exp(-beta * H) * np.outer(weights, weights)
    Z = density.sum()
    assert float(found.log_partition.value) == pytest.approx(math.log(Z), abs=1e-12)
    assert float(found.average_loss.value) == pytest.approx((density * H).sum() / Z, abs=1e-12)
    assert float(found.entropy.value) == pytest.approx(math.log(Z) + beta * (density * H).sum() / Z, abs=1e-12)
    means = np.array([(density * a).sum(), (density * b).sum()]) / Z
    assert np.asarray(found.mean) == pytest.approx(means, abs=1e-12)
    assert float(found.covariance[0, 1]) == pytest.approx((density * a * b).sum() / Z - means.prod(), abs=1e-12)


def test_the_window_costs_what_the_audit_says_at_infinite_temperature():
    net = network(0, (1, 1))
    u, beta = jnp.array([0.2]), 1e-9
    window, box = (nt.quadrature(nt.CanonicalEnsemble(net, u, beta, measure=s)) for s in (nt.Window(), nt.Box()))
    each = (float(window.log_partition.value) - float(box.log_partition.value)) / 2
    assert each == pytest.approx(0.5 * LOG_2PI - math.log(2), abs=1e-8)  # 0.2258; β times a loss of order 1 is left


def test_quadrature_of_a_graph_with_cycles_against_its_jacobian():
    # flat, m = 0, a contraction: r is a change of variables, log Z = log(2π/β) + log E_r[1/det B]
    net = nt.Septuple(
        jnp.array([[0.3, -0.5], [0.6, 0.2]]), jnp.array([0.1, -0.2]), activation=jnp.tanh,
        input_mask=np.zeros(2, bool), output_mask=np.array([False, True]),
    )  # fmt: skip
    beta = 3.0
    found = nt.quadrature(nt.CanonicalEnsemble(net, jnp.zeros(0), beta, measure=nt.Flat()))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    total = 0.0
    for a, wa in zip(nodes, weights, strict=True):
        for b, wb in zip(nodes, weights, strict=True):
            x = np.zeros(2)
            for _ in range(200):
                x = np.array([a, b]) / math.sqrt(beta) + np.tanh(np.asarray(net.weight) @ x + np.asarray(net.bias))
            slopes = 1 - np.tanh(np.asarray(net.weight) @ x + np.asarray(net.bias)) ** 2
            total += wa * wb / np.linalg.det(np.eye(2) - slopes[:, None] * np.asarray(net.weight))
    exact = math.log(2 * math.pi / beta) + math.log(total / (2 * math.pi))
    assert float(found.log_partition.value) == pytest.approx(exact, abs=1e-7)  # 60 nodes of a smooth function


# ---------------------------------------------------------------- ancestral against quadrature


CLAMPINGS = {
    "free": {},
    "inputs": {"clamp_inputs": True},
    "outputs": {"targets": 0.4},
    "both": {"clamp_inputs": True, "targets": 0.4},
}


PAIRS = [
    ("window", "free"), ("window", "both"), ("box", "free"),
    *(pytest.param(*pair, marks=pytest.mark.exhaustive)
      for pair in (("window", "inputs"), ("window", "outputs"), ("box", "both"), ("flat", "outputs"))),
]  # fmt: skip
"""Every clamping and every measure, not every pair: each is a program to compile."""


@pytest.mark.slow
@pytest.mark.parametrize(("measure", "clamping"), PAIRS)
def test_ancestral_and_quadrature_agree_over_random_networks(measure, clamping):
    given_data = dict(CLAMPINGS[clamping])
    if "targets" in given_data:
        given_data["targets"] = jnp.array([given_data["targets"]])
    rng, compared = np.random.default_rng(5), 0
    for trial in range(6):
        net = network(trial, (1, 1, 1), scale=rng.uniform(0.2, 3), bias=1.0)
        beta, m = 10 ** rng.uniform(-1, 1.5), rng.choice([0.0, 0.2])
        ensemble = nt.CanonicalEnsemble(
            net, jnp.asarray(rng.uniform(-1, 1, 1)), beta, measure=MEASURES[measure], m=m, **given_data
        )
        # half of the smallest 1/√κ, and of what tanh varies over, is more than the spacing
        exact = nt.quadrature(ensemble, points=96 if ensemble.dimension == 3 else 384)
        found = nt.ancestral(ensemble, jax.random.key(trial), SAMPLES, moments=True)
        if float(found.effective_samples) < 0.05 * SAMPLES:
            continue  # clamped far from where the network goes: errors mean little
        compared += 1
        for name in ("log_partition", "average_loss", "entropy", "mean_square"):
            value = getattr(exact, name).value
            assert within(getattr(found, name), value, rounding=1e-6), (trial, beta, m, name)
        deviation = np.sqrt(np.maximum(np.diag(exact.covariance), 0))
        allowed = 5 * deviation / math.sqrt(float(found.effective_samples)) + 1e-6
        assert np.all(np.abs(np.asarray(found.mean - exact.mean)) < allowed)
    assert compared >= 3


@pytest.mark.exhaustive
def test_layers_and_their_dense_twin_are_one_ensemble():
    net = network(3, (3, 4, 2), scale=1.5)
    u = draw_inputs(3, 3)
    t = jnp.array([0.1, -0.2])
    for measure, options in ((nt.Window(), {"targets": t}), (nt.Box(), {"clamp_inputs": True})):
        pair = [
            nt.ancestral(nt.CanonicalEnsemble(n, u, 2.0, measure=measure, m=0.1, **options), jax.random.key(k), SAMPLES)
            for k, n in enumerate((net, net.to_septuple()))
        ]
        for name in ("log_partition", "average_loss", "entropy"):
            one, other = (getattr(p, name) for p in pair)
            both = nt.Estimate(one.value, jnp.hypot(one.error, other.error))
            assert within(both, other.value)


@pytest.mark.exhaustive
def test_connections_that_skip_layers_are_sampled_exactly():
    weight = jnp.array([[0.0, 0, 0], [1.2, 0, 0], [-0.8, 1.5, 0]])
    net = nt.Septuple(
        weight, jnp.array([0.0, 0.2, -0.1]), activation=jnp.tanh,
        input_mask=np.array([True, False, False]), output_mask=np.array([False, False, True]),
    )  # fmt: skip
    for measure in (nt.Window(), nt.Box()):
        ensemble = nt.CanonicalEnsemble(net, jnp.array([0.5]), 2.5, measure=measure)
        exact, found = nt.quadrature(ensemble, points=96), nt.ancestral(ensemble, jax.random.key(1), SAMPLES)
        assert within(found.log_partition, exact.log_partition.value, rounding=1e-6)
        assert within(found.average_loss, exact.average_loss.value, rounding=1e-6)


@pytest.mark.exhaustive
def test_local_objectives_join_the_weights():
    net = network(11, (1, 1, 1), scale=1.2)
    V = nt.local_potential(lambda v: 0.3 * jnp.cos(3 * v))
    for measure in (nt.Window(), nt.Box()):
        ensemble = nt.CanonicalEnsemble(net, jnp.array([0.3]), 2.0, measure=measure, potential=V)
        exact, found = nt.quadrature(ensemble, points=96), nt.ancestral(ensemble, jax.random.key(0), SAMPLES)
        assert within(found.log_partition, exact.log_partition.value, rounding=1e-6)
        assert within(found.average_loss, exact.average_loss.value, rounding=1e-6)
    both = nt.CanonicalEnsemble(net, jnp.array([0.3]), 2.0, potential=nt.QuadraticPotential(0.3))
    by_m = nt.CanonicalEnsemble(net, jnp.array([0.3]), 2.0, m=0.3)
    values = [float(nt.quadrature(e, points=96).log_partition.value) for e in (both, by_m)]
    assert values[0] == pytest.approx(values[1], rel=1e-14)


def test_weighted_samples_average_as_their_estimates_do():
    net, u = network(5, (2, 3, 1), scale=2.0), draw_inputs(5, 2)
    ensemble = nt.CanonicalEnsemble(net, u, 1.5, targets=jnp.array([0.5]))
    drawn = nt.ancestral_samples(ensemble, jax.random.key(9), SAMPLES)
    found = nt.ancestral(ensemble, jax.random.key(9), SAMPLES, moments=True)
    assert float(jax.nn.logsumexp(drawn.log_weights) - math.log(SAMPLES)) == pytest.approx(
        float(found.log_partition.value), abs=2 / SAMPLES
    )
    assert np.asarray(drawn.states[:, -1]) == pytest.approx(0.5)
    direct = float(drawn.weights @ drawn.losses)  # another estimator of U on the same samples
    assert abs(direct - float(found.average_loss.value)) < 6 * float(found.average_loss.error) + 0.05 * direct
    one = jax.vmap(lambda x: ensemble.loss(net.unravel(x)))(drawn.states[:5])
    assert np.asarray(one) == pytest.approx(np.asarray(drawn.losses[:5]))
    assert np.asarray(found.mean) == pytest.approx(np.asarray(drawn.mean()))


def test_wide_inputs_are_integrated_out():
    net, u = network(6, (9, 3, 2), scale=1.5), draw_inputs(6, 9)
    ensemble = nt.CanonicalEnsemble(net, u, 2.0)
    short = nt.ancestral(ensemble, jax.random.key(0), SAMPLES)  # 3 numbers stand for 9 inputs
    long = nt.ancestral(ensemble, jax.random.key(1), SAMPLES, moments=True)  # all 9 are drawn
    both = nt.Estimate(short.log_partition.value, jnp.hypot(short.log_partition.error, long.log_partition.error))
    assert within(both, long.log_partition.value)
    w = net.weights[0]
    root = triangular_root(w)
    assert np.asarray(root @ root.T) == pytest.approx(np.asarray(w @ w.T), abs=1e-13)
    assert np.all(np.diag(np.asarray(root)) >= 0)
    assert np.asarray(root) == pytest.approx(np.linalg.cholesky(np.asarray(w @ w.T)), abs=1e-12)


# ---------------------------------------------------------------- Stein, derivatives, differences


def test_stein_identities():
    net, u, beta = network(8, (2, 3, 2), scale=2.0), draw_inputs(8, 2), 1.3
    ensemble = nt.CanonicalEnsemble(net, u, beta)
    drawn = nt.ancestral_samples(ensemble, jax.random.key(4), 100_000)
    forces = jax.jit(jax.vmap(jax.grad(ensemble.log_density)))(drawn.states)
    w = np.asarray(drawn.weights)[:, None]
    virial = np.asarray(jnp.sum(drawn.states * forces, axis=-1))[:, None]
    for values, exact in ((np.asarray(forces), 0.0), (virial, -7.0)):  # ⟨β∇H + x⟩ = 0, ⟨x·(β∇H + x)⟩ = N
        mean = (w * values).sum(axis=0)
        error = np.sqrt((w**2 * (values - mean) ** 2).sum(axis=0))
        assert np.all(np.abs(mean - exact) < SIGMAS * error)
        assert error.max() < 0.05  # the test can fail


def test_log_z_is_differentiable_in_weights_and_data():
    net, u = network(9, (1, 1, 1), scale=1.5), jnp.array([0.4])

    def sampled(net, u, beta):
        return nt.ancestral(nt.CanonicalEnsemble(net, u, beta), jax.random.key(0), 100_000).log_partition.value

    gradient = jax.jit(jax.grad(sampled, (0, 1, 2)))(net, u, jnp.asarray(2.0))
    h = 1e-4
    step = net.replace(weights=[net.weights[0], net.weights[1] + h])
    back = net.replace(weights=[net.weights[0], net.weights[1] - h])
    exact = lambda n, u, b: float(nt.quadrature(nt.CanonicalEnsemble(n, u, b), points=128).log_partition.value)  # noqa: E731
    weight = (exact(step, u, 2.0) - exact(back, u, 2.0)) / (2 * h)
    data = (exact(net, u + h, 2.0) - exact(net, u - h, 2.0)) / (2 * h)
    temperature = (exact(net, u, 2.0 + h) - exact(net, u, 2.0 - h)) / (2 * h)
    # derivatives are averages over 100,000 samples of numbers of order 1
    assert float(gradient[0].weights[1][0, 0]) == pytest.approx(weight, abs=0.005)
    assert float(gradient[1][0]) == pytest.approx(data, abs=0.005)
    assert float(gradient[2]) == pytest.approx(temperature, abs=0.005)
    # at fixed noise it is the exact derivative of what is computed
    same = (float(sampled(step, u, jnp.asarray(2.0))) - float(sampled(back, u, jnp.asarray(2.0)))) / (2 * h)
    assert float(gradient[0].weights[1][0, 0]) == pytest.approx(same, abs=1e-7)


def test_common_random_numbers_resolve_small_differences():
    net, u = network(10, (2, 4, 2), scale=1.5), draw_inputs(10, 2)
    near = net.replace(weights=[net.weights[0] * 1.01, net.weights[1]])
    one, other = (nt.CanonicalEnsemble(n, u, 2.0) for n in (net, near))
    key = jax.random.key(3)
    difference = nt.log_partition_difference(one, other, key, SAMPLES)
    parts = [nt.ancestral(e, key, SAMPLES).log_partition for e in (one, other)]
    assert float(difference.value) == pytest.approx(float(parts[1].value - parts[0].value), abs=1e-12)
    assert float(difference.error) < 0.05 * float(jnp.hypot(parts[0].error, parts[1].error))
    many = [nt.log_partition_difference(one, other, jax.random.key(k), 1000) for k in range(60)]
    spread = np.std([float(d.value) for d in many], ddof=1)
    stated = np.mean([float(d.error) for d in many])
    assert 0.7 < spread / stated < 1.4  # 60 values know their spread to 9 %, twice
    with pytest.raises(ValueError, match="`other` must have the shapes"):
        nt.log_partition_difference(one, nt.CanonicalEnsemble(network(0, (2, 5, 2)), u, 2.0), key)


@pytest.mark.slow
def test_stated_errors_are_the_spread_of_repetitions():
    net, u = network(12, (2, 5, 4, 2), scale=2.0), draw_inputs(12, 2)
    ensemble = nt.CanonicalEnsemble(net, u, 3.0, m=0.1)
    found = [nt.ancestral(ensemble, jax.random.key(k), 500) for k in range(200)]
    for name in ("log_partition", "average_loss", "entropy", "mean_square"):
        values = np.array([float(getattr(f, name).value) for f in found])
        errors = np.array([float(getattr(f, name).error) for f in found])
        assert 0.8 < values.std(ddof=1) / errors.mean() < 1.25, name  # 200 values know their spread to 5 %
    logs = np.array([float(f.log_partition.value) for f in found])
    precise = nt.ancestral(ensemble, jax.random.key(999), 400_000).log_partition
    assert abs(logs.mean() - float(precise.value)) < 4 * logs.std() / math.sqrt(200) + 4 * float(precise.error)


# ---------------------------------------------------------------- densities, measures, bad input


def test_densities_are_minus_beta_h_and_the_measure():
    net, u, t = network(13, (2, 3, 2)), draw_inputs(13, 2), jnp.array([0.3, -0.1])
    V = nt.pair_interaction(0.1 * jnp.ones((7, 7)))
    for options, held in (({}, []), ({"clamp_inputs": True, "targets": t}, [0, 1, 5, 6]), ({"targets": t}, [5, 6])):
        ensemble = nt.CanonicalEnsemble(net, u, 1.7, m=0.2, potential=V, measure=nt.Window(0.5), **options)
        assert np.flatnonzero(~ensemble.free).tolist() == held
        v = jnp.linspace(-1, 1, ensemble.dimension)
        x = ensemble.state(v)
        assert np.asarray(net.ravel(x))[ensemble.free] == pytest.approx(np.asarray(v))
        inputs = None if 0 in held else u
        H = nt.bulk_loss(net, x, inputs=inputs, potential=nt.total_potential(nt.QuadraticPotential(0.2), V))
        assert float(ensemble.loss(x)) == pytest.approx(float(H))
        assert float(ensemble.log_density(v)) == pytest.approx(-1.7 * float(H) - 0.25 * float(v @ v))
    boxed = nt.CanonicalEnsemble(net, u, 1.7, measure=nt.Box())
    assert float(boxed.log_density(jnp.full(7, 1.01))) == -np.inf
    assert np.isfinite(float(boxed.log_density(jnp.full(7, 0.99))))


def test_ranges_of_activations():
    for f, low, high in (
        (jnp.tanh, -1, 1), (jax.nn.sigmoid, 0, 1), (jax.nn.relu, 0, np.inf), (identity, -np.inf, np.inf),
        (jnp.sin, -1, 1), (jax.nn.softplus, 0, np.inf), (lambda y: -jax.nn.relu(y), -np.inf, 0),
    ):  # fmt: skip
        found = activation_range(f, 2)
        assert np.asarray(found) == pytest.approx(np.array([[low] * 2, [high] * 2]), abs=1e-5)
    net = nt.FeedForward.init(jax.random.key(0), (2, 3, 1), activation=[jax.nn.sigmoid, jnp.tanh])
    low, high = neuron_ranges(net)
    assert low == pytest.approx([0, 0, 0, 0, 0, -1])
    assert high == pytest.approx(1)


def test_ensembles_pass_through_transformations_in_their_own_precision():
    net = nt.FeedForward.init(jax.random.key(0), (4, 3, 2), activation=jnp.tanh, dtype=jnp.float32)
    u = jnp.linspace(-1, 1, 4, dtype=jnp.float32)
    for measure in MEASURES.values():
        ensemble = nt.CanonicalEnsemble(net, u, 2.0, measure=measure, m=0.1, targets=[0.1, 0.2])
        found = nt.ancestral(ensemble, jax.random.key(0), 100, moments=True)
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
        assert ensemble.log_density(jnp.zeros(7, jnp.float32)).dtype == jnp.float32

    @jax.jit
    def of(net, u, beta):
        return nt.ancestral(nt.CanonicalEnsemble(net, u, beta), jax.random.key(0), 100).average_loss.value

    several = jax.vmap(of, (None, None, 0))(net, u, jnp.array([1.0, 2.0], jnp.float32))
    assert several.shape == (2,)
    assert float(of(net, u, jnp.float32(1))) == pytest.approx(float(several[0]), rel=1e-5)
    small = nt.quadrature(nt.CanonicalEnsemble(network(0, (1, 1), dtype=np.float32), jnp.zeros(1), 1.0))
    assert small.log_partition.value.dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 0.0}, "`beta` must be positive"),
        ({"inputs": jnp.zeros(3)}, "`inputs` must have shape"),
        ({"targets": jnp.zeros(3)}, "`targets` must have shape"),
        ({"m": 2.0}, "`m` must be below 1 \\+ 1/β"),
        ({"m": 1.0, "measure": nt.Flat()}, "`m` must be below 1 for"),
        ({"measure": nt.Box(jnp.zeros(2), jnp.ones(2))}, "`low` must be a number or have shape"),
        ({"measure": nt.Box(-jnp.inf, jnp.inf), "m": 1.5}, "`m` must be below 1 for"),
        ({"m": jnp.nan}, "`m` must be finite"),
        ({"inputs": jnp.array([0.0, jnp.nan])}, "`inputs` must be finite"),
        ({"beta": jnp.inf}, "`beta` must be finite"),
    ],
)
def test_bad_ensembles_are_named(change, message):
    given_data = {"net": network(0, (2, 3, 2)), "inputs": jnp.zeros(2), "beta": 3.0} | change
    with pytest.raises(ValueError, match=message):
        nt.CanonicalEnsemble(given_data.pop("net"), given_data.pop("inputs"), given_data.pop("beta"), **given_data)


def test_what_cannot_be_done_is_said():
    net = network(0, (2, 3, 2))
    ensemble = nt.CanonicalEnsemble(net, jnp.zeros(2), 1.0)
    with pytest.raises(ValueError, match="at most 3 free neurons"):
        nt.quadrature(ensemble)
    steep = nt.FeedForward([[[3.0]]], [[0.0]], activation=identity)  # λ_min = 0.09 < m
    for measure in (nt.Flat(), nt.Window()):
        endless = nt.CanonicalEnsemble(steep, jnp.zeros(1), 20.0, m=0.3, measure=measure)
        with pytest.raises(ValueError, match="density that falls in every direction"):
            nt.quadrature(endless)
    with pytest.raises(ValueError, match="`ensemble` must be known"):
        jax.jit(lambda b: nt.quadrature(nt.CanonicalEnsemble(steep, jnp.zeros(1), b)).mean)(1.0)
    assert jax.jit(lambda b: nt.gaussian_ensemble(nt.CanonicalEnsemble(net, jnp.zeros(2), b)).log_partition)(1.0) == (
        pytest.approx(float(nt.gaussian_ensemble(ensemble).log_partition))
    )
    with pytest.raises(ValueError, match="`samples` must be at least 2"):
        nt.ancestral(ensemble, jax.random.key(0), 1)
    with pytest.raises(TypeError, match="`measure` must be Flat, Window or Box"):
        nt.CanonicalEnsemble(net, jnp.zeros(2), 1.0, measure="box")
    with pytest.raises(ValueError, match="`stiffness` must be positive"):
        nt.Window(0.0)
    with pytest.raises(ValueError, match="`high` must exceed low"):
        nt.Box(1.0, 0.0)
    with pytest.raises(ValueError, match="given together"):
        nt.Box(1.0)
    ring = nt.Septuple(
        jnp.array([[0.0, 0.5], [0.5, 0.0]]), jnp.zeros(2), activation=jnp.tanh,
        input_mask=np.zeros(2, bool), output_mask=np.zeros(2, bool),
    )  # fmt: skip
    with pytest.raises(ValueError, match="no cycles"):
        nt.ancestral(nt.CanonicalEnsemble(ring, jnp.zeros(0), 1.0), jax.random.key(0))
    whole = nt.FeedForward.init(jax.random.key(0), (1, 1), activation=jnp.tanh)
    with pytest.raises(ValueError, match="have a neuron that is free"):
        nt.CanonicalEnsemble(whole, jnp.zeros(1), 1.0, clamp_inputs=True, targets=jnp.zeros(1))
