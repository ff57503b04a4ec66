"""Diffusion matrices of any skewness as jumps with no negative rates, and the Fokker-Planck operator they make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nnthermo.mechanics import Grid, fokker_planck_evolve, fokker_planck_generator, ornstein_uhlenbeck_moments
from nnthermo.mechanics.stencil import along_strongest, skew_steps


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


ANGLES = st.floats(-3.2, 3.2)


@given(st.floats(0.05, 20.0), st.tuples(ANGLES, ANGLES, ANGLES), st.floats(0.0, 1.99), st.floats(0.0, 1.99))
def test_six_steps_make_up_the_matrix_in_space(scale, angles, first, second):
    turn = Rotation.from_euler("zyx", angles).as_matrix()
    D = scale * turn @ np.diag([1.0, 10.0**-first, 10.0**-second]) @ turn.T
    steps, weights = skew_steps(D)
    assert (weights >= 0).all()
    assert (weights > 0).sum() <= 6
    np.testing.assert_allclose(np.einsum("m,mi,mj->ij", weights, steps, steps), D, atol=1e-11 * scale)  # as above
    assert steps[:3] == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert np.abs(steps).max() <= 10
    shares = along_strongest(weights, steps)
    np.testing.assert_allclose(np.einsum("mk,mi->ik", shares, steps), np.eye(3), atol=1e-12)
    used = weights[np.abs(shares).max(axis=1) > 0]
    assert used.min() > 0  # the drift goes where something diffuses


SPACE = Rotation.from_euler("xyz", [0.5, 0.7, -0.4]).as_matrix()


def moments(p, places):
    mean = np.einsum("ijk,ijkl->l", p, places)
    away = places - mean
    return mean, np.einsum("ijk,ijkl,ijkm->lm", p, away, away)


def test_a_skew_gaussian_in_space_is_that_of_ornstein_and_uhlenbeck():
    """Condition 10, turned out of the axes; the drift turns as well. Positive and conserved on the way."""
    D = SPACE @ np.diag([0.5, 0.25, 0.05]) @ SPACE.T
    H = 0.4 * np.array([[0.5, 0.2, 0.0], [-0.2, 0.4, 0.1], [0.0, 0.0, 0.3]])
    errors = []
    for n in (9, 18):
        grid = Grid([-4.0] * 3, [4.0] * 3, n)
        places, cell = np.asarray(grid.coordinates), float(grid.cell)
        A = fokker_planck_generator(grid, drift=-places @ H.T, diffusion=D)
        assert max(np.abs(e).sum() for e in A.offsets) > 2  # no jumps to neighbours make it
        p0 = grid.normalise(np.exp(-np.sum((places - np.array([0.5, -0.3, 0.2])) ** 2, axis=-1) / 0.6))
        p = np.asarray(fokker_planck_evolve(p0, A, np.array([0.0, 0.4])).density) * cell
        assert p.min() >= 0
        np.testing.assert_allclose(p.sum(axis=(1, 2, 3)), 1, atol=1e-13)  # rounding of some hundred applications
        exact = ornstein_uhlenbeck_moments(H, D, *moments(p[0], places), 0.4)
        mean, covariance = moments(p[1], places)
        np.testing.assert_allclose(mean, exact.mean, atol=1e-4)  # tails at the walls
        away = places - np.asarray(exact.mean)
        inverse = np.linalg.inv(exact.covariance)
        gauss = np.exp(-0.5 * np.einsum("...i,ij,...j", away, inverse, away)) * np.sqrt(
            np.linalg.det(inverse) / (2 * np.pi) ** 3
        )
        errors.append([np.abs(covariance - exact.covariance).max(), np.abs(p[1] - gauss * cell).sum()])
    covariance, density = np.array(errors).T
    assert covariance[1] < 1e-3  # jumps have the squares of D and the mean of the drift: upwinding in the tails
    assert density[1] < 0.05
    assert density[0] / density[1] > 3  # second order, 4


@pytest.mark.parametrize("ito", [True, False])
def test_directions_that_turn_from_cell_to_cell_in_space(ito):
    """∂⟨q q⟩ = ⟨2D⟩ for Itô, and ⟨q ∂D⟩ more for Fick: by the rates of each cell, whatever their steps are."""
    grid = Grid([-1.0] * 3, [1.0] * 3, 10)
    places, cell = np.array(grid.coordinates), float(grid.cell)
    axis = places[..., 2:] * np.array([0.5, 0.3, -0.2])
    turn = Rotation.from_rotvec(axis.reshape(-1, 3)).as_matrix().reshape(*grid.points, 3, 3)
    D = np.einsum("...ij,j,...kj->...ik", turn, [0.5, 0.1, 0.02], turn)
    A = fokker_planck_generator(grid, diffusion=D, ito=ito)
    assert len(A.offsets) > 9  # more than six kinds and the axes
    inside = (np.abs(places) < 0.4).all(axis=-1)  # farther from the walls than any jump
    p = np.asarray(grid.normalise(inside * np.exp(-6 * np.sum(places**2, axis=-1))))
    rate = np.asarray(A.apply(p)) * cell
    assert rate[p == 0].min() >= 0
    assert abs(rate.sum()) < 1e-12
    drift = np.zeros((*grid.points, 3))
    if not ito:  # central differences, as the scheme's own
        for k in range(3):
            drift += np.gradient(D[..., k], grid.axes[k], axis=k)
    change = np.einsum("...i,...j->...ij", drift, places)
    exact = np.einsum("xyz,xyzij->ij", p * cell, 2 * D + change + np.swapaxes(change, -1, -2))
    second = np.einsum("xyz,xyzi,xyzj->ij", rate, places, places)
    np.testing.assert_allclose(
        np.einsum("xyz,xyzi->i", rate, places), np.einsum("xyz,xyzi->i", p * cell, drift), atol=1e-12
    )
    if ito:
        np.testing.assert_allclose(second, exact, atol=1e-12)
    else:  # and what upwind rates add to D, where the drift of the noise is more than the steps diffuse
        np.testing.assert_allclose(second, exact, atol=0.02)
