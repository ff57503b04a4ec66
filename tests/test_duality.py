"""Both descriptions of one ensemble against quadrature, closed forms, samples and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics

BETA = 1.3
Q = jnp.array([0.8, -0.5, 0.3, 0.1])
EDGE = np.linspace(-8, 8, 161)
NODES = jnp.asarray(np.stack(np.meshgrid(EDGE, EDGE, indexing="ij"), -1).reshape(-1, 2))
CELL = (EDGE[1] - EDGE[0]) ** 2


def loss(x, q):
    """Bulk loss of two neurons that feed each other, x = tanh(w x + b), the states free."""
    return 0.5 * jnp.sum((x - jnp.tanh(jnp.array([q[0] * x[1], q[1] * x[0]]) + q[2:])) ** 2)


def exponents(beta, q, J):
    return -beta * jax.vmap(loss, (0, None))(NODES, q) + NODES @ J


def log_partition(beta, q, J):
    """By the trapezoidal rule, which converges faster than any power for densities that end within the box."""
    return jax.nn.logsumexp(exponents(beta, q, J)) + np.log(CELL)


@pytest.mark.parametrize("source", [[0.0, 0.0], [0.4, -0.7]])
def test_both_columns_against_the_averages_of_a_recurrent_network(source):
    J = jnp.array(source)
    report = mechanics.duality_report(log_partition, BETA, Q, J)
    weights = jax.nn.softmax(exponents(BETA, Q, J))
    defects = mechanics.duality_defects(report, loss, Q, NODES, weights)
    assert max(float(d) for d in defects) < 1e-12  # the same sums, differentiated or taken: rounding of 26,000 terms
    shannon = -jnp.sum(weights * (jax.nn.log_softmax(exponents(BETA, Q, J)) - np.log(CELL)))
    assert float(report.entropy) == pytest.approx(float(shannon), abs=1e-12)
    if not np.any(source):
        slope = jax.grad(lambda beta: -log_partition(beta, Q, J) / beta)(BETA)
        assert float(report.entropy) == pytest.approx(BETA**2 * float(slope), abs=1e-11)  # (7.1)
    assert (np.linalg.eigvalsh(report.fisher) > 0).all()
    # a metric that forgot a direction would be seen here: the force by differences, error h² and rounding/h
    h = 1e-5
    step = [
        (log_partition(BETA, Q.at[k].add(h), J) - log_partition(BETA, Q.at[k].add(-h), J)) / 2 / h for k in range(4)
    ]
    np.testing.assert_allclose(report.force, -np.array(step) / BETA, atol=1e-9)


def test_gaussian_states_in_closed_form():
    """H = q x²/2: F, S and the metric of (β, J) of a Gaussian of precision βq."""
    b, q, J = 1.7, 0.6, 0.5

    def log_z(beta, q, J):
        return 0.5 * jnp.log(2 * jnp.pi / (beta * q[0])) + J[0] ** 2 / (2 * beta * q[0])

    report = mechanics.duality_report(log_z, b, jnp.array([q]), jnp.array([J]))
    variance, mean = 1 / (b * q), J / (b * q)
    assert float(report.mean_state[0]) == pytest.approx(mean)
    assert float(report.force[0]) == pytest.approx((variance + mean**2) / 2)  # ⟨x²/2⟩
    assert float(report.entropy) == pytest.approx(0.5 * np.log(2 * np.pi * np.e * variance))
    # Cov(-qx²/2, x) of a Gaussian
    expected = [[q**2 * (variance**2 / 2 + mean**2 * variance), -q * mean * variance], [-q * mean * variance, variance]]
    np.testing.assert_allclose(report.fisher, expected, rtol=1e-12)
    samples = mean + np.sqrt(variance) * np.random.default_rng(0).normal(size=(40_000, 1))
    defects = mechanics.duality_defects(report, lambda x, q: q[0] * x[0] ** 2 / 2, jnp.array([q]), samples)
    assert 0 < float(defects.mean_state) < 4 * np.sqrt(variance / 40_000)
    assert float(defects.fisher) < 0.1  # fourth moments: 4 √(var(x²)/40,000) of each entry


def test_refuses_by_name():
    def log_z(beta, q, J):
        return -beta * jnp.sum(q) + jnp.sum(J)

    for call, message in (
        (lambda: mechanics.duality_report(log_z, -1.0, Q, jnp.zeros(2)), "`beta` must be positive, but got -1.0"),
        (lambda: mechanics.duality_report(log_z, 1.0, 0.5, jnp.zeros(2)), "`q` must have 1 dimensions"),
        (
            lambda: mechanics.duality_report(lambda *numbers: numbers[1], 1.0, Q, jnp.zeros(2)),
            "`log_partition` must return one",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    report = mechanics.Duality(*[jnp.zeros(2)] * 6)
    with pytest.raises(ValueError, match="`states` must have 2 columns"):
        mechanics.duality_defects(report, loss, Q, jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match="`weights` must add up to one"):
        mechanics.duality_defects(report, loss, Q, jnp.zeros((5, 2)), jnp.ones(5))
