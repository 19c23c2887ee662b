"""Peak memory and seconds of one MTT meta-step by each way to the gradient, CIFAR-10 shapes, IPC 10, whole batches.

Run: `uv run pytest tests/benchmarks/test_mtt_memory.py -m speed -s`. Each measurement has a process of its own; memory
is the peak during the step minus the level before it.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

RUNS = {"adjoint": (10, 40), "tesla": (10, 40), "unrolled": (5, 10, 20)}
GROWTH_BARS = {"adjoint": 1.2, "tesla": 1.1}

PROGRAM = """
import json, sys
from pathlib import Path
import torch
from ddbench.host.meter import Meter
from ddbench.methods._trajectories.meta_gradient import META_GRADIENTS
from tests.benchmarks._mtt_problem import make_problem
way, steps = sys.argv[1], int(sys.argv[2])
network, images, lr, segment, batches = make_problem(steps)
status = Path("/proc/self/status").read_text()
level = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024
with Meter(torch.device("cpu")) as meter:
    META_GRADIENTS[way](network, images, lr, segment, batches)
assert "reset per phase" in meter.reading.host_source
print(json.dumps([meter.reading.peak_host_bytes - level, meter.reading.seconds]))
"""


def measure(way: str, steps: int) -> tuple[float, float]:
    """Return the MiB that one meta-step takes on top of what was there, and its seconds, in a fresh process."""
    run = [sys.executable, "-c", PROGRAM, way, str(steps)]
    size, seconds = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    return size / 2**20, seconds


@pytest.mark.speed
def test_only_the_unrolled_gradient_needs_memory_for_every_step(benchmark):
    found = {(way, steps): measure(way, steps) for way, counts in RUNS.items() for steps in counts}
    for (way, steps), (size, seconds) in found.items():
        print(f"\n{way}, {steps} steps: {size:.0f} MiB, {seconds:.1f} s per meta-step", end="")
        benchmark.extra_info[f"{way}_{steps}"] = {"mebibytes": size, "seconds": seconds}
    print()
    for way, bar in GROWTH_BARS.items():
        assert found[way, 40][0] <= bar * found[way, 10][0]
    # About linear: from 10 to 20 steps the unrolled gradient takes on at least 1.6 times what it took at 10.
    assert found["unrolled", 20][0] >= 1.6 * found["unrolled", 10][0]
    benchmark.pedantic(measure, args=("adjoint", 1), rounds=1)
