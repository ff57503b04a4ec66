"""What Section 10 states, what these runs give, and a verdict on each."""

from typing import Any

import numpy as np

from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements import laws, losses, spectra
from nnthermo.experiments.reproduce.statements.record import Claim, Histories
from nnthermo.experiments.verdicts import Number, Statement

__all__ = ["CLAIMS", "Claim", "Histories", "Number", "Statement", "statements"]

CLAIMS = (*losses.CLAIMS, *spectra.CLAIMS, *laws.CLAIMS)
"""Every statement of Section 10 that two trainings can test, in the paper's order."""


def statements(histories: Histories, settings: Settings) -> list[Statement]:
    """A verdict on each of `CLAIMS`.

    Seeds whose training did not reach its last epoch with finite numbers are left out of the statements that need
    them; where none remains the verdict is "not tested".

    Args:
        histories: "deep" and "shallow", from `load_histories`.
        settings: of the runs.
    """
    sound = {name: _sound_seeds(history, settings) for name, history in histories.items()}
    return [_judged(claim, histories, settings, sound) for claim in CLAIMS]


def _judged(claim: Claim, histories: Histories, settings: Settings, sound: dict[str, list[int]]) -> Statement:
    first, _, last = (f"{epoch:,}" for epoch in settings.milestones())
    fixed = (claim.key, claim.where, claim.claim, claim.criterion.format(first=first, last=last))
    seeds = [s for s in settings.seeds if all(s in sound[name] for name in claim.networks)]
    lost = [str(s) for s in settings.seeds if s not in seeds]
    if not seeds:
        return Statement(*fixed, [], "not tested", "No run that it needs came to its end with finite numbers.")
    kept = {name: histories[name].sel(seed=seeds) for name in claim.networks}
    numbers, verdict, comment = claim.test(kept, settings)
    if lost:
        comment += f" Left out, because training diverged: seed{'s' if len(lost) > 1 else ''} {', '.join(lost)}."
    return Statement(*fixed, numbers, verdict, comment)


def _sound_seeds(history: Any, settings: Settings) -> list[int]:
    """Seeds whose run reached the last epoch, with finite numbers in every record of training."""
    if settings.epochs not in history.epoch.values:
        return []
    trained = history.sel(epoch=history.epoch > 0)  # before training there is no loss of training
    return [
        int(seed)
        for seed in trained.seed.values
        if all(np.isfinite(values.sel(seed=seed)).all() for values in trained.data_vars.values())
    ]
