"""Log Z of actual networks as a function of the width of one hidden layer: the terms of the sum over N.

`mechanics.grand_canonical` takes these numbers. The ensemble is that of arXiv:2012.05082, of which the abstract was
read; which networks it holds at each N the papers do not say, so three families are here, all of them own choices:
networks trained apart, the first neurons of one network, and all its subsets.

The states of a neuron have a volume, so log Z_N holds (N/2) log 2π in units nobody has fixed: other units shift μ by a
constant. With `normalised` the states are weighed by the window of (5.8) as a density, exp(-x·x/2) / (2π)^{N/2}; then
log Z without its mean term is -½ log det M, and a neuron connected to nothing changes it by -½ log(1 - βm + β), a
cost for m < 1 only.

Measured on small networks trained on digits (notebook on vortices and neurons): log Z_N is nearly a straight line in N.
If the line goes on, Σ e^{βμN} Z_N converges for μ below its slope, with N fluctuating by as much as its mean.
Normalised, μ and ħ = μ/2π at the width used are positive at every β; by volume they are negative at low β.
"""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp

from nnthermo._checks import check, instance, integer, is_concrete, positive, real_array
from nnthermo._typing import Array, Scalar
from nnthermo.ensemble import bulk_hessian, log_partition
from nnthermo.network import FeedForward


def width_log_partition(
    networks: Sequence[FeedForward],
    inputs: Any,
    beta: Scalar,
    *,
    layer: int = 1,
    m: Scalar = 0.0,
    mean_term: bool = True,
    normalised: bool = False,
) -> Array:
    """Log Z_N (5.9) of networks that differ by the width of one hidden layer, initialised or trained each on its own.

    All of them go through one compiled program, padded with neurons that are connected to nothing, whose part is known.
    A network without hidden neurons is no `FeedForward`: `nested_log_partition` has it.

    Args:
        networks: two or more, of widths `[net.sizes[layer] for net in networks]`: the `numbers` of
            `mechanics.grand_canonical` if they increase.
        inputs: (n_in,) or (samples, n_in).
        beta: inverse temperature β > 0, in inverse units of the loss, shape ().
        layer: which hidden layer varies, 1 the first.
        m: curvature of the potential (3.3).
        mean_term: whether to keep the mean term of (5.9), taken at the fixed state; (5.14) without.
        normalised: whether states are weighed by the normalised window instead of their volume: (N/2) log 2π less.

    Returns:
        (k,) or (samples, k), in nats. The mean over samples is log Z of a typical sample. NaN where M is not positive
        definite.

    Raises:
        ValueError: fewer than two networks, or networks that differ in more than the width.
        TypeError: networks of another kind.
    """
    check("networks", "be two or more", len(networks) > 1, len(networks))
    for net in networks:
        _hidden(net, layer)
    first = networks[0]
    for net in networks[1:]:
        others = [s[:layer] + s[layer + 1 :] for s in (first.sizes, net.sizes)]
        same = others[0] == others[1] and net.activations == first.activations
        check("networks", "differ in one width alone", same, f"sizes {first.sizes} and {net.sizes}")
    h = max(net.sizes[layer] for net in networks)
    kept = jnp.stack([jnp.arange(h) < net.sizes[layer] for net in networks])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(_pad(net, layer, h) for net in networks))
    static = {"layer": layer, "mean_term": mean_term, "normalised": normalised, "stacked": True}
    return _map(stacked, kept, inputs, beta, m, static)


def nested_log_partition(
    net: FeedForward,
    inputs: Any,
    beta: Scalar,
    *,
    layer: int = 1,
    widths: Sequence[int] | None = None,
    order: Any = None,
    m: Scalar = 0.0,
    mean_term: bool = True,
    normalised: bool = False,
) -> Array:
    """Log Z_N (5.9) of the networks that keep the first N hidden neurons of one network, N = 0, ..., h.

    The others are removed with all their connections; the state and the slopes are those of the smaller network, so a
    network pruned after training and not trained again. Differentiable in network, inputs, β and m.

    Args:
        net: a `FeedForward`.
        inputs: (n_in,) or (samples, n_in).
        beta, layer, m, mean_term, normalised: as in `width_log_partition`.
        widths: which N, in 0, ..., h; all if None.
        order: the hidden neurons, those kept longest first, (h,); as they stand if None. `influence_order` is one.

    Returns:
        (k,) or (samples, k), in nats.

    Raises:
        ValueError: no such layer or width, or an order that is no permutation.
        TypeError: networks of another kind, or widths that are not whole.
    """
    h = _hidden(net, layer)
    chosen = list(range(h + 1)) if widths is None else [integer("widths", n) for n in widths]
    check("widths", f"lie between 0 and {h}", all(0 <= n <= h for n in chosen) and chosen, chosen)
    rank = jnp.arange(h)
    if order is not None:
        order = jnp.asarray(order)
        if is_concrete(order):
            whole = order.shape == (h,) and (np.sort(np.asarray(order)) == np.arange(h)).all()
            check("order", f"be a permutation of 0, ..., {h - 1}", whole, order)
        rank = jnp.argsort(order)
    kept = rank[None, :] < jnp.asarray(chosen)[:, None]
    static = {"layer": layer, "mean_term": mean_term, "normalised": normalised, "stacked": False}
    return _map(net, kept, inputs, beta, m, static)


def subset_log_partition(
    net: FeedForward,
    inputs: Any,
    beta: Scalar,
    *,
    layer: int = 1,
    m: Scalar = 0.0,
    mean_term: bool = True,
    normalised: bool = False,
) -> Array:
    """Log Σ Z over all subsets of N hidden neurons, N = 0, ..., h: each neuron is there or is not, a lattice gas.

    2^h networks, so for small h. For free neurons Z_N is the binomial coefficient times z^N.

    Args:
        net: a `FeedForward` with at most 16 neurons in that layer.
        inputs: (n_in,) or (samples, n_in).
        beta, layer, m, mean_term, normalised: as in `width_log_partition`.

    Returns:
        (h + 1,) or (samples, h + 1), in nats.

    Raises:
        ValueError: no such layer, or too many neurons.
        TypeError: networks of another kind.
    """
    h = _hidden(net, layer)
    check("net", "have at most 16 neurons in that layer", h <= 16, h)
    kept = np.array(list(itertools.product((False, True), repeat=h)))
    static = {"layer": layer, "mean_term": mean_term, "normalised": normalised, "stacked": False}
    return _pool(_map(net, jnp.asarray(kept), inputs, beta, m, static), h)


@partial(jax.jit, static_argnums=1)
def _pool(each: Array, h: int) -> Array:
    """Log of the sums over all subsets of one size; subset k is the binary number k."""
    sizes = np.array([k.bit_count() for k in range(2**h)])
    return jnp.stack([logsumexp(each[..., np.flatnonzero(sizes == n)], axis=-1) for n in range(h + 1)], axis=-1)


def free_neuron_log_partition(beta: Scalar, *, m: Scalar = 0.0, normalised: bool = False) -> Array:
    """Log z = ½ log(2π/(1 - βm + β)), in nats: what a neuron connected to nothing adds to log Z, its mean state 0.

    Args:
        beta: inverse temperature β > 0.
        m: curvature of the potential (3.3).
        normalised: without log 2π.
    """
    beta = real_array("beta", beta)
    unit = 1 - beta * real_array("m", m).astype(beta.dtype) + beta
    return -0.5 * jnp.log(jnp.where(unit > 0, unit, jnp.nan)) + (0.0 if normalised else 0.5 * math.log(2 * math.pi))


def influence_order(net: FeedForward, *, layer: int = 1) -> Array:
    """Hidden neurons by falling |w_in| |w_out|, the lengths of their incoming and outgoing weights: shape (h,).

    An `order` for `nested_log_partition`; arguments and errors as there.
    """
    _hidden(net, layer)
    return jnp.argsort(-jnp.linalg.norm(net.weights[layer - 1], axis=1) * jnp.linalg.norm(net.weights[layer], axis=0))


def _hidden(net: Any, layer: int) -> int:
    """Neurons of a hidden layer."""
    instance("net", net, FeedForward, "a FeedForward")
    hidden = len(net.sizes) - 2
    check("layer", f"be a hidden layer, 1 to {hidden}", 1 <= integer("layer", layer) <= hidden, layer)
    return net.sizes[layer]


def _pad(net: FeedForward, layer: int, h: int) -> FeedForward:
    """The network with its layer filled up to h neurons without connections."""
    more = h - net.sizes[layer]
    weights, biases = list(net.weights), list(net.biases)
    pad: Any = np.pad if is_concrete(net) else jnp.pad  # NumPy compiles nothing for each width
    weights[layer - 1] = pad(weights[layer - 1], ((0, more), (0, 0)))
    weights[layer] = pad(weights[layer], ((0, 0), (0, more)))
    biases[layer - 1] = pad(biases[layer - 1], (0, more))
    return net.replace(weights=weights, biases=biases)


def _map(net: FeedForward, kept: Array, inputs: Any, beta: Scalar, m: Scalar, static: dict[str, Any]) -> Array:
    """Log Z for each row of `kept`, (k, h) booleans: which hidden neurons are there; of one sample or of many."""
    u = real_array("inputs", inputs)
    width = net.weights[0].shape[-1]
    check("inputs", f"have shape ({width},) or (samples, {width})", u.ndim in (1, 2) and u.shape[-1] == width, u.shape)
    positive("beta", beta)
    beta, m = real_array("beta", beta, shape=()), real_array("m", m, shape=())
    no_m = is_concrete(m) and float(m) == 0  # known to be 0, m leaves less to compile
    return _log_partitions(net, kept, u, beta, None if no_m else m, **static)


@partial(jax.jit, static_argnames=("layer", "mean_term", "normalised", "stacked"))
def _log_partitions(
    net: FeedForward,
    kept: Array,
    u: Array,
    beta: Array,
    m: Array | None,
    *,
    layer: int,
    mean_term: bool,
    normalised: bool,
    stacked: bool,
) -> Array:
    """The same; `stacked` if there is a network for each row."""

    def one(net: FeedForward, kept: Array, u: Array) -> Array:
        """The neurons not kept are cut off, and what they add as free neurons is taken away."""
        kept, shift = kept.astype(net.weights[0].dtype), 0.0 if m is None else m
        weights = list(net.weights)
        weights[layer] = weights[layer] * kept[None, :]
        cut = net.replace(weights=weights)
        whole = cut.propagate(u)
        x, slopes = list(whole), list(cut.slopes(whole))
        x[layer], slopes[layer - 1] = x[layer] * kept, slopes[layer - 1] * kept
        G = bulk_hessian(cut, slopes=tuple(slopes))
        log_z = log_partition(G, beta, m=shift, mean=tuple(x) if mean_term else None)
        removed = jnp.sum(1 - kept)
        free = free_neuron_log_partition(beta.astype(kept.dtype), m=shift)
        volume = (net.size - removed) * (0.5 * math.log(2 * math.pi)) if normalised else 0.0
        return log_z - removed * free - volume

    widths = jax.vmap(one, in_axes=(0 if stacked else None, 0, None))
    return widths(net, kept, u) if u.ndim == 1 else jax.vmap(widths, in_axes=(None, None, 0))(net, kept, u)
