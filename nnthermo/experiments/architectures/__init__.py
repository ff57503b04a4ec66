"""Which architectures learn well: Sections 8 and 9 of arXiv:2004.09280 asked of trained networks."""

from nnthermo.experiments.architectures.pipeline import QUICK as QUICK
from nnthermo.experiments.architectures.pipeline import architectures as architectures
from nnthermo.experiments.architectures.settings import Settings as Settings
