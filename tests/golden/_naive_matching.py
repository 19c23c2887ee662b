"""Gradient matching (DC, algorithm 1; DSA) in float64, class by class, with draws in the order of `dc` and `dsa`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ddbench.images import LabeledImages
from ddbench.network import InputShape, make_network
from tests.golden._naive import Parameters, augmented, drawn, loss_of


@dataclass(frozen=True)
class Matching:
    """The settings of a small run, and the data set's DSA strategy, empty for none."""

    network: str = "convnet-d2-w8"
    steps: int = 1
    loops: tuple[int, int] = (1, 1)
    strategy: str = ""
    real_batch_size: int = 5
    network_batch_size: int = 4

    def settings(self) -> dict[str, object]:
        """The same for `make_method`."""
        sizes = {"real_batch_size": self.real_batch_size, "network_batch_size": self.network_batch_size}
        loops = {"outer_loops": self.loops[0], "inner_epochs": self.loops[1]}
        return {"network": self.network, "steps": self.steps, **loops, **sizes}


def draw_real(train: LabeledImages, label: int, count: int, generator: torch.Generator) -> Tensor:
    """Distinct images of a class, float64."""
    members = [i for i in range(len(train)) if int(train.labels[i]) == label]
    order = torch.randperm(len(members), generator=generator)[:count].tolist()
    return train.normalised(torch.tensor([members[i] for i in order])).double()


def distance(real: Parameters, made: Parameters) -> Tensor:
    """Over all layers and their output neurons, 1 - the cosine of two gradients; biases and norms count nothing."""
    total = torch.zeros((), dtype=torch.float64)
    for layer_of_real, layer_of_made in zip(real, made, strict=True):
        if layer_of_real.ndim > 1:
            for a, b in zip(layer_of_real, layer_of_made, strict=True):
                norms = (a * a).sum().sqrt() * (b * b).sum().sqrt()
                total = total + 1 - (a * b).sum() / (norms + 1e-6)
    return total


def matched(parameters: Parameters, real: Tensor, made: Tensor, label: int) -> Tensor:
    """The distance of one class, with a graph back to `made`."""
    of_real = torch.autograd.grad(loss_of(parameters, real, [label] * len(real)), parameters)
    of_made = torch.autograd.grad(loss_of(parameters, made, [label] * len(made)), parameters, create_graph=True)
    return distance(of_real, of_made)


def trained(
    parameters: Parameters, images: Tensor, labels: list[int], run: Matching, generator: torch.Generator
) -> list[Tensor]:
    """The network after its inner epochs of plain SGD on the synthetic images, at rate 0.01."""
    parameters = list(parameters)
    for _ in range(run.loops[1]):
        order = torch.randperm(len(images), generator=generator).tolist()
        while order:
            chosen, order = order[: run.network_batch_size], order[run.network_batch_size :]
            batch = images[chosen]
            if run.strategy:
                batch = augmented(batch, *drawn(run.strategy, len(chosen), generator))
            gradients = torch.autograd.grad(loss_of(parameters, batch, [labels[i] for i in chosen]), parameters)
            parameters = [(p - 0.01 * g).detach().requires_grad_() for p, g in zip(parameters, gradients, strict=True)]
    return parameters


def naive_matching(
    train: LabeledImages, made: Tensor, run: Matching, generator: torch.Generator
) -> tuple[Tensor, list[float]]:
    """The images that `made` become, moved at rate 0.1 with momentum 0.5, and the mean loss of every iteration."""
    classes, (outer, _) = train.num_classes, run.loops
    labels = [label for label in range(classes) for _ in range(len(made) // classes)]
    made, speed, losses = made.double(), torch.zeros_like(made, dtype=torch.float64), []
    for _ in range(run.steps):
        network = make_network(run.network, InputShape.of(train.info), generator)
        parameters = [parameter.detach().double().requires_grad_() for parameter in network.parameters()]
        distances = []
        for loop in range(outer):
            images = made.clone().requires_grad_()
            loss = torch.zeros((), dtype=torch.float64)
            for label, synthetic in enumerate(images.chunk(classes)):
                real = draw_real(train, label, run.real_batch_size, generator)
                if run.strategy:
                    draw = drawn(run.strategy, 1, generator)
                    real, synthetic = augmented(real, *draw), augmented(synthetic, *draw)
                loss = loss + matched(parameters, real, synthetic, label)
            speed = 0.5 * speed + torch.autograd.grad(loss, images)[0]
            made = made - 0.1 * speed
            distances.append(loss.item())
            if loop < outer - 1:
                parameters = trained(parameters, made, labels, run, generator)
        losses.append(sum(distances) / outer)
    return made, losses
