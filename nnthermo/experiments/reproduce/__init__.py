"""The experiments of Section 10 of arXiv:2004.09280: two networks on real digits, and a verdict on each statement."""

from nnthermo.experiments.reproduce.pipeline import QUICK as QUICK
from nnthermo.experiments.reproduce.pipeline import reproduce as reproduce
from nnthermo.experiments.reproduce.settings import Settings as Settings
