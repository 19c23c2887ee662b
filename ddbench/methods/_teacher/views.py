"""Views of images that teachers are shown: a part of each, shifted or enlarged, maybe mirrored and rolled."""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.augment.imagenet import draw_imagenet, resized_crop
from ddbench.augment.placement import draw_offsets, padded_crop
from ddbench.images import DatasetInfo
from ddbench.training_recipe import ImageAugmentation

SHIFTED_PART = 8  # of the side: 4 px of 32, 8 of 64


def enlarged(
    images: Tensor, info: DatasetInfo, least_area: float, generator: torch.Generator, *, alike: bool = True
) -> Tensor:
    """Return (B, C, S, S) float images of which a random part, of `least_area` at least, is enlarged, some mirrored.

    All of them in the same way, or each in its own where not `alike`.
    """
    crops = ImageAugmentation(crop_area=(least_area, 1.0), flip=0.5 * info.may_be_mirrored, jitter=0.0, lighting=0.0)
    draw = draw_imagenet(generator, crops, 1 if alike else len(images), info.image_size)
    cropped = resized_crop(images, draw.boxes.to(images.device).expand(len(images), 4))
    return _mirrored(cropped, draw.flips)


def shifted(images: Tensor, info: DatasetInfo, generator: torch.Generator, *, alike: bool = True) -> Tensor:
    """Return (B, C, S, S) images shifted by up to an eighth of the side, zeros moving in, half of them mirrored.

    All of them in the same way, or each in its own where not `alike`.
    """
    count, rim = 1 if alike else len(images), images.shape[-1] // SHIFTED_PART
    offsets = draw_offsets(generator, rim, count).expand(len(images), 2)
    flips = torch.rand(count, generator=generator) < 0.5 * info.may_be_mirrored
    return _mirrored(padded_crop(images, offsets, rim), flips)


def rolled(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return (B, C, S, S) images all rolled down and to the right by the same 0 to `most` pixels."""
    shifts = torch.randint(most + 1, (2,), generator=generator).tolist()
    return images.roll(shifts, (2, 3))


def _mirrored(images: Tensor, flips: Tensor) -> Tensor:
    """Return the images, those of the (B,) or (1,) `flips` mirrored."""
    return torch.where(flips.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
