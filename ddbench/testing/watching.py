"""What contracts watch a method for: that it reads the clock, writes files elsewhere, or loads data sets itself."""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ddbench.host.files import find_cache_dir
from ddbench.registry import DATASETS

LATER_SECONDS = 400 * 24 * 3600.0  # another day, month and year
CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Files that Python and the system write whatever a method does.
NOT_THE_METHODS = ("/dev/", "/proc/", "/sys/")
COMPILED_CODE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps what it compiles, of this run and earlier ones

_watchers: list[list[str]] = []  # where the paths that are written go; a hook for audits cannot be taken out again
_is_hooked = False


@contextmanager
def later_clock(modules: Iterable[str]) -> Iterator[None]:
    """Move every clock that a module can read on by more than a year, in `time` and in names imported from it."""
    with pytest.MonkeyPatch.context() as patch:
        replaced: dict[int, Any] = {}
        for name in CLOCKS:
            for spelled, shift in ((name, LATER_SECONDS), (f"{name}_ns", int(LATER_SECONDS * 1e9))):
                plain = getattr(time, spelled)
                replaced[id(plain)] = _shifted(plain, shift)
                patch.setattr(time, spelled, replaced[id(plain)])
        for plain_class, later_class in ((datetime.datetime, _LaterDateTime), (datetime.date, _LaterDate)):
            replaced[id(plain_class)] = later_class
            patch.setattr(datetime, plain_class.__name__, later_class)
        for module in filter(None, map(sys.modules.get, modules)):
            for name, value in list(vars(module).items()):
                if id(value) in replaced:
                    patch.setattr(module, name, replaced[id(value)])
        yield


@contextmanager
def watched_writes() -> Iterator[list[str]]:
    """Yield a list that fills with the files opened for writing outside the cache folder and that of `tempfile`."""
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_note_write)
        _is_hooked = True
    found: list[str] = []
    _watchers.append(found)
    try:
        yield found
    finally:
        _watchers.remove(found)


@contextmanager
def watched_datasets() -> Iterator[list[str]]:
    """Yield a list that fills with the names of data sets that are looked up."""
    found: list[str] = []
    plain = DATASETS.get

    def get(name: str) -> Any:  # noqa: ANN401 - whatever a registry holds
        found.append(name)
        return plain(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DATASETS, "get", get)
        yield found


def _note_write(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watchers or event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        return
    path = arguments[1] if event == "os.rename" else arguments[0]
    if not isinstance(path, str | os.PathLike):
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
        return
    if event != "open" and arguments[-1] >= 0:  # the name is one inside an open folder, as when a tree is removed
        path = Path(f"/proc/self/fd/{arguments[-1]}").resolve() / path
    text = os.path.abspath(path)  # noqa: PTH100 - not resolved: this is called for every file that is opened
    if not text.startswith(_allowed()) and "__pycache__" not in text:
        _watchers[-1].append(text)


def _allowed() -> tuple[str, ...]:
    folders = {str(find_cache_dir()), tempfile.gettempdir(), os.environ.get(COMPILED_CODE_VARIABLE, "")} - {""}
    return (*NOT_THE_METHODS, *(f"{Path(folder)}{os.sep}" for folder in folders), *folders)


def _shifted(plain: Any, shift: float) -> Any:  # noqa: ANN401 - a clock of any unit
    def later() -> Any:  # noqa: ANN401
        return plain() + shift

    return later


class _LaterDateTime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _LaterDateTime:
        """Return the time now, and more than a year."""
        return super().now(tz) + datetime.timedelta(seconds=LATER_SECONDS)

    @classmethod
    def utcnow(cls) -> _LaterDateTime:
        """Return the time now without a zone, and more than a year."""
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> _LaterDateTime:
        """Return the time now, and more than a year."""
        return cls.now()


class _LaterDate(datetime.date):
    @classmethod
    def today(cls) -> _LaterDate:
        """Return today's date, and more than a year."""
        return super().today() + datetime.timedelta(seconds=LATER_SECONDS)
