"""Fashion-MNIST: 70,000 grey pictures of clothes, 28x28, 10 classes (Xiao et al., arXiv 1708.07747)."""

from __future__ import annotations

from pathlib import Path

from ddbench.dataset import make_real_dataset
from ddbench.datasets._mnist_family import load_mnist_family
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

# fmt: off
CLASS_NAMES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)
# fmt: on


@DATASETS.register("fashion_mnist")
def load_fashion_mnist(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return Fashion-MNIST, images (N, 1, 28, 28) uint8, 6,000 training and 1,000 test images per class.

    Read from `FashionMNIST/raw/*-ubyte[.gz]` or from `fashion_mnist/{train,test}-*.parquet`. Mean and std are those of
    the DC, DSA and DM code.

    Raises:
        DataMissingError: neither is in `data_dir`.
        DataMismatchError: the files are damaged or hold other data.
    """
    train, test = load_mnist_family("fashion_mnist", data_dir, download=download)
    return make_real_dataset(
        "fashion_mnist",
        train,
        test,
        class_names=CLASS_NAMES,
        mean=(0.2861,),
        std=(0.3530,),
        expected={"train_counts": [6000] * 10, "test_counts": [1000] * 10, "image_shape": [1, 28, 28]},
    )
