"""Ĝ of some of the neurons against rows and columns of the dense Ĝ."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, LOG_2PI, condition, draw_inputs, flat, graph, jacobian, jit, network

import nnthermo as nt

SIZES = (5, 4, 3, 2)
FREE = {
    "hidden": "00000 1111 111 00",
    "all": "11111 1111 111 11",
    "clamped inputs": "00000 1111 111 11",
    "parts": "10110 0110 101 01",
    "a layer held": "11111 1111 000 11",
    "fixed rows in front": "11111 1000 011 10",
    "outputs": "00000 0000 000 11",
}
PATTERNS = [
    *("hidden", "all", "clamped inputs", "parts"),
    *(pytest.param(p, marks=pytest.mark.exhaustive) for p in ("a layer held", "fixed rows in front", "outputs")),
]


def masks(pattern):
    return tuple(np.array([digit == "1" for digit in layer]) for layer in FREE[pattern].split())


def evaluate(net, x, beta, m, free):
    G = nt.restrict(nt.bulk_hessian(net, x), free)
    log_det, form = G.log_det_and_form(beta, m, x)
    return jnp.stack([log_det, form]), G.log_det(beta, m)


def weighted(net, x, beta, m, weights, free):
    found, alone = evaluate(net, x, beta, m, free)
    return jnp.vdot(found, weights), (found, alone)


def compiled(function, **options):
    """Gradients in network, state, β and m, one compilation for each pattern of free neurons."""
    slopes = jax.grad(function, argnums=(0, 1, 2, 3), **options)
    return {pattern: jit(partial(slopes, free=masks(pattern))) for pattern in FREE}


COMPILED = compiled(weighted, has_aux=True)


def dense_weighted(net, x, beta, m, weights, free):
    """The same from the dense Jacobian, by LU and JAX's own derivatives."""
    keep = np.flatnonzero(np.concatenate(free))
    columns = nt.bulk_hessian(net.to_septuple(), net.ravel(x)).jacobian[:, keep]
    a = net.ravel(x)[keep]
    c, gram = 1 - beta * m, columns.T @ columns
    M = c * jnp.eye(len(keep)) + beta * gram
    form = c * beta * a @ gram @ jnp.linalg.solve(M, a)
    return jnp.vdot(jnp.stack([jnp.linalg.slogdet(M)[1], form]), weights)


DENSE = compiled(dense_weighted)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-3, 3),
    share=st.floats(-2, 2),
    scale=st.sampled_from([0.0, 1.0, 2.0]),
    pick=st.sampled_from([(1.0, 0.0), (0.0, 1.0)]),
)
def test_values_and_gradients_equal_dense(pattern, seed, log_beta, share, scale, pick):
    """m from -2/β to the largest with half of 1 + βλ_min left: both signs of 1 - βm. Rounding N ε cond(M)."""
    net, beta, free = network(seed, SIZES, scale=scale), 10.0**log_beta, masks(pattern)
    x = tuple(draw_inputs(seed + k, n) for k, n in enumerate(SIZES))
    keep = np.concatenate(free)
    columns = jacobian(net, x)[:, keep]
    low = np.linalg.svd(columns, compute_uv=False)[-1] ** 2
    m = min(share, 0) / beta + max(share, 0) / 4 * (low + 1 / beta)
    a = flat(x)[keep]
    c, gram = 1 - beta * m, columns.T @ columns
    M = c * np.eye(len(a)) + beta * gram
    slopes, (found, alone) = COMPILED[pattern](net, x, beta, m, jnp.asarray(pick))
    rounding = 100 * len(keep) * EPS * condition(M)
    form = c * beta * a @ gram @ np.linalg.solve(M, a)
    assert found[0] == pytest.approx(float(alone), abs=rounding)
    assert abs(found[0] - np.linalg.slogdet(M)[1]) < rounding * max(1, abs(found[0]))
    assert abs(found[1] - form) < rounding * max(abs(form), abs(c) * (a @ a))
    expected = jax.tree.leaves(DENSE[pattern](net, x, beta, m, jnp.asarray(pick)))
    # derivatives in m carry a factor β, those of differences of terms of size |c||a|² or β the size of these
    size = max(float(jnp.max(jnp.abs(leaf))) for leaf in expected) + max(1, beta) * (1 + a @ a)
    for x1, y1 in zip(jax.tree.leaves(slopes), expected, strict=True):
        np.testing.assert_allclose(x1, y1, rtol=0, atol=rounding * size)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_products_spectrum_and_dense_form(pattern):
    net, free = network(3, SIZES), masks(pattern)
    x = net.propagate(draw_inputs(1, 5))
    keep = np.concatenate(free)
    B = jacobian(net, x)[:, keep]
    G = nt.restrict(nt.bulk_hessian(net, x), free)
    twin = nt.restrict(nt.bulk_hessian(net.to_septuple(), net.ravel(x)), keep)
    v = G.select(tuple(draw_inputs(k, n) for k, n in enumerate(SIZES)))
    assert G.size == twin.size == keep.sum()
    for H, vector in ((G, v), (twin, jnp.concatenate(v))):
        np.testing.assert_allclose(H.to_dense(), B.T @ B, atol=50 * EPS)
        np.testing.assert_allclose(flat(H.matvec(vector)), B.T @ (B @ flat(v)), atol=50 * EPS)
        spectrum = nt.log_eigenvalues(H)
        np.testing.assert_allclose(spectrum.values, 2 * np.log(np.linalg.svd(B, compute_uv=False)), atol=1e-13)
        assert float(H.log_det(1.4, 0.1)) == pytest.approx(float(spectrum.log_det(1.4, 0.1)), abs=1e-12)
        assert float(H.log_det_and_form(1.4, 0.1, x if H is G else net.ravel(x))[0]) == pytest.approx(
            float(H.log_det(1.4, 0.1)), abs=1e-12
        )
    np.testing.assert_array_equal(flat(G.select(G.embed(v))), flat(v))


def test_all_free_is_the_whole():
    net = network(4, SIZES)
    x = net.propagate(draw_inputs(1, 5))
    whole = nt.bulk_hessian(net, x)
    same = nt.restrict(whole, masks("all"))
    for mean in (None, x):
        for function in (nt.free_energy, nt.average_loss, nt.entropy, nt.heat_capacity):
            one, other = (float(function(G, 1.4, m=0.1, mean=mean)) for G in (whole, same))
            assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("make", [lambda: network(2, (3, 4, 2), scale=0.5), lambda: graph(2, 6, cyclic=True)])
def test_hidden_ensemble_of_a_clamped_network_is_its_curvature(make):
    """For residuals that vanish (data that the network itself produced) Ĝ of hidden neurons is the clamped Hessian."""
    net = make()
    x = net.fixed_point(net.inputs(net.propagate(draw_inputs(0, net.input_size)))).state
    free = nt.hidden_neurons(net)
    kept = np.flatnonzero(np.concatenate(jax.tree.leaves(free)))

    def clamped(hidden):
        return nt.bulk_loss(net, net.unravel(net.ravel(x).at[kept].set(hidden)))

    curvature = jax.hessian(clamped)(net.ravel(x)[kept])
    G = nt.restrict(nt.bulk_hessian(net, x), free)
    np.testing.assert_allclose(G.to_dense(), curvature, atol=1e-9)  # the fixed state is solved to 1e-10 or so
    assert G.size == net.size - net.input_size - net.output_size
    beta = 2.0
    expected = 0.5 * G.size * LOG_2PI - 0.5 * np.linalg.slogdet(np.eye(G.size) + beta * curvature)[1]
    assert float(nt.log_partition(G, beta)) == pytest.approx(expected, abs=1e-8)


def test_a_batch_equals_the_loop():
    net = network(6, SIZES)
    inputs = jnp.stack([draw_inputs(k, 5) for k in range(4)])

    def energy(net, u):
        G = nt.restrict(nt.bulk_hessian(net, net.propagate(u)), masks("hidden"))
        return nt.free_energy(G, 1.4) + nt.entropy(G, 1.4)

    together = jax.jit(jax.grad(lambda n: jnp.sum(jax.vmap(energy, in_axes=(None, 0))(n, inputs))))(net)
    alone = jax.jit(jax.grad(energy))
    apart = [alone(net, u) for u in inputs]
    for x, *ys in zip(jax.tree.leaves(together), *map(jax.tree.leaves, apart), strict=True):
        np.testing.assert_allclose(x, sum(ys), atol=1e-12)


def test_bad_masks_are_named():
    net = network(1, SIZES)
    G = nt.bulk_hessian(net, net.propagate(draw_inputs(0, 5)))
    with pytest.raises(ValueError, match="`free` must have 4 arrays"):
        nt.restrict(G, masks("all")[:3])
    with pytest.raises(ValueError, match=r"`free` must have shape \(5,\), but got \(4,\)"):
        nt.restrict(G, masks("all")[1:] + masks("all")[:1])
    with pytest.raises(ValueError, match="`free` must leave at least one neuron free"):
        nt.restrict(G, tuple(~mask for mask in masks("all")))
    with pytest.raises(TypeError, match="`free` must be booleans"):
        nt.restrict(G, tuple(mask.astype(float) for mask in masks("all")))
    with pytest.raises(TypeError, match="`free` must be booleans known before compilation"):
        jax.jit(lambda free: nt.restrict(G, free).log_det(1.0))(tuple(map(jnp.asarray, masks("all"))))
