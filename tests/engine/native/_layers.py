"""Layers of a native block, images for them, and their derivatives."""

import torch
from torch import nn

FORMS = {"pooled": {}, "rectified": {"pools": False}, "normed": {"pools": False, "rectifies": False}}
AFTER = {"pooled": [nn.ReLU(), nn.AvgPool2d(2)], "rectified": [nn.ReLU()], "normed": []}


def block_of(channels, width, dtype=torch.float64, bias=True, form="pooled"):
    """The layers of a block, with parameters that are nowhere 0 or 1."""
    norm = nn.GroupNorm(width, width)
    layers = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=bias), norm, *AFTER[form])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layers.to(dtype)


def derivatives(block, images, direction):
    images = images.clone(memory_format=torch.preserve_format).requires_grad_()
    pooled = block(images)
    return pooled.detach(), *torch.autograd.grad((pooled * direction).sum(), (images, *block.parameters()))


def drawn(shape, width, generator, dtype=torch.float64, form="pooled"):
    """Images, and a direction for the block's maps."""
    batch, _, *sides = shape
    sides = [side // 2 for side in sides] if form == "pooled" else sides
    direction = torch.randn(batch, width, *sides, generator=generator, dtype=dtype)
    return 2 + 3 * torch.randn(*shape, generator=generator, dtype=dtype), direction
