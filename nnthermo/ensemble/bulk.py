"""Ĝ of any network at a state, in the structure that the network has."""

from typing import Any

import jax.numpy as jnp

from nnthermo._checks import check, full_precision, real_array, refuse
from nnthermo._typing import State
from nnthermo.ensemble.hessian import DenseHessian, LayeredHessian
from nnthermo.ensemble.traced import traced_hessian
from nnthermo.network import FeedForward, Network, Septuple, TracedNetwork
from nnthermo.network.traced import dtype_of


def bulk_hessian(
    net: Network, x: State | None = None, *, slopes: State | None = None, method: str = "auto", **options: Any
) -> Any:
    """Ĝ = (I - f̂'ŵ)ᵀ(I - f̂'ŵ) (5.6) at a state.

    The exact Hessian of the bulk loss (3.1) at the fixed point x̄ of (2.9), where the residual vanishes; elsewhere
    that Hessian has the further term -Σ r_i f''_i w_iw_iᵀ. Input rows of f̂'ŵ are zero by (2.2).

    A traced network has f̂'ŵ as a linear map. "layered" keeps its blocks where every level depends on the one before
    alone (chains of convolutions, pooling and dense layers), "blocks" where neurons also depend on others of their own
    level (residual blocks), "dense" keeps B as one matrix, and "stochastic" keeps none: then what follows from it are
    estimates. "auto" takes the cheapest exact one that fits into 1 GiB and 10¹² flops, and else "stochastic";
    `explain` says which and why.

    Args:
        net: a network.
        x: state in the structure of the network.
        slopes: f̂' in place of f'(ŵx + b), for example `mean_slopes`; then x is not needed. Not of a traced network.
        method: of a traced network: "auto", "layered", "blocks", "dense" or "stochastic".
        options: of "stochastic": `key`, `probes`, `steps` and `chunk` of `MatrixFreeHessian`.

    Returns:
        A `LayeredHessian` of a `FeedForward`, a `DenseHessian` of a `Septuple`; of a traced network one of these, a
        `BlockHessian` or a `MatrixFreeHessian`.

    Raises:
        ValueError: a network of half precision, neither state nor slopes, wrong shapes, a method that the wiring does
            not allow, or options of other names or of other methods.
        TypeError: another kind of network.
    """
    if isinstance(net, TracedNetwork):
        check("slopes", "be left out for a TracedNetwork, which has none apart from ŵ", slopes is None, "some")
        if x is None:
            refuse("x", "be given for a TracedNetwork", None)
        return traced_hessian(net, x, method, options)
    if isinstance(net, FeedForward | Septuple):
        full_precision("net", dtype_of(net))
    check("method", "be 'auto' unless `net` is a TracedNetwork", method == "auto", repr(method))
    check("options", "be left out unless `net` is a TracedNetwork", not options, ", ".join(sorted(options)))
    if slopes is None:
        if x is None:
            refuse("x", "be given unless `slopes` are", "None")
        slopes = net.slopes(x)
    if isinstance(net, FeedForward):
        check(
            "slopes",
            f"be {len(net.biases)} vectors, one a layer after the input",
            len(slopes) == len(net.biases),
            len(slopes),
        )
        return LayeredHessian(
            net.weights,
            tuple(
                real_array("slopes", d, shape=b.shape).astype(b.dtype) for d, b in zip(slopes, net.biases, strict=True)
            ),
        )
    if not isinstance(net, Septuple):
        raise TypeError(f"`net` must be a FeedForward, a Septuple or a TracedNetwork, but got {type(net).__name__}")
    slopes = real_array("slopes", slopes, shape=net.bias.shape).astype(net.bias.dtype)
    return DenseHessian(jnp.eye(net.size, dtype=net.weight.dtype) - slopes[:, None] * net.signal_weight)
