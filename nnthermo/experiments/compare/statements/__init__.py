"""What the paper says of the bulk loss, what these runs give, and a verdict on each sentence."""

from typing import Any

import numpy as np

from nnthermo.experiments.claims import Claim, Evidence, judged, sound_seeds
from nnthermo.experiments.compare.runs import Histories
from nnthermo.experiments.compare.settings import Settings
from nnthermo.experiments.compare.statements import flatness, learning, unsupervised
from nnthermo.experiments.verdicts import Statement

CLAIMS = (*learning.CLAIMS, *flatness.CLAIMS, *unsupervised.CLAIMS)
"""Every sentence about the bulk loss that these trainings can test."""


def statements(histories: Histories, settings: Settings) -> list[Statement]:
    """A verdict on each of `CLAIMS`.

    Seeds of which a training that is needed did not reach its last epoch with finite numbers are left out; where none
    remains, or the training was not run, the verdict is "not tested".
    """

    def evidence(claim: Claim) -> Evidence:
        needed = [(n, t) for n in settings.networks for t in claim.needs]
        if not set(claim.needs) <= set(settings.trainings):
            return Evidence(None, "The training that it needs was left out of this run.")
        curved = claim in flatness.CLAIMS
        seeds, note = sound_seeds(
            settings.seeds, lambda s: all(_sound(histories[k].sel(seed=s), settings, k[1], curved) for k in needed)
        )
        kept = {key: h.sel(seed=seeds) for key, h in histories.items()}
        return Evidence((kept, settings) if seeds else None, note)

    return judged(CLAIMS, evidence)


def _sound(run: Any, settings: Settings, training: str, curved: bool) -> bool:
    """Whether a run reached its last epoch with finite numbers, those of curvatures included if they are asked for."""
    if settings.epochs_of(training) not in run.epoch.values:
        return False
    return all(
        np.isfinite(values).all() for values in run.data_vars.values() if curved or "curvature_epoch" not in values.dims
    )
