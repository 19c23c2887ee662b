"""Reader of idx files, the layout of MNIST and Fashion-MNIST, plain or gzip-compressed."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import torch
from torch import Tensor

from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.host.file_digests import note_files
from ddbench.inputs.packed import read_packed

_UINT8 = 0x08


def find_idx(folder: Path, stem: str) -> Path | None:
    """Return `folder/stem` or `folder/stem.gz`, the plain one first; None where there is neither."""
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Return the uint8 tensor of an idx file.

    The file is two zero bytes, the type (8: unsigned byte), the number of dimensions, each length as a big-endian
    32-bit number, then the values (http://yann.lecun.com/exdb/mnist).

    Raises:
        DataMismatchError: anything but exactly that, with `dimensions` dimensions.
    """
    note_files(path.parent, path)
    start = 4 + 4 * dimensions

    def size_of(header: bytes) -> int:
        if len(header) < start or header[:4] != bytes((0, 0, _UINT8, dimensions)):
            raise DataMismatchError(
                f"{path} is not an idx file of {dimensions} dimensions of unsigned bytes "
                f"(first bytes {header[:4].hex(' ')}); fetch or copy it again"
            )
        lengths: tuple[int, ...] = struct.unpack(f">{dimensions}I", header[4:start])
        return start + math.prod(lengths)

    try:
        content = read_packed(path, "idx file", size_of)
    except BadInputError as error:
        raise DataMismatchError(str(error)) from error
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if (excess := len(content) - start - math.prod(shape)) != 0:
        found = "more" if excess > 0 else f"{len(content) - start}"
        raise DataMismatchError(
            f"{path} should hold {math.prod(shape)} values, shape {shape}, found {found}; fetch or copy it again"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:].view(shape).clone()


def read_idx_split(folder: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, H, W) uint8 and labels (N,) int64 of the split `prefix` (`train` or `t10k`).

    Raises:
        DataMissingError: one of the two files is not there.
        DataMismatchError: a damaged file, or images and labels of different number.
    """
    images_path, labels_path = (_require(folder, f"{prefix}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataMismatchError(
            f"{labels_path} should hold one label for each of {len(images)} images, found {len(labels)}; "
            "fetch or copy it again"
        )
    return images.unsqueeze(1), labels.long()


def _require(folder: Path, stem: str) -> Path:
    path = find_idx(folder, stem)
    if path is None:
        raise DataMissingError(f"neither {stem} nor {stem}.gz is in {folder}; put all four files of the set there")
    return path
