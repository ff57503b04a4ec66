"""Fixed states of cyclic graphs (2.9): what converges, what does not, how it is told, and the implicit derivative."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import Septuple, iterate, newton
from nnthermo.network.fixed_point import solve_fixed_point

EPS = np.finfo(np.float64).eps
N = 5
INPUTS = np.array([True, False, False, False, False])
OUTPUTS = np.array([False, False, False, False, True])


def contraction(seed, norm, *, dtype=np.float64):
    """Random cyclic tanh network whose weights have the given spectral norm: a contraction below 1."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(N, N))
    w *= norm / np.linalg.norm(w, 2)
    b = rng.normal(size=N)
    return Septuple(w.astype(dtype), b.astype(dtype), activation=jnp.tanh, input_mask=INPUTS, output_mask=OUTPUTS)


def neuron(w, b):
    """One neuron that feeds itself: x = tanh(w x + b)."""
    none = [False]
    return Septuple(np.array([[w]]), np.array([b]), activation=jnp.tanh, input_mask=none, output_mask=none)


def roots(w, b):
    """All solutions of x = tanh(w x + b), by bisection between the sign changes on a fine grid."""

    def f(x):
        return x - np.tanh(w * x + b)

    grid = np.linspace(-1.0, 1.0, 2002)
    found = []
    for low, high in itertools.pairwise(grid):
        if f(low) * f(high) < 0:
            a, c = low, high
            for _ in range(80):
                middle = 0.5 * (a + c)
                a, c = (middle, c) if f(middle) * f(a) > 0 else (a, middle)
            found.append(0.5 * (a + c))
    return np.array(found)


def numpy_fixed(net, u, steps=3000):
    w, b = np.asarray(net.weight, np.float64), np.asarray(net.bias, np.float64)
    x = np.zeros(N)
    for _ in range(steps):
        x[0] = u
        x = np.where(INPUTS, x, np.tanh(w @ x + b))
    return x


def error(net, x):
    """Largest |x - f(ŵx + b)| in NumPy."""
    x = np.asarray(x, np.float64)
    free = np.abs(x - np.tanh(np.asarray(net.weight, np.float64) @ x + np.asarray(net.bias, np.float64)))
    return np.max(free[~net.input_mask])


by_iteration = jax.jit(lambda net, u: net.fixed_point(u))
by_newton = jax.jit(lambda net, u: net.fixed_point(u, solver=newton))


@functools.partial(jax.jit, static_argnames=("solver", "max_steps"))
def from_start(net, u, start, tolerance, solver=iterate, max_steps=1000):
    return net.fixed_point(u, initial=start, tolerance=tolerance, solver=solver, max_steps=max_steps)


@functools.partial(jax.jit, static_argnames=("solver",))
def sensitivity(net, start, solver):
    return jax.grad(lambda n: n.fixed_point(NO_INPUTS, initial=start, solver=solver).state[0])(net)


NO_INPUTS = np.zeros(0)
SOLVERS = {"iterate": by_iteration, "newton": by_newton}


@pytest.mark.parametrize("solver", SOLVERS)
@given(seed=st.integers(0, 10**6), norm=st.floats(0.0, 0.9))
def test_contractions_converge_to_their_only_fixed_point(solver, seed, norm):
    net = contraction(seed, norm)
    u = np.random.default_rng(seed).uniform(-1, 1, 1)
    found = SOLVERS[solver](net, u)
    assert bool(found.converged)
    assert float(found.residual) <= 16 * EPS
    assert abs(error(net, found.state) - float(found.residual)) <= 4 * N * EPS  # sums in another order
    assert float(found.state[0]) == u[0]
    # a residual r puts the state within r / (1 - norm) of the fixed point
    np.testing.assert_allclose(found.state, numpy_fixed(net, u[0]), rtol=0, atol=(16 + 4 * N) * EPS / (1 - norm))
    # linear convergence at least at the rate `norm`, from a start within 2 √N; 20 more for the last bits
    limit = np.log(16 * EPS / (2 * np.sqrt(N))) / np.log(max(norm, 1e-3)) + 20
    assert int(found.steps) <= (limit if solver == "iterate" else 20)


@pytest.mark.parametrize("solver", SOLVERS)
@given(seed=st.integers(0, 10**6), norm=st.floats(0.0, 30.0))
def test_the_report_is_honest_whatever_the_weights(solver, seed, norm):
    """`converged` exactly where the recomputed residual is within the tolerance; the state is finite."""
    net = contraction(seed, norm)
    found = SOLVERS[solver](net, np.array([0.4]))
    assert np.isfinite(found.state).all()
    assert bool(found.converged) == bool(found.residual <= 16 * EPS)
    rounding = (N + 2) * EPS * (1 + norm)  # sums of N terms, the largest of them `norm`, in another order
    assert abs(error(net, found.state) - float(found.residual)) <= rounding
    assert int(found.steps) <= 1000


def test_tolerance_and_steps():
    net = contraction(1, 0.9)
    u, zero = np.array([0.3]), np.zeros(N)
    loose, tight = (from_start(net, u, zero, t) for t in (1e-3, 1e-9))
    assert bool(loose.converged)
    assert bool(tight.converged)
    assert 0 < int(loose.steps) < int(tight.steps)
    assert 1e-9 < float(loose.residual) <= 1e-3
    assert float(tight.residual) <= 1e-9
    almost = from_start(net, u, zero, 1e-9, max_steps=int(tight.steps) - 1)
    assert not bool(almost.converged)
    assert 1e-9 < float(almost.residual) < 1e-8  # a contraction by more than 0.1 a step
    short = from_start(net, u, zero, 16 * EPS, max_steps=2)
    assert (int(short.steps), bool(short.converged)) == (2, False)
    assert float(short.residual) > 16 * EPS
    again = from_start(net, u, tight.state, 1e-9)
    assert int(again.steps) == 0
    assert jnp.array_equal(again.state, tight.state)


def test_all_three_fixed_points_of_one_neuron():
    """N = 1, w = 2, b = 0.1: iteration finds the two stable ones from either side, Newton the unstable one too."""
    net = neuron(2.0, 0.1)
    low, middle, high = roots(2.0, 0.1)
    assert 2 * (1 - middle**2) > 1  # f'w > 1: unstable

    def solve(start, solver):
        found = from_start(net, NO_INPUTS, np.array([start]), 16 * EPS, solver=solver)
        assert bool(found.converged)
        return float(found.state[0])

    # |1 - f'w| is at least 0.8 at all three: 16 ulp of residual put the state within 20 ulp
    assert abs(solve(middle - 1e-3, iterate) - low) < 40 * EPS
    assert abs(solve(middle + 1e-3, iterate) - high) < 40 * EPS
    assert abs(solve(middle + 1e-3, newton) - middle) < 40 * EPS
    assert abs(solve(-0.9, newton) - low) < 40 * EPS
    assert abs(solve(0.9, newton) - high) < 40 * EPS


@pytest.mark.parametrize(("start", "solver"), [(-0.11, newton), (-0.9, iterate), (0.9, newton)])
def test_derivatives_of_one_neuron(start, solver):
    """dx̄/db = f' / (1 - f'w) and dx̄/dw = x̄ dx̄/db, at unstable fixed points too."""
    net = neuron(2.0, 0.1)
    gradient = sensitivity(net, np.array([start]), solver)
    x = roots(2.0, 0.1)[np.argmin(abs(roots(2.0, 0.1) - start))]
    slope = 1 - x**2
    expected = slope / (1 - 2 * slope)
    # an error of 20 ulp in x̄ times the second derivative of x̄, below 20
    np.testing.assert_allclose(gradient.bias, [expected], rtol=1e-12)
    np.testing.assert_allclose(gradient.weight, [[x * expected]], rtol=1e-12)


def test_derivative_at_a_bifurcation_is_not_a_number():
    """w = 1, b = 0: 1 - f'w = 0, and no finite derivative would be true."""
    gradient = sensitivity(neuron(1.0, 0.0), np.zeros(1), iterate)
    assert not np.isfinite(gradient.bias).any()


def test_limit_cycle_is_reported():
    """w = -2: x → tanh(-2x) ends in a cycle of two; its fixed point 0 repels, and only Newton finds it."""
    net = neuron(-2.0, 0.0)
    found = from_start(net, NO_INPUTS, np.array([0.5]), 16 * EPS)
    x = float(found.state[0])
    assert not bool(found.converged)
    assert int(found.steps) == 1000
    assert abs(np.tanh(-2 * np.tanh(-2 * x)) - x) < 4 * EPS  # the cycle attracts by (f'w)² = 0.06: rounding only
    assert abs(float(found.residual) - 2 * abs(x)) < 4 * EPS
    stopped = from_start(net, NO_INPUTS, np.array([0.5]), 16 * EPS, solver=newton)
    assert bool(stopped.converged)
    assert abs(float(stopped.state[0])) < 16 * EPS


def test_newton_that_cannot_descend_stops():
    """x → x + 1 has no fixed point and a singular Jacobian: the report says so at once."""
    net = Septuple(np.array([[1.0]]), np.array([1.0]), activation=lambda y: y, input_mask=[False], output_mask=[False])
    found = net.fixed_point([], solver=newton)
    assert (bool(found.converged), int(found.steps), float(found.state[0])) == (False, 1, 0.0)
    assert float(found.residual) == 1.0


def test_numbers_that_are_not_finite_never_converge():
    for w in (np.nan, np.inf):
        net = Septuple(np.full((N, N), w), np.zeros(N), activation=lambda y: y, input_mask=INPUTS, output_mask=OUTPUTS)
        for solver in (iterate, newton):
            assert not bool(net.fixed_point([1.0], solver=solver, max_steps=20).converged)


# The implicit derivative.


def loss(net, u, solver=iterate):
    return jnp.sum(jnp.sin(net.fixed_point(u, solver=solver).state) * jnp.arange(1.0, N + 1))


def unrolled(net, u):
    return jnp.sum(jnp.sin(net.propagate(u, steps=300)) * jnp.arange(1.0, N + 1))


implicit = jax.jit(jax.grad(loss, argnums=(0, 1)))
through = jax.jit(jax.grad(unrolled, argnums=(0, 1)))
forward = jax.jit(jax.jacfwd(loss, argnums=1))
value = jax.jit(loss)


@given(seed=st.integers(0, 10**6), norm=st.floats(0.0, 0.85))
def test_implicit_derivative_equals_the_unrolled_one(seed, norm):
    """0.85^300 < 1e-21: the unrolled iteration has converged together with its derivative."""
    net, u = contraction(seed, norm), np.array([0.3])
    found, expected = implicit(net, u), through(net, u)
    # states within 16 ulp / (1 - norm), derivatives within another factor 1 / (1 - norm)² and N
    rounding = 100 * N * EPS / (1 - norm) ** 3
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rounding)
    np.testing.assert_allclose(forward(net, u), found[1], rtol=0, atol=rounding)
    assert not np.asarray(found[0].weight)[0].any()  # connections into the input carry no signal


@pytest.mark.parametrize("seed", range(3))
def test_implicit_derivative_equals_finite_differences(seed):
    net, u = contraction(seed, 0.8), np.array([0.3])
    gradient, along = implicit(net, u)
    rng = np.random.default_rng(seed)
    h = 1e-5
    for _ in range(3):
        dw, db, du = rng.normal(size=(N, N)), rng.normal(size=N), rng.normal(size=1)
        up, down = (
            value(jax.tree.map(lambda a, d, s=s: a + s * d, net, direction), u + s * du)
            for direction in [jax.tree.unflatten(jax.tree.structure(net), [dw, db])]
            for s in (h, -h)
        )
        found = np.vdot(gradient.weight, dw) + np.vdot(gradient.bias, db) + np.vdot(along, du)
        # h² times a third derivative of up to 1e3, and 16 ulp N / h = 2e-9
        assert abs((up - down) / (2 * h) - found) < 1e-7


def test_derivative_does_not_depend_on_start_or_solver():
    net, u = contraction(3, 0.7), jnp.array([0.3])
    a = implicit(net, u)
    b = jax.jit(jax.grad(lambda n, v: loss(n, v, newton), argnums=(0, 1)))(net, u)
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=0, atol=100 * N * EPS / 0.3**3)
    start = jax.jit(jax.grad(lambda s: jnp.sum(net.fixed_point(u, initial=s).state)))(jnp.ones(N))
    assert not start.any()


def test_second_derivative():
    """d²x̄/db² of one neuron, from differentiating dx̄/db = f' / (1 - f'w) once more along the branch."""
    w, b = 0.5, 0.3
    x = roots(w, b)[0]
    slope = 1 - x**2
    first = slope / (1 - w * slope)
    second = -2 * x * first / (1 - w * slope) ** 2

    def state(bias):
        none = [False]
        net = Septuple(np.array([[w]]), bias[None], activation=jnp.tanh, input_mask=none, output_mask=none)
        return net.fixed_point([]).state[0]

    np.testing.assert_allclose(jax.grad(state)(jnp.asarray(b)), first, rtol=1e-13)
    np.testing.assert_allclose(jax.grad(jax.grad(state))(jnp.asarray(b)), second, rtol=1e-12)


# Transformations and dtypes.


def test_vmap_and_jit_equal_the_loop():
    """Each sample stops by itself: the same number of steps, and the same state within rounding."""
    net = contraction(2, 0.8)
    u = np.linspace(-1, 1, 4)[:, None]
    batch = jax.jit(jax.vmap(lambda n, v: n.fixed_point(v), (None, 0)))(net, u)
    for k in range(4):
        one, eager = by_iteration(net, u[k]), net.fixed_point(u[k])
        assert bool(batch.converged[k])
        assert abs(int(batch.steps[k]) - int(one.steps)) <= 2  # the last bits may settle a step sooner or later
        for found in (batch.state[k], eager.state):
            np.testing.assert_allclose(found, one.state, rtol=0, atol=2 * (16 + N) * EPS / 0.2)


def test_vmap_keeps_failures_apart():
    """One sample in a cycle, one at rest: w = -2 against w = 0.5 in one batch."""
    nets = jax.tree.map(lambda *a: jnp.stack(a), neuron(-2.0, 0.0), neuron(0.5, 0.0))
    found = jax.vmap(lambda n: n.fixed_point([], initial=jnp.array([0.5]), max_steps=200))(nets)
    assert found.converged.tolist() == [False, True]
    assert found.steps[0] == 200
    assert found.steps[1] < 60
    assert np.abs(found.state[1]).max() < 64 * EPS


@pytest.mark.parametrize("solver", [iterate, newton])
def test_float32_stays_float32(solver):
    net = contraction(4, 0.7, dtype=np.float32)
    u = np.array([0.3], np.float32)
    found = jax.jit(lambda n, v: n.fixed_point(v, solver=solver))(net, u)
    assert bool(found.converged)
    assert found.state.dtype == found.residual.dtype == jnp.float32
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(found.state, numpy_fixed(net, u[0]), rtol=0, atol=(16 + 4 * N) * eps / 0.3)
    gradient = jax.jit(jax.grad(lambda n: jnp.sum(n.fixed_point(u, solver=solver).state)))(net)
    assert gradient.weight.dtype == gradient.bias.dtype == jnp.float32


def test_any_map_has_a_fixed_point_with_derivative():
    """x = a cos x, the solver alone: dx/da = cos x / (1 + a sin x)."""

    def solve(a):
        return solve_fixed_point(
            lambda x: a * jnp.cos(x), jnp.zeros(1), tolerance=1e-15, max_steps=500, solver=iterate
        ).state[0]

    x, derivative = jax.value_and_grad(solve)(0.9)
    assert abs(float(x) - 0.9 * np.cos(float(x))) < 1e-15
    assert abs(float(derivative) - np.cos(float(x)) / (1 + 0.9 * np.sin(float(x)))) < 1e-14  # a few ulp
