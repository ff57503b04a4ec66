"""`nnthermo mechanics`: its ensembles against plain loops, its numbers against closed forms, its verdicts by value."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pages import Page, record

from nnthermo.experiments.mechanics import Settings, gaussian, measuring, runs
from nnthermo.experiments.mechanics.animations import FILMS, films
from nnthermo.experiments.mechanics.demonstrations import double_well, vortices
from nnthermo.experiments.mechanics.ensembles import gaussian_start, trained
from nnthermo.experiments.mechanics.figures import contour_levels, draw
from nnthermo.experiments.mechanics.report import FIGURES, write_report
from nnthermo.experiments.mechanics.statements import CLAIMS, statements

TINY = Settings(
    samples=30, pool=14, hidden=2, replicas=60, steps=10, plane_steps=10, records=3, points=25, planck_times=10,
    planck_batch_sizes=(2,), seeds=(3,), resamples=10, learning_rate=0.2,
)  # fmt: skip


def test_settings_count_weights_and_records():
    assert Settings().parameters == 250  # 49-4-10: 49·4 + 4 + 4·10 + 10
    assert TINY.records_of("plane")[0] == 0
    assert TINY.records_of("weights")[-1] == TINY.steps


def quadratic(q, x, t):
    """A loss whose gradient is linear in q and depends on the sample."""
    return 0.5 * jnp.sum((q - x) ** 2 * t)


def test_ensembles_equal_a_plain_loop_and_go_on_after_a_kill(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(7, 2)), rng.uniform(1, 2, size=(7, 2))
    start, key = jnp.asarray(rng.normal(size=(3, 2))), jax.random.key(1)
    options = {"learning_rate": 0.1, "batch_size": 2, "momentum": 0.5, "look": lambda q: {"q": q}}
    found = trained(quadratic, data, start, key, record_at=(0, 2, 5), **options)["q"]
    q, v, expected = np.array(start), np.zeros((3, 2)), {}
    for k in range(6):
        expected[k] = q.copy()
        chosen = np.asarray(jax.random.randint(jax.random.fold_in(key, k), (3, 2), 0, 7))
        gradient = ((q[:, None] - data[0][chosen]) * data[1][chosen]).mean(1)
        v = 0.5 * v + gradient
        q = q - 0.1 * v
    np.testing.assert_allclose(found, np.stack([expected[k] for k in (0, 2, 5)]), rtol=1e-13)  # rounding of 5 steps
    state = tmp_path / "state.npz"
    trained(quadratic, data, start, key, record_at=(0, 2), state=state, **options)
    resumed = trained(quadratic, data, start + 99, key, record_at=(0, 2, 5), state=state, **options)["q"]
    np.testing.assert_array_equal(resumed, found)


def linear_problem(seed=0, size=4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    return gaussian.Linear(np.sort(rng.uniform(0.01, 0.2, size)), np.eye(size), 1e-3 * root @ root.T)


def test_covariances_solve_their_equations():
    linear = linear_problem()
    rate = np.diag(linear.rates)

    def by_steps(n, part):
        cov = np.diag(np.full(4, 0.3**2))
        for _ in range(n * part):
            cov = (np.eye(4) - rate / part) @ cov @ (np.eye(4) - rate / part) + 2 * linear.diffusion / part
        return cov

    np.testing.assert_allclose(gaussian.discrete_covariance(linear, 0.3, 9), by_steps(9, 1), rtol=1e-12)
    coarse, fine = by_steps(9, 2000), by_steps(9, 4000)
    limit = 2 * fine - coarse  # steps of 1/4000 without their first order; what is left is of order (0.2/2000)²
    np.testing.assert_allclose(gaussian.covariance(linear, 0.3, 9.0), limit, rtol=1e-6, atol=1e-9)


def test_entropy_balance_of_gaussians_and_of_samples():
    linear = linear_problem()
    times = np.linspace(0, 30, 3001)
    covariances = np.stack([gaussian.covariance(linear, 0.3, t) for t in times])
    balance = gaussian.balance(covariances, linear)
    slope = np.gradient(balance.entropy, times)[1:-1]
    np.testing.assert_allclose(slope, (balance.production + balance.learning)[1:-1], atol=3e-6)  # differences: 1e-4 h
    records = np.rint(np.geomspace(1, 3001, 400) - 1).astype(int)  # as records lie: even in log time
    made = gaussian.integrated((balance.production + balance.learning)[records], times[records])
    assert made[-1] == pytest.approx(balance.entropy[-1] - balance.entropy[0], abs=1e-4)  # (log 31 / 400)²
    # estimates from few samples have no bias left: 2000 sets of 12 samples, standard errors of their means
    rng = np.random.default_rng(1)
    exact = covariances[1000]
    drawn = rng.multivariate_normal(np.zeros(4), exact, size=(2000, 12))
    estimates = np.stack([np.cov(sample.T) for sample in drawn])
    found = gaussian.balance(estimates, linear, samples=12)
    for values, truth in ((found.entropy, balance.entropy[1000]), (found.production, balance.production[1000])):
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(2000)


def made_up_plane(error=0.0, replicas=20_000, seed=0):
    """An ensemble at two records of a Gaussian density, and a prediction that is off by a shift of `error` widths."""
    edges = np.linspace(-5, 5, 62)
    middle = (edges[1:] + edges[:-1]) / 2
    p = np.exp(-0.5 * ((middle - error)[:, None] ** 2 + middle[None] ** 2)) / (2 * np.pi)
    coarse_edges = np.linspace(-5, 5, 32)
    half = (coarse_edges[1:] + coarse_edges[:-1]) / 2
    q = np.exp(-0.5 * ((half - error)[:, None] ** 2 + half[None] ** 2)) / (2 * np.pi)
    samples = np.random.default_rng(seed).normal(size=(2, replicas, 2))
    return {
        "density": np.stack([p, p]), "coarse_density": np.stack([q, q]), "samples": samples, "steps": np.array([0, 10]),
        "lower": np.full(2, -5.0), "upper": np.full(2, 5.0), "coarse_lower": np.full(2, -5.0),
        "coarse_upper": np.full(2, 5.0), "linear_mean": np.zeros((2, 2)),
        "linear_covariance": np.stack([np.eye(2), np.eye(2)]),
        "free_energy_rate": np.array([-0.5, 0.0]), "free_energy_drift": np.array([-0.6, -0.1]), "loss": p,
        "widths": np.ones(2),
    }  # fmt: skip


def test_distances_know_what_sampling_alone_makes():
    right = [measuring.plane_distances(made_up_plane(seed=s))[0] for s in range(20)]
    ratios = [d.found / d.sampling for d in right]
    assert abs(np.mean(ratios) - 1) < 4 * np.std(ratios) / np.sqrt(20) + 0.02  # and the cells of the grid
    wrong = measuring.plane_distances(made_up_plane(error=0.5))[0]
    # total variation of two Gaussians half a width apart is erf(0.5/2√2) = 0.1974; boxes see a little less
    assert 0.17 < wrong.excess < 0.2
    run = made_up_plane()
    assert measuring.grid_distances(run)[0] < 0.01
    assert abs(measuring.linear_distances(run)[0].found / measuring.linear_distances(run)[0].sampling - 1) < 0.5


def test_kolmogorov_is_calibrated():
    rng = np.random.default_rng(2)
    values = [measuring.kolmogorov(rng.normal(size=500), 1.0) for _ in range(400)]
    assert 0.02 < np.mean(np.array(values) > 1.36) < 0.09  # one in twenty, ± 4 √(0.05/400), and discreteness
    assert measuring.kolmogorov(2 * rng.normal(size=500), 1.0) > 2


def made_up_runs(**changes):
    """Runs in which every prediction holds."""
    steps = np.array([0.0, 100.0])
    size = 20
    rates, diffusion = np.geomspace(0.02, 0.2, size), np.full(size, 1e-3)
    rng = np.random.default_rng(0)
    weights = {
        "steps": steps, "rates": rates, "diffusion": diffusion, "samples": rng.normal(size=(2, 4000, 2)),
        "measured_entropy": np.array([0.0, 1.0]), "gradient_norm": np.array(0.0),
    }  # fmt: skip
    for kind in ("measured", "predicted", "discrete"):
        weights |= {
            f"{kind}_variance": np.ones((2, size)), f"{kind}_entropy": np.array([0.0, 0.0]),
            f"{kind}_production": np.array([0.01, 0.01]), f"{kind}_learning": np.array([-0.01, -0.01]),
        }  # fmt: skip
    D = np.array([2e-5, 1e-5, 2e-5])
    planck = {
        "steps": np.arange(5.0), "batch_size": np.array([1, 2, 1]), "diffusion": D, "rate": np.array(0.01),
        "momentum": np.array([0, 0, 0.9]), "samples": np.zeros((3, 5, 2)),
        "estimate": np.stack([-4 * D**2, 0.1 * D**2, np.full(3, 0.5)], axis=1),
    }  # fmt: skip
    parts = {"plane": made_up_plane(), "weights": weights, "planck": planck}
    for name, change in changes.items():
        parts[name] = parts[name] | change
    return {name: [part] for name, part in parts.items()}


def test_verdicts_by_value():
    settings = dataclasses.replace(Settings(), planck_batch_sizes=(1, 2))

    def verdicts(**changes):
        return {s.key: s.verdict for s in statements(made_up_runs(**changes), settings)}

    usual = verdicts()
    assert set(usual) == {claim.key for claim in CLAIMS}
    right = ("density", "variances", "balance", "signs", "one temperature", "size of ħ²", "momentum")
    assert [usual[key] for key in right] == ["agrees"] * len(right)
    assert [usual[key] for key in ("dropped learning", "dropped diffusion", "sign of ħ²")] == ["disagrees"] * 3
    assert verdicts(plane=made_up_plane(error=0.5))["density"] == "disagrees"
    assert verdicts(plane={"free_energy_rate": np.array([-0.5, -0.1])})["dropped diffusion"] == "agrees"
    assert verdicts(weights={"measured_variance": np.full((2, 20), 1.3)})["variances"] == "disagrees"
    assert verdicts(weights={"measured_entropy": np.array([0.0, 0.5])})["balance"] == "disagrees"
    assert verdicts(weights={"measured_learning": np.array([0.01, -0.01])})["signs"] == "disagrees"
    assert verdicts(weights={"measured_learning": np.array([-0.01, -1e-4])})["dropped learning"] == "agrees"
    assert verdicts(weights={"diffusion": np.geomspace(1e-3, 1e-2, 20)})["one temperature"] == "disagrees"
    D = made_up_runs()["planck"][0]["diffusion"]
    real = np.stack([4 * D**2, 0.1 * D**2, np.full(3, 0.5)], axis=1)
    found = verdicts(planck={"estimate": real})
    assert (found["sign of ħ²"], found["size of ħ²"], found["momentum"]) == ("agrees", "disagrees", "disagrees")
    assert verdicts(weights={"measured_entropy": np.array([0.0, np.nan])})["balance"] == "not tested"


def test_planck_of_a_diffusion_is_found_from_its_width():
    """An Ornstein-Uhlenbeck ensemble with D = 1 and rate 1: ħ² = -4; widths that grow as t³ are no such fluid."""
    rng = np.random.default_rng(3)
    times = np.linspace(0, 2, 21)
    h = times[1]
    q = [0.4 * rng.normal(size=4000)]
    for _ in times[1:]:
        q.append(q[-1] * np.exp(-h) + np.sqrt(1 - np.exp(-2 * h)) * rng.normal(size=4000))
    cubic = np.sqrt(0.1 + np.minimum(times, 1) ** 3)[:, None] * rng.normal(size=4000)[None]
    run = {"samples": np.stack([np.stack(q), cubic]), "steps": times}
    (value, error, misfit), (_, _, bad) = runs.planck_estimates(run, dataclasses.replace(TINY, resamples=30))
    assert abs(value + 4) < 4 * error
    assert error < 0.6  # 8 % of 4 for as many replicas, and a half more
    assert misfit < 1.5 < bad


def test_contours_hold_their_shares():
    x = np.linspace(-6, 6, 241)
    p = np.exp(-0.5 * (x[:, None] ** 2 + x[None] ** 2))
    # the share inside the level exp(-r²/2) is 1 - exp(-r²/2)
    np.testing.assert_allclose(contour_levels(p), [0.1, 0.5, 0.9], rtol=0.01)  # cells of (0.05)²


def test_demonstrations_keep_what_is_conserved():
    well = double_well(frames=4, particles=500, points=64)
    assert well.norm_error < 1e-10  # rounding of a few hundred Fourier pairs
    assert well.energy_error < 1e-4  # fourth order in steps of 0.025
    assert well.sampling < 2.2  # √R times a distance: exceeded once in 8,000 by each of four frames
    pair = vortices(frames=4, points=48)
    np.testing.assert_allclose(pair.winding, 2, atol=1e-10)
    np.testing.assert_allclose(pair.momentum, pair.momentum[0], rtol=1e-6)  # the well is round, the grid is not
    assert pair.momentum[0] > 0


@pytest.mark.slow
def test_a_tiny_run_from_networks_to_the_report(tmp_path):
    (tmp_path / "runs").mkdir()
    shared = {"settings": TINY, "data_dir": None, "folder": tmp_path / "runs"}
    jobs = [runs.Job(arm, 3, **shared) for arm in ("plane", "weights", "planck")]
    told = []
    for job in jobs:
        runs.run(job, lambda *message: told.append(message))
    assert told[-1][1] == told[-1][2]
    assert not list((tmp_path / "runs").glob("*.state.npz"))
    before = jobs[0].file.stat().st_mtime_ns
    runs.run(jobs[0])  # done: not done again
    assert jobs[0].file.stat().st_mtime_ns == before
    found = runs.load_runs(jobs)
    found["planck"][0]["estimate"] = runs.planck_estimates(found["planck"][0], TINY)
    plane, weights = found["plane"][0], found["weights"][0]
    cells = measuring.cell_of(plane)
    np.testing.assert_allclose(plane["density"].sum((1, 2)) * cells, 1, rtol=1e-9)  # probability stays
    # the curvature that the replicas feel at the start is that of the minimum, up to one random vector each
    rate = weights["rates"].sum() / TINY.learning_rate
    assert -weights["measured_learning"][0] / TINY.learning_rate == pytest.approx(
        rate, abs=5 * weights["curvature_error"][0] + 0.05 * rate
    )
    well, pair = double_well(frames=3, particles=200, points=64), vortices(frames=3, points=32)
    figures = draw(found, well, pair, TINY, tmp_path / "figures")
    moving = films(found, well, pair, tmp_path / "films")
    assert set(moving) == set(FILMS)
    assert all(file.read_bytes()[:6] == b"GIF89a" for file in moving.values())
    results = record(
        "mechanics",
        TINY,
        statements(found, TINY),
        quick=True,
        sizes=[4, 2, 10],
        parameters=40,
        demonstrations={"a": 1e-9},
    )
    text = Page(write_report(tmp_path, results, figures, moving).read_text(encoding="utf-8")).text
    assert "This is a short run" in text
    for title, *_ in FIGURES.values():
        assert title in text
    for claim in CLAIMS:
        assert claim.claim.replace("-", "\N{MINUS SIGN}") in text.replace("-", "\N{MINUS SIGN}")


def test_starts_have_their_spread():
    start = np.asarray(gaussian_start(jax.random.key(0), np.array([1.0, -2.0]), 0.5, 40_000, jnp.float64))
    np.testing.assert_allclose(start.mean(0), [1, -2], atol=4 * 0.5 / 200)
    np.testing.assert_allclose(start.std(0), 0.5, rtol=4 / np.sqrt(2 * 40_000))
