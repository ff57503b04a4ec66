"""The frame of a study: one folder, jobs in processes of their own, and a record of all that was found.

Each study is a package of the same modules: `settings` (what may be chosen), `runs` (what one process does),
`statements` (claims, and what the runs say of them), `figures`, `report`, and `pipeline`, which calls these in turn.
Whatever else it has is its measurement. The function that has the study's name takes

    settings: its `Settings`.
    output: folder, made if need be; it must be empty unless `resume` is set.
    options: `Options`.

and returns the contents of `results.json`. It raises ValueError for bad settings or a folder that belongs to another
run, OSError for a folder that cannot be written, and ImportError for a missing optional package. The folder gets
`results.json`, `report.html`, `figures/`, `runs/` (what each process wrote), and what the study says besides. Killed at
any moment and resumed, all but the seconds is the same.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from nnthermo._checks import check, extra
from nnthermo.experiments import processes
from nnthermo.experiments.folder import Clock, circumstances, open_folder, write_json
from nnthermo.experiments.processes import Report, Run
from nnthermo.experiments.settings import StoredSettings
from nnthermo.experiments.verdicts import Statement

J = TypeVar("J")


class Options(TypedDict, total=False):
    """What every study takes besides its settings and its folder.

    Attributes:
        data_dir: where the full data sets lie; see `nnthermo.data.load`.
        resume: continue a run of the same settings in the folder, which must be empty otherwise.
        workers: processes; as many as cores if None. On accelerators 1.
        command: the command line, for the record.
        report: told the progress of each run, (name, done, in all).
        stage: told what is being done.
    """

    data_dir: str | None
    resume: bool
    workers: int | None
    command: str
    report: Report | None
    stage: Callable[[str], None] | None


class Study:
    """A study under way. Killed at any moment and resumed in its folder, all but the seconds is the same.

    Args:
        settings: of the study.
        output: its folder; made by `open`, so that what is wrong before is said before.
        packages: optional ones that it needs.

    Raises:
        TypeError: an option that there is not.
        ValueError: no workers.
        ImportError: a missing package, with the command that installs it.
    """

    def __init__(
        self,
        settings: StoredSettings,
        output: str | os.PathLike[str],
        packages: Sequence[str],
        **options: Unpack[Options],
    ) -> None:
        unknown = sorted(set(options) - set(Options.__annotations__))
        if unknown:
            raise TypeError(f"`options` must be some of {', '.join(Options.__annotations__)}, but got {unknown[0]}")
        workers = options.get("workers")
        check("workers", "be positive", workers is None or workers > 0, workers)
        for package in packages:
            extra(package, "experiments")
        self.folder = Path(output)
        self.workers = workers or os.cpu_count() or 1
        self._settings, self._options = settings, options
        self._clock: Clock

    @property
    def data_dir(self) -> str | None:
        """Where the full data sets lie."""
        return self._options.get("data_dir")

    @property
    def figures(self) -> Path:
        """Where the figures go."""
        return self.folder / "figures"

    def jobs(self, kind: Callable[..., J], which: Iterable[Sequence[Any]]) -> list[J]:
        """A job for each of the values of the fields that tell jobs apart."""
        shared = {"settings": self._settings, "data_dir": self.data_dir, "folder": self.folder / "runs"}
        return [kind(*values, **shared) for values in which]

    def say(self, text: str) -> None:
        """Tell what is being done."""
        told = self._options.get("stage")
        if told:
            told(text)

    def open(self) -> None:
        """Make the folder, or take up the run in it.

        Raises:
            ValueError: a folder that belongs to another run.
            OSError: a folder that cannot be written.
        """
        self._clock = open_folder(self.folder, self._settings, resume=self._options.get("resume", False))

    def run_all(self, text: str, run: Run, jobs: Sequence[Any]) -> None:
        """Tell what is being done, and do every job that is not done yet."""
        self.say(text)
        processes.run_all(run, jobs, workers=self.workers, report=self._clock.keeping(self._options.get("report")))

    def record(
        self, title: str, quick: StoredSettings, data_source: str, statements: Iterable[Statement], **found: Any
    ) -> dict[str, Any]:
        """Write `results.json`: how it was done, and what was found.

        Args:
            title: of the report.
            quick: settings of the short run; with another data set and other seeds it is still the short run.
            data_source: where the data come from.
            statements: with their verdicts.
            found: the rest, as JSON types.

        Returns:
            What was written.
        """
        same = {n: getattr(self._settings, n) for n in ("dataset", "seeds") if hasattr(self._settings, n)}
        results = {
            "title": title,
            "command": self._options.get("command", ""),
            "quick": quick.changed(**same) == self._settings,
            "settings": self._settings.to_json(),
            "data_source": data_source,
            **circumstances(),
            "seconds": self._clock.seconds,
            "workers": self.workers,
            **found,
            "statements": [statement.to_json() for statement in statements],
        }
        write_json(self.folder / "results.json", results)
        self._clock.keep()
        return results
