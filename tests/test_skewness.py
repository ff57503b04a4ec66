"""Σ 2 sinh log λ and the series of the moments against dense float64 spectra, and their signs."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import network, trace_word, unreduced

import nnthermo as nt
from nnthermo.skewness import _closed_walks, moment_words

SHAPES = [(4, 3), (6, 3, 2), (3, 5, 2, 3), (9, 2, 3, 2, 2), (2, 3, 2, 2, 3, 2), (3,) * 7, (4, 2, 2, 2, 2, 2, 2, 3)]
"""Two to eight layers, narrow and wide ones at every place."""


def layers(seed, sizes, scale):
    rng = np.random.default_rng(seed)
    pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = tuple(jnp.asarray(scale * rng.normal(size=p) / np.sqrt(sum(p))) for p in pairs)
    slopes = tuple(jnp.asarray(rng.uniform(0.2, 1, p[0])) for p in pairs)
    return nt.LayeredHessian(weights, slopes)


def general(seed, kind, scale):
    """A = I - B of skip connections, of cycles, or of cycles with self-loops."""
    A = np.random.default_rng(seed).normal(size=(6, 6))
    A = {"skips": np.tril(A, -1), "cycles": A - np.diag(np.diag(A)), "loops": A}[kind]
    return nt.DenseHessian(jnp.asarray(np.eye(6) - scale * A / np.linalg.norm(A, 2)))


def log_values(B):
    return 2 * np.log(np.linalg.svd(np.asarray(B), compute_uv=False))


lopsided = jax.jit(nt.hyperbolic_skewness)


@pytest.mark.parametrize("sizes", SHAPES)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 4))
def test_layers_are_skewed_to_negative_values(sizes, seed, scale):
    G = layers(seed, sizes, scale)
    B = unreduced(G.blocks)
    ell = log_values(B)
    found = float(lopsided(G))
    # e^{|ℓ|} to cond(B) ulp; paths of two links or more, squared, are what is left of it
    assert abs(found - np.sum(2 * np.sinh(ell))) < 1e-13 * np.linalg.cond(B) * np.sum(np.cosh(ell))
    A, power, wanted = np.eye(len(B)) - B, np.eye(len(B)) - B, 0.0
    for _ in range(len(sizes)):
        power = power @ A
        wanted -= np.sum(power**2)
    assert abs(found - wanted) <= 1e-13 * abs(wanted)  # a sum of positive terms: every digit of the small ones
    assert found < 0 if len(sizes) > 2 else found == 0


@pytest.mark.parametrize("kind", ["skips", "cycles", "loops"])
@given(seed=st.integers(0, 10**6), log_scale=st.floats(-4, -0.3))
def test_general_graphs(kind, seed, log_scale):
    G = general(seed, kind, 10.0**log_scale)
    B = np.asarray(G.jacobian)
    wanted = np.sum(B**2) - np.sum(np.linalg.inv(B) ** 2)
    assert abs(float(lopsided(G)) - wanted) < 1e-12
    # leading terms: -4 Tr A - 2 Tr A², then order 3, which is all there is to see when A is small
    A = np.eye(6) - B
    norm = np.linalg.norm(A)
    third = -2 * trace_word(A, "aaa") - 2 * trace_word(A, "aab")
    lead = -4 * np.trace(A) - 2 * trace_word(A, "aa") + third
    if norm < 0.01:
        assert abs(float(lopsided(G)) - lead) < 10 * norm**4 + 1e-15


def test_layers_and_their_dense_twin_agree_and_batch():
    net = network(0, (5, 4, 3, 2))
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(7, 5)))
    states = jax.vmap(net.propagate)(inputs)
    found = jax.vmap(lambda x: nt.hyperbolic_skewness(nt.bulk_hessian(net, x)))(states)
    twin = net.to_septuple()
    other = jax.vmap(lambda x: nt.hyperbolic_skewness(nt.bulk_hessian(twin, net.ravel(x))))(states)
    np.testing.assert_allclose(other, found, atol=1e-13)
    assert np.ptp(found) > 1e-3
    pull = jax.grad(lambda w: nt.hyperbolic_skewness(nt.LayeredHessian((w, *net.weights[1:]), net.biases)))
    assert np.isfinite(pull(net.weights[0])).all()


def test_skip_connections_give_either_sign_and_layers_one():
    """A chain of two links t and one that skips, ut: -6 Tr(A²Aᵀ) = -6ut³, against -3t⁴ of the chain alone."""
    t = 0.1
    for u in (0.0, 0.6, -0.6, 2.0, -2.0):
        weight = t * jnp.asarray([[0.0, 0, 0], [1, 0, 0], [u, 1, 0]])
        place = np.arange(3)
        net = nt.Septuple(weight, jnp.zeros(3), activation=jnp.tanh, input_mask=place == 0, output_mask=place == 2)
        G = nt.bulk_hessian(net, jnp.zeros(3))
        cube = np.sum(log_values(G.jacobian) ** 3)
        assert np.sign(nt.hyperbolic_skewness(G)) == np.sign(cube) == (-1 if u >= 0 else 1)
        # what is left out is of the next orders, with coefficients up to 7
        assert abs(cube + 6 * u * t**3 + 3 * t**4) < 20 * t**5 * (1 + abs(u)) ** 3
        assert abs(float(nt.moment_series(G, 3, order=7)) - cube) < 100 * (t * (1 + abs(u))) ** 8


# ---------------------------------------------------------------- series


def test_coefficients_of_identity_11():
    """Those of the layered series to degree 6, and of a general graph to degree 3, typed in."""

    def layered(k):
        return {w: c for w, c in moment_words(k, 6).items() if w.count("a") == w.count("b")}

    f = Fraction
    third = {"aabb": f(-3), "aaabbb": f(-5, 2), "aababb": f(1, 4), "aabbab": f(1, 4)}
    assert layered(1) == {}  # Σ log λ = 0 without cycles
    assert layered(2) == {
        "ab": f(2), "aabb": f(2, 3), "abab": f(-1, 6),
        "aaabbb": f(2, 5), "aababb": f(-1, 10), "aabbab": f(-1, 10), "ababab": f(1, 45),
    }  # fmt: skip
    assert layered(3) == third
    assert layered(4) == {
        "aabb": f(4), "abab": f(2), "aaabbb": f(7), "aababb": f(1), "aabbab": f(1), "ababab": f(-1, 3),
    }  # fmt: skip
    assert moment_words(1, 5) == {"a" * n: f(-2, n) for n in range(1, 6)}  # 2 Tr log(I - A)
    assert moment_words(2, 3) == {"aa": f(2), "ab": f(2), "aaa": f(2), "aab": f(2)}
    assert moment_words(3, 3) == {"aaa": f(-2), "aab": f(-6)}


series = jax.jit(nt.moment_series, static_argnums=1, static_argnames="order")


@pytest.mark.parametrize("sizes", SHAPES)
@given(seed=st.integers(0, 10**6), k=st.sampled_from([2, 3, 4]))
def test_walks_through_the_layers_are_the_words_of_the_whole(sizes, seed, k):
    G = layers(seed, sizes, 1.0)
    A = np.eye(G.size) - unreduced(G.blocks)
    terms = [float(c) * trace_word(A, word) for word, c in moment_words(k, 6).items()]
    assert abs(float(series(G, k)) - sum(terms)) < 1e-13 * (sum(map(abs, terms)) + np.linalg.norm(A) ** 6)
    dense = nt.DenseHessian(jnp.asarray(np.eye(G.size) - A))
    assert abs(float(series(dense, k)) - sum(terms)) < 1e-13 * (sum(map(abs, terms)) + np.linalg.norm(A) ** 6)


@pytest.mark.parametrize("sizes", [(100, 5, 3, 4), (2, 7, 9, 6), (50, 20, 20, 8), (9, 2, 9, 2, 9)])
def test_traces_are_taken_at_the_narrowest_layer_of_each_walk(sizes):
    walks = _closed_walks(sizes, 2, 8)
    assert all(walk[0] == walk[-1] > 0 for walk in walks)
    assert all(sizes[walk[0]] == min(sizes[layer] for layer in walk if layer > 0) for walk in walks)

    def turned(ring):
        return min((*way[i:], *way[:i]) for way in (ring, ring[::-1]) for i in range(len(ring)))

    assert len({turned(walk[:-1]) for walk in walks}) == len(walks)  # no trace twice


def test_a_wide_input_layer_enters_by_one_product():
    G = layers(0, (97, 5, 4, 3), 1.0)

    def products(jaxpr):
        """Shapes of what is multiplied."""
        for eqn in jaxpr.eqns:
            for inner in eqn.params.values():
                yield from products(inner.jaxpr) if hasattr(inner, "jaxpr") else ()
            if eqn.primitive.name == "dot_general":
                yield [v.aval.shape for v in eqn.invars]

    found = list(products(jax.make_jaxpr(lambda G: nt.moment_series(G, 3))(G).jaxpr))
    assert len(found) > 3
    assert [pair for pair in found if any(97 in shape for shape in pair)] == [[(5, 97), (97, 5)]]


def test_a_word_that_climbs_above_its_start_needs_a_layer_there():
    """The first is aaabbbabbaab, of order 12: down three, up three, down one, up two, down two, up one."""
    G = layers(5, (3, 2, 1, 2, 2), 1.0)
    A = np.eye(G.size) - unreduced(G.blocks)
    terms = [float(c) * trace_word(A, word) for word, c in moment_words(2, 12).items()]
    assert abs(float(series(G, 2, order=12)) - sum(terms)) < 1e-13 * sum(map(abs, terms))  # 431 products of 12 factors


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("kind", ["layers", "skips", "cycles", "loops"])
def test_remainder_is_of_the_stated_order(kind, k):
    """Halving A divides it by 2⁸ for layers at order 6, by 2⁷ for graphs; the next terms change that by their ratio."""

    def at(scale):
        if kind == "layers":
            G = layers(3, (4, 3, 3, 2), 3 * scale)
            B = unreduced(G.blocks)
        else:
            G = general(3, kind, scale)
            B = np.asarray(G.jacobian)
        return abs(np.sum(log_values(B) ** k) - float(series(G, k)))

    wide, narrow = at(0.1), at(0.05)
    assert narrow > 1e-14  # above rounding
    assert abs(np.log2(wide / narrow) - (8 if kind == "layers" else 7)) < 0.5


def test_a_general_moment_by_the_trace_of_its_logarithm():
    G = general(5, "loops", 0.05)
    found = float(nt.moment_series(G, 1, order=6))
    wanted = float(np.sum(log_values(G.jacobian)))
    assert abs(found - wanted) < 2 * 6 * 0.05**7
    assert abs(found) > 0.01


def test_float32_gradients_and_bad_arguments():
    G = layers(1, (6, 3, 2), 0.5)
    low = jax.tree.map(lambda v: v.astype(jnp.float32), G)
    for function in (nt.hyperbolic_skewness, lambda H: nt.moment_series(H, 3), lambda H: nt.moment_series(H, 2)):
        value, pull = jax.value_and_grad(function)(low)
        assert value.dtype == jnp.float32
        assert abs(float(value) / float(function(G)) - 1) < 1e-5
        assert {v.dtype for v in jax.tree.leaves(pull)} == {jnp.dtype(jnp.float32)}
    # by the gradient of the exact moment, as far as the remainder of order 8 allows
    small = layers(1, (6, 3, 2), 0.1)
    exact = jax.grad(lambda H: nt.spectral_trace(H, lambda v: jnp.log(v) ** 2))(small)
    for got, wanted in zip(jax.tree.leaves(jax.grad(lambda H: nt.moment_series(H, 2))(small)), jax.tree.leaves(exact),
                           strict=True):  # fmt: skip
        np.testing.assert_allclose(got, wanted, atol=1e-7 * np.abs(wanted).max())
    assert nt.moment_series(layers(0, (4, 3), 1.0), 3) == 0  # (9.11): no walk is left
    squares = 2 * sum(float(jnp.sum(a**2)) for a in G.blocks)
    assert abs(float(nt.moment_series(G, 2, order=2)) / squares - 1) < 1e-14  # sums of 24 squares
    with pytest.raises(ValueError, match="`order` must be at least k = 3, but got 2"):
        nt.moment_series(G, 3, order=2)
    with pytest.raises(ValueError, match="`k` must be positive, but got 0"):
        nt.moment_series(G, 0)
    with pytest.raises(TypeError, match="`order` must be an integer"):
        nt.moment_series(G, 2, order=6.0)
    for function in (nt.hyperbolic_skewness, lambda H: nt.moment_series(H, 2)):
        with pytest.raises(TypeError, match="`G` must be a Hessian from `bulk_hessian`, but got ndarray"):
            function(np.eye(3))
        with pytest.raises(ValueError, match="`G` must be that of one state"):
            function(nt.LayeredHessian(G.weights, tuple(jnp.stack([d, d]) for d in G.slopes)))


def test_standardised_moments():
    spectrum = nt.LogSpectrum(jnp.asarray([2.0, 0.5, -0.25, -1.5]), 3)
    ell = np.asarray(spectrum.values)
    for k in (1, 2, 3, 4):
        wanted = np.mean(ell**k) / np.mean(ell**2) ** (k / 2)
        assert abs(spectrum.standardised_moment(k) - wanted) < 1e-15 * max(1, abs(wanted)) * 4
        scaled = nt.LogSpectrum(3 * spectrum.values, 3)
        assert abs(scaled.standardised_moment(k) - wanted) < 1e-14
    assert spectrum.skewness() == spectrum.standardised_moment(3)
    assert np.isnan(nt.LogSpectrum(jnp.zeros(3)).standardised_moment(3))
