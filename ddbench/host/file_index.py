"""The index of a data set's files, kept in the cache: which there are, what they look like, digests of their bytes.

There is one for each list of folders that were searched, or of files that were named; it is replaced when they change.
Arrays and texts only, and the folder's manifest has a digest of both files (`ddbench.host.cached_work`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from safetensors.torch import load, save_file

from ddbench.host.cached_work import MANIFEST, CachedWork
from ddbench.host.file_list import FileList, Looks, Search
from ddbench.host.files import staged_file

LIST_FILE = "files.safetensors"
DIGESTS_FILE = "digests.bin"
DIGEST_BYTES = 16


@dataclass(frozen=True, eq=False)
class FileIndex:
    """Files in an order, what they looked like, and the digests of their bytes, 16 bytes each."""

    files: FileList
    looks: Looks
    digests: bytes

    def is_as(self, files: FileList, looks: Looks) -> bool:
        """Return whether it is of these files, looking so, and as the same search finds them."""
        return self.is_of(files, looks) and bool(np.array_equal(_searched(self.files), _searched(files)))

    def is_of(self, files: FileList, looks: Looks) -> bool:
        """Return whether it is of these files, looking so."""
        return self.files.is_same(files) and bool(np.array_equal(self.looks, looks))

    def find(self, files: FileList, looks: Looks) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Return which files are here and look as they did, (N,) bool, and the digests of these, (N, 16) uint8."""
        rows = np.arange(len(files)) if self.files.is_same(files) else _rows_of(files, self.files)
        is_there = rows >= 0
        is_there[is_there] = (self.looks[rows[is_there]] == looks[is_there]).all(1)
        digests = np.zeros((len(files), DIGEST_BYTES), dtype=np.uint8)
        digests[is_there] = np.frombuffer(self.digests, np.uint8).reshape(-1, DIGEST_BYTES)[rows[is_there]]
        return is_there, digests


def write_index(index: FileIndex, work: CachedWork) -> None:
    """Put an index in the place of the one that is there, if any; a kill in between leaves none."""
    files, search = index.files, index.files.search
    (work.folder / MANIFEST).unlink(missing_ok=True)
    arrays = {"folder_of": files.folder_of, "ends": files.ends, "looks": index.looks}
    texts = {"folders": files.folders}
    if search is not None:
        arrays |= {"counts": search.counts, "searched_looks": search.looks}
        texts |= {"asked": search.asked, "searched": search.folders, "account": (json.dumps(dict(search.account)),)}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors |= {name: _encoded(b"\0".join(map(os.fsencode, lines))) for name, lines in texts.items()}
    with staged_file(work.folder / LIST_FILE) as temporary:
        save_file({**tensors, "names": _encoded(files.names)}, temporary)
    with staged_file(work.folder / DIGESTS_FILE) as temporary:
        temporary.write_bytes(index.digests)
    work.keep()


def read_index(work: CachedWork) -> FileIndex | None:
    """Return the index that is kept, None where there is none, or one that holds something else than it should."""
    if work.account is None:
        return None
    # Read and not mapped: pages of a map would count as memory of the process.
    tensors = load((work.folder / LIST_FILE).read_bytes())
    digests = (work.folder / DIGESTS_FILE).read_bytes()
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    search = None
    if "asked" in arrays:
        asked, folders = (_decoded(arrays[name]) for name in ("asked", "searched"))
        account = json.loads(_decoded(arrays["account"])[0])
        search = Search(asked, arrays["counts"], folders, arrays["searched_looks"], account, is_certain=True)
    files = FileList(
        _decoded(arrays["folders"]), arrays["folder_of"], arrays["names"].tobytes(), arrays["ends"], search
    )
    return FileIndex(files, arrays["looks"], digests) if len(digests) == DIGEST_BYTES * len(files) else None


def _searched(files: FileList) -> Looks:
    return np.empty((0, 4), dtype=np.int64) if files.search is None else files.search.looks


def _rows_of(files: FileList, among: FileList) -> NDArray[np.int64]:
    """Return the row of each of (N,) files among others, -1 where it is not there; by 64-bit hashes of their paths."""
    wanted, there = _path_hashes(files), _path_hashes(among)
    if not len(there):
        return np.full(len(files), -1)
    order = there.argsort()
    rows = order[np.searchsorted(there, wanted, sorter=order).clip(max=len(there) - 1)]
    return np.where(there[rows] == wanted, rows, -1)


def _path_hashes(files: FileList) -> NDArray[np.uint64]:
    hashes = (xxhash.xxh3_64_intdigest(os.fsencode(text)) for text in files.texts())
    return np.fromiter(hashes, np.uint64, len(files))


def _encoded(text: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())


def _decoded(array: NDArray[np.uint8]) -> tuple[str, ...]:
    text = array.tobytes()
    return tuple(map(os.fsdecode, text.split(b"\0"))) if text else ()
