"""How every plot of a report looks: colours and markers of rows, axes, legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ddbench.tables.escaping import visible
from ddbench.tables.layout import group_rows
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Contrast of at least 3:1 on white and on the dark theme's background; markers differ too, for who sees no colours.
COLOURS = (
    "#7a828c", "#2f7ed8", "#d9544f", "#2b9a57", "#b0761a", "#9b62d4", "#1593a3", "#d1539a", "#7d8a1e",
)  # fmt: skip
MARKERS = "osD^vPX*<>h"
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # of the first eleven rows, the next eleven, and so on
INK = "#010203"  # stands for the text colour of the page's theme, and is replaced by it
SIZE = (4.6, 3.3)  # inches; the legend's height is added
LEGEND_LINE, LEGEND_WIDTH = 0.17, 62  # inches, letters
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


@contextmanager
def plot_settings(ink: str) -> Iterator[None]:
    """Draw and save figures in the report's style while the block runs; with `INK`, text stays text in an SVG."""
    import matplotlib as mpl

    coloured = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    fonts = "none" if ink == INK else "path"
    settings: Any = {**SETTINGS, "svg.fonttype": fonts, **dict.fromkeys(coloured, ink)}
    with mpl.rc_context(settings):
        yield


def number_rows(panels: Sequence[Panel]) -> dict[str, int]:
    """Return a number for each row's name, the same in every panel of a report."""
    names = (row_name(row) for panel in panels for row in group_rows(panel.entries) if row[0] != "full_real")
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def row_name(row: tuple[str, str, str]) -> str:
    """Return what a legend calls a row."""
    return " ".join(filter(None, row))


def new_figure(names: Sequence[str]) -> tuple[Figure, Axes, int]:
    """Return a figure with room for a legend of these names below it, its axes, and the legend's columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wrapped = [_wrapped(name) for name in names]
    longest = max(len(line) for name in wrapped for line in name.splitlines())
    columns = max(1, min(4, LEGEND_WIDTH // (longest + 6)))
    lines = -(-sum(name.count("\n") + 1 for name in wrapped) // columns)
    figure = Figure(figsize=(SIZE[0], SIZE[1] + LEGEND_LINE * lines), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot(), columns


def style_of(name: str, styles: dict[str, int]) -> dict[str, Any]:
    """Return what matplotlib draws a row with; no two of 33 rows share marker and dashes, whatever colours one sees."""
    index = styles[name]
    return {
        "label": _wrapped(visible(name)),
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index // len(MARKERS) % len(DASHES)],
        "markersize": 5,
        "lw": 1.3,
    }


def draw_full_real(panel: Panel, axes: Axes) -> None:
    """Draw a line at the accuracy of the whole training set, where it was measured."""
    for entry in panel.entries:
        if entry.ipc is None and entry.accuracy:
            ink = axes.xaxis.label.get_color()
            axes.axhline(entry.accuracy.mean, color=ink, lw=0.8, ls=(0, (1, 2)), label=visible(entry.method), zorder=0)


def finish(figure: Figure, axes: Axes, columns: int) -> None:
    """Add what every plot has: the name of the vertical axis, a grid, the legend."""
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y", color="#80808040", lw=0.6)
    entries = axes.get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def _wrapped(name: str) -> str:
    return fill(name, LEGEND_WIDTH - 6, subsequent_indent="  ")
