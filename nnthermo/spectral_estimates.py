"""The spectrum of Ĝ known through random probes: traces with standard errors, and the density of log λ."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check, real_array
from nnthermo._pytree import pytree
from nnthermo._typing import Array, Scalar, State
from nnthermo.ensemble.hessian import shift_and_scale
from nnthermo.ensemble.matrix_free import MatrixFreeHessian, Products, log_shifted, nodes_and_weights, probe_quadratures
from nnthermo.linalg.divided_difference import elementwise
from nnthermo.linalg.lanczos import krylov


class TraceEstimate(NamedTuple):
    """A trace over the spectrum, each field of the shape of the trace.

    Attributes:
        value: mean over the probes.
        standard_error: of that mean, from the scatter between probes; NaN with one. Of a few probes only: its square
            is unbiased, and three of it cover less than a normal law says (98 % with 8 probes, by Student's law).
        truncation: what the last quarter of the Lanczos steps changed. Further ones change less where φ is smooth over
            the spectrum; powers of log λ with eigenvalues near 0 need more steps than log Z, and show it here.
    """

    value: Array
    standard_error: Array
    truncation: Array


@pytree(static=("size",))
class StochasticSpectrum:
    """Gauss quadratures of the spectral measures of random probes; made by `stochastic_spectrum`.

    Stands for Ĝ in `log_partition` and all that follows from it by differentiation in β and m, at O(probes × steps) for
    each. Holds no derivatives in the network: those are of the `MatrixFreeHessian`.

    Attributes:
        nodes: Ritz values λ, (probes, n).
        weights: how many eigenvalues each stands for, (probes, n); with `unit_count` they sum to N for each probe.
        shorter: nodes and weights, and those of x̄, of three quarters of the Lanczos steps.
        unit_count: eigenvalues that are exactly 1 besides, shape ().
        mean_nodes: of the spectral measure of x̄, (k,); empty without a mean.
        mean_weights: that sum to |x̄|², (k,).
        size: number of neurons N.
    """

    nodes: Array
    weights: Array
    shorter: tuple[Array, Array, Array, Array]
    unit_count: Array
    mean_nodes: Array
    mean_weights: Array
    size: int

    def log_det(self, beta: Scalar, m: Scalar = 0.0) -> Array:
        """log det((1 - βm) I + βĜ), mean over the probes; NaN if not positive definite at the Ritz values."""
        beta, shift = self._numbers(beta, m)
        return jnp.mean(self._sums(log_shifted, self.nodes, self.weights, (shift, beta)))

    def trace(self, phi: Callable[..., Array], *parameters: Scalar) -> TraceEstimate:
        """Tr φ(Ĝ) = Σ φ(λ, *parameters) with its standard error.

        Raises:
            ValueError: a parameter not one number.
            TypeError: a parameter not real.
        """
        numbers = tuple(real_array("parameters", p, shape=()).astype(self.nodes.dtype) for p in parameters)
        each = self._sums(phi, self.nodes, self.weights, numbers)
        fewer = self._sums(phi, *self.shorter[:2], numbers)
        return TraceEstimate(jnp.mean(each), _standard_error(each), jnp.abs(jnp.mean(each) - jnp.mean(fewer)))

    def estimate(self, function: Callable[["StochasticSpectrum"], Any]) -> TraceEstimate:
        """Any function of the spectrum that is a pytree of arrays, with standard errors and truncation of each.

            spectrum.estimate(lambda s: nt.thermodynamic_functions(s, 1.4))

        Of functions that are linear in the traces (log Z, U, S, C) the value is unbiased; others have a bias of the
        order of the variance.
        """

        def of_one_probe(nodes: Array, weights: Array) -> Any:
            return function(self._with(nodes[None], weights[None]))

        whole, fewer = function(self), function(self._with(*self.shorter))
        errors = jax.tree.map(_standard_error, jax.vmap(of_one_probe)(self.nodes, self.weights))
        return TraceEstimate(whole, errors, jax.tree.map(lambda a, b: jnp.abs(a - b), whole, fewer))

    def density(self, points: Array, width: float) -> TraceEstimate:
        """Density of log λ among all N eigenvalues, those that are exactly 1 included, smoothed by a Gaussian.

        Args:
            points: log λ, (k,).
            width: of the Gaussian, in log λ.
        """
        points = real_array("points", points, ndim=1).astype(self.nodes.dtype)
        check("width", "be positive", width > 0, width)

        def at(point: Array) -> TraceEstimate:
            def bump(value: Array, centre: Array) -> Array:
                tiny = jnp.finfo(value.dtype).tiny
                distance = (jnp.log(jnp.maximum(value, tiny)) - centre) / width
                return jnp.exp(-0.5 * distance**2) / (width * jnp.sqrt(2 * jnp.pi).astype(value.dtype) * self.size)

            return self.trace(bump, point)

        return jax.vmap(at)(points)

    def log_det_and_form(self, beta: Scalar, m: Scalar, a: None = None) -> tuple[Array, Array]:  # noqa: ARG002
        """log det of M = cI + βĜ, c = 1 - βm, and x̄ᵀ cβĜM⁻¹ x̄ of (5.9), with the mean it was made with."""
        b, shift = self._numbers(beta, m)
        values = b * self.mean_nodes
        return self.log_det(beta, m), jnp.sum(self.mean_weights * shift * values / (shift + values))

    def _numbers(self, beta: Scalar, m: Scalar) -> tuple[Array, Array]:
        beta, shift = shift_and_scale(beta, m, self.nodes.dtype)
        return beta, jnp.asarray(shift, beta.dtype)

    def _sums(self, phi: Any, nodes: Array, weights: Array, numbers: tuple) -> Array:
        values = elementwise(phi, nodes.ravel(), numbers).reshape(nodes.shape)
        ones = phi(jnp.ones((), nodes.dtype), *numbers)
        return jnp.sum(values * weights, axis=-1) + jnp.where(self.unit_count > 0, self.unit_count * ones, 0)

    def _with(
        self, nodes: Array, weights: Array, mean_nodes: Array | None = None, mean_weights: Array | None = None
    ) -> "StochasticSpectrum":
        a = self.mean_nodes if mean_nodes is None else mean_nodes
        b = self.mean_weights if mean_weights is None else mean_weights
        return StochasticSpectrum(nodes, weights, (nodes, weights, a, b), self.unit_count, a, b, self.size)


def _standard_error(each: Array) -> Array:
    probes = each.shape[0]
    return jnp.std(each, axis=0, ddof=1) / jnp.sqrt(probes) if probes > 1 else jnp.full(each.shape[1:], jnp.nan)


def stochastic_spectrum(G: MatrixFreeHessian, *, mean: State | None = None) -> StochasticSpectrum:
    """The spectrum of a matrix-free Ĝ by stochastic Lanczos quadrature: all temperatures and traces from one run.

    Cost: probes × colours × steps products with Ĝ, each as dear as one forward and one backward pass of the network,
    and as much again as steps² × N / 2 for orthogonalising. Memory: (steps + 1) N for each probe of a chunk.

    Args:
        G: from `bulk_hessian(net, x, method="stochastic")`.
        mean: x̄, to keep the mean term of (5.9): one further run of Lanczos, without scatter, but truncated too.

    Raises:
        TypeError: a Hessian that is not matrix-free: its spectrum is exact (`log_eigenvalues`).
        NotImplementedError: differentiated in the network.
    """
    if not isinstance(G, MatrixFreeHessian):
        raise TypeError(f"`G` must be a MatrixFreeHessian, but got {type(G).__name__}: use `log_eigenvalues`")
    G = _held(G)
    diagonal, off, counts, units = probe_quadratures(G)

    def flat(steps: int) -> tuple[Array, Array]:
        nodes, weights = nodes_and_weights(diagonal[..., :steps], off[..., : steps - 1])
        return nodes.reshape(G.probes, -1), (weights * counts[None, :, None]).reshape(G.probes, -1)

    def of_mean(steps: int) -> tuple[Array, Array]:
        nodes, weights = nodes_and_weights(mean_diagonal[:steps], mean_off[: steps - 1])
        return nodes, weights * length

    k = diagonal.shape[-1]
    less = max(1, 3 * k // 4)
    if mean is None:
        none = jnp.zeros((0,), diagonal.dtype)
        return StochasticSpectrum(*flat(k), (*flat(less), none, none), units, none, none, G.size)
    start, products = G.flat(mean), Products(G.network, G.state)
    length = jnp.vdot(start, start)
    _, mean_diagonal, mean_off = krylov(products.gram, start, G.steps)
    shorter = (*flat(less), *of_mean(max(1, 3 * G.steps // 4)))
    return StochasticSpectrum(*flat(k), shorter, units, *of_mean(G.steps), G.size)


@jax.custom_jvp
def _held(G: MatrixFreeHessian) -> MatrixFreeHessian:
    return G


@_held.defjvp
def _held_jvp(_primals: tuple, _tangents: tuple) -> Any:
    raise NotImplementedError(
        "a stochastic spectrum has no derivatives in the network: differentiate `log_partition` of its Hessian instead"
    )
