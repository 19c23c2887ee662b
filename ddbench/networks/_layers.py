"""Layers the network families share: norms by token, the padded first conv and residual stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ddbench.errors import BadInputError
from ddbench.network import InputShape

GROUPS = 4  # of group norm, as in VICO-UoE/DatasetCondensation

NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    # One group per channel is what the family calls instance norm; unlike InstanceNorm2d it is affine and stateless.
    "in": lambda width, side: nn.GroupNorm(width, width),
    "bn": lambda width, side: nn.BatchNorm2d(width),
    "ln": lambda width, side: nn.LayerNorm((width, side, side)),
    "gn": lambda width, side: nn.GroupNorm(GROUPS, width),
    "none": lambda width, side: nn.Identity(),
}


def make_norm(norm: str, width: int, side: int) -> nn.Module:
    """Return a norm for (B, width, side, side) maps.

    Args:
        norm: key of `NORMS`.
        width: channels of the maps.
        side: side length of the maps; layer norm has one weight per channel and place.

    Raises:
        BadInputError: maps that the norm would erase, or a width that group norm cannot split.
    """
    if norm == "in" and side < 2:
        raise BadInputError(
            "instance norm needs feature maps of at least 2x2, got 1x1, where it returns the same values for every "
            "image; use larger images, a shallower network or batch norm (bn)"
        )
    if norm == "gn" and width % GROUPS:
        raise BadInputError(f"group norm splits the width into {GROUPS} groups, got width {width}; use a multiple")
    return NORMS[norm](width, side)


def first_padding(kernel: int, shape: InputShape) -> int:
    """Return the first conv's padding: it keeps the size, but one-channel 28 px images become 32x32 maps.

    Source: VICO-UoE/DatasetCondensation, `networks.py`, where the padding depends on the channels alone because only
    28 px data sets have one channel there.
    """
    return kernel // 2 + (2 if (shape.channels, shape.image_size) == (1, 28) else 0)


def initialise_convs(network: nn.Module) -> None:
    """Draw conv weights from a zero-mean normal, variance 2 / (kernel area * output channels)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels)))


class ResidualBlock(nn.Module):
    """Two 3x3 convs beside a shortcut: (B, channels, side, side) -> (B, width, side / stride, side / stride).

    Args:
        channels: of the input.
        width: channels of the output.
        side: side length of the output maps.
        stride: 1 or 2.
        norm: key of `NORMS`.
        pooled: halve by 2x2 average pooling after stride-1 convs, instead of by strided convs.
    """

    def __init__(self, channels: int, width: int, side: int, stride: int, norm: str, *, pooled: bool) -> None:
        super().__init__()
        step = 1 if pooled else stride
        pool = nn.AvgPool2d(stride) if pooled and stride > 1 else nn.Identity()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=step, padding=1, bias=False),
            make_norm(norm, width, side),
            nn.ReLU(inplace=True),
            pool,
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            make_norm(norm, width, side),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride=step, bias=False), pool, make_norm(norm, width, side)
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return the rectified sum of both paths."""
        return F.relu(self.branch(images) + self.shortcut(images), inplace=True)


def make_stages(
    counts: Sequence[int], width: int, side: int, norm: str, *, pooled: bool
) -> tuple[nn.Sequential, int, int]:
    """Return four residual stages of widths 1, 2, 4, 8 times `width`, each but the first halving its maps.

    Args:
        counts: blocks per stage.
        width: channels of the input and of the first stage.
        side: side length of the input maps.
        norm: key of `NORMS`.
        pooled: see `ResidualBlock`; pooling rounds an odd side down, a strided conv rounds it up.

    Returns:
        The stages, and the channels and the side length of the maps they end with.
    """
    blocks: list[ResidualBlock] = []
    channels = width
    for stage, count in enumerate(counts):
        if stage > 0:
            side = side // 2 if pooled else (side + 1) // 2
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            blocks.append(ResidualBlock(channels, width << stage, side, stride, norm, pooled=pooled))
            channels = width << stage
    return nn.Sequential(*blocks), channels, side


def make_stem(shape: InputShape, width: int, norm: str, *, pooled: bool) -> tuple[nn.Sequential, int, str]:
    """Return a residual network's first layers, which shrink images by 1 (up to 64 px), 2 (up to 128 px) or 4.

    Source: snu-mllab/Efficient-Dataset-Condensation, `models/resnet.py` and `models/resnet_ap.py`.

    Args:
        shape: the input the network is for.
        width: channels of the output.
        norm: key of `NORMS`.
        pooled: shrink by average pooling instead of by a strided conv and max pooling.

    Returns:
        The layers, the side length of their output and a name for what was chosen.
    """
    large = shape.image_size > 128
    kernel, stride = (7, 1 if pooled else 2) if large else (3, 1)
    side = (shape.image_size - 1) // stride + 1
    name = f"{kernel}x{kernel} conv of stride {stride}"
    layers = [
        nn.Conv2d(shape.channels, width, kernel, stride=stride, padding=kernel // 2, bias=False),
        make_norm(norm, width, side),
        nn.ReLU(inplace=True),
    ]
    if shape.image_size > 64 and pooled:
        size = 4 if large else 2
        return nn.Sequential(*layers, nn.AvgPool2d(size)), side // size, f"{name}, {size}x{size} average pooling"
    if shape.image_size > 64:
        return nn.Sequential(*layers, nn.MaxPool2d(3, 2, 1)), (side + 1) // 2, f"{name}, 3x3 max pooling of stride 2"
    return nn.Sequential(*layers), side, name
