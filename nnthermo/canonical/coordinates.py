"""Free neurons in coordinates without edges, where Hamiltonian moves can run, and where such moves may start."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._typing import Array
from nnthermo.canonical.ensemble import CanonicalEnsemble

PROBES = 64
"""Random states at which the activations are looked at for their range."""


class Coordinates(NamedTuple):
    """x(y) for y in R^n: logistic in a finite interval, softplus where one end is infinite, x = y where both are.

    Attributes:
        low: (n,) ends of the intervals; -inf for none.
        high: (n,); inf for none.
    """

    low: Array
    high: Array

    def _kinds(self) -> tuple[Array, Array, Array, Array]:
        """Which ends are finite, (n,) each, and the ends with 0 for those that are not."""
        below, above = jnp.isfinite(self.low), jnp.isfinite(self.high)
        return below, above, jnp.where(below, self.low, 0), jnp.where(above, self.high, 0)

    def state(self, y: Array) -> Array:
        """x(y), shape (n,)."""
        below, above, low, high = self._kinds()
        inside = low + (high - low) * jax.nn.sigmoid(y)
        one_sided = jnp.where(below, low + jax.nn.softplus(y), high - jax.nn.softplus(-y))
        return jnp.where(below & above, inside, jnp.where(below | above, one_sided, y))

    def log_jacobian(self, y: Array) -> Array:
        """log |dx/dy| summed over neurons, shape (); finite for every finite y."""
        below, above, low, high = self._kinds()
        rising, falling = jax.nn.log_sigmoid(y), jax.nn.log_sigmoid(-y)
        inside = jnp.log(jnp.where(below & above, high - low, 1)) + rising + falling
        one_sided = jnp.where(below, rising, falling)
        return jnp.sum(jnp.where(below & above, inside, jnp.where(below | above, one_sided, 0)))

    def position(self, x: Array) -> Array:
        """The inverse, shape (n,); what lies on an edge or beyond is put a few ulp inside."""
        below, above, low, high = self._kinds()
        ulp = 4 * jnp.finfo(x.dtype).eps
        width = jnp.where(below & above, high - low, 1)
        part = jnp.clip((x - low) / width, ulp, 1 - ulp)
        gap = jnp.maximum(jnp.where(below, x - low, high - x), ulp)
        above_zero = gap + jnp.log(-jnp.expm1(-gap))  # softplus⁻¹
        one_sided = jnp.where(below, above_zero, -above_zero)
        inside = jnp.log(part) - jnp.log1p(-part)
        return jnp.where(below & above, inside, jnp.where(below | above, one_sided, x))

    def variance(self, curvature: Array) -> Array:
        """A diagonal inverse mass (n,): 1/curvature in x, taken to y at the middle of each interval."""
        below, above, low, high = self._kinds()
        stretch = jnp.where(below & above, (high - low) / 4, 1)
        edge = jnp.where(below | above, 0.25, 0.0).astype(stretch.dtype)  # curvature of the log-Jacobian
        return 1 / (curvature * stretch**2 + edge)


def coordinates_of(ensemble: CanonicalEnsemble) -> Coordinates:
    """Those of the free neurons of an ensemble."""
    return Coordinates(*ensemble.edges())


def density(ensemble: CanonicalEnsemble, x: Array) -> Array:
    """-βH - (s/2) x·x of free neurons (n,), as `log_density` but finite on the edges of a box, where x may round to."""
    return -ensemble.beta * ensemble.loss(ensemble.state(x)) - 0.5 * ensemble.stiffness * jnp.sum(x**2)


def curvature(ensemble: CanonicalEnsemble) -> Array:
    """κ = s + β(1 - m), that of a neuron that feeds no other; s + β where m leaves none; shape ()."""
    kappa = ensemble.stiffness + ensemble.beta * (1 - ensemble.m)
    return jnp.where(kappa > 0, kappa, ensemble.stiffness + ensemble.beta)


def activations(ensemble: CanonicalEnsemble, x: Array) -> Array:
    """f(ŵx + b) of every free neuron at the values of all, (n,) to (n,); the data for inputs that are free."""
    net, index = ensemble.net, np.flatnonzero(ensemble.free)
    state = ensemble.state(x)
    return x - net.ravel(net.residual(state, ensemble.inputs))[index]


def reach(ensemble: CanonicalEnsemble, key: Array) -> tuple[Array, Array]:
    """Centre and width, (n,) each, of normal distributions that are broader than the ensemble, most likely.

    From the range of f at random states and the conditional variance 1/κ; not broad enough for linear networks whose
    recurrent weights come near to an eigenvalue 1.
    """
    low, high = ensemble.edges()
    kappa = curvature(ensemble)
    # normal states of unit variance and of nine times as much
    sizes = jnp.where(jnp.arange(PROBES) % 2 == 0, 1.0, 3.0).astype(ensemble.dtype)
    noise = jax.random.normal(key, (PROBES, ensemble.dimension), ensemble.dtype)
    f = jax.vmap(lambda x: activations(ensemble, x))(sizes[:, None] * noise)
    shrink = jnp.minimum(ensemble.beta / kappa, 1)
    middle, half = (f.max(0) + f.min(0)) / 2, (f.max(0) - f.min(0)) / 2
    return jnp.clip(shrink * middle, low, high), jnp.sqrt(4 / kappa + (shrink * half) ** 2)
