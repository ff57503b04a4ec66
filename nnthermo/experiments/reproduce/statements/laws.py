"""What the paper states of complexity, entropy and temperature (Figs. 6-7, (7.6), (10.1))."""

import math
from typing import Any

import numpy as np

from nnthermo.experiments.claims import Claim
from nnthermo.experiments.histories import EVERYTHING, SIZE, fixed_count_complexity
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements.record import Histories, at_epoch, late, transient
from nnthermo.experiments.reproduce.statements.spectra import gap_centre
from nnthermo.experiments.verdicts import Finding, Number, judge, per_seed
from nnthermo.spectrum import beta_from_gap, beta_from_loss


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, intercept and R² of the least-squares line through the finite points; NaN if there are fewer than two."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) < 2:
        return math.nan, math.nan, math.nan
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - (slope * x + intercept)
    spread = np.sum((y - y.mean()) ** 2)
    return float(slope), float(intercept), float(1 - np.sum(rest**2) / spread) if spread > 0 else math.nan


def _complexity_falls(histories: Histories, settings: Settings) -> Finding:
    def fall(run: Any, n: int) -> float:
        values = fixed_count_complexity(run, n)[late(run, settings)]
        return float(values[-1] - values[0])

    def end(run: Any, n: int) -> float:
        return float(fixed_count_complexity(run.isel(epoch=[-1]), n)[0])

    deep, counts = histories["deep"], (20, 834)
    changes = [Number(f"change of C_{n} over the run", None, per_seed(deep, fall, n)) for n in counts]
    ends = [Number(f"C_{n} at the end", None, per_seed(deep, end, n)) for n in counts]
    return Finding(
        [*changes, *ends],
        judge([a < 0 and b < 0 for a, b in zip(changes[0].ours, changes[1].ours, strict=True)]),
        f"In nats, counted from epoch {transient(settings):,} on; C_{SIZE} = {EVERYTHING:.2f} is fixed.",
    )


def _complexity_line(histories: Histories, settings: Settings) -> Finding:
    def fit(run: Any, n: int) -> tuple[float, float, float]:
        keep = late(run, settings)
        return line(np.log(run.bulk_loss.values[keep]), fixed_count_complexity(run, n)[keep])

    deep = histories["deep"]
    numbers, good = [], []
    for n, slope, intercept in ((20, "1.25", "769"), (834, "1.41", "772")):
        fits = [fit(deep.isel(seed=k), n) for k in range(deep.sizes["seed"])]
        numbers += [
            Number(f"slope of C_{n} against log U", slope, [f[0] for f in fits]),
            Number(f"intercept of C_{n}", intercept, [f[1] for f in fits]),
            Number(f"R² of the line, C_{n}", None, [f[2] for f in fits]),
        ]
        good.append([0.3 < f[0] < 3 and f[2] > 0.8 for f in fits])
    verdict = judge([all(pair) for pair in zip(*good, strict=True)])
    if verdict == "disagrees" and any(any(g) for g in good):
        verdict = "partly"
    return Finding(numbers, verdict, "Least squares over the records after the first transient.")


def _second_law(histories: Histories, settings: Settings) -> Finding:
    def change(run: Any) -> float:
        values = run.entropy.values[late(run, settings)]
        return float(values[-1] - values[0])

    def estimate(run: Any) -> float:
        # (10.2) + (10.3) at fixed N_> = 834, where S₀ follows log U
        keep = late(run, settings)
        total = fixed_count_complexity(run, 834) + 417 * np.log(run.bulk_loss.values)
        return float(total[keep][-1] - total[keep][0])

    at_beta, by_loss = (per_seed(histories["deep"], of) for of in (change, estimate))
    falls = [[v <= 0 for v in values] for values in (at_beta, by_loss)]
    both = judge([a and b for a, b in zip(*falls, strict=True)])
    return Finding(
        [
            Number(f"change of S (7.1) at β = {settings.beta}", None, at_beta),
            Number("change of C_834 + 417 log U, (10.2) + (10.3)", None, by_loss),
        ],
        "partly" if both == "disagrees" and any(all(f) for f in falls) else both,
        "In nats. The second number holds 417 log U, the change of S₀: a falling loss, read as a falling temperature.",
    )


def _two_temperatures(histories: Histories, settings: Settings) -> Finding:
    deep, epoch = histories["deep"], settings.milestones()[-1]

    def of_loss(run: Any) -> float:
        record = at_epoch(run, epoch)
        return float(beta_from_loss(float(record.displaced_count), float(record.bulk_loss)))

    gap = [float(beta_from_gap(centre)) for centre in per_seed(deep, gap_centre, epoch)]
    loss = per_seed(deep, of_loss)
    ratio = [math.log10(b / a) for a, b in zip(gap, loss, strict=True)]
    return Finding(
        [
            Number(f"β from the gap, epoch {epoch:,}", None, gap),
            Number(f"β from the loss, epoch {epoch:,}", None, loss),
            Number("log10 of their ratio", None, ratio),
        ],
        judge([abs(r) < 1 for r in ratio]),
        f"They differ by a factor of 10^{np.mean(ratio):.1f}: two temperatures, with a function for each.",
    )


CLAIMS = (
    Claim(
        "complexity falls",
        "Fig. 6",
        "The complexities C₂₀ and C₈₃₄ decrease during training.",
        "Both are lower at the end than after the first transient.",
        _complexity_falls,
        ("deep",),
    ),
    Claim(
        "complexity line",
        "Fig. 7",
        "C₂₀ and C₈₃₄ are nearly linear in log U with slopes of order one.",
        "For both, the slope lies between 0.3 and 3 and R² exceeds 0.8.",
        _complexity_line,
        ("deep",),
    ),
    Claim(
        "second law",
        "(7.6)",
        "The total entropy does not increase during learning.",
        "S falls over the run, both at fixed β and as C + S₀ with S₀ following log U (partly: one of them).",
        _second_law,
        ("deep",),
    ),
    Claim(
        "two temperatures",
        "(10.1), (9.4)",
        "One inverse temperature describes both the gap (9.4) and the average loss U = N_>/2β (10.1).",
        "The two values of β agree within a factor of ten.",
        _two_temperatures,
        ("deep",),
    ),
)
