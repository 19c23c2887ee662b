"""Trajectory matching (MTT) in float64: experts by plain SGD, students that follow them, with the draws of `mtt`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ddbench.images import LabeledImages
from ddbench.network import InputShape, make_network
from tests.golden._naive import Parameters, augmented, drawn, loss_of


@dataclass(frozen=True)
class Following:
    """The settings of a small run."""

    network: str = "convnet-d2-w8"
    strategy: str = "color_crop_cutout_flip_scale_rotate"
    steps: int = 1
    syn_steps: int = 4
    syn_batch_size: int = 6
    expert_epochs: int = 2
    max_start_epoch: int = 2
    image_lr: float = 5.0
    start_lr: float = 0.1
    lr_lr: float = 1e-4

    def settings(self) -> dict[str, object]:
        """The same for `make_method`, with both momenta at their default of 0.5."""
        of_experts = {"zca": False, "num_experts": 3, "trajectory_epochs": 4}
        return {**{name: value for name, value in vars(self).items() if name != "strategy"}, **of_experts}


@dataclass(frozen=True)
class Seen:
    """One step of a student: which images, their labels, and how each is augmented."""

    chosen: list[int]
    labels: list[int]
    name: str
    numbers: list[list[float]]


def cut_up(vector: Tensor, network: str, info_shape: InputShape) -> list[Tensor]:
    """A network's parameters from one (P,) vector."""
    like = list(make_network(network, info_shape, torch.Generator()).parameters())
    return [part.view(p.shape) for part, p in zip(vector.split([p.numel() for p in like]), like, strict=True)]


def step(
    parameters: Parameters, images: Tensor, labels: list[int], lr: Tensor | float, *, create_graph: bool = False
) -> list[Tensor]:
    """One step of SGD without momentum and without weight decay."""
    gradients = torch.autograd.grad(loss_of(parameters, images, labels), parameters, create_graph=create_graph)
    return [parameter - lr * gradient for parameter, gradient in zip(parameters, gradients, strict=True)]


def meta_loss(start: Parameters, target: Parameters, images: Tensor, lr: Tensor, batches: Sequence[Seen]) -> Tensor:
    """||student - target||^2 / ||start - target||^2 (equation 2), with a graph back to images and rate."""
    student: Parameters = [parameter.clone().requires_grad_() for parameter in start]
    for seen in batches:
        shown = augmented(images[seen.chosen], seen.name, seen.numbers)
        student = step(student, shown, seen.labels, lr, create_graph=True)
    missed, way = (
        sum(((a - b) ** 2).sum() for a, b in zip(parameters, target, strict=True)) for parameters in (student, start)
    )
    return missed / way


def naive_expert(
    images: Tensor, labels: list[int], start: Parameters, generator: torch.Generator, epochs: int, size: int, lr: float
) -> Tensor:
    """(epochs + 1, P): an expert's parameters at the start and after every epoch, on DSA-augmented real images."""
    parameters, rows = list(start), [joined(start)]
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator).tolist()
        while order:
            chosen, order = order[:size], order[size:]
            shown = augmented(images[chosen], *drawn(Following.strategy, len(chosen), generator))
            parameters = [parameter.detach().requires_grad_() for parameter in parameters]
            parameters = step(parameters, shown, [labels[i] for i in chosen], lr)
        rows.append(joined(parameters))
    return torch.stack(rows)


def joined(parameters: Parameters) -> Tensor:
    """One (P,) vector of all parameters."""
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


def naive_following(
    train: LabeledImages, trajectories: Sequence[Tensor], run: Following, generator: torch.Generator
) -> tuple[Tensor, float, list[float], Tensor]:
    """The images, the rate and the losses that follow experts, (epochs + 1, P) each; and the images at the start."""
    classes, shape = train.num_classes, InputShape.of(train.info)
    members = [[i for i in range(len(train)) if int(train.labels[i]) == label] for label in range(classes)]
    chosen = [own[i] for own in members for i in torch.randperm(len(own), generator=generator)[:2].tolist()]
    labels = [label for label in range(classes) for _ in range(2)]
    images = start = train.normalised(torch.tensor(chosen)).double()
    lr, image_speed, lr_speed, losses = torch.tensor(run.start_lr).double(), 0, 0, []
    for _ in range(run.steps):
        trajectory = trajectories[int(torch.randint(len(trajectories), (), generator=generator))].double()
        first = int(torch.randint(run.max_start_epoch, (), generator=generator))
        ends = (cut_up(trajectory[row], run.network, shape) for row in (first, first + run.expert_epochs))
        orders: list[list[int]] = []
        while len(orders) < run.syn_steps:
            order = torch.randperm(len(labels), generator=generator).tolist()
            orders += [order[i : i + run.syn_batch_size] for i in range(0, len(order), run.syn_batch_size)]
        batches = [
            Seen(order, [labels[i] for i in order], *drawn(run.strategy, len(order), generator))
            for order in orders[: run.syn_steps]
        ]
        images, lr = images.detach().requires_grad_(), lr.detach().requires_grad_()
        loss = meta_loss(*ends, images, lr, batches)
        by_images, by_lr = torch.autograd.grad(loss, (images, lr))
        image_speed, lr_speed = 0.5 * image_speed + by_images, 0.5 * lr_speed + by_lr
        images, lr = (images - run.image_lr * image_speed).detach(), (lr - run.lr_lr * lr_speed).detach()
        losses.append(loss.item())
    return images, float(lr), losses, start
