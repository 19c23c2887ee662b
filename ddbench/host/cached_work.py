"""Cached work: done once, one folder of the cache a piece, keyed by all it follows from, verified before use.

A folder is whole when its manifest is there, which is written last. The manifest says what was made, of what and by
which version, with a digest of every file; a folder that does not fit it is made again, with a warning.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock

from ddbench.host.files import digest_of, find_cache_dir, make_folder, sync, write_text

MANIFEST = "kept.json"
READABLE_CHARACTERS = 80  # of a folder's name, before its digest
_CHUNK = 2**20

_Looks = list[tuple[str, int, int, int, int]]
# What a folder looked like when the digests of its manifest were last found right: a process reads each file once.
_verified: dict[Path, tuple[_Looks, Mapping[str, list[Any]]]] = {}


@dataclass(frozen=True)
class WorkKey:
    """What a piece of work is; everything its content follows from is part of the folder's name.

    Attributes:
        kind: folder of the cache, such as `prepared`.
        name: what it is, to be read by people.
        dataset: what it was made from, to be read by people; a fingerprint belongs into `content`.
        version: of ddbench's own code for this kind: raised where that would make something else.
        content: JSON-able; all else that the work follows from.
    """

    kind: str
    name: str
    dataset: str
    version: int
    content: Mapping[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return {
            "kind": self.kind,
            "name": self.name,
            "dataset": self.dataset,
            "version": self.version,
            "content": json.loads(json.dumps(dict(self.content))),
        }

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of all fields."""
        return digest_of(self.identity)

    @property
    def folder(self) -> Path:
        """Where it is kept, or will be."""
        readable = "-".join(part for part in (self.name, self.dataset) if part)[:READABLE_CHARACTERS]
        for character in '/\\:*?"<>|':
            readable = readable.replace(character, "_")
        return find_cache_dir() / self.kind / f"{readable}-{self.digest}"


@dataclass
class CachedWork:
    """A piece of work while it is looked at or made.

    Attributes:
        key: what it is.
        folder: to fill where `account` is None.
        account: what was kept beside the files, such as their cost; None until the work is done.
        was_kept: it was there already.
    """

    key: WorkKey
    folder: Path
    account: Mapping[str, Any] | None = None
    was_kept: bool = field(init=False)

    def __post_init__(self) -> None:
        self.was_kept = self.account is not None

    def keep(self, account: Mapping[str, Any] | None = None) -> None:
        """Declare the folder whole; `account` is JSON-able and comes back whenever the work is used."""
        files = _files_of(self.folder)
        for path in files.values():
            sync(path)
        content = {
            **self.key.identity,
            "account": dict(account or {}),
            "files": {name: [path.stat().st_size, digest_of_file(path)] for name, path in files.items()},
        }
        text = json.dumps({**content, "digest": digest_of(content)}, indent=1)
        write_text(self.folder / MANIFEST, text + "\n")
        self.account = content["account"]
        _verified[self.folder] = _looks_of(self.folder), content["files"]


@contextmanager
def cached_work(key: WorkKey, *, resumes: bool = False) -> Iterator[CachedWork]:
    """Yield a piece of work, alone among all processes: kept already, or with a folder to fill and to `keep`.

    Args:
        key: what the work is.
        resumes: a folder left unfinished, or damaged in part, is filled further; otherwise it is emptied first.

    Raises:
        BadInputError: the cache folder cannot be written to.
    """
    folder = key.folder
    make_folder(folder.parent)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        account = _find_account(key, folder, resumes=resumes)
        if account is None and not resumes:
            shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        work = CachedWork(key, folder, account)
        try:
            yield work
        except BaseException:
            if work.account is None and not resumes:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        if work.account is None:
            shutil.rmtree(folder, ignore_errors=True)


def is_kept(key: WorkKey) -> bool:
    """Return whether a piece of work is there; its files are not read."""
    return (key.folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder, None where there is none or it is damaged."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        content = {name: value for name, value in manifest.items() if name != "digest"}
        if manifest["digest"] == digest_of(content):
            return content
    return None


def _find_account(key: WorkKey, folder: Path, *, resumes: bool) -> Mapping[str, Any] | None:
    """Return the account of work that is there and whole; what is wrong is removed, with a warning."""
    if not (folder / MANIFEST).exists():
        return None
    manifest = read_manifest(folder)
    wrong: list[str] = []
    if manifest is None:
        problem = f"its {MANIFEST} is damaged"
    elif any(manifest.get(name) != value for name, value in key.identity.items()):
        problem = "it is of other work"
    elif wrong := _wrong_files(folder, manifest["files"]):
        problem = f"{wrong[0]} is missing or altered" + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
    else:
        with suppress(OSError):
            os.utime(folder / MANIFEST)  # when it was last used
        account: Mapping[str, Any] = manifest["account"]
        return account
    warnings.warn(f"{folder} is made again: {problem}", stacklevel=4)
    _remove_wrong(folder, wrong if resumes else [])
    return None


def _remove_wrong(folder: Path, wrong: list[str]) -> None:
    """Remove the files that are named, so that the rest need not be made again; without any, the whole folder."""
    _verified.pop(folder, None)
    if not wrong:
        shutil.rmtree(folder, ignore_errors=True)
        return
    found = _files_of(folder)  # names that a manifest made up lead nowhere
    for path in (*(found[name] for name in wrong if name in found), folder / MANIFEST):
        path.unlink(missing_ok=True)


def _wrong_files(folder: Path, expected: Mapping[str, list[Any]]) -> list[str]:
    """Return the names of files that are missing, altered or not of this work."""
    if _verified.get(folder) == (_looks_of(folder), expected):
        return []
    found = _files_of(folder)
    wrong = [name for name in found if name not in expected]
    for name, (size, digest) in expected.items():
        path = found.get(name)
        if path is None or not _is_as_kept(path, size, digest):
            wrong.append(name)
    if not wrong:
        _verified[folder] = _looks_of(folder), expected
    return sorted(wrong)


def _is_as_kept(path: Path, size: int, digest: str) -> bool:
    with suppress(OSError):
        return path.stat().st_size == size and digest_of_file(path) == digest
    return False


def _files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a folder at any depth by name, hidden ones and the manifest left out."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    hidden = {name for name in names if any(part.startswith(".") for part in name.split("/"))}
    return {name: path for name, path in sorted(names.items()) if name != MANIFEST and name not in hidden}


def _looks_of(folder: Path) -> _Looks:
    """Return name, size, times of change and place on disk of every file.

    The second time is the file system's own, which no program sets: it tells an edit whose first time was put back.
    """
    stats = {name: path.stat() for name, path in _files_of(folder).items()}
    return [(name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in stats.items()]


def digest_of_file(path: Path) -> str:
    """Return 32 hexadecimal digits of a file's bytes: fast, against damage and mistakes, not against forgery."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
