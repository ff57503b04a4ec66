"""What is compared, and for how long."""

import dataclasses

import numpy as np

from nnthermo.experiments import networks
from nnthermo.experiments.settings import StoredSettings
from nnthermo.training import log_spaced_epochs

NETWORKS = {**networks.NETWORKS, "deeper": (784, 20, 20, 20, 10)}
"""The paper's two networks and one with three hidden layers; all have 60 hidden neurons, N = 854, all tanh."""

TRAININGS = ("boundary", "bulk", "unsupervised")
"""Losses to train with: H_∂ (2.11), the clamped minimum of H (3.2), and the latter without targets at m > 0 (3.4)."""


@dataclasses.dataclass(frozen=True)
class Settings(StoredSettings):
    """Settings of all trainings; those that `nnthermo reproduce` has too mean the same.

    Attributes:
        dataset: digits (5,000, embedded), mnist or fashion_mnist.
        samples: training samples; None for 4,000 of the embedded digits, 6,000 of the full sets.
        test_samples: test samples, held out of the embedded digits, or taken from the test set of the full ones.
        networks: some of deep, shallow and deeper.
        epochs: passes over the data, with the boundary and with the bulk loss; 3,000 at a rate of 0.1 go as far as
            30,000 at the 0.01 of `nnthermo reproduce`.
        unsupervised_epochs: epochs of training without targets; 0 for none.
        learning_rate: learning rate of plain SGD.
        bulk_learning_rate: learning rate with the bulk loss, with targets and without; None for the same.
        batch_size: samples a step.
        scale: factor on Glorot-uniform initial weights; biases start at 0.
        pixel_high: value of a white pixel; black is 0.
        target_off: target of the nine outputs that should stay silent.
        target_on: target of the output that should be active.
        seeds: initial weights and order of samples; the same for every loss.
        beta: inverse temperature at which thermodynamic functions are recorded.
        m: curvature of the local objective (3.3) in training without targets.
        observations: records spaced evenly in log epoch, and as many spaced evenly in epoch.
        relaxed_samples: training samples, and test samples, over which the bulk loss is averaged.
        max_steps: bound on the steps of a relaxation, in training and in records.
        curvature_samples: training samples whose mean losses' Hessians are measured.
        curvature_records: how often curvatures are measured: at the start, at the end, between them evenly in
            log epoch.
        probes: random directions of stochastic Lanczos quadrature.
        lanczos_steps: steps of the quadrature from each direction.
    """

    dataset: str = "digits"
    samples: int | None = None
    test_samples: int = 1000
    networks: tuple[str, ...] = tuple(NETWORKS)
    epochs: int = 3000
    unsupervised_epochs: int = 30
    learning_rate: float = 0.1
    bulk_learning_rate: float | None = None
    batch_size: int = 100
    scale: float = 1.0
    pixel_high: float = 1.0
    target_off: float = -1.0
    target_on: float = 1.0
    seeds: tuple[int, ...] = (0, 1, 2)
    beta: float = 1.4
    m: float = 0.1
    observations: int = 20
    relaxed_samples: int = 500
    max_steps: int = 2000
    curvature_samples: int = 500
    curvature_records: int = 4
    probes: int = 4
    lanczos_steps: int = 150

    def __post_init__(self) -> None:
        self.require_positive(
            "test_samples", "epochs", "learning_rate", "batch_size", "scale", "beta", "relaxed_samples", "max_steps",
            "curvature_samples", "lanczos_steps",
        )  # fmt: skip
        self.require("be positive", lambda rate: rate is None or rate > 0, "bulk_learning_rate")
        self.require("not be negative", lambda epochs: epochs >= 0, "unsupervised_epochs")
        self.require_coding()
        self.require("lie between 0 and 1, both excluded", lambda m: 0 < m < 1, "m")
        self.require_at_least(2, "observations", "curvature_records", "probes")
        self.require_some_of("networks", NETWORKS)
        self.require_seeds()

    @property
    def trainings(self) -> tuple[str, ...]:
        """Those of `TRAININGS` that are run."""
        return TRAININGS if self.unsupervised_epochs else TRAININGS[:2]

    def epochs_of(self, training: str) -> int:
        """How long a training is."""
        return self.unsupervised_epochs if training == "unsupervised" else self.epochs

    def rate_of(self, training: str) -> float:
        """Its learning rate."""
        other = self.bulk_learning_rate
        return self.learning_rate if training == "boundary" or other is None else other

    def curvature_at(self, training: str) -> tuple[int, ...]:
        """Epochs after which curvatures are measured: the last of them is the end."""
        if training == "unsupervised":
            return ()
        spaced = np.geomspace(self.epochs, max(1.0, self.epochs / 100), self.curvature_records - 1)
        return tuple(sorted({0, self.epochs, *(int(e) for e in spaced.round())}))

    def observe_at(self, training: str) -> tuple[int, ...]:
        """Epochs after which everything else is recorded."""
        epochs = self.epochs_of(training)
        even = [round(epochs * k / self.observations) for k in range(1, self.observations + 1)]
        spaced = log_spaced_epochs(epochs, self.observations)
        return tuple(sorted({0, *spaced, *even, *self.curvature_at(training)}))
