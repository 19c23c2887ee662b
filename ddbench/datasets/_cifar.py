"""What CIFAR-10 and CIFAR-100 share: the official Python archive, or parquet files of the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ddbench.datasets._fetch import missing, read_or_fetch
from ddbench.datasets._parquet import Split, find_parquet, read_parquet_split
from ddbench.errors import DataMismatchError
from ddbench.host.file_digests import note_files


def load_cifar(name: str, data_dir: Path, *, num_classes: int, download: bool) -> tuple[Split, Split]:
    """Return the training and the test split: images (N, 3, 32, 32) uint8 and labels (N,) int64.

    The official archive's folder goes first, then `<data_dir>/<name>/{train,test}-*.parquet`.

    Args:
        name: `cifar10` or `cifar100`.
        data_dir: folder that data sets lie in.
        num_classes: labels must lie below it.
        download: fetch the official archive where neither is there.

    Raises:
        DataMissingError: neither is there.
        DataMismatchError: a file differs from the official one, or a parquet file is damaged.
    """
    from torchvision import datasets

    archive = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]

    def read() -> tuple[Split, Split]:
        if (data_dir / archive.base_folder).is_dir():
            return _read_official(archive, data_dir)
        train, test = (find_parquet(data_dir / name, split) for split in ("train", "test"))
        if not (train and test):
            raise missing(name, data_dir, f"{archive.base_folder}/ and {name}/{{train,test}}-*.parquet")
        read_train, read_test = (
            read_parquet_split(paths, num_classes=num_classes, channels=3, size=32) for paths in (train, test)
        )
        return read_train, read_test

    return read_or_fetch(name, read, lambda: archive(data_dir, download=True), download=download)


def _read_official(archive: Any, data_dir: Path) -> tuple[Split, Split]:  # noqa: ANN401 - torchvision has no types
    from torchvision.datasets.utils import check_integrity

    # The files are pickles: torchvision may read them only once their checksums are known to be the official ones.
    meta = (archive.meta["filename"], archive.meta["md5"])
    for filename, md5 in (*archive.train_list, *archive.test_list, meta):
        path = data_dir / archive.base_folder / filename
        note_files(path)
        if not check_integrity(path, md5):
            raise DataMismatchError(
                f"{path} is missing or not the official file (MD5 should be {md5}); "
                "delete the folder and fetch it again"
            )
    return _read_split(archive(data_dir, train=True)), _read_split(archive(data_dir, train=False))


def _read_split(source: Any) -> Split:  # noqa: ANN401 - torchvision has no types
    return torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(source.targets)
