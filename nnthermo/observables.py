"""Everything the theory measures of a network at once: the one place that joins the parts."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnthermo._checks import check
from nnthermo._typing import Array, Scalar, State
from nnthermo.architecture import eigenvalue_laplacian
from nnthermo.ensemble import MatrixFreeHessian, bulk_hessian, log_partition
from nnthermo.ensemble.samples import sample_options
from nnthermo.loss import boundary_loss
from nnthermo.network import Network, TracedNetwork
from nnthermo.objective import FindState, fixed_state
from nnthermo.relaxation import relax
from nnthermo.spectral_estimates import StochasticSpectrum, stochastic_spectrum
from nnthermo.spectrum import complexity, decompose, displaced_count, log_eigenvalues, thermodynamic_entropy
from nnthermo.thermodynamics import thermodynamic_functions


class Observables(NamedTuple):
    """Thermodynamics and spectrum of a network at a state; scalars of shape () unless said otherwise.

    Losses and energies are in units of the loss, entropies and complexities in nats.

    Attributes:
        log_partition: log Z with the mean term (5.9), on which the next four rest.
        free_energy: F = -log Z / β (6.4).
        average_loss: U = -∂ log Z/∂β (6.1).
        entropy: S = log Z + βU (7.1).
        heat_capacity: β² ∂² log Z/∂β².
        log_partition_without_mean: (5.14), on which the rest rests.
        complexity: C (6.7), threshold at λ = 1/β.
        thermodynamic_entropy: S₀ (7.4), same threshold.
        displaced_count: N_>, same threshold.
        smooth_complexity: the exact form of C (`decompose`).
        smooth_thermodynamic_entropy: the exact form of S₀.
        effective_count: N_eff = 2βU of (5.14), the exact form of N_>.
        laplacian: ΔF in the eigenvalues (8.10).
        mu2: Tr (log Ĝ)² (9.5).
        mu3: Tr (log Ĝ)³ (9.6).
        mean_square: mean of (log λ)² over the dynamical eigenvalues.
        mean_cube: mean of (log λ)³ over the dynamical eigenvalues.
        skewness: mean_cube / mean_square^{3/2}.
        log_eigenvalues: dynamical log λ, descending, shape (n,).
    """

    log_partition: Array
    free_energy: Array
    average_loss: Array
    entropy: Array
    heat_capacity: Array
    log_partition_without_mean: Array
    complexity: Array
    thermodynamic_entropy: Array
    displaced_count: Array
    smooth_complexity: Array
    smooth_thermodynamic_entropy: Array
    effective_count: Array
    laplacian: Array
    mu2: Array
    mu3: Array
    mean_square: Array
    mean_cube: Array
    skewness: Array
    log_eigenvalues: Array


class StochasticObservables(NamedTuple):
    """What `measure` estimates of a network too large for exact methods; fields as those of `Observables`.

    Thresholds on single eigenvalues, which quadrature does not resolve, are left out: their smooth forms are here.

    Attributes:
        standard_errors: of every field above, by name; see `TraceEstimate` for what they cover.
        truncation: what the last quarter of the Lanczos steps changed in each: `steps` are too few where it is not
            small beside the standard error, first for μ₂ and μ₃.
    """

    log_partition: Array
    free_energy: Array
    average_loss: Array
    entropy: Array
    heat_capacity: Array
    log_partition_without_mean: Array
    smooth_complexity: Array
    smooth_thermodynamic_entropy: Array
    effective_count: Array
    laplacian: Array
    mu2: Array
    mu3: Array
    standard_errors: dict[str, Array]
    truncation: dict[str, Array]


def measure(
    net: Network,
    x: State,
    beta: Scalar,
    *,
    m: Scalar = 0.0,
    slopes: State | None = None,
    method: str = "auto",
    **options: Any,
) -> Observables | StochasticObservables:
    """Every observable of a network at a state, from one Ĝ; composes with jit, vmap and grad.

    Compile it, `jax.jit(nt.measure)`: it is hundreds of small operations. For many states `map_over` takes one
    after another on each device and needs no batched decompositions, which jaxlib 0.9.2 may hang in on a machine with
    one core: `jit(vmap(measure))` needs NPROC=2 in the environment there, or jax 0.12.

    Of a traced network whose Ĝ is "stochastic" it gives estimates with their standard errors, without derivatives in
    the network (those of `log_partition` of its Hessian are there).

    Args:
        net: a network.
        x: x̄, a fixed state in the structure of the network, or `mean_state` of a data set as in the paper.
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3) in the partition function, U, S and ΔF; C, S₀ and N_> are those of m = 0.
        slopes: f̂' in place of f'(ŵx + b), for example `mean_slopes`.
        method: of a traced network, as in `bulk_hessian`.
        options: of "stochastic", as in `bulk_hessian`.

    Raises:
        ValueError: as `bulk_hessian` and `log_partition`.
    """
    if isinstance(net, TracedNetwork):
        x = net.ordered(x)
    G = bulk_hessian(net, x, slopes=slopes, method=method, **options)
    if isinstance(G, MatrixFreeHessian):
        return _estimate(G, x, beta, m)
    spectrum = log_eigenvalues(G)
    exact = decompose(spectrum, beta)
    functions = thermodynamic_functions(G, beta, m=m, mean=x)
    return Observables(
        **functions._asdict(),
        log_partition_without_mean=log_partition(spectrum, beta, m=m),
        complexity=complexity(spectrum, beta),
        thermodynamic_entropy=thermodynamic_entropy(spectrum, beta),
        displaced_count=displaced_count(spectrum, beta),
        smooth_complexity=exact.complexity,
        smooth_thermodynamic_entropy=exact.thermodynamic_entropy,
        effective_count=exact.effective_count,
        laplacian=eigenvalue_laplacian(spectrum, beta, m=m),
        mu2=spectrum.moment(2),
        mu3=spectrum.moment(3),
        mean_square=spectrum.mean_moment(2),
        mean_cube=spectrum.mean_moment(3),
        skewness=spectrum.skewness(),
        log_eigenvalues=spectrum.values,
    )


def _estimate(G: MatrixFreeHessian, x: State, beta: Scalar, m: Scalar) -> StochasticObservables:
    def of_lambda(phi: Callable[..., Array]) -> Callable[[StochasticSpectrum], Array]:
        return lambda spectrum: spectrum.trace(phi, beta, m).value

    def all_of(spectrum: StochasticSpectrum) -> dict[str, Array]:
        found = {name: of_lambda(phi)(spectrum) for name, phi in TRACES.items()}
        count, complexity = found["effective_count"], 0.5 * G.size * math.log(2 * math.pi) + found["smooth_complexity"]
        mixing, log_beta = found.pop("mixing"), jnp.log(jnp.asarray(beta, count.dtype))
        return {
            **thermodynamic_functions(spectrum, beta, m=m)._asdict(),
            **found,
            "log_partition_without_mean": -0.5 * spectrum.log_det(beta, m) + 0.5 * G.size * math.log(2 * math.pi),
            "smooth_complexity": complexity,
            "smooth_thermodynamic_entropy": 0.5 * count * (1 - log_beta) - mixing,
        }

    found: Any = stochastic_spectrum(G, mean=x).estimate(all_of)
    return StochasticObservables(**found.value, standard_errors=found.standard_error, truncation=found.truncation)


def _log(value: Array) -> Array:
    return jnp.log(jnp.maximum(value, jnp.finfo(value.dtype).tiny))  # a Ritz value may round to 0


def _occupation(value: Array, beta: Array, _m: Array) -> Array:
    return beta * value / (1 + beta * value)


def _mixing(value: Array, beta: Array, m: Array) -> Array:
    s = _occupation(value, beta, m)
    return 0.5 * (jnp.log1p(beta * value) - s * (jnp.log(beta) + _log(value)))


TRACES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "effective_count": _occupation,
    "smooth_complexity": lambda v, beta, m: -0.5 * _occupation(v, beta, m) * _log(v),
    "mixing": _mixing,
    "laplacian": lambda v, beta, m: -0.5 * beta / (1 - beta * m + beta * v) ** 2,
    "mu2": lambda v, _beta, _m: _log(v) ** 2,
    "mu3": lambda v, _beta, _m: _log(v) ** 3,
}
"""Observables that are Tr φ(Ĝ, β, m); the names are those of `StochasticObservables`."""


Observer = Callable[[Network, Array, Any], dict[str, Array]]
"""(network, inputs, targets or None) -> what is recorded, by name; shapes stay the same during a run."""


def thermodynamic_observer(
    *,
    beta: Scalar = 1.0,
    m: Scalar = 0.0,
    relaxed_samples: int = 128,
    max_steps: int = 2000,
    slopes_of_mean: bool = True,
    dtype: Any = None,
    state: FindState | None = None,
    hessian: Mapping[str, Any] | None = None,
) -> Observer:
    """An observer for `train`: both losses over the data, and `measure` at the mean state.

    Args:
        beta: inverse temperature at which to measure.
        m: curvature of the potential, as in `measure`.
        relaxed_samples: the clamped bulk loss (3.2) is averaged over the first so many samples, the boundary loss over
            all of them.
        max_steps: bound on the relaxation's steps.
        slopes_of_mean: f'(⟨x⟩), as the paper writes (5.4); False: ⟨f'⟩.
        dtype: of `measure`; None for the network's own, float64 (where it is enabled) for exact spectra of a float32
            network. A `TracedNetwork` computes in the dtype that its function was traced in, and takes no other.
        state: function (network, inputs of one sample) -> state, for example `FixedState()` for graphs with cycles;
            `net.propagate` if None.
        hessian: options of `bulk_hessian` for a `TracedNetwork`: `method`, and of "stochastic" `key`, `probes`, `steps`
            and `chunk`; the same key at every epoch, so that differences between epochs scatter less.

    Returns:
        A function (network, inputs, targets) -> dict with the fields of `Observables`, or of `StochasticObservables`
        with `..._standard_error` and `..._truncation` of each; `boundary_loss` and `median_boundary_loss` over all
        samples, `accuracy` (the largest output is the largest target), `bulk_loss` and `median_bulk_loss` over the
        relaxed samples, `relaxed_boundary_loss`, the mean over those same samples, and `unrelaxed`, the share of them
        that did not converge. Without targets (None) the boundary losses and the accuracy are left out and the outputs
        relax too. If `state` reports convergence there is `unfixed`, the share of samples without it.
    """
    options = sample_options(None, hessian)

    def observe(net: Network, inputs: Array, targets: Array | None) -> dict[str, Array]:
        states, fixed = jax.vmap(lambda u: fixed_state(net, u, state))(inputs)
        some = None if targets is None else targets[:relaxed_samples]
        found = relax(net, inputs[:relaxed_samples], some, max_steps=max_steps)
        mean = jax.tree.map(lambda s: jnp.mean(s, axis=0), states)
        slopes = None
        if not slopes_of_mean:
            slopes = jax.tree.map(lambda s: jnp.mean(s, axis=0), jax.vmap(net.slopes)(states))
        exact = _in_dtype(net, mean, slopes, dtype)
        recorded = {} if targets is None else _boundary(net, states, targets, relaxed_samples)
        if fixed is not None:
            recorded["unfixed"] = jnp.mean((~fixed).astype(inputs.dtype))
        return {
            **recorded,
            "bulk_loss": jnp.mean(found.loss),
            "median_bulk_loss": jnp.median(found.loss),
            "unrelaxed": jnp.mean((~found.converged).astype(found.loss.dtype)),
            **_flat(measure(exact[0], exact[1], beta, m=m, slopes=exact[2], **options)),
        }

    return observe


def _in_dtype(net: Network, mean: State, slopes: State | None, dtype: Any) -> tuple[Network, State, State | None]:
    if dtype is None:
        return net, mean, slopes
    if isinstance(net, TracedNetwork):
        requirement = f"be None for a TracedNetwork of {net.dtype} (trace it with parameters and example in the other)"
        check("dtype", requirement, jnp.dtype(dtype) == net.dtype, jnp.dtype(dtype))
        return net, mean, slopes
    return jax.tree.map(lambda a: a.astype(dtype), (net, mean, slopes))


def _flat(found: Observables | StochasticObservables) -> dict[str, Array]:
    """One array a name, errors of estimates among them."""
    fields = found._asdict()
    for kind, suffix in (("standard_errors", "standard_error"), ("truncation", "truncation")):
        fields |= {f"{name}_{suffix}": value for name, value in fields.pop(kind, {}).items()}
    return fields


def _boundary(net: Network, states: State, targets: Array, relaxed_samples: int) -> dict[str, Array]:
    """What needs targets."""
    boundary = jax.vmap(lambda x, t: boundary_loss(net, x, t))(states, targets)
    right = jnp.argmax(jax.vmap(net.outputs)(states), axis=-1) == jnp.argmax(targets, axis=-1)
    return {
        "boundary_loss": jnp.mean(boundary),
        "median_boundary_loss": jnp.median(boundary),
        "accuracy": jnp.mean(right.astype(boundary.dtype)),
        "relaxed_boundary_loss": jnp.mean(boundary[:relaxed_samples]),
    }
