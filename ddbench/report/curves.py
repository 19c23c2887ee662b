"""The plot of accuracy by images per class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import shorten
from typing import TYPE_CHECKING

from ddbench.analysis.aggregate import Entry, values_by_seed
from ddbench.analysis.significance import mean_against
from ddbench.report.direct_labels import End, can_label, label_ends
from ddbench.report.plot_style import (
    add_legend,
    draw_bars,
    draw_full_real,
    name_axes,
    new_figure,
    shown_names,
    style_of,
)
from ddbench.tables.escaping import visible
from ddbench.tables.layout import group_rows, row_text
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RowKey = tuple[str, str, str]
NAME_WIDTH = 28  # letters of a name beside its dot
WIDEST = 1.25  # ratio of the IPC at which the last and the first row's points of one IPC stand
LETTER = 0.04  # about what a letter takes of the axes' width where long names stand beside them


def plot_curves(panel: Panel, styles: dict[str, int]) -> Figure:
    """Return accuracy by images per class: means and 95 % t intervals over distilled sets, one line per row.

    Args:
        panel: with an accuracy at some IPC.
        styles: see `style_of`.
    """
    rows = group_rows(entry for entry in panel.entries if entry.accuracy and entry.ipc is not None)
    if len({entry.ipc for entries in rows.values() for entry in entries}) == 1:
        return _plot_dots(panel, rows, styles)
    is_named = can_label(list(rows), styles)
    figure, axes, columns = new_figure([] if is_named else [*shown_names(rows, styles), "full_real"])
    ipcs = sorted({entry.ipc for entries in rows.values() for entry in entries if entry.ipc is not None})
    last: list[End] = []
    for shift, (row, entries) in zip(_shifts(len(rows), ipcs), rows.items(), strict=True):
        means = [entry.accuracy.mean for entry in entries if entry.accuracy]
        below, above = zip(*map(_reach, entries, means), strict=True)
        places = [(entry.ipc or 0) * shift for entry in entries]
        draw_bars(axes, row, places, means, yerr=[below, above], **style_of(row_text(row), styles))
        last.append(End(row, places[-1], means[-1]))
    draw_full_real(panel, axes)
    axes.set_xscale("log")
    _name_ipcs(axes, ipcs)
    axes.minorticks_off()
    axes.set_xlabel("images per class")
    name_axes(axes)
    if is_named:
        whole = [entry.accuracy.mean for entry in panel.entries if entry.ipc is None and entry.accuracy]
        label_ends(axes, last, styles, whole[0] if whole else None)
    else:
        add_legend(figure, axes, columns)
    return figure


def _plot_dots(panel: Panel, rows: Mapping[RowKey, Sequence[Entry]], styles: dict[str, int]) -> Figure:
    """Return accuracy at the only IPC: a dot with its interval for each row, the highest on top, names at the side."""
    found = sorted(((e.accuracy.mean, row, e) for row, (e, *_) in rows.items() if e.accuracy), key=lambda f: f[0])
    figure, axes, _ = new_figure([])
    figure.set_figheight(0.9 + 0.28 * len(found))
    for place, (mean, row, entry) in enumerate(found):
        below, above = _reach(entry, mean)
        style = style_of(row_text(row), styles) | {"linestyle": "none"}
        draw_bars(axes, row, [mean], [place], xerr=[[below], [above]], **style)
    names = [shorten(visible(row_text(row)), NAME_WIDTH, placeholder="\N{HORIZONTAL ELLIPSIS}") for _, row, _ in found]
    axes.set_yticks(range(len(found)), names)
    axes.set_ylim(-0.6, len(found) - 0.4)
    ink = axes.xaxis.label.get_color()
    for entry in panel.entries:
        if entry.ipc is None and entry.accuracy:
            axes.axvline(entry.accuracy.mean, color=ink, lw=0.8, ls=(0, (1, 2)), zorder=0)
            axes.annotate(visible(entry.method), (entry.accuracy.mean, 1), (-3, 2), xycoords=("data", "axes fraction"),
                          textcoords="offset points", ha="right")  # fmt: skip
    axes.set_xlabel(f"test accuracy (%) at IPC {found[0][2].ipc}")
    axes.grid(axis="x", color="#80808040", lw=0.6)
    return figure


def _shifts(count: int, ipcs: Sequence[int]) -> list[float]:
    """Return for each row what its IPCs are multiplied by, so that the intervals at one of them can be told apart.

    No point comes nearer to another IPC than to its own.
    """
    nearest = min(after / before for before, after in pairwise(ipcs))
    width = min(WIDEST, nearest**0.6)
    return [width ** (position / (count - 1) - 0.5) for position in range(count)] if count > 1 else [1.0]


def _name_ipcs(axes: Axes, ipcs: Sequence[int]) -> None:
    """Name IPCs below the axis, the largest first, as far as there is room."""
    low, high = map(math.log, axes.get_xlim())
    named: list[int] = []
    free = math.inf
    for ipc in reversed(ipcs):
        place, half = (math.log(ipc) - low) / (high - low), LETTER * len(str(ipc)) / 2
        if place + half <= free:
            named.append(ipc)
            free = place - half - LETTER
    axes.set_xticks(named[::-1], [str(ipc) for ipc in named[::-1]])


def _reach(entry: Entry, mean: float) -> tuple[float, float]:
    """Return how far the interval of a mean goes below and above it, as far as an accuracy can be."""
    low, high = interval_of(entry) or (mean, mean)
    return max(0.0, mean - max(0.0, low)), max(0.0, min(100.0, high) - mean)


def interval_of(entry: Entry) -> tuple[float, float] | None:
    """Return the 95 % t interval of the mean accuracy over distilled sets, in percent; None for a single set."""
    means = [sum(values) / len(values) for values in values_by_seed(entry.ok, "test_accuracy").values()]
    if len(means) < 2:
        return None
    found = mean_against(means, 0.0, 0.0)
    return found.low, found.high
