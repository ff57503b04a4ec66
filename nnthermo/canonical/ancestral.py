r"""Exact sampling of feed-forward ensembles, without a Markov chain, and log Z with a standard error.

For an acyclic graph the Boltzmann factor is that of a noisy network: given its parents, neuron i contributes

    exp(-β(x_i - f_i)²/2 + (βm - s) x_i²/2) = exp(-κ(x_i - βf_i/κ)²/2) exp(-βc f_i²/2κ),    κ = c + β,  c = s - βm,

so that states drawn neuron by neuron from x_i ~ N(βf_i/κ, 1/κ) carry the weight exp(-(βc/2κ) Σ f_i²), and

    log Z = (n/2) log(2π/κ) + log E exp(-(βc/2κ) Σ_i f_i²),                                                          (*)

over n free neurons. On all of R^N with m = 0 the weight is 1 whatever the weights and biases: log Z = (n/2) log(2π/β).
In a box the normal distributions are truncated and their norms join the weights; outputs that are clamped contribute
exp(-β|t - f|²/2), as the likelihood of data does.

The noise is drawn first and the states follow smoothly from it: derivatives of log Z in β and s are then averages over
the same samples, U = -∂ log Z/∂β and ⟨x·x⟩ = -2 ∂ log Z/∂s, exact where the weights are constant; and two ensembles
that are given the same key share their noise.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnthermo._checks import check, instance, integer, is_concrete, random_key, refuse
from nnthermo._typing import Array
from nnthermo.canonical.ensemble import CanonicalEnsemble, CanonicalEstimate, Estimate
from nnthermo.canonical.measure import Box
from nnthermo.canonical.truncated import is_narrow, log_mean_exp, truncated_normal
from nnthermo.canonical.weights import WeightedSamples, estimate_from, log_mean
from nnthermo.network import FeedForward, Septuple

CHUNK = 1024
"""Samples that are in memory at a time."""


def ancestral(
    ensemble: CanonicalEnsemble, key: Array, samples: int = 10_000, *, moments: bool = False
) -> CanonicalEstimate:
    """log Z, U and S of a feed-forward ensemble by exact sampling (*), with standard errors.

    Z is unbiased; log Z is corrected for the bias of the logarithm to order 1/samples. Errors are those of the
    linearised estimates and can be trusted as long as `effective_samples` is a good part of the samples. The same key
    gives ensembles of the same shape the same noise, so that their differences have far smaller errors than each:
    `log_partition_difference` has that error.

    Differentiable in weights, biases, β, m and data (with moments off, the first weight matrix must have full rank
    where it is wider than high; its derivative is NaN where it has not).

    Args:
        ensemble: of a `FeedForward`, or of a `Septuple` without cycles.
        key: JAX random key.
        samples: how many.
        moments: whether to compute ⟨x⟩ and the covariance, from states that are then drawn in full.

    Raises:
        ValueError: a graph with cycles, or whose weights are traced; κ = s + β(1 - m) not positive; no random key.
        TypeError: another kind of network.
    """
    count, levels = _checked(ensemble, key, samples)
    if not moments:
        return estimate_from(ensemble, *_sampled(ensemble, key, _with_slopes, count, levels))
    weighted, *slopes = _sampled(ensemble, key, _with_states, count, levels)
    found = estimate_from(ensemble, weighted.log_weights, *slopes)
    return found._replace(mean=weighted.mean(), covariance=weighted.covariance())


def ancestral_samples(ensemble: CanonicalEnsemble, key: Array, samples: int = 10_000) -> WeightedSamples:
    """States of a feed-forward ensemble with their importance weights; arguments and errors as `ancestral`.

    The weights are all equal on all of R^N with m = 0 and outputs that are free.
    """
    return _sampled(ensemble, key, _with_states, *_checked(ensemble, key, samples))[0]


def log_partition_difference(
    one: CanonicalEnsemble, other: CanonicalEnsemble, key: Array, samples: int = 10_000
) -> Estimate:
    """log Z of the other less that of the one, in nats, from common random numbers.

    For ensembles that are near to each other (two records of a training run, two temperatures) the error is far
    smaller than those of the two.

    Args:
        one: of a feed-forward network.
        other: of a network with as many neurons in each layer, else there is no noise to share.
        key: JAX random key.
        samples: how many.

    Raises:
        ValueError: networks of other shapes, or as `ancestral`.
    """
    shapes = [[leaf.shape for leaf in jax.tree.leaves(e.net)] for e in (one, other)]
    check("other", "have the shapes of the first network", shapes[0] == shapes[1], shapes[1])
    logs = [_sampled(e, key, _alone, *_checked(e, key, samples)) for e in (one, other)]
    values = [log_mean(v) for v in logs]
    influence = jax.nn.softmax(logs[1]) - jax.nn.softmax(logs[0])
    return Estimate(values[1] - values[0], jnp.sqrt(jnp.sum(influence**2)))


def _checked(ensemble: CanonicalEnsemble, key: Any, samples: Any) -> tuple[int, int]:
    """Samples, and neurons on the longest path of a graph (0 for layers)."""
    random_key("key", key)
    count = integer("samples", samples, least=2)
    net = ensemble.net
    if isinstance(net, Septuple) and not is_concrete(net.weight):
        refuse("weight", "be known (not traced): the order of its neurons is read from it", "a tracer")
    instance("net", net, FeedForward | Septuple, "a FeedForward or a Septuple without cycles")
    levels = levels_of(net)
    if levels is None:
        refuse("net", "have no cycles to be sampled neuron by neuron", "a graph with cycles")
    if is_concrete(ensemble.beta, ensemble.m, ensemble.measure):
        with jax.ensure_compile_time_eval():
            curvature = float(ensemble.stiffness + ensemble.beta * (1 - ensemble.m))
        check("m", "keep s + β(1 - m) positive", curvature > 0, f"{float(ensemble.m)}, which gives {curvature:.3g}")
    return count, levels


def levels_of(net: Any) -> int | None:
    """Neurons on the longest path of a graph, 0 for layers; None where there are cycles or the order is not known."""
    if isinstance(net, FeedForward):
        return 0
    if not isinstance(net, Septuple) or not is_concrete(net.weight):
        return None
    with jax.ensure_compile_time_eval():
        return net.replace(weight=net.signal_weight).conditions().layers


def draw(ensemble: CanonicalEnsemble, key: Array, levels: int) -> Array:
    """One state (N,) of the noisy network, whatever its weight."""
    noise = _noise(ensemble)(key, (ensemble.net.size,), ensemble.dtype)
    return _log_weight(ensemble, ensemble.beta, ensemble.stiffness, _Plan(levels, None), noise)[1]


@partial(jax.jit, static_argnums=(2, 3, 4))
def _sampled(ensemble: CanonicalEnsemble, key: Array, one: Callable[..., Any], count: int, levels: int) -> Any:
    """one(ensemble, plan, noise) of so many samples, some at a time."""
    plan = _Plan(levels, None if one is _with_states else _root(ensemble))
    chunks = math.ceil(count / CHUNK)
    size = math.ceil(count / chunks)  # chunks of one size: a remainder would be compiled apart
    width = ensemble.net.size if plan.root is None else sum(plan.noise_sizes(ensemble.net))

    def chunk(key: Array) -> Any:
        noise = _noise(ensemble)(key, (size, width), ensemble.dtype)
        return jax.vmap(lambda row: one(ensemble, plan, row))(noise)

    found = jax.lax.map(chunk, jax.random.split(key, chunks))
    return jax.tree.map(lambda a: a.reshape(chunks * size, *a.shape[2:])[:count], found)


def _noise(ensemble: CanonicalEnsemble) -> Callable[..., Array]:
    """What a state is made from: numbers in (0, 1) in a box, normal ones else."""
    return jax.random.uniform if isinstance(ensemble.measure, Box) else jax.random.normal


class _Plan(NamedTuple):
    """What does not depend on the sample.

    Attributes:
        levels: neurons on the longest path of a graph.
        root: L with L Lᵀ = W Wᵀ of the first layer, where the states of its inputs are not asked for.
    """

    levels: int
    root: Array | None

    def noise_sizes(self, net: FeedForward) -> tuple[int, ...]:
        """Random numbers that each layer takes."""
        return (net.sizes[0] if self.root is None else self.root.shape[0], *net.sizes[1:])


def _root(ensemble: CanonicalEnsemble) -> Array | None:
    """The states of wide inputs need not be drawn: all that is seen of them is W x_0."""
    net = ensemble.net
    if not isinstance(net, FeedForward) or isinstance(ensemble.measure, Box):
        return None
    if ensemble.clamp_inputs or ensemble.potential is not None or net.sizes[0] <= net.sizes[1]:
        return None
    return triangular_root(net.weights[0])


def _alone(ensemble: CanonicalEnsemble, plan: _Plan, noise: Array) -> Array:
    """log w of one sample."""
    return _log_weight(ensemble, ensemble.beta, ensemble.stiffness, plan, noise)[0]


def _with_slopes(ensemble: CanonicalEnsemble, plan: _Plan, noise: Array) -> tuple[Array, Array, Array]:
    """log w of one sample and its derivatives in β and s, without the states of wide inputs."""
    return _value_and_slopes(ensemble, plan, noise)[0]


def _with_states(ensemble: CanonicalEnsemble, plan: _Plan, noise: Array) -> tuple[WeightedSamples, Array, Array]:
    """A sample with its log w and loss, and the derivatives."""
    (value, *slopes), x = _value_and_slopes(ensemble, plan, noise)
    return WeightedSamples(x, value, ensemble.loss(ensemble.net.unravel(x))), slopes[0], slopes[1]


def _value_and_slopes(
    ensemble: CanonicalEnsemble, plan: _Plan, noise: Array
) -> tuple[tuple[Array, Array, Array], Array]:
    """(log w, its derivatives in β and s), and the state; both derivatives from one program."""

    def log_weight(numbers: Array) -> tuple[Array, Array]:
        return _log_weight(ensemble, numbers[0], numbers[1], plan, noise)

    numbers = jnp.stack([ensemble.beta, ensemble.stiffness])
    directions = jnp.eye(2, dtype=numbers.dtype)
    values, slopes, states = jax.vmap(lambda v: jax.jvp(log_weight, (numbers,), (v,), has_aux=True))(directions)
    return (values[0], slopes[0], slopes[1]), states[0]


def _log_weight(
    ensemble: CanonicalEnsemble, beta: Array, stiffness: Array, plan: _Plan, noise: Array
) -> tuple[Array, Array]:
    """log w of a sample, constants included, and its state (N,), in which inputs are 0 if there is a root."""
    rule = _Rule(ensemble, beta, stiffness)
    through = _through_graph if isinstance(ensemble.net, Septuple) else _through_layers
    log_w, x = through(rule, ensemble.net, plan, noise)
    if ensemble.potential is not None:
        log_w = log_w - beta * ensemble.potential(ensemble.net.unravel(x))
    return log_w, x


class _Rule:
    """How a free neuron is drawn from its mean, and what it adds to log w."""

    def __init__(self, ensemble: CanonicalEnsemble, beta: Array, stiffness: Array) -> None:
        self.ensemble, self.beta = ensemble, beta
        # with a box that has no s, its derivative in s is that of exp(-s x·x/2) at s = 0 in the weights
        self.curvature = stiffness - beta * ensemble.m
        self.kappa = self.curvature + beta
        self.boxed = isinstance(ensemble.measure, Box)

    def free(self, f: Array, noise: Array, low: Array | None, high: Array | None) -> tuple[Array, Array]:
        """States of free neurons of mean activations f, and each one's share of log w."""
        centre, width = self.beta * f / self.kappa, 1 / jnp.sqrt(self.kappa)
        share = -0.5 * self.beta * self.curvature / self.kappa * f**2 + 0.5 * jnp.log(2 * math.pi / self.kappa)
        if not self.boxed:
            return centre + width * noise, share
        assert low is not None
        assert high is not None
        a, b = (low - centre) / width, (high - centre) / width
        z, log_mass = truncated_normal(noise, a, b)
        x = jnp.clip(centre + width * z, *jax.lax.stop_gradient((low, high)))
        # at high temperature 1/√κ and the mass cancel: there the integral itself
        narrow = is_narrow(a, b)
        left, right = jnp.where(narrow, low, 0.0), jnp.where(narrow, high, 1.0)
        beta, curvature = (jnp.where(narrow, v, 0.0) for v in (self.beta, self.curvature))

        def exponent(x: Array) -> Array:
            return -0.5 * beta * (x - f) ** 2 - 0.5 * curvature * x**2

        whole = jnp.log(right - left) + log_mean_exp(exponent, left, right)
        return x, jnp.where(narrow, whole, share + log_mass)

    def clamped(self, x: Array, f: Array) -> Array:
        """Each clamped neuron's share of log w."""
        return -0.5 * self.beta * (x - f) ** 2 + 0.5 * self.beta * self.ensemble.m * x**2


def _through_layers(rule: _Rule, net: FeedForward, plan: _Plan, noise: Array) -> tuple[Array, Array]:
    ensemble = rule.ensemble
    parts = jnp.split(noise, np.cumsum(plan.noise_sizes(net))[:-1])
    edges = _by_layer(ensemble)
    u, root = ensemble.inputs, plan.root
    if ensemble.clamp_inputs:
        states, log_w = [u], jnp.sum(rule.clamped(u, u))
    elif root is not None:
        share = rule.free(u, jnp.zeros_like(u), None, None)[1]
        states, log_w = [jnp.zeros_like(u)], jnp.sum(share)
    else:
        x, share = rule.free(u, parts[0], *edges[0])
        states, log_w = [x], jnp.sum(share)
    last = len(net.weights) - 1
    for k, (w, b, f) in enumerate(zip(net.weights, net.biases, net.activations, strict=True)):
        if k == 0 and root is not None:  # W x_0 + b is normal with covariance W Wᵀ/κ
            y = rule.beta / rule.kappa * (w @ u) + b + root @ parts[0] / jnp.sqrt(rule.kappa)
        else:
            y = w @ states[-1] + b
        mean = f(y)
        if k == last and ensemble.targets is not None:
            states.append(ensemble.targets)
            log_w += jnp.sum(rule.clamped(ensemble.targets, mean))
        else:
            x, share = rule.free(mean, parts[k + 1], *edges[k + 1])
            states.append(x)
            log_w += jnp.sum(share)
    return log_w, jnp.concatenate(states)


def triangular_root(w: Array) -> Array:
    """L with L Lᵀ = w wᵀ and a diagonal that is not negative, for w at least as wide as high; smooth at full rank."""
    upper = jnp.linalg.qr(w.T, mode="r")
    signs = jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0).astype(w.dtype)
    return (signs[:, None] * upper).T


def _by_layer(ensemble: CanonicalEnsemble) -> list[tuple[Array | None, Array | None]]:
    if not isinstance(ensemble.measure, Box):
        return [(None, None)] * len(ensemble.net.sizes)
    split = [ensemble.net.unravel(edge) for edge in (ensemble.measure.low, ensemble.measure.high)]
    return list(zip(*split, strict=True))


def _through_graph(rule: _Rule, net: Septuple, plan: _Plan, noise: Array) -> tuple[Array, Array]:
    """Every neuron at once, as often as there are levels: by then each is what its parents and its noise make it."""
    ensemble = rule.ensemble
    low, high = (ensemble.measure.low, ensemble.measure.high) if isinstance(ensemble.measure, Box) else (None, None)
    data = net.clamp(jnp.zeros((net.size,), ensemble.dtype), ensemble.inputs)
    held, free = ensemble.clamped_state(), jnp.asarray(ensemble.free)

    def mean(x: Array) -> Array:
        return jnp.where(net.input_mask, data, net.activate(x))

    x = held
    for _ in range(plan.levels):
        x = jnp.where(free, rule.free(mean(x), noise, low, high)[0], held)
    f = mean(x)
    return jnp.sum(jnp.where(free, rule.free(f, noise, low, high)[1], rule.clamped(held, f))), x
