"""Selected real images as a distilled set: what all selection methods share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ddbench.records import DistilledDataset, LabeledImages


def select_real(train: LabeledImages, chosen: Sequence[Tensor], ipc: int) -> DistilledDataset:
    """Return the chosen images as they are stored.

    Args:
        train: the real training split.
        chosen: for each of K classes the (ipc,) int64 indices of its images.
        ipc: images per class.
    """
    indices = torch.cat(list(chosen))
    return DistilledDataset(
        images=train.pixels(indices),
        labels=train.labels[indices],
        num_classes=train.num_classes,
        ipc=ipc,
        space="pixels",
        provenance={"selected_indices": indices.tolist()},
    )
