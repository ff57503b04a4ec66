"""What is trained, and with how many samples the ensembles are measured."""

import dataclasses

from nnthermo._checks import check
from nnthermo.experiments.networks import NETWORKS
from nnthermo.experiments.settings import StoredSettings
from nnthermo.training import log_spaced_epochs

ENSEMBLES = ("window", "box", "gaussian", "gaussian_without_mean")
"""Exact with the window of (5.8), exact in the box (5.7), the Gaussian (5.9), and (5.14) without its mean term."""

PATHS = ("gaussian", "window")
"""Ensembles whose first law is integrated between the records."""

TEMPERATURES = ("constant", "gap", "loss")
"""β(t): one number, (9.4) from the gap of the mean state's spectrum, and the β at which (10.1) gives the bulk loss."""

WINDOW = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Multiples of the constant β between which log Z is tested for factors (6.3)."""


@dataclasses.dataclass(frozen=True)
class Settings(StoredSettings):
    """Settings of the trainings and of the measurements on them.

    Attributes:
        dataset: digits (5,000, embedded), mnist or fashion_mnist.
        samples: training samples; None for 6,000, or all if there are fewer.
        networks: the paper's, deep and shallow, or one of them.
        epochs: passes over the data.
        learning_rate: learning rate of plain SGD on the boundary loss.
        batch_size: samples a step.
        scale: factor on Glorot-uniform initial weights; biases start at 0.
        pixel_high: value of a white pixel; black is 0.
        target_off: target of the nine outputs that should stay silent.
        target_on: target of the output that should be active.
        seeds: initial weights and order of samples.
        beta: the constant β.
        records: networks that are kept along a run, log-spaced in epoch, the first and the last among them.
        last_records: how many at the end are taken for near equilibrium.
        measured_samples: training samples whose inputs are the data of the ensembles; averages are over them.
        relaxed_samples: training samples over which the bulk loss is averaged.
        blocks: independent sets of random numbers, the same at every record; standard errors are over them.
        window_samples: states of the exact window ensemble, a block.
        box_samples: states of the exact box ensemble, a block.
        path_samples: states of the window ensemble whose first law is integrated.
    """

    dataset: str = "digits"
    samples: int | None = None
    networks: tuple[str, ...] = tuple(NETWORKS)
    epochs: int = 2000
    learning_rate: float = 0.1
    batch_size: int = 100
    scale: float = 1.0
    pixel_high: float = 1.0
    target_off: float = -1.0
    target_on: float = 1.0
    seeds: tuple[int, ...] = (0, 1, 2)
    beta: float = 1.4
    records: int = 14
    last_records: int = 4
    measured_samples: int = 5
    relaxed_samples: int = 200
    blocks: int = 8
    window_samples: int = 500
    box_samples: int = 100
    path_samples: int = 100

    def __post_init__(self) -> None:
        self.require_positive(
            "epochs", "learning_rate", "batch_size", "scale", "beta", "measured_samples", "relaxed_samples"
        )
        self.require_at_least(2, "last_records", "blocks", "window_samples", "box_samples", "path_samples")
        self.require_at_least(3, "records")
        self.require_coding()
        self.require_some_of("networks", NETWORKS)
        self.require_seeds()
        enough = len(self.observe_at) >= self.last_records
        check("epochs", f"leave room for {self.last_records} records", enough, self.epochs)

    @property
    def observe_at(self) -> tuple[int, ...]:
        """Epochs after which the network is kept."""
        return log_spaced_epochs(self.epochs, self.records)
