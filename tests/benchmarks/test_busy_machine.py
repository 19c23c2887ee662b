"""What other work beside it costs: two quickstarts at once, and one evaluation beside a process that is always busy.

Run: `DDBENCH_DATA_DIR=... uv run pytest tests/benchmarks/test_busy_machine.py -m speed -s`, on a quiet machine; eight
minutes on two cores. With `DDBENCH_ALONE_SECONDS=150`, what one quickstart took here before, it is not run alone again.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import pytest

from ddbench import distill, evaluate, load_dataset
from ddbench.host.load import cores_at_hand
from ddbench.runs.results_store import read_results

MOST_OF_SUM = 1.3
MOST_PROCESSOR = 1.5
ROUNDS = 3
ALONE = "DDBENCH_ALONE_SECONDS"
BUSY_LOOP = [sys.executable, "-S", "-c", "while True: pass"]


def run_quickstarts(folder, count):
    """Return the seconds until the last of `count` quickstarts has ended, each in a folder and a cache of its own."""
    started, running = time.perf_counter(), []
    for number in range(count):
        own = folder / f"{count}-{number}"
        own.mkdir()
        environment = {**os.environ, "DDBENCH_CACHE_DIR": str(own / "cache")}
        with (own / "log.txt").open("w") as log:
            command = [sys.executable, "-m", "ddbench", "quickstart", "--out", str(own / "out")]
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    assert [process.wait() for process in running] == [0] * count
    return time.perf_counter() - started


def describe(results):
    """How many cells say that the machine was busy while their students were trained, and the most time one lost."""
    loads = [result.phase("evaluate").reading.load for result in results]
    lost = max(load.lost_seconds / load.seconds for load in loads)
    busy = sum(load.is_busy for load in loads)
    return f"{busy} of {len(loads)} evaluations on a busy machine, at most {100 * lost:.0f} % lost"


@pytest.mark.speed
@pytest.mark.data
def test_two_quickstarts_at_once_take_little_more_than_one_after_the_other(benchmark, tmp_path, data_dir):
    alone = float(os.environ.get(ALONE, 0)) or run_quickstarts(tmp_path, 1)
    if (tmp_path / "1-0").exists():
        words = describe(read_results([tmp_path / "1-0/out/results"]))
        print(f"\none quickstart {alone:.0f} s ({ALONE}={alone:.0f}): {words}", end="")
    together = run_quickstarts(tmp_path, 2)
    found = [read_results([tmp_path / f"2-{number}/out/results"]) for number in (0, 1)]
    ratio = together / (2 * alone)
    print(f"\ntwo at once {together:.0f} s, x{ratio:.2f} of the sum; {describe([*found[0], *found[1]])}", end="")
    benchmark.extra_info.update({"alone_seconds": alone, "together_seconds": together, "ratio_to_sum": ratio})
    benchmark.pedantic(lambda: None, rounds=1)
    first, second = ({result.key: result.metric("test_accuracy").values for result in results} for results in found)
    assert first == second
    assert ratio <= MOST_OF_SUM


@pytest.mark.speed
@pytest.mark.data
@pytest.mark.skipif(len(cores_at_hand()) < 2, reason="one core: whatever runs beside the evaluation takes half of it")
def test_an_evaluation_beside_a_busy_process_costs_little_more_processor_time(benchmark, data_dir):
    real = load_dataset("digits")
    made = distill("random_real", real, 10)
    costs: dict[int, list[float]] = {0: [], 1: []}
    accuracies = set()
    for number in range(2 * ROUNDS + 1):
        beside = number % 2
        others = [subprocess.Popen(BUSY_LOOP) for _ in range(beside)]
        try:
            result = evaluate(made, real, "quick", "convnet-d2-w32", 2, device="cpu")
        finally:
            for other in others:
                other.kill()
                other.wait()
        reading = result.phase("evaluate").reading
        accuracies.add(result.metric("test_accuracy").values)
        if number:  # the first one pays for what is used for the first time
            costs[beside].append(reading.processor_seconds)
            lost = reading.load.lost_seconds / reading.seconds
            print(f"\nbeside {beside}: {reading.seconds:.2f} s, processor {reading.processor_seconds:.2f} s", end="")
            print(f", {100 * lost:.1f} % lost, {'busy' if reading.is_busy else 'not busy'}", end="")
    alone, beside = (statistics.median(found) for found in costs.values())
    ratio = beside / alone
    print(f"\nprocessor seconds beside a busy process: x{ratio:.2f} of those alone", end="")
    benchmark.extra_info["processor_ratio"] = ratio
    benchmark.pedantic(lambda: None, rounds=1)
    assert len(accuracies) == 1
    assert ratio <= MOST_PROCESSOR
