"""What the ImageNet subsets share: ten or a hundred classes of ILSVRC 2012, found by WordNet id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddbench.dataset import check_size, make_real_dataset
from ddbench.datasets._flat_validation import list_flat_validation
from ddbench.datasets._image_files import IMAGENET_MEAN, IMAGENET_STD, open_images
from ddbench.datasets._image_files import Split as FileSplit
from ddbench.datasets._parquet import Split, find_parquet, read_parquet_names, read_parquet_split
from ddbench.errors import DataMismatchError, DataMissingError
from ddbench.image_files.class_folders import PassedOver, list_class_folders
from ddbench.images import ImageSource, RealDataset

# (WordNet id, name) in label order.
Classes = tuple[tuple[str, str], ...]

DEFAULT_SIZE = 224

# ILSVRC 2012 (Russakovsky et al., IJCV 2015, table 2): training images of a class, and validation images of each.
_TRAIN_RANGE = (732, 1300)
_VALIDATION_COUNT = 50


def load_imagenet_subset(
    name: str,
    classes: Classes,
    data_dir: Path,
    *,
    size: int | str,
    source: str = "",
    expected: Mapping[str, Any] | None = None,
) -> RealDataset:
    """Return the images of `classes`, (N, 3, size, size) uint8, scaled and cropped as `image_folder` does.

    Without `source` the images must be those of ILSVRC 2012, in `imagenet/{train,val}/<WordNet id>` or
    `<name>/{train,val}/<WordNet id>`; the validation split is the test split. Its images may also lie in `val` itself,
    with a file of labels (`list_flat_validation`). With `source` they may be any others, as class folders or as
    `{train,val}-*.parquet`, and the data set carries the folder's name instead of `name`, so
    that its numbers cannot be taken for those of `name`. Nothing is ever fetched.

    Args:
        name: registered name.
        classes: WordNet ids and names in label order.
        data_dir: folder that data sets lie in.
        size: side length in pixels.
        source: folder in `data_dir` to read instead of ILSVRC 2012.
        expected: what a known source holds, as in `make_real_dataset`.

    Raises:
        BadInputError: a size that is not one.
        DataMissingError: a folder is not there; the message says what to put where.
        DataMismatchError: not the images of ILSVRC 2012, or damaged files.
    """
    side = check_size(size)
    wnids = [wnid for wnid, _ in classes]
    folder = data_dir / source if source else _find_ilsvrc(name, data_dir, wnids[0])
    train_parquet, val_parquet = (find_parquet(folder, split) for split in ("train", "val"))
    splits: Sequence[tuple[ImageSource, Tensor]]
    digests = None
    if source and train_parquet and val_parquet:
        splits = [_read_parquet(paths, wnids, side) for paths in (train_parquet, val_parquet)]
    else:
        train, test = _read_folders(name, folder, wnids, side, is_ilsvrc=not source)
        splits, digests = (train[:2], test[:2]), (train.digest, test.digest)
    return make_real_dataset(
        _shown_name(name, source, side),
        splits[0],
        splits[1],
        class_names=tuple(class_name for _, class_name in classes),
        class_ids=tuple(wnids),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        expected=expected,
        image_digests=digests,
        is_fixed=not source or expected is not None,
    )


def _shown_name(name: str, source: str, size: int) -> str:
    origin = Path(source).name
    shown = f"{name},source={origin}" if origin == name else origin or name
    return shown if size == DEFAULT_SIZE else f"{shown},size={size}"


def _find_ilsvrc(name: str, data_dir: Path, first: str) -> Path:
    for folder in (data_dir / "imagenet", data_dir / name):
        if (folder / "train" / first).is_dir():
            return folder
    others = sorted(path.name for path in data_dir.glob(f"{name}*") if path.is_dir() and path.name != name)
    hint = f", or use other images that are there: {name},source={others[0]}" if others else ""
    raise DataMissingError(
        f"dataset {name} is not in {data_dir} (looked for imagenet/ and {name}/ with {{train,val}}/{first}); it cannot "
        f"be fetched: put the ILSVRC 2012 images there, one folder per WordNet id{hint}"
    )


def _read_folders(name: str, folder: Path, wnids: Sequence[str], size: int, *, is_ilsvrc: bool) -> list[FileSplit]:
    listings, passed = [], PassedOver()
    for split in ("train", "val"):
        absent = [wnid for wnid in wnids if not (folder / split / wnid).is_dir()]
        is_flat = split == "val" and len(absent) == len(wnids) and (folder / split).is_dir()
        if absent and not is_flat:
            raise DataMissingError(
                f"{folder} should hold {{train,val}}/<WordNet id>{'' if is_ilsvrc else ' or {train,val}-*.parquet'}; "
                f"{len(absent)} of {len(wnids)} folders are missing in {split}, such as {absent[0]}; put them there"
            )
        if is_flat:
            paths, labels = list_flat_validation(folder, wnids, passed)
        else:
            paths, labels = list_class_folders((folder / split / wnid for wnid in wnids), passed)
        if is_ilsvrc:
            _check_ilsvrc(name, folder, split, wnids, labels)
        listings.append((paths, labels))
    passed.warn(folder)
    return open_images(listings, size)


def _check_ilsvrc(name: str, folder: Path, split: str, wnids: Sequence[str], labels: Tensor) -> None:
    low, high = _TRAIN_RANGE if split == "train" else (_VALIDATION_COUNT, _VALIDATION_COUNT)
    for wnid, count in zip(wnids, torch.bincount(labels, minlength=len(wnids)).tolist(), strict=True):
        if not low <= count <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise DataMismatchError(
                f"{folder / split / wnid} should hold the {wanted} images of a class of ILSVRC 2012, found {count}; "
                f"to use other images, name their folder: {name},source={folder.name}"
            )


def _read_parquet(paths: Sequence[Path], wnids: Sequence[str], size: int) -> Split:
    images, _ = read_parquet_split(paths, num_classes=1000, channels=3, size=size, resize=True)
    # From the file names: a conversion may number its classes in another order than the published subset does.
    labels = []
    for row, name in enumerate(read_parquet_names(paths)):
        found = re.search(r"n\d{8}", name)
        if found is None or found.group() not in wnids:
            raise DataMismatchError(
                f"row {row} of {paths[0].parent}/{paths[0].name.split('-')[0]}-*.parquet should name a file of one of "
                f"the classes by WordNet id, found {name!r}; check the source"
            )
        labels.append(wnids.index(found.group()))
    return images, torch.tensor(labels, dtype=torch.int64)
