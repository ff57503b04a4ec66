"""What the paper says of the bulk loss without targets (Sections 3 and 10)."""

import numpy as np

from nnthermo.experiments.claims import Claim
from nnthermo.experiments.compare.runs import Histories
from nnthermo.experiments.compare.settings import Settings
from nnthermo.experiments.compare.statements.record import by_network, last, values_of
from nnthermo.experiments.verdicts import Finding, Number, graded, judge

NOTHING = 1e-6


def _zero(histories: Histories, settings: Settings) -> Finding:
    trainings = settings.trainings
    numbers = [
        n
        for t in trainings
        for n in by_network(
            f"largest H of a sample in any record, {t} training", histories, settings, t,
            lambda run: run.free_bulk_loss.max(),
        )
    ]  # fmt: skip
    return Finding(
        numbers,
        judge([v <= NOTHING for v in values_of(numbers)]),
        "Without targets the outputs relax too, and the feed-forward state leaves no error anywhere: no weight could "
        "learn from it.",
    )


def _non_zero(histories: Histories, settings: Settings) -> Finding:
    numbers = [
        n
        for t in settings.trainings
        for n in by_network(
            f"H at m = {settings.m:g}, {t} training", histories, settings, t, lambda run: last(run, "objective_loss")
        )
    ]
    worst = max(float(histories[n, t].objective_unrelaxed.max()) for n in settings.networks for t in settings.trainings)
    good = [np.isfinite(v) and abs(v) > NOTHING for v in values_of(numbers)]
    found = judge(good) if worst <= 0.01 else graded(False, all(good))
    return Finding(
        numbers,
        found,
        f"At the end, mean over samples, without the constant of the clamped inputs; at worst {worst:.2%} of a "
        "record's relaxations had not converged. Negative: states near the ends of tanh are rewarded.",
    )


def _learns(histories: Histories, settings: Settings) -> Finding:
    numbers = by_network(
        "fall of H", histories, settings, "unsupervised",
        lambda run: float(run.objective_loss.isel(epoch=0)) - last(run, "objective_loss"),
    )  # fmt: skip

    def readout(label: str, record: int) -> list[Number]:
        return by_network(
            label, histories, settings, "unsupervised", lambda run: float(run.readout_accuracy.isel(epoch=record))
        )

    known = [
        *readout("read-out of the hidden neurons", -1),
        *readout("read-out of random hidden neurons", 0),
        *by_network(
            "read-out of as many principal components", histories, settings, "unsupervised",
            lambda run: float(run.attrs["pca_readout_accuracy"]),
        ),
    ]  # fmt: skip
    return Finding(
        [*numbers, *known],
        judge([v > 0 for v in values_of(numbers)]),
        f"{settings.unsupervised_epochs} epochs of gradient descent at m = {settings.m:g}. The paper claims that the "
        "loss exists, not what is learned; that it falls says no more than that its gradient is of use. The read-outs, "
        "test accuracies of linear regression from all hidden neurons, say what was learned of the classes.",
    )


CLAIMS = (
    Claim(
        "zero without objective",
        "Sec. 3, below (3.2)",
        "Without targets and without a local objective the bulk loss of a feed-forward network is zero.",
        f"The clamped minimum is at most {NOTHING:g} for every sample, record and network.",
        _zero,
        ("boundary", "bulk"),
    ),
    Claim(
        "non-zero with one",
        "Sec. 3, below (3.4)",
        "With a local objective, m > 0, it is well-defined and in general not zero without targets.",
        f"The minimum is found for 99 % of the samples, finite, and beyond {NOTHING:g} in every run.",
        _non_zero,
        ("boundary", "bulk"),
    ),
    Claim(
        "beyond supervised",
        "Secs. 3 and 10, text to Fig. 3",
        "It can therefore be trained on in unsupervised learning.",
        "Trained on it without targets, every network lowers it and stays finite.",
        _learns,
        ("unsupervised",),
    ),
)
