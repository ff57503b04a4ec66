"""Claims of a paper, each with the test of it, and how runs that went wrong are kept out of the verdicts."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from nnthermo.experiments.verdicts import Finding, Statement

NOTHING = "No run that it needs came to its end with finite numbers."
"""Said of a claim that nothing is left to judge by."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim and the test of it.

    Attributes:
        key: short name, the same in every report.
        where: figure or section of the paper.
        claim: the claim in our words.
        criterion: what counts as agreement.
        test: what the evidence says of it, (...) -> Finding; each study says what the evidence is.
        needs: the networks, trainings or arms that the test rests on, where a study has several.
    """

    key: str
    where: str
    claim: str
    criterion: str
    test: Callable[..., Finding]
    needs: tuple[str, ...] = ()


class Evidence(NamedTuple):
    """What a claim is judged by.

    Attributes:
        given: arguments of its test; None where nothing is left.
        note: a sentence on what was left out, or on why nothing is left; "" for none.
    """

    given: tuple[Any, ...] | None
    note: str = ""


def judged(claims: Iterable[Claim], evidence: Callable[[Claim], Evidence]) -> list[Statement]:
    """A verdict on each claim by its evidence; "not tested" where there is none."""
    found = []
    for claim in claims:
        given, note = evidence(claim)
        numbers, verdict, comment = Finding([], "not tested", "") if given is None else claim.test(*given)
        said = " ".join(part for part in (comment, note) if part)
        found.append(Statement(claim.key, claim.where, claim.claim, claim.criterion, numbers, verdict, said))
    return found


def sound_seeds(seeds: Sequence[int], is_sound: Callable[[int], bool]) -> tuple[list[int], str]:
    """Seeds to judge by, and what is to be said of the others."""
    kept = [seed for seed in seeds if is_sound(seed)]
    lost = [str(seed) for seed in seeds if seed not in kept]
    if not kept:
        return kept, NOTHING
    diverged = f"Left out, because training diverged: seed{'s' if len(lost) > 1 else ''} {', '.join(lost)}."
    return kept, diverged if lost else ""


def keys(claims: Iterable[Claim], *starts: str) -> tuple[str, ...]:
    """Keys of the claims that start with one of the given words."""
    return tuple(claim.key for claim in claims if claim.key.startswith(starts))
