"""What lies in the cache folder, and its removal; only what ddbench has put there is ever listed or removed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ddbench.host.cached_work import MANIFEST, read_manifest
from ddbench.host.files import find_cache_dir
from ddbench.host.leftovers import clear_leftovers

# Folders of cached work whose names end with the digest of their key, and what older versions left in the same places.
KEPT = re.compile(r"(.*-)?[0-9a-f]{16}")
OLDER = re.compile(r"[0-9a-f]{16,32}\.(safetensors|rows)")
# Folders that are listed and removed as a whole.
COMPILED = {"native": "native code", "inductor": "code compiled by torch"}
RESUMABLE = "unfinished"  # checkpoints of distillations


@dataclass(frozen=True)
class CacheEntry:
    """One thing in the cache folder.

    Attributes:
        path: folder or file.
        kind: such as `prepared`.
        name: what it is.
        dataset: what it was made from; empty where that is not known.
        num_bytes: on disk.
        last_used: seconds since the epoch.
        state: `kept`, or why it is not used as it is.
    """

    path: Path
    kind: str
    name: str
    dataset: str
    num_bytes: int
    last_used: float
    state: str = "kept"


def list_cache() -> list[CacheEntry]:
    """Return all that lies in the cache folder, the longest unused first."""
    return sorted(_entries(find_cache_dir()), key=lambda entry: (entry.last_used, entry.path))


def remove(entry: CacheEntry) -> bool:
    """Remove an entry; returns False, with nothing removed, where a process is using it or it cannot be removed."""
    inside = entry.kind == RESUMABLE
    lock = entry.path / "lock" if inside else entry.path.with_name(f"{entry.path.name}.lock")
    try:
        with FileLock(lock, blocking=False):
            _remove_path(entry.path)
    except (Timeout, OSError):
        return False
    return not entry.path.exists()


def clear_cache() -> None:
    """Remove temporary files and folders that killed processes left anywhere in the cache folder."""
    cache = find_cache_dir()
    clear_leftovers(cache)
    for kind in _children(cache):
        if kind.is_dir() and kind.name not in COMPILED:
            for folder in (kind, *_children(kind)):
                clear_leftovers(folder)
    clear_leftovers(cache / "native")


def _remove_path(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # First, so that a removal cut short does not leave a folder that passes for whole.
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink()


def _entries(cache: Path) -> Iterator[CacheEntry]:
    for kind in _children(cache):
        if kind.name in COMPILED and kind.is_dir():
            yield _entry(kind, kind.name, COMPILED[kind.name], "")
        elif kind.is_dir():
            for path in _children(kind):
                if path.is_dir() and KEPT.fullmatch(path.name):
                    yield _describe(path, kind.name)
                elif path.is_file() and OLDER.fullmatch(path.name):
                    yield _entry(path, kind.name, path.stem[:16], "", "of an older version")


def _describe(path: Path, kind: str) -> CacheEntry:
    if kind == RESUMABLE:
        return _entry(path, kind, "distillation to resume", "")
    manifest = read_manifest(path)
    name = path.name.rpartition("-")[0] or path.name
    if manifest is not None:
        return _entry(path, kind, str(manifest.get("name", name)), str(manifest.get("dataset", "")))
    if (path / MANIFEST).exists():
        return _entry(path, kind, name, "", "damaged")
    is_older = any((path / done).exists() for done in ("prepared.json", "teacher.json", "network.safetensors"))
    return _entry(path, kind, name, "", "of an older version" if is_older else "unfinished")


def _entry(path: Path, kind: str, name: str, dataset: str, state: str = "kept") -> CacheEntry:
    sizes, times = [0], [0.0]
    for found in (path, *path.rglob("*")):
        with suppress(OSError):  # gone in the meantime
            stat = found.lstat()
            if found.is_file() or found.is_symlink():
                sizes.append(stat.st_size)
                times.append(stat.st_mtime)
    if (path / MANIFEST).exists():  # touched at every use, when other files are not
        times = [(path / MANIFEST).stat().st_mtime]
    return CacheEntry(path, kind, name, dataset, sum(sizes), max(times), state)


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
