"""Stochastic traces against dense ones: unbiased, with error bars that cover, and gradients too."""

from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from systems import network
from zoo import models

import nnthermo as nt
from nnthermo.ensemble.matrix_free import Sight, colouring

ZOO = models()
BETA, KEYS = 1.4, 200


def stated(name, scale=1.5):
    """A network with weights large enough for a wide spectrum, and a state."""
    net, u = ZOO[name]
    net = net.replace(parameters=jax.tree.map(lambda a: scale * a, net.parameters))
    return net, net.propagate(u)


@partial(jax.jit, static_argnames=("probes", "steps"))
def spectrum_of(net, x, key, probes=8, steps=32):
    G = nt.bulk_hessian(net, x, method="stochastic", key=key, probes=probes, steps=steps)
    return nt.stochastic_spectrum(G, mean=x)


@jax.jit
def many(net, x):
    """log det M and its error bar for many keys."""

    def one(key):
        found = spectrum_of(net, x, key).estimate(lambda s: s.log_det(BETA, 0.1))
        return found.value, found.standard_error

    return jax.lax.map(one, jax.random.split(jax.random.key(5), KEYS))


@pytest.mark.parametrize("name", ["convolution", "residual", "recurrent"])
def test_log_det_is_unbiased_and_its_error_bars_cover(name):
    """Of 200 independent estimates from 8 probes each, against Student's law with 7 degrees of freedom."""
    net, x = stated(name)
    exact = nt.bulk_hessian(net, x).log_det(BETA, 0.1)
    value, error = (np.asarray(v) for v in many(net, x))
    scatter = np.std(value, ddof=1)
    # the mean of 200 lies within four of its own standard errors, but for one in 16,000
    assert abs(np.mean(value) - exact) < 4 * scatter / np.sqrt(KEYS)
    # the mean square of the error bars is the variance: relative error of a variance from 200 is 0.1, of 1,400 0.04
    assert abs(np.mean(error**2) / scatter**2 - 1) < 0.45
    within = {k: np.mean(np.abs(value - exact) < k * error) for k in (1, 2, 3)}
    # Student's law: 0.649, 0.914, 0.980; four standard errors of a share of 200
    for k, share in {1: 0.649, 2: 0.914, 3: 0.980}.items():
        assert abs(within[k] - share) < 4 * np.sqrt(share * (1 - share) / KEYS)


@jax.jit
def gradients(net, x):
    def one(key):
        def log_z(q):
            moved = net.replace(parameters=q)
            return nt.log_partition(nt.bulk_hessian(moved, x, method="stochastic", key=key, probes=2, steps=24), BETA)

        return jax.flatten_util.ravel_pytree(jax.grad(log_z)(net.parameters))[0]

    return jax.lax.map(one, jax.random.split(jax.random.key(6), 100))


@pytest.mark.parametrize("name", ["convolution", "residual"])
def test_gradients_are_unbiased_and_of_use(name):
    net, x = stated(name)

    def exact(q):
        return nt.log_partition(nt.bulk_hessian(net.replace(parameters=q), x), BETA)

    wanted = jax.flatten_util.ravel_pytree(jax.jit(jax.grad(exact))(net.parameters))[0]
    found, wanted = np.asarray(gradients(net, x)), np.asarray(wanted)
    scatter = np.std(found, axis=0, ddof=1)
    error = np.abs(np.mean(found, axis=0) - wanted)
    assert np.mean(error < 3 * scatter / 10 + 1e-12) > 0.97  # 3 standard errors of the mean of 100
    # two probes leave less of the whole gradient's length to chance than there is gradient
    assert np.sqrt(np.mean(np.sum((found - wanted) ** 2, axis=1))) < np.linalg.norm(wanted)


def test_derivatives_in_beta_are_those_of_the_quadrature():
    net, x = stated("residual")
    functions = (nt.log_partition, nt.average_loss, nt.entropy, nt.heat_capacity)

    @jax.jit
    def both(beta):
        G = _moved(net, net.parameters, x)
        spectrum = nt.stochastic_spectrum(G)
        return [[function(H, beta) for function in functions] for H in (G, spectrum)]

    ours, theirs = both(BETA)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    step = 1e-5
    difference = (both(BETA - step)[0][0] - both(BETA + step)[0][0]) / (2 * step)
    np.testing.assert_allclose(ours[1], difference, rtol=1e-8)  # step² of the third derivative, and ulp / step
    mixed = jax.jit(jax.grad(lambda q: nt.average_loss(_moved(net, q, x), BETA)))(net.parameters)
    slopes = jax.jit(jax.grad(lambda q, beta: nt.log_partition(_moved(net, q, x), beta)))
    before, after = slopes(net.parameters, BETA - step), slopes(net.parameters, BETA + step)
    for a, b, c in zip(*(jax.tree.leaves(tree) for tree in (mixed, before, after)), strict=True):
        np.testing.assert_allclose(a, (b - c) / (2 * step), rtol=1e-6, atol=1e-8)


def _moved(net, q, x):
    return nt.bulk_hessian(net.replace(parameters=q), x, method="stochastic", probes=2, steps=16)


def test_measure_agrees_within_its_error_bars():
    net, x = stated("stream")
    exact = jax.jit(lambda n, y: nt.measure(n, y, BETA, m=0.1))(net, x)
    found = jax.jit(lambda n, y: nt.measure(n, y, BETA, m=0.1, method="stochastic", probes=64, steps=64))(net, x)
    for name, error in found.standard_errors.items():
        value, wanted = getattr(found, name), getattr(exact, name)
        assert 0 < error < 0.2 * abs(wanted) + 1.0, name
        assert abs(value - wanted) < 4 * error + 1e-9, name
        if name not in ("mu2", "mu3"):  # whose powers of log λ have no end near 0
            assert found.truncation[name] < 0.1 * error, name
    assert isinstance(found, nt.StochasticObservables)


def test_full_krylov_spaces_leave_nothing_to_truncate():
    """With as many steps as neurons the quadrature of a single probe is exact: zᵀφ(Ĝ)z."""
    net, x = stated("residual")
    G = nt.bulk_hessian(net, x, method="stochastic", probes=1, steps=100)
    assert G.steps == net.size
    spectrum = nt.stochastic_spectrum(G, mean=x)
    values, vectors = np.linalg.eigh(np.asarray(G.to_dense()))
    mean = np.asarray(net.ravel(x))
    form = np.sum(BETA * values / (1 + BETA * values) * (vectors.T @ mean) ** 2)
    np.testing.assert_allclose(spectrum.log_det_and_form(BETA, 0.0)[1], form, rtol=1e-10)
    np.testing.assert_allclose(G.log_det_and_form(BETA, 0.0, x)[1], form, rtol=1e-10)
    signs = np.asarray(jax.random.rademacher(jax.random.fold_in(jax.random.key(0), 0), (net.size,), x["inputs"].dtype))
    wanted = 0.0
    for mask in Sight(net, x).masks:
        share = (vectors.T @ (signs * mask)) ** 2
        wanted += np.sum(share * np.log(1 + BETA * values))
    np.testing.assert_allclose(spectrum.log_det(BETA), wanted, rtol=1e-10)
    np.testing.assert_allclose(np.sum(spectrum.weights), net.size, rtol=1e-12)
    assert np.isfinite(spectrum.trace(jnp.log).value)
    assert np.isnan(spectrum.trace(jnp.log).standard_error)


def test_wide_inputs_are_projected_and_colours_separate_what_is_coupled():
    wide = network(1, (40, 4, 3), scale=1.2)
    u = jnp.linspace(-1.0, 1.0, 40)
    net = nt.network_from(lambda q, v: jnp.tanh(q[1] @ jnp.tanh(q[0] @ v)), u, wide.weights)
    x = net.propagate(u)
    sight = Sight(net, x)
    assert (sight.unit_count, sight.size) == (36, 11)
    G = nt.bulk_hessian(net, x, method="stochastic", probes=400)
    dense = np.asarray(G.to_dense())
    basis = np.asarray(jax.vmap(sight.embed, in_axes=1, out_axes=1)(jnp.eye(sight.size)))
    outside = np.linalg.qr(np.concatenate([basis, np.eye(47)], axis=1))[0][:, 11:47]
    np.testing.assert_allclose(dense @ outside, outside, atol=1e-13)  # eigenvalue 1, whatever the weights
    exact = nt.bulk_hessian(net, x).log_det(BETA)
    found = nt.stochastic_spectrum(G).estimate(lambda s: s.log_det(BETA))
    assert abs(found.value - exact) < 4 * found.standard_error

    def log_det(q, **options):
        return nt.bulk_hessian(net.replace(parameters=q), x, **options).log_det(BETA)

    wanted = jax.grad(log_det)(wide.weights)
    drawn = jax.jit(jax.grad(partial(log_det, method="stochastic", probes=100)))(wide.weights)
    for a, b in zip(drawn, wanted, strict=True):
        assert np.linalg.norm(a - b) < 0.4 * np.linalg.norm(b)  # 0.1 times what a single probe leaves to chance
    for model, _ in ZOO.values():
        colours = colouring(model)
        for k, group in enumerate(model.groups):
            assert all(colours[j] != colours[k] for j in group.parents if j != k)
    assert max(colouring(net)) == 1


def test_density_counts_every_eigenvalue():
    net, x = stated("convolution")
    points = jnp.linspace(-14.0, 14.0, 600)
    found = spectrum_of(net, x, jax.random.key(2), probes=64).density(points, 0.4)
    spectrum = nt.log_eigenvalues(nt.bulk_hessian(net, x))
    values = np.concatenate([spectrum.values, np.zeros(spectrum.unit_count)])
    bumps = np.exp(-0.5 * ((np.asarray(points)[:, None] - values) / 0.4) ** 2) / (0.4 * np.sqrt(2 * np.pi))
    wanted = bumps.mean(axis=1)
    np.testing.assert_allclose(np.trapezoid(found.value, points), 1, rtol=1e-6)
    # five errors of 600 strongly correlated points, and the bumps that 32 Ritz values do not resolve
    assert np.all(np.abs(found.value - wanted) < 5 * found.standard_error + 0.01)


def test_estimates_repeat_and_do_not_depend_on_the_chunk():
    net, x = stated("residual")
    options = {"method": "stochastic", "key": jax.random.key(3), "probes": 6}
    one, three = (nt.bulk_hessian(net, x, chunk=c, **options).log_det(BETA) for c in (1, 3))
    np.testing.assert_allclose(one, three, rtol=1e-12)
    assert one == nt.bulk_hessian(net, x, chunk=1, **options).log_det(BETA)
    other = nt.bulk_hessian(net, x, **{**options, "key": jax.random.key(4)}).log_det(BETA)
    assert one != other


def test_what_cannot_be_had_is_refused():
    net, x = stated("residual")
    G = nt.bulk_hessian(net, x, method="stochastic", probes=2, steps=8)

    def of_parameters(function):
        return lambda q: function(_moved(net, q, x))

    with pytest.raises(NotImplementedError, match="first derivatives in parameters and states, but no second"):
        jax.hessian(of_parameters(lambda H: H.log_det(BETA)))(net.parameters)
    with pytest.raises(NotImplementedError, match="a stochastic spectrum has no derivatives in the network"):
        jax.grad(of_parameters(lambda H: nt.stochastic_spectrum(H).log_det(BETA)))(net.parameters)
    with pytest.raises(TypeError, match="`G` must be a MatrixFreeHessian, but got DenseHessian: use `log_eigenvalues`"):
        nt.stochastic_spectrum(nt.bulk_hessian(net, x, method="dense"))
    with pytest.raises(ValueError, match="`probes` must be positive, but got 0"):
        nt.bulk_hessian(net, x, method="stochastic", probes=0)
    with pytest.raises(TypeError, match="`steps` must be an integer"):
        nt.bulk_hessian(net, x, method="stochastic", steps=1.5)
    with pytest.raises(ValueError, match="`m` must keep"):
        nt.log_partition(G, BETA, m=50.0)
    with pytest.raises(TypeError, match="`subject` must be a Hessian or a TracedNetwork, but got float"):
        nt.explain(1.0)


def test_explain_says_what_is_taken_and_what_it_costs():
    layered, blocks, dense = (nt.explain(ZOO[name][0]) for name in ("convolution", "residual", "recurrent"))
    assert (layered.method, blocks.method, dense.method) == ("layered", "blocks", "dense")
    assert layered.blocks == (36, 72, 5, 3)
    assert blocks.blocks == (4, 8, 8, 4)
    for name in ("convolution", "residual", "recurrent"):
        net, x = stated(name)
        G = nt.bulk_hessian(net, x)
        assert nt.explain(G).method == nt.explain(net).method
        assert nt.explain(G).unit_count == nt.log_eigenvalues(G).unit_count
    net, x = stated("convolution")
    G = nt.bulk_hessian(net, x, method="stochastic", probes=3, steps=5)
    found = nt.explain(G)
    assert found.products == 3 * 2 * 5
    assert "stochastic: asked for by name" in str(found)
    assert "30 products with Ĝ" in str(found)
    large = nt.network_from(lambda v: jax.nn.relu(v[None] * jnp.ones((8, 1))), jnp.zeros(40_000))
    reason = nt.explain(large).reason
    assert nt.explain(large).method == "stochastic"
    assert "GiB, more than 1e+12 flops or 1 GiB" in reason


def test_exhausted_krylov_spaces_and_states_of_zero():
    """Without weights Ĝ = I: one step is all there is, and what follows it must not be heard of."""
    net = nt.network_from(lambda w, v: jnp.tanh(w @ jnp.tanh(w @ v)), jnp.zeros(3), jnp.zeros((3, 3)))
    x = net.propagate(jnp.zeros(3))
    G = nt.bulk_hessian(net, x, method="stochastic", probes=2, steps=6)
    spectrum, exact = nt.stochastic_spectrum(G, mean=x), nt.bulk_hessian(net, x)
    for found in (spectrum, G):
        for m in (0.0, 1.2, -3.0):  # 1 - βm of either sign, and M positive definite
            np.testing.assert_allclose(found.log_det(BETA, m), exact.log_det(BETA, m), rtol=1e-13)
    np.testing.assert_allclose(nt.log_partition(spectrum, BETA), nt.log_partition(exact, BETA, mean=x), rtol=1e-13)
    np.testing.assert_allclose(nt.log_partition(G, BETA, mean=x), nt.log_partition(exact, BETA, mean=x), rtol=1e-13)
    for value in spectrum.trace(jnp.log):
        assert abs(value) < 1e-14
    np.testing.assert_array_equal(jax.grad(lambda w: _moved(net, w, x).log_det(BETA))(net.parameters), 0)
