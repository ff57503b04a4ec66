"""Emergent gravity: curvature of any metric, and the metrics of learning systems.

Section 12 of arXiv:2004.09280 and the second half of V. Vanchurin, *Towards a theory of quantum gravity from neural
networks*, arXiv:2111.00903. Of the latter the abstract and the list of its sections were read, not the body: what is
built here for it is our own design, and each docstring says so. Everything here takes functions or arrays of
coordinates and knows nothing of networks.

Contents, in the order of the theory:

    ======================  ===========================================================================================
    metrics                 `derivatives`, `inverse`; `spacetimes`, the known ones
    curvature               `curvature`, `covariant`, `frames`
    paths                   `geodesics` (by `flow`), `transport`, `deviation`, `connecting`; `paths`, recorded ones
    field equations         `onsager`, `gamma_gamma`, `action`; `einstein_hilbert`, `field_equations`,
                            `energy_conditions`
    metrics of ensembles    `stationary`, `fisher`, `lorentzian`; `gaussian_space_time`, one in closed form
    lattices                `lattice`, relativity without a metric
    ======================  ===========================================================================================

Conventions: signature (-, +, ..., +) for space-times; R^a_bcd = ∂_c Γ^a_db - ∂_d Γ^a_cb + ..., R_bd = R^a_bad, so that
spheres have positive R; G + Λg = κT. Units with c = G = 1.

    =================  ================================================================================================
    metric             a function of one point, (n,) -> g_ab (n, n), made of JAX operations; any dimension and signature
    (metric, point)    the first arguments of what needs derivatives of g, (metric, field, point) with a field, and
                       (metric, points, parameters) with a path; `jax.vmap` over points
    g                  the array g_ab (n, n) of one point, first argument of what needs no derivatives, T_ab before it
    indices            all lower unless said otherwise; Γ^a_bc has the upper index first; derivatives come first
    indices="^_"       where those of a tensor field stand: T^a_b, one sign an index; "" for a scalar
    errors             by the name of the argument: TypeError for another kind of object and for complex numbers,
                       ValueError for shapes, and for values where they are known; inside transformations NaN
    =================  ================================================================================================
"""

from nnthermo.gravity.action import Derivative as Derivative
from nnthermo.gravity.action import action_gradient as action_gradient
from nnthermo.gravity.action import central_derivative as central_derivative
from nnthermo.gravity.action import gamma_gamma_action as gamma_gamma_action
from nnthermo.gravity.action import spectral_derivative as spectral_derivative
from nnthermo.gravity.connecting import ConnectingGeodesic as ConnectingGeodesic
from nnthermo.gravity.connecting import geodesic_between as geodesic_between
from nnthermo.gravity.covariant import covariant_derivative as covariant_derivative
from nnthermo.gravity.covariant import covariant_divergence as covariant_divergence
from nnthermo.gravity.covariant import killing_residual as killing_residual
from nnthermo.gravity.covariant import laplace_beltrami as laplace_beltrami
from nnthermo.gravity.covariant import lie_derivative as lie_derivative
from nnthermo.gravity.covariant import lower_index as lower_index
from nnthermo.gravity.covariant import raise_index as raise_index
from nnthermo.gravity.curvature import Geometry as Geometry
from nnthermo.gravity.curvature import christoffel as christoffel
from nnthermo.gravity.curvature import einstein_tensor as einstein_tensor
from nnthermo.gravity.curvature import geometry as geometry
from nnthermo.gravity.curvature import kretschmann as kretschmann
from nnthermo.gravity.curvature import ricci as ricci
from nnthermo.gravity.curvature import ricci_scalar as ricci_scalar
from nnthermo.gravity.curvature import riemann as riemann
from nnthermo.gravity.curvature import weyl as weyl
from nnthermo.gravity.derivatives import Metric as Metric
from nnthermo.gravity.derivatives import metric_derivatives as metric_derivatives
from nnthermo.gravity.derivatives import metric_slopes as metric_slopes
from nnthermo.gravity.deviation import GeodesicDeviation as GeodesicDeviation
from nnthermo.gravity.deviation import geodesic_deviation as geodesic_deviation
from nnthermo.gravity.einstein_hilbert import Matter as Matter
from nnthermo.gravity.einstein_hilbert import cosmological_multiplier as cosmological_multiplier
from nnthermo.gravity.einstein_hilbert import einstein_hilbert_action as einstein_hilbert_action
from nnthermo.gravity.einstein_hilbert import neuron_number_constraint as neuron_number_constraint
from nnthermo.gravity.einstein_hilbert import stress_energy as stress_energy
from nnthermo.gravity.einstein_hilbert import torus_nodes as torus_nodes
from nnthermo.gravity.einstein_hilbert import volume as volume
from nnthermo.gravity.energy_conditions import EnergyConditions as EnergyConditions
from nnthermo.gravity.energy_conditions import energy_conditions as energy_conditions
from nnthermo.gravity.field_equations import CosmologicalFit as CosmologicalFit
from nnthermo.gravity.field_equations import effective_stress as effective_stress
from nnthermo.gravity.field_equations import einstein_residual as einstein_residual
from nnthermo.gravity.field_equations import energy_density as energy_density
from nnthermo.gravity.field_equations import fit_cosmological_constant as fit_cosmological_constant
from nnthermo.gravity.field_equations import frame_norm as frame_norm
from nnthermo.gravity.fisher import FisherEstimate as FisherEstimate
from nnthermo.gravity.fisher import GaussianInformation as GaussianInformation
from nnthermo.gravity.fisher import fisher_information as fisher_information
from nnthermo.gravity.fisher import fisher_information_from_samples as fisher_information_from_samples
from nnthermo.gravity.fisher import fisher_information_from_scores as fisher_information_from_scores
from nnthermo.gravity.fisher import gaussian_information as gaussian_information
from nnthermo.gravity.fisher import scores as scores
from nnthermo.gravity.fisher import state_entropy as state_entropy
from nnthermo.gravity.flow import CAUSES as CAUSES
from nnthermo.gravity.frames import lorentz_boost as lorentz_boost
from nnthermo.gravity.frames import lorentz_generators as lorentz_generators
from nnthermo.gravity.frames import tetrad as tetrad
from nnthermo.gravity.gamma_gamma import gamma_gamma_lagrangian as gamma_gamma_lagrangian
from nnthermo.gravity.gamma_gamma import total_derivative_current as total_derivative_current
from nnthermo.gravity.gamma_gamma import total_derivative_term as total_derivative_term
from nnthermo.gravity.gaussian_space_time import bianchi_metric as bianchi_metric
from nnthermo.gravity.gaussian_space_time import comoving_proper_time as comoving_proper_time
from nnthermo.gravity.gaussian_space_time import de_sitter_embedding as de_sitter_embedding
from nnthermo.gravity.gaussian_space_time import de_sitter_inverse as de_sitter_inverse
from nnthermo.gravity.gaussian_space_time import de_sitter_radius as de_sitter_radius
from nnthermo.gravity.gaussian_space_time import gaussian_cosmological_constant as gaussian_cosmological_constant
from nnthermo.gravity.gaussian_space_time import gaussian_geodesic as gaussian_geodesic
from nnthermo.gravity.gaussian_space_time import gaussian_interval as gaussian_interval
from nnthermo.gravity.gaussian_space_time import gaussian_light_horizon as gaussian_light_horizon
from nnthermo.gravity.gaussian_space_time import gaussian_space_time as gaussian_space_time
from nnthermo.gravity.gaussian_space_time import hubble_rates as hubble_rates
from nnthermo.gravity.gaussian_space_time import transform_ensemble as transform_ensemble
from nnthermo.gravity.geodesics import Geodesic as Geodesic
from nnthermo.gravity.geodesics import conserved_momentum as conserved_momentum
from nnthermo.gravity.geodesics import geodesic as geodesic
from nnthermo.gravity.geodesics import normalized_velocity as normalized_velocity
from nnthermo.gravity.inverse import inverse_and_determinant as inverse_and_determinant
from nnthermo.gravity.inverse import signature as signature
from nnthermo.gravity.lattice import Movers as Movers
from nnthermo.gravity.lattice import lattice_dalembertian as lattice_dalembertian
from nnthermo.gravity.lattice import permutation_weights as permutation_weights
from nnthermo.gravity.lattice import telegraph_process as telegraph_process
from nnthermo.gravity.lattice import telegraph_solution as telegraph_solution
from nnthermo.gravity.lorentzian import ADM as ADM
from nnthermo.gravity.lorentzian import adm_decomposition as adm_decomposition
from nnthermo.gravity.lorentzian import covariance_interval as covariance_interval
from nnthermo.gravity.lorentzian import entropic_metric as entropic_metric
from nnthermo.gravity.lorentzian import interval as interval
from nnthermo.gravity.lorentzian import is_timelike as is_timelike
from nnthermo.gravity.lorentzian import light_cone as light_cone
from nnthermo.gravity.lorentzian import lorentzian_metric as lorentzian_metric
from nnthermo.gravity.lorentzian import turn_sign as turn_sign
from nnthermo.gravity.onsager import Inertia as Inertia
from nnthermo.gravity.onsager import gaussian_entropy_production as gaussian_entropy_production
from nnthermo.gravity.onsager import onsager_contraction as onsager_contraction
from nnthermo.gravity.onsager import onsager_fluxes as onsager_fluxes
from nnthermo.gravity.onsager import onsager_inertia as onsager_inertia
from nnthermo.gravity.onsager import onsager_reciprocity_violation as onsager_reciprocity_violation
from nnthermo.gravity.onsager import onsager_tensor as onsager_tensor
from nnthermo.gravity.paths import NonGeodesicity as NonGeodesicity
from nnthermo.gravity.paths import covariant_acceleration as covariant_acceleration
from nnthermo.gravity.paths import non_geodesicity as non_geodesicity
from nnthermo.gravity.paths import path_length as path_length
from nnthermo.gravity.paths import proper_time as proper_time
from nnthermo.gravity.spacetimes import anti_de_sitter as anti_de_sitter
from nnthermo.gravity.spacetimes import de_sitter as de_sitter
from nnthermo.gravity.spacetimes import flrw as flrw
from nnthermo.gravity.spacetimes import kerr as kerr
from nnthermo.gravity.spacetimes import kerr_newman as kerr_newman
from nnthermo.gravity.spacetimes import kerr_schild as kerr_schild
from nnthermo.gravity.spacetimes import kottler as kottler
from nnthermo.gravity.spacetimes import minkowski as minkowski
from nnthermo.gravity.spacetimes import reissner_nordstrom as reissner_nordstrom
from nnthermo.gravity.spacetimes import schwarzschild as schwarzschild
from nnthermo.gravity.spacetimes import schwarzschild_de_sitter as schwarzschild_de_sitter
from nnthermo.gravity.spacetimes import sphere as sphere
from nnthermo.gravity.spacetimes import torus as torus
from nnthermo.gravity.stationary import EntropyBalance as EntropyBalance
from nnthermo.gravity.stationary import gaussian_entropy_balance as gaussian_entropy_balance
from nnthermo.gravity.stationary import stationary_state_covariance as stationary_state_covariance
from nnthermo.gravity.transport import holonomy as holonomy
from nnthermo.gravity.transport import parallel_transport as parallel_transport
