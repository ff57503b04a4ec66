"""Which architectures are trained, for how long, and how they are scored."""

import dataclasses
import math
from typing import Any, Self

from nnthermo._checks import check, integer
from nnthermo.experiments.architectures.family import ACTIVATIONS, SKIPS
from nnthermo.experiments.settings import StoredSettings


@dataclasses.dataclass(frozen=True)
class Settings(StoredSettings):
    """Settings of the family, of the trainings and of the scores.

    Attributes:
        dataset: digits (5,000, embedded), mnist or fashion_mnist.
        samples: training samples; None for 4,000 of the embedded digits, 6,000 of the full sets.
        test_samples: test samples, held out of the embedded digits, or taken from the test set of the full ones.
        neurons: budget: hidden neurons of every architecture.
        parameters: budget instead: weights and biases that every architecture may have at most.
        depths: numbers of hidden layers.
        activations: activations of the hidden neurons.
        skips: which layers are connected over others, of none, hidden and all.
        seeds: initial weights and order of samples.
        epochs: passes over the data.
        learning_rate: learning rate of Adam.
        batch_size: samples a step.
        scale: factor on Glorot-uniform initial weights; biases start at 0.
        score_epochs: epochs after which every score is taken: 0, and those of short trainings; the end is scored too.
        betas: inverse temperatures of the thermodynamic scores; the first is that of the statements.
        spectrum_samples: training samples whose Ĝ are taken; scores are means over them.
        kernel_samples: training samples of the gradient norm and of the tangent kernel.
        resamples: number of them in the bootstrap.
        pixel_high: value of a white pixel; black is 0.
        target_off: target of the outputs that should stay silent.
        target_on: target of the output that should be active.
    """

    dataset: str = "digits"
    samples: int | None = None
    test_samples: int = 1000
    neurons: int | None = 60
    parameters: int | None = None
    depths: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    activations: tuple[str, ...] = ("tanh", "relu", "sigmoid")
    skips: tuple[str, ...] = SKIPS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    epochs: int = 40
    learning_rate: float = 0.002
    batch_size: int = 50
    scale: float = 1.0
    score_epochs: tuple[int, ...] = (0, 1, 3)
    betas: tuple[float, ...] = (1.4, 0.25, 10.0)
    spectrum_samples: int = 5
    kernel_samples: int = 20
    resamples: int = 2000
    pixel_high: float = 1.0
    target_off: float = -1.0
    target_on: float = 1.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            for number in value if isinstance(value, tuple) else (value,):
                check(name, "be finite", not isinstance(number, float) or math.isfinite(number), value)
        for name in ("test_samples", "epochs", "batch_size", "spectrum_samples", "kernel_samples", "resamples"):
            integer(name, getattr(self, name))
        if self.parameters is not None:
            object.__setattr__(self, "neurons", None)
        self.require_positive(
            "test_samples", "epochs", "learning_rate", "batch_size", "scale", "spectrum_samples", "kernel_samples"
        )
        self.require("be positive", lambda count: count is None or count > 0, "neurons", "parameters")
        check("neurons or parameters", "be given", self.neurons or self.parameters, None)
        self.require_at_least(100, "resamples")
        self.require_coding()
        self.require_some_of("activations", ACTIVATIONS)
        self.require_some_of("skips", SKIPS)
        self.require_distinct("depths", "score_epochs", "betas")
        self.require_seeds()
        self.require("be positive", lambda values: min(values) > 0, "depths", "betas")
        self.require("increase from 0", lambda e: e[0] == 0 and tuple(sorted(e)) == e, "score_epochs")
        self.require(f"lie before the {self.epochs} epochs", lambda e: e[-1] < self.epochs, "score_epochs")

    def changed(self, **given: Any) -> Self:
        """The same with what is given; one budget takes the place of the other."""
        both = given.get("neurons") is not None and given.get("parameters") is not None
        check("neurons", "not be given with `parameters`", not both, "both: they are two budgets")
        if given.get("neurons") is not None:
            given["parameters"] = None
        return super().changed(**given)

    @property
    def records(self) -> tuple[int, ...]:
        """Epochs after which every score is taken, the end among them."""
        return (*self.score_epochs, self.epochs)
