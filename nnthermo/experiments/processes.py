"""Runs in processes of their own: as many as the machine has cores, none left behind, one a file at a time."""

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import jax

from nnthermo.experiments.settings import StoredSettings

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

Report = Callable[[str, int, int], None]
"""Told (name of the run, epochs done, epochs in all)."""


Run = Callable[[Any, Report | None], None]
"""A module's function (job, report) that does a job and writes its files. It is called in float64."""

BLAS_THREADS = "OPENBLAS_NUM_THREADS"

S = TypeVar("S", bound=StoredSettings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job(Generic[S]):
    """What one process does; the fields of a subclass tell it from the others, and are its name.

    Attributes:
        settings: of the study.
        data_dir: where the full data sets lie.
        folder: where its files go.
    """

    settings: S
    data_dir: str | None
    folder: Path

    suffix: ClassVar[str] = ".nc"
    """Of the file."""

    @property
    def name(self) -> str:
        """For files and progress, such as "deep-0"."""
        shared = {field.name for field in dataclasses.fields(Job)}
        return "-".join(str(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in shared)

    @property
    def file(self) -> Path:
        """What it writes at its end."""
        return self.folder / f"{self.name}{self.suffix}"


def once(run: Callable[[Any, Report | None], None]) -> Callable[..., None]:
    """A run that leaves a finished job alone, and of which no two processes do the same job at a time."""

    @functools.wraps(run)
    def unless_done(job: Any, report: Report | None = None) -> None:
        with alone(job.file):
            if not job.file.exists():
                run(job, report)

    return unless_done


@contextlib.contextmanager
def alone(file: Path) -> Iterator[None]:
    """Wait until no other process, such as one whose parent was killed a moment ago, works on the same run."""
    if fcntl is None:
        yield
        return
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system lifts it when its holder ends, however it ends
        yield


def run_all(run: Run, jobs: Sequence[Any], *, workers: int, report: Report | None = None) -> None:
    """Call run(job, report) for each job in `workers` processes; the first failure stops the rest; they can be resumed.

    Raises:
        Whatever a run raised; KeyboardInterrupt after the workers have stopped.
    """
    context = multiprocessing.get_context("spawn")
    with _one_blas_thread_each(), contextlib.ExitStack() as managed:
        with _interrupts_later():
            queue = managed.enter_context(context.Manager()).Queue()
        pool = ProcessPoolExecutor(
            max_workers=max(1, min(workers, len(jobs))),
            mp_context=context,
            initializer=_settle,
            initargs=(os.getpid(),),
        )
        try:
            with _interrupts_later():
                futures = [pool.submit(_run_and_tell, run, job, queue) for job in jobs]
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_EXCEPTION)
                while not queue.empty():
                    message = queue.get()
                    if report:
                        report(*message)
                for future in done:
                    future.result()
        except BaseException:
            for process in list(getattr(pool, "_processes", {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Processes that are started meanwhile never see a Ctrl-C, which is ours; ours comes when they are started."""
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _one_blas_thread_each() -> Iterator[None]:
    """For processes started meanwhile: their small decompositions only get in each other's way with threads of BLAS."""
    given = os.environ.get(BLAS_THREADS)
    os.environ.setdefault(BLAS_THREADS, "1")
    try:
        yield
    finally:
        if given is None:
            os.environ.pop(BLAS_THREADS, None)


def _run_and_tell(run: Run, job: Any, queue: Any) -> None:
    run(job, lambda *message: queue.put(message))


def _settle(parent: int) -> None:
    """In a worker: leave Ctrl-C to the parent, and end with it, so that nothing writes behind a resume.

    Its process is ours alone: numbers are float64 there, but for networks that are made to be float32.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jax.config.update("jax_enable_x64", True)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
