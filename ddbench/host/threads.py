"""Threads of a processor: how many are at hand, and how many a piece of work is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

_before: list[int] = []  # what was at hand before work was given a number of its own


def threads_at_hand() -> int:
    """Return how many threads this process may use: one a core, or what `OMP_NUM_THREADS` says."""
    return _before[0] if _before else torch.get_num_threads()


def set_threads_at_hand(count: int) -> None:
    """Say how many threads this process may use: what it is handed must not depend on where it comes to run."""
    torch.set_num_threads(count)


@contextmanager
def given_threads(count: int) -> Iterator[None]:
    """Compute on `count` threads while the block runs, in torch and in the libraries of linear algebra.

    What is at hand stays what it was, and a block inside may be given more again.
    """
    now = torch.get_num_threads()
    _before.append(now)
    torch.set_num_threads(count)
    try:
        with threadpool_limits(limits=count):
            yield
    finally:
        torch.set_num_threads(now)
        _before.pop()
