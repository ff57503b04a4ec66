"""The laws of learning (Sections 6 and 7 of arXiv:2004.09280) along real training runs."""

from nnthermo.experiments.laws.pipeline import QUICK as QUICK
from nnthermo.experiments.laws.pipeline import laws as laws
from nnthermo.experiments.laws.settings import Settings as Settings
