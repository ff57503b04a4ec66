"""Ensembles of states (Section 5): the Hessian Ĝ and the Gaussian partition function.

- `bulk`: Ĝ of any network, in one of the structures below.
- `hessian`, `blocks`, `restricted`: Ĝ layered or dense, in blocks, and of some of the neurons.
- `traced`, `jacobian`, `matrix_free`: Ĝ of traced networks: which structure, its blocks, and products alone.
- `gaussian`, `modes`: log Z; one decomposition for every temperature.
- `explain`, `samples`: what a structure costs; means over samples of what follows from a Ĝ each.
"""

from nnthermo.ensemble.blocks import BlockHessian as BlockHessian
from nnthermo.ensemble.bulk import bulk_hessian as bulk_hessian
from nnthermo.ensemble.explain import Explanation as Explanation
from nnthermo.ensemble.explain import explain as explain
from nnthermo.ensemble.gaussian import log_partition as log_partition
from nnthermo.ensemble.hessian import DenseHessian as DenseHessian
from nnthermo.ensemble.hessian import LayeredHessian as LayeredHessian
from nnthermo.ensemble.hessian import mean_slopes as mean_slopes
from nnthermo.ensemble.hessian import mean_state as mean_state
from nnthermo.ensemble.matrix_free import MatrixFreeHessian as MatrixFreeHessian
from nnthermo.ensemble.modes import Eigenmodes as Eigenmodes
from nnthermo.ensemble.modes import eigenmodes as eigenmodes
from nnthermo.ensemble.restricted import RestrictedHessian as RestrictedHessian
from nnthermo.ensemble.restricted import hidden_neurons as hidden_neurons
from nnthermo.ensemble.restricted import restrict as restrict
