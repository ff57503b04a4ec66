"""What the papers say of space-time in learning systems, what the networks say, and a verdict on each."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from nnthermo.experiments.claims import NOTHING, Claim, Evidence, judged
from nnthermo.experiments.gravity.measuring import clock_times
from nnthermo.experiments.gravity.runs import Runs
from nnthermo.experiments.gravity.settings import ARMS, CLOCK_WORDS, CLOCKS, Settings
from nnthermo.experiments.verdicts import Finding, Number, Statement, judge

MOST = 0.95
"""Share of the points that counts as all of them."""

CLOSE = 0.1
"""Relative size up to which something counts as nothing."""

Numbers = dict[str, float]
"""Of the demonstrations, by name."""


def statements(runs: Runs, numbers: Numbers, settings: Settings) -> list[Statement]:
    """A verdict on each of `CLAIMS` from runs and demonstrations; runs that are not finite are left out."""
    kept = {name: [run for run in some if _finite(run)] for name, some in runs.items()}
    lost = sum(map(len, runs.values())) - sum(map(len, kept.values()))
    sound = {name: some for name, some in kept.items() if some}
    note = f"Left out: {lost} networks whose space-time is not finite somewhere." if lost else ""
    evidence = Evidence((sound, numbers, settings), note) if sound else Evidence(None, NOTHING)
    return judged(CLAIMS, lambda _claim: evidence)


def _finite(run: Any) -> bool:
    return all(np.isfinite(v).all() for name, v in run.items() if "_map_" not in name)


def _each(runs: Runs, arm: str, function: Callable[[Any], float]) -> list[float]:
    """One number a network of an arm."""
    return [float(function(run)) for name, some in runs.items() if f"{name}-".startswith(f"{arm}-") for run in some]


def _arms(runs: Runs, label: str, function: Callable[[Any], float]) -> list[Number]:
    """The number of each arm that was run, `function(run)` over its networks."""
    found = [(word, _each(runs, arm, function)) for arm, word in ARMS.items()]
    return [Number(f"{label}, {word}", None, values) for word, values in found if values]


def _clocks(
    runs: Runs, label: str, function: Callable[[str, Any], float], clocks: Sequence[str] = CLOCKS
) -> list[Number]:
    """The number of each arm by each clock, `function(clock, run)`."""
    each = (_arms(runs, f"{label}, {CLOCK_WORDS[clock]}", partial(function, clock)) for clock in clocks)
    return [number for numbers in each for number in numbers]


def _median(name: str, run: Any) -> float:
    return float(np.median(run[name]))


def _shares(numbers: list[Number], least: float = MOST) -> str:
    return judge([value >= least for number in numbers for value in number.ours])


def _second_law(runs: Runs, _: Numbers, __: Settings) -> Finding:
    share = _arms(runs, "share of points where S falls", lambda r: np.mean(r["entropy_entropy_slope"] < 0))
    change = _arms(
        runs, "mean change of S along the training, nats",
        lambda r: (r["entropy_entropy"][-1] - r["entropy_entropy"][0]).mean(),
    )  # fmt: skip
    comment = (
        "S is the entropy of the states around their fixed point at the fixed β, for the same inputs all along the "
        "training, and its mean over inputs is judged. The paper's law is of the total entropy, with a β that may "
        "follow the loss; at a fixed β nothing grants it."
    )
    return Finding(change + share, judge([v < 0 for n in change for v in n.ours]), comment)


def _time_like(runs: Runs, _: Numbers, __: Settings) -> Finding:
    by_entropy = _arms(runs, "share where training is time-like, T = -S", lambda r: _falls(r["entropy_time_like"]))
    by_training = _arms(runs, "share, T = training time", lambda r: _falls(r["training_time_like"]))
    comment = (
        "One direction at each point is time-like by definition: the gradient of T in Fisher's metric. Whether "
        "training at a fixed input runs along it is not, even when T is the training time itself: where more "
        "than half of what learning does to the states, in Fisher's metric, can be undone by another input, the line "
        "of a fixed input is space-like."
    )
    return Finding(by_entropy + by_training, _shares(by_entropy), comment)


def _falls(ratio: Any) -> float:
    return float(np.mean(ratio < 0))


def _cooling(runs: Runs, _: Numbers, __: Settings) -> Finding:
    share = _arms(runs, "share where S falls with log β", lambda r: np.mean(r["temperature_entropy_slope"] < 0))
    like = _arms(runs, "share where log β is time-like", lambda r: _falls(r["temperature_time_like"]))
    comment = (
        "∂S/∂ log β = -½ Tr βĜM⁻¹ < 0 for m = 0 is an identity: with β as time, as Section 8 has it, entropy is "
        "destroyed by cooling, not by learning. That β at a fixed input runs along the gradient of S is not an "
        "identity."
    )
    return Finding(like + share, _shares(like), comment)


def _einstein(runs: Runs, _: Numbers, __: Settings) -> Finding:
    residuals = _clocks(runs, "median ‖R_ab - R g_ab/3‖/‖R_ab‖", lambda clock, r: np.median(r[f"{clock}_residual"]))
    signs = _arms(runs, "share of points with R > 0, along log β", lambda r: np.mean(r["temperature_scalar"] > 0))
    comment = (
        "0 means that G + Λg = 0 holds at the point for some Λ, 1 that nothing of it does. What is left could be "
        "called κT of some matter, but for any metric there is such a T, so that the equations say nothing without a "
        "T known from elsewhere. In three dimensions a space-time without matter has constant curvature; the numbers "
        "say how far from it these are."
    )
    return Finding(residuals + signs, judge([v <= CLOSE for n in residuals for v in n.ours]), comment)


def _lambda_of_size(runs: Runs, _: Numbers, settings: Settings) -> Finding:
    numbers, fits = [], []
    for clock in ("temperature", "entropy"):
        word = CLOCK_WORDS[clock]
        values = {}
        for width in settings.widths:
            some = _each(runs, f"small-{width}", partial(_median, f"{clock}_cosmological_constant"))
            if some:
                values[width + 2] = some
                numbers.append(
                    Number(
                        f"median Λ over d(d-1)/4N, N = {width + 2}, {word}", None, [v * 2 * (width + 2) for v in some]
                    )
                )
        means = {n: float(np.mean(v)) for n, v in values.items()}
        positive = [n for n, v in means.items() if v > 0]
        if len(positive) == len(means) > 1:
            slope = np.polyfit(np.log(list(means)), np.log(list(means.values())), 1)[0]
            numbers.append(Number(f"power of N that Λ goes with, {word}", None, [float(slope)]))
            fits.append(bool(abs(slope + 1) <= 0.2))
        else:
            fits.append(False)
    comment = (
        "Exactly so for normal ensembles of one common variance. Neurons of a network have variances of their own, "
        "which vary with the input. Where βλ is large cooling divides all of them by β, whatever the network, and the "
        "curvature of the slices fades as 1/β: the space-time approaches that of such an ensemble. Training at a "
        "fixed β does nothing of the kind."
    )
    return Finding(numbers, judge(fits) if len(means) > 1 else "not tested", comment)  # one size has no power


def _geodesic(runs: Runs, _: Numbers, settings: Settings) -> Finding:
    def turning(clock: str, run: Any) -> float:
        return float(np.median(np.trapezoid(run[f"{clock}_turning"], clock_times(clock, settings), axis=0)))

    numbers = _clocks(runs, "median turning, radians", turning)
    comment = (
        "The line of a fixed input through training, or through cooling, against a geodesic of the same space-time: "
        "how far its direction turns in all, in the frames of Fisher's metric. 0 is a geodesic."
    )
    return Finding(numbers, judge([v <= CLOSE for n in numbers for v in n.ours]), comment)


def _printed_onsager(_: Runs, numbers: Numbers, __: Settings) -> Finding:
    exact, printed = numbers["torus: ∫√g R/2"], numbers["torus: the same from the printed Onsager tensor"]
    found = [
        Number("∫√g R/2 of a metric on a torus", None, [exact]),
        Number("the same from the printed tensor", None, [printed]),
        Number(
            "error of the corrected one", None, [numbers["torus: the same from the corrected Onsager tensor, error"]]
        ),
    ]
    comment = (
        "The last term needs a + sign, and -2 g^ab g^mc g^nd is missing. With both the quadratic form is R up to a "
        "divergence, whatever the metric; the printed form is right where |g| is constant only."
    )
    return Finding(found, judge([bool(abs(printed - exact) <= 1e-8 * abs(exact))]), comment)


def _reciprocity(_: Runs, numbers: Numbers, __: Settings) -> Finding:
    stated, printed = numbers["Onsager: reciprocity as stated, violation"], numbers[PRINTED_RECIPROCITY]
    found = [
        Number("violation of L^{mn ab cd} = L^{nm cd ab}, as said in words", None, [stated]),
        Number("violation of (12.7) as printed", None, [printed]),
    ]
    comment = (
        "Of (12.9) as printed. Forces and fluxes change places together with their derivatives; the printed order of "
        "indices is a misprint."
    )
    return Finding(found, judge([stated <= 1e-12]), comment)


PRINTED_RECIPROCITY = "Onsager: reciprocity as printed, violation"


def _dissipation(_: Runs, numbers: Numbers, __: Settings) -> Finding:
    up, down = (numbers[f"Onsager: {sign} eigenvalues in a space-time"] for sign in ("positive", "negative"))
    found = [Number("positive eigenvalues of L on slopes of g", None, [up]), Number("negative ones", None, [down])]
    comment = (
        "Onsager's tensor of a dissipation is positive. This one has both signs in every signature, so that R as an "
        "entropy production can be negative and its stationary point is no minimum."
    )
    return Finding(found, judge([down == 0]), comment)


def _energy(runs: Runs, _: Numbers, __: Settings) -> Finding:
    share = "share of points with G(n, n) ≥ 0"
    numbers = _clocks(runs, share, lambda clock, r: np.mean(r[f"{clock}_energy"] >= 0), ("entropy", "temperature"))
    comment = (
        "G(n, n) along the unit normal of the slices is κ times an energy density with Λ in it. No T is known for "
        "these networks; positive energy is what an observer would call ordinary matter."
    )
    return Finding(numbers, judge([v >= MOST for n in numbers for v in n.ours]), comment)


def _dual(_: Runs, numbers: Numbers, __: Settings) -> Finding:
    names = [n for n in numbers if n.startswith("duality") and "eigenvalue" not in n]
    found = [Number(name.partition(": ")[2], None, [numbers[name]]) for name in names]
    comment = (
        "Phase and forces of the weights, entropy, mean and Fisher metric of the states are derivatives of one log Z "
        "of a recurrent network of two neurons, and agree with averages over its states. That the Schrödinger "
        "dynamics of the weights implies Einstein's equations for the states, or conversely, is shown neither in the "
        "papers nor here."
    )
    return Finding(found, judge([numbers[n] <= 1e-8 for n in names]), comment)


CLAIMS: tuple[Claim, ...] = (
    Claim("second law", "(7.6), at fixed β", "Learning destroys the entropy of the states.",
          "Mean over inputs lower at the last look than at the first, for each network.", _second_law),
    Claim("time", "2111.00903, abstract",
          "Lorentz symmetry emerges: the direction in which learning destroys entropy is a time.",
          f"Training is time-like with T = -S at {MOST:.0%} of the points of each network.", _time_like),
    Claim("cooling", "own question; Sec. 8", "With log β as time the arrow of time is always there.",
          f"log β is time-like at {MOST:.0%} of the points of each network.", _cooling),
    Claim("Einstein's equations", "(12.12)", "The space-time of the whole network obeys G + Λg = κT, here without T.",
          f"Median residual at most {CLOSE:g} for each network.", _einstein),
    Claim("Λ and N", "own derivation",
          "Λ goes with the number of neurons as for normal ensembles of one variance, d(d-1)/4N.",
          "Median Λ of trained networks positive, and going with N to the power -1 ± 0.2.", _lambda_of_size),
    Claim("geodesics", "2111.00903, abstract", "Localised states move along geodesics.",
          f"A median turning of at most {CLOSE:g} radians for each network.", _geodesic),
    Claim("energy", "own question", "What would have to be called matter has positive energy.",
          f"G(n, n) ≥ 0 at {MOST:.0%} of the points of each network.", _energy),
    Claim("Onsager tensor", "(12.9)-(12.10)", "The tensor printed in (12.9) gives R up to a divergence.",
          "The same integral over a torus to eight digits.", _printed_onsager),
    Claim("reciprocity", "(12.7)", "Onsager's reciprocity holds for it.", "As said in words, to rounding.",
          _reciprocity),
    Claim("dissipation", "(12.3)", "R is an entropy production, and L an Onsager tensor.",
          "L is positive semidefinite.", _dissipation),
    Claim("duality", "2111.00903, abstract; own form",
          "Both descriptions are read off one learning system: what can be computed of that.",
          "Derivatives of log Z agree with averages over states to eight digits.", _dual),
)  # fmt: skip
