"""What files hold, as digests of their bytes: kept in the cache, so that a second start costs one look at each file.

A look is size, both times of change, and place on disk. The time at which the file system itself saw the last change
cannot be set back, so a file that was altered under its old size and date is seen. A file that changed a moment ago
could change again without looking different: its digest is not kept, and is computed again.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import xxhash

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.host.cached_work import WorkKey, cached_work
from ddbench.host.meter import seconds_since
from ddbench.inputs.paths import explain_os_error

CACHE_VERSION = 1  # of how files are digested
RECENT_SECONDS = 2.0  # the coarsest clock of a common file system ticks once in as many seconds
DIGESTS_FILE = "digests.bin"
DIGEST_BYTES = 16
_CHUNK = 2**20
_MOST_KNOWN = 16

Look = tuple[int, int, int, int]

_known: dict[str, bytes] = {}  # digests by the digest of their key, for this process
_noted: ContextVar[FileNotes | None] = ContextVar("noted", default=None)
_recomputed: ContextVar[set[str] | None] = ContextVar("recomputed", default=None)


@dataclass(eq=False)
class FileNotes:
    """Files and folders that were read, and what they looked like then."""

    looks: dict[Path, Look] = field(default_factory=dict)
    changed_lately: bool = False

    def add(self, path: Path, look: Look) -> None:
        """Note what a file or folder looks like now."""
        self.looks[path] = look
        self.changed_lately |= _is_recent(look)

    def still_hold(self) -> bool:
        """Return whether everything surely is as it was; one look at each."""
        try:
            return not self.changed_lately and all(_look(path) == look for path, look in self.looks.items())
        except OSError:
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
    for path in paths if notes is not None else ():
        try:
            notes.add(path, _look(path))  # type: ignore[union-attr]
        except OSError:
            continue  # whoever reads it will say so


@contextmanager
def recomputed_digests() -> Iterator[None]:
    """Trust no kept digest while the block runs: each is computed from the bytes once, and a wrong one replaced."""
    token = _recomputed.set(set())
    try:
        yield
    finally:
        _recomputed.reset(token)


@dataclass(frozen=True, eq=False)
class DigestedFiles:
    """Files in an order, what they looked like, and the digests of their bytes, 16 bytes each."""

    paths: tuple[Path, ...]
    looks: tuple[Look, ...]
    digests: bytes

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that follow from the bytes of all files and their order, not from their names."""
        return xxhash.xxh3_128_hexdigest(self.digests)

    def check_unchanged(self, rows: Sequence[int] | None = None) -> None:
        """Raise DataMismatchError where one of the files, or of those at `rows`, looks different by now."""
        for row in range(len(self.paths)) if rows is None else rows:
            if look_at(self.paths[row]) != self.looks[row]:
                raise DataMismatchError(f"{self.paths[row]} has changed since it was first read; start again")


def digest_files(paths: Sequence[Path]) -> DigestedFiles:
    """Return the digests of files, from the cache where they look as they did when they were computed.

    Raises:
        DataMismatchError: one of them is not there, no regular file, unreadable, or changes while it is read.
    """
    looks = tuple(look_at(path) for path in paths)
    notes = _noted.get()
    if notes is not None:
        for path, look in zip(paths, looks, strict=True):
            notes.add(path, look)
    files = DigestedFiles(tuple(paths), looks, b"")
    if any(map(_is_recent, _newest(looks))):
        return DigestedFiles(files.paths, looks, _compute(files))
    return DigestedFiles(files.paths, looks, _find(files))


def look_at(path: Path) -> Look:
    """Return what a regular file looks like; raises DataMismatchError where there is none."""
    try:
        found = path.stat()
    except OSError as error:
        raise DataMismatchError(f"the file {path} {explain_os_error(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataMismatchError(f"{path} should be a regular file of a data set and is none; remove it")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _look(path: Path) -> Look:
    """Return what a file or folder looks like."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _newest(looks: Sequence[Look]) -> list[Look]:
    return [max(looks, key=lambda look: max(look[1:3]))] if looks else []


def _is_recent(look: Look) -> bool:
    """Return whether something changed a moment ago, or in what this machine takes for the future."""
    return seconds_since(max(look[1:3]) / 1e9) < RECENT_SECONDS


def _find(files: DigestedFiles) -> bytes:
    """Return the digests: those of this process, else those of the cache, else computed and kept there."""
    key = _key_of(files)
    recomputed = _recomputed.get()
    is_trusted = recomputed is None or key.digest in recomputed
    if is_trusted and key.digest in _known:
        return _known[key.digest]
    found: bytes | None = None
    try:
        with cached_work(key) as work:
            path = work.folder / DIGESTS_FILE
            kept = path.read_bytes() if work.account is not None else None
            found = kept if is_trusted and kept is not None else None
            if found is None or len(found) != DIGEST_BYTES * len(files.paths):
                found = _compute(files)
            if kept is not None and kept != found:
                warnings.warn(f"the digests kept in {work.folder} were wrong and have been replaced", stacklevel=4)
            if kept != found:
                path.write_bytes(found)
                work.keep()
    except (BadInputError, OSError):  # a cache that cannot be written only costs time
        found = _compute(files) if found is None else found
    if recomputed is not None:
        recomputed.add(key.digest)
    while len(_known) >= _MOST_KNOWN:
        _known.pop(next(iter(_known)))
    _known[key.digest] = found
    return found


def _key_of(files: DigestedFiles) -> WorkKey:
    digest = xxhash.xxh3_128()
    for path, look in zip(files.paths, files.looks, strict=True):
        digest.update(f"{path.absolute()}\0{look}\n".encode("utf-8", "surrogateescape"))
    name = files.paths[0].parent.name if files.paths else ""
    return WorkKey("digests", name, "", CACHE_VERSION, {"files": digest.hexdigest()})


def _compute(files: DigestedFiles) -> bytes:
    with ThreadPoolExecutor() as pool:
        found = b"".join(pool.map(_digest_bytes, files.paths, chunksize=64))
    files.check_unchanged()
    return found


def _digest_bytes(path: Path) -> bytes:
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DataMismatchError(f"the file {path} {explain_os_error(error)}") from error
    return digest.digest()
