"""log Z of the Gaussian ensemble: exact for linear networks at x̄, O(1/β) for tanh, and what it refuses."""

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
    bulk_exponent,
    condition,
    dense_weight,
    draw_inputs,
    fixed_state,
    flat,
    graph,
    identity,
    jacobian,
    jit,
    linear_log_z,
    log_integral,
    network,
    shifted,
)

import nnthermo as nt


@jit
def both_forms(G, beta, m, a):
    """(5.9) and (5.14)."""
    return nt.log_partition(G, beta, m=m, mean=a), nt.log_partition(G, beta, m=m)


def offset(net, inputs):
    """b with the data of the input neurons, so that r = Bx - b for a linear network."""
    _, b, fixed = dense_weight(net)
    b[fixed] = np.asarray(inputs)
    return b


SMALL = {
    "two layers": network(1, (1, 1), activation=identity, bias=1.0),
    "three layers": network(2, (1, 1, 1), activation=identity, scale=1.5, bias=1.0),
    "skip connection": graph(3, 3, inputs=1, activation=identity, scale=2.0, bias=1.0),
    "cycle": graph(4, 3, cyclic=True, inputs=1, outputs=0, activation=identity, scale=0.8, bias=1.0),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("relative_m", [0.0, 0.6, -0.7, 0.9])
@pytest.mark.parametrize("beta", [0.3, 1.0, 20.0])
def test_exact_for_linear_networks_by_quadrature(name, relative_m, beta):
    """(5.9) with x̄, at m = 0 and at m up to 0.9 of its bound λ_min + 1/β: c = 1 - βm takes both signs."""
    net = SMALL[name]
    u = draw_inputs(0, net.input_size)
    x = fixed_state(net, u)
    B = jacobian(net, x)
    m = relative_m * (np.linalg.svd(B, compute_uv=False)[-1] ** 2 + 1 / beta)
    M = shifted(B, beta, m)
    found = both_forms(nt.bulk_hessian(net, x), beta, m, x)[0]
    mode = np.linalg.solve(M, beta * B.T @ offset(net, u))
    root = np.linalg.inv(
        np.linalg.cholesky(M)
    ).T  # the integrand is a unit Gaussian in z: the rule is exact to rounding
    quadrature = log_integral(net, u, beta, m, centre=mode, root=root, half=8.5, points=43)
    assert abs(found - quadrature) < 1e-11
    assert abs(found - linear_log_z(B, offset(net, u), beta, m)) < 1e-12 * condition(M)


@pytest.mark.parametrize("m", [0.0, 0.3])
def test_the_printed_centre_is_not_exact(m):
    """(5.9) at ⟨x⟩ in place of x̄ is off; at ⟨x⟩ the right exponent is -βH(⟨x⟩) - |⟨x⟩|²/2."""
    net, beta = SMALL["three layers"], 1.0
    u = draw_inputs(0, 1)
    x = fixed_state(net, u)
    B, b = jacobian(net, x), offset(net, u)
    M = shifted(B, beta, m)
    exact = linear_log_z(B, b, beta, m)
    ensemble_mean = np.linalg.solve(M, beta * B.T @ b)
    assert np.abs(ensemble_mean - flat(x)).max() > 0.1
    G = nt.bulk_hessian(net, x)
    printed, without = both_forms(G, beta, m, net.unravel(jnp.asarray(ensemble_mean)))
    assert abs(printed - exact) > 0.02
    laplace = bulk_exponent(jnp.asarray(ensemble_mean), net, u, beta, m)
    assert abs(without + laplace - exact) < 1e-13
    assert abs(both_forms(G, beta, m, x)[0] - exact) < 1e-13


@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-3, 4),
    relative_m=st.floats(-1, 0.95),
    kind=st.sampled_from(["acyclic", "cyclic"]),
)
def test_completing_the_square(seed, log_beta, relative_m, kind):
    """(5.9) and (5.14) against the unsimplified Gaussian integral for any Ĝ, centre, β and m."""
    net, beta = graph(seed, 5, cyclic=kind == "cyclic", scale=0.9), 10.0**log_beta
    x = jnp.asarray(np.random.default_rng(seed).normal(size=5))
    B = jacobian(net, x)
    m = relative_m * (np.linalg.svd(B, compute_uv=False)[-1] ** 2 + 1 / beta)
    with_mean, without = both_forms(nt.bulk_hessian(net, x), beta, m, x)
    rounding = 200 * EPS * condition(shifted(B, beta, m)) * max(1.0, abs(1 - beta * m)) * (1 + x @ x)
    assert abs(with_mean - Gaussian(B, np.asarray(x), beta, m).log_z) < rounding
    assert abs(without - Gaussian(B, np.zeros(5), beta, m).log_z) < rounding


def test_dropped_term_is_bounded():
    """(5.13) drops ½āᵀKā, which lies in [0, ½c|ā|²] for c >= 0."""
    net = graph(1, 5, scale=2.0)
    x = fixed_state(net, draw_inputs(1, 2))
    for beta, m in ((0.1, 0.0), (1.4, 0.0), (1e4, 0.0), (1.4, 0.5)):
        with_mean, without = both_forms(nt.bulk_hessian(net, x), beta, m, x)
        assert 0 < without - with_mean < 0.5 * (1 - beta * m) * (x @ x)


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (nt.Septuple([[0.5]], [0.4], activation=jnp.tanh, input_mask=[False], output_mask=[False]), jnp.zeros(0)),
        (network(5, (1, 1), bias=0.5), jnp.asarray([0.7])),
    ],
    ids=["one neuron on itself", "two layers"],
)
def test_error_for_tanh_falls_as_one_over_beta(net, inputs):
    x = fixed_state(net, inputs)
    G = nt.bulk_hessian(net, x)
    betas = np.array([1e2, 1e3, 1e4, 1e5])
    errors = []
    for beta in betas:
        root = np.linalg.inv(np.linalg.cholesky(shifted(jacobian(net, x), beta, 0.0))).T
        # the integrand is analytic, and Gaussian up to O(1/√β) in z; 0.1 resolves its complex poles at |z| ~ √β
        exact = log_integral(net, inputs, beta, 0.0, centre=flat(x), root=root, half=10, points=201)
        errors.append(float(both_forms(G, beta, 0.0, x)[0]) - exact)
    slopes = np.diff(np.log(np.abs(errors))) / np.diff(np.log(betas))
    # the next order is 1/β², so slopes deviate by ~ 1/β; rounding of log Z, ~ 1e-13, is far below the errors
    np.testing.assert_array_less(np.abs(slopes + 1), [0.1, 0.01, 0.003])
    without = float(both_forms(G, betas[-1], 0.0, x)[1]) - exact
    assert abs(without) > 1e3 * abs(errors[-1])  # (5.14) does not converge: it keeps ½|x̄|²


def test_unit_determinant_gives_the_universal_free_energy():
    """β → ∞: log Z - (N/2) log(2π/β) → -|x̄|²/2 for every network without cycles, as det Ĝ = 1."""
    net = graph(6, 5, scale=1.0)
    x = fixed_state(net, draw_inputs(6, 2))
    beta = 1e8
    limit = 2.5 * (LOG_2PI - np.log(beta)) - 0.5 * (x @ x)
    inverse = np.trace(np.linalg.inv(jacobian(net, x).T @ jacobian(net, x)))
    assert abs(both_forms(nt.bulk_hessian(net, x), beta, 0.0, x)[0] - limit) < inverse / beta


@pytest.mark.parametrize("kind", ["layered", "dense", "spectrum"])
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-2, 2), excess=st.floats(0.05, 3))
def test_nan_beyond_the_spectrum_when_traced(kind, seed, log_beta, excess):
    net, beta = network(seed, (3, 4, 2)), 10.0**log_beta
    x = net.propagate(draw_inputs(seed, 3))
    low = np.linalg.svd(jacobian(net, x), compute_uv=False)[-1] ** 2
    bound = low + 1 / beta
    G = {
        "layered": lambda: nt.bulk_hessian(net, x),
        "dense": lambda: nt.bulk_hessian(net.to_septuple(), net.ravel(x)),
        "spectrum": lambda: nt.log_eigenvalues(nt.bulk_hessian(net, x)),
    }[kind]()
    ms = jnp.asarray([bound * (1 - 1e-3), bound + excess, 0.0])
    found = SWEEP(G, beta, ms)
    assert list(np.isnan(found)) == [False, True, False]


SWEEP = jax.jit(lambda G, beta, ms: jax.vmap(lambda m: nt.log_partition(G, beta, m=m))(ms))


def layered():
    net = network(0, (3, 4, 2))
    x = net.propagate(draw_inputs(0, 3))
    return nt.bulk_hessian(net, x), x


def as_dense(G):
    """A Hessian with the same Ĝ."""
    return nt.DenseHessian(jnp.asarray(np.linalg.cholesky(np.asarray(G.to_dense())).T))


KINDS = {"layered": lambda G: G, "dense": as_dense, "spectrum": nt.log_eigenvalues}


@pytest.mark.parametrize("kind", KINDS)
def test_bad_numbers_are_refused_by_name(kind):
    G = KINDS[kind](layered()[0])
    for beta in (0.0, -1.0, float("nan"), -jnp.inf, np.float32(0)):
        with pytest.raises(ValueError, match="`beta` must be positive, but got"):
            nt.log_partition(G, beta)
    with pytest.raises(TypeError, match="`beta` must be a real number, but got"):
        nt.log_partition(G, 1 + 1j)
    with pytest.raises(TypeError, match="`beta` must be a real number, but got"):
        nt.log_partition(G, "1")
    with pytest.raises(
        ValueError, match=r"`m` must keep \(1 - βm\)I \+ βĜ positive definite, .* but got m = 5\.0 at β = 1\.0"
    ):
        nt.log_partition(G, 1.0, m=5.0)
    with pytest.raises(ValueError, match="`m` must .* but got m = nan"):
        nt.log_partition(G, 1.0, m=float("nan"))


def test_refusal_at_an_even_number_of_negative_eigenvalues():
    G = layered()[0]
    low = np.sort(np.linalg.eigvalsh(np.asarray(G.to_dense())))
    m = (low[1] + low[2]) / 2 + 1.0  # β = 1: two eigenvalues of M below 0
    assert np.linalg.det((1 - m) * np.eye(9) + np.asarray(G.to_dense())) > 0
    for make in KINDS.values():
        with pytest.raises(ValueError, match="`m` must"):
            nt.log_partition(make(G), 1.0, m=m)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named_as_such(kind, bad):
    """Not "`m` must ...": the numbers in Ĝ are to blame."""
    G = layered()[0]
    if kind == "layered":
        G = G._replace(weights=(G.weights[0].at[0, 0].set(bad), *G.weights[1:]))
    elif kind == "dense":
        G = nt.DenseHessian(as_dense(G).jacobian.at[0, 0].set(bad))
    else:
        values = nt.log_eigenvalues(G).values
        G = nt.LogSpectrum(values.at[0].set(np.nan))
    with pytest.raises(ValueError, match=r"`G.*` must be finite, but got"):
        nt.log_partition(G, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_mean_that_is_not_finite_is_named_as_such(bad):
    """Where it is known; a traced one gives NaN, and one that is finite is no reason to refuse."""
    G, x = layered()
    wrong = (x[0].at[1].set(bad), *x[1:])
    with pytest.raises(ValueError, match="`mean` must be finite, but got 1 non-finite entries"):
        nt.log_partition(G, 1.0, mean=wrong)
    assert np.isnan(jax.jit(lambda mean: nt.log_partition(G, 1.0, mean=mean))(wrong))


@pytest.mark.parametrize("kind", KINDS)
def test_float32_in_float32_out(kind):
    """β as a Python number or a float32 array; float64 mode must not leak in."""
    net = network(0, (3, 4, 2), dtype=np.float32)
    x = net.propagate(draw_inputs(0, 3).astype(jnp.float32))
    G = nt.bulk_hessian(net, x)
    if kind == "dense":
        G = nt.bulk_hessian(net.to_septuple(), net.ravel(x))
    if kind == "spectrum":
        G = nt.log_eigenvalues(G)
    B = jacobian(net, x)
    for beta in (1.4, jnp.float32(1.4)):
        value = jax.jit(nt.log_partition)(G, beta, m=0.1)
        assert value.dtype == jnp.float32
        # N ε cond(M), cond ~ 10
        assert abs(float(value) - Gaussian(B, np.zeros(9), 1.4, 0.1).log_z) < 20 * 9 * 1.2e-7 * 10
    if kind == "layered":
        value = both_forms(G, 1.4, 0.1, x)[0]
        assert value.dtype == jnp.float32
        assert abs(float(value) - Gaussian(B, flat(x), 1.4, 0.1).log_z) < 20 * 9 * 1.2e-7 * 10
