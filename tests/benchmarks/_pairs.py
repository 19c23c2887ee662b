"""Two functions timed in turn in one process: on a noisy machine only their ratio means something."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

WARM_UPS = 1


def alternate(ours: Callable[[], object], plain: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Run both in turn and return the median seconds of each."""
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for index in range(WARM_UPS + rounds):
        for name, function in (("ours", ours), ("plain", plain)):
            start = time.perf_counter()
            function()
            if index >= WARM_UPS:
                seconds[name].append(time.perf_counter() - start)
    return statistics.median(seconds["ours"]), statistics.median(seconds["plain"])
