"""ImageNet-1k: all 1,000 classes of ILSVRC 2012 (Russakovsky et al., IJCV 2015), ordered by WordNet id.

Ids are those of timm's table and names those of torchvision's, both of which the project has anyway; a name that stands
for two classes carries the id of the second.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ddbench.datasets._imagenet_layout import DEFAULT_SIZE, Classes, load_imagenet_subset
from ddbench.images import RealDataset
from ddbench.registry import DATASETS


@lru_cache(maxsize=1)
def all_classes() -> Classes:
    """Return WordNet id and name of each class, no two names alike."""
    from timm.data.imagenet_info import ImageNetInfo
    from torchvision.models import AlexNet_Weights

    seen: set[str] = set()
    classes = []
    for wnid, name in zip(ImageNetInfo().label_names(), AlexNet_Weights.IMAGENET1K_V1.meta["categories"], strict=True):
        classes.append((wnid, f"{name} ({wnid})" if name.casefold() in seen else name))
        seen.add(name.casefold())
    return tuple(classes)


@DATASETS.register("imagenet1k")
def load_imagenet1k(
    data_dir: Path, *, download: bool = False, size: int | str = DEFAULT_SIZE, source: str = ""
) -> RealDataset:
    """Return the 1,000 classes, images (N, 3, size, size) uint8; see `load_imagenet_subset`. Nothing is fetched."""
    return load_imagenet_subset("imagenet1k", all_classes(), data_dir, size=size, source=source)
