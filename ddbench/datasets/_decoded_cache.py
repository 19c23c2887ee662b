"""Decoded images kept on disk, so that a data set of many small files is decoded once and then loads in a moment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddbench.host.files import sync

# Part of every key: raise it when decoding or resizing changes, so that files of an older kind are not read.
_FORMAT = 2


def cache_folder() -> Path:
    """Return the folder that decoded images are kept in; it need not exist or be writable."""
    return user_cache_path("ddbench") / "decoded"


def cached_tensors(sources: Sequence[Path], variant: str, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return `build()`, from disk where the same sources were decoded the same way before.

    The cache is a help, never a need: a missing, damaged or unwritable one only costs the time of `build`.

    Args:
        sources: files that the tensors come from; place, size and time of change of each make up the key.
        variant: everything else that the result depends on, such as the image size.
        build: makes the tensors, by name.
    """
    path = cache_folder() / f"{content_key(sources, variant)}.safetensors"
    stored = _load(path)
    if stored is not None:
        return stored
    tensors = build()
    _store(path, tensors)
    return tensors


def content_key(sources: Sequence[Path], variant: str) -> str:
    """Return a hash of place, size and time of change of each source, and of how they are decoded."""
    entries = []
    for source in sources:
        stat = source.stat()
        entries.append((str(source.absolute()), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps([_FORMAT, variant, entries]).encode()).hexdigest()[:32]


def _load(path: Path) -> dict[str, Tensor] | None:
    try:
        # Copies: the stored ones are mapped from the file, and their pages would count as memory of whoever reads them.
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError):
        return None


def _store(path: Path, tensors: dict[str, Tensor]) -> None:
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary)
        sync(temporary)
        temporary.replace(path)
    except (OSError, SafetensorError):
        _remove(temporary)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The cache folder itself cannot be reached, so nothing was left in it.
        return
