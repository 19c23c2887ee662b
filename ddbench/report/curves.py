"""The plot of accuracy by images per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbench.analysis.aggregate import Cell, values_by_seed
from ddbench.analysis.significance import mean_against
from ddbench.report.plot_style import draw_full_real, finish, new_figure, row_name, style_of
from ddbench.tables.layout import group_rows
from ddbench.tables.table import Block

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curves(block: Block, styles: dict[str, int]) -> Figure:
    """Return accuracy by images per class: means and 95 % t intervals over distilled sets, one line per row.

    Args:
        block: with an accuracy at some IPC.
        styles: see `style_of`.
    """
    rows = group_rows(cell for cell in block.cells if cell.accuracy and cell.ipc is not None)
    figure, axes, columns = new_figure([*map(row_name, rows), "full_real"])
    for position, (row, cells) in enumerate(rows.items()):
        # Points of one IPC stand a little apart, so that their intervals can be told apart.
        shift = 1.25 ** (position / max(1, len(rows) - 1) - 0.5)
        means = [cell.accuracy.mean for cell in cells if cell.accuracy]
        ends = [_interval(cell) or (mean, mean) for cell, mean in zip(cells, means, strict=True)]
        below = [mean - max(0.0, low) for mean, (low, _) in zip(means, ends, strict=True)]
        above = [min(100.0, high) - mean for mean, (_, high) in zip(means, ends, strict=True)]
        places = [(cell.ipc or 0) * shift for cell in cells]
        axes.errorbar(places, means, yerr=[below, above], capsize=2, **style_of(row_name(row), styles))
    draw_full_real(block, axes)
    ipcs = sorted({cell.ipc for cells in rows.values() for cell in cells if cell.ipc is not None})
    axes.set_xscale("log")
    axes.set_xticks(ipcs, [str(ipc) for ipc in ipcs])
    axes.minorticks_off()
    if len(ipcs) == 1:
        axes.set_xlim(ipcs[0] / 1.6, ipcs[0] * 1.6)
    axes.set_xlabel("images per class")
    finish(figure, axes, columns)
    return figure


def _interval(cell: Cell) -> tuple[float, float] | None:
    """Return the 95 % t interval of the mean over distilled sets, None for a single one."""
    means = [sum(values) / len(values) for values in values_by_seed(cell.ok, "test_accuracy").values()]
    if len(means) < 2:
        return None
    found = mean_against(means, 0.0, 0.0)
    return found.low, found.high
