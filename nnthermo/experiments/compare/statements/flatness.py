"""What the paper says of flat directions and saddles (Section 10), measured on Hessians in weights and biases."""

from itertools import pairwise
from typing import Any

from nnthermo.experiments.claims import Claim
from nnthermo.experiments.compare.curvature import LOSSES
from nnthermo.experiments.compare.runs import Histories
from nnthermo.experiments.compare.settings import NETWORKS, Settings
from nnthermo.experiments.compare.statements.record import flatness, values_of
from nnthermo.experiments.verdicts import Finding, Number, graded, judge

FLAT = 1e-2
SHOWN = {1e-2: "10^-2", 1e-3: "10^-3"}
BOTH = ("boundary", "bulk")


def parameters(network: str) -> int:
    """Weights and biases of a network."""
    sizes = NETWORKS[network]
    return sum(b * (a + 1) for a, b in pairwise(sizes))


def _counts(dataset: Any, loss: str, threshold: float = FLAT, count: str = "flat") -> list[tuple[float, ...]]:
    return [flatness(dataset.isel(seed=k), loss, threshold, count=count) for k in range(dataset.sizes["seed"])]


def _curved(label: str, histories: Histories, network: str, training: str, loss: str) -> list[Number]:
    """Directions that are not flat, at two thresholds, with their bounds."""
    numbers = []
    for threshold, text in SHOWN.items():
        counts = _counts(histories[network, training], loss, threshold)
        total = parameters(network)
        values = ([total - c[k] for c in counts] for k in (0, 2, 1))
        for part, found in zip(("", ", at least", ", at most"), values, strict=True):
            clipped = [min(max(v, 0.0), float(total)) for v in found]
            numbers.append(Number(f"{label} beyond {text} of the largest{part}, {network}", None, clipped))
    return numbers


def _many_flat(histories: Histories, settings: Settings) -> Finding:
    numbers, results = [], []
    for network in settings.networks:
        counts = _counts(histories[network, "boundary"], "boundary")
        shares = [c[0] / parameters(network) for c in counts]
        numbers.append(Number(f"share of flat directions, {network}", None, shares))
        results += [c[1] > 0.5 * parameters(network) for c in counts]
    least = min(values_of(numbers))
    return Finding(
        numbers,
        judge(results),
        f"At the end of training, of all weights and biases; at least {least:.1%}. Weights of pixels that are dark in "
        "all samples are among them: they are flat for any loss.",
    )


def _saddle(histories: Histories, settings: Settings) -> Finding:
    numbers, results = [], []
    for network in settings.networks:
        dataset = histories[network, "boundary"]
        for loss in LOSSES:
            counts = _counts(dataset, loss, FLAT, "falling")
            numbers.append(Number(f"falling directions of the {loss} loss, {network}", None, [c[0] for c in counts]))
            if loss == "boundary":
                results += [c[0] >= 1 for c in counts]
        depth = dataset.isel(curvature_epoch=-1, hessian=0)
        ratio = [float(-v) for v in (depth.curvature_smallest / depth.curvature_largest).values]
        numbers.append(Number(f"most negative over largest curvature, boundary loss, {network}", None, ratio))
    return Finding(
        numbers,
        judge(results),
        "Directions whose curvature is below minus 10^-2 of the largest, at the weights where training with the "
        "boundary loss ended. Both losses have them or not at the same weights.",
    )


def _fewer(histories: Histories, settings: Settings, of_bulk: str) -> Finding:
    """Flat directions of the boundary loss at the weights it led to, and of the bulk loss where `of_bulk` led."""
    numbers: list[Number] = []
    a_lot, fewer, gains = [], [], []
    for network in settings.networks:
        boundary = _counts(histories[network, "boundary"], "boundary")
        bulk = _counts(histories[network, of_bulk], "bulk")
        ratio = Number(
            f"flat directions, bulk over boundary loss, {network}",
            None,
            [b[0] / a[0] for a, b in zip(boundary, bulk, strict=True)],
        )
        numbers.append(ratio)
        numbers += _curved("boundary: directions", histories, network, "boundary", "boundary")
        numbers += _curved("bulk: directions", histories, network, of_bulk, "bulk")
        effective = [
            float(b / a)
            for a, b in zip(
                histories[network, "boundary"].isel(curvature_epoch=-1, hessian=0).curvature_effective.values,
                histories[network, of_bulk].isel(curvature_epoch=-1, hessian=1).curvature_effective.values,
                strict=True,
            )
        ]
        numbers.append(Number(f"(Σ|κ|)²/Σκ², bulk over boundary loss, {network}", None, effective))
        a_lot += [b[2] < 0.5 * a[1] for a, b in zip(boundary, bulk, strict=True)]
        fewer += [b[2] < a[1] for a, b in zip(boundary, bulk, strict=True)]
        total = parameters(network)
        gains += [(total - b[0]) / max(total - a[0], 1.0) for a, b in zip(boundary, bulk, strict=True)]
    return Finding(
        numbers,
        graded(all(a_lot), any(a_lot) or all(fewer)),
        f"Of the few directions that are not flat the bulk loss has {min(gains):.2g} to {max(gains):.2g} times as many "
        f"as the boundary loss; it has fewer flat ones beyond the bounds in {sum(fewer)} of {len(fewer)} pairs, less "
        f"than half as many in {sum(a_lot)}.",
    )


CRITERION = (
    "|curvature| below 10^-2 of the largest counts as flat. At the end of training the bulk loss has less than half as "
    "many flat directions, beyond the bounds, for every network and seed (partly: fewer beyond the bounds, or less "
    "than half in some)."
)

CLAIMS = (
    Claim(
        "many flat directions",
        "Sec. 10, text to Fig. 3",
        "Where the boundary loss is stuck it has a large number of nearly flat directions.",
        "More than half of all directions have |curvature| below 10^-2 of the largest, in every run.",
        _many_flat,
        ("boundary",),
    ),
    Claim(
        "saddle",
        "Sec. 10, text to Fig. 3",
        "What it is stuck in is a saddle.",
        "At least one curvature of the boundary loss is below minus 10^-2 of the largest, at the end of every run.",
        _saddle,
        ("boundary",),
    ),
    Claim(
        "fewer flat, same weights",
        "Sec. 10, text to Fig. 3",
        "The bulk loss has a lot fewer flat directions than the boundary loss: at the weights that the boundary loss "
        "led to.",
        CRITERION,
        lambda histories, settings: _fewer(histories, settings, "boundary"),
        ("boundary",),
    ),
    Claim(
        "fewer flat, own weights",
        "Sec. 10, text to Fig. 3",
        "The bulk loss has a lot fewer flat directions than the boundary loss: each at the weights it led to itself.",
        CRITERION,
        lambda histories, settings: _fewer(histories, settings, "bulk"),
        BOTH,
    ),
)
