"""Plots of accuracy against what making a set costs, with the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddbench.analysis.aggregate import costs_of
from ddbench.report.plot_style import (
    add_legend,
    draw_full_real,
    mark_row,
    name_axes,
    new_figure,
    plain_number,
    shown_names,
    style_of,
)
from ddbench.tables.layout import row_text
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RowKey = tuple[str, str, str]
MIB = 2**20


@dataclass(frozen=True)
class Point:
    """An entry in a plot of accuracy against a cost."""

    ipc: int
    cost: float
    accuracy: float


def time_points(panel: Panel, machine: str) -> dict[RowKey, list[Point]]:
    """Return accuracy and seconds to prepare and distil on one machine, by row; without IPC that lack either.

    An IPC is left out too where its seconds were measured on a busy machine only.
    """
    points: dict[RowKey, list[Point]] = {}
    for row, ipc, accuracy, costs in _measured(panel, machine):
        seconds = costs["making_seconds"]
        if seconds:
            points.setdefault(row, []).append(Point(ipc, seconds, accuracy))
    return points


def memory_points(panel: Panel, machine: str) -> tuple[dict[RowKey, list[Point]], str]:
    """Return the same with peak memory while making the set, in MiB, and what memory that is."""
    results = [result for entry in panel.entries for result in entry.by_machine().get(machine, ())]
    on_gpu = any(result.machine.get("gpu") for result in results)
    kind = "making_peak_allocated_bytes" if on_gpu else "making_peak_host_bytes"
    points: dict[RowKey, list[Point]] = {}
    for row, ipc, accuracy, costs in _measured(panel, machine):
        size = costs[kind]
        if size:
            points.setdefault(row, []).append(Point(ipc, size / MIB, accuracy))
    return points, "peak GPU memory allocated (MiB)" if on_gpu else "peak host memory (MiB), no GPU"


def _measured(panel: Panel, machine: str) -> Iterator[tuple[RowKey, int, float, dict[str, float | None]]]:
    """Yield row, IPC, mean accuracy and costs of the entries that ran on a machine; the whole set makes none."""
    for entry in panel.entries:
        results = entry.by_machine().get(machine)
        if entry.ipc is not None and entry.accuracy and results:
            yield entry.row, entry.ipc, entry.accuracy.mean, costs_of(results)


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in accuracy at the same cost or less, by ascending cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def plot_costs(panel: Panel, points: Mapping[RowKey, list[Point]], styles: dict[str, int], label: str) -> Figure:
    """Return accuracy against a cost, one dotted line per row with its IPC written beside its points.

    Args:
        panel: that the points are of; its accuracy on the whole training set is a line.
        points: two or more.
        styles: see `style_of`.
        label: of the cost, with its unit.
    """
    figure, axes, columns = new_figure([*shown_names(points, styles), "full_real", "Pareto front"])
    for row, found in points.items():
        style = style_of(row_text(row), styles) | {"linestyle": ":"}
        mark_row(row, *axes.plot([p.cost for p in found], [p.accuracy for p in found], **style))
        for point in found:
            place = (point.cost, point.accuracy)
            mark_row(row, axes.annotate(str(point.ipc), place, (4, 3), textcoords="offset points"))
    front = pareto_front([point for found in points.values() for point in found])
    if len(front) > 1:
        costs, accuracies = [p.cost for p in front], [p.accuracy for p in front]
        ink = axes.xaxis.label.get_color()
        axes.plot(costs, accuracies, drawstyle="steps-post", color=ink, lw=0.8, ls="--", label="Pareto front", zorder=0)
    draw_full_real(panel, axes)
    _scale_costs(axes, [point.cost for found in points.values() for point in found])
    axes.set_xlabel(f"{label}; numbers: IPC")
    name_axes(axes)
    add_legend(figure, axes, columns)
    return figure


def _scale_costs(axes: Axes, costs: Sequence[float]) -> None:
    """Use a logarithmic axis where costs span more than a decade, with plain numbers in either case."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if max(costs) > 10 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(plain_number)
    axes.margins(x=0.08)
