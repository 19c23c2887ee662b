"""Real images: a data set's splits, held in memory or decoded when asked for, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import torch
from torch import Tensor

from ddbench.errors import BadInputError, DataMismatchError
from ddbench.facts import facts_html
from ddbench.inputs.image_tensors import as_hard_labels, as_plain
from ddbench.inputs.values import as_count, as_flag, as_index, as_kind, as_numbers, as_text, as_texts, shown


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

    Raises:
        BadInputError: class names that are no distinct texts, or constants that are not one finite number a channel.
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

    def __post_init__(self) -> None:
        checked = {
            "class_names": as_texts(self.class_names, "class_names", least=1, distinct=True),
            "class_ids": as_texts(self.class_ids, "class_ids", distinct=True),
            "channels": as_count(self.channels, "channels"),
            "image_size": as_count(self.image_size, "image_size"),
        }
        checked["mean"] = as_numbers(self.mean, "mean", self.channels)
        checked["std"] = as_numbers(self.std, "std", self.channels)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if min(self.std) <= 0:
            raise BadInputError(f"std must be above 0 in every channel, got {min(self.std)}; it divides the pixels")
        if self.class_ids and len(self.class_ids) != len(self.class_names):
            raise BadInputError(
                f"class_ids must be one for each of the {len(self.class_names)} classes or none, got "
                f"{len(self.class_ids)}"
            )
        as_text(self.name, "name of a data set", may_be_empty=True)
        as_text(self.fingerprint, "fingerprint", may_be_empty=True)
        as_flag(self.may_be_mirrored, "may_be_mirrored")

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


def _counted(split: LabeledImages) -> str:
    """Return images of a split in words: how many of what size in how many classes."""
    size = "x".join(map(str, split.images.shape[1:]))
    return f"{len(split):,} images {size} in {split.num_classes:,} classes"


def _facts_of(info: DatasetInfo) -> dict[str, str]:
    few = ", ".join(info.class_names[:10])
    more = f" and {info.num_classes - 10:,} more" if info.num_classes > 10 else ""
    return {"classes": few + more, "fingerprint": info.fingerprint}


@lru_cache(maxsize=64)
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return one number per channel as (1, C, 1, 1), made once: a tensor of Python numbers waits for its device."""
    return torch.tensor(values).to(device, non_blocking=True).view(1, -1, 1, 1)


@dataclass(frozen=True, eq=False, repr=False)
class LabeledImages:
    """One split of a real data set: images (N, C, H, W) uint8, held or decoded when asked for; labels (N,) int64.

    Labels are brought to the CPU. A split may lack a class, as a part of one does; a `RealDataset` may not.
    `load_at` loads the same split at another side length, where the data set comes in any.

    Raises:
        BadInputError: images or labels of another shape, type or count, or a label that is no class.
    """

    images: ImageSource
    labels: Tensor
    info: DatasetInfo
    load_at: Callable[[int], LabeledImages] | None = None

    def __post_init__(self) -> None:
        info = as_kind(self.info, DatasetInfo, "info of a split", "make_real_dataset makes one")
        count = self._check_images(info)
        labels = as_hard_labels(self.labels, count, info.num_classes, "labels of real images").cpu()
        object.__setattr__(self, "labels", labels)

    def _check_images(self, info: DatasetInfo) -> int:
        """Return how many images there are; raises BadInputError where they are none or not of the data set's shape."""
        images = self.images
        if isinstance(images, Tensor) or type(images).__module__ == "numpy" or not hasattr(images, "__getitem__"):
            images = as_plain(images, "real images")
            if images.dtype != torch.uint8:
                raise BadInputError(
                    f"real images must be uint8, got {images.dtype}; give pixels 0..255 with .to(torch.uint8)"
                )
            object.__setattr__(self, "images", images)
        shape = getattr(images, "shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4:
            came = tuple(shape) if isinstance(shape, tuple) else shown(self.images)
            raise BadInputError(f"real images must be (N, C, H, W), or a source that has this shape, got {came}")
        if shape[0] == 0 or tuple(shape[1:]) != (info.channels, info.image_size, info.image_size):
            raise BadInputError(
                f"real images of {info.name} must be (N, {info.channels}, {info.image_size}, {info.image_size}) with "
                f"at least one, got {tuple(shape)}"
            )
        return int(shape[0])

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return self.info.num_classes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image, (C, H, W) uint8, and its label, as a `torch.utils.data.DataLoader` asks for them."""
        at = range(len(self))[as_index(index)]
        return self.pixels(torch.tensor([at]))[0], int(self.labels[at])

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"LabeledImages({self.info.name}: {_counted(self)})"

    def _repr_html_(self) -> str:
        return facts_html(f"Images of {self.info.name}", {"images": _counted(self), **_facts_of(self.info)})

    def of_class(self, label: int) -> Tensor:
        """Return the (n,) int64 indices of the images of one class, in their stored order."""
        return (self.labels == label).nonzero(as_tuple=True)[0]

    def class_counts(self) -> Tensor:
        """Return the number of images of each class, (K,) int64."""
        return torch.bincount(self.labels, minlength=self.num_classes)

    def at_size(self, side: int) -> LabeledImages:
        """Return the same split with images of `side` pixels, made from its files as those of this size were.

        Raises:
            BadInputError: the data set comes in one size alone.
            DataMismatchError: its files give other labels than this split has.
        """
        if side == self.info.image_size:
            return self
        if self.load_at is None:
            raise BadInputError(f"images of {self.info.name} come at {self.info.image_size} px alone, not at {side}")
        loaded = self.load_at(side)
        if not torch.equal(loaded.labels, self.labels):
            raise DataMismatchError(
                f"the files of {self.info.name} do not give this split any more, or it is a part of it"
            )
        return loaded

    def on(self, device: torch.device) -> LabeledImages:
        """Return the split with its images on `device`, so that batches are taken there; those read from files stay."""
        if not isinstance(self.images, Tensor):
            return self
        there = copy(self)  # not checked again: the device may be `meta`, where shapes are all there is
        object.__setattr__(there, "images", self.images.to(device))
        return there

    def pixels(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` as (n, C, H, W) uint8, on the CPU or where `on` has brought them."""
        if isinstance(self.images, Tensor):
            return self.images[indices.to(self.images.device, non_blocking=True)]
        return self.images[indices.cpu()]

    def normalised(self, indices: Tensor | None = None, device: torch.device | str | None = None) -> Tensor:
        """Return (n, C, H, W) float32 images with the data set's mean and std removed, on `device`."""
        chosen = torch.arange(len(self)) if indices is None else indices
        return self.info.normalise(self.pixels(chosen).to(device, non_blocking=True))


@dataclass(frozen=True, eq=False, repr=False)
class RealDataset:
    """A real data set: both splits and what identifies them.

    Raises:
        BadInputError: splits of other images or classes than the info says, or one that lacks a class.
    """

    train: LabeledImages
    test: LabeledImages
    info: DatasetInfo

    def __repr__(self) -> str:
        return f"RealDataset({self.info.name}: {_counted(self.train)}, {len(self.test):,} to test)"

    def _repr_html_(self) -> str:
        counts = {"training": _counted(self.train), "test": _counted(self.test)}
        return facts_html(f"Data set {self.info.name}", {**counts, **_facts_of(self.info)})

    def __post_init__(self) -> None:
        hint = "make_real_dataset makes all of it from images and labels"
        as_kind(self.info, DatasetInfo, "info of a data set", hint)
        for name in ("train", "test"):
            split = as_kind(getattr(self, name), LabeledImages, f"{name} split of a data set", hint)
            if (split.info.class_names, split.images.shape[1:]) != (self.info.class_names, self.train.images.shape[1:]):
                raise BadInputError(
                    f"the {name} split of {self.info.name} must have its classes and images of the training split's "
                    f"shape, got {split.num_classes} classes and {tuple(split.images.shape[1:])}"
                )
            if len(missing := (split.class_counts() == 0).nonzero()):
                first = self.info.class_names[int(missing[0])]
                raise BadInputError(
                    f"the {name} split of {self.info.name} must have an image of every class, has none of "
                    f"{len(missing)} of {self.info.num_classes}, such as {first!r}; leave such classes out"
                )


@dataclass(frozen=True, eq=False)
class Whitening:
    """Constants of the `zca` space: flat pixels in [0, 1] become (pixels - mean) @ matrix (see `ddbench.augment.zca`).

    Attributes:
        mean: (D,) float32, D = C * H * W.
        matrix: (D, D) float32, symmetric.

    Raises:
        BadInputError: shapes, types or values that whiten nothing.
    """

    mean: Tensor
    matrix: Tensor

    def __post_init__(self) -> None:
        for name in ("mean", "matrix"):
            object.__setattr__(self, name, as_plain(getattr(self, name), f"{name} of a whitening"))
        mean, matrix = self.mean, self.matrix
        if mean.ndim != 1 or len(mean) == 0 or matrix.shape != (len(mean), len(mean)):
            raise BadInputError(
                f"a whitening must have a mean (D,) and a matrix (D, D), got {tuple(mean.shape)} and "
                f"{tuple(matrix.shape)}; fit it with fit_zca"
            )
        if (mean.dtype, matrix.dtype) != (torch.float32, torch.float32):
            raise BadInputError(
                f"a whitening's mean and matrix must be float32, got {mean.dtype} and {matrix.dtype}; convert them"
            )
        if not (mean.isfinite().all() and matrix.isfinite().all()):
            raise BadInputError("a whitening must be finite, got NaN or infinite values; fit it again with fit_zca")

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 over the bytes of mean and matrix, the same on every device."""
        digest = hashlib.sha256()
        for tensor in (self.mean, self.matrix):
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Whitening:
        """Return the whitening with its tensors on `device`; itself where they are there already."""
        mean, matrix = self.mean.to(device), self.matrix.to(device)
        return self if mean is self.mean and matrix is self.matrix else Whitening(mean, matrix)
