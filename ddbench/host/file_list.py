"""Many files by folder and name: a sequence of paths in 30 bytes a file or so, where a `Path` takes hundreds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import xxhash
from numpy.typing import NDArray

from ddbench.errors import DataMismatchError
from ddbench.inputs.paths import explain_os_error

# Size, time of change, time at which the file system saw it, and place on disk.
Look = tuple[int, int, int, int]
# (N, 4) int64: the look of each file.
Looks = np.ndarray[tuple[int, int], np.dtype[np.int64]]

_AT_ONCE = 4096
_INT64 = 2**63 - 1  # some file systems number files by all 64 bits


@dataclass(frozen=True, eq=False)
class Search:
    """Folders that were searched for files, and all that what was found follows from.

    Attributes:
        asked: the folders that were asked for, in order.
        counts: (K,) int64, how many files were found in each of them.
        folders: every folder that was looked into, those inside others too.
        looks: of `folders`, taken before they were read.
        account: JSON-able; what else the search has to say.
        is_certain: whether the same looks mean the same files: not where links were followed to see what they are.
    """

    asked: tuple[str, ...]
    counts: NDArray[np.int64]
    folders: tuple[str, ...]
    looks: Looks
    account: Mapping[str, Any]
    is_certain: bool


class FileList(Sequence[Path]):
    """Paths of files in an order, held compactly.

    Attributes:
        folders: folders that files lie in.
        folder_of: (N,) int32, the folder of each file, as a place in `folders`.
        names: names of all files one after another, as the file system encodes them.
        ends: (N,) int64, where each name ends.
        search: where the files were found by one.
    """

    def __init__(
        self,
        folders: Sequence[str],
        folder_of: NDArray[np.int32],
        names: bytes,
        ends: NDArray[np.int64],
        search: Search | None = None,
    ) -> None:
        self.folders, self.folder_of = tuple(folders), folder_of
        self.names, self.ends, self.search = names, ends, search

    @classmethod
    def of(cls, paths: Iterable[Path]) -> FileList:
        """Return the same paths as a list of this kind."""
        if isinstance(paths, cls):
            return paths
        return cls.of_names((str(path.parent), path.name) for path in paths)

    @classmethod
    def of_names(cls, found: Iterable[tuple[str, str]]) -> FileList:
        """Return the list of files given as folder and name."""
        places: dict[str, int] = {}
        folder_of, lengths, names = [], [], bytearray()
        for folder, name in found:
            folder_of.append(places.setdefault(folder, len(places)))
            encoded = os.fsencode(name)
            names += encoded
            lengths.append(len(encoded))
        ends = np.cumsum(np.array(lengths, dtype=np.int64), dtype=np.int64)
        return cls(tuple(places), np.array(folder_of, dtype=np.int32), bytes(names), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        start = int(self.ends[row - 1]) if row else 0
        return Path(self.folders[self.folder_of[row]], os.fsdecode(self.names[start : int(self.ends[row])]))

    def __iter__(self) -> Iterator[Path]:
        return map(Path, self.texts())

    def texts(self, first: int = 0, end: int | None = None) -> Iterator[str]:
        """Yield the paths of the rows from `first` to before `end` as text, faster than as paths."""
        end = len(self) if end is None else min(end, len(self))
        prefixes = [os.path.join(folder, "") for folder in self.folders]  # noqa: PTH118
        for start in range(first, end, _AT_ONCE):
            stop = min(start + _AT_ONCE, end)
            at = int(self.ends[start - 1]) if start else 0
            for folder, name_end in zip(
                self.folder_of[start:stop].tolist(), self.ends[start:stop].tolist(), strict=True
            ):
                yield f"{prefixes[folder]}{os.fsdecode(self.names[at:name_end])}"
                at = name_end

    def is_same(self, other: FileList) -> bool:
        """Return whether both hold the same paths in the same order, held in the same way."""
        return (self.folders, self.names) == (other.folders, other.names) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("folder_of", "ends")
        )

    def digest_of_paths(self) -> str:
        """Return 32 hexadecimal digits that follow from the paths, as they are given and made absolute, in order."""
        digest = xxhash.xxh3_128(self.names)
        for folder in self.folders:
            digest.update(os.fsencode(f"{Path(folder).absolute()}\0{folder}\0"))
        digest.update(self.folder_of.tobytes())
        digest.update(self.ends.tobytes())
        return digest.hexdigest()


def look_at(path: Path | str) -> Look:
    """Return what a regular file looks like; raises DataMismatchError where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path for each of a million names costs more than the look
    except OSError as error:
        raise DataMismatchError(f"the file {Path(path)} {explain_os_error(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataMismatchError(f"{Path(path)} should be a regular file of a data set, but is not; remove it")
    return _look_of(found)


def look_at_all(files: FileList) -> Looks:
    """Return what all files look like, (N, 4) int64; raises DataMismatchError where one is no regular file."""
    looks: Looks = np.empty((len(files), 4), dtype=np.int64)
    for start in range(0, len(files), _AT_ONCE):
        looks[start : start + _AT_ONCE] = [look_at(text) for text in files.texts(start, start + _AT_ONCE)]
    return looks


def look_at_any(path: Path | str) -> Look:
    """Return what a file or folder looks like; raises OSError where there is none."""
    return _look_of(os.stat(path))  # noqa: PTH116 - as above


def _look_of(found: os.stat_result) -> Look:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & _INT64
