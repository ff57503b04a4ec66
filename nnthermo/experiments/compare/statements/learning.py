"""What the paper expects of training with the bulk loss, and says of both losses on the way (Section 10)."""

import math
from typing import Any

import numpy as np

from nnthermo.experiments.claims import Claim
from nnthermo.experiments.compare.runs import Histories
from nnthermo.experiments.compare.settings import Settings
from nnthermo.experiments.compare.statements.record import at_time, by_network, equal_time, last, pairwise, values_of
from nnthermo.experiments.histories import plateau
from nnthermo.experiments.verdicts import Finding, graded, judge

POINTS = 0.02
FACTOR = 2.0
BOTH = ("boundary", "bulk")


def _similar_accuracy(histories: Histories, settings: Settings) -> Finding:
    gaps = pairwise(
        "test accuracy, bulk minus boundary training",
        histories,
        settings,
        lambda one, other: last(other, "test_accuracy") - last(one, "test_accuracy"),
    )
    levels = [
        n
        for t in BOTH
        for n in by_network(f"test accuracy, {t} training", histories, settings, t, lambda r: last(r, "test_accuracy"))
    ]
    values = values_of(gaps)
    return Finding(
        [*gaps, *levels],
        judge([abs(v) <= POINTS for v in values]),
        f"After {settings.epochs:,} epochs at learning rate {settings.learning_rate:g} and "
        f"{settings.rate_of('bulk'):g}; bulk training is ahead in {sum(v > 0 for v in values)} of {len(values)} pairs "
        f"of runs, by {np.mean(values):+.3f} on average.",
    )


def _similar_in_time(histories: Histories, settings: Settings) -> Finding:
    def gap(one: Any, other: Any) -> float:
        t = equal_time(one, other)
        return at_time(other, "test_accuracy", t) - at_time(one, "test_accuracy", t)

    def ratio(one: Any, other: Any) -> float:
        """NaN where training took no longer than a call without any."""
        spent = last(one, "seconds")
        return last(other, "seconds") / spent if spent > 0 else math.nan

    gaps = pairwise("test accuracy in equal time, bulk minus boundary training", histories, settings, gap)
    slower = pairwise("seconds an epoch, bulk over boundary training", histories, settings, ratio)
    known = [v for v in values_of(slower) if math.isfinite(v)]
    longer = "too short a time to be measured"
    if known:
        longer = f"{min(known):.3g} to {max(known):.3g} times as long, since every sample is relaxed at every step"
    return Finding(
        [*gaps, *slower],
        judge([abs(v) <= POINTS for v in values_of(gaps)]),
        "Both are compared at the smaller of the two training times, compiling and recording excluded. The paper says "
        f"nothing of cost; here an epoch takes {longer}.",
    )


def _similar_losses(histories: Histories, settings: Settings) -> Finding:
    def ratio(name: str) -> Any:
        return lambda one, other: np.log10(last(other, name) / last(one, name))

    boundary = pairwise("log10 of U_∂, bulk over boundary training", histories, settings, ratio("boundary_loss"))
    bulk = pairwise("log10 of U, bulk over boundary training", histories, settings, ratio("bulk_loss"))
    held = pairwise("log10 of U_∂ on test samples", histories, settings, ratio("test_boundary_loss"))
    pairs = zip(values_of(boundary), values_of(bulk), strict=True)
    return Finding(
        [*boundary, *bulk, *held],
        judge([max(abs(a), abs(b)) <= np.log10(FACTOR) for a, b in pairs]),
        "Losses on the training samples after as many epochs. Negative: lower when the bulk loss was trained on.",
    )


def _both_decrease(histories: Histories, settings: Settings) -> Finding:
    numbers = [
        n
        for name, symbol in (("bulk_loss", "U"), ("boundary_loss", "U_∂"))
        for n in by_network(
            f"fall of log {symbol}",
            histories,
            settings,
            "bulk",
            lambda run, name=name: np.log(float(run[name].isel(epoch=0)) / last(run, name)),
        )
    ]
    return Finding(
        numbers, judge([v > 0 for v in values_of(numbers)]), "In training with the bulk loss, on the training samples."
    )


def _orders_below(histories: Histories, settings: Settings) -> Finding:
    def ratio(run: Any) -> float:
        return float(np.log10(last(run, "relaxed_boundary_loss") / last(run, "bulk_loss")))

    numbers = [n for t in BOTH for n in by_network(f"log10 U_∂/U, {t} training", histories, settings, t, ratio)]
    lowest = min(values_of(numbers))
    return Finding(
        numbers,
        graded(lowest >= 2, lowest >= 1),
        f"Means over the same samples at the end. The smallest ratio is {10**lowest:.3g}, the largest "
        f"{10 ** max(values_of(numbers)):.3g}.",
    )


def rises(run: Any, name: str) -> float:
    """All rises of a loss's logarithm between records after the start, as a share of its whole fall; inf if none."""
    steps = np.diff(np.log(run[name].values))
    fall = -steps.sum()
    return float(steps[steps > 0].sum() / fall) if fall > 0 else float("inf")


def _monotone(histories: Histories, settings: Settings) -> Finding:
    numbers = [
        n
        for t in BOTH
        for n in by_network(
            f"rises of log U over its fall, {t} training", histories, settings, t, lambda run: rises(run, "bulk_loss")
        )
    ]
    boundary = by_network(
        "rises of log U_∂ over its fall, boundary training", histories, settings, "boundary",
        lambda run: rises(run, "boundary_loss"),
    )  # fmt: skip
    return Finding(
        [*numbers, *boundary],
        judge([v <= 0.01 for v in values_of(numbers)]),
        "Between records, at most a few percent of the run apart; the boundary loss for comparison. "
        + _converged(histories, settings),
    )


def _converged(histories: Histories, settings: Settings) -> str:
    worst = max(float(histories[n, t].unrelaxed.max()) for n in settings.networks for t in BOTH)
    return (
        f"At most {worst:.2%} of a record's relaxations had not converged." if worst else "All relaxations converged."
    )


def _boundary_sticks(histories: Histories, settings: Settings) -> Finding:
    def found(run: Any) -> float:
        losses = [np.log(run[name].values[1:]) for name in ("boundary_loss", "bulk_loss")]
        return plateau(run.epoch.values[1:].astype(float), *losses)[0]

    numbers = by_network("fall of log U while log U_∂ stays within 0.1", histories, settings, "boundary", found)
    return Finding(
        numbers,
        judge([v > 0.3 for v in values_of(numbers)]),
        f"The paper sees it over 10,000 epochs late in 30,000; these runs have {settings.epochs:,}.",
    )


def longest_still(run: Any, name: str) -> float:
    """The longest stretch over which the logarithm of a loss stays within 0.1, as a share of the run."""
    epochs, values = run.epoch.values.astype(float), np.log(run[name].values)
    best = 0.0
    for i in range(len(epochs)):
        for j in range(i + 1, len(epochs)):
            if np.ptp(values[i : j + 1]) < 0.1:
                best = max(best, epochs[j] - epochs[i])
    return float(best / epochs[-1])


def _sticks_less(histories: Histories, settings: Settings) -> Finding:
    own = [
        n
        for t in BOTH
        for n in by_network(
            f"longest share of the run that log {'U_∂' if t == 'boundary' else 'U'} stays within 0.1, {t} training",
            histories,
            settings,
            t,
            lambda run, t=t: longest_still(run, f"{t}_loss"),
        )
    ]
    half = len(own) // 2
    pairs = zip(values_of(own[:half]), values_of(own[half:]), strict=True)
    return Finding(
        own,
        judge([bulk < boundary for boundary, bulk in pairs]),
        "Each training by the loss that it minimises, which is what a loss with fewer flat directions should speed up.",
    )


CLAIMS = (
    Claim(
        "similar accuracy",
        "Sec. 10, text to Fig. 2",
        "A similar result is expected if the bulk loss is trained on in place of the boundary loss: here, accuracy.",
        f"Test accuracies after as many epochs differ by at most {POINTS:g} for every network and seed.",
        _similar_accuracy,
        BOTH,
    ),
    Claim(
        "similar in equal time",
        "Sec. 10, text to Fig. 2",
        "The same, in equal training time rather than equal epochs.",
        f"Test accuracies after equal seconds differ by at most {POINTS:g} for every network and seed.",
        _similar_in_time,
        BOTH,
    ),
    Claim(
        "similar losses",
        "Sec. 10, text to Fig. 2",
        "A similar result is expected if the bulk loss is trained on in place of the boundary loss: here, both losses.",
        f"U and U_∂ on the training samples end within a factor of {FACTOR:g} for every network and seed.",
        _similar_losses,
        BOTH,
    ),
    Claim(
        "both decrease",
        "Sec. 10, text to Fig. 2",
        "With the bulk loss, too, both losses decrease during training.",
        "Both are lower at the end than at the start for every network and seed.",
        _both_decrease,
        ("bulk",),
    ),
    Claim(
        "orders below",
        "Sec. 10, text to Fig. 2",
        "The bulk loss stays a few orders of magnitude below the boundary loss, whichever is trained on.",
        "log10 of the ratio of their means at the end is at least 2 in every run (1 to 2: partly).",
        _orders_below,
        BOTH,
    ),
    Claim(
        "bulk falls monotonically",
        "Sec. 10, text to Fig. 3",
        "The bulk loss decreases monotonically.",
        "Between records log U rises by at most a hundredth of its whole fall, in every run.",
        _monotone,
        BOTH,
    ),
    Claim(
        "boundary sticks",
        "Sec. 10, text to Fig. 3",
        "Meanwhile the boundary loss, trained on, stands still for long.",
        "Over some third of the run log U_∂ stays within 0.1 while log U falls by more than 0.3, in every run.",
        _boundary_sticks,
        ("boundary",),
    ),
    Claim(
        "sticks less",
        "Sec. 10, text to Fig. 3",
        "In this respect the bulk loss is the much better loss to train on.",
        "The loss trained on stands still (within 0.1 in its logarithm) for a smaller share of the run when it is the "
        "bulk loss, for every network and seed.",
        _sticks_less,
        BOTH,
    ),
)
