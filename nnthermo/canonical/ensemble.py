"""The canonical ensemble p(x) ∝ exp(-βH(x)) (4.10) over the states of any network, as an unnormalised density."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, finite, full_precision, function, is_concrete, positive, real_array, refuse
from nnthermo._pytree import pytree, set_fields
from nnthermo._typing import Array, Scalar, State
from nnthermo.canonical.measure import Box, Measure, Window, resolved, stiffness_of
from nnthermo.loss import Potential, QuadraticPotential, bulk_loss, has_bounded_activations
from nnthermo.network import Network
from nnthermo.network.protocol import boundary_masks
from nnthermo.network.traced import dtype_of


class Estimate(NamedTuple):
    """A number and what it is uncertain by.

    Attributes:
        value: shape ().
        error: standard error of a sample mean; of a quadrature, its last change.
    """

    value: Array
    error: Array


class CanonicalEstimate(NamedTuple):
    """What is known of a canonical ensemble.

    Attributes:
        log_partition: log Z, in nats.
        average_loss: U = ⟨H⟩, in units of the loss.
        entropy: S = -⟨log p⟩ (4.5), in nats: βU + log Z and, with a window, (s/2)⟨x·x⟩, which (7.1) leaves out.
        mean_square: ⟨x·x⟩ over the free neurons.
        effective_samples: (Σw)²/Σw² of the weights, or points of a quadrature.
        mean: ⟨x⟩ of every neuron, shape (N,), clamped ones included; None where it was not asked for.
        covariance: shape (N, N), zero for clamped neurons; None where it was not asked for.
    """

    log_partition: Estimate
    average_loss: Estimate
    entropy: Estimate
    mean_square: Estimate
    effective_samples: Array
    mean: Array | None = None
    covariance: Array | None = None


@pytree(static=("clamp_inputs", "potential"))
class CanonicalEnsemble:
    """p(x) ∝ exp(-βH(x)) against a measure, H the bulk loss (3.1) with local objectives (3.4) of a network.

    The boundary is free as in (4.10) unless it is clamped as in (4.2): free input neurons have the error x_in - inputs,
    which (2.8) puts into their bias; clamped ones have none. Measure and integral are over the free neurons; V of
    clamped ones stays in H.

    A pytree: β, m, the data, the weights and the measure's numbers can be traced and differentiated.

    Args:
        net: a network.
        inputs: data of its input neurons, (n_in,).
        beta: inverse temperature β > 0, in inverse units of the loss.
        targets: data that clamp the output neurons, (n_out,); None leaves them free.
        clamp_inputs: whether the input neurons are held at their data.
        measure: `Window()` (5.8), which (5.9) refers to; `Box()` (5.7); `Flat()`.
        m: curvature of the potential -(m/2) x·x (3.3).
        potential: V(x) besides, as for `nt.bulk_loss`.

    Raises:
        ValueError: shapes that do not fit, half precision, numbers that are not finite, β not positive, no free neuron,
            or m so large that no normalisable density is left where that is known: for bounded activations
            1 + β(1 - m) <= 0 in the window, m >= 1 without one or in a box with an open side. For linear ones it is
            β(λ_min - m) + 1 > 0 in the window that decides, which is not looked at: `gaussian_ensemble` and
            `quadrature` refuse, and ancestral samples have few `effective_samples`.
        TypeError: data that are not real, or another kind of measure.
    """

    net: Any
    inputs: Array
    beta: Array
    targets: Array | None
    clamp_inputs: bool
    measure: Measure
    m: Array
    potential: Potential | None

    def __init__(
        self,
        net: Network,
        inputs: Any,
        beta: Scalar,
        *,
        targets: Any = None,
        clamp_inputs: bool = False,
        measure: Measure | None = None,
        m: Scalar = 0.0,
        potential: Potential | None = None,
    ) -> None:
        dtype = dtype_of(net)
        full_precision("net", dtype)
        data = real_array("inputs", inputs, shape=(net.input_size,)).astype(dtype)
        held = None if targets is None else real_array("targets", targets, shape=(net.output_size,)).astype(dtype)
        positive("beta", beta)
        b = real_array("beta", beta, shape=()).astype(dtype)
        curvature = real_array("m", m, shape=()).astype(dtype)
        for name, array in (("inputs", data), ("targets", held), ("beta", b), ("m", curvature)):
            if array is not None:
                finite(name, array)
        if isinstance(potential, QuadraticPotential):
            curvature, potential = curvature + jnp.asarray(potential.m, dtype), None
        if potential is not None:
            function("potential", potential, "a function of the state")
        against = resolved(Window() if measure is None else measure, net, dtype)
        set_fields(
            self, net=net, inputs=data, beta=b, targets=held, clamp_inputs=bool(clamp_inputs), measure=against,
            m=curvature, potential=potential,
        )  # fmt: skip
        check("net", "have a neuron that is free", self.dimension > 0, f"{net.size} clamped ones")
        self._check_normalisable()

    def _check_normalisable(self) -> None:
        if not is_concrete(self.beta, self.m, self.measure):
            return
        if isinstance(self.measure, Box) and np.isfinite([np.asarray(e) for e in self.edges()]).all():
            return
        if float(self.stiffness + self.beta * (1 - self.m)) <= 0 and has_bounded_activations(self.net):
            limit = "1 + 1/β" if isinstance(self.measure, Window) else "1"
            refuse("m", f"be below {limit} for the ensemble to have a partition function", float(self.m))

    def replace(self, **changes: Any) -> "CanonicalEnsemble":
        """An ensemble with the given arguments in place of its own, checked as by the constructor."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)} | changes
        return CanonicalEnsemble(given.pop("net"), given.pop("inputs"), given.pop("beta"), **given)

    @property
    def dtype(self) -> Any:
        """That of the network."""
        return self.inputs.dtype

    @property
    def stiffness(self) -> Array:
        """s of the window exp(-s x·x/2), 0 without one; shape ()."""
        return stiffness_of(self.measure, self.dtype)

    @property
    def free(self) -> np.ndarray:
        """Which neurons are free, booleans of shape (N,) in the order of `net.ravel`."""
        inputs, outputs = boundary_masks(self.net)
        held = np.zeros(self.net.size, bool)
        if self.clamp_inputs:
            held |= inputs
        if self.targets is not None:
            held |= outputs
        return ~held

    @property
    def dimension(self) -> int:
        """Number of free neurons."""
        return int(self.free.sum())

    def clamped_state(self) -> Array:
        """Every neuron's data where it is clamped and 0 where it is free, shape (N,)."""
        net = self.net
        zero = net.unravel(jnp.zeros((net.size,), self.dtype))
        return net.ravel(net.clamp(zero, self.inputs if self.clamp_inputs else None, self.targets))

    def complete(self, free: Array) -> Array:
        """Every neuron, (..., N), from the values of the free ones, (..., dimension): clamped ones at their data."""
        everywhere = jnp.broadcast_to(self.clamped_state(), (*free.shape[:-1], self.net.size))
        return everywhere.at[..., np.flatnonzero(self.free)].set(free)

    def state(self, free: Array) -> State:
        """The state of the network, in its structure, from the values of its free neurons, (dimension,)."""
        return self.net.unravel(self.complete(free))

    def loss(self, x: State) -> Array:
        """H(x) (3.4) of a state of the network, shape ()."""
        bulk = bulk_loss(self.net, x, inputs=None if self.clamp_inputs else self.inputs, potential=self.potential)
        return bulk - 0.5 * self.m * jnp.sum(self.net.ravel(x) ** 2)

    def log_density(self, free: Array) -> Array:
        """-βH - (s/2) x·x at the values of the free neurons, (dimension,): log(p Z), shape (); -inf outside a box."""
        log_p = -self.beta * self.loss(self.state(free)) - 0.5 * self.stiffness * jnp.sum(free**2)
        if not isinstance(self.measure, Box):
            return log_p
        low, high = self.edges()
        return jnp.where(jnp.all((free > low) & (free < high)), log_p, -jnp.inf)

    def edges(self) -> tuple[Array, Array]:
        """Low and high end of each free neuron, shape (dimension,) each; infinite without a box."""
        index = np.flatnonzero(self.free)
        if isinstance(self.measure, Box):
            return self.measure.low[index], self.measure.high[index]
        return jnp.full(index.shape, -jnp.inf, self.dtype), jnp.full(index.shape, jnp.inf, self.dtype)
