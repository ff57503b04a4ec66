"""Loss functions H of one sample: on the boundary (2.11), in the bulk (3.1), and local objectives V(x) (3.3)."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, is_concrete, real_array, refuse
from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar, State
from nnthermo.network import FeedForward, Network, Septuple
from nnthermo.network.activation import is_bounded

Potential = Callable[[State], Array]
"""V(x): a state in the structure of its network to a scalar in units of the loss."""


class UnboundedLossWarning(UserWarning):
    """The bulk loss may have no minimum: it can fall without bound along some direction of the states."""


def _squares(x: State) -> Array:
    return jnp.asarray(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(x)))


@pytree()
class QuadraticPotential:
    """The "tachyonic" potential V(x) = -(m/2) x·x (3.3), which rewards neurons near the ends of their range.

    H stays bounded below for bounded activations if and only if m < 1; for linear ones if and only if m < λ_min(Ĝ)
    over the free neurons.

    Args:
        m: its curvature, in units of the loss per squared state.

    Raises:
        ValueError: m not one number.
        TypeError: m not real.
    """

    m: Scalar

    def __post_init__(self) -> None:
        real_array("m", self.m, shape=())

    def __call__(self, x: State) -> Array:
        """V(x), shape ()."""
        return -0.5 * self.m * _squares(x)


def local_potential(function: Callable[[Array], Array]) -> Potential:
    """V(x) = Σ_i V_i(x_i) from an element-wise function, the general form of (3.3)."""
    return lambda x: jnp.asarray(sum(jnp.sum(function(leaf)) for leaf in jax.tree.leaves(x)))


def pair_interaction(coupling: Any) -> Potential:
    """V(x) = Σ_ij g^{ij} x_i x_j, the interactions named after (3.4).

    Args:
        coupling: g, shape (N, N), neurons in the order of `net.ravel`.
    """
    g = real_array("coupling", coupling, ndim=2)
    check("coupling", "be square", g.shape[0] == g.shape[1], f"shape {g.shape}")

    def potential(x: State) -> Array:
        flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(x)])
        check(
            "coupling",
            f"be {flat.size} × {flat.size}, as many as the neurons",
            g.shape[0] == flat.size,
            f"shape {g.shape}",
        )
        return jnp.vdot(flat, g @ flat)

    return potential


def boundary_loss(net: Network, x: State, target: Any) -> Array:
    """H_∂ = ½ |P_out (x - x_∂)|² (2.11), shape (); (2.10) is printed without its ½.

    Args:
        net: a network.
        x: its fixed state, from `net.propagate` or `net.fixed_point`; the input neurons have no error.
        target: P_out x_∂, shape (n_out,).

    Raises:
        ValueError: a state or target of the wrong shape, or a network without output neurons, whose boundary loss is
            always 0.
        TypeError: a target that is not real.
    """
    if isinstance(net, FeedForward | Septuple):
        net.check_state(x)
    check("net", "have output neurons (the boundary loss of Section 2 is 0 without)", net.output_size > 0, 0)
    outputs = net.outputs(x)
    target = real_array("target", target, shape=(net.output_size,)).astype(outputs.dtype)
    return 0.5 * jnp.sum((outputs - target) ** 2)


def bulk_loss(net: Network, x: State, *, inputs: Array | None = None, potential: Potential | None = None) -> Array:
    """H = ½ |x - f(ŵx + b)|² + V(x) (3.1), (3.4), shape (), at any state x.

    For layers with V = 0 it is the energy of predictive coding.

    Args:
        net: a network.
        x: a state in its structure; its input neurons hold their data unless `inputs` says otherwise.
        inputs: data of the input neurons by (2.8), (n_in,): then their error x_in - inputs counts, as in the
            ensembles of Section 4, where the inputs are free too.
        potential: V, for example `QuadraticPotential(m)`.
    """
    loss = 0.5 * _squares(net.residual(x, inputs))
    return loss if potential is None else loss + potential(x)


def check_bounded_below(net: Network, potential: Potential | None) -> None:
    """Refuse or warn of a quadratic potential with which the bulk loss has no minimum.

    Raises:
        ValueError: m >= 1 with bounded activations: no minimum along any free neuron.

    Warns:
        UnboundedLossWarning: 0 < m with unbounded activations (linear, ReLU): a minimum exists only if m < λ_min(Ĝ).
    """
    if not isinstance(potential, QuadraticPotential) or not is_concrete(potential.m):
        return
    m = float(potential.m)
    if m <= 0:
        return
    if m >= 1:
        refuse("m", "be below 1 for the bulk loss to have a minimum", m)
    if isinstance(net, FeedForward):
        parts = list(zip(net.activations, net.sizes[1:], strict=True))
    else:
        parts = [(net.activation, net.size)] if isinstance(net, Septuple) else []
    if not all(is_bounded(f, n) for f, n in parts):
        warnings.warn(
            f"`m` should be 0 for unbounded activations, but got {m}: the bulk loss has a minimum only if m < λ_min(Ĝ)",
            UnboundedLossWarning,
            stacklevel=3,
        )
