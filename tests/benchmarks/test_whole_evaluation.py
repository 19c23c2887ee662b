"""Whole evaluations, from a set to its accuracy, against a plain loop; first use and compilation included.

Run alone on a machine: `DDBENCH_DATA_DIR=... uv run pytest tests/benchmarks/test_whole_evaluation.py -m speed -s`.
Each of our evaluations is a process of its own, as a user's command is, with the cache of compiled code empty or warm;
imports and loading the data are left out on both sides. `DDBENCH_ROUNDS` sets how often, `DDBENCH_EPOCHS` cuts the 1001
epochs on both sides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ddbench import distill, load_dataset
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS, Protocol, Schedule
from ddbench.students.loop import TrainingPlan
from tests.benchmarks._pairs import report
from tests.benchmarks._plain import measure_plainly, train_plainly

WHOLE = PROTOCOLS.get("dsa").schedule_of("cifar10", 1, 10).epochs
EPOCHS = int(os.environ.get("DDBENCH_EPOCHS", WHOLE))
ROUNDS = int(os.environ.get("DDBENCH_ROUNDS", "3"))

OURS = """
import json, sys, time
import torch
from ddbench import distill, evaluate, load_dataset
from tests.benchmarks.test_whole_evaluation import shortened
name, ipc, students = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
real = load_dataset("cifar10")
distilled = distill("random_real", real, ipc, seed=0)
start = time.perf_counter()
result = evaluate(distilled, real, protocol=shortened(name), students=students)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "engine": result.engine, "accuracy": result.metric("test_accuracy").values}))
"""


def shortened(name: str) -> Protocol:
    """Return a protocol whose schedule is cut to `EPOCHS`."""
    schedule = Schedule(epochs=EPOCHS, drop_at=(EPOCHS + 1) // 2)
    return PROTOCOLS.get(name).model_copy(update={"schedule": schedule})


def evaluate_in_a_process(name: str, ipc: int, students: int, cache: Path) -> dict[str, object]:
    environment = {**os.environ, "DDBENCH_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", OURS, name, str(ipc), str(students)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def plain_seconds(ipc: int, students: int) -> float:
    real = load_dataset("cifar10")
    distilled = distill("random_real", real, ipc, seed=0)
    plan = TrainingPlan.of(shortened("dsa"), real.info, ipc)
    start = time.perf_counter()
    for student in range(students):
        network = make_network("convnet-d3", InputShape.of(real.info), torch.Generator().manual_seed(student))
        generator = torch.Generator().manual_seed(student)
        train_plainly(network, real.info.normalise(distilled.images), distilled.labels, plan, generator)
        measure_plainly(network, real.test)
    return time.perf_counter() - start


@pytest.mark.speed
@pytest.mark.data
@pytest.mark.parametrize(
    ("ipc", "students", "bars", "rounds"),
    [
        (1, 1, {("dsa", "empty"): 1.3, ("dsa", "warm"): 1.7}, ROUNDS),
        (10, 5, {("dsa", "empty"): 1.6, ("dsa-bf16", "empty"): 3.0}, 1),
    ],
)
def test_a_whole_evaluation_against_a_plain_loop(benchmark, tmp_path, ipc, students, bars, rounds):
    taken: dict[object, list[float]] = {key: [] for key in (*bars, "plain")}
    for number in range(rounds):
        for name, state in bars:
            cache = tmp_path / f"{name}-{number}"  # the first of a round finds it empty, the second warm
            found = evaluate_in_a_process(name, ipc, students, cache)
            taken[name, state].append(float(str(found["seconds"])))
            print(f"\nipc {ipc}, {students} students, {name}, {state} cache: {found}")
        taken["plain"].append(plain_seconds(ipc, students))
    medians = {key: sorted(values)[len(values) // 2] for key, values in taken.items()}
    ratios = {}
    for (name, state), bar in bars.items():
        seconds = {"ours": medians[name, state], "plain": medians["plain"]}
        work = f"whole evaluation, ipc {ipc}, {students} students, {EPOCHS} epochs, {name}, {state} cache"
        ratios[name, state] = (report(work, seconds, rounds, benchmark), bar)
    benchmark.pedantic(lambda: None, rounds=1)
    assert all(ratio >= bar for ratio, bar in ratios.values())
