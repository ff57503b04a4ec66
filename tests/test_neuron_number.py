"""Log Z of networks of every width, against dense determinants and brute force over subsets."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import comb

import nnthermo as nt
from nnthermo import mechanics

INPUTS = np.linspace(-1, 1.2, 5)
HIDDEN = 4


@pytest.fixture(scope="module")
def net():
    """Two hidden layers of sigmoids, biases everywhere: removed neurons would not be at 0."""
    draw, sizes = np.random.default_rng(1).normal, (5, HIDDEN, 3, 2)
    weights = [draw(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    return nt.FeedForward(weights, [draw(size=n) for n in sizes[1:]], activation=jax.nn.sigmoid)


@jax.jit
def nested(net, inputs, beta, m, order):
    return nt.nested_log_partition(net, inputs, beta, m=m, order=order)


def dense(net, inputs, beta, m, keep, *, layer=1, mean_term=True):
    """Log Z (5.9) from a dense determinant of the network with these neurons of a layer, in NumPy."""
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    weights, biases = [np.asarray(w) for w in net.weights], [np.asarray(b) for b in net.biases]
    keep = list(keep)
    weights[layer - 1], biases[layer - 1] = weights[layer - 1][keep], biases[layer - 1][keep]
    weights[layer] = weights[layer][:, keep]
    states, slopes = [np.asarray(inputs)], []
    for w, b in zip(weights, biases, strict=True):
        x = sigmoid(w @ states[-1] + b)
        states.append(x)
        slopes.append(x * (1 - x))
    edges = np.cumsum([0, *map(len, states)])
    B = np.eye(edges[-1])
    for k, (d, w) in enumerate(zip(slopes, weights, strict=True)):
        B[edges[k + 1] : edges[k + 2], edges[k] : edges[k + 1]] = -d[:, None] * w
    c, x = 1 - beta * m, np.concatenate(states)
    M = c * np.eye(len(B)) + beta * B.T @ B
    form = c * beta * x @ B.T @ B @ np.linalg.solve(M, x) if mean_term else 0
    return -0.5 * np.linalg.slogdet(M)[1] - 0.5 * form + 0.5 * len(B) * math.log(2 * math.pi)


TOLERANCE = {"rtol": 0, "atol": 1e-12}  # rounding of a log det of 14 neurons, condition below 10³


@pytest.mark.parametrize(("beta", "m"), [(1.3, 0.0), (0.4, 0.6), (20.0, -0.5)])
def test_nested_networks_are_those_without_the_neurons_removed(net, beta, m):
    order = np.array([2, 0, 3, 1])
    want = [dense(net, INPUTS, beta, m, order[:n]) for n in range(HIDDEN + 1)]
    np.testing.assert_allclose(nested(net, INPUTS, beta, m, order), want, **TOLERANCE)


def test_any_layer_any_widths_and_every_term(net):
    found = nt.nested_log_partition(net, INPUTS, 1.7, layer=2, widths=(3, 0, 1), mean_term=False, normalised=True)
    sizes = [14 - 3 + n for n in (3, 0, 1)]
    want = [
        dense(net, INPUTS, 1.7, 0.0, range(n), layer=2, mean_term=False) - 0.5 * math.log(2 * math.pi) * size
        for n, size in zip((3, 0, 1), sizes, strict=True)
    ]
    np.testing.assert_allclose(found, want, **TOLERANCE)


def test_all_subsets_are_a_lattice_gas(net):
    found = nt.subset_log_partition(net, INPUTS, 0.9)
    sets = [list(itertools.combinations(range(HIDDEN), n)) for n in range(HIDDEN + 1)]
    want = [math.log(sum(math.exp(dense(net, INPUTS, 0.9, 0.0, s)) for s in each)) for each in sets]
    np.testing.assert_allclose(found, want, **TOLERANCE)
    # neurons without connections: binomial, z of one free neuron
    alone = jax.tree.map(lambda a: np.zeros(a.shape), net)
    free = np.asarray(nt.subset_log_partition(alone, INPUTS, 0.9))
    z = nt.free_neuron_log_partition(0.9) - 0.5 * 0.9 / 1.9 * 0.5**2  # a sigmoid's mean ½ is charged by (5.9)
    n = np.arange(HIDDEN + 1)
    np.testing.assert_allclose(free - free[0], n * float(z) + np.log(comb(HIDDEN, n)), **TOLERANCE)
    y = math.exp(z + 0.9 * 0.4)
    np.testing.assert_allclose(mechanics.mean_neuron_number(free, 0.9, 0.4), HIDDEN * y / (1 + y), rtol=1e-13)


def test_networks_of_different_widths_go_through_one_program():
    draw = np.random.default_rng(0).normal
    make = lambda n: ([draw(size=(n, 5)), draw(size=(3, n))], [draw(size=n), draw(size=3)])  # noqa: E731
    nets = [nt.FeedForward(*make(n), activation=jax.nn.sigmoid) for n in (1, 2, 5)]
    samples = np.stack([INPUTS, -0.5 * INPUTS])
    found = nt.width_log_partition(nets, samples, 2.1)
    assert found.shape == (2, 3)
    for k, net in enumerate(nets):
        want = [dense(net, u, 2.1, 0.0, range(net.sizes[1])) for u in samples]
        np.testing.assert_allclose(found[:, k], want, **TOLERANCE)


def test_gradients_are_those_of_finite_differences(net):
    order = np.arange(HIDDEN)
    weights = np.array([0.3, -1.0, 0.5, 0.2, 1.0])
    score = lambda net, beta: weights @ nested(net, INPUTS, beta, 0.1, order)  # noqa: E731
    pull, by_beta = jax.jit(jax.grad(score, (0, 1)))(net, 1.3)
    step = 1e-5  # error step² of order 1e-10, and rounding 1e-14 / step
    np.testing.assert_allclose(by_beta, (score(net, 1.3 + step) - score(net, 1.3 - step)) / (2 * step), rtol=1e-7)
    move = jax.tree.map(lambda a: np.cos(np.arange(float(a.size))).reshape(a.shape), net)
    shifted = [jax.tree.map(lambda a, b, s=s: np.asarray(a) + s * b, net, move) for s in (step, -step)]
    along = sum(np.vdot(a, b) for a, b in zip(jax.tree.leaves(pull), jax.tree.leaves(move), strict=True))
    np.testing.assert_allclose(along, (score(shifted[0], 1.3) - score(shifted[1], 1.3)) / (2 * step), rtol=1e-7)


def test_float32_stays_and_influence_orders_neurons(net):
    small = jax.tree.map(lambda a: a.astype(jnp.float32), net)
    found = jax.eval_shape(nested, small, np.float32(INPUTS), np.float32(1.3), np.float32(0.0), np.arange(HIDDEN))
    assert found.dtype == jnp.float32
    products = [np.linalg.norm(net.weights[0][k]) * np.linalg.norm(net.weights[1][:, k]) for k in range(HIDDEN)]
    np.testing.assert_array_equal(nt.influence_order(net), np.argsort(products)[::-1])


def test_the_sum_over_n_of_a_chain_of_free_neurons_diverges_where_mu_pays_for_a_neuron():
    beta = 1.4
    for normalised in (False, True):
        log_z = float(nt.free_neuron_log_partition(beta, normalised=normalised))
        threshold = -log_z / beta
        assert (threshold > 0) == normalised  # in units of volume only for β > 2π - 1
        terms = log_z * np.arange(400)
        below, above = (mechanics.grand_canonical(terms, beta, threshold + d) for d in (-0.1, 0.1))
        assert float(below.mean_number) == pytest.approx(1 / math.expm1(0.14), rel=1e-11)
        assert float(below.omitted_weight) < 1e-20
        assert np.isinf(above.omitted_weight)
    assert np.isnan(nt.free_neuron_log_partition(1.0, m=2.5))
    assert float(nt.free_neuron_log_partition(2 * math.pi - 1)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: nt.nested_log_partition(n, INPUTS, 1.0, layer=3), ValueError, "`layer` must be a hidden layer"),
        (lambda n: nt.nested_log_partition(n, INPUTS, 1.0, widths=(5,)), ValueError, "`widths` must lie between"),
        (lambda n: nt.nested_log_partition(n, INPUTS, 1.0, widths=(1.0,)), TypeError, "`widths` must be an integer"),
        (lambda n: nt.nested_log_partition(n, INPUTS, 1.0, order=[0, 1, 1, 2]), ValueError, "`order` must be a perm"),
        (lambda n: nt.nested_log_partition(n, INPUTS[:4], 1.0), ValueError, "`inputs` must have shape"),
        (lambda n: nt.nested_log_partition(n.weights, INPUTS, 1.0), TypeError, "`net` must be a FeedForward"),
        (lambda n: nt.width_log_partition([n], INPUTS, 1.0), ValueError, "`networks` must be two or more"),
        (lambda n: nt.nested_log_partition(n, INPUTS, -1.0), ValueError, "`beta` must be positive"),
        (
            lambda n: nt.width_log_partition([n, n.replace(activation=jnp.tanh)], INPUTS, 1.0),
            ValueError,
            "`networks` must differ in one width",
        ),
    ],
)
def test_refuses_by_name(net, call, error, message):
    with pytest.raises(error, match=message):
        call(net)
