"""Real images to train on and others to test on, in the coding of a study's settings."""

from typing import Any, NamedTuple

import numpy as np

from nnthermo._checks import check
from nnthermo.data import Dataset, load


class Data(NamedTuple):
    """Training and test samples in the coding of the settings, float32; (samples, 784) and (samples, 10)."""

    inputs: np.ndarray
    targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    source: str


def coded(part: Dataset, settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (samples, 784) and targets (samples, 10) in the coding of the settings, float32."""
    return part.inputs(high=settings.pixel_high), part.targets(off=settings.target_off, on=settings.target_on)


def to_train_on(everything: Dataset, settings: Any) -> Dataset:
    """As many samples as the settings say, 6,000 or all where they say nothing: classes balanced, in random order.

    Raises:
        ValueError: more samples asked for than there are, or larger batches.
    """
    available = len(everything)
    samples = min(6000, available) if settings.samples is None else settings.samples
    check("samples", f"lie between 1 and the {available} of {settings.dataset}", 1 <= samples <= available, samples)
    check("batch_size", f"not exceed the {samples} samples", settings.batch_size <= samples, settings.batch_size)
    return everything.take(samples, seed=0)


def held_out(settings: Any, data_dir: str | None = None) -> Data:
    """Training samples and others to test on: a part of the embedded digits, or the test set of the full ones.

    Args:
        settings: with the fields dataset, samples, test_samples, batch_size, pixel_high, target_off and target_on.
        data_dir: where the full data sets lie.

    Raises:
        ValueError: more samples asked for than there are.
    """
    everything = load(settings.dataset, data_dir=data_dir)
    if settings.dataset == "digits":
        possible = len(everything) - 1
        check("test_samples", f"be at most {possible}", settings.test_samples <= possible, settings.test_samples)
        everything, held = everything.split_off(settings.test_samples, seed=0)
    else:
        held = load(settings.dataset, split="test", data_dir=data_dir, samples=settings.test_samples)
    chosen = to_train_on(everything, settings)
    return Data(*coded(chosen, settings), *coded(held, settings), everything.source)


def training_set(settings: Any, data_dir: str | None = None) -> Dataset:
    """The whole training set, which must have the samples of the settings.

    Raises:
        ValueError: more samples asked for than there are.
    """
    everything = load(settings.dataset, data_dir=data_dir)
    enough = settings.samples <= len(everything)
    check("samples", f"be at most the {len(everything)} of {settings.dataset}", enough, settings.samples)
    return everything
