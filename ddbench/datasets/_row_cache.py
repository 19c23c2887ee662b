"""Images decoded when asked for and kept on disk one by one, for sets too large to hold in memory.

One file holds N rows of the same length, each the image's bytes behind a checksum of them, of the row's number and of
what the file is of, so that no row of another place or file is taken. Rows are read with ordinary file calls and not
through a memory map: pages of a map would count as memory of the process, and writing to one kills the process where
the disk is full. A row that is missing, half written or damaged fails its checksum and is decoded again, so that killed
runs and several processes at once do no harm; of damage there is one warning a file.
"""

from __future__ import annotations

import warnings
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
_Image = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
_warned: set[Path] = set()


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

    def _read_rows(self, indices: list[int], images: _Image) -> list[int]:
        """Fill `images` with the rows that are there and return the places of the others."""
        try:
            with self.path.open("rb") as file:
                return [place for place, row in enumerate(indices) if not self._read_row(file, row, images[place])]
        except OSError:
            return list(range(len(indices)))

    def _read_row(self, file: BufferedReader, row: int, image: _Image) -> bool:
        file.seek(row * self._row_bytes)
        checksum = file.read(CHECKSUM_BYTES)
        if file.readinto(image.data) != image.nbytes:
            return False  # not written yet, or cut off
        if checksum == self._checksum(row, image):
            return True
        was_written = checksum != bytes(CHECKSUM_BYTES) or image.any()
        is_older = checksum == zlib.crc32(image.data).to_bytes(CHECKSUM_BYTES, "little")
        if was_written and not is_older and self.path not in _warned:
            _warned.add(self.path)
            warnings.warn(
                f"{self.path} is damaged or belongs to other work; those images are decoded again", stacklevel=5
            )
        return False

    def _checksum(self, row: int, image: _Image) -> bytes:
        """Return the checksum of a row; the folder's name has the digest of all that its images follow from."""
        start = zlib.crc32(f"{self.path.parent.name} {row}".encode())
        return zlib.crc32(image.data, start).to_bytes(CHECKSUM_BYTES, "little")

    def _write_rows(self, rows: list[int], images: _Image) -> None:
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            with self.path.open("r+b", buffering=0) as file:
                for row, image in zip(rows, images, strict=True):
                    file.seek(row * self._row_bytes)
                    file.write(self._checksum(row, image) + image.tobytes())
