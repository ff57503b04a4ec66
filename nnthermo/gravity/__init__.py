"""Emergent gravity: curvature of any metric, and the metrics of learning systems.

Section 12 of arXiv:2004.09280 and the second half of V. Vanchurin, *Towards a theory of quantum gravity from neural
networks*, arXiv:2111.00903. Of the latter the abstract and the list of its sections were read, not the body: what is
built here for it is our own design, and each docstring says so. Everything here takes functions or arrays of
coordinates and knows nothing of networks.

Conventions: signature (-, +, ..., +) for space-times; R^a_bcd = ∂_c Γ^a_db - ∂_d Γ^a_cb + ..., R_bd = R^a_bad, so that
spheres have positive R; G + Λg = κT. Units with c = G = 1.

    =================  =========================================================================================    metric             a function of one point, (n,) -> g_ab (n, n), made of JAX operations; any dimension and signature
    (metric, point)    the first two arguments of everything that needs derivatives of g; `jax.vmap` over points
    indices            all lower unless said otherwise; Γ^a_bc has the upper index first; derivatives come first
    indices="^_"       where those of a tensor field stand: T^a_b, one sign an index; "" for a scalar
    =================  ========================================================================================="""

from nnthermo.gravity.covariant import covariant_derivative as covariant_derivative
from nnthermo.gravity.covariant import covariant_divergence as covariant_divergence
from nnthermo.gravity.covariant import killing_residual as killing_residual
from nnthermo.gravity.covariant import laplace_beltrami as laplace_beltrami
from nnthermo.gravity.covariant import lie_derivative as lie_derivative
from nnthermo.gravity.covariant import lower_index as lower_index
from nnthermo.gravity.covariant import raise_index as raise_index
from nnthermo.gravity.action import Derivative as Derivative
from nnthermo.gravity.action import action_gradient as action_gradient
from nnthermo.gravity.action import central_derivative as central_derivative
from nnthermo.gravity.action import gamma_gamma_action as gamma_gamma_action
from nnthermo.gravity.action import spectral_derivative as spectral_derivative
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
from nnthermo.gravity.gamma_gamma import gamma_gamma_lagrangian as gamma_gamma_lagrangian
from nnthermo.gravity.gamma_gamma import total_derivative_current as total_derivative_current
from nnthermo.gravity.gamma_gamma import total_derivative_term as total_derivative_term
from nnthermo.gravity.inverse import inverse_and_determinant as inverse_and_determinant
from nnthermo.gravity.inverse import signature as signature
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
from nnthermo.gravity.onsager import Inertia as Inertia
from nnthermo.gravity.onsager import gaussian_entropy_production as gaussian_entropy_production
from nnthermo.gravity.onsager import onsager_contraction as onsager_contraction
from nnthermo.gravity.onsager import onsager_fluxes as onsager_fluxes
from nnthermo.gravity.onsager import onsager_inertia as onsager_inertia
from nnthermo.gravity.onsager import onsager_reciprocity_violation as onsager_reciprocity_violation
from nnthermo.gravity.onsager import onsager_tensor as onsager_tensor
