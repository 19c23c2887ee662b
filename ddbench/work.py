"""Work declared before it is done: images that pass through networks, counted in FLOPs and in bytes.

Nothing here runs a network: one is looked at on torch's device `meta`, where tensors have shapes and no content.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ddbench.network import InputShape, make_network

# What an image costs, in forward passes: a backward pass by images alone is one, by parameters too it is two, and the
# derivative of a gradient, by both, is about three times the gradient.
FORWARD, BY_IMAGES, TRAINING, META = 1, 2, 3, 9
VALUE_BYTES = 4  # float32
# Copies of a network in training: parameters, gradients, momentum, and what an optimiser's step makes on the way.
COPIES_IN_TRAINING = 4


@dataclass(frozen=True)
class Passes:
    """Images that go through a network.

    Attributes:
        network: name of the network.
        images: passed in all, over all steps and epochs.
        batch_size: passed at once.
        cost: of one image, in forward passes: `FORWARD`, `BY_IMAGES`, `TRAINING` or `META`.
        is_native: whether the network passes in its native form, where it has one, and in chunks.
    """

    network: str
    images: int
    batch_size: int
    cost: int = FORWARD
    is_native: bool = False


@dataclass(frozen=True)
class PhaseWork:
    """One phase: its passes, and the bytes it holds beside networks and their activations."""

    passes: tuple[Passes, ...] = ()
    held_bytes: int = 0


@dataclass(frozen=True)
class MethodWork:
    """What a method says of its own work: to distil a set, and to prepare what all IPC share."""

    distill: PhaseWork
    prepare: PhaseWork = PhaseWork()


@dataclass(frozen=True)
class NetworkProfile:
    """A network for one image shape.

    Attributes:
        flops: of one image's forward pass; a multiplication and an addition are two.
        parameters: number of them.
        activations: values that all layers put out for one image.
        largest: values of the largest such output.
        embedding: size of the embedding, D.
    """

    flops: int
    parameters: int
    activations: int
    largest: int
    embedding: int


@lru_cache(maxsize=256)
def profile_network(network: str, shape: InputShape) -> NetworkProfile:
    """Return what a network costs, counted by torch in a forward pass of one image without content."""
    built = make_network(network, shape, torch.Generator().manual_seed(0)).to("meta").eval()
    sizes: list[int] = []

    def keep(layer: nn.Module, given: object, output: Tensor) -> None:
        sizes.append(output.numel())

    for layer in built.modules():
        if next(layer.children(), None) is None:
            layer.register_forward_hook(keep)
    image = torch.empty(1, shape.channels, shape.image_size, shape.image_size, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        embedding = built.embed(image)
        built.classify(embedding)
    return NetworkProfile(
        flops=counter.get_total_flops(),
        parameters=sum(parameter.numel() for parameter in built.parameters()),
        activations=sum(sizes),
        largest=max(sizes),
        embedding=embedding.shape[1],
    )


def count_flops(passes: Iterable[Passes], shape: InputShape) -> int:
    """Return the FLOPs of some passes for images of one shape."""
    return sum(part.images * part.cost * profile_network(part.network, shape).flops for part in passes)


def count_bytes(work: PhaseWork, shape: InputShape) -> int:
    """Return the bytes a phase needs at most: what it holds, and the largest of its passes, one at a time.

    A pass without gradient keeps the parameters and two layers' outputs; with one it keeps every layer's output and,
    for the backward pass, as much again at worst; a derivative of a gradient doubles that.
    """
    return work.held_bytes + max((_bytes_of(part, shape) for part in work.passes), default=0)


def image_bytes(count: int, shape: InputShape) -> int:
    """Return the bytes of so many float32 images."""
    return count * shape.channels * shape.image_size**2 * VALUE_BYTES


def _bytes_of(part: Passes, shape: InputShape) -> int:
    profile = profile_network(part.network, shape)
    if part.cost == FORWARD:
        values = profile.parameters + 2 * profile.largest * part.batch_size
    else:
        graphs = 1 if part.cost < META else 2
        values = COPIES_IN_TRAINING * profile.parameters + 2 * graphs * profile.activations * part.batch_size
    return values * VALUE_BYTES
