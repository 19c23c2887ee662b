"""Folders that a command makes before its work is sure to begin: a refused input leaves none behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def taken_back_if_empty(folder: Path) -> Iterator[None]:
    """Take back `folder` and its parents where the block has made them, ends with an error and left them empty."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        for place in missing:
            with suppress(OSError):  # something is in it, or it was never made
                place.rmdir()
        raise
