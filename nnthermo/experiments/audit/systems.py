"""The networks that the audit evaluates the equations on: small, float64, drawn from one seed."""

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nnthermo as nt
from nnthermo.experiments.audit import forms
from nnthermo.experiments.audit.forms import Twin

SIZES = (3, 4, 3, 2)
"""Layers of the deep networks; with strict layers L = 4 and N = 12."""

BETA = 1.4
"""The inverse temperature that Section 10 reads off its figures; entries that need one take it."""

M = 0.2
"""The curvature of the local objective where an entry has one."""


class Systems:
    """Networks of all kinds that the paper speaks of, each with its twin in NumPy and its fixed state.

    Every array is drawn from `seed` and the name of the network, so that no entry depends on which others ran.

    Args:
        seed: of all of them.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._made: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, made when first asked for: numbers that several entries rest on."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def random(self, name: str) -> np.random.Generator:
        """A generator of its own for each name."""
        return np.random.default_rng([self.seed, *name.encode()])

    def _layers(self, name: str, sizes: tuple[int, ...], activation: Any, scale: float = 1.3) -> nt.FeedForward:
        rng = self.random(name)
        weights = [jnp.asarray(scale * rng.normal(size=(b, a)) / a**0.5) for a, b in pairwise(sizes)]
        biases = [jnp.asarray(0.4 * rng.normal(size=b)) for b in sizes[1:]]
        return nt.FeedForward(weights, biases, activation=activation)

    @cached_property
    def deep(self) -> nt.FeedForward:
        """tanh, 3-4-3-2."""
        return self._layers("deep", SIZES, jnp.tanh)

    @cached_property
    def shallow(self) -> nt.FeedForward:
        """tanh, no hidden layer, 7-5: as many neurons as `deep`."""
        return self._layers("shallow", (7, 5), jnp.tanh, 2.0)

    @cached_property
    def linear(self) -> nt.FeedForward:
        """Linear, 3-4-3-2."""
        return self._layers("linear", SIZES, forms.identity)

    @cached_property
    def inputs(self) -> jax.Array:
        """Data of the three input neurons of `deep` and `linear`."""
        return jnp.asarray(self.random("inputs").uniform(-0.8, 0.8, SIZES[0]))

    @cached_property
    def targets(self) -> jax.Array:
        """Data of their two output neurons."""
        return jnp.asarray(self.random("targets").uniform(-0.8, 0.8, SIZES[-1]))

    @cached_property
    def state(self) -> Any:
        """x̄ of `deep`, in layers."""
        return self.deep.propagate(self.inputs)

    @cached_property
    def hessian(self) -> Any:
        """Ĝ of `deep` at x̄."""
        return nt.bulk_hessian(self.deep, self.state)

    @cached_property
    def spectrum(self) -> Any:
        """log λ of that Ĝ."""
        return nt.log_eigenvalues(self.hessian)

    @cached_property
    def logs(self) -> np.ndarray:
        """Its N values of log λ, descending, from the twin."""
        return np.log(np.linalg.eigvalsh(self.dense))[::-1]

    @cached_property
    def dense(self) -> np.ndarray:
        """Ĝ of `deep` at x̄ from the twin."""
        return forms.hessian(forms.jacobian(self.twin, self.centre))

    @cached_property
    def twin(self) -> Twin:
        """`deep` in NumPy."""
        return as_twin(self.deep, self.inputs)

    @cached_property
    def linear_twin(self) -> Twin:
        """`linear` in NumPy."""
        return as_twin(self.linear, self.inputs)

    @cached_property
    def centre(self) -> np.ndarray:
        """x̄ of `deep`, (N,)."""
        return forms.fixed_state(self.twin, len(SIZES))

    @cached_property
    def linear_centre(self) -> np.ndarray:
        """x̄ of `linear`, (N,)."""
        return forms.fixed_state(self.linear_twin, len(SIZES))

    @cached_property
    def shallow_links(self) -> np.ndarray:
        """A = f̂'ŵ of `shallow` at the fixed state of some inputs, (12, 12)."""
        u = jnp.asarray(self.random("shallow inputs").uniform(-0.8, 0.8, 7))
        twin = as_twin(self.shallow, u)
        return forms.links(twin, forms.fixed_state(twin, 2))

    @cached_property
    def shallow_hessian(self) -> Any:
        """Ĝ of `shallow` from the library, at the same state."""
        u = jnp.asarray(self.random("shallow inputs").uniform(-0.8, 0.8, 7))
        return nt.bulk_hessian(self.shallow, self.shallow.propagate(u))

    @cached_property
    def graph(self) -> nt.Septuple:
        """tanh on an acyclic graph in which connections skip layers, 12 neurons, 3 inputs and 2 outputs."""
        return self._graph("graph", np.tril(self.random("graph").normal(size=(12, 12)) * 0.5, -1))

    @cached_property
    def cyclic(self) -> nt.Septuple:
        """tanh with cycles among the hidden neurons, a contraction: one stable fixed state."""
        weight = self.random("cyclic").normal(size=(12, 12))
        return self._graph("cyclic", 0.9 * weight / np.abs(weight).sum(axis=1).max())

    def _graph(self, name: str, weight: np.ndarray) -> nt.Septuple:
        place = np.arange(len(weight))
        weight = weight.copy()
        weight[:3], weight[:, -2:] = 0, 0
        bias = 0.4 * self.random(name + " bias").normal(size=len(weight))
        bias[:3] = np.arctanh(np.asarray(self.inputs))
        return nt.Septuple(
            jnp.asarray(weight),
            jnp.asarray(bias),
            activation=jnp.tanh,
            input_mask=place < 3,
            output_mask=place >= len(weight) - 2,
        )

    @cached_property
    def pair(self) -> Twin:
        """Two tanh neurons, an input and one it feeds: small enough for quadrature, x̄ well inside the box."""
        rng = self.random("pair")
        weight = np.array([[0.0, 0.0], [rng.uniform(0.8, 1.4), 0.0]])
        bias = np.array([np.arctanh(rng.uniform(0.2, 0.4)), rng.uniform(-0.1, 0.1)])
        return Twin(weight, bias, np.tanh, forms.tanh_slope, 1)

    @cached_property
    def pair_net(self) -> nt.FeedForward:
        """`pair` for the library."""
        w, b = self.pair.weight[1:, :1], self.pair.bias[1:]
        return nt.FeedForward([jnp.asarray(w)], [jnp.asarray(b)], activation=jnp.tanh)

    @cached_property
    def pair_inputs(self) -> jax.Array:
        """Its data."""
        return jnp.asarray(np.tanh(self.pair.bias[:1]))

    def quadrature(self, measure: Any, m: float = 0.0) -> Any:
        """The library's own integral over `pair` at β = 1.4; 96 points a side settle it to 1e-9."""

        def integrate() -> Any:
            ensemble = nt.CanonicalEnsemble(self.pair_net, self.pair_inputs, BETA, measure=measure, m=m)
            return nt.quadrature(ensemble, points=96)

        return self.once(f"quadrature {type(measure).__name__} {m}", integrate)


def as_twin(net: nt.FeedForward, inputs: Any) -> Twin:
    """A layered network in NumPy, with the data of its inputs in their bias (2.8)."""
    sizes = net.sizes
    starts = np.cumsum((0, *sizes))
    weight, bias = np.zeros((net.size, net.size)), np.zeros(net.size)
    linear = net.activations[0] is forms.identity
    bias[: sizes[0]] = np.asarray(inputs) if linear else np.arctanh(np.asarray(inputs))
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        weight[starts[k + 1] : starts[k + 2], starts[k] : starts[k + 1]] = np.asarray(w)
        bias[starts[k + 1] : starts[k + 2]] = np.asarray(b)
    if linear:
        return Twin(weight, bias, forms.identity, np.ones_like, sizes[0])
    return Twin(weight, bias, np.tanh, forms.tanh_slope, sizes[0])


def graph_twin(net: nt.Septuple) -> Twin:
    """A general tanh graph in NumPy."""
    return Twin(np.asarray(net.weight), np.asarray(net.bias), np.tanh, forms.tanh_slope, net.input_size)


def nilpotent_links() -> np.ndarray:
    """f̂'ŵ of ŵ = [[1, -1], [1, -1]] with slopes 0.9 and 0.3: ŵ² = 0, but its graph has cycles and (f̂'ŵ)² ≠ 0."""
    return np.array([[0.9], [0.3]]) * np.array([[1.0, -1.0], [1.0, -1.0]])
