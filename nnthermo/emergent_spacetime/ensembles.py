"""Normal ensembles of the states of a network, as functions of labels."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from nnthermo._checks import finite, positive, real_array
from nnthermo._typing import Array
from nnthermo.emergent_spacetime.labels import Labels
from nnthermo.emergent_spacetime.states import FixedStates
from nnthermo.gravity import GaussianInformation, Metric, lorentzian_metric, stationary_state_covariance
from nnthermo.gravity.fisher import information_from_moments
from nnthermo.gravity.lorentzian import entropic_metric_of
from nnthermo.linalg.dense import gram, matmul
from nnthermo.linalg.positive import inverse_and_log_det
from nnthermo.network import Network


@dataclasses.dataclass(frozen=True)
class StateEnsemble:
    """Normal distributions N(x̄(y), Σ(y)) of the states of a network, as functions of labels y (n,).

    Attributes:
        moments: y to x̄ (N,) and Σ or Σ⁻¹ (N, N).
        gives_precision: which of the two.
        solve: y to the `FixedPoint` of all neurons: whether and how well it was found.
    """

    moments: Labels
    gives_precision: bool
    solve: Labels

    def information(self, point: Any) -> GaussianInformation:
        """Fisher metric, entropy and its slopes at y."""
        name = "precision" if self.gives_precision else "covariance"
        return information_from_moments(self.moments, name)(point)

    def fisher(self, point: Any) -> Array:
        """F_ab at y, (n, n)."""
        return self.information(point).metric

    def entropy(self, point: Any) -> Array:
        """S = ½ log det(2πe Σ) at y, in nats, ()."""
        return self.information(point).entropy

    def mean(self, point: Any) -> Array:
        """x̄ at y, (N,)."""
        return self.moments(point)[0]

    def covariance(self, point: Any) -> Array:
        """Σ at y, (N, N)."""
        matrix = self.moments(point)[1]
        return inverse_and_log_det(matrix)[0] if self.gives_precision else matrix

    def metric(self, time: Callable[[Array], Array] | None = None) -> Metric:
        """The space-time of the labels, for `nnthermo.gravity`.

        Args:
            time: T(y); -S, the entropy destroyed, if None. `lambda y: y[0]` makes slices of equal learning time.
        """
        return entropic_metric_of(self.information) if time is None else lorentzian_metric(self.fisher, time)


def gaussian_state_ensemble(
    network: Network | Labels,
    boundary: Any,
    beta: Any = None,
    *,
    m: Any = 0.0,
    neurons: Any = "all",
    mean_term: bool = False,
    orders: int = 4,
    **solving: Any,
) -> StateEnsemble:
    """The Gaussian ensemble of (5.9)-(5.14) of a network as a function of labels.

        Σ⁻¹ = (1 - βm) 1 + βĜ,   Ĝ = (1 - f̂'ŵ)ᵀ(1 - f̂'ŵ) at the fixed state x̄ (2.9),   mean x̄.

    All of it is differentiable forward and backward, several times. A fixed state is found once, outside of
    differentiation, and then improved by `orders` steps with a fixed inverse of 1 - f̂'ŵ, each of which makes one order
    of derivatives exact; states of layers and of traced functions are exact as they are.

    Args:
        network: a network, or a function of y that returns one, such as a `weight_path`.
        boundary: data of the inputs, (n_in,), or a function of y, such as a `boundary_plane`.
        beta: β > 0, or a function of y; None for y⁰ = log β.
        m: curvature of the potential (3.3), or a function of y.
        neurons: whose states are looked at, the others clamped at x̄(y): "all"; "driven", all but the inputs; "hidden",
            neither inputs nor outputs; or booleans, (N,) in the order of `network.ravel`.
        mean_term: False for an ensemble centred at x̄, (5.14); True for (5.9), whose mean is x̄ - (1-βm) Mˉ¹ x̄.
        orders: derivatives of x̄ that are exact: k of g need k + 1, so curvature 3, and its divergence 4.
        solving: `initial`, `tolerance`, `max_steps` and `solver` of `Septuple.fixed_point`.

    Returns:
        `StateEnsemble`. NaN where the fixed state was not found, or Σ⁻¹ is not positive definite. A graph with cycles
        may have several fixed states; that of the given start counts, and where it ends the metric jumps.

    Raises:
        TypeError: another kind of network.
        ValueError: wrong shapes, names or numbers, when the ensemble is made if they are known, else when it is used.
    """
    states = FixedStates(network, boundary, neurons, orders, solving)
    for name, value in (("beta", beta), ("m", m)):
        if value is not None and not callable(value):
            finite(name, real_array(name, value, shape=()))
    if beta is not None and not callable(beta):
        positive("beta", beta)

    def moments(y: Array) -> tuple[Array, Array]:
        x, B, _ = states.moments(y)
        b = jnp.exp(y[0]) if beta is None else beta(y) if callable(beta) else beta
        b = real_array("beta", b, shape=()).astype(B.dtype)
        c = 1 - b * real_array("m", m(y) if callable(m) else m, shape=()).astype(B.dtype)
        precision = c * jnp.eye(B.shape[1], dtype=B.dtype) + b * gram(B)
        if mean_term:
            x = x - c * matmul(inverse_and_log_det(precision)[0], x)
        return x, precision

    return StateEnsemble(moments, True, states.solve)


def noisy_state_ensemble(
    network: Network | Labels, boundary: Any, noise: Any, *, orders: int = 4, **solving: Any
) -> StateEnsemble:
    """The stationary ensemble of a network with noise, x(t+1) = f(ŵx(t) + b) + √(2D) ξ, as a function of labels.

        Σ = f̂'ŵ Σ (f̂'ŵ)ᵀ + 2D,   mean x̄,

    of all neurons but the inputs, which have no noise. Exact for linear activations, to first order in D else. Own
    choice beside the ensemble of (5.9), which no dynamics in time is given for.

    Args:
        network, boundary, orders, solving: as in `gaussian_state_ensemble`.
        noise: D, half the variance added by a step: a number > 0, (n,) or (n, n), or a function of y.

    Returns:
        `StateEnsemble`. NaN where the fixed state was not found or is unstable.
    """
    states = FixedStates(network, boundary, "driven", orders, solving)

    def moments(y: Array) -> tuple[Array, Array]:
        x, B, rows = states.moments(y)
        signal = jnp.eye(B.shape[1], dtype=B.dtype) - B[rows]
        return x, stationary_state_covariance(signal, noise(y) if callable(noise) else noise)

    return StateEnsemble(moments, False, states.solve)
