"""One epoch of the student trainer against a DataLoader loop that normalises on the host and reads the loss.

Run: `uv run pytest tests/benchmarks -m speed -s`. No bar: this is the record that later work is compared with.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from ddbench.augment.dsa import dsa_augment
from ddbench.network import InputShape, make_network
from ddbench.protocol import DSA_STRATEGY, Schedule
from ddbench.records import DatasetInfo
from ddbench.training import TrainingPlan, TrainingSet, train_student
from tests.benchmarks._pairs import alternate

EPOCHS, ROUNDS = 5, 5
INFO = DatasetInfo("toy", tuple("0123456789"), 3, 32, (0.5,) * 3, (0.25,) * 3, "toy")


@pytest.mark.speed
@pytest.mark.parametrize("num_images", [10, 100])
def test_student_training_against_a_data_loader_loop(benchmark, num_images):
    pixels = torch.randint(0, 256, (num_images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(10).repeat(num_images // 10)
    plan = TrainingPlan(Schedule(epochs=EPOCHS, drop_at=EPOCHS), 0.01, 256, DSA_STRATEGY)
    ours_network = make_network("convnet-d3", InputShape.of(INFO), torch.Generator().manual_seed(0))
    plain_network = make_network("convnet-d3", InputShape.of(INFO), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    data = TrainingSet(pixels, labels, INFO)

    def ours() -> None:
        train_student(ours_network, data, plan, generator)

    def plain() -> None:
        loader = DataLoader(TensorDataset(INFO.normalise(pixels), labels), 256, shuffle=True)
        optimiser = torch.optim.SGD(plain_network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        total = 0.0
        for _ in range(EPOCHS):
            for images, targets in loader:
                loss = F.cross_entropy(plain_network(dsa_augment(images, generator)), targets)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item()

    our_seconds, plain_seconds = alternate(ours, plain, ROUNDS)
    benchmark.extra_info.update(plain_seconds=plain_seconds, our_seconds=our_seconds, ratio=plain_seconds / our_seconds)
    print(
        f"\n{EPOCHS} epochs of {num_images} images: ours {our_seconds:.3f} s, ratio {plain_seconds / our_seconds:.2f}"
    )
    benchmark.pedantic(ours, rounds=1)
