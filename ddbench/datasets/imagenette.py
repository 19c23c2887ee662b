"""ImageNette: 10 classes of ImageNet that are easy to tell apart.

Classes and their order: class indices in MTT's code (GeorgeCazenavette/mtt-distillation, utils.py), the same as
MinimaxDiffusion's list (vimar-gu/MinimaxDiffusion, misc/class_nette.txt).
"""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASSES: Classes = (
    ("n01440764", "tench"),
    ("n02102040", "English springer"),
    ("n02979186", "cassette player"),
    ("n03000684", "chain saw"),
    ("n03028079", "church"),
    ("n03394916", "French horn"),
    ("n03417042", "garbage truck"),
    ("n03425413", "gas pump"),
    ("n03445777", "golf ball"),
    ("n03888257", "parachute"),
)

# Small copies whose content is known, by folder name.
KNOWN_SOURCES = {"imagenette224-subset": {"train_counts": [150] * 10, "test_counts": [50] * 10}}


@DATASETS.register("imagenette")
def load_imagenette(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the ten classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset(
        "imagenette", CLASSES, data_dir, size=size, source=source, expected=KNOWN_SOURCES.get(source)
    )
