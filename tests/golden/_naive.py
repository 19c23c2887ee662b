"""What the methods share, written out in float64: ConvNet, cross entropy, draws and DSA. Nothing of ddbench is used.

Convolutions and resampling are sums in plain loops, so that `torch.autograd` goes through them twice where needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

NUMBERS = {"color": 3, "crop": 2, "cutout": 2, "flip": 1, "scale": 2, "rotate": 1}
Parameters = Sequence[Tensor]


def convolved(maps: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution with a border of zeros."""
    _, _, height, width = maps.shape
    padded = torch.nn.functional.pad(maps, (1, 1, 1, 1))
    total = bias.view(-1, 1, 1)
    for down in range(3):
        for right in range(3):
            shifted = padded[:, :, down : down + height, right : right + width]
            total = total + torch.einsum("bchw,dc->bdhw", shifted, kernel[:, :, down, right])
    return total


def logits_of(parameters: Parameters, images: Tensor) -> Tensor:
    """A ConvNet of the DC family: conv, instance norm, ReLU, 2x2 mean, as often as there are parameters; then linear.

    `parameters` are kernel, bias, norm's weight and bias of each block, and matrix and bias of the last layer.
    """
    *blocks, matrix, bias = parameters
    maps = images
    for kernel, kernel_bias, weight, shift in zip(*(blocks[part::4] for part in range(4)), strict=True):
        maps = convolved(maps, kernel, kernel_bias)
        centred = maps - maps.mean((2, 3), keepdim=True)
        deviation = (centred.pow(2).mean((2, 3), keepdim=True) + 1e-5).sqrt()
        maps = (centred / deviation * weight.view(-1, 1, 1) + shift.view(-1, 1, 1)).clamp(min=0)
        corners = [maps[:, :, down::2, right::2] for down in range(2) for right in range(2)]
        maps = sum(corners) / 4
    return maps.flatten(1) @ matrix.T + bias


def loss_of(parameters: Parameters, images: Tensor, labels: Sequence[int]) -> Tensor:
    """Mean over images of minus the logarithm of the probability of their label."""
    losses = [
        row.exp().sum().log() - row[label] for row, label in zip(logits_of(parameters, images), labels, strict=True)
    ]
    return sum(losses) / len(losses)


def drawn(strategy: str, count: int, generator: torch.Generator) -> tuple[str, list[list[float]]]:
    """One name of the strategy, joined by `_`, and the uniform numbers of `count` images."""
    names = strategy.split("_")
    name = names[int(torch.randint(len(names), (), generator=generator))]
    return name, torch.rand(count, NUMBERS[name], generator=generator).tolist()


def augmented(images: Tensor, name: str, numbers: list[list[float]]) -> Tensor:
    """Images, (B, C, S, S), each augmented by its own row of numbers, or all by one."""
    rows = numbers * len(images) if len(numbers) == 1 else numbers
    return torch.stack([augment(image, name, row) for image, row in zip(images, rows, strict=True)])


def augment(image: Tensor, name: str, numbers: list[float]) -> Tensor:
    """One image, (C, S, S): its colour changed, or its pixels moved."""
    if name == "color":
        brightness, saturation, contrast = numbers
        image = image + (brightness - 0.5)
        grey = image.mean(0)
        image = grey + 2 * saturation * (image - grey)
        return image.mean() + (contrast + 0.5) * (image - image.mean())
    side = image.shape[-1]
    moved = torch.zeros(side * side, side * side, dtype=torch.float64)
    for place in range(side * side):
        for row, column, weight in sources(name, numbers, *divmod(place, side), side):
            if 0 <= row < side and 0 <= column < side:
                moved[place, row * side + column] += weight
    return (image.flatten(1) @ moved.T).view(image.shape)


def sources(name: str, numbers: list[float], row: int, column: int, side: int) -> list[tuple[int, int, float]]:
    """Which pixels make the one at (row, column), and their weights; those outside the image are zero."""
    if name == "flip":
        return [(row, side - 1 - column if numbers[0] < 0.5 else column, 1)]
    if name == "crop":
        pad = int(side * 0.125 + 0.5)
        down, right = (int(u * (2 * pad + 1)) - pad for u in numbers)
        return [(row + down, column + right, 1)]
    if name == "cutout":
        square = int(side * 0.5 + 0.5)
        tops = [int(u * (side + 1 - square % 2)) - square // 2 for u in numbers]
        is_cut = all(top <= place < top + square for place, top in zip((row, column), tops, strict=True))
        return [] if is_cut else [(row, column, 1)]
    # From the centre, half a side is one.
    y, x = ((2 * place + 1) / side - 1 for place in (row, column))
    if name == "scale":
        along_x, along_y = (1 / 1.2 + u * (1.2 - 1 / 1.2) for u in numbers)
        from_x, from_y = along_x * x, along_y * y
    else:
        angle = math.pi / 180 * (30 * numbers[0] - 15)
        from_x, from_y = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
    y, x = (((place + 1) * side - 1) / 2 for place in (from_y, from_x))
    corners = [(math.floor(y) + down, math.floor(x) + right) for down in range(2) for right in range(2)]
    return [(top, left, (1 - abs(y - top)) * (1 - abs(x - left))) for top, left in corners]
