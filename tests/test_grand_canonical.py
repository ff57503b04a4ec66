"""The grand canonical ensemble over N against sums in closed form."""

import math

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given

from nnthermo import mechanics

EPS = np.finfo(float).eps
COUNT = 24


def free_energies(beta, cost):
    """log Z_N = -β ε N + N/2 of COUNT independent neurons: U = ε ⟨N⟩."""
    return jnp.arange(float(COUNT)) * (0.5 - beta * cost)


@jax.jit
def ensemble(beta, mu, cost):
    return mechanics.grand_canonical(lambda b: free_energies(b, cost), beta, mu)


@jax.jit
def inverse(terms, beta, mean):
    return mechanics.chemical_potential(terms, beta, mean)


real = st.floats(-3, 3, width=32)
temperature = st.floats(0.125, 8, width=32)


@given(beta=temperature, mu=real, cost=real)
def test_independent_neurons_give_the_truncated_geometric_sum(beta, mu, cost):
    log_y = 0.5 + beta * (mu - cost)
    assume(0.02 < abs(log_y) < 20)  # the closed form cancels near 1
    found = ensemble(beta, mu, cost)
    y, K = math.exp(log_y), COUNT
    sum_ = math.expm1(K * log_y) / math.expm1(log_y)
    mean = y / (1 - y) - K / math.expm1(-K * log_y)
    variance = y / (1 - y) ** 2 - K**2 / (4 * math.sinh(K * log_y / 2) ** 2)
    rounding = 400 * EPS * K * (1 + beta) / abs(log_y) ** 2  # of the exponents, and of the closed form near y = 1
    np.testing.assert_allclose(found.log_partition, math.log(sum_), atol=rounding * K, rtol=0)
    np.testing.assert_allclose(found.mean_number, mean, atol=rounding * K, rtol=rounding)
    np.testing.assert_allclose(found.number_variance, variance, atol=rounding * K**2, rtol=rounding)
    np.testing.assert_allclose(found.average_loss, cost * mean, atol=3 * rounding * K, rtol=rounding)
    entropy = math.log(sum_) + beta * (cost - mu) * mean
    np.testing.assert_allclose(found.entropy, entropy, atol=40 * rounding * K, rtol=rounding)
    # each Z_N = e^{N/2} e^{-βεN} has entropy N/2, the rest is that of N
    np.testing.assert_allclose(found.number_entropy, entropy - mean / 2, atol=40 * rounding * K, rtol=rounding)
    np.testing.assert_allclose(found.last_ratio, y, rtol=rounding)
    if log_y < 0:  # the terms left out, and the whole sum, are known
        np.testing.assert_allclose(found.omitted_weight, y**K / (1 - y**K), rtol=rounding * K)
    else:
        assert np.isinf(found.omitted_weight)


def test_identical_neurons_are_a_poisson_distribution():
    N = np.arange(90)
    log_Z = N * math.log(3.0) - np.array([math.lgamma(n + 1) for n in N])
    for mu in (-1.0, 0.5, 1.2):
        y = 3.0 * math.exp(0.8 * mu)
        found = mechanics.grand_canonical(log_Z, 0.8, mu)
        assert found.omitted_weight < 1e-30
        for value in (found.log_partition, found.mean_number, found.number_variance):
            np.testing.assert_allclose(value, y, rtol=1e-13)  # rounding of exponents near 100
        p = mechanics.neuron_number_distribution(log_Z, 0.8, mu)
        np.testing.assert_allclose(p, np.exp(N * math.log(y) - y - [math.lgamma(n + 1) for n in N]), rtol=1e-12)
        assert np.isnan(found.average_loss)
        assert np.isnan(found.entropy)


def test_derivatives_of_the_grand_potential_in_mu_and_beta():
    def log_z(b):
        return jnp.log1p(b * jnp.arange(1.0, 6.0)) - 0.3 * b * jnp.arange(5.0) ** 2

    numbers = np.array([0, 1, 4, 5, 9])
    beta, mu = 1.4, 0.7

    def omega(b, u):
        return mechanics.grand_potential(log_z, b, u, numbers=numbers)

    def mean(u):
        return mechanics.mean_neuron_number(log_z, beta, u, numbers=numbers)

    @jax.jit
    def everything(b, u):
        return (
            mechanics.grand_canonical(log_z, b, u, numbers=numbers),
            (jax.grad(omega, (0, 1))(b, u), jax.grad(mean)(u)),
            mechanics.grand_partition_function(log_z, b, u, numbers=numbers),
            mechanics.neuron_number_variance(log_z, b, u, numbers=numbers),
            -jax.jacfwd(log_z)(b),
        )

    found, ((by_beta, by_mu), slope), _, variance, losses = everything(beta, mu)
    p = np.exp(np.asarray(log_z(beta)) + beta * mu * numbers)
    p /= p.sum()
    np.testing.assert_allclose(found.mean_number, p @ numbers, rtol=20 * EPS)
    np.testing.assert_allclose(found.number_variance, p @ numbers**2 - (p @ numbers) ** 2, rtol=50 * EPS)
    np.testing.assert_allclose(-by_mu, found.mean_number, rtol=20 * EPS)
    np.testing.assert_allclose(beta**2 * by_beta, found.entropy, rtol=50 * EPS)
    np.testing.assert_allclose(slope / beta, found.number_variance, rtol=50 * EPS)
    np.testing.assert_allclose(found.average_loss, p @ np.asarray(losses), rtol=50 * EPS)
    step = 1e-5  # error step² times third derivatives of order 10, and EPS / step
    low, high = (everything(beta, mu + s)[2] for s in (-step, step))
    np.testing.assert_allclose((high - low) / (2 * step * beta), found.mean_number, rtol=1e-8)
    np.testing.assert_allclose(variance, found.number_variance, rtol=EPS)


def test_large_exponents_keep_the_digits_of_the_variance_in_float32():
    N = np.arange(900, 1000)
    log_Z = np.float32(-2.0 * (N - 950.0) ** 2)
    found = mechanics.grand_canonical(log_Z, np.float32(1.0), np.float32(0.25), numbers=N)
    exact = mechanics.grand_canonical(np.float64(log_Z), 1.0, 0.25, numbers=N)
    assert all(field.dtype == jnp.float32 for field in found)
    np.testing.assert_allclose(found.number_variance, exact.number_variance, rtol=1e-5)  # 0.3 of N² = 10⁶
    np.testing.assert_allclose(found.mean_number, exact.mean_number, rtol=1e-6)
    huge = np.array([1e300, -1e300, 0.0, 0.0])
    assert float(mechanics.mean_neuron_number(huge, 1.0, 1e5)) == 0
    assert float(mechanics.grand_partition_function(huge, 1.0, 1e5)) == 1e300
    gone = np.array([-np.inf, 0.3, -np.inf, 0.1])
    assert float(mechanics.mean_neuron_number(gone, 1.0, 50.0)) == pytest.approx(3, abs=1e-12)
    assert np.isfinite(jax.jit(jax.grad(mechanics.neuron_number_variance))(gone, 1.0, 0.2)).all()
    assert np.isnan(mechanics.mean_neuron_number(np.full(4, -np.inf), 1.0, 0.0))


@given(
    terms=st.lists(st.floats(-50, 50, width=32), min_size=6, max_size=6),
    beta=temperature,
    mean=st.floats(0.0078125, 4.9921875, width=32),
)
def test_chemical_potential_inverts_the_mean_number(terms, beta, mean):
    terms = jnp.array(terms)
    found = inverse(terms, beta, mean)
    assert bool(found.converged)
    n = mechanics.mean_neuron_number(terms, beta, found.value)
    np.testing.assert_allclose(n, mean, atol=1e-11)  # rounding of exponents of a few hundred


def test_chemical_potential_on_a_staircase_at_the_ends_and_where_there_is_none():
    stairs = -5.0 * np.arange(41.0) ** 2
    wanted = np.array([1e-9, 0.5, 3.0, 17.5, 20.02, 40 - 1e-6])
    found = inverse(stairs, 1.0, wanted)
    assert found.converged.all()
    np.testing.assert_allclose(np.asarray(found.value)[[1, 3]], [5, 175], rtol=1e-3)  # between N and N + 1: 5(2N + 1)
    np.testing.assert_allclose(mechanics.mean_neuron_number(stairs, 1.0, found.value), wanted, rtol=1e-12)
    gone = np.full(41, -np.inf)
    gone[1:3] = 0.3, 0.2
    none = inverse(gone, 1.0, np.array([0.5, 1.25, 2.5, 1.5, 2.0, 1.75]))
    np.testing.assert_array_equal(none.converged, [False, True, False, True, False, True])
    value = 0.1 + math.log(3) * np.array([-1, 0, 1])
    np.testing.assert_allclose(none.value, [np.nan, value[0], np.nan, value[1], np.nan, value[2]], rtol=1e-14)
    assert np.isnan(inverse(jnp.asarray(gone).at[1].set(jnp.nan), 1.0, jnp.full(6, 1.25)).value).all()
    single = mechanics.chemical_potential(np.float32(stairs), np.float32(1), np.float32(17.25), iterations=2)
    assert single.value.dtype == jnp.float32
    assert not bool(single.converged)


def test_chemical_potential_has_the_derivatives_of_the_implicit_function():
    terms, mean, beta = jnp.sin(jnp.arange(7.0)), 3.3, 1.3

    @jax.jit
    def derivatives(terms, beta, mean):
        def value(terms, beta, mean):
            return mechanics.chemical_potential(terms, beta, mean).value

        def curvature(mean):
            return jax.grad(value, 2)(terms, beta, mean)

        return (
            value(terms, beta, mean),
            jax.grad(value, (0, 1, 2))(terms, beta, mean),
            jax.jvp(curvature, (mean,), (1.0,))[1],
        )

    mu, (by_terms, by_beta, by_mean), second = derivatives(terms, beta, mean)
    p = np.exp(np.asarray(terms) + beta * float(mu) * np.arange(7))
    p /= p.sum()
    d = np.arange(7) - mean
    variance, skew = p @ d**2, p @ d**3
    np.testing.assert_allclose(p @ d, 0, atol=1e-14)
    np.testing.assert_allclose(by_mean, 1 / (beta * variance), rtol=1e-12)
    np.testing.assert_allclose(second, -skew / (beta * variance**3), rtol=1e-11)
    np.testing.assert_allclose(by_beta, -mu / beta, rtol=1e-12)  # βμ stays what it is
    np.testing.assert_allclose(by_terms, -p * d / (beta * variance), rtol=1e-11, atol=1e-14)


def test_leading_axes_broadcast_and_one_program_serves_all_numbers():
    terms = np.cos(np.arange(12.0)).reshape(3, 4)
    mus = np.array([-0.5, 0.0, 2.0])
    traces = []

    @jax.jit
    def mean(terms, beta, mu):
        traces.append(1)
        return mechanics.mean_neuron_number(terms, beta, mu)

    each = [mean(terms[k], 0.7, mus[k]) for k in range(3)]
    assert len(traces) == 1
    np.testing.assert_allclose(mechanics.mean_neuron_number(terms, 0.7, mus), each, rtol=20 * EPS)
    sweep = mechanics.mean_neuron_number(terms[0], np.array([[0.7], [1.0]]), mus)
    assert sweep.shape == (2, 3)
    assert float(sweep[0, 0]) == pytest.approx(float(each[0]), rel=20 * EPS)
    back = mechanics.chemical_potential(terms, 0.7, np.array(each)).value
    np.testing.assert_allclose(back, mus, atol=1e-13)


def test_the_next_neuron_costs_the_mu_at_which_both_numbers_are_equally_likely():
    log_Z, numbers = jnp.array([0.3, -0.2, 1.7]), np.array([0, 2, 5])
    costs = mechanics.addition_energy(log_Z, 1.7, numbers=numbers)
    for k, mu in enumerate(costs):
        p = mechanics.neuron_number_distribution(log_Z, 1.7, mu, numbers=numbers)
        np.testing.assert_allclose(p[k], p[k + 1], rtol=20 * EPS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mechanics.grand_canonical(jnp.ones(1), 1.0, 0.0), ValueError, "`log_Z` must have a last axis of two"),
        (lambda: mechanics.grand_canonical(jnp.ones(3), 0.0, 0.0), ValueError, "`beta` must be positive"),
        (
            lambda: mechanics.grand_canonical(jnp.ones(3), 1.0, 0.0, numbers=[0, 2, 2]),
            ValueError,
            "`numbers` must increase",
        ),
        (
            lambda: mechanics.grand_canonical(jnp.ones(3), 1.0, 0.0, numbers=[0, 2]),
            ValueError,
            "`numbers` must have shape",
        ),
        (
            lambda: mechanics.grand_canonical(jnp.ones(3), 1.0, 0.0, numbers=[0.0, 1, 2]),
            TypeError,
            "`numbers` must be whole",
        ),
        (lambda: mechanics.grand_canonical(jnp.ones((2, 3)), 1.0, jnp.ones(4)), ValueError, "broadcast together"),
        (lambda: mechanics.grand_canonical(jnp.ones(3, complex), 1.0, 0.0), TypeError, "`log_Z` must be real"),
        (lambda: mechanics.chemical_potential(jnp.ones(3), 1.0, 2.0), ValueError, "`mean_number` must lie between"),
    ],
)
def test_refuses_by_name(call, error, message):
    with pytest.raises(error, match=message.replace("|", r"\|")):
        call()
