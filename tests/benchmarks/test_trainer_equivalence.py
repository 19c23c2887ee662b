"""Speed does not change the science: students of the fast trainer are as accurate as those of a plain loop.

Run: `DDBENCH_DATA_DIR=... uv run pytest tests/benchmarks/test_trainer_equivalence.py -m speed -s`; about an hour and a
half of one core. Students are paired: the same start, order and augmentation. `DDBENCH_STUDENTS` sets their number. The
seconds of each training and test are printed beside its accuracy.
"""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
import torch

from ddbench import distill, load_dataset
from ddbench.analysis.significance import equivalence
from ddbench.distilled.dataset import DistilledDataset
from ddbench.engine.passes import NetworkEngine, plan_engine
from ddbench.host.allocator import keeping_freed_memory
from ddbench.images import RealDataset
from ddbench.network import InputShape, make_network
from ddbench.protocol import PROTOCOLS
from ddbench.seeding import make_generator
from ddbench.students.loop import TrainingPlan, TrainingSet, measure_accuracy, train_student
from tests.benchmarks._plain import measure_plainly, train_plainly

STUDENTS = int(os.environ.get("DDBENCH_STUDENTS", "10"))
MARGIN = 0.01  # one percentage point
DM_STEPS = 200
CPU = torch.device("cpu")
NETWORK = "convnet-d3"


def engine_for(precision: str, distilled: DistilledDataset, real: RealDataset, plan: TrainingPlan) -> NetworkEngine:
    shape, batch_size = InputShape.of(real.info), min(plan.batch_size, len(distilled.labels))
    return plan_engine(NETWORK, make_network(NETWORK, shape, torch.Generator()), shape, precision, CPU, batch_size)


@pytest.mark.speed
@pytest.mark.data
@pytest.mark.parametrize(("method", "ipc"), [("random_real", 1), ("dm", 1), ("dm", 10)])
def test_accuracies_are_equivalent_within_a_point(method, ipc):
    real = load_dataset("cifar10")
    distilled = distill(method, real, ipc, seed=0, config={"steps": DM_STEPS} if method == "dm" else {})
    data = TrainingSet.of(distilled, real.info, CPU)
    plans = {"fp32": "dsa", "bf16": "dsa-bf16"}
    plans = {precision: TrainingPlan.of(PROTOCOLS.get(name), real.info, ipc) for precision, name in plans.items()}
    engines = {precision: engine_for(precision, distilled, real, plan) for precision, plan in plans.items()}

    def accuracy_of(name: str, student: int) -> float:
        network = make_network(NETWORK, InputShape.of(real.info), make_generator(student, "equivalence", "initial"))
        generator = make_generator(student, "equivalence", "training")
        if name == "plain":
            train_plainly(network, *data.batch(torch.arange(len(data))), plans["fp32"], generator)
            return measure_plainly(network, real.test)
        with keeping_freed_memory():
            train_student(network, data, plans[name], generator, engine=engines[name])
            return measure_accuracy(network, real.test, CPU, engine=engines[name])

    held: dict[str, list[float]] = {"plain": [], "fp32": [], "bf16": []}
    for student in range(STUDENTS):
        seconds = {}
        for name, values in held.items():
            started = time.perf_counter()
            values.append(accuracy_of(name, student))
            seconds[name] = round(time.perf_counter() - started, 1)
        found = {name: values[-1] for name, values in held.items()}
        print(json.dumps({"method": method, "ipc": ipc, "student": student, **found, "seconds": seconds}), flush=True)
    plain = np.array(held["plain"])
    for name in ("fp32", "bf16"):
        found = equivalence(np.array(held[name]), plain, MARGIN, paired=True)
        print(
            f"{method}, ipc {ipc}: {name} {100 * np.mean(held[name]):.2f} %, plain {100 * plain.mean():.2f} %, "
            f"difference {100 * found.effect:+.2f} [{100 * found.low:+.2f}, {100 * found.high:+.2f}] points, "
            f"p {found.p:.4f} (n={STUDENTS}, margin 1 point)"
        )
        assert found.p < 0.05
