"""Images that hold several smaller ones, taken apart for students: multi-formation.

Paper: Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (IDC), ICML 2022
(arXiv 2205.14959), section 4.1; used by NCFM (arXiv 2502.20653) as well.
Checked against: snu-mllab/Efficient-Dataset-Condensation, `condense.py` (`decode_zoom`), its default: one scale.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FILL = 0.5  # of pixels in 0..1, where a side is no multiple of the factor; source: condense.py


def decode_images(images: Tensor, factor: int, fill: Tensor) -> Tensor:
    """Return the factor x factor parts of every image, each enlarged to the image's size, bilinearly.

    Args:
        images: (M, C, H, W) float.
        factor: how many parts a side has.
        fill: (C,) what is put below and to the right where a side is no multiple of it: 0.5 of pixels in 0..1.

    Returns:
        (factor * factor * M, C, H, W): the first part of every image, then the second, row by row.
    """
    height, width = images.shape[-2:]
    tall, wide = -(-height // factor) * factor, -(-width // factor) * factor
    padded = fill.to(images).view(1, -1, 1, 1).expand(len(images), -1, tall, wide).clone()
    padded[:, :, :height, :width] = images
    parts = [part for row in padded.chunk(factor, dim=2) for part in row.chunk(factor, dim=3)]
    return F.interpolate(torch.cat(parts), size=(height, width), mode="bilinear", align_corners=False)


def decode_labels(labels: Tensor, factor: int) -> Tensor:
    """Return the label of every part that `decode_images` gives, from (M,) or (M, K) labels of the images."""
    return labels.repeat(factor * factor, *(1,) * (labels.ndim - 1))
