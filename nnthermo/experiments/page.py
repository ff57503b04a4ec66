"""What every report shares: numbers for people, figures inside the file, and the frame of the page."""

import base64
import importlib.resources
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nnthermo._checks import extra
from nnthermo.experiments.folder import whole

VERDICTS = {"agrees": "✓", "partly": "◐", "disagrees": "✕", "not tested": "○"}
"""Verdicts in the order of the tally, with the sign that stands for each besides its colour."""

PAPER = "“Towards a theory of machine learning” (V. Vanchurin, arXiv:2004.09280)"

UNITS = (
    "Numbers of equations, figures and sections are those of arXiv:2004.09280. Entropies and complexities are in nats, "
    "log is the natural logarithm."
)
"""Of every report."""

DASH = "–"

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = "\N{MINUS SIGN}"


def number(value: Any, digits: int = 3) -> str:
    """A number for people: `digits` significant ones, powers of ten outside 0.001 ... 99,999; a dash for none.

    Whole numbers below 100,000 keep all their digits.
    """
    if value is None or isinstance(value, str):
        return DASH if value is None else value
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if float(value).is_integer() and abs(value) < 1e5:
        text = f"{value:,.0f}"
    elif -4 < exponent < 5:
        text = f"{value:,.{max(0, digits - 1 - exponent)}f}"
    else:
        return f"{value / 10.0**exponent:.{digits - 1}f} × 10{str(exponent).translate(_SUPERSCRIPTS)}".replace(
            "-", _MINUS
        )
    return text.replace("-", _MINUS)


def quoted(printed: str | None) -> str:
    """A number of the paper, printed there as "1.40" or "-2.7e-10", with the digits that it has there."""
    if printed is None:
        return DASH
    mantissa, _, power = printed.partition("e")
    return (mantissa + (f" × 10{power.translate(_SUPERSCRIPTS)}" if power else "")).replace("-", _MINUS)


def with_spread(mean: float | None, spread: float | None) -> str:
    """Mean ± spread with two significant digits of the spread; the mean alone where there is no spread."""
    if mean is None or not math.isfinite(mean):
        return "not finite"
    if spread is None or not math.isfinite(spread):
        return number(mean, 4)
    if spread == 0 or spread < 1e-6 * abs(mean):  # digits that nobody reads, and a line that nobody can break
        return f"{number(mean, 4)} ± {number(spread, 2)}"
    exponent = math.floor(math.log10(max(abs(mean), spread)))
    scaled = not -4 < exponent < 5
    unit = 10.0**exponent if scaled else 1.0
    places = min(12, max(0, 1 - math.floor(math.log10(spread / unit))))
    text = f"{mean / unit:,.{places}f} ± {spread / unit:,.{places}f}".replace("-", _MINUS)
    return f"({text}) × 10{str(exponent).translate(_SUPERSCRIPTS)}" if scaled else text


def percent(share: float | None) -> str:
    """A share as "98.7%"; a dash for none."""
    return DASH if share is None else f"{share:.1%}"


def duration(seconds: float) -> str:
    """Seconds as "42 s", "3 min 20 s" or "5 h 12 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def render(
    template: str,
    file: Path,
    content: dict[str, Any],
    *,
    verdicts: Mapping[str, tuple[str, str]] | None = None,
    **filters: Callable[[Any], Any],
) -> Path:
    """Write a report, one file that loads nothing from anywhere; it appears only when it is complete.

    Args:
        template: its path below `nnthermo.experiments`; it extends `page.html.jinja`.
        file: where the report goes.
        content: what the template shows.
        verdicts: the sign and the class of style of each, where they are not `VERDICTS`.
        filters: further ones for the template, by name, or others in place of its own.

    Returns:
        The path of the report.

    Raises:
        ImportError: jinja2 is missing, with the command that installs it.
    """
    jinja2 = extra("jinja2", "experiments")
    source = importlib.resources.files(__package__)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: source.joinpath(*name.split("/")).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(slug=slug, symbol=symbol, tone=tone, indices=indices, ticks=ticks)
    environment.filters.update(filters)
    if verdicts is not None:
        environment.filters.update(symbol=lambda v: verdicts[v][0], tone=lambda v: verdicts[v][1])
    page = environment.get_template(template).render(beside=beside(file), **content)
    with whole(file) as partial:
        partial.write_text(page, encoding="utf-8")
    return file


def beside(file: Path) -> list[tuple[str, str, str]]:
    """Titles, folders and addresses of our other reports, those in folders that lie beside the one of a report."""
    found = []
    for other in sorted(file.resolve().parent.parent.glob("*/report.html")):
        record = next((f for name in ("results.json", "audit.json") if (f := other.with_name(name)).exists()), None)
        try:
            told = json.loads(record.read_text(encoding="utf-8")) if record else {}
            ours = "nnthermo" in told["versions"] and other.parent != file.resolve().parent
        except (OSError, ValueError, TypeError, KeyError):  # another program's
            continue
        if ours:
            found.append((str(told["title"]), other.parent.name, f"../{other.parent.name}/report.html"))
    return found


def card(statement: dict[str, Any]) -> dict[str, Any]:
    """A statement as its card shows it: `rows` with the numbers written out."""
    rows = [
        {
            "label": n["label"],
            "quoted": n["paper"] is not None,
            "paper": quoted(n["paper"]),
            "ours": with_spread(n["mean"], n["spread"]),
            "seeds": ["not finite" if v is None else number(v, 4) for v in n["per_seed"]],
        }
        for n in statement["numbers"]
    ]
    return {**statement, "rows": rows}


def tally(cards: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """How often each verdict was given; "not tested" only if it was."""
    counted = Counter(card["verdict"] for card in cards)
    order = (*VERDICTS, *sorted(set(counted) - set(VERDICTS)))
    return [(v, counted[v]) for v in order if counted[v] or v != "not tested"]


def tally_sentence(cards: list[dict[str, Any]]) -> str:
    """ "Of the 5 statements, 2 agree and 3 disagree." """
    counted = Counter(card["verdict"] for card in cards)
    words = {"agrees": "agree", "partly": "agree in part", "disagrees": "disagree", "not tested": "could not be tested"}
    parts = [f"{counted[v]} {words[v]}" for v in words if counted[v]]
    return f"Of the {len(cards)} statements, {_list(parts)}."


def _list(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def setting(value: Any) -> str:
    """The value of a setting, as the table of facts shows it."""
    if value is None:
        return "all"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return number(value, 4) if isinstance(value, int) or abs(value) >= 1e5 else f"{value:g}".replace("-", _MINUS)


def images(figures: Iterable[Path]) -> dict[int, str]:
    """Data addresses by figure number, of each figure the smaller of its files."""
    smallest: dict[int, Path] = {}
    for file in figures:
        found = re.search(r"figure-(\d+)$", file.stem)
        if found and file.suffix in (".svg", ".png"):
            n = int(found.group(1))
            smallest[n] = min(smallest.get(n, file), file, key=lambda f: f.stat().st_size)
    return {n: embedded(file) for n, file in smallest.items()}


def embedded(file: Path) -> str:
    """A picture, SVG, PNG or GIF, as a data address."""
    kind = {".svg": "image/svg+xml", ".png": "image/png", ".gif": "image/gif"}[file.suffix]
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def indices(text: str) -> Any:
    """Text with U_∂, N_>, C_20, λ_min, log10, 10^4.4 and minus signs set as they are printed, and the rest escaped."""
    markupsafe = extra("markupsafe", "experiments")
    # everything is escaped first, so that what is put in below is the only markup
    lowered = re.sub(r"(?<=[A-Zλμ])_(∂|&gt;|&lt;|\d+|min|max)", r"<sub>\1</sub>", str(markupsafe.escape(text)))
    lowered = re.sub(r"\blog10\b", "log<sub>10</sub>", lowered)
    lowered = re.sub(r"(?<![\w)\]^-])-(?=\d)", _MINUS, lowered)  # -0.1, but not 784-40 or Figs. 4-5
    raised = re.sub(r"\b10\^(-?\d+(?:\.\d+)?)", lambda m: f"10<sup>{m[1].replace('-', _MINUS)}</sup>", lowered)
    return markupsafe.Markup(raised)


def ticks(text: str) -> Any:
    """Text with what stands between `ticks` set as code, and the rest escaped."""
    markupsafe = extra("markupsafe", "experiments")
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(text))))


def symbol(verdict: str | None) -> str:
    """The sign of a verdict."""
    return VERDICTS.get(verdict or "", "·" if verdict is None else "?")


def tone(verdict: str | None) -> str:
    """The class of style of a verdict."""
    return (verdict or "none").replace(" ", "-") if verdict in VERDICTS else "none"


def slug(text: str) -> str:
    """The anchor of a statement."""
    return "statement-" + re.sub(r"[^a-z0-9]+", "-", text.lower().replace("β", "beta")).strip("-")
