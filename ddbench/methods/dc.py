"""DC: learns images, from noise, whose gradients in networks under training match those of real images.

Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021 (arXiv 2006.05929), algorithm 1.
Checked against: VICO-UoE/DatasetCondensation, main.py with method DC (network SGD without momentum; first versions of
that file had 0.5).
Differs from it: real gradients are sums over chunks that fit the processor's cache, with equal numbers to float
rounding; the images are those after `steps` iterations, which the reference evaluates, where the file
it saves has seen one more; loops are chosen for IPCs it does not define; networks with batch norm are refused.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddbench.images import LabeledImages
from ddbench.method import METHODS, RunContext
from ddbench.methods._gradient_matching.iteration import GradientMatching


@METHODS.register("dc")
class DatasetCondensation(GradientMatching):
    """Gradient matching from noise, without augmentation."""

    def make_start(self, train: LabeledImages, ipc: int, ctx: RunContext) -> Tensor:
        """Return (K * ipc, C, H, W) standard normal noise."""
        info = train.info
        shape = (info.num_classes * ipc, info.channels, info.image_size, info.image_size)
        return torch.randn(shape, generator=ctx.generator)

    def strategy(self, train: LabeledImages) -> str:
        """Return no augmentation."""
        return ""
