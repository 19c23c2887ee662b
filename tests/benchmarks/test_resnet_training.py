"""Training steps of the students that ImageNet's papers have, and a teacher's labels, against plain eager loops.

Run alone on a machine: `uv run pytest tests/benchmarks/test_resnet_training.py -m speed -s`; `DDBENCH_ROUNDS` sets how
often. Steady state.
"""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.engine.passes import channels_last, plan_engine
from ddbench.images import DatasetInfo
from ddbench.network import InputShape, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, TrainingSet, train_student
from ddbench.students.soft_labels import SoftLabels
from tests.benchmarks._pairs import alternate, report

ROUNDS, BATCH, STEPS, CPU = int(os.environ.get("DDBENCH_ROUNDS", "5")), 64, 3, torch.device("cpu")
STUDENTS = [("resnet18-bn", 32), ("resnet_ap10", 64)]


def info_of(side: int) -> DatasetInfo:
    return DatasetInfo("toy", tuple("0123456789"), 3, side, (0.5,) * 3, (0.25,) * 3, "toy")


def toy_images(count: int, side: int) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.speed
@pytest.mark.parametrize(("network", "side"), STUDENTS)
@pytest.mark.parametrize(("precision", "bar"), [("fp32", 1.3), ("bf16", 2.5)])
def test_training_steps_against_a_plain_loop(benchmark, network, side, precision, bar):
    shape, images, labels = InputShape.of(info_of(side)), toy_images(BATCH * STEPS, side), torch.arange(BATCH * STEPS)
    labels = labels % 10
    built, plain_network = (make_network(network, shape, torch.Generator().manual_seed(0)) for _ in range(2))
    plan = TrainingPlan(Schedule(epochs=1, drop_at=1), 0.01, BATCH, "", precision=precision)
    engine = plan_engine(network, built, shape, precision, CPU, BATCH)
    data, generator = TrainingSet(images, labels, info_of(side)), torch.Generator().manual_seed(0)

    def ours() -> None:
        train_student(built, data, plan, generator, engine=engine)

    def plain() -> None:
        optimiser = torch.optim.SGD(plain_network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        for chosen in torch.randperm(len(images)).split(BATCH):
            loss = F.cross_entropy(plain_network(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    our_seconds, plain_seconds = alternate(ours, plain, ROUNDS)
    seconds = {"ours": our_seconds, "plain": plain_seconds}
    ratio = report(f"{STEPS} steps of {BATCH} at {side} px, {network}, {precision}", seconds, ROUNDS, benchmark)
    benchmark.pedantic(ours, rounds=1)
    assert ratio >= bar


@pytest.mark.speed
def test_a_teachers_labels_against_a_loop_over_images(benchmark):
    shape, images = InputShape.of(info_of(32)), channels_last(toy_images(BATCH, 32))
    teacher = make_network("resnet18-bn", shape, torch.Generator().manual_seed(0))
    soft = SoftLabels.of(teacher.to(memory_format=torch.channels_last), 20.0)

    def plain() -> Tensor:
        return torch.cat([teacher(image[None]) for image in images])

    torch.testing.assert_close(soft.targets(images), plain().detach(), rtol=1e-3, atol=1e-3)
    our_seconds, plain_seconds = alternate(lambda: soft.targets(images), plain, ROUNDS)
    seconds = {"ours": our_seconds, "plain": plain_seconds}
    ratio = report(f"labels of {BATCH} images at 32 px, resnet18-bn", seconds, ROUNDS, benchmark)
    benchmark.pedantic(soft.targets, (images,), rounds=1)
    assert ratio >= 2
