"""Herding: selects images one by one so that the mean of the selected features follows the class mean.

Paper: Welling, "Herding dynamical weights to learn", ICML 2009; as a coreset in Rebuffi et al., "iCaRL", CVPR 2017
(arXiv 1611.07725), algorithm 4. Differs from it: features are not scaled to unit length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.features import FeatureMethod
from ddbench.methods._coresets.selection import select_real


def herd(features: Tensor, count: int) -> Tensor:
    """Return (count,) int64 positions of distinct rows of (n, D) features, each bringing the chosen mean nearest.

    Step k takes argmin over x of || mean - (sum of chosen + x) / k || (iCaRL, algorithm 4).
    """
    mean = features.mean(0)
    total = torch.zeros_like(mean)
    free = torch.ones(len(features), dtype=torch.bool)
    chosen = []
    for k in range(1, count + 1):
        gaps = (mean - (total + features) / k).square().sum(1)
        best = int(gaps.masked_fill(~free, float("inf")).argmin())
        free[best] = False
        total = total + features[best]
        chosen.append(best)
    return torch.tensor(chosen)


@METHODS.register("herding")
class Herding(FeatureMethod):
    """`ipc` images of each class by herding; the seed acts through the feature network alone."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels; smaller sets are the beginnings of larger ones, class by class."""
        return select_real(train, self.choose(train, ctx, lambda features: herd(features, ipc)), ipc)
