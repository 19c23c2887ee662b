"""Distances of gradients, and gradients of a network whose parameters are arguments: the arithmetic of `dc` and `dsa`.

Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021 (arXiv 2006.05929), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, grad_and_value

from ddbench.engine.chunks import in_chunks
from ddbench.engine.compiled import Engine, in_precision
from ddbench.network import Network
from ddbench.students.loop import chunk_size
from ddbench.training_recipe import MethodPrecision

# Tensors by the names of a network's parameters.
Tensors = dict[str, Tensor]
Functions = tuple[Callable[..., Tensors], Callable[..., tuple[Tensor, Tensor]]]

EPS = 1e-6  # added to the product of norms in the cosine (reference code; the paper has none)


def layer_distance(real: Tensor, synthetic: Tensor) -> Tensor:
    """Return the sum over output neurons of 1 - cosine of two gradients of one parameter, ().

    Args:
        real: gradient on real images; (out, in) of a linear layer, (out, in, k, k) of a conv, or any (out, ...).
        synthetic: gradient on synthetic images, of the same shape.

    One-dimensional parameters (biases, norms) contribute zero, as in the reference code. A neuron of zero gradient has
    cosine zero, and so distance 1.
    """
    if real.ndim < 2:
        return real.new_zeros(())
    real, synthetic = real.flatten(1), synthetic.flatten(1)
    norms = real.norm(dim=1) * synthetic.norm(dim=1)
    distance: Tensor = (1 - (real * synthetic).sum(1) / (norms + EPS)).sum()
    return distance


def gradient_distance(real: Mapping[str, Tensor], synthetic: Mapping[str, Tensor]) -> Tensor:
    """Return the sum over parameters of the distance of two gradients of one network, ()."""
    return torch.stack([layer_distance(gradient, synthetic[name]) for name, gradient in real.items()]).sum()


class NetworkGradients:
    """Gradients of cross entropy for networks of one structure, whose parameters are arguments.

    In the structure's native form where it has one; else compiled if asked, once for each shape that is met.

    Args:
        structure: a network on the device of the work; only its layers count, and it must not look across images.
        compiles: compile both functions where there is no native form.

    Attributes:
        mode: `native`, `compiled` or `eager`: how they run.
    """

    def __init__(self, structure: Network, *, compiles: bool) -> None:
        structure.requires_grad_(False)
        native = structure.native()
        self._is_native = native is not structure
        part, match = _native_functions(structure, native) if self._is_native else _plain_functions(structure)
        compiles = compiles and not self._is_native
        self._part = Engine(part, compiles=compiles)
        self._match = Engine(match, compiles=compiles)

    @property
    def mode(self) -> str:
        if self._is_native:
            return "native"
        return "compiled" if self._part.mode == self._match.mode == "compiled" else "eager"

    def of_mean_loss(
        self, parameters: Tensors, images: Tensor, labels: Tensor, size: int, precision: MethodPrecision = "fp32"
    ) -> Tensors:
        """Return the gradient of the mean loss over (B, C, H, W) images, summed up over chunks of `size` images.

        Passes run in `precision`; what they give, and the sum, is float32. The last chunk is filled up with black
        images of weight zero, so that compiled code meets one shape only.
        """
        count, missing = len(images), 0 if self._is_native else -len(images) % size
        weights = F.pad(images.new_full((count,), 1 / count), (0, missing))
        images, labels = in_channels_last(images, count + missing), F.pad(labels, (0, missing))

        def part(places: Tensor) -> Tensors:
            chosen = slice(int(places[0]), int(places[-1]) + 1)
            with in_precision(precision, images.device):
                return self._part(parameters, images[chosen], labels[chosen], weights[chosen])

        total, *others = in_chunks("gradient_chunk", part, torch.arange(len(images)), size)
        for gradient in others:
            total = {name: total[name] + gradient[name] for name in total}
        return total

    def match(self, parameters: Tensors, real: Tensors, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance () of the gradient on (ipc, C, H, W) images to `real`, and its gradient by the images."""
        return self._match(in_channels_last(images, len(images)), parameters, labels, real)


def _plain_functions(network: Network) -> Functions:
    """Return the gradient of a part of the mean loss, and match's distance and gradient, as functions to compile."""

    def losses(parameters: Tensors, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, parameters, (images,)), labels, reduction="none")

    def weighted(parameters: Tensors, images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        return (losses(parameters, images, labels) * weights).sum()

    def distance(images: Tensor, parameters: Tensors, labels: Tensor, real: Tensors) -> Tensor:
        return gradient_distance(real, grad(lambda given: losses(given, images, labels).mean())(parameters))

    def part(parameters: Tensors, images: Tensor, labels: Tensor, weights: Tensor) -> Tensors:
        gradient: Tensors = grad(weighted)(parameters, images, labels, weights)
        return gradient

    def match(images: Tensor, parameters: Tensors, labels: Tensor, real: Tensors) -> tuple[Tensor, Tensor]:
        gradient, value = grad_and_value(distance)(images, parameters, labels, real)
        return value, gradient

    return part, match


def _native_functions(structure: Network, native: Network) -> Functions:
    """Return the same of a network's native form, which has its parameters in the same order under other names."""
    names = [name for name, _ in structure.named_parameters()]
    native_names = [name for name, _ in native.named_parameters()]

    def leaves(parameters: Tensors) -> list[Tensor]:
        return [parameters[name].detach().requires_grad_() for name in names]

    def losses(given: list[Tensor], images: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(native, dict(zip(native_names, given, strict=True)), (images,))
        return F.cross_entropy(logits, labels, reduction="none")

    @torch.enable_grad()
    def part(parameters: Tensors, images: Tensor, labels: Tensor, weights: Tensor) -> Tensors:
        given = leaves(parameters)
        gradients = torch.autograd.grad((losses(given, images, labels) * weights).sum(), given)
        return dict(zip(names, gradients, strict=True))

    @torch.enable_grad()
    def match(images: Tensor, parameters: Tensors, labels: Tensor, real: Tensors) -> tuple[Tensor, Tensor]:
        images = images.detach().requires_grad_()
        given = leaves(parameters)
        made = torch.autograd.grad(losses(given, images, labels).mean(), given, create_graph=True)
        value = gradient_distance(real, dict(zip(names, made, strict=True)))
        return value.detach(), torch.autograd.grad(value, images)[0]

    return part, match


def in_channels_last(images: Tensor, count: int) -> Tensor:
    """Return (count, C, H, W) images in channels-last memory, those beyond the given ones zero.

    Always copied: with one channel torch takes other strides for channels-last too, and compiled code asks for equal
    ones.
    """
    # A matching step must not reach into the graph of the augmentation, which has a backward pass of its own.
    copy = torch.empty(
        (count, *images.shape[1:]), dtype=images.dtype, device=images.device, memory_format=torch.channels_last
    )
    copy[: len(images)] = images.detach()
    copy[len(images) :] = 0
    return copy


def gradient_chunk_size(device: torch.device) -> int:
    """Return images per gradient: half those of a forward pass, because two passes need more memory than one.

    The gradient of 256 images of 3x32x32 in convnet-d3's native form, two quiet cores: 0.31 s in chunks of 16, 0.28 to
    0.31 s in chunks of 32 to 128 and whole (n=5).
    """
    return chunk_size(device) // 2
