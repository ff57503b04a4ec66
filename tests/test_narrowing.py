"""Closed derivatives of the filter against reverse mode through the filter written for any layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import EPS, condition, jit, unreduced
from test_shifted_gram import make

from nnthermo.linalg import narrowing, shifted_gram

SHAPES = [(6, 4, 3, 3), (3, 1)]
ARGUMENTS = (0, 1, 2, 3)


def closed(blocks, c, beta, a, weights):
    chain = narrowing.Chain(blocks[1:], blocks[0] @ blocks[0].T, blocks[0] @ a[0], a[0] @ a[0], a[1:])
    return jnp.vdot(jnp.stack(narrowing.log_det_and_form(chain, c, beta, a[0].size)), weights)


def general(blocks, c, beta, a, weights):
    return jnp.vdot(jnp.stack(shifted_gram.general_filter(blocks, c, beta, a, None, None)), weights)


def third(function):
    """∂³/∂β³ and the gradient of ∂²/∂β²: beyond the orders that have closed forms."""

    def along(blocks, c, beta, a, weights):
        one = jnp.ones_like(beta)

        def slope(b):
            return jax.jvp(lambda x: function(blocks, c, x, a, weights), (b,), (one,))[1]

        return jax.jvp(slope, (beta,), (one,))[1]

    return jax.grad(along, argnums=(0, 2))


ORDERS = {
    "gradient": lambda f: jax.grad(f, argnums=ARGUMENTS),
    "forward over reverse": lambda f: jax.jacfwd(jax.grad(f, argnums=ARGUMENTS), argnums=ARGUMENTS),
    "reverse over forward": lambda f: jax.jacrev(jax.jacfwd(f, argnums=ARGUMENTS), argnums=ARGUMENTS),
    "third": third,
}
TWINS = {
    "gradient": "gradient",
    "forward over reverse": "forward over reverse",
    "reverse over forward": "forward over reverse",
    "third": "third",
}
GENERAL = {name: jit(ORDERS[name](general)) for name in set(TWINS.values())}
COMPILED = {name: (jit(make_of(closed)), GENERAL[TWINS[name]]) for name, make_of in ORDERS.items()}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sizes", SHAPES)
@given(
    seed=st.integers(0, 10**6), c=st.floats(0.01, 3), log_beta=st.floats(-3, 3), scale=st.sampled_from([0.0, 0.3, 2.0])
)
def test_derivatives_equal_those_through_the_recursion(sizes, order, seed, c, log_beta, scale):
    """N ε cond(M), relative to the largest entry, or to β^-3 where terms of that size cancel in third derivatives."""
    beta = 10.0**log_beta
    blocks, a = make(seed, sizes, scale)
    B = unreduced(blocks)
    cond = condition(c * np.eye(len(B)) + beta * B.T @ B)
    one, other = COMPILED[order]
    weights = jnp.asarray(np.random.default_rng(seed).normal(size=2))
    expected = jax.tree.leaves(other(blocks, c, beta, a, weights))
    largest = max(float(jnp.max(jnp.abs(x), initial=0)) for x in expected)
    if order == "third":
        largest = max(largest, beta**-3)
    for x, y in zip(jax.tree.leaves(one(blocks, c, beta, a, weights)), expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=50 * len(B) * EPS * cond * max(largest, 1))


def test_values_equal_the_recursion():
    blocks, a = make(5, (6, 4, 3, 3))
    for weights in np.eye(2):
        assert closed(blocks, 0.7, 1.9, a, weights) == pytest.approx(
            float(general(blocks, jnp.asarray(0.7), jnp.asarray(1.9), a, weights)), rel=100 * EPS
        )


def test_a_batch_of_second_derivatives_equals_the_loop():
    """The weight gradient of ∂/∂β over a batch of slopes, the pattern of U and S over a data set."""
    blocks, a = make(11, (6, 4, 3, 3))
    factors = jnp.asarray(np.random.default_rng(0).uniform(0.2, 1, size=(5, 4)))

    def slope(blocks, factor):
        scaled = (factor[:, None] * blocks[0], *blocks[1:])
        return jax.jvp(lambda b: closed(scaled, 1.0, b, a, jnp.ones(2)), (1.4,), (1.0,))[1]

    together = jax.jit(jax.grad(lambda b: jnp.sum(jax.vmap(slope, in_axes=(None, 0))(b, factors))))(blocks)
    alone = jax.jit(jax.grad(slope))
    apart = [alone(blocks, factor) for factor in factors]
    for x, y in zip(together, jax.tree.map(lambda *leaves: sum(leaves), *apart), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11)  # sums in another order, condition about 1e3
