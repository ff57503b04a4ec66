"""Laplacians of the free energy over any parametrisation Q ↦ network: the sum over Q_k of (8.4)."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, real_array
from nnthermo._typing import Array, Scalar, State
from nnthermo.ensemble.samples import sample_hessian, sample_mean, sample_options
from nnthermo.laplacians import Laplacian, laplacian
from nnthermo.network import Network, TracedNetwork
from nnthermo.objective import FindState, fixed_state
from nnthermo.thermodynamics import free_energy


def network_free_energy(
    net: Network,
    inputs: Any,
    beta: Scalar,
    *,
    m: Scalar = 0.0,
    mean_term: bool = False,
    slopes: State | None = None,
    state: FindState | None = None,
    hessian: Mapping[str, Any] | None = None,
    chunk_samples: int | None = None,
) -> Array:
    """Mean over samples of F = -log Z/β, (5.14) or (5.9), each at its own fixed state: shape (), in units of the loss.

    A function of the network alone, so that it can be differentiated along whatever the network is made of.

    Args:
        net: a `FeedForward`, `Septuple` or `TracedNetwork`.
        inputs: of one sample (n_in,), or of many (samples, n_in); of a `TracedNetwork` in the shape of its example.
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3).
        mean_term: whether log Z keeps its mean term (5.9), with x̄ the fixed state; (5.14) otherwise.
        slopes: f̂' in place of f'(ŵx̄ + b), in the structure of `net.slopes`, with the leading axis of `inputs` if they
            have one.
        state: function (network, inputs of one sample) -> x̄, for example `FixedState()` for graphs with cycles;
            `net.propagate` if None.
        hessian: options of `bulk_hessian` for a `TracedNetwork`: `method`, and of "stochastic" `key`, `probes`, `steps`
            and `chunk`. Each sample has probes of its own, from the key and its number: their errors average out.
        chunk_samples: how many samples are worked on together, which bounds the memory (derivatives then compute each
            sample twice); all of them if None, or one where Ĝ is stochastic.

    Raises:
        ValueError: as `bulk_hessian` and `log_partition`; where values are traced, as those of many samples always are,
            M that is not positive definite gives NaN. chunk_samples below 1.
        TypeError: another kind of network, options that are no dict, chunk_samples not an integer.
    """
    u, single = _inputs(net, inputs)
    options = sample_options(net, hessian)

    def one(u: Array, d: State | None, number: Array) -> Array:
        x = None if d is not None and not mean_term else fixed_state(net, u, state)[0]
        G = sample_hessian(net, x, number, options, slopes=d)
        return free_energy(G, beta, m=m, mean=x if mean_term else None)

    if single:
        return one(u, slopes, jnp.zeros((), int))
    return sample_mean(one, (u, slopes), options, chunk_samples)


def parameter_laplacian(
    parametrisation: Callable[[Any], Network],
    q: Any,
    inputs: Any,
    beta: Scalar,
    *,
    m: Scalar = 0.0,
    mean_term: bool = False,
    slopes: str = "following",
    state: FindState | None = None,
    hessian: Mapping[str, Any] | None = None,
    chunk_samples: int | None = None,
    method: str = "exact",
    key: Array | None = None,
    probes: int = 64,
    chunk: int = 64,
) -> Laplacian:
    """ΔF = Σ ∂²F/∂Q_k² (8.4) over all parameters Q of a family of networks, F the mean over samples.

    The parametrisation is the architecture: weights that are a product U V, shared between layers, or a convolution
    with few taps written as a matrix are functions of Q, and so is the network itself, `lambda net: net`.

        def low_rank(q):
            return net.replace(weights=[u @ v for u, v in q])

        nt.parameter_laplacian(low_rank, q, images, 1.4)

    ΔF belongs to Q and not to the network alone: other coordinates of the same family have another one, of either sign.

    Slopes:
        "following": the state and its slopes follow Q, the total second derivative.
        "fixed": f̂' stay what they are at the fixed state of parametrisation(q). For a `FeedForward` with Q its weights
            and (5.14) this is `weight_laplacian`; biases then contribute 0, as Ĝ holds weights and slopes only. With
            `mean_term` x̄ follows Q all the same.

    Args:
        parametrisation: function q -> network, twice differentiable; of a `TracedNetwork` for example
            `lambda q: net.replace(parameters=q)`, its own parameters.
        q: pytree of real arrays of one dtype.
        inputs: (n_in,), or (samples, n_in) to average F over.
        beta: inverse temperature β > 0, in inverse units of the loss.
        m: curvature of the potential (3.3).
        mean_term: F of (5.9) in place of (5.14).
        slopes: see above.
        state: as in `network_free_energy`.
        hessian: options of `bulk_hessian`, as in `network_free_energy`; not "stochastic", which has no second
            derivatives.
        chunk_samples: samples worked on together, as in `network_free_energy`.
        method: "exact", "forward" or "stochastic", with `key`, `probes` and `chunk`, as in `laplacian`.

    Returns:
        ΔF in units of the loss over those of Q squared, and its standard error.

    Raises:
        ValueError: slopes of another name, or as `network_free_energy` and `laplacian`.
        TypeError: as `laplacian` and `bulk_hessian`.
    """
    check("slopes", "be 'following' or 'fixed'", slopes in ("following", "fixed"), repr(slopes))
    u, frozen = real_array("inputs", inputs), None
    if slopes == "fixed":
        net = parametrisation(q)
        single = _inputs(net, u)[1]

        def slopes_at(v: Array) -> State:
            return net.slopes(fixed_state(net, v, state)[0])

        frozen = jax.lax.stop_gradient(slopes_at(u) if single else jax.vmap(slopes_at)(u))

    def average(p: Any) -> Array:
        made = parametrisation(p)
        options: dict[str, Any] = {"slopes": frozen, "hessian": hessian, "chunk_samples": chunk_samples}
        return network_free_energy(made, u, beta, m=m, mean_term=mean_term, state=state, **options)

    return laplacian(average, q, method=method, key=key, probes=probes, chunk=chunk)


def _inputs(net: Network, inputs: Any) -> tuple[Array, bool]:
    """The inputs, and whether they are of one sample."""
    u = real_array("inputs", inputs)
    if isinstance(net, TracedNetwork):
        one, many = net.is_one_sample(u), u.ndim > 1 and u.shape[1:] in (net.groups[0].shape, (net.input_size,))
        check("inputs", f"be one sample {net.groups[0].shape} or many", one or many, f"shape {u.shape}")
        return u, one
    check("inputs", "be one sample (n_in,) or many (samples, n_in)", u.ndim in (1, 2), f"shape {u.shape}")
    return u, u.ndim == 1
