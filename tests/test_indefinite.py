"""Shifted Hessians that are indefinite or singular: NaN and nothing else, right at c = 0, one state at a time.

The cases are those where a batch, a decomposition or a restriction takes another path through the algebra.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnthermo as nt

BETA = 1.3
WITH = (nt.log_partition, nt.average_loss, nt.heat_capacity, nt.entropy)


def layered(sizes, seed=0):
    net = nt.FeedForward.init(jax.random.key(seed), sizes, activation=jnp.tanh)
    x = net.propagate(jax.random.normal(jax.random.key(seed + 1), (sizes[0],)))
    return net, x


def bounds(G):
    """m inside the range of (5.9) and beyond it, λ_min + 1/β."""
    edge = float(jnp.exp(jnp.min(nt.log_eigenvalues(G).values))) + 1 / BETA
    return edge - 0.2, edge + 0.2


@pytest.mark.parametrize("function", WITH, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["whole", "restricted", "spectrum", "modes"])
def test_beyond_the_bound_all_is_nan(function, kind):
    net, x = layered((6, 4, 3))
    G = nt.bulk_hessian(net, x)
    if kind == "restricted":
        G = nt.restrict(G, nt.hidden_neurons(net))
    inside, beyond = bounds(G)
    if kind == "spectrum":
        G = nt.log_eigenvalues(G)
    if kind == "modes":
        G = nt.eigenmodes(G)

    def of(m):
        return function(G, BETA, m=m)

    ms = jnp.array([inside, beyond])
    reverse = jax.jit(jax.vmap(jax.value_and_grad(of)))(ms)
    forward = jax.jit(lambda m: jax.jvp(of, (m,), (jnp.ones_like(m),)))
    for values in (*reverse, *jnp.stack([jnp.stack(forward(m)) for m in ms], axis=1)):
        assert np.isfinite(values[0])
        assert np.isnan(values[1])


def test_sweeps_beyond_the_bound_are_nan():
    net, x = layered((6, 4, 3))
    G = nt.bulk_hessian(net, x)
    _, m = bounds(G)
    found = nt.sweep(G, jnp.array([0.5, BETA, 5.0]), m=m, mean=x)
    for values in found:
        np.testing.assert_array_equal(np.isnan(values), [False, True, True])


@pytest.mark.parametrize("sizes", [(3, 5), (6, 4, 3)])
def test_restricted_where_the_window_vanishes(sizes):
    """c = 1 - βm = 0 under jit and vmap, where rounding may put copies of c on both sides of it; against one by one."""
    net, x = layered(sizes)
    keep = tuple(np.arange(n) % 3 != 1 for n in sizes)
    G = nt.restrict(nt.bulk_hessian(net, x), keep)

    def of(beta, m):
        return nt.log_partition(G, beta, m=m)

    betas = jnp.linspace(0.3, 3.0, 12)
    batched = jax.jit(jax.vmap(jax.grad(of, argnums=(0, 1))))(betas, 1 / betas)
    B = np.asarray(G.to_dense())
    for k, beta in enumerate(np.asarray(betas)):
        # M = βG: ∂ log Z/∂m = (β/2) Tr (βG)⁻¹, ∂ log Z/∂β = -½ Tr (G - mI)(βG)⁻¹ with m = 1/β
        inverse = np.linalg.inv(B) / beta
        np.testing.assert_allclose(batched[1][k], 0.5 * beta * np.trace(inverse), rtol=1e-9)
        expected = -0.5 * np.trace((B - np.eye(len(B)) / beta) @ inverse)
        np.testing.assert_allclose(batched[0][k], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", ["pruned neuron", "no weights", "dead output"])
def test_gradients_of_sweeps_of_rank_deficient_layers(case):
    """Dependent directions have no unique basis; sums over eigenvalues do not need one."""
    net, x = layered((9, 4, 3))
    weights = [jnp.asarray(w) for w in net.weights]
    if case == "pruned neuron":
        weights[0] = weights[0].at[1].set(0)
    elif case == "no weights":
        weights = [0 * w for w in weights]
    else:
        weights[1] = weights[1].at[2].set(0)
    net = net.replace(weights=weights)
    slopes = net.slopes(x)
    betas = jnp.array([0.5, 2.0])

    def swept(n):
        return jnp.sum(nt.sweep(nt.bulk_hessian(n, slopes=slopes), betas).free_energy)

    def direct(n):
        return sum(nt.free_energy(nt.bulk_hessian(n, slopes=slopes), b) for b in betas)

    for a, b in zip(jax.tree.leaves(jax.grad(swept)(net)), jax.tree.leaves(jax.grad(direct)(net)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("call", [nt.eigenmodes, nt.log_eigenvalues, lambda G: G.to_dense()])
def test_one_state_at_a_time(call):
    net, _ = layered((3, 4, 2))
    states = jax.vmap(net.propagate)(jnp.ones((3, 3)))
    many = jax.vmap(lambda s: nt.bulk_hessian(net.to_septuple(), net.ravel(s)))(states)
    with pytest.raises(ValueError, match="`G` must be that of one state"):
        call(many)


def test_restriction_is_of_one_state():
    net, _ = layered((3, 4, 2))
    states = jax.vmap(net.propagate)(jnp.ones((3, 3)))
    many = jax.vmap(lambda s: nt.bulk_hessian(net, s))(states)
    with pytest.raises(ValueError, match="`G` must be that of one state"):
        nt.restrict(many, nt.hidden_neurons(net))


@pytest.mark.parametrize(
    "call",
    [
        lambda net: nt.free_energy(net, 1.0),
        lambda net: nt.sweep(net, jnp.array([1.0])),
        nt.log_eigenvalues,
        lambda net: nt.log_partition(nt.bulk_hessian(net, slopes=(jnp.ones(2),)), 1.0, m="a"),
        lambda net: nt.log_partition(nt.bulk_hessian(net, slopes=(jnp.ones(2),)), 1.0, m=None),
    ],
)
def test_other_kinds_are_named(call):
    net, _ = layered((3, 2))
    with pytest.raises(TypeError, match="`(G|m)` must be"):
        call(net)
