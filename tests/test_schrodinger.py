"""Schrödinger dynamics: closed forms of packets, levels, rings with flux and vortices; orders and conservation laws.

Waves of a smooth localised function are resolved to rounding, so that errors are of rounding (times steps or condition)
or of the splitting, whose order is asserted.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from nnthermo import mechanics
from nnthermo.mechanics.schrodinger import SPLITTINGS

HBAR, MASS, OMEGA = 0.7, 1.3, 0.9
RING = mechanics.Grid([-8.0], [8.0], 64, periodic=True)
PLANE = mechanics.Grid([-5.5, -5.5], [5.5, 5.5], (40, 44), periodic=True)
PHYSICS = {"hbar": HBAR, "mass": MASS}


def moments(psi, grid):
    p, x = np.abs(psi) ** 2 * float(grid.cell), np.asarray(grid.axes[0])
    mean = p @ x
    return mean, p @ (x - mean) ** 2


@given(st.floats(-0.5, 0.5), st.floats(0.8, 1.4), st.floats(-3.0, 3.0))
def test_a_free_packet_moves_and_spreads_as_the_closed_form_says(center, width, momentum):
    grid = mechanics.Grid([-40.0], [40.0], 256, periodic=True)
    psi = mechanics.gaussian_wave_packet(grid, center, width, momentum, hbar=HBAR)
    end = mechanics.schrodinger_evolve(psi, jnp.zeros(256), grid, dt=0.7, steps=4, **PHYSICS).psi[-1]
    mean, variance = moments(end, grid)
    assert mean == pytest.approx(center + momentum * 2.8 / MASS, abs=1e-12)  # rounding times the length of the ring
    assert variance == pytest.approx(width**2 * (1 + (HBAR * 2.8 / (2 * MASS * width**2)) ** 2), rel=1e-12)


@pytest.mark.parametrize("order", [2, 4])
def test_a_coherent_state_swings_without_spreading_with_the_order_of_the_splitting(order):
    V = 0.5 * MASS * OMEGA**2 * np.asarray(RING.axes[0]) ** 2
    psi = mechanics.coherent_state(RING, 1.2, 0.3, frequency=OMEGA, **PHYSICS)
    errors = []
    for steps in (20, 40):
        run = mechanics.schrodinger_evolve(psi, V, RING, dt=3.0 / steps, steps=steps, order=order, **PHYSICS)
        mean, variance = moments(run.psi[-1], RING)
        exact = 1.2 * np.cos(3 * OMEGA) + 0.3 / (MASS * OMEGA) * np.sin(3 * OMEGA)
        errors.append(abs(mean - exact) + abs(variance - HBAR / (2 * MASS * OMEGA)))
        assert float(mechanics.norm(run.psi[-1], RING)) == pytest.approx(1, abs=1e-12)  # unitary
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.03)
    assert order == 2 or errors[1] < 1e-9


def test_the_splittings_satisfy_their_conditions():
    """exp of noncommuting nilpotent matrices: the product differs from exp(h(A+B)) by h^(order+1)."""
    A, B = np.random.default_rng(0).normal(size=(2, 4, 4))

    def error(order, h):
        kicks, drifts = SPLITTINGS[order]
        assert sum(kicks) == pytest.approx(1, abs=1e-14)
        assert sum(drifts) == pytest.approx(1, abs=1e-14)
        total = np.eye(4)
        for k, a in enumerate(kicks):
            total = scipy.linalg.expm(a * h * A) @ total
            if k < len(drifts):
                total = scipy.linalg.expm(drifts[k] * h * B) @ total
        return np.abs(total - scipy.linalg.expm(h * (A + B))).max()

    for order in (2, 4):
        assert np.log2(error(order, 0.1) / error(order, 0.05)) == pytest.approx(order + 1, abs=0.2)


def test_a_potential_that_depends_on_time_keeps_the_order():
    """A uniform force f cos t: the mean obeys Newton, <x> = f (1 - cos t)/M, whatever the packet."""
    grid = mechanics.Grid([-10.0], [10.0], 64, periodic=True)
    x = grid.axes[0]
    psi = mechanics.gaussian_wave_packet(grid, 0.0, 1.0, hbar=HBAR)
    edge = np.where(np.abs(x) < 9, x, 0)

    def force(t):
        return -0.4 * jnp.cos(t) * edge

    errors = []
    for steps in (4, 8):
        run = mechanics.schrodinger_evolve(psi, force, grid, dt=2.0 / steps, steps=steps, start=0.3, **PHYSICS)
        mean, _ = moments(run.psi[-1], grid)
        exact = 0.4 / MASS * (np.cos(0.3) - np.cos(2.3) - 2.0 * np.sin(0.3))
        errors.append(abs(mean - exact))
    assert errors[1] < 2e-5
    assert errors[0] / errors[1] > 10  # order 4 would be 16


def test_energy_is_conserved_and_the_end_of_a_run_can_be_differentiated():
    V = 0.1 * np.asarray(RING.axes[0]) ** 4
    psi = mechanics.gaussian_wave_packet(RING, 0.5, 0.7, 0.4, hbar=HBAR)
    run = mechanics.schrodinger_evolve(psi, V, RING, dt=0.01, steps=100, save_every=50, **PHYSICS)
    energies = np.asarray(mechanics.schrodinger_energy(run.psi, V, RING, **PHYSICS))
    np.testing.assert_allclose(energies, energies[0], rtol=1e-8)  # dt⁴ of the splitting
    np.testing.assert_allclose(run.times, [0.0, 0.5, 1.0], atol=1e-15)

    @jax.jit
    def mean_at_the_end(slope):
        push = V - slope * RING.axes[0]
        end = mechanics.schrodinger_evolve(psi, push, RING, dt=0.05, steps=10, **PHYSICS).psi[-1]
        return RING.integrate(jnp.abs(end) ** 2 * RING.axes[0])

    h = 1e-4
    by_differences = (mean_at_the_end(h) - mean_at_the_end(-h)) / (2 * h)
    assert float(jax.jit(jax.grad(mean_at_the_end))(0.0)) == pytest.approx(float(by_differences), rel=1e-6)  # h²


def test_levels_of_the_oscillator_of_the_box_and_of_a_ring_with_flux():
    oscillator = HBAR * OMEGA * (np.arange(4) + 0.5)
    for grid in (RING, mechanics.Grid([-8.0], [8.0], 60)):
        V = 0.5 * MASS * OMEGA**2 * np.asarray(grid.axes[0]) ** 2
        found = mechanics.schrodinger_eigenstates(V, grid, states=4, **PHYSICS)
        np.testing.assert_allclose(found.energies, oscillator, rtol=1e-10)
    np.testing.assert_allclose(np.sum(np.asarray(found.states) ** 2, 1) * grid.cell, np.ones(4), rtol=1e-12)
    filtered = mechanics.schrodinger_eigenstates(V, grid, states=4, dense=False, **PHYSICS)
    np.testing.assert_allclose(filtered.energies, oscillator, rtol=1e-10)
    assert float(jnp.max(filtered.residual)) < 1e-6
    box = mechanics.schrodinger_eigenstates(jnp.zeros(21), mechanics.Grid([0.0], [2.0], 21), states=3, **PHYSICS)
    exact = (HBAR * np.pi / 2 * np.arange(1, 4)) ** 2 / (2 * MASS)
    np.testing.assert_allclose(box.energies, exact, rtol=1e-12)
    circle = mechanics.Grid([0.0], [2 * np.pi], 16, periodic=True)
    ring = mechanics.schrodinger_eigenstates(jnp.zeros(16), circle, states=5, flux=0.3, **PHYSICS)
    exact = np.sort(HBAR**2 * (np.arange(-7, 8) + 0.3) ** 2 / (2 * MASS))[:5]
    np.testing.assert_allclose(ring.energies, exact, rtol=1e-12)


def test_the_phase_of_a_state_of_a_ring_with_flux_turns_with_its_energy():
    circle = mechanics.Grid([0.0], [2 * np.pi], 16, periodic=True)
    wave = np.exp(2j * np.asarray(circle.axes[0]))
    run = mechanics.schrodinger_evolve(wave, jnp.zeros(16), circle, dt=0.5, steps=3, flux=0.3, **PHYSICS)
    energy = HBAR**2 * 2.3**2 / (2 * MASS)
    np.testing.assert_allclose(run.psi[-1], wave * np.exp(-1j * energy * 1.5 / HBAR), atol=1e-13)
    J = mechanics.probability_current(wave, circle, flux=0.3, **PHYSICS)
    np.testing.assert_allclose(np.ravel(J), HBAR * 2.3 / MASS, rtol=1e-12)
    assert float(mechanics.winding_number(wave, np.arange(8.0)[:, None] * np.pi / 4, circle)) == pytest.approx(2)
    loop = np.arange(8.0)[:, None] * np.pi / 4
    turned = mechanics.circulation(mechanics.wave_velocity(wave, circle, **PHYSICS), loop, mass=MASS, grid=circle)
    assert float(turned) == pytest.approx(2 * 2 * np.pi * HBAR, rel=1e-12)


@jax.jit
def vortex(psi, loop):
    """Windings, quanta of circulation, angular momentum over ħ."""
    circulation = mechanics.circulation(mechanics.wave_velocity(psi, PLANE, **PHYSICS), loop, mass=MASS)
    turning = mechanics.angular_momentum(psi, PLANE, hbar=HBAR)
    return mechanics.winding_number(psi, loop, PLANE), circulation / (2 * np.pi * HBAR), turning / HBAR


@pytest.mark.parametrize("charge", [1, -1, 2])
def test_circulation_of_a_vortex_is_a_whole_number_of_quanta_and_stays_so(charge):
    q = np.asarray(PLANE.coordinates)
    z = (q[..., 0] + 1j * np.sign(charge) * q[..., 1]) ** abs(charge)
    psi = z * np.exp(-MASS * OMEGA / (2 * HBAR) * np.sum(q**2, axis=-1))
    angle = 2 * np.pi * np.arange(40) / 40
    loop = 1.1 * np.stack([np.cos(angle), np.sin(angle)], axis=-1) + 0.2
    V = 0.5 * MASS * OMEGA**2 * np.sum(q**2, axis=-1)
    run = mechanics.schrodinger_evolve(psi, V, PLANE, dt=0.1, steps=10, **PHYSICS)
    for now in run.psi:
        turns, quanta, turning = vortex(now, loop)
        assert float(turns) == pytest.approx(charge, abs=1e-12)
        assert float(quanta) == pytest.approx(charge, abs=1e-9)  # the Fourier series of the loop, 40 points
        assert float(turning) == pytest.approx(charge, abs=1e-9)
    assert float(vortex(psi, loop + 3.0)[0]) == pytest.approx(0, abs=1e-12)


def test_probability_is_conserved_locally():
    """∂p/∂t = -∇·J, with ∂ψ/∂t from the Hamiltonian: both sides by the same Fourier series."""
    psi = mechanics.gaussian_wave_packet(PLANE, [0.3, -0.4], [0.55, 0.6], [0.5, -0.2], hbar=HBAR)
    V = np.sum(np.asarray(PLANE.coordinates) ** 2, axis=-1)

    @jax.jit
    def left(psi):
        rate = mechanics.hamiltonian(psi, V, PLANE, **PHYSICS) / (1j * HBAR)
        J = mechanics.probability_current(psi, PLANE, **PHYSICS)
        return 2 * (jnp.conj(psi) * rate).real + mechanics.spectral_divergence(J, PLANE)

    assert float(jnp.max(jnp.abs(left(psi)))) < 1e-6  # the tails of the packet at the ends


def test_three_variables_walls_and_single_precision():
    grid = mechanics.Grid(np.float32([-4.0] * 3), np.float32([4.0] * 3), 12, periodic=(True, False, True))
    psi = mechanics.gaussian_wave_packet(grid, 0.0, 0.8, [0.0, 0.0, 0.5], hbar=1.0)
    V = 0.5 * np.sum(np.asarray(grid.coordinates) ** 2, axis=-1)
    run = mechanics.schrodinger_evolve(psi, V, grid, hbar=1.0, mass=1.0, dt=0.05, steps=4)
    assert psi.dtype == run.psi.dtype == jnp.complex64
    assert run.times.dtype == mechanics.schrodinger_energy(psi, V, grid, hbar=1.0, mass=1.0).dtype == jnp.float32
    np.testing.assert_allclose(mechanics.norm(run.psi, grid), 1, rtol=1e-5)  # float32
    turning = mechanics.angular_momentum(run.psi[-1], grid, hbar=1.0)
    np.testing.assert_allclose(turning, np.zeros(3), atol=1e-4)  # moves through the centre


def test_refuses_by_name():
    psi = jnp.ones(64)
    for call, message in (
        (lambda: mechanics.schrodinger_evolve(psi[1:], psi, RING, dt=1, steps=1, **PHYSICS), "`psi` must have shape"),
        (lambda: mechanics.schrodinger_evolve(psi, psi[1:], RING, dt=1, steps=1, **PHYSICS), "`potential` must have"),
        (lambda: mechanics.schrodinger_evolve(psi, psi, RING, dt=1, steps=1, order=3, **PHYSICS), "`order` must be"),
        (lambda: mechanics.schrodinger_evolve(psi, psi, RING, dt=1, steps=5, save_every=2, **PHYSICS), "`save_every`"),
        (lambda: mechanics.schrodinger_eigenstates(psi, RING, states=65, **PHYSICS), "`states` must lie"),
        (lambda: mechanics.angular_momentum(psi, RING, hbar=1.0), "`grid` must have two or three"),
        (lambda: mechanics.circulation(psi, np.ones((4, 1)), mass=1.0), "`grid` must be given"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    walls = mechanics.Grid([0.0], [1.0], 64)
    with pytest.raises(ValueError, match="`flux` must be None between walls"):
        mechanics.schrodinger_evolve(psi, psi, walls, dt=1, steps=1, flux=0.5, **PHYSICS)
