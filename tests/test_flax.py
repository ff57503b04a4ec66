"""Flax models as septuples and back: nothing lost, the same outputs, and what cannot be converted is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from nnthermo import MLP, FeedForward, LinenMLP, from_linen, from_nnx, to_linen, to_nnx
from nnthermo.network.flax import from_flax, identity, like_flax

SIZES = (3, 4, 2)
leaky = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)


def layered(seed=0, sizes=SIZES, *, activation=(jnp.tanh, jax.nn.sigmoid), dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    return FeedForward(weights, [rng.normal(size=shape[0]).astype(dtype) for shape in shapes], activation=activation)


def identical(a, b):
    """The same structure, activations included, and the same bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert p.dtype == q.dtype
        assert jnp.array_equal(p, q)


def outputs_agree(net, apply, dtype=np.float64):
    u = np.random.default_rng(1).normal(size=(5, 3)).astype(dtype)
    expected = jax.jit(jax.vmap(lambda v: net.propagate(v)[-1]))(u)
    # two layers of sums of four terms with |w| < 3, added in another order
    np.testing.assert_allclose(apply(u), expected, rtol=0, atol=50 * np.finfo(dtype).eps)


def linear(a, b, seed=0, **options):
    """An nnx layer with a bias that is not zero."""
    layer = nnx.Linear(a, b, rngs=nnx.Rngs(seed), **options)
    if layer.bias is not None:
        layer.bias[...] = jnp.asarray(np.random.default_rng(seed).normal(size=b), layer.bias[...].dtype)
    return layer


def sequential_nnx():
    return nnx.Sequential(linear(3, 4, 1), jnp.tanh, linear(4, 4, 2), linear(4, 2, 3), leaky)


def sequential_linen(**options):
    model = linen.Sequential([linen.Dense(4, **options), jnp.tanh, linen.Dense(4), linen.Dense(2), leaky])
    variables = model.init(jax.random.key(0), jnp.zeros(3, jnp.float32))
    noise = np.random.default_rng(0)
    return model, jax.tree.map(lambda a: a + noise.normal(size=a.shape).astype(a.dtype), variables)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 2), (3, 5, 4, 2)])
def test_nnx_and_back_is_the_identity(sizes, dtype):
    net = layered(0, sizes, activation=(jnp.tanh, jax.nn.sigmoid, leaky)[: len(sizes) - 1], dtype=dtype)
    model = to_nnx(net)
    identical(from_nnx(model), net)
    outputs_agree(net, model, dtype)
    assert isinstance(model, MLP)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 2), (3, 5, 4, 2)])
def test_linen_and_back_is_the_identity(sizes, dtype):
    net = layered(0, sizes, activation=(jnp.tanh, jax.nn.sigmoid, leaky)[: len(sizes) - 1], dtype=dtype)
    model, variables = to_linen(net)
    identical(from_linen(model, variables), net)
    outputs_agree(net, lambda u: model.apply(variables, u), dtype)
    # a linen model made from its fields alone reads the same variables
    twin = LinenMLP(features=sizes[1:], activation=net.activations)
    outputs_agree(net, lambda u: twin.apply(variables, u), dtype)


def test_models_built_in_flax_become_septuples():
    """Flax kernels are (n_in, n_out); weights are (n_out, n_in)."""
    model = MLP(SIZES, jnp.tanh, rngs=nnx.Rngs(0))
    net = from_nnx(model)
    assert net.sizes == SIZES
    assert net.activations == (jnp.tanh, jnp.tanh)
    for layer, w in zip(model.layers, net.weights, strict=True):
        np.testing.assert_array_equal(w, np.asarray(layer.kernel[...]).T)
    outputs_agree(net, model, np.float32)
    linen_model = LinenMLP(features=SIZES[1:])
    variables = linen_model.init(jax.random.key(0), jnp.zeros(3, jnp.float32))
    net = from_linen(linen_model, variables)
    assert net.activations == (jnp.tanh, jnp.tanh)
    np.testing.assert_array_equal(net.weights[1], np.asarray(variables["params"]["Dense_1"]["kernel"]).T)
    outputs_agree(net, lambda u: linen_model.apply(variables, u), np.float32)


def test_sequential_nnx():
    model = sequential_nnx()
    net = from_nnx(model)
    assert net.sizes == (3, 4, 4, 2)
    assert net.activations == (jnp.tanh, identity, leaky)
    outputs_agree(net, model, np.float32)


def test_sequential_linen():
    model, variables = sequential_linen()
    net = from_linen(model, variables)
    assert net.sizes == (3, 4, 4, 2)
    assert net.activations == (jnp.tanh, identity, leaky)
    outputs_agree(net, lambda u: model.apply(variables, u), np.float32)


def test_sequential_linen_with_named_layers():
    model, variables = sequential_linen(name="first")
    outputs_agree(from_linen(model, variables), lambda u: model.apply(variables, u), np.float32)


def test_like_flax_fills_the_same_kind_of_model_and_leaves_the_given_one():
    model = sequential_nnx()
    before = from_nnx(model)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, before)
    again = like_flax(model, doubled)
    assert isinstance(again, nnx.Sequential)
    identical(from_nnx(again), doubled)
    identical(from_nnx(model), before)

    pair = sequential_linen()
    pair = (pair[0], {**pair[1], "batch_stats": {"kept": jnp.ones(1)}})
    before = from_flax(pair)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, before)
    again = like_flax(pair, doubled)
    assert again[0] is pair[0]
    assert "batch_stats" in again[1]
    identical(from_flax(again), doubled)
    identical(from_flax(pair), before)
    assert jax.tree.structure(again[1]) == jax.tree.structure(pair[1])

    net = layered()
    assert from_flax(net) is net
    assert like_flax(net, doubled) is doubled
    identical(from_flax(to_nnx(net)), net)


def test_conversion_under_transformations():
    """Gradients of a Flax model's loss are those of its septuple."""
    model, variables = to_linen(layered())
    u = np.random.default_rng(2).normal(size=3)
    flax_gradient = jax.jit(jax.grad(lambda v: jnp.sum(model.apply(v, u) ** 2)))(variables)
    ours = jax.jit(jax.grad(lambda v: jnp.sum(from_linen(model, v).propagate(u)[-1] ** 2)))(variables)
    for a, b in zip(jax.tree.leaves(flax_gradient), jax.tree.leaves(ours), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e3 * np.finfo(np.float64).eps)  # products of |w| < 3, |u| < 3


# Refusals, each with its own sentence.

RNGS = nnx.Rngs(0)


class Subclass(nnx.Linear):
    """Computes something else."""

    def __call__(self, x):
        return -super().__call__(x)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([linear(3, 2, use_bias=False)], "`model` must have a bias in every dense layer, but got none in layer 0"),
        (
            [nnx.Conv(3, 2, kernel_size=(1,), rngs=RNGS)],
            "`model` must consist of dense layers and activations, but got Conv",
        ),
        (
            [linear(3, 2), nnx.BatchNorm(2, rngs=RNGS)],
            "`model` must consist of dense layers and activations, but got BatchNorm",
        ),
        ([linear(3, 2), jnp.tanh, jnp.tanh], "`model` must have one activation after each dense layer, but got"),
        ([jnp.tanh, linear(3, 2)], "`model` must have one activation after each dense layer, but got"),
        ([linear(3, 2), "relu"], "`model` must consist of dense layers and activations, but got str"),
        ([], "`model` must have at least one dense layer, but got 0"),
        ([linear(3, 2), jax.nn.softmax], "`activation` must act on each neuron separately"),
        ([linear(3, 2), linear(3, 2)], r"`weights\[1\]` must take the 2 neurons of the layer before, but got"),
        ([Subclass(3, 2, rngs=RNGS)], "`model` must consist of dense layers and activations, but got Subclass"),
        (
            [nnx.LoRALinear(3, 2, lora_rank=1, rngs=RNGS)],
            "`model` must consist of dense layers and activations, but got LoRALinear",
        ),
    ],
)
def test_nnx_models_that_are_no_septuples(layers, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_nnx(nnx.Sequential(*layers))


def test_other_kinds_of_model():
    with pytest.raises(TypeError, match=r"`model` must be an nnthermo MLP or a Sequential .* but got Linear"):
        from_nnx(linear(3, 2))
    with pytest.raises(TypeError, match=r"`model` must be a LinenMLP or a Sequential .* but got Dense"):
        from_linen(linen.Dense(2), {"params": {}})
    with pytest.raises(ValueError, match="`activation` must be one map or 2 of them, one a layer, but got 1"):
        MLP(SIZES, (jnp.tanh,), rngs=RNGS)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([linen.Dense(2, use_bias=False)], "`model` must have a bias in every dense layer, but got none in layers_0"),
        ([linen.Conv(2, (1,))], "`model` must consist of dense layers and activations, but got Conv"),
        ([linen.Dense(2), jnp.tanh, jnp.sin], "`model` must have one activation after each dense layer, but got"),
        ([linen.Dense(2), linen.Sequential([jnp.tanh])], "`model` must consist of dense .* but got Sequential"),
        ([jnp.tanh], "`model` must have one activation after each dense layer, but got"),
    ],
)
def test_linen_models_that_are_no_septuples(layers, sentence):
    variables = {"params": {"layers_0": {"kernel": jnp.ones((3, 2))}}}
    with pytest.raises(ValueError, match=sentence):
        from_linen(linen.Sequential(layers), variables)


def test_missing_parameters():
    model, variables = sequential_linen()
    with pytest.raises(ValueError, match=r"must have parameters for layers_0, but got \[\]"):
        from_linen(model, {"params": {}})
    model, variables = to_linen(layered())
    one = {"params": {"Dense_0": variables["params"]["Dense_0"]}}
    with pytest.raises(ValueError, match=r"must have parameters for Dense_1, but got \['Dense_0'\]"):
        from_linen(model, one)
    with pytest.raises(ValueError, match="`variables` must hold `params`, but got"):
        from_linen(model, variables["params"])
