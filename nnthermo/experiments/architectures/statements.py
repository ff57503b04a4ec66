"""What Sections 8 and 9 claim of architectures, what the trained ones say, and a verdict on each claim."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnthermo.experiments.architectures.correlations import Correlation
from nnthermo.experiments.architectures.measures import BY_KEY, SCORES, Correlations, reached, values
from nnthermo.experiments.claims import Claim, Evidence, judged
from nnthermo.experiments.verdicts import Finding, Number, Statement, graded

EVERY = (
    "In every activation the 95 % interval of ρ lies on the claimed side; partly if in some, and in none on the other."
)


def statements(correlations: Correlations, lost: int = 0) -> list[Statement]:
    """A verdict on each of `CLAIMS`; `lost` are architectures with a number that is not finite."""
    note = f"{lost} architectures are left out, because a number of theirs is not finite." if lost else ""
    return judged(CLAIMS, lambda _claim: Evidence((correlations,), note))


def direction(found: list[Correlation], sign: int) -> str:
    """The verdict by `EVERY`; "not tested" where there is no number."""
    if not found or not all(math.isfinite(c.low) and math.isfinite(c.high) for c in found):
        return "not tested"
    right, wrong = [has_sign(c, sign) for c in found], [has_sign(c, -sign) for c in found]
    return graded(all(right), any(right) and not any(wrong))


def has_sign(found: Correlation, sign: int) -> bool:
    """Whether the whole interval has it."""
    return bool((found.low if sign > 0 else -found.high) > 0)


def _rho(found: Correlation) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _numbers(label: str, found: dict[str, Correlation]) -> list[Number]:
    return [Number(f"ρ of {label}, {name} ({c.low:.2f} to {c.high:.2f})", None, [c.value]) for name, c in found.items()]


def _predicts(
    key: str, sign: int, moment: int = 0, *, fixed: tuple[str, ...] = (), least_beta: bool = False
) -> Callable[[Correlations], Finding]:
    """A score, after the `moment`-th record, against the accuracy reached; at the first β of the settings, or least."""

    def test(c: Correlations) -> Finding:
        settings, epoch = c.settings, c.settings.records[moment]
        if moment and not epoch:
            return Finding([], "not tested", "No score was taken after a short training.")
        beta = None
        if "beta" in c.results[key].dims:
            beta = min(settings.betas) if least_beta else settings.betas[0]
            if least_beta and beta >= 0.5:
                return Finding([], "not tested", "No score was taken at β < ½.")
        label = BY_KEY[key].label + ("" if beta is None else f", β = {beta:g}")
        each = {a: c.of(key, epoch, activation=a, beta=beta, fixed=fixed) for a in settings.activations}
        beyond = c.of(key, epoch, beta=beta, fixed=(*fixed, "parameters"))
        numbers = _numbers(label, each)
        numbers += _numbers(f"{label}, at a fixed number of parameters", {"all activations": beyond})
        right, wrong = (sum(has_sign(v, s) for v in each.values()) for s in (sign, -sign))
        comment = (
            f"Claimed: {'positive' if sign > 0 else 'negative'}. So, beyond the interval, in {right} of {len(each)} "
            f"activations, and the opposite in {wrong}; with the number of parameters held fixed ρ is {_rho(beyond)}."
        )
        if beta is not None and len(settings.betas) > 1:
            others = [(b, c.of(key, epoch, beta=b)) for b in settings.betas if b != beta]
            comment += " At other β, all activations: " + "; ".join(f"β = {b:g}: {_rho(v)}" for b, v in others) + "."
        return Finding(numbers, direction(list(each.values()), sign), comment)

    return test


def _in_the_initial_phase(c: Correlations) -> Finding:
    found = _predicts("entropy_destruction", -1, least_beta=True)(c)
    comment = (
        "Since Σ log λ = 0, to second order in log λ -ΔF differs from that of unlinked neurons by β²(2β - 1) μ2 / "
        "2(1 + β)⁴, whose sign turns at β = ½: as far as that goes, scores on the two sides order architectures by "
        "variance, one way and the other. "
    )
    return Finding(found.numbers, found.verdict, comment + found.comment)


def _in_the_weights(c: Correlations) -> Finding:
    """The Laplacian in the weights, and what of it is not in the count of links."""
    found = _predicts("weight_laplacian", 1)(c)
    rest = {a: c.of("weight_laplacian", activation=a, fixed=("weighted_links",)) for a in c.settings.activations}
    alone = c.of("weighted_links")
    numbers = found.numbers + _numbers("the same at a fixed connections × f'(0)²", rest)
    verdict = found.verdict
    if verdict == "agrees" and not all(has_sign(v, 1) for v in rest.values()):
        verdict = "partly"
    comment = (
        f"With small weights it is Σ f'² / (1 + β)² over all connections: connections × f'(0)² alone have ρ = "
        f"{_rho(alone)}. {found.comment}"
    )
    later = c.settings.score_epochs[-1]
    if later:
        comment += f" After {later} epochs, all activations: {_rho(c.of('weight_laplacian', later))}."
    return Finding(numbers, verdict, comment)


def _grows(key: str, other: str, sign: int, what: str, **chosen: Any) -> Callable[[Correlations], Finding]:
    """A score against another one at the start."""

    def test(c: Correlations) -> Finding:
        each = {a: c.between(key, other, activation=a, **chosen) for a in c.settings.activations}
        beta = f", β = {c.settings.betas[0]:g}" if "beta" in c.results[key].dims else ""
        numbers = _numbers(f"{BY_KEY[key].label}{beta} with {what}", each)
        verdict = direction(list(each.values()), sign)
        shown = "; ".join(f"{a}: {_rho(v)}" for a, v in each.items())
        return Finding(numbers, verdict, f"Untrained networks, ranks over architectures. {shown}.")

    return test


def _depth_pays(c: Correlations) -> Finding:
    part, best = c.results, {}
    each = {a: c.of("depth", activation=a) for a in c.settings.activations}
    numbers = _numbers("hidden layers", each)
    for activation in c.settings.activations:
        own = part.isel(architecture=part.activation.values == activation)
        by_depth = {int(d): reached(own)[own.depth.values == d] for d in sorted(set(own.depth.values))}
        if by_depth:
            best[activation] = max(by_depth, key=lambda d: by_depth[d].max())
        numbers += [
            Number(f"best accuracy, {d} hidden {'layer' if d == 1 else 'layers'}, {activation}", None, [v.max()])
            for d, v in by_depth.items()
        ]
    deepest = ", ".join(f"{d} ({a})" for a, d in best.items())
    budget = f"{c.settings.neurons} hidden neurons" if c.settings.neurons else f"{c.settings.parameters:,} parameters"
    comment = (
        f"With {budget}, the best architecture has this many hidden layers: {deepest}. The best of many, chosen on the "
        "test samples: differences of less than a standard error of the accuracy mean nothing."
    )
    return Finding(numbers, direction(list(each.values()), 1), comment)


def _more_than_baselines(c: Correlations) -> Finding:
    numbers: list[Number] = []
    leads: list[Correlation] = []
    for epoch in c.settings.score_epochs:
        best: dict[str, tuple[float, Any]] = {}
        for score in SCORES:
            if score.kind == "short training" and epoch == 0:
                continue
            kind = "thermodynamic" if score.kind == "thermodynamic" else "usual"
            value = abs(c.of(score.key, epoch).value)
            if math.isfinite(value) and value > best.get(kind, (-1.0, None))[0]:
                best[kind] = (value, score)
        if len(best) < 2:
            return Finding(numbers, "not tested", "There is no correlation to compare.")
        lead = c.ahead(best["thermodynamic"][1].key, best["usual"][1].key, epoch)
        leads.append(lead)
        text = f"{best['thermodynamic'][1].label} less {best['usual'][1].label}, {epoch} epochs"
        numbers.append(Number(f"|ρ| of {text} ({lead.low:.2f} to {lead.high:.2f})", None, [lead.value]))
        numbers += [Number(f"|ρ| of {s.label}, {epoch} epochs", None, [v]) for v, s in best.values()]
    verdict = direction(leads, 1)
    comment = (
        "The best of each kind is chosen after the fact, from more thermodynamic scores than others, which favours "
        f"them. One is ahead beyond its interval at {sum(has_sign(v, 1) for v in leads)} of {len(leads)} moments, "
        f"behind at {sum(has_sign(v, -1) for v in leads)}."
    )
    return Finding(numbers, verdict, comment)


def _beyond_parameters(c: Correlations) -> Finding:
    scores = [s for s in SCORES if s.kind == "thermodynamic"]
    found = {s: c.of(s.key, 0, fixed=("parameters",)) for s in scores}
    clear = [s for s, v in found.items() if has_sign(v, 1) or has_sign(v, -1)]
    right = [s for s in clear if s.sign and has_sign(found[s], s.sign)]
    wrong = [s for s in clear if s.sign and has_sign(found[s], -s.sign)]
    numbers = [n for s, v in found.items() for n in _numbers(s.label, {"all activations": v})]
    comment = (
        f"{len(clear)} of {len(found)} do. Of those with a claimed sign it is right for "
        f"{', '.join(s.label for s in right) or 'none'}, and wrong for {', '.join(s.label for s in wrong) or 'none'}."
    )
    return Finding(numbers, graded(2 * len(clear) > len(found), clear), comment)


def _grows_skewed(c: Correlations) -> Finding:
    part = c.results.isel(architecture=(c.results.skip.values == "none") & (c.results.depth.values > 1))
    end = c.settings.records[-1]
    numbers, shares = [], []
    for key, text in (("mu3", "μ3"), ("smallest", "smallest log λ")):
        for activation in c.settings.activations:
            own = part.isel(architecture=part.activation.values == activation)
            if own.sizes["architecture"]:
                change = values(own, key, end) - values(own, key, 0)
                shares.append(float(np.mean(change < 0)))
                numbers.append(Number(f"share whose {text} falls in training, {activation}", None, [shares[-1]]))
    if not shares:
        return Finding([], "not tested", "The family has no network of two hidden layers or more without skips.")
    found = graded(min(shares) > 0.9, max(shares) > 0.9)
    return Finding(numbers, found, "Networks of two or more hidden layers without skips, means over seeds.")


def _skips_turn(c: Correlations) -> Finding:
    numbers, positive = [], {}
    for skip in c.settings.skips:
        own = c.results.isel(architecture=c.results.skip.values == skip)
        each = own.hyperbolic_skewness.values.ravel()
        if len(each):
            positive[skip] = float(np.mean(each > 1e-9))
            text = f"share of networks and records with Σ 2 sinh log λ > 0, skips: {skip}"
            numbers.append(Number(text, None, [positive[skip]]))
    if "none" not in positive:
        return Finding(numbers, "not tested", "The family has networks with skips only.")
    verdict = "disagrees" if positive["none"] else "agrees"
    comment = "Without skips the sum is -Σ_{k>=2}|A^k|². "
    if len(positive) > 1:
        found = any(v for k, v in positive.items() if k != "none")
        comment += f"With skips it may be positive; here it {'was for some' if found else 'never was'}."
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
        "Both fall in more than 90 % of architectures of every activation; partly if one does in one activation.",
        _grows_skewed,
    ),
    Claim(
        "no skips, no positive skewness",
        "Sec. 9, (9.6)",
        "Not in the paper, but exact: without skips Σ 2 sinh log λ is never positive.",
        "It never is.",
        _skips_turn,
    ),
    Claim(
        "the Laplacian in the weights",
        "Sec. 8, (8.4)",
        "The larger ΔF in the weights, which are what is trained, the better an untrained architecture learns.",
        EVERY + " Agrees only if that is so beside the count of connections, too.",
        _in_the_weights,
    ),
    Claim(
        "more than the number of parameters",
        "Sec. 9",
        "The scores say something that the number of parameters does not.",
        "At a fixed number of parameters the 95 % intervals of more than half of the thermodynamic scores exclude 0, "
        "with whatever sign; partly if any does.",
        _beyond_parameters,
    ),
    Claim(
        "better than other scores",
        "Sec. 9",
        "Not in the paper: thermodynamic scores predict the accuracy reached better than usual ones.",
        "At every moment the best thermodynamic score's |ρ| exceeds the best other one's beyond the 95 % interval of "
        "the difference; partly if at some, and at none the other way.",
        _more_than_baselines,
    ),
)
"""Every claim, in the order of the report."""
