"""Learning equilibrium: the split of log Z in two, and the error of splitting it by a threshold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import LOG_2PI, draw_inputs, network

import nnthermo as nt


def spectrum_of(seed, sizes=(4, 5, 3), scale=1.5):
    net = network(seed, sizes, scale=scale)
    return nt.log_eigenvalues(nt.bulk_hessian(net, net.propagate(draw_inputs(seed, sizes[0]))))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-6, 6),
    log_t=st.floats(-3, 3),
    sizes=st.sampled_from([(4, 5, 3), (6, 2)]),
)
def test_the_split_error_is_the_error_of_the_split(seed, log_beta, log_t, sizes):
    spectrum, beta, t = spectrum_of(seed, sizes), float(np.exp(log_beta)), float(np.exp(log_t))
    logs = np.log(beta) + np.concatenate([np.asarray(spectrum.values), np.zeros(spectrum.unit_count)])
    threshold = 0.5 * logs[logs > np.log(t)].sum()
    exact = 0.5 * np.logaddexp(0, logs).sum()
    # with a negative log above a low threshold the split goes below the exact value by more: E is what is missing
    assert float(nt.split_error(spectrum, beta, t)) == pytest.approx(exact - threshold, abs=1e-11 * spectrum.size)
    assert float(nt.split_error(spectrum, beta, t)) >= float(nt.split_error(spectrum, beta)) - 1e-12
    assert 0 <= float(nt.split_error(spectrum, beta)) <= 0.5 * np.log(2) * spectrum.size + 1e-12


def test_threshold_and_smooth_forms_differ_by_it():
    spectrum, beta = spectrum_of(3), 2.0
    threshold = float(nt.complexity(spectrum, beta) - beta * nt.thermodynamic_free_energy(spectrum, beta))
    exact = -0.5 * float(spectrum.log_det(beta)) + 0.5 * spectrum.size * LOG_2PI
    assert threshold - exact == pytest.approx(float(nt.split_error(spectrum, beta)), abs=1e-12)
    smooth = nt.decompose(spectrum, beta)
    assert float(smooth.complexity - beta * smooth.thermodynamic_free_energy) == pytest.approx(exact, abs=1e-12)


def test_a_dense_spectrum_is_smeared_by_the_sommerfeld_term():
    # evenly spaced log λ of density ρ through -log β: E → (π²/12) ρ, with corrections of order exp(-width)
    values = jnp.linspace(-40, 40, 8001)
    found = nt.split_error(nt.LogSpectrum(values[::-1]), 1.0)
    assert float(found) == pytest.approx(np.pi**2 / 12 * 100, rel=1e-4)  # spacing 0.01: (spacing)²/24 × curvature


def test_factorisation_is_a_two_way_analysis():
    rng = np.random.default_rng(0)
    a, c = rng.normal(size=6), rng.normal(size=4)
    split = nt.factorise(a[:, None] + c[None, :])
    assert np.asarray(split.defect) == pytest.approx(0, abs=1e-14)
    assert float(split.share) == pytest.approx(0, abs=1e-25)
    assert np.asarray(split.of_network + split.of_temperature[0]) == pytest.approx(a + c[0])
    product = nt.factorise(np.outer(a, c))
    expected = np.outer(a - a.mean(), c - c.mean())
    assert np.asarray(product.defect) == pytest.approx(expected, abs=1e-14)
    assert float(product.root_mean_square) == pytest.approx(np.sqrt(np.mean(expected**2)))
    total = np.outer(a - a.mean(), c)
    assert float(product.share) == pytest.approx(np.sum(expected**2) / np.sum(total**2))
    for scale in (1e-4, 1e4):  # a share has no unit: small differences are differences, to rounding
        assert float(nt.factorise(scale * np.outer(a, c)).share) == pytest.approx(float(product.share), rel=1e-12)
    assert np.isnan(float(nt.factorise(np.ones((2, 3))).share))
    with pytest.raises(ValueError, match="at least two rows"):
        nt.factorise(np.ones((1, 3)))


def test_flat_feed_forward_ensembles_factorise_and_gaussian_ones_do_not():
    betas = (0.5, 1.0, 2.0)
    u = draw_inputs(0, 3)
    nets = [network(k, (3, 4, 2), scale=2.0) for k in range(4)]
    flat = [
        [
            float(
                nt.ancestral(
                    nt.CanonicalEnsemble(n, u, b, measure=nt.Flat()), jax.random.key(0), 10
                ).log_partition.value
            )
            for b in betas
        ]
        for n in nets
    ]
    assert float(nt.factorise(flat).root_mean_square) < 1e-12
    gaussian = [[float(nt.log_partition(nt.bulk_hessian(n, n.propagate(u)), b)) for b in betas] for n in nets]
    assert float(nt.factorise(gaussian).root_mean_square) > 1e-3


def test_bad_thresholds_are_named():
    spectrum = spectrum_of(0)
    with pytest.raises(ValueError, match="`beta` must be positive"):
        nt.split_error(spectrum, 0.0)
    with pytest.raises(ValueError, match="`threshold` must be positive"):
        nt.split_error(spectrum, 1.0, -1.0)
