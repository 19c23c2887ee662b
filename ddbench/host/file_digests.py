"""What files hold, as digests of their bytes: kept in the cache, so that a second start costs one look at each file.

A look is size, both times of change, and place on disk. The time at which the file system itself saw the last change
cannot be set back, so a file that was altered under its old size and date is seen. A file that changed a moment ago
could change again without looking different: nothing about it is kept, and its digest is computed again. Of the others
only those are read that are new or look different. Which files there are in folders that were searched is kept with
them, and holds for as long as the folders look as they did.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.cached_work import WorkKey, cached_work, is_kept
from ddbench.host.clock import seconds_since
from ddbench.host.file_index import DIGESTS_FILE, FileIndex, read_index, write_index
from ddbench.host.file_list import FileList, Look, Looks, look_at, look_at_all, look_at_any
from ddbench.inputs.paths import explain_os_error

__all__ = [
    "DIGESTS_FILE",
    "DigestedFiles",
    "FileNotes",
    "digest_files",
    "find_listing",
    "look_at",
    "note_files",
    "noting_files",
    "recomputed_digests",
]

CACHE_VERSION = 2  # of how files are digested and listed
RECENT_SECONDS = 2.0  # the coarsest clock of a common file system ticks once in as many seconds
_CHUNK = 2**20
_FILES_AT_ONCE = 64
_MOST_KNOWN = 16

_known: dict[str, FileIndex] = {}  # by the digest of their key, for this process
_noted: ContextVar[FileNotes | None] = ContextVar("noted", default=None)
_recomputed: ContextVar[set[str] | None] = ContextVar("recomputed", default=None)


@dataclass(eq=False)
class FileNotes:
    """Files and folders that were read, and what they looked like then."""

    looks: dict[Path, Look] = field(default_factory=dict)
    lists: list[tuple[FileList, Looks]] = field(default_factory=list)
    changed_lately: bool = False

    def add(self, path: Path, look: Look) -> None:
        """Note what a file or folder looks like now."""
        self.looks[path] = look
        self.changed_lately |= _is_recent(max(look[1:3]))

    def add_all(self, files: FileList, looks: Looks) -> None:
        """Note what many files look like now."""
        self.lists.append((files, looks))
        self.changed_lately |= _is_recent(_newest(looks))

    def still_hold(self) -> bool:
        """Return whether everything surely is as it was; one look at each."""
        try:
            return (
                not self.changed_lately
                and all(look_at_any(path) == look for path, look in self.looks.items())
                and all(np.array_equal(look_at_all(files), looks) for files, looks in self.lists)
            )
        except (OSError, DataMismatchError):
            return False


@contextmanager
def noting_files() -> Iterator[FileNotes]:
    """Yield notes of all files and folders that are digested or noted while the block runs."""
    notes = FileNotes()
    token = _noted.set(notes)
    try:
        yield notes
    finally:
        _noted.reset(token)


def note_files(*paths: Path) -> None:
    """Say that a data set was read from these files, or that these folders were searched for its files."""
    notes = _noted.get()
    if notes is None:
        return
    for path in paths:
        with suppress(OSError):  # whoever reads it will say so
            notes.add(path, look_at_any(path))


@contextmanager
def recomputed_digests() -> Iterator[None]:
    """Trust nothing kept while the block runs: digests are computed from the bytes once, and wrong ones replaced."""
    token = _recomputed.set(set())
    try:
        yield
    finally:
        _recomputed.reset(token)


@dataclass(frozen=True, eq=False)
class DigestedFiles:
    """Files in an order, what they looked like, (N, 4) int64, and the digests of their bytes, 16 bytes each."""

    paths: FileList
    looks: Looks
    digests: bytes

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that follow from the bytes of all files and their order, not from their names."""
        return xxhash.xxh3_128_hexdigest(self.digests)

    def check_unchanged(self, rows: Sequence[int] | None = None) -> None:
        """Raise DataMismatchError where one of the files, or of those at `rows`, looks different by now."""
        for row in range(len(self.paths)) if rows is None else rows:
            path = self.paths[row]
            if look_at(path) != tuple(self.looks[row].tolist()):
                raise DataMismatchError(f"{path} has changed since it was first read; start again")


def digest_files(paths: Sequence[Path]) -> DigestedFiles:
    """Return the digests of files, from the cache where they look as they did when they were computed.

    Raises:
        DataMismatchError: one of them is not there, no regular file, unreadable, or changes while it is read.
    """
    files = FileList.of(paths)
    index = _find(files, look_at_all(files))
    notes = _noted.get()
    if notes is not None:
        notes.add_all(index.files, index.looks)
    return DigestedFiles(index.files, index.looks, index.digests)


def find_listing(asked: Sequence[Path]) -> FileList | None:
    """Return the files that a search of folders has found, from the cache; None where it has to be made.

    It has to where nothing is kept, where a folder looks different or changed a moment ago, and where kept digests are
    not to be trusted.
    """
    key = _key_of_search(tuple(map(str, asked)))
    recomputed = _recomputed.get()
    if recomputed is not None and key.digest not in recomputed:
        return None
    index = _known.get(key.digest)
    try:
        if index is None and is_kept(key):
            with cached_work(key) as work:
                index = read_index(work)
        search = None if index is None else index.files.search
        if index is None or search is None or _is_recent(_newest(search.looks)):
            return None
        if [look_at_any(folder) for folder in search.folders] != [tuple(look) for look in search.looks.tolist()]:
            return None
    except (BadInputError, OSError):
        return None
    _remember(key, index)
    note_files(*map(Path, search.folders))
    return index.files


def _find(files: FileList, looks: Looks) -> FileIndex:
    """Return the files with their digests: those of this process, else of the cache, else computed and kept there."""
    key = _key_of(files)
    recomputed = _recomputed.get()
    is_trusted = recomputed is None or key.digest in recomputed
    index = _known.get(key.digest)
    may_keep = not _is_recent(_newest(looks)) and _may_keep(files)
    if is_trusted and may_keep and index is not None and index.is_as(files, looks):
        return index
    if not may_keep and not is_kept(key):
        return FileIndex(files, looks, _complete(files, looks, None))
    found: FileIndex | None = None
    try:
        with cached_work(key) as work:
            kept = read_index(work)
            found = FileIndex(files, looks, _complete(files, looks, kept if is_trusted else None))
            if kept is not None and kept.is_of(files, looks) and kept.digests != found.digests and not is_trusted:
                warnings.warn(f"the digests kept in {work.folder} were wrong and have been replaced", stacklevel=4)
            is_new = kept is None or kept.digests != found.digests or not kept.is_as(files, looks)
            if is_new and may_keep:
                write_index(found, work)
    except (BadInputError, OSError):  # a cache that cannot be written only costs time
        found = FileIndex(files, looks, _complete(files, looks, None)) if found is None else found
    if recomputed is not None:
        recomputed.add(key.digest)
    if may_keep:
        _remember(key, found)
    return found


def _remember(key: WorkKey, index: FileIndex) -> None:
    _known.pop(key.digest, None)
    while len(_known) >= _MOST_KNOWN:
        _known.pop(next(iter(_known)))
    _known[key.digest] = index


def _may_keep(files: FileList) -> bool:
    """Return whether folders that were searched surely hold what was found there for as long as they look the same."""
    return files.search is None or (files.search.is_certain and not _is_recent(_newest(files.search.looks)))


def _key_of(files: FileList) -> WorkKey:
    if files.search is not None:
        return _key_of_search(files.search.asked)
    name = files[0].parent.name if len(files) else ""
    return WorkKey("digests", name, "", CACHE_VERSION, {"files": files.digest_of_paths()})


def _key_of_search(asked: Sequence[str]) -> WorkKey:
    digest = xxhash.xxh3_128()
    for folder in asked:
        digest.update(os.fsencode(f"{Path(folder).absolute()}\0{folder}\0"))
    name = Path(asked[0]).parent.name if asked else ""
    return WorkKey("digests", name, "", CACHE_VERSION, {"folders": digest.hexdigest()})


def _complete(files: FileList, looks: Looks, kept: FileIndex | None) -> bytes:
    """Return the digests of all files, those read that `kept` does not hold or that changed a moment ago."""
    if kept is None:
        is_there, digests = np.zeros(len(files), dtype=bool), np.zeros((len(files), 16), dtype=np.uint8)
    else:
        is_there, digests = kept.find(files, looks)
        is_there &= ~_are_recent(looks)
    missing = np.flatnonzero(~is_there).tolist()
    with ThreadPoolExecutor() as pool:
        # In blocks: a million waiting calls would take gigabytes.
        blocks = [missing[start : start + _FILES_AT_ONCE] for start in range(0, len(missing), _FILES_AT_ONCE)]
        for block, found in zip(blocks, pool.map(lambda rows: _digest_rows(files, rows), blocks), strict=True):
            digests[block] = found
    DigestedFiles(files, looks, b"").check_unchanged(missing)
    return digests.tobytes()


def _digest_rows(files: FileList, rows: Sequence[int]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(_digest_bytes(files[row]) for row in rows), np.uint8).reshape(len(rows), -1)


def _newest(looks: Looks) -> int:
    """Return when the last of (N, 4) looks changed, in nanoseconds since the epoch, 0 for none."""
    return int(looks[:, 1:3].max()) if len(looks) else 0


def _is_recent(changed: int) -> bool:
    """Return whether a change was a moment ago, or in what this machine takes for the future."""
    return seconds_since(changed / 1e9) < RECENT_SECONDS


def _are_recent(looks: Looks) -> NDArray[np.bool_]:
    """Return for each of (N, 4) looks whether its change was a moment ago."""
    times: NDArray[np.bool_] = seconds_since(0.0) - looks[:, 1:3].max(1) / 1e9 < RECENT_SECONDS
    return times


def _digest_bytes(path: Path) -> bytes:
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DataMismatchError(f"the file {path} {explain_os_error(error)}") from error
    return digest.digest()
