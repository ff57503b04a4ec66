"""The space-time of a network at one point of its labels: Fisher metric, clock, curvature, Einstein's equations."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo import FeedForward
from nnthermo._typing import Array
from nnthermo.emergent_spacetime import boundary_plane, gaussian_state_ensemble
from nnthermo.experiments.gravity.problem import Problem, network_at
from nnthermo.experiments.gravity.settings import Settings
from nnthermo.gravity import GaussianInformation, geometry, inverse_and_determinant, turn_sign


class Clock(NamedTuple):
    """What y⁰ means and which way time goes; one program serves all.

    Attributes:
        speed: training time is time + speed y⁰.
        time: of y⁰ = 0.
        heating: log β is log_beta + heating y⁰.
        log_beta: of y⁰ = 0.
        by_entropy: 1 for T = -S, 0 for T = y⁰.
    """

    speed: Array
    time: Array
    heating: Array
    log_beta: Array
    by_entropy: Array


def clock_of(name: str, settings: Settings) -> Clock:
    """One of `CLOCKS`: y⁰ is training time at the given β, or log β at the end of training."""
    numbers = {
        "entropy": (1.0, 0.0, 0.0, np.log(settings.beta), 1.0),
        "training": (1.0, 0.0, 0.0, np.log(settings.beta), 0.0),
        "temperature": (0.0, settings.end, 1.0, 0.0, 1.0),
    }[name]
    return Clock(*(jnp.asarray(np.float64(v)) for v in numbers))


def clock_times(name: str, settings: Settings) -> np.ndarray:
    """y⁰ of the looks: training times, or log β from a tenth to ten times the given one."""
    if name == "temperature":
        return np.log(settings.beta) + np.linspace(-1, 1, settings.looks) * np.log(10.0)
    return settings.look_at


class Look(NamedTuple):
    """What is found at one point of the labels.

    Attributes:
        fisher: F_ab, (3, 3).
        entropy: S in nats.
        entropy_slope: ∂S/∂y⁰.
        time_like: g_00/F_00: -1 where y⁰ runs along the arrow of time, +1 where it runs across, and between.
        determinant: det g / det F, -1 for one turned sign.
        scalar: R.
        residual: ‖R_ab - R g_ab/3‖/‖R_ab‖ in the norm of F.
        cosmological_constant: the Λ that is best at this point, (d-1)R/2(d+1) for d = 2.
        energy: G_ab n^a n^b along the unit normal n of the slices, κ times an energy density.
        turning: geodesic curvature of the line of a fixed input, in the norm of F, times its speed: radians a unit of
            y⁰.
    """

    fisher: Array
    entropy: Array
    entropy_slope: Array
    time_like: Array
    determinant: Array
    scalar: Array
    residual: Array
    cosmological_constant: Array
    energy: Array
    turning: Array


def measured(
    networks: FeedForward, times: np.ndarray, problem: Problem, clock: Clock, points: np.ndarray, arm: str
) -> dict[str, np.ndarray]:
    """`Look` at points (M, 3) of the polynomial through networks at T times, as arrays with a first axis M.

    Call it in float64.
    """
    leaves, structure = jax.tree.flatten(networks)
    program = _program(structure, tuple(leaf.shape for leaf in leaves), arm)
    given = (networks, jnp.asarray(times), jnp.asarray(problem.origin), jnp.asarray(problem.directions))
    found = program(jnp.asarray(points), *given, clock)
    return {name: np.asarray(value) for name, value in found._asdict().items()}


@functools.cache
def _program(_structure: object, shapes: tuple[tuple[int, ...], ...], arm: str) -> Callable[..., Look]:
    """Compiled once for networks of one shape."""
    inputs, hidden, outputs = shapes[0][2], shapes[0][1], shapes[1][1]
    kept = np.concatenate([np.zeros(inputs, bool), np.ones(hidden, bool), np.full(outputs, arm == "small")])

    def look(y: Array, networks: FeedForward, nodes: Array, origin: Array, directions: Array, clock: Clock) -> Look:
        ensemble = gaussian_state_ensemble(
            lambda y: network_at(networks, nodes, clock.time + clock.speed * y[0]),
            boundary_plane(origin, directions),
            lambda y: jnp.exp(clock.log_beta + clock.heating * y[0]),
            neurons=kept,
        )

        def slopes(found: GaussianInformation) -> Array:
            forward = jnp.zeros_like(found.entropy_slopes).at[0].set(1)
            return -clock.by_entropy * found.entropy_slopes + (1 - clock.by_entropy) * forward

        def metric(y: Array) -> Array:
            found = ensemble.information(y)
            return turn_sign(found.metric, slopes(found))

        at, here = geometry(metric, y), ensemble.information(y)
        F, T = here.metric, slopes(here)
        inverse, determinant = inverse_and_determinant(F)
        ricci, R, n = at.ricci, at.scalar, F.shape[0]
        free = ricci - R * at.metric / n
        size = jnp.sqrt(_square(free, inverse) / _square(ricci, inverse))
        up = at.inverse @ T
        normal = up / jnp.sqrt(-(T @ up))
        bending = at.christoffel[:, 0, 0]
        across = bending.at[0].set(0)  # in the frame of the line itself: what is along it is reparametrisation
        lowered = F @ across
        along = lowered[0] / F[0, 0]
        bent = jnp.sqrt(jnp.maximum(across @ lowered - along * lowered[0], 0))
        return Look(
            F, here.entropy, here.entropy_slopes[0], at.metric[0, 0] / F[0, 0], at.determinant / determinant, R, size,
            R * (n - 2) / (2 * n), normal @ at.einstein @ normal, bent / jnp.sqrt(F[0, 0]),
        )  # fmt: skip

    return jax.jit(jax.vmap(look, (0, None, None, None, None, None)))


def _square(tensor: Array, inverse: Array) -> Array:
    return jnp.sum((inverse @ tensor @ inverse) * tensor)


def points_of(labels: np.ndarray, times: np.ndarray) -> np.ndarray:
    """All pairs of times (T,) and labels (P, 2), as points (T·P, 3)."""
    return np.concatenate([np.column_stack([np.full(len(labels), t), labels]) for t in times])
