"""What Sections 8 and 9 claim of architectures, what the trained ones say, and a verdict on each claim."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnthermo.experiments.architectures.correlations import Correlation
from nnthermo.experiments.architectures.measures import BY_KEY, SCORES, Correlations, reached, values
from nnthermo.experiments.verdicts import Finding, Number, Statement

EVERY = (
    "In every activation the 95 % interval of ρ lies on the claimed side; partly if in some, and in none on the other."
)


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim and the test of it, (correlations) -> Finding."""

    key: str
    where: str
    claim: str
    criterion: str
    test: Callable[[Correlations], Finding]


def statements(correlations: Correlations, lost: int = 0) -> list[Statement]:
    """A verdict on each of `CLAIMS`.

    Args:
        correlations: of the study.
        lost: architectures that are left out because a number was not finite.
    """
    found = []
    for claim in CLAIMS:
        numbers, verdict, comment = claim.test(correlations)
        if lost:
            comment += f" {lost} architectures are left out, because a number of theirs is not finite."
        found.append(Statement(claim.key, claim.where, claim.claim, claim.criterion, numbers, verdict, comment))
    return found


def direction(found: list[Correlation], sign: int) -> str:
    """ "agrees" if every interval lies on the side of `sign`, "partly" if some do and none on the other, else
    "disagrees"; "not tested" where there is no number."""
    if not found or not all(math.isfinite(c.low) and math.isfinite(c.high) for c in found):
        return "not tested"
    right = [(c.low if sign > 0 else -c.high) > 0 for c in found]
    wrong = [(c.high if sign > 0 else -c.low) < 0 for c in found]
    return "agrees" if all(right) else "partly" if any(right) and not any(wrong) else "disagrees"


def _numbers(label: str, found: dict[str, Correlation]) -> list[Number]:
    return [Number(f"ρ of {label}, {name} ({c.low:.2f} to {c.high:.2f})", None, [c.value]) for name, c in found.items()]


def _predicts(key: str, sign: int, moment: int = 0, **chosen: Any) -> Callable[[Correlations], Finding]:
    """A score, after the `moment`-th record, against the accuracy reached."""

    def test(c: Correlations) -> Finding:
        epoch = c.settings.records[moment]
        each = {a: c.of(key, epoch, activation=a, **chosen) for a in c.settings.activations}
        numbers = _numbers(BY_KEY[key].label, each)
        verdict = direction(list(each.values()), sign)
        beyond = c.of(
            key,
            epoch,
            fixed=(*chosen.get("fixed", ()), "parameters"),
            **{k: v for k, v in chosen.items() if k != "fixed"},
        )
        numbers += _numbers(f"{BY_KEY[key].label} at a fixed number of parameters", {"all activations": beyond})
        wanted = "positive" if sign > 0 else "negative"
        right = sum((v.low if sign > 0 else -v.high) > 0 for v in each.values())
        wrong = sum((v.high if sign > 0 else -v.low) < 0 for v in each.values())
        comment = (
            f"Claimed: {wanted}. So in {right} of {len(each)} activations, the opposite in {wrong}; with the number of "
            f"parameters held fixed ρ is {beyond.value:.2f} ({beyond.low:.2f} to {beyond.high:.2f})."
        )
        return Finding(numbers, verdict, comment)

    return test


def _in_the_initial_phase(c: Correlations) -> Finding:
    beta = min(c.settings.betas)
    if beta >= 0.5:
        return Finding([], "not tested", "No score was taken at β < ½.")
    found = _predicts("entropy_destruction", -1, beta=beta)(c)
    comment = (
        f"At β = {beta:g}. Since Σ log λ = 0, -ΔF differs from that of unlinked neurons by β²(2β - 1) μ2 / 2(1 + β)⁴ "
        "and higher moments: its sign turns at β = ½, and scores on the two sides order architectures by variance, one "
        "way and the other. "
    )
    return Finding(found.numbers, found.verdict, comment + found.comment)


def _grows(key: str, other: str, sign: int, what: str, **chosen: Any) -> Callable[[Correlations], Finding]:
    """A score against another one at the start."""

    def test(c: Correlations) -> Finding:
        each = {a: c.between(key, other, activation=a, **chosen) for a in c.settings.activations}
        numbers = _numbers(f"{BY_KEY[key].label} with {what}", each)
        verdict = direction(list(each.values()), sign)
        comment = (
            "Untrained networks, ranks over architectures. "
            + "; ".join(f"{a}: {v.value:.2f}" for a, v in each.items())
            + "."
        )
        return Finding(numbers, verdict, comment)

    return test


def _depth_pays(c: Correlations) -> Finding:
    part, best = c.results, {}
    each = {a: c.of("depth", activation=a) for a in c.settings.activations}
    numbers = _numbers("hidden layers", each)
    for activation in c.settings.activations:
        own = part.isel(architecture=part.activation.values == activation)
        by_depth = {int(d): reached(own)[own.depth.values == d] for d in sorted(set(own.depth.values))}
        best[activation] = max(by_depth, key=lambda d: by_depth[d].max())
        numbers += [
            Number(f"best accuracy, {d} hidden {'layer' if d == 1 else 'layers'}, {activation}", None, [v.max()])
            for d, v in by_depth.items()
        ]
    deepest = ", ".join(f"{d} ({a})" for a, d in best.items())
    budget = f"{c.settings.neurons} hidden neurons" if c.settings.neurons else f"{c.settings.parameters:,} parameters"
    comment = f"With {budget}, the best architecture has this many hidden layers: {deepest}."
    return Finding(numbers, direction(list(each.values()), 1), comment)


def _more_than_baselines(c: Correlations) -> Finding:
    numbers, wins = [], []
    for epoch in c.settings.score_epochs:
        best: dict[str, tuple[float, str]] = {}
        for score in SCORES:
            kind = "thermodynamic" if score.kind == "thermodynamic" else "usual"
            if score.kind == "short training" and epoch == 0:
                continue
            found = c.of(score.key, epoch)
            if math.isfinite(found.value):
                best[kind] = max(best.get(kind, (-1.0, "")), (abs(found.value), score.label))
        for kind, (value, label) in best.items():
            numbers.append(Number(f"largest |ρ| of a {kind} score after {epoch} epochs: {label}", None, [value]))
        wins.append(best["thermodynamic"][0] > best["usual"][0])
    verdict = "agrees" if all(wins) else "partly" if any(wins) else "disagrees"
    comment = (
        "The best of each kind is chosen after the fact, from more thermodynamic scores than others, which favours "
        f"them. A thermodynamic score is ahead at {sum(wins)} of {len(wins)} moments."
    )
    return Finding(numbers, verdict, comment)


def _beyond_parameters(c: Correlations) -> Finding:
    scores = [s for s in SCORES if s.kind == "thermodynamic" and s.sign]
    found = {s: c.of(s.key, 0, fixed=("parameters",)) for s in scores}
    right = [s for s, v in found.items() if (v.low if s.sign > 0 else -v.high) > 0]
    wrong = [s for s, v in found.items() if (v.high if s.sign > 0 else -v.low) < 0]
    numbers = [n for s, v in found.items() for n in _numbers(s.label, {"all activations": v})]
    verdict = "agrees" if len(right) > len(found) / 2 and not wrong else "partly" if right else "disagrees"
    comment = (
        f"Of {len(found)} scores with a claimed sign {len(right)} keep it beyond their intervals and {len(wrong)} have "
        "the other one. Right: "
        f"{', '.join(s.label for s in right) or 'none'}. Wrong: {', '.join(s.label for s in wrong) or 'none'}."
    )
    return Finding(numbers, verdict, comment)


def _grows_skewed(c: Correlations) -> Finding:
    part = c.results.isel(architecture=(c.results.skip.values == "none") & (c.results.depth.values > 1))
    end = c.settings.records[-1]
    numbers, shares = [], []
    for activation in c.settings.activations:
        own = part.isel(architecture=part.activation.values == activation)
        if not own.sizes["architecture"]:
            continue
        change = values(own, "mu3", end) - values(own, "mu3", 0)
        shares.append(float(np.mean(change < 0)))
        numbers.append(Number(f"share whose μ3 falls in training, {activation}", None, [shares[-1]]))
        numbers.append(Number(f"median change of μ3, {activation}", None, [float(np.median(change))]))
    if not shares:
        return Finding([], "not tested", "The family has no network of two hidden layers or more without skips.")
    verdict = "agrees" if min(shares) > 0.9 else "partly" if max(shares) > 0.5 else "disagrees"
    return Finding(numbers, verdict, "Networks of two or more hidden layers without skips, means over seeds.")


def _skips_turn(c: Correlations) -> Finding:
    numbers, positive = [], {}
    for skip in c.settings.skips[::-1]:  # those with the most first
        own = c.results.isel(architecture=c.results.skip.values == skip)
        each = own.hyperbolic_skewness.values.ravel()
        if len(each):
            positive[skip] = float(np.mean(each > 1e-9))
            numbers.append(
                Number(f"share of networks and records with Σ 2 sinh log λ > 0, skips: {skip}", None, [positive[skip]])
            )
    skipped = [v for k, v in positive.items() if k != "none"]
    if "none" not in positive or not skipped:
        return Finding(numbers, "not tested", "The family has networks with skips only, or none with any.")
    verdict = "disagrees" if positive["none"] else "agrees" if max(skipped) else "partly"
    comment = "Without skips the sum is -Σ_{k>=2}|A^k|², never positive. "
    comment += (
        "With skips it was positive for some." if max(skipped) else "With skips it can be positive; here it was not."
    )
    return Finding(numbers, verdict, comment)


CLAIMS = (
    Claim(
        "less entropy destruction is better",
        "Sec. 8, (9.1)",
        "The smaller -ΔF in the eigenvalues of an untrained architecture, the better it learns.",
        EVERY,
        _predicts("entropy_destruction", -1),
    ),
    Claim(
        "less entropy destruction in the initial phase",
        "Sec. 9, Fig. 1",
        "The same at β < ½, where the paper's initial phase has a maximum of -ΔF at log λ = 0.",
        EVERY,
        _in_the_initial_phase,
    ),
    Claim(
        "also after a short training",
        "Sec. 8, (9.1)",
        "The smaller -ΔF after a short training, the better the architecture ends.",
        EVERY,
        _predicts("entropy_destruction", -1, -2),
    ),
    Claim(
        "variance",
        "Sec. 9, (9.5)",
        "The larger μ2 of an untrained architecture, the better it learns.",
        EVERY,
        _predicts("mu2", 1),
    ),
    Claim(
        "skewness",
        "Sec. 9, (9.6)",
        "The more negative μ3 of an untrained architecture, the better it learns.",
        EVERY,
        _predicts("mu3", -1),
    ),
    Claim(
        "skewness after a short training",
        "Sec. 9, (9.6)",
        "The more negative μ3 after a short training, the better the architecture ends.",
        EVERY,
        _predicts("mu3", -1, -2),
    ),
    Claim(
        "dynamical eigenvalues",
        "Sec. 9",
        "The more eigenvalues can move away from 1, the better an architecture learns.",
        EVERY,
        _predicts("moving", 1),
    ),
    Claim(
        "apples to apples",
        "Sec. 9",
        "At a fixed number of moving eigenvalues, a more negative μ3 is better.",
        EVERY,
        _predicts("mu3", -1, fixed=("moving",)),
    ),
    Claim(
        "depth makes skewness",
        "Sec. 9, (9.11)",
        "The more hidden layers, the more negative the skewness of log λ.",
        EVERY + " Without skips.",
        _grows("skewness", "depth", -1, "hidden layers", skip="none"),
    ),
    Claim(
        "depth saves entropy",
        "Sec. 9",
        "The more hidden layers, the less negative ΔF.",
        EVERY + " Without skips.",
        _grows("entropy_destruction", "depth", -1, "hidden layers", skip="none"),
    ),
    Claim("depth pays", "Sec. 9", "The more hidden layers, the better an architecture learns.", EVERY, _depth_pays),
    Claim(
        "skewness grows in training",
        "Sec. 9",
        "While a deep network learns, its smallest eigenvalues go down and its skewness becomes more negative.",
        "μ3 falls in more than 90 % of architectures of every activation; partly: in more than half of those of one.",
        _grows_skewed,
    ),
    Claim(
        "skips turn the sign",
        "Sec. 9, (9.6)",
        "Not in the paper, but exact: without skips Σ 2 sinh log λ is never positive; with skips it may be.",
        "Never positive without skips and positive for some networks with them; partly if for none.",
        _skips_turn,
    ),
    Claim(
        "more than the number of parameters",
        "Sec. 9",
        "The scores say something that the number of parameters does not.",
        "At a fixed number of parameters more than half of the scores with a claimed sign have it beyond their 95 % "
        "intervals, and none the other; partly if any has.",
        _beyond_parameters,
    ),
    Claim(
        "better than other scores",
        "Sec. 9",
        "Not in the paper: thermodynamic scores predict the accuracy reached better than usual ones.",
        "The largest |ρ| is a thermodynamic score's at every moment; partly at some.",
        _more_than_baselines,
    ),
)
"""Every claim, in the order of the report."""
