"""Names at the ends of curves, in place of a legend, where they are short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddbench.report.plot_style import DOTS_PER_INCH, FONT_SIZE, OTHER, SIZE, mark_row, style_of
from ddbench.tables.escaping import visible
from ddbench.tables.layout import row_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 18  # letters of a name beside a curve
AXES_HEIGHT = SIZE[1] - 0.7  # inches, about what the name of the horizontal axis leaves
LINE = 1.25 * FONT_SIZE / DOTS_PER_INCH / AXES_HEIGHT  # from one name to the next, as a share of that


@dataclass(frozen=True)
class End:
    """The last point of a row's curve."""

    row: tuple[str, str, str]
    x: float
    y: float


def can_label(rows: Sequence[tuple[str, str, str]], styles: dict[str, int]) -> bool:
    """Return whether all rows that a legend would list have names short enough to stand beside the plot."""
    named = [name for name in map(row_text, rows) if styles[name] != OTHER]
    return all(len(visible(name)) <= LONGEST for name in named) and len(named) * LINE <= 1


def label_ends(axes: Axes, ends: Sequence[End], styles: dict[str, int], full_real: float | None = None) -> None:
    """Write each shown row's name right of the axes, at the height of its end or as near as others leave room.

    Args:
        axes: with its limits set.
        ends: of all rows.
        styles: see `style_of`.
        full_real: accuracy of the whole training set, in percent, whose line is named too; None for none.
    """
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    ink = axes.xaxis.label.get_color()
    lines = [
        (end.y, visible(row_text(end.row)), end.x, style_of(row_text(end.row), styles)["color"], end.row)
        for end in ends
        if styles[row_text(end.row)] != OTHER
    ]
    if full_real is not None:
        lines.append((full_real, "full_real", right, ink, ("full_real", "", "")))
    lines.sort(key=lambda line: line[0])
    heights = spread([(y - low) / (high - low) for y, *_ in lines], LINE)
    for (y, name, x, colour, row), height in zip(lines, heights, strict=True):
        place = (1.06, height)
        # Dotted, as no curve is: one that ends early must not look as if it went on.
        connector = {"arrowstyle": "-", "color": colour, "lw": 0.8, "ls": ":", "relpos": (0, 0.5)}
        label = axes.annotate(name, (x, y), place, textcoords="axes fraction", va="center", arrowprops=connector)
        assert label.arrow_patch is not None
        mark_row(row, label, label.arrow_patch)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return the places from 0 to 1 nearest to ascending ones (least squares) that are as far apart as `gap`."""
    from scipy.optimize import isotonic_regression

    if not wanted:
        return []
    # Less its share of the gaps, a place may not lie below the one before it.
    last = len(wanted) - 1
    moved = isotonic_regression([place - gap * index for index, place in enumerate(wanted)]).x
    return [min(max(float(place), 0.0), 1 - gap * last) + gap * index for index, place in enumerate(moved)]
