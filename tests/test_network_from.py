"""Which equations of a function are neurons, and what is refused or warned of when it is traced."""

from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from systems import network
from zoo import flax_rules

import nnthermo as nt

U, W = jnp.asarray([0.3, -0.5, 0.9]), jnp.asarray(np.random.default_rng(2).normal(size=(3, 3)) / 2)


def names(function, **options):
    return nt.network_from(function, U, **options).names[1:]


def test_what_is_computed_in_vain_is_no_neuron():
    """Dead equations, unused outputs of calls and of scans, and readers that nobody reads."""

    @jax.jit
    def several(h):
        return jnp.tanh(h @ W), jnp.sin(h @ W), jnp.cos(h)

    def unused(v):
        jnp.arctan(v)
        return several(v)[0] @ W

    def read_in_vain(v):
        h = jnp.sin(v @ W)
        jax.lax.exp(h)  # which would cut sin and tanh in two
        return jnp.tanh(h)

    def carried(v, used):
        def step(carry, _):
            a, b, c = carry
            return (jnp.tanh(a @ W + used * c), jnp.sin(b), jnp.cos(a)), jnp.arctan(b)

        return jax.lax.scan(step, (v, v, v), None, length=2)[0][0]

    assert names(unused) == ("tanh", "outputs")
    assert names(read_in_vain) == ("tanh",)
    dead = nt.network_from(lambda v: carried(v, 0 * v), U)  # which depends on what is carried all the same
    assert dead.names[1:] == ("tanh", "cos", "outputs")
    loop = lambda v: jax.lax.while_loop(lambda c: c.sum() < 9, lambda c: jnp.tanh(c) + c, v)  # noqa: E731
    assert names(lambda v: (loop(v), jnp.tanh(v @ W))[1]) == ("tanh",)

    def alone(v):
        def step(carry, _):
            a, b = carry
            return (jnp.tanh(a @ W), jnp.sin(b)), jnp.arctan(b)

        return jax.lax.scan(step, (v, v), None, length=2)[0][0]

    net = nt.network_from(alone, U)
    assert net.names[1:] == ("tanh", "outputs")
    np.testing.assert_allclose(net.outputs(net.propagate(U)), alone(U), rtol=1e-15)  # the same two steps
    G = nt.bulk_hessian(net, net.propagate(U), method="dense")
    plain = nt.network_from(lambda v: jax.lax.scan(lambda a, _: (jnp.tanh(a @ W), None), v, None, length=2)[0], U)
    other = nt.bulk_hessian(plain, plain.propagate(U), method="dense")
    np.testing.assert_allclose(G.jacobian, other.jacobian, atol=1e-15)


def test_names_keep_what_is_computed_in_vain():
    def fn(v):
        a = checkpoint_name(jnp.tanh(v @ W), "used")
        checkpoint_name(jnp.sin(a), "watched")
        return a @ W

    assert names(fn) == ("used", "watched", "outputs")
    assert names(fn, neurons=["used"]) == ("used", "outputs")
    assert names(fn, neurons="activations") == ("tanh", "outputs")
    assert names(jax.jit(lambda v: jnp.tanh(fn(v)))) == ("used", "watched", "outputs")


@flax_rules()
def test_maxima_of_one_array_are_neurons_and_of_two_are_wiring():
    assert names(lambda v: jnp.maximum(v @ W, jnp.zeros_like(v))) == ("relu",)

    def leaky(v):
        h = v @ W
        return jnp.maximum(h, 0.1 * h)

    assert names(leaky) == ("relu",)
    assert nt.network_from(lambda q, v: jnp.maximum(v @ W, q), U, jnp.ones(3)).names == ("inputs", "relu")
    assert names(lambda v: jnp.tanh(jnp.maximum(v @ W, v) @ W)) == ("tanh",)
    named = lambda v: checkpoint_name(jnp.maximum(v @ W, v), "maxout")  # noqa: E731
    assert names(named) == ("maxout",)


def test_custom_derivatives_around_neurons_are_warned_of():
    @jax.custom_vjp
    def block(v):
        return jnp.tanh(v @ W)

    block.defvjp(lambda v: (block(v), None), lambda _, g: (g,))

    @jax.custom_jvp
    def whole(v):
        return jnp.tanh(v)

    whole.defjvp(lambda p, t: (jnp.tanh(p[0]), 2 * t[0]))
    with pytest.warns(nt.CustomDerivativeWarning, match="no neurons inside of custom derivatives, .* some in block: "):
        net = nt.network_from(block, U)
    slope = jax.jacobian(lambda v: net.outputs(net.propagate(v)))(U)
    np.testing.assert_allclose(slope, (1 - jnp.tanh(U @ W) ** 2)[:, None] * W.T, rtol=1e-14)  # a product each
    kept = nt.network_from(lambda v: whole(v @ W), U)  # one neuron with its own derivative, for which nobody is warned
    slope = jax.jacobian(lambda v: kept.outputs(kept.propagate(v)))(U)
    np.testing.assert_allclose(slope, 2 * W.T, rtol=1e-15)


@flax_rules()
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_refused_by_name(dtype):
    half = dtype.dtype.name
    with pytest.raises(ValueError, match=f"`example_input` must be float32 or float64, but got {half}: cast"):
        nt.network_from(jnp.tanh, U.astype(dtype))
    with pytest.raises(ValueError, match=f"`fn` must be float32 or float64, but got {half} for 'tanh': cast"):
        nt.network_from(lambda v: (jnp.tanh(v.astype(dtype)) @ W.astype(dtype)).astype(jnp.float32), U)
    with pytest.raises(ValueError, match=f"`fn` must be float32 or float64, but got {half} for its output: cast"):
        nt.network_from(lambda v: (jnp.tanh(v) @ W).astype(dtype), U)
    net = network(0, (3, 2), dtype=dtype)
    with pytest.raises(ValueError, match=f"`net` must be float32 or float64, but got {half}: cast parameters"):
        nt.measure(net, net.propagate(U.astype(dtype)), 1.4)


def test_means_in_any_order_of_the_groups():
    def skips(v):
        return jnp.sin(jnp.tanh(v @ W) @ W) + v

    def chain(v):
        return jnp.sin(jnp.tanh(v @ W) @ W)

    for function, method in ((skips, "dense"), (skips, "blocks"), (chain, "layered")):
        net = nt.network_from(function, U)
        x = net.propagate(U)
        turned = OrderedDict((name, x[name]) for name in reversed(net.names))
        assert net.size == sum(s.size for s in x.values()) == 3 * len(x)  # equal sizes: a mix-up would fit
        G = nt.bulk_hessian(net, x, method=method)
        B, flat = np.asarray(dense_jacobian(net, x)), np.asarray(net.ravel(x))
        M = np.eye(net.size) + 1.3 * B.T @ B
        wanted = flat @ (1.3 * B.T @ B) @ np.linalg.solve(M, flat)
        np.testing.assert_allclose(form(G, turned), wanted, rtol=1e-13)  # cond(M) < 30, 12 neurons
        if method == "dense":
            np.testing.assert_allclose(by_modes(G, dict(x)), wanted, rtol=1e-13)
        with pytest.raises(ValueError, match="`mean` must hold states of inputs, tanh, .* but got inputs, tan"):
            nt.log_partition(G, 1.3, mean={"inputs": U, "tan": U})


form = jax.jit(lambda G, mean: G.log_det_and_form(1.3, 0.0, mean)[1])
by_modes = jax.jit(lambda G, mean: nt.eigenmodes(G, mean=mean).log_det_and_form(1.3, 0.0)[1])


@jax.jit
def dense_jacobian(net, x):
    def residual(v):
        return net.ravel(net.residual(net.unravel(v), inputs=x["inputs"]))

    return jax.jacrev(residual)(net.ravel(x))
