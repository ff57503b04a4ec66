"""Diffusion matrices of any skewness as jumps with no negative rates, and the Fokker-Planck operator they make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnthermo.mechanics import Grid, fokker_planck_evolve, fokker_planck_generator
from nnthermo.mechanics.stencil import skew_steps


@given(st.floats(0.05, 20.0), st.floats(-3.2, 3.2), st.floats(0.0, 1.99))
def test_steps_make_up_the_matrix(scale, angle, decades):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    D = scale * turn @ np.diag([1.0, 10.0**-decades]) @ turn.T
    steps, weights = skew_steps(D)
    assert (weights >= 0).all()
    rebuilt = sum(w * np.outer(e, e) for w, e in zip(weights, steps, strict=True))
    np.testing.assert_allclose(rebuilt, D, atol=1e-11 * scale)  # rounding times the condition, 100, and some turns
    assert steps[:2] == ((1, 0), (0, 1))
    assert max(abs(s) for e in steps for s in e) <= 10  # √100


def test_each_cell_has_its_own_steps_and_hopeless_ones_are_rounded_off():
    D = np.array([[[2.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    steps, weights = skew_steps(D)
    rebuilt = np.einsum("mn,mi,mj->nij", weights, np.array(steps), np.array(steps))
    np.testing.assert_allclose(rebuilt[:2], D[:2], atol=1e-14)
    np.testing.assert_allclose(np.linalg.eigvalsh(rebuilt[2]), [0.02, 2.0], rtol=1e-12)  # 0 raised to 2/100


@pytest.mark.parametrize("ito", [True, False])
def test_moments_of_a_skew_ornstein_uhlenbeck_process(ito):
    """Constant D with correlation 0.95 on square cells, which no jumps to neighbours make: exact Gaussian moments."""
    grid = Grid([-4.0, -4.0], [4.0, 4.0], 48)
    D = 0.5 * np.array([[1.0, 0.95 * 0.6], [0.95 * 0.6, 0.36]])
    places, rates = np.asarray(grid.coordinates), np.array([1.0, 0.5])
    drift = -places * rates
    generator = fokker_planck_generator(grid, drift=drift, diffusion=D, ito=ito)
    p0 = grid.normalise(np.exp(-2.0 * np.sum((places - 0.5) ** 2, axis=-1)))
    p = np.asarray(fokker_planck_evolve(p0, generator, np.array([0.0, 0.6])).density)[1] * float(grid.cell)
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1, abs=1e-12)  # a sum of rounding errors
    mean = np.einsum("ij,ijk->k", p, places)
    np.testing.assert_allclose(mean, 0.5 * np.exp(-0.6 * rates), rtol=1e-5)  # drift linear in q: exact but at walls
    sums = rates[:, None] + rates[None]
    exact = 0.25 * np.exp(-0.6 * sums) * np.eye(2) + 2 * D * (1 - np.exp(-0.6 * sums)) / sums
    away = places - mean
    found = np.einsum("ij,ijk,ijl->kl", p, away, away)
    np.testing.assert_allclose(found, exact, rtol=2e-2)  # upwinding where rates would be negative: first order in h/σ


def test_fick_and_ito_differ_by_the_drift_of_the_noise():
    """With D(q) too skew for neighbours, Fick's operator leaves a uniform density at rest, Itô's one D p = constant."""

    errors = []
    for n in (16, 32):
        grid = Grid([0.0, 0.0], [1.0, 1.0], n, periodic=True)
        places, cell = np.asarray(grid.coordinates), float(grid.cell)
        size = 1 + 0.3 * np.sin(2 * np.pi * places[..., 0])
        D = size[..., None, None] * np.array([[1.0, 0.55], [0.55, 0.4]])
        rate = np.asarray(fokker_planck_generator(grid, diffusion=D).apply(np.ones(grid.points)))
        # cell by cell it jumps where the steps do; what it does to smooth functions is what converges
        waves = [f(2 * np.pi * (places @ np.array(k))) for f in (np.cos, np.sin) for k in ([1.0, 0.0], [1.0, 1.0])]
        errors.append(max(abs(np.sum(rate * wave) * cell) for wave in waves))
        ito = fokker_planck_generator(grid, diffusion=D, ito=True).apply(1 / size)
        assert np.abs(ito).max() < 1e-9  # D p is the same number in every cell: rounding of rates of 10³
    # against 0.3 (2π)²/2 = 5.9, what the drift of the noise does to them; of second order or better
    assert errors[0] < 0.6
    assert errors[1] < errors[0] / 3
