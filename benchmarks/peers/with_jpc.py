"""jpc: its ODE solver as shipped, and its update of the activities in a loop that the user compiles.

jpc divides the energy by the batch size, so a step of its gradient is that many times shorter: the steps given here are
multiplied by the batch size.
"""

# ruff: noqa: D101, D102 - worker.py says what a trainer is

import equinox as eqx
import jax
import jax.numpy as jnp
import jpc
import numpy as np
import optax
from equinox import nn
from problem import Net

PACKAGES = ("jpc", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy")
FAMILIES = ("descent", "momentum")
DEFAULT_TRAINING = "solve_inference"


def model_of(net):
    layers = []
    for w, b in zip(net.weights, net.biases, strict=True):
        linear = nn.Linear(w.shape[1], w.shape[0], key=jax.random.PRNGKey(0))
        linear = eqx.tree_at(lambda m: (m.weight, m.bias), linear, (jnp.asarray(w), jnp.asarray(b)))
        layers.append(nn.Sequential([linear, nn.Lambda(jnp.tanh)]))
    return layers


def defaults(net, x, y):
    model, x, y = model_of(net), jnp.asarray(x), jnp.asarray(y)

    @eqx.filter_jit
    def solve(model, x, y):
        start = jpc.init_activities_with_ffwd(model=model, input=x)
        return jpc.solve_inference(params=(model, None), activities=start, output=y, input=x)[:-1]

    optimizer, begin = optax.sgd(0.5), eqx.filter_jit(lambda: jpc.init_activities_with_ffwd(model=model, input=x))

    def readme():
        """The README's loop, as many steps of SGD as there are layers, at its notebooks' rate 0.5."""
        activities = begin()
        state = optimizer.init(activities)
        for _ in model:
            found = jpc.update_pc_activities((model, None), activities, optimizer, state, y, input=x)
            activities, state = found["activities"], found["opt_state"]
        return jax.block_until_ready(activities[:-1])

    return {
        "solve_inference": lambda: [z[-1] for z in jax.block_until_ready(solve(model, x, y))],
        "update_pc_activities × layers, sgd(0.5)": readme,
    }


def relaxed(model, x, y, step, momentum, count):
    optimizer = optax.sgd(step * len(x), momentum=momentum)
    activities = jpc.init_activities_with_ffwd(model=model, input=x)

    def body(_, carry):
        found = jpc.update_pc_activities((model, None), carry[0], optimizer, carry[1], y, input=x)
        return found["activities"], found["opt_state"]

    return jax.lax.fori_loop(0, count, body, (activities, optimizer.init(activities)))[0]


def tuned(_family, net, x, y, setting):
    model, x, y = model_of(net), jnp.asarray(x), jnp.asarray(y)
    momentum = setting.momentum or None
    run = eqx.filter_jit(lambda model, x, y: relaxed(model, x, y, setting.step, momentum, setting.count)[:-1])
    return lambda: jax.block_until_ready(run(model, x, y))


@eqx.filter_jit
def epoch(model, memory, optimizer, xs, ys, setting):
    arrays, rest = eqx.partition((model, memory), eqx.is_array)

    def one(arrays, batch):
        model, memory = eqx.combine(arrays, rest)
        x, y = batch
        if setting is None:
            found = jpc.make_pc_step(model, optimizer, memory, y, input=x)
        else:
            activities = relaxed(model, x, y, *setting)
            found = jpc.update_pc_params((model, None), activities, optimizer, memory, y, input=x)
        return eqx.filter((found["model"], found["opt_state"]), eqx.is_array), None

    return eqx.combine(jax.lax.scan(one, arrays, (xs, ys))[0], rest)


class Trainer:
    optimizers = {}  # noqa: RUF012 - one object each, as jit tells them apart by identity

    def __init__(self, net, rate, _batch):
        model = model_of(net)
        self.optimizer = self.optimizers.setdefault(rate, optax.adam(rate))
        self.state = model, self.optimizer.init((eqx.filter(model, eqx.is_array), None))

    @staticmethod
    def compiled_in(setting):
        return setting is None

    def epoch(self, xs, ys, setting):
        numbers = setting and tuple(jnp.asarray(number) for number in setting)
        self.state = epoch(*self.state, self.optimizer, jnp.asarray(xs), jnp.asarray(ys), numbers)
        jax.block_until_ready(eqx.filter(self.state, eqx.is_array))

    def net(self):
        layers = [layer.layers[0] for layer in self.state[0]]
        return Net([np.asarray(m.weight) for m in layers], [np.asarray(m.bias) for m in layers])
