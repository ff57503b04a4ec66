"""Loss functions H of one sample: on the boundary (2.11), in the bulk (3.1), and local objectives V(x) (3.3)."""

import dataclasses
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, is_concrete, real_array
from nnthermo._checks import function as check_function
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


def _known(value: Any) -> Hashable:
    """What two equal numbers or arrays share and different ones do not; of a traced one, its identity."""
    if not is_concrete(value):
        return id(value)
    array = np.asarray(value)
    return type(value) in (int, float), str(array.dtype), array.shape, array.tobytes()


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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuadraticPotential) and _known(self.m) == _known(other.m)

    def __hash__(self) -> int:
        return hash(_known(self.m))


@dataclasses.dataclass(frozen=True)
class _LocalPotential:
    function: Callable[[Array], Array]

    def __call__(self, x: State) -> Array:
        return jnp.asarray(sum(jnp.sum(self.function(leaf)) for leaf in jax.tree.leaves(x)))


@pytree()
class _PairInteraction:
    coupling: Array

    def __call__(self, x: State) -> Array:
        g, leaves = self.coupling, jax.tree.leaves(x)
        flat = jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])
        size = flat.size
        check("coupling", f"be {size} × {size}, as many as the neurons", g.shape[0] == size, f"shape {g.shape}")
        return jnp.vdot(flat, g @ flat)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PairInteraction) and _known(self.coupling) == _known(other.coupling)

    def __hash__(self) -> int:
        return hash(_known(self.coupling))


@dataclasses.dataclass(frozen=True)
class _TotalPotential:
    parts: tuple[Potential, ...]

    def __call__(self, x: State) -> Array:
        return jnp.asarray(sum(part(x) for part in self.parts))


def local_potential(function: Callable[[Array], Array]) -> Potential:
    """V(x) = Σ_i V_i(x_i) from an element-wise function, the general form of (3.3).

    Potentials of the same function are equal, and so are what is compiled for them.

    Raises:
        TypeError: not a function.
    """
    check_function("function", function)
    return _LocalPotential(function)


def pair_interaction(coupling: Any) -> Potential:
    """V(x) = Σ_ij g^{ij} x_i x_j, the interactions named after (3.4).

    Args:
        coupling: g, shape (N, N), neurons in the order of `net.ravel`, in units of the loss per squared state.

    Raises:
        ValueError: g not square; at the first use, not as large as the network.
        TypeError: g not real.
    """
    g = real_array("coupling", coupling, ndim=2)
    check("coupling", "be square", g.shape[0] == g.shape[1], f"shape {g.shape}")
    return _PairInteraction(g)


def total_potential(*parts: Potential) -> Potential:
    """V = Σ_k V_k: several local objectives and interactions at once, as below (3.4).

    Raises:
        ValueError: none given.
        TypeError: one that is not a function of the state.
    """
    check("parts", "hold at least one potential", len(parts) > 0, parts)
    for part in parts:
        check_function("parts", part, "functions of the state")
    return parts[0] if len(parts) == 1 else _TotalPotential(parts)


def boundary_loss(net: Network, x: State, target: Any) -> Array:
    """H_∂ = ½ |P_out (x - x_∂)|² (2.11), shape (); (2.10) is printed without its ½.

    Args:
        net: a network.
        x: its fixed state, from `net.propagate` or `net.fixed_point`; the input neurons have no error.
        target: P_out x_∂, shape (n_out,).

    Raises:
        ValueError: a state or target of the wrong shape, or a network without output neurons, whose boundary loss is
            always 0; no target, as in unsupervised training, which has the bulk loss.
        TypeError: a target that is not real.
    """
    if isinstance(net, FeedForward | Septuple):
        net.check_state(x)
    check("net", "have output neurons (the boundary loss of Section 2 is 0 without)", net.output_size > 0, 0)
    check("target", "be given for the boundary loss (without targets there is the bulk loss)", target is not None, None)
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


def has_bounded_activations(net: Network) -> bool | None:
    """Whether every activation stays bounded; None of a `TracedNetwork`, where that is not known."""
    if isinstance(net, FeedForward):
        return all(is_bounded(f, n) for f, n in zip(net.activations, net.sizes[1:], strict=True))
    return is_bounded(net.activation, net.size) if isinstance(net, Septuple) else None


def _quadratic_parts(potential: Any) -> list[Scalar]:
    """m of a quadratic potential, or of each that is among the parts of a sum."""
    if isinstance(potential, _TotalPotential):
        return [m for part in potential.parts for m in _quadratic_parts(part)]
    return [potential.m] if isinstance(potential, QuadraticPotential) else []


def check_bounded_below(net: Network, potential: Potential | None) -> None:
    """Refuse or warn of a quadratic potential with which the bulk loss has no minimum.

    Raises:
        ValueError: m >= 1 with bounded activations: no minimum along any free neuron.

    Warns:
        UnboundedLossWarning: 0 < m with unbounded activations (linear, ReLU): a minimum exists only if m < λ_min(Ĝ).
    """
    curvatures = _quadratic_parts(potential)
    if not curvatures or not is_concrete(curvatures):
        return
    m = float(sum(float(v) for v in curvatures))
    if m <= 0:
        return
    if has_bounded_activations(net) is not False:
        check("m", "be below 1 for the bulk loss to have a minimum", m < 1, m)
    else:
        warnings.warn(
            f"`m` should be 0 for unbounded activations, but got {m}: the bulk loss has a minimum only if m < λ_min(Ĝ)",
            UnboundedLossWarning,
            stacklevel=3,
        )
