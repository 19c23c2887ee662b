"""How far a block raises the resident peak, in several tries.

A kernel may take pages of files away from a process at any moment, of libraries that it has not used for a while, and
brings them back when they are used. What a block allocates is one number, what is measured lies around it: a bound that
the block keeps is kept in most tries, one that it breaks is broken in all.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ddbench.host.meter import Meter
from ddbench.records import Reading

RESET = "resident peak, reset per phase"
TRIES = 5


def measure(block: Callable[[], object]) -> Reading:
    """Return the reading of a block."""
    with Meter(torch.device("cpu")) as meter:
        block()
    return meter.reading


def peak_rises(block: Callable[[], object]) -> list[tuple[int, int]]:
    """Return by how many bytes the block's peak lies above that of an empty block before it, and of one after it."""
    found = []
    for _ in range(TRIES):
        before, during, after = measure(lambda: None), measure(block), measure(lambda: None)
        if before.host_source != RESET:
            pytest.skip(f"this system gives the {before.host_source} only")
        peak = during.peak_host_bytes or 0
        found.append((peak - (before.peak_host_bytes or 0), peak - (after.peak_host_bytes or 0)))
    return found
