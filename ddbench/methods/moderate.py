"""Moderate coreset: selects images at a medium distance from the centre of their class.

Paper: Xia et al., "Moderate Coreset: A Universal Method of Data Selection for Real-world Data-efficient Deep Learning",
ICLR 2023. Checked against: tmllab/2023_ICLR_Moderate-DS, `selection.py`, whose centre is the median of each feature
where the paper has the mean; here too. Differs from it: chosen class by class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.features import FeatureMethod
from ddbench.methods._coresets.selection import select_real

QUANTILE_VALUES = 2**24  # torch's quantile takes no more


def middle(features: Tensor, count: int) -> Tensor:
    """Return (count,) int64 positions of the rows of (n, D) features in the middle, by distance from their median.

    Of n rows sorted by distance those from round(n / 2 - count / 2) on.
    """
    columns = features.split(max(1, QUANTILE_VALUES // len(features)), dim=1)
    median = torch.cat([part.quantile(0.5, dim=0) for part in columns])
    distances = torch.linalg.vector_norm(features - median, dim=1)
    start = round((len(features) - count) / 2)
    order: Tensor = distances.argsort(stable=True)
    return order[start : start + count]


@METHODS.register("moderate")
class Moderate(FeatureMethod):
    """`ipc` images of each class at moderate distance; the seed acts through the feature network alone."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels."""
        return select_real(train, self.choose(train, ctx, lambda features: middle(features, ipc)), ipc)
