"""What the images and labels of a distilled set must be, whoever made it, and how far pixels may lie outside 0..1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.inputs.image_tensors import as_hard_labels, as_laid_out, as_plain
from ddbench.inputs.values import as_count

PIXEL_TOLERANCE = 1 / 255  # of float pixels in space `pixels`: one step of a byte, as rounding leaves
LARGEST_NORMALISED = 100.0  # of a set whose mean and std are not known yet: those of real images reach 5, at most 20
SUM_TOLERANCE = 1e-3  # of a row of soft labels
LARGEST_FACTOR = 8  # of images that hold smaller ones; IDC and NCFM use 2 and 3
FLOATS = (torch.float32, torch.float16)  # as images and soft labels may be stored; students compute in float32


def as_set_images(value: object, space: str, ipc: int | None, margin: float | None) -> Tensor:
    """Return the images of a set, without gradient and laid out in order.

    Args:
        value: (M, C, H, W), float32 or float16 in `space`, or uint8 where that is `pixels`; on `meta` where they stand
            for a whole training split.
        space: `normalised`, `pixels` or `zca`.
        ipc: images per class, None for the whole training split.
        margin: how far float pixels may lie outside 0..1, in widths of it; None where the set does not say.

    Raises:
        BadInputError: another shape or type, values that are not finite, or that no such images have.
    """
    images = as_laid_out(as_plain(value, "distilled images", may_be_meta=True))
    if images.ndim != 4 or 0 in images.shape:
        raise BadInputError(f"distilled images must be (M, C, H, W), got shape {tuple(images.shape)}")
    if images.dtype not in (*FLOATS, torch.uint8):
        raise BadInputError(
            f"distilled images must be float32, float16 or uint8, got {images.dtype}; convert them with .float()"
        )
    if images.dtype == torch.uint8 and space != "pixels":
        raise BadInputError(f"uint8 images must be in space 'pixels', got {space!r}; name that space or normalise them")
    if images.is_meta and (ipc is not None or images.dtype != torch.uint8):
        raise BadInputError("images on the device 'meta' hold no pixels; give tensors on the CPU")
    if images.is_floating_point():
        if not images.isfinite().all():
            bad = int((~images.isfinite()).flatten(1).any(1).sum())
            raise BadInputError(f"{bad} of {len(images)} distilled images hold NaN or infinite pixels; distil again")
        if space == "pixels":
            check_pixels(images, PIXEL_TOLERANCE if margin is None else margin)
        elif space == "normalised" and margin is None:
            check_loosely(images)
    return images


def as_set_labels(value: object, count: int, num_classes: int, ipc: int | None, *, uneven: bool = False) -> Tensor:
    """Return the labels of a set, without gradient: hard (M,) int64, or soft (M, K) rows of probabilities.

    Args:
        value: the labels.
        count: of images, M.
        num_classes: K.
        ipc: images per class, None for the whole training split, whose classes may be of any size.
        uneven: whether other classes may have more images than one; `ipc` is then their mean, rounded up.

    Raises:
        BadInputError: another shape, type or count, rows that are no probabilities, or classes of different size that
            are not said to be so.
    """
    labels = as_plain(value, "labels of a distilled set")
    if labels.ndim == 1:
        labels = as_hard_labels(labels, count, num_classes, "hard labels")
    elif labels.shape != (count, num_classes) or labels.dtype not in FLOATS:
        raise BadInputError(
            f"soft labels must be ({count}, {num_classes}) float32 or float16, got {tuple(labels.shape)} "
            f"{labels.dtype}; give a row for each image, converted with .float()"
        )
    else:
        check_soft_rows(labels)
    if uneven:
        check_budget(count, ipc, num_classes)
    elif ipc is not None:
        if count != ipc * num_classes:
            raise BadInputError(
                f"a set of {num_classes} classes at ipc {ipc} has {ipc * num_classes} images, got {count}; correct ipc"
                f", or give uneven=True and ipc={-(-count // num_classes)} if classes are meant to differ"
            )
        if labels.ndim == 1:
            check_counts(labels, ipc, num_classes)
    return labels


def as_decode_factor(value: object, images: Tensor, space: str, ipc: int | None) -> int:
    """Return how many smaller images stand side by side in one, each way; 1 for images as they are.

    Raises:
        BadInputError: no such number, images too small for it, or images that cannot be taken apart.
    """
    factor = as_count(value, "decode_factor", most=LARGEST_FACTOR)
    if factor > 1 and (space == "zca" or ipc is None):
        what = "whitened images" if space == "zca" else "the whole training set"
        raise BadInputError(f"decode_factor must be 1 for {what}, got {factor}; leave it out")
    if factor > min(images.shape[2:]):
        raise BadInputError(f"images of {images.shape[2]}x{images.shape[3]} hold no {factor}x{factor} smaller ones")
    return factor


def check_soft_rows(labels: Tensor) -> None:
    """Raise BadInputError where rows of (M, K) float32 labels are no probabilities: finite, not negative, sum 1."""
    if not labels.isfinite().all():
        raise BadInputError("soft labels hold NaN or infinite values; distil again")
    sums, lowest = labels.sum(1, dtype=torch.float32), float(labels.min())
    bad = ((sums - 1).abs() > SUM_TOLERANCE) | (labels < 0).any(1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise BadInputError(
            f"soft labels must be probabilities, rows of numbers from 0 on that sum to 1; {int(bad.sum())} of "
            f"{len(labels)} rows are not (row {first} sums to {float(sums[first]):.4g}, lowest value {lowest:.4g}); "
            "make logits so with labels.softmax(1)"
        )


def check_counts(labels: Tensor, ipc: int, num_classes: int) -> None:
    """Raise BadInputError where hard labels do not name each of the classes `ipc` times."""
    counts = torch.bincount(labels, minlength=num_classes)
    if (counts != ipc).any():
        label = int((counts != ipc).nonzero()[0])
        raise BadInputError(
            f"a set at ipc {ipc} must have {ipc} images of each class, got {int(counts.min())} to {int(counts.max())} "
            f"(class {label} has {int(counts[label])}); take as many of each, or give uneven=True if this is intended"
        )


def check_budget(count: int, ipc: int | None, num_classes: int) -> None:
    """Raise BadInputError where `ipc` is not the budget of an uneven set: images over classes, rounded up."""
    budget = -(-count // num_classes)
    if ipc != budget:
        raise BadInputError(
            f"an uneven set of {count} images in {num_classes} classes has the budget ipc {budget}, images over "
            f"classes rounded up, got {ipc}; give ipc={budget}"
        )


def check_normalised(images: Tensor, mean: Sequence[float], std: Sequence[float], margin: float, name: str) -> None:
    """Raise BadInputError where normalised images lie further than `margin` outside the pixels 0..1 of a data set.

    Args:
        images: (M, C, H, W) float32.
        mean: per channel, of pixels in [0, 1], as `std`.
        std: per channel.
        margin: in widths of that range, infinite for no limit.
        name: of the data set.
    """
    low, high = (end.tolist() for end in images.transpose(0, 1).flatten(1).aminmax(dim=1))
    lowest = min(value * s + m for value, m, s in zip(low, mean, std, strict=True))
    highest = max(value * s + m for value, m, s in zip(high, mean, std, strict=True))
    if lowest < -margin or highest > 1 + margin:
        raise BadInputError(
            f"normalised images of {name} must have pixels at most {margin:g} outside 0..1, got {lowest:.3g}.."
            f"{highest:.3g}; normalise pixels in 0..1, or widen provenance pixel_margin (--pixel-margin of an import)"
        )


def check_whitened(images: Tensor, mean: Tensor, matrix: Tensor, margin: float, name: str) -> None:
    """Raise BadInputError where no pixels within `margin` of 0..1 could give such whitened images.

    Args:
        images: (M, C, H, W) float32, D = C * H * W.
        mean: (D,) float32 of the whitening.
        matrix: (D, D) float32 of the whitening.
        margin: in widths of the pixels' range, infinite for no limit.
        name: of the data set.
    """
    farthest = torch.maximum(mean + margin, 1 + margin - mean)  # of a pixel from its mean
    reach = farthest.to(matrix) @ matrix.abs()
    beyond = (images.flatten(1).to(reach).abs() > reach).flatten(1).any(1)
    if beyond.any():
        raise BadInputError(
            f"{int(beyond.sum())} of {len(images)} images are not whitened images of {name}: no pixels within "
            f"{margin:g} of 0..1 give such values; whiten pixels in 0..1, or widen provenance "
            "pixel_margin (--pixel-margin of an import)"
        )


def check_pixels(images: Tensor, margin: float) -> None:
    """Raise BadInputError where float pixels lie further than `margin` outside [0, 1]."""
    low, high = (float(end) for end in images.aminmax())
    if low < -margin or high > 1 + margin:
        raise BadInputError(
            f"float images in space 'pixels' must lie in 0..1, got {low:.3g}..{high:.3g}; "
            "divide by 255, clip them, give uint8, or widen provenance pixel_margin (--pixel-margin of an import)"
        )


def check_loosely(images: Tensor) -> None:
    """Raise BadInputError where normalised images hold values that those of no data set have."""
    low, high = (float(end) for end in images.aminmax())
    if max(-low, high) > LARGEST_NORMALISED:
        raise BadInputError(
            f"normalised images have values within about -5..5, got {low:.3g}..{high:.3g}; remove mean and std of "
            "pixels in 0..1, give space 'pixels', or say so with provenance pixel_margin='unbounded'"
        )
