"""Which rows a table shows, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ddbench.analysis.aggregate import Entry
from ddbench.errors import BadInputError
from ddbench.inputs.values import as_count
from ddbench.records import Result
from ddbench.registry import suggest
from ddbench.tables.layout import group_rows


@dataclass(frozen=True)
class RowChoice:
    """The rows of a table.

    Attributes:
        methods: names of those to show; all where empty.
        top: how many rows to show, those of the highest accuracy; all where None.
        sort: `method`, as results are grouped; `accuracy`, the highest at the largest IPC first; or the IPC that
            accuracies are compared at.

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
        """Return the entries of the rows to show, in their order."""
        if self.sort == "method" and self.top is None:
            return tuple(entries)
        ipcs = [entry.ipc for entry in entries if entry.ipc is not None and entry.accuracy]
        ipc = self.sort if isinstance(self.sort, int) else max(ipcs, default=None)

        def lowness(row: Sequence[Entry]) -> float:
            return min((-entry.accuracy.mean for entry in row if entry.ipc == ipc and entry.accuracy), default=0.0)

        rows = group_rows(entries)
        best = sorted(rows, key=lambda row: lowness(rows[row]))[: self.top]
        order = [row for row in rows if row in best] if self.sort == "method" else best
        return tuple(entry for row in order for entry in rows[row])


EVERY_ROW = RowChoice()


def rows_note(entries: Sequence[Entry], shown: Sequence[Entry]) -> list[str]:
    """Say how many rows are not shown, and that the marks do not see them."""
    left = len(group_rows(entries)) - len(group_rows(shown))
    return [f"{left:,} more rows are not shown; marks compare the rows that are."] if left else []
