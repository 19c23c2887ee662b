"""Plots of one block of a table: accuracy by IPC, accuracy against the time and the memory that making a set takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddbench.files import make_folder, staged_file
from ddbench.statistics import mean_against
from ddbench.table_cells import Cell, costs_of, values_by_seed
from ddbench.table_layout import group_rows, name_machines
from ddbench.tables import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Contrast of at least 3:1 on white and on the dark theme's background; markers differ too, for who sees no colours.
COLOURS = (
    "#7a828c", "#2f7ed8", "#d9544f", "#2b9a57", "#b0761a", "#9b62d4", "#1593a3", "#d1539a", "#7d8a1e", "#a5684c",
)  # fmt: skip
MARKERS = "osD^vPX*<>hp"
INK = "#010203"  # stands for the text colour of the page's theme, and is replaced by it
SIZE = (4.6, 3.3)  # inches; the legend's height is added
LEGEND_LINE = 0.17  # inches
SETTINGS: dict[str, Any] = {
    "text.parse_math": False,  # a name with $ is a name
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "ddbench",
    "pdf.fonttype": 42,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
DOTS_PER_INCH = 72


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure with what people and files call it."""

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Point:
    """A cell in a plot of accuracy against a cost."""

    ipc: int
    cost: float
    accuracy: float


def plots_of(block: Block, styles: dict[str, int], ink: str = "black") -> list[Plot]:
    """Return the plots that a block has enough numbers for.

    Args:
        block: of a table.
        styles: a number for each row's name, which chooses its colour and marker; see `number_rows`.
        ink: colour of axes and text.
    """
    with _settings(ink):
        curves = _plot_curves(block, styles)
        plots = [Plot("accuracy", "Test accuracy by images per class, with 95 % intervals over seeds", curves)]
        machines = name_machines(block.cells)
        for machine in dict.fromkeys(machine for cell in block.cells for machine in cell.by_machine()):
            place = f", machine {machines[machine]}" if len(machines) > 1 else ""
            suffix = f"-{machines[machine]}" if len(machines) > 1 else ""
            for name, caption, label, key in (
                ("time", f"Test accuracy against the time to make the set{place}", "prepare + distill (s)", "seconds"),
                ("memory", f"Test accuracy against peak memory while making the set{place}", "", "memory"),
            ):
                points, found = _points(block, machine, key)
                if points:
                    figure = _plot_costs(block, points, styles, label or found)
                    plots.append(Plot(name + suffix, caption, figure))
        return plots if any(cell.accuracy and cell.ipc is not None for cell in block.cells) else []


def number_rows(blocks: Sequence[Block]) -> dict[str, int]:
    """Return a number for each row's name, the same in every block of a report."""
    names = (_row_name(row) for block in blocks for row in group_rows(block.cells) if row[0] != "full_real")
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def write_plots(blocks: Sequence[Block], folder: Path) -> list[Path]:
    """Write every plot of every block as PDF and SVG and return the paths, PDF first."""
    make_folder(folder)
    styles, paths = number_rows(blocks), []
    for block in blocks:
        for plot in plots_of(block, styles):
            stem = re.sub(r"[^A-Za-z0-9.@=-]+", "_", f"{block.title}-{plot.name}")
            for kind in ("pdf", "svg"):
                path = folder / f"{stem}.{kind}"
                with _settings("black"), staged_file(path) as temporary:
                    # No date: the same results give the same files.
                    date = {"CreationDate": None} if kind == "pdf" else {"Date": None}
                    plot.figure.savefig(temporary, format=kind, metadata=date, transparent=True)
                paths.append(path)
    return paths


def inline_svg(plot: Plot, prefix: str) -> str:
    """Return a plot as an `<svg>` element for a page: text as text, in the page's colour; ids begin with `prefix`."""
    text = StringIO()
    with _settings(INK):
        plot.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="([^"]+)"', rf' id="{prefix}-\1"', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = svg.replace(INK, "currentColor")
    size = re.search(r'<svg[^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size is not None
    start = f'<svg viewBox="0 0 {size[1]} {size[2]}" role="img" aria-labelledby="{prefix}-caption" class="plot">'
    return start + svg[svg.index(">") + 1 :].strip()


@contextmanager
def _settings(ink: str) -> Iterator[None]:
    import matplotlib as mpl

    coloured = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    fonts = "none" if ink == INK else "path"
    with mpl.rc_context({**SETTINGS, "svg.fonttype": fonts, **dict.fromkeys(coloured, ink)}):
        yield


def _new_figure(names: Sequence[str]) -> tuple[Figure, Axes, int]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(1, min(4, int(62 / (max(map(len, names), default=1) + 6))))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(SIZE[0], SIZE[1] + LEGEND_LINE * lines), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot(), columns


def _plot_curves(block: Block, styles: dict[str, int]) -> Figure:
    rows = {
        row: [c for c in cells if c.accuracy and c.ipc is not None] for row, cells in group_rows(block.cells).items()
    }
    rows = {row: cells for row, cells in rows.items() if cells}
    figure, axes, columns = _new_figure([*map(_row_name, rows), "full_real"])
    for position, (row, cells) in enumerate(rows.items()):
        # Points of one IPC stand a little apart, so that their intervals can be told apart.
        shift = 1.03 ** (position - (len(rows) - 1) / 2)
        means = [cell.accuracy.mean for cell in cells if cell.accuracy]
        ends = [_interval(cell) or (mean, mean) for cell, mean in zip(cells, means, strict=True)]
        below = [mean - max(0.0, low) for mean, (low, _) in zip(means, ends, strict=True)]
        above = [min(100.0, high) - mean for mean, (_, high) in zip(means, ends, strict=True)]
        places = [(cell.ipc or 0) * shift for cell in cells]
        axes.errorbar(places, means, yerr=[below, above], capsize=2, **_style(_row_name(row), styles))
    _draw_full_real(block, axes)
    ipcs = sorted({cell.ipc for cells in rows.values() for cell in cells if cell.ipc is not None})
    axes.set_xscale("log")
    axes.set_xticks(ipcs, [str(ipc) for ipc in ipcs])
    axes.minorticks_off()
    if len(ipcs) == 1:
        axes.set_xlim(ipcs[0] / 1.6, ipcs[0] * 1.6)
    axes.set_xlabel("images per class")
    _finish(figure, axes, columns)
    return figure


def _plot_costs(
    block: Block, points: dict[tuple[str, str, str], list[Point]], styles: dict[str, int], label: str
) -> Figure:
    figure, axes, columns = _new_figure([*map(_row_name, points), "full_real", "Pareto front"])
    for row, found in points.items():
        style = _style(_row_name(row), styles) | {"linestyle": ":"}
        axes.plot([p.cost for p in found], [p.accuracy for p in found], **style)
        for point in found:
            place = (point.cost, point.accuracy)
            axes.annotate(str(point.ipc), place, (4, 3), textcoords="offset points", fontsize=7)
    front = pareto_front([point for found in points.values() for point in found])
    if len(front) > 1:
        costs, accuracies = [p.cost for p in front], [p.accuracy for p in front]
        ink = axes.xaxis.label.get_color()
        axes.plot(costs, accuracies, drawstyle="steps-post", color=ink, lw=0.8, ls="--", label="Pareto front", zorder=0)
    _draw_full_real(block, axes)
    _scale_costs(axes, [point.cost for found in points.values() for point in found])
    axes.set_xlabel(f"{label}; small numbers: images per class")
    _finish(figure, axes, columns)
    return figure


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in accuracy at the same cost or less, by ascending cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def _points(block: Block, machine: str, kind: str) -> tuple[dict[tuple[str, str, str], list[Point]], str]:
    """Return the cells of one machine with both numbers, by row, and the label of a memory axis."""
    made: dict[tuple[str, str, str], list[Point]] = {}
    on_gpu = any(r.machine.get("gpu") for cell in block.cells for r in cell.by_machine().get(machine, ()))
    memory = "making_peak_allocated_bytes" if on_gpu else "making_peak_host_bytes"
    for cell in block.cells:
        results = cell.by_machine().get(machine, ())
        if cell.ipc is None or not cell.accuracy or not results:
            continue
        costs = costs_of(results)
        if kind == "memory":
            size = costs[memory]
            cost = None if size is None else size / 2**20
        else:
            seconds = [costs[f"{phase}_seconds"] for phase in ("prepare", "distill")]
            cost = sum(s for s in seconds if s is not None) if any(s is not None for s in seconds) else None
        if cost:
            made.setdefault(cell.row, []).append(Point(cell.ipc, cost, cell.accuracy.mean))
    return made, "peak GPU memory allocated (MiB)" if on_gpu else "peak host memory (MiB), no GPU"


def _interval(cell: Cell) -> tuple[float, float] | None:
    """Return the 95 % t interval of the mean over distilled sets, None for a single one."""
    means = [sum(values) / len(values) for values in values_by_seed(cell.ok, "test_accuracy").values()]
    if len(means) < 2:
        return None
    found = mean_against(means, 0.0, 0.0)
    return found.low, found.high


def _scale_costs(axes: Axes, costs: Sequence[float]) -> None:
    """Use a logarithmic axis where costs span more than a decade, with plain numbers in either case."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if max(costs) > 10 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.margins(x=0.08)


def _draw_full_real(block: Block, axes: Axes) -> None:
    for cell in block.cells:
        if cell.ipc is None and cell.accuracy:
            ink = axes.xaxis.label.get_color()
            axes.axhline(cell.accuracy.mean, color=ink, lw=0.8, ls=(0, (1, 2)), label=cell.method, zorder=0)


def _finish(figure: Figure, axes: Axes, columns: int) -> None:
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y", color="#80808040", lw=0.6)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )


def _style(name: str, styles: dict[str, int]) -> dict[str, Any]:
    index = styles[name]
    return {
        "label": name,
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 5,
        "lw": 1.3,
    }


def _row_name(row: tuple[str, str, str]) -> str:
    return " ".join(filter(None, row))
