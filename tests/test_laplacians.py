"""ΔF in the weights against sums of Hessian-vector products of a dense log det, and the Laplacian of any function."""

import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import draw_inputs, fixed_state, graph, identity, jacobian, network

import nnthermo as nt

SHAPES = [(3, 4, 2), (6, 2, 3), (2, 7, 2), (2, 3, 6)]  # narrow, and a wide first, hidden and last layer


def dense_free_energy(jacobian, beta, m):
    """F of (5.14) without its constant: log det M / 2β of the whole matrix."""
    M = (1 - beta * m) * jnp.eye(len(jacobian)) + beta * jacobian.T @ jacobian
    return jnp.linalg.slogdet(M)[1] / (2 * beta)


def layered_jacobian(weights, slopes):
    """B with the layers' blocks put in one by one."""
    sizes = [weights[0].shape[1], *(len(d) for d in slopes)]
    e = np.concatenate([[0], np.cumsum(sizes)])
    B = jnp.eye(e[-1])
    for k, (w, d) in enumerate(zip(weights, slopes, strict=True)):
        B = B.at[e[k + 1] : e[k + 2], e[k] : e[k + 1]].set(-d[:, None] * w)
    return B


def diagonal_of_hessian(function, q):
    """Every ∂²/∂q_k² by a Hessian-vector product with a unit vector."""
    flat, unravel = jax.flatten_util.ravel_pytree(q)
    gradient = jax.grad(lambda v: function(unravel(v)))

    def entry(unit):
        return jnp.vdot(unit, jax.jvp(gradient, (flat,), (unit,))[1])

    return unravel(jax.vmap(entry)(jnp.eye(flat.size)))


@jax.jit
def layered_oracle(weights, slopes, beta, m):
    return diagonal_of_hessian(lambda w: dense_free_energy(layered_jacobian(w, slopes), beta, m), weights)


@jax.jit
def closed(net, x, beta, m):
    return nt.weight_laplacian(net, x, beta, m=m), nt.weight_curvatures(net, x, beta, m=m)


@pytest.mark.parametrize("sizes", SHAPES)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-3, 3),
    share=st.floats(-1, 0.9),
    scale=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_closed_form_is_the_sum_of_hessian_vector_products(sizes, seed, log_beta, share, scale):
    """To 1e-10 of Σ|∂²F/∂w²|: the products lose a factor β to 1/β - 1/β and cond(M)² to rounding, 1e3 and below 1e3."""
    net, beta = network(seed, sizes, scale=scale), 10.0**log_beta
    x = net.propagate(draw_inputs(seed, sizes[0]))
    lowest = np.linalg.svd(jacobian(net, x), compute_uv=False)[-1] ** 2
    m = share * lowest
    wanted = layered_oracle(net.weights, net.slopes(x), beta, m)
    total, found = closed(net, x, beta, m)
    size = sum(float(jnp.sum(jnp.abs(leaf))) for leaf in wanted)
    assert [leaf.shape for leaf in found] == [w.shape for w in net.weights]
    for got, leaf in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, leaf, rtol=0, atol=1e-10 * size)
    assert abs(total - sum(float(jnp.sum(leaf)) for leaf in wanted)) < 1e-10 * size
    assert size > 0


def test_784_40_20_10_entries_by_hessian_vector_products():
    """The network of the paper, some of its 32,360 weights by products with the layered log det."""
    net = nt.FeedForward.init(jax.random.key(0), (784, 40, 20, 10), activation=jnp.tanh)
    x = net.propagate(draw_inputs(0, 784))
    slopes = net.slopes(x)

    @jax.jit
    def products(weights, units):
        gradient = jax.grad(lambda w: nt.free_energy(nt.LayeredHessian(w, slopes), 1.3, m=0.1))
        return jax.vmap(lambda unit: jax.jvp(gradient, (weights,), (unit,))[1])(units)

    flat, unravel = jax.flatten_util.ravel_pytree(net.weights)
    chosen = np.linspace(0, flat.size - 1, 24).astype(int)
    units = (jnp.arange(flat.size)[None, :] == jnp.asarray(chosen)[:, None]).astype(flat.dtype)
    moved = products(net.weights, jax.vmap(unravel)(units))
    wanted = np.concatenate([np.reshape(leaf, (24, -1)) for leaf in moved], axis=1)[np.arange(24), chosen]
    found = nt.weight_curvatures(net, x, 1.3, m=0.1)
    got = np.concatenate([np.ravel(leaf) for leaf in found])
    np.testing.assert_allclose(got[chosen], wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())
    np.testing.assert_allclose(nt.weight_laplacian(net, x, 1.3, m=0.1), got.sum(), rtol=1e-11)


def test_against_second_differences():
    """(F(h) - 2F(0) + F(-h))/h² errs by h² F''''/12, about 1e-6, and by 4 ε|F|/h² = 1e-9."""
    net, beta, m, h = network(1, (3, 4, 2)), 1.7, 0.05, 1e-3
    x = net.propagate(draw_inputs(1, 3))
    slopes = net.slopes(x)
    found = nt.weight_curvatures(net, x, beta, m=m)
    for layer, i, j in ((0, 0, 0), (0, 3, 2), (1, 1, 3)):

        def moved(step, layer=layer, i=i, j=j):
            weights = [*net.weights]
            weights[layer] = weights[layer].at[i, j].add(step)
            G = nt.bulk_hessian(net.replace(weights=weights), slopes=slopes)
            return float(nt.free_energy(G, beta, m=m))

        wanted = (moved(h) - 2 * moved(0.0) + moved(-h)) / h**2
        assert abs(found[layer][i, j] - wanted) < 1e-5
        assert abs(wanted) > 1e-3


@given(log_beta=st.floats(-3, 3), s=st.floats(-3, 3))
def test_one_link(log_beta, s):
    """((1+β)² - βs²) / ((1+β)² + βs²)², of either sign, from det M = (1+β)² + βs²."""
    beta = 10.0**log_beta
    square = (1 + beta) ** 2
    net = nt.FeedForward([jnp.full((1, 1), s)], [jnp.zeros(1)], activation=identity)
    wanted = (square - beta * s**2) / (square + beta * s**2) ** 2
    assert abs(closed(net, net.propagate(jnp.ones(1)), beta, 0.0)[0] - wanted) < 1e-13 / (square + beta * s**2)


@pytest.mark.parametrize("sizes", SHAPES)
def test_known_values(sizes):
    """Σ d_i² c/κ² over the weights at w = 0, κ = c + β; and 0 at βm = 1, where det M = β^N whatever the weights."""
    net, beta, m = network(2, sizes, scale=0.0, bias=1.0), 0.8, 0.3
    x = net.propagate(draw_inputs(2, sizes[0]))
    c = 1 - beta * m
    wanted = sum(n * float(jnp.sum(d**2)) for n, d in zip(sizes, net.slopes(x), strict=False)) * c / (c + beta) ** 2
    assert abs(closed(net, x, beta, m)[0] - wanted) < 1e-13 * wanted
    net = network(2, sizes)
    x = net.propagate(draw_inputs(2, sizes[0]))
    size = sum(float(jnp.sum(jnp.abs(k))) for k in closed(net, x, 2.0, 0.0)[1])
    assert abs(closed(net, x, 2.0, 0.5)[0]) < 1e-12 * size


@jax.jit
def graph_oracle(net, slopes, beta, m):
    def energy(weight):
        B = jnp.eye(net.size) - slopes[:, None] * jnp.where(net.input_mask[:, None], 0, weight)
        return dense_free_energy(B, beta, m)

    return diagonal_of_hessian(energy, net.weight)


@pytest.mark.parametrize("cyclic", [False, True])
def test_graph_sums_over_its_connections(cyclic):
    net = graph(3, 6, cyclic=cyclic, scale=0.9)
    crossed = net.replace(weight=net.weight.at[0, 3].set(0.7).at[4, 5].set(-0.4))  # into an input, out of an output
    for case in (net, crossed):
        x = fixed_state(net, draw_inputs(3, 2))
        for beta, m in ((1e-3, 0.0), (1.0, 0.1), (1e3, 0.01)):
            wanted = graph_oracle(case, case.slopes(x), beta, m)
            total, found = closed(case, x, beta, m)
            size = np.abs(wanted).sum()
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * size)
            exists = (np.asarray(case.weight) != 0) & ~case.input_mask[:, None]
            assert abs(total - np.asarray(wanted)[exists].sum()) < 1e-10 * size
            assert abs(total - np.asarray(wanted).sum()) > 1e-3 * size  # absent connections have a curvature too
    assert np.abs(np.asarray(found)[:2]).max() == 0


def test_layers_equal_their_dense_twin():
    net = network(4, (3, 4, 2))
    x = net.propagate(draw_inputs(4, 3))
    total, found = closed(net, x, 1.3, 0.1)
    twin_total, twin = closed(net.to_septuple(), net.ravel(x), 1.3, 0.1)
    assert abs(total - twin_total) < 1e-13 * sum(np.abs(k).sum() for k in found)
    np.testing.assert_allclose(twin[3:7, :3], found[0], atol=1e-14)
    np.testing.assert_allclose(twin[7:, 3:7], found[1], atol=1e-14)


def test_given_slopes_take_the_place_of_the_state():
    net = network(5, (3, 4, 2))
    inputs = jnp.stack([draw_inputs(k, 3) for k in range(4)])
    slopes = nt.mean_slopes(net, inputs)
    wanted = layered_oracle(net.weights, slopes, 1.3, 0.0)
    found = nt.weight_curvatures(net, None, 1.3, slopes=slopes)
    for x, y in zip(found, wanted, strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-13)
    total = nt.weight_laplacian(net, nt.mean_state(net, inputs), 1.3, slopes=slopes)
    assert abs(total - sum(jnp.sum(k) for k in wanted)) < 1e-12


def test_samples_share_what_depends_on_the_weights_alone():
    """`vmap` over states equals the loop, and no array holds a copy of the wide input layer for each sample."""
    net = network(6, (30, 4, 2))
    inputs = jnp.stack([draw_inputs(k, 30) for k in range(3)])
    states = jax.vmap(net.propagate)(inputs)
    many = jax.jit(jax.vmap(lambda x: nt.weight_laplacian(net, x, 1.3)))
    for k, total in enumerate(many(states)):
        assert abs(total - closed(net, jax.tree.map(lambda s, k=k: s[k], states), 1.3, 0.0)[0]) < 1e-12
    text = many.lower(states).compile().as_text()
    assert "4,30]" in text
    assert "3,4,30]" not in text
    assert "3,30,4]" not in text


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_gradient(sizes, scale):
    """Of ΔF in weights and slopes, third derivatives of F; at any rank."""
    net = network(7, sizes, scale=scale)
    slopes = tuple(d.at[0].set(0.0) for d in net.slopes(net.propagate(draw_inputs(7, sizes[0]))))

    def ours(weights, slopes):
        return nt.weight_laplacian(net.replace(weights=weights), None, 1.3, m=0.1, slopes=slopes)

    def theirs(weights, slopes):
        return sum(jnp.sum(leaf) for leaf in layered_oracle(weights, slopes, 1.3, 0.1))

    found, wanted = (jax.jit(jax.grad(f, argnums=(0, 1)))(net.weights, slopes) for f in (ours, theirs))
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-11)  # N ε cond³, entries of order 1


def test_not_positive_definite_is_refused_or_nan():
    for net in (network(8, (6, 2, 3)), network(8, (6, 2, 3)).to_septuple()):
        x = fixed_state(net, draw_inputs(8, 6))
        beta, m = 2.0, float(np.linalg.svd(jacobian(net, x), compute_uv=False)[-1] ** 2 + 0.5 + 1e-6)
        for function in (nt.weight_laplacian, nt.weight_curvatures):
            with pytest.raises(ValueError, match="`m` must keep .* positive definite, i.e. m < λ_min"):
                function(net, x, beta, m=m)
            with pytest.raises(ValueError, match="`beta` must be positive, but got"):
                function(net, x, 0.0)
        total, found = closed(net, x, beta, m)
        assert np.isnan(total)
        assert all(np.isnan(leaf).any() for leaf in jax.tree.leaves(found))
        assert np.isfinite(closed(net, x, beta, m - 1e-4)[0])
    with pytest.raises(ValueError, match="`x` must be given unless `slopes` are, but got None"):
        nt.weight_laplacian(net, None, 1.0)


@pytest.mark.parametrize("sizes", SHAPES)
def test_sweep_in_m_is_nan_beyond_the_smallest_eigenvalue(sizes):
    """Between any two eigenvalues and above all: many at once go through another elimination, which goes on there."""
    net, beta = network(8, sizes), 2.0
    x = net.propagate(draw_inputs(8, sizes[0]))
    values = np.unique(np.round(np.linalg.svd(jacobian(net, x), compute_uv=False) ** 2, 9))
    m = jnp.asarray((values + np.append(values[1:], 2 * values[-1])) / 2 + 1 / beta)
    totals, found = jax.jit(jax.vmap(lambda m: closed(net, x, beta, m)))(jnp.append(m, values[0] / 2))
    for leaf in (totals, *found):
        assert np.isnan(leaf[:-1]).all()
        assert np.isfinite(leaf[-1]).all()


def test_float32_stays_float32():
    for net in (network(9, (6, 2, 3), dtype=np.float32), network(9, (6, 2, 3), dtype=np.float32).to_septuple()):
        x = net.propagate(draw_inputs(9, 6).astype(jnp.float32))
        total, found = nt.weight_laplacian(net, x, 1.3, m=0.1), nt.weight_curvatures(net, x, 1.3, m=0.1)
        assert {leaf.dtype for leaf in jax.tree.leaves((total, found))} == {np.dtype(np.float32)}
        high = network(9, (6, 2, 3)).to_septuple() if isinstance(net, nt.Septuple) else network(9, (6, 2, 3))
        wanted = nt.weight_laplacian(high, high.propagate(draw_inputs(9, 6)), 1.3, m=0.1)
        assert abs(float(total) - float(wanted)) < 1e-5 * float(wanted)  # 11 × 1.2e-7 × cond(M) of about 10


# The Laplacian of any function


def free_energy_along(net, inputs, beta):
    """F at the state that the network propagates to: what total Laplacians are of."""
    return nt.free_energy(nt.bulk_hessian(net, net.propagate(inputs)), beta)


@pytest.mark.parametrize("method", ["exact", "forward"])
def test_total_laplacian_of_a_linear_network_is_that_at_fixed_slopes(method):
    net, inputs = network(1, (3, 4, 2), activation=identity), draw_inputs(1, 3)

    @jax.jit
    def total(weights):
        return nt.laplacian(lambda w: free_energy_along(net.replace(weights=w), inputs, 1.3), weights, method=method)

    found = total(net.weights)
    assert abs(found.value - nt.weight_laplacian(net, net.propagate(inputs), 1.3)) < 1e-12
    assert found.standard_error == 0


def test_total_laplacian_over_weights_biases_and_both():
    """Against the whole Hessian, reverse over reverse; with tanh the totals differ from fixed slopes, biases from 0."""
    net, inputs, beta = network(2, (3, 4, 2)), draw_inputs(2, 3), 1.3
    flat, unravel = jax.flatten_util.ravel_pytree(net)
    whole = jax.jit(jax.jacrev(jax.jacrev(lambda v: free_energy_along(unravel(v), inputs, beta))))(flat)
    wanted = unravel(jnp.diagonal(whole))
    by_part = {
        "weights": (lambda w: free_energy_along(net.replace(weights=w), inputs, beta), net.weights),
        "biases": (lambda b: free_energy_along(net.replace(biases=b), inputs, beta), net.biases),
    }
    total = 0.0
    for name, (function, q) in by_part.items():
        expected = getattr(wanted, name)
        value = jax.jit(lambda q, f=function: nt.laplacian(f, q).value)(q)
        assert abs(value - sum(jnp.sum(leaf) for leaf in expected)) < 1e-12
        each = jax.jit(lambda q, f=function: nt.second_derivatives(f, q))(q)
        for x, y in zip(each, expected, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-12)
        assert abs(value) > 1e-3
        total += value
    for method in ("exact", "forward"):
        both = jax.jit(
            lambda net, method=method: nt.laplacian(
                lambda n: free_energy_along(n, inputs, beta), net, method=method, chunk=5
            )
        )(net)
        assert abs(both.value - total) < 1e-12
    assert abs(by_part_fixed(net, inputs, beta) - total) > 1e-2
    slopes = net.slopes(net.propagate(inputs))
    still = nt.laplacian(
        lambda b: nt.free_energy(nt.bulk_hessian(net.replace(biases=b), slopes=slopes), beta), net.biases
    )
    assert still.value == 0


def by_part_fixed(net, inputs, beta):
    return float(nt.weight_laplacian(net, net.propagate(inputs), beta))


def quadratic(seed, n):
    a = np.random.default_rng(seed).normal(size=(n, n))
    return jnp.asarray(a + a.T)


def form(H):
    """½ qᵀHq of a pytree of a matrix and a number, with Hessian H."""

    def function(q):
        v = jnp.concatenate([jnp.ravel(q["a"]), q["b"][None]])
        return v @ H @ v / 2

    return function


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
@pytest.mark.parametrize("method", ["exact", "forward"])
def test_trace_and_diagonal_of_a_quadratic_form(method, chunk):
    """Chunks that divide the seven entries, do not, and exceed them."""
    H = quadratic(1, 7)
    q = {"a": jnp.ones((2, 3)), "b": jnp.asarray(0.5)}
    found = nt.laplacian(form(H), q, method=method, chunk=chunk)
    assert abs(found.value - jnp.trace(H)) < 1e-13
    each = nt.second_derivatives(form(H), q, method=method, chunk=chunk)
    np.testing.assert_allclose(each["a"].ravel(), jnp.diagonal(H)[:6], atol=1e-14)
    assert abs(each["b"] - H[6, 6]) < 1e-14
    assert each["a"].shape == (2, 3)


def test_stochastic_estimate_and_its_standard_error():
    """Var vᵀHv = 2 Σ_{k≠l} H_kl² for v of ±1: the estimates' spread over keys, and the error each one states."""
    H, probes, runs = quadratic(2, 7), 50, 2000
    q = {"a": jnp.ones((2, 3)), "b": jnp.asarray(0.5)}
    run = jax.jit(jax.vmap(lambda key: nt.laplacian(form(H), q, method="stochastic", key=key, probes=probes, chunk=20)))
    found = run(jax.random.split(jax.random.key(3), runs))
    exact, off = float(jnp.trace(H)), np.asarray(H - jnp.diag(jnp.diagonal(H)))
    error = np.sqrt(2 * np.sum(off**2) / probes)
    assert found.value.shape == (runs,)
    assert abs(found.value.mean() - exact) < 5 * error / np.sqrt(runs)
    assert abs(found.value.std() / error - 1) < 5 / np.sqrt(2 * runs)  # of a normal sample
    assert abs(np.sqrt(np.mean(found.standard_error**2)) / error - 1) < 5 / np.sqrt(2 * runs) / 5
    within = np.abs(found.value - exact) < 5 * found.standard_error
    assert within.mean() > 0.999
    assert np.mean(np.abs(found.value - exact) < found.standard_error) > 0.6  # 0.68 if normal
    one = nt.laplacian(form(H), q, method="stochastic", key=jax.random.key(0), probes=probes)
    assert nt.laplacian(form(H), q, method="stochastic", key=jax.random.key(0)) == nt.laplacian(
        form(H), q, method="stochastic", key=jax.random.key(0), probes=64
    )
    other = nt.laplacian(form(H), q, method="stochastic", key=jax.random.key(1), probes=probes)
    assert one.value != other.value


def test_square_of_the_standard_error_is_unbiased_for_few_samples():
    """Three probes: its mean is the variance of the estimate; 2000 runs tell to 2 %, five times that allowed."""
    H = quadratic(2, 7)
    q = {"a": jnp.ones((2, 3)), "b": jnp.asarray(0.5)}
    run = jax.jit(jax.vmap(lambda key: nt.laplacian(form(H), q, method="stochastic", key=key, probes=3)))
    found = run(jax.random.split(jax.random.key(4), 2000))
    variance = 2 * np.sum(np.asarray(H - jnp.diag(jnp.diagonal(H))) ** 2) / 3
    assert abs(np.mean(found.standard_error**2) / variance - 1) < 0.1
    assert abs(np.var(found.value) / variance - 1) < 0.2


def test_stochastic_is_exact_for_a_diagonal_hessian():
    found = nt.laplacian(lambda q: jnp.sum(jnp.exp(q)), jnp.arange(5.0), method="stochastic", key=jax.random.key(0))
    assert abs(found.value - np.exp(np.arange(5.0)).sum()) < 1e-13 * found.value
    assert found.standard_error < 1e-13 * found.value


def test_stochastic_laplacian_of_a_network():
    net, inputs = network(3, (6, 4, 3)), draw_inputs(3, 6)

    @jax.jit
    def both(net, key):
        def function(n):
            return free_energy_along(n, inputs, 1.3)

        return nt.laplacian(function, net), nt.laplacian(function, net, method="stochastic", key=key, probes=500)

    exact, estimate = both(net, jax.random.key(1))
    assert 0 < estimate.standard_error < 0.2 * abs(exact.value)
    assert abs(estimate.value - exact.value) < 5 * estimate.standard_error


def test_forward_takes_loops_of_unknown_length():
    """x ↦ x², until it is below 1e-3 from 0.9: x^(2^7), which reverse mode cannot differentiate through."""

    def function(x):
        return jax.lax.while_loop(lambda v: v[0] > 1e-3, lambda v: v**2, x)[0]

    q, power = jnp.asarray([0.9]), 128
    with pytest.raises(ValueError, match="Reverse-mode"):
        nt.laplacian(function, q)
    found = nt.laplacian(function, q, method="forward")
    assert abs(found.value / (power * (power - 1) * 0.9 ** (power - 2)) - 1) < 1e-12


def test_gradient_and_dtype_of_the_laplacian():
    """∂/∂q of Σ ∂² Σ q⁴ = Σ 12 q² is 24 q; float32 in, float32 out."""
    q = jnp.asarray([1.0, -2.0], jnp.float32)
    key = jax.random.key(0)
    for method in ("exact", "forward", "stochastic"):

        def value(q, method=method):
            return nt.laplacian(lambda v: jnp.sum(v**4), q, method=method, key=key)

        slope = jax.grad(lambda q, value=value: value(q).value)(q)
        np.testing.assert_allclose(slope, 24 * q, rtol=1e-5)
        found = value(q)
        assert found.value.dtype == found.standard_error.dtype == slope.dtype == jnp.float32


def test_bad_arguments_are_refused():
    q = jnp.ones(3)

    def square(v):
        return jnp.sum(v**2)

    with pytest.raises(ValueError, match="`method` must be 'exact', 'forward' or 'stochastic', but got 'exakt'"):
        nt.laplacian(square, q, method="exakt")
    with pytest.raises(ValueError, match="`method` must be 'exact' or 'forward', but got 'stochastic'"):
        nt.second_derivatives(square, q, method="stochastic")
    with pytest.raises(ValueError, match="`key` must be given for the stochastic method, but got None"):
        nt.laplacian(square, q, method="stochastic")
    with pytest.raises(ValueError, match="`probes` must be at least 2, but got 1"):
        nt.laplacian(square, q, method="stochastic", key=jax.random.key(0), probes=1)
    with pytest.raises(ValueError, match="`chunk` must be positive, but got 0"):
        nt.laplacian(square, q, chunk=0)
    with pytest.raises(TypeError, match="`chunk` must be an integer, but got 1.5"):
        nt.laplacian(square, q, chunk=1.5)
    with pytest.raises(ValueError, match="`F` must return one number, but got"):
        nt.laplacian(lambda v: v**2, q)
    with pytest.raises(TypeError, match="`F` must return a real floating-point number, but got complex128"):
        nt.laplacian(lambda v: jnp.sum(v).astype(complex), q)
    with pytest.raises(TypeError, match="`q` must hold real floating-point arrays, but got float64, int64"):
        nt.laplacian(lambda v: square(v[0]), (q, jnp.arange(3)))
    with pytest.raises(ValueError, match="`q` must hold arrays of one dtype, but got float32, float64"):
        nt.laplacian(lambda v: square(v[0]), (q, q.astype(jnp.float32)))
    with pytest.raises(ValueError, match="`q` must hold at least one number, but got"):
        nt.laplacian(square, ())


def test_oracle_is_not_the_closed_form():
    """The dense free energy is that of `free_energy` but for its constant, at several β and m."""
    net = network(3, (3, 4, 2))
    slopes = net.slopes(net.propagate(draw_inputs(3, 3)))
    for beta, m in itertools.product((0.1, 10.0), (0.0, 0.05)):
        ours = nt.free_energy(nt.bulk_hessian(net, slopes=slopes), beta, m=m) + 4.5 * np.log(2 * np.pi) / beta
        assert abs(dense_free_energy(layered_jacobian(net.weights, slopes), beta, m) - ours) < 1e-13 * abs(ours) + 1e-13


def test_numbers_that_are_not_single_and_bad_conditioning_are_named():
    net = network(1, (4, 3, 2), dtype=np.float32)
    ones = [np.ones(3, int), np.ones(2, int)]
    assert nt.weight_laplacian(net, None, 1.4, slopes=ones).dtype == jnp.float32
    for function in (nt.weight_laplacian, nt.weight_curvatures):
        with pytest.raises(ValueError, match=r"`beta` must have shape \(\)"):
            function(net, None, jnp.ones(1), slopes=ones)
        with pytest.raises(ValueError, match=r"`m` must have shape \(\)"):
            function(net, None, 1.0, m=jnp.ones(1), slopes=ones)
        with pytest.raises(ValueError, match="`beta` must be positive and finite in float32"):
            function(net, None, 1e39, slopes=ones)
