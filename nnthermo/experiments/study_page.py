"""The page of a study: figures with the statements that rest on them, facts, and what to bear in mind."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nnthermo.experiments.page import card, duration, images, render, setting, tally

Figure = tuple[str, str, str, tuple[str, ...]]
"""Title, what the paper has of it, how it is drawn, and the keys of the statements that rest on it."""


def write_page(
    template: str,
    folder: Path,
    results: dict[str, Any],
    drawn: Iterable[Path],
    *,
    figures: Mapping[int, Figure],
    too_early: Iterable[str] = (),
    **content: Any,
) -> Path:
    """Write `report.html`, one file that loads nothing from anywhere.

    Args:
        template: of the study, below `nnthermo.experiments`.
        folder: where it goes.
        results: what `results.json` holds.
        drawn: figure-1.svg, figure-1.png, ...; of each the smaller file is put in.
        figures: what belongs to each, by number.
        too_early: keys of statements that this run is too short to judge.
        content: what else the template shows.

    Returns:
        The path of the report.

    Raises:
        ImportError: jinja2 is missing, with the command that installs it.
    """
    late, pictures = set(too_early), images(drawn)
    cards = [{**card(statement), "too_early": statement["key"] in late} for statement in results["statements"]]
    placed = {key for *_, keys in figures.values() for key in keys}
    sections = [
        {
            "number": n,
            "title": title,
            "paper": paper,
            "ours": ours,
            "image": pictures.get(n),
            "cards": [c for c in cards if c["key"] in keys],
        }
        for n, (title, paper, ours, keys) in figures.items()
    ]
    shown = {
        "results": results,
        "cards": cards,
        "sections": sections,
        "elsewhere": [c for c in cards if c["key"] not in placed],
        "tally": tally(cards),
        **content,
    }
    return render(template, folder / "report.html", shown)


def facts(
    results: dict[str, Any], *first: tuple[str, str], words: Mapping[str, str], left_out: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """What was done, as (name, value): the data, what is given, the run, and all settings.

    Args:
        results: what `results.json` holds.
        first: facts of this study.
        words: names of settings for people, where their own will not do.
        left_out: settings that are told elsewhere.
    """
    settings = results["settings"]
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
