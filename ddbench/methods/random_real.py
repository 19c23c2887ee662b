"""Random real images: the baseline that every method has to beat.

Paper: none; the "Random" row of Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023
(arXiv 2110.04181). Differs from it: nothing known.
"""

from __future__ import annotations

from ddbench.distilled.dataset import DistilledDataset
from ddbench.images import LabeledImages
from ddbench.method import METHODS, Method, RunContext
from ddbench.methods._coresets.selection import draw_real, select_real
from ddbench.work import MethodWork, PhaseWork


@METHODS.register("random_real")
class RandomReal(Method):
    """`ipc` images of each class, drawn uniformly without replacement."""

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels, sorted by class; one seed's smaller sets are part of its larger."""
        return select_real(train, draw_real(train, ipc, ctx.generator), ipc)

    def work(self, train: LabeledImages, ipc: int) -> MethodWork:
        """Return none: no network takes part."""
        return MethodWork(PhaseWork())
