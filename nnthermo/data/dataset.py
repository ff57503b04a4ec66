"""The record that every loader returns: images, labels, and where they came from."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nnthermo._checks import check, finite, integer, refuse


def permutation(n: int, seed: int) -> np.ndarray:
    """A permutation of 0..n-1, (n,) int64, the same for one seed in every release of numpy and on every machine.

    It sorts raw words of PCG64, a stream that numpy promises to keep; it makes no such promise for its shuffles.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


def one_hot(
    labels: Any, classes: int, *, off: float = 0.0, on: float = 1.0, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """One-of-k coding: `on` in the column of the label, `off` in the others.

    Args:
        labels: integers in 0..classes-1, shape (...).
        classes: number of columns k.
        off: the value of the k-1 other columns; `Dataset.targets` puts -1, the lower end of tanh.
        on: the value of the column of the label.
        dtype: a floating-point type.

    Returns:
        Array of shape (..., classes) and type `dtype`.

    Raises:
        TypeError: labels that are not integers, or a `dtype` that is not floating-point.
        ValueError: a label out of range, no classes, or `on` equal to `off`.
    """
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"`labels` must be integers, but got dtype {labels.dtype}")
    classes = integer("classes", classes, least=1)
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        refuse("labels", f"lie in 0..{classes - 1}", f"{outside.size} outside, the first {outside[0]}")
    levels = _levels(2, dtype, off=off, on=on)
    return levels[(labels[..., None] == np.arange(classes)).astype(np.intp)]


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels.

    Attributes:
        images: pixels 0..255, shape (n, height, width), uint8.
        labels: class of each image in 0..classes-1, shape (n,), int64.
        classes: number of classes.
        name: the name that `load` knows the set by.
        split: the part of the set.
        source: one sentence about where the images came from.

    Raises:
        TypeError: images that are not uint8, or labels that are not integers.
        ValueError: shapes that do not match, or a label out of range.
    """

    images: np.ndarray = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)
    classes: int
    name: str
    split: str
    source: str

    def __post_init__(self) -> None:
        """Check types, shapes and the range of the labels."""
        if self.images.dtype != np.uint8:
            raise TypeError(f"`images` must be uint8, but got dtype {self.images.dtype}")
        if not np.issubdtype(self.labels.dtype, np.integer):
            raise TypeError(f"`labels` must be integers, but got dtype {self.labels.dtype}")
        check("images", "have shape (n, height, width)", self.images.ndim == 3, f"shape {self.images.shape}")
        shape = (len(self.images),)
        check("labels", f"have shape {shape}, one for each image", self.labels.shape == shape, self.labels.shape)
        if len(self):
            low, high = int(self.labels.min()), int(self.labels.max())
            check("labels", f"lie in 0..{self.classes - 1}", low >= 0 and high < self.classes, f"{low}..{high}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def inputs(self, *, low: float = 0.0, high: float = 1.0, dtype: DTypeLike = np.float32) -> np.ndarray:
        """The images as vectors, pixel 0 at exactly `low` and 255 at exactly `high`; `high=255.0` keeps raw pixels.

        Args:
            low: the value of a black pixel.
            high: the value of a white pixel.
            dtype: a floating-point type.

        Returns:
            Array of shape (n, height * width) and type `dtype`.

        Raises:
            TypeError: a `dtype` that is not floating-point.
            ValueError: a level that is not finite, or two equal ones.
        """
        return _levels(256, dtype, low=low, high=high)[self.images].reshape(len(self), math.prod(self.images.shape[1:]))

    def targets(self, *, off: float = -1.0, on: float = 1.0, dtype: DTypeLike = np.float32) -> np.ndarray:
        """The labels in one-of-k coding: `one_hot` with the levels of tanh.

        Args:
            off: the value of the columns of the other classes.
            on: the value of the column of the label.
            dtype: a floating-point type.

        Returns:
            Array of shape (n, classes) and type `dtype`.
        """
        return one_hot(self.labels, self.classes, off=off, on=on, dtype=dtype)

    def take(self, samples: int, *, seed: int) -> "Dataset":
        """A random subset with the classes as balanced as the data allows, in random order.

        Each class is shuffled and the classes dealt in turn, so class sizes differ by at most one until a class runs
        out; a larger subset with the same seed contains the smaller one.

        Args:
            samples: how many, 1..n.
            seed: a non-negative integer; the same one gives the same subset on every machine.

        Returns:
            `Dataset` of length `samples`.

        Raises:
            TypeError: `samples` or `seed` that is not an integer.
            ValueError: `samples` outside 1..n, or a negative seed.
        """
        samples = integer("samples", samples)
        check("samples", f"lie in 1..{len(self)}", 1 <= samples <= len(self), samples)
        return self._at(self._balanced(samples, seed))

    def split_off(self, held_out: float, *, seed: int) -> "tuple[Dataset, Dataset]":
        """Part the data in two: one to train on, one to measure accuracy on; classes balanced as by `take`.

        Args:
            held_out: how many to hold out, an integer in 1..n-1, or a fraction of n, a float between 0 and 1.
            seed: a non-negative integer; the same one gives the same parts on every machine.

        Returns:
            (train, held_out): `Dataset`s without a common image; the first keeps its split's name and order.

        Raises:
            TypeError: `held_out` that is not a number, or a seed that is not an integer.
            ValueError: nothing held out or nothing left, or a negative seed.
        """
        count = held_out
        if isinstance(held_out, float | np.floating):
            check("held_out", "lie between 0 and 1 if it is a fraction", 0 < held_out < 1, held_out)
            count = round(len(self) * float(held_out))
        count = integer("held_out", count)
        check("held_out", f"leave 1..{len(self) - 1} of {len(self)} images", 1 <= count < len(self), held_out)
        held = self._balanced(count, seed)
        rest = np.delete(np.arange(len(self)), held)
        return self._at(rest), dataclasses.replace(self._at(held), split=f"{self.split}, held out")

    def _at(self, indices: np.ndarray) -> "Dataset":
        return dataclasses.replace(self, images=self.images[indices], labels=self.labels[indices])

    def _balanced(self, samples: int, seed: int) -> np.ndarray:
        """Indices of a balanced subset, (samples,)."""
        seed = integer("seed", seed)
        check("seed", "be non-negative", seed >= 0, seed)
        order = permutation(len(self), seed)
        turn = np.empty(len(self), np.int64)  # how many of the same class come before it in `order`
        for label in range(self.classes):
            members = order[self.labels[order] == label]
            turn[members] = np.arange(len(members))
        chosen = order[np.argsort(turn[order], kind="stable")[:samples]]
        return chosen[permutation(samples, seed)]


def _levels(count: int, dtype: DTypeLike, **ends: float) -> np.ndarray:
    """`count` equidistant values between the two named ends, which are exact."""
    dtype = np.dtype(dtype)
    if not np.issubdtype(dtype, np.floating):
        raise TypeError(f"`dtype` must be floating-point, but got {dtype}")
    for name, end in ends.items():
        finite(name, end)
    (first_name, first), (last_name, last) = ends.items()
    check(last_name, f"differ from `{first_name}`", first != last, last)
    return np.linspace(first, last, count).astype(dtype)
