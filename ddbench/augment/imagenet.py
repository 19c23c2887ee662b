"""Image-side augmentation of the ImageNet protocols: random resized crop, flip, colour jitter, PCA lighting.

Papers: Krizhevsky, Sutskever, Hinton, NIPS 2012 (PCA lighting); Szegedy et al., "Going Deeper with Convolutions", CVPR
2015 (random resized crop). Checked against: vimar-gu/MinimaxDiffusion, data.py (`transform_imagenet`: order and
constants) and misc/utils.py (`ColorJitter`, `Lighting`); torchvision's RandomResizedCrop, which it uses.
Differs from it: all images of a batch at once, on the device; parameters are drawn on the host from the generator
handed in, so that one seed gives the same augmentation on every device and nothing waits for it. A crop's offset is
floor(u * places) of a uniform u.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.augment.placement import draw_offsets, draw_patches, padded_crop, shuffle_patches
from ddbench.errors import BadInputError
from ddbench.training_recipe import ImageAugmentation

GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue (misc/utils.py, Grayscale; ITU-R BT.601)
# Principal components of ImageNet's colours, one per column, and their eigenvalues (data.py, after AlexNet).
LIGHTING_VALUES = (0.2175, 0.0188, 0.0045)
LIGHTING_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
ASPECT = (3 / 4, 4 / 3)  # torchvision's default range of width / height
CROP_TRIES = 10  # torchvision's: the whole image where no try fits
BRIGHTNESS, CONTRAST, SATURATION = range(3)


@dataclass(frozen=True)
class ImageNetDraw:
    """One drawn augmentation of B images.

    Attributes:
        boxes: (B, 4) float32: top, left, height and width of each crop, whole pixels.
        flips: (B,) bool.
        order: (B, 3) int64: which of brightness, contrast and saturation comes first, second, third.
        weights: (B, 3) float32: how far each of the three steps goes.
        lighting: (B, 3) float32: weights of the principal components.
    """

    boxes: Tensor
    flips: Tensor
    order: Tensor
    weights: Tensor
    lighting: Tensor

    def to(self, device: torch.device) -> ImageNetDraw:
        """Return the draw on `device`, sent without waiting."""
        names = ("boxes", "flips", "order", "weights", "lighting")
        return ImageNetDraw(*(getattr(self, name).to(device, non_blocking=True) for name in names))


def draw_imagenet(generator: torch.Generator, recipe: ImageAugmentation, num_images: int, side: int) -> ImageNetDraw:
    """Draw the augmentation of `num_images` square images of `side` pixels from a CPU generator."""
    boxes = _draw_boxes(generator, recipe.crop_area, num_images, side)
    flips = torch.rand(num_images, generator=generator) < recipe.flip
    order = torch.rand(num_images, 3, generator=generator).argsort(1)
    weights = (torch.rand(num_images, 3, generator=generator) * 2 - 1) * recipe.jitter
    lighting = torch.randn(num_images, 3, generator=generator) * recipe.lighting
    return ImageNetDraw(boxes, flips, order, weights, lighting)


def apply_imagenet(pixels: Tensor, draw: ImageNetDraw, recipe: ImageAugmentation | None = None) -> Tensor:
    """Apply a draw to (B, C, S, S) float pixels in [0, 1]; the result is not clamped and may leave that range.

    Args:
        pixels: of 3 channels where colours are changed.
        draw: what to do.
        recipe: what it was drawn from; steps that it has none of are left out.

    Raises:
        BadInputError: the images have no three channels, and colours are to be changed.
    """
    draw = draw.to(pixels.device)
    cropped = pixels if recipe and recipe.crop_area == (1.0, 1.0) else resized_crop(pixels, draw.boxes)
    flipped = torch.where(draw.flips.view(-1, 1, 1, 1), cropped.flip(3), cropped)
    if recipe and not changes_colours(recipe):
        return flipped
    if pixels.shape[1] != 3:
        raise BadInputError(
            f"the ImageNet protocols change colours and need images of 3 channels, got {pixels.shape[1]}; use dsa or dc"
        )
    return add_lighting(jitter_colours(flipped, draw.order, draw.weights), draw.lighting)


def changes_colours(recipe: ImageAugmentation) -> bool:
    """Return whether colours are changed, which takes images of 3 channels."""
    return bool(recipe.jitter or recipe.lighting)


def imagenet_augment(pixels: Tensor, generator: torch.Generator, recipe: ImageAugmentation) -> Tensor:
    """Return (B, C, S, S) augmented pixels; `pixels` are float in [0, 1], the generator is the CPU's."""
    count, side = len(pixels), pixels.shape[-1]
    if recipe.grid > 1:
        pixels = shuffle_patches(pixels, draw_patches(generator, recipe.grid, count))
    if recipe.padding:
        pixels = padded_crop(pixels, draw_offsets(generator, recipe.padding, count), recipe.padding)
    return apply_imagenet(pixels, draw_imagenet(generator, recipe, count, side), recipe)


def resized_crop(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Scale crops of (B, C, S, S) images up to (B, C, S, S), bilinearly; `boxes` (B, 4) as in `ImageNetDraw`.

    What lies outside a crop does not enter: at its rim the outermost pixel is repeated, as F.interpolate does.
    """
    side = pixels.shape[-1]
    steps = (torch.arange(side, device=pixels.device, dtype=pixels.dtype) + 0.5) / side
    top, left, height, width = boxes.to(pixels.dtype).unbind(1)

    def places(start: Tensor, length: Tensor) -> Tensor:
        """Places of the S samples in grid_sample's units, (B, S)."""
        inside = (steps * length[:, None] - 0.5).clamp(min=0).minimum(length[:, None] - 1)
        return (2 * (start[:, None] + inside) + 1) / side - 1

    rows, columns = places(top, height), places(left, width)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, side, -1), rows[:, :, None].expand(-1, -1, side)],
        dim=3,
    )
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def jitter_colours(pixels: Tensor, order: Tensor, weights: Tensor) -> Tensor:
    """Interpolate (B, 3, S, S) pixels towards black, their mean grey and their own grey, in each image's order.

    Args:
        pixels: float in [0, 1].
        order: (B, 3) int64, permutations of BRIGHTNESS, CONTRAST, SATURATION.
        weights: (B, 3), of the step taken first, second, third: 0 leaves the image, 1 is the target, below 0 goes away
            from it.
    """
    colours = _constant(GREY, pixels).view(1, 3, 1, 1)
    for step in range(3):
        kind, weight = order[:, step].view(-1, 1, 1, 1), weights[:, step].view(-1, 1, 1, 1)
        grey = (pixels * colours).sum(1, keepdim=True)
        target = torch.where(kind == CONTRAST, grey.mean((1, 2, 3), keepdim=True), grey)
        target = torch.where(kind == BRIGHTNESS, torch.zeros_like(target), target)
        pixels = pixels + weight * (target - pixels)
    return pixels


def add_lighting(pixels: Tensor, weights: Tensor) -> Tensor:
    """Add the principal components of ImageNet colours to (B, 3, S, S) pixels, times eigenvalue and weights (B, 3)."""
    components = _constant(LIGHTING_VECTORS, pixels) * _constant(LIGHTING_VALUES, pixels)
    return pixels + (weights.to(pixels.dtype) @ components.T).view(-1, 3, 1, 1)


def _constant(values: object, like: Tensor) -> Tensor:
    """Return numbers as a tensor of `like`'s type and device, made on the host: elsewhere it would be waited for."""
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)


def _draw_boxes(generator: torch.Generator, area: tuple[float, float], num_images: int, side: int) -> Tensor:
    """Draw crops as torchvision's RandomResizedCrop does: the first of ten tries that fits, else the whole image."""
    tries = torch.rand(num_images, CROP_TRIES, 2, generator=generator, dtype=torch.float64)
    offsets = torch.rand(num_images, 2, generator=generator, dtype=torch.float64)
    areas = (area[0] + (area[1] - area[0]) * tries[..., 0]) * side**2
    low, high = (math.log(bound) for bound in ASPECT)
    aspects = (low + (high - low) * tries[..., 1]).exp()
    widths, heights = (areas * aspects).sqrt().round(), (areas / aspects).sqrt().round()
    fits = (widths > 0) & (widths <= side) & (heights > 0) & (heights <= side)
    first = fits.to(torch.int8).argmax(1, keepdim=True)  # of several equal ones the first
    sizes = torch.cat([heights.gather(1, first), widths.gather(1, first)], 1)
    sizes = torch.where(fits.any(1, keepdim=True), sizes, torch.full_like(sizes, side))
    starts = (offsets * (side - sizes + 1)).floor()
    return torch.cat([starts, sizes], 1).float()
