"""What the paper states of bulk and boundary loss (Figs. 2-3)."""

import math
from typing import Any

import numpy as np

from nnthermo.experiments.claims import Claim
from nnthermo.experiments.histories import plateau
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements.record import Histories
from nnthermo.experiments.verdicts import Finding, Number, graded, judge, per_seed


def _bulk_below_boundary(histories: Histories, _settings: Settings) -> Finding:
    deep = histories["deep"]

    def ratio(run: Any, kind: str = "") -> float:
        last = run.isel(epoch=-1)
        return math.log10(float(last[f"{kind}boundary_loss"] / last[f"{kind}bulk_loss"]))

    means, medians = per_seed(deep, ratio), per_seed(deep, lambda run: ratio(run, "median_"))
    unrelaxed = float(deep.unrelaxed.max())
    smallest = [math.exp(-low) for low in per_seed(deep, lambda run: run.isel(epoch=-1).log_eigenvalues.min())]
    converged = f"at most {unrelaxed:.2%} of them had not converged in a record" if unrelaxed else "all converged"
    return Finding(
        [Number("log10 U_∂/U, averages", None, means), Number("log10 U_∂/U, medians over samples", None, medians)],
        graded(min(means) >= 2, min(means) >= 1),
        f"The average bulk loss is {_below(means)} the average boundary loss; for the losses of typical samples it is "
        f"{_below(medians)}. U is the clamped minimum (3.2) averaged over samples; {converged}. For a linearised "
        f"network H*/H_∂ cannot be below λ_min(Ĝ), at the mean state 1/{np.mean(smallest):.0f} at the end; where "
        "outputs saturate at their targets f' vanishes, hidden neurons take over no error, and H* tends to H_∂.",
    )


def _below(log10_ratios: list[float]) -> str:
    ratio = 10 ** float(np.mean(log10_ratios))
    return f"{ratio:.3g} times below" if ratio >= 2 else f"{100 * (1 - 1 / ratio):.2g} % below"


def _both_decrease(histories: Histories, _settings: Settings) -> Finding:
    falls = {
        name: per_seed(
            histories["deep"], lambda run, n: float(np.log(run[n].isel(epoch=0) / run[n].isel(epoch=-1))), name
        )
        for name in ("bulk_loss", "boundary_loss")
    }
    found = judge([u > 0 and b > 0 for u, b in zip(*falls.values(), strict=True)])
    return Finding(
        [Number("fall of log U", None, falls["bulk_loss"]), Number("fall of log U_∂", None, falls["boundary_loss"])],
        found,
        "The bulk loss is not what was trained on" + ("; it falls with it." if found == "agrees" else "."),
    )


def _bulk_falls_on(histories: Histories, _settings: Settings) -> Finding:
    deep = histories["deep"]

    def best(run: Any) -> tuple[float, float, float, float]:
        record = run.isel(epoch=slice(1, None)) if run.epoch.values[0] == 0 else run
        epochs = record.epoch.values.astype(float)
        found = plateau(epochs, np.log(record.boundary_loss.values), np.log(record.bulk_loss.values))
        ends = [float(record.median_bulk_loss.sel(epoch=e)) for e in found[1:]] if found[2] else [1.0, 1.0]
        return (*found, math.log(ends[0] / ends[1]))

    found = [best(deep.isel(seed=k)) for k in range(deep.sizes["seed"])]
    longest = max(found)
    where = (
        f"Largest fall {longest[0]:.2f}, between epochs {longest[1]:,.0f} and {longest[2]:,.0f}. The average is held "
        f"up by the few largest: the log of the median, a typical sample's loss, falls by {longest[3]:.2f} there."
        if longest[0] > 0
        else "The boundary loss never stands that still for a third of the run."
    )
    return Finding(
        [
            Number("fall of log U while log U_∂ stays within 0.1", None, [f[0] for f in found]),
            Number("fall of the log of the median bulk loss there", None, [f[3] for f in found]),
        ],
        judge([f[0] > 0.3 for f in found]),
        where,
    )


def _jumps(histories: Histories, settings: Settings) -> Finding:
    deep = histories["deep"]

    def largest(run: Any) -> tuple[float, int, int]:
        epochs = run.epoch.values
        keep = epochs >= settings.epochs / 3
        epochs, log_loss = epochs[keep], np.log(run.boundary_loss.values[keep])
        if len(epochs) < 2:
            return 0.0, settings.epochs, settings.epochs
        k = int(np.argmin(np.diff(log_loss)))
        return float(log_loss[k] - log_loss[k + 1]), int(epochs[k]), int(epochs[k + 1])

    drops = [largest(deep.isel(seed=k)) for k in range(deep.sizes["seed"])]
    drop, begin, end = max(drops)
    return Finding(
        [Number("largest drop of log U_∂ between records", None, [d[0] for d in drops])],
        judge([d[0] > 0.2 for d in drops]),
        f"The largest, {drop:.2f}, lies between epochs {begin:,} and {end:,}: {1 - math.exp(-drop):.0%} of the loss. "
        f"Records are at most {math.ceil(settings.epochs / settings.observations):,} epochs apart.",
    )


CLAIMS = (
    Claim(
        "bulk below boundary",
        "Fig. 2",
        "The bulk loss stays a few orders of magnitude below the boundary loss.",
        "log10 of the ratio of ensemble averages at the end is at least 2 (1 to 2: partly).",
        _bulk_below_boundary,
        ("deep",),
    ),
    Claim(
        "both decrease",
        "Fig. 2",
        "Both losses decrease during training with the boundary loss.",
        "Both are lower at the end than at the start.",
        _both_decrease,
        ("deep",),
    ),
    Claim(
        "bulk falls on",
        "Fig. 3",
        "For about 10,000 epochs the boundary loss stands still while the bulk loss keeps falling.",
        "Over some third of the run log U_∂ stays within 0.1 while log U falls by more than 0.3.",
        _bulk_falls_on,
        ("deep",),
    ),
    Claim(
        "jumps",
        "Fig. 3",
        "After a long plateau the boundary loss suddenly drops to a smaller value.",
        "In the last two thirds of the run log U_∂ drops by more than 0.2 between neighbouring records.",
        _jumps,
        ("deep",),
    ),
)
