"""-ΔF as a loss: its values, its gradients by finite differences, and that Optax lowers it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import central_difference, draw_inputs, graph, network

import nnthermo as nt

COORDINATES = ("eigenvalues", "log_eigenvalues", "weights")
destruction = jax.jit(nt.entropy_destruction, static_argnames="coordinates")


@pytest.mark.parametrize("layered", [True, False])
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-2, 2), share=st.floats(-1, 0.9))
def test_values_are_those_of_the_laplacians(layered, seed, log_beta, share):
    net, beta = network(seed, (6, 3, 2)) if layered else graph(seed, 5), 10.0**log_beta
    x = net.propagate(draw_inputs(seed, net.input_size))
    spectrum = values(nt.bulk_hessian(net, x))
    m = share * (float(jnp.exp(spectrum.values.min())) + (1 / beta if share > 0 else 0))
    m = min(m, share) if share > 0 else m
    wanted = {
        "eigenvalues": -nt.eigenvalue_laplacian(spectrum, beta, m=m),
        "log_eigenvalues": -nt.log_eigenvalue_laplacian(spectrum, beta, m=m),
        "weights": -nt.weight_laplacian(net, x, beta, m=m),
    }
    for name, value in wanted.items():
        # as 1 - βm + βλ loses digits for m near λ_min + 1/β: 10 of them remain, and of the weights' sum its terms
        assert abs(destruction(net, x, beta, m=m, coordinates=name) - value) < 1e-9 * abs(value)


values = jax.jit(nt.log_eigenvalues)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scale", [0.0, 0.9])
def test_gradients_in_network_state_and_beta(coordinates, scale):
    """At scale 0 every eigenvalue is 1. Central differences of step 1e-5: 1e-10 of third derivatives."""
    net, beta = network(5, (6, 3, 2), scale=scale), 1.3
    x = net.propagate(draw_inputs(5, 6))
    at = (net, x, jnp.asarray(beta))
    found = jax.jit(jax.grad(lambda *a: nt.entropy_destruction(*a, coordinates=coordinates, m=0.05), (0, 1, 2)))(*at)
    rng = np.random.default_rng(0)
    for part in range(3):
        along = jax.tree.map(lambda v: jnp.asarray(rng.normal(size=v.shape)), at[part])

        def moved(h, part=part, along=along):
            point = list(at)
            point[part] = jax.tree.map(lambda v, d: v + h * d, at[part], along)
            return destruction(*point, m=0.05, coordinates=coordinates)

        inner = sum(float(jnp.vdot(a, b)) for a, b in zip(*map(jax.tree.leaves, (found[part], along)), strict=True))
        wanted = float(central_difference(moved))
        assert abs(inner - wanted) < 1e-7 * (1 + abs(wanted))
    assert abs(wanted) > 1e-3


DATA = (jnp.stack([draw_inputs(k, 4) for k in range(12)]), jnp.tanh(jnp.stack([draw_inputs(k, 2) for k in range(12)])))


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_training_on_it_alone_lowers_it(coordinates):
    net = network(1, (4, 3, 2))

    def loss(net, x, _):
        return nt.entropy_destruction(net, x, 1.0, coordinates=coordinates)

    def watch(net, inputs, _):
        return {"destruction": nt.mean_loss(loss, net, inputs)}

    run = nt.train(net, DATA, key=jax.random.key(0), epochs=40, loss=loss, optimizer=optax.adam(0.02), observe=watch,
                   observe_at=(0, 40))  # fmt: skip
    before, after = run.history["destruction"]
    assert run.finite
    assert after < before - 0.05


def test_mixed_with_the_boundary_loss_it_ends_lower_than_without():
    net, found = network(1, (4, 3, 2)), {}

    def watch(net, inputs, targets):
        return {
            "destruction": nt.mean_loss(lambda n, x, _: nt.entropy_destruction(n, x, 1.0), net, inputs),
            "boundary": nt.mean_loss(nt.boundary_loss, net, inputs, targets),
        }

    for share in (0.0, 3.0):

        def loss(net, x, t, share=share):
            return nt.boundary_loss(net, x, t) + share * nt.entropy_destruction(net, x, 1.0)

        run = nt.train(net, DATA, key=jax.random.key(0), epochs=60, loss=loss, optimizer=optax.adam(0.02),
                       observe=watch, observe_at=(0, 60))  # fmt: skip
        found[share] = run.history
    assert found[3.0]["destruction"][-1] < min(found[3.0]["destruction"][0], found[0.0]["destruction"][-1])
    assert found[0.0]["boundary"][-1] < found[0.0]["boundary"][0]


def test_a_traced_network_has_that_of_its_layers():
    """Rounding only: the same blocks, found by differentiation of the function."""
    net = network(7, (4, 3, 2))
    u = draw_inputs(7, 4)
    twin = nt.network_from(lambda q, x: q.outputs(q.propagate(x)), u, net)
    for name in ("eigenvalues", "log_eigenvalues"):
        wanted = nt.entropy_destruction(net, net.propagate(u), 1.3, coordinates=name)
        assert abs(nt.entropy_destruction(twin, twin.propagate(u), 1.3, coordinates=name) - wanted) < 1e-13 * abs(
            wanted
        )
    with pytest.raises(TypeError, match="`net` must be a FeedForward or a Septuple to have slopes"):
        nt.entropy_destruction(twin, twin.propagate(u), 1.3, coordinates="weights")


def test_dtypes_and_bad_arguments():
    net = network(0, (4, 3, 2), dtype=np.float32)
    x = net.propagate(jnp.ones(4, jnp.float32))
    for name in COORDINATES:
        assert nt.entropy_destruction(net, x, 1.3, m=0.01, coordinates=name).dtype == jnp.float32
        with pytest.raises(ValueError, match="`m` must keep"):
            nt.entropy_destruction(net, x, 1.3, m=50.0, coordinates=name)
        assert np.isnan(destruction(net, x, 1.3, m=50.0, coordinates=name))
        with pytest.raises(ValueError, match="`beta` must be positive, but got 0.0"):
            nt.entropy_destruction(net, x, 0.0, coordinates=name)
        given = nt.entropy_destruction(net, None, 1.3, coordinates=name, slopes=net.slopes(x))
        assert abs(given - nt.entropy_destruction(net, x, 1.3, coordinates=name)) < 1e-6 * abs(given)
    with pytest.raises(
        ValueError, match="`coordinates` must be one of eigenvalues, log_eigenvalues, weights, but got 'w'"
    ):
        nt.entropy_destruction(net, x, 1.3, coordinates="w")
