"""Functions timed in turn in one process: on a noisy machine only their ratios mean something.

`ours` runs as in a measured phase of ddbench, where freed memory is kept; the others with the allocator as it is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from ddbench.host.allocator import keeping_freed_memory

WARM_UPS = 1


def alternate(ours: Callable[[], object], plain: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Run both in turn and return the median seconds of each."""
    seconds = take_turns({"ours": ours, "plain": plain}, rounds)
    return seconds["ours"], seconds["plain"]


def take_turns(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run all in turn and return the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for index in range(WARM_UPS + rounds):
        for name, function in functions.items():
            with keeping_freed_memory() if name == "ours" else nullcontext():
                start = time.perf_counter()
                function()
                taken = time.perf_counter() - start
            if index >= WARM_UPS:
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}


def first_seconds(function: Callable[[], object]) -> float:
    """Return the seconds of one call: the first of a compiled function, compilation included."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def report(work: str, seconds: Mapping[str, float], rounds: int, benchmark: Any, first: float | None = None) -> float:
    """Print and record the medians of `ours`, `plain` and, where there is one, `roof`; return plain / ours."""
    ratio = seconds["plain"] / seconds["ours"]
    line = f"{work}: ours {seconds['ours']:.3f} s, plain {seconds['plain']:.3f} s, ratio {ratio:.2f}"
    benchmark.extra_info.update({f"{name}_seconds": value for name, value in seconds.items()}, ratio=ratio)
    if "roof" in seconds:
        share = seconds["roof"] / seconds["ours"]
        benchmark.extra_info.update(share_of_roof=share)
        line += f", {100 * share:.0f} % of the convolutions' rate"
    if first is not None:
        benchmark.extra_info.update(first_seconds=first)
        line += f", first call {first:.1f} s"
    print(f"\n{line} (n={rounds})")
    return ratio
