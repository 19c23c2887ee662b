"""A distilled set's images as pixels, whatever space they are in."""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.augment.zca import unwhiten
from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import DatasetInfo


def as_pixels(distilled: DistilledDataset, info: DatasetInfo) -> Tensor:
    """Return the images on the CPU as (M, C, H, W): uint8 as they are, or float32 pixels, not clipped to [0, 1]."""
    images = distilled.images.cpu()
    if images.dtype == torch.uint8:
        return images
    if distilled.whitening is not None:
        return unwhiten(images, distilled.whitening)
    return images.float() if distilled.space == "pixels" else info.to_pixels(images.float())


def as_bytes(pixels: Tensor) -> Tensor:
    """Return pixels as uint8: those of float images clipped to [0, 1] and rounded."""
    return pixels if pixels.dtype == torch.uint8 else pixels.clamp(0, 1).mul(255).round().to(torch.uint8)
