"""Random real images: the baseline every method has to beat.

Paper: none; the "Random" row of Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023
(arXiv 2110.04181). Differs from it: nothing known.
"""

from __future__ import annotations

import torch

from ddbench.method import METHODS, Method, RunContext
from ddbench.methods._selection import select_real
from ddbench.records import DistilledDataset, LabeledImages


@METHODS.register("random_real")
class RandomReal(Method):
    """`ipc` images of each class, drawn uniformly without replacement."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels, sorted by class; one seed's smaller sets are part of its larger."""
        chosen = [
            indices[torch.randperm(len(indices), generator=ctx.generator)[:ipc]]
            for indices in map(train.of_class, range(train.num_classes))
        ]
        return select_real(train, chosen, ipc)
