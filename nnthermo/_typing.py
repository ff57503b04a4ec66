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
"""A state x as its network has it: a vector (N,) for a graph, a tuple of layer vectors for layers, an `OrderedDict` of
arrays by group of neurons for a traced network."""
