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
    resamples: int,
    seed: int = 0,
) -> Correlation:
    """Spearman's rank correlation of two quantities, or its partial form with others held fixed.

    The partial form is the correlation of what is left of the ranks after regression on the ranks of `fixed`. Within
    groups, ranks are taken in each group, so that nothing between groups counts. The bootstrap resamples architectures
    within their groups; where a resample leaves one side constant it is left out.

    Args:
        score: (architectures,).
        result: (architectures,).
        fixed: arrays of the same shape.
        groups: labels, (architectures,); None for one group.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    columns = np.stack([score, result, *fixed]).astype(np.float64)
    labels = np.zeros(len(score), int) if groups is None else np.unique(groups, return_inverse=True)[1]
    members = [np.flatnonzero(labels == k) for k in range(labels.max() + 1)]
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen = [m[rng.integers(0, len(m), (resamples, len(m)))] for m in members]
    value = float(_partial([columns[:, None, m] for m in members])[0])
    spread = _partial([columns[:, c] for c in chosen])
    spread = spread[np.isfinite(spread)]
    low, high = np.percentile(spread, [2.5, 97.5]) if len(spread) else (np.nan, np.nan)
    return Correlation(value, float(low), float(high), len(score))


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
