"""Rank correlations over architectures, with bootstrap intervals, and with other scores held fixed."""

from typing import NamedTuple

import numpy as np

from nnthermo._checks import extra


class Correlation(NamedTuple):
    """Spearman's ρ.

    Attributes:
        value: ρ; NaN if one side does not vary.
        low: lower end of the 95 % percentile bootstrap interval.
        high: its upper end.
        size: architectures it is over.
    """

    value: float
    low: float
    high: float
    size: int


def correlation(
    score: np.ndarray,
    result: np.ndarray,
    fixed: tuple[np.ndarray, ...] = (),
    *,
    groups: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    resamples: int,
    seed: int = 0,
) -> Correlation:
    """Spearman's rank correlation of two quantities, or its partial form with others held fixed.

    The partial form is the correlation of what is left of the ranks after regression on the ranks of `fixed`. Within
    groups, ranks are taken in each group, so that nothing between groups counts. The bootstrap resamples clusters,
    which go as a whole, in all groups alike; where a resample leaves one side constant it is left out.

    Args:
        score: (architectures,).
        result: (architectures,).
        fixed: arrays of the same shape.
        groups: labels, (architectures,); None for one group.
        clusters: labels of what was drawn together, (architectures,), each at most once a group; None for each alone.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    columns = np.stack([score, result, *fixed]).astype(np.float64)
    members, chosen = _resampled(len(score), groups, clusters, resamples, seed)
    value = float(_partial([columns[:, None, m] for m in members])[0])
    return Correlation(value, *_interval(_partial([columns[:, c] for c in chosen])), len(score))


def lead(
    score: np.ndarray, other: np.ndarray, result: np.ndarray, *, groups: np.ndarray, clusters: np.ndarray,
    resamples: int, seed: int = 0,
) -> Correlation:  # fmt: skip
    """By how much |ρ| of one score with a result exceeds that of another: both from the same resamples."""
    columns = np.stack([score, other, result]).astype(np.float64)
    members, chosen = _resampled(len(score), groups, clusters, resamples, seed)

    def excess(parts: list[np.ndarray]) -> np.ndarray:
        one, two = (np.abs(_partial([part[[k, 2]] for part in parts])) for k in (0, 1))
        return one - two

    value = float(excess([columns[:, None, m] for m in members])[0])
    return Correlation(value, *_interval(excess([columns[:, c] for c in chosen])), len(score))


def _resampled(
    count: int, groups: np.ndarray | None, clusters: np.ndarray | None, resamples: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Members of each group, and of each group its members in every resample, (resamples, clusters)."""
    labels = np.zeros(count, int) if groups is None else np.unique(groups, return_inverse=True)[1]
    drawn = np.arange(count) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    members = [np.flatnonzero(labels == k) for k in range(labels.max() + 1)]
    rng = np.random.Generator(np.random.PCG64(seed))
    common = set(drawn[members[0]])
    for m in members[1:]:
        common &= set(drawn[m])
    if not common:  # nothing is shared: each group by itself
        return members, [m[rng.integers(0, len(m), (resamples, len(m)))] for m in members]
    kept = np.array(sorted(common))  # a cluster that some group lacks is left out of the bootstrap
    chosen = kept[rng.integers(0, len(kept), (resamples, len(kept)))]
    places = np.full((len(members), drawn.max() + 1), -1)
    for place, m in zip(places, members, strict=True):
        place[drawn[m]] = m
    return members, [place[chosen] for place in places]


def _interval(spread: np.ndarray) -> tuple[float, float]:
    sound = spread[np.isfinite(spread)]
    low, high = np.percentile(sound, [2.5, 97.5]) if len(sound) else (np.nan, np.nan)
    return float(low), float(high)


def _partial(parts: list[np.ndarray]) -> np.ndarray:
    """ρ of the first two rows, the others held fixed; of each group (rows, resamples, members); (resamples,)."""
    ranks = np.concatenate([_ranks(part) for part in parts], axis=-1)  # (rows, resamples, architectures)
    gram = np.einsum("arn,brn->rab", ranks, ranks)
    fixed = gram[:, 2:, 2:]
    left = gram[:, :2, :2] - gram[:, :2, 2:] @ np.linalg.pinv(fixed, hermitian=True) @ gram[:, 2:, :2]
    norms = np.sqrt(np.maximum(left[:, 0, 0], 0) * np.maximum(left[:, 1, 1], 0))
    # of what regression removes altogether rounding is left, which correlates with anything
    whole = np.sqrt(gram[:, 0, 0] * gram[:, 1, 1])
    sound = norms > 1e-9 * np.maximum(whole, 1e-300)
    return np.where(sound, left[:, 0, 1] / np.where(sound, norms, 1), np.nan)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis less their mean, over the number of values; equal values share the mean of theirs."""
    ranks = extra("scipy.stats", "experiments").rankdata(values, axis=-1)
    return (ranks - ranks.mean(axis=-1, keepdims=True)) / values.shape[-1]
