"""What the command line shows while work runs: bars or a table of the cells, and a line for each that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ddbench.cli._running_lines import running_lines
from ddbench.host.clock import Pace
from ddbench.method import Resumable
from ddbench.records import Result
from ddbench.runner import Runner
from ddbench.runs.dispatch import CellEvent
from ddbench.runs.distill import RunOptions
from ddbench.runs.running import Loop
from ddbench.runs.suite import Suite
from ddbench.runs.suite_runner import run_suite
from ddbench.tables.escaping import visible
from ddbench.tables.quantities import duration_text

T = TypeVar("T")


SECONDS_BETWEEN_LINES = 300.0  # of a run whose progress goes into a file


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
        loop = Loop(description, total)
        self.loops.append(loop)
        try:
            for item in iterable:
                yield item
                self.progress.advance(task)
                loop.step()
                if self.progress.disable and self.pace.is_due():
                    left = self.loops[0].left_seconds
                    words = "" if left is None else f", {duration_text(left)} left"
                    self.say(f"{self.place}{', '.join(map(str, self.loops))}{words}")
        finally:
            self.loops.remove(loop)
            self.progress.remove_task(task)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        say_above(self.progress.console, line)


def say_above(console: Console, line: str) -> None:
    """Print a line above what is shown on a console for the time being."""
    with suppress(OSError):  # a full or closed error stream ends no run
        console.print(visible(line), soft_wrap=True, markup=False, highlight=False)


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


def run_cells(suite: Suite, results: Path, options: RunOptions, runner: Runner) -> list[Result]:
    """Run a suite and show how far it is: with bars where cells run in this process, else with a table of them."""
    return (
        _run_with_bars(suite, results, options, runner) if runner.here else _run_aside(suite, results, options, runner)
    )


def _run_with_bars(suite: Suite, results: Path, options: RunOptions, runner: Runner) -> list[Result]:
    with progress_bars() as bars:
        task = bars.progress.add_task(suite.name, total=None)
        tell = _teller(bars.say)

        def show(event: CellEvent) -> None:
            bars.progress.update(task, total=event.total, completed=event.ended, description=visible(event.cell.title))
            bars.place = place_of(event)
            tell(event)

        return run_suite(suite, results, replace(options, track=bars.track), show, runner=runner)


def _run_aside(suite: Suite, results: Path, options: RunOptions, runner: Runner) -> list[Result]:
    console = _Errors(stderr=True)
    tell = _teller(lambda line: say_above(console, line))
    if not console.is_terminal:
        return run_suite(suite, results, options, tell, runner=runner)
    with Live(
        console=console,
        transient=True,
        refresh_per_second=2,
        get_renderable=lambda: running_lines(results, console.height),
    ):
        return run_suite(suite, results, options, tell, runner=runner)


def _teller(say: Callable[[str], None]) -> Callable[[CellEvent], None]:
    """Return what says a line for every cell that ends, and once for each that another run is at work on."""
    told: set[int | str] = set()

    def tell(event: CellEvent) -> None:
        if event.no_processor and "no processor" not in told:
            told.add("no processor")
            say(f"{place_of(event)}other runs on this folder use every processor of this machine; waiting")
        if event.elsewhere and event.index not in told:
            told.add(event.index)
            say(f"{place_of(event)}another run is at work on it; waiting")
        if event.result is not None and not event.was_there:
            say(describe_cell(event))

    return tell


def place_of(event: CellEvent) -> str:
    """Return how a line about a cell begins: which of how many it is, by the order in which they end, and its title."""
    number = event.ended if event.result is not None else event.ended + 1
    return f"[{number}/{event.total}] {event.cell.title}: "


def describe_cell(event: CellEvent) -> str:
    """One line about a cell that has ended."""
    place, result = place_of(event), event.result
    if result is None or result.status != "ok":
        return f"{place}{result.status.replace('_', ' ')}, {result.reason}" if result else place
    accuracy = result.metric("test_accuracy")
    text = f"{100 * accuracy.mean:.1f} %" if accuracy else "done"
    seconds = {phase.name: phase.reading.seconds for phase in result.phases}
    return f"{place}{text} (distill {seconds.get('distill', 0):.1f} s, evaluate {seconds.get('evaluate', 0):.1f} s)"
