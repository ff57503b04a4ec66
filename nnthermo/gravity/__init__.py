"""Emergent gravity: curvature of any metric, and the metrics of learning systems.

Section 12 of arXiv:2004.09280 and the second half of V. Vanchurin, *Towards a theory of quantum gravity from neural
networks*, arXiv:2111.00903. Of the latter the abstract and the list of its sections were read, not the body: what is
built here for it is our own design, and each docstring says so. Everything here takes functions or arrays of
coordinates and knows nothing of networks.

Conventions: signature (-, +, ..., +) for space-times; R^a_bcd = ∂_c Γ^a_db - ∂_d Γ^a_cb + ..., R_bd = R^a_bad, so that
spheres have positive R; G + Λg = κT. Units with c = G = 1.

    =================  ================================================================================================
    metric             a function of one point, (n,) -> g_ab (n, n), made of JAX operations; any dimension and signature
    (metric, point)    the first two arguments of everything that needs derivatives of g; `jax.vmap` over points
    indices            all lower unless said otherwise; Γ^a_bc has the upper index first; derivatives come first
    =================  ================================================================================================
"""

from nnthermo.gravity.connecting import ConnectingGeodesic as ConnectingGeodesic
from nnthermo.gravity.connecting import geodesic_between as geodesic_between
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
from nnthermo.gravity.flow import CAUSES as CAUSES
from nnthermo.gravity.geodesics import Geodesic as Geodesic
from nnthermo.gravity.geodesics import conserved_momentum as conserved_momentum
from nnthermo.gravity.geodesics import geodesic as geodesic
from nnthermo.gravity.geodesics import normalized_velocity as normalized_velocity
from nnthermo.gravity.inverse import inverse_and_determinant as inverse_and_determinant
from nnthermo.gravity.inverse import signature as signature
from nnthermo.gravity.paths import NonGeodesicity as NonGeodesicity
from nnthermo.gravity.paths import covariant_acceleration as covariant_acceleration
from nnthermo.gravity.paths import non_geodesicity as non_geodesicity
from nnthermo.gravity.paths import path_length as path_length
from nnthermo.gravity.paths import proper_time as proper_time
from nnthermo.gravity.transport import holonomy as holonomy
from nnthermo.gravity.transport import parallel_transport as parallel_transport
