"""What runs now in a results folder, for whoever watches: a small file a run and one a cell, gone when it has ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, FiniteFloat, ValidationError

from ddbench.errors import BadInputError
from ddbench.host.clock import Pace, Stopwatch, seconds_since, seconds_since_utc
from ddbench.host.files import make_folder
from ddbench.host.leftovers import is_process_alive, this_place
from ddbench.inputs.documents import read_json
from ddbench.records import Record

if TYPE_CHECKING:
    from ddbench.method import Resumable, Tracker
    from ddbench.runner import Report

T = TypeVar("T")
R = TypeVar("R", bound="_Watched")

FOLDER = ".running"
REPORT_SECONDS = 1.0  # between two reports of a cell
BEAT_SECONDS = 5.0  # between two signs of life of a run
SILENT_SECONDS = 60.0  # after which a run of another machine counts as gone
UNHINDERED = suppress(OSError, BadInputError, ValidationError)  # by a file: it is for watching alone


def _check_moment(text: str) -> str:
    """Return a moment that time can be reckoned from; raises ValueError for any other text."""
    try:
        seconds_since_utc(text)
    except TypeError as error:
        raise ValueError("a moment must say its time zone") from error
    return text


Moment = Annotated[str, AfterValidator(_check_moment)]


class _Watched(Record):
    """Base of what a file says; `quiet_seconds`, how long ago it was written, is no part of it."""

    place: str
    process: int
    since: Moment

    @property
    def run(self) -> str:
        """The run that it is, or is of."""
        return f"{self.place}-{self.process}"


class RunningRun(_Watched):
    """A run: its suite, how many of its cells have ended and failed, how long the rest will take (None: not known)."""

    suite: str
    total: int
    ended: int = 0
    failed: int = 0
    left_seconds: FiniteFloat | None = None


class RunningCell(_Watched):
    """A cell: what it does, how far it is, what it logged last.

    Attributes:
        where: the machine and process that it is in, in words.
        doing: its loops, outermost first, in words.
        left_seconds: of the outermost loop at its pace, None where that cannot be said.
        logged: the values that it logged last, by name.
    """

    key: str
    title: str
    where: str = ""
    doing: str = ""
    left_seconds: FiniteFloat | None = None
    logged: dict[str, Any] = Field(default_factory=dict)


@dataclass
class Loop:
    """A loop that runs: what it does, how many of its items are done, of how many where that is known, since when."""

    description: str
    total: int | None
    watch: Stopwatch = field(default_factory=Stopwatch)
    done: int = 0
    resumed: tuple[float, int] = (0.0, 0)  # seconds and items when a rerun had passed what an earlier run did

    def __str__(self) -> str:
        return f"{self.description} {self.done:,}" + (f" of {self.total:,}" if self.total else "")

    @property
    def left_seconds(self) -> float | None:
        """How long the rest will take at this pace; None where that cannot be said."""
        seconds, before = self.resumed
        if not self.total or self.done <= before:
            return None
        return (self.watch.seconds - seconds) / (self.done - before) * (self.total - self.done)

    def step(self) -> None:
        """Count an item. What an earlier run did is passed at once: the pace is of what comes after a second."""
        self.done += 1
        if self.watch.seconds < 1:
            self.resumed = (self.watch.seconds, self.done)


class Reporter:
    """Reports what a cell does from within it, at most once a second.

    Args:
        report: is told.
        show: shows the progress of loops too.
    """

    def __init__(self, report: Report, show: Tracker) -> None:
        self._report, self._show = report, show
        self._loops: list[Loop] = []
        self._logged: dict[str, Any] = {}
        self._pace = Pace(REPORT_SECONDS)

    def track(self, iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
        """Yield the items of a loop; a `Tracker`."""
        loop = Loop(description, len(iterable) if isinstance(iterable, Sized) else None)
        self._loops.append(loop)
        try:
            for item in self._show(iterable, description, state):
                yield item
                loop.step()
                self._tell()
        finally:
            self._loops.remove(loop)

    def log(self, name: str, value: object) -> None:
        """Take down a value that the cell logs; of `loss[120]` the number of the step is no part of the name."""
        plain = name.partition("[")[0]
        self._logged.pop(plain, None)
        self._logged[plain] = value if isinstance(value, int | float) else str(value)[:80]
        self._tell()

    def _tell(self) -> None:
        if self._pace.is_due():
            left = self._loops[0].left_seconds if self._loops else None
            doing = ", ".join(map(str, self._loops))
            self._report({"doing": doing, "left_seconds": left, "logged": dict(list(self._logged.items())[-3:])})


@dataclass(frozen=True)
class CellFile:
    """The file of a running cell, written by the process that runs it; a `Report` that can travel to it."""

    path: Path
    cell: RunningCell
    said: dict[str, Any] = field(default_factory=dict)

    def __call__(self, said: Mapping[str, Any]) -> None:
        """Write what is said of the cell besides what was said before; a file that cannot be written stops no work."""
        self.said.update(said)
        _write(self.path, self.cell.model_copy(update=self.said))

    def remove(self) -> None:
        """Remove it: the cell has ended."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class RunFile:
    """The file of a run, and those of its cells, while the block lasts; whoever reads it sees signs of life."""

    def __init__(self, root: Path, run: RunningRun) -> None:
        self._folder, self._run = root / FOLDER, run
        self._path = self._folder / f"run-{run.run}.json"
        self._ended = threading.Event()

    def __enter__(self) -> RunFile:
        make_folder(self._folder)
        clear_gone(self._folder.parent)
        _write(self._path, self._run)
        threading.Thread(target=self._beat, name="beat", daemon=True).start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._ended.set()
        for path, _ in _read(self._folder, RunningCell, self._run.run):
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self._path.unlink()

    def say(self, *, ended: int, failed: int, left_seconds: float | None) -> None:
        """Write how many cells have ended, how many of them failed, and how long the rest will take."""
        said = {"ended": ended, "failed": failed, "left_seconds": left_seconds}
        self._run = self._run.model_copy(update=said)
        _write(self._path, self._run)

    def of_cell(self, key: str, title: str, since: str) -> CellFile:
        """Return the file of a cell that begins now, which is written when something is said of it."""
        cell = RunningCell(place=self._run.place, process=self._run.process, since=since, key=key, title=title)
        return CellFile(self._folder / f"{key}.json", cell)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._path)


def running_runs(root: Path) -> list[tuple[RunningRun, float]]:
    """Return the runs that have not ended, each with the seconds since its last sign of life."""
    return [(run, _quiet(path)) for path, run in _read(root / FOLDER, RunningRun)]


def running_cells(root: Path) -> list[tuple[RunningCell, float]]:
    """Return the cells that have not ended, each with the seconds since it last said something, the oldest first."""
    found = [(cell, _quiet(path)) for path, cell in _read(root / FOLDER, RunningCell)]
    return sorted(found, key=lambda pair: (pair[0].since, pair[0].key))


def is_gone(run: RunningRun, quiet_seconds: float) -> bool:
    """Return whether a run has ended without saying so: its process is gone, or silent on another machine."""
    return not is_process_alive(run.process) if run.place == this_place() else quiet_seconds > SILENT_SECONDS


def clear_gone(root: Path) -> None:
    """Remove the files of runs that were killed, and of their cells."""
    alive = {run.run for run, quiet in running_runs(root) if not is_gone(run, quiet)}
    gone = [path for path, run in _read(root / FOLDER, RunningRun) if run.run not in alive]
    gone += [path for path, cell in _read(root / FOLDER, RunningCell) if cell.run not in alive]
    gone += [path for path in (root / FOLDER).glob(".*.json") if _quiet(path) > SILENT_SECONDS]  # never made whole
    for path in gone:
        with suppress(OSError):
            path.unlink()


def _write(path: Path, content: Record) -> None:
    with UNHINDERED:
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(content.model_dump_json(), encoding="utf-8")
        temporary.replace(path)


def _read(folder: Path, kind: type[R], of: str = "") -> list[tuple[Path, R]]:
    """Return the files of one kind, all or those of one run, and what they hold."""
    found = []
    for path in folder.glob("[!.]*.json"):  # those with a dot are being written
        if path.name.startswith("run-") == (kind is RunningRun):
            with UNHINDERED:
                content = kind.model_validate(read_json(path, "state"))
                if of in ("", content.run):
                    found.append((path, content))
    return found


def _quiet(path: Path) -> float:
    with suppress(OSError):
        return seconds_since(path.stat().st_mtime)
    return 0.0
