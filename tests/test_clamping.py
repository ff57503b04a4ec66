"""Which neurons relax, in which coordinates, and how the minimum moves: masks, rings, implicit derivatives, batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnthermo import FeedForward, QuadraticPotential, Septuple, bulk_loss, local_potential, relax

EPS = np.finfo(np.float64).eps
TIGHT = 1e-11
SIZES = (4, 5, 3, 2)


def layered(seed, *, scale=1.0, activation=jnp.tanh, sizes=SIZES):
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [scale * rng.normal(size=s) / np.sqrt(s[1]) for s in shapes]
    return FeedForward(weights, [0.5 * rng.normal(size=s[0]) for s in shapes], activation=activation)


def boundary(seed, sizes=SIZES, samples=()):
    rng = np.random.default_rng(seed + 1000)
    return tuple(jnp.asarray(rng.uniform(-0.9, 0.9, (*samples, n))) for n in (sizes[0], sizes[-1]))


def nothing(sizes=SIZES):
    return [np.zeros(n, bool) for n in sizes]


def linear(y):
    return y


# Clamped neurons of a linear network: the minimum of a quadratic over the rest, by least squares.


def least_squares(net, state, free):
    """x with the clamped neurons of `state`, minimising ½|x - Wx - b|² over the free ones; inputs have no error."""
    graph = net.to_septuple()
    B = np.eye(net.size) - np.asarray(graph.weight)
    rows = np.arange(net.size) >= net.sizes[0]
    B, b = B[rows], np.asarray(graph.bias)[rows]
    x = np.array(net.ravel(state))
    x[free] = 0
    x[free] = np.linalg.lstsq(B[:, free], b - B @ x, rcond=None)[0]
    return x, 0.5 * np.sum((B @ x - b) ** 2)


@pytest.mark.parametrize("coordinates", ["states", "errors"])
@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    pick=st.integers(0, 2),  # each subset compiles anew: three of either share between none and all
)
def test_any_subset_of_a_linear_network(coordinates, seed, share, pick):
    net = layered(seed, activation=linear)
    rng = np.random.default_rng(seed)
    start = net.unravel(jnp.asarray(rng.normal(size=net.size)))
    flat = np.random.default_rng(pick).uniform(size=net.size) < share
    found = subset(coordinates, flat.tobytes())(net, start)
    assert bool(found.converged)
    x, loss = least_squares(net, start, ~flat)
    # the loss lies within |g|²/2λ of its minimum, λ the smallest that is not 0: free inputs may leave flat directions
    np.testing.assert_allclose(found.loss, loss, atol=1e-12)
    relaxed = np.asarray(net.ravel(found.state))
    np.testing.assert_array_equal(relaxed[flat], np.asarray(net.ravel(start))[flat])
    if flat[: SIZES[0]].all():  # then B restricted to the rest has full rank, singular values above 0.05 here
        np.testing.assert_allclose(relaxed, x, atol=1e-7)


_subsets = {}


def subset(coordinates, mask):
    """The relaxation with those neurons clamped, compiled once a mask."""
    key = coordinates, mask
    if key not in _subsets:
        flat = np.frombuffer(mask, bool)
        clamped = tuple(np.split(flat, np.cumsum(SIZES)[:-1]))
        _subsets[key] = lambda net, start: relax(
            net, clamped=clamped, start=start, tolerance=TIGHT, coordinates=coordinates
        )
    return _subsets[key]


@pytest.mark.parametrize("seed", range(6))
def test_states_and_errors_agree_where_the_minimum_is_one(seed):
    """Small weights make H convex: one minimum, whatever the coordinates, and that of the dense twin."""
    net = layered(seed, scale=0.4)
    u, t = boundary(seed, samples=(7,))
    V = QuadraticPotential(0.1)
    found = [relax(net, u, t, potential=V, tolerance=TIGHT, coordinates=c) for c in ("states", "errors")]
    graph = relax(net.to_septuple(), u, t, potential=V, tolerance=TIGHT)
    assert all(bool(f.converged.all()) for f in (*found, graph))
    flat = jax.vmap(net.ravel)
    # |x - x̄| <= |g|/λ_min, above 0.3 here
    np.testing.assert_allclose(flat(found[0].state), flat(found[1].state), atol=1e-9)
    np.testing.assert_allclose(flat(found[0].state), graph.state, atol=1e-9)
    np.testing.assert_allclose(found[0].loss, graph.loss, atol=1e-13)


def test_coordinates_are_chosen_by_the_widths():
    """Errors where outputs are few and layers too: then as many steps as asked for by name."""
    wide, narrow = (layered(0, sizes=s, scale=1.5) for s in ((6, 40, 40, 3), (6, 8, 7, 3)))
    for net, name in ((wide, "errors"), (narrow, "states")):
        u, t = boundary(1, sizes=net.sizes)
        steps = {c: int(relax(net, u, t, coordinates=c).steps) for c in (None, "states", "errors")}
        assert steps[None] == steps[name]
        assert steps["states"] != steps["errors"]


# Generation, completion, rings.


def test_inputs_are_generated_from_targets():
    """With the inputs free the errors can vanish: any input that gives the target is a minimum, H = 0."""
    net = layered(2, sizes=(6, 5, 2))
    target = net.propagate(jnp.full(6, 0.3))[-1]
    found = relax(net, None, target, start=net.propagate(jnp.zeros(6)), tolerance=TIGHT)
    assert bool(found.converged)
    assert float(found.loss) < 1e-20  # |g|²/2λ
    np.testing.assert_allclose(net.propagate(found.state[0])[-1], target, atol=1e-9)
    with pytest.raises(ValueError, match="`start` must be given where `inputs` are not, but got None"):
        relax(net, None, target)


def test_completion_keeps_what_is_known_of_each_sample():
    net = layered(3)
    u, _ = boundary(3, samples=(5,))
    start = jax.vmap(net.propagate)(u)
    clamped = nothing()
    clamped[0][:2] = True
    clamped[3][:] = True
    found = relax(net, clamped=tuple(clamped), start=start, tolerance=1e-9)
    assert found.loss.shape == (5,)
    np.testing.assert_array_equal(found.state[0][:, :2], u[:, :2])
    np.testing.assert_array_equal(found.state[3], start[3])
    assert bool(found.converged.all())
    assert float(found.loss.max()) < 1e-30  # it begins at a fixed state: r is 0 or a few ulp, as the compiler fuses
    assert int(found.steps.max()) == 0


@given(seed=st.integers(0, 10**6), m=st.sampled_from([0.0, 0.2]))
def test_a_ring_is_its_input_twice(seed, m):
    """With inputs given, the periodic boundary is the auto-encoder's: targets that equal the inputs."""
    net = layered(seed, sizes=(4, 3, 4))
    u, _ = boundary(seed, sizes=(4, 4))
    ring, twice = ring_and_twice(net, u, m)
    assert bool(ring.converged)
    np.testing.assert_allclose(ring.loss, twice.loss, atol=1e-12)
    np.testing.assert_allclose(ring.state[2], u, atol=0)


@jax.jit
def ring_and_twice(net, u, m):
    V = QuadraticPotential(m)
    return (
        relax(net, u, periodic=True, potential=V, tolerance=TIGHT),
        relax(net, u, u, potential=V, tolerance=TIGHT, coordinates="states"),
    )


def test_a_free_ring_is_stationary_in_its_own_variables():
    """Inputs partly free: the gradient along moves of input and output together vanishes, each alone does not."""
    net = layered(5, sizes=(4, 3, 4), scale=1.5)
    u, _ = boundary(5, sizes=(4, 4))
    start = net.propagate(u)
    clamped = [np.arange(4) < 2, np.zeros(3, bool), np.zeros(4, bool)]
    found = relax(net, periodic=True, clamped=tuple(clamped), start=start, tolerance=1e-10)
    assert bool(found.converged)
    np.testing.assert_array_equal(found.state[0], found.state[2])
    np.testing.assert_array_equal(found.state[0][:2], u[:2])
    g = jax.grad(lambda x: bulk_loss(net, x))(found.state)
    np.testing.assert_allclose((g[0] + g[2])[2:], 0, atol=1e-10)
    np.testing.assert_allclose(g[1], 0, atol=1e-10)
    assert float(jnp.max(jnp.abs(g[2][2:]))) > 1e-3


# Derivatives of the minimum.


def moved(make, value, step):
    return (make(value + step) - make(value - step)) / (2 * step)


STEP = 1e-5
FINITE = 1e-6  # step² × third derivatives, and tolerance / step


@pytest.mark.parametrize("coordinates", ["states", "errors"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.exhaustive) for k in (1, 2))])
def test_implicit_derivatives_of_the_state(coordinates, seed):
    """In weights, data, targets and m, forward and reverse, against finite differences."""
    net = layered(seed)
    u, t = boundary(seed)
    rng = np.random.default_rng(seed)
    d_net = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), net)
    d_u, d_t = (jnp.asarray(rng.normal(size=a.shape)) for a in (u, t))
    read = jnp.asarray(rng.normal(size=net.size))

    @jax.jit
    def code(n, v, w, m):
        found = relax(n, v, w, potential=QuadraticPotential(m), tolerance=TIGHT, coordinates=coordinates)
        return jnp.vdot(read, net.ravel(found.state) ** 2)

    def along(s):
        moved_net = jax.tree.map(lambda a, d: a + s * d, net, d_net)
        return code(moved_net, u + s * d_u, t + s * d_t, 0.1 + 0.3 * s)

    expected = float(moved(along, 0.0, STEP))
    tangents = (d_net, d_u, d_t, 0.3)
    forward = jax.jvp(code, (net, u, t, 0.1), tangents)[1]
    np.testing.assert_allclose(forward, expected, rtol=FINITE, atol=FINITE)
    pulled = jax.grad(code, argnums=(0, 1, 2, 3))(net, u, t, 0.1)
    total = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(pulled), jax.tree.leaves(tangents), strict=True))
    np.testing.assert_allclose(total, forward, rtol=1e-8)  # the same linear systems, transposed


def test_implicit_derivative_of_a_graph_with_cycles():
    rng = np.random.default_rng(4)
    w = rng.normal(size=(6, 6))
    index = np.arange(6)
    net = Septuple(
        0.7 * w / np.linalg.norm(w, 2), 0.3 * rng.normal(size=6), activation=jnp.tanh,
        input_mask=index < 2, output_mask=index == 5,
    )  # fmt: skip

    def code(b):
        graph = Septuple(net.weight, b, activation=jnp.tanh, input_mask=index < 2, output_mask=index == 5)
        return jnp.sum(relax(graph, jnp.array([0.3, -0.4]), jnp.array([0.5]), tolerance=TIGHT).state ** 2)

    d = jnp.asarray(rng.normal(size=6))
    expected = moved(lambda s: code(net.bias + s * d), 0.0, STEP)
    np.testing.assert_allclose(jnp.vdot(jax.grad(code)(net.bias), d), expected, rtol=FINITE)


def test_numbers_that_a_potential_closes_over_are_differentiated_and_mapped():
    net = layered(6)
    u, t = boundary(6, samples=(4,))

    def mean(a):
        V = local_potential(lambda v: a * v**2)
        return jnp.mean(jax.vmap(lambda v, w: relax(net, v, w, potential=V, tolerance=TIGHT).loss)(u, t))

    value, slope = jax.value_and_grad(mean)(0.3)
    np.testing.assert_allclose(slope, moved(mean, 0.3, STEP), rtol=FINITE)
    many = jax.vmap(mean)(jnp.array([0.1, 0.3]))
    np.testing.assert_allclose(many[1], value, rtol=1e-12)


def test_derivative_of_the_loss_is_the_explicit_one():
    """Envelope theorem, through `relax` itself."""
    net = layered(7)
    u, t = boundary(7)
    pulled = jax.jit(jax.grad(lambda n: relax(n, u, t, tolerance=TIGHT).loss))(net)
    state = relax(net, u, t, tolerance=TIGHT).state
    explicit = jax.jit(jax.grad(lambda n: bulk_loss(n, state)))(net)
    for a, b in zip(jax.tree.leaves(pulled), jax.tree.leaves(explicit), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)  # the same expression, rounded in another order


def test_derivatives_of_what_did_not_converge_are_nan():
    net = layered(8, scale=2.0)
    u, t = boundary(8)
    short = jax.jit(jax.grad(lambda n: jnp.sum(relax(n, u, t, tolerance=TIGHT, max_steps=2).state[1])))(net)
    assert all(bool(jnp.isnan(leaf).all()) for leaf in jax.tree.leaves(short))
    loss = jax.jit(jax.grad(lambda n: relax(n, u, t, tolerance=TIGHT, max_steps=2).loss))(net)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(loss))


# Batches.


@pytest.mark.parametrize("coordinates", ["states", "errors"])
def test_samples_do_not_know_of_each_other(coordinates):
    """Alone, in company, mapped, in chunks: the same to rounding, however slow the others are."""
    net = layered(9, scale=1.0)
    u, t = boundary(9, samples=(300,))
    u = u.at[::7].multiply(30.0)  # saturated ones are slow
    options = {"tolerance": 1e-10, "coordinates": coordinates}
    together = relax(net, u, t, **options)
    mapped = jax.vmap(lambda v, w: relax(net, v, w, **options))(u, t)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(mapped), strict=True):
        np.testing.assert_array_equal(a, b)
    assert bool(together.converged.all())
    for k in (0, 1, 255, 256, 299):
        alone = relax(net, u[k], t[k], **options)
        np.testing.assert_allclose(alone.loss, together.loss[k], atol=1e-14)  # |g|²/2λ, and products of other widths


def test_mapped_over_networks_as_well():
    """Seeds × samples, as in a training run of several seeds at once."""
    nets = [layered(k) for k in range(3)]
    u, t = boundary(10, samples=(4,))
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *nets)
    found = jax.jit(jax.vmap(lambda n: jax.vmap(lambda v, w: relax(n, v, w, tolerance=1e-9))(u, t)))(stacked)
    assert bool(found.converged.all())
    for k, net in enumerate(nets):
        np.testing.assert_allclose(found.loss[k], relax(net, u, t, tolerance=1e-9).loss, atol=1e-14)


# Edges.


@pytest.mark.parametrize("coordinates", ["states", "errors"])
def test_all_neurons_clamped(coordinates):
    net = layered(11)
    start = net.unravel(jnp.asarray(np.random.default_rng(11).normal(size=net.size)))
    full = tuple(np.ones(n, bool) for n in SIZES)
    found = relax(net, clamped=full, start=start, coordinates=coordinates)
    assert (int(found.steps), bool(found.converged), float(found.gradient_norm)) == (0, True, 0.0)
    np.testing.assert_allclose(found.loss, bulk_loss(net, start), rtol=4 * EPS)


@pytest.mark.parametrize("scale", [20.0, 1e3])
def test_saturated_weights_claim_nothing_that_is_false(scale):
    """tanh so steep that it is a step: a state or an honest report, never NaN."""
    net = layered(12, scale=scale)
    u, t = boundary(12, samples=(50,))
    found = relax(net, u, t, tolerance=1e-6, max_steps=2000)
    start = jax.vmap(lambda v, w: bulk_loss(net, net.clamp(net.propagate(v), v, w)))(u, t)
    assert bool(jnp.isfinite(found.loss).all())
    assert bool((found.loss <= start * (1 + 1e-12)).all())
    g = jax.vmap(jax.grad(lambda x: bulk_loss(net, x)))(found.state)
    free = jnp.max(jnp.concatenate([jnp.abs(g[1]), jnp.abs(g[2])], axis=1), axis=1)
    claimed = np.asarray(free[found.converged])
    assert (claimed <= 1e-6 + 100 * EPS * scale**2).all()  # recomputed in another order of sums


def test_kinks_end_without_a_claim_and_without_all_the_steps():
    """Minima of ReLU networks often lie where a neuron switches: the gradient jumps there and does not vanish."""
    net = layered(13, sizes=(10, 12, 8, 4), activation=jax.nn.relu)
    u, t = boundary(13, sizes=net.sizes, samples=(40,))
    found = relax(net, u, t, tolerance=1e-8)
    start = jax.vmap(lambda v, w: bulk_loss(net, net.clamp(net.propagate(v), v, w)))(u, t)
    assert bool((found.loss <= start).all())
    assert float(jnp.mean(found.loss)) < 0.9 * float(jnp.mean(start))
    assert bool((found.converged == (found.gradient_norm <= 1e-8)).all())
    assert int(found.steps.max()) < 3000


@pytest.mark.parametrize("m", [0.99, 0.9999])
def test_curvature_near_its_bound(m):
    """m → 1: H still has a minimum for tanh, far out, and it is found."""
    net = layered(14)
    u, t = boundary(14, samples=(20,))
    found = relax(net, u, t, potential=QuadraticPotential(m), tolerance=1e-6)
    # states of 1/(1 - m) round the gradient by as many ε, and valleys are as flat: nearly all get there, others say so
    assert float(found.converged.mean()) >= (1.0 if m < 0.999 else 0.9)
    assert bool((found.converged == (found.gradient_norm <= 1e-6)).all())
    # at the minimum (1 - m) x = f - Wᵀf'r..., so |x| <= (1 + |W|² (1 + |x_out|)) / (1 - m) roughly
    assert float(jnp.max(jnp.abs(found.state[1]))) < 100 / (1 - m)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"clamped": (np.ones(4), np.ones(5), np.ones(3), np.ones(2))}, "`clamped` must hold booleans of shapes"),
        ({"clamped": (np.ones(4, bool),)}, "`clamped` must hold booleans of shapes"),
        ({"periodic": True}, "`periodic` must be for as many outputs as inputs"),
        ({"coordinates": "errors_"}, "`coordinates` must be one of"),
        ({"max_steps": 0}, "`max_steps` must be positive, but got 0"),
    ],
)
def test_refusals(change, sentence):
    net = layered(15)
    with pytest.raises(ValueError, match=sentence):
        relax(net, boundary(15)[0], **change)


def test_errors_are_for_layers():
    net = layered(16)
    with pytest.raises(ValueError, match="`coordinates` must be one of"):
        relax(net.to_septuple(), boundary(16)[0], coordinates="errors")
    ring = layered(16, sizes=(3, 3))
    with pytest.raises(ValueError, match="`targets` must be left out if `periodic`, but got both"):
        relax(ring, jnp.zeros(3), jnp.zeros(3), periodic=True)


def test_where_it_began_is_told():
    net = layered(17)
    u, t = boundary(17)
    found = relax(net, u, t)
    for a, b in zip(found.start, net.clamp(net.propagate(u), u, t), strict=True):
        np.testing.assert_array_equal(a, b)
