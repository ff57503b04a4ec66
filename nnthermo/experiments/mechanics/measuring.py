"""Numbers from the ensembles: distances of densities, what sampling alone would make of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Run = Mapping[str, Any]
"""What one job wrote."""


class Distance(NamedTuple):
    """Distance of an ensemble from a predicted density, over coarse cells.

    Attributes:
        found: total variation ½Σ|counts/R - P|.
        sampling: what R independent replicas of the predicted density have on average.
    """

    found: float
    sampling: float

    @property
    def excess(self) -> float:
        """What is left for the prediction to answer for."""
        return float(np.sqrt(max(self.found**2 - self.sampling**2, 0.0)))


def axes_of(run: Run, prefix: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Edges of the grid's cells along each direction."""
    points = run[f"{prefix}density"].shape[1:]
    ends = zip(run[f"{prefix}lower"], run[f"{prefix}upper"], points, strict=True)
    first, second = (np.linspace(low, high, n + 1) for low, high, n in ends)
    return first, second


def cell_of(run: Run, prefix: str = "") -> float:
    """Area of a cell of the grid."""
    first, second = axes_of(run, prefix)
    return float((first[1] - first[0]) * (second[1] - second[0]))


def coarse(run: Run, record: int, cells: int = 12) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Probabilities in cells × cells boxes around the density: predicted, found, and the edges of the boxes.

    Boxes are whole cells of the grid and hold all of the density but a thousandth; what lies outside is one more box,
    the last entry of the flattened probabilities.
    """
    p = run["density"][record] * cell_of(run)
    lines = axes_of(run)
    edges, indices = [], []
    for axis in (0, 1):
        cumulated = np.concatenate([[0.0], np.cumsum(p.sum(1 - axis))])
        first = max(int(np.searchsorted(cumulated, 5e-4)) - 1, 0)
        last = min(int(np.searchsorted(cumulated, 1 - 5e-4)), len(cumulated) - 1)
        marks = np.unique(np.rint(np.linspace(first, max(last, first + 1), cells + 1)).astype(int))
        indices.append(marks)
        edges.append(lines[axis][marks])
    inner = p[indices[0][0] : indices[0][-1], indices[1][0] : indices[1][-1]]
    rows = indices[0][:-1] - indices[0][0]
    columns = indices[1][:-1] - indices[1][0]
    sums = np.add.reduceat(np.add.reduceat(inner, rows, axis=0), columns, axis=1)
    samples = run["samples"][record]
    counts = np.histogram2d(samples[:, 0], samples[:, 1], bins=edges)[0] / len(samples)
    predicted = np.append(sums.ravel(), max(p.sum() - sums.sum(), 0.0))
    return predicted, np.append(counts.ravel(), 1 - counts.sum()), (edges[0], edges[1])


def distance(predicted: np.ndarray, found: np.ndarray, replicas: int) -> Distance:
    """Total variation, and its mean for multinomial counts (each |difference| half a normal)."""
    noise = np.sqrt(2 * predicted * (1 - predicted) / (np.pi * replicas)).sum() / 2
    return Distance(float(np.abs(predicted - found).sum() / 2), float(noise))


def plane_distances(run: Run) -> list[Distance]:
    """At each record but the first, the start."""
    replicas = run["samples"].shape[1]
    pairs = (coarse(run, record)[:2] for record in range(1, len(run["steps"])))
    return [distance(p, found, replicas) for p, found in pairs]


def linear_distances(run: Run) -> list[Distance]:
    """The same for the Gaussian of the linear problem."""
    replicas, found = run["samples"].shape[1], []
    rng = np.random.default_rng(0)
    for record in range(1, len(run["steps"])):
        _, counts, edges = coarse(run, record)
        drawn = rng.multivariate_normal(run["linear_mean"][record], run["linear_covariance"][record], size=400_000)
        inside = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=edges)[0].ravel() / len(drawn)
        found.append(distance(np.append(inside, 1 - inside.sum()), counts, replicas))
    return found


def grid_distances(run: Run) -> list[float]:
    """Total variation from the density on a grid of half as many points, in boxes: the grid's own error."""
    found = []
    for record in range(1, len(run["steps"])):
        fine, _, edges = coarse(run, record)
        p = run["coarse_density"][record] * cell_of(run, "coarse_")
        sums = _boxes(p, axes_of(run, "coarse_"), edges)
        found.append(float(np.abs(fine - np.append(sums.ravel(), 1 - sums.sum())).sum() / 2))
    return found


def _boxes(p: np.ndarray, lines: tuple[np.ndarray, np.ndarray], edges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Probability in boxes that are not whole cells: the cumulated density, between cells by straight lines."""
    whole = np.pad(p.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    along = np.stack([np.interp(edges[1], lines[1], row) for row in whole])
    both = np.stack([np.interp(edges[0], lines[0], column) for column in along.T], axis=1)
    return np.diff(np.diff(both, axis=0), axis=1)


def kolmogorov(samples: np.ndarray, variance: float) -> float:
    """√R sup|F_R - F| against a centred Gaussian: 1.36 is exceeded by one ensemble in twenty."""
    from scipy.stats import norm

    x = np.sort(samples)
    f = norm.cdf(x / np.sqrt(variance))
    steps = np.arange(len(x) + 1) / len(x)
    return float(np.sqrt(len(x)) * max((steps[1:] - f).max(), (f - steps[:-1]).max()))
