"""The clamped minimum of the bulk loss (3.2).

- `clamped`: `relax`, for any network, boundary and number of samples.
- `coordinates`: the bulk loss as a function of free states, or of the local errors.
- `bfgs`: minima of many functions side by side.
- `implicit`: derivatives of a minimum.
"""

from nnthermo.relaxation.clamped import Relaxation as Relaxation
from nnthermo.relaxation.clamped import clamped_minimum as clamped_minimum
from nnthermo.relaxation.clamped import relax as relax
from nnthermo.relaxation.clamped import relaxed_bulk_loss as relaxed_bulk_loss
