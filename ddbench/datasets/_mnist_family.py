"""What MNIST and Fashion-MNIST share: four idx files, or parquet files of the same images."""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._fetch import missing, read_or_fetch
from ddbench.datasets._idx import find_idx, read_idx_split
from ddbench.datasets._parquet import Split, find_parquet, read_parquet_split


def load_mnist_family(name: str, data_dir: Path, *, download: bool) -> tuple[Split, Split]:
    """Return the training and the test split: images (N, 1, 28, 28) uint8 and labels (N,) int64.

    Idx files under `MNIST/raw` or `FashionMNIST/raw` go first, plain or gzip-compressed, then
    `<data_dir>/<name>/{train,test}-*.parquet`. torchvision itself finds plain files only and would unpack beside
    them, which a read-only folder does not allow; so it is used for fetching alone.

    Args:
        name: `mnist` or `fashion_mnist`.
        data_dir: folder that data sets lie in.
        download: fetch the official files where neither is there.

    Raises:
        DataMissingError: neither is there.
        DataMismatchError: a damaged file.
    """
    from torchvision import datasets

    archive = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]
    raw = data_dir / archive.__name__ / "raw"

    def read() -> tuple[Split, Split]:
        if find_idx(raw, "train-images-idx3-ubyte"):
            return read_idx_split(raw, "train"), read_idx_split(raw, "t10k")
        train, test = (find_parquet(data_dir / name, split) for split in ("train", "test"))
        if not (train and test):
            raise missing(name, data_dir, f"{archive.__name__}/raw/*-ubyte[.gz] and {name}/{{train,test}}-*.parquet")
        read_train, read_test = (
            read_parquet_split(paths, num_classes=10, channels=1, size=28) for paths in (train, test)
        )
        return read_train, read_test

    return read_or_fetch(name, read, lambda: archive(data_dir, download=True), download=download)
