"""The clamped minimum of the bulk loss (3.2)."""

from nnthermo.relaxation.clamped import Relaxation as Relaxation
from nnthermo.relaxation.clamped import clamped_minimum as clamped_minimum
from nnthermo.relaxation.clamped import relax as relax
from nnthermo.relaxation.clamped import relaxed_bulk_loss as relaxed_bulk_loss
