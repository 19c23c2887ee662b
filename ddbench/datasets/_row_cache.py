"""Images decoded when asked for and kept on disk one by one, for sets too large to hold in memory.

One file holds N rows of the same length, each the image's bytes behind their checksum. Rows are read with ordinary file
calls and not through a memory map: pages of a map would count as memory of the process, and writing to one kills the
process where the disk is full. A row that is missing, half written or damaged fails its checksum and is decoded again,
so that killed runs and several processes at once do no harm.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

CHECKSUM_BYTES = 4


@dataclass(frozen=True, eq=False)
class RowCache:
    """Decoded uint8 images of one shape; a help, never a need: where it cannot be written, images are decoded anew.

    Attributes:
        path: of the file, which need not exist.
        image_shape: (C, H, W).
    """

    path: Path
    image_shape: tuple[int, int, int]

    def read(self, indices: list[int], decode: Callable[[list[int]], Tensor]) -> Tensor:
        """Return the images at `indices` as (n, C, H, W) uint8.

        Args:
            indices: rows, in any order, some perhaps twice.
            decode: returns the images of some of these rows, (m, C, H, W) uint8.
        """
        images = np.empty((len(indices), *self.image_shape), dtype=np.uint8)
        missing = self._read_rows(indices, images)
        if missing:
            decoded = decode([indices[place] for place in missing]).numpy()
            images[missing] = decoded
            self._write_rows([indices[place] for place in missing], decoded)
        return torch.from_numpy(images)

    @property
    def _row_bytes(self) -> int:
        return CHECKSUM_BYTES + int(np.prod(self.image_shape))

    def _read_rows(self, indices: list[int], images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[int]:
        """Fill `images` with the rows that are there and return the places of the others."""
        try:
            with self.path.open("rb") as file:
                return [place for place, row in enumerate(indices) if not self._read_row(file, row, images[place])]
        except OSError:
            return list(range(len(indices)))

    def _read_row(self, file: BufferedReader, row: int, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bool:
        file.seek(row * self._row_bytes)
        checksum = file.read(CHECKSUM_BYTES)
        return file.readinto(image.data) == image.nbytes and checksum == _checksum(image)

    def _write_rows(self, rows: list[int], images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            with self.path.open("r+b", buffering=0) as file:
                for row, image in zip(rows, images, strict=True):
                    file.seek(row * self._row_bytes)
                    file.write(_checksum(image) + image.tobytes())


def _checksum(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return zlib.crc32(image.data).to_bytes(CHECKSUM_BYTES, "little")
