"""One image as PNG."""

from __future__ import annotations

import io

from PIL import Image
from torch import Tensor


def as_png(image: Tensor) -> bytes:
    """Return a (C, H, W) uint8 image of 1 or 3 channels as the bytes of a PNG file, without loss."""
    array, buffer = image.permute(1, 2, 0).numpy(), io.BytesIO()
    Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0]).save(buffer, "PNG")
    return buffer.getvalue()
