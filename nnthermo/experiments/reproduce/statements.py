"""What Section 10 states, what these runs give, and a verdict on each."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.spectrum import LogSpectrum, beta_from_gap, beta_from_loss

SIZE = 854
EVERYTHING = 0.5 * SIZE * math.log(2 * math.pi)
"""C_N = (N/2) log 2π = 784.77 nats, which no network without cycles can change."""

Histories = dict[str, Any]
"""xarray datasets by network, dimensions (seed, epoch[, eigenvalue])."""


@dataclasses.dataclass
class Number:
    """A number the paper quotes beside ours.

    Attributes:
        label: what it is.
        paper: its value there; None where the paper says it in words only.
        ours: one value a seed.
    """

    label: str
    paper: float | None
    ours: list[float]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.ours))

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; NaN for one."""
        return float(np.std(self.ours, ddof=1)) if len(self.ours) > 1 else math.nan

    def to_json(self) -> dict[str, Any]:
        """As JSON types, NaN as None."""
        row = {
            "label": self.label,
            "paper": self.paper,
            "mean": self.mean,
            "spread": self.spread,
            "per_seed": [v if math.isfinite(v) else None for v in self.ours],
        }
        return {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in row.items()}


@dataclasses.dataclass
class Statement:
    """One claim of the paper, its numbers and a verdict.

    Attributes:
        key: short name, the same in every report.
        where: figure or section of the paper.
        claim: the claim in our words.
        criterion: what counts as agreement.
        numbers: those it rests on.
        verdict: "agrees", "partly", "disagrees" or "not tested".
        comment: what came out, in a sentence or two.
    """

    key: str
    where: str
    claim: str
    criterion: str
    numbers: list[Number]
    verdict: str
    comment: str

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        fields = {name: getattr(self, name) for name in ("key", "where", "claim", "criterion", "verdict", "comment")}
        return {**fields, "numbers": [n.to_json() for n in self.numbers]}


def per_seed(dataset: Any, function: Callable[..., float], *arguments: Any) -> list[float]:
    """A number from each seed's history, function(history, *arguments)."""
    return [float(function(dataset.isel(seed=k), *arguments)) for k in range(dataset.sizes["seed"])]


def at_epoch(run: Any, epoch: int) -> Any:
    """The record of one epoch."""
    return run.sel(epoch=epoch)


def fixed_count_complexity(run: Any, n: int) -> np.ndarray:
    """C_n (10.5) at each record, nats, from the recorded dynamical eigenvalues."""
    spectra = np.atleast_2d(run.log_eigenvalues.values)
    units = SIZE - spectra.shape[-1]
    return np.array([EVERYTHING - 0.5 * float(LogSpectrum(v, units).largest_sum(n)) for v in spectra])


def late(run: Any, settings: Settings) -> np.ndarray:
    """Which records lie after the first transient: epoch 100 of 30,000, or the same fraction."""
    return run.epoch.values >= max(1, round(settings.epochs / 300))


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, intercept and R² of the least-squares line."""
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - (slope * x + intercept)
    spread = np.sum((y - y.mean()) ** 2)
    return float(slope), float(intercept), float(1 - np.sum(rest**2) / spread) if spread > 0 else math.nan


def plateau(
    epochs: np.ndarray, boundary: np.ndarray, bulk: np.ndarray, *, tolerance: float = 0.1
) -> tuple[float, float, float]:
    """The stretch of at least a third of the run over which log U falls most while log U_∂ stays within `tolerance`.

    Returns:
        Fall of log U there, its first and its last epoch; zeros if the boundary loss is never that still.
    """
    best = (0.0, 0.0, 0.0)
    third = epochs[-1] / 3
    for i in range(len(epochs)):
        for j in range(i + 1, len(epochs)):
            still = np.ptp(boundary[i : j + 1]) < tolerance
            if still and epochs[j] - epochs[i] >= third and bulk[i] - bulk[j] > best[0]:
                best = (float(bulk[i] - bulk[j]), float(epochs[i]), float(epochs[j]))
    return best


def gap_at(run: Any, epoch: int) -> Any:
    """The widest gap among the small eigenvalues at an epoch."""
    return LogSpectrum(at_epoch(run, epoch).log_eigenvalues.values).gap()


def gap_centre(run: Any, epoch: int) -> float:
    """Where the gap lies, log λ."""
    return float(gap_at(run, epoch).centre)


def judge(results: Sequence[bool]) -> str:
    """ "agrees" if every seed meets the criterion, "partly" if some do, else "disagrees"."""
    return "agrees" if all(results) else "partly" if any(results) else "disagrees"


def statements(histories: Histories, settings: Settings) -> list[Statement]:
    """Every statement of Section 10 that two trainings can test, in the paper's order."""
    deep, shallow = histories["deep"], histories["shallow"]
    marks = settings.milestones()
    return [
        _bulk_below_boundary(deep),
        _both_decrease(deep),
        _bulk_falls_on(deep),
        _jumps(deep, settings),
        _near_zero(deep, shallow, marks[-1]),
        _shallow_symmetric(shallow, marks[-1]),
        _deep_skewed(deep, marks[-1]),
        _variance(deep, shallow, marks[-1]),
        _gap(deep, marks),
        _beta_of_gap(deep, marks),
        _no_gap_in_shallow(deep, shallow, marks),
        _tails(deep, marks),
        _complexity_falls(deep, settings),
        _complexity_line(deep, settings),
        _second_law(deep, settings),
        _two_temperatures(deep, marks[-1]),
    ]


def _bulk_below_boundary(deep: Any) -> Statement:
    def ratio(run: Any, kind: str = "") -> float:
        last = run.isel(epoch=-1)
        return math.log10(float(last[f"{kind}boundary_loss"] / last[f"{kind}bulk_loss"]))

    means, medians = per_seed(deep, ratio), per_seed(deep, lambda run: ratio(run, "median_"))
    unrelaxed = float(deep.unrelaxed.max())
    return Statement(
        "bulk below boundary",
        "Fig. 2",
        "The bulk loss stays a few orders of magnitude below the boundary loss.",
        "log10 of the ratio of ensemble averages at the end is at least 2 (1 to 2: partly).",
        [
            Number("log10 U_∂/U, averages", None, means),
            Number("log10 U_∂/U, medians over samples", None, medians),
        ],
        "agrees" if min(means) >= 2 else "partly" if min(means) >= 1 else "disagrees",
        f"Factor {10 ** np.mean(means):.3g} between the averages, {10 ** np.mean(medians):.3g} between the losses of "
        "typical samples. U is the clamped minimum (3.2) averaged over samples"
        + (
            f"; at most {unrelaxed:.2%} of them had not converged in a record."
            if unrelaxed
            else ", all of them converged."
        )
        + " For a linearised network H*/H_∂ cannot be below λ_min(Ĝ), about 1/20 to 1/40 here; where outputs saturate "
        "at their targets f' vanishes, hidden neurons take over none of the error, and H* tends to H_∂.",
    )


def _both_decrease(deep: Any) -> Statement:
    falls = {
        name: per_seed(deep, lambda run, n: float(np.log(run[n].isel(epoch=0) / run[n].isel(epoch=-1))), name)
        for name in ("bulk_loss", "boundary_loss")
    }
    return Statement(
        "both decrease",
        "Fig. 2",
        "Both losses decrease during training with the boundary loss.",
        "Both are lower at the end than at the start.",
        [Number("fall of log U", None, falls["bulk_loss"]), Number("fall of log U_∂", None, falls["boundary_loss"])],
        judge([u > 0 and b > 0 for u, b in zip(*falls.values(), strict=True)]),
        "The bulk loss is not what was trained on; it falls with the boundary loss.",
    )


def _bulk_falls_on(deep: Any) -> Statement:
    def best(run: Any) -> tuple[float, float, float, float]:
        record = run.isel(epoch=slice(1, None)) if run.epoch.values[0] == 0 else run
        epochs = record.epoch.values.astype(float)
        found = plateau(epochs, np.log(record.boundary_loss.values), np.log(record.bulk_loss.values))
        ends = [float(record.median_bulk_loss.sel(epoch=e)) for e in found[1:]] if found[2] else [1.0, 1.0]
        return (*found, math.log(ends[0] / ends[1]))

    found = [best(deep.isel(seed=k)) for k in range(deep.sizes["seed"])]
    falls = [f[0] for f in found]
    longest = max(found)
    where = (
        f"Largest fall {longest[0]:.2f}, between epochs {longest[1]:.0f} and {longest[2]:.0f}."
        if longest[0] > 0
        else "The boundary loss never stands that still for a third of the run."
    )
    return Statement(
        "bulk falls on",
        "Fig. 3",
        "For about 10,000 epochs the boundary loss stands still while the bulk loss keeps falling.",
        "Over some third of the run log U_∂ stays within 0.1 while log U falls by more than 0.3.",
        [
            Number("fall of log U while log U_∂ stays within 0.1", None, falls),
            Number("fall of the log of the median bulk loss there", None, [f[3] for f in found]),
        ],
        judge([f > 0.3 for f in falls]),
        where + " The averages are held up by the few samples that the network has wrong; the bulk loss of a typical "
        "sample, the median, keeps falling.",
    )


def _jumps(deep: Any, settings: Settings) -> Statement:
    def largest(run: Any) -> float:
        keep = run.epoch.values >= settings.epochs / 3
        log_loss = np.log(run.boundary_loss.values[keep])
        return float(np.max(log_loss[:-1] - log_loss[1:])) if len(log_loss) > 1 else 0.0

    drops = per_seed(deep, largest)
    return Statement(
        "jumps",
        "Fig. 3",
        "After a long plateau the boundary loss suddenly drops to a smaller value.",
        "In the last two thirds of the run log U_∂ drops by more than 0.2 between neighbouring records.",
        [Number("largest drop of log U_∂ between records", None, drops)],
        judge([d > 0.2 for d in drops]),
        f"Records are {settings.epochs / settings.observations:.0f} epochs apart.",
    )


def _near_zero(deep: Any, shallow: Any, epoch: int) -> Statement:
    numbers = []
    for name, dataset in (("deep", deep), ("shallow", shallow)):
        dynamical = dataset.sizes["eigenvalue"]
        shares = per_seed(
            dataset, lambda run: float(np.mean(np.abs(at_epoch(run, epoch).log_eigenvalues.values) < 0.5))
        )
        numbers.append(Number(f"share of the {dynamical} dynamical |log λ| < ½, {name}", None, shares))
        of_all = [(s * dynamical + SIZE - dynamical) / SIZE for s in shares]
        numbers.append(Number(f"share of all {SIZE} |log λ| < ½, {name}", None, of_all))
    of_dynamical = [numbers[0].ours, numbers[2].ours]
    all_most = all(s > 0.5 for s in (*numbers[1].ours, *numbers[3].ours))
    return Statement(
        "most near zero",
        "Figs. 4-5",
        "Most eigenvalues of log Ĝ stay near the origin; only a fraction is displaced.",
        "More than half of the dynamical eigenvalues have |log λ| < ½ (partly: more than half of all 854).",
        numbers,
        "agrees" if min(*of_dynamical[0], *of_dynamical[1]) > 0.5 else "partly" if all_most else "disagrees",
        "Of all 854 most are exactly 1 by architecture: 744 in the deep network, 724 in the shallow. "
        f"Of the dynamical ones {np.mean(of_dynamical[0]):.0%} (deep) and {np.mean(of_dynamical[1]):.0%} (shallow) "
        "stay near 0.",
    )


def _moments(dataset: Any, epoch: int, values: str = "log_eigenvalues") -> tuple[list[float], list[float], list[float]]:
    def of(power: int) -> list[float]:
        return per_seed(dataset, lambda run: float(np.mean(at_epoch(run, epoch)[values].values ** power)))

    squares, cubes = of(2), of(3)
    return squares, cubes, [c / s**1.5 if s else 0.0 for s, c in zip(squares, cubes, strict=True)]


def _shallow_symmetric(shallow: Any, epoch: int) -> Statement:
    _, cubes, standard = _moments(shallow, epoch)
    averaged = _moments(shallow, epoch, "averaged_log_eigenvalues")[1]
    return Statement(
        "shallow symmetric",
        "Fig. 4",
        "The spectrum of the shallow network is almost completely symmetric.",
        "Standardised skewness within ±0.01 in every seed.",
        [
            Number(f"mean (log λ)³, epoch {epoch}", -2.7e-10, cubes),
            Number("the same with slopes ⟨f'⟩ in place of f'(⟨x⟩)", None, averaged),
            Number("standardised skewness", None, standard),
        ],
        judge([abs(s) < 0.01 for s in standard]),
        "Exact symmetry holds without hidden layers (9.11). Here it comes from training: with targets ±1 the hidden "
        "neurons saturate at the mean state, f'(⟨x⟩) of one of two consecutive layers vanishes and with it (f̂'ŵ)². "
        "It is much weaker with ⟨f'⟩.",
    )


def _deep_skewed(deep: Any, epoch: int) -> Statement:
    squares, cubes, standard = _moments(deep, epoch)
    sums = [c * deep.sizes["eigenvalue"] for c in cubes]
    averaged = _moments(deep, epoch, "averaged_log_eigenvalues")[1]
    return Statement(
        "deep skewed",
        "Fig. 5",
        "The spectrum of the deep network is skewed to negative values.",
        "Standardised skewness below -0.1 in every seed.",
        [
            Number(f"mean (log λ)³, epoch {epoch}", -1.7, cubes),
            Number("Tr (log Ĝ)³ as (9.6) is printed", None, sums),
            Number("mean (log λ)³ with slopes ⟨f'⟩", None, averaged),
            Number("standardised skewness", None, standard),
        ],
        judge([s < -0.1 for s in standard]),
        f"The paper does not say which reading of μ₃ it quotes. Its pair (2.44, -1.7) has standardised skewness -0.45; "
        f"ours is {np.mean(standard):.2f} at mean square {np.mean(squares):.2f}. It cannot be a sum.",
    )


def _variance(deep: Any, shallow: Any, epoch: int) -> Statement:
    ours_deep, ours_shallow = _moments(deep, epoch)[0], _moments(shallow, epoch)[0]
    return Statement(
        "variance",
        "Figs. 4-5",
        "The variance of log λ is larger in the deep network than in the shallow one.",
        "Larger mean (log λ)² in every seed.",
        [
            Number(f"mean (log λ)² deep, epoch {epoch}", 2.44, ours_deep),
            Number(f"mean (log λ)² shallow, epoch {epoch}", 1.84, ours_shallow),
            Number("ratio", 2.44 / 1.84, [a / b for a, b in zip(ours_deep, ours_shallow, strict=True)]),
        ],
        judge([a > b for a, b in zip(ours_deep, ours_shallow, strict=True)]),
        "Means over the dynamical eigenvalues. As a sum over all, 2.44 would bound every |log λ| by 1.56, against "
        "eigenvalues at -3 in the same figure.",
    )


def _gap(deep: Any, marks: tuple[int, ...]) -> Statement:
    paper = (-2.3, -2.5, -3.0)
    centres = [per_seed(deep, gap_centre, e) for e in marks]
    contrast = per_seed(deep, lambda run: float(gap_at(run, marks[-1]).contrast))
    counts = per_seed(deep, lambda run: float(gap_at(run, marks[-1]).below))
    moved = [last < middle < first for first, middle, last in zip(*centres, strict=True)]
    results = [c > 3 and n >= 2 and down for c, n, down in zip(contrast, counts, moved, strict=True)]
    numbers = [Number(f"centre of the gap, epoch {e}", p, c) for e, p, c in zip(marks, paper, centres, strict=True)]
    return Statement(
        "gap",
        "Fig. 5",
        "A gap opens between the smallest eigenvalues and the rest, and moves to smaller values.",
        f"At epoch {marks[-1]} two or more lie below it, it is over three times the median spacing, and moved down.",
        [
            *numbers,
            Number(f"width over median spacing, epoch {marks[-1]}", None, contrast),
            Number(f"eigenvalues below it, epoch {marks[-1]}", None, counts),
        ],
        judge(results),
        "The widest empty interval among the lower half of the negative eigenvalues; the paper marks it by eye.",
    )


def _beta_of_gap(deep: Any, marks: tuple[int, ...]) -> Statement:
    paper_gaps, paper_betas = (-2.3, -2.5, -3.0), (1.37, 1.40, 1.47)
    numbers = []
    for mark, gap, beta in zip(marks, paper_gaps, paper_betas, strict=True):
        ours = [float(beta_from_gap(centre)) for centre in per_seed(deep, gap_centre, mark)]
        numbers.append(Number(f"β by (9.4) at our gap, epoch {mark}", beta, ours))
        numbers.append(Number(f"β by (9.4) at the paper's own gap {gap}", beta, [float(beta_from_gap(gap))]))
    return Statement(
        "β of the gap",
        "Sec. 10, (9.4)",
        "By (9.4) the gaps give β ≈ 1.37, 1.40, 1.47: the temperature falls as training goes on.",
        "The paper's β follow from its own gaps by (9.4) to the digits quoted.",
        numbers,
        "disagrees",
        "(9.4) turns the quoted gaps into 1.470, 1.604 and 1.987. Only the pair (-2.3, 1.47) fits; β does increase.",
    )


def _no_gap_in_shallow(deep: Any, shallow: Any, marks: tuple[int, ...]) -> Statement:
    widths = {
        name: per_seed(dataset, lambda run: float(gap_at(run, marks[-1]).width))
        for name, dataset in (("deep", deep), ("shallow", shallow))
    }
    return Statement(
        "no gap in the shallow",
        "Fig. 4",
        "In the shallow network no gap can be clearly identified.",
        "Its widest gap is narrower than the deep network's, seed by seed.",
        [Number(f"widest gap, {name}, epoch {marks[-1]}", None, w) for name, w in widths.items()],
        judge([s < d for d, s in zip(widths["deep"], widths["shallow"], strict=True)]),
        "Widths in log λ.",
    )


def _tails(deep: Any, marks: tuple[int, ...]) -> Statement:
    def shift(run: Any, index: int) -> float:
        first, last = (np.sort(at_epoch(run, e).log_eigenvalues.values)[index] for e in (marks[0], marks[-1]))
        return float(last - first)

    low, high = per_seed(deep, lambda run: shift(run, 0)), per_seed(deep, lambda run: shift(run, -1))
    return Statement(
        "tails",
        "Fig. 5",
        "The smallest eigenvalues keep moving down and the largest up, their logarithms adding to zero.",
        f"Between epochs {marks[0]} and {marks[-1]} the smallest log λ falls and the largest rises.",
        [Number("shift of the smallest log λ", None, low), Number("shift of the largest log λ", None, high)],
        judge([a < 0 < b for a, b in zip(low, high, strict=True)]),
        "Σ log λ = 0 holds to rounding at every record (7.8).",
    )


def _complexity_falls(deep: Any, settings: Settings) -> Statement:
    def fall(run: Any, n: int) -> float:
        values = fixed_count_complexity(run, n)[late(run, settings)]
        return float(values[-1] - values[0])

    numbers = [Number(f"change of C_{n} over the run", None, per_seed(deep, fall, n)) for n in (20, 834)]
    ends = [
        Number(
            f"C_{n} at the end",
            None,
            per_seed(deep, lambda run, n: float(fixed_count_complexity(run.isel(epoch=[-1]), n)[0]), n),
        )
        for n in (20, 834)
    ]
    return Statement(
        "complexity falls",
        "Fig. 6",
        "The complexities C₂₀ and C₈₃₄ decrease during training.",
        "Both are lower at the end than after the first transient.",
        [*numbers, *ends],
        judge([a < 0 and b < 0 for a, b in zip(numbers[0].ours, numbers[1].ours, strict=True)]),
        f"In nats, counted from epoch {max(1, round(settings.epochs / 300))} on; C_854 = {EVERYTHING:.2f} is fixed.",
    )


def _complexity_line(deep: Any, settings: Settings) -> Statement:
    def fits(n: int) -> list[tuple[float, float, float]]:
        found = []
        for k in range(deep.sizes["seed"]):
            run = deep.isel(seed=k)
            keep = late(run, settings)
            found.append(line(np.log(run.bulk_loss.values[keep]), fixed_count_complexity(run, n)[keep]))
        return found

    numbers = []
    good = []
    for n, slope, intercept in ((20, 1.25, 769.0), (834, 1.41, 772.0)):
        fit = fits(n)
        numbers += [
            Number(f"slope of C_{n} against log U", slope, [f[0] for f in fit]),
            Number(f"intercept of C_{n}", intercept, [f[1] for f in fit]),
            Number(f"R² of the line, C_{n}", None, [f[2] for f in fit]),
        ]
        good.append([0.3 < f[0] < 3 and f[2] > 0.8 for f in fit])
    verdict = judge([all(pair) for pair in zip(*good, strict=True)])
    if verdict == "disagrees" and any(any(g) for g in good):
        verdict = "partly"
    return Statement(
        "complexity line",
        "Fig. 7",
        "C₂₀ and C₈₃₄ are nearly linear in log U with slopes of order one.",
        "For both, the slope lies between 0.3 and 3 and R² exceeds 0.8.",
        numbers,
        verdict,
        "Least squares over the records after the first transient.",
    )


def _second_law(deep: Any, settings: Settings) -> Statement:
    def change(run: Any) -> float:
        values = run.entropy.values[late(run, settings)]
        return float(values[-1] - values[0])

    def estimate(run: Any) -> float:
        # (10.2) + (10.3) at fixed N_> = 834, where S₀ follows log U
        keep = late(run, settings)
        total = fixed_count_complexity(run, 834) + 417 * np.log(run.bulk_loss.values)
        return float(total[keep][-1] - total[keep][0])

    at_beta = per_seed(deep, change)
    by_loss = per_seed(deep, estimate)
    return Statement(
        "second law",
        "(7.6)",
        "The total entropy does not increase during learning.",
        "S falls over the run, both at fixed β and as C + S₀ with S₀ following log U.",
        [
            Number(f"change of S (7.1) at β = {settings.beta}", None, at_beta),
            Number("change of C_834 + 417 log U, (10.2) + (10.3)", None, by_loss),
        ],
        judge([a <= 0 and b <= 0 for a, b in zip(at_beta, by_loss, strict=True)])
        if any(a <= 0 for a in at_beta) or not all(b <= 0 for b in by_loss)
        else "partly",
        "In nats. The second number is almost all S₀: a falling loss, read as a falling temperature.",
    )


def _two_temperatures(deep: Any, epoch: int) -> Statement:
    def of_loss(run: Any) -> float:
        record = at_epoch(run, epoch)
        return float(beta_from_loss(float(record.displaced_count), float(record.bulk_loss)))

    gap = [float(beta_from_gap(centre)) for centre in per_seed(deep, gap_centre, epoch)]
    loss = per_seed(deep, of_loss)
    ratio = [math.log10(b / a) for a, b in zip(gap, loss, strict=True)]
    return Statement(
        "two temperatures",
        "(10.1), (9.4)",
        "One inverse temperature describes both the gap (9.4) and the average loss U = N_>/2β (10.1).",
        "The two values of β agree within a factor of ten.",
        [
            Number(f"β from the gap, epoch {epoch}", None, gap),
            Number(f"β from the loss, epoch {epoch}", None, loss),
            Number("log10 of their ratio", None, ratio),
        ],
        judge([abs(r) < 1 for r in ratio]),
        f"They differ by a factor of 10^{np.mean(ratio):.1f}: two temperatures, with a function for each.",
    )
