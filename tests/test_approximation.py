"""How good the Gaussian partition function is: the report against what the audit of the equations found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import LOG_2PI, draw_inputs, identity, network

import nnthermo as nt


@pytest.fixture(scope="module")
def report():
    nets = [network(k, (4, 3, 3), scale=1.5, bias=0.5) for k in range(12)]
    return nt.approximation_report(
        nets, draw_inputs(0, 4), [0.1, 1.0, 10.0, 100.0], key=jax.random.key(0), samples=4000
    )


def test_errors_have_the_size_of_the_audit(report):
    # 4-3-3 tanh, 30 networks of the same scale: win - box .192, .054, -.062, -.114 a neuron at β = .1, 1, 10, 100; the
    # rank correlation of the window .98 to .86; (5.9) - window -.020, -.035, -.018, -.003. 12 others scatter by 0.02
    errors = report.errors()
    assert errors["window"] == pytest.approx([0.192, 0.054, -0.062, -0.114], abs=0.03)
    assert errors["gaussian"] == pytest.approx([-0.020, -0.035, -0.018, -0.003], abs=0.02)
    assert errors["total"] == pytest.approx(errors["window"] + errors["gaussian"], abs=1e-12)
    assert np.abs(errors["gaussian_without_mean"][2:]).min() > 3 * np.abs(errors["gaussian"][2:]).max()
    ranks = report.rankings()
    assert ranks["window"].min() > 0.6
    assert ranks["gaussian"][2] > 0.8
    assert ranks["gaussian_without_mean"][3] < 0.3  # biases make (5.14) useless for comparing networks
    assert report.rankings("window")["gaussian"][3] > 0.9


def test_what_is_dropped_has_its_bound(report):
    assert np.all(report.dropped >= 0)
    nets = [network(k, (4, 3, 3), scale=1.5, bias=0.5) for k in range(12)]
    squares = [float(sum(jnp.sum(v**2) for v in n.propagate(draw_inputs(0, 4)))) for n in nets]
    assert np.all(report.dropped <= 0.5 * np.array(squares)[:, None])
    assert report.gaussian_without_mean - report.gaussian == pytest.approx(report.dropped, abs=1e-12)


@pytest.mark.exhaustive
def test_linear_networks_have_no_gaussian_error():
    nets = [network(k, (3, 4, 2), activation=identity) for k in range(3)]
    found = nt.approximation_report(nets, draw_inputs(0, 3), [0.5, 5.0], key=jax.random.key(0), samples=20_000, m=0.1)
    assert np.all(np.abs(found.gaussian - found.window) < 4.5 * found.window_error)
    assert found.window_error.max() < 0.02
    # the range of the identity is no box at all: the "box" is flat, a linear Gaussian integral without window
    exact = 9 / 2 * (LOG_2PI - np.log(found.betas))
    assert found.neurons == 9
    assert np.all(found.box[:, :1] > exact[:1] - 1e-9)  # m > 0 only adds


@pytest.mark.exhaustive
def test_graphs_with_cycles_need_a_way_to_log_z():
    ring = nt.Septuple(
        jnp.array([[0.0, 0.4], [-0.6, 0.0]]), jnp.array([0.1, 0.2]), activation=jnp.tanh,
        input_mask=np.zeros(2, bool), output_mask=np.array([False, True]),
    )  # fmt: skip
    with pytest.raises(ValueError, match="no cycles"):
        nt.approximation_report(ring, jnp.zeros(0), 1.0, key=jax.random.key(0))
    found = nt.approximation_report(
        ring, jnp.zeros(0), [1.0, 1000.0], key=jax.random.key(0), exact=lambda e, _key: nt.quadrature(e).log_partition
    )
    assert found.box.shape == (1, 2)
    assert abs(found.gaussian[0, 1] - found.window[0, 1]) < 0.01  # one fixed point: O(1/β)
    assert np.isnan(found.rankings()["gaussian"]).all()  # one network has no order


@pytest.mark.exhaustive
def test_clamped_inputs_leave_their_constant():
    net, u = network(5, (2, 3, 2), activation=identity), draw_inputs(5, 2)
    found = nt.approximation_report(net, u, 2.0, key=jax.random.key(1), samples=40_000, m=0.2, clamp_inputs=True)
    assert found.neurons == 5
    assert abs(found.gaussian - found.window)[0, 0] < 4.5 * found.window_error[0, 0] < 0.05


def test_rank_correlation():
    a = np.array([1.0, 2, 2, 5, 4])
    columns = np.stack([a**3, -a, np.arange(5.0), np.ones(5)], axis=1)
    exact, sure = np.repeat(a[:, None], 4, axis=1), np.zeros((5, 4))
    found = nt.Approximation(np.arange(4.0), 1, exact, sure, exact, sure, columns, columns, sure).rankings("window")
    # ranks 0, 1.5, 1.5, 4, 3 and 0, 1, 2, 3, 4: covariance 1.7, variances 1.9 and 2
    assert found["gaussian"][:3] == pytest.approx([1, -1, 1.7 / np.sqrt(1.9 * 2)])
    assert np.isnan(found["gaussian"][3])  # all alike: no order


def test_bad_input_is_named(report):
    net = network(0, (2, 2))
    with pytest.raises(ValueError, match="`networks` must have one number of neurons"):
        nt.approximation_report([net, network(0, (2, 3))], jnp.zeros(2), 1.0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`betas` must be positive"):
        nt.approximation_report(net, jnp.zeros(2), [0.0], key=jax.random.key(0))
    with pytest.raises(ValueError, match="`against` must be box or window"):
        report.rankings("flat")
