"""How every plot of a report looks: colours and markers of rows, axes, legend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ddbench.tables.escaping import visible
from ddbench.tables.gain_column import BASELINE
from ddbench.tables.layout import group_rows, row_text
from ddbench.tables.rows import best_first, row_heights
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Contrast of at least 3:1 on white and on the dark theme's background. Each place has a marker of its own and dashes
# that few others have, for who cannot tell colours apart. The first place is that of random real images.
COLOURS = (
    "#7a828c", "#2f7ed8", "#d9544f", "#2b9a57", "#b0761a", "#9b62d4", "#1593a3", "#d1539a", "#7d8a1e",
)  # fmt: skip
MARKERS = "osD^vPX*h"
DASHES: tuple[Any, ...] = ("-", "-", (0, (5, 1.5)), "-.", (0, (3, 1.5, 1, 1.5, 1, 1.5)))
COLOURED = len(COLOURS) - 1  # rows beside random_real
OTHER, OTHER_COLOUR = -1, "#80868f"  # the place of rows beyond these, which stay in the background
ROW = "row:"  # begins the group id of what belongs to a row, before the name of its method
INK = "#010203"  # stands for the text colour of the page's theme, and is replaced by it
SIZE = (4.6, 3.4)  # inches; the legend's height is added
LEGEND_LINE, LEGEND_WIDTH = 0.23, 46  # inches, letters
FONT_SIZE = 11  # points; 12 pixels where a page is 390 pixels wide
SETTINGS: dict[str, Any] = {
    "text.parse_math": False,  # a name with $ is a name
    "font.size": FONT_SIZE,
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), FONT_SIZE),
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
    compressed = (entry for panel in panels for entry in panel.entries if entry.ipc is not None)
    names = map(row_text, group_rows(compressed))
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def place_rows(panel: Panel, numbers: dict[str, int]) -> dict[str, int]:
    """Return the place of each row's name in one panel: its colour, marker and dashes, no two shown rows the same.

    Where there are more than eight rows beside `random_real`, the eight best at the largest IPC have one, the others
    `OTHER`. A row keeps its place in every panel of a report as far as that is free.
    """
    best = [name for name in map(row_text, rank_rows(panel)) if name in numbers]
    chosen = sorted(best[:COLOURED], key=numbers.__getitem__)
    places = dict.fromkeys(numbers, OTHER)
    taken: set[int] = set()
    baselines = [row_text(row) for row in group_rows(panel.entries) if row[0] == BASELINE]
    if baselines:
        places[baselines[0]] = 0
    for name in chosen:
        turn = ((numbers[name] + step) % COLOURED + 1 for step in range(COLOURED))
        places[name] = next(place for place in turn if place not in taken)
        taken.add(places[name])
    return places


def rank_rows(panel: Panel) -> list[tuple[str, str, str]]:
    """Return the rows with an accuracy, `random_real` left out: the highest at the largest IPC that they have first."""
    return [row for row in best_first(row_heights(panel.entries)) if row[0] != BASELINE]


def shown_names(rows: Iterable[tuple[str, str, str]], styles: dict[str, int]) -> list[str]:
    """Return the names of the rows that a legend lists."""
    return [name for name in map(row_text, rows) if styles[name] != OTHER]


def new_figure(names: Sequence[str]) -> tuple[Figure, Axes, int]:
    """Return a figure with room for a legend of these names below it, its axes, and the legend's columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wrapped = [_wrapped(name) for name in names]
    longest = max((len(line) for name in wrapped for line in name.splitlines()), default=1)
    columns = max(1, min(4, LEGEND_WIDTH // (longest + 6)))
    lines = -(-sum(name.count("\n") + 1 for name in wrapped) // columns)
    figure = Figure(figsize=(SIZE[0], SIZE[1] + LEGEND_LINE * lines), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot(), columns


def style_of(name: str, styles: dict[str, int]) -> dict[str, Any]:
    """Return what matplotlib draws a row with, by its place; see `place_rows`."""
    place = styles[name]
    if place == OTHER:
        return {"label": "_nolegend_", "color": OTHER_COLOUR, "marker": ".", "markersize": 3, "lw": 0.6, "zorder": 1}
    return {
        "label": _wrapped(visible(name)),
        "color": COLOURS[place],
        "marker": MARKERS[place],
        "linestyle": DASHES[place % len(DASHES)],
        "markersize": 5,
        "lw": 1.3,
    }


def mark_row(row: tuple[str, str, str], *artists: Artist) -> None:
    """Say whose artists these are, so that a page can hide them; see `ROW`."""
    for artist in artists:
        artist.set_gid(ROW + visible(row[0]))


def draw_bars(axes: Axes, row: tuple[str, str, str], x: Sequence[float], y: Sequence[float], **style: Any) -> None:  # noqa: ANN401
    """Draw points of a row with their intervals, as `Axes.errorbar` takes them."""
    line, caps, bars = axes.errorbar(x, y, capsize=2, **style)
    mark_row(row, line, *caps, *bars)


def draw_full_real(panel: Panel, axes: Axes) -> None:
    """Draw a line at the accuracy of the whole training set, where it was measured."""
    for entry in panel.entries:
        if entry.ipc is None and entry.accuracy:
            ink = axes.xaxis.label.get_color()
            axes.axhline(entry.accuracy.mean, color=ink, lw=0.8, ls=(0, (1, 2)), label=visible(entry.method), zorder=0)


def name_axes(axes: Axes, vertical: str = "test accuracy (%)") -> None:
    """Add what every plot has: the name of the vertical axis and a grid."""
    axes.set_ylabel(vertical)
    axes.grid(axis="y", color="#80808040", lw=0.6)


def plain_number(value: float, _position: float = 0) -> str:
    """Return what stands at a tick of a logarithmic axis; matplotlib's own text is mathematics, which stays unread."""
    return f"{value:,.10g}"


def add_legend(figure: Figure, axes: Axes, columns: int) -> None:
    """Add the names of all lines below the plot."""
    handles, labels = axes.get_legend_handles_labels()
    lines = [handle[0] if isinstance(handle, tuple) else handle for handle in handles]  # of bars, what is marked
    legend = figure.legend(lines, labels, loc="outside lower center", ncols=columns, frameon=False)
    for line, handle, text in zip(lines, legend.legend_handles, legend.get_texts(), strict=True):
        for artist in filter(None, (handle, text)):
            artist.set_gid(line.get_gid())


def _wrapped(name: str) -> str:
    return fill(name, LEGEND_WIDTH - 6, subsequent_indent="  ")
