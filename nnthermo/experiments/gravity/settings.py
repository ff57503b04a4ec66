"""Which networks are trained, and where and when their space-times are looked at."""

import dataclasses
import math

import numpy as np

from nnthermo._checks import check
from nnthermo.experiments.settings import StoredSettings

CLOCKS = ("entropy", "training", "temperature")
"""T = -S along training; T = training time; T = -S along log β, the weights being those of the end."""

CLOCK_WORDS = {"entropy": "T = -S", "training": "T = training time", "temperature": "along log β"}
"""The same for people."""

ARMS = {"small": "small networks", "image": "hidden layer, images"}
"""Kinds of networks, and what they are called."""

LINEAR = 300
"""Part of the training after which its time becomes logarithmic: one in so many."""


@dataclasses.dataclass(frozen=True)
class Settings(StoredSettings):
    """Settings of the networks and of the looks at them.

    Attributes:
        dataset: digits (5,000, embedded), mnist or fashion_mnist.
        samples: training samples.
        classes: the two classes that the small networks tell apart.
        widths: hidden neurons of the small networks, which see two principal components of the images.
        hidden: hidden neurons of the network that sees the images.
        duration: length of the training in learning rate times steps: gradient descent with all samples in the limit of
            small steps, which leaves a smooth path of weights.
        step: longest step of its integration, in the same unit.
        records: weights kept along a training, through which a polynomial in its time is laid; an odd number, since
            its error is told by leaving out every second.
        beta: inverse temperature β of the ensembles.
        looks: training times at which space-times are measured.
        points: samples of the data whose labels are the points of space.
        map_points: points of the maps of a plane of labels, along each side.
        seeds: initial weights.
    """

    dataset: str = "digits"
    samples: int = 1000
    classes: tuple[int, ...] = (3, 5)
    widths: tuple[int, ...] = (2, 4, 6, 8)
    hidden: int = 20
    duration: float = 100.0
    step: float = 0.05
    records: int = 61
    beta: float = 1.4
    looks: int = 7
    points: int = 60
    map_points: int = 31
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        self.require_positive("samples", "duration", "step", "beta", "points")
        self.require("be odd and at least 5", lambda count: count >= 5 and count % 2 == 1, "records")
        self.require_at_least(3, "looks")
        self.require_at_least(5, "map_points")
        self.require_distinct("widths", "classes")
        least = min(*self.widths, self.hidden)
        check("widths and hidden", "be at least 2, for two labels to move the states apart", least >= 2, least)
        self.require_seeds()
        self.require("be two of 0 to 9", lambda two: len(two) == 2 and set(two) <= set(range(10)), "classes")

    @property
    def kept_at(self) -> np.ndarray:
        """Training times whose weights are kept: Chebyshev's points, of which every second are Chebyshev's too."""
        angles = np.linspace(0, math.pi, self.records)
        return self.end * (1 - np.cos(angles)) / 2

    @property
    def end(self) -> float:
        """Training time τ = log(1 + LINEAR t/duration) of the end."""
        return math.log1p(LINEAR)

    def elapsed(self, time: float) -> float:
        """t at a training time, in learning rate times steps."""
        return math.expm1(time) * self.duration / LINEAR

    @property
    def look_at(self) -> np.ndarray:
        """Training times of the looks, inside of the training."""
        return self.end * (np.arange(self.looks) + 0.5) / self.looks
