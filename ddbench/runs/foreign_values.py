"""What a foreign set holds and what the user says of it, brought together: space, normalisation, labels, budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.images import RealDataset
from ddbench.importer import ForeignSet
from ddbench.inputs.distilled_sets import FLOATS
from ddbench.inputs.values import as_choice, as_count, as_flag, as_numbers, as_positive, as_seed, as_text, shown
from ddbench.records import Space
from ddbench.registry import METHODS

SUFFIX = "imported"
# Constants that images are often normalised by, by name.
CONSTANTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,), (0.5,)),
}


@dataclass(frozen=True)
class SourceFacts:
    """What a user says of a source that its files do not say; what is None is taken from the files, or asked for.

    Attributes:
        method: name that the sets go by in tables.
        seed: of a single set, or of the first of several.
        space: of the images.
        normalised_by: constants of `normalised` images where they are not the data set's: `imagenet`, `half`, or a mean
            and a std, each one number or one a channel.
        factor: how many smaller images a side of a stored one holds.
        logits: soft labels are logits: take their softmax.
        student_lr: learning rate of the students.
        class_map: YAML file of class names or labels by the names of the source.
        pixel_margin: how far pixels may lie outside 0..1, in widths of it, or `unbounded`.
        download: whether files may be fetched.
    """

    method: str | None = None
    seed: int | None = None
    space: Space | None = None
    normalised_by: str | tuple[Sequence[float], Sequence[float]] | None = None
    factor: int | None = None
    logits: bool = False
    student_lr: float | None = None
    class_map: Path | str | None = None
    pixel_margin: float | str | None = None
    download: bool = False

    def __post_init__(self) -> None:
        name = None if self.method is None else as_text(self.method, "method")
        if name is not None and (name != " ".join(name.split()) or not name.isprintable()):
            raise BadInputError("method must be a name in one line without spaces around it; correct it")
        if self.seed is not None:
            as_seed(self.seed)
        if self.space is not None:
            as_choice(self.space, get_args(Space), "space")
        if self.factor is not None:
            as_count(self.factor, "factor")
        if self.student_lr is not None:
            as_positive(self.student_lr, "student_lr")
        as_flag(self.logits, "logits")
        as_flag(self.download, "download")
        if self.method in METHODS.names():
            raise BadInputError(
                f"{self.method} is a method of ddbench, and an imported set is not one of its runs; name it "
                f"{self.method}-{SUFFIX}, or as its authors do"
            )


def images_of(foreign: ForeignSet, real: RealDataset, told: SourceFacts, notes: list[str]) -> tuple[Tensor, Space]:
    """Return the images as a distilled set of the data set holds them, and their space.

    Floats keep their type where a set may have it, and their bits unless they were normalised by other constants.

    Raises:
        BadInputError: another shape or type, or a space that nobody says or that is not the files' own.
    """
    images, info = foreign.images, real.info
    if images.ndim != 4 or 0 in images.shape:
        raise BadInputError(f"images must be (M, C, H, W), got shape {tuple(images.shape)}; save them in that shape")
    if images.shape[1] != info.channels and images.shape[3] == info.channels:
        raise BadInputError(
            f"images must be (M, C, H, W), got {tuple(images.shape)}, channels last; save images.permute(0, 3, 1, 2)"
        )
    _check_side(images, real, notes)
    space = _space_of(foreign, images, told)
    if images.dtype == torch.uint8:
        if told.normalised_by is not None:
            raise BadInputError("--normalised-by is for normalised images, these are pixels in bytes; leave it out")
        return images, space
    if images.dtype not in FLOATS:
        if not images.is_floating_point():
            raise BadInputError(f"images must be uint8 or float, got {images.dtype}; save them as one of these")
        notes.append(f"images were {str(images.dtype).removeprefix('torch.')} and are kept in float32")
        images = images.float()
    by = told.normalised_by or (foreign.constants if space == "normalised" else None)
    if by is not None:
        images = _renormalised(images, space, by, real, notes)
    return images, space


def _check_side(images: Tensor, real: RealDataset, notes: list[str]) -> None:
    """Raise BadInputError where images can be shown to no student; a note says so of larger ones."""
    (height, width), side = images.shape[2:], real.info.image_size
    if height != width or height < side:
        raise BadInputError(
            f"images must be square and at least {side} px, as those of {real.info.name} are, got {height}x{width}; "
            f"name the data set of their size, such as NAME,size={height}, or enlarge them"
        )
    if height > side:
        notes.append(
            f"images have {height} px, those of {real.info.name} {side}: only protocols that resize, such as "
            "imagenet-hard, take them, or a data set of their size"
        )


def _space_of(foreign: ForeignSet, images: Tensor, told: SourceFacts) -> Space:
    """Return the space that the files and the user say; raises BadInputError where neither does, or they differ."""
    known: Space | None = "pixels" if images.dtype == torch.uint8 else foreign.space
    if known is None and told.space is None:
        low, high = (float(end) for end in images.float().aminmax())
        looks = "pixels in 0..1, or normalised ones" if low >= 0 and high <= 1 else "normalised or whitened images"
        raise BadInputError(
            f"the source does not say in which space its images are: their values, {low:.3g}..{high:.3g}, are those of "
            f"{looks}; give --space normalised, pixels or zca (ZCA-whitened), as they were trained on"
        )
    if known is not None and told.space not in (None, known):
        raise BadInputError(f"--space says {told.space}, and images of this source are {known}; leave it out")
    space = known or told.space
    assert space is not None
    return space


def _renormalised(
    images: Tensor,
    space: Space,
    by: str | tuple[Sequence[float], Sequence[float]],
    real: RealDataset,
    notes: list[str],
) -> Tensor:
    """Return images normalised by the data set's constants instead of others; computed in float64."""
    if space != "normalised":
        raise BadInputError(f"--normalised-by is for images in space normalised, these are {space}; leave it out")
    mean, std = _constants(by, real.info.channels)
    if (mean, std) == (real.info.mean, real.info.std):
        return images

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)

    pixels = images.double() * column(std) + column(mean)
    notes.append(f"normalised by {mean} and {std} there, by those of {real.info.name} here: values were converted")
    return ((pixels - column(real.info.mean)) / column(real.info.std)).to(images.dtype)


def _constants(
    by: str | tuple[Sequence[float], Sequence[float]], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if isinstance(by, str):
        if by in CONSTANTS:
            given: Sequence[Sequence[float]] = CONSTANTS[by]
        else:
            try:
                given = [[float(number) for number in part.split(",")] for part in by.split("/")]
            except ValueError:
                given = []
    else:
        given = by
    if len(given) != 2:
        raise BadInputError(
            f"--normalised-by must be {', '.join(CONSTANTS)} or MEAN/STD, such as 0.5,0.5,0.5/0.25,0.25,0.25, got "
            f"{shown(by)}"
        )
    mean, std = (tuple(part) * (channels if len(part) == 1 else 1) for part in given)
    mean, std = as_numbers(mean, "mean", channels), as_numbers(std, "std", channels)
    if min(std) <= 0:
        raise BadInputError(f"std of --normalised-by must be above 0, got {min(std):g}")
    return mean, std


def labels_of(foreign: ForeignSet, real: RealDataset, told: SourceFacts) -> Tensor:
    """Return hard labels (M,) int64, or soft ones (M, K) as probabilities: the softmax of logits.

    Raises:
        BadInputError: labels that are neither.
    """
    labels = foreign.labels
    if labels.ndim not in (1, 2) or labels.is_complex() or labels.dtype == torch.bool or 0 in labels.shape:
        raise BadInputError(
            f"labels must be (M,) whole numbers or (M, K) numbers, got {tuple(labels.shape)} "
            f"{labels.dtype}; convert them"
        )
    if labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1 and real.info.num_classes > 1):
        if labels.is_floating_point() and not torch.equal(labels, labels.round()):
            raise BadInputError("labels must be whole numbers, or a row of probabilities per image; convert them")
        if told.logits:
            raise BadInputError("--logits is for soft labels, these are hard; leave it out")
        return labels.flatten().long()
    soft = labels.float() if labels.dtype not in FLOATS else labels
    if foreign.logits or told.logits:
        if bool((soft >= 0).all()) and float((soft.float().sum(1) - 1).abs().max()) <= 1e-3:
            raise BadInputError(
                "these labels are already probabilities, and a softmax would change them; import them --as mtt, or "
                "without --logits"
            )
        return soft.float().softmax(1)
    sums = soft.float().sum(1)
    if bool((soft < 0).any()) or float((sums - 1).abs().max()) > 1e-3:
        raise BadInputError(
            f"soft labels must be probabilities; rows sum to {float(sums.min()):.4g}..{float(sums.max()):.4g}, lowest "
            f"value {float(soft.min()):.4g}: if they are logits, give --logits, which takes their softmax"
        )
    return soft


def budget_of(labels: Tensor, num_classes: int, notes: list[str]) -> tuple[int, bool]:
    """Return images per class and whether classes differ; a note says how far."""
    classes = labels if labels.ndim == 1 else labels.argmax(1)
    if not 0 <= int(classes.min()) <= int(classes.max()) < num_classes or (
        labels.ndim == 2 and labels.shape[1] != num_classes
    ):
        top = labels.shape[1] if labels.ndim == 2 else int(classes.max()) + 1
        raise BadInputError(
            f"labels are of {top} classes from {int(classes.min())} on, the data set has {num_classes}; name the data "
            "set that it was made from"
        )
    counts = classes.bincount(minlength=num_classes)
    ipc = max(1, math.ceil(len(labels) / num_classes))
    uneven = len(labels) != ipc * num_classes or (labels.ndim == 1 and bool((counts != ipc).any()))
    if uneven:
        notes.append(
            f"uneven: {int(counts.min())} to {int(counts.max())} images a class, {len(labels)} in all; it counts as "
            f"ipc {ipc}, the mean rounded up"
        )
    return ipc, uneven
