"""Neurons of any JAX function: which values they are, and the function with their states given.

- `plan`: finds them, and runs the program with their states given or computed.
- `elementwise`: which values are outputs of element-wise non-linear functions, if nobody has named any.
- `live`: which equations the outputs need.
"""

from nnthermo.network.graph.plan import Finder as Finder
from nnthermo.network.graph.plan import Neurons as Neurons
from nnthermo.network.graph.plan import Steps as Steps
from nnthermo.network.graph.plan import as_calls as as_calls
from nnthermo.network.graph.plan import run as run
