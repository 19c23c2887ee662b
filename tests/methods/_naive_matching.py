"""Gradient matching as a plain loop over classes, with the draws in the order in which `dc` and `dsa` make them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.augment.dsa import apply_dsa, draw_dsa
from ddbench.network import InputShape, Network, make_network
from ddbench.records import LabeledImages

SMALL: dict[str, Any] = {"network": "convnet-d1-w8", "real_batch_size": 5, "network_batch_size": 4}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_real(train: LabeledImages, label: int, count: int, generator: torch.Generator) -> Tensor:
    members = [i for i in range(len(train)) if int(train.labels[i]) == label]
    order = torch.randperm(len(members), generator=generator)[:count].tolist()
    return train.normalised(torch.tensor([members[i] for i in order]))


def plain_distance(real: Tensor, made: Tensor) -> Tensor:
    if real.ndim == 1:
        return torch.zeros(())
    neurons = zip(real.flatten(1), made.flatten(1), strict=True)
    return torch.stack([1 - a @ b / (a.norm() * b.norm() + 1e-6) for a, b in neurons]).sum()


def match(network: Network, real: Tensor, images: Tensor, label: int) -> Tensor:
    """The distance of one class, with a graph back to `images`."""
    parameters = list(network.parameters())

    def gradient(batch: Tensor, *, create_graph: bool) -> tuple[Tensor, ...]:
        loss = F.cross_entropy(network(batch), torch.full((len(batch),), label))
        return torch.autograd.grad(loss, parameters, create_graph=create_graph)

    pairs = zip(gradient(real, create_graph=False), gradient(images, create_graph=True), strict=True)
    return torch.stack([plain_distance(a, b) for a, b in pairs]).sum()


def train_network(
    network: Network, images: Tensor, labels: Tensor, epochs: int, strategy: str, generator: torch.Generator
) -> None:
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for indices in order.split(SMALL["network_batch_size"]):
            batch = images[indices]
            if strategy:
                batch = apply_dsa(batch, draw_dsa(generator, strategy, len(batch)))
            optimiser.zero_grad()
            F.cross_entropy(network(batch), labels[indices]).backward()
            optimiser.step()


def naive_matching(
    train: LabeledImages, made: Tensor, steps: int, loops: tuple[int, int], strategy: str, generator: torch.Generator
) -> tuple[Tensor, list[float]]:
    """Return the images that `made` become and the first loss of every iteration."""
    classes, outer = train.num_classes, loops[0]
    labels = torch.arange(classes).repeat_interleave(len(made) // classes)
    speed, losses = torch.zeros_like(made), []
    for _ in range(steps):
        network = make_network(SMALL["network"], InputShape.of(train.info), generator)
        distances = []
        for loop in range(outer):
            images = made.clone().requires_grad_()
            loss = torch.zeros(())
            for label, synthetic in enumerate(images.chunk(classes)):
                real, augmented = draw_real(train, label, SMALL["real_batch_size"], generator), synthetic
                if strategy:
                    draw = draw_dsa(generator, strategy, 1, siamese=True)
                    real, augmented = apply_dsa(real, draw), apply_dsa(synthetic, draw)
                loss = loss + match(network, real, augmented, label)
            (gradient,) = torch.autograd.grad(loss, images)
            speed = 0.5 * speed + gradient
            made = made - 0.1 * speed
            distances.append(loss.item())
            if loop < outer - 1:
                train_network(network, made, labels, loops[1], strategy, generator)
        losses.append(sum(distances) / outer)
    return made, losses
