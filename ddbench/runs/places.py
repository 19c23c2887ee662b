"""Runs that share a results folder share each machine's processors: no more cells at once than there are processors.

More would only be in each other's way: four cells at once on two processors took 1.4 times the processor time of one
after another.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from ddbench.host.files import make_folder

HOST_LETTERS = 60  # of a machine's name in the name of a file


class Places:
    """The processors that one run has of those that all runs on a results folder share, given up where the block ends.

    A run that waits is the next to be given one, so that runs take turns. A lock goes with its process.

    Args:
        folder: of the locks, the same for all runs.
        processors: ids of those that this run may use.
    """

    def __init__(self, folder: Path, processors: Sequence[int]) -> None:
        host = "".join(c if c.isalnum() else "-" for c in socket.gethostname())[:HOST_LETTERS]
        self._folder = folder
        self._free = [FileLock(folder / f"{host}-processor-{number}.lock", blocking=False) for number in processors]
        self._reserved: list[FileLock] = []
        self._taken: dict[str, list[FileLock]] = {}
        self._next = FileLock(folder / f"{host}-next.lock", blocking=False)  # of the run that waits the longest
        self._most = len(self._free)

    def __enter__(self) -> Self:
        make_folder(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._taken):
            self.end(name)
        self.let_go()

    def reserve(self, count: int) -> bool:
        """Return whether so many processors are this run's for its next cell; where not, it is next as they get free.

        Of a cell that needs more than there are, all of them are enough.
        """
        missing = min(count, self._most) - len(self._reserved)
        if missing <= 0:
            self._give_back(self._reserved, -missing)
            return True
        if not _try(self._next):
            return False
        for lock in list(self._free):
            if missing and _try(lock):
                self._free.remove(lock)
                self._reserved.append(lock)
                missing -= 1
        if not missing:
            self._next.release()
        return not missing

    def take(self, name: str) -> None:
        """Give what is reserved to the cell of this name."""
        self._taken[name], self._reserved = self._reserved, []

    def end(self, name: str) -> None:
        """Give up what a cell had."""
        held = self._taken.pop(name, [])
        self._give_back(held, len(held))

    def let_go(self) -> None:
        """Give up what is reserved and wait no more."""
        self._give_back(self._reserved, len(self._reserved))
        self._next.release()

    def _give_back(self, held: list[FileLock], count: int) -> None:
        for _ in range(count):
            lock = held.pop()
            lock.release()
            self._free.append(lock)


def _try(lock: FileLock) -> bool:
    """Return whether a lock is this run's, which it may have been before."""
    try:
        if not lock.is_locked:
            lock.acquire()
    except Timeout:
        return False
    return True
