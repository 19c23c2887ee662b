"""CIFAR-100: 60,000 colour photos, 32x32, 100 classes (Krizhevsky, Learning multiple layers of features, 2009)."""

from __future__ import annotations

from pathlib import Path

from ddbench.dataset import make_real_dataset
from ddbench.datasets._cifar import load_cifar
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

# fmt: off
CLASS_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)
# fmt: on


@DATASETS.register("cifar100")
def load_cifar100(data_dir: Path, *, download: bool = False) -> RealDataset:
    """Return CIFAR-100 with its fine labels, images (N, 3, 32, 32) uint8, 500 training and 100 test images per class.

    Read from the official archive (`cifar-100-python`) or from `cifar100/{train,test}-*.parquet`. Mean and std are
    those of the DC, DSA and DM code; MTT's code uses CIFAR-10's instead.

    Raises:
        DataMissingError: neither is in `data_dir`.
        DataMismatchError: the files are damaged or hold other data.
    """
    train, test = load_cifar("cifar100", data_dir, num_classes=100, download=download)
    return make_real_dataset(
        "cifar100",
        train,
        test,
        class_names=CLASS_NAMES,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        expected={"train_counts": [500] * 100, "test_counts": [100] * 100, "image_shape": [3, 32, 32]},
    )
