"""Runs that share a results folder share its cells: each cell is one run's at a time, and done once.

A run locks what it is at work on. A lock goes with its process, however that ends, so that another run takes over what
a killed one has begun; on a network file system when the server notices.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from types import TracebackType

from filelock import FileLock, Timeout

from ddbench.host.files import make_folder
from ddbench.records import Result
from ddbench.runs.results_store import Store
from ddbench.runs.suite import Cell

FINISHED = ("ok", "skipped")
LOCKS_FOLDER = ".locks"


class Turns:
    """The turns of one run at the cells of a results folder, given up all at once where the block ends early.

    Cells that share a distilled set are one run's, so that the set is made once.

    Args:
        store: the results folder.
        earlier: digests of unfinished results, such as failed ones, by key, as they were before any run of now: those
            are done again, and what another run has written since is not.
    """

    def __init__(self, store: Store, earlier: Mapping[str, str]) -> None:
        self._store, self._earlier = store, earlier
        self._locks: dict[str, FileLock] = {}
        self._cells: Counter[str] = Counter()  # that this run is at work on, by the set that they share

    def __enter__(self) -> Turns:
        make_folder(self._store.root / LOCKS_FOLDER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    def find(self, cell: Cell, *, tells: bool = True) -> Result | None:
        """Return the result of a cell that is done; one that cannot be used is none, and `tells` warns of it."""
        with nullcontext() if tells else warnings.catch_warnings(action="ignore"):
            found = self._store.get(cell.key)
        is_done = found is not None and (found.status in FINISHED or found.digest != self._earlier.get(cell.key, ""))
        return found if is_done else None

    def take(self, cell: Cell) -> bool:
        """Return whether it is this run's turn at a cell, which it then is until `end`; False where another has it."""
        name = cell.distill_key
        if name not in self._locks:
            lock = FileLock(self._store.root / LOCKS_FOLDER / f"{name}.lock", blocking=False)
            try:
                lock.acquire()
            except Timeout:
                return False
            self._locks[name] = lock
        self._cells[name] += 1
        return True

    def end(self, cell: Cell) -> None:
        """Give up the turn at a cell."""
        name = cell.distill_key
        self._cells[name] -= 1
        if not self._cells[name]:
            self._locks.pop(name).release()
