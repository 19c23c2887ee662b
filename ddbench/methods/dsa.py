"""DSA: DC started from real images, with the same augmentation for the real and synthetic images of a class.

Paper: Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021 (arXiv 2102.08259).
Checked against: VICO-UoE/DatasetCondensation, main.py with method DSA and real start, as in the paper's tables.
Differs from it: as `dc` does; DSA's numbers are drawn on the host (see `ddbench.augment.dsa`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.augment.strategies import dsa_strategy
from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext, check_ipc
from ddbench.methods._coresets.selection import draw_real
from ddbench.methods._gradient_matching.iteration import GradientMatching


@METHODS.register("dsa")
class SiameseAugmentation(GradientMatching):
    """Gradient matching from real images, with Siamese DSA when matching and DSA per image when training networks."""

    def unsupported(self, train: LabeledImages, ipc: int) -> str | None:
        """Return why there are too few images to start from, or why this network cannot be matched."""
        return check_ipc(train, ipc) or super().unsupported(train, ipc)

    def make_start(self, train: LabeledImages, ipc: int, ctx: RunContext) -> Tensor:
        """Return (K * ipc, C, H, W) normalised real images, distinct within each class."""
        return train.normalised(torch.cat(draw_real(train, ipc, ctx.generator)), ctx.device)

    def strategy(self, train: LabeledImages) -> str:
        """Return the data set's DSA strategy."""
        return dsa_strategy(train.info)
