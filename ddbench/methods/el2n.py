"""EL2N: selects the images whose predictions are farthest from their labels early in training.

Paper: Paul, Ganguli, Dziugaite, "Deep Learning on a Data Diet: Finding Important Examples Early in Training", NeurIPS
2021 (arXiv 2107.07075). Differs from it: chosen class by class, one network instead of ten; see `training_scores`.
"""

from __future__ import annotations

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._coresets.selection import select_real
from ddbench.methods._coresets.training_scores import ScoreMethod, highest


@METHODS.register("el2n")
class EL2N(ScoreMethod):
    """`ipc` images of each class with the largest error norm."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels; smaller sets are the beginnings of larger ones, class by class."""
        by_class = self.scores_by_class(train, ctx, "el2n")
        return select_real(train, [indices[highest(scores, ipc)] for indices, scores in by_class], ipc)
