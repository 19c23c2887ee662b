"""ImageYellow: 10 yellow things of ImageNet.

Classes and their order: class indices in MTT's code (GeorgeCazenavette/mtt-distillation, utils.py).
"""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASSES: Classes = (
    ("n02206856", "bee"),
    ("n12057211", "yellow lady's slipper"),
    ("n07753592", "banana"),
    ("n07749582", "lemon"),
    ("n12144580", "corn"),
    ("n04146614", "school bus"),
    ("n03530642", "honeycomb"),
    ("n02129165", "lion"),
    ("n01773157", "black and gold garden spider"),
    ("n01531178", "goldfinch"),
)


@DATASETS.register("imageyellow")
def load_imageyellow(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the ten classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset("imageyellow", CLASSES, data_dir, size=size, source=source)
