"""Encoded images (JPEG, PNG, WebP) -> one uint8 tensor, decoded by a pool of threads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddbench.errors import DataMismatchError

_MODES = {1: "L", 3: "RGB"}


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
    images = torch.empty((len(encoded), channels, size, size), dtype=torch.uint8)

    def decode_chunk(indices: range) -> None:
        for index in indices:
            images[index] = _decode(encoded[index], names[index], channels, size, resize)

    workers = os.cpu_count() or 1
    # Chunks, as handing over images of a few hundred bytes one by one costs more than decoding them.
    length = max(1, min(256, len(encoded) // (4 * workers)))
    chunks = [range(start, min(start + length, len(encoded))) for start in range(0, len(encoded), length)]
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode_chunk, chunks):
            pass
    return images


def _decode(encoded: bytes | Path, name: str, channels: int, size: int, resize: bool) -> Tensor:
    try:
        with Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded) as image:
            pixels = np.array(image.convert(_MODES[channels]))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataMismatchError(f"cannot decode the image {name}: {error}; fetch or copy it again") from error
    decoded = torch.from_numpy(pixels).view(*pixels.shape[:2], channels).permute(2, 0, 1)
    if decoded.shape[1:] == (size, size):
        return decoded
    if not resize:
        height, width = decoded.shape[1:]
        raise DataMismatchError(f"image {name} should be {size}x{size}, found {width}x{height}; check the source")
    return _resize_and_crop(decoded, size)


def _resize_and_crop(image: Tensor, size: int) -> Tensor:
    from torchvision.transforms.v2 import functional

    resized = functional.resize(image, [size], antialias=True)
    cropped: Tensor = functional.center_crop(resized, [size, size])
    return cropped
