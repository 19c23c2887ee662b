"""A picture of a distilled set: one row per class, one column per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.pixels import as_bytes, as_pixels
from ddbench.host.files import staged_file
from ddbench.images import DatasetInfo

COLUMNS = 10  # images shown per class; more would be too small to see
ROWS = 100  # classes shown; more make a picture that few programs open
MIN_SIDE = 48  # pixels an image is enlarged to at least
GAP = 2
BACKGROUND = (255, 255, 255)


def save_grid(distilled: DistilledDataset, info: DatasetInfo, path: Path) -> Path:
    """Write a PNG with the first images of every class and return its path; of many classes 100 have a row.

    For display only: values outside the pixel range are clipped and small images enlarged without smoothing.

    Raises:
        BadInputError: a place that cannot be written to.
    """
    classes = shown_classes(distilled.num_classes)
    rows = [(distilled.classes == label).nonzero(as_tuple=True)[0][:COLUMNS] for label in classes]
    chosen = torch.cat(rows)
    few = replace(distilled, images=distilled.images[chosen], labels=distilled.classes[chosen], ipc=None, uneven=False)
    pixels = display_pixels(few, info)
    scale = max(1, -(-MIN_SIDE // pixels.shape[-1]))
    side = pixels.shape[-1] * scale
    tiles = pixels.split([len(row) for row in rows])
    names = [info.class_names[label] for label in classes]
    margin = _text_width(names) + 4 * GAP
    width = margin + max(len(row) for row in rows) * (side + GAP) + GAP
    canvas = Image.new("RGB", (width, len(rows) * (side + GAP) + GAP), BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    for index, of_class in enumerate(tiles):
        top = GAP + index * (side + GAP)
        pen.text((GAP, top + side // 2), names[index], fill=(0, 0, 0), anchor="lm")
        for column, image in enumerate(of_class):
            tile = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(tile, (margin + column * (side + GAP), top))
    with staged_file(path) as temporary:
        canvas.save(temporary, format="PNG")
    return path


def shown_classes(num_classes: int) -> list[int]:
    """Return the labels that have a row: all of them, or 100 at equal distances."""
    return [row * num_classes // ROWS for row in range(ROWS)] if num_classes > ROWS else list(range(num_classes))


def display_pixels(distilled: DistilledDataset, info: DatasetInfo) -> Tensor:
    """Return (M, 3, H, W) uint8 pixels for viewing, whatever space the set is in; values are clipped."""
    images = as_bytes(as_pixels(distilled, info))
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _text_width(names: Sequence[str]) -> int:
    font = ImageFont.load_default()
    return max(int(font.getlength(name)) for name in names)
