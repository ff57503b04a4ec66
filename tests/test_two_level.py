"""Stationary points, phases and optimum of the two-level model (9.2)-(9.4), by derivatives and by minimisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnthermo as nt


def curve(ell, beta, gamma):
    """-ΔF/N of (9.3)."""
    return nt.two_level_laplacian(ell, beta, gamma=gamma, size=1)


slope, bend = (jax.jit(f) for f in (jax.grad(curve), jax.grad(jax.grad(curve))))
points = jax.jit(nt.two_level_stationary_points)
fractions = st.one_of(st.floats(0.01, 0.99), st.sampled_from([1 / 3, 2 / 3, 1 / 2, 1 / 854]))


def sizes_of_terms(ell, beta, gamma):
    """Of the two slopes that cancel at a stationary point."""
    k = gamma / (1 - gamma)
    return gamma * beta**2 * sum(np.exp(v) / (1 + beta * np.exp(v)) ** 3 for v in (ell, -k * ell))


@given(gamma=fractions, log_beta=st.floats(-1.5, 1.7))
def test_points_are_stationary_and_curvatures_are_those_of_autodiff(gamma, log_beta):
    beta, k = 10.0**log_beta, gamma / (1 - gamma)
    found = points(beta, gamma)
    for ell, curvature in zip(np.asarray(found.log_eigenvalues), np.asarray(found.curvatures), strict=True):
        if np.isnan(ell):
            assert np.isnan(curvature)
            continue
        if (1 + k) * abs(ell) > 300:  # exp underflows in the slope itself
            continue
        size = sizes_of_terms(ell, beta, gamma)
        # rounding of ℓ, an ulp of h over its slope, enters exp(kℓ); near a fold by the square root, hence the bend
        assert abs(slope(ell, beta, gamma)) < 1e-13 * (1 + k) * (1 + abs(ell)) * size
        assert abs(bend(ell, beta, gamma) - curvature) < 1e-12 * (1 + k) ** 2 * (1 + abs(ell)) * size


@given(gamma=fractions, log_beta=st.floats(-1.5, 1.0))
def test_no_stationary_point_is_missed(gamma, log_beta):
    """Sign changes of β(e^{aℓ} + e^{bℓ}) - 1, the paper's exponents in another form, on a grid of 4,000 log λ."""
    beta, k = 10.0**log_beta, gamma / (1 - gamma)
    ell = np.linspace(-60, 60, 4001) + 0.0137  # not a root of the symmetric case
    height = np.logaddexp(ell * (2 - k) / 3, ell * (1 - 2 * k) / 3) + np.log(beta)
    at = np.flatnonzero((height[1:] > 0) != (height[:-1] > 0))
    found = np.asarray(points(beta, gamma).log_eigenvalues)[[0, 2]]
    found = np.sort(found[np.abs(found) < 59.9])  # drops NaN too
    close = len(found) == 2 and found[1] - found[0] < 0.1  # both roots may lie in one cell
    if not close:
        assert len(found) == len(at)
        assert np.all((ell[at] <= found) & (found <= ell[at + 1]))


def test_how_many_there_are():
    def count(beta, gamma):
        return int(np.isfinite(np.asarray(points(beta, gamma).log_eigenvalues)).sum()) - 1

    for beta in (0.01, 0.3, 0.5, 1.0, 4.0, 1e4):
        assert count(beta, 0.2) == count(beta, 0.8) == 1
        for third in (1 / 3, 2 / 3):
            assert count(beta, third) == (1 if beta < 1 else 0)
        for gamma in (0.36, 0.5, 0.61):
            w = 3 * gamma - 1
            fold = w**w * (1 - w) ** (1 - w)
            if abs(beta - fold) > 1e-12:  # γ = ½ folds at ½, and rounding says on which side that is
                assert count(beta, gamma) == (2 if beta < fold else 0)
    # Fig. 1: γ = 1/3, ℓ = 2 log((1-β)/β)
    for beta in (0.25, 0.5, 0.73):
        assert abs(points(beta, 1 / 3).log_eigenvalues[2] - 2 * np.log((1 - beta) / beta)) < 1e-14


@given(gamma=st.floats(0.02, 0.98), beta=st.floats(0.02, 0.95))
def test_exchanging_the_levels(gamma, beta):
    """γ at λ and 1-γ at λ^{-k} is 1-γ at λ' = λ^{-k} and γ at λ: ℓ' = -kℓ."""
    k = gamma / (1 - gamma)
    one, other = points(beta, gamma), points(beta, 1 - gamma)
    mirrored = -k * np.asarray(one.log_eigenvalues)[::-1]
    there = np.asarray(other.log_eigenvalues)
    np.testing.assert_array_equal(np.isnan(mirrored), np.isnan(there))
    # ill-conditioned as 1/h', the root of the distance to the fold; 1e-8 of it where both meet
    wild = np.abs(np.asarray(other.curvatures)) < 1e-6
    np.testing.assert_allclose(mirrored[~wild], there[~wild], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("beta", "gamma"), [(0.7, 0.2), (0.3, 1 / 3), (0.55, 0.4), (0.3, 0.5), (3.0, 0.8)])
def test_first_derivatives(beta, gamma):
    """Central differences of step 1e-6: 1e-12 of third derivatives, and 1e-16/1e-6 of rounding, each over h'."""
    forwards, reverses = forward_slopes(beta, gamma), reverse_slopes(beta, gamma)
    for argument in (0, 1):
        forward, reverse = ([field[argument] for field in both] for both in (forwards, reverses))
        step = np.array([1e-6, 0.0]) if argument == 0 else np.array([0.0, 1e-6])
        if gamma == 1 / 3 and argument == 1:
            continue  # one more root, at infinity, on one side
        up, down = (points(*(np.array([beta, gamma]) + sign * step)) for sign in (1, -1))
        for f, r, u, d in zip(forward, reverse, up, down, strict=True):
            wanted = (np.asarray(u) - np.asarray(d)) / 2e-6
            there = np.isfinite(wanted)
            np.testing.assert_allclose(np.asarray(f)[there], wanted[there], rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(np.asarray(r)[there], wanted[there], rtol=1e-6, atol=1e-7)
        assert forward[0][0 if gamma > 0.6 else 2] != 0


forward_slopes = jax.jit(jax.jacfwd(nt.two_level_stationary_points, (0, 1)))
reverse_slopes = jax.jit(jax.jacrev(nt.two_level_stationary_points, (0, 1)))


@given(gamma=st.floats(0.01, 0.99))
def test_phase_boundaries(gamma):
    lines = nt.two_level_phase_boundaries(gamma)
    assert lines.origin == 0.5
    assert (points(0.499, gamma).curvatures[1] < 0) & (points(0.501, gamma).curvatures[1] > 0)
    assert abs(curve(0.0, lines.lower_plateau, gamma) / (lines.lower_plateau / 2) - gamma) < 1e-14
    assert abs(curve(0.0, lines.upper_plateau, gamma) / (lines.upper_plateau / 2) - (1 - gamma)) < 1e-14
    if 1 / 3 < gamma < 2 / 3:
        k = gamma / (1 - gamma)
        at = 3 * np.log((2 * k - 1) / (2 - k)) / (1 + k)  # where h is lowest
        lowest = np.logaddexp(at * (2 - k) / 3, at * (1 - 2 * k) / 3)
        assert abs(lines.fold / np.exp(-lowest) - 1) < 1e-13
        below, above = (np.isfinite(points(lines.fold * v, gamma).log_eigenvalues) for v in (1 - 1e-6, 1 + 1e-6))
        assert below.tolist() == [True] * 3
        assert above.tolist() == [False, True, False]
    else:
        assert lines.fold == np.inf
    assert nt.two_level_phase_boundaries(1 / 3).fold == 1


def test_next_to_the_fold_to_its_square_root():
    fold = float(nt.two_level_phase_boundaries(0.5).fold)  # ½: β 2 cosh(ℓ/3) = 1
    for distance in (1e-4, 1e-8, 1e-12):
        beta = fold * (1 - distance)
        wanted = 3 * np.arccosh(1 / (2 * beta))
        assert abs(points(beta, 0.5).log_eigenvalues[2] - wanted) < 1e-15 / wanted * 100


def test_shapes_dtypes_and_bad_arguments():
    grid = jax.vmap(jax.vmap(nt.two_level_stationary_points, (None, 0)), (0, None))(jnp.ones(4), jnp.full(3, 0.2))
    assert grid.log_eigenvalues.shape == grid.curvatures.shape == (4, 3, 3)
    for beta, gamma in ((jnp.float32(0.3), 0.2), (0.3, jnp.float32(0.2)), (jnp.float32(0.3), jnp.float32(0.2))):
        found = nt.two_level_stationary_points(beta, gamma)
        assert {v.dtype for v in found} == {jnp.dtype(jnp.float32)}
        # the curvature at the origin, 1e-3 here, loses 1 - 2β; the root an ulp over h' = 0.4
        np.testing.assert_allclose(found[0], nt.two_level_stationary_points(0.3, 0.2)[0], rtol=1e-5)
    assert {v.dtype for v in nt.two_level_phase_boundaries(jnp.float32(0.4))} == {jnp.dtype(jnp.float32)}
    third = np.float32(1 / 3)  # not 1/3, but what float32 has for it
    assert np.isnan(nt.two_level_stationary_points(jnp.float32(1.4), jnp.asarray(third)).log_eigenvalues[2])
    assert nt.optimal_entropy_destruction(5, jnp.float32(0.3)).value.dtype == jnp.float32
    for gamma in (0.0, 1.0, -0.2, float("nan")):
        with pytest.raises(ValueError, match="`gamma` must lie between 0 and 1, but got"):
            nt.two_level_stationary_points(0.5, gamma)
        with pytest.raises(ValueError, match="`gamma` must lie between 0 and 1, but got"):
            nt.two_level_phase_boundaries(gamma)
        assert np.isnan(points(0.5, gamma).log_eigenvalues).all()
    with pytest.raises(ValueError, match="`beta` must be positive, but got -1.0"):
        nt.two_level_stationary_points(-1.0, 0.3)
    with pytest.raises(ValueError, match="`size` must be positive, but got 0"):
        nt.optimal_entropy_destruction(0, 1.0)
    with pytest.raises(ValueError, match="`beta` must be positive"):
        nt.optimal_entropy_destruction(3, 0.0)


# ---------------------------------------------------------------- every spectrum with det Ĝ = 1


def total(y, beta):
    """(β/2) Σ (1+βλ)⁻² with log λ = y less its mean."""
    ell = y - jnp.mean(y)
    return beta / 2 * jnp.sum((1 + beta * jnp.exp(ell)) ** -2)


@jax.jit
def descend(starts, beta):
    """Gradient descent from each start: the slopes of a term in ℓ are below β/2·0.3, its curvatures below β/2."""
    step = jax.vmap(lambda y: y - jax.grad(total)(y, beta) / beta)
    ends = jax.lax.fori_loop(0, 3000, lambda _, y: step(y), starts)
    return jnp.min(jax.vmap(total, (0, None))(ends, beta))


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_optimum_by_minimisation_from_many_starts(size):
    rng = np.random.default_rng(size)
    starts = rng.normal(size=(60, size)) * np.linspace(0.1, 12, 60)[:, None]
    starts[-10:] = np.where(np.arange(size) == 0, -12.0 * (size - 1), 12.0)  # and some that are well on their way
    starts = jnp.asarray(starts)
    edge = size**0.5 - 1
    for beta in (0.1, 0.3, 0.45, 0.5, 0.8 * edge, 0.97 * edge, 1.03 * edge, 1.5 * edge, 4.0):
        lowest = float(descend(starts, beta))
        value, attained = nt.optimal_entropy_destruction(size, beta)
        assert lowest > float(value) * (1 - 1e-12)
        assert bool(attained) == (size == 2 or beta >= edge)
        # 3,000 steps: flat minima at β = ½, and far out for N = 2; where it is not attained λ = e¹² or more, βλ > 1e4
        assert lowest < float(value) * (1 + (2e-6 if size > 2 else 3e-5))


def test_two_eigenvalues_are_the_exception():
    """For N = 2, β < ½ the minimum is attained at λ^{1/3} + λ^{-1/3} = 1/β, below λ = 1 and below the infimum β/2."""
    for beta in (0.1, 0.3, 0.45, 0.499):
        value, attained = nt.optimal_entropy_destruction(2, beta)
        ell = points(beta, 0.5).log_eigenvalues[2]
        assert abs(value - 2 * curve(ell, beta, 0.5)) < 1e-14
        assert bool(attained)
        assert value < beta / 2
        assert value < beta / (1 + beta) ** 2
    assert nt.optimal_entropy_destruction(1, 0.3) == (0.15 / 1.3**2, True)
    many = nt.optimal_entropy_destruction(4, jnp.array([0.5, 2.0]))
    np.testing.assert_allclose(many.value, [0.25, 4 / 9])
    assert many.attained.tolist() == [False, True]
