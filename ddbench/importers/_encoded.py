"""Encoded images of one size -> a tensor."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.image_files.decode import decode_images
from ddbench.inputs.paths import check_regular


def decode_all(encoded: Sequence[bytes | Path], names: Sequence[str], channels: int) -> Tensor:
    """Return (N, channels, S, S) uint8 images, S being the side that all of them share.

    Raises:
        BadInputError: images of several sizes, or not square; one that is no image.
    """
    side = _common_side(encoded, names)
    return decode_images(encoded, names, channels=channels, size=side, resize=False)


def _common_side(encoded: Sequence[bytes | Path], names: Sequence[str]) -> int:
    sizes: Counter[tuple[int, int]] = Counter()
    for content, name in zip(encoded, names, strict=True):
        if isinstance(content, Path):
            check_regular(content, "image")  # a link may lead to a pipe, which never ends
        try:
            with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:  # its header
                sizes[image.size] += 1
        except Exception as error:  # Pillow's readers raise errors of every kind at damaged files
            raise BadInputError(f"cannot read the image {name}; copy it again, or remove it") from error
    (width, height), _ = sizes.most_common(1)[0]
    if len(sizes) > 1 or width != height:
        found = ", ".join(f"{count} of {w}x{h}" for (w, h), count in sizes.most_common(3))
        raise BadInputError(f"images of a set must be square and of one size, got {found}; resize them first")
    return width
