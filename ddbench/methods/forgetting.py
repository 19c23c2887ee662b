"""Forgetting: selects the images that a network forgets most often while it learns.

Paper: Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning", ICLR 2019
(arXiv 1812.05159). Differs from it: chosen class by class, and counted after whole epochs; see `training_scores`.
"""

from __future__ import annotations

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.selection import select_real
from ddbench.methods._coresets.training_scores import ScoreMethod, highest


@METHODS.register("forgetting")
class Forgetting(ScoreMethod):
    """`ipc` images of each class that were forgotten most often, those never learnt before all others."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels; smaller sets are the beginnings of larger ones, class by class."""
        by_class = self.scores_by_class(train, ctx, "forgotten")
        return select_real(train, [indices[highest(scores, ipc)] for indices, scores in by_class], ipc)
