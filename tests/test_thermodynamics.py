"""F, U, S and heat capacity against moments of the Gaussian ensemble, and the laws that tie them together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import (
    EPS,
    LOG_2PI,
    Gaussian,
    central_difference,
    condition,
    dense_weight,
    draw_inputs,
    fixed_state,
    flat,
    graph,
    identity,
    jacobian,
    jit,
    network,
    shifted,
    split_blocks,
)

import nnthermo as nt

FOUR = (nt.free_energy, nt.average_loss, nt.entropy, nt.heat_capacity)


@jit
def functions(G, beta, m, mean):
    """F, U, S, C with the mean term and without, and the Shannon entropy."""
    with_mean = [f(G, beta, m=m, mean=mean) for f in FOUR]
    without = [f(G, beta, m=m) for f in FOUR]
    return jnp.stack(with_mean), jnp.stack(without), nt.gaussian_entropy(G, beta, m=m)


def closed_forms(model):
    """F, U, S, C of the quadratic model."""
    log_z, u = model.log_z, model.average_loss
    return np.array([-log_z / model.beta, u, log_z + model.beta * u, model.beta**2 * model.variance])


def admissible(B, beta, relative_m):
    """M as a share of its bound λ_min + 1/β."""
    return relative_m * (np.linalg.svd(B, compute_uv=False)[-1] ** 2 + 1 / beta)


@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-3, 3),
    relative_m=st.sampled_from([0.0, -1.0, 0.5, 0.9]) | st.floats(-1, 0.9),
    cyclic=st.booleans(),
)
def test_equals_gaussian_moments(seed, log_beta, relative_m, cyclic):
    net, beta = graph(seed, 5, cyclic=cyclic, scale=0.9), 10.0**log_beta
    x = jnp.asarray(np.random.default_rng(seed).normal(size=5))
    B = jacobian(net, x)
    m = admissible(B, beta, relative_m)
    about, plain = Gaussian(B, np.asarray(x), beta, m), Gaussian(B, np.zeros(5), beta, m)
    with_mean, without, shannon = functions(nt.bulk_hessian(net, x), beta, m, x)
    # rounding × condition; U and C are sums of terms of size 1/β + |m|/... that cancel in S: their own size, and cond²
    # where a second derivative of log det enters
    cond = condition(shifted(B, beta, m))
    c = 1 + abs(1 - beta * m)
    size = c**2 * (1 + x @ x) * np.array([1 / beta, 1 / beta, 1, 1])
    np.testing.assert_array_less(np.abs(with_mean - closed_forms(about)), 1e3 * EPS * cond**2 * size)
    np.testing.assert_array_less(np.abs(without - closed_forms(plain)), 1e3 * EPS * cond**2 * size)
    covariance = plain.covariance
    entropy = 0.5 * (5 * (LOG_2PI + 1) + np.linalg.slogdet(covariance)[1])
    assert abs(shannon - entropy) < 1e3 * EPS * cond * (1 + abs(entropy))
    # the Shannon entropy exceeds (7.1) by ½⟨x·x⟩, with the mean of the ensemble or about it
    tolerance = 1e3 * EPS * cond**2 * size[2]
    assert abs(shannon - without[2] - 0.5 * np.trace(covariance)) < tolerance
    assert abs(shannon - with_mean[2] - 0.5 * (np.trace(covariance) + about.mean @ about.mean)) < tolerance


@jit
def layered_functions(G, beta, m, mean):
    return jnp.stack([nt.average_loss(G, beta, m=m, mean=mean), nt.heat_capacity(G, beta, m=m, mean=mean)])


@given(
    seed=st.integers(0, 10**6), log_beta=st.floats(-3, 3), relative_m=st.sampled_from([0.0, 0.9]) | st.floats(-1, 0.9)
)
def test_layered_derivatives_in_beta(seed, log_beta, relative_m):
    """Both eliminations, c > 0 and c < 0, differentiated twice."""
    net, beta = network(seed, (3, 4, 2)), 10.0**log_beta
    x = net.propagate(draw_inputs(seed, 3))
    B = jacobian(net, x)
    m = admissible(B, beta, relative_m)
    model = Gaussian(B, flat(x), beta, m)
    u, capacity = layered_functions(nt.bulk_hessian(net, x), beta, m, x)
    cond, c = condition(shifted(B, beta, m)), 1 + abs(1 - beta * m)
    size = 1e3 * EPS * cond**2 * c**2 * (1 + flat(x) @ flat(x))
    assert abs(u - model.average_loss) < size / beta
    assert abs(capacity - beta**2 * model.variance) < size


def test_average_loss_as_a_sum_over_eigenvalues():
    """½Σ(λ-m)/D + ½Σλa²(1-2βm-β²m(λ-m))/D², D = 1 + β(λ-m); with a = 0, (N - Tr M⁻¹)/2β for any m."""
    net = graph(8, 5)
    x = jnp.asarray(np.random.default_rng(8).normal(size=5))
    B = jacobian(net, x)
    lam, vectors = np.linalg.eigh(B.T @ B)
    a = vectors.T @ np.asarray(x)
    for beta, m in ((0.7, 0.0), (2.0, 0.4), (2.0, 0.5 + lam[0] * 0.9), (30.0, -0.3)):
        D = 1 + beta * (lam - m)
        about = 0.5 * np.sum((lam - m) / D) + 0.5 * np.sum(
            lam * a**2 * (1 - 2 * beta * m - beta**2 * m * (lam - m)) / D**2
        )
        with_mean, without, _ = functions(nt.bulk_hessian(net, x), beta, m, x)
        assert abs(with_mean[1] - about) < 1e-12
        assert abs(without[1] - (5 - np.sum(1 / D)) / (2 * beta)) < 1e-12


def linear_averages(net, u, beta, m):
    """⟨∂H/∂q⟩ for every weight, bias, input datum and m of a linear network: Gaussian moments of r = Bx - b.

    ∂H/∂w_ij = -r_i x_j, ∂H/∂b_i = -r_i, ∂H/∂u_i = -r_i on the inputs, ∂H/∂m = -x·x/2; the ensemble has covariance
    Σ = M⁻¹ and mean βΣBᵀb.
    """
    w, b, fixed = dense_weight(net)
    b[fixed] = np.asarray(u)
    B = np.eye(len(b)) - w
    covariance = np.linalg.inv(shifted(B, beta, m))
    mean = beta * covariance @ B.T @ b
    second = covariance + np.outer(mean, mean)
    r = B @ mean - b
    rx = B @ second - np.outer(b, mean)
    loss = 0.5 * (np.trace(B @ second @ B.T) - 2 * b @ B @ mean + b @ b) - 0.5 * m * np.trace(second)
    return {"weight": -rx, "bias": -r, "m": -0.5 * np.trace(second), "loss": loss, "fixed": fixed}


@jit
def force_of(net, u, beta, m):
    """F of the network with x̄, its gradients in all that it depends on, and U."""

    def value(net, u, beta, m):
        x = net.propagate(u)
        return nt.free_energy(nt.bulk_hessian(net, x), beta, m=m, mean=x)

    return jax.value_and_grad(value, argnums=(0, 1, 2, 3))(net, u, beta, m)


@pytest.mark.parametrize("kind", ["layers", "skip connections"])
@pytest.mark.parametrize(("beta", "relative_m"), [(0.5, 0.0), (3.0, 0.4), (3.0, 0.95)])
def test_free_energy_gradient_is_the_average_force(kind, beta, relative_m):
    """∂F/∂q = ⟨∂H/∂q⟩ for every parameter, exactly for linear networks, where x̄ moves with the weights."""
    net = (
        network(5, (2, 3, 1), activation=identity, bias=1.0)
        if kind == "layers"
        else graph(5, 4, activation=identity, scale=2.0, bias=1.0)
    )
    u = draw_inputs(5, 2)
    B = jacobian(net, fixed_state(net, u))
    m = admissible(B, beta, relative_m)
    force = linear_averages(net, u, beta, m)
    free_energy, (d_net, d_u, d_beta, d_m) = force_of(net, u, beta, m)
    tolerance = 1e-12 * condition(shifted(B, beta, m))
    fixed = force["fixed"]
    if kind == "layers":
        for got, wanted in zip(d_net.weights, split_blocks(force["weight"], net.sizes), strict=True):
            np.testing.assert_allclose(got, wanted, atol=tolerance)
        np.testing.assert_allclose(np.concatenate(d_net.biases), force["bias"][~fixed], atol=tolerance)
    else:
        below = np.tril(np.ones((4, 4), bool), -1) & ~fixed[:, None]  # links that make no cycle
        np.testing.assert_allclose(d_net.weight[below], force["weight"][below], atol=tolerance)
        np.testing.assert_allclose(d_net.bias[~fixed], force["bias"][~fixed], atol=tolerance)
        np.testing.assert_array_equal(d_net.weight[fixed], 0)
    np.testing.assert_allclose(d_u, force["bias"][fixed], atol=tolerance)
    assert abs(d_m - force["m"]) < tolerance
    # S = β² ∂F/∂β = log Z + β⟨H⟩ with ⟨H⟩ by moments of the linear ensemble
    assert abs(beta**2 * d_beta - beta * (force["loss"] - free_energy)) < tolerance


@jit
def state_functions(net, u, beta, m):
    x = net.propagate(u)
    G = nt.bulk_hessian(net, x)
    return nt.average_loss(G, beta, m=m, mean=x), nt.entropy(G, beta, m=m, mean=x)


@pytest.mark.parametrize("m", [0.0, 0.3])
def test_first_law_along_a_path(m):
    """dU = T dS + ⟨∂H/∂θ⟩ dθ for a step in β, all weights and biases at once."""
    rng = np.random.default_rng(1)
    start, beta = graph(7, 4, activation=identity, scale=2.0, bias=1.0), 1.3
    u = draw_inputs(7, 2)
    links = np.tril(np.ones((4, 4)), -1)
    links[:2] = 0
    d_weight, d_bias = rng.normal(size=(4, 4)) * links, rng.normal(size=4) * np.array([0, 0, 1, 1])

    def state(h):
        moved = nt.Septuple(
            start.weight + h * d_weight,
            start.bias + h * d_bias,
            activation=identity,
            input_mask=start.input_mask,
            output_mask=start.output_mask,
        )
        return np.array(state_functions(moved, u, beta + 0.7 * h, m))

    force = linear_averages(start, u, beta, m)
    work = np.vdot(force["weight"], d_weight) + force["bias"] @ d_bias
    d_energy, d_entropy = central_difference(state)
    assert abs(state(0.0)[0] - force["loss"]) < 1e-13
    assert abs(d_entropy) > 0.1
    assert abs(work) > 0.1
    assert abs(d_energy - d_entropy / beta - work) < 1e-8  # h² × third derivatives of order 10, and eps/h


energy_slopes = jit(jax.grad(lambda G, beta, m, a: nt.average_loss(G, beta, m=m, mean=a), argnums=(0, 1, 2, 3)))


@pytest.mark.parametrize("sign", [1, -1], ids=["c > 0", "c < 0"])
def test_layered_gradients_of_the_average_loss(sign):
    """U of tanh layers in weights, slopes, β, m and x̄, through either elimination: differences of the moments."""
    rng = np.random.default_rng(2)
    net, beta = network(3, (2, 3, 1)), 2.0
    x = net.propagate(draw_inputs(3, 2))
    G, B, a = nt.bulk_hessian(net, x), jacobian(net, x), flat(x)
    low = np.linalg.svd(B, compute_uv=False)[-1] ** 2
    m = 0.2 if sign > 0 else float(1 / beta + 0.5 * low)
    d_G, d_beta, d_m, d_a = energy_slopes(G, beta, m, x)
    da = rng.normal(size=6)
    dB = np.zeros((6, 6))
    dB[2:5, :2], dB[5:, 2:5] = rng.normal(size=(3, 2)), rng.normal(size=(1, 3))
    wanted = [
        central_difference(lambda h: Gaussian(B + h * dB, a, beta, m).average_loss),
        central_difference(lambda h: Gaussian(B, a, beta + h, m).average_loss),
        central_difference(lambda h: Gaussian(B, a, beta, m + h).average_loss),
        central_difference(lambda h: Gaussian(B, a + h * da, beta, m).average_loss),
    ]
    # B = -diag(f')W below the diagonal: dW = -dB/f' with fixed slopes
    along = sum(
        np.vdot(g, -block / np.asarray(f)[:, None])
        for g, block, f in zip(d_G.weights, split_blocks(dB, net.sizes), G.slopes, strict=True)
    )
    found = [along, d_beta, d_m, flat(d_a) @ da]
    # h² third derivatives ~ 1e-10 × cond³ with cond ~ 1e1, and eps/h ~ 1e-11 × 1e1
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    by_slope = [np.sum(np.asarray(g) * np.asarray(w), axis=1) for g, w in zip(d_G.weights, G.weights, strict=True)]
    for got, f, rows in zip(d_G.slopes, G.slopes, by_slope, strict=True):
        np.testing.assert_allclose(np.asarray(got) * np.asarray(f), rows, atol=1e-12)  # both scale the rows of A


dense_slopes = jit(
    jax.jacrev(
        lambda B, beta, m, a: jnp.stack([f(nt.DenseHessian(B), beta, m=m, mean=a) for f in FOUR]), argnums=(0, 1, 2, 3)
    )
)
forward_slopes = jit(
    jax.jacfwd(
        lambda beta, m, a, B: jnp.stack([f(nt.DenseHessian(B), beta, m=m, mean=a) for f in FOUR]), argnums=(0, 1, 2)
    )
)


@given(seed=st.integers(0, 10**6), relative_m=st.floats(-1, 0.8), log_beta=st.floats(-1, 1))
def test_gradients_of_closed_forms(seed, relative_m, log_beta):
    """Reverse and forward mode of F, U, S, C in B, β, m and x̄ against finite differences of the closed forms."""
    rng = np.random.default_rng(seed)
    beta = 10.0**log_beta
    B, a = np.eye(4) - 0.5 * np.tril(rng.normal(size=(4, 4)), -1), rng.normal(size=4)
    m = admissible(B, beta, relative_m)
    slopes = dense_slopes(jnp.asarray(B), beta, m, jnp.asarray(a))
    dB, da = rng.normal(size=B.shape), rng.normal(size=4)
    h = 1e-5
    wanted = [
        central_difference(lambda h: closed_forms(Gaussian(B + h * dB, a, beta, m)), h),
        central_difference(lambda h: closed_forms(Gaussian(B, a, beta + h, m)), h),
        central_difference(lambda h: closed_forms(Gaussian(B, a, beta, m + h)), h),
        central_difference(lambda h: closed_forms(Gaussian(B, a + h * da, beta, m)), h),
    ]
    found = [np.tensordot(slopes[0], dB, 2), slopes[1], slopes[2], slopes[3] @ da]
    # h² third derivatives, which grow as cond³ near the bound on m, and eps/h
    tolerance = 1e-8 * (1 + condition(shifted(B, beta, m))) ** 3
    for got, expected in zip(found, wanted, strict=True):
        # relative h²f'''/f of powers of β such as β²∂²log Z/∂β², about 20 (h/β)²
        np.testing.assert_allclose(got, expected, rtol=100 * (h / beta) ** 2, atol=tolerance)
    for got, expected in zip(forward_slopes(beta, m, jnp.asarray(a), jnp.asarray(B)), slopes[1:], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("m", [0.0, 0.3])
def test_gradients_in_the_jacobian(m):
    """∂log Z/∂A = βBM⁻¹ and ∂U/∂A = -BM⁻², any m; A = I - B; layers multiply rows by f'."""
    net, beta = network(4, (2, 3, 1)), 1.7
    G = nt.bulk_hessian(net, net.propagate(draw_inputs(4, 2)))
    B = jacobian(net, net.propagate(draw_inputs(4, 2)))
    inverse = np.linalg.inv(shifted(B, beta, m))
    log_z, energy = beta * B @ inverse, -B @ inverse @ inverse
    dense = jax.grad(lambda B: nt.log_partition(nt.DenseHessian(B), beta, m=m))(jnp.asarray(B))
    np.testing.assert_allclose(-dense, log_z, atol=1e-13)
    dense = jax.grad(lambda B: nt.average_loss(nt.DenseHessian(B), beta, m=m))(jnp.asarray(B))
    np.testing.assert_allclose(-dense, energy, atol=1e-13)
    layered = jax.jit(jax.grad(lambda G: nt.log_partition(G, beta, m=m)))(G)
    for got, slopes, wanted in zip(layered.weights, G.slopes, split_blocks(log_z, net.sizes), strict=True):
        np.testing.assert_allclose(got, slopes[:, None] * wanted, atol=1e-13)


def test_energy_is_minus_the_slope_and_the_integral_closes():
    """-dU/dβ = Var H > 0, and log Z(β1) - log Z(β0) = -∫U dβ."""
    net = graph(9, 5)
    x = fixed_state(net, draw_inputs(9, 2))
    G, B = nt.bulk_hessian(net, x), jacobian(net, x)
    nodes, weights = np.polynomial.legendre.leggauss(
        24
    )  # converged to rounding on this analytic, slow function of log β
    low, high = np.log(0.1), np.log(10.0)
    betas = np.exp(0.5 * (high - low) * nodes + 0.5 * (high + low))
    energy = jax.jit(jax.vmap(lambda b: nt.average_loss(G, b, mean=x)))(jnp.asarray(betas))
    integral = 0.5 * (high - low) * np.sum(weights * betas * np.asarray(energy))
    ends = [float(nt.log_partition(G, b, mean=x)) for b in (0.1, 10.0)]
    assert abs(ends[1] - ends[0] + integral) < 1e-12
    slope = jax.grad(lambda b: nt.average_loss(G, b, mean=x))(2.0)
    assert abs(-slope - Gaussian(B, flat(x), 2.0, 0.0).variance) < 1e-13
    assert slope < 0


@given(seed=st.integers(0, 10**6), scale=st.floats(0, 4))
def test_two_layers_are_self_dual(seed, scale):
    """For two layers N_eff(β) + N_eff(1/β) = N, hence U(β = 1) = N/4 whatever the weights; three layers break it."""
    net = network(seed, (4, 3), scale=scale)
    G = nt.bulk_hessian(net.to_septuple(), net.ravel(net.propagate(draw_inputs(seed, 4))))
    cond = condition(np.asarray(G.to_dense()))
    energies = [energy(G, beta) for beta in (1.0, 3.0, 1 / 3)]
    assert abs(energies[0] - 7 / 4) < 100 * EPS * cond
    assert abs(2 * 3 * energies[1] + 2 / 3 * energies[2] - 7) < 1000 * EPS * cond


energy = jit(nt.average_loss)


def test_three_layers_are_not():
    net = network(1, (4, 3, 2), scale=2.0)
    G = nt.bulk_hessian(net.to_septuple(), net.ravel(net.propagate(draw_inputs(1, 4))))
    assert abs(energy(G, 1.0) - 9 / 4) > 5e-3


@given(seed=st.integers(0, 10**6), log_beta=st.floats(-3, 3), scale=st.floats(0, 3))
def test_log_partition_is_largest_without_weights(seed, log_beta, scale):
    """Log det(I + βĜ) >= N log(1 + β) for every acyclic network, with equality at A = 0."""
    net, beta = graph(seed, 5, scale=scale), 10.0**log_beta
    G = nt.bulk_hessian(net, fixed_state(net, draw_inputs(seed, 2)))
    excess = G.log_det(beta) - 5 * np.log1p(beta)
    assert excess > -1e-13 * (1 + beta)
    if scale > 1e-2:
        assert excess > 0
    elif scale == 0:
        assert abs(excess) < 1e-14 * (1 + abs(5 * np.log1p(beta)))


def test_states_in_a_batch_share_the_weights():
    """vmap over slopes with weights unbatched, over β, and over m equals the loop."""
    net = network(6, (2, 3, 1))
    states = [net.propagate(draw_inputs(k, 2)) for k in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

    def value(x, beta, m):
        return nt.free_energy(nt.bulk_hessian(net, x), beta, m=m, mean=x)

    alone = jax.jit(value)
    batch = jax.jit(jax.vmap(jax.vmap(value, in_axes=(None, 0, 0)), in_axes=(0, None, None)))
    betas, ms = jnp.asarray([0.01, 1.0, 3.0, 3.0]), jnp.asarray([0.0, -0.5, 0.2, 0.35])  # c from 1.5 to -0.05
    found = batch(stacked, betas, ms)
    for i, x in enumerate(states):
        for j in range(4):
            wanted = alone(x, betas[j], ms[j])
            assert abs(found[i, j] - wanted) < 1e-12 * (1 + abs(wanted))
    batched = jax.vmap(lambda x: nt.bulk_hessian(net, x), out_axes=nt.LayeredHessian(None, 0))(stacked)  # weights once
    assert [w.ndim for w in batched.weights] == [2, 2]


def test_new_numbers_do_not_retrace():
    traces = []

    @jax.jit
    def value(net, x, beta, m):
        traces.append(1)
        return nt.entropy(nt.bulk_hessian(net, x), beta, m=m)

    for seed, beta, m in ((1, 0.5, 0.0), (2, 1.5, 0.1), (3, 100.0, -0.2)):
        net = graph(seed, 5)
        value(net, fixed_state(net, draw_inputs(seed, 2)), beta, m)
    assert len(traces) == 1


@pytest.mark.parametrize("function", [*FOUR, nt.gaussian_entropy])
@pytest.mark.parametrize("kind", ["dense", "spectrum"])
def test_float32_in_float32_out(function, kind):
    """Also with β and m as Python numbers in a process whose default is float64."""
    B = np.eye(4) - 0.5 * np.tril(np.random.default_rng(0).normal(size=(4, 4)), -1)
    G = nt.DenseHessian(jnp.asarray(B, jnp.float32))
    G = nt.log_eigenvalues(G) if kind == "spectrum" else G
    wide = function(nt.DenseHessian(jnp.asarray(B)), 1.4, m=0.1)
    for beta, m in ((1.4, 0.1), (jnp.float32(1.4), jnp.float32(0.1))):
        found = function(G, beta, m=m)
        assert found.dtype == jnp.float32
        assert abs(float(found) - float(wide)) < 100 * 4 * 1.2e-7 * (1 + abs(wide))  # ε × N × cond² with cond ~ 5


ALL = (*FOUR, nt.gaussian_entropy, nt.thermodynamic_functions, nt.log_partition)


@pytest.mark.parametrize("function", [*ALL, nt.sweep])
def test_without_a_curvature_it_is_zero(function):
    """To the bit, and not the same as another one."""
    net = network(0, (3, 2))
    G, beta = nt.bulk_hessian(net, net.propagate(draw_inputs(0, 3))), 1.5
    beta = jnp.asarray([beta]) if function is nt.sweep else beta
    values = (jax.tree.leaves(function(G, beta, **m)) for m in ({}, {"m": 0.0}, {"m": 0.1}))
    left_out, zero, other = (np.stack(numbers) for numbers in values)
    np.testing.assert_array_equal(left_out, zero)
    assert np.abs(left_out - other).max() > 1e-3


@pytest.mark.parametrize("function", [*FOUR, nt.gaussian_entropy])
def test_integers_are_inverse_temperatures_too(function):
    G = nt.DenseHessian(jnp.asarray([[1.0, 0.0], [-0.5, 1.0]]))
    assert function(G, 2) == function(G, 2.0)


@pytest.mark.parametrize("function", [*FOUR, nt.gaussian_entropy])
def test_bad_numbers_are_refused(function):
    G = nt.DenseHessian(jnp.asarray([[1.0, 0.0], [-0.5, 1.0]]))
    for beta in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`beta` must be positive, but got"):
            function(G, beta)
    with pytest.raises(TypeError, match="`beta` must be a real number, but got"):
        function(G, 1j)
    with pytest.raises(ValueError, match="`m` must keep .* positive definite"):
        function(G, 1.0, m=10.0)
    with pytest.raises(ValueError, match="must be finite, but got"):
        function(nt.DenseHessian(jnp.full((2, 2), jnp.nan)), 1.0)
    traced = jax.jit(lambda b, m: function(G, b, m=m))
    assert np.isnan(traced(1.0, 10.0))
    assert np.isfinite(traced(1.0, 0.1))
    assert list(np.isnan(jax.vmap(traced)(jnp.ones(2), jnp.asarray([0.1, 10.0])))) == [False, True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("log_beta", [-12, -8, -4, 0, 4, 8, 12])
def test_heat_capacity_keeps_its_digits_at_any_temperature(dtype, log_beta):
    """½ Σ (βλ/(1+βλ))², whose terms are all positive; at high temperature it is 10^-24. Rounding × N and condition."""
    net = network(3, (4, 3, 2), dtype=dtype)
    x = net.propagate(draw_inputs(0, 4).astype(dtype))
    G = nt.bulk_hessian(net, x)
    beta = 10.0**log_beta
    scaled = beta * np.linalg.svd(jacobian(net, x), compute_uv=False) ** 2
    expected = 0.5 * np.sum((scaled / (1 + scaled)) ** 2)
    assert float(nt.heat_capacity(G, beta)) == pytest.approx(expected, rel=2e3 * float(np.finfo(dtype).eps))
