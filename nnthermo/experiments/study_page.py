"""The page of a study: figures with the statements that rest on them, facts, and what to bear in mind."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nnthermo.experiments.page import UNITS, card, duration, images, number, render, setting, tally, tally_sentence

Figure = tuple[str, str, str, tuple[str, ...]]
"""Title, what the paper has of it, how it is drawn, and the keys of the statements that rest on it."""


WORDS = {
    "dataset": "data set",
    "scale": "initial weights, times Glorot",
    "pixel_high": "value of a white pixel",
    "target_off": "target of silent outputs",
    "target_on": "target of the active output",
}
"""Names of settings for people, where their own will not do, in all studies."""


class Table(NamedTuple):
    """A table of a report.

    Attributes:
        label: what it has, for those who do not see it; its place in addresses.
        heads: of the columns.
        rows: cells as they are shown, the first the name of the row.
        title: above it.
        note: below it.
    """

    label: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""


class Frame(NamedTuple):
    """What a report says whatever came out.

    Attributes:
        figures: what belongs to each, by number.
        short: what a short run has less of, with settings in braces.
        kept: where the numbers lie that are not in `results.json`.
        caveats: what to bear in mind.
        words: names of settings for people, besides `WORDS`.
        units: of numbers that are not in `UNITS`.
        template: below `nnthermo.experiments`.
    """

    figures: Mapping[int, Figure]
    short: str
    kept: str
    caveats: Sequence[str]
    words: Mapping[str, str] = {}
    units: str = ""
    template: str = "study.html.jinja"


def write_page(
    frame: Frame,
    folder: Path,
    results: dict[str, Any],
    drawn: Iterable[Path],
    *,
    summary: str,
    notices: Sequence[tuple[str, str]] = (),
    too_early: Iterable[str] = (),
    tables: Sequence[Table] = (),
    after: Sequence[Table] = (),
    **content: Any,
) -> Path:
    """Write `report.html`, one file that loads nothing from anywhere.

    Args:
        frame: what does not depend on the results.
        folder: where it goes.
        results: what `results.json` holds.
        drawn: figure-1.svg, figure-1.png, ...; of each the smaller file is put in.
        summary: what was done, in a few sentences; how the verdicts fell is added.
        notices: what must be seen first, beginning and rest of each sentence.
        too_early: keys of statements that this run is too short to judge.
        tables: before the figures.
        after: after them.
        content: what else the template shows.

    Returns:
        The path of the report.

    Raises:
        ImportError: jinja2 is missing, with the command that installs it.
    """
    late, pictures = set(too_early), images(drawn)
    cards = [{**card(statement), "too_early": statement["key"] in late} for statement in results["statements"]]
    placed = {key for *_, keys in frame.figures.values() for key in keys}
    sections = [
        {
            "number": n,
            "title": title,
            "paper": paper,
            "ours": ours,
            "image": pictures.get(n),
            "cards": [c for c in cards if c["key"] in keys],
        }
        for n, (title, paper, ours, keys) in frame.figures.items()
    ]
    shown = {
        "results": results,
        "cards": cards,
        "sections": sections,
        "elsewhere": [c for c in cards if c["key"] not in placed],
        "tally": tally(cards),
        "summary": f"{summary} {tally_sentence(results['statements'])}",
        "notices": [*_quick(frame, results, late), *notices],
        "kept": f"The numbers of this report are in `results.json`, {frame.kept}, the figures in `figures`, all beside "
        "this file. An interrupted run continues with `--resume`.",
        "caveats": frame.caveats,
        "units": f"{UNITS} {frame.units}".strip(),
        "tables": tables,
        "after": after,
        **content,
    }
    return render(frame.template, folder / "report.html", shown)


def _quick(frame: Frame, results: dict[str, Any], late: Collection[str]) -> list[tuple[str, str]]:
    """The notice of a short run."""
    if not results["quick"]:
        return []
    told = ["It uses real data", frame.short.format(**results["settings"])]
    verdicts = "it cannot test the statements about late times, which are marked, and " if late else ""
    verdicts += "its verdicts say nothing about the papers."
    return [("This is a short run.", f"{', '.join(told)}. It shows that the program runs; {verdicts}")]


def not_finite(runs: Iterable[Mapping[str, Any]], consequence: str) -> list[tuple[str, str]]:
    """The notice that runs stopped early, if any did, and what follows from that."""
    lost = [", ".join([*_names(run), f"seed {run['seed']}"]) for run in runs if not run["finite"]]
    stopped = f"Training stopped early in {'; '.join(lost)}; {consequence}"
    return [("Not every run stayed finite.", stopped)] if lost else []


def name_of(run: Mapping[str, Any]) -> str:
    """A run as tables call it."""
    return f"{', '.join(_names(run))}, seed {run['seed']}{'' if run['finite'] else ' (not finite)'}"


def known_answers(results: dict[str, Any], title: str, of: str) -> Table:
    """Numbers of systems whose answers are known."""
    rows = [(name, number(value)) for name, value in results["demonstrations"].items()]
    return Table("known answers", (of, "value"), rows, title=title)


def _names(run: Mapping[str, Any]) -> list[str]:
    return [run[part] for part in ("network", "training") if part in run]


def facts(
    frame: Frame, results: dict[str, Any], *first: tuple[str, str], left_out: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """What was done, as (name, value): the data, what is given, the run, and all settings.

    Args:
        frame: of the report.
        results: what `results.json` holds.
        first: facts of this study.
        left_out: settings that are told elsewhere.
    """
    settings, words = results["settings"], {**WORDS, **frame.words}
    at_a_time = f", {results['workers']} runs at a time" if "workers" in results else ""
    told = [
        ("data", f"{results.get('samples', settings.get('samples')):,} samples; {results['data_source']}"),
        *first,
        ("seeds", ", ".join(map(str, settings["seeds"]))),
        ("duration", f"{duration(results['seconds'])} on {results['machine']}{at_a_time}"),
        ("date", str(results["date"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in results["versions"].items())),
    ]
    hidden = {"seeds", "samples", *left_out}
    rest = [(k, v) for k, v in settings.items() if k not in hidden]
    return told + [(words.get(k, k.replace("_", " ")), _shown(v)) for k, v in rest]


def _shown(value: Any) -> str:
    return ", ".join(setting(v) for v in value) if isinstance(value, list) else setting(value)
