"""The comparison that arXiv:2004.09280 leaves undone: the same networks trained with the boundary and the bulk loss."""

from nnthermo.experiments.compare.pipeline import QUICK as QUICK
from nnthermo.experiments.compare.pipeline import compare as compare
from nnthermo.experiments.compare.settings import Settings as Settings
