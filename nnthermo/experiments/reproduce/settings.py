"""What Section 10 of arXiv:2004.09280 says of its experiments, and a choice for what it leaves unsaid."""

import dataclasses

from nnthermo.experiments.settings import StoredSettings
from nnthermo.training import log_spaced_epochs

MILESTONES = (100, 1000, 10_000)
"""Epochs at which the paper shows spectra (Figs. 4-5)."""


@dataclasses.dataclass(frozen=True)
class Settings(StoredSettings):
    """Settings of the two trainings.

    The paper fixes the architecture, tanh, SGD on the boundary loss, 6,000 samples and 30,000 epochs. Learning rate,
    batch size, initial weights, pixel range and target coding are chosen here so that its statements come out as far
    as they do; `nnthermo.experiments.reproduce.sensitivity` varies each of them.

    Attributes:
        dataset: digits (5,000, embedded), mnist or fashion_mnist.
        samples: training samples; None for the paper's 6,000, or all if there are fewer.
        epochs: passes over the data.
        learning_rate: learning rate of plain SGD.
        batch_size: samples a step.
        scale: factor on Glorot-uniform initial weights; biases start at 0.
        pixel_high: value of a white pixel; black is 0.
        target_off: target of the nine outputs that should stay silent.
        target_on: target of the output that should be active.
        seeds: one run of each network a seed, for initial weights and for the order of samples.
        beta: inverse temperature at which thermodynamic functions are recorded (the paper's reading of the gap).
        observations: records spaced evenly in log epoch, and as many spaced evenly in epoch.
        relaxed_samples: samples over which the bulk loss is averaged; None for all.
        sensitivity_epochs: epochs of each run with one setting changed, see `sensitivity.VARIANTS`; 0 for none.
    """

    dataset: str = "digits"
    samples: int | None = None
    epochs: int = 30_000
    learning_rate: float = 0.01
    batch_size: int = 100
    scale: float = 1.0
    pixel_high: float = 1.0
    target_off: float = -1.0
    target_on: float = 1.0
    seeds: tuple[int, ...] = (0, 1, 2)
    beta: float = 1.4
    observations: int = 60
    relaxed_samples: int | None = None
    sensitivity_epochs: int = 1000

    def __post_init__(self) -> None:
        self.require_positive("epochs", "learning_rate", "batch_size", "scale", "beta")
        self.require_coding()
        self.require("not be negative", lambda epochs: epochs >= 0, "sensitivity_epochs")
        self.require_at_least(2, "observations")
        self.require_seeds()

    @property
    def observe_at(self) -> tuple[int, ...]:
        """Epochs after which everything is recorded."""
        spaced = log_spaced_epochs(self.epochs, self.observations)
        even = [round(self.epochs * k / self.observations) for k in range(1, self.observations + 1)]
        return tuple(sorted({*spaced, *even, *(e for e in MILESTONES if e <= self.epochs)}))

    def milestones(self) -> tuple[int, ...]:
        """Epochs whose spectra are shown: the paper's, or for shorter runs the same fractions of the run."""
        if self.epochs >= MILESTONES[-1]:
            return MILESTONES
        marks = self.observe_at
        return tuple(min(marks, key=lambda e: abs(e - self.epochs * m / MILESTONES[-1])) for m in MILESTONES)
