"""Every argument of every public function of mechanics refuses what it cannot be, by its name, before it compiles."""

import inspect

import jax
import numpy as np
import pytest

from nnthermo import mechanics

GRID = mechanics.Grid([0.0], [1.0], 4, periodic=True)
PLANE = mechanics.Grid([0.0, 0.0], [1.0, 1.0], 3, periodic=True)
GENERATOR = mechanics.fokker_planck_generator(GRID, diffusion=1.0)
KEY, ONE, TIMES, LOOP = jax.random.key(0), np.ones(4), np.arange(8.0), np.zeros((3, 1))
SERIES, U = np.ones((8, 4)), np.ones((4, 1))
WAVES, FLOW = {"hbar": 1.0, "mass": 1.0}, {"planck_squared": 1.0, "mass": 1.0}
ACTION = {"diffusion": 1.0, "gamma": 1.0, "multiplier": 1.0, "keep": "all"}
SUMS = {"log_Z": ONE, "beta": 1.0, "numbers": np.arange(4)}
FIELD = {"values": ONE, "grid": GRID}


def _(*_):
    """A function that nobody comes to call."""


VALID = {
    "action_gradient": {"p": SERIES, "F": SERIES, "times": TIMES, "grid": GRID},
    "addition_energy": SUMS,
    "adiabatic_drift_diffusion": {"key": KEY, "energy": _, "q": ONE, "x0": U, "beta": 1.0, "dt": 1.0, "steps": 2,
                                  "burn_in": 0, "gamma": 1.0, "mobility": 1.0, "sign": 1, "lags": 1, "window": 1.0},
    "angular_momentum": {"psi": np.ones((3, 3)), "grid": PLANE, "hbar": 1.0, "center": 0.0, "flux": 0.0},
    "born_samples": {"key": KEY, "psi": ONE, "grid": GRID, "count": 1},
    "chemical_potential": SUMS | {"mean_number": 1.0, "iterations": 1},
    "chemical_potential_from_planck_constant": {"hbar": 1.0},
    "circulation": {"velocity": U, "loop": LOOP, "mass": 1.0, "grid": GRID},
    "coherent_state": {"grid": GRID, "center": 0.0, "momentum": 0.0, "frequency": 1.0} | WAVES,
    "density_and_phase": {"plus": ONE, "minus": ONE, "planck_squared": -1.0},
    "duality_defects": {"report": mechanics.Duality(*[np.ones(1)] * 6), "loss": _, "q": ONE, "states": np.ones((2, 1)),
                        "weights": np.ones(2) / 2},
    "duality_report": {"log_partition": _, "beta": 1.0, "q": ONE, "source": ONE},
    "effective_planck_squared": ACTION,
    "entropy_balance": {"p": ONE, "generator": GENERATOR},
    "entropy_production": {"p": ONE, "free_energy": ONE, "grid": GRID, "gamma": 1.0, "diffusion": 1.0, "sign": 1,
                           "drift": U},
    "estimate_planck_squared": {"densities": SERIES, "velocities": SERIES[..., None], "times": TIMES, "grid": GRID,
                                "mass": 1.0, "potential": ONE, "floor": 0.1, "block": 1},
    "exchanged_neurons": {"free_energy": ONE, "mu": 1.0},
    "fokker_planck_evolve": {"p0": ONE, "generator": GENERATOR, "times": TIMES, "steps": 1},
    "fokker_planck_generator": {"grid": GRID, "free_energy": ONE, "gamma": 1.0, "diffusion": 1.0, "sign": 1,
                                "drift": U},
    "free_energy_branches": {"free_energy": ONE, "mu": 1.0, "exchanged": np.arange(2)},
    "free_energy_production": {"p": ONE, "free_energy": ONE, "grid": GRID, "gamma": 1.0, "diffusion": 1.0, "sign": 1,
                               "drift": U, "rate_of_change": ONE},
    "gaussian_wave_packet": {"grid": GRID, "center": 0.0, "width": 0.2, "momentum": 0.0, "hbar": 1.0},
    "gradient_noise": {"per_sample_gradients": SERIES},
    "grand_canonical": SUMS | {"mu": 0.0},
    "grand_partition_function": SUMS | {"mu": 0.0},
    "grand_potential": SUMS | {"mu": 0.0},
    "green_kubo_diffusion": {"force_series": np.ones((9, 2, 1)), "dt": 1.0, "gamma": 1.0, "lags": 1, "window": 1.0},
    "hamiltonian": {"psi": ONE, "potential": ONE, "grid": GRID, "flux": 0.0} | WAVES,
    "heat_pair": {"p": ONE, "F": ONE, "planck_squared": -1.0},
    "inverse_laplacian": FIELD,
    "langevin_ensemble": {"key": KEY, "drift": _, "q0": U, "diffusion": 1.0, "times": TIMES, "steps": 1, "chunk": 1},
    "learning_coefficient": ACTION,
    "madelung_energy": {"p": ONE, "velocity": U, "potential": ONE, "grid": GRID} | FLOW,
    "madelung_evolve": {"log_amplitude": ONE, "velocity": U, "potential": ONE, "grid": GRID, "dt": 1.0, "steps": 1,
                        "save_every": 1} | FLOW,
    "madelung_from_wavefunction": {"psi": ONE, "grid": GRID, "flux": 0.0} | WAVES,
    "madelung_residual": {"log_density": _, "phase": _, "potential": _, "q": ONE, "t": 0.0} | FLOW,
    "madelung_rhs": {"log_amplitude": ONE, "velocity": U, "potential": ONE, "grid": GRID} | FLOW,
    "matched_batch_size": {"gradient_covariance": 1.0, "learning_rate": 1.0, "multiplier": 1.0, "mu": 1.0},
    "matched_chemical_potential": {"gradient_covariance": 1.0, "learning_rate": 1.0, "batch_size": 1, "multiplier": 1},
    "matched_learning_rate": {"gradient_covariance": 1.0, "batch_size": 1.0, "multiplier": 1.0, "mu": 1.0},
    "mean_neuron_number": SUMS | {"mu": 0.0},
    "modified_diffusion_matrix": {"diffusion": np.eye(2), "hessian": np.eye(2), "learning_rate": 1.0},
    "modified_drift": {"loss": _, "learning_rate": 1.0},
    "modified_loss": {"loss": _, "learning_rate": 1.0},
    "nelson_drift": {"log_psi": _} | WAVES,
    "nelson_drift_on_grid": {"psi": SERIES, "times": TIMES, "grid": GRID} | WAVES,
    "nelson_ensemble": {"key": KEY, "drift": _, "q0": U, "times": TIMES, "steps": 1} | WAVES,
    "neuron_number_distribution": SUMS | {"mu": 0.0},
    "neuron_number_variance": SUMS | {"mu": 0.0},
    "norm": {"psi": ONE, "grid": GRID},
    "ornstein_uhlenbeck_moments": {"drift_matrix": 1.0, "diffusion_matrix": 1.0, "mean0": ONE, "covariance0": 1.0,
                                   "time": 1.0},
    "oscillator_vortex": {"q": np.ones(2), "winding": 1.0, "time": 0.0, "frequency": 1.0} | WAVES,
    "planck_constant": {"diffusion": 1.0, "gamma": 1.0, "multiplier": 1.0},
    "planck_constant_from_chemical_potential": {"mu": 1.0},
    "planck_squared_from_samples": {"samples": np.ones((8, 12)), "times": TIMES, "key": KEY, "mass": 1.0, "degree": 2,
                                    "time_degree": 2, "resamples": 2, "interval": (0.0, 2.0), "points": 8},
    "planck_squared_from_widths": {"samples": np.ones((8, 12)), "times": TIMES, "key": KEY, "mass": 1.0,
                                   "resamples": 2},
    "probability_current": {"psi": ONE, "grid": GRID, "flux": 0.0} | WAVES,
    "quantum_potential": {"p": ONE, "grid": GRID} | FLOW,
    "schrodinger_bridge": {"p0": ONE, "p1": ONE, "grid": GRID, "planck_squared": -1.0, "mass": 1.0, "duration": 1.0,
                           "records": 2, "potential": ONE, "iterations": 1, "tolerance": 1.0, "steps": 1},
    "schrodinger_eigenstates": {"potential": ONE, "grid": GRID, "states": 1, "flux": 0.0, "iterations": 1} | WAVES,
    "schrodinger_energy": {"psi": ONE, "potential": ONE, "grid": GRID, "flux": 0.0} | WAVES,
    "schrodinger_evolve": {"psi": ONE, "potential": ONE, "grid": GRID, "dt": 1.0, "steps": 1, "order": 2,
                           "save_every": 1, "flux": 0.0, "start": 0.0} | WAVES,
    "sgd_diffusion_matrix": {"per_sample_gradients": SERIES, "learning_rate": 1.0, "batch_size": 1},
    "shannon_entropy": {"p": ONE, "grid": GRID},
    "shifted_phase": {"p": ONE, "F": ONE} | ACTION,
    "single_valuedness_defect": {"mu": 1.0, "hbar": 1.0},
    "spectral_derivative": FIELD | {"axis": 0, "order": 1, "odd": ()},
    "spectral_divergence": {"vectors": U, "grid": GRID},
    "spectral_gradient": FIELD | {"odd": ()},
    "spectral_interpolate": FIELD | {"places": LOOP, "odd": ()},
    "spectral_laplacian": FIELD | {"odd": ()},
    "stationary_density": {"grid": GRID, "free_energy": ONE, "gamma": 1.0, "diffusion": 1.0, "sign": 1},
    "stationary_entropy_production_action": {"p": SERIES, "F": SERIES, "times": TIMES, "grid": GRID, "potential": ONE,
                                             "mean_gradient": np.zeros(1)} | ACTION,
    "time_derivative": {"values": SERIES, "times": TIMES},
    "two_thirds_filter": FIELD | {"odd": ()},
    "unshifted_phase": {"p": ONE, "F": ONE} | ACTION,
    "unwrap_free_energy": {"free_energy": ONE, "mu": 1.0},
    "velocity_from_densities": {"densities": SERIES, "times": TIMES, "grid": GRID, "iterations": 1},
    "wave_velocity": {"psi": ONE, "grid": GRID, "flux": 0.0} | WAVES,
    "wavefunction_from_madelung": {"p": ONE, "velocity": U, "grid": GRID} | WAVES,
    "wavefunction_from_phase": {"p": ONE, "F": ONE, "hbar": 1.0},
    "winding_number": {"psi": ONE, "loop": LOOP, "grid": GRID},
}  # fmt: skip

FLAGS = {"ito", "dense", "replace", "solver", "terms"}  # truth values; a solver of another library; keywords of others
WRONG = {
    "grid": ("a nnthermo.mechanics.Grid", (None, ONE, (4,))),
    "generator": ("a Generator", (None, ONE, GRID)),
    "key": ("a random key", (None, 3, 0.5, ONE)),
    **dict.fromkeys(
        ("energy", "loss", "log_partition", "log_density", "phase", "log_psi"), ("a function", (None, 1.0))
    ),
}
FUNCTIONS = [name for name in dir(mechanics) if inspect.isfunction(getattr(mechanics, name))]


def test_the_table_is_whole():
    assert set(VALID) == set(FUNCTIONS)
    for name, arguments in VALID.items():
        parameters = set(inspect.signature(getattr(mechanics, name)).parameters)
        assert set(arguments) == parameters - FLAGS, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_objects_are_refused_by_name(name):
    call = getattr(mechanics, name)
    for argument in VALID[name]:
        kind, values = WRONG.get(argument, ("", ()))
        for wrong in (object(), "a word", *values):
            sentence = f"`{argument}` must {'be ' if kind else ''}{kind}"
            if name == "circulation" and wrong is None:
                continue  # a velocity that is a function needs no grid
            with pytest.raises((TypeError, ValueError), match=sentence):
                call(**VALID[name] | {argument: wrong})


def test_ensembles_are_traced_once_a_function():
    """A second time at most to see what it returns; new numbers of a `Partial` are numbers."""
    pytest.importorskip("diffrax")
    calls = {"drift": 0, "diffusion": 0, "nelson": 0}

    def drift(q):
        calls["drift"] += 1
        return -q

    def diffusion(q):
        calls["diffusion"] += 1
        return 0.1 * q**2

    def slope(a, q, t):
        calls["nelson"] += 1
        return -a * q + 0 * t

    q0, times, seen = np.ones((2, 1)), np.array([0.0, 0.1]), []
    for k, a in enumerate((1.0, 2.0, 3.0)):
        before = dict(calls)
        mechanics.langevin_ensemble(jax.random.key(k), drift, q0 + k, diffusion, times, steps=1)
        walk = jax.tree_util.Partial(slope, np.array(a))
        end = mechanics.nelson_ensemble(jax.random.key(1), walk, q0, times, hbar=1.0 + k, mass=2.0)
        seen.append(({name: calls[name] - before[name] for name in calls}, end[-1]))
    for counts, _end in seen[1:]:
        assert counts["drift"] <= 1
        assert counts["diffusion"] == 0
        assert counts["nelson"] <= 1
    assert not np.allclose(seen[1][1], seen[2][1])
