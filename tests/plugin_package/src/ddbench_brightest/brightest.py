"""Brightest: the images of each class with the highest mean pixel, out of a random half of the class.

Paper: none, this is an example plug-in. Differs from it: nothing known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from ddbench.plugin import DistilledDataset, LabeledImages, Method, RunContext, select_real


def brightest(images: torch.Tensor, count: int) -> torch.Tensor:
    """Return (count,) int64 positions of the (n, C, H, W) uint8 images with the highest mean, brightest first."""
    return images.float().mean((1, 2, 3)).argsort(descending=True, stable=True)[:count]


class Brightest(Method):
    """`ipc` bright images of each class."""

    @dataclass(frozen=True)
    class Config:
        """Settings; the default is our choice."""

        fraction: Annotated[float, Field(gt=0, le=1)] = 0.5

    def distill(self, train: LabeledImages, ipc: int, ctx: RunContext) -> DistilledDataset:
        """Return (K * ipc, C, H, W) uint8 pixels, sorted by class."""
        chosen = []
        for label in range(train.num_classes):
            indices = train.of_class(label)
            pool_size = max(ipc, int(len(indices) * self.config.fraction))
            pool = indices[torch.randperm(len(indices), generator=ctx.generator)[:pool_size]]
            chosen.append(pool[brightest(train.pixels(pool), ipc)])
        return select_real(train, chosen, ipc)
