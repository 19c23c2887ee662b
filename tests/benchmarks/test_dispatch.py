"""What a run of 10,000 cells costs beside its cells: seconds a cell and memory of the process that hands them out.

Run: `uv run pytest tests/benchmarks/test_dispatch.py -m speed -s`.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CELLS = 10_000
MOST_SECONDS_A_CELL, MOST_BYTES = 0.005, 500e6  # the latter beside what a process with torch holds

# A runner that gives every cell the result of one that was really run, at once and by the dozen. What the process holds
# before the suite begins, torch and the data set, is told apart.
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import torch, yaml
from ddbench.runner import Outcome, Runner, RunnerOptions
from ddbench.runs.suite_runner import run_suite

folder, cells = Path(sys.argv[1]), int(sys.argv[2])
small = {"name": "s", "protocol": "quick", "datasets": ["digits"], "networks": ["mlp-w4"], "methods": ["random_real"],
         "ipc": [1, 2]}

def write(name, seeds):
    (folder / name).write_text(yaml.safe_dump({**small, "distill_seeds": seeds}))
    return folder / name

(real, _) = run_suite(write("one.yaml", 1), folder / "one")

class Dummy(Runner):
    at_once = 16

    def __init__(self):
        super().__init__(RunnerOptions(torch.device("cpu")))
        self.tasks = []

    def has_room(self, needs):
        return len(self.tasks) < self.at_once

    def start(self, task):
        self.tasks.append(task)

    def wait(self, seconds):
        tasks, self.tasks = self.tasks, []
        return [self.outcome_of(task) for task in tasks]

    def outcome_of(self, task):
        cell = task.work.cell
        changes = {"key": cell.key, "distill_seed": cell.distill_seed, "ipc": cell.ipc}
        return Outcome(task, real.model_copy(update=changes))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

suite, before = write("many.yaml", cells // 2), peak()
started = time.perf_counter()
done = run_suite(suite, folder / "many", runner=Dummy())
seconds = time.perf_counter() - started
again = time.perf_counter()
assert run_suite(suite, folder / "many", runner=Dummy()) == done
assert len(done) == cells
print(json.dumps({"seconds": seconds, "again": time.perf_counter() - again, "before": before, "peak": peak()}))
"""


@pytest.mark.speed
def test_ten_thousand_cells_cost_five_milliseconds_each_and_half_a_gigabyte(benchmark, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(CELLS)]
    done = benchmark.pedantic(
        subprocess.run, args=(command,), kwargs={"check": True, "capture_output": True, "text": True}, rounds=1
    )
    found = json.loads(done.stdout)
    benchmark.extra_info.update(found)
    own = found["peak"] - found["before"]
    ms, again = (found[name] / CELLS * 1e3 for name in ("seconds", "again"))
    print(
        f"\n{CELLS:,} cells: {ms:.2f} ms a cell, again {again:.2f} ms;"
        f" {found['peak'] / 1e6:.0f} MB, {own / 1e6:.0f} MB of them of the suite"
    )
    assert found["seconds"] / CELLS <= MOST_SECONDS_A_CELL
    assert own <= MOST_BYTES
