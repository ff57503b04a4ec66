r"""Markov chains for any canonical ensemble: Hamiltonian Monte Carlo with tuned steps, and whether it worked.

Chains run in coordinates without edges y, x = x(y), against -βH - (s/2) x·x + log |dx/dy|. They know nothing of log Z
(`nt.annealed` does) and cross from one mode to another only where the loss between them is a few 1/β.
"""

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, extra, integer, is_concrete, random_key, real_array
from nnthermo._typing import Array
from nnthermo.canonical.coordinates import Coordinates, coordinates_of, curvature, density, reach
from nnthermo.canonical.ensemble import CanonicalEnsemble, Estimate
from nnthermo.linalg.dense import matmul

DENSE = 64
"""Free neurons up to which the mass matrix is a full one."""

R_HAT = 1.01
"""Chains that agree have a smaller R-hat (Vehtari et al. 2021, arXiv:1903.08008)."""


class Chains(NamedTuple):
    """Markov chains of an ensemble.

    Attributes:
        states: (chains, draws, N), neurons in the order of `net.ravel`, clamped ones at their data.
        losses: H of each, (chains, draws).
        r_hat: (N,), rank-normalised split R-hat, the larger of bulk and tail; 1 for clamped neurons.
        loss_r_hat: that of H, shape ().
        effective_samples: (N,), of the means of neurons, by Geyer's monotone sequence; all draws for clamped ones.
        loss_effective_samples: that of H, shape ().
        divergences: trajectories whose energy was off by more than 1000, (chains,) integers.
        acceptance: mean acceptance probability, (chains,); 0.8 is aimed at.
        step_size: that the warm-up found, (chains,).
    """

    states: Array
    losses: Array
    r_hat: Array
    loss_r_hat: Array
    effective_samples: Array
    loss_effective_samples: Array
    divergences: Array
    acceptance: Array
    step_size: Array

    @property
    def converged(self) -> Array:
        """Whether every R-hat is below 1.01 and no trajectory diverged, shape ().

        Necessary, not sufficient: chains that all miss a mode agree with each other.
        """
        worst = jnp.maximum(jnp.max(self.r_hat), self.loss_r_hat)
        return (worst < R_HAT) & (jnp.sum(self.divergences) == 0)

    def mean(self) -> Estimate:
        """⟨x⟩ with its standard error, (N,) each."""
        flat = self.states.reshape(-1, self.states.shape[-1])
        return Estimate(flat.mean(0), flat.std(0) / jnp.sqrt(self.effective_samples))

    def covariance(self) -> Array:
        """⟨xxᵀ⟩ - ⟨x⟩⟨x⟩ᵀ, shape (N, N)."""
        flat = self.states.reshape(-1, self.states.shape[-1])
        centred = flat - flat.mean(0)[None, :]
        return matmul(centred.T, centred) / flat.shape[0]

    def average_loss(self) -> Estimate:
        """U = ⟨H⟩ with its standard error, shape () each."""
        return Estimate(self.losses.mean(), self.losses.std() / jnp.sqrt(self.loss_effective_samples))


def sample(
    ensemble: CanonicalEnsemble,
    key: Array,
    *,
    draws: int = 1000,
    warmup: int = 500,
    chains: int = 4,
    method: str = "nuts",
    integration_steps: int = 16,
    start: Any = None,
) -> Chains:
    """Draws from any canonical ensemble, cycles, potentials, boxes and clamped boundaries included.

    Step size and mass matrix of each chain are adapted in its warm-up, as Stan's are, and then fixed. Chains start
    apart, from normal distributions broader than the ensemble, so that R-hat shows modes that they do not cross
    between. For several modes, and for log Z, there is `nt.annealed`; for feed-forward networks `nt.ancestral_samples`,
    which has no chain. Not differentiable.

    Args:
        ensemble: of any network.
        key: JAX random key.
        draws: kept of each chain, at least 4.
        warmup: discarded ones, at least 20; some hundreds are needed to adapt a full mass matrix.
        chains: at least 2, run side by side.
        method: "nuts", or "hmc" with a fixed number of steps whose size is shortened by up to a half at random.
        integration_steps: leapfrog steps of "hmc".
        start: states to start from, (N,) or (chains, N), in the order of `net.ravel`; clamped neurons are ignored.

    Raises:
        ImportError: blackjax is not installed.
        ValueError: no random key, too few draws or chains, another method, a start of another shape or outside the box.
    """
    random_key("key", key)
    draws, warmup, chains = (
        integer("draws", draws, least=4),
        integer("warmup", warmup, least=20),
        integer("chains", chains, least=2),
    )
    integration_steps = integer("integration_steps", integration_steps, least=1)
    check("method", "be 'nuts' or 'hmc'", method in ("nuts", "hmc"), repr(method))
    extra("blackjax", "sampling")
    if start is not None:
        start = _start(ensemble, start, chains)
    with lenient():
        return _run(ensemble, key, start, _Plan(draws, warmup, chains, method, integration_steps))


class _Plan(NamedTuple):
    """The static numbers of a run."""

    draws: int
    warmup: int
    chains: int
    method: str
    integration_steps: int


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """blackjax mixes integers with booleans and ranks with ranks; a strict session must not hear of it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _start(ensemble: CanonicalEnsemble, start: Any, chains: int) -> Array:
    """Values of the free neurons at the start of each chain, (chains, n)."""
    x = real_array("start", start).astype(ensemble.dtype)
    size = ensemble.net.size
    check(
        "start", f"have shape {(size,)} or {(chains, size)}", x.shape in ((size,), (chains, size)), f"shape {x.shape}"
    )
    free = jnp.broadcast_to(x, (chains, size))[:, np.flatnonzero(ensemble.free)]
    if is_concrete(free, ensemble.measure):
        low, high = (np.asarray(edge)[None, :] for edge in ensemble.edges())
        inside = bool(np.all((np.asarray(free) > low) & (np.asarray(free) < high)))
        check("start", "lie inside the box", inside, "a state on its edge, outside it, or not a number")
    return free


@partial(jax.jit, static_argnums=3)
def _run(ensemble: CanonicalEnsemble, key: Array, start: Array | None, plan: _Plan) -> Chains:
    key_start, key_warmup, key_draws = jax.random.split(key, 3)
    coordinates = coordinates_of(ensemble)
    if start is None:
        centre, width = reach(ensemble, jax.random.fold_in(key_start, 0))
        noise = jax.random.normal(key_start, (plan.chains, ensemble.dimension), ensemble.dtype)
        start = jnp.clip(centre + 1.5 * width * noise, *_well_inside(coordinates))
    y, info, step = _chains(ensemble, coordinates, jax.vmap(coordinates.position)(start), (key_warmup, key_draws), plan)
    x = jax.vmap(jax.vmap(coordinates.state))(y)
    losses = jax.vmap(jax.vmap(lambda v: ensemble.loss(ensemble.state(v))))(x)
    index = np.flatnonzero(ensemble.free)
    r_hat, effective = _diagnostics(jnp.concatenate([x, losses[:, :, None]], axis=-1))
    everywhere = jnp.ones((ensemble.net.size,), ensemble.dtype)
    return Chains(
        ensemble.complete(x),
        losses,
        everywhere.at[index].set(r_hat[:-1]),
        r_hat[-1],
        (everywhere * plan.chains * plan.draws).at[index].set(effective[:-1]),
        effective[-1],
        jnp.sum(info[0], axis=1),
        jnp.mean(info[1], axis=1).astype(ensemble.dtype),
        step.astype(ensemble.dtype),
    )


def _well_inside(coordinates: Coordinates) -> tuple[Array, Array]:
    """Ends of the middle 98 % of finite intervals."""
    width = coordinates.high - coordinates.low
    margin = jnp.where(jnp.isfinite(width), 0.01 * width, 0.01)
    return coordinates.low + margin, coordinates.high - margin


def _chains(
    ensemble: CanonicalEnsemble, coordinates: Coordinates, start: Array, keys: tuple[Array, Array], plan: _Plan
) -> tuple[Array, tuple[Array, Array], Array]:
    """Positions (chains, draws, n), divergences and acceptance (chains, draws), step sizes (chains,)."""
    blackjax = extra("blackjax", "sampling")
    n, own, working = start.shape[1], start.dtype, jnp.result_type(float)  # the dtype blackjax insists on

    @jax.jit  # traced once, and not at each of the places where a kernel calls it
    def log_density(y: Array) -> Array:
        y = y.astype(own)
        return (density(ensemble, coordinates.state(y)) + coordinates.log_jacobian(y)).astype(working)

    algorithm = getattr(blackjax, plan.method)
    trajectory = {"num_integration_steps": plan.integration_steps} if plan.method == "hmc" else {}
    variance = coordinates.variance(curvature(ensemble)).astype(working)
    variance = jnp.broadcast_to(variance, (n,))
    adaptation = blackjax.window_adaptation(
        algorithm,
        log_density,
        is_mass_matrix_diagonal=n > DENSE,
        initial_inverse_mass_matrix=variance if n > DENSE else jnp.diag(variance),
        **trajectory,
    )

    def warm_up(key: Array, y: Array) -> Any:
        (state, parameters), _ = adaptation.run(key, y, plan.warmup)
        return state, parameters["step_size"], parameters["inverse_mass_matrix"]

    state, step, mass = jax.vmap(warm_up)(jax.random.split(keys[0], plan.chains), start.astype(working))
    kernel = algorithm.build_kernel()

    def move(key: Array, state: Any, step: Array, mass: Array) -> Any:
        if plan.method == "hmc":
            key, shorter = jax.random.split(key)
            step = step * jax.random.uniform(shorter, (), working, 0.5, 1.0)
        state, info = kernel(key, state, log_density, step, mass, *trajectory.values())
        return state, (state.position, info.is_divergent, info.acceptance_rate)

    def sweep(states: Any, key: Array) -> Any:
        return jax.vmap(move)(jax.random.split(key, plan.chains), states, step, mass)

    _, (y, divergent, acceptance) = jax.lax.scan(sweep, state, jax.random.split(keys[1], plan.draws))
    return jnp.swapaxes(y, 0, 1).astype(own), (divergent.T, acceptance.T), step


def _diagnostics(values: Array) -> tuple[Array, Array]:
    """R-hat and effective samples of each quantity, (chains, draws, k) to (k,)."""
    blackjax = extra("blackjax", "sampling")
    wide = values.astype(jnp.result_type(float))
    count = math.prod(values.shape[:2])
    effective = jnp.minimum(blackjax.ess(wide).reshape(-1), count * math.log10(count))
    return blackjax.rhat(wide).reshape(-1).astype(values.dtype), effective.astype(values.dtype)
