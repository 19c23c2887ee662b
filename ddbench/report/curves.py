"""The plot of accuracy by images per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbench.analysis.aggregate import Entry, values_by_seed
from ddbench.analysis.significance import mean_against
from ddbench.report.plot_style import draw_full_real, finish, new_figure, row_name, style_of
from ddbench.tables.layout import group_rows
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curves(panel: Panel, styles: dict[str, int]) -> Figure:
    """Return accuracy by images per class: means and 95 % t intervals over distilled sets, one line per row.

    Args:
        panel: with an accuracy at some IPC.
        styles: see `style_of`.
    """
    rows = group_rows(entry for entry in panel.entries if entry.accuracy and entry.ipc is not None)
    figure, axes, columns = new_figure([*map(row_name, rows), "full_real"])
    for position, (row, entries) in enumerate(rows.items()):
        # Points of one IPC stand a little apart, so that their intervals can be told apart.
        shift = 1.25 ** (position / max(1, len(rows) - 1) - 0.5)
        means = [entry.accuracy.mean for entry in entries if entry.accuracy]
        ends = [interval_of(entry) or (mean, mean) for entry, mean in zip(entries, means, strict=True)]
        below = [mean - max(0.0, low) for mean, (low, _) in zip(means, ends, strict=True)]
        above = [min(100.0, high) - mean for mean, (_, high) in zip(means, ends, strict=True)]
        places = [(entry.ipc or 0) * shift for entry in entries]
        axes.errorbar(places, means, yerr=[below, above], capsize=2, **style_of(row_name(row), styles))
    draw_full_real(panel, axes)
    ipcs = sorted({entry.ipc for entries in rows.values() for entry in entries if entry.ipc is not None})
    axes.set_xscale("log")
    axes.set_xticks(ipcs, [str(ipc) for ipc in ipcs])
    axes.minorticks_off()
    if len(ipcs) == 1:
        axes.set_xlim(ipcs[0] / 1.6, ipcs[0] * 1.6)
    axes.set_xlabel("images per class")
    finish(figure, axes, columns)
    return figure


def interval_of(entry: Entry) -> tuple[float, float] | None:
    """Return the 95 % t interval of the mean accuracy over distilled sets, in percent; None for a single set."""
    means = [sum(values) / len(values) for values in values_by_seed(entry.ok, "test_accuracy").values()]
    if len(means) < 2:
        return None
    found = mean_against(means, 0.0, 0.0)
    return found.low, found.high
