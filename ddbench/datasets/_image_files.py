"""Images in files: listed by class folder, held in memory where they are few, otherwise decoded when asked for.

Decoding a photograph of ImageNet takes milliseconds, reading its decoded row from the page cache a tenth of one: images
that are not held are decoded once and kept on disk, up to `ON_DISK_BYTES`; beyond, they are decoded every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ddbench.datasets._decoded_cache import CACHE_VERSION, cached_tensors, rows_file
from ddbench.datasets._row_cache import RowCache
from ddbench.errors import DataMismatchError
from ddbench.host.file_digests import DigestedFiles, digest_files
from ddbench.host.files import digest_of
from ddbench.image_files.class_folders import Listing
from ddbench.image_files.decode import decode_images
from ddbench.images import ImageSource

# All splits together, decoded; our choice: a ten-class ImageNet subset at 128 pixels fits, one at 224 is streamed.
IN_MEMORY_BYTES = 2**30
# Of one split; our choice: a hundred classes of ImageNet at 224 pixels fit, the thousand do not.
ON_DISK_BYTES = 32 * 2**30

# Of the pixels of ImageNet in [0, 1], as every published subset uses them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Split(NamedTuple):
    """One split read from files: images (N, 3, S, S) uint8, labels (N,) int64, and what identifies the images.

    The digest is of the bytes of all files and of how they are decoded: photographs may be too many to decode all.
    """

    images: ImageSource
    labels: Tensor
    digest: str


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that stay in their files until asked for: scaled to `size` on the shorter side, centre cropped, RGB.

    Attributes:
        files: one per image.
        size: side length in pixels.
    """

    files: DigestedFiles
    size: int

    @property
    def shape(self) -> torch.Size:
        """(N, 3, size, size)."""
        return torch.Size((len(self.files.paths), 3, self.size, self.size))

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """Return the images at `indices` (n,) int64 as (n, 3, size, size) uint8 on the CPU.

        Raises:
            DataMismatchError: a file that cannot be decoded, or that has changed since its data set was opened.
        """
        rows = indices.tolist()
        return self._decode(rows) if self._cache is None else self._cache.read(rows, self._decode)

    def _decode(self, rows: list[int]) -> Tensor:
        chosen = [self.files.paths[row] for row in rows]
        images = decode_images(chosen, [str(path) for path in chosen], channels=3, size=self.size, resize=True)
        self.files.check_unchanged(rows)  # afterwards: what is kept must be of the bytes that were digested
        return images

    @cached_property
    def _cache(self) -> RowCache | None:
        if self.shape.numel() > ON_DISK_BYTES:
            return None
        path = rows_file(self.files, f"rows size={self.size}")
        return None if path is None else RowCache(path, (3, self.size, self.size))


def open_images(listings: Sequence[Listing], size: int, *, resize: bool = True) -> list[Split]:
    """Return every split.

    Where all splits together are at most `IN_MEMORY_BYTES` when decoded, each is one (N, 3, size, size) uint8 tensor,
    decoded once and kept in the user's cache folder; otherwise `ImageFiles`.

    Args:
        listings: paths and labels of each split.
        size: side length in pixels.
        resize: scale and crop images of another size; otherwise they are an error when held in memory.

    Raises:
        DataMismatchError: a file that is empty, cannot be read or decoded, or has the wrong size.
    """
    is_held = sum(len(paths) for paths, _ in listings) * 3 * size**2 <= IN_MEMORY_BYTES
    digested = [digest_files(paths) for paths, _ in listings]
    for files in digested:
        _check_none_is_empty(files)
    splits = []
    for files, (_, labels) in zip(digested, listings, strict=True):
        images = _read_all(files, size, resize) if is_held else ImageFiles(files, size)
        how = {"size": size, "resize": resize, "decoding": CACHE_VERSION}
        splits.append(Split(images, labels, digest_of({"files": files.digest, **how})))
    return splits


def _check_none_is_empty(files: DigestedFiles) -> None:
    empty = (files.looks[:, 0] == 0).nonzero()[0].tolist()
    if empty:
        more = f", and {len(empty) - 1} more files" if len(empty) > 1 else ""
        raise DataMismatchError(
            f"{files.paths[empty[0]]}{more} should hold an image and is empty; copy it again or remove it"
        )


def _read_all(files: DigestedFiles, size: int, resize: bool) -> Tensor:
    def build() -> dict[str, Tensor]:
        names = [str(path) for path in files.paths]
        return {"images": decode_images(files.paths, names, channels=3, size=size, resize=resize)}

    return cached_tensors(files, f"files size={size} resize={resize}", build)["images"]
