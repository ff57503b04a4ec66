"""Bad input to mechanics: a sentence that names it, NaN, or a number that says so; never a plausible wrong curve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics

RING = mechanics.Grid([-8.0], [8.0], 64, periodic=True)  # fastest wave number 12.6
PHYSICS = {"hbar": 1.0, "mass": 1.0}


def swing(momentum, order=2, dt=0.01, steps=100, grid=RING):
    """A coherent state in an oscillator with a period of 2π, from the centre, and the largest error of ⟨q⟩."""
    V = 0.5 * grid.axes[0] ** 2
    psi = mechanics.coherent_state(grid, 0.0, momentum, frequency=1.0, **PHYSICS)
    run = mechanics.schrodinger_evolve(psi, V, grid, dt=dt, steps=steps, order=order, save_every=steps // 2, **PHYSICS)
    mean = grid.integrate(jnp.abs(run.psi) ** 2 * grid.axes[0][None])
    return run, float(jnp.max(jnp.abs(mean - momentum * jnp.sin(run.times))))


def test_tail_tells_waves_that_the_grid_does_not_hold():
    held, error = swing(3.0)
    assert float(held.tail.max()) < 1e-12
    assert error < 1e-3  # dt²
    lost, error = swing(12.0)
    assert error > 1.0
    assert float(lost.tail.max()) > 0.1
    np.testing.assert_allclose(mechanics.norm(lost.psi, RING), 1, rtol=1e-12)  # which does not tell
    k = 2 * jnp.pi / 16 * RING.axes[0]
    wave = jnp.cos(20 * k) + jnp.cos(22 * k)
    still = mechanics.schrodinger_evolve(wave, jnp.zeros(64), RING, dt=0.01, steps=100, save_every=50, **PHYSICS)
    np.testing.assert_allclose(still.tail, 0.5, rtol=1e-12)  # 64/3 lies between 20 and 22


def test_tail_between_walls_and_phase_of_every_potential():
    box = mechanics.Grid([0.0], [1.0], 12)
    psi = jnp.sin(9 * jnp.pi * box.axes[0]) + jnp.sin(2 * jnp.pi * box.axes[0])  # of 12 waves 8 are held
    V = jnp.where(jnp.arange(12) < 6, 3.0, 1.0)
    run = mechanics.schrodinger_evolve(psi, V, box, dt=1e-9, steps=1, **PHYSICS)
    np.testing.assert_allclose(run.tail, 0.5, rtol=1e-6)
    np.testing.assert_allclose(run.phase, 1e-9 * np.pi**2 * (81 - 4) / 2, rtol=1e-6)
    for potential in (500 * V, lambda t: 500 * V + 0 * t):
        run = mechanics.schrodinger_evolve(psi, potential, box, dt=-1e-9, steps=1, **PHYSICS)
        np.testing.assert_allclose(run.phase, 1e-9 * 1000, rtol=1e-6)


@pytest.mark.parametrize("order", [2, 4])
def test_phase_tells_steps_that_are_too_long(order):
    fine, error = swing(2.0, order)
    assert float(fine.phase.max()) < 0.5
    assert error < 1e-3  # dt², and ten times less for order 4
    long, error = swing(2.0, order, dt=2.5, steps=4)  # beyond 2/ω, where the leapfrog of order 2 grows
    assert float(long.phase.max()) > np.pi
    assert error > 0.02  # of an amplitude of 2


def test_broken_wave_functions_stay_broken():
    for value in (jnp.nan, 0.0):
        run = mechanics.schrodinger_evolve(jnp.full(64, value), jnp.zeros(64), RING, dt=0.01, steps=100, **PHYSICS)
        assert bool(jnp.isnan(run.tail).all())
    sick = mechanics.schrodinger_evolve(jnp.ones(64).at[3].set(jnp.nan), jnp.zeros(64), RING, dt=0.01, steps=100,
                                        **PHYSICS)  # fmt: skip
    assert bool(jnp.isnan(sick.psi[-1]).any() & jnp.isnan(sick.phase).all())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_added_diffusion_of_neighbours_is_that_of_scharfetter_and_gummel(dtype):
    grid = mechanics.Grid(np.zeros(2, dtype), np.array([4.0, 2.0], dtype), (8, 5), periodic=(False, True))
    b, D = np.array([0.7, -0.2], dtype), np.array([0.1, 0.4], dtype)
    drift = jnp.broadcast_to(jnp.asarray(b), (8, 5, 2))
    A = mechanics.fokker_planck_generator(grid, drift=drift, diffusion=D)
    z = np.abs(b) * np.asarray(grid.spacing) / D
    exact = z / 2 / np.tanh(z / 2) - 1
    slack = 50 * float(jnp.finfo(dtype).eps)  # rounding beside 1
    np.testing.assert_allclose(A.added_diffusion(), exact, atol=slack, rtol=slack)
    p = jnp.zeros((8, 5), dtype).at[3, 2].set(1)
    np.testing.assert_allclose(A.added_diffusion(p), exact, atol=slack, rtol=slack)
    wind = mechanics.fokker_planck_generator(grid, drift=drift, diffusion=np.array([0.0, 0.4], dtype))
    assert float(wind.added_diffusion()[0]) == np.inf
    calm = mechanics.fokker_planck_generator(grid, diffusion=np.array([0.0, 0.4], dtype))
    np.testing.assert_allclose(calm.added_diffusion(), 0, atol=slack)


def test_added_diffusion_of_long_jumps():
    grid = mechanics.Grid([0.0, 0.0], [4.0, 4.0], 8, periodic=True)
    skew = np.array([[1.0, 0.57], [0.57, 0.36]])
    still = mechanics.fokker_planck_generator(grid, diffusion=skew)
    assert max(max(abs(s) for s in e) for e in still.offsets) > 1
    np.testing.assert_allclose(still.added_diffusion(), 0, atol=1e-12)
    b, h = 400.0, 0.5  # far beyond 2D/h along every step: then the jumps are the drift's, each one as long as it is
    A = mechanics.fokker_planck_generator(grid, drift=jnp.full((8, 8, 2), b), diffusion=skew)
    rates = np.asarray(A.forward + A.backward)[:, 0, 0] / 2
    found = np.einsum("m,mk->k", rates, np.square(A.offsets)) * h**2 / np.diag(skew) - 1
    np.testing.assert_allclose(A.added_diffusion(), found, rtol=1e-12)
    assert (found > 50).all()
    slim = np.array([[4.0, 2.0], [2.0, 1.0]])  # an eigenvalue of 0 is raised to 0.05, along (1, -2)/√5
    line = mechanics.fokker_planck_generator(grid, diffusion=slim)
    np.testing.assert_allclose(line.added_diffusion(), [0.01 / 4, 0.04], rtol=1e-9)


def test_fluid_with_a_node_is_not_valid():
    """cos q has nodes; a fluid that starts with one, exact or smoothed, must not be believed."""
    ring = mechanics.Grid([0.0], [2 * np.pi], 32, periodic=True)

    @jax.jit
    def run(C):
        flow = mechanics.madelung_evolve(C, jnp.zeros((32, 1)), jnp.zeros(32), ring, planck_squared=1.0, mass=1.0,
                                         dt=1e-3, steps=20)  # fmt: skip
        return flow.valid, flow.tail

    smooth, _ = run(0.1 * jnp.cos(ring.axes[0]))
    assert bool(smooth.all())
    for floor in (0.0, 1e-30, 1e-6):
        valid, _ = run(0.5 * jnp.log(jnp.cos(ring.axes[0]) ** 2 + floor))
        assert not bool(valid[0])
        assert not bool(valid[-1])
    _, u = mechanics.madelung_from_wavefunction(jnp.sin(ring.axes[0]), ring, hbar=1.0, mass=1.0)
    Q = mechanics.quantum_potential(jnp.sin(ring.axes[0]) ** 2, ring, planck_squared=1.0, mass=1.0)
    assert not bool(jnp.isfinite(u).all() & jnp.isfinite(Q).all())


WALLS = mechanics.Grid([-2.0], [2.0], 16)
BELL = jnp.exp(-(WALLS.axes[0] ** 2))
SIGNED = BELL.at[3].set(-0.1)
TIMES = jnp.array([0.0, 2.0, 1.0])
KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mechanics.fokker_planck_evolve(
            SIGNED, mechanics.fokker_planck_generator(WALLS, diffusion=1.0), TIMES), "`p0` must not be negative"),
        (lambda: mechanics.langevin_ensemble(
            KEY, lambda q: -q, np.ones((2, 2)), np.array([[1, 0.5], [0, 1]]), [0, 1.0], steps=1),
         "`diffusion` must be symmetric"),
        (lambda: mechanics.ornstein_uhlenbeck_moments(1.0, -1.0, [1.0], 1.0, 1.0), "`diffusion_matrix` must have no"),
        (lambda: mechanics.ornstein_uhlenbeck_moments(1.0, 1.0, [1.0], -1.0, 1.0), "`covariance0` must have no"),
        (lambda: mechanics.ornstein_uhlenbeck_moments(1.0, 1.0, [1.0], 1.0, -1.0), "`time` must not be negative"),
        (lambda: mechanics.nelson_ensemble(KEY, lambda q, _: -q, np.ones((2, 1)), TIMES, **PHYSICS), "`times` must"),
        (lambda: mechanics.nelson_ensemble(KEY, lambda q, _: q[0], np.ones((2, 2)), TIMES[:2], **PHYSICS),
         "`drift` must return"),
        (lambda: mechanics.nelson_drift_on_grid(jnp.ones((3, 64)), np.array([0.0, 2.0, 1.0]), RING, **PHYSICS),
         "`times` must increase or"),
        (lambda: mechanics.born_samples(KEY, jnp.zeros(64), RING, 2), "`psi` must be finite and not zero"),
        (lambda: mechanics.schrodinger_evolve(
            BELL, BELL, WALLS, hbar=[1.0, 2.0], mass=1.0, dt=1.0, steps=1), "`hbar` must have shape"),
        (lambda: mechanics.schrodinger_evolve(
            jnp.ones(64), jnp.ones(64), RING, dt=1.0, steps=1, flux=[0.1, 0.2], **PHYSICS), "`flux` must be a number"),
        (lambda: mechanics.hamiltonian(BELL, BELL[1:], WALLS, **PHYSICS), "`potential` must have shape"),
        (lambda: mechanics.hamiltonian(BELL, BELL, WALLS, hbar=1.0, mass=-1.0), "`mass` must be positive"),
        (lambda: mechanics.probability_current(BELL, WALLS, hbar=1.0, mass=0.0), "`mass` must be positive"),
        (lambda: mechanics.quantum_potential(BELL, WALLS, planck_squared=1.0, mass=-1.0), "`mass` must be positive"),
        (lambda: mechanics.madelung_energy(BELL, BELL, BELL, WALLS, planck_squared=1.0, mass=1.0), "`velocity` must"),
        (lambda: mechanics.schrodinger_bridge(
            BELL, BELL, WALLS, planck_squared=-1.0, mass=1.0, duration=1.0, steps=0, potential=BELL), "`steps` must"),
        (lambda: mechanics.velocity_from_densities(jnp.stack([BELL] * 3), TIMES, WALLS), "`times` must increase"),
        (lambda: mechanics.unwrap_free_energy(TIMES, 0.0), "`mu` must not be 0"),
        (lambda: mechanics.exchanged_neurons(TIMES * jnp.nan, 1.0), "`free_energy` must be finite"),
        (lambda: mechanics.spectral_derivative(BELL, WALLS, 0, order=-1), "`order` must be positive"),
        (lambda: mechanics.spectral_gradient(BELL, WALLS, odd=(1,)), "`odd` must be a variable of the grid, 0 to 0"),
        (lambda: mechanics.gaussian_wave_packet(WALLS, [0.0, 1.0], 1.0, hbar=1.0), "`center` must be a number or have"),
        (lambda: mechanics.coherent_state(WALLS, 0.0, frequency=[1.0, 2.0], **PHYSICS), "`frequency` must be a number"),
        (lambda: mechanics.estimate_planck_squared(
            jnp.stack([BELL] * 5), None, jnp.arange(5.0), WALLS, potential=jnp.ones(5)), "`potential` must have shape"),
        (lambda: mechanics.free_energy_production(SIGNED, BELL, WALLS, gamma=1.0, diffusion=1.0), "`p` must not be"),
        (lambda: mechanics.learning_coefficient(1.0, 1.0, 0.0, keep="learning"), "`multiplier` must not be 0"),
        (lambda: mechanics.born_samples(jax.random.split(KEY), BELL, WALLS, 2), "`key` must be one random key"),
    ],
)  # fmt: skip
def test_refuses_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_negative_densities_give_nan():
    assert bool(jnp.isnan(mechanics.shannon_entropy(SIGNED, WALLS)))
    p, F = mechanics.density_and_phase(-BELL, -BELL, planck_squared=-1.0)
    assert bool(jnp.isnan(p).all() & jnp.isnan(F).all())
    traced = jax.jit(lambda p: mechanics.free_energy_production(p, BELL, WALLS, gamma=1.0, diffusion=1.0))
    assert bool(jnp.isnan(traced(SIGNED).total))


def test_ensembles_step_as_the_solver_of_the_library_does():
    diffrax = pytest.importorskip("diffrax")
    D = np.array([[0.5, 0.2], [0.2, 0.3]])

    def run(solver):
        return mechanics.langevin_ensemble(KEY, jnp.sin, np.ones((3, 2)), D, [0.0, 0.5], steps=3, solver=solver)

    np.testing.assert_allclose(run(None), run(diffrax.ShARK()), rtol=1e-13)  # the same noise: rounding
