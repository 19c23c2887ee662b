"""Pixels moved and left as they are: patches that change places, and shifts by a crop of the padded image.

Checked against: LINs-lab/RDED, validation/utils.py (`ShufflePatches`); torchvision's RandomCrop(side, padding), which
the protocols for CIFAR use. Differs from them: all images of a batch at once, drawn on the host.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def draw_patches(generator: torch.Generator, grid: int, num_images: int) -> Tensor:
    """Draw the order of columns and of rows of each image's patches, (B, 2, grid) int64 permutations."""
    return torch.rand(num_images, 2, grid, generator=generator).argsort(2)


def shuffle_patches(images: Tensor, orders: Tensor) -> Tensor:
    """Return (B, C, S, S) images whose columns of patches stand in order `orders[:, 0]` and rows in `orders[:, 1]`.

    The last column and row are wider where the grid does not divide S.
    """
    grid, side = orders.shape[2], images.shape[-1]
    if grid == 1:
        return images
    width = side // grid
    pieces = torch.arange(side).tensor_split([width * at for at in range(1, grid)])
    moved = [torch.cat([pieces[at] for at in order]) for order in orders.flatten(0, 1).tolist()]
    columns, rows = torch.stack(moved).view(-1, 2, side).unbind(1)
    return _taken(images, rows, columns)


def draw_offsets(generator: torch.Generator, padding: int, num_images: int) -> Tensor:
    """Draw where crops begin in images padded by `padding` on all sides: (B, 2) int64 rows and columns."""
    return torch.randint(2 * padding + 1, (num_images, 2), generator=generator)


def padded_crop(images: Tensor, offsets: Tensor, padding: int) -> Tensor:
    """Return (B, C, S, S) crops of images with a rim of zeros: black where they are not normalised."""
    rows, columns = (offsets[:, axis, None] + torch.arange(images.shape[-1]) for axis in (0, 1))
    return _taken(F.pad(images, (padding,) * 4), rows, columns)


def _taken(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return (B, C, R, S) of (B, C, H, W) images: where each one's (B, R) rows and (B, S) columns meet."""
    rows, columns = (places.to(images.device, non_blocking=True) for places in (rows, columns))
    each = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
