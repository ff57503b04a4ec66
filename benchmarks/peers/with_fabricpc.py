"""fabricpc: a chain of its nodes under `InferenceSGD` ("descent") and `EPCInference` ("errors")."""

# ruff: noqa: D101, D102 - worker.py says what a trainer is

from functools import lru_cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
from fabricpc.core.activations import TanhActivation
from fabricpc.core.inference import InferenceSGD, run_inference
from fabricpc.core.inference_epc import EPCInference
from fabricpc.core.topology import Edge
from fabricpc.core.types import GraphParams, NodeParams
from fabricpc.graph_assembly import TaskMap, graph
from fabricpc.graph_initialization import initialize_params
from fabricpc.graph_initialization.state_initializer import FeedforwardStateInit, initialize_graph_state
from fabricpc.nodes import IdentityNode, Linear
from fabricpc.training import make_train_step
from problem import Net

PACKAGES = ("fabricpc", "jax", "jaxlib", "optax", "numpy")
FAMILIES = ("descent", "errors")
DEFAULT_TRAINING = "InferenceSGD(0.05, 20) (mnist_demo)"
KEY = jax.random.PRNGKey(0)


def structure_of(sizes, inference):
    nodes = [IdentityNode(shape=(sizes[0],), name="n0")]
    nodes += [Linear(shape=(n,), activation=TanhActivation(), name=f"n{k}") for k, n in enumerate(sizes[1:], 1)]
    return graph(
        nodes=nodes,
        edges=[Edge(source=a, target=b.slot("in")) for a, b in pairwise(nodes)],
        task_map=TaskMap(x=nodes[0], y=nodes[-1]),
        inference=inference,
        graph_state_initializer=FeedforwardStateInit(),
    )


def params_of(net, structure):
    like = initialize_params(structure, KEY).nodes
    nodes = dict(like)
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        shapes = like[f"n{k}"]
        nodes[f"n{k}"] = NodeParams(
            weights={name: jnp.asarray(w.T) for name in shapes.weights},
            biases={name: jnp.asarray(b).reshape(old.shape) for name, old in shapes.biases.items()},
        )
    return GraphParams(nodes=nodes)


def relaxer(net, x, y, inference):
    structure = structure_of(net.sizes, inference)
    last = len(net.weights)
    clamps = {"n0": jnp.asarray(x), f"n{last}": jnp.asarray(y)}

    @jax.jit
    def run(params, clamps):
        start = initialize_graph_state(structure, len(x), KEY, clamps, params=params)
        found = run_inference(params, start, clamps, structure)
        return [found.nodes[f"n{k}"].z_latent for k in range(1, last)]

    params = params_of(net, structure)
    return lambda: jax.block_until_ready(run(params, clamps))


def defaults(net, x, y):
    return {
        DEFAULT_TRAINING: relaxer(net, x, y, InferenceSGD(0.05, 20)),
        "InferenceSGD()": relaxer(net, x, y, InferenceSGD()),
        "EPCInference()": relaxer(net, x, y, EPCInference()),
    }


def tuned(family, net, x, y, setting):
    kind = EPCInference if family == "errors" else InferenceSGD
    return relaxer(net, x, y, kind(setting.step, setting.count))


@lru_cache(maxsize=64)
def program(sizes, setting, rate):
    step, count = (0.05, 20) if setting is None else (setting.step, setting.count)
    structure = structure_of(sizes, InferenceSGD(step, count))
    train_step = make_train_step(structure, optax.adam(rate))

    def one(state, batch):
        params, memory, *_ = train_step(*state, {"x": batch[0], "y": batch[1]}, KEY)
        return (params, memory), None

    return jax.jit(lambda state, xs, ys: jax.lax.scan(one, state, (xs, ys))[0]), structure


class Trainer:
    def __init__(self, net, rate, _batch):
        self.sizes, self.rate = net.sizes, rate
        params = params_of(net, program(self.sizes, None, rate)[1])
        self.state = params, optax.adam(rate).init(params)

    @staticmethod
    def compiled_in(setting):
        return setting

    def epoch(self, xs, ys, setting):
        self.state = jax.block_until_ready(program(self.sizes, setting, self.rate)[0](self.state, xs, ys))

    def net(self):
        nodes = [self.state[0].nodes[f"n{k}"] for k in range(1, len(self.sizes))]
        weights = [np.asarray(next(iter(n.weights.values()))).T for n in nodes]
        return Net(weights, [np.asarray(next(iter(n.biases.values()))).reshape(-1) for n in nodes])
