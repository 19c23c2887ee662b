"""Training and testing students at CIFAR-10 shapes, against a plain eager loop with the plain augmentation.

Run alone on a machine: `uv run pytest tests/benchmarks/test_student_training.py -m speed -s`; `DDBENCH_ROUNDS` sets how
often. Steady state; the first call, with compilation, is printed apart.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from ddbench.augment.dsa import dsa_augment
from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.engine.passes import NetworkEngine, plan_engine
from ddbench.images import DatasetInfo, LabeledImages
from ddbench.network import InputShape, Network, make_network
from ddbench.protocol import Schedule
from ddbench.students.loop import TrainingPlan, TrainingSet, measure_accuracy, train_student
from tests.benchmarks._pairs import alternate, first_seconds, report, take_turns
from tests.benchmarks._roof import convolution_roof

INFO = DatasetInfo("toy", tuple("0123456789"), 3, 32, (0.5,) * 3, (0.25,) * 3, "toy")
SHAPE, CPU = InputShape.of(INFO), torch.device("cpu")
ROUNDS, TEST_IMAGES = int(os.environ.get("DDBENCH_ROUNDS", "7")), 10_000


def make_student() -> Network:
    return make_network("convnet-d3", SHAPE, torch.Generator().manual_seed(0))


def engine_for(batch: int, precision: str) -> NetworkEngine:
    return plan_engine("convnet-d3", make_student(), SHAPE, precision, CPU, batch)


def toy_set(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return pixels, torch.arange(count) % 10


@pytest.mark.speed
@pytest.mark.parametrize(
    ("batch", "precision", "epochs", "bar", "least_share"),
    [(100, "fp32", 10, 1.6, 0.8), (10, "fp32", 100, 1.45, None), (100, "bf16", 10, 3.5, None)],
)
def test_student_training_against_a_plain_loop(benchmark, batch, precision, epochs, bar, least_share):
    pixels, labels = toy_set(batch)
    plan = TrainingPlan(Schedule(epochs=epochs, drop_at=epochs), 0.01, 256, DSA_STRATEGY, precision=precision)
    network, plain_network, engine = make_student(), make_student(), engine_for(batch, precision)
    data, generator = TrainingSet(pixels, labels, INFO), torch.Generator().manual_seed(0)

    def ours() -> None:
        train_student(network, data, plan, generator, engine=engine)

    def plain() -> None:
        loader = DataLoader(TensorDataset(INFO.normalise(pixels), labels), 256, shuffle=True)
        optimiser = torch.optim.SGD(plain_network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        total = 0.0
        for _ in range(epochs):
            for images, targets in loader:
                loss = F.cross_entropy(plain_network(dsa_augment(images, generator, DSA_STRATEGY)), targets)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item()

    first = first_seconds(ours)
    roof = convolution_roof(batch * epochs)
    seconds = take_turns({"ours": ours, "plain": plain, "roof": roof}, ROUNDS)
    ratio = report(f"{epochs} steps of {batch} images, {precision}", seconds, ROUNDS, benchmark, first)
    benchmark.pedantic(ours, rounds=1)
    assert engine.is_native
    assert ratio >= bar
    assert least_share is None or seconds["roof"] / seconds["ours"] >= least_share


@pytest.mark.speed
@pytest.mark.parametrize(("precision", "bar"), [("fp32", 1.5), ("bf16", 5)])
def test_the_test_pass_against_a_plain_loop(benchmark, precision, bar):
    test = LabeledImages(*toy_set(TEST_IMAGES), INFO)
    network, engine = make_student(), engine_for(10, precision)
    few = replace(test, images=test.images[:64], labels=test.labels[:64])

    def ours() -> float:
        return measure_accuracy(network, test, CPU, engine=engine)

    @torch.no_grad()
    def plain() -> float:
        right = 0
        for images, targets in DataLoader(TensorDataset(test.normalised(), test.labels), 256):
            right += int((network(images).argmax(1) == targets).sum())
        return right / len(test)

    first = first_seconds(lambda: measure_accuracy(network, few, CPU, engine=engine))
    assert abs(ours() - plain()) < (1e-3 if precision == "fp32" else 2e-2)
    our_seconds, plain_seconds = alternate(ours, plain, 3)
    seconds = {"ours": our_seconds, "plain": plain_seconds}
    ratio = report(f"test pass, {TEST_IMAGES} images, {precision}", seconds, 3, benchmark, first)
    benchmark.pedantic(ours, rounds=1)
    assert ratio >= bar
