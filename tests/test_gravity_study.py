"""`nnthermo gravity`: paths against plain loops, space-times against closed forms, verdicts by value, one whole run."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pages import Page

import nnthermo as nt
from nnthermo.experiments.gravity import Settings, gravity, problem
from nnthermo.experiments.gravity.demonstrations import onsager
from nnthermo.experiments.gravity.measuring import Clock, Look, clock_times, measured
from nnthermo.experiments.gravity.report import FIGURES
from nnthermo.experiments.gravity.runs import networks
from nnthermo.experiments.gravity.settings import CLOCKS
from nnthermo.experiments.gravity.statements import CLAIMS, statements

TINY = Settings(samples=40, widths=(2,), hidden=2, duration=4.0, records=7, looks=3, points=3, map_points=5, seeds=(3,))


def test_times_of_records_and_looks():
    assert TINY.elapsed(TINY.end) == pytest.approx(TINY.duration, rel=1e-12)  # log1p and expm1
    assert TINY.kept_at[0] == 0
    assert TINY.kept_at[-1] == pytest.approx(TINY.end, rel=1e-15)
    assert len(TINY.kept_at) == TINY.records
    assert (TINY.look_at > 0).all()
    assert (TINY.look_at < TINY.end).all()
    assert clock_times("temperature", TINY)[1] == pytest.approx(np.log(TINY.beta))
    assert networks(Settings(seeds=(0, 1), widths=(2, 4))) == [
        ("image", 20, 0), ("image", 20, 1), ("small", 4, 0), ("small", 4, 1), ("small", 2, 0), ("small", 2, 1),
    ]  # fmt: skip


def test_labels_are_principal_components():
    small, image = (problem.make_problem(arm, TINY) for arm in ("small", "image"))
    np.testing.assert_allclose(small.labels.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(small.labels.T @ small.labels / len(small.labels), np.eye(2), atol=1e-12)
    np.testing.assert_array_equal(small.inputs, small.labels)
    # what the two components leave is orthogonal to them
    rest = image.inputs - image.origin - image.labels @ image.directions
    np.testing.assert_allclose(rest @ image.directions.T, 0, atol=1e-10)
    np.testing.assert_allclose(image.labels.std(axis=0), 1, rtol=1e-12)
    assert small.targets.shape == (len(small.inputs), 2)
    assert image.targets.shape == (40, 10)
    with pytest.raises(ValueError, match="`points` must be at most the 2 samples"):
        problem.make_problem("image", dataclasses.replace(TINY, samples=2))


def test_the_path_is_the_gradient_flow():
    """Against Euler steps, whose error halves with the step; the polynomial goes through every record."""
    settings = dataclasses.replace(TINY, duration=1.0)
    data = problem.make_problem("small", settings)
    path = problem.train_path(data, (2, 2, 2), settings, 3)
    first = jax.tree.map(lambda a: a[0], path.networks)
    x, t = jnp.asarray(data.inputs), jnp.asarray(data.targets)

    @jax.jit
    def euler(net, h, steps):
        slope = jax.grad(lambda n: jnp.mean(jax.vmap(lambda x, t: nt.boundary_loss(n, n.propagate(x), t))(x, t)))
        return jax.lax.fori_loop(0, steps, lambda _, n: jax.tree.map(lambda w, g: w - h * g, n, slope(n)), net)

    last = np.asarray(path.networks.weights[0][-1])
    errors = [np.abs(np.asarray(euler(first, 1 / k, k).weights[0]) - last).max() for k in (400, 800)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)
    assert errors[0] < 1e-3
    assert (np.diff(path.losses) < 0).all()
    for k, time in enumerate(path.times):
        at = problem.network_at(path.networks, jnp.asarray(path.times), jnp.asarray(time))
        np.testing.assert_allclose(at.weights[1], path.networks.weights[1][k], atol=1e-13)
    # four of seven records leave a cubic: what it misses is the size of the next order, not rounding
    assert 1e-6 < path.interpolation_error < 0.1
    more = problem.train_path(data, (2, 2, 2), dataclasses.replace(settings, records=25), 3)
    assert more.interpolation_error < 1e-3 * path.interpolation_error  # spectral: thirteen instead of four
    np.testing.assert_allclose(more.coarse.weights[0], more.networks.weights[0], atol=2 * more.interpolation_error)


def test_space_time_of_a_linear_network_is_known():
    """Linear neurons with log β as time: g = -½Tr(βĜM⁻¹)² dt² + JᵀMJ dy dy, a Bianchi metric of three dimensions.

    With one time T all of it follows from N(t) and h_ij(t): K^i_j = ½ h^ik dh_kj/dτ, and
    R = K^i_j K^j_i + K² + 2 dK/dτ.
    """
    rng = np.random.default_rng(1)
    W, V = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    net = nt.FeedForward([W, V], [np.zeros(2), np.zeros(2)], activation=lambda z: z)
    stacked = jax.tree.map(lambda a: jnp.stack([a] * 4), net)
    data = problem.Problem(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(2), np.eye(2))
    clock = Clock(*(jnp.asarray(np.float64(v)) for v in (0.0, 0.3, 1.0, 0.0, 1.0)))
    points = np.column_stack([np.linspace(-1, 1.5, 64), rng.normal(size=(64, 2))])
    found = measured(stacked, np.linspace(0, 1, 4), data, clock, points, "small")
    assert set(found) == set(Look._fields)
    B = np.eye(4)
    B[2:, :2] = -V
    G, J = B.T @ B, np.concatenate([W, V @ W])

    def slices(t):
        """N, h and S at t."""
        M = np.eye(4) + np.exp(t) * G
        K = np.exp(t) * G @ np.linalg.inv(M)
        S = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.linalg.inv(M))[1]
        return np.sqrt(0.5 * np.trace(K @ K)), J.T @ M @ J, S, -0.5 * np.trace(K)

    def extrinsic(t, e=1e-5):
        """K^i_j; h is 1 + eᵗ times constants, so that its slope is exact but for rounding."""
        lapse, h, *_ = slices(t)
        return np.linalg.solve(h, slices(t + e)[1] - slices(t - e)[1]) / (4 * e * lapse)

    for k, (t, *_) in enumerate(points[::7]):
        at = {name: value[7 * k] for name, value in found.items()}
        lapse, h, S, slope = slices(t)
        fisher = np.zeros((3, 3))
        fisher[0, 0], fisher[1:, 1:] = lapse**2, h
        np.testing.assert_allclose(at["fisher"], fisher, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose((at["entropy"], at["entropy_slope"]), (S, slope), rtol=1e-12)
        # fixed inputs rest in the slices: time-like, geodesic
        np.testing.assert_allclose((at["time_like"], at["determinant"], at["turning"]), (-1, -1, 0), atol=1e-11)
        K, e = extrinsic(t), 1e-4
        rate = (np.trace(extrinsic(t + e)) - np.trace(extrinsic(t - e))) / (2 * e * lapse)
        R = np.trace(K @ K) + np.trace(K) ** 2 + 2 * rate
        np.testing.assert_allclose(at["scalar"], R, rtol=1e-5)  # e² and rounding over e² of two nested differences
        np.testing.assert_allclose(at["cosmological_constant"], at["scalar"] / 6, rtol=1e-12)
        # Gauss and Codazzi: G(n, n) = ½(K² - K^i_j K^j_i) with flat slices
        np.testing.assert_allclose(at["energy"], (np.trace(K) ** 2 - np.trace(K @ K)) / 2, rtol=1e-7)
        # R^i_j = dK^i_j/dτ + K K^i_j and R^0_0 = dK/dτ + K^i_j K^j_i, in frames that F and g share
        mixed = (extrinsic(t + e) - extrinsic(t - e)) / (2 * e * lapse) + np.trace(K) * K
        late = rate + np.trace(K @ K)
        size = late**2 + np.trace(mixed @ mixed)
        free = (late - R / 3) ** 2 + np.trace((mixed - R / 3 * np.eye(2)) @ (mixed - R / 3 * np.eye(2)))
        np.testing.assert_allclose(
            at["residual"], np.sqrt(free / size), rtol=1e-4
        )  # as R, and a difference of its parts


def made_up(times=5, points=20, **changes):
    """A run in which every claim holds."""
    full = np.ones((times, points))
    run = {"losses": np.ones(3), "labels": np.zeros((points, 2)), "neurons": np.asarray(4)}
    for clock in CLOCKS:
        run |= {
            f"{clock}_entropy": -np.arange(times)[:, None] * full, f"{clock}_entropy_slope": -full,
            f"{clock}_time_like": -full, f"{clock}_residual": 0.01 * full, f"{clock}_scalar": full,
            f"{clock}_cosmological_constant": full, f"{clock}_energy": full, f"{clock}_turning": 1e-3 * full,
            f"{clock}_map_scalar": np.full((3, 3), np.nan), f"{clock}_scalar_error": np.asarray(0.01),
        }  # fmt: skip
    return run | changes


KNOWN = {
    "torus: ∫√g R/2": -0.2, "torus: the same from the printed Onsager tensor": -0.2,
    "torus: the same from the corrected Onsager tensor, error": 1e-17,
    "Onsager: reciprocity as stated, violation": 0.0, "Onsager: reciprocity as printed, violation": 0.5,
    "Onsager: positive eigenvalues in a space-time": 40.0, "Onsager: negative eigenvalues in a space-time": 0.0,
    "duality: a": 1e-15, "duality: least eigenvalue": 0.5,
}  # fmt: skip

SETTINGS = Settings(widths=(2, 4), looks=5, seeds=(0, 1))


def verdicts(change=None, **numbers):
    """Of runs of two widths, Λ going with 1/N, in which one field is changed."""
    full = np.ones((5, 20))
    runs = {
        f"small-{w}": [
            made_up(**{f"{c}_cosmological_constant": 0.5 / (w + 2) * full for c in CLOCKS}, **(change or {}))
            for _ in range(2)
        ]
        for w in (2, 4)
    } | {"image-20": [made_up(**(change or {})) for _ in range(2)]}
    return {s.key: s.verdict for s in statements(runs, {**KNOWN, **numbers}, SETTINGS)}


def test_reciprocity_is_that_of_the_printed_tensor():
    """(12.9) obeys the relation in words by itself, and (12.7) as printed by half; symmetrised it would be 0 and 1."""
    found = onsager()
    assert found["Onsager: reciprocity as stated, violation"] == 0
    assert found["Onsager: reciprocity as printed, violation"] == pytest.approx(0.5)


def test_verdicts_follow_the_numbers():
    full = np.ones((5, 20))
    assert set(verdicts().values()) == {"agrees"}
    assert set(verdicts()) == {claim.key for claim in CLAIMS}
    changes = {
        "second law": {"entropy_entropy": np.arange(5)[:, None] * full}, "time": {"entropy_time_like": 0.1 * full},
        "cooling": {"temperature_time_like": full}, "geodesics": {"training_turning": full},
        "Einstein's equations": {"entropy_residual": 0.5 * full}, "energy": {"entropy_energy": -full},
    }  # fmt: skip
    for key, change in changes.items():
        found = verdicts(change)
        assert found.pop(key) != "agrees", key
        assert set(found.values()) == {"agrees"}, key
    numbers = {
        "Onsager tensor": "torus: the same from the printed Onsager tensor",
        "reciprocity": "Onsager: reciprocity as stated, violation",
        "dissipation": "Onsager: negative eigenvalues in a space-time",
        "duality": "duality: a",
    }  # fmt: skip
    for key, name in numbers.items():
        found = verdicts(**{name: 1.0})
        assert found.pop(key) != "agrees", key
        assert set(found.values()) == {"agrees"}, key
    assert verdicts({"entropy_scalar": full * np.nan})["time"] == "not tested"
    # one seed of two outside: partly
    mixed = {"small-2": [made_up(), made_up(entropy_time_like=full)]}
    assert {s.key: s.verdict for s in statements(mixed, KNOWN, SETTINGS)}["time"] == "partly"


def test_lambda_must_go_with_one_over_n():
    full = np.ones((5, 20))
    runs = {f"small-{w}": [made_up(**{f"{c}_cosmological_constant": full for c in CLOCKS})] for w in (2, 4)}
    assert {s.key: s.verdict for s in statements(runs, KNOWN, SETTINGS)}["Λ and N"] == "disagrees"
    del runs["small-4"]  # one size, as in the quick run, says nothing of powers
    assert {s.key: s.verdict for s in statements(runs, KNOWN, SETTINGS)}["Λ and N"] == "not tested"


@pytest.mark.slow
def test_a_tiny_run_from_networks_to_the_report(tmp_path, in_this_process):
    told = []
    options = {"workers": 1, "command": "nnthermo gravity", "report": lambda *message: told.append(message)}
    results = gravity(TINY, tmp_path / "out", **options)
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert [run["network"] for run in results["runs"]] == ["image-2", "small-2"]
    for name in ("image-2-3", "small-2-3"):
        done = [d for n, d, total in told if n == name]
        assert done == sorted(done)
        assert done[-1] == next(total for n, _, total in told if n == name) == (3 + 2) * 9 + 3 * 25
    with np.load(tmp_path / "out" / "runs" / "small-2-3.npz") as run:
        assert (run["temperature_entropy_slope"] < 0).all()  # -½ Tr βĜM⁻¹
        np.testing.assert_allclose(run["training_determinant"], -1, rtol=1e-9)  # one sign turned, whatever the clock
        # what is measured at the same point by both clocks of training
        np.testing.assert_allclose(run["training_fisher"], run["entropy_fisher"], rtol=1e-12)
    text = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text
    for title, *_ in FIGURES.values():
        assert title in text
    for claim in CLAIMS:
        assert claim.claim.replace("-", "\N{MINUS SIGN}") in text.replace("-", "\N{MINUS SIGN}")
    known = results["demonstrations"]
    assert known["ring: largest |telegraph equation| with switching"] < 1e-13
    assert known["duality: S - (-∫ p log p)"] < 1e-8
    assert known["Gaussian neurons: largest distance of geodesics from the sinh law"] < 1e-11
    assert known["Kerr: relative error of R_abcd R^abcd"] < 1e-12
    assert known["Kerr: largest relative change of energy and angular momentum of light"] < 1e-10
    assert known["torus: the same from the corrected Onsager tensor, error"] < 1e-12
    assert abs(known["torus: the same from the printed Onsager tensor"] - known["torus: ∫√g R/2"]) > 0.1
    assert known["duality: Fisher metric - covariance of (-H, x)"] < 1e-8  # two quadratures, poles of tanh at π/2
    again = gravity(TINY, tmp_path / "out", resume=True, **options)
    assert again["statements"] == results["statements"]
