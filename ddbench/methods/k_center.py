"""K-center: selects images so that every image of the class is close, in features, to a selected one.

Paper: Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018
(arXiv 1708.00489), algorithm 1 (greedy). Differs from it: the first centre is the image nearest to the class mean,
so that IPC 1 is well defined.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.features import FeatureMethod
from ddbench.methods._coresets.selection import select_real


def choose_centers(features: Tensor, count: int) -> Tensor:
    """Return (count,) int64 positions of distinct rows of (n, D) features, each the farthest from those before it."""
    first = int((features - features.mean(0)).square().sum(1).argmin())
    chosen = [first]
    nearest = (features - features[first]).square().sum(1)
    for _ in range(count - 1):
        # A chosen row is at distance zero; -1 keeps it out even where duplicates are all that is left.
        nearest[chosen[-1]] = -1
        farthest = int(nearest.argmax())
        chosen.append(farthest)
        nearest = torch.minimum(nearest, (features - features[farthest]).square().sum(1))
    return torch.tensor(chosen)


@METHODS.register("k_center")
class KCenter(FeatureMethod):
    """`ipc` images of each class by greedy k-center; the seed acts through the feature network alone."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels; smaller sets are the beginnings of larger ones, class by class."""
        return select_real(train, self.choose(train, ctx, lambda features: choose_centers(features, ipc)), ipc)
