"""What the paper states of the spectra of log Ĝ (Figs. 4-5)."""

from typing import Any

import numpy as np

from nnthermo.experiments.claims import Claim
from nnthermo.experiments.histories import SIZE
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements.record import Histories, at_epoch
from nnthermo.experiments.verdicts import Finding, Number, graded, judge, per_seed
from nnthermo.spectrum import LogSpectrum, beta_from_gap

PAPER_GAPS = ("-2.3", "-2.5", "-3.0")
PAPER_BETAS = ("1.37", "1.40", "1.47")
"""Gaps at the epochs of Fig. 5 as they are printed, and the β that the text reads off them."""

BOTH = ("deep", "shallow")
CONTRAST = 3
"""A gap counts as one if it is this many times as wide as the median spacing."""


def gap_at(run: Any, epoch: int) -> Any:
    """The widest gap among the small eigenvalues at an epoch."""
    return LogSpectrum(at_epoch(run, epoch).log_eigenvalues.values).gap()


def gap_centre(run: Any, epoch: int) -> float:
    """Where the gap lies, log λ."""
    return float(gap_at(run, epoch).centre)


def _moments(dataset: Any, epoch: int, values: str = "log_eigenvalues") -> tuple[list[float], list[float], list[float]]:
    def of(power: int) -> list[float]:
        return per_seed(dataset, lambda run: float(np.mean(at_epoch(run, epoch)[values].values ** power)))

    squares, cubes = of(2), of(3)
    return squares, cubes, [c / s**1.5 if s else 0.0 for s, c in zip(squares, cubes, strict=True)]


def _near_zero(histories: Histories, settings: Settings) -> Finding:
    epoch = settings.milestones()[-1]
    numbers = []
    for name in BOTH:
        dynamical = histories[name].sizes["eigenvalue"]
        shares = per_seed(
            histories[name], lambda run: float(np.mean(np.abs(at_epoch(run, epoch).log_eigenvalues.values) < 0.5))
        )
        numbers.append(Number(f"share of the {dynamical} dynamical |log λ| < ½, {name}", None, shares))
        of_all = [(s * dynamical + SIZE - dynamical) / SIZE for s in shares]
        numbers.append(Number(f"share of all {SIZE} |log λ| < ½, {name}", None, of_all))
    of_dynamical = [numbers[0].ours, numbers[2].ours]
    all_most = all(s > 0.5 for s in (*numbers[1].ours, *numbers[3].ours))
    return Finding(
        numbers,
        graded(min(*of_dynamical[0], *of_dynamical[1]) > 0.5, all_most),
        "Of all 854 most are exactly 1 by architecture: 744 in the deep network, 724 in the shallow. "
        f"Of the dynamical ones {np.mean(of_dynamical[0]):.0%} (deep) and {np.mean(of_dynamical[1]):.0%} (shallow) "
        "stay near 0.",
    )


def _shallow_symmetric(histories: Histories, settings: Settings) -> Finding:
    shallow, epoch = histories["shallow"], settings.milestones()[-1]
    _, cubes, standard = _moments(shallow, epoch)
    averaged = _moments(shallow, epoch, "averaged_log_eigenvalues")[1]
    return Finding(
        [
            Number(f"mean (log λ)³ shallow, epoch {epoch:,}", "-2.7e-10", cubes),
            Number("the same with slopes ⟨f'⟩ in place of f'(⟨x⟩)", None, averaged),
            Number("standardised skewness", None, standard),
        ],
        judge([abs(s) < 0.01 for s in standard]),
        "Exact symmetry holds without hidden layers (9.11). Here it comes from training: with targets ±1 the hidden "
        "neurons saturate at the mean state, f'(⟨x⟩) of one of two consecutive layers vanishes and with it (f̂'ŵ)². "
        f"With ⟨f'⟩ the mean cube is {np.mean(averaged):.2g}, with f'(⟨x⟩) {np.mean(cubes):.2g}.",
    )


def _deep_skewed(histories: Histories, settings: Settings) -> Finding:
    deep, epoch = histories["deep"], settings.milestones()[-1]
    squares, cubes, standard = _moments(deep, epoch)
    sums = [c * deep.sizes["eigenvalue"] for c in cubes]
    averaged = _moments(deep, epoch, "averaged_log_eigenvalues")[1]
    return Finding(
        [
            Number(f"mean (log λ)³ deep, epoch {epoch:,}", "-1.7", cubes),
            Number("Tr (log Ĝ)³ as (9.6) is printed", None, sums),
            Number("mean (log λ)³ with slopes ⟨f'⟩", None, averaged),
            Number("standardised skewness", None, standard),
        ],
        judge([s < -0.1 for s in standard]),
        f"The paper does not say which reading of μ₃ it quotes. Its pair (2.44, -1.7) has standardised skewness -0.45; "
        f"ours is {np.mean(standard):.2f} at mean square {np.mean(squares):.2f}. It cannot be a sum.",
    )


def _variance(histories: Histories, settings: Settings) -> Finding:
    epoch = settings.milestones()[-1]
    deep, shallow = (_moments(histories[name], epoch)[0] for name in BOTH)
    return Finding(
        [
            Number(f"mean (log λ)² deep, epoch {epoch:,}", "2.44", deep),
            Number(f"mean (log λ)² shallow, epoch {epoch:,}", "1.84", shallow),
            Number("ratio", f"{2.44 / 1.84:.2f}", [a / b for a, b in zip(deep, shallow, strict=True)]),
        ],
        judge([a > b for a, b in zip(deep, shallow, strict=True)]),
        "Means over the dynamical eigenvalues. As a sum over all, 2.44 would bound every |log λ| by 1.56, against "
        "eigenvalues at -3 in the same figure.",
    )


def _gap(histories: Histories, settings: Settings) -> Finding:
    deep, marks = histories["deep"], settings.milestones()
    centres = [per_seed(deep, gap_centre, e) for e in marks]
    contrast = per_seed(deep, lambda run: float(gap_at(run, marks[-1]).contrast))
    counts = per_seed(deep, lambda run: float(gap_at(run, marks[-1]).below))
    moved = [last < middle < first for first, middle, last in zip(*centres, strict=True)]
    results = [c > CONTRAST and n >= 2 and down for c, n, down in zip(contrast, counts, moved, strict=True)]
    return Finding(
        [
            *(
                Number(f"centre of the gap, epoch {e:,}", p, c)
                for e, p, c in zip(marks, PAPER_GAPS, centres, strict=True)
            ),
            Number(f"width over median spacing, epoch {marks[-1]:,}", None, contrast),
            Number(f"eigenvalues below it, epoch {marks[-1]:,}", None, counts),
        ],
        judge(results),
        "The widest empty interval among the lower half of the negative eigenvalues; the paper marks it by eye.",
    )


def _beta_of_gap(histories: Histories, settings: Settings) -> Finding:
    numbers, follows, readings = [], [], []
    for mark, gap, beta in zip(settings.milestones(), PAPER_GAPS, PAPER_BETAS, strict=True):
        ours = [float(beta_from_gap(centre)) for centre in per_seed(histories["deep"], gap_centre, mark)]
        theirs = float(beta_from_gap(float(gap)))
        numbers.append(Number(f"β by (9.4) at our gap, epoch {mark:,}", beta, ours))
        numbers.append(Number(f"β by (9.4) at the paper's own gap {gap}", beta, [theirs]))
        follows.append(f"{theirs:.2f}" == beta)
        readings.append(f"{theirs:.3f}")
    return Finding(
        numbers,
        judge(follows),
        f"(9.4) turns the quoted gaps into {', '.join(readings)}: {sum(follows)} of {len(follows)} fit. "
        "The quoted 1.47 is what the first gap, -2.3, gives.",
    )


def _no_gap_in_shallow(histories: Histories, settings: Settings) -> Finding:
    epoch = settings.milestones()[-1]
    deep, shallow = (per_seed(histories[name], lambda run: float(gap_at(run, epoch).width)) for name in BOTH)
    contrast = per_seed(histories["shallow"], lambda run: float(gap_at(run, epoch).contrast))
    narrower = [s < d for s, d in zip(shallow, deep, strict=True)]
    found = graded(max(contrast) <= CONTRAST, any(narrower))
    return Finding(
        [
            Number(f"widest gap, deep, epoch {epoch:,}", None, deep),
            Number(f"widest gap, shallow, epoch {epoch:,}", None, shallow),
            Number("width over median spacing, shallow", None, contrast),
        ],
        found,
        f"Widths in log λ. By the measure that finds the deep network's gap the shallow one has "
        f"{'none' if found == 'agrees' else 'one too'}, narrower than the deep network's in {sum(narrower)} of "
        f"{len(narrower)} seed{'s' if len(narrower) > 1 else ''}.",
    )


def _tails(histories: Histories, settings: Settings) -> Finding:
    marks = settings.milestones()

    def shift(run: Any, index: int) -> float:
        first, last = (np.sort(at_epoch(run, e).log_eigenvalues.values)[index] for e in (marks[0], marks[-1]))
        return float(last - first)

    low, high = (per_seed(histories["deep"], shift, index) for index in (0, -1))
    total = float(np.abs(histories["deep"].log_eigenvalues.sum("eigenvalue")).max())
    return Finding(
        [Number("shift of the smallest log λ", None, low), Number("shift of the largest log λ", None, high)],
        judge([a < 0 < b for a, b in zip(low, high, strict=True)]),
        f"Σ log λ is at most {total:.0e} at any record; (7.8) says 0.",
    )


CLAIMS = (
    Claim(
        "most near zero",
        "Figs. 4-5",
        "Most eigenvalues of log Ĝ stay near the origin; only a fraction is displaced.",
        "More than half of the dynamical eigenvalues have |log λ| < ½ (partly: more than half of all 854).",
        _near_zero,
        BOTH,
    ),
    Claim(
        "shallow symmetric",
        "Fig. 4",
        "The spectrum of the shallow network is almost completely symmetric.",
        "Standardised skewness within ±0.01 in every seed.",
        _shallow_symmetric,
        ("shallow",),
    ),
    Claim(
        "deep skewed",
        "Fig. 5",
        "The spectrum of the deep network is skewed to negative values.",
        "Standardised skewness below -0.1 in every seed.",
        _deep_skewed,
        ("deep",),
    ),
    Claim(
        "variance",
        "Figs. 4-5",
        "The variance of log λ is larger in the deep network than in the shallow one.",
        "Larger mean (log λ)² in every seed.",
        _variance,
        BOTH,
    ),
    Claim(
        "gap",
        "Fig. 5",
        "A gap opens between the smallest eigenvalues and the rest, and moves to smaller values.",
        f"At epoch {{last}} two or more lie below it, it is over {CONTRAST} times the median spacing, and moved down.",
        _gap,
        ("deep",),
    ),
    Claim(
        "β of the gap",
        "Sec. 10, (9.4)",
        "By (9.4) the gaps give β ≈ 1.37, 1.40, 1.47: the temperature falls as training goes on.",
        "The paper's β follow from its own gaps by (9.4) to the digits quoted.",
        _beta_of_gap,
        ("deep",),
    ),
    Claim(
        "no gap in the shallow",
        "Fig. 4",
        "In the shallow network no gap can be clearly identified.",
        f"Its widest gap is at most {CONTRAST} times its median spacing in every seed (partly: wider, but narrower "
        "than the deep network's in some seed).",
        _no_gap_in_shallow,
        BOTH,
    ),
    Claim(
        "tails",
        "Fig. 5",
        "The smallest eigenvalues keep moving down and the largest up, their logarithms adding to zero.",
        "Between epochs {first} and {last} the smallest log λ falls and the largest rises.",
        _tails,
        ("deep",),
    ),
)
