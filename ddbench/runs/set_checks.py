"""Whether a distilled set is one of a data set, as far as can be seen beside it."""

from __future__ import annotations

import math

import torch

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.images import RealDataset
from ddbench.inputs.distilled_sets import check_normalised, check_whitened


def check_fits(distilled: DistilledDataset, real: RealDataset, side: int | None = None) -> None:
    """Raise DataMismatchError where a distilled set is not one of this data set, or its images are not of `side`."""
    info = real.info
    if distilled.num_classes != info.num_classes:
        raise DataMismatchError(
            f"the distilled set has {distilled.num_classes} classes and {info.name} has {info.num_classes}; "
            "name the data set it was made from"
        )
    if distilled.images.shape[1] != info.channels:
        raise DataMismatchError(
            f"the distilled images have {distilled.images.shape[1]} channels and those of {info.name} {info.channels}; "
            "name the data set they were made from"
        )
    if side is not None and distilled.images.shape[2:] != (side, side):
        raise DataMismatchError(
            f"the distilled images are {'x'.join(map(str, distilled.images.shape[2:]))} where {side}x{side} were "
            f"requested; a method makes images of the data set's size, or of its setting image_size"
        )
    names = distilled.provenance.get("class_names")
    if names is not None and tuple(names) != info.class_names:
        raise DataMismatchError(
            f"the distilled set's classes are {', '.join(names[:3])}, ... and those of {info.name} "
            f"{', '.join(info.class_names[:3])}, ...; name the data set it was made from"
        )


def check_values(distilled: DistilledDataset, real: RealDataset) -> None:
    """Check what of a set can be checked only beside the data set: the range of its pixels, and a whole set's size.

    Raises:
        BadInputError: pixels further outside those of real images than the set says, or a set without an IPC that is
            not the whole training set.
    """
    info, images, margin = real.info, distilled.images, distilled.pixel_margin()
    if distilled.ipc is None:
        _check_whole(distilled, real)
    if distilled.space == "normalised":
        check_normalised(images, info.mean, info.std, margin, info.name)
    elif distilled.whitening is not None and margin < math.inf:
        check_whitened(images, distilled.whitening.mean, distilled.whitening.matrix, margin, info.name)


def _check_whole(distilled: DistilledDataset, real: RealDataset) -> None:
    """Raise BadInputError where a set without an IPC is not of the size of the whole training set."""
    labels, num_classes = distilled.labels.cpu(), real.info.num_classes
    found = torch.bincount(labels, minlength=num_classes) if distilled.label_mode == "hard" else None
    if len(labels) != len(real.train):
        span = "" if found is None else f", {int(found.min())} to {int(found.max())} a class"
        raise BadInputError(
            f"ipc None means the whole training set, {len(real.train)} images of {real.info.name}, got "
            f"{len(labels)} images{span}; give ipc, and uneven=True where classes differ in size"
        )
    if distilled.is_streamed and not torch.equal(labels, real.train.labels):
        raise BadInputError(
            f"a set on the device 'meta' stands for the training images of {real.info.name} in stored order, but its "
            "labels differ; distil full_real again"
        )
