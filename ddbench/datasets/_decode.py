"""Encoded images (JPEG, PNG, WebP and the like) -> one uint8 tensor, decoded by a pool of threads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from ddbench.errors import DataMismatchError

_MODES = {1: "L", 3: "RGB"}
# Named, as Pillow otherwise tries every format it knows before WebP, which takes longer than decoding a small image.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")
_CHUNK = 256


def decode_images(
    encoded: Sequence[bytes | Path], names: Sequence[str], *, channels: int, size: int, resize: bool
) -> Tensor:
    """Return (N, channels, size, size) uint8 images in the order given.

    Args:
        encoded: one encoded image each, as bytes or as the file that holds them.
        names: what to call each image in an error.
        channels: 1 (grey) or 3 (RGB); an image of another kind is converted.
        size: side length in pixels.
        resize: scale the shorter side to `size` (bilinear, antialiased) and crop the centre; otherwise an image of
            another size is an error.

    Raises:
        DataMismatchError: an image that cannot be decoded or has the wrong size.
    """
    images = np.empty((len(encoded), channels, size, size), dtype=np.uint8)

    def decode_chunk(indices: range) -> None:
        for index in indices:
            pixels = _decode(encoded[index], names[index], channels, size, resize)
            images[index] = pixels.reshape(size, size, channels).transpose(2, 0, 1)

    workers = os.cpu_count() or 1
    # Chunks, as handing over images of a few hundred bytes one by one costs more than decoding them.
    length = max(1, min(_CHUNK, len(encoded) // (4 * workers)))
    chunks = [range(start, min(start + length, len(encoded))) for start in range(0, len(encoded), length)]
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode_chunk, chunks):
            pass
    return torch.from_numpy(images)


def _decode(encoded: bytes | Path, name: str, channels: int, size: int, resize: bool) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        with Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded, formats=_FORMATS) as source:
            image: Image.Image = source if source.mode == _MODES[channels] else source.convert(_MODES[channels])
            if image.size != (size, size) and resize:
                # On the Pillow image: its resizing is antialiased, and runs beside the other threads.
                image = functional.center_crop(functional.resize(image, [size]), [size, size])
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataMismatchError(f"cannot decode the image {name} ({error}); fetch or copy it again") from error
    if pixels.shape[:2] != (size, size):
        height, width = pixels.shape[:2]
        raise DataMismatchError(f"the image {name} should be {size}x{size}, found {width}x{height}; check the source")
    return pixels
