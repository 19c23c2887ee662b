"""A picture of a distilled set: one row per class, one column per image."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddbench.augment.pixels import as_bytes, as_pixels
from ddbench.host.files import staged_file
from ddbench.records import DatasetInfo, DistilledDataset

COLUMNS = 10  # images shown per class; more would be too small to see
MIN_SIDE = 48  # pixels an image is enlarged to at least
GAP = 2
BACKGROUND = (255, 255, 255)


def save_grid(distilled: DistilledDataset, info: DatasetInfo, path: Path) -> Path:
    """Write a PNG with the first images of every class and return its path.

    For display only: values outside the pixel range are clipped and small images enlarged without smoothing.

    Raises:
        BadInputError: a place that cannot be written to.
    """
    pixels = display_pixels(distilled, info)
    rows = [(distilled.classes == label).nonzero(as_tuple=True)[0][:COLUMNS] for label in range(distilled.num_classes)]
    scale = max(1, -(-MIN_SIDE // pixels.shape[-1]))
    side = pixels.shape[-1] * scale
    margin = _text_width(info.class_names) + 4 * GAP
    width = margin + max(len(row) for row in rows) * (side + GAP) + GAP
    canvas = Image.new("RGB", (width, len(rows) * (side + GAP) + GAP), BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    for index, row in enumerate(rows):
        top = GAP + index * (side + GAP)
        pen.text((GAP, top + side // 2), info.class_names[index], fill=(0, 0, 0), anchor="lm")
        for column, image in enumerate(pixels[row]):
            tile = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(tile, (margin + column * (side + GAP), top))
    with staged_file(path) as temporary:
        canvas.save(temporary, format="PNG")
    return path


def display_pixels(distilled: DistilledDataset, info: DatasetInfo) -> Tensor:
    """Return (M, 3, H, W) uint8 pixels for viewing, whatever space the set is in; values are clipped."""
    images = as_bytes(as_pixels(distilled, info))
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _text_width(names: tuple[str, ...]) -> int:
    font = ImageFont.load_default()
    return max(int(font.getlength(name)) for name in names)
