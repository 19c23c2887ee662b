"""Gradients of the trajectory-matching loss by synthetic images, soft labels and the learned rate, in three ways.

A student starts at the expert's parameters and takes T plain SGD steps theta[t+1] = theta[t] - lr * g[t] on augmented
synthetic images a[t], where g[t] is the gradient of the cross entropy; the loss is
    ||theta[T] - target||^2 / ||start - target||^2
(Cazenavette et al., CVPR 2022, arXiv 2203.11932, equation 2).

- `unrolled`: automatic differentiation through all steps, as the reference code does; memory grows with T.
- `adjoint`: the same gradient, exactly. The parameter vectors are kept, and the steps are walked backwards one at a
  time: with lambda[T] = d loss / d theta[T] and c[t] = <g[t], lambda[t+1]>,
      lambda[t] = lambda[t+1] - lr * d c[t] / d theta[t],   d loss / d a[t] = -lr * d c[t] / d a[t],
      d loss / d lr = - sum of c[t],
  and by soft labels as by images. Memory is one step's graph and T + 1 parameter vectors.
- `tesla`: the accumulation of Cui, Wang, Si, Hsieh, "Scaling Up Dataset Distillation to ImageNet-1K with Constant
  Memory", ICML 2023 (arXiv 2211.10586): lambda[t] = lambda[T] for every t, which ignores how later parameters depend on
  earlier images. An approximation, exact for one step. Their code also loses a factor 2 in the images' gradient; it is
  restored here. The steps are walked forwards twice, so that no parameter vector is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ddbench.augment.dsa import Draw, apply_dsa
from ddbench.methods._trajectories.derivatives import Derivatives, derive, derive_without_parameters
from ddbench.methods._trajectories.flat_network import FlatNetwork
from ddbench.students.loop import channels_last


@dataclass(frozen=True, eq=False)
class Segment:
    """Part of an expert's trajectory: parameters (P,) at its start and at its end, the target."""

    start: Tensor
    target: Tensor


@dataclass(frozen=True, eq=False)
class StudentBatch:
    """What a student sees in one step: (b,) int64 positions in the synthetic set, labels and a DSA draw.

    Labels are (b,) int64, or soft: (b, K) probabilities.
    """

    indices: Tensor
    labels: Tensor
    draw: Draw

    def augment(self, images: Tensor) -> Tensor:
        """Return the (b, C, H, W) augmented images of this batch; differentiable by the (M, C, H, W) synthetic set."""
        return channels_last(apply_dsa(images[self.indices], self.draw))


@dataclass(frozen=True, eq=False)
class MetaGradient:
    """The loss, (), and its gradients by the images, (M, C, H, W), and by the learned rate, ().

    Where labels are soft also by the probabilities, (M, K), each taken as a number of its own.
    """

    loss: Tensor
    images: Tensor
    lr: Tensor
    labels: Tensor | None = None


MetaGradientFunction = Callable[[FlatNetwork, Tensor, Tensor, Segment, Sequence[StudentBatch]], MetaGradient]


def matching_loss(end: Tensor, segment: Segment) -> Tensor:
    """Return the normalised squared distance of a student's last parameters (P,) from the target, () (equation 2)."""
    return (end - segment.target).square().sum() / (segment.start - segment.target).square().sum()


def unrolled(
    network: FlatNetwork, images: Tensor, lr: Tensor, segment: Segment, batches: Sequence[StudentBatch]
) -> MetaGradient:
    """Differentiate through all steps at once.

    Args:
        network: the student.
        images: (M, C, H, W) synthetic images, in the students' space.
        lr: () the student's rate.
        segment: where the student starts and where it should arrive.
        batches: one for each of T steps.
    """
    images, lr = images.detach().requires_grad_(), lr.detach().requires_grad_()
    parameters = segment.start.detach().requires_grad_()
    shown = [batch.labels.detach() for batch in batches]
    soft = [labels.requires_grad_() for labels in shown if labels.is_floating_point()]
    for batch, labels in zip(batches, shown, strict=True):
        loss = network.loss(parameters, batch.augment(images), labels)
        (gradient,) = torch.autograd.grad(loss, parameters, create_graph=True)
        parameters = parameters - lr * gradient
    loss = matching_loss(parameters, segment)
    by_images, by_lr, *by_labels = torch.autograd.grad(loss, (images, lr, *soft))
    by_set_labels = _zeros_for_labels(len(images), batches)
    if by_set_labels is not None:
        for batch, part in zip(batches, by_labels, strict=True):
            by_set_labels.index_add_(0, batch.indices, part)
    return MetaGradient(loss.detach(), by_images, by_lr, by_set_labels)


def adjoint(
    network: FlatNetwork, images: Tensor, lr: Tensor, segment: Segment, batches: Sequence[StudentBatch]
) -> MetaGradient:
    """Differentiate exactly, one step's graph at a time; arguments as for `unrolled`."""
    path = [segment.start]
    for batch in batches:
        path.append(_step(network, images, lr, path[-1], batch))
    loss, direction = _loss_and_direction(path.pop(), segment)
    walk = _Walk(images, lr, batches)
    for batch in reversed(batches):
        leaf = images.detach().requires_grad_()
        augmented = batch.augment(leaf)
        found = derive(network, path.pop(), augmented.detach(), batch.labels, direction)
        walk.add(batch, _through_augmentation(augmented, leaf, found.by_images), found, direction)
        direction = direction - lr * found.by_parameters
    return walk.gradient(loss)


def tesla(
    network: FlatNetwork, images: Tensor, lr: Tensor, segment: Segment, batches: Sequence[StudentBatch]
) -> MetaGradient:
    """Approximate the gradient, ignoring how later parameters depend on earlier images; arguments as for `unrolled`."""
    parameters = segment.start
    for batch in batches:
        parameters = _step(network, images, lr, parameters, batch)
    loss, direction = _loss_and_direction(parameters, segment)
    parameters, walk = segment.start, _Walk(images, lr, batches)
    for batch in batches:
        leaf = images.detach().requires_grad_()
        augmented = batch.augment(leaf)
        found = derive_without_parameters(network, parameters, augmented.detach(), batch.labels, direction)
        walk.add(batch, _through_augmentation(augmented, leaf, found.by_images), found, direction)
        parameters = parameters - lr * found.gradient
    return walk.gradient(loss)


META_GRADIENTS: dict[str, MetaGradientFunction] = {"adjoint": adjoint, "tesla": tesla, "unrolled": unrolled}


@torch.no_grad()
def _step(network: FlatNetwork, images: Tensor, lr: Tensor, parameters: Tensor, batch: StudentBatch) -> Tensor:
    return parameters - lr * network.gradient(parameters, batch.augment(images), batch.labels)


def _loss_and_direction(end: Tensor, segment: Segment) -> tuple[Tensor, Tensor]:
    """Return the loss and its gradient by the student's last parameters."""
    end = end.detach().requires_grad_()
    loss = matching_loss(end, segment)
    return loss.detach(), torch.autograd.grad(loss, end)[0]


def _through_augmentation(augmented: Tensor, images: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient by all synthetic images of a gradient by the augmented ones of a batch."""
    return torch.autograd.grad(augmented, images, gradient)[0]


class _Walk:
    """Sums over the steps of a walk, from which the gradient follows."""

    def __init__(self, images: Tensor, lr: Tensor, batches: Sequence[StudentBatch]) -> None:
        self._lr = lr
        self._by_images, self._by_lr = torch.zeros_like(images), torch.zeros_like(lr)
        self._by_labels = _zeros_for_labels(len(images), batches)

    def add(self, batch: StudentBatch, by_images: Tensor, found: Derivatives, direction: Tensor) -> None:
        """Add a step: its derivative by all synthetic images, and the others at augmented ones."""
        self._by_images += by_images
        if self._by_labels is not None and found.by_labels is not None:
            self._by_labels.index_add_(0, batch.indices, found.by_labels)
        self._by_lr -= found.gradient.dot(direction)

    def gradient(self, loss: Tensor) -> MetaGradient:
        """Return the gradient of the whole walk."""
        by_labels = None if self._by_labels is None else self._by_labels.mul_(-self._lr)
        return MetaGradient(loss, self._by_images.mul_(-self._lr), self._by_lr, by_labels)


def _zeros_for_labels(num_images: int, batches: Sequence[StudentBatch]) -> Tensor | None:
    """Return (M, K) zeros where labels are soft, else None."""
    labels = batches[0].labels
    return labels.new_zeros(num_images, labels.shape[1]) if labels.is_floating_point() else None
