"""The Gaussian ensembles of (5.9) and (5.14) as ensembles: mean, covariance and samples beside log Z, U and S."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, integer, is_concrete, random_key, refuse
from nnthermo._pytree import pytree
from nnthermo._typing import Array, State
from nnthermo.canonical.ensemble import CanonicalEnsemble
from nnthermo.canonical.measure import Window
from nnthermo.ensemble import bulk_hessian, log_partition, restrict


@pytree()
class GaussianEnsemble:
    """A normal distribution of states; made by `gaussian_ensemble`.

    Attributes:
        log_partition: log Z, (5.9) or (5.14), in nats, shape ().
        average_loss: U, the average of the quadratic loss, in units of the loss.
        entropy: S = -⟨log p⟩, in nats.
        mean: ⟨x⟩, shape (N,), neurons in the order of `net.ravel`; clamped ones at their data.
        precision: M = (1 - βm)I + βĜ over the free neurons, (dimension, dimension).
        free: indices of the free neurons, (dimension,).
    """

    log_partition: Array
    average_loss: Array
    entropy: Array
    mean: Array
    precision: Array
    free: Array

    def covariance(self) -> Array:
        """M⁻¹ over the free neurons and 0 elsewhere, (N, N)."""
        size = self.mean.shape[0]
        inverse = jnp.linalg.inv(self.precision)
        return jnp.zeros((size, size), self.mean.dtype).at[self.free[:, None], self.free[None, :]].set(inverse)

    def sample(self, key: Array, samples: int) -> Array:
        """States, (samples, N), for `net.unravel`; dense, O(dimension³) once."""
        random_key("key", key)
        samples = integer("samples", samples, least=1)
        noise = jax.random.normal(key, (self.free.shape[0], samples), self.mean.dtype)
        root = jnp.linalg.cholesky(self.precision)
        moves = jax.scipy.linalg.solve_triangular(root.T, noise, lower=False)
        return jnp.broadcast_to(self.mean, (samples, self.mean.shape[0])).at[:, self.free].add(moves.T)


def gaussian_ensemble(ensemble: CanonicalEnsemble, *, state: State = None, mean_term: bool = True) -> GaussianEnsemble:
    """The normal distribution that (5.9), or (5.14), puts in the place of a windowed ensemble.

    About the fixed state x̄, where H and its gradient vanish, -βH - x·x/2 is -½δᵀMδ - cδ·x̄ - (c/2)|x̄|² to second order
    in δ = x - x̄, c = 1 - βm: a normal distribution of precision M = cI + βĜ and mean x̄ - cM⁻¹x̄. To drop the mean term,
    as (5.14) does, is to centre the window at x̄: the mean is then x̄. Exact for linear activations.

    Args:
        ensemble: with a window of stiffness 1, outputs that are free, and no potential besides m.
        state: x̄; `net.fixed_point(inputs)` if None.
        mean_term: (5.9); False for (5.14).

    Raises:
        ValueError: another measure, clamped outputs (their minimum is no fixed state), a potential, a fixed state that
            was not found, or M not positive definite.
    """
    check(
        "measure", "be a window of stiffness 1", isinstance(ensemble.measure, Window), type(ensemble.measure).__name__
    )
    if is_concrete(ensemble.stiffness):
        check("stiffness", "be 1, as in (5.8)", float(ensemble.stiffness) == 1, float(ensemble.stiffness))
    check("targets", "be left free: (5.9) expands about a fixed state", ensemble.targets is None, "clamped outputs")
    check("potential", "be left out: (5.9) knows m alone", ensemble.potential is None, ensemble.potential)
    net, beta, m = ensemble.net, ensemble.beta, ensemble.m
    x = fixed_state(net, ensemble.inputs) if state is None else state
    whole = bulk_hessian(net, x)
    free = np.flatnonzero(ensemble.free)
    G: Any = whole if len(free) == net.size else restrict(whole, net.unravel(np.asarray(ensemble.free)))
    centre = x if mean_term else None
    # V of clamped neurons is a constant of the loss that the Hessian of the free ones does not know
    held = -0.5 * m * jnp.sum(ensemble.clamped_state() ** 2)

    def log_z(b: Array) -> Array:
        return log_partition(G, b, m=m, mean=centre)

    log_partition(G, beta, m=m, mean=centre)  # refuses what is not positive definite while the numbers are known
    value, slope = jax.jvp(log_z, (beta,), (jnp.ones_like(beta),))
    precision = (1 - beta * m) * jnp.eye(len(free), dtype=ensemble.dtype) + beta * G.to_dense()
    flat = net.ravel(x)
    pull = (1 - beta * m) * jnp.linalg.solve(precision, flat[free])
    mean = flat.at[free].add(-pull) if mean_term else flat
    n = len(free)
    entropy = 0.5 * n + log_partition(G, beta, m=m)
    return GaussianEnsemble(value - beta * held, -slope + held, entropy, mean, precision, jnp.asarray(free))


def fixed_state(net: Any, inputs: Array) -> State:
    """x̄ of (2.9), or the refusal of a network that does not settle."""
    found = net.fixed_point(inputs)
    if is_concrete(found.converged) and not bool(found.converged):
        reason = "be given where the network's own dynamics (2.5) does not converge"
        refuse("state", reason, f"residual {float(found.residual):.3g}")
    return found.state
