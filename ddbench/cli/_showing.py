"""How commands show things: lines, tables, progress, cells without a number."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ddbench.cli._app import HERE, RunWhere
from ddbench.cli.streams import naming_the_output
from ddbench.errors import tidy

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from ddbench.records import Result
    from ddbench.runs.distill import RunOptions
    from ddbench.runs.suite import Suite
    from ddbench.tables.formats import TextFormat
    from ddbench.tables.table import Table

WIDEST = 10_000  # letters of a line that goes into a file


def run_cells(
    suite: Suite,
    results: Path,
    device: str | None,
    data_dir: Path | None,
    where: RunWhere = HERE,
    loggers: Sequence[str] = (),
    log_every: int = 1,
) -> list[Result]:
    """Run the cells of a suite that have no result yet, with progress, and return the results of all."""
    from ddbench.cli.progress import run_cells as run_and_show
    from ddbench.host.cache_contents import clear_cache
    from ddbench.host.machine import resolve_device
    from ddbench.runner import RunnerOptions, make_runner
    from ddbench.runs.distill import RunOptions

    options = RunOptions(
        data_dir=data_dir, device=device, loggers=tuple(loggers), log_every=log_every, devices=where.devices
    )
    chosen = RunnerOptions(resolve_device(device), where.jobs, where.address, where.devices)
    runner = make_runner(where.runner, chosen)
    clear_cache()
    return run_and_show(suite, results, options, runner)


def report_unfinished(results: Sequence[Result]) -> int:
    """Print the cells without a number and return the exit code they give."""
    unfinished = [result for result in results if result.status != "ok"]
    for result in unfinished:
        status = result.status.replace("_", " ")
        print(tidy(f"ddbench: {status}: {result.title}: {result.reason}"), file=sys.stderr)
    return 1 if unfinished else 0


class Problems:
    """What was wrong with results that were read: each is said in one line on stderr, and gives the exit code 1."""

    def __init__(self) -> None:
        self.count = 0

    def tell(self, problem: str) -> None:
        """Say one."""
        self.count += 1
        print(f"ddbench: {tidy(problem)}", file=sys.stderr)

    @property
    def exit_code(self) -> int:
        """0 where there was none."""
        return 1 if self.count else 0


def show_table(results: Sequence[Result], *, published: bool) -> None:
    """Print the table of some results."""
    from ddbench.tables.formats import render
    from ddbench.tables.table import make_table

    console().print(render(make_table(results, published=published), "terminal"))


def show_or_write(table: Table, format: TextFormat | Literal["terminal"], out: Path | None) -> None:
    """Print a table, or write it to a file; the terminal's own form is Markdown in a file."""
    from ddbench.host.files import is_special, write_text
    from ddbench.tables.formats import render

    if format == "terminal" and out is None:
        console().print(render(table, "terminal"))
        return
    text = render(table, "md" if format == "terminal" else format)
    if out is None:
        print(escaped_for(sys.stdout.encoding, text) if format == "json" else text)
        return
    write_text(out, text)
    if not is_special(out):  # which may be the very stream
        say(f"written to {out}")


def escaped_for(encoding: str | None, text: str) -> str:
    r"""Return JSON that a stream of an encoding can take: its other characters as \uXXXX, which mean the same."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), indent=1) + "\n"
    return text


@contextmanager
def progress(data_dir: Path | None = None) -> Iterator[RunOptions]:
    """Yield the options of a run that shows progress bars while the block runs."""
    from ddbench.cli.progress import progress_bars
    from ddbench.host.cache_contents import clear_cache
    from ddbench.runs.distill import RunOptions

    clear_cache()
    with progress_bars() as bars:
        yield RunOptions(data_dir=data_dir, track=bars.track)


def console() -> Console:
    """Return a console on the output stream as it is now; a file or a pipe is as wide as what is shown."""
    from rich.console import Console

    class Output(Console):
        """One that leaves a closed pipe to the program, which ends as others do."""

        def print(self, *things: Any, **options: Any) -> None:  # noqa: ANN401 - as rich has it
            with naming_the_output():
                super().print(*things, **options)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    found = Output()
    return found if found.is_terminal or "COLUMNS" in os.environ else Output(width=WIDEST)


def say(text: str) -> None:
    """Print text as it is, not wrapped and not coloured; characters that act, of names for one, are escaped."""
    from ddbench.tables.escaping import visible

    lines = "\n".join(map(visible, text.split("\n")))
    console().print(lines, soft_wrap=True, markup=False, highlight=False)


def plain_text(text: str) -> Text:
    """Return a text that is read as no markup and does not act on the terminal."""
    from rich.text import Text

    from ddbench.tables.escaping import visible

    return Text(visible(text))


def list_of(rows: Iterable[Sequence[str]], headings: Sequence[str], title: str | None = None) -> RichTable:
    """Return a table of plain texts without lines."""
    from rich.table import Table

    table = Table(*headings, title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(plain_text, row))
    return table
