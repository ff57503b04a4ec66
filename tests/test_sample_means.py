"""Means over samples of functions of Ĝ, each with its own probes and in bounded memory, against exact ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import network

import nnthermo as nt
from nnthermo.ensemble.matrix_free import colouring

BETA, SAMPLES = 1.3, 5
INPUTS = 0.8 * np.random.default_rng(4).normal(size=(SAMPLES, 3))


def layers(q, u):
    for w in q:
        u = jnp.tanh(w @ u)
    return u


Q = list(network(5, (3, 3, 2), scale=1.5).weights)
NET = nt.network_from(layers, jnp.zeros(3), Q)


def moved(q):
    return NET.replace(parameters=q)


def dense(q, u):
    """F = ½ log det(1 + βBᵀB) / β - N log 2π / 2β, by the Jacobian of all residuals."""
    net = NET.replace(parameters=q)

    def residual(v):
        return net.ravel(net.residual(net.unravel(v), inputs=u))

    B = jax.jacrev(residual)(net.ravel(net.propagate(u)))
    N = net.size
    return (0.5 * jnp.linalg.slogdet(jnp.eye(N) + BETA * B.T @ B)[1] - 0.5 * N * jnp.log(2 * jnp.pi)) / BETA


@jax.jit
def exact(q):
    return jax.value_and_grad(lambda q: jnp.mean(jax.vmap(lambda u: dense(q, u))(jnp.asarray(INPUTS))))(q)


@partial(jax.jit, static_argnames=("chunk", "method"))
def ours(q, chunk=None, method="auto"):
    def mean(q):
        net, options = NET.replace(parameters=q), {"method": method}
        return nt.network_free_energy(net, INPUTS, BETA, hessian=options, chunk_samples=chunk)

    return jax.value_and_grad(mean)(q)


@pytest.mark.parametrize(("chunk", "method"), [(2, "layered"), (9, "auto")])
def test_chunks_of_samples_change_no_mean(chunk, method):
    """2 of 5 samples at a time, the last alone; and more than there are."""
    for a, b in zip(jax.tree.leaves(ours(Q, chunk, method)), jax.tree.leaves(exact(Q)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)  # cond(M) < 100 here, 8 neurons


@jax.jit
def drawn(keys):
    """Estimates of F over five equal samples from one probe each, with as many Lanczos steps as neurons."""

    def one(key):
        options = {"method": "stochastic", "key": key, "probes": 1, "steps": NET.size}
        return nt.network_free_energy(NET, np.stack([INPUTS[0]] * SAMPLES), BETA, hessian=options)

    return jax.lax.map(one, keys)


def test_probes_of_samples_are_independent_and_unbiased():
    """With φ = log(1 + βĜ) a probe's zᵀφz has the variance 2 Σ φ_ij², i ≠ j of one colour; five a fifth of it."""
    found = np.asarray(drawn(jax.random.split(jax.random.key(8), 400)))
    G = np.asarray(nt.bulk_hessian(NET, NET.propagate(INPUTS[0])).to_dense())
    values, vectors = np.linalg.eigh(G)
    phi = vectors @ np.diag(np.log1p(BETA * values)) @ vectors.T
    colours = np.repeat(colouring(NET), NET.sizes)
    pairs = (colours[:, None] == colours[None, :]) & ~np.eye(NET.size, dtype=bool)
    variance = 2 * np.sum(phi[pairs] ** 2) / (2 * BETA) ** 2
    wanted = (0.5 * np.trace(phi) - 0.5 * NET.size * np.log(2 * np.pi)) / BETA
    assert abs(np.mean(found) - wanted) < 4 * np.sqrt(variance / SAMPLES / 400)  # four standard errors
    ratio = np.var(found) / variance
    assert abs(SAMPLES * ratio - 1) < 0.3  # four times √(2/400); with equal probes it is 5 - 1


def test_observers_take_options_of_the_hessian():
    """U over the samples and its gradient; estimates of a stochastic Ĝ come with their errors, by name."""
    observe, small = jax.jit(nt.equilibrium_observer(beta=BETA)), nt.network_from(layers, jnp.zeros(3), Q[:1])
    found = observe(small, INPUTS, None)

    def mean(q):
        def one(u):
            net = small.replace(parameters=q)
            x = net.propagate(u)
            return nt.average_loss(nt.bulk_hessian(net, x), BETA, mean=x)

        return jnp.mean(jax.vmap(one)(jnp.asarray(INPUTS)))

    value, gradient = jax.jit(jax.value_and_grad(mean))(Q[:1])
    size = jnp.sqrt(sum(jnp.sum(g**2) for g in gradient))
    np.testing.assert_allclose(found["mean_average_loss"], value, rtol=1e-12)
    np.testing.assert_allclose(found["average_loss_gradient"], size, rtol=1e-11)
    options = {"method": "stochastic", "probes": 2, "steps": 4, "key": jax.random.key(1)}
    seen = jax.eval_shape(nt.thermodynamic_observer(beta=BETA, hessian=options), NET, jnp.asarray(INPUTS), None)
    assert {"mu2", "mu2_standard_error", "mu2_truncation", "heat_capacity", "bulk_loss"} <= set(seen)
    assert {value.shape for value in seen.values()} == {()}
    assert "log_eigenvalues" not in seen


def test_bad_options_are_refused_by_name():
    def refused(sentence, kind=ValueError, **options):
        with pytest.raises(kind, match=sentence):
            nt.network_free_energy(NET, INPUTS, BETA, **options)

    names = "`options` must be among key, probes, steps, chunk of a stochastic Ĝ, but got probe"
    refused(names, hessian={"method": "stochastic", "probe": 3})
    with pytest.raises(ValueError, match=names):
        nt.bulk_hessian(NET, NET.propagate(INPUTS[0]), method="stochastic", probe=3)
    layered = network(0, (3, 2))
    with pytest.raises(ValueError, match="`options` must be left out unless `net` is a TracedNetwork, but got probes"):
        nt.bulk_hessian(layered, layered.propagate(jnp.ones(3)), probes=3)
    refused("`hessian` must leave out `slopes`", hessian={"slopes": 1})
    refused("`hessian` must be a dict of options of `bulk_hessian`, but got int", TypeError, hessian=3)
    refused("`key` must be a random key", hessian={"method": "stochastic", "key": 3})
    refused("`chunk_samples` must be positive, but got 0", chunk_samples=0)
    refused("`chunk_samples` must be an integer, but got 2.5", TypeError, chunk_samples=2.5)
    options = {"hessian": {"method": "stochastic"}}
    with pytest.raises(NotImplementedError, match="no second: use an exact `method`"):
        jax.eval_shape(lambda q: nt.parameter_laplacian(moved, q, INPUTS, BETA, **options).value, Q)
