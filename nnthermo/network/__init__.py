"""Networks (Section 2): what a network is, its two plain kinds, and any JAX function as a third.

- `protocol`: what the theory asks of any network.
- `activation`: element-wise maps f and their slopes f'.
- `septuple`, `feedforward`: a general directed graph; layers.
- `fixed_point`, `fixed_points`: one fixed state (2.9) with a report; all of them that can be found.
- `traced`, `graph`: a JAX function as a network; how its neurons are found.
- `models`, `flax`, `given`: models of Flax and Equinox as networks, and networks as these models again.
- `trainable`: what of a network training changes.
"""

from nnthermo.network.feedforward import FeedForward as FeedForward
from nnthermo.network.fixed_point import FixedPoint as FixedPoint
from nnthermo.network.fixed_point import iterate as iterate
from nnthermo.network.fixed_point import newton as newton
from nnthermo.network.fixed_points import FixedPoints as FixedPoints
from nnthermo.network.fixed_points import fixed_points as fixed_points
from nnthermo.network.protocol import Network as Network
from nnthermo.network.septuple import Conditions as Conditions
from nnthermo.network.septuple import Septuple as Septuple
from nnthermo.network.traced import CustomDerivativeWarning as CustomDerivativeWarning
from nnthermo.network.traced import TracedNetwork as TracedNetwork
from nnthermo.network.traced import network_from as network_from
