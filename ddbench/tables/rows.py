"""Which rows a table shows, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ddbench.analysis.aggregate import Entry
from ddbench.errors import BadInputError
from ddbench.inputs.values import as_count
from ddbench.records import Result
from ddbench.registry import suggest
from ddbench.tables.layout import group_rows

Row = tuple[str, str, str]


@dataclass(frozen=True)
class RowChoice:
    """The rows of a table.

    Attributes:
        methods: names of those to show; all where empty.
        top: how many rows to show, those of the highest accuracy; all where None.
        sort: `method`, as results are grouped; `accuracy`, the highest at the largest IPC first, then rows that lack it
            by the largest that they have; or the IPC that accuracies are compared at.

    Raises:
        BadInputError: a number that counts nothing.
    """

    methods: tuple[str, ...] = ()
    top: int | None = None
    sort: Literal["method", "accuracy"] | int = "method"

    def __post_init__(self) -> None:
        if self.top is not None:
            as_count(self.top, "top")
        if self.sort not in ("method", "accuracy"):
            as_count(self.sort, "sort, where it is an IPC,")

    def of_results(self, results: Sequence[Result]) -> Sequence[Result]:
        """Return the results of the chosen methods.

        Raises:
            BadInputError: there is none of a method, or none at the IPC that accuracies are compared at.
        """
        known = dict.fromkeys(result.method for result in results)
        for name in self.methods:
            if name not in known:
                raise BadInputError(f"the results hold no method {name!r}; {suggest(name, known)}")
        found = [result for result in results if not self.methods or result.method in self.methods]
        ipcs = sorted({result.ipc for result in found if result.ipc is not None})
        if isinstance(self.sort, int) and self.sort not in ipcs:
            there = ", ".join(map(str, ipcs)) or "none"
            raise BadInputError(f"no result is at IPC {self.sort}, which rows are to be sorted by; there are: {there}")
        return found

    def of_entries(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Return the entries of the rows to show, in their order.

        Rows without an accuracy that counts come last, and are none of the `top`; where no row has one, all are shown
        as they stand, which `notes` says.
        """
        rows, heights = group_rows(entries), row_heights(entries, self._ipc)
        if not heights or (self.sort == "method" and self.top is None):
            return tuple(entries)
        best = best_first(heights)[: self.top]
        order = best if self.top is not None else [*best, *(row for row in rows if row not in heights)]
        if self.sort == "method":
            order = [row for row in rows if row in best]
        return tuple(entry for row in order for entry in rows[row])

    @property
    def _ipc(self) -> int | None:
        """That accuracies are compared at; None for the largest of each row."""
        return self.sort if isinstance(self.sort, int) else None

    def notes(self, entries: Sequence[Entry], shown: Sequence[Entry]) -> list[str]:
        """Say how many rows are not shown, and where rows could not be placed.

        Args:
            entries: of all rows that were asked for.
            shown: what `of_entries` gave for them.
        """
        left = len(group_rows(entries)) - len(group_rows(shown))
        notes = [f"{left:,} more rows are not shown; marks compare the rows that are."] if left else []
        if self._ipc is not None and not row_heights(entries, self._ipc):
            notes.append(f"No row has an accuracy at IPC {self.sort}: all are shown, by name.")
        return notes


EVERY_ROW = RowChoice()


def row_heights(entries: Sequence[Entry], ipc: int | None = None) -> dict[Row, tuple[int, float]]:
    """Return for each row with an accuracy its IPC and value: at `ipc`, or at the largest that the row has one at."""
    heights: dict[Row, tuple[int, float]] = {}
    for entry in entries:
        if entry.ipc is not None and entry.accuracy and ipc in (None, entry.ipc):
            place = (entry.ipc, entry.accuracy.mean)
            heights[entry.row] = max(heights.get(entry.row, place), place)
    return heights


def best_first(heights: Mapping[Row, tuple[int, float]]) -> list[Row]:
    """Return rows by what `row_heights` gave for them, equal ones in their order."""
    return sorted(heights, key=heights.__getitem__, reverse=True)
