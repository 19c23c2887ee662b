"""ImageWoof: 10 dog breeds of ImageNet.

Classes and their order: MinimaxDiffusion's list (vimar-gu/MinimaxDiffusion, misc/class_woof.txt), the same as the
class indices in MTT's code.
"""

from __future__ import annotations

from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS

CLASSES: Classes = (
    ("n02096294", "Australian terrier"),
    ("n02093754", "Border terrier"),
    ("n02111889", "Samoyed"),
    ("n02088364", "beagle"),
    ("n02086240", "Shih-Tzu"),
    ("n02089973", "English foxhound"),
    ("n02087394", "Rhodesian ridgeback"),
    ("n02115641", "dingo"),
    ("n02099601", "golden retriever"),
    ("n02105641", "Old English sheepdog"),
)


@DATASETS.register("imagewoof")
def load_imagewoof(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the ten classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset("imagewoof", CLASSES, data_dir, size=size, source=source)
