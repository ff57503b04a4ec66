"""nnthermo through its public functions: `relax` and `train`."""

import time
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from problem import Net

import nnthermo as nt

PACKAGES = ("nnthermo", "jax", "jaxlib", "optax", "numpy")
DEFAULT_TRAINING = "relax"
COMPILED = {}  # seconds, by the options of the loss


def network(net):
    return nt.FeedForward(net.weights, net.biases, activation=jnp.tanh)


def defaults(net, x, y):
    return {"relax": tolerant(net, x, y)}


def tolerant(net, x, y, tolerance=None, max_steps=10_000):
    net, x, y = network(net), jnp.asarray(x), jnp.asarray(y)
    run = jax.jit(lambda net, x, y: nt.relax(net, x, y, tolerance=tolerance, max_steps=max_steps).state[1:-1])
    return lambda: jax.block_until_ready(run(net, x, y))


@lru_cache
def loss(**options):
    return partial(nt.relaxed_bulk_loss, **options)


@lru_cache
def optimizer(rate):
    return optax.adam(rate)


def nothing(_net, _inputs, _targets):
    return {}


def train(net, x, y, rate, epochs, batch, seed, **options):
    """The trained network; seconds an epoch, those after the first; seconds of compiling and of what a call adds."""

    def run(epochs):
        start = time.perf_counter()
        found = nt.train(
            network(net),
            (x, y),
            key=jax.random.key(seed),
            epochs=epochs,
            optimizer=optimizer(rate),
            loss=loss(**options),
            batch_size=batch,
            observe=nothing,
            observe_at=(epochs,),
        )
        jax.block_until_ready(found.network.weights)
        return found.network, time.perf_counter() - start

    first, again = run(1)[1], run(1)[1]
    found, seconds = run(epochs)
    weights, biases = ([np.asarray(a) for a in part] for part in (found.weights, found.biases))
    an_epoch = (seconds - again) / (epochs - 1)
    compile_s = COMPILED.setdefault((rate, *sorted(options.items())), first - an_epoch)
    return Net(weights, biases), an_epoch, compile_s
