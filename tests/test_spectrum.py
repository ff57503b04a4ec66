"""The spectrum of log Ĝ: sums over it, threshold forms by brute force, their exact twins, the gap, and β from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, LOG_2PI, central_difference, draw_inputs, graph, jacobian, network

import nnthermo as nt


def make(values, units=0):
    return nt.LogSpectrum(jnp.asarray(np.sort(np.asarray(values, float))[::-1].copy()), units)


def merged(spectrum):
    """All N eigenvalues of log Ĝ, descending."""
    return np.sort(np.concatenate([np.asarray(spectrum.values), np.zeros(spectrum.unit_count)]))[::-1]


SHAPES = [(1, 0), (5, 0), (4, 3)]  # dynamical and exact eigenvalues
levels = st.floats(-6, 6) | st.sampled_from([0.0, -1.0, 1.0])
spectra = st.sampled_from(SHAPES).flatmap(
    lambda s: st.builds(make, st.lists(levels, min_size=s[0], max_size=s[0]), st.just(s[1]))
)
betas = st.floats(-4, 4).map(lambda k: 10.0**k)


def layered(seed, sizes=(5, 3, 2), scale=1.5):
    net = network(seed, sizes, scale=scale)
    x = net.propagate(draw_inputs(seed, sizes[0]))
    return nt.bulk_hessian(net, x), jacobian(net, x)


# Sums over the spectrum.


@given(seed=st.integers(0, 200), beta=betas, m=st.floats(-1, 0.05))
def test_log_det_is_that_of_the_hessian(seed, beta, m):
    G, B = layered(seed)
    spectrum = values_of(G)
    assert spectrum.unit_count == 2
    assert spectrum.size == G.size == 10
    assert nt.LogSpectrum(spectrum.values).size == len(spectrum.values)  # none is exact unless they are counted
    assert spectrum.log_det(beta) == spectrum.log_det(beta, 0)
    lam = np.linalg.svd(B, compute_uv=False) ** 2
    D = 1 - beta * m + beta * lam
    if D.min() < 1e-6 * D.max():
        return
    wanted = np.sum(np.log(D))
    rounding = 200 * EPS * D.max() / D.min() * (1 + abs(wanted))
    assert abs(spectrum.log_det(beta, m) - wanted) < rounding
    assert abs(log_det_of(G, beta, m) - wanted) < rounding


@jax.jit
def values_of(G):
    return nt.log_eigenvalues(G)


@jax.jit
def log_det_of(G, beta, m):
    return G.log_det(beta, m)


def test_log_det_is_nan_beyond_the_spectrum():
    spectrum = make([1.0, -1.0, -2.0], 2)
    bound = np.exp(-2.0) + 1.0  # β = 1
    assert np.isfinite(spectrum.log_det(1.0, bound - 1e-9))
    assert np.isnan(spectrum.log_det(1.0, bound + 1e-9))
    assert np.isnan(spectrum.log_det(1.0, (np.exp(-2.0) + np.exp(-1.0)) / 2 + 1))
    assert np.isnan(make([3.0], 1).log_det(1.0, 2.5))  # only the exact eigenvalue, 1, lies below m - 1/β
    assert np.isfinite(make([3.0], 0).log_det(1.0, 2.5))
    gradient = jax.grad(lambda m: spectrum.log_det(1.0, m))
    assert np.isfinite(gradient(0.5))


@jax.jit
def sums(spectrum):
    return [(spectrum.moment(k), spectrum.mean_moment(k)) for k in range(1, 5)], spectrum.skewness()


@given(spectrum=spectra)
def test_moments(spectrum):
    values = np.asarray(spectrum.values)
    moments, skewness = sums(spectrum)
    for k in range(1, 5):
        size = np.abs(values**k).sum() + 1e-300
        assert abs(moments[k - 1][0] - (merged(spectrum) ** k).sum()) <= 20 * EPS * size
        assert abs(moments[k - 1][1] - (values**k).mean()) <= 20 * EPS * size
    if np.abs(values).max() > 1e-3:
        wanted = (values**3).mean() / (values**2).mean() ** 1.5
        assert abs(skewness - wanted) < 100 * EPS * len(values)
    else:
        assert np.abs(values).max() > 0 or np.isnan(skewness)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_gradients_of_moments(k):
    """∂μ_k/∂A = -2k [(log G)^{k-1} B⁻¹]ᵀ, and the flow under A → tA, 2k(μ_{k-1} - Tr (log G)^{k-1}B⁻¹)."""
    graph_net = graph(3, 5)
    B = jacobian(graph_net, draw_inputs(3, 5))
    values, vectors = np.linalg.eigh(B.T @ B)
    power = vectors @ np.diag(np.log(values) ** (k - 1)) @ vectors.T
    inverse = np.linalg.inv(B)
    wanted = -2 * k * (power @ inverse).T
    G = nt.DenseHessian(jnp.asarray(B))
    reverse = nt.log_eigenvalues(G)
    assert abs(reverse.moment(k) - np.sum(np.log(values) ** k)) < 1e-12
    assert (
        abs(central_difference(lambda h: moment_at(B, np.eye(5) - B, h, k)) - np.sum(wanted * (np.eye(5) - B))) < 1e-7
    )
    lower = np.sum(np.log(values) ** (k - 1))
    flow = 2 * k * (lower - np.trace(power @ inverse))
    assert abs(np.sum(wanted * (np.eye(5) - B)) - flow) < 1e-12
    # the library's own gradient, layered, where it is defined at any degeneracy
    net = network(3, (3, 4, 2))
    H = nt.bulk_hessian(net, net.propagate(draw_inputs(3, 3)))
    full = jacobian(net, net.propagate(draw_inputs(3, 3)))
    left, sigma, right = np.linalg.svd(full)
    dense = -2 * k * left * ((2 * np.log(sigma)) ** (k - 1) / sigma) @ right
    slopes = jax.grad(lambda w: nt.log_eigenvalues(H._replace(weights=w)).moment(k))(H.weights)
    np.testing.assert_allclose(slopes[0], np.asarray(H.slopes[0])[:, None] * dense[3:7, :3], atol=1e-12)
    np.testing.assert_allclose(slopes[1], np.asarray(H.slopes[1])[:, None] * dense[7:, 3:7], atol=1e-12)


def moment_at(B, direction, h, k):
    return nt.log_eigenvalues(nt.DenseHessian(jnp.asarray(B - h * direction))).moment(k)


@jax.jit
def largest(spectrum):
    ns = range(spectrum.size + 1)
    return jnp.stack([spectrum.largest_sum(n) for n in ns]), jnp.stack([nt.complexity(spectrum, largest=n) for n in ns])


@given(spectrum=spectra)
def test_largest_sum_by_brute_force(spectrum):
    wanted = np.concatenate([[0.0], np.cumsum(merged(spectrum))])
    found, complexities = largest(spectrum)
    np.testing.assert_allclose(found, wanted, atol=1e-13)
    np.testing.assert_allclose(complexities, 0.5 * spectrum.size * LOG_2PI - 0.5 * wanted, atol=1e-12)


def test_complexity_of_all_and_of_all_but_the_smallest():
    """(10.5): C_N = (N/2) log 2π without cycles; C_{N-k} = C_N + ½Σ of the k smallest log λ."""
    spectrum = values_of(layered(1)[0])
    whole = 5 * LOG_2PI
    assert abs(nt.complexity(spectrum, largest=10) - whole) < 1e-12
    for k in range(10):
        smallest = np.sort(merged(spectrum))[:k].sum()
        assert abs(nt.complexity(spectrum, largest=10 - k) - (whole + 0.5 * smallest)) < 1e-12
    assert abs(0.5 * 854 * LOG_2PI - 784.77) < 0.01  # the value for 784-40-20-10


# Threshold forms.


@jax.jit
def split_at_threshold(spectrum, beta):
    forms = (nt.displaced_count, nt.complexity, nt.thermodynamic_free_energy, nt.thermodynamic_entropy)
    return [f(spectrum, beta) for f in forms]


@jax.jit
def exact_forms(spectrum, beta):
    whole = [f(spectrum, beta) for f in (nt.log_partition, nt.average_loss, nt.entropy)]
    return nt.decompose(spectrum, beta), *whole


@given(spectrum=spectra, beta=betas)
def test_threshold_forms_by_brute_force(spectrum, beta):
    values = merged(spectrum)
    displaced = [v for v in values if v > -np.log(beta)]
    n = len(displaced)
    count, complexity, free_energy, entropy = split_at_threshold(spectrum, beta)
    assert count == n
    assert abs(complexity - (0.5 * len(values) * LOG_2PI - 0.5 * sum(displaced))) < 1e-12
    assert abs(free_energy - n * np.log(beta) / (2 * beta)) <= 1e-13 * (1 + n / beta)
    assert abs(entropy - 0.5 * n * (1 - np.log(beta))) < 1e-12
    # (6.8), (7.3): -βA + C is the threshold form of log Z, short of it by Σ log(1 + e^{-|log βλ|})/2
    error = 0.5 * np.sum(np.log1p(np.exp(-np.abs(np.log(beta) + values))))
    assert abs(-beta * free_energy + complexity - exact_forms(spectrum, beta)[1] - error) < 1e-11
    assert error <= 0.5 * np.log(2) * len(values) + 1e-12


def test_an_eigenvalue_of_exactly_one_over_beta_is_not_displaced():
    beta = jnp.asarray(0.5)
    spectrum = nt.LogSpectrum(jnp.stack([jnp.log(8.0), -jnp.log(beta), jnp.asarray(-1.0)]))
    assert nt.displaced_count(spectrum, beta) == 1
    assert abs(nt.complexity(spectrum, beta) - (1.5 * LOG_2PI - 0.5 * np.log(8))) < 8 * EPS  # of about 1.7
    assert nt.displaced_count(nt.LogSpectrum(spectrum.values, 5), 1.0) == 2


def test_limits_of_the_displaced_count():
    spectrum = make([2.0, 0.5, -0.5, -3.0], 3)
    assert nt.displaced_count(spectrum, 1e-30) == 0
    assert nt.displaced_count(spectrum, 1e30) == 7
    assert nt.displaced_count(spectrum, 0.999) == 2  # the exact eigenvalues pass at β = 1
    assert nt.displaced_count(spectrum, 1.001) == 5
    assert abs(nt.complexity(spectrum, 1e-30) - 3.5 * LOG_2PI) < 1e-14


# Their exact twins.


@given(spectrum=spectra, beta=betas)
def test_decomposition_is_exact(spectrum, beta):
    exact, log_z, energy, entropy = exact_forms(spectrum, beta)
    size = 1e-12 * (1 + abs(np.log(beta))) * spectrum.size
    assert abs(-beta * exact.thermodynamic_free_energy + exact.complexity - log_z) < size
    assert abs(exact.thermodynamic_entropy + exact.complexity - entropy) < size
    assert abs(exact.effective_count - 2 * beta * energy) < size
    assert abs(exact.thermodynamic_entropy - beta * (energy - exact.thermodynamic_free_energy)) < size
    s = 1 / (1 + np.exp(-np.log(beta) - merged(spectrum)))
    h = -s * np.log(s) - (1 - s) * np.log1p(-s)
    assert abs(exact.mixing - 0.5 * h.sum()) < size
    assert abs(exact.effective_count - s.sum()) < size
    assert abs(exact.complexity - (0.5 * spectrum.size * LOG_2PI - 0.5 * np.sum(s * merged(spectrum)))) < size


def test_decomposition_tends_to_the_threshold_forms():
    """Eigenvalues a factor e^d or more from 1/β: the two differ by O(d e^-d) an eigenvalue."""
    for d in (5.0, 20.0, 40.0):
        spectrum, beta = make([d + 0.5, d, -d, -d - 1.0], 0), 1.0
        exact = exact_forms(spectrum, beta)[0]
        tolerance = 4 * (d + 3) * np.exp(-d) + 1e-14 * d
        count, complexity, free_energy, entropy = split_at_threshold(spectrum, beta)
        assert abs(exact.effective_count - int(count)) < tolerance
        assert abs(exact.complexity - complexity) < tolerance
        assert abs(exact.thermodynamic_free_energy - free_energy) < tolerance
        assert abs(exact.thermodynamic_entropy - entropy) < tolerance
        assert abs(exact.mixing) < tolerance


def test_decomposition_gradients_by_finite_differences():
    values = jnp.asarray([2.0, 0.3, -0.7, -3.0])

    @jax.jit
    def fields(v, beta):
        return jnp.stack(nt.decompose(nt.LogSpectrum(v, 2), beta))

    d_values, d_beta = jax.jit(jax.jacrev(fields, argnums=(0, 1)))(values, 1.7)
    for k in range(4):
        unit = jnp.zeros(4).at[k].set(1.0)
        np.testing.assert_allclose(
            d_values[:, k], central_difference(lambda h, unit=unit: fields(values + h * unit, 1.7)), atol=1e-8
        )
    np.testing.assert_allclose(d_beta, central_difference(lambda h: fields(values, 1.7 + h)), atol=1e-8)


# The gap.


def gap_of(values, units=0):
    gap = make(values, units).gap()
    return [float(v) for v in gap], gap


def test_clear_gap():
    values = [1.0, 0.5, -0.1, -0.3, -0.5, -0.7, -0.9, -2.9, -3.1]
    (lower, upper, count, contrast), gap = gap_of(values, 10)
    assert (lower, upper, count) == (-2.9, -0.9, 2)
    # between negative eigenvalues the spacings are 0.2 five times and 2.0 once: the median is 0.2
    assert abs(contrast - 10.0) < 1e-12
    assert abs(gap.centre + 1.9) < 1e-15
    assert abs(gap.width - 2.0) < 1e-15


def test_wide_spacings_among_the_less_displaced_half_do_not_count():
    """Only intervals below the median negative eigenvalue: the jump from 0 to -2 is the step off zero, not the gap."""
    (lower, upper, count, _), _ = gap_of([0.5, -2.0, -2.1, -2.2, -2.3, -2.8, -2.9])
    assert (lower, upper, count) == (-2.8, -2.3, 2)


def test_even_spacing_has_no_contrast():
    (_, _, _, contrast), gap = gap_of(np.linspace(2.0, -3.0, 21))
    assert abs(contrast - 1.0) < 1e-12
    assert abs(gap.width - 0.25) < 1e-12


def test_two_eigenvalues():
    (lower, upper, count, contrast), _ = gap_of([1.5, -2.5], 7)
    assert (lower, upper, count, contrast) == (-2.5, 1.5, 1, 1)


def test_the_median_is_that_of_the_negative_eigenvalues():
    """One of three may lie below: not the wider interval above two of them, which would count with the zeros."""
    (lower, upper, count, contrast), _ = gap_of([2.0, 0.0, 0.0, 0.0, 0.0, -1.0, -3.0, -3.5])
    assert (lower, upper, count) == (-3.5, -3.0, 1)
    assert contrast == 0.4  # 0.5 over the median of 2 and 0.5


@pytest.mark.parametrize("values", [[1.0, -1.0, -1.0], [0.5, 0.5, -0.5], [2.0, 1.0, -1.0, -4.0]])
def test_with_fewer_than_three_negative_eigenvalues_the_contrast_is_one(values):
    (lower, upper, count, contrast), _ = gap_of(values)
    assert (lower, upper, count, contrast) == (values[-1], values[-2], 1, 1)


@pytest.mark.parametrize("values", [[3.0, 2.0, 1.5], [0.5, 0.25], [0.0, 0.0], [0.0, 0.0, 0.0]])
def test_where_no_eigenvalue_is_negative_there_is_no_gap(values):
    (lower, upper, count, contrast), gap = gap_of(values)
    assert np.isnan([lower, upper, gap.centre, gap.width]).all()
    assert (count, contrast) == (0, 1)


def test_derivatives_of_the_contrast():
    """By the formula: width over the spacing in the middle of the negative ones; and no 0/0 where all are equal."""
    contrast = jax.grad(lambda v: nt.LogSpectrum(v).gap().contrast)
    found = contrast(jnp.asarray([0.5, -0.1, -0.3, -0.6, -1.0, -3.0]))  # spacings 0.2, 0.3, 0.4, 2: the median 0.35
    slope, drop = 1 / 0.35, 2 / 0.35**2 / 2
    np.testing.assert_allclose(found, [0, 0, -drop, 0, slope + drop, -slope], atol=100 * EPS * drop)  # of differences
    assert np.isfinite(contrast(jnp.full(4, -1.0))).all()


def test_equal_eigenvalues_have_no_gap_and_unknown_ones_no_contrast():
    assert gap_of([-1.0] * 4)[0] == [-1.0, -1.0, 2, 1.0]
    assert np.isnan(gap_of([np.nan] * 4)[0][3])


def test_gap_works_traced_and_refuses_one_eigenvalue():
    values = jnp.asarray([[0.5, -0.2, -0.3, -0.4, -2.0], [0.5, -0.2, -0.9, -1.0, -1.1]])
    found = jax.jit(jax.vmap(lambda v: nt.LogSpectrum(v, 3).gap()))(values)
    np.testing.assert_allclose(found.lower, [-2.0, -1.1])
    np.testing.assert_allclose(found.upper, [-0.4, -1.0])
    with pytest.raises(ValueError, match="`values` must hold at least two eigenvalues to have a gap, but got 1"):
        make([1.0]).gap()


# β from the gap and from the loss.


@pytest.mark.parametrize(("gap", "beta"), [(-2.3, 1.470), (-2.5, 1.604), (-3.0, 1.987)])
def test_formula_of_the_paper_at_its_own_gaps(gap, beta):
    """The quoted gaps give these, not 1.37, 1.40, 1.47; and (9.4) maps them back."""
    found = float(nt.beta_from_gap(gap))
    assert abs(found - beta) < 5e-4
    assert abs(3 * np.log(-0.5 + np.sqrt(0.25 + 1 / found)) - gap) < 1e-12


@given(log_gap=st.floats(-8, 4), gamma=st.sampled_from([1 / 854, 0.05, 0.2, 1 / 3, 0.5, 0.7, 0.9]))
def test_gap_is_a_stationary_point_of_the_two_level_model(log_gap, gamma):
    """(9.3) by automatic differentiation: its slope in log λ vanishes at β = beta_from_gap(log λ), and at log λ = 0."""
    beta, at_gap, at_zero, beside = two_level_slopes(log_gap, gamma)
    k = gamma / (1 - gamma)
    # the two cancelling terms of the slope: γβ²λ(1+βλ)⁻³ each
    lam = np.exp(log_gap)
    size = gamma * beta**2 * lam / (1 + beta * lam) ** 3
    assert abs(at_gap) < 1e-12 * (1 + k) * size
    assert abs(at_zero) < 1e-13 * gamma * beta**2
    assert abs(beside) > 1e-4 * size * min(1, abs(log_gap)) ** 2 or abs(log_gap) < 1e-3


@jax.jit
def two_level_slopes(log_gap, gamma):
    """β of the gap, and the slope of (9.3) there, at log λ = 0, and at another β."""
    slope = jax.grad(lambda v, beta: nt.two_level_laplacian(v, beta, gamma=gamma, size=1))
    beta = nt.beta_from_gap(log_gap, gamma=gamma)
    return beta, slope(log_gap, beta), slope(0.0, beta), slope(log_gap, 1.3 * beta)


def test_one_third_has_the_closed_form_of_figure_one():
    """γ = 1/3 has log λ = 2 log((1 - β)/β), for β < 1 alone."""
    for beta in (0.1, 0.5, 0.73, 0.95):
        assert abs(nt.beta_from_gap(2 * np.log((1 - beta) / beta), gamma=1 / 3) - beta) < 1e-14
    assert nt.beta_from_gap(-50.0, gamma=1 / 3) < 1


def test_small_fraction_tends_to_the_formula_of_the_paper():
    """The error of (9.4) is linear in γ."""
    gaps = jnp.asarray([-0.5, -2.3, -4.0])
    errors = [np.asarray(nt.beta_from_gap(gaps, gamma=g) - nt.beta_from_gap(gaps)) for g in (1e-3, 1e-4)]
    np.testing.assert_allclose(errors[0] / errors[1], 10, rtol=2e-2)  # next order: γ × log λ ~ 1e-2
    np.testing.assert_array_equal(nt.beta_from_gap(gaps, gamma=0.0), nt.beta_from_gap(gaps))
    assert nt.beta_from_gap(gaps).shape == (3,)


def test_two_temperatures():
    """(10.1) is another number than (9.4): at the paper's β from the gap, 1.4, half of 854/2β is far from e^-6."""
    assert abs(nt.beta_from_loss(854.0, 854 / 2.8) - 1.4) < 1e-14
    assert nt.beta_from_loss(854.0, np.exp(-6.0)) > 1e5
    spectrum = make([2.0, -1.0, -2.0], 3)
    count = nt.decompose(spectrum, 1.7).effective_count
    assert abs(nt.beta_from_loss(count, nt.average_loss(spectrum, 1.7)) - 1.7) < 1e-13
    assert abs(jax.grad(nt.beta_from_loss, argnums=1)(4.0, 2.0) + 0.5) < 1e-15


def test_bad_arguments():
    spectrum = make([1.0, -1.0], 2)
    with pytest.raises(ValueError, match="`beta or largest` must be given, and not both, but got None and None"):
        nt.complexity(spectrum)
    with pytest.raises(ValueError, match=r"`beta or largest` must be given, and not both, but got 1\.0 and 2"):
        nt.complexity(spectrum, 1.0, largest=2)
    for n in (-1, 5):
        with pytest.raises(ValueError, match=f"`n` must lie between 0 and 4, but got {n}"):
            nt.complexity(spectrum, largest=n)
    for beta in (0.0, -2.0, float("nan")):
        for function in (
            nt.complexity,
            nt.displaced_count,
            nt.thermodynamic_free_energy,
            nt.thermodynamic_entropy,
            nt.decompose,
        ):
            with pytest.raises(ValueError, match="`beta` must be positive, but got"):
                function(spectrum, beta)
    for gamma in (-0.1, 1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"`gamma` must lie in \[0, 1\), but got"):
            nt.beta_from_gap(-1.0, gamma=gamma)
    for loss in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`loss` must be positive, but got"):
            nt.beta_from_loss(3.0, loss)
    with pytest.raises(ValueError, match=r"`values` must be one vector, but got shape \(2, 2\)"):
        nt.LogSpectrum(jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="`unit_count` must not be negative, but got -1"):
        nt.LogSpectrum(jnp.zeros(2), -1)
    for wrong in (np.zeros(1), jnp.zeros(2), jnp.zeros(3)):
        sentence = rf"`m` must have shape \(\), but got shape \({wrong.size},\)"
        with pytest.raises(ValueError, match=sentence):
            spectrum.log_det(1.0, wrong)
        with pytest.raises(ValueError, match=sentence):
            jax.jit(spectrum.log_det)(1.0, wrong)
        for function in (nt.log_partition, nt.free_energy, nt.average_loss, nt.entropy, nt.heat_capacity):
            with pytest.raises(ValueError, match=sentence):
                function(spectrum, 1.0, m=wrong)
        with pytest.raises(ValueError, match=rf"`beta` must have shape \(\), but got shape \({wrong.size},\)"):
            spectrum.log_det(1.0 + wrong)
    with pytest.raises(TypeError, match="`m` must be real, but got dtype object"):
        spectrum.log_det(1.0, None)


@pytest.mark.parametrize(
    "function",
    [nt.complexity, nt.thermodynamic_free_energy, nt.thermodynamic_entropy, nt.decompose, nt.log_partition, nt.entropy],
)
@pytest.mark.parametrize("beta", [1.4, np.float32(1.4)])
def test_float32_in_float32_out(function, beta):
    spectrum = nt.LogSpectrum(jnp.asarray([1.0, -1.0], jnp.float32), 2)
    for leaf in jax.tree.leaves(function(spectrum, beta)):
        assert leaf.dtype == jnp.float32


def test_counts_are_integers():
    assert jnp.issubdtype(nt.displaced_count(make([1.0, -1.0], 2), 1.4).dtype, jnp.integer)
