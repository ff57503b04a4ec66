"""What correlates with what: the accuracy reached, every score beside it, and the table of both."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnthermo.experiments.architectures.correlations import Correlation, correlation, lead
from nnthermo.experiments.architectures.settings import Settings


@dataclasses.dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        key: its name in the data set.
        label: for people.
        kind: "thermodynamic", "baseline" or "short training".
        sign: +1 if more of it should be better, -1 if less: by the paper for thermodynamic scores, by its authors or by
            common sense for baselines; 0 where nobody says.
    """

    key: str
    label: str
    kind: str
    sign: int


SCORES = (
    Score("entropy_destruction", "-ΔF in λ (9.1)", "thermodynamic", -1),
    Score("log_laplacian", "ΔF in log λ", "thermodynamic", 1),
    Score("weight_laplacian", "ΔF in the weights", "thermodynamic", 1),
    Score("mu2", "μ2 (9.5)", "thermodynamic", 1),
    Score("mu3", "μ3 (9.6)", "thermodynamic", -1),
    Score("skewness", "skewness of log λ", "thermodynamic", -1),
    Score("hyperbolic_skewness", "Σ 2 sinh log λ", "thermodynamic", -1),
    Score("moving", "moving eigenvalues", "thermodynamic", 1),
    Score("smallest", "smallest log λ", "thermodynamic", -1),
    Score("free_energy", "free energy F", "thermodynamic", 0),
    Score("effective_count", "effective count 2βU", "thermodynamic", 0),
    Score("entropy", "entropy S", "thermodynamic", 0),
    Score("parameters", "number of parameters", "baseline", 1),
    Score("weighted_links", "connections × f'(0)²", "baseline", 1),
    Score("depth", "hidden layers", "baseline", 1),
    Score("narrowest", "narrowest layer", "baseline", 1),
    Score("gradient_norm", "gradient norm", "baseline", 1),
    Score("kernel_trace", "trace of the tangent kernel", "baseline", 1),
    Score("kernel_condition", "condition of the tangent kernel", "baseline", -1),
    Score("synflow", "synflow", "baseline", 1),
    Score("boundary_loss", "training loss so far", "short training", -1),
    Score("test_accuracy", "test accuracy so far", "short training", 1),
)
"""Every score, in the order of the report."""

BY_KEY = {score.key: score for score in SCORES}

UNLINKED: dict[str, Callable[[float], float]] = {
    "entropy_destruction": lambda beta: beta / 2 / (1 + beta) ** 2,
    "log_laplacian": lambda beta: 1 / 2 / (1 + beta) ** 2,
    "free_energy": lambda beta: math.log((1 + beta) / (2 * math.pi)) / (2 * beta),
    "effective_count": lambda beta: beta / (1 + beta),
    "entropy": lambda beta: 0.5 * (math.log(2 * math.pi / (1 + beta)) + beta / (1 + beta)),
}
"""What each neuron adds to a score without any weights, λ = 1. Correlations are of what weights add to that: else an
architecture of more neurons would have more of everything, whatever is connected with what."""


def reached(results: Any) -> np.ndarray:
    """Test accuracy at the end, mean over seeds, (architectures,)."""
    return results.test_accuracy.isel(epoch=-1).mean("seed").values


def values(results: Any, key: str, epoch: int, beta: float | None = None) -> np.ndarray:
    """A score after an epoch, mean over seeds, less that of unlinked neurons, (architectures,)."""
    found = results[key]
    if "beta" in found.dims:
        chosen = float(results.beta[0]) if beta is None else beta
        found = found.sel(beta=chosen)
        if key in UNLINKED:
            found = found - UNLINKED[key](chosen) * results.neurons
    if "epoch" in found.dims:
        found = found.sel(epoch=epoch)
    if "seed" in found.dims:
        found = found.mean("seed")
    return found.values


def sound(results: Any) -> Any:
    """Architectures whose scores and accuracies are finite in every seed."""
    good = np.ones(results.sizes["architecture"], bool)
    for key in results.data_vars:
        others = [d for d in results[key].dims if d != "architecture"]
        good &= np.isfinite(results[key]).all(others).values
    return results.isel(architecture=good)


class Correlations:
    """Rank correlations of scores with the accuracy reached, each computed once."""

    def __init__(self, results: Any, settings: Settings) -> None:
        self.results, self.settings = sound(results), settings
        self._found: dict[tuple, Correlation] = {}

    def of(
        self, key: str, epoch: int = 0, *, activation: str | None = None, beta: float | None = None,
        fixed: tuple[str, ...] = (), skip: str | None = None,
    ) -> Correlation:  # fmt: skip
        """ρ of a score after an epoch with the accuracy reached: of one activation, or of all within each.

        Args:
            key: of `SCORES`.
            epoch: when the score is taken; at the end, that of the settings' `epochs`.
            activation: None for all, ranked within each activation.
            beta: of a thermodynamic score; None for the first.
            fixed: other scores of the same moment that are held fixed.
            skip: only architectures with these skips.
        """
        asked = (key, epoch, activation, beta, fixed, skip)
        if asked not in self._found:
            self._found[asked] = self.between(
                key, "reached", epoch, activation=activation, beta=beta, fixed=fixed, skip=skip
            )
        return self._found[asked]

    def between(
        self, key: str, other: str, epoch: int = 0, *, activation: str | None = None, beta: float | None = None,
        fixed: tuple[str, ...] = (), skip: str | None = None,
    ) -> Correlation:  # fmt: skip
        """ρ of two scores of the same moment; "reached" is the accuracy at the end."""
        part = self.results
        keep = np.ones(part.sizes["architecture"], bool)
        if activation is not None:
            keep &= part.activation.values == activation
        if skip is not None:
            keep &= part.skip.values == skip
        part = part.isel(architecture=keep)
        if keep.sum() < 4:
            return Correlation(np.nan, np.nan, np.nan, int(keep.sum()))

        def column(name: str) -> np.ndarray:
            return reached(part) if name == "reached" else values(part, name, epoch, beta)

        return correlation(
            column(key), column(other), tuple(column(name) for name in fixed), groups=part.activation.values,
            clusters=part.wiring.values, resamples=self.settings.resamples,
        )  # fmt: skip

    def ahead(self, key: str, other: str, epoch: int) -> Correlation:
        """By how much |ρ| of one score with the accuracy reached exceeds that of another, all activations."""
        part = self.results
        columns = (values(part, key, epoch), values(part, other, epoch), reached(part))
        groups, clusters = part.activation.values, part.wiring.values
        return lead(*columns, groups=groups, clusters=clusters, resamples=self.settings.resamples)


def table(correlations: Correlations) -> list[dict[str, Any]]:
    """One row a score and moment: ρ of all activations and of each, and with the number of parameters held fixed."""
    settings, rows = correlations.settings, []
    for score in SCORES:
        fixed_drawing = "epoch" not in correlations.results[score.key].dims
        for epoch in settings.score_epochs[:1] if fixed_drawing else settings.score_epochs:
            if score.kind == "short training" and epoch == 0:
                continue
            thermodynamic = "beta" in correlations.results[score.key].dims
            for beta in settings.betas if thermodynamic else (None,):
                whole = correlations.of(score.key, epoch, beta=beta)
                partial = None
                if score.key != "parameters":
                    partial = correlations.of(score.key, epoch, beta=beta, fixed=("parameters",))._asdict()
                each = {
                    a: correlations.of(score.key, epoch, beta=beta, activation=a)._asdict()
                    for a in settings.activations
                }
                row = {"score": score.key, "label": score.label, "kind": score.kind, "sign": score.sign, "epoch": epoch}
                rows.append(
                    row | {"beta": beta, "all": whole._asdict(), "beyond_parameters": partial, "activations": each}
                )
    return rows
