"""ImageMeow: 10 cats of ImageNet.

Classes and their order: class indices in MTT's code (GeorgeCazenavette/mtt-distillation, utils.py).
"""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASSES: Classes = (
    ("n02123045", "tabby"),
    ("n02123159", "tiger cat"),
    ("n02123394", "Persian cat"),
    ("n02123597", "Siamese cat"),
    ("n02124075", "Egyptian cat"),
    ("n02129165", "lion"),
    ("n02129604", "tiger"),
    ("n02128925", "jaguar"),
    ("n02128757", "snow leopard"),
    ("n02127052", "lynx"),
)


@DATASETS.register("imagemeow")
def load_imagemeow(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the ten classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset("imagemeow", CLASSES, data_dir, size=size, source=source)
