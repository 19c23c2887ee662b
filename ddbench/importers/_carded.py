"""What `ddbench.json` beside an exported set says of it, brought to the data set that it is imported for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ddbench.exporter import CARD, Card
from ddbench.importer import ImportOptions
from ddbench.importers._class_names import match_classes


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
