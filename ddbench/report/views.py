"""What a report shows of each panel of a table: rows and what explains them, plots, notes, circumstances."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ddbench.analysis.marks import EntryKey, Mark, explain_marks, mark_entries
from ddbench.report.circumstances import Circumstances, describe
from ddbench.report.losses import plots_of_losses
from ddbench.report.plot_style import INK, plot_settings
from ddbench.report.plots import Drawing, draw_inline, plots_of
from ddbench.report.summary import SummaryRow, names_in, summary_rows
from ddbench.tables.layout import entry_text, group_rows, ipc_name
from ddbench.tables.table import Panel

if TYPE_CHECKING:
    import pandas as pd

TRAITS = ("space", "labels", "student lr")


@dataclass(frozen=True)
class Shown:
    """One place of a table in the page: its text, and what sorts, marks and explains it."""

    text: str
    sort: float | None = None
    behind: str = ""
    mark: Mark | None = None
    source: str = ""


@dataclass(frozen=True)
class Numbers:
    """What stands behind one entry of the accuracy table."""

    id: str
    name: str
    text: str
    mark: Mark | None
    circumstances: Circumstances


@dataclass(frozen=True)
class PanelView:
    """One data set, protocol and network of a report.

    Attributes:
        index: of the panel in its table; the rest is what the page shows.
        ids: of what stands behind each entry, in the order of the entries.
        methods: their names, a line each, for filters.
        page: address of the file that shows it, empty for the page that this is of.
    """

    index: int
    id: str
    panel: Panel
    dataset: str
    protocol: str
    network: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Shown, ...], ...]
    key: str
    notes: tuple[tuple[str, str, tuple[str, ...]], ...]
    summary: tuple[SummaryRow, ...]
    ids: Mapping[EntryKey, str]
    marks: Mapping[EntryKey, Mark]
    drawings: tuple[Drawing, ...]
    losses: tuple[Drawing, ...]
    methods: str
    page: str = ""

    def as_listed(self, page: str) -> PanelView:
        """Return it for a page that only leads to the one that shows it."""
        return replace(self, page=page, rows=(), drawings=(), losses=())

    @property
    def numbers(self) -> Iterator[Numbers]:
        """What stands behind each number, made one after the other: all of a large sweep take much memory."""
        for (key, name), entry in zip(self.ids.items(), self.panel.entries, strict=True):
            yield Numbers(name, entry.name, entry_text(entry), self.marks.get(key), describe(entry))


def view_panel(
    index: int, panel: Panel, styles: dict[str, int], logs: Mapping[str, Path] = MappingProxyType({})
) -> PanelView:
    """Return what a page shows of a panel.

    Args:
        index: of the panel in its table.
        panel: of the table.
        styles: see `number_rows`.
        logs: of cells, by key; see `find_logs`.
    """
    name = f"b{index}"
    first = panel.entries[0].results[0]
    marks = mark_entries(panel.entries)
    methods = tuple(dict.fromkeys(entry.method for entry in panel.entries))
    # What describes a row stands right of its numbers: a phone shows the left part of a table first.
    frame = panel.accuracy[sorted(panel.accuracy.columns, key=lambda heading: heading in TRAITS)]
    ids = {(entry.row, entry.ipc): f"{name}c{position}" for position, entry in enumerate(panel.entries)}
    with plot_settings(INK):
        losses = plots_of_losses(panel, logs)
    return PanelView(
        index=index,
        id=name,
        panel=panel,
        dataset=first.dataset,
        protocol=first.protocol,
        network=first.network,
        headings=tuple(frame.columns),
        rows=_accuracy_rows(name, panel, frame, marks, ids),
        key=explain_marks(marks.values()),
        notes=tuple((*_anchor(name, note), names_in(note, methods)) for note in panel.notes),
        summary=summary_rows(panel.entries, marks),
        ids=ids,
        marks=marks,
        drawings=draw_inline(name, plots_of(panel, styles, INK)),
        losses=draw_inline(name, losses),
        methods="\n".join(methods),
    )


def _accuracy_rows(
    name: str, panel: Panel, frame: pd.DataFrame, marks: dict[EntryKey, Mark], ids: dict[EntryKey, str]
) -> tuple[tuple[Shown, ...], ...]:
    ipcs = {ipc_name(entry.ipc): entry.ipc for entry in panel.entries}
    rows = []
    for entries, texts in zip(group_rows(panel.entries).values(), frame_rows(frame), strict=True):
        by_ipc = {entry.ipc: entry for entry in entries}
        shown = []
        for heading, text in zip(frame.columns, texts, strict=True):
            entry = by_ipc.get(ipcs[heading]) if heading in ipcs else None
            if entry is not None:
                accuracy, key = entry.accuracy, (entry.row, entry.ipc)
                shown.append(Shown(text, accuracy.mean if accuracy else None, ids[key], marks.get(key)))
            else:
                cited = re.search(r" \[(\d+)\]$", text) if heading.endswith(" published") else None
                shown.append(Shown(text, source=f"{name}-source-{cited[1]}" if cited else ""))
        rows.append(tuple(shown))
    return tuple(rows)


def _anchor(name: str, note: str) -> tuple[str, str]:
    """Return a note with the id that published numbers refer to; empty for a note that is no source."""
    number = re.match(r"\[(\d+)\] ", note)
    return (f"{name}-source-{number[1]}" if number else "", note)


def frame_rows(frame: pd.DataFrame) -> list[list[str]]:
    """Return the values of a frame as text, row by row."""
    return [[str(value) for value in row] for row in frame.to_numpy().tolist()]
