"""The command line `nnthermo`: the studies, `nnthermo audit`, and `nnthermo data`."""

import contextlib
import dataclasses
import importlib
import inspect
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

if TYPE_CHECKING:
    import typer

STUDIES = {
    "reproduce": "The paper's two networks on real digits: figures 1-7, every quoted number beside ours.",
    "compare": "Boundary loss against bulk loss: the comparison that the paper leaves undone.",
    "laws": "Equilibrium, entropy and the laws of learning (Sections 6-7) along training runs.",
    "architectures": "Which architectures learn well: ΔF and skewness (Sections 8-9) against training.",
    "mechanics": "Thousands of networks side by side: Fokker-Planck, entropy, the sign of ħ², films.",
    "gravity": "The space-time of a network's states: time-like directions, curvature, Einstein's equations.",
}
"""What each does, by command. `nnthermo.experiments` has a package of that name for it, with a function of that name,
its `Settings`, whose fields are the options, and `QUICK`."""

MINUTES = {"reproduce": 59, "compare": 42, "laws": 18, "architectures": 25, "mechanics": 30, "gravity": 9}
"""How long each took with its usual settings on two cores: those of the committed results."""

AUDIT = "Every numbered equation: exact, approximate, misprinted or wrong, by numbers. About a minute."

DATA = "Prepare a full data set, without TensorFlow."

EXIT_CODES = (
    "Exit codes: 0 done; 2 something that was given is wrong, said in one line; 130 interrupted by Ctrl-C; 1 all else, "
    "such as an extra that is not installed."
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; without the extra that it needs, say how to get it."""
    given = sys.argv[1:] if arguments is None else arguments
    with _said_in_one_line():
        try:
            with _interrupts_end_at_once():
                app = build(given)
        except ImportError as error:
            sys.exit(str(error))
        app(given)


def build(given: list[str]) -> "typer.Typer":
    """The Typer application; options of a study are read from its settings when it is the one that is called.

    Args:
        given: the command line.

    Raises:
        ImportError: typer or rich is missing, with the command that installs them.
    """
    from nnthermo import __version__, _checks

    typer = _checks.extra("typer", "experiments")
    _checks.extra("rich", "experiments")
    app = typer.Typer(
        help=f"The statistical mechanics of learning. {EXIT_CODES}",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
    )

    @app.callback(invoke_without_command=True)
    def _version(
        version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
    ) -> None:
        if version:
            typer.echo(f"nnthermo {__version__}")
            raise typer.Exit

    for name, text in STUDIES.items():
        whole = f"{text} About {MINUTES[name]} min on two cores; --quick takes a minute."
        command = study_command(typer, name) if given[:1] == [name] else lambda: None
        app.command(name, help=whole, short_help=text)(command)
    for name, needed in {"audit": "nnthermo.experiments.audit.terminal", "data": "nnthermo.data"}.items():
        if given[:1] == [name]:
            importlib.import_module(needed)
    app.command("audit", help=AUDIT, short_help=AUDIT)(audit_command(typer))
    app.command("data", help=DATA, short_help=DATA)(data_command(typer))
    return app


def study_command(typer: Any, name: str) -> Callable[..., None]:
    """The command of a study: where to, how, and every field of its settings as an option."""
    study = importlib.import_module(f"nnthermo.experiments.{name}")
    fields = {field.name: field for field in dataclasses.fields(study.Settings)}
    helps = described(study.Settings)

    def option(name: str, kind: Any, default: Any, text: str, *flags: str) -> inspect.Parameter:
        annotated = Annotated[kind, typer.Option(*flags, help=text)]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotated)

    parameters = [
        option("output", Path, Path(f"nnthermo-{name}"), "Folder for the results."),
        option("quick", bool, False, "A short run, about a minute on two cores.", "--quick"),
        option("resume", bool, False, "Continue the run in the output folder.", "--resume"),
        option("workers", int | None, None, "Processes; default one a core. On accelerators 1."),
        option("data_dir", str | None, None, "Where the full data sets lie."),
    ]
    for field in fields.values():
        shown = f"{helps[field.name]} [default: {_shown(field.default)}]"
        parameters.append(option(field.name, str if _is_list(field) else field.type, None, shown))

    def command(
        output: Path, quick: bool, resume: bool, workers: int | None, data_dir: str | None, **chosen: Any
    ) -> None:
        with _said_in_one_line("; continue with --resume"):
            from nnthermo.experiments.folder import saved_run

            given = {n: _values(fields[n], v) for n, v in chosen.items() if v is not None}
            settings = study.QUICK if quick else study.Settings()
            if resume and (saved := saved_run(output)):  # what was not said again is as it was
                settings = study.Settings.from_json(saved["settings"])
            options = {"resume": resume, "workers": workers, "data_dir": data_dir}
            settings = settings.changed(**given)
            takes = "a minute" if settings == study.QUICK else f"{MINUTES[name]} min with its usual settings"
            start, run = f"{name}: about {takes} on two cores", getattr(study, name)
            _show(start, output, lambda **told: run(settings, output, **options, **told))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def described(settings: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each of its attributes, as sentences."""
    _, _, attributes = inspect.cleandoc(settings.__doc__ or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", attributes, re.MULTILINE)
    return {name: _sentence(re.sub(r"\s+", " ", text)) for name, text in found}


def _sentence(text: str) -> str:
    """With a capital in front, no code marks, and a full stop."""
    first = text[0].upper() if text[0].isascii() else text[0]  # no Greek capitals
    return first + text[1:].replace("`", "").rstrip(".") + "."


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else "none" if default is None else str(default)


def _is_list(field: dataclasses.Field) -> bool:
    return isinstance(field.default, tuple)


def _values(field: dataclasses.Field, value: Any) -> Any:
    """What an option's text means: lists are separated by commas."""
    if not _is_list(field):
        return value
    kind = get_args(field.type)[0]
    words = {int: "whole numbers", float: "numbers", str: "names"}[kind]
    try:
        return tuple(kind(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"`{field.name}` must be {words} separated by commas, but got {value!r}") from None


def _console() -> tuple[Any, Any]:
    """Where to print, and bars of what is under way."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return console, Progress(*columns, console=console, transient=True)


def _command_line() -> str:
    return " ".join(["nnthermo", *sys.argv[1:]])


def _show_end(console: Any, results: dict[str, Any], output: Path) -> None:
    """How long it took, and where the report lies."""
    from nnthermo.experiments.page import duration

    console.print(f"{duration(results['seconds'])}. Open {output / 'report.html'}", highlight=False, soft_wrap=True)


def _show(start: str, output: Path, experiment: Callable[..., dict[str, Any]]) -> None:
    """Run an experiment with progress bars, then print its verdicts and where the report lies."""
    console, bars = _console()
    console.print(start, highlight=False)
    with bars:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)
            if done >= total:
                bars.remove_task(tasks.pop(name))
                console.print(f"{name}: done")

        results = experiment(command=_command_line(), report=report, stage=console.print)
    for statement in results["statements"]:
        line = f"{statement['verdict']:>10}  {statement['where']:<16} {statement['claim']}"
        console.print(line, highlight=False, soft_wrap=True)
    _show_end(console, results, output)


def audit_command(typer: Any) -> Any:
    """`nnthermo audit`."""
    option = typer.Option

    def audit(
        output: Annotated[Path, option(help="Folder for the results.")] = Path("nnthermo-audit"),
        equation: Annotated[str | None, option(help="Show this one in full, for example 9.4.")] = None,
        seed: Annotated[int, option(help="Of the networks that the equations are evaluated on.")] = 0,
    ) -> None:
        with _said_in_one_line():
            if equation is None:
                _audit(output, seed)
            else:
                _audit_one(equation, output, seed)

    return audit


def _audit(output: Path, seed: int) -> None:
    from nnthermo.experiments.audit import EQUATIONS, audit, terminal

    console, bars = _console()
    console.print(f"audit: {len(EQUATIONS)} equations, about a minute", highlight=False)
    with bars:
        task = bars.add_task("equations", total=len(EQUATIONS))
        results = audit(output, seed=seed, command=_command_line(), report=lambda _entry: bars.advance(task))
    console.print(terminal.table(results))
    console.print(terminal.summary(results), highlight=False)
    _show_end(console, results, output)


def _audit_one(equation: str, output: Path, seed: int) -> None:
    from nnthermo.experiments.audit import audit_one, terminal

    terminal.show_one(_console()[0], *audit_one(equation, output, seed=seed))


def data_command(typer: Any) -> Any:
    """`nnthermo data`."""

    def data(
        name: Annotated[str, typer.Argument(help="mnist or fashion_mnist.")],
        source: Annotated[str | None, typer.Option(help="Folder with the four original files.")] = None,
        data_dir: Annotated[str | None, typer.Option(help="Where to put the prepared data set.")] = None,
        download: Annotated[bool, typer.Option("--download", help="Fetch the original files.")] = False,
    ) -> None:
        from nnthermo.data import prepare

        with _said_in_one_line():
            typer.echo(f"data: {name}, 70,000 images")
            typer.echo(f"Prepared in {prepare(name, data_dir=data_dir, source=source, download=download)}")

    return data


@contextlib.contextmanager
def _interrupts_end_at_once() -> Iterator[None]:
    """While modules are imported: a KeyboardInterrupt can be lost there, in a callback that ignores exceptions."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return

    def end(*_: Any) -> None:
        print("Interrupted.", file=sys.stderr, flush=True)
        os._exit(130)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _said_in_one_line(advice: str = "") -> Iterator[None]:
    """Turn errors that name their cause into one line on stderr, code 2, or 1 for a missing extra; Ctrl-C into 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"Interrupted{advice}.", file=sys.stderr)
        sys.exit(130)
    except ImportError as error:
        sys.exit(str(error))
    except (ValueError, OSError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
