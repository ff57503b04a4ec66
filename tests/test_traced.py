"""Functions and models as septuples: hand-written twins, `jax.jacobian` of the residual, refusals by name."""

from collections import OrderedDict
from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.ad_checkpoint import checkpoint_name
from systems import draw_inputs, network
from zoo import SHAPES, Convolutional, Encoder, Residual, flax_rules, models

import nnthermo as nt

ZOO = models()
EPS = np.finfo(np.float64).eps
WIDTHS = {"paper": (9, 4, 3, 2), "deep": (2, 3, 3, 3, 2)}


def perturbed(net, u, seed=0, scale=0.3):
    """A state away from the fixed one."""
    return net.unravel(net.ravel(net.propagate(u)) + scale * jax.random.normal(jax.random.key(seed), (net.size,)))


def layers(q, u):
    for w, b in zip(*q, strict=True):
        u = jnp.tanh(w @ u + b)
    return u


def traced_twin(net, u):
    return nt.network_from(layers, u, (net.weights, net.biases))


TWINS = {name: traced_twin(network(0, sizes), jnp.zeros(sizes[0])) for name, sizes in WIDTHS.items()}


@jax.jit
def observed(net, u, beta, m):
    x = net.propagate(u)
    found = nt.measure(net, x, beta, m=m)._asdict()
    return {name: value for name, value in found.items() if name not in THRESHOLDS}


THRESHOLDS = ("displaced_count", "complexity", "thermodynamic_entropy")  # an ulp in a λ of 1/β moves them by ½


@jax.jit
def slope_of_free_energy(net, u, beta, m):
    return jax.grad(lambda n: nt.network_free_energy(n, u, beta, m=m, mean_term=True))(net)


@pytest.mark.parametrize("name", WIDTHS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-2, 2), share=st.floats(-1, 0.9), scale=st.floats(0.1, 2))
def test_traced_layers_equal_feed_forward(name, seed, log_beta, share, scale):
    """The same Ĝ in the same structure: every observable, and the gradient in weights and biases."""
    net, u, beta = network(seed, WIDTHS[name], scale=scale), draw_inputs(seed, WIDTHS[name][0]), 10.0**log_beta
    twin = TWINS[name].replace(parameters=(net.weights, net.biases))
    for a, b in zip(twin.propagate(u).values(), net.propagate(u), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * EPS)  # the order of summation in w @ u
    m = share / beta
    # cond(M) is at most 1e3 of these weights, whose blocks differ by ulp
    condition = 1e3 * (1 + 1 / (1 - share))
    ours, theirs = observed(twin, u, beta, m), observed(net, u, beta, m)
    for key, a in ours.items():
        b = theirs[key]
        np.testing.assert_allclose(
            a, b, err_msg=key, rtol=100 * EPS * condition, atol=1000 * EPS * condition * (1 + 1 / beta)
        )
    ours, theirs = slope_of_free_energy(twin, u, beta, m).parameters, slope_of_free_energy(net, u, beta, m)
    for a, b in zip(ours[0] + ours[1], theirs.weights + theirs.biases, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e3 * EPS * condition * (1 + 1 / beta))


@pytest.mark.parametrize("name", ZOO)
def test_states_are_what_the_function_computes(name):
    net, u = ZOO[name]
    x = net.propagate(u)
    assert isinstance(x, OrderedDict)
    assert tuple(x) == net.names
    np.testing.assert_array_equal(net.ravel(net.residual(x)), 0)
    np.testing.assert_array_equal(net.inputs(x), u.ravel())
    moved = perturbed(net, u)
    np.testing.assert_array_equal(net.ravel(net.unravel(net.ravel(moved))), net.ravel(moved))
    errors = net.residual(moved, inputs=u)
    np.testing.assert_allclose(errors["inputs"], moved["inputs"] - u, atol=4 * EPS)
    # given what it computes group after group, the function computes itself
    filled = dict(moved) | {"inputs": u}
    for _ in net.names:
        filled = dict(net.activate(filled))
    inside_scan = any(k in g.parents for k, g in enumerate(net.groups))
    if not inside_scan:
        for key, value in x.items():
            np.testing.assert_allclose(filled[key], value, atol=50 * EPS)


@pytest.mark.parametrize("name", ZOO)
def test_neurons_depend_on_their_parents_alone(name):
    net, u = ZOO[name]
    x = perturbed(net, u)
    before = net.activate(x)
    for j, moved in enumerate(net.groups):
        after = net.activate({**x, moved.name: x[moved.name] + 0.3})
        for group in net.groups[1:]:
            same = np.array_equal(before[group.name], after[group.name])
            assert same or j in group.parents, (moved.name, group.name)


@flax_rules()
def test_convolution_by_hand():
    model, (net, image) = Convolutional(nnx.Rngs(0)), ZOO["convolution"]
    x = perturbed(net, image)
    pooled = nnx.avg_pool(x["relu"][None], (2, 2), strides=(2, 2))[0].ravel()
    expected = {
        "relu": nnx.relu(model.batch(model.conv(x["inputs"]))),
        "activation": nnx.gelu(model.dense(model.norm(pooled))),
        "outputs": model.last(x["activation"]),
    }
    found = net.activate(x)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=20 * EPS)
    np.testing.assert_allclose(net.outputs(net.propagate(image)), model(image), atol=20 * EPS)


@flax_rules()
def test_residual_blocks_by_hand():
    model, (net, u) = Residual(nnx.Rngs(0)), ZOO["residual"]
    x, f = perturbed(net, u), model.layers
    expected = {
        "silu": nnx.silu(f[0](x["inputs"])),
        "tanh": jnp.tanh(x["inputs"] + f[1](x["silu"])),
        "silu_1": nnx.silu(f[2](x["tanh"])),
        "tanh_1": jnp.tanh(x["tanh"] + f[3](x["silu_1"])),
        "outputs": f[4](x["tanh_1"]),
    }
    for key, value in expected.items():
        np.testing.assert_allclose(net.activate(x)[key], value, atol=20 * EPS)


@flax_rules()
def test_gates_over_time_by_hand():
    """With the states of all steps given, the carried state is made of the given gates, not the computed ones."""
    net, rows = ZOO["recurrent"]
    cell = nnx.GRUCell(2, 3, rngs=nnx.Rngs(1), param_dtype=jnp.float64)
    x, h = perturbed(net, rows), jnp.zeros(3)
    found = net.activate(x)
    for t, u in enumerate(x["inputs"]):
        i, r = cell.dense_i(u), cell.dense_h(h)
        i_r, i_z, i_n = jnp.split(i, 3)
        h_r, h_z, h_n = jnp.split(r, 3)
        np.testing.assert_allclose(found["sigmoid"][t], jax.nn.sigmoid(i_r + h_r), atol=20 * EPS)
        np.testing.assert_allclose(found["sigmoid_1"][t], jax.nn.sigmoid(i_z + h_z), atol=20 * EPS)
        np.testing.assert_allclose(found["tanh"][t], jnp.tanh(i_n + x["sigmoid"][t] * h_n), atol=20 * EPS)
        h = (1 - x["sigmoid_1"][t]) * x["tanh"][t] + x["sigmoid_1"][t] * h
    np.testing.assert_allclose(found["outputs"], h, atol=20 * EPS)


def jacobian(net, x):
    """B by reverse derivatives of the residual, the inputs' own error x_in - data among them."""
    data = x["inputs"]

    def residual(v):
        return net.ravel(net.residual(net.unravel(v), inputs=data))

    return jax.jacrev(residual)(net.ravel(x))


def methods(net):
    chosen = nt.explain(net)
    return [chosen.method, *chosen.alternatives, "stochastic"]


@partial(jax.jit, static_argnums=3)
def facts(net, x, v, method):
    """What one method says of Ĝ, with v a vector."""
    H = nt.bulk_hessian(net, x, method=method)
    product = H.matvec(v if method == "dense" else net.unravel(v))
    product = net.ravel(product) if method == "stochastic" else product
    found = {"dense": H.to_dense(), "matvec": jnp.concatenate(product) if isinstance(product, tuple) else product}
    if method == "stochastic":
        return found | {"forward": H.errors(v), "transposed": H.errors_transposed(v)}
    spectrum = nt.log_eigenvalues(H)
    values = jnp.concatenate([spectrum.values, jnp.zeros(spectrum.unit_count)])
    log_det, form = H.log_det_and_form(1.3, 0.1, x)
    modes = nt.eigenmodes(H, mean=x).log_det_and_form(1.3, 0.1)[1]
    return found | {"log_det": log_det, "form": form, "modes": modes, "log_values": values}


dense_jacobian = jax.jit(jacobian)


@pytest.mark.parametrize("name", ZOO)
def test_every_method_has_the_same_hessian(name):
    net, u = ZOO[name]
    x = perturbed(net, u)
    B = np.asarray(dense_jacobian(net, x))
    G, v = B.T @ B, np.random.default_rng(0).normal(size=net.size)
    assert abs(np.linalg.slogdet(B)[1]) < 100 * EPS * np.linalg.cond(B)  # no cycles: det B = 1
    mean = net.ravel(x)
    M = (1 - 1.3 * 0.1) * np.eye(net.size) + 1.3 * G
    form = 0.87 * mean @ (1.3 * G) @ np.linalg.solve(M, mean)
    size, allowed = np.abs(B).sum(axis=1).max() ** 2, 1000 * EPS * np.linalg.cond(M)
    for method in methods(net):
        found = facts(net, x, jnp.asarray(v), method)
        np.testing.assert_allclose(found["dense"], G, atol=50 * EPS * size)
        np.testing.assert_allclose(found["matvec"], G @ v, atol=200 * EPS * size)
        if method == "stochastic":
            np.testing.assert_allclose(found["forward"], B @ v, atol=50 * EPS * size)
            np.testing.assert_allclose(found["transposed"], B.T @ v, atol=50 * EPS * size)
            continue
        assert abs(found["log_det"] - np.linalg.slogdet(M)[1]) < allowed * net.size
        for way in ("form", "modes"):
            assert abs(found[way] - form) < allowed * form
        values = np.log(np.linalg.eigvalsh(G))
        np.testing.assert_allclose(np.sort(found["log_values"]), values, atol=1000 * EPS * np.linalg.cond(G))


@pytest.mark.parametrize("name", ["convolution", "residual", "recurrent", "nested"])
def test_gradient_and_laplacian_over_shared_parameters(name):
    """Q is what the function takes: kernels of convolutions and cells, each used at many places."""
    net, u = ZOO[name]
    beta = 1.3
    flat, unravel = jax.flatten_util.ravel_pytree(net.parameters)

    def dense(q):
        moved = net.replace(parameters=unravel(q))
        B = jacobian(moved, moved.propagate(u))
        return jnp.linalg.slogdet(jnp.eye(net.size) + beta * B.T @ B)[1] / (2 * beta)

    def ours(q):
        return nt.network_free_energy(net.replace(parameters=q), u, beta)

    wanted = jax.jit(jax.grad(dense))(flat)
    found = jax.flatten_util.ravel_pytree(jax.jit(jax.grad(ours))(net.parameters))[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)
    if name == "nested":
        hessian = jax.jit(jax.hessian(dense))(flat)
        laplacian = nt.parameter_laplacian(lambda q: net.replace(parameters=q), net.parameters, u, beta)
        np.testing.assert_allclose(laplacian.value, jnp.trace(hessian), rtol=1e-8)


def test_relaxation_and_losses_of_a_model():
    """The clamped minimum of a traced network is that of its twin."""
    net, u, target = network(3, (5, 4, 3)), draw_inputs(3, 5), jnp.asarray([0.3, -0.2, 0.5])
    twin = traced_twin(net, u)
    found, wanted = nt.relax(twin, u, target, tolerance=1e-10), nt.relax(net, u, target, tolerance=1e-10)
    assert found.converged
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-9)
    x = twin.propagate(u)
    np.testing.assert_allclose(nt.boundary_loss(twin, x, target), nt.boundary_loss(net, net.propagate(u), target))
    np.testing.assert_allclose(twin.outputs(twin.clamp(x, targets=target)), target)
    image_net, image = ZOO["convolution"]
    with flax_rules():  # its batch statistics are float32
        relaxed = nt.relax(image_net, image.ravel(), jnp.asarray([1.0, 0.0, -1.0]), tolerance=1e-8)
    assert relaxed.converged
    assert 0 < relaxed.loss < nt.boundary_loss(image_net, image_net.propagate(image), jnp.asarray([1.0, 0.0, -1.0]))
    np.testing.assert_array_equal(relaxed.state["inputs"], image)


def test_names_and_choices():
    def fn(u):
        a = checkpoint_name(jnp.exp(-(u**2)), "bump")
        return checkpoint_name(jnp.tanh(a) + u, "sum")

    u = jnp.linspace(-1.0, 1.0, 3)
    assert nt.network_from(fn, u).names == ("inputs", "bump", "sum")
    assert nt.network_from(fn, u).program.output == 2
    assert nt.network_from(fn, u, neurons="named").names == ("inputs", "bump", "sum")
    assert nt.network_from(fn, u, neurons=["bump"]).names == ("inputs", "bump", "outputs")
    assert nt.network_from(fn, u, neurons="activations").names == ("inputs", "tanh", "outputs")
    twice = nt.network_from(lambda v: jnp.tanh(2 * jnp.tanh(v @ jnp.ones((3, 3)) + 1) @ jnp.ones((3, 3))), u)
    assert twice.names == ("inputs", "tanh", "tanh_1")


@flax_rules()
def test_what_is_a_neuron_without_names():
    u = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    w = jnp.ones((3, 3))

    def groups(function):
        return [g.name for g in nt.network_from(function, u).groups[1:]]

    assert groups(lambda v: jax.nn.softmax(jax.nn.relu(v @ w) @ w)) == ["relu", "outputs"]
    assert groups(lambda v: jnp.maximum(v @ w, 0) @ w) == ["relu", "outputs"]
    assert groups(lambda v: jax.nn.leaky_relu(v @ w)) == ["leaky_relu"]
    assert groups(lambda v: jax.nn.elu(v @ w)) == ["elu"]
    assert groups(lambda v: jnp.clip(v @ w, -1, 1)) == ["clip"]
    assert groups(lambda v: jax.nn.gelu(v @ w, approximate=False)) == ["activation"]
    assert groups(lambda v: jax.nn.glu(jnp.concatenate([v @ w, v], axis=-1))) == ["sigmoid", "outputs"]
    assert groups(lambda v: jnp.sin(v @ w) / 2 + 1) == ["sin"]
    normal = linen.LayerNorm()
    variables = normal.init(jax.random.key(0), u)
    assert groups(lambda v: normal.apply(variables, jnp.tanh(v @ w))) == ["tanh", "outputs"]
    constant = jnp.tanh(w)
    assert groups(lambda v: jnp.tanh(v @ jnp.tanh(constant))) == ["tanh"]  # of the weights it is no neuron


@flax_rules()
def test_what_cannot_be_traced_is_refused_by_name():
    u = jnp.ones(3)
    loop = lambda v: jax.lax.while_loop(lambda c: c.sum() < 9, lambda c: jnp.tanh(c) + c, v)  # noqa: E731
    with pytest.raises(ValueError, match="`fn` must have no neurons in a `while_loop`.*`jax.lax.scan`.*got 'tanh'"):
        nt.network_from(loop, u)
    branch = lambda v: jax.lax.cond(v[0] > 0, jnp.tanh, jnp.sin, v)  # noqa: E731
    with pytest.raises(ValueError, match="no neurons in a branch of `cond` or `switch`: .* `jnp.where`, but got"):
        nt.network_from(branch, u)
    fixed = nt.network_from(lambda v: jax.lax.fori_loop(0, 3, lambda _, c: jnp.tanh(2 * c), v), u)
    assert fixed.names == ("inputs", "tanh", "outputs")
    assert fixed.groups[1].shape == (3, 3)
    outside = nt.network_from(lambda v: jnp.tanh(jax.lax.cond(v[0] > 0, lambda c: 2 * c, lambda c: c, v)), u)
    assert outside.names == ("inputs", "tanh")
    called = lambda v: jnp.tanh(jax.pure_callback(lambda a: a, jax.ShapeDtypeStruct((3,), u.dtype), v))  # noqa: E731
    with pytest.raises(ValueError, match="be differentiable in its inputs, but got a `pure_callback`"):
        nt.network_from(called, u)
    with pytest.raises(ValueError, match="have neurons that depend on its inputs, but got none: name them by"):
        nt.network_from(lambda v: 2 * v, u)
    with pytest.raises(TypeError, match="`example_input` must be of a real floating-point dtype, but got int32: embed"):
        nt.network_from(lambda v: jnp.tanh(jnp.ones((5, 2))[v]), jnp.zeros(3, jnp.int32))
    with pytest.raises(ValueError, match="`fn` must return one array of a real floating-point dtype"):
        nt.network_from(lambda v: (jnp.tanh(v), v), u)
    with pytest.raises(ValueError, match="`neurons` must be names that the function gives, but got lost"):
        nt.network_from(lambda v: checkpoint_name(v, "kept"), u, neurons=["lost"])
    with pytest.raises(ValueError, match="`neurons` must be 'auto', 'named', 'activations' or names"):
        nt.network_from(jnp.tanh, u, neurons="all")
    with pytest.raises(TypeError, match="`fn` must be a function, a Flax nnx model"):
        nt.network_from(3, u)
    with pytest.raises(ValueError, match="`parameters` must be left out for a model"):
        nt.network_from(Residual(nnx.Rngs(0)), jnp.ones(4), {})
    with pytest.raises(ValueError, match="`variables` must hold `params`"):
        nt.network_from((Encoder(), {"batch_stats": 1}), jnp.ones((5, 2)))


def test_bad_states_and_arguments_are_refused():
    net, u = ZOO["nested"]
    x = net.propagate(u)
    with pytest.raises(ValueError, match="`x` must hold states of inputs, bent, tanh, softplus, but got"):
        net.residual({"inputs": u})
    with pytest.raises(ValueError, match=r"`x\['tanh'\]` must have shape \(4,\), but got shape \(3,\)"):
        net.activate({**x, "tanh": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(4,\), or \(4,\), but got shape \(7,\)"):
        net.propagate(jnp.ones(7))
    with pytest.raises(ValueError, match="`parameters` must have the tree, shapes and dtypes of the network's own"):
        net.replace(parameters={"a": jnp.ones(SHAPES["a"])})
    with pytest.raises(ValueError, match="`slopes` must be left out for a TracedNetwork"):
        nt.bulk_hessian(net, x, slopes=(u,))
    with pytest.raises(ValueError, match="`x` must be given for a TracedNetwork"):
        nt.bulk_hessian(net)
    with pytest.raises(ValueError, match="`method` must be 'auto' or one of layered, blocks, dense, stochastic"):
        nt.bulk_hessian(net, x, method="best")
    with pytest.raises(ValueError, match="have no neurons that depend on others of their level"):
        nt.bulk_hessian(*_with_state("residual"), method="layered")
    with pytest.raises(ValueError, match="`options` must be left out unless Ĝ is stochastic, but got probes"):
        nt.bulk_hessian(net, x, method="dense", probes=3)
    with pytest.raises(TypeError, match="to have slopes f', but got TracedNetwork"):
        net.slopes(x)
    feed_forward = network(0, (3, 2))
    with pytest.raises(ValueError, match="`method` must be 'auto' unless `net` is a TracedNetwork"):
        nt.bulk_hessian(feed_forward, feed_forward.propagate(jnp.ones(3)), method="dense")


def _with_state(name):
    net, u = ZOO[name]
    return net, net.propagate(u)


@flax_rules()
def test_float32_stays_float32_and_batches_are_neurons_side_by_side():
    model = nnx.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), jnp.tanh, nnx.Linear(3, 2, rngs=nnx.Rngs(1)))
    batch = jax.random.normal(jax.random.key(0), (5, 4), jnp.float32)
    net, one = nt.network_from(model, batch), nt.network_from(model, batch[0])
    assert net.size == 5 * one.size
    assert net.propagate(batch)["tanh"].dtype == jnp.float32
    log_det = nt.bulk_hessian(net, net.propagate(batch)).log_det(1.4)
    each = [nt.bulk_hessian(one, one.propagate(u)).log_det(1.4) for u in batch]
    assert log_det.dtype == jnp.float32
    np.testing.assert_allclose(log_det, np.sum(each), rtol=1e-5)  # float32, 45 neurons


def test_a_new_network_of_the_same_program_compiles_nothing_anew():
    net, u = ZOO["residual"]
    count = 0

    @jax.jit
    def log_z(n, beta):
        nonlocal count
        count += 1
        return nt.log_partition(nt.bulk_hessian(n, n.propagate(u)), beta)

    moved = net.replace(parameters=jax.tree.map(lambda a: 2 * a, net.parameters))
    assert log_z(net, 1.0) != log_z(moved, 1.0) != log_z(moved, 2.0)
    assert count == 1


@flax_rules()
def test_masks_guards_and_rules_of_reduction_are_no_neurons():
    """What only looks like an activation: each was taken for one, or inlined, at some time."""
    u, w = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3))), jnp.eye(3)

    def names(function, **options):
        return nt.network_from(function, u, **options).names[1:]

    causal = jnp.tril(jnp.ones((4, 4), bool))
    assert names(lambda v: jax.nn.relu(jax.nn.softmax(jnp.where(causal, v @ v.T, -1e9)) @ v @ w)) == ("relu",)
    assert names(lambda v: jax.nn.logsumexp(jnp.tanh(v @ w), axis=-1)) == ("tanh", "outputs")
    long = lambda h: h / jnp.maximum(jnp.linalg.norm(h, axis=-1, keepdims=True), 1e-12)  # noqa: E731
    assert names(lambda v: long(jnp.tanh(v @ w))) == ("tanh", "outputs")
    assert names(jax.checkpoint(lambda v: jnp.tanh(v @ w))) == ("tanh",)
    constant = lambda v: jnp.tanh(v @ checkpoint_name(jnp.tanh(w), "weight"))  # noqa: E731
    assert names(constant) == ("tanh",)

    def windows(v):
        first = jnp.asarray(-jnp.inf)
        return jax.lax.reduce_window(jnp.tanh(v), first, jnp.logaddexp, (2, 1), (1, 1), "VALID")

    net = nt.network_from(windows, u)
    assert net.names == ("inputs", "tanh", "outputs")
    np.testing.assert_allclose(net.outputs(net.propagate(u)), windows(u).ravel(), rtol=1e-14)

    @jax.custom_batching.custom_vmap
    def ruled(v):
        return jnp.tanh(v @ w)

    ruled.def_vmap(lambda _size, _batched, v: (jnp.tanh(v @ w), True))
    with pytest.raises(ValueError, match="no neurons inside of `custom_vmap_call`: name them outside of it.*'tanh'"):
        nt.network_from(lambda v: jnp.tanh(2 * ruled(v)), u)


def test_states_in_another_order_and_starts_of_relaxation():
    net, u = ZOO["nested"]
    x = net.propagate(u)
    turned = OrderedDict((name, x[name]) for name in reversed(net.names))
    for state in (turned, dict(x)):
        found = nt.measure(net, state, 1.3).log_partition
        np.testing.assert_allclose(found, nt.measure(net, x, 1.3).log_partition, rtol=1e-14)
    target = jnp.asarray([0.4, 0.6])
    relaxed = nt.relax(net, u, target, tolerance=1e-9)
    again = nt.relax(net, u, target, tolerance=1e-9, start=dict(x))
    np.testing.assert_allclose(again.loss, relaxed.loss, rtol=1e-9)
    np.testing.assert_allclose(nt.relaxed_bulk_loss(net, x, target, tolerance=1e-9), relaxed.loss, rtol=1e-9)
    rows = jnp.stack([u, -u])
    many = nt.relax(net, rows, jnp.stack([target, target]), tolerance=1e-9)
    np.testing.assert_allclose(many.loss[0], relaxed.loss, rtol=1e-9)
    tokens, rows = ZOO["recurrent"]
    one = nt.relax(tokens, rows, jnp.zeros(3), tolerance=1e-9)
    np.testing.assert_array_equal(one.state["inputs"], rows)
    two = nt.relax(tokens, jnp.stack([rows, rows]), jnp.zeros((2, 3)), tolerance=1e-9)
    np.testing.assert_allclose(two.loss, one.loss, rtol=1e-9)


def test_fixed_points_are_exact_unless_they_are_not_finite():
    net = nt.network_from(lambda x: jnp.tanh(2 * jnp.tanh(x)), jnp.ones(2), neurons="activations")
    found, expected = net.fixed_point(jnp.ones(2)), net.propagate(jnp.ones(2))
    for name in net.names:
        np.testing.assert_array_equal(found.state[name], expected[name])
    assert (float(found.residual), bool(found.converged)) == (0.0, True)
    assert found.steps == len(net.groups) - 1
    lost = net.fixed_point(jnp.array([jnp.nan, 1.0]))
    assert np.isnan(lost.residual)
    assert not lost.converged
