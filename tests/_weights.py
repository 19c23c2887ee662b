"""Weights such as libraries publish, drawn at random, and small data sets of ImageNet's classes for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ddbench.dataset import make_real_dataset
from ddbench.images import RealDataset

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OTHER = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
# WordNet ids and the outputs of torchvision's models that they stand for, as ImageNette's users know them.
BIRDS = {"n01440764": 0, "n03888257": 701, "n02102040": 217}


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give a model random parameters and statistics that are not those of a fresh one; in evaluation mode."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(torch.rand(value.shape, generator=draws) + 0.5)
            elif value.is_floating_point() and value.ndim < 2:
                value.add_(0.1 * torch.randn(value.shape, generator=draws))
    return model.eval()


def toy_subset(
    ids: tuple[str, ...] = tuple(BIRDS), size: int = 32, normalised: tuple[Any, Any] = IMAGENET, channels: int = 3
) -> RealDataset:
    """Return noise in classes with such WordNet ids."""

    def split(count: int, seed: int) -> tuple[Tensor, Tensor]:
        draws = torch.Generator().manual_seed(seed)
        images = torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=draws)
        return images, torch.arange(count) % 3

    mean, std = (values[:channels] for values in normalised)
    names = ("a", "b", "c")
    return make_real_dataset("toy", split(9, 0), split(6, 1), class_names=names, class_ids=ids, mean=mean, std=std)
