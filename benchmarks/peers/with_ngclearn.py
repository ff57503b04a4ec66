"""ngclearn: the wiring of its museum's predictive-coding classifier, at our sizes.

Its error cells compare a state with W φ(state below) under a linear output, so H of the others cannot be written with
its components: it is timed, and its states are not scored.
"""

# ruff: noqa: D102 - worker.py says what a trainer is

import jax.numpy as jnp
import numpy as np
from jax import block_until_ready, random
from ngclearn import Context, MethodProcess
from ngclearn.components import GaussianErrorCell, HebbianSynapse, RateCell, StaticSynapse
from ngclearn.utils.distribution_generator import DistributionGenerator
from problem import Net

PACKAGES = ("ngclearn", "jax", "jaxlib", "numpy")
FAMILIES = ()
DEFAULT_TRAINING = "T=20, dt/τ = 0.05 (museum)"
SCORED = False
STEPS, TAU = 20, 20.0


class Circuit:
    """Cells, error cells, synapses and the processes that run them."""

    number = 0

    def __init__(self, net, batch, rate=1e-3):
        Circuit.number += 1
        sizes, self.last = net.sizes, len(net.weights)
        uniform = DistributionGenerator.uniform(low=-0.3, high=0.3)
        keys = random.split(random.PRNGKey(0), 2 * len(sizes))
        layers = range(1, len(sizes))
        with Context(f"Circuit{Circuit.number}"):
            z = [RateCell("z0", n_units=sizes[0], tau_m=0.0, act_fx="identity", batch_size=batch)]
            for k in layers[:-1]:
                rest = {"prior": ("gaussian", 0.0), "integration_type": "euler", "batch_size": batch}
                z.append(RateCell(f"z{k}", n_units=sizes[k], tau_m=TAU, act_fx="tanh", **rest))
            z.append(RateCell(f"z{self.last}", n_units=sizes[-1], tau_m=0.0, act_fx="identity", batch_size=batch))
            e = {k: GaussianErrorCell(f"e{k}", n_units=sizes[k], batch_size=batch) for k in layers}
            w = {}
            for k in layers:
                learning = {"eta": rate, "optim_type": "adam", "sign_value": -1.0, "w_bound": 0.0}
                start = {"weight_init": uniform, "bias_init": DistributionGenerator.constant(value=0.0)}
                shape = (sizes[k - 1], sizes[k])
                w[k] = HebbianSynapse(f"W{k}", shape=shape, batch_size=batch, key=keys[k], **learning, **start)
            back = {
                k: StaticSynapse(
                    f"E{k}", shape=(sizes[k], sizes[k - 1]), weight_init=uniform, batch_size=batch, key=keys[-k]
                )
                for k in layers[1:]
            }
            for k in layers:
                z[k - 1].zF >> w[k].inputs
                w[k].outputs >> e[k].mu
                z[k].z >> e[k].target
                z[k - 1].zF >> w[k].pre
                e[k].dmu >> w[k].post
            for k in layers[:-1]:
                e[k + 1].dmu >> back[k + 1].inputs
                back[k + 1].outputs >> z[k].j
                e[k].dtarget >> z[k].j_td
            self.advance, self.reset, self.evolve = (MethodProcess(name) for name in ("advance", "reset", "evolve"))
            for part in (*back.values(), *z, *w.values(), *e.values()):
                self.advance = self.advance >> part.advance_state
            for part in (*z, *e.values()):
                self.reset = self.reset >> part.reset
            for part in w.values():
                self.evolve = self.evolve >> part.evolve
        self.z, self.e, self.w, self.back = z, e, w, back
        self.load(net)

    def load(self, net):
        for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
            self.w[k].weights.set(jnp.asarray(w.T))
            self.w[k].biases.set(jnp.asarray(b)[None])
        self.tie()

    def tie(self):
        for k, back in self.back.items():
            back.weights.set(self.w[k].weights.get().T)

    def relax(self, x, y):
        self.reset.run()
        u = x
        for k in range(1, self.last + 1):
            u = u @ self.w[k].weights.get() + self.w[k].biases.get()
            if k < self.last:
                self.z[k].z.set(u)
                u = jnp.tanh(u)
        self.e[self.last].dmu.set(y - u)
        self.e[self.last].dtarget.set(u - y)
        for t in range(STEPS):
            self.z[0].j.set(x)
            self.z[-1].j.set(y)
            self.advance.run(t=t, dt=1.0)
        return [jnp.tanh(cell.z.get()) for cell in self.z[1:-1]]

    def net(self):
        return Net(
            [np.asarray(w.weights.get()).T for w in self.w.values()],
            [np.asarray(w.biases.get()).reshape(-1) for w in self.w.values()],
        )


def defaults(net, x, y):
    circuit, x, y = Circuit(net, len(x)), jnp.asarray(x), jnp.asarray(y)
    return {DEFAULT_TRAINING: lambda: block_until_ready(circuit.relax(x, y))}


class Trainer:
    """The synapses back are the transposed ones after each update, as in the museum."""

    made = {}  # noqa: RUF012 - one circuit serves all trainers

    def __init__(self, net, rate, batch):
        if not self.made:
            self.made["circuit"] = Circuit(net, batch, rate)
            self.made["memory"] = [w.opt_params.get() for w in self.made["circuit"].w.values()]
        self.circuit = self.made["circuit"]
        self.state = net, self.made["memory"]

    @property
    def state(self):
        return self.circuit.net(), [w.opt_params.get() for w in self.circuit.w.values()]

    @state.setter
    def state(self, state):
        self.circuit.load(state[0])
        for w, memory in zip(self.circuit.w.values(), state[1], strict=True):
            w.opt_params.set(memory)

    @staticmethod
    def compiled_in(_setting):
        return ()

    def epoch(self, xs, ys, _setting):
        for x, y in zip(xs, ys, strict=True):
            self.circuit.relax(jnp.asarray(x), jnp.asarray(y))
            self.circuit.evolve.run(t=STEPS, dt=1.0)
            self.circuit.tie()
        block_until_ready(self.circuit.w[1].weights.get())

    def net(self):
        return self.circuit.net()
