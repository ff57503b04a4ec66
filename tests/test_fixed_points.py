"""Every fixed point of a graph with cycles: against bisection, products of neurons, and the sum of indices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp
from systems import draw_inputs, graph, identity

import nnthermo as nt

EPS = float(np.finfo(np.float64).eps)
KEY = jax.random.key(22)
NONE = jnp.zeros(0)


def closed(w, b, *, activation=jnp.tanh, dtype=np.float64):
    """Neurons without inputs or outputs."""
    w, b = np.atleast_2d(np.asarray(w, dtype)), np.atleast_1d(np.asarray(b, dtype))
    none = np.zeros(len(b), bool)
    return nt.Septuple(w, b, activation=activation, input_mask=none, output_mask=none)


def roots(w, b):
    """All x = tanh(wx + b), by bisection between the sign changes on a grid."""

    def f(x):
        return x - np.tanh(w * x + b)

    found = []
    for ends in itertools.pairwise(np.linspace(-1, 1, 2002)):
        low, high = ends
        if f(low) * f(high) < 0:
            for _ in range(80):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if f(middle) * f(high) < 0 else (low, middle)
            found.append(0.5 * (low + high))
    return np.array(found)


@pytest.mark.parametrize(
    ("w", "b", "count"), [(2.0, 0.1, 3), (0.5, 0.1, 1), (2.0, 0.6, 1), (-3.0, 0.2, 1), (4.0, -0.5, 3)]
)
def test_one_neuron_against_bisection(w, b, count):
    found = nt.fixed_points(closed(w, b), NONE, key=KEY)
    expected = roots(w, b)
    assert found.states.shape == (count, 1)
    # Newton stops at a residual of 16(1 + |w|) ulp, divided by |1 - f'w| > 0.3 for these
    np.testing.assert_allclose(np.sort(found.states[:, 0]), expected, atol=300 * EPS)
    slopes = w * (1 - np.asarray(found.states)[:, 0] ** 2)
    np.testing.assert_allclose(found.spectral_radius, np.abs(slopes), atol=1e3 * EPS)
    np.testing.assert_array_equal(found.stable, np.abs(slopes) < 1)
    np.testing.assert_array_equal(found.indices, np.sign(1 - slopes))
    assert found.index_sum == 1
    assert found.complete is True
    assert list(found.stable) == sorted(found.stable, reverse=True)


def test_neurons_that_do_not_meet_have_the_products_of_their_fixed_points():
    w, b = np.array([2.0, 3.0, 0.7]), np.array([0.1, -0.2, 0.3])
    found = nt.fixed_points(closed(np.diag(w), b), NONE, key=KEY, starts=300)
    expected = np.array(list(itertools.product(*(roots(*pair) for pair in zip(w, b, strict=True)))))
    assert found.states.shape == (9, 3)
    order = np.lexsort(np.asarray(found.states).round(6).T[::-1])
    np.testing.assert_allclose(np.asarray(found.states)[order], expected, atol=1e3 * EPS)
    # two stable roots of 1, one of index -1, each of the first two: (1 - 1 + 1)² = 1
    assert sorted(found.indices.tolist()) == [-1] * 4 + [1] * 5
    assert int(found.stable.sum()) == 4
    assert found.complete is True


def test_each_fixed_point_carries_its_own_weight():
    """Identity: at large β log Z is the log sum exp of (5.9) over all fixed points, unstable ones included."""
    net, beta = closed(2.0, 0.1), 2000.0
    found = nt.fixed_points(net, NONE, key=KEY)
    weights = jnp.stack([nt.log_partition(nt.bulk_hessian(net, x), beta, mean=x) for x in found.states])
    exact = nt.quadrature(nt.CanonicalEnsemble(net, NONE, beta)).log_partition.value
    assert float(exact) == pytest.approx(-1.943, abs=5e-4)
    assert float(logsumexp(weights)) == pytest.approx(-1.946, abs=5e-4)
    assert float(weights[found.stable].min()) == pytest.approx(-3.206, abs=5e-4)
    # what is left is O(1/β): twice the β leaves half of it
    more = jnp.stack([nt.log_partition(nt.bulk_hessian(net, x), 2 * beta, mean=x) for x in found.states])
    left = float(nt.quadrature(nt.CanonicalEnsemble(net, NONE, 2 * beta)).log_partition.value - logsumexp(more))
    assert left / float(exact - logsumexp(weights)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_satisfy_the_equation_and_the_degree(seed):
    rng = np.random.default_rng(seed)
    net = closed(2.5 * rng.normal(size=(4, 4)), 0.3 * rng.normal(size=4))
    found = nt.fixed_points(net, NONE, key=KEY)
    x = np.asarray(found.states)
    error = np.abs(x - np.tanh(x @ np.asarray(net.weight).T + np.asarray(net.bias))).max(axis=1)
    bound = 16 * EPS * (1 + np.abs(np.asarray(net.weight)).sum(axis=1).max())
    assert error.max() <= 2 * bound  # its own and NumPy's rounding
    assert np.asarray(found.residuals).max() <= bound
    assert found.complete is True  # 200 starts suffice for four neurons of this gain
    assert found.index_sum == int(found.indices.sum()) == 1
    for i, j in itertools.combinations(range(len(x)), 2):
        assert np.abs(x[i] - x[j]).max() > 1e-6


def test_too_few_starts_are_told_by_the_indices_unless_these_cancel():
    net = closed(2.0, 0.1)
    few = [nt.fixed_points(net, NONE, key=jax.random.key(k), starts=2) for k in range(12)]
    by_count = {len(f.states): f for f in few}
    assert by_count[2].complete is False  # a stable one with the unstable one, 0, or two stable ones, 2
    assert by_count[1].complete is (by_count[1].index_sum == 1)  # one stable one alone passes


def test_inputs_are_held_and_are_no_part_of_the_spectrum():
    net = graph(3, 6, cyclic=True, scale=0.8)
    u = draw_inputs(3, 2)
    found = nt.fixed_points(net, u, key=KEY, starts=20)
    assert found.states.shape == (1, 6)  # a contraction
    np.testing.assert_array_equal(found.states[0, :2], u)
    np.testing.assert_allclose(found.states[0], net.fixed_point(u).state, atol=100 * EPS)
    assert float(found.spectral_radius[0]) < 0.8


def test_unbounded_activations_have_no_rule_for_the_indices():
    """x = 2x + 1 has one solution, of index -1."""
    found = nt.fixed_points(closed(2.0, 1.0, activation=identity), NONE, key=KEY, starts=10)
    np.testing.assert_allclose(found.states, [[-1.0]], atol=100 * EPS)
    assert found.index_sum == -1
    assert found.complete is None


def test_none_found():
    """x = x + 1 has no solution: the arrays are empty."""
    found = nt.fixed_points(closed(1.0, 1.0, activation=identity), NONE, key=KEY, starts=10)
    assert found.states.shape == (0, 1)
    assert found.index_sum == 0


def test_float32_stays_and_finds_the_same():
    single = nt.fixed_points(closed(2.0, 0.1, dtype=np.float32), jnp.zeros(0, jnp.float32), key=KEY)
    double = nt.fixed_points(closed(2.0, 0.1), NONE, key=KEY)
    assert {single.states.dtype, single.residuals.dtype, single.spectral_radius.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(single.states, double.states, atol=1e-5)


def test_bad_arguments():
    net = closed(2.0, 0.1)
    with pytest.raises(TypeError, match="`net` must be a Septuple, but got FeedForward"):
        nt.fixed_points(nt.FeedForward([jnp.ones((1, 1))], [jnp.ones(1)], activation=jnp.tanh), jnp.ones(1), key=KEY)
    with pytest.raises(ValueError, match="`starts` must be positive, but got 0"):
        nt.fixed_points(net, NONE, key=KEY, starts=0)
    with pytest.raises(ValueError, match="`tolerance` must be positive"):
        nt.fixed_points(net, NONE, key=KEY, tolerance=0.0)
    with pytest.raises(ValueError, match="`inputs` must have shape"):
        nt.fixed_points(net, jnp.ones(1), key=KEY)
    with pytest.raises(ValueError, match=r"`net` must be known \(not traced\)"):
        jax.jit(lambda n: nt.fixed_points(n, NONE, key=KEY).states)(net)
