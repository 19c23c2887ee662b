"""Threads of a processor: how many are at hand, and how many a piece of work is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

_GROUP = Path("/sys/fs/cgroup")
_before: list[int] = []  # what was at hand before work was given a number of its own


def processors_at_hand() -> tuple[int, ...]:
    """Return the numbers of the processors that this process may use: the machine's, or fewer where a limit is set."""
    is_told = hasattr(os, "sched_getaffinity")
    numbers = sorted(os.sched_getaffinity(0)) if is_told else range(os.cpu_count() or 1)
    quota = float("inf")
    with suppress(OSError, ValueError):  # no container, or one without a limit, which is `max`
        share, period = (_GROUP / "cpu.max").read_text(encoding="ascii").split()
        quota = float(share) / float(period)
    return tuple(numbers)[: max(1, int(min(quota, len(numbers))))]


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
