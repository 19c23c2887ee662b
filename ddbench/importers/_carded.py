"""What `ddbench.json` beside an exported set says of it, brought to the data set that it is imported for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ddbench.errors import BadInputError
from ddbench.exporter import CARD, Card
from ddbench.importer import ForeignSet, ImportOptions
from ddbench.importers._class_names import match_classes


def told_by(card: Card | None, foreign: ForeignSet) -> ForeignSet:
    """Return a set with what its card says of it, but for a rate that its files have; as it is without a card.

    Bytes lie in 0..255, whatever margin the pixels had that they were made of.
    """
    if card is None:
        return foreign
    return replace(
        foreign,
        student_lr=card.student_lr if foreign.student_lr is None else foreign.student_lr,
        method=card.method,
        seed=card.seed,
        constants=card.constants,
        pixel_margin=None if foreign.images.dtype == torch.uint8 else card.pixel_margin,
        decode_factor=card.decode_factor,
    )


def labels_by_card(
    card: Card, labels: Tensor, options: ImportOptions
) -> tuple[Tensor, dict[str, Any], tuple[str, ...]]:
    """Return labels numbered as the data set numbers its classes, facts and notes for the provenance.

    Args:
        card: whose class names the labels follow.
        labels: (M,) of an integer type, or (M, K).
        options: the data set and a class map.

    Raises:
        BadInputError: class names of another data set.
    """
    count = len(card.class_names)
    is_hard = labels.ndim == 1 and not labels.is_floating_point() and not labels.is_complex()
    if is_hard and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < count:
        raise BadInputError(f"labels must lie in 0..{count - 1}, by the classes of {CARD}; export the set again")
    if not is_hard and (labels.ndim != 2 or labels.shape[1] != count):
        raise BadInputError(f"labels must be whole numbers, or {count} a row, by {CARD}; export the set again")
    notes = [f"{CARD} says: {card.space}, made for {card.dataset}"]
    if card.class_names == options.info.class_names and not options.class_map:
        return labels, {}, tuple(notes)
    matched = match_classes(card.class_names, options.info, options.class_map)
    notes.append(f"classes by {matched.how}, from {CARD}")
    order = torch.tensor([matched.labels[name] for name in card.class_names])
    return renumbered(labels, order), matched.facts(options.info), tuple(notes)


def renumbered(labels: Tensor, order: Tensor) -> Tensor:
    """Return labels of which `order[i]` is the new number of class i; the columns of soft ones are moved."""
    if labels.ndim == 1:
        return order[labels.long()]
    moved = torch.empty_like(labels)
    moved[:, order] = labels
    return moved
