"""Parquet files of encoded images: `<split>-*.parquet` with a column `image` {bytes, path} and a column `label`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddbench.datasets._decode import decode_images
from ddbench.datasets._decoded_cache import cached_split
from ddbench.errors import DataMismatchError

# The second names are those that public conversions of the CIFAR sets use.
_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "fine_label")


def find_parquet(folder: Path, split: str) -> list[Path]:
    """Return the parquet files of one split (`train`, `test` or `val`), sorted by name; empty where there are none."""
    return sorted(folder.glob(f"{split}-*.parquet"))


def read_parquet_split(
    paths: Sequence[Path], *, num_classes: int, channels: int, size: int, resize: bool = False
) -> tuple[Tensor, Tensor]:
    """Return images (N, channels, size, size) uint8 and labels (N,) int64, rows in file order.

    Decoded once and kept in the user's cache folder.

    Args:
        paths: files of one split, in order.
        num_classes: labels must lie below it.
        channels: 1 or 3.
        size: side length in pixels.
        resize: scale and crop images of another size; otherwise they are an error.

    Raises:
        DataMismatchError: a damaged file, a missing column, a wrong label or an image that is not as it should be.
    """

    def build() -> tuple[Tensor, Tensor]:
        parts = [_read_file(path, num_classes, channels, size, resize) for path in paths]
        images, labels = zip(*parts, strict=True)
        return torch.cat(images), torch.cat(labels)

    return cached_split(paths, f"parquet channels={channels} size={size} resize={resize}", build)


def _read_file(path: Path, num_classes: int, channels: int, size: int, resize: bool) -> tuple[Tensor, Tensor]:
    encoded, labels = _read_columns(path)
    if any(not isinstance(entry, bytes) for entry in encoded) or any(not isinstance(label, int) for label in labels):
        raise DataMismatchError(f"{path} has rows without an image or a label; fetch or copy it again")
    if labels and not 0 <= min(labels) <= max(labels) < num_classes:
        raise DataMismatchError(
            f"{path}: labels must lie in 0..{num_classes - 1}, found {min(labels)}..{max(labels)}; check the source"
        )
    names = [f"in row {row} of {path}" for row in range(len(encoded))]
    images = decode_images(encoded, names, channels=channels, size=size, resize=resize)
    return images, torch.tensor(labels, dtype=torch.int64)


def _read_columns(path: Path) -> tuple[list[Any], list[Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            image_column = _pick(path, file.schema_arrow.names, _IMAGE_COLUMNS)
            label_column = _pick(path, file.schema_arrow.names, _LABEL_COLUMNS)
            table = file.read([f"{image_column}.bytes", label_column])
        encoded = pc.struct_field(table[image_column], "bytes").to_pylist()
        return encoded, table[label_column].to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataMismatchError(f"{path} is not a whole parquet file ({reason}); fetch or copy it again") from error


def _pick(path: Path, columns: list[str], accepted: tuple[str, ...]) -> str:
    for name in accepted:
        if name in columns:
            return name
    raise DataMismatchError(
        f"{path} should have a column {' or '.join(accepted)}, found {', '.join(columns)}; check the source"
    )
