"""The C library's allocator, told to keep what is freed while a phase runs.

glibc hands freed maps back to the system at once, which clears every page of them before it gives them out again: a
fifth to a quarter of a student's training step on a virtual machine of two cores. Elsewhere nothing is changed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

# mallopt's numbers in <malloc.h>.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# Bytes from which a block is a mapping of its own, and of free memory at the heap's end that is handed back: to keep
# everything, and what glibc's own adjustment arrives at in a process that frees large blocks.
KEPT, USUAL = {MMAP_THRESHOLD: 2**30, TRIM_THRESHOLD: 2**31 - 1}, {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}

_lock = Lock()
_depth = 0


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Keep freed memory for the next allocation while the block runs; at the end of the outermost hand it all back.

    A peak may rise by what lies free between blocks in use; between two peaks the process holds more than it uses.
    """
    global _depth
    library = _glibc()
    with _lock:
        _depth += 1
        if library is not None and _depth == 1:
            _set(library, KEPT)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if library is not None and _depth == 0:
                _set(library, USUAL)
                library.malloc_trim(0)


def _set(library: ctypes.CDLL, thresholds: dict[int, int]) -> None:
    for number, size in thresholds.items():
        library.mallopt(number, size)


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc, else None."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "gnu_get_libc_version") else None
    except (OSError, TypeError):
        return None
