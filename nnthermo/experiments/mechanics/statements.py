"""What the papers say of the dynamics of trainable variables, what the ensembles say, and a verdict on each."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nnthermo.experiments.claims import NOTHING, Claim, Evidence, judged
from nnthermo.experiments.mechanics import gaussian, measuring
from nnthermo.experiments.mechanics.settings import SHOWN, Settings
from nnthermo.experiments.verdicts import Finding, Number, Statement, graded, judge

Runs = dict[str, list[dict[str, np.ndarray]]]
"""What the jobs wrote, a list over seeds for each arm."""

CLOSE = 0.1
"""Relative difference, or share of the probability, up to which a prediction without a fitted constant counts."""

FITS = 1.5
"""Misfit of the widths, in sampling errors, up to which a Gaussian fluid describes them."""


def statements(runs: Runs, settings: Settings) -> list[Statement]:
    """A verdict on each of `CLAIMS`; seeds with numbers that are not finite are left out."""

    def evidence(claim: Claim) -> Evidence:
        (arm,) = claim.needs
        sound = [run for run in runs[arm] if all(np.isfinite(v).all() for v in run.values())]
        lost, seeds = len(runs[arm]) - len(sound), len(runs[arm])
        note = f"Left out: {lost} of {seeds} seeds, not finite." if lost else ""
        return Evidence(({arm: sound}, settings), note) if sound else Evidence(None, NOTHING)

    return judged(CLAIMS, evidence)


def _each(runs: Runs, arm: str, function: Callable[[Any], float]) -> list[float]:
    return [float(function(run)) for run in runs[arm]]


def _density(runs: Runs, settings: Settings) -> Finding:
    excess = _each(runs, "plane", lambda r: max(d.excess for d in measuring.plane_distances(r)))
    last = _each(runs, "plane", lambda r: measuring.plane_distances(r)[-1].found)
    noise = _each(runs, "plane", lambda r: measuring.plane_distances(r)[-1].sampling)
    linear = _each(runs, "plane", lambda r: max(d.excess for d in measuring.linear_distances(r)))
    grid = _each(runs, "plane", lambda r: max(measuring.grid_distances(r)))
    numbers = [
        Number("largest total variation beyond sampling", None, excess),
        Number("total variation at the end", None, last),
        Number("of which sampling alone makes", None, noise),
        Number("largest beyond sampling, linear problem without the next order in η", None, linear),
        Number("change when the grid's spacing is doubled", None, grid),
    ]
    comment = (
        f"{settings.replicas:,} networks moved in the plane of their two sharpest directions, from a start "
        f"{settings.plane_displacement:g} widths away. Drift and diffusion come from the loss and the covariance of "
        "its gradients at every point of the plane, with their corrections of the next order in η. The linear problem "
        "is one of constant D and without them."
    )
    return Finding(numbers, judge([e <= CLOSE for e in excess]), comment)


def _variances(runs: Runs, _settings: Settings) -> Finding:
    def worst(kind: str, run: Any) -> float:
        ratio = run["measured_variance"][1:] / run[f"{kind}_variance"][1:]
        return float(np.sqrt(np.mean((ratio - 1) ** 2)))

    def sharpest(run: Any) -> float:
        return float(run["measured_variance"][-1, -1] / run["predicted_variance"][-1, -1])

    def normality(run: Any) -> float:
        shown, variances = run["samples"][-1].astype(float), run["discrete_variance"][-1]
        return max(measuring.kolmogorov(shown[:, k], variances[-rank]) for k, rank in enumerate(SHOWN))

    rms = _each(runs, "weights", lambda r: worst("predicted", r))
    numbers = [
        Number("rms of measured over predicted variance less 1, all directions and records", None, rms),
        Number("the same, predicted step by step", None, _each(runs, "weights", lambda r: worst("discrete", r))),
        Number("sampling alone", None, _each(runs, "weights", lambda r: np.sqrt(2 / (r["samples"].shape[1] - 1)))),
        Number("measured over predicted variance, sharpest direction, end", None, _each(runs, "weights", sharpest)),
        Number("√R times the largest distance from the Gaussian of the steps, worse of two directions, end", None,
               _each(runs, "weights", normality)),
    ]  # fmt: skip
    comment = (
        "All weights trained, near the minimum; the prediction is the linear Fokker-Planck equation with the Hessian "
        "and the covariance of the gradients there. Beside it the same step by step, and what sampling alone makes. A "
        "distance above 1.48 would be found in one of twenty Gaussian ensembles."
    )
    return Finding(numbers, judge([v <= CLOSE for v in rms]), comment)


def _balance(runs: Runs, _settings: Settings) -> Finding:
    def residuals(kind: str, run: Any) -> tuple[float, float]:
        """|ΔS - produced - learned| over |ΔS| when noise first makes half of what learning destroys, and at the end."""
        change = run[f"{kind}_entropy"] - run[f"{kind}_entropy"][0]
        sources = run[f"{kind}_production"] + run[f"{kind}_learning"]
        left = np.abs(change - gaussian.integrated(sources, run["steps"])) / np.maximum(np.abs(change), 1e-300)
        half = run["measured_production"] >= 0.5 * np.abs(run["measured_learning"])
        middle = max(1, int(np.argmax(half))) if half.any() else len(change) - 1
        return float(left[middle]), float(left[-1])

    def numbers_of(kind: str, label: str) -> list[Number]:
        pairs = [residuals(kind, run) for run in runs["weights"]]
        return [
            Number(f"{label}, half way", None, [p[0] for p in pairs]),
            Number(f"{label}, end", None, [p[1] for p in pairs]),
        ]

    measured = [residuals("measured", run) for run in runs["weights"]]
    numbers = [
        *numbers_of("measured", "|ΔS - produced - learned| over |ΔS|"),
        *numbers_of("discrete", "what the size of the steps makes of it"),
        *numbers_of("predicted", "and the integrals"),
        Number("ΔS / nats", None,
               _each(runs, "weights", lambda r: r["measured_entropy"][-1] - r["measured_entropy"][0])),
        Number("produced by noise / nats", None,
               _each(runs, "weights", lambda r: gaussian.integrated(r["measured_production"], r["steps"])[-1])),
        Number("destroyed by learning / nats", None,
               _each(runs, "weights", lambda r: gaussian.integrated(r["measured_learning"], r["steps"])[-1])),
    ]  # fmt: skip
    comment = (
        "S from the covariance of all weights of the ensemble, production from it and the noise of the gradients, "
        "learning from the trace of the Hessian at the replicas: three measurements, no constant fitted. Half way is "
        "when noise first produces half of what learning destroys; later ΔS is a small difference of large sums, in "
        "which the size of the steps adds up."
    )
    early, late = ([pair[k] <= CLOSE for pair in measured] for k in (0, 1))
    return Finding(numbers, graded(all(early) and all(late), all(early)), comment)


def _signs(runs: Runs, _settings: Settings) -> Finding:
    production = _each(runs, "weights", lambda r: r["measured_production"].min() * 1e3)
    learning = _each(runs, "weights", lambda r: r["measured_learning"].max() * 1e3)
    numbers = [
        Number("least production / 10^-3 nats a step", None, production),
        Number("largest learning term / 10^-3 nats a step", None, learning),
    ]
    comment = (
        "Judged by learning: production cannot be negative. Near a minimum the trace of the Hessian is positive, and "
        "descent destroys entropy."
    )
    return Finding(numbers, judge([value < 0 for value in learning]), comment)


def _negligible(runs: Runs, _settings: Settings) -> Finding:
    def share(run: Any) -> float:
        return abs(run["measured_learning"][-1]) / run["measured_production"][-1]

    end = _each(runs, "weights", share)
    start = _each(runs, "weights", lambda r: abs(r["measured_learning"][0]) / r["measured_production"][0])
    numbers = [Number("learning over production at the end", None, end), Number("at the start", None, start)]
    comment = (
        "At rest dS/dt = 0, and the two are equal for any network: the nearer equilibrium is, the less can one of "
        "them be dropped. On the way there learning is the larger one."
    )
    return Finding(numbers, judge([v <= CLOSE for v in end]), comment)


def _free_energy(runs: Runs, _settings: Settings) -> Finding:
    def missing(run: Any) -> np.ndarray:
        return run["free_energy_rate"] - run["free_energy_drift"]

    start = _each(runs, "plane", lambda r: abs(missing(r)[0] / r["free_energy_drift"][0]))
    end = _each(runs, "plane", lambda r: abs(missing(r)[-1] / r["free_energy_drift"][-1]))
    numbers = [
        Number("diffusive over drift term, start", None, start),
        Number("diffusive over drift term, end", None, end),
    ]
    comment = (
        "The rate of the average loss has the drift's -γ|∇L|² and the noise's D∇²L. At rest they cancel for any "
        "network: without the second the loss would go on falling. Kept, it forces ħ² ≤ 0 in the action."
    )
    return Finding(numbers, judge([v <= CLOSE for v in end]), comment)


def _boltzmann(runs: Runs, _settings: Settings) -> Finding:
    def spread(run: Any) -> float:
        d = run["diffusion"][run["rates"] * run["steps"][-1] > 1]  # directions that came to rest
        return float(d.max() / d.min()) if d.size else np.nan

    def exponent(run: Any) -> float:
        at_rest = run["rates"] * run["steps"][-1] > 1
        return float(np.polyfit(np.log(run["rates"][at_rest]), np.log(run["diffusion"][at_rest]), 1)[0])

    ratios = _each(runs, "weights", spread)
    numbers = [
        Number("largest over smallest D_kk, directions that came to rest", None, ratios),
        Number("D_kk grows with curvature to the power", None, _each(runs, "weights", exponent)),
    ]
    comment = (
        "One D for all directions would give the law exp(-γL/D). A power of 1 is noise that grows with the curvature, "
        "and then all directions have one width at rest."
    )
    return Finding(numbers, judge([r <= 1 + CLOSE for r in ratios]), comment)


def _ratio(run: Any) -> np.ndarray:
    """Measured (ħ/M)² over -4D² of each ensemble."""
    return run["estimate"][:, 0] / (-4 * run["diffusion"] ** 2)


def _error(run: Any) -> np.ndarray:
    return run["estimate"][:, 1] / (4 * run["diffusion"] ** 2)


def _resolved(run: Any, ensembles: slice) -> bool:
    """Whether a Gaussian fluid describes these ensembles, and the errors tell -4D² from 0."""
    return bool((run["estimate"][ensembles, 2] <= FITS).all() and (_error(run)[ensembles] < 0.5).all())


def _sign_of_planck(runs: Runs, settings: Settings) -> Finding:
    plain = slice(len(settings.planck_batch_sizes))
    numbers = [
        Number(f"(ħ/M)² over -4D², batch {size}", None, [float(_ratio(run)[k]) for run in runs["planck"]])
        for k, size in enumerate(settings.planck_batch_sizes)
    ]
    numbers += [
        Number("largest standard error of these", None, _each(runs, "planck", lambda r: _error(r)[plain].max())),
        Number("largest misfit of the widths", None, _each(runs, "planck", lambda r: r["estimate"][plain, 2].max())),
    ]
    if not all(_resolved(run, plain) for run in runs["planck"]):
        return Finding(numbers, "not tested", "The ensembles are too small to tell -4D² from 0, or no Gaussian fluid.")
    positive = [bool((_ratio(r)[plain] < -2 * _error(r)[plain]).all()) for r in runs["planck"]]
    negative = all(bool((_ratio(r)[plain] > 2 * _error(r)[plain]).all()) for r in runs["planck"])
    comment = "A ratio above 0 is ħ² < 0. " + (
        "Every ensemble has it: plain stochastic gradient descent is a diffusion. A real ħ is what the principle of "
        "stationary entropy production adds, which SGD does not obey by itself; nothing here adjusts a number of "
        "neurons, a step or a batch size."
        if negative
        else "The ensembles do not agree on a sign."
    )
    return Finding(numbers, judge(positive), comment)


def _size_of_planck(runs: Runs, settings: Settings) -> Finding:
    plain = slice(len(settings.planck_batch_sizes))

    def slope(run: Any) -> float:
        value = -run["estimate"][plain, 0]
        if (value <= 0).any() or len(value) < 2:
            return np.nan
        return float(np.polyfit(np.log(run["batch_size"][plain]), np.log(value), 1)[0])

    def worst(run: Any) -> float:
        return float((np.abs(_ratio(run)[plain] - 1) / _error(run)[plain]).max())

    means = _each(runs, "planck", lambda r: _ratio(r)[plain].mean())
    numbers = [
        Number("(ħ/M)² over -4D², mean over batch sizes", None, means),
        Number("largest distance from 1, in standard errors", None, _each(runs, "planck", worst)),
        Number("power of the batch size that ħ² goes with (predicted: -2)", None, _each(runs, "planck", slope)),
    ]
    comment = (
        "Own theorem: every gradient Fokker-Planck flow with one D is a Madelung fluid with (ħ/M)² = -4D². D comes "
        "from the gradients; the width of the ensemble is fitted by Ermakov's equation, whose solution holds ħ²."
    )
    if not all(_resolved(run, plain) for run in runs["planck"]):
        return Finding(numbers, "not tested", comment + " The ensembles are too small to tell.")
    fits = [
        bool((np.abs(_ratio(r)[plain] - 1) <= np.maximum(0.25, 2 * _error(r)[plain])).all()) for r in runs["planck"]
    ]
    return Finding(numbers, judge(fits), comment)


def _momentum(runs: Runs, settings: Settings) -> Finding:
    values = _each(runs, "planck", lambda r: _ratio(r)[-1])
    misfits = _each(runs, "planck", lambda r: r["estimate"][-1, 2])
    numbers = [
        Number("(ħ/M)² over -4D², with momentum", None, values),
        Number("its standard error", None, _each(runs, "planck", lambda r: _error(r)[-1])),
        Number("misfit of the width, in sampling errors", None, misfits),
    ]
    comment = (
        f"With momentum {settings.momentum:g} a position remembers its velocity for about as long as this direction "
        "takes to relax. "
    ) + (
        "No fluid of positions in a steady harmonic force describes the width, so that the number says nothing of ħ."
        if all(m > FITS for m in misfits)
        else "A misfit below 1.5 is one that a fluid of positions can have."
    )
    fits = [abs(v - 1) <= 0.25 and m <= FITS for v, m in zip(values, misfits, strict=True)]
    return Finding(numbers, judge(fits), comment)


CLAIMS: tuple[Claim, ...] = (
    Claim("density", "2008.01540; (11.5) without drift",
          "The density of the weights obeys a Fokker-Planck equation.",
          f"Total variation beyond sampling at most {CLOSE:g} at every record, nothing fitted.", _density, ("plane",)),
    Claim("variances", "2008.01540; (11.5) without drift",
          "It does so in all weights, here by their variances.",
          f"Root mean square of measured over predicted less 1 at most {CLOSE:g}.", _variances, ("weights",)),
    Claim("balance", "2008.01540", "dS/dt is stochastic production plus the entropy of learning.",
          f"Residual at most {CLOSE:g} of |ΔS|, half way and at the end; partly if half way only.", _balance,
          ("weights",)),
    Claim("signs", "2111.00903, abstract", "Noise produces entropy and learning destroys it.",
          "At every record; judged by learning.", _signs, ("weights",)),
    Claim("dropped learning", "Sec. 11; 2008.01540",
          "Near equilibrium the entropy of learning is negligible beside stochastic production.",
          f"Their ratio at the end at most {CLOSE:g}.", _negligible, ("weights",)),
    Claim("dropped diffusion", "2008.01540",
          "The production of free energy is that of the drift: diffusion's part can be left out.",
          f"Their ratio at the end at most {CLOSE:g}.", _free_energy, ("plane",)),
    Claim("one temperature", "(11.5)", "One diffusion constant serves all trainable variables.",
          "The same within 10 %.", _boltzmann, ("weights",)),
    Claim("sign of ħ²", "2008.01540; 2111.00903, abstract",
          "At a fixed number of neurons the weights are a Madelung fluid with ħ² > 0.",
          "Measured ħ² positive by two standard errors for every batch size.", _sign_of_planck, ("planck",)),
    Claim("size of ħ²", "own derivation", "(ħ/M)² = -4D² for plain stochastic gradient descent.",
          "Every ratio within 25 %, or two standard errors, of 1.", _size_of_planck, ("planck",)),
    Claim("momentum", "own question", "With momentum (ħ/M)² is -4D² as well.",
          "Ratio within 25 % of 1, and a misfit of at most 1.5.", _momentum, ("planck",)),
)  # fmt: skip
