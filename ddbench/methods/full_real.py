"""Full training set: the upper reference for accuracy, and the cost that every distilled set is compared with.

Paper: none; the "whole dataset" row of the field's tables. Differs from it: the protocols' own epoch count for real
data, because no repository of the family contains the recipe of its row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, Method, RunContext
from ddbench.work import MethodWork, PhaseWork


@METHODS.register("full_real")
class FullReal(Method):
    """Every real training image; one set for all IPC, and the seed changes nothing in it."""

    uses_ipc = False

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (N, C, H, W) uint8 pixels in stored order, with `ipc` None; a streamed set where they are not held."""
        if isinstance(train.images, Tensor):
            images = train.pixels(torch.arange(len(train)))
        else:
            images = torch.empty(train.images.shape, dtype=torch.uint8, device="meta")
        return DistilledDataset(
            images=images,
            labels=train.labels,
            num_classes=train.num_classes,
            ipc=None,
            space="pixels",
        )

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return none: no network takes part."""
        return MethodWork(PhaseWork())
