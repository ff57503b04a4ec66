"""Optimal architecture (Sections 8, 9): Laplacians of the free energy in any coordinates, and the two-level model.

- `eigenvalues`, `parameters`: ΔF in λ or log λ; over any parametrisation of a network.
- `destruction`, `optimum`: -ΔF as something to train on; the least that any spectrum allows.
- `two_level`: the model (9.2)-(9.4), its stationary points and phases.
"""

from nnthermo.architecture.destruction import entropy_destruction as entropy_destruction
from nnthermo.architecture.eigenvalues import eigenvalue_laplacian as eigenvalue_laplacian
from nnthermo.architecture.eigenvalues import integrated_eigenvalue_laplacian as integrated_eigenvalue_laplacian
from nnthermo.architecture.eigenvalues import log_eigenvalue_laplacian as log_eigenvalue_laplacian
from nnthermo.architecture.optimum import OptimalDestruction as OptimalDestruction
from nnthermo.architecture.optimum import optimal_entropy_destruction as optimal_entropy_destruction
from nnthermo.architecture.parameters import network_free_energy as network_free_energy
from nnthermo.architecture.parameters import parameter_laplacian as parameter_laplacian
from nnthermo.architecture.two_level import TwoLevelBoundaries as TwoLevelBoundaries
from nnthermo.architecture.two_level import TwoLevelPoints as TwoLevelPoints
from nnthermo.architecture.two_level import two_level_laplacian as two_level_laplacian
from nnthermo.architecture.two_level import two_level_phase_boundaries as two_level_phase_boundaries
from nnthermo.architecture.two_level import two_level_stationary_points as two_level_stationary_points
