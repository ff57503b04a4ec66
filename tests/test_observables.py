"""`measure` and the observer of `train`: each field against the function or the loop that defines it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import (
    Gaussian,
    condition,
    draw_inputs,
    fixed_state,
    flat,
    graph,
    identity,
    jacobian,
    jit,
    network,
    shifted,
)

import nnthermo as nt

measured = jit(lambda net, x, beta, m: nt.measure(net, x, beta, m=m))
with_slopes = jax.jit(lambda net, x, beta, slopes: nt.measure(net, x, beta, slopes=slopes))


def separately(G, x, beta, m):
    """Every field by its own function."""
    spectrum = nt.log_eigenvalues(G)
    exact = nt.decompose(spectrum, beta)
    return {
        "log_partition": nt.log_partition(G, beta, m=m, mean=x),
        "free_energy": nt.free_energy(G, beta, m=m, mean=x),
        "average_loss": nt.average_loss(G, beta, m=m, mean=x),
        "entropy": nt.entropy(G, beta, m=m, mean=x),
        "heat_capacity": nt.heat_capacity(G, beta, m=m, mean=x),
        "log_partition_without_mean": nt.log_partition(G, beta, m=m),
        "complexity": nt.complexity(spectrum, beta),
        "thermodynamic_entropy": nt.thermodynamic_entropy(spectrum, beta),
        "displaced_count": nt.displaced_count(spectrum, beta),
        "smooth_complexity": exact.complexity,
        "smooth_thermodynamic_entropy": exact.thermodynamic_entropy,
        "effective_count": exact.effective_count,
        "laplacian": nt.eigenvalue_laplacian(spectrum, beta, m=m),
        "mu2": spectrum.moment(2),
        "mu3": spectrum.moment(3),
        "mean_square": spectrum.mean_moment(2),
        "mean_cube": spectrum.mean_moment(3),
        "skewness": spectrum.skewness(),
        "log_eigenvalues": spectrum.values,
    }


def by_hand(net, x, beta, m):
    """Every field from dense NumPy and the formula of its docstring."""
    B = jacobian(net, x)
    about, plain = Gaussian(B, flat(x), beta, m), Gaussian(B, np.zeros(len(B)), beta, m)
    values = 2 * np.log(np.linalg.svd(B, compute_uv=False))
    lam, n = np.exp(values), len(values)
    dynamical = values if isinstance(net, nt.Septuple) else values[np.abs(values) > 1e-12]
    gauge = 0.5 * n * np.log(2 * np.pi)
    s = beta * lam / (1 + beta * lam)
    h = -s * np.log(s) - (1 - s) * np.log(1 - s)
    above = values[values > -np.log(beta)]
    return {
        "log_partition": about.log_z,
        "free_energy": -about.log_z / beta,
        "average_loss": about.average_loss,
        "entropy": about.log_z + beta * about.average_loss,
        "heat_capacity": beta**2 * about.variance,
        "log_partition_without_mean": plain.log_z,
        "complexity": gauge - 0.5 * above.sum(),
        "thermodynamic_entropy": 0.5 * len(above) * (1 - np.log(beta)),
        "displaced_count": len(above),
        "smooth_complexity": gauge - 0.5 * np.sum(s * values),
        "smooth_thermodynamic_entropy": 0.5 * s.sum() * (1 - np.log(beta)) - 0.5 * h.sum(),
        "effective_count": s.sum(),
        "laplacian": -0.5 * beta * np.sum((1 - beta * m + beta * lam) ** -2.0),
        "mu2": np.sum(values**2),
        "mu3": np.sum(values**3),
        "mean_square": np.mean(dynamical**2),
        "mean_cube": np.mean(dynamical**3),
        "skewness": np.mean(dynamical**3) / np.mean(dynamical**2) ** 1.5,
        "log_eigenvalues": dynamical,
    }


def compare(found, wanted, tolerance):
    assert set(found._fields) == set(wanted)
    for name in found._fields:
        got, expected = np.asarray(getattr(found, name)), np.asarray(wanted[name])
        assert got.shape == expected.shape, name
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=name)


def system(kind):
    layered = network(4, (4, 3, 2), scale=1.5)  # one exact eigenvalue
    net = layered if kind == "layers" else graph(4, 6, cyclic=kind == "cycles", scale=0.9)
    return net, fixed_state(net, draw_inputs(4, net.input_size))


@pytest.mark.parametrize("kind", ["layers", "skip connections", "cycles"])
@pytest.mark.parametrize(("beta", "m"), [(1.4, 0.0), (0.3, -0.4), (30.0, 0.05)])
def test_fields_by_hand(kind, beta, m):
    net, x = system(kind)
    # rounding × condition², the square for second derivatives; cond < 1e2 here
    compare(
        measured(net, x, beta, m),
        by_hand(net, x, beta, m),
        1e-14 * condition(shifted(jacobian(net, x), beta, m)) ** 2,
    )


def test_fields_equal_the_separate_functions():
    net, x = system("cycles")
    G = nt.bulk_hessian(net, x)
    wanted = jax.jit(separately)(G, x, 1.4, 0.1)
    compare(measured(net, x, 1.4, 0.1), wanted, 1e-12)


def test_given_slopes_replace_those_of_the_state():
    net, x = system("cycles")
    slopes = jnp.asarray(np.random.default_rng(0).uniform(0.2, 1, 6))
    found = with_slopes(net, x, 1.4, slopes)
    G = nt.bulk_hessian(net, slopes=slopes)
    compare(found, jax.jit(separately)(G, x, 1.4, 0.0), 1e-12)


def test_batch_of_states_equals_the_loop():
    net, x = system("cycles")
    states = jnp.stack([x, 0.5 * x, x + 0.3])
    batch = jax.jit(jax.vmap(nt.measure, in_axes=(None, 0, None)))(net, states, 1.4)
    for k in range(3):
        compare(jax.tree.map(lambda leaf, k=k: leaf[k], batch), measured(net, states[k], 1.4, 0.0)._asdict(), 1e-12)


def test_gradients_of_the_smooth_fields():
    """Reverse mode through the whole record, against finite differences of the hand-made one."""
    net, x = system("skip connections")
    names = ["entropy", "smooth_complexity", "effective_count", "laplacian", "mu3", "average_loss"]
    direction = jnp.asarray(np.tril(np.random.default_rng(3).normal(size=(6, 6)), -1))
    direction = direction.at[:2].set(0).at[:, 5].set(0)

    def moved(h):
        return nt.Septuple(
            net.weight + h * direction,
            net.bias,
            activation=net.activation,
            input_mask=net.input_mask,
            output_mask=net.output_mask,
        )

    @functools.partial(jax.jit)
    def slopes(net):
        return jax.jacrev(lambda net: jnp.stack([getattr(nt.measure(net, x, 1.4), n) for n in names]))(net)

    found = np.tensordot(slopes(net).weight, direction, 2)
    h = 1e-5
    ends = [np.array([by_hand(moved(s), x, 1.4, 0.0)[n] for n in names]) for s in (h, -h)]
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * h), rtol=1e-7, atol=1e-7)  # h² f''' and eps/h


def test_potential_beyond_the_spectrum_is_refused():
    net, x = system("cycles")
    with pytest.raises(ValueError, match="`m` must keep .* positive definite"):
        nt.measure(net, x, 1.4, m=20.0)
    assert np.isnan(measured(net, x, 1.4, 20.0).log_partition)
    with pytest.raises(ValueError, match="`beta` must be positive, but got"):
        nt.measure(net, x, 0.0)


def test_float32_in_float32_out():
    """Every field but the count, with β a Python number in a process whose default is float64."""
    net, x = system("cycles")
    narrow = jax.tree.map(lambda a: a.astype(jnp.float32), (net, x))
    found = measured(*narrow, 1.4, 0.0)
    for name in found._fields:
        wanted = jnp.integer if name == "displaced_count" else jnp.float32
        assert jnp.issubdtype(getattr(found, name).dtype, wanted), name
    # ε cond² with cond ~ 10; sums of order 10
    compare(jax.tree.map(lambda a: a.astype(jnp.float64), found), by_hand(net, x, 1.4, 0.0), 1e-4)


def test_observer_by_hand():
    """A linear network, whose clamped minimum is H* = ½eᵀS⁻¹e, S = I + W₂W₂ᵀ."""
    layers = network(2, (3, 4, 2), activation=identity, bias=0.5)
    net = layers.to_septuple()
    rng = np.random.default_rng(2)
    inputs, targets = jnp.asarray(rng.normal(size=(5, 3))), jnp.asarray(rng.normal(size=(5, 2)))
    observer = jax.jit(nt.thermodynamic_observer(beta=1.7, m=0.05, relaxed_samples=3, max_steps=500))
    found = observer(net, inputs, targets)
    w1, w2 = (np.asarray(w) for w in layers.weights)
    b1, b2 = (np.asarray(b) for b in layers.biases)
    S = np.eye(2) + w2 @ w2.T
    losses, relaxed, right, states = [], [], 0, []
    for u, t in zip(np.asarray(inputs), np.asarray(targets), strict=True):
        hidden = w1 @ u + b1
        out = w2 @ hidden + b2
        losses.append(0.5 * np.sum((out - t) ** 2))
        relaxed.append(0.5 * (t - out) @ np.linalg.solve(S, t - out))
        right += int(np.argmax(out) == np.argmax(t))
        states.append(np.concatenate([u, hidden, out]))
    assert abs(found["boundary_loss"] - np.mean(losses)) < 1e-13
    assert abs(found["relaxed_boundary_loss"] - np.mean(losses[:3])) < 1e-13
    assert abs(found["bulk_loss"] - np.mean(relaxed[:3])) < 1e-13  # tolerance 1.5e-8 on the gradient, squared
    assert abs(found["median_boundary_loss"] - np.median(losses)) < 1e-13
    assert abs(found["median_bulk_loss"] - np.median(relaxed[:3])) < 1e-13
    assert found["accuracy"] == right / 5
    assert found["unrelaxed"] == 0
    mean = net.unravel(jnp.asarray(np.mean(states, axis=0)))
    wanted = by_hand(net, mean, 1.7, 0.05)
    compare(nt.Observables(**{k: found[k] for k in nt.Observables._fields}), wanted, 1e-11)
    assert set(found) == set(nt.Observables._fields) | {
        "boundary_loss",
        "median_boundary_loss",
        "accuracy",
        "bulk_loss",
        "median_bulk_loss",
        "relaxed_boundary_loss",
        "unrelaxed",
    }


def test_observer_chooses_between_slopes():
    """f'(⟨x⟩) by default, ⟨f'⟩ on request; the spectrum of a float32 network in float64; who did not converge."""
    net = network(2, (3, 4, 2), scale=2.0).to_septuple()
    rng = np.random.default_rng(2)
    inputs, targets = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=(4, 2)))
    narrow = jax.tree.map(lambda a: a.astype(jnp.float32), (net, inputs, targets))
    found = [
        jax.jit(nt.thermodynamic_observer(max_steps=1))(net, inputs, targets),
        jax.jit(nt.thermodynamic_observer(slopes_of_mean=False, max_steps=1, dtype=jnp.float64))(*narrow),
    ]
    mean = nt.mean_state(net, inputs)
    wanted = [
        nt.log_eigenvalues(nt.bulk_hessian(net, mean)).values,
        nt.log_eigenvalues(nt.bulk_hessian(net, slopes=nt.mean_slopes(net, inputs))).values,
    ]
    for got, values, rounding in zip(found, wanted, (1e-12, 1e-5), strict=True):  # weights and slopes in float32
        assert got["log_eigenvalues"].dtype == jnp.float64
        np.testing.assert_allclose(got["log_eigenvalues"], values, atol=rounding)
        assert got["unrelaxed"] == 1
    assert np.abs(wanted[0] - wanted[1]).max() > 0.05
