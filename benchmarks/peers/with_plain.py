"""Plain JAX: descent with a fixed step and momentum in a `fori_loop`; the first prediction is computed only once."""

# ruff: noqa: D101, D102 - worker.py says what a trainer is

import jax
import jax.numpy as jnp
import numpy as np
import optax
from problem import Net

PACKAGES = ("jax", "jaxlib", "optax", "numpy")
FAMILIES = ("descent", "momentum")


def errors(params, states):
    weights, biases = params
    return [v - jnp.tanh(u @ w.T + b) for u, v, w, b in zip(states, states[1:], weights, biases, strict=False)]


def bulk_loss(params, states):
    return sum(0.5 * jnp.sum(r**2) for r in errors(params, states))


def relaxed(params, x, y, step, momentum, count):
    weights, biases = params
    hidden = [jnp.tanh(x @ weights[0].T + biases[0])]
    first = hidden[0]
    for w, b in zip(weights[1:-1], biases[1:-1], strict=True):
        hidden.append(jnp.tanh(hidden[-1] @ w.T + b))

    def loss(hidden):
        return 0.5 * jnp.sum((hidden[0] - first) ** 2) + bulk_loss((weights[1:], biases[1:]), [*hidden, y])

    def body(_, carry):
        hidden, velocity = carry
        gradient = jax.grad(loss)(hidden)
        if momentum is None:
            return [h - step * g for h, g in zip(hidden, gradient, strict=True)], velocity
        velocity = [momentum * v - step * g for v, g in zip(velocity, gradient, strict=True)]
        return [h + v for h, v in zip(hidden, velocity, strict=True)], velocity

    velocity = None if momentum is None else [jnp.zeros_like(h) for h in hidden]
    return jax.lax.fori_loop(0, count, body, (hidden, velocity))[0]


def arrays(net):
    return jax.tree.map(jnp.asarray, (net.weights, net.biases))


def defaults(_net, _x, _y):
    return {}


def tuned(_family, net, x, y, setting):
    params, x, y = arrays(net), jnp.asarray(x), jnp.asarray(y)
    momentum = setting.momentum or None
    run = jax.jit(lambda params, x, y: relaxed(params, x, y, setting.step, momentum, setting.count))
    return lambda: jax.block_until_ready(run(params, x, y))


@jax.jit
def epoch(state, xs, ys, rate, step, momentum, count):
    def one(state, batch):
        params, memory = state
        x, y = batch
        hidden = relaxed(params, x, y, step, momentum, count)
        gradient = jax.grad(lambda p: bulk_loss(p, [x, *hidden, y]) / len(x))(params)
        change, memory = optax.adam(rate).update(gradient, memory)
        return (optax.apply_updates(params, change), memory), None

    return jax.lax.scan(one, state, (xs, ys))[0]


class Trainer:
    def __init__(self, net, rate, _batch):
        params = arrays(net)
        self.rate, self.state = rate, (params, optax.adam(rate).init(params))

    @staticmethod
    def compiled_in(_setting):
        return ()

    def epoch(self, xs, ys, setting):
        self.state = jax.block_until_ready(epoch(self.state, xs, ys, self.rate, *setting))

    def net(self):
        return Net(*([np.asarray(a) for a in part] for part in self.state[0]))
