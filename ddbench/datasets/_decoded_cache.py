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

from ddbench.files import sync

# Part of every key: raise it when decoding or resizing changes, so that files of an older kind are not read.
_FORMAT = 1


def cache_folder() -> Path:
    """Return the folder that decoded images are kept in; it need not exist or be writable."""
    return user_cache_path("ddbench") / "decoded"


def cached_split(
    sources: Sequence[Path], variant: str, build: Callable[[], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return `build()`, from disk where the same sources were decoded the same way before.

    The cache is a help, never a need: a missing, damaged or unwritable one only costs the time of `build`.

    Args:
        sources: files that the images come from; name, size and time of change make up the key.
        variant: everything else that the result depends on, such as the image size.
        build: makes images (N, C, H, W) uint8 and labels (N,) int64.
    """
    path = cache_folder() / f"{_key(sources, variant)}.safetensors"
    stored = _load(path)
    if stored is not None:
        return stored
    images, labels = build()
    _store(path, {"images": images, "labels": labels})
    return images, labels


def _load(path: Path) -> tuple[Tensor, Tensor] | None:
    try:
        stored = load_file(path)
        # A copy, as the stored one is mapped from the file: its pages would count as memory of whoever touches them.
        return stored["images"].clone(), stored["labels"].clone()
    except (OSError, SafetensorError, KeyError):
        return None


def _key(sources: Sequence[Path], variant: str) -> str:
    entries = []
    for source in sources:
        stat = source.stat()
        entries.append((str(source.resolve()), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps([_FORMAT, variant, entries]).encode()).hexdigest()[:32]


def _store(path: Path, tensors: dict[str, Tensor]) -> None:
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary)
        sync(temporary)
        temporary.replace(path)
    except (OSError, SafetensorError):
        pass
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The cache folder itself may be unreachable.
        return
