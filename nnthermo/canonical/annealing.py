r"""log Z of any canonical ensemble by annealed importance sampling (Neal 2001, arXiv:physics/9803008), with an error.

Particles are drawn from a normalised q(x) and follow, by Hamiltonian moves, the path

    π_t(x) ∝ q(x)^{1-t} exp(-tβH(x) - t(s/2) x·x) = q(x) w(x)^t,    0 = t_0 < t_1 < ... < t_K = 1,

with log w = -βH - (s/2) x·x - log q. A particle gathers Σ_k (t_k - t_{k-1}) log w(x_{k-1}), whose mean exponential is Z
without bias: whatever the temperatures and steps are, as long as they do not look at these particles. A pilot run of
other particles, a quarter as many, finds them. Where effective samples run low, particles are drawn anew in proportion
to their weights (systematic resampling), which leaves Z unbiased; errors then count families, particles of one first
ancestor, and not particles (Chan and Lai 2013, doi:10.1214/13-AOS1162).

q is the noisy network of `nt.ancestral` where there are no cycles, and log w is then the one there: outputs are free in
q and become clamped along the path. Else q is a product of normal distributions. In a box all of them are truncated.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, extra, integer, is_concrete, random_key, real_array
from nnthermo._typing import Array
from nnthermo.canonical.ancestral import draw, levels_of
from nnthermo.canonical.coordinates import Coordinates, activations, coordinates_of, curvature, density, reach
from nnthermo.canonical.ensemble import CanonicalEnsemble, CanonicalEstimate
from nnthermo.canonical.measure import Box
from nnthermo.canonical.sampling import lenient
from nnthermo.canonical.truncated import log_normal_mass, truncated_normal
from nnthermo.canonical.weights import WeightedSamples, estimate_from

ACCEPTANCE = 0.8
"""What the pilot run aims at."""

GROUPS = 4
"""Particles go in so many groups, one after the other, of the size of the pilot run, and are resampled within these."""


class Annealed(NamedTuple):
    """What annealing found.

    Attributes:
        estimate: log Z, U, S, ⟨x·x⟩, ⟨x⟩ and the covariance, with standard errors; its `effective_samples` counts
            families, and errors are not to be trusted where these are few (below about 30).
        samples: the particles at t = 1 with their weights. After resampling they are not independent.
        temperatures: t_k, (K + 1,).
        acceptance: mean acceptance probability of the moves at t_1 ... t_K, (K,).
        resampled: the part of the particles that was drawn anew there, (K,).
    """

    estimate: CanonicalEstimate
    samples: WeightedSamples
    temperatures: Array
    acceptance: Array
    resampled: Array

    @property
    def effective_samples(self) -> Array:
        """Those of the estimate, shape ()."""
        return self.estimate.effective_samples


def annealed(
    ensemble: CanonicalEnsemble,
    key: Array,
    *,
    particles: int = 1000,
    temperatures: Any = 32,
    moves: int = 2,
    integration_steps: int = 8,
    resample: float = 0.5,
) -> Annealed:
    """log Z, U and S of any ensemble, cycles, several modes, boxes and clamped boundaries included.

    Z is unbiased; log Z is corrected for the bias of the logarithm to order 1/particles. Modes are found as far as some
    particles start near them and are weighed by how many do: they need not be crossed between late in the path. An
    error that shrinks as `temperatures` grow says that the path was too steep. Not differentiable, but ∂ log Z/∂β = -U.

    Args:
        ensemble: of any network. The order of a `Septuple` without cycles is made use of where its weights are known,
            not under `jit`.
        key: JAX random key.
        particles: at least 32; rounded up to a multiple of 4.
        temperatures: number K of steps, which a pilot run then spaces evenly in the length ∫ std(log w) dt; or t_0 = 0
            < t_1 < ... < t_K = 1 themselves.
        moves: Hamiltonian moves of each particle at each temperature.
        integration_steps: leapfrog steps a move.
        resample: effective samples, as a part of the particles, below which particles are drawn anew; 0 for never.

    Raises:
        ImportError: blackjax is not installed.
        ValueError: no random key, too few particles, temperatures that do not rise from 0 to 1, or `resample` not in
            [0, 1].
    """
    random_key("key", key)
    particles, moves = integer("particles", particles, least=32), integer("moves", moves, least=1)
    integration_steps = integer("integration_steps", integration_steps, least=1)
    check("resample", "be in [0, 1]", 0 <= resample <= 1, resample)
    extra("blackjax", "sampling")
    grid, spaced = _grid(temperatures, ensemble.dtype)
    plan = _Plan(particles, moves, integration_steps, float(resample), _levels(ensemble), spaced)
    with lenient():
        return _run(ensemble, key, grid, plan)


class _Plan(NamedTuple):
    """The static numbers of a run; `levels` of an acyclic graph, None for normal distributions as a start."""

    particles: int
    moves: int
    integration_steps: int
    resample: float
    levels: int | None
    spaced: bool


def _grid(temperatures: Any, dtype: Any) -> tuple[Array, bool]:
    """t_0 ... t_K to begin with, and whether the pilot run is to space them."""
    if np.ndim(temperatures) == 0:
        count = integer("temperatures", temperatures, least=2)
        return jnp.asarray(np.linspace(0, 1, count + 1) ** 4, dtype), True
    grid = real_array("temperatures", temperatures, ndim=1).astype(dtype)
    if is_concrete(grid):
        t = np.asarray(grid)
        rising = len(t) >= 2 and t[0] == 0 and t[-1] == 1 and bool(np.all(np.diff(t) > 0))
        check("temperatures", "rise from 0 to 1", rising, t.tolist())
    return grid, False


def _levels(ensemble: CanonicalEnsemble) -> int | None:
    if is_concrete(ensemble.beta, ensemble.m, ensemble.measure):
        with jax.ensure_compile_time_eval():
            positive = bool(ensemble.stiffness + ensemble.beta * (1 - ensemble.m) > 0)
        if not positive:
            return None
    return levels_of(ensemble.net)


class _Base(NamedTuple):
    """q: normal distributions, truncated in a box, of given centre (n,), or that of the network if None; width (n,)."""

    centre: Array | None
    width: Array


def _base(ensemble: CanonicalEnsemble, key: Array, levels: int | None) -> _Base:
    if levels is None:
        return _Base(*reach(ensemble, key))
    return _Base(None, jnp.broadcast_to(1 / jnp.sqrt(curvature(ensemble)), (ensemble.dimension,)))


def _centre(ensemble: CanonicalEnsemble, base: _Base, x: Array) -> Array:
    if base.centre is not None:
        return base.centre
    return ensemble.beta / curvature(ensemble) * activations(ensemble, x)


def _log_base(ensemble: CanonicalEnsemble, base: _Base, x: Array) -> Array:
    """log q of free neurons (n,), shape ()."""
    centre = _centre(ensemble, base, x)
    logs = -0.5 * ((x - centre) / base.width) ** 2 - jnp.log(base.width) - 0.5 * math.log(2 * math.pi)
    if isinstance(ensemble.measure, Box):
        low, high = ensemble.edges()
        logs -= log_normal_mass((low - centre) / base.width, (high - centre) / base.width)
    return jnp.sum(logs)


def _draw(ensemble: CanonicalEnsemble, base: _Base, key: Array, levels: int | None) -> Array:
    """Free neurons (n,) from q."""
    if base.centre is None:
        assert levels is not None
        return draw(ensemble, key, levels)[np.flatnonzero(ensemble.free)]
    shape, dtype = base.width.shape, ensemble.dtype
    if not isinstance(ensemble.measure, Box):
        return base.centre + base.width * jax.random.normal(key, shape, dtype)
    ends = ((edge - base.centre) / base.width for edge in ensemble.edges())
    return base.centre + base.width * truncated_normal(jax.random.uniform(key, shape, dtype), *ends)[0]


@partial(jax.jit, static_argnums=3)
def _run(ensemble: CanonicalEnsemble, key: Array, grid: Array, plan: _Plan) -> Annealed:
    key_base, key = jax.random.split(key)
    base = _base(ensemble, key_base, plan.levels)
    size = -(-plan.particles // GROUPS)

    def one_group(path: tuple[Array, Array], given: tuple[Array, Array]) -> Any:
        key, is_pilot = given
        particles, trace = _anneal(ensemble, base, key, path, is_pilot, size, plan)
        found = _learnt(path[0], trace, plan.spaced)
        path = jax.tree.map(lambda new, old: jnp.where(is_pilot, new, old), found, path)
        return path, (particles, trace)

    steps = jnp.full(grid.shape, 0.7 * ensemble.dimension**-0.25, grid.dtype)
    given = (jax.random.split(key, 1 + GROUPS), jnp.arange(1 + GROUPS) == 0)
    (grid, _), groups = jax.lax.scan(one_group, (grid, steps), given)  # a loop: one program for pilot and groups
    particles, trace = jax.tree.map(lambda a: a[1:], groups)
    apart = particles._replace(family=particles.family + size * jnp.arange(GROUPS)[:, None])
    particles = jax.tree.map(lambda a: a.reshape(GROUPS * size, *a.shape[2:]), apart)
    return _result(ensemble, particles, grid, jax.tree.map(lambda a: a.mean(0), trace))


def _learnt(grid: Array, trace: "_Trace", spaced: bool) -> tuple[Array, Array]:
    """Temperatures and step sizes, (K + 1,) each, from a pilot run."""
    steps = jnp.concatenate([trace.step[:1], trace.step])
    if not spaced:
        return grid, steps
    even = _evenly(grid, trace.spread)
    return even, jnp.exp(jnp.interp(even, grid, jnp.log(steps)))


def _evenly(grid: Array, spread: Array) -> Array:
    """Temperatures at even distances in ∫ std(log w) dt, less a tenth that keeps to the grid."""
    after = jnp.concatenate([spread[1:], spread[-1:]])
    length = jnp.concatenate([jnp.zeros((1,), grid.dtype), jnp.cumsum(0.5 * (spread + after) * jnp.diff(grid))])
    even = jnp.linspace(0, 1, grid.shape[0], dtype=grid.dtype)
    known = jnp.isfinite(length[-1]) & (length[-1] > 0)
    part = jnp.where(known, 0.9 * length / jnp.where(known, length[-1], 1) + 0.1 * even, even)
    return jnp.interp(even, part, grid).at[0].set(0).at[-1].set(1)


class _Particles(NamedTuple):
    """Positions (particles, n), log weights and first ancestors (particles,)."""

    y: Array
    log_weights: Array
    family: Array


class _Trace(NamedTuple):
    """Of t_1 ... t_K, (K,) each: std(log w) before it, what the step size became, acceptance, resampling."""

    spread: Array
    step: Array
    acceptance: Array
    resampled: Array


def _anneal(
    ensemble: CanonicalEnsemble,
    base: _Base,
    key: Array,
    path: tuple[Array, Array],
    is_pilot: Array,
    count: int,
    plan: _Plan,
) -> tuple[_Particles, _Trace]:
    """So many particles from t_0 to t_K; a pilot goes by step sizes of its own."""
    grid, steps = path
    blackjax = extra("blackjax", "sampling")
    own, working = grid.dtype, jnp.result_type(float)  # the dtype blackjax insists on
    coordinates = coordinates_of(ensemble)
    least = jnp.where(is_pilot, max(plan.resample, 0.5), plan.resample) * count

    @jax.jit
    def log_weight(x: Array) -> Array:
        return density(ensemble, x) - _log_base(ensemble, base, x)

    def log_path(y: Array, t: Array) -> Array:
        x = coordinates.state(y.astype(own))
        log_q = _log_base(ensemble, base, x)
        log_p = (1 - t) * log_q + t * density(ensemble, x) + coordinates.log_jacobian(y.astype(own))
        return log_p.astype(working)

    kernel = blackjax.hmc.build_kernel()

    def move(key: Array, y: Array, t: Array, step: Array) -> tuple[Array, Array]:
        log_density = jax.jit(partial(log_path, t=t))
        state = blackjax.hmc.init(y.astype(working), log_density)
        mass = _variance(ensemble, base, coordinates, t).astype(working)
        state, info = kernel(key, state, log_density, step.astype(working), mass, plan.integration_steps)
        return state.position.astype(own), info.acceptance_rate.astype(own)

    def at_temperature(carry: Any, given: Any) -> Any:
        (y, log_w, family), own_step = carry
        key, before, t, step = given
        gain = jax.vmap(log_weight)(jax.vmap(coordinates.state)(y))
        spread = _deviation(log_w, gain)
        key, key_resample = jax.random.split(key)
        log_w = log_w + (t - before) * gain
        pick, log_w, poor = _resampled(key_resample, log_w, least)
        y, family = y[pick], family[pick]

        def once(carry: Any, key: Array) -> Any:
            y, own_step = carry
            key, key_step = jax.random.split(key)
            sizes = jnp.where(is_pilot, own_step, step) * jax.random.uniform(key_step, (count,), own, 0.6, 1.0)
            y, accepted = jax.vmap(partial(move, t=t))(jax.random.split(key, count), y, step=sizes)
            accepted = jnp.mean(accepted)
            return (y, own_step * jnp.exp(accepted - ACCEPTANCE)), accepted

        (y, own_step), accepted = jax.lax.scan(once, (y, own_step), jax.random.split(key, plan.moves))
        trace = _Trace(spread, own_step, jnp.mean(accepted), poor.astype(own))
        return (_Particles(y, log_w, family), own_step), trace

    key_start, key = jax.random.split(key)
    x = jax.vmap(lambda k: _draw(ensemble, base, k, plan.levels))(jax.random.split(key_start, count))
    start = _Particles(jax.vmap(coordinates.position)(x), jnp.zeros((count,), own), jnp.arange(count))
    given = (jax.random.split(key, grid.shape[0] - 1), grid[:-1], grid[1:], steps[1:])
    (particles, _), trace = jax.lax.scan(at_temperature, (start, steps[0]), given)
    return particles, trace


def _variance(ensemble: CanonicalEnsemble, base: _Base, coordinates: Coordinates, t: Array) -> Array:
    """The inverse mass of each neuron at t, from the curvatures of q and of what a neuron by itself has, (n,)."""
    return coordinates.variance((1 - t) / base.width**2 + t * curvature(ensemble))


def _deviation(log_weights: Array, values: Array) -> Array:
    """Weighted standard deviation."""
    w = jax.nn.softmax(log_weights)
    return jnp.sqrt(w @ (values - w @ values) ** 2)


def _resampled(key: Array, log_weights: Array, least: Array) -> tuple[Array, Array, Array]:
    """Which particles go on, their log weights, of the same mean weight, and whether they were drawn anew."""
    count = log_weights.shape[0]
    w = jax.nn.softmax(log_weights)
    poor = 1 / jnp.sum(w**2) < least
    marks = (jnp.arange(count) + jax.random.uniform(key, (), w.dtype)) / count
    pick = jnp.clip(jnp.searchsorted(jnp.cumsum(w), marks), 0, count - 1)
    equal = jnp.full((count,), jax.nn.logsumexp(log_weights) - math.log(count), w.dtype)
    return jnp.where(poor, pick, jnp.arange(count)), jnp.where(poor, equal, log_weights), poor


def _result(ensemble: CanonicalEnsemble, particles: _Particles, grid: Array, trace: _Trace) -> Annealed:
    x = jax.vmap(coordinates_of(ensemble).state)(particles.y)
    losses = jax.vmap(lambda v: ensemble.loss(ensemble.state(v)))(x)
    weighted = WeightedSamples(ensemble.complete(x), particles.log_weights, losses)
    # derivatives of a state's log density in β and s
    found = estimate_from(ensemble, weighted.log_weights, -losses, -0.5 * jnp.sum(x**2, axis=1), particles.family)
    found = found._replace(mean=weighted.mean(), covariance=weighted.covariance())
    return Annealed(found, weighted, grid, trace.acceptance, trace.resampled)
