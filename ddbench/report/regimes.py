"""The plot of gains over random real images by label regime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbench.analysis.regime_gains import RegimeGain, order_of, regime_gains
from ddbench.report.plot_style import (
    add_legend,
    draw_bars,
    mark_row,
    name_axes,
    new_figure,
    shown_names,
    style_of,
)
from ddbench.tables.gain_column import BASELINE
from ddbench.tables.layout import row_text
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gains_to_plot(panel: Panel) -> list[RegimeGain]:
    """Return the gains of a panel under every regime, those of random images themselves left out."""
    return [each for each in regime_gains(panel.entries) if each.entry.method != BASELINE]


def plot_regimes(panel: Panel, styles: dict[str, int]) -> Figure:
    """Return gains by regime with their 95 % intervals: one marker per row, a place for each IPC beside the other.

    Args:
        panel: with gains.
        styles: see `style_of`.
    """
    gains = gains_to_plot(panel)
    regimes = sorted({each.regime for each in gains}, key=order_of)
    series = list(dict.fromkeys((each.entry.row, each.entry.ipc or 0) for each in gains))
    several = len({ipc for _, ipc in series}) > 1
    figure, axes, columns = new_figure(shown_names(dict.fromkeys(row for row, _ in series), styles))
    seen: set[str] = set()
    for position, (row, ipc) in enumerate(series):
        shift = 0.6 * ((position + 0.5) / len(series) - 0.5)
        own = [each for each in gains if (each.entry.row, each.entry.ipc or 0) == (row, ipc)]
        places = [regimes.index(each.regime) + shift for each in own]
        below = [each.gain - each.low if each.low is not None else 0.0 for each in own]
        above = [each.high - each.gain if each.high is not None else 0.0 for each in own]
        style = style_of(row_text(row), styles)
        style |= {"linestyle": "none"} | ({"label": "_nolegend_"} if style["label"] in seen else {})
        seen.add(style["label"])
        draw_bars(axes, row, places, [each.gain for each in own], yerr=[below, above], **style)
        if several:
            for place, each in zip(places, own, strict=True):
                mark_row(row, axes.annotate(f"{ipc}", (place, each.gain), (4, 2), textcoords="offset points"))
    ink = axes.xaxis.label.get_color()
    axes.axhline(0.0, color=ink, lw=0.8, ls=(0, (1, 2)), zorder=0)
    axes.set_xticks(range(len(regimes)), [regime.replace(", ", "\n") for regime in regimes])
    axes.set_xlim(-0.5, len(regimes) - 0.5)
    axes.set_xlabel("labels (numbers: images per class)" if several else "labels")
    name_axes(axes, "gain over random images (points)")
    add_legend(figure, axes, columns)
    return figure
