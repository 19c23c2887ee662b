"""Real images: a data set's splits, held in memory or decoded when asked for, and what identifies it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

# Fingerprints that begin so are of pixels, labels and class names; older ones, 16 bare digits, were of counts alone.
CONTENT_PREFIX = "c1-"


def is_of_content(fingerprint: str) -> bool:
    """Return whether a fingerprint follows from a data set's content, as all have since version 0.3."""
    return fingerprint.startswith(CONTENT_PREFIX)


class ImageSource(Protocol):
    """Images that may be a tensor or files decoded when asked for: (N, C, H, W) uint8."""

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """Return the images at `indices` (n,) int64 as (n, C, H, W) uint8 on the CPU."""


@dataclass(frozen=True)
class DatasetInfo:
    """Identity of a data set: what a method and a table need to know about it.

    `mean` and `std` are per channel, of pixels scaled to [0, 1]. `class_ids` are WordNet ids where there are any.
    `fingerprint` is a hash of the pixels and labels of both splits in their order, of classes and of the image size;
    `layout` one of classes, their order, per-class counts and the image size alone, which is what older results carry.
    `may_be_mirrored` is False where a mirror image is no image of its class, as of a digit.
    `is_fixed` is True where the name stands for one content, as that of an official data set does; what is measured on
    any other set is told apart by its fingerprint as well.
    """

    name: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    class_ids: tuple[str, ...] = ()
    may_be_mirrored: bool = True
    layout: str = ""
    is_fixed: bool = False

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return len(self.class_names)

    @property
    def cell_fingerprint(self) -> str:
        """What a cell's key takes in beside the name: the fingerprint, nothing where the name says it all."""
        return "" if self.is_fixed else self.fingerprint

    def normalise(self, images: Tensor) -> Tensor:
        """Return (n, C, H, W) float32 with mean and std removed; takes uint8 0..255 or float pixels in [0, 1]."""
        pixels = images.float().div(255) if images.dtype == torch.uint8 else images
        return pixels.sub(_per_channel(self.mean, images.device)).div(_per_channel(self.std, images.device))

    def to_pixels(self, images: Tensor) -> Tensor:
        """Undo `normalise`: (n, C, H, W) normalised float -> float pixels, not clipped to [0, 1]."""
        return images.mul(_per_channel(self.std, images.device)).add(_per_channel(self.mean, images.device))


@lru_cache(maxsize=64)
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return one number per channel as (1, C, 1, 1), made once: a tensor of Python numbers waits for its device."""
    return torch.tensor(values).to(device, non_blocking=True).view(1, -1, 1, 1)


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """One split of a real data set: images (N, C, H, W) uint8, held or decoded when asked for; labels (N,) int64."""

    images: ImageSource
    labels: Tensor
    info: DatasetInfo

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return self.info.num_classes

    def __len__(self) -> int:
        return len(self.labels)

    def of_class(self, label: int) -> Tensor:
        """Return the (n,) int64 indices of the images of one class, in their stored order."""
        return (self.labels == label).nonzero(as_tuple=True)[0]

    def class_counts(self) -> Tensor:
        """Return the number of images of each class, (K,) int64."""
        return torch.bincount(self.labels, minlength=self.num_classes)

    def on(self, device: torch.device) -> LabeledImages:
        """Return the split with its images on `device`, so that batches are taken there; those read from files stay."""
        return replace(self, images=self.images.to(device)) if isinstance(self.images, Tensor) else self

    def pixels(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` as (n, C, H, W) uint8, on the CPU or where `on` has brought them."""
        if isinstance(self.images, Tensor):
            return self.images[indices.to(self.images.device, non_blocking=True)]
        return self.images[indices.cpu()]

    def normalised(self, indices: Tensor | None = None, device: torch.device | str | None = None) -> Tensor:
        """Return (n, C, H, W) float32 images with the data set's mean and std removed, on `device`."""
        chosen = torch.arange(len(self)) if indices is None else indices
        return self.info.normalise(self.pixels(chosen).to(device, non_blocking=True))


@dataclass(frozen=True, eq=False)
class RealDataset:
    """A real data set: both splits and what identifies them."""

    train: LabeledImages
    test: LabeledImages
    info: DatasetInfo
