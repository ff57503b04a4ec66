"""Emergent gravity measured: the space-times of labels of trained networks, and systems with known answers."""

from nnthermo.experiments.gravity.pipeline import QUICK as QUICK
from nnthermo.experiments.gravity.pipeline import gravity as gravity
from nnthermo.experiments.gravity.settings import Settings as Settings
