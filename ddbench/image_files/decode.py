"""Encoded images (JPEG, PNG, WebP and the like) -> one uint8 tensor, decoded by a pool of threads.

Every picture comes out as it would be seen: turned as its EXIF orientation says, 16-bit grey scaled to 8 bits. Alpha is
dropped and not composited, as torchvision's ImageFolder and every loader of ImageNet do: under transparent pixels
stands the colour that the file has there. What has no certain range (32-bit integers, floats) or no certain picture
(several frames) is refused.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional

from ddbench.errors import DataMismatchError
from ddbench.host.threads import processors_at_hand

Pixels = np.ndarray[Any, np.dtype[Any]]

_MODES = {1: "L", 3: "RGB"}
# Named, as Pillow otherwise tries every format it knows before WebP, which takes longer than decoding a small image.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")
_CHUNK = 256
_MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)  # beyond twice its limit Pillow refuses to decode
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAY_TURN = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO, _SAMPLES, _SIGNED = 258, 262, 0, 339, 2  # of TIFF


def decode_images(
    encoded: Sequence[bytes | Path], names: Sequence[str], *, channels: int, size: int, resize: bool
) -> Tensor:
    """Return (N, channels, size, size) uint8 images in the order given.

    Args:
        encoded: one encoded image each, as bytes or as the file that holds them; its content says its format, not its
            name.
        names: what to call each image in an error.
        channels: 1 (grey) or 3 (RGB); an image of another kind is converted, as the module says.
        size: side length in pixels.
        resize: scale the shorter side to `size` (bilinear, antialiased) and crop the centre; otherwise an image of
            another size is an error.

    Raises:
        DataMismatchError: an image that cannot be decoded, holds several frames or values of no certain range, is too
            large, or has the wrong size.
    """
    images = np.empty((len(encoded), channels, size, size), dtype=np.uint8)

    def decode_chunk(indices: range) -> None:
        for index in indices:
            pixels = _decode(encoded[index], names[index], channels, size, resize)
            images[index] = pixels.reshape(size, size, channels).transpose(2, 0, 1)

    workers = cores()
    # Chunks, as handing over images of a few hundred bytes one by one costs more than decoding them.
    length = max(1, min(_CHUNK, len(encoded) // (4 * workers)))
    chunks = [range(start, min(start + length, len(encoded))) for start in range(0, len(encoded), length)]
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # Of Pillow, without the file's name: what it warns of is decoded, what it refuses is told below.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", message="Corrupt EXIF data|Truncated File Read|Metadata Warning")
        for _ in pool.map(decode_chunk, chunks):
            pass
    return torch.from_numpy(images)


def cores() -> int:
    """Return how many cores this process may use, which a cluster's scheduler or `taskset` may have limited.

    A thread a core: Pillow decodes and resizes beside other threads, so that processes would win nothing.
    """
    return len(processors_at_hand())


def _decode(encoded: bytes | Path, name: str, channels: int, size: int, resize: bool) -> Pixels:
    try:
        with Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded, formats=_FORMATS) as source:
            image = _upright(_as_mode(source, _MODES[channels], name))
            if image.size != (size, size) and resize:
                _check_shape(image, size, name)
                # On the Pillow image: its resizing is antialiased, and runs beside the other threads.
                image = functional.center_crop(functional.resize(image, [size]), [size, size])
            pixels = np.asarray(image)
    except (DataMismatchError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise DataMismatchError(
            f"cannot decode the image {name} (empty, damaged or not {', '.join(_FORMATS)}); fetch or copy it again, "
            "or convert it"
        ) from error
    except Exception as error:  # Pillow's readers raise errors of every kind at damaged files
        reason = str(error) or type(error).__name__
        raise DataMismatchError(f"cannot decode the image {name} ({reason}); fetch or copy it again") from error
    if pixels.shape[:2] != (size, size):
        height, width = pixels.shape[:2]
        raise DataMismatchError(f"the image {name} should be {size}x{size}, found {width}x{height}; check the source")
    return pixels


def _as_mode(source: Image.Image, mode: str, name: str) -> Image.Image:
    """Return a picture in mode `L` or `RGB`, loaded; raises DataMismatchError where what to show is not certain."""
    frames = getattr(source, "n_frames", 1)
    if frames > 1 and source.format != "MPO":  # a photograph with its preview: the first is the picture
        raise DataMismatchError(f"the image {name} holds {frames} frames, not one picture; save the one that is meant")
    if source.mode == "L" and _SIGNED in getattr(source, "tag_v2", {}).get(_SAMPLES, ()):  # Pillow takes no notice
        raise DataMismatchError(
            f"the image {name} holds signed integers, whose range is unknown; save it with 8 or 16 unsigned bits"
        )
    if source.mode == mode:
        source.load()
        return source
    image = source
    if source.mode.startswith("I;16") or (source.mode == "I" and source.format in ("PNG", "PPM")):
        image = _scale_to_8_bits(source)
    elif source.mode in ("I", "F"):
        kind = "32-bit integers" if source.mode == "I" else "floats"
        raise DataMismatchError(
            f"the image {name} holds {kind} (mode {source.mode}), whose range is unknown; save it with 8 or 16 bits"
        )
    elif source.mode == "P" and "transparency" in source.info:  # Pillow asks for it, the colours stay the same
        image = source.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)


def _scale_to_8_bits(source: Image.Image) -> Image.Image:
    """Return a 16-bit grey picture in mode `L`: v / 257, rounded; a TIFF may have fewer bits, and white at zero."""
    values, most, tags = np.asarray(source).astype(np.float64), 65535, getattr(source, "tag_v2", {})
    if source.format == "TIFF":
        most = 2 ** int(tags.get(_BITS, (16,))[0]) - 1
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            values = most - values
    scaled = Image.fromarray(np.floor(values * 255 / most + 0.5).clip(0, 255).astype(np.uint8))
    scaled.info = dict(source.info)
    return scaled


def _upright(image: Image.Image) -> Image.Image:
    """Return a picture turned as its EXIF orientation says, which Pillow itself does for TIFF alone."""
    if not _MAY_TURN & image.info.keys():
        return image
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF, which photographs of ImageNet have too, says nothing
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _check_shape(image: Image.Image, size: int, name: str) -> None:
    """Refuse a picture so long that scaling its shorter side would make it larger than any that may be decoded."""
    short, long = sorted(image.size)
    if size * size * long > _MOST_PIXELS * short:
        raise DataMismatchError(
            f"the image {name} is {image.size[0]}x{image.size[1]}, too long to be scaled to {size} pixels; crop it"
        )
