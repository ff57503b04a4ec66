"""Observers beside the thermodynamic one: statistics of weights and states, (6.2), and how observers compose."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nnthermo._checks import check, full_precision, is_concrete, positive, real_array
from nnthermo._checks import function as check_function
from nnthermo._typing import Activation, Array, Scalar
from nnthermo.devices import as_data_mesh, copied, replicate, shard_padded, split_here
from nnthermo.ensemble.samples import sample_hessian, sample_mean, sample_options
from nnthermo.network import FeedForward, Network, Septuple
from nnthermo.network.traced import dtype_of
from nnthermo.network.trainable import divide, unite
from nnthermo.objective import FindState, fixed_state
from nnthermo.observables import Observer
from nnthermo.thermodynamics import average_loss


def weight_observer(*, by_layer: bool = False) -> Observer:
    """An observer of weights and biases; the data do not matter.

    Args:
        by_layer: the same of each weight matrix of a `FeedForward`, names with `layer1_`, `layer2_`, ... in front.

    Returns:
        A function (network, inputs, targets) -> dict of shapes (): `weight_norm` |ŵ| (Frobenius) and `bias_norm`;
        `spectral_norm` |ŵ|₂, which for layers is the largest of theirs; over the existing links (weights that are not
        0) `weight_mean`, `weight_variance` and their number `links`; `sparsity`, the share of the possible links that
        do not exist: all pairs of adjacent layers, or all of a graph that do not end in an input neuron.

    Raises:
        ValueError: when called with `by_layer` and a network without layers, or with a network of half precision.
        TypeError: when called with a `TracedNetwork`, whose parameters need not be weights of single links.
    """
    return _Weights(by_layer)


@dataclasses.dataclass(frozen=True)
class _Weights:
    by_layer: bool

    def __call__(self, net: Any, inputs: Array, targets: Array | None) -> dict[str, Array]:  # noqa: ARG002
        _check_links(net, self.by_layer)
        if isinstance(net, FeedForward):
            found = _weight_statistics(net.weights, net.biases)
        else:
            rows = np.flatnonzero(~net.input_mask)
            found = _weight_statistics((net.weight[rows],), (net.bias[rows],))
        if self.by_layer:
            for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
                found |= {f"layer{k}_{name}": value for name, value in _weight_statistics((w,), (b,)).items()}
        return found


def _check_links(net: Any, by_layer: bool) -> None:
    if not isinstance(net, FeedForward | Septuple):
        raise TypeError(
            f"`net` must be a FeedForward or a Septuple for statistics of its links, but got {type(net).__name__}: "
            "observe it by a function of (network, inputs, targets)"
        )
    layered = isinstance(net, FeedForward)
    check("net", "have layers to be observed by layer", layered or not by_layer, type(net).__name__)


def _weight_statistics(weights: tuple[Array, ...], biases: tuple[Array, ...]) -> dict[str, Array]:
    w, b = (jnp.concatenate([jnp.ravel(a) for a in arrays]) for arrays in (weights, biases))
    exists = w != 0
    links = jnp.sum(exists)
    count = jnp.maximum(links, 1).astype(w.dtype)
    mean = jnp.sum(w) / count
    full_precision("net", w.dtype)
    norms = [jnp.linalg.svd(a, compute_uv=False)[0] for a in weights]
    return {
        "weight_norm": jnp.sqrt(jnp.sum(w**2)),
        "bias_norm": jnp.sqrt(jnp.sum(b**2)),
        "spectral_norm": jnp.max(jnp.stack(norms)),
        "weight_mean": mean,
        "weight_variance": jnp.sum(jnp.where(exists, w - mean, 0) ** 2) / count,
        "links": links,
        "sparsity": (w.size - links).astype(w.dtype) / w.size,
    }


def state_observer(*, margin: float = 0.05, by_layer: bool = False, state: FindState | None = None) -> Observer:
    """An observer of the fixed states x̄ (2.9) over the data, input neurons left out.

    Args:
        margin: how near the end of its range a neuron counts as saturated, as a share of half the range: with 0.05
            |x| >= 0.95 for tanh. Where the range has one end (ReLU), within `margin` of it in the units of the state.
        by_layer: the same of each layer of a `FeedForward` after the input, names with `layer1_`, ... in front.
        state: function (network, inputs of one sample) -> state, for example `FixedState()` for graphs with cycles;
            `net.propagate` if None.

    Returns:
        A function (network, inputs, targets) -> dict of shapes (), over all samples and neurons: `state_mean`,
        `state_variance`, `saturated`, the share of states near an end of their range; mean and variance of ŵx + b,
        `pre_activation_mean`, `pre_activation_variance`, and of f' (5.4), `slope_mean`, `slope_variance`;
        `effective_dimension`, the participation ratio (Tr Σ)² / Tr Σ² of the covariance Σ of the states over the
        samples, between 1 and the number of neurons, 0 if nothing varies; `unfixed`, the share of samples whose fixed
        state did not converge, if `state` reports it.

    Raises:
        ValueError: a margin outside (0, 1]; when called, `by_layer` and a network without layers.
        TypeError: when called with a `TracedNetwork`, which has no slopes f'.
    """
    check("margin", "lie between 0 and 1", 0 < margin <= 1, margin)
    return _States(float(margin), by_layer, state)


@dataclasses.dataclass(frozen=True)
class _States:
    margin: float
    by_layer: bool
    state: FindState | None

    def __call__(self, net: Any, inputs: Array, targets: Array | None) -> dict[str, Array]:  # noqa: ARG002
        _check_links(net, self.by_layer)
        x, converged = jax.vmap(lambda u: fixed_state(net, u, self.state))(inputs)
        parts = (x, jax.vmap(net.pre_activations)(x), jax.vmap(net.slopes)(x))
        if isinstance(net, FeedForward):
            layers = list(zip(parts[0][1:], parts[1], parts[2], net.activations, strict=True))
            near = [_near_ends(f, a.shape[-1], a, self.margin) for a, _, _, f in layers]
        else:
            rows = np.flatnonzero(~net.input_mask)
            near = [_near_ends(net.activation, net.size, x, self.margin)[:, rows]]
            layers = [(*(a[:, rows] for a in parts), net.activation)]
        columns = [(x, y, s, n) for (x, y, s, _), n in zip(layers, near, strict=True)]
        found = _state_statistics(*(jnp.concatenate(c, axis=-1) for c in zip(*columns, strict=True)))
        if self.by_layer:
            for k, column in enumerate(columns, 1):
                found |= {f"layer{k}_{name}": value for name, value in _state_statistics(*column).items()}
        return found if converged is None else {**found, "unfixed": jnp.mean((~converged).astype(inputs.dtype))}


def _state_statistics(x: Array, y: Array, slopes: Array, near: Array) -> dict[str, Array]:
    d = x - jnp.mean(x, axis=0, keepdims=True)
    square = d.T @ d if x.shape[0] > x.shape[1] else d @ d.T  # both have the spectrum of the covariance
    trace, second = jnp.trace(square), jnp.sum(square**2)
    return {
        "state_mean": jnp.mean(x),
        "state_variance": jnp.var(x),
        "saturated": jnp.mean(near.astype(x.dtype)),
        "pre_activation_mean": jnp.mean(y),
        "pre_activation_variance": jnp.var(y),
        "slope_mean": jnp.mean(slopes),
        "slope_variance": jnp.var(slopes),
        "effective_dimension": jnp.where(second > 0, trace**2 / jnp.where(second > 0, second, 1), 0),
    }


def _near_ends(activation: Activation, size: int, x: Array, margin: float) -> Array:
    """Which states (samples, size) lie near an end of the range of a monotone f, which it has where f levels off."""
    with jax.ensure_compile_time_eval():
        ends = [[np.asarray(activation(jnp.full((size,), r))) for r in (s * 1e3, s * 1e6)] for s in (-1.0, 1.0)]
    has = [np.isfinite(far) & (np.abs(far - near) <= 1e-3 * np.maximum(1, np.abs(far))) for near, far in ends]
    low, high = np.minimum(ends[0][1], ends[1][1]), np.maximum(ends[0][1], ends[1][1])
    falls = ends[0][1] > ends[1][1]
    has_low, has_high = np.where(falls, has[1], has[0]), np.where(falls, has[0], has[1])
    width = margin * np.where(has_low & has_high, (high - low) / 2, 1.0)
    low_edge = jnp.asarray(np.where(has_low, low + width, -np.inf), x.dtype)[None]
    high_edge = jnp.asarray(np.where(has_high, high - width, np.inf), x.dtype)[None]
    return (x <= low_edge) | (x >= high_edge)


def equilibrium_observer(
    *,
    beta: Scalar = 1.0,
    m: Scalar = 0.0,
    state: FindState | None = None,
    hessian: Mapping[str, Any] | None = None,
) -> Observer:
    """An observer of (6.2): how far the weights and biases are from where U(β) is stationary.

    U is that of (5.9) at each sample's own fixed state, averaged over the samples; as in a data set of one Ĝ a sample.
    It costs about three times what U does for every sample: pass few of them (`on_data`).

    Args:
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3).
        state: as in `state_observer`.
        hessian: options of `bulk_hessian` for a `TracedNetwork`, as in `network_free_energy`.

    Returns:
        A function (network, inputs, targets) -> dict of shapes (): `average_loss_gradient`, the Euclidean norm of
        (∂U/∂w_ij, ∂U/∂b_i) over the existing links, slopes following the state, and `mean_average_loss`, U. Both in
        units of the loss. A network trained on another loss need not bring the first to 0. Of a `TracedNetwork` the
        gradient is in its `parameters`.

    Raises:
        ValueError: β or m that is not one number, β not positive.
    """
    positive("beta", beta)
    for name, value in (("beta", beta), ("m", m)):
        real_array(name, value, shape=())
    known = is_concrete(beta, m)
    return _Equilibrium(*((float(beta), float(m)) if known else (beta, m)), state, _Options(hessian))


@dataclasses.dataclass(frozen=True, eq=False)
class _Options:
    """Options equal to themselves alone: observers must have a hash, and a dict has none."""

    given: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class _Equilibrium:
    beta: Scalar
    m: Scalar
    state: FindState | None
    hessian: "_Options"

    def __call__(self, net: Any, inputs: Array, targets: Array | None) -> dict[str, Array]:  # noqa: ARG002
        weights, rest = divide(net)
        options = sample_options(net, self.hessian.given)

        def mean(weights: Any) -> Array:
            now = unite(weights, rest)

            def one(u: Array, number: Array) -> Array:
                x = fixed_state(now, u, self.state)[0]
                return average_loss(sample_hessian(now, x, number, options), self.beta, m=self.m, mean=x)

            return sample_mean(one, (inputs,), options)

        value, gradient = jax.value_and_grad(mean)(weights)
        if isinstance(net, Septuple):
            gradient = jax.tree.map(lambda w, g: jnp.where((w != 0) | (w.ndim == 1), g, 0), net, gradient)
        squares = [jnp.sum(g**2) for g in jax.tree.leaves(gradient)]
        return {"average_loss_gradient": jnp.sqrt(jnp.sum(jnp.stack(squares))), "mean_average_loss": value}


def combine(*observers: Any, **prefixed: Any) -> Observer:
    """One observer from several: `combine(thermodynamic_observer(), weight_observer(), test=on_data(f, x, t))`.

    Args:
        *observers: functions (network, inputs, targets) -> dict, or dicts of functions with one value each.
        **prefixed: the same; each keyword and an underscore are put in front of the names.

    Raises:
        TypeError: neither functions nor dicts of functions.
        ValueError: when called, two values of one name.
    """
    return _Combined(tuple(("", as_observer(o)) for o in observers) + tuple(
        (f"{prefix}_", as_observer(o)) for prefix, o in prefixed.items()
    ))  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Combined:
    parts: tuple[tuple[str, Observer], ...]

    def __call__(self, net: Network, inputs: Array, targets: Array | None) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for prefix, observer in self.parts:
            new = {prefix + name: value for name, value in observer(net, inputs, targets).items()}
            both = sorted(found.keys() & new.keys())
            check("observers", "record different names (give one a prefix)", not both, both)
            found |= new
        return found


def on_data(observe: Any, inputs: Any, targets: Any = None) -> Observer:
    """An observer that looks at these data and not at those of the training: a test set, or a few samples.

    In training on a mesh, and inside `on_mesh`, each device works on its share of them.

    Args:
        observe: a function (network, inputs, targets) -> dict, or a dict of functions.
        inputs: (samples, n_in), or of a `TracedNetwork` in the shape of its example, (samples, ...).
        targets: (samples, n_out), or None.
    """
    observe = as_observer(observe)
    u, t = _samples(inputs, targets)

    def other(net: Network, _inputs: Array, _targets: Array | None) -> dict[str, Array]:
        dtype = dtype_of(net)
        return observe(net, split_here(u.astype(dtype)), None if t is None else split_here(t.astype(dtype)))

    return other


def on_mesh(observe: Any, mesh: Mesh) -> Observer:
    """An observer whose data are divided over the devices of a mesh; its values are whole in every process.

    Args:
        observe: a function (network, inputs, targets) -> dict, or a dict of functions.
        mesh: as from `data_mesh`.

    Returns:
        A compiled function (network, inputs, targets or None) -> the same dict, up to the order of sums. Any number of
        samples: the last device gets fewer. With several processes each calls it with the same arrays.

    Raises:
        TypeError: not an observer, or not a mesh.
        ValueError: a mesh of some processes but not of all; when called, no samples, or not as many targets as inputs.
    """
    observe, mesh = as_observer(observe), as_data_mesh(mesh)

    def look(net: Network, inputs: Any, targets: Any = None) -> dict[str, Array]:
        u, t = _samples(inputs, targets)
        return compile_observer(observe, mesh, len(u))(replicate(net, mesh), *shard_padded((u, t), mesh))

    return look


def _samples(inputs: Any, targets: Any) -> tuple[Array, Array | None]:
    """One sample a row, of the inputs in whatever shape."""
    u = real_array("inputs", inputs)
    check("inputs", "have 2 dimensions or more", u.ndim >= 2, f"shape {u.shape}")
    check("inputs", "hold at least one sample", len(u) > 0, f"shape {u.shape}")
    t = None if targets is None else real_array("targets", targets, ndim=2)
    if t is not None:
        check("targets", f"have {len(u)} rows, as many as inputs", len(t) == len(u), f"shape {t.shape}")
    return u, t


@lru_cache(maxsize=16)
def compile_observer(observe: Observer, mesh: Mesh, samples: int) -> Observer:
    """The observer as a program on a data mesh, for arrays that are divided already and filled up beyond `samples`."""

    def look(net: Network, inputs: Array, targets: Array | None) -> dict[str, Array]:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return observe(net, *split_here(jax.tree.map(lambda a: a[:samples], (inputs, targets))))

    return jax.jit(look, out_shardings=copied(mesh))


def as_observer(observe: Any) -> Observer:
    """A function (network, inputs, targets) -> dict, from one or from a dict of functions with one value each."""
    if isinstance(observe, Mapping):
        for name, function in observe.items():
            if not callable(function):
                raise TypeError(f"`observe` must hold functions, but got {function!r} for {name!r}")
        return _Named(tuple(observe.items()))
    check_function("observe", observe, "a function or a dict of functions")
    return observe


@dataclasses.dataclass(frozen=True)
class _Named:
    functions: tuple[tuple[str, Callable], ...]

    def __call__(self, net: Network, inputs: Array, targets: Array | None) -> dict[str, Array]:
        return {name: jnp.asarray(function(net, inputs, targets)) for name, function in self.functions}
