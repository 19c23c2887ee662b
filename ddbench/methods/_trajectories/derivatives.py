"""The derivatives that one step of a student leaves to the steps before it, under hard and under soft labels.

Those under hard labels are `FlatNetwork`'s. Those under soft labels stand here, because the file of that class is part
of the key of every prepared expert, which they do not change.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from ddbench.methods._trajectories.flat_network import FlatNetwork


class Derivatives(NamedTuple):
    """Derivatives of <gradient, direction>, and the gradient itself.

    Attributes:
        by_images: (B, C, H, W).
        gradient: (P,), the loss's gradient by the parameters.
        by_parameters: (P,); not found by `derive_without_parameters`.
        by_labels: (B, K) by the probabilities where labels are soft, else None.
    """

    by_images: Tensor
    gradient: Tensor
    by_parameters: Tensor
    by_labels: Tensor | None = None


def derive(network: FlatNetwork, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor) -> Derivatives:
    """Return all derivatives.

    Args:
        network: the student.
        parameters: (P,).
        images: (B, C, H, W), as the student sees them.
        labels: (B,) int64 or (B, K) probabilities.
        direction: (P,) that the gradient is projected on.
    """
    if labels.is_floating_point():
        return _derive_softly(network, parameters, images, labels, direction)
    by_parameters, by_images, gradient = network.backward(parameters, images, labels, direction)
    return Derivatives(by_images, gradient, by_parameters)


def derive_without_parameters(
    network: FlatNetwork, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
) -> Derivatives:
    """Return the derivatives but for those by the parameters, which are empty; arguments as for `derive`."""
    if labels.is_floating_point():
        return _derive_softly(network, parameters, images, labels, direction)
    by_images, gradient = network.images_backward(parameters, images, labels, direction)
    return Derivatives(by_images, gradient, parameters.new_empty(0))


def _derive_softly(
    network: FlatNetwork, parameters: Tensor, images: Tensor, labels: Tensor, direction: Tensor
) -> Derivatives:
    labels = labels.detach().requires_grad_()

    def of_chunk(loss: Tensor, point: Tensor, part: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (gradient,) = torch.autograd.grad(loss, point, create_graph=True)
        by_parameters, by_images, by_labels = torch.autograd.grad(gradient.dot(direction), (point, part, labels))
        return by_images, gradient.detach(), by_parameters, by_labels

    parts = network._in_chunks(of_chunk, parameters, images, labels, by_images=True)
    by_images, gradients, by_parameters, by_labels = zip(*parts, strict=True)
    sums = (reduce(torch.add, values) for values in (gradients, by_parameters, by_labels))
    return Derivatives(torch.cat(by_images), *sums)
