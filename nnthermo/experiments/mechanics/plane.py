"""Learning in a plane of two combinations of the weights, the sharpest ones, with all else held fixed."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.experiments.mechanics.gaussian import Linear
from nnthermo.experiments.mechanics.problem import Problem
from nnthermo.experiments.mechanics.settings import Settings
from nnthermo.mechanics import Grid, modified_diffusion_matrix


@dataclasses.dataclass(frozen=True)
class Plane:
    """Weights minimum + a @ directions, a (2,).

    Attributes:
        origin: the minimum, (K,).
        directions: the two sharpest eigenvectors of the Hessian there, (2, K).
        widths: standard deviations at rest that the linear problem gives, (2,).
    """

    origin: np.ndarray
    directions: np.ndarray
    widths: np.ndarray

    def weights(self, a: Array) -> Array:
        """q(a), (K,)."""
        return jnp.asarray(self.origin, a.dtype) + a @ jnp.asarray(self.directions, a.dtype)


class Landscape(dict[str, np.ndarray]):
    """Fields on the grid: `loss` L, `gradient` (..., 2), `hessian` and `covariance` of gradients (..., 2, 2)."""


def make_plane(problem: Problem, linear: Linear) -> Plane:
    """The plane through the minimum; `linear` at the learning rate and batch size of the plane."""
    sharpest = [-1, -2]
    widths = np.sqrt(np.diag(linear.diffusion)[sharpest] / linear.rates[sharpest])
    return Plane(problem.minimum, linear.vectors[:, sharpest].T, widths)


def plane_loss(problem: Problem, plane: Plane) -> Any:
    """H of one sample as a function of the place in the plane."""
    return lambda a, x, t: problem.sample_loss(plane.weights(a), x, t)


def landscape(problem: Problem, plane: Plane, places: Array) -> Landscape:
    """Loss, gradient and covariance of the gradients over the samples at places (..., 2)."""
    x, t = jnp.asarray(problem.inputs), jnp.asarray(problem.targets)
    loss = plane_loss(problem, plane)

    def at(a: Array) -> dict[str, Array]:
        each = jax.vmap(lambda x, t: loss(a, x, t))(x, t)
        slopes = jax.vmap(jax.jacfwd(loss), (None, 0, 0))(a, x, t)
        hessian = jax.jacfwd(lambda a: jax.vmap(jax.jacfwd(loss), (None, 0, 0))(a, x, t).mean(0))(a)
        mean = slopes.mean(0)
        away = slopes - mean[None]
        return {"loss": each.mean(), "gradient": mean, "hessian": hessian, "covariance": away.T @ away / len(away)}

    found = jax.jit(lambda flat: jax.lax.map(at, flat, batch_size=64))(jnp.asarray(places).reshape(-1, 2))
    shape = places.shape[:-1]
    return Landscape({name: np.asarray(v).reshape(*shape, *v.shape[1:]) for name, v in found.items()})


def start_of(plane: Plane, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Centre and standard deviations of the Gaussian that the ensembles start from, each (2,)."""
    return settings.plane_displacement * plane.widths, settings.plane_spread * plane.widths


def grid_of(plane: Plane, points: int, settings: Settings) -> Grid:
    """A grid that holds the start, the way and the density at rest."""
    far = settings.plane_displacement + 5.5 * settings.plane_spread
    return Grid(-max(6.0, far - 3) * plane.widths, max(6.0, far) * plane.widths, points)


def drift_and_diffusion(fields: Landscape, settings: Settings) -> tuple[Array, Array]:
    """What the Fokker-Planck equation of SGD needs, a step of time one: nothing in it is fitted.

    To leading order -η∇L and D = η²C/2B. The next order in η makes the moments of one step right for a quadratic loss
    (own derivation; the drift is the known modified loss L + η|∇L|²/4): -η(1 + ηH/2)∇L and D + η(HD + DH)/2.
    """
    eta = settings.plane_learning_rate
    g, H = jnp.asarray(fields["gradient"]), jnp.asarray(fields["hessian"])
    D = jnp.asarray(fields["covariance"]) * eta**2 / (2 * settings.plane_batch_size)
    drift = -eta * (g + 0.5 * eta * jnp.einsum("...kl,...l->...k", H, g))
    return drift, modified_diffusion_matrix(D, H, eta)
