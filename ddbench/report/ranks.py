"""The critical-difference diagram of mean ranks (Demšar, JMLR 7, 2006, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

from ddbench.analysis.ranks import Ranks, rank_methods
from ddbench.report.plot_style import INK, new_figure, plot_settings
from ddbench.report.plots import Drawing, Plot, draw_inline
from ddbench.tables.escaping import visible
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LINE = 7.0, 0.25  # inches: of the figure, of a method's name
NAME_WIDTH = 26  # letters of a method's name
BAR = 0.35  # lines from one bar to the next


@dataclass(frozen=True)
class ShownRanks:
    """Mean ranks as a page shows them."""

    ranks: Ranks
    title: str
    drawing: Drawing


def show_ranks(panels: Sequence[Panel]) -> tuple[ShownRanks, ...]:
    """Return the mean ranks of a table's methods where there are five data sets or more; see `rank_methods`."""
    shown = []
    for index, ranks in enumerate(rank_methods([panel.entries for panel in panels])):
        title = f"IPC {ranks.ipc}, {ranks.protocol}@{ranks.protocol_hash}, {ranks.network}"
        text = (
            f"{title}: mean ranks over {len(ranks.datasets)} data sets; a bar joins methods that do not differ "
            f"(Nemenyi test at 5 %: from {ranks.critical_difference:.2f} ranks on)"
        )
        with plot_settings(INK):
            plot = Plot(f"{index}", text, plot_ranks(ranks))
        shown.append(ShownRanks(ranks, title, draw_inline("ranks", [plot])[0]))
    return tuple(shown)


def plot_ranks(ranks: Ranks) -> Figure:
    """Return a line of mean ranks, the best at the left, with a bar below methods that do not differ."""
    count = len(ranks.methods)
    bars = BAR * len(ranks.groups)
    rows = -(-count // 2)
    figure, axes, _ = new_figure([])
    figure.set_size_inches(WIDTH, LINE * (rows + bars + 3.5))
    ink = axes.xaxis.label.get_color()
    axes.set_xlim(1, count)
    axes.set_ylim(bars + rows + 0.5, -1.4)
    axes.set_axis_off()
    axes.hlines(0, 1, count, color=ink, lw=1)
    for tick in range(1, count + 1, max(1, count // 10)):
        axes.vlines(tick, -0.15, 0, color=ink, lw=1)
        axes.annotate(str(tick), (tick, -0.25), ha="center", va="bottom")
    for line, (first, last) in enumerate(ranks.groups):
        best, worst = ranks.methods[first][1], ranks.methods[last][1]
        axes.hlines(BAR * (line + 1), best - 0.03, worst + 0.03, color=ink, lw=3)
    for index, (method, rank) in enumerate(ranks.methods):
        is_left = index < rows
        height = bars + 0.6 + (index if is_left else count - 1 - index)
        _name(axes, f"{shorten(visible(method), NAME_WIDTH, placeholder='…')}  {rank:.2f}", rank, height, is_left)
    return figure


def _name(axes: Axes, text: str, rank: float, height: float, is_left: bool) -> None:
    """Draw from a rank on the line down to its height and aside to its name."""
    ink, (low, high) = axes.xaxis.label.get_color(), axes.get_xlim()
    side = low if is_left else high
    axes.plot([rank, rank, side], [0, height, height], color=ink, lw=0.8)
    align = "right" if is_left else "left"
    offset = (-4 if is_left else 4, 0)
    axes.annotate(text, (side, height), offset, textcoords="offset points", ha=align, va="center")
