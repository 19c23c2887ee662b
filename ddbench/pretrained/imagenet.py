"""Which outputs of a network for ImageNet's 1,000 classes are those of a data set, by WordNet id."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.images import DatasetInfo

IMAGENET_CLASSES = 1000


@cache
def _places() -> dict[str, int]:
    """Return the place of each WordNet id among the outputs: its place among all 1,000, sorted."""
    from timm.data.imagenet_info import ImageNetInfo

    return {name: place for place, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}


def imagenet_places(info: DatasetInfo, advice: str) -> Tensor:
    """Return the place of each class of a data set, (K,) int64, among ImageNet's 1,000.

    Args:
        info: of a data set with WordNet ids.
        advice: what to do about a class that is none of them.

    Raises:
        BadInputError: a class is none of them.
    """
    places = _places()
    unknown = [name for name in info.class_ids if name not in places]
    if unknown:
        raise BadInputError(f"class {unknown[0]} of {info.name} is not one of ImageNet's 1,000; {advice}")
    return torch.tensor([places[name] for name in info.class_ids])
