"""Which networks are trained, how many of them, and when they are looked at."""

import dataclasses
import itertools

import numpy as np

from nnthermo.experiments.settings import StoredSettings

ARMS = ("plane", "weights", "planck")
"""SGD in a plane of two combinations of weights; in all weights; the same, slower and shorter, to measure ħ²."""


SHOWN = (1, 10)
"""Ranks of the two directions, counted from the sharpest, whose densities are shown."""


@dataclasses.dataclass(frozen=True)
class Settings(StoredSettings):
    """Settings of the ensembles.

    Attributes:
        dataset: digits (5,000, embedded), mnist or fashion_mnist.
        samples: training samples.
        pool: pixels that are averaged to one, along each side.
        hidden: hidden neurons; inputs are the pooled pixels, outputs the ten classes, all neurons tanh.
        decay: coefficient α of the term ½α|q|² of the loss, which gives flat directions a minimum.
        replicas: networks of an ensemble.
        learning_rate: η of training in all weights.
        batch_size: samples a step of it, drawn with replacement.
        steps: number of them in all weights' training.
        spread: standard deviation of the starting weights about the minimum, in each direction.
        plane_learning_rate: η of training in the plane of two directions.
        plane_batch_size: samples a step in the plane.
        plane_steps: number of them in the plane.
        plane_displacement: how far from the minimum they start in the plane, along each direction, over
            its width at rest.
        plane_spread: standard deviation at the start in the plane, over the width at rest.
        points: points of the grid, along each direction of the plane.
        planck_learning_rate: η of the ensembles that measure ħ².
        planck_batch_sizes: samples a step of each ensemble that measures ħ².
        planck_spread: standard deviation of those ensembles at the start over that at rest, in the sharpest direction.
        planck_times: looks at each of those ensembles, evenly spaced.
        planck_relaxations: how long those ensembles go on, in relaxation times 1/ηλ of the sharpest direction.
        momentum: momentum of one more such ensemble, with η smaller by 1 - momentum and the first batch size.
        records: looks at the other ensembles, log-spaced in steps.
        seeds: seeds of the network and of the ensembles.
        resamples: number of them in the bootstrap over replicas.
    """

    dataset: str = "digits"
    samples: int = 1000
    pool: int = 4
    hidden: int = 4
    decay: float = 0.003
    replicas: int = 4096
    learning_rate: float = 0.02
    batch_size: int = 10
    steps: int = 4000
    spread: float = 0.03
    plane_learning_rate: float = 0.05
    plane_batch_size: int = 1
    plane_steps: int = 150
    plane_displacement: float = 3.0
    plane_spread: float = 0.7
    points: int = 81
    planck_learning_rate: float = 0.004
    planck_batch_sizes: tuple[int, ...] = (2, 5, 10, 50)
    planck_spread: float = 0.4
    planck_times: int = 40
    planck_relaxations: float = 2.0
    momentum: float = 0.9
    records: int = 40
    seeds: tuple[int, ...] = (0, 1, 2)
    resamples: int = 100

    def __post_init__(self) -> None:
        self.require_positive(
            "samples", "hidden", "decay", "learning_rate", "batch_size", "spread", "plane_learning_rate",
            "plane_batch_size", "plane_displacement", "plane_spread", "planck_learning_rate", "planck_spread",
            "planck_relaxations",
        )  # fmt: skip
        self.require("divide 28", lambda side: side > 0 and 28 % side == 0, "pool")
        self.require("lie between 0 and 1", lambda share: 0 < share < 1, "momentum")
        self.require_at_least(3, "records")
        self.require_at_least(10, "steps", "plane_steps", "planck_times", "resamples")
        self.require_at_least(11, "points")
        least = self.parameters + 10
        enough = f"be at least {least}: more than the weights, for their covariance"
        self.require(enough, lambda count: count >= least, "replicas")
        distinct = "be positive and differ"
        self.require(distinct, lambda n: bool(n) and min(n) > 0 and len(set(n)) == len(n), "planck_batch_sizes")
        self.require_seeds()

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Neurons of the layers."""
        return (28 // self.pool) ** 2, self.hidden, 10

    @property
    def parameters(self) -> int:
        """Weights and biases K."""
        return sum(n * (before + 1) for before, n in itertools.pairwise(self.sizes))

    def records_of(self, arm: str) -> tuple[int, ...]:
        """Steps after which an ensemble is looked at, the start and the end among them."""
        last = self.plane_steps if arm == "plane" else self.steps
        return tuple(int(k) for k in np.unique(np.rint(np.geomspace(1, last + 1, self.records) - 1)))
