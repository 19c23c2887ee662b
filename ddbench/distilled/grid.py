"""A picture of a distilled set: one row per class, one column per image."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.distilled.pixels import as_bytes, as_pixels
from ddbench.errors import BadInputError
from ddbench.facts import facts_html
from ddbench.host.files import staged_file
from ddbench.images import DatasetInfo

COLUMNS = 10  # images shown per class; more would be too small to see
ROWS = 100  # classes shown; more make a picture that few programs open
FEW_ROWS = 10  # classes shown in a notebook's own view of a set
MIN_SIDE = 48  # pixels an image is enlarged to at least
MOST_SIDE = 4096  # pixels of the picture; beyond, images are made smaller
LONGEST_NAME = 32  # letters of a class's name
GAP = 2
LINE = 16  # pixels of a line of text
BACKGROUND, INK = (255, 255, 255), (0, 0, 0)


def save_grid(distilled: DistilledDataset, info: DatasetInfo, path: Path) -> Path:
    """Write a PNG of the set, as `draw_grid` draws it, and return its path.

    Raises:
        BadInputError: a place that cannot be written to, or a set that holds no images.
    """
    picture = draw_grid(distilled, info)
    with staged_file(path) as temporary:
        picture.save(temporary, format="PNG")
    return path


def draw_grid(distilled: DistilledDataset, info: DatasetInfo | None = None, rows: int = ROWS) -> Image.Image:
    """Return a picture with the first images of every class, at most 4,096 pixels a side.

    For display only: values outside the pixel range are clipped, small images enlarged without smoothing. What is left
    out is said below: classes beyond `rows`, which are taken at equal distances, and images beyond ten of a class.

    Args:
        distilled: the set, in any space.
        info: of its data set; without it classes have the names that the set knows, and the colours of a normalised
            set are stretched.
        rows: classes shown at the most.

    Raises:
        BadInputError: a set that holds no images, for it is the real training split.
    """
    if distilled.is_streamed:
        raise BadInputError("this set is the real training split itself and holds no images to show")
    info = stand_in(distilled) if info is None else info
    if (info.num_classes, info.channels) != (distilled.num_classes, distilled.images.shape[1]):
        raise BadInputError(
            f"info is of {info.name or 'a data set'} with {info.num_classes} classes and {info.channels} channels, the "
            f"set has {distilled.num_classes} and {distilled.images.shape[1]}; give that of its own data set, or none"
        )
    labels, filled = shown_classes(distilled.num_classes, rows), sorted(set(distilled.classes.tolist()))
    if not set(labels) & set(filled):  # of an uneven set
        labels = filled[:rows]
    members = [(distilled.classes == label).nonzero(as_tuple=True)[0][:COLUMNS] for label in labels]
    chosen = torch.cat(members)
    images, classes = distilled.images[chosen], distilled.classes[chosen]
    few = replace(distilled, images=images, labels=classes, ipc=None, uneven=False, decode_factor=1)
    names = [_shortened(info.class_names[label]) for label in labels]
    left_out = _left_out(distilled, len(labels))
    pixels = display_pixels(few, info)
    margin = _text_width(names) + 4 * GAP
    side = _side(pixels.shape[-1], len(labels), max(map(len, members)), margin, LINE * len(left_out))
    width = max(
        margin + max(map(len, members)) * (side + GAP) + GAP, _text_width(left_out) + 2 * GAP if left_out else 0
    )
    height = len(labels) * (side + GAP) + GAP
    canvas = Image.new("RGB", (width, height + LINE * len(left_out)), BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    for row, of_class in enumerate(pixels.split([len(found) for found in members])):
        top = GAP + row * (side + GAP)
        pen.text((GAP, top + side // 2), names[row], fill=INK, anchor="lm")
        for column, image in enumerate(of_class):
            tile = Image.fromarray(image.permute(1, 2, 0).numpy())
            smooth = Image.Resampling.LANCZOS if side < tile.width else Image.Resampling.NEAREST
            canvas.paste(tile.resize((side, side), smooth), (margin + column * (side + GAP), top))
    for line, words in enumerate(left_out):
        pen.text((GAP, height + LINE * line + LINE // 2), words, fill=INK, anchor="lm")
    return canvas


def html_of(distilled: DistilledDataset, words: str) -> str:
    """Return what a notebook shows of a set: what it is, where it comes from, a few of its images."""
    origin = distilled.provenance
    known = ("method", "dataset", "distill_seed", "config")
    facts = {"set": words, "space": distilled.space, "student lr": distilled.student_lr}
    facts |= {name.replace("distill_", ""): origin[name] for name in known if origin.get(name) not in (None, {})}
    picture = ""
    if not distilled.is_streamed:
        content = BytesIO()
        draw_grid(distilled, None, FEW_ROWS).save(content, format="PNG")
        picture = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    return facts_html("Distilled set", facts, picture)


def shown_classes(num_classes: int, rows: int = ROWS) -> list[int]:
    """Return the labels that have a row: all of them, or so many at equal distances."""
    return [row * num_classes // rows for row in range(rows)] if num_classes > rows else list(range(num_classes))


def display_pixels(distilled: DistilledDataset, info: DatasetInfo) -> Tensor:
    """Return (M, 3, H, W) uint8 pixels for viewing, whatever space the set is in; values are clipped."""
    images = as_bytes(as_pixels(distilled, info))
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def stand_in(distilled: DistilledDataset) -> DatasetInfo:
    """Return an info with the class names that a set knows, whose mean and std bring each channel to [0, 1]."""
    images = distilled.images.float()
    low, high = images.amin((0, 2, 3)), images.amax((0, 2, 3))
    std = (high - low).clamp(min=1e-6).reciprocal()
    known = distilled.provenance.get("class_names")
    plain = tuple(f"class {label}" for label in range(distilled.num_classes))
    names = tuple(known) if known is not None and len(known) == len(plain) else plain
    mean = tuple((-low * std).tolist())
    return DatasetInfo("", names, images.shape[1], images.shape[-1], mean, tuple(std.tolist()), "")


def _left_out(distilled: DistilledDataset, rows: int) -> list[str]:
    """Return lines about what there is no room for."""
    lines = []
    if rows < distilled.num_classes:
        lines.append(f"{rows} of {distilled.num_classes:,} classes")
    most = int(distilled.classes.bincount(minlength=distilled.num_classes).max())
    if most > COLUMNS:
        lines.append(f"the first {COLUMNS} of {'up to ' if distilled.uneven else ''}{most:,} images of a class")
    return lines


def _side(side: int, rows: int, columns: int, margin: int, below: int) -> int:
    """Return the pixels of a side that an image is shown at: enlarged by a whole number, or smaller to fit."""
    wanted = side * max(1, -(-MIN_SIDE // side))
    fits = min((MOST_SIDE - below - GAP) // rows, (MOST_SIDE - margin - GAP) // columns) - GAP
    return wanted if wanted <= fits else max(1, fits // side * side or fits)


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _text_width(names: Sequence[str]) -> int:
    font = ImageFont.load_default()
    return max(int(font.getlength(name)) for name in names)
