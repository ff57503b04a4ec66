"""ħ² from widths: packets, oscillators and diffusions whose variance is known, and ensembles of samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnthermo import mechanics

KEY = jax.random.key(0)


def ensemble(variance, replicas=40, dtype=float):
    """Replicas whose sampled variance is exactly this at each time, (T, replicas)."""
    z = np.random.default_rng(0).normal(size=replicas)
    z = (z - z.mean()) / z.std(ddof=1)
    return (np.sqrt(variance)[:, None] * z).astype(dtype)


def estimate(q, t, **options):
    return mechanics.planck_squared_from_widths(q, t, key=KEY, resamples=2, **options)


T = np.linspace(0, 3, 12)
KNOWN = {
    # s² (1 + (ħt/2Ms²)²), ħ = 1, M = 2
    "free packet": (0.09 * (1 + (T / (4 * 0.09)) ** 2), 2.0, 1.0, 0.0),
    # squeezed state of an oscillator, M = ω = 1: s² cos² ωt + (ħ/2s)² sin² ωt, ħ = 0.6
    "squeezed": (0.5 * np.cos(T) ** 2 + 0.09 / 0.5 * np.sin(T) ** 2, 1.0, 0.36, -1.0),
    # diffusion: (D/k)(1 + εe^{-2kt}), D = 0.3, k = 0.7
    "diffusion": (0.3 / 0.7 * (1 - 0.8 * np.exp(-1.4 * T)), 1.0, -4 * 0.09, 0.49),
    # without noise or ħ: s ∝ e^{-kt}
    "classical": (2.0 * np.exp(-1.0 * T), 1.0, 0.0, 0.25),
}


@pytest.mark.parametrize("name", KNOWN)
def test_widths_of_known_fluids(name):
    variance, mass, expected, curvature = KNOWN[name]
    found = estimate(ensemble(variance), T, mass=mass)
    # the golden section finds κ to the root of rounding, 1e-8; ħ² feels it through numbers of order one to ten
    assert float(found.value) == pytest.approx(expected, abs=1e-5)
    assert float(found.curvature) == pytest.approx(curvature, abs=1e-5)
    assert float(found.misfit) < 1e-5
    single = estimate(ensemble(variance, dtype=np.float32), np.float32(T), mass=mass)
    assert single.value.dtype == jnp.float32
    assert float(single.value) == pytest.approx(expected, abs=0.02)  # roots of rounding: 3e-4, times some tens


def test_units_are_those_of_time_and_place():
    variance = KNOWN["diffusion"][0]
    usual = float(estimate(ensemble(variance), T).value)
    other = float(estimate(1e-3 * ensemble(variance), 50 * T + 7).value)
    assert other == pytest.approx(usual * (1e-6 / 50) ** 2, rel=1e-4)


def test_samples_of_a_diffusion_are_without_bias():
    """Twenty exact Ornstein-Uhlenbeck ensembles, D = 1 and k = 1: their mean has the error of a mean."""
    times = np.linspace(0, 2, 21)
    step = np.exp(-times[1])

    def one(seed):
        rng = np.random.default_rng(seed)
        q = [0.4 * rng.normal(size=2000)]
        for _ in times[1:]:
            q.append(q[-1] * step + np.sqrt(1 - step**2) * rng.normal(size=2000))
        found = mechanics.planck_squared_from_widths(np.stack(q), times, key=KEY, resamples=20)
        return float(found.value), float(found.error), float(found.misfit)

    values, errors, misfits = np.array([one(seed) for seed in range(20)]).T
    assert abs(values.mean() + 4) < 4 * values.std(ddof=1) / np.sqrt(20)
    assert 0.6 < values.std(ddof=1) / errors.mean() < 1.6  # a scatter of 20 is known to 16 %, and errors scatter too
    assert misfits.max() < 1.5


@pytest.mark.parametrize(
    ("samples", "times", "message"),
    [
        (np.zeros((12, 9)), T, r"`samples` must have shape \(12, R\), R at least 10"),
        (np.zeros((5, 20)), T[:5], "`times` must be at least 6"),
        (np.full((12, 20), np.nan), T, "`samples` must be finite"),
        (np.zeros((12, 20)), T[::-1], "`times` must increase"),
    ],
)
def test_refuses_by_name(samples, times, message):
    with pytest.raises(ValueError, match=message):
        estimate(samples, times)
