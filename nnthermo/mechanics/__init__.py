"""Entropic mechanics: trainable variables that drift and diffuse, as Fokker-Planck, Madelung and Schrödinger dynamics.

Section 11 of arXiv:2004.09280 and the first half of V. Vanchurin, *Towards a theory of quantum gravity from neural
networks*, arXiv:2111.00903, which builds on arXiv:2008.01540 and arXiv:2012.05082. Of arXiv:2111.00903 the abstract and
the list of its sections were read, not the body: formulas for it are recalled or own derivations, each docstring says
which. Everything here takes functions or arrays of the trainable variables q, a free energy F(q), a potential V(q), and
knows nothing of networks.

Contents, in the order of the theory:

    ================  =================================================================================================
    grids             `grid`, `fourier`, `interpolation`
    learning noise    `diffusion` of mini-batches, `fast_neurons`
    densities         `generator` (by `jump_rates`, `stencil`), `fokker_planck`, `entropy_production`, and off the grid
                      `ornstein_uhlenbeck`, `langevin`
    action            `action` of stationary entropy production; `madelung`, its fluid; `bridge`, where ħ² < 0
    waves             `hamiltonian`, `schrodinger`, `eigenstates`, `wave_packets`, `currents`; back to fluids and
                      ensembles by `polar` and `nelson`
    ħ² from data      `density_flow`, `planck`; `planck_samples` (by `exponential_family`), `ermakov`
    neurons           `grand_canonical`, `chemical_potential`; `multivalued` and `matched_batch`, what μ says of ħ
    states as well    `duality`
    ================  =================================================================================================

Symbols: q trainable variables, γ (`gamma`) the learning rate of the drift, D (`diffusion`) with ∂p/∂t = D ∇²p, twice
smaller than the D of (11.5); λ (`multiplier`) the multiplier of free-energy production; ħ² (`planck_squared`), of
either sign. Entropies are in nats, time in steps of learning unless said otherwise.

Conventions:

    ==================  ===============================================================================================
    grid                first where the grid is what is built on (`fokker_planck_generator`, `stationary_density`, wave
                        packets); after the arrays on it elsewhere
    order               (p, F, times, grid) and (psi, potential, grid): arrays, the times of their records, the grid;
                        (key, drift, q0, times) and (p0, generator, times): times that are asked for come last
    steps               from each time to the next where times are given, else all, of length `dt`
    axes                (time or replicas, points, vector components)
    sign                drift = sign·γ∇F, -1 by default: descent. The action, its ħ² and its fluid have the paper's +1
    D or ħ/M            D of Fokker-Planck: √(2D) dW. Nelson and the bridge: √(ħ/M) dW, which is D = ħ/2M
    drift b(q)          `langevin_ensemble`, `modified_drift`; as an array (points, d), `fokker_planck_generator`
    drift b(q, t)       `nelson_drift`, `nelson_drift_on_grid`, `nelson_ensemble`
    errors              by the name of the argument: TypeError for another kind of object and for complex numbers where
                        real ones are meant, ValueError for shapes, keys, and for values where they are known
    ==================  ===============================================================================================
"""

from nnthermo.mechanics.action import ActionGradient as ActionGradient
from nnthermo.mechanics.action import action_gradient as action_gradient
from nnthermo.mechanics.action import effective_planck_squared as effective_planck_squared
from nnthermo.mechanics.action import learning_coefficient as learning_coefficient
from nnthermo.mechanics.action import planck_constant as planck_constant
from nnthermo.mechanics.action import shifted_phase as shifted_phase
from nnthermo.mechanics.action import stationary_entropy_production_action as stationary_entropy_production_action
from nnthermo.mechanics.action import unshifted_phase as unshifted_phase
from nnthermo.mechanics.bridge import SchrodingerBridge as SchrodingerBridge
from nnthermo.mechanics.bridge import density_and_phase as density_and_phase
from nnthermo.mechanics.bridge import heat_pair as heat_pair
from nnthermo.mechanics.bridge import schrodinger_bridge as schrodinger_bridge
from nnthermo.mechanics.chemical_potential import ChemicalPotential as ChemicalPotential
from nnthermo.mechanics.chemical_potential import chemical_potential as chemical_potential
from nnthermo.mechanics.currents import angular_momentum as angular_momentum
from nnthermo.mechanics.currents import circulation as circulation
from nnthermo.mechanics.currents import probability_current as probability_current
from nnthermo.mechanics.currents import wave_velocity as wave_velocity
from nnthermo.mechanics.currents import winding_number as winding_number
from nnthermo.mechanics.density_flow import time_derivative as time_derivative
from nnthermo.mechanics.density_flow import velocity_from_densities as velocity_from_densities
from nnthermo.mechanics.diffusion import modified_diffusion_matrix as modified_diffusion_matrix
from nnthermo.mechanics.diffusion import modified_drift as modified_drift
from nnthermo.mechanics.diffusion import modified_loss as modified_loss
from nnthermo.mechanics.diffusion import sgd_diffusion_matrix as sgd_diffusion_matrix
from nnthermo.mechanics.duality import Duality as Duality
from nnthermo.mechanics.duality import DualityDefects as DualityDefects
from nnthermo.mechanics.duality import duality_defects as duality_defects
from nnthermo.mechanics.duality import duality_report as duality_report
from nnthermo.mechanics.eigenstates import Eigenstates as Eigenstates
from nnthermo.mechanics.eigenstates import schrodinger_eigenstates as schrodinger_eigenstates
from nnthermo.mechanics.entropy_production import EntropyProduction as EntropyProduction
from nnthermo.mechanics.entropy_production import FreeEnergyProduction as FreeEnergyProduction
from nnthermo.mechanics.entropy_production import entropy_balance as entropy_balance
from nnthermo.mechanics.entropy_production import entropy_production as entropy_production
from nnthermo.mechanics.entropy_production import free_energy_production as free_energy_production
from nnthermo.mechanics.entropy_production import shannon_entropy as shannon_entropy
from nnthermo.mechanics.ermakov import WidthPlanck as WidthPlanck
from nnthermo.mechanics.ermakov import planck_squared_from_widths as planck_squared_from_widths
from nnthermo.mechanics.fast_neurons import AdiabaticDynamics as AdiabaticDynamics
from nnthermo.mechanics.fast_neurons import GreenKubo as GreenKubo
from nnthermo.mechanics.fast_neurons import adiabatic_drift_diffusion as adiabatic_drift_diffusion
from nnthermo.mechanics.fast_neurons import green_kubo_diffusion as green_kubo_diffusion
from nnthermo.mechanics.fokker_planck import Evolution as Evolution
from nnthermo.mechanics.fokker_planck import fokker_planck_evolve as fokker_planck_evolve
from nnthermo.mechanics.fokker_planck import stationary_density as stationary_density
from nnthermo.mechanics.fourier import inverse_laplacian as inverse_laplacian
from nnthermo.mechanics.fourier import spectral_derivative as spectral_derivative
from nnthermo.mechanics.fourier import spectral_divergence as spectral_divergence
from nnthermo.mechanics.fourier import spectral_gradient as spectral_gradient
from nnthermo.mechanics.fourier import spectral_laplacian as spectral_laplacian
from nnthermo.mechanics.fourier import two_thirds_filter as two_thirds_filter
from nnthermo.mechanics.generator import Generator as Generator
from nnthermo.mechanics.generator import fokker_planck_generator as fokker_planck_generator
from nnthermo.mechanics.grand_canonical import GrandCanonical as GrandCanonical
from nnthermo.mechanics.grand_canonical import addition_energy as addition_energy
from nnthermo.mechanics.grand_canonical import grand_canonical as grand_canonical
from nnthermo.mechanics.grand_canonical import grand_partition_function as grand_partition_function
from nnthermo.mechanics.grand_canonical import grand_potential as grand_potential
from nnthermo.mechanics.grand_canonical import mean_neuron_number as mean_neuron_number
from nnthermo.mechanics.grand_canonical import neuron_number_distribution as neuron_number_distribution
from nnthermo.mechanics.grand_canonical import neuron_number_variance as neuron_number_variance
from nnthermo.mechanics.grid import Grid as Grid
from nnthermo.mechanics.hamiltonian import hamiltonian as hamiltonian
from nnthermo.mechanics.hamiltonian import norm as norm
from nnthermo.mechanics.hamiltonian import schrodinger_energy as schrodinger_energy
from nnthermo.mechanics.interpolation import spectral_interpolate as spectral_interpolate
from nnthermo.mechanics.langevin import langevin_ensemble as langevin_ensemble
from nnthermo.mechanics.madelung import MadelungFlow as MadelungFlow
from nnthermo.mechanics.madelung import madelung_energy as madelung_energy
from nnthermo.mechanics.madelung import madelung_evolve as madelung_evolve
from nnthermo.mechanics.madelung import madelung_rhs as madelung_rhs
from nnthermo.mechanics.madelung import quantum_potential as quantum_potential
from nnthermo.mechanics.matched_batch import GradientNoise as GradientNoise
from nnthermo.mechanics.matched_batch import Matched as Matched
from nnthermo.mechanics.matched_batch import gradient_noise as gradient_noise
from nnthermo.mechanics.matched_batch import matched_batch_size as matched_batch_size
from nnthermo.mechanics.matched_batch import matched_chemical_potential as matched_chemical_potential
from nnthermo.mechanics.matched_batch import matched_learning_rate as matched_learning_rate
from nnthermo.mechanics.multivalued import OscillatorVortex as OscillatorVortex
from nnthermo.mechanics.multivalued import Unwrapped as Unwrapped
from nnthermo.mechanics.multivalued import (
    chemical_potential_from_planck_constant as chemical_potential_from_planck_constant,
)
from nnthermo.mechanics.multivalued import exchanged_neurons as exchanged_neurons
from nnthermo.mechanics.multivalued import free_energy_branches as free_energy_branches
from nnthermo.mechanics.multivalued import oscillator_vortex as oscillator_vortex
from nnthermo.mechanics.multivalued import (
    planck_constant_from_chemical_potential as planck_constant_from_chemical_potential,
)
from nnthermo.mechanics.multivalued import single_valuedness_defect as single_valuedness_defect
from nnthermo.mechanics.multivalued import unwrap_free_energy as unwrap_free_energy
from nnthermo.mechanics.nelson import born_samples as born_samples
from nnthermo.mechanics.nelson import nelson_drift as nelson_drift
from nnthermo.mechanics.nelson import nelson_drift_on_grid as nelson_drift_on_grid
from nnthermo.mechanics.nelson import nelson_ensemble as nelson_ensemble
from nnthermo.mechanics.ornstein_uhlenbeck import GaussianMoments as GaussianMoments
from nnthermo.mechanics.ornstein_uhlenbeck import ornstein_uhlenbeck_moments as ornstein_uhlenbeck_moments
from nnthermo.mechanics.planck import PlanckEstimate as PlanckEstimate
from nnthermo.mechanics.planck import estimate_planck_squared as estimate_planck_squared
from nnthermo.mechanics.planck_samples import SampledPlanck as SampledPlanck
from nnthermo.mechanics.planck_samples import planck_squared_from_samples as planck_squared_from_samples
from nnthermo.mechanics.polar import PolarForm as PolarForm
from nnthermo.mechanics.polar import madelung_from_wavefunction as madelung_from_wavefunction
from nnthermo.mechanics.polar import madelung_residual as madelung_residual
from nnthermo.mechanics.polar import wavefunction_from_madelung as wavefunction_from_madelung
from nnthermo.mechanics.polar import wavefunction_from_phase as wavefunction_from_phase
from nnthermo.mechanics.schrodinger import SchrodingerFlow as SchrodingerFlow
from nnthermo.mechanics.schrodinger import schrodinger_evolve as schrodinger_evolve
from nnthermo.mechanics.wave_packets import coherent_state as coherent_state
from nnthermo.mechanics.wave_packets import gaussian_wave_packet as gaussian_wave_packet
