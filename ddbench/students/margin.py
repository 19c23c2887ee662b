"""Test images as ImageNet's protocols see them: scaled to a little more than the network's size, the middle taken.

Checked against: LINs-lab/RDED, validation/main.py: Resize(side // 7 * 8), CenterCrop(side): 256 px for 224, 144 for
128, 72 for 64, and nothing for 32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from ddbench.images import ImageSource, LabeledImages


def with_margin(split: LabeledImages) -> LabeledImages:
    """Return a split whose images are the middle of larger ones: read so from its files, else scaled up from its own.

    Where the larger images would have the same size, the split itself.
    """
    side = split.info.image_size
    wide = side // 7 * 8
    if wide <= side:
        return split
    if split.load_at is not None:
        return replace(split, images=Middle(split.at_size(wide).images, side), load_at=None)
    return replace(split, images=Middle(Enlarged(split.images, wide), side), load_at=None)


@dataclass(frozen=True, eq=False)
class _AtSide:
    """Images of a source brought to another side length."""

    source: ImageSource
    side: int

    @property
    def shape(self) -> torch.Size:
        """(N, C, side, side)."""
        return torch.Size((*self.source.shape[:2], self.side, self.side))


class Middle(_AtSide):
    """The middle `side` by `side` pixels of every image of a source, as torchvision's CenterCrop takes them."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """Return the images at `indices` (n,) int64 as (n, C, side, side) uint8."""
        start = round((self.source.shape[-1] - self.side) / 2)
        end = start + self.side
        return self.source[indices][:, :, start:end, start:end]


class Enlarged(_AtSide):
    """Every image of a source at `side` pixels: bilinear, antialiased, in uint8."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """Return the images at `indices` (n,) int64 as (n, C, side, side) uint8."""
        enlarged: Tensor = resize(self.source[indices], [self.side, self.side], antialias=True)
        return enlarged
