"""CIFAR-10: 60,000 colour photos, 32x32, 10 classes (Krizhevsky, Learning multiple layers of features, 2009)."""

from __future__ import annotations

from pathlib import Path

from ddbench.dataset import make_real_dataset
from ddbench.datasets._cifar import load_cifar
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@DATASETS.register("cifar10")
def load_cifar10(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return CIFAR-10, images (N, 3, 32, 32) uint8, 5,000 training and 1,000 test images per class.

    Read from the official archive (`cifar-10-batches-py`) or from `cifar10/{train,test}-*.parquet`. Mean and std are
    those of the DC, DSA and DM code; their std is the mean over images of the std within an image.

    Raises:
        DataMissingError: neither is in `data_dir`.
        DataMismatchError: the files are damaged or hold other data.
    """
    train, test = load_cifar("cifar10", data_dir, num_classes=10, download=download)
    return make_real_dataset(
        "cifar10",
        train,
        test,
        class_names=CLASS_NAMES,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        expected={"train_counts": [5000] * 10, "test_counts": [1000] * 10, "image_shape": [3, 32, 32]},
    )
