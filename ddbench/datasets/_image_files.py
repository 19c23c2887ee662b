"""Images in files: listed by class folder, held in memory where they are few, otherwise decoded when asked for.

Decoding a photograph of ImageNet takes milliseconds, reading its decoded row from the page cache a tenth of one: images
that are not held are decoded once and kept on disk, up to `ON_DISK_BYTES`; beyond, they are decoded every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ddbench.datasets._decode import decode_images
from ddbench.datasets._decoded_cache import cached_tensors, rows_file
from ddbench.datasets._row_cache import RowCache
from ddbench.errors import DataMismatchError
from ddbench.records import ImageSource

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")

# All splits together, decoded; our choice: a ten-class ImageNet subset at 128 pixels fits, one at 224 is streamed.
IN_MEMORY_BYTES = 2**30
# Of one split; our choice: a hundred classes of ImageNet at 224 pixels fit, the thousand do not.
ON_DISK_BYTES = 32 * 2**30

# Of the pixels of ImageNet in [0, 1], as every published subset uses them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Listing = tuple[list[Path], Tensor]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that stay in their files until asked for: scaled to `size` on the shorter side, centre cropped, RGB.

    Attributes:
        paths: one file per image.
        size: side length in pixels.
    """

    paths: tuple[Path, ...]
    size: int

    @property
    def shape(self) -> torch.Size:
        """(N, 3, size, size)."""
        return torch.Size((len(self.paths), 3, self.size, self.size))

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """Return the images at `indices` (n,) int64 as (n, 3, size, size) uint8 on the CPU.

        Raises:
            DataMismatchError: a file that cannot be decoded.
        """
        rows = indices.tolist()
        return self._decode(rows) if self._cache is None else self._cache.read(rows, self._decode)

    def _decode(self, rows: list[int]) -> Tensor:
        chosen = [self.paths[row] for row in rows]
        return decode_images(chosen, [str(path) for path in chosen], channels=3, size=self.size, resize=True)

    @cached_property
    def _cache(self) -> RowCache | None:
        if self.shape.numel() > ON_DISK_BYTES:
            return None
        path = rows_file(self.paths, f"rows size={self.size}")
        return None if path is None else RowCache(path, (3, self.size, self.size))


def list_images(folder: Path) -> list[Path]:
    """Return the image files under `folder`, at any depth, sorted by path; hidden files are left out."""
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def list_class_folders(folders: Iterable[Path]) -> Listing:
    """Return the image files of one folder per class, in label order, and their labels (N,) int64.

    Raises:
        DataMismatchError: a class without images.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = list_images(folder)
        if not found:
            raise DataMismatchError(f"folder {folder} holds no image ({', '.join(SUFFIXES)}); add some or remove it")
        paths += found
        labels += [label] * len(found)
    return paths, torch.tensor(labels, dtype=torch.int64)


def open_images(listings: Sequence[Listing], size: int, *, resize: bool = True) -> list[tuple[ImageSource, Tensor]]:
    """Return the images of every split with their labels.

    Where all splits together are at most `IN_MEMORY_BYTES` when decoded, each is one (N, 3, size, size) uint8 tensor,
    decoded once and kept in the user's cache folder; otherwise `ImageFiles`.

    Args:
        listings: paths and labels of each split.
        size: side length in pixels.
        resize: scale and crop images of another size; otherwise they are an error when held in memory.

    Raises:
        DataMismatchError: a file that cannot be decoded or has the wrong size.
    """
    if sum(len(paths) for paths, _ in listings) * 3 * size**2 > IN_MEMORY_BYTES:
        return [(ImageFiles(tuple(paths), size), labels) for paths, labels in listings]
    return [(_read_all(paths, size, resize), labels) for paths, labels in listings]


def _read_all(paths: list[Path], size: int, resize: bool) -> Tensor:
    def build() -> dict[str, Tensor]:
        names = [str(path) for path in paths]
        return {"images": decode_images(paths, names, channels=3, size=size, resize=resize)}

    return cached_tensors(paths, f"files size={size} resize={resize}", build)["images"]
