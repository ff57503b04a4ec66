"""Small models of every kind that `network_from` takes, in float64, with inputs for one sample each."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax.ad_checkpoint import checkpoint_name

import nnthermo as nt

WIDE = {"param_dtype": jnp.float64}


class Convolutional(nnx.Module):
    """Convolution, batch statistics at rest, pooling, normalisation, dropout at rest, dense layers."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 2, (3, 3), rngs=rngs, **WIDE)
        self.batch = nnx.BatchNorm(2, use_running_average=True, rngs=rngs, **WIDE)
        self.norm = nnx.LayerNorm(18, rngs=rngs, **WIDE)
        self.dropout = nnx.Dropout(0.5, deterministic=True, rngs=rngs)
        self.dense = nnx.Linear(18, 5, rngs=rngs, **WIDE)
        self.last = nnx.Linear(5, 3, rngs=rngs, **WIDE)

    def __call__(self, x):
        x = nnx.relu(self.batch(self.conv(x)))
        x = nnx.avg_pool(x[None], (2, 2), strides=(2, 2))[0].ravel()
        return self.last(nnx.gelu(self.dense(self.dropout(self.norm(x)))))


class Residual(nnx.Module):
    """Two residual blocks."""

    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs, **WIDE) for _ in range(5)])

    def __call__(self, x):
        for k in (0, 2):
            x = jnp.tanh(x + self.layers[k + 1](nnx.silu(self.layers[k](x))))
        return self.layers[4](x)


class Encoder(linen.Module):
    """One block of a transformer encoder over five tokens; `named` puts its residual stream among the neurons."""

    named: bool = False

    @linen.compact
    def __call__(self, x, deterministic=False):
        name = checkpoint_name if self.named else lambda v, _name: v
        x = name(linen.Dense(4, **WIDE)(x), "embedding")
        h = linen.LayerNorm(**WIDE)(x)
        h = linen.MultiHeadDotProductAttention(num_heads=2, dropout_rate=0.1, **WIDE)(h, deterministic=deterministic)
        x = name(x + h, "attended")
        h = linen.gelu(linen.Dense(6, **WIDE)(linen.LayerNorm(**WIDE)(x)))
        h = name(h, "hidden")
        x = name(x + linen.Dense(4, **WIDE)(h), "block")
        return linen.Dense(2, **WIDE)(x.mean(axis=0))


@contextlib.contextmanager
def flax_rules():
    """Flax and Equinox compute with mixed dtypes and ranks, which the tests otherwise forbid."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def recurrent():
    """A function of a cell's parameters and of rows, the last carry of the cell."""
    graph, q, *rest = nnx.split(nnx.GRUCell(2, 3, rngs=nnx.Rngs(1), **WIDE), nnx.Param, ...)
    return (lambda p, u: jax.lax.scan(nnx.merge(graph, p, *rest), jnp.zeros(3), u)[0]), q


@jax.custom_vjp
def doubled(x):
    return 2 * x


doubled.defvjp(lambda x: (2 * x, None), lambda _, g: (2 * g,))


@jax.custom_jvp
def bent(x):
    return jnp.sin(x)


bent.defjvp(lambda p, t: (jnp.sin(p[0]), jnp.cos(p[0]) * t[0]))


def nested(q, u):
    """jit in jit, vmap, checkpoint, custom derivatives."""

    @jax.jit
    def inner(w, v):
        return jax.vmap(lambda row: bent(row @ v))(w)

    x = jax.jit(lambda w, v: inner(w, v) + v[0])(q["a"], u)
    x = jax.checkpoint(lambda w, v: jnp.tanh(w @ doubled(v)))(q["b"], x)
    return jax.nn.softplus(q["c"] @ x)


@flax_rules()
def models():
    """name -> (network, inputs of one sample)."""
    key = jax.random.key(7)
    image, vector, rows = (jax.random.normal(key, s) for s in ((6, 6, 1), (4,), (5, 2)))
    encoder, named = Encoder(), Encoder(named=True)
    variables = encoder.init(jax.random.key(1), rows, deterministic=True)
    scanned, weights = recurrent()
    q = {n: jax.random.normal(jax.random.fold_in(key, k), s) for k, (n, s) in enumerate(SHAPES.items())}
    equinox = jax.tree.map(
        lambda a: a.astype(jnp.float64) if eqx.is_inexact_array(a) else a,
        eqx.nn.MLP(4, 3, 5, 2, activation=jnp.tanh, key=key),
    )
    return {
        "convolution": (nt.network_from(Convolutional(nnx.Rngs(0)), image), image),
        "residual": (nt.network_from(Residual(nnx.Rngs(0)), vector), vector),
        "encoder": (nt.network_from((encoder, variables), rows, deterministic=True), rows),
        "stream": (nt.network_from((named, variables), rows, deterministic=True), rows),
        "recurrent": (nt.network_from(scanned, rows, weights), rows),
        "equinox": (nt.network_from(equinox, vector), vector),
        "nested": (nt.network_from(nested, vector, q), vector),
    }


SHAPES = {"a": (5, 4), "b": (4, 5), "c": (2, 4)}
