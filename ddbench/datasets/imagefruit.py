"""ImageFruit: 10 fruits of ImageNet.

Classes and their order: class indices in MTT's code (GeorgeCazenavette/mtt-distillation, utils.py).
"""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASSES: Classes = (
    ("n07753275", "pineapple"),
    ("n07753592", "banana"),
    ("n07745940", "strawberry"),
    ("n07747607", "orange"),
    ("n07749582", "lemon"),
    ("n07768694", "pomegranate"),
    ("n07753113", "fig"),
    ("n07720875", "bell pepper"),
    ("n07718472", "cucumber"),
    ("n07742313", "Granny Smith"),
)


@DATASETS.register("imagefruit")
def load_imagefruit(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the ten classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset("imagefruit", CLASSES, data_dir, size=size, source=source)
