"""Decoded images kept on disk, so that a data set of many small files is decoded once and then loads in a moment.

What is kept is known by the bytes it was decoded from, wherever they lie. The cache is a help, never a need: one that
is missing or cannot be written only costs the time of decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.host.cached_work import WorkKey, cached_work
from ddbench.host.file_digests import DigestedFiles, digest_files

# Of the code that decodes and resizes; `tests/test_cache_versions.py` says when it must be raised.
CACHE_VERSION = 4
TENSORS_FILE = "decoded.safetensors"
ROWS_FILE = ".rows"  # hidden: it grows, and each of its rows has a checksum of its own


def cached_tensors(
    sources: Sequence[Path] | DigestedFiles, variant: str, build: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return `build()`, from disk where the same bytes were decoded the same way before.

    Args:
        sources: files that the tensors come from, in order.
        variant: everything else that the result depends on, such as the image size.
        build: makes the tensors, by name.

    Raises:
        DataMismatchError: a source that cannot be read, or that changes meanwhile.
    """
    files = sources if isinstance(sources, DigestedFiles) else digest_files(sources)
    built: dict[str, Tensor] | None = None
    try:
        with cached_work(decoded_key(files, variant)) as work:
            path = work.folder / TENSORS_FILE
            if work.account is not None:
                # Copies: pages of the mapped file would count as memory of whoever reads them.
                return {name: tensor.clone() for name, tensor in load_file(path).items()}
            built = build()
            files.check_unchanged()
            save_file(built, path)
            work.keep()
    except (BadInputError, OSError, SafetensorError):
        if built is None:
            return build()
    return built


def decoded_key(files: DigestedFiles, variant: str) -> WorkKey:
    """Return what images decoded from files are known by: the bytes of all files in their order, and how."""
    name = files.paths[0].parent.name if len(files.paths) else ""
    return WorkKey("decoded", name, "", CACHE_VERSION, {"variant": variant, "sources": files.digest})


def rows_file(files: DigestedFiles, variant: str) -> Path | None:
    """Return the file in which single decoded images are kept, None where the cache cannot be written."""
    try:
        with cached_work(decoded_key(files, variant)) as work:
            if work.account is None:
                work.keep()
            return work.folder / ROWS_FILE
    except (BadInputError, OSError):
        return None
