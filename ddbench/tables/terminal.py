"""Comparison tables for a terminal of any width: columns that do not fit stand in blocks below, and no number folds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Literal

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from ddbench.analysis.marks import Standing
from ddbench.tables.escaping import visible
from ddbench.tables.table import Table

Standings = Mapping[tuple[int, int], Standing]
SAME = "\N{ALMOST EQUAL TO}"
UNTESTED = "?"
MARKS = {"best": "*", "same": SAME, "untested": UNTESTED}  # of one character, so that numbers stay in line
NAME_COLUMNS = (
    "method",
    "metric",
    "config",
    "protocol hash",
    "machine",
    "space",
    "labels",
    "verdict",
    "settings",
    "size",
    "basis",
)
KEYS = (
    "metric",
    "method",
    "config",
    "settings",
    "protocol hash",
    "IPC",
    "size",
    "machine",
)  # repeated in every block of a table
CONFIGS = ("config", "settings")
LONGEST_CONFIG = 28  # letters of a configuration; longer ones get a letter each where a table does not fit
NARROWEST_NAME = 12  # letters to which a name is folded in the end
BETWEEN = 2  # blanks between two columns; the last has one behind it


def render_terminal(table: Table) -> Group:
    """Return a rich group: for each panel its heading, its tables and its notes; nothing in it is read as markup."""
    shown: list[RenderableType] = []
    for panel in table.panels:
        shown += [Text(visible(panel.title), style="bold"), *(Text(visible(line)) for line in panel.header), Text()]
        grids = (
            Grid.of(caption, frame, panel.standings if frame is panel.accuracy else {})
            for caption, frame in panel.parts
        )
        shown += [Parts(tuple(grids)), *(Text(visible(note)) for note in panel.notes), Text()]
    return Group(*shown)


@dataclass(frozen=True)
class Column:
    """One column of a table as text; numbers with marks behind them are brought in line, for rich drops blanks."""

    heading: str
    cells: tuple[str, ...]
    side: Literal["left", "right"]
    best: frozenset[int] = frozenset()

    @property
    def width(self) -> int:
        """Letters of the widest line of a cell, the heading included."""
        return max(cell_len(line) for cell in (self.heading, *self.cells) for line in cell.split("\n"))


@dataclass(frozen=True)
class Grid:
    """One table of a panel: its caption and its columns."""

    caption: str
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, caption: str, frame: pd.DataFrame, marked: Standings) -> Grid:
        """Return a frame of texts, its marked cells with their marks."""
        body = [[visible(str(value)) for value in row] for row in frame.to_numpy().tolist()]
        columns = []
        for at, name in enumerate(frame.columns):
            cells, heading = [row[at] for row in body], visible(str(name))
            side: Literal["left", "right"] = "left" if name in NAME_COLUMNS else "right"
            found = {row: standing for (row, column), standing in marked.items() if column == at}
            if found:
                width = max(map(cell_len, (heading, *cells)))
                heading, side = heading.rjust(width), "left"
                cells = [cell.rjust(width) + MARKS.get(found.get(row, ""), "") for row, cell in enumerate(cells)]
            best = frozenset(row for row, standing in found.items() if standing == "best")
            columns.append(Column(heading, tuple(cells), side, best))
        return cls(caption, tuple(columns))

    @property
    def configs(self) -> tuple[str, ...]:
        """Its configurations where they take more room than is well."""
        found = [column for column in self.columns if column.heading in CONFIGS and column.width > LONGEST_CONFIG]
        return tuple(text for column in found for text in column.cells if "=" in text)

    def named(self, names: Mapping[str, str]) -> Grid:
        """Return it with short names for its configurations."""
        columns = (
            replace(column, cells=tuple(names.get(text, text) for text in column.cells))
            if column.heading in CONFIGS
            else column
            for column in self.columns
        )
        return Grid(self.caption, tuple(columns))


@dataclass(frozen=True)
class Parts:
    """The tables of a panel, each in as many blocks below each other as the terminal's width asks for.

    Where one does not fit, long configurations have letters in all of them, which are explained below the first.
    """

    grids: tuple[Grid, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width, names = options.max_width, {}
        if any(_width(grid.columns) > width for grid in self.grids):
            configs = dict.fromkeys(text for grid in self.grids for text in grid.configs)
            names = {text: _letters(number) for number, text in enumerate(configs)}
        for grid in self.grids:
            yield Text(grid.caption)
            for number, block in enumerate(_blocks(grid.named(names).columns, width)):
                if number:
                    yield Text()
                yield _draw(block)
            if grid is self.grids[0]:
                yield from (Text(f"{name}: {text}") for text, name in names.items())
            yield Text()


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + BETWEEN * len(columns) - 1


def _letters(number: int) -> str:
    """Return a, b, ... z, aa, ab, ..."""
    before, at = divmod(number, len(ascii_lowercase))
    return (_letters(before - 1) if before else "") + ascii_lowercase[at]


def _blocks(columns: Sequence[Column], width: int) -> Iterator[tuple[Column, ...]]:
    """Yield the columns in blocks that fit, each beginning with those that name a row; none without one more."""
    keys = [column for column in columns if column.heading in KEYS]
    units = _units(column for column in columns if column.heading not in KEYS)
    keys = _folded(keys, width - max(map(_width, units), default=0) - BETWEEN * len(keys))
    if units and _width([*keys, *max(units, key=_width)]) > width:  # too narrow for two columns that belong together
        units = [[column] for unit in units for column in unit]
        keys = _folded(keys, width - max(map(_width, units)) - BETWEEN * len(keys))
    block: list[Column] = []
    for unit in units:
        if block and _width([*keys, *block, *unit]) > width:
            yield (*keys, *block)
            block = []
        block += unit
    yield (*keys, *block)


def _units(columns: Iterable[Column]) -> list[list[Column]]:
    """Return columns that stay together: an IPC and what is published for it."""
    units: list[list[Column]] = []
    for column in columns:
        if units and column.heading.strip() == f"{units[-1][0].heading.strip()} published":
            units[-1].append(column)
        else:
            units.append([column])
    return units


def _folded(keys: Sequence[Column], width: int) -> list[Column]:
    """Return the naming columns, the widest ones folded to what is left for them; they never go below a few letters."""
    found = list(keys)
    while sum(column.width for column in found) > width:
        at = max(range(len(found)), key=lambda index: found[index].width)
        most = max(NARROWEST_NAME, found[at].width - (sum(column.width for column in found) - width))
        if most >= found[at].width:
            break
        cells = tuple("\n".join(_pieces(cell, most)) for cell in found[at].cells)
        found[at] = replace(found[at], heading=found[at].heading[:most], cells=cells)
    return found


def _pieces(text: str, most: int) -> list[str]:
    """Return a name in lines, broken where a comma, a blank or an underline lets it, else anywhere."""
    lines = []
    while len(text) > most:
        at = max((text.rfind(mark, 0, most) for mark in ", _-="), default=-1) + 1
        at = at if at > most // 3 else most
        lines.append(text[:at])
        text = text[at:]
    return [*lines, text]


def _draw(block: Sequence[Column]) -> RichTable:
    grid = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in block:
        grid.add_column(
            Text(column.heading), justify=column.side, overflow="fold", no_wrap=True, min_width=column.width
        )
    for at in range(len(block[0].cells)):
        grid.add_row(*(Text(column.cells[at], style="bold" if at in column.best else "") for column in block))
    return grid
