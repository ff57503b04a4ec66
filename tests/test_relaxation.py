"""The clamped minimum (3.2): closed forms, honest reports, envelope gradients (3.4), batches, graphs, refusals."""

import functools

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
    relaxed_bulk_loss,
)

EPS = np.finfo(np.float64).eps
ROOT = EPS**0.5
SIZES = (3, 4, 3, 2)
HIDDEN = slice(3, 10)
TOTAL = sum(SIZES)


def linear(y):
    return y


def layered(seed, *, scale=1.0, activation=jnp.tanh, sizes=SIZES, dtype=np.float64):
    """Weights of the given scale over √n_in, biases of 0.5."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [(scale * rng.normal(size=s) / np.sqrt(s[1])).astype(dtype) for s in shapes]
    return FeedForward(weights, [(0.5 * rng.normal(size=s[0])).astype(dtype) for s in shapes], activation=activation)


def boundary(seed, sizes=SIZES, samples=(), dtype=np.float64):
    rng = np.random.default_rng(seed + 1000)
    data = [rng.uniform(-1, 1, (*samples, n)).astype(dtype) for n in (sizes[0], sizes[-1])]
    return data[0], data[1]


def cyclic(seed, *, norm=0.8, size=6):
    """Random graph with cycles: two inputs, one output, every connection present."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(size, size))
    w *= norm / np.linalg.norm(w, 2)
    index = np.arange(size)
    b = 0.5 * rng.normal(size=size)
    return Septuple(w, b, activation=jnp.tanh, input_mask=index < 2, output_mask=index == size - 1)


def largest(x):
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0.0) for leaf in jax.tree.leaves(x)]))


def free_gradient(net, x, potential, outputs_free=False):
    """∂H/∂x of the free neurons, by differentiating the public loss at the returned state."""
    gradient = jax.grad(lambda s: bulk_loss(net, s, potential=potential))(x)
    zero = None if outputs_free else jnp.zeros(net.output_size, net.outputs(x).dtype)
    return net.clamp(gradient, jnp.zeros(net.input_size, net.inputs(x).dtype), zero)


plain = jax.jit(relax)
LIMIT = 1000


@jax.jit
def clamped(net, u, t, m, tolerance):
    """(relaxation, H at the start, the recomputed largest free gradient, the recomputed loss)."""
    V = QuadraticPotential(m)
    found = relax(net, u, t, potential=V, tolerance=tolerance, max_steps=LIMIT)
    start = bulk_loss(net, net.clamp(net.propagate(u), u, t), potential=V)
    return found, start, largest(free_gradient(net, found.state, V)), bulk_loss(net, found.state, potential=V)


# Linear networks: H is quadratic and its minimum is known.


def chain(net):
    """W_K ... W_l of every hidden layer l, the inputs' weights apart: from a hidden error to the outputs."""
    products, product = [], np.eye(net.sizes[-1])
    for w in reversed(net.weights[1:]):
        product = product @ np.asarray(w)
        products.append(product)
    return products[::-1]


def linear_minimum(net, u, t):
    """(H*, x*, λ_min of the hidden Hessian), from least squares: the shortest chain of errors that leads to the target.

    Errors r_l of the hidden layers and r_out of the outputs shift the output by Σ_l (W_K...W_l) r_l + r_out, which must
    equal e = t - x̄_out. The shortest such r is r_l = (W_K...W_l)ᵀ S⁻¹ e with S = I + Σ_l (W_K...W_l)(W_K...W_l)ᵀ, and
    H* = ½ |r|² = ½ eᵀ S⁻¹ e.
    """
    x = [np.asarray(u)]
    for w, b in zip(net.weights, net.biases, strict=True):
        x.append(np.asarray(w) @ x[-1] + np.asarray(b))
    e = np.asarray(t) - x[-1]
    products = chain(net)
    S = np.eye(len(e)) + sum(p @ p.T for p in products)
    y = np.linalg.solve(S, e)
    state = [np.asarray(u)]
    for w, b, p in zip(net.weights, net.biases, [*products, np.eye(len(e))], strict=True):
        state.append(np.asarray(w) @ state[-1] + np.asarray(b) + p.T @ y)
    starts = np.concatenate([[0], np.cumsum(net.sizes)])
    B = np.eye(starts[-1])
    for k, w in enumerate(net.weights):
        B[starts[k + 1] : starts[k + 2], starts[k] : starts[k + 1]] -= np.asarray(w)
    free = slice(starts[1], starts[-2])
    return 0.5 * e @ y, state, np.linalg.eigvalsh((B.T @ B)[free, free])[0]


@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 1.2))
def test_linear_networks_against_the_closed_form(seed, scale):
    net = layered(seed, scale=scale, activation=linear)
    u, t = boundary(seed)
    found, start, norm, _ = clamped(net, u, t, 0.0, ROOT)
    H, x, smallest = linear_minimum(net, u, t)
    assert bool(found.converged)
    # a gradient g leaves the state within |g| / λ_min and the loss within |g|² / (2 λ_min) of the minimum; |g| has
    # seven components; and rounding
    gap = np.sqrt(7) * float(norm)
    assert -10 * EPS * (1 + H) <= float(found.loss) - H <= gap**2 / (2 * smallest) + 100 * EPS * (1 + H)
    for a, b in zip(found.state, x, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=gap / smallest + 1000 * EPS * (1 + scale) ** 3 / smallest)
    assert float(found.loss) <= float(start)


@pytest.mark.parametrize("m", [-2.0, -0.3])
def test_linear_network_in_a_quadratic_potential(m):
    """The free block of Ĝ - m I against NumPy."""
    net = layered(1, activation=linear)
    u, t = boundary(1)
    found, *_ = clamped(net, u, t, m, ROOT)
    starts = np.concatenate([[0], np.cumsum(SIZES)])
    B, c = np.eye(TOTAL), np.zeros(TOTAL)
    B[:3, :3] = 0  # clamped inputs have no error
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        B[starts[k + 1] : starts[k + 2], starts[k] : starts[k + 1]] -= np.asarray(w)
        c[starts[k + 1] : starts[k + 2]] = np.asarray(b)
    x = np.concatenate([u, np.zeros(7), t])
    A = B.T @ B - m * np.eye(TOTAL)
    x[HIDDEN] = np.linalg.solve(A[HIDDEN, HIDDEN], (B.T @ c - A @ x)[HIDDEN])
    H = 0.5 * np.sum((B @ x - c) ** 2) - 0.5 * m * x @ x
    smallest = np.linalg.eigvalsh(A[HIDDEN, HIDDEN])[0]
    np.testing.assert_allclose(jnp.concatenate(found.state), x, rtol=0, atol=np.sqrt(7) * ROOT / smallest)
    np.testing.assert_allclose(float(found.loss), H, rtol=100 * EPS, atol=7 * EPS / smallest)


def test_linear_network_beyond_the_smallest_eigenvalue_is_not_claimed():
    """m > λ_min: no minimum, H falls for ever, and `converged` must be False, with finite numbers up to overflow."""
    net = layered(3, scale=2.0, activation=linear)
    u, t = boundary(3)
    _, _, smallest = linear_minimum(net, u, t)
    assert smallest < 0.9
    with pytest.warns(UnboundedLossWarning, match="λ_min"):
        found = jax.jit(lambda n: relax(n, u, t, potential=QuadraticPotential(0.95), max_steps=500))(net)
    assert not bool(found.converged)
    assert float(found.loss) < -1e3


# tanh networks: identities at the minimum, and honesty everywhere.


@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 3.0), m=st.sampled_from([0.0, 0.5, -1.0]))
def test_minimum_is_stationary_lower_than_the_start_and_clamped(seed, scale, m):
    net = layered(seed, scale=scale)
    u, t = boundary(seed)
    found, start, norm, loss = clamped(net, u, t, m, ROOT)
    assert bool(found.converged)
    # the same expressions compiled in another program: some 100 roundings of numbers up to |w|² times the state
    rounding = 100 * EPS * (1 + scale) ** 2
    assert float(norm) <= ROOT + rounding
    assert abs(float(norm) - float(found.gradient_norm)) <= rounding
    assert abs(float(loss) - float(found.loss)) <= rounding
    assert float(found.loss) <= float(start) + rounding
    assert jnp.array_equal(found.state[0], u)
    assert jnp.array_equal(found.state[-1], t)
    if m == 0:  # 0 <= H* <= H_∂ (audit, 15)
        assert 0 <= float(found.loss) <= float(boundary_loss(net, net.propagate(u), t)) + rounding


@given(seed=st.integers(0, 10**6), scale=st.floats(0.0, 3.0), m=st.sampled_from([0.0, 0.5, -1.0]))
def test_relaxed_errors_obey_the_back_propagation_recursion(seed, scale, m):
    """r_l = W_{l+1}ᵀ (f'_{l+1} r_{l+1}) + m x_l in every hidden layer (audit, 14), all of it in NumPy."""
    net = layered(seed, scale=scale)
    found, *_ = clamped(net, *boundary(seed), m, ROOT)
    x = [np.asarray(s) for s in found.state]
    f = [np.tanh(np.asarray(w) @ s + np.asarray(b)) for w, b, s in zip(net.weights, net.biases, x[:-1], strict=True)]
    r = [s - v for s, v in zip(x[1:], f, strict=True)]
    for k in range(len(r) - 1):
        expected = np.asarray(net.weights[k + 1]).T @ ((1 - f[k + 1] ** 2) * r[k + 1]) + m * x[k + 1]
        # the difference is the gradient, within the tolerance; and rounding
        np.testing.assert_allclose(r[k], expected, rtol=0, atol=ROOT + 100 * EPS * (1 + scale) ** 2)


@pytest.mark.parametrize(
    ("activation", "dtype"),
    [(jnp.tanh, np.float64), (jnp.tanh, np.float32), (jax.nn.relu, np.float32)],
    ids=["tanh-float64", "tanh-float32", "relu-float32"],
)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.0, 0.3, 1.0, 3.0, 10.0, 1e3, 1e6]),
    exponent=st.integers(-14, 0),
)
def test_no_false_claim_of_convergence(activation, dtype, seed, scale, exponent):
    """`converged` exactly where the recomputed gradient is within the tolerance; no NaN; H never above its start."""
    net = layered(seed, scale=scale, activation=activation, dtype=dtype)
    u, t = boundary(seed, dtype=dtype)
    tolerance = dtype(10.0**exponent)
    found, start, norm, loss = clamped(net, u, t, dtype(0), tolerance)
    values = [found.loss, found.gradient_norm, *found.state]
    assert all(np.isfinite(v).all() for v in values)
    assert {v.dtype for v in values} == {np.dtype(dtype)}
    assert bool(found.converged) == bool(found.gradient_norm <= tolerance)
    # errors |r| <= √(2H) meet |w| <= 4 scale on their way, and the arguments of f carry |w x| eps times |w|
    x = max(float(jnp.max(jnp.abs(s))) for s in found.state)
    eps, w = np.finfo(dtype).eps, 1 + 4 * scale
    rounding = 100 * float(eps) * w * (w * (1 + x) + float(start) ** 0.5)
    assert abs(float(norm) - float(found.gradient_norm)) <= rounding
    assert abs(float(loss) - float(found.loss)) <= rounding * (1 + float(start) ** 0.5)
    assert float(found.loss) <= float(start) * (1 + 4 * LIMIT * float(eps))  # at most 2 or 3 ulp a step
    assert jnp.array_equal(found.state[0], u)
    assert jnp.array_equal(found.state[-1], t)
    assert int(found.steps) <= LIMIT
    if not bool(found.converged) and int(found.steps) < LIMIT:  # stopped for want of a step, not of time
        assert float(found.gradient_norm) <= rounding or activation is jax.nn.relu


def test_zero_weights_relax_at_once():
    """Nothing connects the layers: every hidden neuron is at f(b) already, and H* = H_∂."""
    net = layered(0, scale=0.0)
    u, t = boundary(0)
    found, start, *_ = clamped(net, u, t, 0.0, ROOT)
    assert (int(found.steps), float(found.gradient_norm)) == (0, 0.0)
    assert float(found.loss) == float(start)
    m = 0.5  # H = ½ (x - f(b))² - ½ m x², minimal at x = f(b) / (1 - m)
    found, *_ = clamped(net, u, t, m, ROOT)
    for s, b in zip(found.state[1:-1], net.biases[:-1], strict=True):
        np.testing.assert_allclose(s, np.tanh(b) / (1 - m), rtol=0, atol=2 * ROOT / (1 - m))


def test_saturated_weights():
    """|w| = 1e3: slopes underflow, gradients vanish, and the report stays true."""
    for seed in range(5):
        net = layered(seed, scale=1e3)
        found, start, norm, _ = clamped(net, *boundary(seed), 0.0, ROOT)
        assert np.isfinite(float(found.loss))
        assert float(found.loss) <= float(start)
        assert bool(found.converged) == (float(norm) <= ROOT)


def test_no_hidden_layers():
    """Nothing is free between inputs and targets: H = H_∂ with no step taken."""
    net = layered(0, sizes=(3, 2))
    u, t = boundary(0, (3, 2))
    found = relax(net, u, t)
    assert (int(found.steps), float(found.gradient_norm), bool(found.converged)) == (0, 0.0, True)
    np.testing.assert_allclose(found.loss, boundary_loss(net, net.propagate(u), t), rtol=10 * EPS)
    assert jnp.array_equal(found.state[1], t)


def test_free_outputs():
    """Without targets H = 0 at the fixed state; in a potential the outputs move too and their gradient vanishes."""
    net = layered(2)
    u, _ = boundary(2)
    free = jax.jit(lambda n, v, m: relax(n, v, potential=QuadraticPotential(m)))
    found = free(net, u, 0.0)
    assert float(found.loss) < 100 * EPS**2  # nine residuals of a few ulp
    assert bool(found.converged)
    assert int(found.steps) == 0
    for a, b in zip(found.state, net.propagate(u), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=20 * EPS)
    m = 0.6
    found = free(net, u, m)
    assert bool(found.converged)
    V = QuadraticPotential(m)
    assert float(found.loss) < float(bulk_loss(net, net.propagate(u), potential=V))
    assert float(largest(free_gradient(net, found.state, V, outputs_free=True))) <= ROOT + 1000 * EPS
    # ∂H/∂x_out = x_out - f - m x_out = 0
    f = np.tanh(net.weights[-1] @ found.state[-2] + net.biases[-1])
    np.testing.assert_allclose(found.state[-1], f / (1 - m), rtol=0, atol=2 * ROOT / (1 - m))


def test_tolerance_steps_and_start():
    net = layered(5, scale=2.0)
    u, t = boundary(5)
    loose, tight = (clamped(net, u, t, 0.0, tolerance)[0] for tolerance in (1e-2, 1e-12))
    assert 0 < int(loose.steps) < int(tight.steps)
    assert 1e-12 < float(loose.gradient_norm) <= 1e-2
    assert bool(loose.converged)
    assert bool(tight.converged)
    assert float(tight.gradient_norm) <= 1e-12
    assert float(tight.loss) <= float(loose.loss)
    limit = int(tight.steps) - 1
    stopped = jax.jit(lambda n, tolerance: relax(n, u, t, tolerance=tolerance, max_steps=limit))
    almost = stopped(net, 1e-12)  # one step earlier: not yet there
    assert (int(almost.steps), bool(almost.converged)) == (limit, False)
    lowest = float(almost.gradient_norm)
    assert lowest > 1e-12
    while bool((closer := stopped(net, 0.999 * lowest)).converged):  # gradients do not fall at every step
        assert float(closer.gradient_norm) < lowest
        lowest = float(closer.gradient_norm)
    assert bool(stopped(net, lowest).converged)
    assert 0.999 < float(closer.gradient_norm) / lowest < 9  # missed, and by less than ten times
    begin = jax.jit(lambda n, s, v: relax(n, v, t, start=s, tolerance=1e-12))
    again = begin(net, tight.state, u)
    assert int(again.steps) == 0
    assert all(jnp.array_equal(a, b) for a, b in zip(again.state, tight.state, strict=True))
    # the data of the boundary win over those of the start
    elsewhere = begin(net, tight.state, u + 0.1)
    assert jnp.array_equal(elsewhere.state[0], u + 0.1)


def test_loss_never_rises_on_the_way():
    """Momentum overshoots in stiff valleys and is refused: more steps never leave H higher, for any of 120 networks."""
    earlier, later = (jax.jit(functools.partial(relax, max_steps=k)) for k in (30, 40))
    for seed in range(60):
        for scale in (1.0, 2.0):
            net, (u, t) = layered(seed, scale=scale, activation=linear), boundary(seed)
            before, after = float(earlier(net, u, t).loss), float(later(net, u, t).loss)
            assert after <= before * (1 + 100 * EPS)  # ten steps, each of 2 or 3 ulp


@pytest.mark.parametrize("m", [0.0, 0.4])
@given(seed=st.integers(0, 10**6))
def test_small_tolerances_are_reached(m, seed):
    """Moderate weights: descent goes on where H no longer falls by more than its rounding, down to |g| of 1e-12."""
    # the terms of H cancel (½ |r|² and V, x and f in r), so a step is judged by the rounding of the terms, not of H
    found, _, norm, _ = clamped(layered(seed, scale=0.8), *boundary(seed), m, 1e-12)
    assert bool(found.converged)
    assert float(norm) <= 1e-12 + 100 * EPS


def test_default_tolerance_is_the_root_of_the_rounding():
    for dtype in (np.float32, np.float64):
        net, (u, t) = layered(6, dtype=dtype), boundary(6, dtype=dtype)
        root = float(np.finfo(dtype).eps) ** 0.5
        default = plain(net, u, t)
        given_root, *_ = clamped(net, u, t, dtype(0), dtype(root))
        assert int(default.steps) == int(given_root.steps)
        assert float(default.gradient_norm) <= root


def test_default_tolerance_is_absolute():
    """Errors of 1e-4 at the outputs, H_∂ of 1e-8, are below √ε of float32: the start is returned, and as converged."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((4, 3), (2, 4))]
    net = FeedForward(weights, [np.zeros(4, np.float32), np.zeros(2, np.float32)], activation=jnp.tanh)
    u = np.array([0.1, 0.2, 0.3], np.float32)
    t = net.propagate(u)[-1] + np.float32(1e-4)
    start = boundary_loss(net, net.propagate(u), t)
    default, small = plain(net, u, t), plain(net, u, t, tolerance=1e-6)
    assert (int(default.steps), bool(default.converged)) == (0, True)
    assert abs(float(default.loss) / float(start) - 1) < 1e-2  # outputs round by 1e-7 of their errors' 1e-4, squared
    assert bool(small.converged)
    assert float(small.loss) < 0.5 * float(start)  # 0.281: the hidden neurons take over most of the error


def test_local_minimum_reached_depends_on_the_start():
    """Row 3.2: two strict minima of a chain 1-1-1 of steep neurons, far apart, each found from its own side."""
    net = FeedForward(
        [np.array([[4.0]]), np.array([[1.0]]), np.array([[3.0]])],
        [np.array([0.0]), np.array([0.0]), np.array([0.0])],
        activation=(jnp.tanh, lambda y: y - 2 * jnp.sin(3 * y), jnp.tanh),
    )
    H = jax.jit(lambda a, b: bulk_loss(net, (jnp.array([0.1]), a[None], b[None], jnp.array([0.9]))))
    run = jax.jit(lambda a, b: relax(net, [0.1], [0.9], start=(jnp.zeros(1), a[None], b[None], jnp.zeros(1))))
    ends = [run(jnp.asarray(a), jnp.asarray(b)) for a, b in ((-1.0, 1.0), (0.5, 0.3), (2.0, 1.0))]
    assert all(bool(e.converged) for e in ends)
    states = np.array([[e.state[1][0], e.state[2][0]] for e in ends])
    assert np.abs(states[0] - states[2]).max() > 0.5
    for e in ends:  # each is a minimum of its neighbourhood
        a, b = e.state[1][0], e.state[2][0]
        for da, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
            assert float(H(a + da, b + db)) > float(e.loss)


# Batches.


def test_batched_call_equals_one_by_one():
    net = layered(7, scale=1.5)
    u, t = boundary(7, samples=(5,))
    t[0] = np.asarray(net.propagate(u[0])[-1])  # at its minimum from the start
    all_together = plain(net, u, t)
    assert all_together.loss.shape == all_together.steps.shape == all_together.converged.shape == (5,)
    assert [s.shape for s in all_together.state] == [(5, n) for n in SIZES]
    for k in range(5):
        one = plain(net, u[k], t[k])
        # each within tolerance / λ_min of the same minimum, λ_min > 0.05 here; sums in another order in a batch
        for a, b in zip(all_together.state, one.state, strict=True):
            np.testing.assert_allclose(a[k], b, rtol=0, atol=40 * np.sqrt(7) * ROOT)
        np.testing.assert_allclose(all_together.loss[k], one.loss, rtol=0, atol=20 * 7 * EPS)
        assert abs(int(all_together.steps[k]) - int(one.steps)) <= 3
    assert int(all_together.steps[0]) == 0  # each sample stops by itself
    assert len(set(all_together.steps.tolist())) > 2
    assert all(jnp.array_equal(a, b) for a, b in ((all_together.state[0], u), (all_together.state[-1], t)))
    # the same samples in other company
    order = [3, 3, 0, 2, 2]
    others = plain(net, u[order], t[order])
    np.testing.assert_allclose(others.loss, all_together.loss[np.array(order)], rtol=0, atol=20 * 7 * EPS)
    for a, b in zip(others.state, all_together.state, strict=True):
        np.testing.assert_allclose(a, b[np.array(order)], rtol=0, atol=40 * np.sqrt(7) * ROOT)


def test_large_batches_keep_the_order_of_their_samples():
    """More samples than are relaxed side by side, and not a multiple of that: each row has its own data and minimum."""
    net = layered(8, sizes=(2, 2, 1), activation=linear)
    u, t = boundary(8, (2, 2, 1), samples=(300,))
    found = plain(net, u, t)
    assert bool(found.converged.all())
    assert jnp.array_equal(found.state[0], u)
    assert jnp.array_equal(found.state[2], t)
    expected = np.array([linear_minimum(net, a, b)[0] for a, b in zip(u, t, strict=True)])
    np.testing.assert_allclose(found.loss, expected, rtol=0, atol=2 * EPS + 100 * EPS * expected.max())  # |g|² / 2 λ


def test_batches_without_targets_and_empty_batches():
    net = layered(9)
    u, _ = boundary(9, samples=(3,))
    found = plain(net, u)
    assert found.loss.shape == (3,)
    assert float(found.loss.max()) < 100 * EPS**2
    empty = plain(net, np.zeros((0, 3)), np.zeros((0, 2)))
    assert empty.loss.shape == (0,)
    assert [s.shape for s in empty.state] == [(0, n) for n in SIZES]


# General graphs.


@jax.jit
def on_graph(net, u, t, m):
    V = QuadraticPotential(m)
    found = relax(net, u, t, potential=V)
    start = bulk_loss(net, net.clamp(net.propagate(u), u, t), potential=V)
    return found, start, net.residual(found.state), net.slopes(found.state)


@given(seed=st.integers(0, 10**6), norm=st.floats(0.0, 4.0), m=st.sampled_from([0.0, 0.5]))
def test_graphs_with_cycles(seed, norm, m):
    """r_hid = P_hid (ŵᵀ f' r) + m x_hid at the minimum, with every self-loop and cycle in place."""
    net = cyclic(seed, norm=norm)
    rng = np.random.default_rng(seed)
    u, t = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 1)
    found, start, r, slopes = on_graph(net, u, t, m)
    assert float(found.loss) <= float(start) * (1 + 100 * EPS) + 100 * EPS
    assert jnp.array_equal(found.state[:2], u)
    assert jnp.array_equal(found.state[5:], t)
    expected = np.asarray(net.weight).T @ (np.asarray(slopes) * np.asarray(r)) + m * np.asarray(found.state)
    gap = np.abs(np.asarray(r) - expected)[2:5].max()
    assert abs(gap - float(found.gradient_norm)) <= 100 * EPS * (1 + norm) ** 2  # sums of six terms, |w| <= norm
    assert bool(found.converged) == (float(found.gradient_norm) <= ROOT)


def test_graph_in_a_batch():
    net = cyclic(1)
    rng = np.random.default_rng(1)
    u, t = rng.uniform(-1, 1, (3, 2)), rng.uniform(-1, 1, (3, 1))
    found = plain(net, u, t)
    for k in range(3):
        one, *_ = on_graph(net, u[k], t[k], 0.0)
        np.testing.assert_allclose(found.state[k], one.state, rtol=0, atol=40 * ROOT)  # tolerance / λ_min
        np.testing.assert_allclose(found.loss[k], one.loss, rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("samples", [1, 2])
def test_known_graph(samples):
    net = cyclic(2)
    u, t = jnp.array([0.1, 0.2]), jnp.array([0.5])
    expected = on_graph(net, u, t, 0.0)[0].loss
    if samples == 1:
        found = jax.jit(lambda v: relax(net, v, t))(u).loss
    else:
        found = relax(net, jnp.stack([u] * 2), jnp.stack([t] * 2)).loss
    np.testing.assert_allclose(found, jnp.broadcast_to(expected, found.shape), rtol=0, atol=40 * EPS)


# Potentials.


def test_other_potentials():
    """∂V/∂x enters the stationary condition: r_l = W_{l+1}ᵀ f' r_{l+1} - V'(x_l)."""
    net = layered(11)
    u, t = boundary(11)
    rng = np.random.default_rng(0)
    g = 0.05 * rng.normal(size=(TOTAL, TOTAL))
    cases = (
        (local_potential(lambda s: s**4 / 4), lambda x: x**3),
        (pair_interaction(g), lambda x: (g + g.T) @ x),
    )
    for V, derivative in cases:
        found = jax.jit(lambda n, V=V: relax(n, u, t, potential=V))(net)
        assert bool(found.converged)
        x = [np.asarray(s) for s in found.state]
        force = np.split(derivative(np.concatenate(x)), np.cumsum(SIZES)[:-1])
        f = [np.tanh(w @ s + b) for w, b, s in zip(net.weights, net.biases, x[:-1], strict=True)]
        r = [s - v for s, v in zip(x[1:], f, strict=True)]
        for k in range(len(r) - 1):
            expected = net.weights[k + 1].T @ ((1 - f[k + 1] ** 2) * r[k + 1]) - force[k + 1]
            np.testing.assert_allclose(r[k], expected, rtol=0, atol=ROOT + 1000 * EPS)
        energy = 0.5 * sum(v @ v for v in r)
        value = np.sum(np.concatenate(x) ** 4) / 4 if V is cases[0][0] else np.concatenate(x) @ g @ np.concatenate(x)
        np.testing.assert_allclose(float(found.loss), energy + value, rtol=0, atol=100 * EPS)


# Envelope gradients.


def relaxed(net, u, t, m, tolerance=1e-11):
    return relaxed_bulk_loss(
        net, net.propagate(u), t, potential=QuadraticPotential(m), tolerance=tolerance, max_steps=LIMIT
    )


envelope = jax.jit(jax.value_and_grad(relaxed, argnums=(0, 1, 2, 3)))


@jax.jit
def minimum(net, u, t, m):
    return relax(net, u, t, potential=QuadraticPotential(m), tolerance=1e-11, max_steps=LIMIT).loss


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("m", [0.0, 0.4])
def test_envelope_gradients_of_the_network(seed, m):
    """In weights, biases and m, against differences of the re-minimised loss, and against -f' r x and -f' r by hand."""
    net = layered(seed)
    u, t = boundary(seed)
    value, (gradient, _, _, slope_m) = envelope(net, u, t, m)
    np.testing.assert_allclose(value, minimum(net, u, t, m), rtol=0, atol=100 * EPS)
    found = clamped(net, u, t, m, 1e-11)[0]
    rng = np.random.default_rng(seed)
    h = 1e-5
    # h² times a third derivative of H* below 100 is 1e-8 / 6, the re-minimised loss is known to 1e-16 / h = 1e-11
    for _ in range(2):
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), net)
        up, down = (minimum(jax.tree.map(lambda a, d, s=s: a + s * d, net, direction), u, t, m) for s in (h, -h))
        along = sum(np.vdot(a, d) for a, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
        assert abs((up - down) / (2 * h) - along) < 1e-8
    assert abs((minimum(net, u, t, m + h) - minimum(net, u, t, m - h)) / (2 * h) - slope_m) < 1e-8
    x = [np.asarray(s) for s in found.state]
    np.testing.assert_allclose(slope_m, -0.5 * sum(s @ s for s in x), rtol=1e-10)  # |δx| of 1e-11 / λ_min
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        f = np.tanh(np.asarray(w) @ x[k] + np.asarray(b))
        explicit = -(1 - f**2) * (x[k + 1] - f)
        np.testing.assert_allclose(gradient.biases[k], explicit, rtol=0, atol=1e-9)
        np.testing.assert_allclose(gradient.weights[k], np.outer(explicit, x[k]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("m", [0.0, 0.4])
def test_envelope_gradients_of_the_boundary(seed, m):
    """In inputs and targets: P_∂ (Bᵀ r - m x)."""
    net = layered(seed)
    u, t = boundary(seed)
    _, (_, along_u, along_t, _) = envelope(net, u, t, m)
    h = 1e-5
    for k in range(3):
        d = h * np.eye(3)[k]
        difference = (minimum(net, u + d, t, m) - minimum(net, u - d, t, m)) / (2 * h)
        assert abs(difference - along_u[k]) < 1e-8  # as above
    for k in range(2):
        d = h * np.eye(2)[k]
        difference = (minimum(net, u, t + d, m) - minimum(net, u, t - d, m)) / (2 * h)
        assert abs(difference - along_t[k]) < 1e-8
    x = [np.asarray(s) for s in clamped(net, u, t, m, 1e-11)[0].state]
    f = np.tanh(np.asarray(net.weights[-1]) @ x[-2] + np.asarray(net.biases[-1]))
    np.testing.assert_allclose(along_t, t - f - m * t, rtol=0, atol=1e-9)
    f = np.tanh(np.asarray(net.weights[0]) @ u + np.asarray(net.biases[0]))
    by_hand = -np.asarray(net.weights[0]).T @ ((1 - f**2) * (x[1] - f)) - m * u
    np.testing.assert_allclose(along_u, by_hand, rtol=0, atol=1e-9)


def test_relaxed_loss_of_a_graph_and_its_gradient():
    net = cyclic(4)
    u, t = np.array([0.3, -0.2]), np.array([0.6])
    loss = jax.jit(lambda n: relaxed_bulk_loss(n, n.propagate(u), t, tolerance=1e-11))
    gradient = jax.jit(jax.grad(lambda n: relaxed_bulk_loss(n, n.propagate(u), t, tolerance=1e-11)))(net)
    rng = np.random.default_rng(4)
    dw, db, h = rng.normal(size=(6, 6)), rng.normal(size=6), 1e-5
    direction = jax.tree.unflatten(jax.tree.structure(net), [dw, db])
    up, down = (loss(jax.tree.map(lambda a, d, s=s: a + s * d, net, direction)) for s in (h, -h))
    found = np.vdot(gradient.weight, dw) + np.vdot(gradient.bias, db)
    assert abs((up - down) / (2 * h) - found) < 1e-8  # as above
    assert not np.asarray(gradient.weight)[:2].any()  # connections into the inputs carry no signal


def test_relaxed_loss_maps_over_samples():
    net = layered(12)
    u, t = boundary(12, samples=(5,))
    values = jax.jit(jax.vmap(lambda v, w: relaxed_bulk_loss(net, net.propagate(v), w)))(u, t)
    np.testing.assert_allclose(values, plain(net, u, t).loss, rtol=0, atol=100 * EPS)  # |g|² / 2 λ_min


def test_gradient_is_lower_than_that_of_the_boundary_loss_it_approaches():
    """As the hidden errors vanish with the weights, H* → H_∂, and so do their gradients in the last bias."""
    net = layered(13, scale=1e-4)
    u, t = boundary(13)
    bulk_gradient = jax.jit(jax.grad(lambda n: relaxed_bulk_loss(n, n.propagate(u), t)))(net)
    boundary_gradient = jax.jit(jax.grad(lambda n: boundary_loss(n, n.propagate(u), t)))(net)
    # corrections of order |W|² = 1e-8
    np.testing.assert_allclose(bulk_gradient.biases[-1], boundary_gradient.biases[-1], rtol=1e-6)


# Dtypes and refusals.


@pytest.mark.parametrize("kind", ["layers", "graph"])
def test_float32_stays_float32(kind):
    net, (u, t) = layered(14, dtype=np.float32), boundary(14)  # data in float64 take the dtype of the network
    net = net if kind == "layers" else net.to_septuple()
    found = jax.jit(lambda n, m: relax(n, u, t, potential=QuadraticPotential(m)))(net, np.float32(0.3))
    assert {str(a.dtype) for a in (*jax.tree.leaves(found.state), found.loss, found.gradient_norm)} == {"float32"}
    assert bool(found.converged)
    exact, *_ = clamped(layered(14), *boundary(14), 0.3, ROOT)
    np.testing.assert_allclose(float(found.loss), float(exact.loss), rtol=0, atol=1e-5)  # 100 ulp of float32


U, T = np.zeros(3), np.zeros(2)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda n: relax(n, np.zeros(2), T), ValueError, r"`inputs` must have shape \(3,\), but got shape \(2,\)"),
        (
            lambda n: relax(n, np.zeros((4, 2)), T),
            ValueError,
            r"`inputs` must have shape \(4, 3\), but got shape \(4, 2",
        ),
        (lambda n: relax(n, np.zeros((1, 1, 3))), ValueError, r"`inputs` must have shape \(3,\), but got shape \(1, 1"),
        (lambda n: relax(n, 0.0), ValueError, r"`inputs` must have shape \(3,\), but got shape \(\)"),
        (lambda n: relax(n, U, np.zeros(3)), ValueError, r"`targets` must have shape \(2,\), but got shape \(3,\)"),
        (
            lambda n: relax(n, np.zeros((4, 3)), T),
            ValueError,
            r"`targets` must have shape \(4, 2\), but got shape \(2,\)",
        ),
        (
            lambda n: relax(n, U, np.zeros((4, 2))),
            ValueError,
            r"`targets` must have shape \(2,\), but got shape \(4, 2",
        ),
        (lambda n: relax(n, U * 1j, T), TypeError, "`inputs` must be real, but got dtype complex128"),
        (lambda n: relax(n, U, ["a", "b"]), TypeError, "`targets` must be real, but got dtype <U1"),
        (lambda n: relax(n, [1.0, np.nan, np.inf], T), ValueError, "`inputs` must be finite, but got 2 non-finite"),
        (
            lambda n: relax(n, U, [np.inf, 0.0]),
            ValueError,
            "`targets` must be finite, but got 1 non-finite entries of 2",
        ),
        (lambda n: relax(n, U, T, tolerance=0.0), ValueError, "`tolerance` must be positive, but got 0.0"),
        (lambda n: relax(n, U, T, tolerance=-1e-3), ValueError, "`tolerance` must be positive, but got -0.001"),
        (lambda n: relax(n, U, T, tolerance=np.nan), ValueError, "`tolerance` must be positive, but got nan"),
        (lambda n: relax(n, U, T, tolerance="tight"), TypeError, "`tolerance` must be a real number, but got 'tight'"),
        (lambda n: relax(n, U, T, max_steps=0), ValueError, "`max_steps` must be positive, but got 0"),
        (lambda n: relax(n, U, T, max_steps=-5), ValueError, "`max_steps` must be positive, but got -5"),
        (
            lambda n: relax(n, U, T, potential=QuadraticPotential(1.0)),
            ValueError,
            "`m` must be below 1 for the bulk loss to have a minimum, but got 1.0",
        ),
        (
            lambda n: relaxed_bulk_loss(n, n.propagate(U), np.zeros(5)),
            ValueError,
            r"`targets` must have shape \(2,\), but got shape \(5,\)",
        ),
        (
            lambda n: relax(n, U, T, tolerance=np.ones(2)),
            ValueError,
            r"`tolerance` must be one number, but got shape \(2",
        ),
        (lambda n: relax(n, U, T, start=jnp.zeros(12)), ValueError, "`start` must be a state of 4 vectors, but got"),
        (lambda n: relax(n, U, T, start=n.propagate(U)[:2]), ValueError, "`start` must be a state of 4 vectors, but"),
        (
            lambda n: relax(n, U, T, start=tuple(jnp.zeros(k) for k in (3, 5, 3, 2))),
            ValueError,
            r"`start\[1\]` must have shape \(4,\), but got shape \(5,\)",
        ),
        (
            lambda n: relax(n, U, T, start=tuple(jnp.full(k, jnp.nan) for k in SIZES)),
            ValueError,
            r"`start\[0\]` must be finite, but got 3 non-finite entries of 3",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(layered(0))


def test_start_of_a_graph():
    net = cyclic(0)
    found = relax(net, np.zeros(2), np.zeros(1), start=np.zeros(6))
    assert bool(found.converged)
    with pytest.raises(ValueError, match=r"`start` must have shape \(6,\), but got shape \(5,\)"):
        relax(net, np.zeros(2), np.zeros(1), start=np.zeros(5))
    with pytest.raises(ValueError, match="`start` must be a state of 1 vectors, but got"):
        relax(net, np.zeros(2), np.zeros(1), start=(np.zeros(6),))
