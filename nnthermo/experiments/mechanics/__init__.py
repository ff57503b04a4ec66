"""Entropic mechanics measured: ensembles of networks under SGD on real data, and demonstrations with films."""

from nnthermo.experiments.mechanics.pipeline import QUICK as QUICK
from nnthermo.experiments.mechanics.pipeline import mechanics as mechanics
from nnthermo.experiments.mechanics.settings import Settings as Settings
