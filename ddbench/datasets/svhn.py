"""SVHN: house numbers, cropped to 32x32, 73,257 + 26,032 digits (Netzer et al., NIPS workshop, 2011)."""

from __future__ import annotations

from pathlib import Path

import torch

from ddbench.dataset import make_real_dataset
from ddbench.datasets._fetch import missing, read_or_fetch
from ddbench.datasets._parquet import Split, find_parquet, read_parquet_split
from ddbench.errors import DataMismatchError
from ddbench.host.file_digests import note_files
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

TRAIN_COUNTS = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
TEST_COUNTS = (1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595)


@DATASETS.register("svhn")
def load_svhn(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return SVHN (cropped digits, without the extra split), images (N, 3, 32, 32) uint8, labels 0..9.

    Read from `svhn/{train,test}_32x32.mat`, the same files in `data_dir` itself, or `svhn/{train,test}-*.parquet`.
    The files label the digit zero 10; here it is 0. Mean and std are those of the DC, DSA and DM code.

    Raises:
        DataMissingError: none of them is in `data_dir`.
        DataMismatchError: the files are damaged or hold other data.
    """
    train, test = load_splits(data_dir, download=download)
    return make_real_dataset(
        "svhn",
        train,
        test,
        class_names=tuple(str(digit) for digit in range(10)),
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        may_be_mirrored=False,
        expected={"train_counts": TRAIN_COUNTS, "test_counts": TEST_COUNTS, "image_shape": [3, 32, 32]},
    )


def load_splits(data_dir: Path, *, download: bool) -> tuple[Split, Split]:
    """Return the training and the test split of whichever files are there; raises as `load_svhn` does."""
    from torchvision.datasets import SVHN

    own_folder = data_dir / "svhn"

    def read() -> tuple[Split, Split]:
        for folder in (own_folder, data_dir):
            if (folder / SVHN.split_list["train"][1]).is_file():
                return _read_official(folder, "train"), _read_official(folder, "test")
        train, test = (find_parquet(own_folder, split) for split in ("train", "test"))
        if not (train and test):
            raise missing("svhn", data_dir, "svhn/{train,test}_32x32.mat and svhn/{train,test}-*.parquet")
        read_train, read_test = (
            read_parquet_split(paths, num_classes=10, channels=3, size=32) for paths in (train, test)
        )
        return read_train, read_test

    def fetch() -> None:
        for split in ("train", "test"):
            SVHN(own_folder, split=split, download=True)

    return read_or_fetch("svhn", read, fetch, download=download)


def _read_official(folder: Path, split: str) -> Split:
    from torchvision.datasets import SVHN
    from torchvision.datasets.utils import check_integrity

    _, filename, md5 = SVHN.split_list[split]
    note_files(folder / filename)
    if not check_integrity(folder / filename, md5):
        raise DataMismatchError(
            f"{folder / filename} is missing or not the official file (MD5 should be {md5}); delete it and fetch again"
        )
    source = SVHN(folder, split=split)
    return torch.from_numpy(source.data).contiguous(), torch.from_numpy(source.labels).long()
