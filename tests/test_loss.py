"""Losses by hand: boundary (2.11), bulk (3.1), potentials (3.3), interactions (3.4), and when H has a minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import (
    FeedForward,
    QuadraticPotential,
    Septuple,
    UnboundedLossWarning,
    boundary_loss,
    bulk_loss,
    local_potential,
    pair_interaction,
    relax,
    total_potential,
)
from nnthermo.loss import check_bounded_below

EPS = np.finfo(np.float64).eps
SIZES = (3, 4, 2)
TOTAL = sum(SIZES)


def linear(y):
    return y


def layered(seed, *, scale=1.0, activation=jnp.tanh, dtype=np.float64):
    rng = np.random.default_rng(seed)
    weights = [(scale * rng.normal(size=shape)).astype(dtype) for shape in ((4, 3), (2, 4))]
    return FeedForward(weights, [(0.5 * rng.normal(size=n)).astype(dtype) for n in (4, 2)], activation=activation)


def cyclic(seed, *, norm=0.8, activation=jnp.tanh):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(5, 5))
    inputs = np.array([True, True, False, False, False])
    outputs = np.array([False, False, False, False, True])
    w *= norm / np.linalg.norm(w, 2)
    return Septuple(w, rng.normal(size=5), activation=activation, input_mask=inputs, output_mask=outputs)


def state(seed, scale=1.0):
    rng = np.random.default_rng(seed + 100)
    return tuple(scale * rng.normal(size=n) for n in SIZES)


bulk = jax.jit(bulk_loss)
bulk_m = jax.jit(lambda net, x, m: bulk_loss(net, x, potential=QuadraticPotential(m)))
boundary = jax.jit(boundary_loss)


def predictive_coding(net, x):
    """½ Σ_l |x_{l+1} - tanh(W_l x_l + b_l)|², layer by layer and neuron by neuron, and the size of its largest term."""
    energy, size = 0.0, 1.0
    for w, b, below, above in zip(net.weights, net.biases, x[:-1], x[1:], strict=True):
        for i in range(len(above)):
            error = above[i] - np.tanh(float(b[i]) + sum(float(w[i, j]) * below[j] for j in range(len(below))))
            energy += 0.5 * error**2
            size = max(size, np.abs(w[i]) @ np.abs(below))
    return energy, size


@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 5.0), spread=st.floats(0.0, 5.0))
def test_bulk_loss_is_the_energy_of_predictive_coding(seed, scale, spread):
    net, x = layered(seed, scale=scale), state(seed, spread)
    energy, size = predictive_coding(net, x)
    # arguments of tanh round by a few ulp of Σ|w x|, errors enter times |x - f|, at most √(2 energy)
    assert abs(float(bulk(net, x)) - energy) < 20 * TOTAL * EPS * (energy + size * np.sqrt(energy))


@given(seed=st.integers(0, 10**6))
def test_printed_boundary_loss_is_twice_ours(seed):
    """(2.10) is |x - x_∂|² and (2.11) ½ |x - x_∂|² over the boundary; fixed states have no error at the inputs."""
    net = layered(seed)
    rng = np.random.default_rng(seed)
    u, t = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 2)
    out = np.tanh(net.weights[1] @ np.tanh(net.weights[0] @ u + net.biases[0]) + net.biases[1])
    printed = sum((float(a) - b) ** 2 for a, b in zip(out, t, strict=True))
    found = float(boundary(net, net.propagate(u), t))
    # outputs round by about 10 ulp, twice the error of up to 2
    np.testing.assert_allclose(printed, 2 * found, rtol=0, atol=100 * EPS)


def test_boundary_loss_of_a_graph_picks_its_outputs():
    net = cyclic(0)
    x = jnp.arange(5.0)
    assert float(boundary_loss(net, x, [1.0])) == 0.5 * (4.0 - 1.0) ** 2
    np.testing.assert_array_equal(jax.grad(boundary_loss, argnums=1)(net, x, [1.0]), [0, 0, 0, 0, 3.0])
    np.testing.assert_array_equal(jax.grad(boundary_loss, argnums=2)(net, x, jnp.ones(1)), [-3.0])


def test_given_inputs_count_and_clamped_ones_do_not():
    net, x = layered(0), state(0)
    u = np.array([0.5, -0.5, 1.0])
    expected = float(bulk_loss(net, x)) + 0.5 * sum((a - b) ** 2 for a, b in zip(x[0], u, strict=True))
    np.testing.assert_allclose(float(bulk_loss(net, x, inputs=u)), expected, rtol=10 * EPS)  # a sum of nine squares
    twin = net.to_septuple()
    np.testing.assert_allclose(float(bulk_loss(twin, net.ravel(x), inputs=u)), expected, rtol=10 * EPS)


# The Hessian at the fixed state (5.5), (5.6).


def dense_jacobian(net, x):
    """B = I - f̂'ŵ (5.6), by hand: slopes 1 - x̄² of tanh at its fixed state, weights in their blocks."""
    starts = np.concatenate([[0], np.cumsum(SIZES)])
    B = np.eye(TOTAL)
    for k, w in enumerate(net.weights):
        slopes = 1 - np.asarray(x[k + 1]) ** 2
        B[starts[k + 1] : starts[k + 2], starts[k] : starts[k + 1]] -= slopes[:, None] * np.asarray(w)
    return B


@jax.jit
def hessian(net, u, m):
    x = net.propagate(u)
    return x, jax.hessian(lambda v: bulk_loss(net, net.unravel(v), inputs=u, potential=QuadraticPotential(m)))(
        net.ravel(x)
    )


@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 2.0), m=st.sampled_from([0.0, 0.4, -0.7]))
def test_hessian_at_the_fixed_state(seed, scale, m):
    """∂²H/∂x∂x = BᵀB - m I over all neurons, inputs included: every residual is 0, so no second derivative of f."""
    net = layered(seed, scale=scale)
    x, H = hessian(net, np.random.default_rng(seed).uniform(-1, 1, 3), m)
    B = dense_jacobian(net, x)
    # products of up to N entries of size |B|², states within 10 ulp
    rounding = 100 * TOTAL * EPS * (1 + np.abs(B).max()) ** 2
    np.testing.assert_allclose(H, B.T @ B - m * np.eye(TOTAL), rtol=0, atol=rounding)


def test_hessian_of_a_cyclic_graph_at_its_fixed_state():
    net = cyclic(1)
    u = jnp.array([0.3, -0.2])
    x = net.fixed_point(u).state
    H = jax.jit(jax.hessian(lambda v: bulk_loss(net, v, inputs=u)))(x)
    slopes = np.where(net.input_mask, 0.0, 1 - np.asarray(x) ** 2)
    B = np.eye(5) - slopes[:, None] * np.asarray(net.weight)
    np.testing.assert_allclose(H, B.T @ B, rtol=0, atol=1000 * EPS)  # residuals of 16 ulp times |w|² f'' N


def test_hessian_off_the_fixed_state_has_the_second_slopes_too():
    """Away from x̄ the Hessian is BᵀB - Σ_i r_i f''_i w_i w_iᵀ: what the expansion (5.5) about another centre lacks."""
    net, x = layered(3), state(3)
    H = jax.jit(jax.hessian(lambda v: bulk_loss(net, net.unravel(v))))(np.concatenate(x))
    starts = np.concatenate([[0], np.cumsum(SIZES)])
    B, extra = np.eye(TOTAL), np.zeros((TOTAL, TOTAL))
    B[:3, :3] = 0  # clamped inputs have no residual
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        f = np.tanh(np.asarray(w) @ x[k] + np.asarray(b))
        rows, columns = slice(starts[k + 1], starts[k + 2]), slice(starts[k], starts[k + 1])
        B[rows, columns] -= (1 - f**2)[:, None] * np.asarray(w)
        second = -2 * f * (1 - f**2)
        extra[columns, columns] -= np.asarray(w).T @ np.diag((x[k + 1] - f) * second) @ np.asarray(w)
    np.testing.assert_allclose(H, B.T @ B + extra, rtol=0, atol=1000 * EPS)  # sums of N products of size |w|² < 10
    assert np.abs(extra).max() > 0.05


# Potentials.


@given(seed=st.integers(0, 10**6), m=st.floats(-2.0, 2.0))
def test_quadratic_potential(seed, m):
    net, x = layered(seed), state(seed)
    squares = sum(float(s) ** 2 for part in x for s in part)
    plain = float(bulk(net, x))
    # a sum of nine squares, then a difference of terms of the size of both
    rounding = 20 * EPS * (plain + abs(m) * squares)
    assert abs(float(bulk_m(net, x, m)) - (plain - 0.5 * m * squares)) <= rounding


def test_potentials_by_value_and_gradient():
    x = state(0)
    flat = np.concatenate(x)
    g = np.random.default_rng(1).normal(size=(TOTAL, TOTAL))
    cases = (
        (QuadraticPotential(0.6), -0.3 * flat @ flat, -0.6 * flat),
        (local_potential(lambda s: s**4 / 4), np.sum(flat**4) / 4, flat**3),
        (local_potential(jnp.cos), np.sum(np.cos(flat)), -np.sin(flat)),
        (pair_interaction(g), flat @ g @ flat, (g + g.T) @ flat),  # g need not be symmetric
    )
    for potential, value, gradient in cases:
        parts, whole = jax.jit(jax.value_and_grad(potential)), jax.jit(potential)
        found = parts(x)
        np.testing.assert_allclose(float(found[0]), value, rtol=0, atol=200 * EPS)  # 81 terms of order 1
        np.testing.assert_allclose(np.concatenate(found[1]), gradient, rtol=0, atol=200 * EPS)
        np.testing.assert_allclose(float(whole(flat)), value, rtol=0, atol=200 * EPS)
        net = layered(0)
        total = jax.jit(lambda n, s, V=potential: bulk_loss(n, s, potential=V))(net, x)
        np.testing.assert_allclose(float(total) - float(bulk(net, x)), value, rtol=0, atol=200 * EPS)


def test_potentials_add_up():
    """The quadratic potential is the interaction with g = -(m/2) I, and the local one with V_i = -(m/2) x_i²."""
    x = state(4)
    m = 0.8
    same = (
        QuadraticPotential(m),
        pair_interaction(-0.5 * m * np.eye(TOTAL)),
        local_potential(lambda s: -0.5 * m * s**2),
    )
    values = [float(V(x)) for V in same]
    np.testing.assert_allclose(values, values[0], rtol=10 * EPS)


def test_quadratic_potential_is_a_pytree_with_m_as_its_leaf():
    derivative = jax.grad(lambda V: bulk_loss(layered(0), state(0), potential=V))(QuadraticPotential(0.5))
    assert isinstance(derivative, QuadraticPotential)
    np.testing.assert_allclose(derivative.m, -0.5 * np.sum(np.concatenate(state(0)) ** 2), rtol=20 * EPS)


# Bounded below or not.


@pytest.mark.parametrize(("m", "sign"), [(0.9, 1.0), (1.1, -1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_sign_of_the_loss_far_away(m, sign, seed):
    """Row 3.3: on the sphere |x| = 1e5, H = (1 - m) |x|²/2 + O(|x|) for tanh, in every direction of free neurons."""
    net = layered(seed)
    rng = np.random.default_rng(seed)
    x = [rng.normal(size=n) for n in SIZES]
    x[0] = np.zeros(3)  # input neurons are clamped: their residual is 0, and -m x²/2 alone would remain
    R = 1e5
    length = np.sqrt(sum(part @ part for part in x))
    far = tuple(R * part / length for part in x)
    H = float(bulk_m(net, far, m))
    assert np.sign(H) == sign
    assert abs(H - 0.5 * (1 - m) * R**2) < 2 * np.sqrt(TOTAL) * R  # |x·f| <= √N R, and ½ |f|²


@pytest.mark.parametrize("m", [1.0, 1.5, np.float64(2.0), jnp.asarray(1.0)])
def test_no_minimum_is_refused(m):
    net = layered(0, activation=jnp.tanh)
    halves = total_potential(QuadraticPotential(m / 2), QuadraticPotential(m / 2))
    for potential in (QuadraticPotential(m), halves):
        with pytest.raises(ValueError, match="`m` must be below 1 for the bulk loss to have a minimum, but got"):
            relax(net, np.zeros(3), np.zeros(2), potential=potential)


def test_large_m_is_no_fault_of_steep_linear_layers():
    # one hidden neuron between clamped ends, both weights 2: curvature 1 + 4 - m
    net = FeedForward([[[2.0]], [[2.0]]], [[0.0], [0.0]], activation=linear)
    with pytest.warns(UnboundedLossWarning, match="but got 1.5"):
        found = relax(net, np.array([0.1]), np.array([0.3]), potential=QuadraticPotential(1.5))
    assert float(found.state[1][0]) == pytest.approx((0.2 + 0.6) / 3.5)
    assert bool(found.converged)


@pytest.mark.parametrize("activation", [linear, jax.nn.relu, jax.nn.softplus, (jnp.tanh, linear)])
def test_unbounded_activations_are_warned_of(activation):
    net = layered(0, activation=activation)
    for kind in (net, net.to_septuple()):
        with pytest.warns(UnboundedLossWarning, match="`m` should be 0 for unbounded activations, but got 0.1"):
            check_bounded_below(kind, QuadraticPotential(0.1))


@pytest.mark.parametrize(
    ("activation", "m"),
    [(jnp.tanh, 0.9), (jax.nn.sigmoid, 0.9), (jnp.sin, 0.5), (linear, 0.0), (linear, -3.0), (jax.nn.relu, -1e-3)],
)
def test_no_warning_without_reason(activation, m):
    net = layered(0, activation=activation)
    for kind in (net, net.to_septuple()):  # warnings are errors
        check_bounded_below(kind, QuadraticPotential(m))
        check_bounded_below(kind, local_potential(jnp.negative))  # of other potentials nothing is known
        check_bounded_below(kind, None)


def test_relaxation_warns():
    net = layered(0, scale=0.1, activation=linear)
    with pytest.warns(UnboundedLossWarning, match="a minimum only if m < λ_min") as record:
        relax(net, np.zeros(3), np.zeros(2), potential=QuadraticPotential(0.1))
    files = [warning.filename for warning in record if warning.category is UnboundedLossWarning]
    assert files == [__file__]  # the line that asked for it


def test_no_warning_for_a_traced_m():
    net = layered(0, scale=0.1, activation=linear)
    found = jax.jit(lambda m: relax(net, np.zeros(3), np.zeros(2), potential=QuadraticPotential(m)))(0.1)
    assert bool(found.converged)  # λ_min is near 1 for small weights: there is a minimum


def test_linear_loss_is_bounded_up_to_the_smallest_eigenvalue():
    """The criterion of the warning: the Hessian over the free neurons is Ĝ - m I, definite for m < λ_min alone."""
    net = layered(2, activation=linear)
    B = np.eye(TOTAL)
    B[3:7, :3] -= net.weights[0]
    B[7:, 3:7] -= net.weights[1]
    free = slice(3, 7)
    smallest = np.linalg.eigvalsh((B.T @ B)[free, free])[0]
    assert smallest > 1 - 100 * EPS  # the hidden block of Ĝ is I + WᵀW: one layer of hidden neurons is safe up to m = 1
    x = state(2)
    direction = np.linalg.eigh((B.T @ B)[free, free])[1][:, 0]
    for m, sign in ((smallest - 0.01, 1), (smallest + 0.01, -1)):
        far = float(bulk_m(net, (x[0], 1e5 * direction, x[2]), m))
        assert np.sign(far) == sign


# Dtypes and refusals.


def test_float32_stays_float32():
    net = layered(0, dtype=np.float32)
    x = net.propagate(np.zeros(3))
    t = np.zeros(2, np.float32)
    for loss in (
        boundary_loss(net, x, t),
        bulk_loss(net, x),
        bulk_loss(net, x, inputs=x[0]),
        bulk_loss(net, x, potential=QuadraticPotential(0.5)),
        bulk_loss(net, x, potential=local_potential(jnp.cos)),
        bulk_loss(net, x, potential=pair_interaction(np.eye(TOTAL, dtype=np.float32))),
    ):
        assert loss.dtype == jnp.float32
        assert loss.shape == ()


def test_float64_and_integer_data_take_the_dtype_of_the_network():
    for net in (layered(0, dtype=np.float32), layered(0, dtype=np.float32).to_septuple()):
        x = net.propagate([0.0, 0.1, 0.2])
        assert boundary_loss(net, x, [1, 0]).dtype == jnp.float32
        assert bulk_loss(net, x, inputs=[0.0, 0.1, 0.2]).dtype == jnp.float32


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda net, x: boundary_loss(net, x, np.zeros(3)),
            ValueError,
            r"`target` must have shape \(2,\), but got shape \(3,\)",
        ),
        (lambda net, x: boundary_loss(net, x, 0.0), ValueError, r"`target` must have shape \(2,\), but got shape \(\)"),
        (lambda net, x: boundary_loss(net, x, ["a", "b"]), TypeError, "`target` must be real, but got dtype <U1"),
        (lambda net, x: boundary_loss(net, x, np.ones(2) * 1j), TypeError, "`target` must be real, but got dtype comp"),
        (
            lambda net, x: boundary_loss(net, x[1:], np.zeros(2)),
            ValueError,
            "`x` must be a tuple of 3 layer vectors, but got 2",
        ),
        (
            lambda net, x: boundary_loss(net, (*x[:1], x[0], x[2]), np.zeros(2)),
            ValueError,
            r"`x` must have layer shapes \(\(3,\), \(4,\), \(2,\)\), but got \(\(3,\), \(3,\), \(2,\)\)",
        ),
        (
            lambda net, x: jax.jit(boundary_loss)(net, net.ravel(x), np.zeros(2)),
            ValueError,
            "`x` must be a tuple of 3 layer vectors, but got ",
        ),
        (
            lambda net, x: boundary_loss(net.to_septuple(), x, np.zeros(2)),
            ValueError,
            "`x` must be one vector, but got tuple",
        ),
        (
            lambda net, _: jax.jit(boundary_loss)(net.to_septuple(), jnp.zeros(8), np.zeros(2)),
            ValueError,
            r"`x` must have shape \(9,\), but got shape \(8,\)",
        ),
        (lambda *_: QuadraticPotential(np.zeros(3)), ValueError, r"`m` must have shape \(\), but got shape \(3,\)"),
        (lambda *_: QuadraticPotential([0.5]), ValueError, r"`m` must have shape \(\), but got shape \(1,\)"),
        (lambda *_: QuadraticPotential(None), TypeError, "`m` must be real, but got dtype object"),
        (
            lambda net, x: jax.jit(lambda m: bulk_loss(net, x, potential=QuadraticPotential(m)))(jnp.zeros(2)),
            ValueError,
            r"`m` must have shape \(\), but got shape \(2,\)",
        ),
        (lambda net, x: bulk_loss(net, x[:2]), ValueError, "`x` must be a tuple of 3 layer vectors, but got 2"),
        (lambda net, x: bulk_loss(net, x[::-1]), ValueError, "`x` must have layer shapes"),
        (lambda *_: pair_interaction(np.zeros(4)), ValueError, "`coupling` must have 2 dimensions, but got shape"),
        (lambda *_: pair_interaction(np.zeros((4, 3))), ValueError, "`coupling` must be square, but got shape"),
        (
            lambda net, x: bulk_loss(net, x, potential=pair_interaction(np.eye(4))),
            ValueError,
            r"`coupling` must be 9 × 9, as many as the neurons, but got shape \(4, 4\)",
        ),
        (
            lambda net, x: bulk_loss(net, x, inputs=jnp.zeros(1)),
            ValueError,
            r"`inputs` must have shape \(3,\), but got shape \(1,\)",
        ),
        (
            lambda net, x: bulk_loss(net, x, inputs=jnp.zeros(2)),
            ValueError,
            r"`inputs` must have shape \(3,\), but got shape \(2,\)",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, sentence):
    net = layered(0)
    with pytest.raises(error, match=sentence):
        call(net, net.propagate(np.zeros(3)))


def test_boundary_loss_needs_outputs():
    none = np.zeros(2, bool)
    net = Septuple(np.zeros((2, 2)), np.zeros(2), activation=jnp.tanh, input_mask=none, output_mask=none)
    with pytest.raises(ValueError, match=r"`net` must have output neurons .* but got 0"):
        boundary_loss(net, jnp.zeros(2), np.zeros(0))
