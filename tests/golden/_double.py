"""Real images and networks in float64, so that whole methods run in it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ddbench.images import DatasetInfo, LabeledImages


class DoubleImages(LabeledImages):
    """A split whose normalised images are the float64 ones in `table`, (N, C, H, W)."""

    table: Tensor

    @classmethod
    def of(cls, table: Tensor, labels: Tensor, info: DatasetInfo) -> DoubleImages:
        """Return a split that has the images of `table` normalised, and black ones as pixels."""
        split = cls(torch.zeros(table.shape, dtype=torch.uint8), labels, info)
        object.__setattr__(split, "table", table)
        return split

    @classmethod
    def from_pixels(cls, split: LabeledImages) -> DoubleImages:
        """Return a split with its images normalised in float64."""
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (split.info.mean, split.info.std)
        )
        double = cls(split.images, split.labels, replace(split.info))
        object.__setattr__(double, "table", (split.images.double() / 255 - mean) / std)
        return double

    def normalised(self, indices: Tensor | None = None, device: torch.device | str | None = None) -> Tensor:
        """Return the float64 images at `indices`."""
        return self.table if indices is None else self.table[indices]
