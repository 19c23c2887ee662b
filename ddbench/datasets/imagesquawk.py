"""ImageSquawk: 10 birds of ImageNet.

Classes and their order: class indices in MTT's code (GeorgeCazenavette/mtt-distillation, utils.py).
"""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASSES: Classes = (
    ("n01806143", "peacock"),
    ("n02007558", "flamingo"),
    ("n01818515", "macaw"),
    ("n02051845", "pelican"),
    ("n02056570", "king penguin"),
    ("n01614925", "bald eagle"),
    ("n01843383", "toucan"),
    ("n01518878", "ostrich"),
    ("n01860187", "black swan"),
    ("n01819313", "sulphur-crested cockatoo"),
)


@DATASETS.register("imagesquawk")
def load_imagesquawk(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the ten classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset("imagesquawk", CLASSES, data_dir, size=size, source=source)
