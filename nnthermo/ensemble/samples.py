"""Means over samples of what follows from a Ĝ each, whose probes differ from sample to sample."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nnthermo._checks import check, instance, integer, is_key
from nnthermo._typing import Array, State
from nnthermo.ensemble.bulk import bulk_hessian
from nnthermo.ensemble.traced import choose
from nnthermo.network import Network, TracedNetwork

Options = Mapping[str, Any]


def sample_options(net: Network | None, options: Any) -> Options:
    """Options of `bulk_hessian` for samples: a stochastic Ĝ is named as such and has a key, and no other has one.

    Args:
        net: the network; None for the options as they are, checked.
        options: a dict, or None.

    Raises:
        TypeError: not a dict of options.
        ValueError: `slopes` among them.
    """
    instance("hessian", options, Mapping | None, "a dict of options of `bulk_hessian`")
    found = dict(options or {})
    check("hessian", "leave out `slopes`, which are an argument of their own", "slopes" not in found, sorted(found))
    if isinstance(net, TracedNetwork) and found.get("method", "auto") == "auto":
        found["method"] = choose(net).method
    if net is not None and found.get("method") == "stochastic" and found.get("key") is None:
        found["key"] = jax.random.key(0)
    return found


def sample_hessian(net: Network, x: State | None, number: Array, options: Options, slopes: State | None = None) -> Any:
    """Ĝ of sample `number`; what is random follows from the key and the number: errors of samples are independent."""
    own = dict(options)
    if is_key(own.get("key")):
        own["key"] = jax.random.fold_in(own["key"], number)
    return bulk_hessian(net, x, slopes=slopes, **own)


def sample_mean(function: Callable[..., Array], rows: Any, options: Options, chunk: int | None = None) -> Array:
    """Mean of a function (*row, number of the row) over the rows of a tuple of pytrees, shape ().

    Args:
        function: of one sample.
        rows: pytrees of arrays (samples, ...).
        options: from `sample_options`; a stochastic Ĝ is worked on alone, as its probes fill the machine.
        chunk: samples worked on together, in the memory of so many, what derivatives need computed again; all, or of a
            stochastic Ĝ one, if None.

    Raises:
        ValueError: chunk below 1.
        TypeError: chunk not an integer.
    """
    if chunk is not None:
        chunk = integer("chunk_samples", chunk, least=1)
    elif options.get("method") == "stochastic":
        chunk = 1
    samples = jax.tree.leaves(rows)[0].shape[0]
    numbered = (*rows, jnp.arange(samples))
    if chunk is None or chunk >= samples > 1:
        return jnp.mean(jax.vmap(function)(*numbered))
    again = jax.checkpoint(lambda row: function(*row))
    return jnp.mean(jax.lax.map(again, numbered, batch_size=chunk if chunk > 1 else None))
