"""ΔF over any parametrisation, at fixed and at following slopes, against Hessians of a dense log det written anew."""

from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import LOG_2PI, draw_inputs, graph, identity, network

import nnthermo as nt

SHAPES = [
    (3, 2),
    (4, 2, 3),
    (2, 3, 2, 2),
    (2, 2, 3, 2, 2, 2),
    pytest.param((2, 2, 2, 3, 2, 2, 2, 2), marks=pytest.mark.exhaustive),
]
"""Two, three, four, six and eight layers; six of one width in a row are `test_many_layers_of_one_width`."""


def dense_free_energy(layers, u, beta, m, mean_term, frozen=None):
    """F = -log Z/β of (5.14) or (5.9) of tanh layers (W, b), the Jacobian put together block by block."""
    x, slopes = [u], []
    for w, b in layers:
        x.append(jnp.tanh(w @ x[-1] + b))
        slopes.append(1 - x[-1] ** 2)
    slopes = slopes if frozen is None else frozen
    edges = np.concatenate([[0], np.cumsum([len(v) for v in x])])
    B = jnp.eye(edges[-1])
    for k, ((w, _), d) in enumerate(zip(layers, slopes, strict=True)):
        B = B.at[edges[k + 1] : edges[k + 2], edges[k] : edges[k + 1]].set(-d[:, None] * w)
    M = (1 - beta * m) * jnp.eye(len(B)) + beta * B.T @ B
    log_z = -0.5 * jnp.linalg.slogdet(M)[1] + 0.5 * len(B) * LOG_2PI
    if mean_term:
        a = jnp.concatenate(x)
        log_z -= 0.5 * (1 - beta * m) * a @ (beta * B.T @ B) @ jnp.linalg.solve(M, a)
    return -log_z / beta, slopes


def families(net):
    """q ↦ layers (W, b) by name, with q of the given network: what an architecture may be."""
    widths = net.sizes

    def low_rank(q):
        return [(u @ v, b) for (u, v), b in zip(q, net.biases, strict=True)]

    def shared(q):  # one matrix, of which each layer takes its corner
        return [(q[: w.shape[0], : w.shape[1]], b) for w, b in zip(net.weights, net.biases, strict=True)]

    def convolution(q):  # three taps a layer: W_ij = q_{i-j+1}
        out = []
        for taps, b, before, after in zip(q, net.biases, widths[:-1], widths[1:], strict=True):
            offset = np.arange(after)[:, None] - np.arange(before)[None, :] + 1
            out.append((jnp.where((offset >= 0) & (offset < 3), taps[np.clip(offset, 0, 2)], 0), b))
        return out

    def together(q):  # a sum of all of them: each family's curvatures enter the sum
        parts = [f([(u, v) for u, v in q[k]] if k == "low rank" else q[k]) for k, f in made.items()]
        return [(w + sum(p[k][0] for p in parts), b) for k, (w, b) in enumerate(zip(*q["network"], strict=True))]

    made = {"low rank": low_rank, "shared": shared, "convolution": convolution}
    corner = jnp.asarray(np.random.default_rng(1).normal(size=(max(widths),) * 2) / np.sqrt(max(widths)))
    found = {
        "network": (lambda q: list(zip(*q, strict=True)), (net.weights, net.biases)),
        "weights": (lambda q: list(zip(q, net.biases, strict=True)), net.weights),
        "biases": (lambda q: list(zip(net.weights, q, strict=True)), net.biases),
        "low rank": (low_rank, [(w[:, :1], w[:1, :]) for w in net.weights]),
        "shared": (shared, corner),
        "convolution": (convolution, [jnp.resize(w, 3) for w in net.weights]),
    }
    whole = jax.tree.map(lambda v: v / 2, {name: found[name][1] for name in ("network", *made)})
    return {**found, "together": (together, whole)}


@partial(jax.jit, static_argnames=("mean_term", "slopes", "name"))
def ours(net, u, beta, m, *, mean_term, slopes, name):
    """A family's ΔF by the library."""
    layers_of, q = families(net)[name]

    def made(p):
        weights, biases = zip(*layers_of(p), strict=True)
        return net.replace(weights=weights, biases=biases)

    return nt.parameter_laplacian(made, q, u, beta, m=m, mean_term=mean_term, slopes=slopes).value


@partial(jax.jit, static_argnames=("mean_term", "slopes", "name"))
def by_hessian(net, u, beta, m, *, mean_term, slopes, name):
    """The same by the Hessian of the dense log det, and the size of what was added up."""
    layers_of, q = families(net)[name]
    flat, unravel = jax.flatten_util.ravel_pytree(q)

    def dense(p, one):
        frozen = dense_free_energy(layers_of(q), one, beta, m, False)[1] if slopes == "fixed" else None
        return dense_free_energy(layers_of(unravel(p)), one, beta, m, mean_term, frozen)[0]

    def average(p):
        return dense(p, u) if u.ndim == 1 else jnp.mean(jax.vmap(dense, (None, 0))(p, u))

    diagonal = jnp.diagonal(jax.hessian(average)(flat))
    return jnp.sum(diagonal), jnp.sum(jnp.abs(diagonal))


def check(sizes, seed, log_beta, share, *, samples=1, **options):
    net, beta = network(seed, sizes, scale=0.8), 10.0**log_beta
    u = jnp.stack([draw_inputs(seed + k, sizes[0]) for k in range(samples)])
    m = 0.5 * share / beta  # inside for any spectrum
    arguments = (net, u if samples > 1 else u[0], beta, m)
    value, (wanted, size) = ours(*arguments, **options), by_hessian(*arguments, **options)
    # cond(M) up to 1e4 ulp in either, and log Z/β
    assert abs(value - wanted) < 1e-10 * (size + 1 / beta)
    if options == {"mean_term": False, "slopes": "fixed", "name": "biases"}:
        assert value == 0


@pytest.mark.parametrize("sizes", SHAPES)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-2, 2), share=st.floats(-1, 1))
def test_families_of_any_depth_by_a_dense_hessian(sizes, seed, log_beta, share):
    depth = len(sizes)
    slopes = "fixed" if depth % 3 == 0 else "following"
    samples = 2 if depth == 3 else 1
    options = {"mean_term": depth % 2 == 1, "slopes": slopes, "name": "together"}
    check(sizes, seed, log_beta, share, samples=samples, **options)


@pytest.mark.parametrize(
    ("name", "slopes"),
    [(name, "following") for name in ("weights", "biases", "low rank", "shared", "convolution")]
    + [("network", "fixed"), ("biases", "fixed")],
)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-2, 2), share=st.floats(-1, 1))
def test_each_family_by_a_dense_hessian(name, slopes, seed, log_beta, share):
    check((2, 2, 2), seed, log_beta, share, mean_term=False, slopes=slopes, name=name)


whole = jax.jit(
    nt.parameter_laplacian, static_argnums=0, static_argnames=("mean_term", "slopes", "method", "probes", "chunk")
)


def test_many_layers_of_one_width():
    """Six and more go through a `scan`, whose reverse derivative JAX 0.9.2 cannot linearize."""
    net, u = network(4, (2,) * 7, scale=0.8), draw_inputs(4, 2)
    found = whole(lambda w: net.replace(weights=w), net.weights, u, 1.3, slopes="fixed")
    np.testing.assert_allclose(found.value, nt.weight_laplacian(net, net.propagate(u), 1.3), rtol=1e-11)


def test_fixed_slopes_and_the_weights_are_the_closed_form():
    net, beta, m = network(3, (5, 4, 3), scale=0.9), 1.7, 0.05
    u = draw_inputs(3, 5)
    closed = nt.weight_laplacian(net, net.propagate(u), beta, m=m)
    for made, q in ((lambda w: net.replace(weights=w), net.weights), (lambda q: q, net)):
        found = whole(made, q, u, beta, m=m, slopes="fixed")
        np.testing.assert_allclose(found.value, closed, rtol=1e-12)
        assert found.standard_error == 0
    following = whole(lambda q: q, net, u, beta, m=m)
    assert abs(following.value - closed) > 1e-3
    linear = network(3, (5, 4, 3), activation=identity)
    flat_slopes = whole(lambda q: q, linear, u, beta)
    np.testing.assert_allclose(flat_slopes.value, nt.weight_laplacian(linear, linear.propagate(u), beta), rtol=1e-12)


def test_graphs_and_cycles():
    """Q scales the weights of each neuron; with cycles the state is solved for, with its implicit derivative."""
    for cyclic in (False, True):
        net = graph(0, 5, cyclic=cyclic, scale=0.7)
        u, state = draw_inputs(0, 2), nt.FixedState(tolerance=1e-15) if cyclic else None

        def made(q, net=net):
            return net.replace(weight=q[:, None] * net.weight)

        def by_hand(q, made=made, u=u):
            moved = made(q)
            clamped = jnp.arange(5) < 2
            data = jnp.concatenate([u, jnp.zeros(3)])

            def step(_, x):
                return jnp.where(clamped, data, jnp.tanh(moved.weight @ x + moved.bias))

            x = jax.lax.fori_loop(0, 60, step, data)  # a contraction by 0.7
            slopes = jnp.where(clamped, 0, 1 - jnp.tanh(moved.weight @ x + moved.bias) ** 2)
            B = jnp.eye(5) - slopes[:, None] * moved.weight
            return jnp.linalg.slogdet(jnp.eye(5) + 1.3 * B.T @ B)[1] / 2.6

        q = jnp.ones(5)
        wanted = jnp.trace(jax.jit(jax.hessian(by_hand))(q))
        found = jax.jit(lambda q: nt.parameter_laplacian(made, q, u, 1.3, state=state).value)(q)  # noqa: B023
        assert abs(found - wanted) < 1e-7 * abs(wanted)  # 0.7⁶⁰ is 5e-10 of the state
        assert abs(wanted) > 1e-3
        if not cyclic:
            fixed = nt.parameter_laplacian(made, q, u, 1.3, slopes="fixed").value
            assert abs(fixed - wanted) > 1e-4


def test_network_free_energy_is_the_mean_over_samples():
    net, beta, m = network(1, (4, 3, 2)), 0.8, 0.1
    inputs = jnp.stack([draw_inputs(k, 4) for k in range(5)])
    for mean_term in (False, True):
        each = []
        for u in inputs:
            x = net.propagate(u)
            each.append(nt.free_energy(nt.bulk_hessian(net, x), beta, m=m, mean=x if mean_term else None))
            one = nt.network_free_energy(net, u, beta, m=m, mean_term=mean_term)
            assert abs(one - each[-1]) < 1e-14 * abs(one)
        found = nt.network_free_energy(net, inputs, beta, m=m, mean_term=mean_term)
        np.testing.assert_allclose(found, np.mean(each), rtol=1e-14)
    slopes = jax.vmap(lambda u: net.slopes(net.propagate(u)))(inputs)
    given_slopes = nt.network_free_energy(net, inputs, beta, m=m, slopes=slopes)
    np.testing.assert_allclose(given_slopes, nt.network_free_energy(net, inputs, beta, m=m), rtol=1e-14)


def test_other_methods_dtypes_and_bad_arguments():
    net, u = network(2, (3, 2, 2), dtype=np.float32), draw_inputs(2, 3).astype(jnp.float32)
    exact = whole(lambda q: q, net, u, 1.4)
    assert exact.value.dtype == jnp.float32
    options = {"method": "stochastic", "key": jax.random.key(0), "probes": 400}
    drawn = whole(lambda q: q, net, u, 1.4, **options)
    assert abs(drawn.value - exact.value) < 4 * drawn.standard_error
    assert drawn.standard_error > 0
    with pytest.raises(ValueError, match="`slopes` must be 'following' or 'fixed', but got 'frozen'"):
        nt.parameter_laplacian(lambda q: q, net, u, 1.4, slopes="frozen")
    with pytest.raises(ValueError, match="`inputs` must be one sample"):
        nt.network_free_energy(net, jnp.zeros((2, 2, 3)), 1.4)
    with pytest.raises(ValueError, match="`beta` must be positive"):
        nt.network_free_energy(net, u, -1.0)
    with pytest.raises(TypeError, match="`net` must be a FeedForward, a Septuple or a TracedNetwork"):
        nt.network_free_energy("net", u, 1.0, slopes=(u,))
