"""The shared checks, frozen pytrees, and activations by layer."""

import copy
import dataclasses
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnthermo as nt
from nnthermo._checks import (
    check,
    extra,
    finite,
    function,
    increasing,
    instance,
    integer,
    integers,
    is_concrete,
    is_key,
    known,
    nonzero,
    positive,
    positive_numbers,
    real_array,
    real_matrix,
    refuse,
)
from nnthermo._pytree import pytree
from nnthermo.network.activation import Layerwise, as_tuple, check_elementwise, is_bounded, slope

EPS = np.finfo(np.float64).eps


def linear(y):
    return y


# Checks.


def test_one_sentence():
    with pytest.raises(ValueError, match=r"^`beta` must be positive, but got -1$"):
        refuse("beta", "be positive", -1)
    with pytest.raises(ValueError, match=r"^`n` must be even, but got 3$"):
        check("n", "be even", 3 % 2 == 0, 3)
    check("n", "be even", np.bool_(True), 4)


def test_concrete_or_traced():
    assert is_concrete(1.0, [np.zeros(2), jnp.zeros(2)], "text", None)
    seen = []
    jax.jit(lambda a: seen.append(is_concrete((1.0, [a]))) or a)(1.0)
    jax.grad(lambda a: seen.append(is_concrete(a)) or a)(1.0)
    jax.vmap(lambda a: seen.append(is_concrete(a)) or a)(jnp.zeros(2))
    assert seen == [False] * 3


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1, 2], "float64"),
        (True, "float64"),
        (np.array([1, 2], np.uint8), "float64"),
        (np.zeros(2, np.float32), "float32"),
        (np.zeros(2, np.float16), "float16"),
        (jnp.zeros(2, jnp.bfloat16), "bfloat16"),
        (0.5, "float64"),
    ],
)
def test_real_arrays_keep_floats_and_convert_integers(value, dtype):
    array = real_array("a", value)
    assert isinstance(array, jax.Array)
    assert str(array.dtype) == dtype
    np.testing.assert_array_equal(np.asarray(array, np.float64), np.asarray(value, np.float64))


@pytest.mark.parametrize(
    ("value", "options", "error", "sentence"),
    [
        ([[1.0], [1.0, 2.0]], {}, ValueError, "`a` must be an array, but got nested sequences of unequal length"),
        ("text", {}, TypeError, "`a` must be real, but got dtype <U4"),
        (1j, {}, TypeError, "`a` must be real, but got dtype complex128"),
        (None, {}, TypeError, "`a` must be real, but got dtype object"),
        ({"b": 1}, {}, TypeError, "`a` must be real, but got dtype object"),
        (jax.random.key(0), {}, TypeError, "`a` must be real, but got dtype key"),
        ([1.0], {"ndim": 2}, ValueError, r"`a` must have 2 dimensions, but got shape \(1,\)"),
        ([1.0], {"shape": (2,)}, ValueError, r"`a` must have shape \(2,\), but got shape \(1,\)"),
        ([[1.0]], {"shape": (1,)}, ValueError, r"`a` must have shape \(1,\), but got shape \(1, 1\)"),
    ],
)
def test_what_is_no_real_array(value, options, error, sentence):
    with pytest.raises(error, match=sentence):
        real_array("a", value, **options)


def test_real_array_of_traced_values():
    assert jax.grad(lambda a: jnp.sum(real_array("a", a, shape=(2,)) ** 2))(jnp.ones(2)).tolist() == [2.0, 2.0]
    assert jax.grad(lambda a: jnp.sum(real_array("a", [a, 2 * a])))(0.5) == 3.0


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: known("a", [1.0]), None, ""),
        (lambda: jax.jit(lambda a: known("a", a, " here"))(1.0), TypeError, "`a` must be known here, but got a traced"),
        (lambda: nonzero("a", [1.0, -1.0]), None, ""),
        (lambda: nonzero("a", [1.0, 0.0]), ValueError, "`a` must not be 0"),
        (lambda: increasing("t", [0.0, 1.0, 1.5]), None, ""),
        (lambda: increasing("t", [0.0, 1.0, 1.0]), ValueError, "`t` must increase"),
        (lambda: increasing("t", [0.0, np.inf]), ValueError, "`t` must be finite"),
        (lambda: jax.jit(lambda t: increasing("t", t))(jnp.zeros(2)), None, ""),
        (lambda: increasing("t", [1.0, 0.0], or_decreasing=True), None, ""),
        (lambda: increasing("t", [0.0, 1.0, 0.5], or_decreasing=True), ValueError, "`t` must increase or decrease"),
        (lambda: integer("n", 3, least=3), None, ""),
        (lambda: integer("n", 2, least=3), ValueError, "`n` must be at least 3, but got 2"),
        (lambda: integers("n", [0, -1]), None, ""),
        (lambda: nonzero("mu", float("nan")), ValueError, "`mu` must be finite"),
        (lambda: integers("n", [0.0]), TypeError, "`n` must be whole numbers, but got dtype float64"),
        (lambda: positive_numbers(a=1.0, b=2), None, ""),
        (lambda: positive_numbers(a=1.0, b=-2), ValueError, "`b` must be positive, but got -2"),
        (lambda: positive_numbers(a=[1.0]), ValueError, "`a` must have shape"),
        (lambda: real_matrix("D", [[1.0], [2.0]], 2), ValueError, r"`D` must have shape \(\), \(2,\) or \(2, 2\)"),
        (lambda: function("f", linear, "a function of one point"), None, ""),
        (lambda: function("f", 1.0), TypeError, "`f` must be a function, but got 1.0"),
        (
            lambda: function("f", 1.0, "a function of one point"),
            TypeError,
            "`f` must be a function of one point, but got 1.0",
        ),
    ],
)
def test_what_numbers_and_functions_must_be(call, error, sentence):
    if error is None:
        call()
    else:
        with pytest.raises(error, match=sentence):
            call()


@pytest.mark.parametrize("value", [2.0, [2.0, 2.0], [[2.0, 0.0], [0.0, 2.0]]])
def test_a_number_a_diagonal_and_a_matrix_are_matrices(value):
    np.testing.assert_array_equal(real_matrix("D", value, 2), 2 * np.eye(2))


def test_finite():
    finite("a", [1.0, -2.0])
    finite("a", ())
    with pytest.raises(ValueError, match="`a` must be finite, but got 2 non-finite entries of 3"):
        finite("a", np.array([1.0, np.nan, -np.inf]))
    jax.jit(lambda a: finite("a", a) or a)(np.nan)  # a traced value cannot be judged


@pytest.mark.parametrize(
    "value",
    [1.0, 3, np.float32(1e-30), np.array([1.0, 2.0]), jnp.asarray(0.5), jnp.asarray(0.5, jnp.bfloat16), np.inf],
)
def test_positive(value):
    positive("a", value)


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (0.0, ValueError, "`a` must be positive, but got 0.0"),
        (-1, ValueError, "`a` must be positive, but got -1.0"),
        (np.nan, ValueError, "`a` must be positive, but got nan"),
        (np.array([1.0, -2.0]), ValueError, "`a` must be positive, but got -2.0"),
        (1j, TypeError, "`a` must be a real number, but got 1j"),
        ("1", TypeError, "`a` must be a real number, but got '1'"),
        (None, TypeError, "`a` must be a real number, but got None"),
        (True, TypeError, "`a` must be a real number, but got True"),
    ],
)
def test_not_positive(value, error, sentence):
    with pytest.raises(error, match=sentence):
        positive("a", value)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), jnp.asarray(3)])
def test_integers(value):
    found = integer("a", value)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize("value", [2.7, 3.0, np.float32(3.0), jnp.asarray(3.0), "3", None, True, np.True_, [3]])
def test_what_is_no_integer(value):
    with pytest.raises(TypeError, match=f"^{re.escape(f'`a` must be an integer, but got {value!r}')}$"):
        integer("a", value)


def test_integers_of_at_least():
    assert integer("a", np.int64(1), least=1) == 1
    assert integer("a", 4, least=4) == 4
    with pytest.raises(ValueError, match="^`a` must be positive, but got 0$"):
        integer("a", 0, least=1)
    with pytest.raises(ValueError, match="^`a` must be at least 4, but got 3$"):
        integer("a", 3, least=4)
    with pytest.raises(TypeError, match="^`a` must be an integer, but got 4.0$"):
        integer("a", 4.0, least=1)


def test_kinds():
    instance("a", "folder", str | dict, "a path")
    with pytest.raises(TypeError, match="^`a` must be a path, but got int$"):
        instance("a", 3, str | dict, "a path")
    function("a", jnp.tanh)
    for value, shown in {"tanh": "'tanh'", None: "None", 3.5: "3.5"}.items():
        with pytest.raises(TypeError, match=f"^`a` must be a function of x, but got {shown}$"):
            function("a", value, "a function of x")
    with pytest.raises(TypeError, match="^`a` must be a function, but got ndarray$"):
        function("a", np.ones(1000))


def test_random_keys_are_told_from_other_arrays():
    assert is_key(jax.random.key(0))
    assert is_key(jax.random.split(jax.random.key(0), 3))
    for value in (jax.random.PRNGKey(0), jnp.ones(2), 0, None, "key"):
        assert not is_key(value)


@pytest.mark.parametrize(
    "draws",
    [
        lambda key: nt.FeedForward.init(key, (2, 1), activation=jnp.tanh),
        lambda key: nt.laplacian(jnp.sum, jnp.ones(2), method="stochastic", key=key),
        lambda key: nt.fixed_points(NET.to_septuple(), jnp.ones(2), key=key),
        lambda key: nt.ancestral(ENSEMBLE, key),
        lambda key: nt.annealed(ENSEMBLE, key),
        lambda key: nt.sample(ENSEMBLE, key),
        lambda key: nt.gaussian_ensemble(ENSEMBLE).sample(key, 2),
    ],
    ids=["network", "laplacian", "fixed points", "ancestral", "annealed", "chains", "normal"],
)
def test_seeds_are_no_keys(draws):
    with pytest.raises(ValueError, match="^`key` must be a random key from `jax.random.key`, but got int$"):
        draws(0)
    with pytest.raises(ValueError, match=r"^`key` must be one random key, but got shape \(2,\)$"):
        draws(jax.random.split(jax.random.key(0)))


NET = nt.FeedForward([jnp.ones((1, 2))], [jnp.ones(1)], activation=jnp.tanh)
ENSEMBLE = nt.CanonicalEnsemble(NET, jnp.ones(2), 1.0)
HALF = nt.FeedForward([jnp.ones((1, 2), jnp.bfloat16)], [jnp.ones(1, jnp.bfloat16)], activation=jnp.tanh)
HALF_G = nt.DenseHessian(jnp.eye(3, dtype=jnp.float16))
REFUSED_IN_HALF_PRECISION = {
    "the Hessian": lambda: nt.bulk_hessian(HALF, HALF.propagate(jnp.ones(2))),
    "a state to measure": lambda: nt.measure(HALF, HALF.propagate(jnp.ones(2)), 1.0),
    "log Z": lambda: nt.log_partition(HALF_G, 1.0),
    "log Z of layers": lambda: nt.log_partition(nt.LayeredHessian(HALF.weights, HALF.biases), 1.0),
    "eigenvalues": lambda: nt.log_eigenvalues(HALF_G),
    "eigenmodes": lambda: nt.eigenmodes(HALF_G),
    "a trace": lambda: nt.spectral_trace(HALF_G, jnp.log),
    "skewness": lambda: nt.hyperbolic_skewness(HALF_G),
    "Newton's method": lambda: nt.newton(jnp.tanh, jnp.ones(2, jnp.bfloat16), 1e-3, 9),
    "all fixed points": lambda: nt.fixed_points(HALF.to_septuple(), jnp.ones(2), key=jax.random.key(0)),
    "an ensemble": lambda: nt.CanonicalEnsemble(HALF, jnp.ones(2), 1.0),
    "norms of weights": lambda: nt.weight_observer()(HALF, None, None),
}


@pytest.mark.parametrize("name", REFUSED_IN_HALF_PRECISION)
def test_half_precision_is_refused_in_one_sentence(name):
    with pytest.raises(ValueError, match="^`(net|G|x)` must be float32 or float64, but got b?float16: cast"):
        REFUSED_IN_HALF_PRECISION[name]()


def test_missing_package_names_its_extra():
    assert extra("json", "plot").dumps([1]) == "[1]"
    with pytest.raises(ImportError, match=r"no_such_package is not installed: pip install 'nnthermo\[plot\]'"):
        extra("no_such_package.part", "plot")


# Frozen pytrees.


@pytree(static=("name", "size"))
class Point:
    """Two leaves and two static fields in mixed order, refused by its constructor if negative."""

    x: object
    name: str
    y: object
    size: int = 2

    def __post_init__(self):
        check("x", "not be negative", self.x >= 0, self.x)


def test_pytree_flattens_in_the_order_of_its_fields():
    point = Point(1.0, "a", 2.0)
    leaves, structure = jax.tree.flatten(point)
    assert leaves == [1.0, 2.0]
    again = jax.tree.unflatten(structure, [3.0, 4.0])
    assert (again.x, again.name, again.y, again.size) == (3.0, "a", 4.0, 2)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(point)]
    assert paths == [".x", ".y"]
    assert jax.tree.structure(Point(5.0, "a", 6.0)) == structure
    assert hash(jax.tree.structure(Point(5.0, "a", 6.0))) == hash(structure)
    assert jax.tree.structure(Point(5.0, "b", 6.0)) != structure
    assert jax.tree.structure(Point(5.0, "a", 6.0, 3)) != structure


def test_constructors_check_and_unflattening_does_not():
    with pytest.raises(ValueError, match="`x` must not be negative, but got -1"):
        Point(-1.0, "a", 0.0)
    mapped = jax.tree.map(lambda leaf: -leaf - 1, Point(1.0, "a", 2.0))
    assert (mapped.x, mapped.y) == (-2.0, -3.0)
    jax.tree.map(lambda _: None, Point(1.0, "a", 2.0))  # placeholders


def test_pytree_is_frozen_compares_by_identity_and_transforms():
    point = Point(1.0, "a", 2.0)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 3.0
    assert point == point  # noqa: PLR0124
    assert point != Point(1.0, "a", 2.0)  # comparing arrays would have no single truth value
    assert hash(point) != hash(Point(1.0, "a", 2.0))
    gradient = jax.jit(jax.grad(lambda p: p.x * p.y**2))(point)
    assert (float(gradient.x), float(gradient.y), gradient.name) == (4.0, 4.0, "a")
    stacked = jax.vmap(lambda p: jax.tree.map(lambda leaf: 2 * leaf, p))(
        jax.tree.map(lambda leaf: leaf * jnp.arange(3.0), point)
    )
    assert stacked.y.tolist() == [0.0, 4.0, 8.0]


def test_pytree_pickles_copies_and_replaces():
    point = Point(1.0, "a", 2.0)
    for again in (pickle.loads(pickle.dumps(point)), copy.copy(point), copy.deepcopy(point)):
        assert (again.x, again.name, again.y, again.size) == (1.0, "a", 2.0, 2)
    assert dataclasses.replace(point, y=5.0).y == 5.0


# Activations.


def test_layerwise_applies_each_map_to_its_group():
    f = Layerwise((2, 1, 3), (jnp.tanh, linear, jax.nn.relu))
    y = np.array([0.5, -0.5, 2.0, -1.0, 0.0, 1.0])
    np.testing.assert_allclose(f(y), [np.tanh(0.5), -np.tanh(0.5), 2.0, 0.0, 0.0, 1.0], rtol=4 * EPS)
    assert f(jnp.stack([y, y])).shape == (2, 6)
    assert f(jnp.zeros(6, jnp.float32)).dtype == jnp.float32
    assert f == Layerwise((2, 1, 3), (jnp.tanh, linear, jax.nn.relu))
    assert hash(f) == hash(Layerwise((2, 1, 3), (jnp.tanh, linear, jax.nn.relu)))
    assert f != Layerwise((1, 2, 3), (jnp.tanh, linear, jax.nn.relu))


@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (jnp.tanh, lambda y: 1 / np.cosh(y) ** 2),
        (jax.nn.sigmoid, lambda y: 1 / (4 * np.cosh(y / 2) ** 2)),
        (jax.nn.relu, lambda y: (y > 0) * 1.0),
        (linear, np.ones_like),
        (jnp.sin, np.cos),
        (jax.nn.softplus, lambda y: 1 / (1 + np.exp(-y))),
    ],
)
def test_slopes(f, derivative):
    """(5.4), elements of any shape; 1 - tanh² loses 1e-16 against 1/cosh² where it is small."""
    y = np.linspace(-5.0, 5.0, 12).reshape(3, 4)
    np.testing.assert_allclose(slope(f, jnp.asarray(y)), derivative(y), rtol=1e-14, atol=4 * EPS)


def test_slope_of_tanh_does_not_overflow():
    """(10.4)."""
    for dtype in (jnp.float64, jnp.float32):
        found = slope(jnp.tanh, jnp.asarray([-1e30, -1e3, 0.0, 1e3, 1e30], dtype))
        assert found.dtype == dtype
        assert found.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("f", [jnp.tanh, jax.nn.sigmoid, jax.nn.relu, jax.nn.gelu, linear, jnp.exp, jnp.sin, jnp.abs])
def test_elementwise_maps_pass(f, size):
    check_elementwise(f, size)


def test_elementwise_maps_that_differ_by_neuron_pass():
    check_elementwise(lambda y: jnp.arange(1.0, 6.0) * jnp.tanh(y), 5)
    check_elementwise(Layerwise((2, 3), (jnp.tanh, linear)), 5)
    check_elementwise(jax.nn.softmax, 0)  # no neurons, nothing to mix


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize(
    "f",
    [
        jax.nn.softmax,
        jnp.flip,
        lambda y: y - jnp.mean(y),
        lambda y: y / jnp.linalg.norm(y),
        lambda y: y.at[0].add(y[1]),
        jnp.cumsum,
        jnp.sort,
        lambda y: jnp.where(y == jnp.max(y), y, 0.0),
        lambda y: y.at[1].add(y[0]),
    ],
    ids=["softmax", "flip", "centre", "normalise", "to first", "cumsum", "sort", "winner", "to second"],
)
def test_maps_that_mix_neurons_are_refused(f, size):
    with pytest.raises(
        ValueError, match=r"`activation` must act on each neuron separately \(2.6\), but got a map that mix"
    ):
        check_elementwise(f, size)


def test_maps_undefined_somewhere_still_act_on_each_neuron():
    check_elementwise(jnp.log, 4)


@pytest.mark.parametrize(
    ("f", "error", "sentence"),
    [
        (None, TypeError, "`activation` must be a function, but got None"),
        (jnp.sum, ValueError, r"`activation` must keep the shape \(4,\), but got shape \(\)"),
        (lambda y: y[:2], ValueError, r"`activation` must keep the shape \(4,\), but got shape \(2,\)"),
    ],
)
def test_what_is_no_activation(f, error, sentence):
    with pytest.raises(error, match=sentence):
        check_elementwise(f, 4)


def test_activations_are_checked_inside_jit():
    def build(y):
        with pytest.raises(ValueError, match="`activation` must act on each neuron separately"):
            check_elementwise(jax.nn.softmax, 3)
        check_elementwise(jnp.tanh, 3)
        assert is_bounded(jnp.tanh, 3)
        return y

    jax.jit(build)(1.0)


def test_activations_with_a_slope_that_is_differentiated_are_checked():
    def output(slope):
        assert is_bounded(lambda y: jnp.tanh(slope * y), 3)
        with pytest.raises(ValueError, match="`activation` must act on each neuron separately"):
            check_elementwise(lambda y: slope * jax.nn.softmax(y), 3)
        check_elementwise(lambda y: jnp.tanh(slope * y), 3)
        return jnp.tanh(slope * 0.5)

    assert float(jax.grad(output)(2.0)) == pytest.approx(0.5 / np.cosh(1.0) ** 2, rel=1e-14)


@pytest.mark.parametrize(
    ("f", "bounded"),
    [
        (jnp.tanh, True),
        (jax.nn.sigmoid, True),
        (jnp.sin, True),
        (jnp.arctan, True),
        (lambda y: jnp.clip(1e4 * y, -1e3, 1e3), True),
        (linear, False),
        (jax.nn.relu, False),
        (lambda y: jax.nn.relu(-y), False),
        (jax.nn.softplus, False),
        (jax.nn.gelu, False),
        (lambda y: y**3, False),
        (Layerwise((1, 2), (jnp.tanh, linear)), False),
        (Layerwise((1, 2), (jnp.tanh, jax.nn.sigmoid)), True),
        (jnp.exp, False),
    ],
)
def test_bounded(f, bounded):
    assert is_bounded(f, 3) is bounded


def test_one_activation_a_layer():
    assert as_tuple(jnp.tanh, 3) == (jnp.tanh,) * 3
    assert as_tuple([jnp.tanh, linear], 2) == (jnp.tanh, linear)
    with pytest.raises(ValueError, match="`activation` must be one map or 3 of them, one a layer, but got 2"):
        as_tuple((jnp.tanh, linear), 3)
