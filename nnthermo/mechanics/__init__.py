"""Entropic mechanics: trainable variables that drift and diffuse, as Fokker-Planck, Madelung and Schrödinger dynamics.

Section 11 of arXiv:2004.09280 and the first half of V. Vanchurin, *Towards a theory of quantum gravity from neural
networks*, arXiv:2111.00903, which builds on arXiv:2008.01540 and arXiv:2012.05082. Everything here takes functions or
arrays of the trainable variables q, a free energy F(q), a potential V(q), and knows nothing of networks.

Symbols: q trainable variables, γ (`gamma`) the learning rate of the drift, D (`diffusion`) with ∂p/∂t = D ∇²p, twice
smaller than the D of (11.5); λ (`multiplier`) the multiplier of free-energy production; ħ² (`planck_squared`), of
either sign. Entropies are in nats, time in steps of learning unless said otherwise.
"""

from nnthermo.mechanics.diffusion import modified_diffusion_matrix as modified_diffusion_matrix
from nnthermo.mechanics.diffusion import modified_drift as modified_drift
from nnthermo.mechanics.diffusion import modified_loss as modified_loss
from nnthermo.mechanics.diffusion import sgd_diffusion_matrix as sgd_diffusion_matrix
from nnthermo.mechanics.entropy_production import EntropyProduction as EntropyProduction
from nnthermo.mechanics.entropy_production import FreeEnergyProduction as FreeEnergyProduction
from nnthermo.mechanics.entropy_production import entropy_balance as entropy_balance
from nnthermo.mechanics.entropy_production import entropy_production as entropy_production
from nnthermo.mechanics.entropy_production import free_energy_production as free_energy_production
from nnthermo.mechanics.entropy_production import shannon_entropy as shannon_entropy
from nnthermo.mechanics.fast_neurons import AdiabaticDynamics as AdiabaticDynamics
from nnthermo.mechanics.fast_neurons import GreenKubo as GreenKubo
from nnthermo.mechanics.fast_neurons import adiabatic_drift_diffusion as adiabatic_drift_diffusion
from nnthermo.mechanics.fast_neurons import green_kubo_diffusion as green_kubo_diffusion
from nnthermo.mechanics.fokker_planck import Evolution as Evolution
from nnthermo.mechanics.fokker_planck import fokker_planck_evolve as fokker_planck_evolve
from nnthermo.mechanics.fokker_planck import stationary_density as stationary_density
from nnthermo.mechanics.generator import Generator as Generator
from nnthermo.mechanics.generator import fokker_planck_generator as fokker_planck_generator
from nnthermo.mechanics.grid import Grid as Grid
from nnthermo.mechanics.langevin import langevin_ensemble as langevin_ensemble
from nnthermo.mechanics.ornstein_uhlenbeck import GaussianMoments as GaussianMoments
from nnthermo.mechanics.ornstein_uhlenbeck import ornstein_uhlenbeck_moments as ornstein_uhlenbeck_moments
