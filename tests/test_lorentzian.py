"""Space-times of normal ensembles against closed forms, their Lorentz group, slices, and rings of neurons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import gravity

MORE = [pytest.param(*sizes, marks=pytest.mark.exhaustive) for sizes in ((2, 2), (3, 3))]
SIZES = [(1, 1), (3, 8), (4, 5), *MORE]
"""(d, N): directions of the mean, neurons."""


def ensemble_metric(d, n):
    """From x̄ and Σ alone, T = -S; nothing of the closed form is in it."""

    def mean(y):
        return jnp.zeros(n).at[:d].set(y[1:])

    return gravity.entropic_metric(mean, lambda y: y[0] ** 2 * (jnp.eye(n) if n == 5 else 1))


def label(d):
    return jnp.concatenate([jnp.array([0.7]), 0.3 * jnp.arange(1.0, d + 1)])


@pytest.mark.parametrize(("d", "n"), SIZES)
def test_normal_ensembles_are_de_sitter_space(d, n):
    y = label(d)
    at = jax.jit(lambda y: gravity.geometry(ensemble_metric(d, n), y))(y)
    g = np.diag([-2.0 * n] + [1.0] * d) / 0.49
    np.testing.assert_allclose(at.metric, g, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gravity.gaussian_space_time(n)(y), g, rtol=1e-14)
    constant = np.einsum("ac,bd->abcd", g, g) / (2 * n)
    np.testing.assert_allclose(at.riemann, constant - constant.swapaxes(2, 3), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(at.scalar, d * (d + 1) / (2 * n), rtol=1e-12)
    cosmological = gravity.gaussian_cosmological_constant(d, n)
    np.testing.assert_allclose(cosmological, d * (d - 1) / (4 * n), rtol=1e-14)
    np.testing.assert_allclose(at.einstein, -cosmological * g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("d", "n"), SIZES)
def test_geodesics_intervals_and_boosts_of_ensembles(d, n):
    momentum, tau = 0.4 * np.arange(1.0, d + 1), 0.9
    ell, P = np.sqrt(2 * n), np.linalg.norm(momentum)
    metric = gravity.gaussian_space_time(n)
    eta = np.diag([-1.0] + [1.0] * (d + 1))

    @jax.jit
    def everything(y):
        z = gravity.gaussian_geodesic(y, momentum, tau, n)
        X, Z = (gravity.de_sitter_embedding(v, n) for v in (y, z))
        boost = gravity.lorentz_boost(eta, jnp.ones(d + 1), 0.3)
        there, J = with_jacobian(boost, y, n)
        moved = gravity.gaussian_interval(there, gravity.transform_ensemble(boost, z, n), n)
        return z, X, Z, there, J, gravity.gaussian_interval(y, z, n), moved, gravity.de_sitter_inverse(X, n)

    y = label(d)
    z, X, Z, there, J, interval, moved, back = map(np.asarray, everything(y))
    start = np.arcsinh(1 / (P * 0.7))
    np.testing.assert_allclose(1 / (P * z[0]), np.sinh(tau / ell + start), rtol=1e-13)
    roots = np.sqrt(1 + P**2 * 0.49) - np.sqrt(1 + P**2 * z[0] ** 2)
    np.testing.assert_allclose(z[1:] - y[1:], ell * momentum / P**2 * roots, rtol=1e-12)
    np.testing.assert_allclose(interval, -(tau**2), rtol=1e-12)
    np.testing.assert_allclose(X @ eta @ X, 2 * n, rtol=1e-12)
    np.testing.assert_allclose(X @ eta @ Z, 2 * n * np.cosh(tau / ell), rtol=1e-12)
    np.testing.assert_allclose(back, y, rtol=1e-12)
    assert np.abs(there - y).max() > 0.05
    np.testing.assert_allclose(moved, -(tau**2), rtol=1e-11)  # boosted X are some times larger
    np.testing.assert_allclose(J.T @ np.asarray(metric(there)) @ J, metric(y), rtol=1e-12, atol=1e-12)


def with_jacobian(boost, y, n):
    def transform(v):
        return gravity.transform_ensemble(boost, v, n)

    return transform(y), jax.jacfwd(transform)(y)


def test_geodesics_of_ensembles_solve_the_geodesic_equation():
    y, P = label(2), jnp.array([0.8, -0.3])

    def path(s):
        return gravity.gaussian_geodesic(y, P, s, 3)

    def moving(s):
        return jax.jvp(path, (s,), (jnp.ones_like(s),))

    @jax.jit
    def acceleration(s):
        (z, v), (_, a) = jax.jvp(moving, (s,), (jnp.ones_like(s),))
        G = gravity.christoffel(gravity.gaussian_space_time(3), z)
        return a + jnp.einsum("abc,b,c->a", G, v, v), gravity.interval(gravity.gaussian_space_time(3)(z), v)

    excess, norm = acceleration(jnp.asarray(0.7))
    np.testing.assert_allclose(excess, 0, atol=1e-13)
    np.testing.assert_allclose(norm, -1, rtol=1e-13)
    np.testing.assert_allclose(gravity.gaussian_geodesic(y, 0 * P, 1.0, 3), y.at[0].multiply(np.exp(-1 / 6**0.5)))
    assert jnp.isnan(gravity.gaussian_geodesic(y, 50 * P, -3.0, 3)).all()


def test_interval_is_smooth_through_the_light_cone():
    """The series below |u| = 1e-4 and the functions above meet; the slope at light is that of -2ℓ²u."""
    y, n = jnp.array([1.0, 0.0]), 2
    at = jax.jit(jax.vmap(jax.value_and_grad(lambda m: gravity.gaussian_interval(y, jnp.stack([1.5, m]), n))))
    u = np.array([-1.9, -1.2e-4, -1.0001e-4, -0.9999e-4, -1e-9, 1e-9, 0.9999e-4, 1.0001e-4, 1e-2])
    m = np.sqrt(4 * 0.25 - u * 12.0)
    value, slope = at(jnp.asarray(m))
    # arccosh² of 1 + u in long double, whose 64 bits leave 11 more than those of float64
    wide = 1 + u.astype(np.longdouble)
    exact = np.where(u > 0, -(np.arccosh(np.maximum(wide, 1)) ** 2), np.arccos(np.clip(wide, -1, 1)) ** 2) * 4
    # u itself is a difference of numbers near 1: 1e-16 of them, and slopes of about 8
    np.testing.assert_allclose(value, exact.astype(float), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(slope[4:6], 8 * m[4:6] / 6, rtol=1e-8)
    assert np.isnan(at(jnp.array([6.0]))[0]).all()  # u = -2.9: no geodesic


def test_proper_time_is_entropy_destroyed():
    """Any schedule: here a relaxation to equilibrium, σ² = s + (1 - s)e^{-2t}, where the time of labels goes on."""
    n, s = 3, 0.2

    def path(t):
        return jnp.stack([jnp.sqrt(s + (1 - s) * jnp.exp(-2 * t)), 0 * t, 0.5 + 0 * t])

    metric = gravity.gaussian_space_time(n)
    entropy = gravity.state_entropy(lambda y: y[0] ** 2 * jnp.ones(n))

    @jax.jit
    def everything(end):
        tau = gravity.proper_time(metric, path, jnp.stack([0 * end, end]), nodes=40)
        destroyed = entropy(path(0 * end)) - entropy(path(end))
        chords = [gravity.proper_time(metric, jax.vmap(path)(end * jnp.linspace(0.0, 1.0, k + 1))) for k in (50, 100)]
        aside = gravity.proper_time(metric, jnp.stack([path(end), path(end).at[1].add(0.1)]))
        return tau, gravity.comoving_proper_time(destroyed, n), *chords, aside

    tau, of_entropy, coarse, fine, aside = everything(4.0)
    np.testing.assert_allclose(tau, of_entropy, rtol=1e-12)
    assert 3.9 < (coarse - tau) / (fine - tau) < 4.1  # second order
    assert jnp.isnan(aside)  # space-like


def test_light_takes_no_proper_time_with_a_derivative():
    """Of a curve and of its points; a curve that is slower has the derivative of √(1 - v²)."""
    eta = gravity.minkowski(2)
    ends, t = jnp.array([0.0, 2.0]), jnp.linspace(0, 2, 7)

    def times(v):
        points = t[:, None] * jnp.stack([jnp.ones_like(v), v])[None, :]
        of_curve = gravity.proper_time(eta, lambda s: jnp.stack([s, v * s]), ends)
        return jnp.stack([of_curve, gravity.proper_time(eta, points), gravity.proper_time(eta, points, t)])

    both = jax.jit(lambda v: (times(v), jax.jacfwd(times)(v), jax.jacrev(times)(v)))
    np.testing.assert_array_equal(np.array(both(1.0)), 0)
    for found, expected in zip(both(0.6), (1.6, -1.5, -1.5), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert np.isnan(both(1.1)[0]).all()


def test_light_moves_a_mean_by_the_light_horizon():
    n, sigma = 5, 0.6
    g = gravity.gaussian_space_time(n)(jnp.array([sigma, 0.2, -0.1]))
    cone = gravity.light_cone(g, jnp.array([0.6, -0.8]))
    np.testing.assert_allclose(cone, np.array([-1, 1]) / np.sqrt(2 * n), rtol=1e-14)
    # dσ per |dm| is the same at all σ: to σ = 0 light gets
    np.testing.assert_allclose(sigma / cone[1], gravity.gaussian_light_horizon(sigma, n), rtol=1e-14)
    # |dm| = σ √(2/N) |dS| on the cone
    np.testing.assert_allclose(sigma * np.sqrt(2 / n) * n * cone[1] / sigma, 1, rtol=1e-14)
    tilted = jnp.array([[-1.0, 0.3, 0.1], [0.3, 2.0, 0.4], [0.1, 0.4, 1.0]])
    for u in gravity.light_cone(tilted, jnp.array([1.0, 2.0])):
        v = jnp.stack([u, 1.0, 2.0])
        np.testing.assert_allclose(gravity.interval(tilted, v), 0, atol=1e-14)
        assert gravity.is_timelike(tilted, v.at[0].multiply(1.01))
        assert not gravity.is_timelike(tilted, v.at[0].multiply(0.99))


def test_different_rates_are_bianchi_i():
    rates = jnp.array([-0.5, -1.2, 0.3])

    def logs(t):
        return rates * t + 0.1 * jnp.sin(t) * jnp.arange(3.0)

    y = jnp.array([0.4, 0.1, 0.2, 0.3])
    metric = gravity.bianchi_metric(logs)
    ensemble = gravity.entropic_metric(lambda y: y[1:], lambda y: jnp.exp(2 * logs(y[0])))

    @jax.jit
    def everything(y):
        return gravity.geometry(metric, y), ensemble(y), gravity.hubble_rates(logs, y[0])

    at, of_ensemble, H = everything(y)
    np.testing.assert_allclose(of_ensemble, at.metric, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(np.sum(np.square(H)), 0.5, rtol=1e-14)
    pairs = H[0] * H[1] + H[0] * H[2] + H[1] * H[2]
    np.testing.assert_allclose(np.asarray(at.einstein)[0, 0] / -np.asarray(at.metric)[0, 0], pairs, rtol=1e-12)


def test_the_space_of_covariances():
    """Two neurons, three labels of Σ: the closed form on every pair of changes."""
    basis = jnp.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    y = jnp.array([1.3, 0.4, 0.8])

    def covariance(y):
        return jnp.einsum("k,kij->ij", y, basis)

    @jax.jit
    def everything(y):
        def pair(a, b):
            return gravity.covariance_interval(covariance(y), basis[a], basis[b])

        pairs = jnp.stack([jnp.stack([pair(a, b) for b in range(3)]) for a in range(3)])
        return gravity.entropic_metric(None, covariance)(y), pairs

    g, pairs = everything(y)
    np.testing.assert_allclose(g, pairs, rtol=1e-12, atol=1e-13)
    assert gravity.signature(g) == (1, 2)
    # scaling Σ is the time-like direction: F = N/2 turned
    np.testing.assert_allclose(gravity.interval(g, y), -1, rtol=1e-13)


@jax.jit
def sliced(root, slopes):
    F = root @ root.T + jnp.eye(3)
    origin = jnp.zeros(3)

    def time(y):
        return slopes @ y + jnp.sum(y**2)

    g = gravity.lorentzian_metric(lambda _: F, time)(origin)
    one, other = (gravity.adm_decomposition(lambda _, m=m: m, origin, time) for m in (F, g))
    return g, one, other


entries = st.lists(st.floats(-2, 2), min_size=12, max_size=12)


@given(entries)
def test_turning_the_sign_keeps_lapse_shift_and_space(numbers):
    root, slopes = jnp.asarray(numbers[:9]).reshape(3, 3), jnp.asarray(numbers[9:]).at[0].add(3.0)
    g, riemannian, adm = sliced(root, slopes)
    assert gravity.signature(g) == (1, 2)
    assert (riemannian.sign, adm.sign) == (1, -1)
    # inverses of matrices of condition up to about 100
    for a, b in zip(adm[:3], riemannian[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(gravity.interval(g, adm.normal), -1, rtol=1e-10)
    assert slopes @ adm.normal > 0
    # -N²dT² + h (dy + N dT)(dy + N dT), with dT = T_a dy^a, is g again
    e = jnp.concatenate([adm.shift[:, None] * slopes[None, :] + jnp.eye(3)[1:]])
    again = -(adm.lapse**2) * jnp.outer(slopes, slopes) + e.T @ adm.spatial @ e
    np.testing.assert_allclose(again, g, rtol=1e-9, atol=1e-9)


def test_slices_of_the_first_coordinate():
    g = jnp.array([[-1.0, 0.3, 0.1], [0.3, 2.0, 0.4], [0.1, 0.4, 1.0]])
    adm = gravity.adm_decomposition(lambda _: g, jnp.zeros(3))
    np.testing.assert_allclose(adm.spatial, g[1:, 1:], rtol=1e-15)
    np.testing.assert_allclose(adm.spatial @ adm.shift, g[0, 1:], rtol=1e-13)
    np.testing.assert_allclose(adm.lapse**-2, -np.linalg.inv(g)[0, 0], rtol=1e-13)


@pytest.mark.parametrize("n", [2, 4])
def test_the_lorentz_group_of_a_point(n):
    d = n - 1
    root = np.eye(n) + 0.3 * np.sin(np.arange(n * n).reshape(n, n))
    eta = np.diag([-1.0] + [1.0] * d)
    g = root @ eta @ root.T
    u = np.linalg.inv(root).T[0] + 0.1
    e = np.arange(1.0, n)

    @jax.jit
    def everything(g, u):
        frames = gravity.tetrad(g), gravity.tetrad(g, u), gravity.tetrad(g, -u)
        boosts = gravity.lorentz_boost(g, e, 0.4, u), gravity.lorentz_boost(g, 2 * e, 0.8, u)
        return *frames, *boosts, gravity.lorentz_generators(g, u)

    *frames, boost, twice, X = map(np.asarray, everything(g, u))
    for frame in frames:
        np.testing.assert_allclose(frame @ g @ frame.T, eta, atol=1e-13)
    for frame, observer in zip(frames[1:], (u, -u), strict=True):
        np.testing.assert_allclose(frame[0], observer / np.sqrt(-u @ g @ u), rtol=1e-13)

    np.testing.assert_allclose(X.swapaxes(1, 2) @ g + g @ X, 0, atol=1e-13)
    # as many as the equation XᵀgX = 0 has solutions: the null space of X -> Xᵀg + gX
    equations = np.array([(unit.T @ g + g @ unit).ravel() for unit in np.eye(n * n).reshape(-1, n, n)]).T
    assert len(X) == n * n - np.linalg.matrix_rank(equations) == d + d * (d - 1) // 2
    assert np.linalg.matrix_rank(X.reshape(len(X), -1)) == len(X)
    squares = np.einsum("kab,kba->k", X, X)
    np.testing.assert_allclose(squares, [2.0] * d + [-2.0] * (len(X) - d), rtol=1e-12)  # boosts, rotations

    np.testing.assert_allclose(boost.T @ g @ boost, g, atol=1e-13)
    np.testing.assert_allclose(boost @ boost, twice, rtol=1e-12, atol=1e-13)
    still = u / np.sqrt(-u @ g @ u)
    np.testing.assert_allclose(-still @ g @ boost @ still, np.cosh(0.4), rtol=1e-13)


def test_a_ring_without_dispersion_is_exact():
    n = 12
    w = gravity.permutation_weights(n)
    np.testing.assert_array_equal(w @ jnp.arange(float(n)), np.roll(np.arange(n), 1))
    np.testing.assert_array_equal(gravity.permutation_weights(n, 3), jnp.linalg.matrix_power(w, 3))
    right, left = np.random.default_rng(0).standard_normal((2, n))
    x = np.stack([np.roll(right, t) + np.roll(left, -t) for t in range(9)])
    np.testing.assert_allclose(gravity.lattice_dalembertian(x, w), 0, atol=4e-15)  # one ulp of four numbers
    assert np.abs(gravity.lattice_dalembertian(x, w, 0.1)).max() > 0.1
    assert np.abs(gravity.lattice_dalembertian(x, gravity.permutation_weights(n, 2))).max() > 0.1


def test_switching_movers_obey_the_lattice_telegraph_equation():
    right, left = np.random.default_rng(1).random((2, 10))
    movers = gravity.telegraph_process(right, left, 7, 0.15)
    p = movers.right + movers.left
    w = gravity.permutation_weights(10)
    np.testing.assert_allclose(gravity.lattice_dalembertian(p, w, 0.15), 0, atol=1e-14)
    np.testing.assert_allclose(p.sum(axis=1), (right + left).sum(), rtol=1e-14)


def test_fine_rings_converge_to_the_telegraph_equation():
    """Goldstein-Kac on a circle: waves that die into diffusion; errors of first order in the spacing."""
    a, errors, solution = 1.7, [], jax.jit(gravity.telegraph_solution)
    for n in (64, 128):
        x = 2 * np.pi * np.arange(n) / n
        h = 2 * np.pi / n
        right, left = jnp.asarray(1 + np.cos(x) + 0.3 * np.sin(2 * x)), jnp.asarray(1 + 0.5 * np.sin(x))
        movers = jax.jit(gravity.telegraph_process, static_argnums=2)(right, left, n // 4, a * h)
        rate = jnp.asarray(np.sin(x) - 0.6 * np.cos(2 * x) + 0.5 * np.cos(x))  # -∂(R - L)
        exact = solution(right + left, rate, 2 * np.pi, a, h * (n // 4))
        errors.append(float(np.abs(movers.right[-1] + movers.left[-1] - exact).max()))
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert errors[1] < 0.05
    start = solution(right + left, rate, 2 * np.pi, a, 0.0)
    np.testing.assert_allclose(start, right + left, rtol=1e-14)


def test_no_arrow_of_time_in_equilibrium():
    metric = gravity.entropic_metric(lambda y: y, lambda y: jnp.eye(2) + 0 * y[0])
    y = jnp.array([0.1, 0.2])
    with pytest.raises(ValueError, match="`entropy` must have a slope that is not zero"):
        metric(y)
    assert jnp.isnan(jax.jit(metric)(y)).all()
    other = gravity.lorentzian_metric(lambda _: jnp.eye(2), lambda y: y[0] * y[1])
    with pytest.raises(ValueError, match="`time` must have a slope that is not zero"):
        other(0 * y)
    assert jnp.isnan(jax.jit(other)(0 * y)).all()
    half = np.random.default_rng(0).normal(size=(1, 2))
    for F, words in ((half.T @ half, "invertible"), ([[1.0, 0.5], [0.0, 1.0]], "symmetric")):
        with pytest.raises(ValueError, match=f"`fisher` must be {words}"):
            gravity.lorentzian_metric(lambda _, F=F: jnp.asarray(F), lambda y: y[0])(y)


def test_float32_stays_in_space_times():
    def everything(y):
        metric = gravity.gaussian_space_time(3)
        g = metric(y)
        return (
            g,
            gravity.lorentzian_metric(lambda y: jnp.eye(3, dtype=y.dtype), lambda y: y[0])(y),
            gravity.tetrad(g),
            gravity.lorentz_boost(g, y[1:], 0.2),
            gravity.light_cone(g, y[1:]),
            gravity.gaussian_geodesic(y, y[1:], 0.3, 3),
            gravity.gaussian_interval(y, y, 3),
            gravity.de_sitter_inverse(gravity.de_sitter_embedding(y, 3), 3),
            gravity.adm_decomposition(metric, y).normal,
            gravity.telegraph_process(y, y, 3, 0.1).right,
            gravity.telegraph_solution(y, y, 3.0, 0.1, 1.0),
        )

    found = jax.eval_shape(everything, jnp.array([0.7, 0.1, 0.2], jnp.float32))
    assert {a.dtype for a in found} == {jnp.dtype(jnp.float32)}


def test_bad_input_is_refused_by_name():
    y, g = jnp.array([0.7, 0.1, 0.2]), jnp.diag(jnp.array([-1.0, 1.0, 1.0]))
    lopsided, ball, t = jnp.eye(3, k=1) / 2, gravity.sphere(2, 1.0), jnp.linspace(-1, 1, 7)
    polar = jnp.stack([t, 0 * t + 0.3], axis=1), t
    cases = (
        (TypeError, "`time` must be a function", lambda: gravity.lorentzian_metric(lambda _: g, y)),
        (ValueError, "`fisher` must have shape", lambda: gravity.lorentzian_metric(lambda y: y, lambda y: y[0])(y)),
        (ValueError, "`time` must have shape", lambda: gravity.lorentzian_metric(lambda _: -g, lambda y: y)(y)),
        (ValueError, "`time` must change along", lambda: gravity.adm_decomposition(lambda _: g, y, lambda y: y[1])),
        (ValueError, "`point` must have two or more", lambda: gravity.adm_decomposition(lambda _: g, y[:1])),
        (ValueError, "`g` must have shape", lambda: gravity.interval(g, y[:2])),
        (ValueError, "`g` must have one negative", lambda: gravity.tetrad(-g)),
        (ValueError, "`observer` must be time-like", lambda: gravity.tetrad(g, jnp.array([0.1, 1.0, 0.0]))),
        (ValueError, "`direction` must not be zero", lambda: gravity.lorentz_boost(g, jnp.zeros(2), 0.1)),
        (ValueError, "`path` must hold two", lambda: gravity.proper_time(lambda _: g, y[None])),
        (ValueError, "`parameters` must be the two ends", lambda: gravity.proper_time(lambda _: g, lambda _: y)),
        (
            ValueError,
            "`points` must be at least as many as the stencil",
            lambda: gravity.proper_time(lambda _: g, jnp.stack([y, y]), jnp.array([0.0, 1.0])),
        ),
        (ValueError, "`neurons` must be positive", lambda: gravity.gaussian_space_time(0)),
        (ValueError, "must be a positive standard deviation", lambda: gravity.de_sitter_embedding(-y, 3)),
        (ValueError, "`embedded` must have X·X = 2N", lambda: gravity.de_sitter_inverse(y, 3)),
        (ValueError, "`transformation` must keep", lambda: gravity.transform_ensemble(2 * jnp.eye(4), y, 3)),
        (TypeError, "`log_deviations` must be a function", lambda: gravity.bianchi_metric(y)),
        (ValueError, "`switching` must be a prob", lambda: gravity.telegraph_process(y, y, 3, 1.5)),
        (ValueError, "`states` must hold three", lambda: gravity.lattice_dalembertian(jnp.ones((2, 3)), g)),
        (TypeError, "`n` must be an integer", lambda: gravity.permutation_weights(3.0)),
        (ValueError, "`covariance` .* positive def", lambda: gravity.covariance_interval(jnp.ones((3, 3)), g, g)),
        (ValueError, "`covariance` .* positive", lambda: gravity.covariance_interval(g, g, g)),
        (ValueError, "`covariance` .* symmetric", lambda: gravity.covariance_interval(g + lopsided, g, g)),
        (ValueError, "`metric` .* invertible", lambda: gravity.adm_decomposition(lambda _: jnp.ones((3, 3)), y)),
        (ValueError, "`metric` .* symmetric", lambda: gravity.adm_decomposition(lambda _: g + lopsided, y)),
        (TypeError, "`space_dimension` must be an int", lambda: gravity.gaussian_cosmological_constant(2.5, 3)),
        (ValueError, "`length` must be pos", lambda: gravity.telegraph_solution(y, y, 0.0, 0.1, 1.0)),
        (ValueError, "`rate_of_switching` must not", lambda: gravity.telegraph_solution(y, y, 1.0, -0.1, 1.0)),
        (ValueError, "`direction` must not be zero", lambda: gravity.light_cone(g, jnp.zeros(2))),
        (ValueError, r"`metric` .* at \[0. *0.3\]: an axis", lambda: gravity.covariant_acceleration(ball, *polar)),
        (ValueError, r"`metric` .* at \[0. *0.3\]: an axis", lambda: gravity.non_geodesicity(ball, *polar)),
    )
    for kind, words, call in cases:
        with pytest.raises(kind, match=words):
            call()


def test_what_transformations_cannot_refuse_is_nan():
    g, lopsided = jnp.diag(jnp.array([-1.0, 1.0, 1.0])), jnp.eye(3) + jnp.eye(3, k=1) / 2
    spread = jax.jit(gravity.covariance_interval)
    assert np.isnan([spread(S, g, g) for S in (g, lopsided, jnp.zeros((3, 3)))]).all()
    assert np.isfinite(spread(jnp.eye(3), g, g))
    assert np.isnan(jax.jit(gravity.light_cone)(g, jnp.zeros(2))).all()
    lapse = jax.jit(lambda g: gravity.adm_decomposition(lambda _: g, jnp.zeros(3)).lapse)
    assert np.isnan(lapse(lopsided))
    assert float(lapse(g)) == 1
