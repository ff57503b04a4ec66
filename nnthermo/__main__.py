"""The command line: `nnthermo reproduce`, `compare`, `laws`, `architectures`, `mechanics`, `audit`, `data`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    import typer


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; without the extra that it needs, say how to get it."""
    try:
        app = build()
    except ImportError as error:
        sys.exit(str(error))
    app(arguments)


def build() -> "typer.Typer":
    """The Typer application.

    Raises:
        ImportError: typer or rich is missing, with the command that installs them.
    """
    from nnthermo import __version__, _checks

    typer = _checks.extra("typer", "experiments")
    _checks.extra("rich", "experiments")
    app = typer.Typer(
        help="The statistical mechanics of learning.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )

    @app.callback(invoke_without_command=True)
    def _version(
        version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
    ) -> None:
        if version:
            typer.echo(f"nnthermo {__version__}")
            raise typer.Exit

    app.command("reproduce")(reproduce_command(typer))
    app.command("compare")(compare_command(typer))
    app.command("laws")(laws_command(typer))
    app.command("architectures")(architectures_command(typer))
    app.command("mechanics")(mechanics_command(typer))
    app.command("audit")(audit_command(typer))
    app.command("data")(data_command(typer))
    return app


def reproduce_command(typer: Any) -> Any:
    """`nnthermo reproduce`."""
    option = typer.Option

    def reproduce(
        output: Annotated[Path, option(help="Folder for the results.")] = Path("nnthermo-reproduce"),
        quick: Annotated[
            bool, option("--quick", help="A short run on real data, under a minute on two cores.")
        ] = False,
        resume: Annotated[bool, option("--resume", help="Continue the run in the output folder.")] = False,
        dataset: Annotated[str | None, option(help="digits (embedded, 5,000), mnist or fashion_mnist.")] = None,
        data_dir: Annotated[str | None, option(help="Where the full data sets lie.")] = None,
        samples: Annotated[int | None, option(help="Training samples (the paper: 6,000).")] = None,
        epochs: Annotated[int | None, option(help="Epochs (the paper: 30,000).")] = None,
        learning_rate: Annotated[float | None, option(help="Learning rate of SGD.")] = None,
        batch_size: Annotated[int | None, option(help="Samples a step.")] = None,
        scale: Annotated[float | None, option(help="Factor on Glorot-uniform initial weights.")] = None,
        pixel_high: Annotated[float | None, option(help="Value of a white pixel.")] = None,
        target_off: Annotated[float | None, option(help="Target of silent outputs.")] = None,
        target_on: Annotated[float | None, option(help="Target of the active output.")] = None,
        seeds: Annotated[str | None, option(help="Seeds, separated by commas.")] = None,
        beta: Annotated[float | None, option(help="β at which thermodynamic functions are recorded.")] = None,
        observations: Annotated[int | None, option(help="Records in log epoch, and as many in epoch.")] = None,
        relaxed_samples: Annotated[int | None, option(help="Samples over which the bulk loss is averaged.")] = None,
        workers: Annotated[int | None, option(help="Processes; default one a core.")] = None,
        sensitivity_epochs: Annotated[
            int | None,
            option(help="Epochs of each run with one setting changed; 0 for none (default 1,000; quick: 0)."),
        ] = None,
    ) -> None:
        """Train the paper's two networks on real digits: figures 1-7, every quoted number beside ours, one report."""
        with _friendly_errors():
            from nnthermo.experiments import reproduce as study

            given = _given(
                seeds=seeds, dataset=dataset, samples=samples, epochs=epochs, learning_rate=learning_rate,
                batch_size=batch_size, scale=scale, pixel_high=pixel_high, target_off=target_off,
                target_on=target_on, beta=beta, observations=observations, relaxed_samples=relaxed_samples
            )  # fmt: skip
            length = (0 if quick else 1000) if sensitivity_epochs is None else sensitivity_epochs
            options = {"data_dir": data_dir, "resume": resume, "workers": workers, "sensitivity_epochs": length}
            _study(study, study.reproduce, output, given, quick, **options)

    return reproduce


LISTS: dict[str, Callable[[str], Any]] = {
    "seeds": int, "depths": int, "score_epochs": int, "betas": float, "planck_batch_sizes": int,
    "networks": str, "activations": str, "skips": str,
}  # fmt: skip
"""Settings that are given as values separated by commas, and the type of each."""


def _values(name: str, text: str) -> tuple:
    kind: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "names"}
    try:
        return tuple(LISTS[name](part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"`{name}` must be {kind[LISTS[name]]} separated by commas, but got {text!r}") from None


def _given(**values: Any) -> dict[str, Any]:
    """The settings that were named on the command line."""
    chosen = {name: value for name, value in values.items() if value is not None}
    return {name: _values(name, v) if name in LISTS else v for name, v in chosen.items()}


def _study(
    study: Any, run: Callable[..., dict[str, Any]], output: Path, given: dict[str, Any], quick: bool, **options: Any
) -> None:
    """Run a study, a module with `Settings` and `QUICK`, with what was said and what the folder knows."""
    import dataclasses
    import json

    settings = study.QUICK if quick else study.Settings()
    saved = output / "settings.json"
    if options["resume"] and saved.exists():  # what was not said again is as it was
        settings = study.Settings.from_json(json.loads(saved.read_text())["settings"])
    settings = dataclasses.replace(settings, **given)
    _show(output, lambda **told: run(settings, output, **options, **told))


def _show(output: Path, experiment: Callable[..., dict[str, Any]]) -> None:
    """Run an experiment with progress bars, then print its verdicts and where the report lies."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)
            if done >= total:
                bars.remove_task(tasks.pop(name))
                console.print(f"{name}: done")

        results = experiment(command=" ".join(["nnthermo", *sys.argv[1:]]), report=report, stage=console.print)
    for statement in results["statements"]:
        line = f"{statement['verdict']:>10}  {statement['where']:<16} {statement['claim']}"
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"{results['seconds']:.0f} s. Open {output / 'report.html'}", highlight=False)


def compare_command(typer: Any) -> Any:
    """`nnthermo compare`."""
    option = typer.Option

    def compare(
        output: Annotated[Path, option(help="Folder for the results.")] = Path("nnthermo-compare"),
        quick: Annotated[
            bool, option("--quick", help="A short run on real data, about a minute on two cores.")
        ] = False,
        resume: Annotated[bool, option("--resume", help="Continue the run in the output folder.")] = False,
        dataset: Annotated[str | None, option(help="digits (embedded, 5,000), mnist or fashion_mnist.")] = None,
        data_dir: Annotated[str | None, option(help="Where the full data sets lie.")] = None,
        samples: Annotated[int | None, option(help="Training samples.")] = None,
        test_samples: Annotated[int | None, option(help="Samples to test on.")] = None,
        networks: Annotated[str | None, option(help="Of deep, shallow, deeper, separated by commas.")] = None,
        epochs: Annotated[int | None, option(help="Epochs with the boundary and with the bulk loss.")] = None,
        unsupervised_epochs: Annotated[int | None, option(help="Epochs without targets; 0 for none.")] = None,
        learning_rate: Annotated[float | None, option(help="Learning rate of SGD.")] = None,
        bulk_learning_rate: Annotated[float | None, option(help="With the bulk loss; the same by default.")] = None,
        batch_size: Annotated[int | None, option(help="Samples a step.")] = None,
        scale: Annotated[float | None, option(help="Factor on Glorot-uniform initial weights.")] = None,
        pixel_high: Annotated[float | None, option(help="Value of a white pixel.")] = None,
        target_off: Annotated[float | None, option(help="Target of silent outputs.")] = None,
        target_on: Annotated[float | None, option(help="Target of the active output.")] = None,
        seeds: Annotated[str | None, option(help="Seeds, separated by commas.")] = None,
        beta: Annotated[float | None, option(help="β at which thermodynamic functions are recorded.")] = None,
        m: Annotated[float | None, option(help="m of the local objective in training without targets.")] = None,
        observations: Annotated[int | None, option(help="Records in log epoch, and as many in epoch.")] = None,
        relaxed_samples: Annotated[int | None, option(help="Samples over which the bulk loss is averaged.")] = None,
        max_steps: Annotated[int | None, option(help="Relaxation steps at most.")] = None,
        curvature_samples: Annotated[int | None, option(help="Samples whose Hessians are measured.")] = None,
        curvature_records: Annotated[int | None, option(help="How often they are, in log epoch.")] = None,
        probes: Annotated[int | None, option(help="Random directions of the Lanczos quadrature.")] = None,
        lanczos_steps: Annotated[int | None, option(help="Steps from each.")] = None,
        workers: Annotated[int | None, option(help="Processes; default one a core.")] = None,
    ) -> None:
        """Train with the boundary loss and with the bulk loss: the comparison the paper left undone, in one report."""
        with _friendly_errors():
            from nnthermo.experiments import compare as study

            given = _given(
                seeds=seeds, networks=networks, dataset=dataset, samples=samples, test_samples=test_samples,
                epochs=epochs, unsupervised_epochs=unsupervised_epochs, learning_rate=learning_rate,
                bulk_learning_rate=bulk_learning_rate, batch_size=batch_size, scale=scale, pixel_high=pixel_high,
                target_off=target_off, target_on=target_on, beta=beta, m=m, observations=observations,
                relaxed_samples=relaxed_samples, max_steps=max_steps, curvature_samples=curvature_samples,
                curvature_records=curvature_records, probes=probes, lanczos_steps=lanczos_steps
            )  # fmt: skip
            _study(study, study.compare, output, given, quick, data_dir=data_dir, resume=resume, workers=workers)

    return compare


def laws_command(typer: Any) -> Any:
    """`nnthermo laws`."""
    option = typer.Option

    def laws(
        output: Annotated[Path, option(help="Folder for the results.")] = Path("nnthermo-laws"),
        quick: Annotated[
            bool, option("--quick", help="A short run on real data, about a minute on two cores.")
        ] = False,
        resume: Annotated[bool, option("--resume", help="Continue the run in the output folder.")] = False,
        dataset: Annotated[str | None, option(help="digits (embedded, 5,000), mnist or fashion_mnist.")] = None,
        data_dir: Annotated[str | None, option(help="Where the full data sets lie.")] = None,
        samples: Annotated[int | None, option(help="Training samples.")] = None,
        networks: Annotated[str | None, option(help="Of deep, shallow, separated by commas.")] = None,
        epochs: Annotated[int | None, option(help="Epochs.")] = None,
        learning_rate: Annotated[float | None, option(help="Learning rate of SGD.")] = None,
        batch_size: Annotated[int | None, option(help="Samples a step.")] = None,
        scale: Annotated[float | None, option(help="Factor on Glorot-uniform initial weights.")] = None,
        pixel_high: Annotated[float | None, option(help="Value of a white pixel.")] = None,
        target_off: Annotated[float | None, option(help="Target of silent outputs.")] = None,
        target_on: Annotated[float | None, option(help="Target of the active output.")] = None,
        seeds: Annotated[str | None, option(help="Seeds, separated by commas.")] = None,
        beta: Annotated[float | None, option(help="The constant β.")] = None,
        records: Annotated[int | None, option(help="Networks kept along a run, in log epoch.")] = None,
        last_records: Annotated[int | None, option(help="How many of them are taken for near equilibrium.")] = None,
        measured_samples: Annotated[int | None, option(help="Samples that ensembles are averaged over.")] = None,
        relaxed_samples: Annotated[int | None, option(help="Samples over which the bulk loss is averaged.")] = None,
        blocks: Annotated[int | None, option(help="Independent sets of random numbers, for errors.")] = None,
        window_samples: Annotated[int | None, option(help="States of the window ensemble, a block.")] = None,
        box_samples: Annotated[int | None, option(help="States of the box ensemble, a block.")] = None,
        path_samples: Annotated[int | None, option(help="States for the window's first law.")] = None,
        workers: Annotated[int | None, option(help="Processes; default one a core.")] = None,
    ) -> None:
        """Measure equilibrium, entropy and the laws of learning (Sections 6-7) along training runs, in one report."""
        with _friendly_errors():
            from nnthermo.experiments import laws as study

            given = _given(
                seeds=seeds, networks=networks, dataset=dataset, samples=samples, epochs=epochs,
                learning_rate=learning_rate, batch_size=batch_size, scale=scale, pixel_high=pixel_high,
                target_off=target_off, target_on=target_on, beta=beta, records=records, last_records=last_records,
                measured_samples=measured_samples, relaxed_samples=relaxed_samples, blocks=blocks,
                window_samples=window_samples, box_samples=box_samples, path_samples=path_samples
            )  # fmt: skip
            _study(study, study.laws, output, given, quick, data_dir=data_dir, resume=resume, workers=workers)

    return laws


def architectures_command(typer: Any) -> Any:
    """`nnthermo architectures`."""
    option = typer.Option

    def architectures(
        output: Annotated[Path, option(help="Folder for the results.")] = Path("nnthermo-architectures"),
        quick: Annotated[
            bool, option("--quick", help="A short run on real data, under a minute on two cores.")
        ] = False,
        resume: Annotated[bool, option("--resume", help="Continue the run in the output folder.")] = False,
        dataset: Annotated[str | None, option(help="digits (embedded, 5,000), mnist or fashion_mnist.")] = None,
        data_dir: Annotated[str | None, option(help="Where the full data sets lie.")] = None,
        samples: Annotated[int | None, option(help="Training samples.")] = None,
        test_samples: Annotated[int | None, option(help="Samples to test on.")] = None,
        neurons: Annotated[int | None, option(help="Budget: hidden neurons of each architecture.")] = None,
        parameters: Annotated[int | None, option(help="Budget instead: weights and biases, at most.")] = None,
        depths: Annotated[str | None, option(help="Numbers of hidden layers, separated by commas.")] = None,
        activations: Annotated[str | None, option(help="Of tanh, relu, sigmoid, separated by commas.")] = None,
        skips: Annotated[str | None, option(help="Of none, hidden, all, separated by commas.")] = None,
        seeds: Annotated[str | None, option(help="Seeds, separated by commas.")] = None,
        epochs: Annotated[int | None, option(help="Epochs.")] = None,
        learning_rate: Annotated[float | None, option(help="Learning rate of Adam.")] = None,
        batch_size: Annotated[int | None, option(help="Samples a step.")] = None,
        scale: Annotated[float | None, option(help="Factor on Glorot-uniform initial weights.")] = None,
        score_epochs: Annotated[str | None, option(help="When scores are taken: 0 and some more.")] = None,
        betas: Annotated[str | None, option(help="β of the scores, that of the statements first.")] = None,
        spectrum_samples: Annotated[int | None, option(help="Samples whose spectra are taken.")] = None,
        kernel_samples: Annotated[int | None, option(help="Samples of the tangent kernel.")] = None,
        resamples: Annotated[int | None, option(help="Of the bootstrap.")] = None,
        pixel_high: Annotated[float | None, option(help="Value of a white pixel.")] = None,
        target_off: Annotated[float | None, option(help="Target of silent outputs.")] = None,
        target_on: Annotated[float | None, option(help="Target of the active output.")] = None,
        workers: Annotated[int | None, option(help="Processes; default one a core. On accelerators 1.")] = None,
    ) -> None:
        """Score untrained architectures by ΔF and skewness (Sections 8-9), train them, and see who was right."""
        with _friendly_errors():
            from nnthermo.experiments import architectures as study

            given = _given(
                dataset=dataset, samples=samples, test_samples=test_samples, neurons=neurons, parameters=parameters,
                depths=depths, activations=activations, skips=skips, seeds=seeds, epochs=epochs,
                learning_rate=learning_rate, batch_size=batch_size, scale=scale, score_epochs=score_epochs,
                betas=betas, spectrum_samples=spectrum_samples, kernel_samples=kernel_samples, resamples=resamples,
                pixel_high=pixel_high, target_off=target_off, target_on=target_on
            )  # fmt: skip
            if neurons is not None and parameters is not None:
                raise ValueError("`neurons` must not be given with `parameters`: they are two budgets")
            if neurons is not None:
                given["parameters"] = None
            _study(study, study.architectures, output, given, quick, data_dir=data_dir, resume=resume, workers=workers)

    return architectures


def mechanics_command(typer: Any) -> Any:
    """`nnthermo mechanics`."""
    option = typer.Option

    def mechanics(
        output: Annotated[Path, option(help="Folder for the results.")] = Path("nnthermo-mechanics"),
        quick: Annotated[
            bool, option("--quick", help="A short run on real data, about a minute on two cores.")
        ] = False,
        resume: Annotated[bool, option("--resume", help="Continue the run in the output folder.")] = False,
        dataset: Annotated[str | None, option(help="digits (embedded, 5,000), mnist or fashion_mnist.")] = None,
        data_dir: Annotated[str | None, option(help="Where the full data sets lie.")] = None,
        samples: Annotated[int | None, option(help="Training samples.")] = None,
        pool: Annotated[int | None, option(help="Pixels averaged to one, along each side.")] = None,
        hidden: Annotated[int | None, option(help="Hidden neurons.")] = None,
        decay: Annotated[float | None, option(help="α of the term ½α|q|² of the loss.")] = None,
        replicas: Annotated[int | None, option(help="Networks of an ensemble.")] = None,
        learning_rate: Annotated[float | None, option(help="Learning rate of all weights.")] = None,
        batch_size: Annotated[int | None, option(help="Samples a step.")] = None,
        steps: Annotated[int | None, option(help="Steps of all weights.")] = None,
        plane_learning_rate: Annotated[float | None, option(help="Learning rate in the plane.")] = None,
        plane_batch_size: Annotated[int | None, option(help="Samples a step in the plane.")] = None,
        plane_steps: Annotated[int | None, option(help="Steps in the plane.")] = None,
        points: Annotated[int | None, option(help="Of the grid along each direction of the plane.")] = None,
        planck_learning_rate: Annotated[float | None, option(help="Learning rate where ħ² is measured.")] = None,
        planck_batch_sizes: Annotated[str | None, option(help="Samples a step there, separated by commas.")] = None,
        momentum: Annotated[float | None, option(help="Of one more ensemble there.")] = None,
        records: Annotated[int | None, option(help="Looks at an ensemble, in log step.")] = None,
        seeds: Annotated[str | None, option(help="Seeds, separated by commas.")] = None,
        workers: Annotated[int | None, option(help="Processes; default one a core. On accelerators 1.")] = None,
    ) -> None:
        """Train thousands of networks side by side: Fokker-Planck, entropy production, the sign of ħ², and films."""
        with _friendly_errors():
            from nnthermo.experiments import mechanics as study

            given = _given(
                seeds=seeds, dataset=dataset, samples=samples, pool=pool, hidden=hidden, decay=decay,
                replicas=replicas, learning_rate=learning_rate, batch_size=batch_size, steps=steps,
                plane_learning_rate=plane_learning_rate, plane_batch_size=plane_batch_size, plane_steps=plane_steps,
                points=points, planck_learning_rate=planck_learning_rate, planck_batch_sizes=planck_batch_sizes,
                momentum=momentum, records=records
            )  # fmt: skip
            _study(study, study.mechanics, output, given, quick, data_dir=data_dir, resume=resume, workers=workers)

    return mechanics


def audit_command(typer: Any) -> Any:
    """`nnthermo audit`."""
    option = typer.Option

    def audit(
        output: Annotated[Path, option(help="Folder for the results.")] = Path("nnthermo-audit"),
        equation: Annotated[str | None, option(help="Show this one in full, for example 9.4.")] = None,
        seed: Annotated[int, option(help="Of the networks that the equations are evaluated on.")] = 0,
    ) -> None:
        """Evaluate every numbered equation of the paper: exact, approximate, misprinted or wrong, by numbers."""
        with _friendly_errors():
            if equation is None:
                _audit(output, seed)
            else:
                _audit_one(equation, output, seed)

    return audit


def _audit(output: Path, seed: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from nnthermo.experiments.audit import EQUATIONS, audit, terminal

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("equations", total=len(EQUATIONS))
        command = " ".join(["nnthermo", *sys.argv[1:]])
        results = audit(output, seed=seed, command=command, report=lambda _entry: bar.advance(task))
    console.print(terminal.table(results))
    console.print(terminal.summary(results), highlight=False)
    console.print(f"{results['seconds']:.0f} s. Open {output / 'report.html'}", highlight=False)


def _audit_one(equation: str, output: Path, seed: int) -> None:
    from rich.console import Console

    from nnthermo.experiments.audit import audit_one, terminal

    terminal.show_one(Console(), *audit_one(equation, output, seed=seed))


def data_command(typer: Any) -> Any:
    """`nnthermo data`."""

    def data(
        name: Annotated[str, typer.Argument(help="mnist or fashion_mnist.")],
        source: Annotated[str | None, typer.Option(help="Folder with the four original files.")] = None,
        data_dir: Annotated[str | None, typer.Option(help="Where to put the prepared data set.")] = None,
        download: Annotated[bool, typer.Option("--download", help="Fetch the original files.")] = False,
    ) -> None:
        """Prepare a full data set, without TensorFlow."""
        from nnthermo.data import prepare

        with _friendly_errors():
            typer.echo(f"Prepared in {prepare(name, data_dir=data_dir, source=source, download=download)}")

    return data


class _friendly_errors:  # noqa: N801 - reads as a statement
    """Turn errors that name their cause into one line on stderr and exit code 2; Ctrl-C into 130."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            print("Interrupted; continue with --resume.", file=sys.stderr)
            sys.exit(130)
        if isinstance(error, ValueError | OSError | ImportError | TypeError):
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
