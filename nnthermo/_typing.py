"""Names for the kinds of value that pass through the package."""

from collections.abc import Callable
from typing import Any

import jax

Array = jax.Array
Scalar = jax.Array | float
"""A number: a Python float or an array of shape ()."""

Activation = Callable[[Array], Array]
"""Element-wise map f_i(y_i) of eq. (2.6); any shape to the same shape."""

State = Any
"""A state vector x in the shape of its network: (N,) for a graph, a tuple of layer vectors for layers."""
