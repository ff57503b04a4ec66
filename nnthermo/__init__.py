"""nnthermo: the statistical mechanics of learning as differentiable JAX functions.

A network, a state and a Hessian Ĝ; from Ĝ the partition function, and everything else by differentiation. Follows
V. Vanchurin, *Towards a theory of machine learning*, arXiv:2004.09280; equation numbers are those of that paper.
"""

import importlib
from typing import Any

from nnthermo.approximation import Approximation as Approximation
from nnthermo.approximation import approximation_report as approximation_report
from nnthermo.architecture import OptimalDestruction as OptimalDestruction
from nnthermo.architecture import TwoLevelBoundaries as TwoLevelBoundaries
from nnthermo.architecture import TwoLevelPoints as TwoLevelPoints
from nnthermo.architecture import eigenvalue_laplacian as eigenvalue_laplacian
from nnthermo.architecture import entropy_destruction as entropy_destruction
from nnthermo.architecture import integrated_eigenvalue_laplacian as integrated_eigenvalue_laplacian
from nnthermo.architecture import log_eigenvalue_laplacian as log_eigenvalue_laplacian
from nnthermo.architecture import network_free_energy as network_free_energy
from nnthermo.architecture import optimal_entropy_destruction as optimal_entropy_destruction
from nnthermo.architecture import parameter_laplacian as parameter_laplacian
from nnthermo.architecture import two_level_laplacian as two_level_laplacian
from nnthermo.architecture import two_level_phase_boundaries as two_level_phase_boundaries
from nnthermo.architecture import two_level_stationary_points as two_level_stationary_points
from nnthermo.canonical import Annealed as Annealed
from nnthermo.canonical import Box as Box
from nnthermo.canonical import CanonicalEnsemble as CanonicalEnsemble
from nnthermo.canonical import CanonicalEstimate as CanonicalEstimate
from nnthermo.canonical import Chains as Chains
from nnthermo.canonical import Estimate as Estimate
from nnthermo.canonical import Flat as Flat
from nnthermo.canonical import GaussianEnsemble as GaussianEnsemble
from nnthermo.canonical import WeightedSamples as WeightedSamples
from nnthermo.canonical import Window as Window
from nnthermo.canonical import ancestral as ancestral
from nnthermo.canonical import ancestral_samples as ancestral_samples
from nnthermo.canonical import annealed as annealed
from nnthermo.canonical import boltzmann as boltzmann
from nnthermo.canonical import gaussian_ensemble as gaussian_ensemble
from nnthermo.canonical import log_partition_difference as log_partition_difference
from nnthermo.canonical import maximum_entropy as maximum_entropy
from nnthermo.canonical import quadrature as quadrature
from nnthermo.canonical import sample as sample
from nnthermo.devices import data_mesh as data_mesh
from nnthermo.devices import map_over as map_over
from nnthermo.devices import replicate as replicate
from nnthermo.devices import shard as shard
from nnthermo.ensemble import BlockHessian as BlockHessian
from nnthermo.ensemble import DenseHessian as DenseHessian
from nnthermo.ensemble import Eigenmodes as Eigenmodes
from nnthermo.ensemble import Explanation as Explanation
from nnthermo.ensemble import LayeredHessian as LayeredHessian
from nnthermo.ensemble import MatrixFreeHessian as MatrixFreeHessian
from nnthermo.ensemble import RestrictedHessian as RestrictedHessian
from nnthermo.ensemble import bulk_hessian as bulk_hessian
from nnthermo.ensemble import eigenmodes as eigenmodes
from nnthermo.ensemble import explain as explain
from nnthermo.ensemble import hidden_neurons as hidden_neurons
from nnthermo.ensemble import log_partition as log_partition
from nnthermo.ensemble import mean_slopes as mean_slopes
from nnthermo.ensemble import mean_state as mean_state
from nnthermo.ensemble import restrict as restrict
from nnthermo.entropy_dynamics import carried_entropy_density as carried_entropy_density
from nnthermo.entropy_dynamics import entropy_density as entropy_density
from nnthermo.entropy_dynamics import liouville_density as liouville_density
from nnthermo.entropy_dynamics import liouville_flow as liouville_flow
from nnthermo.equilibrium import factorise as factorise
from nnthermo.equilibrium import split_error as split_error
from nnthermo.history import save_history as save_history
from nnthermo.history import to_dataset as to_dataset
from nnthermo.laplacians import Laplacian as Laplacian
from nnthermo.laplacians import laplacian as laplacian
from nnthermo.laplacians import second_derivatives as second_derivatives
from nnthermo.laplacians import weight_curvatures as weight_curvatures
from nnthermo.laplacians import weight_laplacian as weight_laplacian
from nnthermo.laws import first_law as first_law
from nnthermo.laws import second_law as second_law
from nnthermo.loss import QuadraticPotential as QuadraticPotential
from nnthermo.loss import UnboundedLossWarning as UnboundedLossWarning
from nnthermo.loss import boundary_loss as boundary_loss
from nnthermo.loss import bulk_loss as bulk_loss
from nnthermo.loss import local_potential as local_potential
from nnthermo.loss import pair_interaction as pair_interaction
from nnthermo.loss import total_potential as total_potential
from nnthermo.network import Conditions as Conditions
from nnthermo.network import CustomDerivativeWarning as CustomDerivativeWarning
from nnthermo.network import FeedForward as FeedForward
from nnthermo.network import FixedPoint as FixedPoint
from nnthermo.network import FixedPoints as FixedPoints
from nnthermo.network import Septuple as Septuple
from nnthermo.network import TracedNetwork as TracedNetwork
from nnthermo.network import fixed_points as fixed_points
from nnthermo.network import iterate as iterate
from nnthermo.network import network_from as network_from
from nnthermo.network import newton as newton
from nnthermo.neuron_number import free_neuron_log_partition as free_neuron_log_partition
from nnthermo.neuron_number import influence_order as influence_order
from nnthermo.neuron_number import nested_log_partition as nested_log_partition
from nnthermo.neuron_number import subset_log_partition as subset_log_partition
from nnthermo.neuron_number import width_log_partition as width_log_partition
from nnthermo.objective import FixedState as FixedState
from nnthermo.objective import Objective as Objective
from nnthermo.objective import mean_loss as mean_loss
from nnthermo.observables import Observables as Observables
from nnthermo.observables import StochasticObservables as StochasticObservables
from nnthermo.observables import measure as measure
from nnthermo.observables import thermodynamic_observer as thermodynamic_observer
from nnthermo.observers import combine as combine
from nnthermo.observers import equilibrium_observer as equilibrium_observer
from nnthermo.observers import on_data as on_data
from nnthermo.observers import on_mesh as on_mesh
from nnthermo.observers import state_observer as state_observer
from nnthermo.observers import weight_observer as weight_observer
from nnthermo.relaxation import Relaxation as Relaxation
from nnthermo.relaxation import relax as relax
from nnthermo.relaxation import relaxed_bulk_loss as relaxed_bulk_loss
from nnthermo.skewness import hyperbolic_skewness as hyperbolic_skewness
from nnthermo.skewness import moment_series as moment_series
from nnthermo.spectrum import Decomposition as Decomposition
from nnthermo.spectrum import Gap as Gap
from nnthermo.spectrum import LogSpectrum as LogSpectrum
from nnthermo.spectrum import beta_from_gap as beta_from_gap
from nnthermo.spectrum import beta_from_loss as beta_from_loss
from nnthermo.spectrum import complexity as complexity
from nnthermo.spectrum import decompose as decompose
from nnthermo.spectrum import displaced_count as displaced_count
from nnthermo.spectrum import log_eigenvalues as log_eigenvalues
from nnthermo.spectrum import spectral_trace as spectral_trace
from nnthermo.spectrum import thermodynamic_entropy as thermodynamic_entropy
from nnthermo.spectrum import thermodynamic_free_energy as thermodynamic_free_energy
from nnthermo.stochastic_spectrum import StochasticSpectrum as StochasticSpectrum
from nnthermo.stochastic_spectrum import TraceEstimate as TraceEstimate
from nnthermo.stochastic_spectrum import stochastic_spectrum as stochastic_spectrum
from nnthermo.stopping import LearningEquilibrium as LearningEquilibrium
from nnthermo.stopping import Reached as Reached
from nnthermo.stopping import Stopped as Stopped
from nnthermo.stopping import all_of as all_of
from nnthermo.stopping import any_of as any_of
from nnthermo.thermodynamics import Thermodynamics as Thermodynamics
from nnthermo.thermodynamics import average_loss as average_loss
from nnthermo.thermodynamics import entropy as entropy
from nnthermo.thermodynamics import free_energy as free_energy
from nnthermo.thermodynamics import gaussian_entropy as gaussian_entropy
from nnthermo.thermodynamics import heat_capacity as heat_capacity
from nnthermo.thermodynamics import sweep as sweep
from nnthermo.thermodynamics import thermodynamic_functions as thermodynamic_functions

__version__ = "0.1.0"

_LATER = {  # modules that load Optax, Flax, optional packages or much else are imported when first asked for
    "train": "nnthermo.training",
    "TrainResult": "nnthermo.training",
    "log_spaced_epochs": "nnthermo.training",
    "Recorder": "nnthermo.recording",
    "TensorBoard": "nnthermo.recording",
    "soft_threshold": "nnthermo.sparsity",
    "Checkpoint": "nnthermo.checkpoint",
    "StateEnsemble": "nnthermo.emergent_spacetime",
    "boundary_plane": "nnthermo.emergent_spacetime",
    "gaussian_state_ensemble": "nnthermo.emergent_spacetime",
    "noisy_state_ensemble": "nnthermo.emergent_spacetime",
    "noisy_states": "nnthermo.emergent_spacetime",
    "weight_path": "nnthermo.emergent_spacetime",
    "MLP": "nnthermo.network.flax",
    "LinenMLP": "nnthermo.network.flax",
    "from_nnx": "nnthermo.network.flax",
    "to_nnx": "nnthermo.network.flax",
    "from_linen": "nnthermo.network.flax",
    "to_linen": "nnthermo.network.flax",
    "data": "nnthermo.data",
    "gravity": "nnthermo.gravity",
    "mechanics": "nnthermo.mechanics",
    "plotting": "nnthermo.plotting",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'nnthermo' has no attribute {name!r}")
    module = importlib.import_module(_LATER[name])
    return module if _LATER[name] == f"nnthermo.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
