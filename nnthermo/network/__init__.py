"""Networks (Section 2): general directed graphs and feed-forward layers."""

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
