"""What runs now in a results folder, in lines: beside a run, and for `ddbench status` from another shell."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from ddbench.host.clock import seconds_since_utc
from ddbench.runs.running import RunningCell, RunningRun, is_gone, running_cells, running_runs
from ddbench.tables.escaping import visible
from ddbench.tables.quantities import duration_text

FEWEST_CELLS, OTHER_LINES = 3, 6  # cells that are shown at least, and lines of a screen that are not for them


def running_lines(root: Path, height: int | None = None, *, says_where: bool = False) -> Text:
    """Return a line a run, and two a cell that runs: what it is, and since when, what it does, what it logged last.

    Args:
        root: folder of results.
        height: lines of the screen, None for all cells; those that it has no room for are counted.
        says_where: name the machine and the process that each cell is in.
    """
    runs, cells = running_runs(root), running_cells(root)
    most = len(cells) if height is None else max(FEWEST_CELLS, (height - OTHER_LINES - len(runs)) // 2)
    lines = [_words_of_run(run, quiet) for run, quiet in runs]
    for cell, _ in cells[:most]:
        lines += [f"  {cell.title}", f"    {_words_of_cell(cell, says_where=says_where)}"]
    if len(cells) > most:
        lines.append(f"  and {len(cells) - most:,} more")
    return Text("\n".join(map(visible, lines)))


def _words_of_run(run: RunningRun, quiet_seconds: float) -> str:
    words = [f"{run.ended:,} of {run.total:,} cells done"]
    words += [f"{run.failed:,} failed"] if run.failed else []
    if is_gone(run, quiet_seconds):
        words.append("the run was killed; run it again to continue")
    elif run.left_seconds is not None and run.ended < run.total:
        words.append(f"about {duration_text(run.left_seconds)} left")
    return f"{run.suite}: {', '.join(words)}"


def _words_of_cell(cell: RunningCell, *, says_where: bool) -> str:
    words = [f"for {duration_text(seconds_since_utc(cell.since))}"]
    words += [cell.doing] if cell.doing else []
    words += [] if cell.left_seconds is None else [f"{duration_text(cell.left_seconds)} left"]
    words += [f"{name} {_short(value)}" for name, value in cell.logged.items()]
    words += [f"on {cell.where}"] if says_where and cell.where else []
    return "; ".join(words)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
