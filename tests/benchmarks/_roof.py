"""The roof of what convolutions bound: the same convolutions alone, forward and backward, on channels-last tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddbench.network import InputShape, make_network

CHUNK = 25  # images per call: larger ones leave the cache, and the roof would be lower


def convolution_roof(
    num_images: int,
    *,
    network: str = "convnet-d3",
    shape: InputShape | None = None,
    trains: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Callable[[], None]:
    """Return a function that passes `num_images` through a network's convolutions alone, each on maps of its size.

    The gradient by the images is left out, as a student's training does.
    """
    built = make_network(network, shape or InputShape(3, 32, 10), torch.Generator().manual_seed(0))
    chunk = min(CHUNK, num_images)
    layers = [_Layer(conv, maps, dtype) for conv, maps in _maps_of(built, chunk, shape or InputShape(3, 32, 10))]

    def run() -> None:
        for _ in range(round(num_images / chunk)):
            for index, layer in enumerate(layers):
                layer.forward()
                if trains:
                    layer.backward(by_maps=index > 0)

    return run


class _Layer:
    """One convolution, its input, and a gradient of its output."""

    def __init__(self, conv: nn.Conv2d, maps: Tensor, dtype: torch.dtype) -> None:
        last = torch.channels_last
        self.padding = [int(side) for side in conv.padding]
        self.maps = torch.rand_like(maps).to(dtype).contiguous(memory_format=last)
        self.weight = conv.weight.detach().to(dtype).contiguous(memory_format=last)
        self.bias = conv.bias.detach().to(dtype)
        self.gradient = torch.rand_like(self.forward()).contiguous(memory_format=last)

    def forward(self) -> Tensor:
        return F.conv2d(self.maps, self.weight, self.bias, padding=self.padding)

    def backward(self, *, by_maps: bool) -> None:
        torch.ops.aten.convolution_backward(
            self.gradient,
            self.maps,
            self.weight,
            [len(self.bias)],
            [1, 1],
            self.padding,
            [1, 1],
            False,
            [0, 0],
            1,
            [by_maps, True, True],
        )


def _maps_of(network: nn.Module, count: int, shape: InputShape) -> list[tuple[nn.Conv2d, Tensor]]:
    """Return each convolution of a network with the maps that it is given for `count` images."""
    found: list[tuple[nn.Conv2d, Tensor]] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda conv, inputs: found.append((conv, inputs[0])))
    with torch.no_grad():
        network(torch.rand(count, shape.channels, shape.image_size, shape.image_size))
    return found
