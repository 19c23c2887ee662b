"""Several `ddbench run` at once on one results folder: each cell computed once, for the processor time of one run.

Run: `uv run pytest tests/benchmarks/test_shared_folder.py -m speed -s`; 8 minutes on two cores.
"""

from __future__ import annotations

import os
import sys
import time

import pytest

from ddbench.runs.results_store import read_results
from ddbench.runs.suite import load_suite
from tests.runs.test_suite_runner import write_suite

MOST_TIMES = 1.1


def run_together(suite, root, count, cache):
    """Return the processor seconds of `count` runs at once, their lines, and how long they took."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DDBENCH_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "ddbench", "run", str(suite), "--results", str(root), "--device", "cpu"]
    started, processes = time.perf_counter(), []
    for number in range(count):
        with (root.parent / f"{root.name}-{number}.log").open("w") as log:
            actions = [(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
            processes.append(os.posix_spawn(sys.executable, command, environment, file_actions=actions))
    spent = 0.0
    for process in processes:
        _, code, usage = os.wait4(process, 0)
        assert code == 0
        spent += usage.ru_utime + usage.ru_stime
    lines = [line for n in range(count) for line in (root.parent / f"{root.name}-{n}.log").read_text().splitlines()]
    return spent, [line for line in lines if line.startswith("[") and " %" in line], time.perf_counter() - started


@pytest.mark.speed
def test_two_and_four_runs_cost_what_one_costs(benchmark, tmp_path):
    suite = write_suite(tmp_path / "s.yaml", networks=["convnet-d2-w32"], distill_seeds=12, students=60)
    cells, found, accuracies = load_suite(suite).cells(), {}, []
    run_together(write_suite(tmp_path / "first.yaml", distill_seeds=1), tmp_path / "first", 1, tmp_path / "cache")
    for count in (1, 2, 4):
        root = tmp_path / f"runs{count}"
        found[count], computed, seconds = run_together(suite, root, count, tmp_path / "cache")
        assert len(computed) == len(cells)
        accuracies.append({result.key: result.metric("test_accuracy") for result in read_results([root])})
        times = found[count] / found[1]
        print(f"\n{count} at once: {seconds:.0f} s, {found[count]:.0f} s of processor time, x{times:.2f}", end="")
    benchmark.extra_info.update({str(count): spent for count, spent in found.items()})
    benchmark.pedantic(lambda: None, rounds=1)
    assert accuracies[0] == accuracies[1] == accuracies[2]
    assert max(found.values()) <= MOST_TIMES * found[1]
