"""Peak host memory of a whole evaluation on CIFAR-10, in a process of its own.

Run: `DDBENCH_DATA_DIR=... uv run pytest tests/benchmarks -m speed -s`.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

BAR_BYTES = 2 * 2**30

# Ten epochs instead of 1,001: epochs repeat the same allocations.
PROGRAM = """
import json, sys
from ddbench import distill, evaluate, load_dataset
from ddbench.protocol import Schedule, PROTOCOLS
real = load_dataset("cifar10", sys.argv[1])
protocol = PROTOCOLS.get("dsa").model_copy(update={"name": "dsa", "schedule": Schedule(epochs=10, drop_at=5)})
result = evaluate(distill("random_real", real, 10), real, protocol, students=1)
print(json.dumps({p.name: [p.reading.peak_host_bytes, p.reading.host_source] for p in result.phases}))
"""


@pytest.mark.speed
@pytest.mark.data
def test_evaluating_on_cifar10_stays_under_two_gib(benchmark, data_dir):
    # The first call may decode and cache the image files, which is not evaluation.
    run = [sys.executable, "-c", PROGRAM, str(data_dir)]
    subprocess.run(run, check=True, capture_output=True)
    done = benchmark.pedantic(
        subprocess.run, args=(run,), kwargs={"check": True, "capture_output": True, "text": True}, rounds=1
    )
    peaks = json.loads(done.stdout)
    whole = max(peak for peak, _ in peaks.values())
    benchmark.extra_info.update(peaks=peaks)
    print(f"\nevaluation on CIFAR-10: peak host memory {whole / 2**20:.0f} MiB; by phase {peaks}")
    assert whole < BAR_BYTES
