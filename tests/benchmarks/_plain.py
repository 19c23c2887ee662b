"""Loops as research scripts write them: eager, one class after the other, whole batches, default memory layout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from ddbench.augment.dsa import Draw, apply_dsa, dsa_augment
from ddbench.images import LabeledImages
from ddbench.methods._trajectories.meta_gradient import Segment, StudentBatch, matching_loss
from ddbench.network import Network
from ddbench.students.loop import TrainingPlan

CPU = torch.device("cpu")


def train_plainly(
    network: Network, images: Tensor, labels: Tensor, plan: TrainingPlan, generator: torch.Generator
) -> None:
    """Train on (M, C, H, W) normalised images with the draws that `train_student` makes of an equal generator.

    The loss is read in every step.
    """
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
def measure_plainly(network: Network, test: LabeledImages, device: torch.device = CPU) -> float:
    """Return the accuracy on a split, in batches of 256 by a DataLoader, as research scripts test."""
    network.eval()
    right = 0
    for images, targets in DataLoader(TensorDataset(test.normalised(), test.labels), 256):
        right += int((network(images.to(device)).argmax(1) == targets.to(device)).sum())
    return right / len(test)


def dm_loss(network: Network, batches: Sequence[Tensor], synthetic: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Return DM's loss, (), of (K * ipc, C, H, W) images and one real batch and draw for each of K classes."""
    loss, ipc = torch.zeros((), device=synthetic.device), len(synthetic) // len(draws)
    for label, draw in enumerate(draws):
        real = apply_dsa(batches[label], draw)
        made = apply_dsa(synthetic[label * ipc : (label + 1) * ipc], draw)
        real_mean = network.embed(real).detach().mean(0)
        loss = loss + (real_mean - network.embed(made).mean(0)).square().sum()
    return loss


def dc_loss(
    network: Network, batches: Sequence[Tensor], synthetic: Tensor, draws: Sequence[Draw] | None = None
) -> Tensor:
    """Return the sum over K classes of DC's distances, (); DSA's where each class has a draw."""
    parameters, loss = list(network.parameters()), torch.zeros((), device=synthetic.device)
    for label, (real, made) in enumerate(zip(batches, synthetic.chunk(len(batches)), strict=True)):
        if draws is not None:
            real, made = apply_dsa(real, draws[label]), apply_dsa(made, draws[label])
        labels = torch.full((len(real),), label, device=real.device)
        real_loss = F.cross_entropy(network(real), labels)
        real_gradient = [gradient.detach().clone() for gradient in torch.autograd.grad(real_loss, parameters)]
        made_loss = F.cross_entropy(network(made), labels[: len(made)])
        made_gradient = torch.autograd.grad(made_loss, parameters, create_graph=True)
        for one, other in zip(real_gradient, made_gradient, strict=True):
            loss = loss + _distance(one, other)
    return loss


def mtt_gradients(
    student: Network, images: Tensor, lr: Tensor, segment: Segment, batches: Sequence[StudentBatch]
) -> tuple[Tensor, Tensor]:
    """Return the gradients of MTT's loss by images and rate, through the graph of all steps at once."""
    shapes = {name: parameter.shape for name, parameter in student.named_parameters()}
    learned, rate = images.clone().requires_grad_(), lr.clone().requires_grad_()
    parameters = segment.start.clone().requires_grad_()
    for batch in batches:
        parts = parameters.split([shape.numel() for shape in shapes.values()])
        named = {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
        logits = functional_call(student, named, (apply_dsa(learned[batch.indices], batch.draw),))
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, batch.labels), parameters, create_graph=True)
        parameters = parameters - rate * gradient
    found = torch.autograd.grad(matching_loss(parameters, segment), (learned, rate))
    return found[0], found[1]


def _distance(real: Tensor, synthetic: Tensor) -> Tensor:
    """The distance of one parameter's gradients; biases and norms count nothing."""
    if real.ndim == 1:
        return torch.zeros((), device=real.device)
    real, synthetic = real.reshape(len(real), -1), synthetic.reshape(len(real), -1)
    return (1 - (real * synthetic).sum(-1) / (real.norm(dim=-1) * synthetic.norm(dim=-1) + 1e-6)).sum()
