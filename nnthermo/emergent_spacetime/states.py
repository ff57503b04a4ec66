"""Fixed states of networks that depend on labels, differentiable several times."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, integer, real_array
from nnthermo._typing import Array, State
from nnthermo.ensemble import bulk_hessian
from nnthermo.linalg import bidiagonal
from nnthermo.linalg.dense import gram, matmul
from nnthermo.linalg.positive import inverse_and_log_det
from nnthermo.network import FeedForward, FixedPoint, Septuple, TracedNetwork, iterate
from nnthermo.network.protocol import boundary_masks

NEURONS = ("all", "driven", "hidden")
NETWORKS = (FeedForward, Septuple, TracedNetwork)


class FixedStates:
    """Fixed states of a network that depends on labels, and B = 1 - f̂'ŵ there."""

    def __init__(self, network: Any, boundary: Any, neurons: Any, orders: int, solving: dict[str, Any]) -> None:
        if not isinstance(network, NETWORKS) and not callable(network):
            raise TypeError(f"`network` must be a network or a function of labels, but got {type(network).__name__}")
        self.orders = integer("orders", orders, least=1)
        unknown = sorted(set(solving) - {"initial", "tolerance", "max_steps", "solver"})
        check("solving", "be among initial, tolerance, max_steps, solver", not unknown, ", ".join(unknown))
        self.network, self.boundary, self.neurons = network, boundary, neurons
        self.solving = {"solver": iterate, **solving}
        if not callable(boundary):
            finite("boundary", real_array("boundary", boundary))
        if isinstance(network, NETWORKS):
            self.kept(network)

    def _given(self, y: Array) -> tuple[Any, Array]:
        net = self.network if isinstance(self.network, NETWORKS) else self.network(y)
        if not isinstance(net, NETWORKS):
            raise TypeError(f"`network` must return a network, but got {type(net).__name__}")
        data = self.boundary(y) if callable(self.boundary) else self.boundary
        return net, real_array("boundary", data)

    def kept(self, net: Any) -> np.ndarray:
        """Indices of the neurons that are looked at."""
        if isinstance(self.neurons, str):
            check("neurons", "be 'all', 'driven', 'hidden' or booleans", self.neurons in NEURONS, repr(self.neurons))
            if self.neurons == "all":
                return np.arange(net.size)
            inputs, outputs = boundary_masks(net)
            mask = ~(inputs | outputs) if self.neurons == "hidden" else ~inputs
        else:
            mask = np.asarray(self.neurons)
        fits = mask.dtype == bool and mask.shape == (net.size,)
        check("neurons", f"be {net.size} booleans", fits, f"{mask.dtype} of shape {mask.shape}")
        check("neurons", "leave at least one", mask.any(), "none")
        return np.flatnonzero(mask)

    def solve(self, y: Array) -> FixedPoint:
        """The fixed state as it was found, without derivatives."""
        net, data = jax.lax.stop_gradient(self._given(y))
        if isinstance(net, Septuple):
            return net.fixed_point(data, **self.solving)
        return net.fixed_point(data)

    def at(self, y: Array) -> tuple[Any, State]:
        """The network and its fixed state, with derivatives."""
        net, data = self._given(y)
        if not isinstance(net, Septuple):
            return net, net.propagate(data)
        fixed, held = jax.lax.stop_gradient((net, data))
        found = fixed.fixed_point(held, **self.solving)
        x = jnp.where(found.converged, jax.lax.stop_gradient(found.state), jnp.nan)
        B = jax.lax.stop_gradient(bulk_hessian(fixed, x).jacobian)
        inverse = matmul(inverse_and_log_det(gram(B))[0], B.T)  # of B, without LAPACK under vmap
        for _ in range(self.orders):
            x = x - matmul(inverse, x - net.clamp(net.activate(x), data))
        return net, x

    def moments(self, y: Array) -> tuple[Array, Array, np.ndarray]:
        """x̄ of the neurons that are looked at, (n,), their columns of B, (N', n), and which rows are theirs."""
        net, x = self.at(y)
        kept = self.kept(net)
        mean = net.ravel(x)[kept]
        if isinstance(net, FeedForward) and kept[0] >= net.input_size:  # wide inputs that stand still do not count
            kept = kept - net.input_size + 1
            net, x = net.absorb_inputs(x)
        if isinstance(net, FeedForward):
            B = bidiagonal.to_dense(bulk_hessian(net, x).blocks)
        else:
            B = bulk_hessian(net, x, method="dense" if isinstance(net, TracedNetwork) else "auto").jacobian
        return mean, B[:, kept], kept
