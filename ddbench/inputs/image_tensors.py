"""Tensors of images and labels as callers give them: plain, on a device that computes, of one shape, type and range."""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.inputs.values import shown


def as_plain(value: object, what: str, *, may_be_meta: bool = False) -> Tensor:
    """Return a tensor without gradient and without anything that only some operations understand; shares its memory.

    Raises:
        BadInputError: no tensor, one that is sparse, nested or quantised, or on a device that holds no numbers.
    """
    if not isinstance(value, Tensor):
        hint = "; convert it with torch.from_numpy" if type(value).__module__ == "numpy" else ""
        raise BadInputError(f"{what} must be a torch tensor, got {shown(value)}{hint}")
    if value.is_nested or value.layout != torch.strided or value.is_quantized:
        how = "nested" if value.is_nested else "quantised" if value.is_quantized else str(value.layout)
        raise BadInputError(f"{what} must be a dense tensor, got a {how} one; convert it with to_dense or dequantize")
    if value.device.type not in ("cpu", "cuda") and not (may_be_meta and value.is_meta):
        raise BadInputError(f"{what} must be on the CPU or a GPU, got a tensor on {value.device}; bring it to the CPU")
    plain = value.detach() if value.requires_grad or type(value) is not Tensor else value
    if type(plain) is not Tensor:
        plain = plain.as_subclass(Tensor)
    if plain.is_neg():
        plain = plain.resolve_neg()
    return plain.clone() if plain.is_inference() else plain  # which no backward pass may use


def as_laid_out(images: Tensor) -> Tensor:
    """Return images whose values lie in order: as they are, or by channel last, else copied."""
    ordered = images.is_contiguous() or (images.ndim == 4 and images.is_contiguous(memory_format=torch.channels_last))
    return images if ordered else images.contiguous()


def as_hard_labels(value: object, count: int, num_classes: int, what: str) -> Tensor:
    """Return (count,) int64 labels in 0..num_classes-1.

    Raises:
        BadInputError: another shape, type or count, or a label out of range.
    """
    labels = as_plain(value, what)
    if labels.shape != (count,) or labels.dtype != torch.int64:
        raise BadInputError(
            f"{what} must be ({count},) int64, got {tuple(labels.shape)} {labels.dtype}; "
            "give one for each image, converted with .long()"
        )
    low, high = (int(end) for end in labels.aminmax()) if count else (0, 0)
    if low < 0 or high >= num_classes:
        raise BadInputError(
            f"labels must lie in 0..{num_classes - 1} ({num_classes} classes), got {low}..{high}; "
            "number the classes from 0"
        )
    return labels
