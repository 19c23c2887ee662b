"""Plots of what a method minimised, by step, from the logs that cells keep."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddbench.analysis.aggregate import Entry
from ddbench.report.pictures import find_in_cells
from ddbench.report.plot_style import COLOURS, DASHES, add_legend, name_axes, new_figure, plain_number
from ddbench.report.plots import Plot
from ddbench.runs.results_store import LOG_FILE
from ddbench.tables.escaping import visible
from ddbench.tables.layout import group_rows, row_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ddbench.tables.table import Panel

LOSS = re.compile(r"^loss\[([0-9]{1,12})\] = (\S+)$")
POINTS = 300  # of a curve, each the mean of the steps that it stands for
PLOTS = 12  # of a panel
LARGEST_LOG = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Losses:
    """What one cell's method logged as `loss[STEP]`."""

    ipc: int | None
    seed: int
    steps: tuple[float, ...]
    values: tuple[float, ...]


def find_logs(sources: Iterable[Path]) -> dict[str, Path]:
    """Return the logs in results folders and single cells, by the cell's key."""
    return find_in_cells(sources, LOG_FILE, Path.is_file)


def read_losses(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return steps and finite losses of a log, as at most `POINTS` means; nothing of a log that cannot be read."""
    found: list[tuple[int, float]] = []
    try:
        if path.stat().st_size > LARGEST_LOG:
            return (), ()
        with path.open(encoding="utf-8", errors="replace") as lines:
            for match in filter(None, map(LOSS.match, lines)):
                value = _number(match[2])
                if math.isfinite(value):
                    found.append((int(match[1]), value))
    except OSError:
        return (), ()
    found.sort()
    size = -(-len(found) // POINTS) or 1
    parts = [found[start : start + size] for start in range(0, len(found), size)]
    mean = [tuple(sum(column) / len(part) for column in zip(*part, strict=True)) for part in parts]
    return tuple(step for step, _ in mean), tuple(value for _, value in mean)


def plots_of_losses(panel: Panel, logs: Mapping[str, Path]) -> list[Plot]:
    """Return a plot for each row with losses: a line for each IPC, of its first distillation seed with a log.

    At most `PLOTS`; see `plot_settings` for how they are drawn.
    """
    plots: list[Plot] = []
    for row, entries in group_rows(panel.entries).items():
        found = [losses for entry in entries if (losses := _losses_of(entry, logs))]
        if found and len(plots) < PLOTS:
            name = visible(row_text(row))
            seeds = sorted({losses.seed for losses in found})
            caption = f"{name}: loss by step, distillation seed {', '.join(map(str, seeds))}"
            plots.append(Plot(f"loss-{len(plots)}", caption, _draw(found), row[0]))
    return plots


def _losses_of(entry: Entry, logs: Mapping[str, Path]) -> Losses | None:
    for result in sorted(entry.ok, key=lambda result: result.distill_seed):
        if result.key in logs:
            steps, values = read_losses(logs[result.key])
            if len(steps) > 1:
                return Losses(entry.ipc, result.distill_seed, steps, values)
    return None


def _draw(found: Sequence[Losses]) -> Figure:
    names = [f"IPC {losses.ipc}" for losses in found]
    figure, axes, columns = new_figure(names if len(found) > 1 else [])
    for index, (name, losses) in enumerate(zip(names, found, strict=True)):
        colour, dashes = COLOURS[1 + index % (len(COLOURS) - 1)], DASHES[index % len(DASHES)]
        axes.plot(losses.steps, losses.values, color=colour, linestyle=dashes, lw=1.3, label=name)
    _scale_losses(axes, [value for losses in found for value in losses.values])
    axes.set_xlabel("step" if len(found) > 1 else f"step, {names[0]}")
    name_axes(axes, "loss")
    if len(found) > 1:
        add_legend(figure, axes, columns)
    return figure


def _scale_losses(axes: Axes, values: Sequence[float]) -> None:
    """Use a logarithmic axis where losses are above 0 and span more than a decade."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = min(values), max(values)
    if low <= 0 or high <= 10 * low:
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=8))
    axes.yaxis.set_major_formatter(plain_number)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
