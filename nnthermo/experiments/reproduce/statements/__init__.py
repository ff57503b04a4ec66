"""What Section 10 states, what these runs give, and a verdict on each."""

import dataclasses
from typing import Any

import numpy as np

from nnthermo.experiments.claims import Claim, Evidence, judged, sound_seeds
from nnthermo.experiments.reproduce.settings import Settings
from nnthermo.experiments.reproduce.statements import laws, losses, spectra
from nnthermo.experiments.reproduce.statements.record import Histories
from nnthermo.experiments.verdicts import Statement

CLAIMS = (*losses.CLAIMS, *spectra.CLAIMS, *laws.CLAIMS)
"""Every statement of Section 10 that two trainings can test, in the paper's order."""


def statements(histories: Histories, settings: Settings) -> list[Statement]:
    """A verdict on each of `CLAIMS`.

    Seeds whose training did not reach its last epoch with finite numbers are left out of the statements that need
    them; where none remains the verdict is "not tested".
    """
    sound = {name: _sound_seeds(history, settings) for name, history in histories.items()}
    first, _, last = (f"{epoch:,}" for epoch in settings.milestones())

    def evidence(claim: Claim) -> Evidence:
        seeds, note = sound_seeds(settings.seeds, lambda seed: all(seed in sound[name] for name in claim.needs))
        kept = {name: histories[name].sel(seed=seeds) for name in claim.needs}
        return Evidence((kept, settings) if seeds else None, note)

    told = (dataclasses.replace(c, criterion=c.criterion.format(first=first, last=last)) for c in CLAIMS)
    return judged(told, evidence)


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
