"""What the command line shows on a terminal: progress bars, one line per cell, tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ddbench.host.meter import Pace, Stopwatch
from ddbench.method import Resumable
from ddbench.records import Result
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import Suite
from ddbench.runs.suite_runner import CellEvent, run_suite
from ddbench.tables.escaping import visible
from ddbench.tables.quantities import duration_text

T = TypeVar("T")


SECONDS_BETWEEN_LINES = 300.0  # of a run whose progress goes into a file


@dataclass
class Loop:
    """A loop that runs: what it does, how many of its items are done, of how many where that is known, since when."""

    description: str
    total: int | None
    watch: Stopwatch
    done: int = 0
    resumed: tuple[float, int] = (0.0, 0)  # seconds and items when a rerun had passed what an earlier run did

    def __str__(self) -> str:
        return f"{self.description} {self.done:,}" + (f" of {self.total:,}" if self.total else "")

    @property
    def left(self) -> str:
        """How long the rest will take at this pace, in words; empty where that cannot be said."""
        seconds, before = self.resumed
        if not self.total or self.done <= before:
            return ""
        of_one = (self.watch.seconds - seconds) / (self.done - before)
        return f", {duration_text(of_one * (self.total - self.done))} left"

    def step(self) -> None:
        """Count an item. What an earlier run did is passed at once: the pace is of what comes after a second."""
        self.done += 1
        if self.watch.seconds < 1:
            self.resumed = (self.watch.seconds, self.done)


@dataclass
class Bars:
    """Progress on the error stream: bars on a terminal, else a line every five minutes about the loops that run."""

    progress: Progress
    pace: Pace = field(default_factory=lambda: Pace(SECONDS_BETWEEN_LINES))
    place: str = ""
    loops: list[Loop] = field(default_factory=list)

    def track(self, iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
        """Yield the items and move a bar that disappears at the end; what is kept for a rerun is the runner's work."""
        total = len(iterable) if isinstance(iterable, Sized) else None
        task = self.progress.add_task(description, total=total)
        loop = Loop(description, total, Stopwatch())
        self.loops.append(loop)
        try:
            for item in iterable:
                yield item
                self.progress.advance(task)
                loop.step()
                if self.progress.disable and self.pace.is_due():
                    outermost = self.loops[0]
                    self.say(f"{self.place}{', '.join(map(str, self.loops))}{outermost.left}")
        finally:
            self.loops.remove(loop)
            self.progress.remove_task(task)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        with suppress(OSError):  # a full or closed error stream ends no run
            self.progress.console.print(visible(line), soft_wrap=True, markup=False, highlight=False)


class _Errors(Console):
    """The error stream; one that nobody reads any more ends no run."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@contextmanager
def progress_bars() -> Iterator[Bars]:
    """Show progress bars while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = _Errors(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bars(progress)


def run_cells(suite: Suite, results: Path, options: RunOptions) -> list[Result]:
    """Run a suite with a bar over its cells, a bar inside the running one and a line for each that ends."""
    with progress_bars() as bars:
        task = bars.progress.add_task(suite.name, total=None)

        def show(event: CellEvent) -> None:
            bars.progress.update(task, total=event.total, completed=event.index, description=visible(event.cell.title))
            bars.place = f"[{event.index + 1}/{event.total}] {event.cell.title}: "
            if event.result is not None and not event.was_there:
                bars.say(describe_cell(event))

        return run_suite(suite, results, replace(options, track=bars.track), show)


def describe_cell(event: CellEvent) -> str:
    """One line about a cell that has ended."""
    place = f"[{event.index + 1}/{event.total}] {event.cell.title}"
    result = event.result
    if result is None or result.status != "ok":
        return f"{place}: {result.status.replace('_', ' ')}, {result.reason}" if result else place
    accuracy = result.metric("test_accuracy")
    text = f"{100 * accuracy.mean:.1f} %" if accuracy else "done"
    seconds = {phase.name: phase.reading.seconds for phase in result.phases}
    return f"{place}: {text} (distill {seconds.get('distill', 0):.1f} s, evaluate {seconds.get('evaluate', 0):.1f} s)"
