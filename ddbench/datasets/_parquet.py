"""Parquet files of encoded images: `<split>-*.parquet` with a column `image` {bytes, path} and a column `label`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddbench.datasets._decoded_cache import cached_tensors
from ddbench.errors import DataMismatchError
from ddbench.host.file_digests import note_files
from ddbench.image_files.decode import decode_images
from ddbench.inputs.paths import check_regular

MOST_TO_ONE, SLACK = 50, 64 * 2**20  # what a file may unpack to: encoded images hardly shrink, labels do

Split = tuple[Tensor, Tensor]

# The second names are those that public conversions of the CIFAR sets use.
_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "fine_label")


def find_parquet(folder: Path, split: str) -> list[Path]:
    """Return the parquet files of one split (`train`, `test` or `val`), sorted by name; empty where there are none."""
    note_files(folder)
    return sorted(folder.glob(f"{split}-*.parquet"))


def read_parquet_split(
    paths: Sequence[Path], *, num_classes: int, channels: int, size: int, resize: bool = False
) -> Split:
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

    def build() -> dict[str, Tensor]:
        parts = [_read_file(path, num_classes, channels, size, resize) for path in paths]
        images, labels = zip(*parts, strict=True)
        return {"images": torch.cat(images), "labels": torch.cat(labels)}

    variant = f"parquet classes={num_classes} channels={channels} size={size} resize={resize}"
    stored = cached_tensors(paths, variant, build)
    return stored["images"], stored["labels"]


def read_parquet_names(paths: Sequence[Path]) -> list[str]:
    """Return the stored file name of every image, such as `train/n01440764/x.JPEG`; empty where a row has none.

    Raises:
        DataMismatchError: a damaged file or a missing column.
    """
    return [str(name or "") for path in paths for name in _read_column(path, _IMAGE_COLUMNS, "path")]


def _read_file(path: Path, num_classes: int, channels: int, size: int, resize: bool) -> Split:
    encoded, labels = _read_column(path, _IMAGE_COLUMNS, "bytes"), _read_column(path, _LABEL_COLUMNS)
    if any(not isinstance(entry, bytes) for entry in encoded) or any(not isinstance(label, int) for label in labels):
        raise DataMismatchError(f"{path} has rows without an image or a label; fetch or copy it again")
    if labels and not 0 <= min(labels) <= max(labels) < num_classes:
        raise DataMismatchError(
            f"{path}: labels must lie in 0..{num_classes - 1}, found {min(labels)}..{max(labels)}; check the source"
        )
    names = [f"in row {row} of {path}" for row in range(len(encoded))]
    images = decode_images(encoded, names, channels=channels, size=size, resize=resize)
    return images, torch.tensor(labels, dtype=torch.int64)


def _read_column(path: Path, accepted: tuple[str, ...], field: str = "") -> list[Any]:
    """Return the values of the first column in `accepted` that the file has, or of one `field` of a struct column."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    size = check_regular(path, "parquet file").st_size
    try:
        with pq.ParquetFile(path) as file:
            groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
            if sum(group.total_byte_size for group in groups) > size * MOST_TO_ONE + SLACK:
                raise DataMismatchError(f"{path} unpacks to over {MOST_TO_ONE} times its size; check the source")
            columns = file.schema_arrow.names
            name = next((name for name in accepted if name in columns), None)
            if name is None:
                raise DataMismatchError(
                    f"{path} should have a column {' or '.join(accepted)}, found {', '.join(columns)}; check the source"
                )
            column = file.read([f"{name}.{field}" if field else name])[name]
        values: list[Any] = (pc.struct_field(column, field) if field else column).to_pylist()
        return values
    except (OSError, KeyError, TypeError, pa.ArrowException) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataMismatchError(f"{path} is not a whole parquet file of images ({reason}); copy it again") from error
