"""Learning in a plane through two equal minima: a double well of a real network, with its noise."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.experiments.mechanics.problem import Problem, exchanged
from nnthermo.experiments.mechanics.settings import Settings
from nnthermo.mechanics import Grid


@dataclasses.dataclass(frozen=True)
class Plane:
    """Weights origin + a @ directions, a (2,).

    Attributes:
        origin: half way between the minima, (K,), on the barrier.
        directions: orthonormal, (2, K): from one minimum to the other, and down the slope at the origin, which
            the exchange of the two neurons leaves as it is.
        half_distance: the minima lie at a₁ = ± this (and a₂ = 0) in the plane.
    """

    origin: np.ndarray
    directions: np.ndarray
    half_distance: float

    def weights(self, a: Array) -> Array:
        """q(a), (K,)."""
        return jnp.asarray(self.origin, a.dtype) + a @ jnp.asarray(self.directions, a.dtype)


class Landscape(dict[str, np.ndarray]):
    """Fields on the grid: `loss` L, `gradient` ∇L (..., 2), `covariance` of the samples' gradients (..., 2, 2)."""


def make_plane(problem: Problem) -> Plane:
    """The plane through the minimum, its copy with two neurons exchanged, and the slope between them."""
    other = exchanged(problem)
    origin = (problem.minimum + other) / 2
    across = other - problem.minimum
    down = -np.asarray(jax.grad(problem.loss)(jnp.asarray(origin)))
    across, length = across / np.linalg.norm(across), float(np.linalg.norm(across))
    down -= across * (across @ down)  # zero but for rounding
    return Plane(origin, np.stack([across, down / np.linalg.norm(down)]), length / 2)


def plane_loss(problem: Problem, plane: Plane) -> Any:
    """H of one sample as a function of the place in the plane."""
    return lambda a, x, t: problem.sample_loss(plane.weights(a), x, t)


def landscape(problem: Problem, plane: Plane, places: Array) -> Landscape:
    """Loss, gradient and covariance of the gradients over the samples at places (..., 2)."""
    x, t = jnp.asarray(problem.inputs), jnp.asarray(problem.targets)
    loss = plane_loss(problem, plane)

    def at(a: Array) -> dict[str, Array]:
        each = jax.vmap(lambda x, t: loss(a, x, t))(x, t)
        slopes = jax.vmap(jax.jacfwd(lambda a, x, t: loss(a, x, t)), (None, 0, 0))(a, x, t)
        mean = slopes.mean(0)
        away = slopes - mean
        return {"loss": each.mean(), "gradient": mean, "covariance": away.T @ away / len(away)}

    found = jax.jit(lambda flat: jax.lax.map(at, flat, batch_size=64))(jnp.asarray(places).reshape(-1, 2))
    shape = places.shape[:-1]
    return Landscape({name: np.asarray(v).reshape(*shape, *v.shape[1:]) for name, v in found.items()})


def grid_of(plane: Plane, problem: Problem, points: int) -> Grid:
    """A grid that holds both wells and what reaches over their edges."""
    reach = 1.9 * plane.half_distance
    low, high = valley(plane, problem, reach)
    return Grid([-reach, low], [reach, high], points)


def valley(plane: Plane, problem: Problem, reach: float) -> tuple[float, float]:
    """Where along the second direction the loss stays below that of three barriers."""
    a2 = np.linspace(-2 * reach, 2 * reach, 161)
    a1 = np.linspace(-reach, reach, 41)
    places = np.stack(np.meshgrid(a1, a2, indexing="ij"), -1)
    loss = landscape(problem, plane, places)["loss"].min(0)
    top = loss.min() + 3 * (landscape(problem, plane, np.zeros((1, 2)))["loss"][0] - loss.min())
    inside = a2[loss < top]
    return float(inside.min()), float(inside.max())


def drift_and_diffusion(fields: Landscape, grid: Grid, settings: Settings) -> tuple[Array, Array]:
    """-∇(ηL + η²|∇L|²/4) and η²C/2B on the grid, a step: what the Fokker-Planck equation of SGD needs, nothing fitted.

    The second part of the drift makes the equation right to second order in η.
    """
    eta = settings.plane_learning_rate
    gradient = jnp.asarray(fields["gradient"])
    squares = jnp.sum(gradient**2, -1)
    spacing = [float(h) for h in grid.spacing]
    correction = jnp.stack(jnp.gradient(squares, *spacing), -1)
    drift = -eta * gradient - 0.25 * eta**2 * correction
    return drift, jnp.asarray(fields["covariance"]) * eta**2 / (2 * settings.plane_batch_size)
