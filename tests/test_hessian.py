"""Ĝ in the structure of the network: its dense twin, its meaning as a Hessian, and what its spectrum must obey."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import (
    EPS,
    SLOPES,
    condition,
    dense_weight,
    draw_inputs,
    fixed_state,
    flat,
    graph,
    identity,
    jacobian,
    jit,
    network,
    shifted,
    trace_word,
    unreduced,
)

import nnthermo as nt

LAYERS = [(3, 4, 2), (5, 2)]


@jit
def structured(G, beta, m, v):
    log_det, form = G.log_det_and_form(beta, m, v)
    return G.log_det(beta, m), log_det, form, G.matvec(v), G.to_dense()


def log_spectrum(B):
    return 2 * np.log(np.linalg.svd(B, compute_uv=False))


@pytest.mark.parametrize("sizes", LAYERS)
@given(
    seed=st.integers(0, 10**6),
    log_beta=st.floats(-3, 3),
    m=st.floats(-0.5, 0.5),
    scale=st.sampled_from([0.0, 1.0, 2.0]),
)
def test_layered_equals_dense_twin(sizes, seed, log_beta, m, scale):
    net, beta = network(seed, sizes, scale=scale), 10.0**log_beta
    x = tuple(draw_inputs(seed + k, n) for k, n in enumerate(sizes))  # any state, not only fixed ones
    twin, flat_x = net.to_septuple(), net.ravel(x)
    layered, dense = nt.bulk_hessian(net, x), nt.bulk_hessian(twin, flat_x)
    assert isinstance(layered, nt.LayeredHessian)
    assert isinstance(dense, nt.DenseHessian)
    assert layered.size == dense.size == sum(sizes)
    B = jacobian(net, x)
    np.testing.assert_allclose(dense.jacobian, B, atol=4 * EPS * np.abs(B).max())
    M = shifted(B, beta, m)
    low = np.linalg.eigvalsh(M)[0]
    got = structured(layered, beta, m, x)
    other = structured(dense, beta, m, flat_x)
    size = max(1, np.abs(B).max() ** 2)
    for found in (got, other):
        np.testing.assert_allclose(found[4], B.T @ B, atol=20 * EPS * size)
        np.testing.assert_allclose(flat(found[3]), B.T @ (B @ flat(x)), atol=100 * EPS * size)
    if low < 1e-9 * np.abs(M).max():
        assert low > 0 or (np.isnan(got[1]) and np.isnan(other[1]))
        return
    y = np.linalg.solve(M, flat(x))
    form = (1 - beta * m) * beta * (B @ flat(x)) @ (B @ y)
    rounding = 50 * len(B) * EPS * condition(M)
    scale_of_form = max(abs(form), abs(1 - beta * m) * (flat(x) @ flat(x)))
    for found in (got, other):
        assert found[0] == found[1]
        assert abs(found[1] - np.linalg.slogdet(M)[1]) < rounding * max(1, abs(found[1]))
        assert abs(found[2] - form) < rounding * scale_of_form


@pytest.mark.parametrize("kind", ["layers", "skip connections", "cycles"])
def test_is_the_hessian_of_the_bulk_loss_at_the_fixed_state(kind):
    """All neurons free, their inputs' errors counted (2.8): the Hessian at x̄ is Ĝ, elsewhere it is not (5.5)."""
    net = network(3, (2, 3, 2)) if kind == "layers" else graph(3, 6, cyclic=kind == "cycles", scale=0.9)
    u = draw_inputs(1, 2)
    x = fixed_state(net, u)

    def loss(vector):
        return nt.bulk_loss(net, net.unravel(vector), inputs=u)

    hessian = jax.hessian(loss)
    at_fixed = hessian(net.ravel(x))
    G = nt.bulk_hessian(net, x).to_dense()
    np.testing.assert_allclose(at_fixed, G, atol=1e-12)  # rounding; x̄ of the cycles is 0.9⁴⁰⁰ = 5e-19 off
    np.testing.assert_allclose(jax.grad(loss)(net.ravel(x)), 0, atol=1e-13)
    # elsewhere there is the further term -Σ r_i f''_i w_i w_iᵀ, with tanh'' = -2 tanh (1 - tanh²)
    away = net.ravel(x) + 0.5
    w, b, fixed_inputs = dense_weight(net)
    f = np.tanh(w @ away + b)
    r = np.where(fixed_inputs, 0, away - f)  # the rows of w vanish there
    further = -(w.T * (r * -2 * f * (1 - f**2))) @ w
    G = nt.bulk_hessian(net, net.unravel(away)).to_dense()
    np.testing.assert_allclose(hessian(away), G + further, atol=1e-13)
    assert np.abs(further).max() > 1e-2


def test_mean_state_and_mean_slopes_by_loops():
    inputs = jnp.stack([draw_inputs(k, 3) for k in range(5)])
    net = network(9, (3, 4, 2), scale=2.0, bias=1.0)
    weights = [np.asarray(w) for w in net.weights]
    biases = [np.asarray(b) for b in net.biases]
    states, slopes = [[], [], []], [[], []]
    for u in np.asarray(inputs):
        x = u
        states[0].append(x)
        for k in range(2):
            y = weights[k] @ x + biases[k]
            slopes[k].append(1 - np.tanh(y) ** 2)
            x = np.tanh(y)
            states[k + 1].append(x)
    for got, wanted in zip(nt.mean_state(net, inputs), states, strict=True):
        np.testing.assert_allclose(got, np.mean(wanted, axis=0), atol=1e-15)
    averaged = nt.mean_slopes(net, inputs)
    for got, wanted in zip(averaged, slopes, strict=True):
        np.testing.assert_allclose(got, np.mean(wanted, axis=0), atol=1e-15)
    twin = net.to_septuple()
    np.testing.assert_allclose(nt.mean_state(twin, inputs), np.concatenate(nt.mean_state(net, inputs)), atol=1e-15)
    np.testing.assert_allclose(nt.mean_slopes(twin, inputs)[3:], np.concatenate(averaged), atol=1e-15)
    # f'(⟨x⟩) is not ⟨f'⟩, and `slopes` is what says which
    G = nt.bulk_hessian(net, slopes=averaged)
    for got, wanted in zip(G.slopes, averaged, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert np.abs(np.asarray(nt.bulk_hessian(net, nt.mean_state(net, inputs)).slopes[1] - averaged[1])).max() > 1e-3
    dense = nt.bulk_hessian(twin, slopes=jnp.concatenate([jnp.ones(3), *averaged]))
    np.testing.assert_allclose(G.to_dense(), dense.to_dense(), atol=1e-14)


@jax.jit
def state_and_spectrum(net, inputs):
    """x̄ of an acyclic network and the spectrum there."""
    x = net.propagate(inputs)
    return x, nt.log_eigenvalues(nt.bulk_hessian(net, x))


@given(seed=st.integers(0, 10**6), scale=st.floats(0, 3))
def test_determinant_is_one_without_cycles(seed, scale):
    """(7.7), skip connections included; with cycles det Ĝ = det(I - f̂'ŵ)², far from 1 as a rule."""
    net = graph(seed, 6, scale=scale)
    x, spectrum = state_and_spectrum(net, draw_inputs(seed, 2))
    assert spectrum.unit_count == 0
    cond = np.exp((spectrum.values[0] - spectrum.values[-1]) / 2)
    assert abs(spectrum.moment(1)) < 100 * EPS * cond
    np.testing.assert_allclose(spectrum.values, log_spectrum(jacobian(net, x)), atol=100 * EPS * cond)


def test_determinant_with_cycles():
    net = graph(2, 6, cyclic=True, scale=0.9)
    x = fixed_state(net, draw_inputs(2, 2))
    B = jacobian(net, x)
    expected = 2 * np.linalg.slogdet(B)[1]
    assert abs(expected) > 0.05
    assert abs(nt.log_eigenvalues(nt.bulk_hessian(net, x)).moment(1) - expected) < 1e-13


def test_connections_into_clamped_inputs_carry_no_signal():
    """(2.2) forbids them; where they are given all the same, the inputs' rows of B are those of the identity."""
    net = graph(3, 4)
    crossed = nt.Septuple(
        net.weight.at[0, 2].set(0.7),
        net.bias,
        activation=jnp.tanh,
        input_mask=net.input_mask,
        output_mask=net.output_mask,
    )
    x = jnp.asarray([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_array_equal(nt.bulk_hessian(crossed, x).jacobian, nt.bulk_hessian(net, x).jacobian)
    np.testing.assert_array_equal(nt.bulk_hessian(crossed, x).jacobian[:2], np.eye(4)[:2])


@pytest.mark.parametrize("slope", [(0.5, 0.8), (1.0, 1.0)])
def test_nilpotent_weights_with_a_cycle_are_not_feed_forward(slope):
    """[[1, -1], [1, -1]] squares to zero as (2.1) asks, yet (f̂'ŵ)² ≠ 0: det Ĝ = (1 - f'_1 + f'_2)²."""
    none = np.zeros(2, bool)
    net = nt.Septuple([[1.0, -1.0], [1.0, -1.0]], [0.0, 0.0], activation=identity, input_mask=none, output_mask=none)
    G = nt.bulk_hessian(net, slopes=jnp.asarray(slope))
    total = nt.log_eigenvalues(G).moment(1)
    assert abs(total - 2 * np.log(1 - slope[0] + slope[1])) < 1e-14


@given(seed=st.integers(0, 10**6), scale=st.floats(0, 3))
def test_two_layers_have_a_symmetric_spectrum(seed, scale):
    """(9.11): log λ = ±2 asinh(s/2) with the singular values s of A, and odd moments vanish."""
    net = network(seed, (5, 2), scale=scale)
    x, spectrum = state_and_spectrum(net, draw_inputs(seed, 5))
    A = np.asarray(SLOPES[jnp.tanh](np.asarray(net.pre_activations(x)[0])))[:, None] * np.asarray(net.weights[0])
    s = np.linalg.svd(A, compute_uv=False)
    wanted = np.sort(np.concatenate([2 * np.arcsinh(s / 2), -2 * np.arcsinh(s / 2)]))[::-1]
    assert spectrum.unit_count == 3
    rounding = 100 * EPS * (1 + s[0] ** 2)
    np.testing.assert_allclose(spectrum.values, wanted, atol=rounding)
    for k in (1, 3, 5):
        assert abs(spectrum.moment(k)) < 10 * rounding * (1 + np.abs(wanted).max()) ** k
    assert abs(spectrum.moment(2) - 8 * np.sum(np.arcsinh(s / 2) ** 2)) < 10 * rounding * (1 + wanted[0])


@pytest.mark.parametrize(
    ("sizes", "above", "below"),
    [((7, 3), 3, 3), ((9, 4, 2), 6, 4), ((784, 60, 10), 70, 60), ((5, 5, 5), 10, 5)],
)
def test_number_of_eigenvalues_above_and_below_one(sizes, above, below):
    """Full rank, n_1 >= n_2 >= n_3: n_2 each way for two layers; n_2 + n_3 above and n_2 below for three."""
    net = network(1, sizes)
    spectrum = nt.log_eigenvalues(nt.bulk_hessian(net, net.propagate(draw_inputs(1, sizes[0]))))
    values = np.asarray(spectrum.values)
    assert (values > 1e-12).sum() == above
    assert (values < -1e-12).sum() == below
    assert spectrum.unit_count + (np.abs(values) <= 1e-12).sum() == sum(sizes) - above - below


def test_spectrum_is_invariant_under_rotations_of_the_layers():
    """A_l → O_{l+1} A_l O_lᵀ, and A → -A for layers."""
    rng = np.random.default_rng(0)
    net = network(4, (3, 4, 2), activation=identity)
    rotations = [np.linalg.qr(rng.normal(size=(n, n)))[0] for n in net.sizes]
    turned = [jnp.asarray(rotations[k + 1] @ np.asarray(w) @ rotations[k].T) for k, w in enumerate(net.weights)]
    slopes = tuple(jnp.ones(n) for n in net.sizes[1:])

    def values(weights):
        return nt.log_eigenvalues(nt.LayeredHessian(tuple(weights), slopes)).values

    reference = values(net.weights)
    np.testing.assert_allclose(values(turned), reference, atol=1e-13)
    np.testing.assert_allclose(values([-w for w in net.weights]), reference, atol=1e-13)
    G = nt.LayeredHessian(tuple(turned), slopes)
    assert abs(G.log_det(1.4) - nt.LayeredHessian(net.weights, slopes).log_det(1.4)) < 1e-13


def test_trace_series_of_the_moments():
    """Layers: terms to A⁶, so the remainder is O(A⁸); measured by its slope in the scale of A."""
    rng = np.random.default_rng(5)
    raw = [rng.normal(size=(3, 4)) / 2, rng.normal(size=(3, 3)) / 2, rng.normal(size=(2, 3)) / 2]

    def series(A):
        t = {w: trace_word(A, w) for w in ("ab", "aabb", "abab", "aaabbb", "aababb", "aabbab", "ababab")}
        mixed = t["aababb"] + t["aabbab"]
        return np.array(
            [
                2 * t["ab"] + 2 / 3 * t["aabb"] - t["abab"] / 6 + 2 / 5 * t["aaabbb"] - mixed / 10 + t["ababab"] / 45,
                -3 * t["aabb"] - 5 / 2 * t["aaabbb"] + mixed / 4,
                4 * t["aabb"] + 2 * t["abab"] + 7 * t["aaabbb"] + mixed - t["ababab"] / 3,
            ]
        )

    scales = np.array([0.2, 0.1])
    errors = []
    for scale in scales:
        weights = tuple(jnp.asarray(scale * w) for w in raw)
        G = nt.LayeredHessian(weights, tuple(jnp.ones(w.shape[0]) for w in raw))
        spectrum = nt.log_eigenvalues(G)
        moments = np.array([spectrum.moment(k) for k in (2, 3, 4)])
        errors.append(np.abs(moments - series(np.eye(12) - unreduced(weights))))
    slopes = np.log(errors[0] / errors[1]) / np.log(scales[0] / scales[1])
    assert np.all(np.abs(slopes - 8) < 0.3)  # the next order, A¹⁰, moves a slope by a tenth or two at these scales


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 2))
def test_deep_networks_are_skewed_exactly(seed, scale):
    """Σ 2 sinh(log λ) = -Σ_{k>=2} |A^k|², zero for one link and negative for more."""
    net = network(seed, (3, 4, 2), scale=scale)
    x, spectrum = state_and_spectrum(net, draw_inputs(seed, 3))
    A = np.eye(9) - jacobian(net, x)
    wanted = -(np.linalg.norm(A @ A) ** 2) - np.linalg.norm(A @ A @ A) ** 2
    size = np.exp(np.abs(spectrum.values).max())
    assert abs(jnp.sum(2 * jnp.sinh(spectrum.values)) - wanted) < 100 * EPS * size**2
    assert wanted < 0


@pytest.mark.parametrize("m", [0, 1, 1.0, -1.0])
def test_whole_numbers_of_m(m):
    """Known m = 0 is treated apart, no other number is."""
    net = network(0, (3, 4, 2))
    G = nt.bulk_hessian(net, net.propagate(draw_inputs(0, 3)))
    wanted = np.linalg.slogdet((1 - 0.5 * m) * np.eye(9) + 0.5 * np.asarray(G.to_dense()))[1]
    assert abs(G.log_det(0.5, m) - wanted) < 100 * EPS  # of nine pivots between 0.5 and 4
    assert abs(nt.DenseHessian(G.jacobian).log_det(0.5, m) - wanted) < 100 * EPS


@pytest.mark.parametrize("method", ["layered", "dense"])
def test_states_of_a_traced_network_in_whatever_order(method):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(4, 3)), rng.normal(size=(2, 4))
    net = nt.network_from(lambda v: jnp.sin(second @ jnp.tanh(first @ v)), jnp.asarray([0.3, -0.2, 0.5]))
    x = net.propagate(jnp.asarray([0.3, -0.2, 0.5]))
    G = nt.bulk_hessian(net, x, method=method)
    found = jax.jit(lambda G, x: nt.log_partition(G, 1.4, mean=x))(G, x)  # jit sorts the groups by name
    assert sorted(net.names) != list(net.names)
    for shown in ({name: x[name] for name in names} for names in (net.names, net.names[::-1], sorted(net.names))):
        assert abs(nt.log_partition(G, 1.4, mean=shown) - found) < 100 * EPS * abs(found)  # nine neurons
    in_order = {name: x[name] for name in net.names}
    with pytest.raises(dataclasses.FrozenInstanceError):
        G.groups.names = ()  # compiled programs are kept by it
    plain = G._replace(groups=None)  # which knows no names: as they come
    assert abs(nt.log_partition(plain, 1.4, mean=in_order) - found) < 100 * EPS * abs(found)


def test_bad_arguments():
    net = network(0, (3, 4, 2))
    twin = net.to_septuple()
    with pytest.raises(ValueError, match="`x` must be given unless `slopes` are, but got None"):
        nt.bulk_hessian(net)
    with pytest.raises(ValueError, match="`x` must be given unless `slopes` are, but got None"):
        nt.bulk_hessian(twin)
    with pytest.raises(ValueError, match="`slopes` must be 2 vectors, one a layer after the input, but got 1"):
        nt.bulk_hessian(net, slopes=(jnp.ones(4),))
    with pytest.raises(ValueError, match=r"`slopes` must have shape \(2,\), but got shape \(3,\)"):
        nt.bulk_hessian(net, slopes=(jnp.ones(4), jnp.ones(3)))
    with pytest.raises(ValueError, match=r"`slopes` must have shape \(9,\), but got shape \(8,\)"):
        nt.bulk_hessian(twin, slopes=jnp.ones(8))
    with pytest.raises(TypeError, match="`slopes` must be real, but got dtype complex"):
        nt.bulk_hessian(twin, slopes=jnp.ones(9, complex))
    with pytest.raises(ValueError, match="zip"):
        nt.LayeredHessian(net.weights, (jnp.ones(4),)).log_det(1.0)
    half = jax.tree.map(lambda a: a.astype(jnp.float16), net)
    with pytest.raises(ValueError, match="`net` must be float32 or float64, but got float16: cast"):
        nt.bulk_hessian(half, slopes=(jnp.ones(4), jnp.ones(2)))
    with pytest.raises(TypeError, match="`net` must be a FeedForward, a Septuple or a TracedNetwork, but got Simple"):
        nt.bulk_hessian(types.SimpleNamespace(slopes=None), slopes=jnp.ones(2))
    with pytest.raises(ValueError, match=r"`x` must have layer shapes .* but got"):
        nt.bulk_hessian(net, (jnp.ones(3), jnp.ones(4), jnp.ones(3)))
    with pytest.raises(ValueError, match=r"`x` must have shape \(9,\), but got shape \(8,\)"):
        nt.bulk_hessian(twin, jnp.ones(8))
    for mean in (nt.mean_state, nt.mean_slopes):
        with pytest.raises(ValueError, match=r"`inputs` must have 2 dimensions, but got shape \(3,\)"):
            mean(net, jnp.ones(3))


def test_states_of_another_shape_are_named():
    net = network(1, (4, 3, 2))
    x = net.propagate(draw_inputs(0, 4))
    G = nt.bulk_hessian(net, x)
    R = nt.restrict(G, nt.hidden_neurons(net))
    with pytest.raises(ValueError, match="`mean` must have 3 layer vectors"):
        nt.free_energy(G, 1.4, mean=x[:2])
    with pytest.raises(ValueError, match=r"`mean\[1\]` must have shape \(3,\)"):
        nt.free_energy(G, 1.4, mean=(x[0], x[1][:1], x[2]))
    with pytest.raises(ValueError, match="`mean` must have 3 layer vectors"):
        nt.eigenmodes(G, mean=net.ravel(x))
    with pytest.raises(ValueError, match=r"`x\[0\]` must have shape \(4,\)"):
        nt.free_energy(R, 1.4, mean=R.select(x))
    with pytest.raises(ValueError, match=r"`v\[0\]` must have shape \(0,\)"):
        R.matvec(x)
    with pytest.raises(TypeError, match="`G` must be a Hessian of all neurons"):
        nt.restrict(R, nt.hidden_neurons(net))
    with pytest.raises(ValueError, match="`mean` must be finite"):
        nt.free_energy(G, 1.4, mean=(x[0] * jnp.nan, *x[1:]))
    with pytest.raises(ValueError, match="`G` must be that of one state"):
        nt.LayeredHessian(G.weights, tuple(jnp.stack([d, d]) for d in G.slopes)).log_det(1.0)


def test_float32_networks_keep_their_dtype_whatever_comes_with_them():
    net = network(1, (4, 3, 2), dtype=np.float32)
    G = nt.bulk_hessian(net, slopes=[[1.0, 0.5, 1.0], [1, 1]])
    mean = tuple(np.ones(n) for n in (4, 3, 2))
    assert nt.free_energy(G, 1.4, mean=mean).dtype == jnp.float32
    with pytest.raises(ValueError, match="`beta` must be positive and finite in float32, but got"):
        nt.free_energy(G, 1e39)
    with pytest.raises(ValueError, match="`beta` must be positive and finite in float32, but got 0.0"):
        nt.free_energy(G, 1e-50)
