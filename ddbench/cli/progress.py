"""What the command line shows on a terminal: progress bars, one line per cell, tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ddbench.method import Resumable
from ddbench.records import Result
from ddbench.runs.distill import RunOptions
from ddbench.runs.suite import Suite
from ddbench.runs.suite_runner import CellEvent, run_suite
from ddbench.tables.escaping import visible

T = TypeVar("T")


@dataclass(frozen=True)
class Bars:
    """Progress bars on the error stream; nothing but finished lines where that is no terminal."""

    progress: Progress

    def track(self, iterable: Iterable[T], description: str, state: Resumable | None = None) -> Iterator[T]:
        """Yield the items and move a bar that disappears at the end; what is kept for a rerun is the runner's work."""
        total = len(iterable) if isinstance(iterable, Sized) else None
        task = self.progress.add_task(description, total=total)
        try:
            for item in iterable:
                yield item
                self.progress.advance(task)
        finally:
            self.progress.remove_task(task)


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
            if event.result is not None and not event.was_there:
                line = visible(describe_cell(event))
                with suppress(OSError):  # a full or closed error stream ends no run
                    bars.progress.console.print(line, soft_wrap=True, markup=False, highlight=False)

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
