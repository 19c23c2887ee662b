"""MNIST: 70,000 grey handwritten digits, 28x28, 10 classes (LeCun et al., Proceedings of the IEEE, 1998)."""

from __future__ import annotations

from pathlib import Path

from ddbench.dataset import make_real_dataset
from ddbench.datasets._mnist_family import load_mnist_family
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

TRAIN_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
TEST_COUNTS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)


@DATASETS.register("mnist")
def load_mnist(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return MNIST, images (N, 1, 28, 28) uint8, 60,000 for training and 10,000 for testing.

    Read from `MNIST/raw/*-ubyte[.gz]` or from `mnist/{train,test}-*.parquet`. Mean and std are those of the DC, DSA
    and DM code.

    Raises:
        DataMissingError: neither is in `data_dir`.
        DataMismatchError: the files are damaged or hold other data.
    """
    train, test = load_mnist_family("mnist", data_dir, download=download)
    return make_real_dataset(
        "mnist",
        train,
        test,
        class_names=tuple(str(digit) for digit in range(10)),
        mean=(0.1307,),
        std=(0.3081,),
        may_be_mirrored=False,
        expected={"train_counts": TRAIN_COUNTS, "test_counts": TEST_COUNTS, "image_shape": [1, 28, 28]},
    )
