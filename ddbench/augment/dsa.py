"""DSA: differentiable Siamese augmentation of normalised images.

Paper: Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021 (arXiv 2102.08259).
Checked against: VICO-UoE/DatasetCondensation (mode "single", the one its tables use).
Differs from it: strategy and parameters are drawn on the host from the generator handed in and sent to the device
without waiting, so that the same seed gives the same augmentation on every device and nothing synchronises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.augment.strategies import DSA_STRATEGY
from ddbench.errors import BadInputError

BRIGHTNESS = 1.0  # width of the uniform shift
SATURATION = 2.0  # largest factor on the distance to the pixel's channel mean
CONTRAST = 0.5  # smallest factor on the distance to the image's mean; the largest is 1.5
CROP_RATIO = 0.125  # largest shift, as a fraction of the side
CUTOUT_RATIO = 0.5  # side of the square, as a fraction of the image's
FLIP_PROBABILITY = 0.5
SCALE_RATIO = 1.2
ROTATE_DEGREES = 15.0


@dataclass(frozen=True)
class Draw:
    """One drawn augmentation: the strategy's name and its numbers, (B, p) float32 or, when Siamese, (1, p)."""

    strategy: str
    params: Tensor


def draw_dsa(generator: torch.Generator, strategy: str, num_images: int, *, siamese: bool = False) -> Draw:
    """Draw one strategy of the list, uniformly, and its parameters.

    Args:
        generator: a CPU generator.
        strategy: names joined by `_`, from `color crop cutout flip scale rotate`.
        num_images: B, how many parameter sets to draw; one where `siamese`.
        siamese: one parameter set for all images, so that the draw can be replayed on a batch of any size.

    Raises:
        BadInputError: an unknown strategy, or a generator that is not on the CPU.
    """
    names = strategy.split("_")
    unknown = [name for name in names if name not in _STRATEGIES]
    if unknown:
        raise BadInputError(f"DSA strategy must join {', '.join(_STRATEGIES)} by '_', got {unknown[0]!r}")
    if generator.device.type != "cpu":
        raise BadInputError(f"DSA draws on the host: pass a CPU generator, got one on {generator.device}")
    name = names[int(torch.randint(len(names), (), generator=generator))]
    num_params, _ = _STRATEGIES[name]
    return Draw(name, torch.rand(1 if siamese else num_images, num_params, generator=generator))


def apply_dsa(images: Tensor, draw: Draw) -> Tensor:
    """Apply a draw to (B, C, H, W) normalised float images; differentiable, same shape and device.

    Raises:
        BadInputError: the draw holds parameters for another number of images and is not Siamese.
    """
    if draw.params.shape[0] not in (1, images.shape[0]):
        raise BadInputError(
            f"a draw for {draw.params.shape[0]} images cannot be replayed on {images.shape[0]}; draw with siamese=True"
        )
    _, augment = _STRATEGIES[draw.strategy]
    params = draw.params.to(device=images.device, dtype=images.dtype, non_blocking=True)
    return augment(images, params)


def dsa_augment(
    images: Tensor,
    generator: torch.Generator,
    strategy: str = DSA_STRATEGY,
    siamese: bool = False,
    params: Draw | None = None,
) -> Tensor:
    """Return (B, C, H, W) augmented images.

    Args:
        images: (B, C, H, W) float, normalised.
        generator: a CPU generator; not used where `params` is given.
        strategy: names joined by `_`; one of them is drawn for the whole batch.
        siamese: draw one parameter set for the whole batch instead of one per image.
        params: an earlier `draw_dsa` to replay, instead of drawing.
    """
    draw = params or draw_dsa(generator, strategy, images.shape[0], siamese=siamese)
    return apply_dsa(images, draw)


def _color(images: Tensor, params: Tensor) -> Tensor:
    brightness, saturation, contrast = params.view(-1, 3, 1, 1, 1).unbind(1)
    images = images + (brightness - 0.5) * BRIGHTNESS
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (saturation * SATURATION) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + CONTRAST) + mean


def _crop(images: Tensor, params: Tensor) -> Tensor:
    side = images.shape[-2:]
    pads = [int(length * CROP_RATIO + 0.5) for length in side]
    # Whole-pixel shifts in -pad..pad, counted from the padded image's corner.
    starts = [_whole(params[:, axis], 2 * pad + 1).long() for axis, pad in enumerate(pads)]
    rows, columns = (
        start.view(-1, 1) + torch.arange(length, device=images.device)
        for start, length in zip(starts, side, strict=True)
    )
    padded = F.pad(images, (pads[1], pads[1], pads[0], pads[0]))
    if params.shape[0] == 1:
        return padded.index_select(2, rows[0]).index_select(3, columns[0])
    batch = torch.arange(images.shape[0], device=images.device)
    # Advanced indices around a slice put the indexed axes first: (B, H, W, C).
    return padded[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(images: Tensor, params: Tensor) -> Tensor:
    inside = []
    for axis, side in enumerate(images.shape[-2:]):
        square = int(side * CUTOUT_RATIO + 0.5)
        # An even square's centre may lie one past the last pixel, an odd one's may not.
        first = _whole(params[:, axis], side + 1 - square % 2) - square // 2
        position = torch.arange(side, device=images.device)
        inside.append((position >= first[:, None]) & (position < first[:, None] + square))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hole, 0)


def _flip(images: Tensor, params: Tensor) -> Tensor:
    return torch.where(params.view(-1, 1, 1, 1) < FLIP_PROBABILITY, images.flip(3), images)


def _scale(images: Tensor, params: Tensor) -> Tensor:
    factors = params * (SCALE_RATIO - 1 / SCALE_RATIO) + 1 / SCALE_RATIO
    zeros = torch.zeros_like(factors[:, 0])
    rows = [torch.stack([factors[:, 0], zeros, zeros], 1), torch.stack([zeros, factors[:, 1], zeros], 1)]
    return _resample(images, torch.stack(rows, 1))


def _rotate(images: Tensor, params: Tensor) -> Tensor:
    angle = (params[:, 0] - 0.5) * 2 * math.radians(ROTATE_DEGREES)
    cos, sin, zeros = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _resample(images, torch.stack([torch.stack([cos, -sin, zeros], 1), torch.stack([sin, cos, zeros], 1)], 1))


def _whole(uniform: Tensor, count: int) -> Tensor:
    """Turn uniform numbers in [0, 1) into whole ones in 0..count-1; the clamp catches u * count rounded up to count."""
    return (uniform * count).floor().clamp(max=count - 1)


def _resample(images: Tensor, theta: Tensor) -> Tensor:
    """Sample (B, C, H, W) images bilinearly on affine grids (B or 1, 2, 3), zeros outside."""
    theta = theta.expand(images.shape[0], -1, -1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


_STRATEGIES: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "color": (3, _color),
    "crop": (2, _crop),
    "cutout": (2, _cutout),
    "flip": (1, _flip),
    "scale": (2, _scale),
    "rotate": (1, _rotate),
}
