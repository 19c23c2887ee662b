"""A trainer of small students on random images, for tests of what they depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ddbench.augment.zca import fit_zca, whiten
from ddbench.dataset import make_real_dataset
from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import RealDataset
from ddbench.protocol import Protocol, Schedule
from ddbench.students.trainer import StudentTrainer
from ddbench.training_recipe import Teacher

CPU = torch.device("cpu")
PROTOCOL = Protocol(
    name="toy",
    version=1,
    network="mlp-w4",
    schedule=Schedule(epochs=3, drop_at=2),
    real_schedule=Schedule(epochs=1, drop_at=1),
    batch_size=4,
    lr=0.05,
    augmentation="crop_scale",
)
TEACHER = Teacher(network="mlp-w8", schedule=PROTOCOL.real_schedule, seed=0, temperature=4.0, loss="kl")
TAUGHT = PROTOCOL.model_copy(update={"teacher": TEACHER})


def toy_real(test_seed: int = 1) -> RealDataset:
    def split(count: int, seed: int) -> tuple[Tensor, Tensor]:
        draws = torch.Generator().manual_seed(seed)
        images = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=draws)
        return images, torch.arange(count) % 3

    return make_real_dataset(
        "toy", split(12, 0), split(30, test_seed), class_names=("a", "b", "c"), mean=(0.5,), std=(0.3,)
    )


def toy_trainer(real: RealDataset, part: int = 0, **changes: Any) -> StudentTrainer:
    images, labels = real.train.images[torch.arange(6) + 6 * part], real.train.labels[:6]
    distilled = DistilledDataset(images, labels, 3, ipc=2, space="pixels")
    return replace(StudentTrainer(distilled, PROTOCOL, real, CPU, eval_seed=0, distill_seed=0), **changes)


def whitened_set(real: RealDataset, **changes: Any) -> DistilledDataset:
    """Two images a class, whitened."""
    whitening = fit_zca(real.train)
    images = whiten(real.train.images[:6], whitening)
    return DistilledDataset(images, real.train.labels[:6], 3, ipc=2, space="zca", whitening=whitening, **changes)
