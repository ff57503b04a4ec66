"""pcx: vodes and its Optim, in its while loop, which takes the number of steps as an argument."""

# ruff: noqa: D101, D102 - worker.py says what a trainer is

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pcx.functional as pxf
import pcx.nn as pxnn
import pcx.predictive_coding as pxc
import pcx.utils as pxu
from problem import Net, Setting

PACKAGES = ("pcx", "jax", "jaxlib", "equinox", "optax", "numpy")
FAMILIES = ("descent", "momentum")
DEFAULT_TRAINING = "T=20, sgd(0.05), unrolled (tutorials)"
VODES = pxc.VodeParam | pxc.VodeParam.Cache


class Model(pxc.EnergyModule):
    """Linear layers with a vode after each, the last one clamped."""

    def __init__(self, net):
        super().__init__()
        self.layers = [pxnn.Linear(w.shape[1], w.shape[0]) for w in net.weights]
        self.vodes = [pxc.Vode() for _ in self.layers]
        self.vodes[-1].h.frozen = True
        self.load(net)
        self.train()

    def load(self, net):
        for layer, w, b in zip(self.layers, net.weights, net.biases, strict=True):
            layer.nn.weight.set(jnp.asarray(w))
            layer.nn.bias.set(jnp.asarray(b))

    def __call__(self, x, y=None):
        for vode, layer in zip(self.vodes, self.layers, strict=True):
            x = vode(jnp.tanh(layer(x)))
        if y is not None:
            self.vodes[-1].set("h", y)
        return self.vodes[-1].get("u")


MASK = pxu.M(VODES).to((None, 0))


@pxf.vmap(MASK, in_axes=(0, 0), out_axes=0)
def forward(x, y, *, model):
    return model(x, y)


@pxf.vmap(MASK, in_axes=(0,), out_axes=(None, 0), axis_name="batch")
def energy(x, *, model):
    out = model(x)
    return jax.lax.psum(model.energy(), "batch"), out


def free_vodes(model=None):
    mask = pxu.M_hasnot(pxc.VodeParam, frozen=True)
    return mask if model is None else mask(model)


def descend(x, step, *, model, optimizer):
    with pxu.step(model, clear_params=pxc.VodeParam.Cache):
        _, gradient = pxf.value_and_grad(free_vodes().to([False, True]), has_aux=True)(energy)(x, model=model)
    optimizer.step(model, gradient["model"], scale_by=step)


def begin(x, y, model, optimizer):
    # (INIT, None): a status that is one value is not reset by itself, and the loop would reject its carry
    with pxu.step(model, (pxc.STATUS.INIT, None), clear_params=pxc.VodeParam.Cache):
        forward(x, y, model=model)
    optimizer.init(free_vodes(model))


def loop(x, step, count, *, model, optimizer):
    def body(k, *, model, optimizer):
        descend(x, step, model=model, optimizer=optimizer)
        return k + 1

    def more(k, **_):
        return k < count

    pxf.while_loop(body, more)(jnp.zeros((), jnp.int32), model=model, optimizer=optimizer)


def hidden_of(model):
    return [vode.h.get() for vode in model.vodes[:-1]]


def relaxer(net, x, y, relax, **options):
    model, x, y = Model(net), jnp.asarray(x), jnp.asarray(y)
    optimizer = pxu.Optim(lambda: optax.sgd(1.0, **options))

    @pxf.jit()
    def run(x, y, *, model, optimizer):
        begin(x, y, model, optimizer)
        relax(x, model, optimizer)
        optimizer.clear()
        return hidden_of(model)

    return lambda: jax.block_until_ready(run(x, y, model=model, optimizer=optimizer))


def unrolled(step, count):
    def relax(x, model, optimizer):
        for _ in range(count):
            descend(x, step, model=model, optimizer=optimizer)

    return relax


def defaults(net, x, y):
    return {
        "T=8, sgd(0.0105, 0.65), unrolled (paper's MNIST)": relaxer(net, x, y, unrolled(0.010535, 8), momentum=0.65),
        DEFAULT_TRAINING: relaxer(net, x, y, unrolled(0.05, 20)),
    }


def tuned(_family, net, x, y, setting):
    def relax(x, model, optimizer):
        loop(x, setting.step, setting.count, model=model, optimizer=optimizer)

    return relaxer(net, x, y, relax, momentum=setting.momentum or None)


def epoch_with(relax):
    def one(batch, *, model, optimizer, learner, step, count):
        x, y = batch
        begin(x, y, model, optimizer)
        relax(x, step, count, model=model, optimizer=optimizer)
        optimizer.clear()
        with pxu.step(model, clear_params=pxc.VodeParam.Cache):
            wanted = pxu.M(pxnn.LayerParam).to([False, True])
            _, gradient = pxf.value_and_grad(wanted, has_aux=True)(energy)(x, model=model)
        learner.step(model, gradient["model"], scale_by=1 / len(x))
        model.clear_params(pxc.VodeParam)  # the carry of the scan must end as it began
        return (), None

    @pxf.jit()
    def epoch(xs, ys, step, count, *, model, optimizer, learner):
        body = partial(one, step=step, count=count)
        pxf.scan(body, xs=(xs, ys))(model=model, optimizer=optimizer, learner=learner)

    return epoch


def tutorial(x, _step, _count, *, model, optimizer):
    unrolled(0.05, 20)(x, model, optimizer)


class Trainer:
    made = {}  # noqa: RUF012 - one model and one program of each kind serve all trainers

    def __init__(self, net, rate, _batch):
        if "model" not in self.made:
            self.made["model"] = Model(net)
        self.model = self.made["model"]
        self.model.load(net)
        self.learner = pxu.Optim(lambda: optax.adam(rate), pxu.M(pxnn.LayerParam)(self.model))

    @property
    def state(self):
        return self.net(), self.learner.state.get()

    @state.setter
    def state(self, state):
        self.model.load(state[0])
        self.learner.state.set(state[1])

    @staticmethod
    def compiled_in(setting):
        return setting and setting.momentum

    def epoch(self, xs, ys, setting):
        kind = self.compiled_in(setting)
        if kind not in self.made:
            optimizer = pxu.Optim(lambda: optax.sgd(1.0, momentum=kind or None))
            self.made[kind] = epoch_with(tutorial if setting is None else loop), optimizer
        (epoch, optimizer), given = self.made[kind], setting or Setting(0.0, 0.0, 0)
        numbers = jnp.float32(given.step), jnp.int32(given.count)
        parts = {"model": self.model, "optimizer": optimizer, "learner": self.learner}
        epoch(jnp.asarray(xs), jnp.asarray(ys), *numbers, **parts)
        jax.block_until_ready([layer.nn.weight.get() for layer in self.model.layers])

    def net(self):
        return Net(
            [np.asarray(layer.nn.weight.get()) for layer in self.model.layers],
            [np.asarray(layer.nn.bias.get()) for layer in self.model.layers],
        )
