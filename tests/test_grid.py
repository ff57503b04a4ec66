"""Points, volumes and integrals of the grid of the trainable variables, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo.mechanics import Grid


def test_points_lie_at_centres_between_walls_and_at_lower_ends_of_rings():
    grid = Grid([-3.0, 0.0], [3.0, 2.0], (5, 4), periodic=(False, True))
    np.testing.assert_allclose(grid.axes[0], [-2.4, -1.2, 0.0, 1.2, 2.4], atol=1e-15)  # rounding of numbers of order 1
    np.testing.assert_allclose(grid.axes[1], [0.0, 0.5, 1.0, 1.5], atol=1e-15)
    np.testing.assert_allclose(grid.coordinates[1, 3], [-1.2, 1.5], atol=1e-15)
    assert float(grid.cell) == pytest.approx(0.6, rel=1e-15)
    assert grid.dimensions == 2


def test_integrals_are_of_second_order_between_walls_and_exact_for_waves_on_a_ring():
    errors = []
    for n in (20, 40):
        grid = Grid([0.0], [1.0], n)
        errors.append(abs(float(grid.integrate(grid.evaluate(lambda q: jnp.exp(q[0])))) - (np.e - 1)))
    assert 3.9 < errors[0] / errors[1] < 4.1  # the midpoint rule is of second order
    ring = Grid([0.0], [2 * np.pi], 16, periodic=True)
    value = ring.integrate(ring.evaluate(lambda q: 1 + jnp.cos(7 * q[0]) ** 2))
    assert float(value) == pytest.approx(3 * np.pi, rel=1e-14)  # waves below the sampling limit integrate exactly


def test_leading_axes_stay_and_densities_are_normalised():
    grid = Grid([0.0, 0.0], [1.0, 3.0], (3, 6))
    values = jnp.arange(36.0).reshape(2, 3, 6) + 1
    np.testing.assert_allclose(grid.integrate(values), np.asarray(values).sum((1, 2)) / 6, rtol=1e-14)
    np.testing.assert_allclose(grid.integrate(grid.normalise(values)), [1.0, 1.0], rtol=1e-14)


def test_is_a_pytree_that_compiles_and_keeps_the_dtype():
    grid = Grid(np.float32([0.0]), np.float32([1.0]), 7)
    assert grid.coordinates.dtype == grid.integrate(jnp.ones(7, jnp.float32)).dtype == jnp.float32
    total = jax.jit(lambda grid: grid.integrate(grid.evaluate(lambda q: q[0])))(grid)
    assert float(total) == pytest.approx(0.5, rel=1e-6)  # float32
    slope = jax.grad(lambda upper: Grid([0.0], upper, 9).integrate(jnp.ones(9)))(jnp.array([2.0]))
    assert float(slope[0]) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid([0.0], [0.0], 5), "`upper` must lie above `lower`"),
        (lambda: Grid([0.0], [1.0], 2), "`points` must be at least 3"),
        (lambda: Grid([0.0], [1.0, 2.0], 5), "`upper` must have shape"),
        (lambda: Grid([0.0], [np.nan], 5), "`upper` must be finite"),
        (lambda: Grid([0.0] * 4, [1.0] * 4, 5), "`lower` must be one vector of one to three ends"),
        (lambda: Grid([0.0], [1.0], (5, 5)), "`points` must be one number or 1"),
        (lambda: Grid([0.0], [1.0], 5, periodic=(True, True)), "`periodic` must be one truth value or 1"),
        (lambda: Grid([0.0], [1.0], 5).integrate(jnp.ones(4)), "`values` must have last axes"),
    ],
)
def test_refuses_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_refuses_points_that_are_no_whole_number():
    with pytest.raises(TypeError, match="`points` must be an integer"):
        Grid([0.0], [1.0], 5.5)
