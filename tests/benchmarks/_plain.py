"""The student trainer as research scripts write it: eager, whole batches, the loss read in every step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from ddbench.augment.dsa import dsa_augment
from ddbench.network import Network
from ddbench.records import LabeledImages
from ddbench.training import TrainingPlan


def train_plainly(
    network: Network, images: Tensor, labels: Tensor, plan: TrainingPlan, generator: torch.Generator
) -> None:
    """Train on (M, C, H, W) normalised images with the draws that `train_student` makes of an equal generator."""
    network.train()
    lr = plan.lr
    optimiser = torch.optim.SGD(network.parameters(), lr=lr, momentum=plan.momentum, weight_decay=plan.weight_decay)
    total = 0.0
    for epoch in range(plan.schedule.epochs):
        for _ in range(plan.schedule.drops_at(epoch)):
            lr *= plan.lr_drop
            optimiser = torch.optim.SGD(
                network.parameters(), lr=lr, momentum=plan.momentum, weight_decay=plan.weight_decay
            )
        for chosen in torch.randperm(len(images), generator=generator).split(plan.batch_size):
            loss = F.cross_entropy(network(dsa_augment(images[chosen], generator, plan.augmentation)), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()


@torch.no_grad()
def measure_plainly(network: Network, test: LabeledImages) -> float:
    """Return the accuracy on a split, in batches of 256 by a DataLoader, as research scripts test."""
    network.eval()
    right = 0
    for images, targets in DataLoader(TensorDataset(test.normalised(), test.labels), 256):
        right += int((network(images).argmax(1) == targets).sum())
    return right / len(test)
