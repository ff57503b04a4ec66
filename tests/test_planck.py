"""ħ² measured: -4D² of plain Fokker-Planck flows, +ħ² of Schrödinger runs; from fields, densities, and samples."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from nnthermo import mechanics
from nnthermo.mechanics.exponential_family import legendre
from nnthermo.mechanics.planck import _regress

D = 0.3
RING = mechanics.Grid([0.0], [2 * np.pi], 48, periodic=True)
estimate = mechanics.estimate_planck_squared


def fokker_planck(span):
    """A double well on a ring, ∂p/∂t = ∂(D ∂p - F' p) by a matrix exponential, and its velocity F' - D ∂log p."""
    x, times = np.asarray(RING.axes[0]), np.linspace(0.0, span, 21)
    slope = -1.2 * np.sin(2 * x) + 0.2 * np.cos(x)
    k, waves = np.fft.fftfreq(48, 1 / 48)[:, None], np.fft.fft(np.eye(48), axis=0)
    first, second = (np.fft.ifft(s * waves, axis=0).real for s in (1j * k * (k != -24), -(k**2)))
    step = scipy.linalg.expm((D * second - first * slope) * times[1])
    p = [np.exp(0.8 * np.cos(x - 1))]
    p[0] /= float(RING.cell) * p[0].sum()
    for _ in range(20):
        p.append(step @ p[-1])
    return times, np.stack(p), (slope - D * np.log(p) @ first.T)[..., None]


def test_a_fokker_planck_double_well_has_minus_four_d_squared():
    errors = []
    for span in (0.5, 0.25):
        times, p, u = fokker_planck(span)
        found = estimate(p, u, times, RING)
        errors.append(float(found.value) + 4 * D**2)
        assert float(found.residual) < 0.01
    assert abs(errors[1]) < 4e-4
    assert errors[0] / errors[1] > 2  # second order in the step, on half the span
    from_densities = estimate(p, None, times, RING)
    assert float(from_densities.value) == pytest.approx(-4 * D**2, rel=3e-3)
    v, left = mechanics.velocity_from_densities(p, times, RING)
    np.testing.assert_allclose(left, 0, atol=1e-9)
    # u = ∇φ on the ring without the circulation that F' - D ∂log p has none of either
    np.testing.assert_allclose(v, u[1:-1], atol=1e-3)  # dt²


def test_an_anharmonic_schrodinger_run_has_plus_h_squared():
    grid, hbar = mechanics.Grid([-7.0], [7.0], 96, periodic=True), 0.6
    V = 0.5 * np.asarray(grid.axes[0]) ** 2 + 0.1 * np.asarray(grid.axes[0]) ** 4
    psi = mechanics.gaussian_wave_packet(grid, 0.8, 0.6, hbar=hbar)
    run = mechanics.schrodinger_evolve(psi, V, grid, hbar=hbar, mass=1.3, dt=0.005, steps=40, save_every=1)
    p, u = mechanics.madelung_from_wavefunction(run.psi, grid, hbar=hbar, mass=1.3)
    found = estimate(p, u, run.times, grid, mass=1.3, floor=1e-5)
    assert float(found.value) == pytest.approx(hbar**2, rel=0.01)  # dt²
    known = estimate(p, u, run.times, grid, mass=1.3, potential=V)
    assert float(known.value) == pytest.approx(hbar**2, rel=3e-3)
    assert float(known.signal) == pytest.approx(1)


def test_two_variables_and_walls():
    """Independent motions in the two variables, one on a ring and one between walls; the velocity by the solver."""
    grid = mechanics.Grid([0.0, 0.0], [2 * np.pi, np.pi], (16, 12), periodic=(True, False))
    q = np.asarray(grid.coordinates)

    @jax.jit
    @jax.vmap
    def state(t):
        a, b = 0.5 * jnp.exp(-D * t), 0.4 * jnp.exp(-4 * D * t)  # pure diffusion: each wave decays
        one, two = 1 + a * jnp.cos(q[..., 0]), 1 + b * jnp.cos(2 * q[..., 1])
        p = one * two
        return p, D * jnp.stack([a * jnp.sin(q[..., 0]) / one, 2 * b * jnp.sin(2 * q[..., 1]) / two], axis=-1)

    times = np.linspace(0.0, 0.4, 17)
    p, u = state(times)
    found = estimate(p, u, times, grid, potential=np.zeros(grid.points))
    assert float(found.value) == pytest.approx(-4 * D**2, rel=5e-3)  # dt² and twelve points
    v, left = mechanics.velocity_from_densities(p, times, grid, iterations=40)
    assert float(jnp.max(left)) < 1e-3
    np.testing.assert_allclose(v, u[1:-1], atol=1e-3)


def test_legendre_polynomials_and_their_derivatives():
    x = np.linspace(-1, 1, 9)
    table = np.asarray(legendre(6, x, 3))
    for k in range(7):
        wanted = [np.polynomial.Legendre.basis(k).deriv(d)(x) for d in range(4)]
        np.testing.assert_allclose(table[:, k], wanted, atol=3e-12)  # ten roundings of P6'''(1) = 1260
    np.testing.assert_array_equal(jax.jit(lambda x: legendre(1, x, 0))(x), [[np.ones(9), x]])


def test_the_velocity_in_three_variables():
    """Three independent diffusions, one between walls: u = -D ∇log p, each component of its own variable alone."""
    grid = mechanics.Grid([0.0] * 3, [2 * np.pi, np.pi, 2 * np.pi], (8, 5, 8), periodic=(True, False, True))
    q, times = np.asarray(grid.coordinates) - [0, 0, 1], np.linspace(0.0, 0.02, 3)
    sizes = np.array([0.3, 0.2, 0.25]) * np.exp(-D * times[:, None])  # each wave decays
    factors = 1 + sizes[:, None, None, None] * np.cos(q)
    v, left = mechanics.velocity_from_densities(factors.prod(axis=-1), times, grid, iterations=40)
    exact = D * sizes[1] * np.sin(q) / factors[1]
    np.testing.assert_allclose(v[0], exact, atol=D * 0.15**4)  # the waves of log p that eight points do not hold
    assert float(left[0]) < 1e-3  # of the same, times k²


def test_densities_that_are_noise_in_the_tails_have_velocities_where_they_are_not():
    """Two spreading widths in a wide box, tails of 1e-40 or of noise, also below zero: u = D q/s where p counts."""
    grid = mechanics.Grid([-6.0, -6.0], [6.0, 6.0], 32, periodic=(True, False))
    q, times = np.asarray(grid.coordinates), np.linspace(0.0, 0.04, 5)
    s = np.array([0.5, 0.4]) + 2 * D * times[:, None]
    a = np.exp(-np.sum(q**2 / 2 / s[:, None, None], axis=-1)) / np.sqrt(np.prod(s, axis=-1))[:, None, None]
    exact = D * q / s[1:-1, None, None]
    noise = 1e-16 * np.random.default_rng(0).normal(size=a.shape)
    run = jax.jit(lambda p: mechanics.velocity_from_densities(p, times, grid, iterations=60))
    for p in (a, a + noise):
        v, left = run(p)
        assert float(left.max()) < 1e-5
        assert float(jnp.max(jnp.abs(v))) < 8  # that of the ends is 7
        counts = a[1:-1] > 1e-4 * a.max()
        np.testing.assert_allclose(np.asarray(v)[counts], exact[counts], atol=0.01)  # dt² q⁵
    found = jax.jit(lambda p: estimate(p, None, times, grid, potential=np.zeros(grid.points)))(a + noise)
    assert float(found.value) == pytest.approx(-4 * D**2, rel=1e-3)


def test_errors_of_points_that_err_together():
    """Noise alike in blocks of four points: by themselves they claim √4 too little."""
    keys = jax.random.split(jax.random.key(0), 400)
    G = jnp.repeat(jax.random.normal(jax.random.key(1), (6, 16)), 4, axis=1)[..., None]

    @jax.jit
    @jax.vmap
    def run(key):
        a = 0.5 * G + jnp.repeat(jax.random.normal(key, (6, 16)), 4, axis=1)[..., None]
        fits = [_regress(a, G, jnp.ones_like(G), jnp.ones(()), unknown_force=True, block=b) for b in (1, 4)]
        return fits[0].value, jnp.stack([fit.error for fit in fits])

    values, errors = run(keys)
    scatter = float(np.std(values))  # to 4 %
    assert float(jnp.mean(values)) == pytest.approx(0.5, abs=4 * scatter / 20)
    np.testing.assert_allclose(np.mean(errors, axis=0) / scatter, [0.5, 1.0], rtol=0.15)  # and 1/16 of a degree each


@partial(jax.jit, static_argnums=1)
def ornstein_uhlenbeck(key, R, times):
    """Exact steps of dq = -q dt + √(2D) dW from variance 0.08."""
    noise = jax.vmap(lambda k: jax.random.normal(k, (R,)))(jax.random.split(key, len(times)))
    decay = jnp.exp(-(times[1] - times[0]))
    rows = [0.5 + jnp.sqrt(0.08) * noise[0]]
    for kick in noise[1:]:
        rows.append(decay * rows[-1] + jnp.sqrt(D * (1 - decay**2)) * kick)
    return jnp.stack(rows)


def test_samples_tell_the_sign_and_the_size_within_their_error():
    times = np.linspace(0.0, 1.0, 12)
    q, options = ornstein_uhlenbeck(jax.random.key(0), 20_000, times), {"degree": 2, "resamples": 8, "points": 80}
    key = jax.random.key(1)
    found = mechanics.planck_squared_from_samples(q, times, key=key, **options)
    assert bool(found.converged)
    assert float(found.error) < 0.08
    assert abs(float(found.value) + 4 * D**2) < 3 * float(found.error)
    assert float(found.misfit) < 2
    shuffled = np.asarray(q)[np.random.default_rng(0).permutation(12)]  # no polynomial in time
    poor = mechanics.planck_squared_from_samples(shuffled, times, key=key, **options)
    assert float(poor.misfit) > 5  # too poor a family in time, and it says so
    # units: q in other units, time in other units
    other = mechanics.planck_squared_from_samples(3 * np.asarray(q) + 1, 2 * times, key=key, **options)
    assert float(other.value) == pytest.approx(float(found.value) * 81 / 4, rel=1e-6)


def test_refuses_by_name():
    times = jnp.arange(5.0)
    for call, message in (
        (lambda: mechanics.estimate_planck_squared(jnp.ones((5, 47)), None, times, RING), "`densities` must have"),
        (lambda: mechanics.planck_squared_from_samples(jnp.ones((5, 20)), times, key=jax.random.key(0), degree=3),
         "`degree` must be even"),
        (lambda: mechanics.planck_squared_from_samples(jnp.ones((5, 4)), times, key=jax.random.key(0)),
         "`samples` must have shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()


def test_derivatives_are_exact_for_parabolas_in_uneven_time_and_real_for_the_fastest_wave():
    times = np.array([0.0, 0.1, 0.4, 0.5, 1.1])
    np.testing.assert_allclose(mechanics.time_derivative(3 * times**2 - times, times), 6 * times[1:-1] - 1, rtol=1e-12)
    fastest = np.cos(24 * np.asarray(RING.axes[0]))
    np.testing.assert_allclose(mechanics.spectral_derivative(fastest, RING, 0), np.zeros(48), atol=1e-10)
    slope = mechanics.spectral_derivative(fastest.astype(complex), RING, 0)
    np.testing.assert_allclose(np.abs(slope), np.zeros(48), atol=1e-10)
