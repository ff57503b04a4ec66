"""What the paper says of the bulk loss, what these runs give, and a verdict on each sentence."""

from typing import Any

import numpy as np

from nnthermo.experiments.compare.runs import Histories
from nnthermo.experiments.compare.settings import Settings
from nnthermo.experiments.compare.statements import flatness, learning, unsupervised
from nnthermo.experiments.compare.statements.record import Claim
from nnthermo.experiments.verdicts import Statement

__all__ = ["CLAIMS", "Claim", "statements"]

CLAIMS = (*learning.CLAIMS, *flatness.CLAIMS, *unsupervised.CLAIMS)
"""Every sentence about the bulk loss that these trainings can test."""


def statements(histories: Histories, settings: Settings) -> list[Statement]:
    """A verdict on each of `CLAIMS`.

    Seeds of which a training that is needed did not reach its last epoch with finite numbers are left out; where none
    remains, or the training was not run, the verdict is "not tested".

    Args:
        histories: from `load_histories`.
        settings: of the runs.
    """
    return [_judged(claim, histories, settings) for claim in CLAIMS]


def _judged(claim: Claim, histories: Histories, settings: Settings) -> Statement:
    fixed = (claim.key, claim.where, claim.claim, claim.criterion)
    needed = [(n, t) for n in settings.networks for t in claim.trainings]
    if not set(claim.trainings) <= set(settings.trainings):
        return Statement(*fixed, [], "not tested", "The training that it needs was left out of this run.")
    curved = claim in flatness.CLAIMS
    seeds = [
        s for s in settings.seeds if all(_sound(histories[key].sel(seed=s), settings, key[1], curved) for key in needed)
    ]
    lost = [str(s) for s in settings.seeds if s not in seeds]
    if not seeds:
        return Statement(*fixed, [], "not tested", "No runs that it needs came to their ends with finite numbers.")
    numbers, verdict, comment = claim.test({key: h.sel(seed=seeds) for key, h in histories.items()}, settings)
    if lost:
        comment += f" Left out, because training diverged: seed{'s' if len(lost) > 1 else ''} {', '.join(lost)}."
    return Statement(*fixed, numbers, verdict, comment)


def _sound(run: Any, settings: Settings, training: str, curved: bool) -> bool:
    """Whether a run reached its last epoch with finite numbers, those of curvatures included if they are asked for."""
    if settings.epochs_of(training) not in run.epoch.values:
        return False
    return all(
        np.isfinite(values).all() for values in run.data_vars.values() if curved or "curvature_epoch" not in values.dims
    )
