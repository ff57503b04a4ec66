"""Neurons of any JAX function: which values they are, and the function with their states given."""

from nnthermo.network.graph.plan import Finder as Finder
from nnthermo.network.graph.plan import Neurons as Neurons
from nnthermo.network.graph.plan import Steps as Steps
from nnthermo.network.graph.plan import as_calls as as_calls
from nnthermo.network.graph.plan import run as run
